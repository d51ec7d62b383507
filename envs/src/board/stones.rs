//! Stones of two sides on a board of up to 128 points, as sets of bits.

use serde::{Deserialize, Serialize};

use super::game::Side;

/// Who holds which points, and whose turn it is. Which bit is which point is up to the game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stones {
    /// Bits of the points that the first side holds, and of those that the second one holds.
    pub held: [u128; 2],
    /// Whose turn it is.
    pub to_move: Side,
}

impl Stones {
    /// The points that somebody holds.
    #[inline]
    pub fn taken(self) -> u128 {
        self.held[0] | self.held[1]
    }

    /// Gives a point to the side to move, and the turn to the other one; the stones of the side that moved.
    #[inline]
    pub(super) fn place(&mut self, bit: u32) -> u128 {
        let held = &mut self.held[self.to_move.index()];
        *held |= 1 << bit;
        self.to_move = self.to_move.other();
        *held
    }

    /// Who holds the point of a bit.
    #[inline]
    pub(super) fn holder(self, bit: u32) -> Option<Side> {
        let holds = |side: Side| self.held[side.index()] >> bit & 1 == 1;
        [Side::First, Side::Second].into_iter().find(|&side| holds(side))
    }
}

/// The points of `within` that are joined to `seeds`, those of them that lie in it included; `next_to` gives at least the
/// neighbours of a set of points.
#[inline]
pub(super) fn flood(seeds: u128, within: u128, next_to: impl Fn(u128) -> u128) -> u128 {
    let mut joined = seeds & within;
    loop {
        let wider = (joined | next_to(joined)) & within;
        if wider == joined {
            return joined;
        }
        joined = wider;
    }
}

/// The numbers of the bits that are set, from the lowest.
#[inline]
pub(super) fn bits(mut set: u128) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_fills_what_is_joined_and_nothing_else() {
        let next_to = |set: u128| set << 1 | set >> 1;
        assert_eq!(flood(0b10, 0b1_0111, next_to), 0b111);
        assert_eq!(flood(0b1000, 0b1_0111, next_to), 0);
    }

    #[test]
    fn bits_come_from_the_lowest_to_the_highest() {
        assert_eq!(bits(1 << 127 | 0b101).collect::<Vec<_>>(), [0, 2, 127]);
        assert_eq!(bits(0).count(), 0);
    }

    #[test]
    fn a_stone_is_its_sides_and_the_turn_goes_over() {
        let mut stones = Stones::default();
        assert_eq!(stones.place(3), 1 << 3);
        assert_eq!(stones.place(120), 1 << 120);
        assert_eq!(stones.to_move, Side::First);
        assert_eq!([3, 120, 4].map(|bit| stones.holder(bit)), [Some(Side::First), Some(Side::Second), None]);
        assert_eq!(stones.taken(), 1 << 3 | 1 << 120);
    }
}
