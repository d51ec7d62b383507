//! Sequences that grow token by token: the window of their last steps, and keys and values of its tokens.

use std::ops::Range;

use super::Gpt;
use crate::attention::PackedBlock;
use crate::error::NnError;
use crate::input::Rows;
use crate::kernels::Pooled;
use crate::matrix::check_length;
use crate::params::Params;
use crate::sequential::{Packed, Scratch};

/// A GPT's weights in the order in which acting reads them: made once for each published snapshot.
#[derive(Clone)]
pub struct PackedGpt {
    embeddings: Vec<Packed>,
    /// The learned encodings of positions.
    table: Vec<f32>,
    norm: Packed,
    blocks: Vec<PackedBlock>,
    head: Packed,
}

impl std::fmt::Debug for PackedGpt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedGpt").field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

impl PackedGpt {
    /// Copies the weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(gpt: &Gpt, params: &Params) -> Result<Self, NnError> {
        let embeddings = gpt.embeddings.iter().map(|chain| Packed::new(chain, params));
        let blocks = gpt.blocks.iter().map(|block| PackedBlock::new(block, params));
        Ok(Self {
            embeddings: embeddings.collect::<Result<_, _>>()?,
            table: gpt.position.table(params)?.to_vec(),
            norm: Packed::new(&gpt.norm, params)?,
            blocks: blocks.collect::<Result<_, _>>()?,
            head: Packed::new(&gpt.head, params)?,
        })
    }
}

/// Tokens that sequences go on with.
#[derive(Debug, Clone, Copy)]
pub struct GptTokens<'a> {
    /// `[N, n, E]`, as [`Gpt::embed`] makes them, `n` at most as many as a window has.
    pub tokens: &'a [f32],
    /// `[N]`: how many of a sequence's `n` tokens, from the first on, are left out; fewer than `n`.
    pub skipped: &'a [usize],
    /// `[N]`: where a sequence begins with these tokens.
    pub resets: &'a [bool],
}

impl Gpt {
    /// `S`, the number of values of a sequence's state; zeros before its first token. It holds the number of tokens in the
    /// window, these tokens, and for each block the keys `[E, tokens]` and the values `[tokens, E]`.
    #[must_use]
    pub fn state_len(&self) -> usize {
        1 + self.store_len() + self.blocks.len() * self.ring.len()
    }

    fn store_len(&self) -> usize {
        self.ring.window * self.ring.width
    }

