//! Attention: multi-head layers, masks, encodings of positions, and transformer blocks.
//!
//! A block is three or four operations on a tape: row-wise chains (norms, projections, feed-forward layers) and, in
//! between, attention, which alone mixes rows.

mod block;
mod encoding;
mod gate;
mod heads;
mod mask;
mod multi_head;
mod position;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use block::PackedBlock;
pub use block::{BlockConfig, TransformerBlock};
pub(crate) use encoding::Encoding;
pub use gate::GruGate;
pub(crate) use heads::Order;
pub use mask::AttentionMask;
pub use multi_head::{CrossAttention, SelfAttention};
pub use position::Position;
pub(crate) use tokens::{Projected, Tokens};
