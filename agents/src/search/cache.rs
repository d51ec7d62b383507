//! What the network said of positions: games meet the same ones, in their openings above all.
//!
//! A row's result does not depend on the rows computed with it, so what is remembered has the bits that the network would
//! give again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use agon_envs::ObsBuffer;

/// Positions that are remembered at most; then all are forgotten.
const MOST: usize = 1 << 16;

/// Logits and values by position, until the network changes.
#[derive(Debug, Default)]
pub(super) struct Cache {
    places: HashMap<u128, u32>,
    /// `[places, A]`.
    logits: Vec<f32>,
    /// `[places]`.
    values: Vec<f32>,
}

impl Cache {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.logits.clear();
        self.values.clear();
    }

    /// Makes room for so many positions, by forgetting all others if need be.
    pub(super) fn make_room(&mut self, count: usize) {
        if self.places.len() + count > MOST {
            self.clear();
        }
    }

    /// The place of a position, and whether it is new: then its numbers are to be added, in the order of the questions.
    pub(super) fn place(&mut self, key: u128) -> (usize, bool) {
        let next = self.places.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        (place as usize, place == next)
    }

    /// Adds what the network said of the new positions.
    pub(super) fn extend(&mut self, logits: &[f32], values: &[f32]) {
        self.logits.extend_from_slice(logits);
        self.values.extend_from_slice(values);
    }

    /// What the network said of a place.
    pub(super) fn get(&self, place: usize, actions: usize) -> (&[f32], f32) {
        (&self.logits[place * actions..(place + 1) * actions], self.values[place])
    }
}

/// The key of an observation: 128 bits, of which two never agree by chance.
pub(super) fn key(observation: &ObsBuffer, at: usize, len: usize) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        match observation {
            ObsBuffer::U8(values) => hasher.write(&values[at..at + len]),
            ObsBuffer::F32(values) => {
                values[at..at + len].iter().for_each(|value| hasher.write_u32(value.to_bits()));
            }
        }
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}