    /// Tokens of one kind, before the blocks: with their positions, and normalised.
    ///
    /// # Shapes
    /// `x`: `[N, ·]`, `positions`: `[N]`, `out`: `[N, E]`.
    ///
    /// # Errors
    /// [`NnError::Config`] if there is no such kind, [`NnError::Empty`] or [`NnError::Length`] if a slice has the wrong length
    /// or `packed` was made of another network.
    pub fn embed<'a>(
        &self,
        packed: &PackedGpt,
        kind: usize,
        x: impl Into<Rows<'a>>,
        positions: &[u32],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let (Some(chain), Some(own)) = (self.embeddings.get(kind), packed.embeddings.get(kind)) else {
            let (expected, got) = ("one of the kinds of tokens", kind.to_string());
            return Err(NnError::Config { field: "kind", expected, got });
        };
        check_length("packed positions", self.position.table_len(), packed.table.len())?;
        let mut memory = Pooled::take(out.len());
        chain.infer(own, x, positions.len(), scratch, &mut memory)?;
        for (row, &position) in memory.chunks_exact_mut(self.width()).zip(positions) {
            self.position.add_to(&packed.table, position as usize, row);
        }
        self.norm.infer(&packed.norm, &*memory, positions.len(), scratch, out)
    }

    /// Goes on with sequences, and gives the head's output at the last token of each.
    ///
    /// What comes out is, bit for bit, what [`Self::forward`] gives for the tokens of the window alone. While a sequence fits
    /// its window, only the new tokens are computed; a step that does not fit any more is forgotten whole, the oldest first, and
    /// all tokens that are left are computed anew.
    ///
    /// # Shapes
    /// `states`: `[N][S]`, moved on in place; `out`: `[N, outputs]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a slice has the wrong length or `packed` was made of another network, [`NnError::Config`] if no
    /// token of a sequence is left or there are more than a window has.
    pub fn extend(
        &self,
        packed: &PackedGpt,
        new: &GptTokens<'_>,
        states: &mut [&mut [f32]],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let (rows, width) = (new.resets.len(), self.width());
        check_length("states", rows, states.len())?;
        states.iter().try_for_each(|state| check_length("state", self.state_len(), state.len()))?;
        check_length("skipped tokens", rows, new.skipped.len())?;
        check_length("packed blocks", self.blocks.len(), packed.blocks.len())?;
        check_length("output", rows * self.outputs(), out.len())?;
        let each = new.tokens.len() / (rows * width).max(1);
        check_length("tokens", rows * each * width, new.tokens.len())?;
        if each > self.ring.window || new.skipped.iter().any(|&skipped| skipped >= each) {
            let got = format!("{each}, of which {:?} are skipped", new.skipped);
            let expected = "at least one left, and no more than a window has";
            return Err(NnError::Config { field: "tokens", expected, got });
        }
        let mut computed = Vec::with_capacity(rows);
        for (row, state) in states.iter_mut().enumerate() {
            let own = &new.tokens[(row * each + new.skipped[row]) * width..(row + 1) * each * width];
            computed.push(self.take_in(own, new.resets[row], state));
        }
        self.run(packed, &computed, states, scratch, out)
    }

    /// Puts new tokens into a window; gives the places of those that are to be computed.
    fn take_in(&self, mut tokens: &[f32], reset: bool, state: &mut [f32]) -> Range<usize> {
        let (width, step) = (self.width(), self.kinds());
        let (count, store) = state.split_at_mut(1);
        // A state may come from a file: what it says is no more than there can be.
        let mut held = if reset { 0 } else { (count[0] as usize).min(self.ring.window) };
        let mut first = held;
        while held + tokens.len() / width > self.ring.window {
            // The last tokens of the oldest step are among the new ones where the window has no other.
            let forgotten = step.min(held);
            tokens = &tokens[(step - forgotten) * width..];
            store.copy_within(forgotten * width..held * width, 0);
            (held, first) = (held - forgotten, 0);
        }
        let end = held + tokens.len() / width;
        store[held * width..end * width].copy_from_slice(tokens);
        count[0] = end as f32;
        first..end
    }

    /// Runs the blocks on some places of each window, and the head on the last of them.
    fn run(
        &self,
        packed: &PackedGpt,
        places: &[Range<usize>],
        states: &mut [&mut [f32]],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let width = self.width();
        let count: usize = places.iter().map(ExactSizeIterator::len).sum();
        let mut memory = Pooled::take((5 * count + places.len()) * width);
        let (tokens, rest) = memory.split_at_mut(count * width);
        let (context, rest) = rest.split_at_mut(count * width);
        let (qkv, last) = rest.split_at_mut(3 * count * width);
        let mut at = 0;
        for (places, state) in places.iter().zip(&*states) {
            let len = places.len() * width;
            let from = 1 + places.start * width;
            tokens[at..at + len].copy_from_slice(&state[from..from + len]);
            at += len;
        }
        for (index, (block, packed)) in self.blocks.iter().zip(&packed.blocks).enumerate() {
            block.infer_project(packed, tokens, scratch, qkv)?;
            let mut rows = qkv.chunks_exact(3 * width).zip(context.chunks_exact_mut(width));
            for (places, state) in places.iter().zip(&mut *states) {
                let from = 1 + self.store_len() + index * self.ring.len();
                let ring = &mut state[from..from + self.ring.len()];
                for (place, (qkv, context)) in places.clone().zip(&mut rows) {
                    self.ring.write(ring, place, &qkv[width..2 * width], &qkv[2 * width..]);
                    self.ring.attend(ring, place, &qkv[..width], context);
                }
            }
            block.infer_finish(packed, tokens, context, scratch)?;
        }
        let mut end = 0;
        for (places, last) in places.iter().zip(last.chunks_exact_mut(width)) {
            end += places.len() * width;
            last.copy_from_slice(&tokens[end - width..end]);
        }
        self.head.infer(&packed.head, &*last, places.len(), scratch, out)
    }
}
