//! The arena: agents measured against what is known of a game, and against each other.
//!
//! [`solved`] asks for moves in positions whose outcome somebody has proved. [`mod@matches`] plays games between [`players`]:
//! trained agents, chance, and programs that speak the Go Text Protocol ([`gtp`]); [`elo`] makes ratings of their results.

pub mod elo;
mod games;
pub mod gtp;
pub mod ladder;
pub mod matches;
pub mod players;
pub mod solved;
mod solving;
#[cfg(test)]
mod tests;
mod thinker;

pub use games::{Games, Verdict};
pub use solved::{Solved, SolvedOptions, SolvedRow};
pub use solving::{SolvingOptions, solve};
pub use thinker::{Thinker, Thinking};
