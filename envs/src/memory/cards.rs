//! Decks of cards, as far as the memory tasks need them: the suits of shuffled cards.

use serde::{Deserialize, Serialize};

use crate::Pcg64;

/// Cards of one deck.
const DECK: usize = 52;
/// Suits: spades, diamonds, clubs, hearts.
pub(super) const SUITS: usize = 4;

/// One or more shuffled decks, dealt from the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cards {
    suits: Vec<u8>,
    dealt: usize,
}

impl Cards {
    /// `decks` unshuffled decks.
    pub(super) fn new(decks: usize) -> Self {
        Self { suits: vec![0; decks * DECK], dealt: 0 }
    }

    /// Cards of all decks.
    pub(super) fn len(&self) -> usize {
        self.suits.len()
    }

    /// Cards not dealt yet.
    pub(super) fn left(&self) -> usize {
        self.suits.len() - self.dealt
    }

    /// Puts all cards back and shuffles them.
    pub(super) fn shuffle(&mut self, rng: &mut Pcg64) {
        // Suits alternate in a new deck, and a shuffle moves whole cards.
        self.suits.iter_mut().zip(0..).for_each(|(suit, card): (_, usize)| *suit = (card % SUITS) as u8);
        rng.shuffle(&mut self.suits);
        self.dealt = 0;
    }

    /// The suit of the next card; that of the last one when none is left.
    pub(super) fn deal(&mut self) -> u8 {
        self.dealt = (self.dealt + 1).min(self.suits.len());
        self.suits[self.suits.len() - self.dealt]
    }

    /// The suit of the card dealt `ago` cards before the last one.
    pub(super) fn dealt(&self, ago: usize) -> Option<u8> {
        (ago < self.dealt).then(|| self.suits[self.suits.len() - self.dealt + ago])
    }
}

/// The letters of the suits.
pub(super) const LETTERS: [char; SUITS] = ['S', 'D', 'C', 'H'];
