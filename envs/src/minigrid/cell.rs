//! What stands in a cell of the world: an object, its colour and its state, in two bytes.

use serde::{Deserialize, Serialize};

use crate::render::Color as Rgb;

/// Colours, numbered as in MiniGrid's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Color {
    Red,
    Green,
    Blue,
    Purple,
    Yellow,
    Grey,
}

impl Color {
    /// By number.
    const ALL: [Self; 6] = [Self::Red, Self::Green, Self::Blue, Self::Purple, Self::Yellow, Self::Grey];
    /// In the order of names: the order in which worlds draw colours and missions list them.
    pub(super) const BY_NAME: [Self; 6] =
        [Self::Blue, Self::Green, Self::Grey, Self::Purple, Self::Red, Self::Yellow];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Yellow => "yellow",
            Self::Grey => "grey",
        }
    }

    /// Place in [`Color::BY_NAME`].
    pub(super) fn rank(self) -> usize {
        match self {
            Self::Blue => 0,
            Self::Green => 1,
            Self::Grey => 2,
            Self::Purple => 3,
            Self::Red => 4,
            Self::Yellow => 5,
        }
    }

    pub(super) fn rgb(self) -> Rgb {
        match self {
            Self::Red => [255, 0, 0],
            Self::Green => [0, 255, 0],
            Self::Blue => [0, 0, 255],
            Self::Purple => [112, 39, 195],
            Self::Yellow => [255, 255, 0],
            Self::Grey => [100, 100, 100],
        }
    }
}

/// Kinds of objects, numbered as in MiniGrid's images; 0 stands for a cell that is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Object {
    Empty = 1,
    Wall = 2,
    Door = 4,
    Key = 5,
    Ball = 6,
    Box = 7,
    Goal = 8,
    Lava = 9,
}

impl Object {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Wall => "wall",
            Self::Door => "door",
            Self::Key => "key",
            Self::Ball => "ball",
            Self::Box => "box",
            Self::Goal => "goal",
            Self::Lava => "lava",
        }
    }
}

/// States of a door, numbered as in MiniGrid's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum DoorState {
    Open,
    Closed,
    Locked,
}

/// A cell: bits 0 to 3 are the object, 4 to 6 the colour, 7 and 8 the state; bit 9 says that it hides what is behind.
///
/// Two bytes instead of an object with methods, because the agent's view copies and classifies 49 cells a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell(u16);

const COLOR_SHIFT: u16 = 4;
const STATE_SHIFT: u16 = 7;
const OPAQUE_SHIFT: u16 = 9;
/// Values of the bits that an image shows.
const NUM_SHOWN: usize = 1 << OPAQUE_SHIFT;

/// The numbers of an image for every cell; the fourth is a filler, so that they are copied in one go.
static IMAGE: [[f32; 4]; NUM_SHOWN] = {
    let mut image = [[0.0; 4]; NUM_SHOWN];
    let mut bits = 0;
    while bits < NUM_SHOWN {
        let [object, color, state] = Cell(bits as u16).encode();
        image[bits] = [object as f32, color as f32, state as f32, 0.0];
        bits += 1;
    }
    image
};

impl Cell {
    /// A cell outside of what the agent sees.
    pub(super) const UNSEEN: Self = Self(0);
    pub(super) const EMPTY: Self = Self(Object::Empty as u16);
    pub(super) const WALL: Self = Self::colored(Object::Wall, Color::Grey);
    pub(super) const GOAL: Self = Self::colored(Object::Goal, Color::Green);
    pub(super) const LAVA: Self = Self::colored(Object::Lava, Color::Red);

    pub(super) const fn colored(object: Object, color: Color) -> Self {
        let opaque = matches!(object, Object::Wall) as u16;
        Self(object as u16 | (color as u16) << COLOR_SHIFT | opaque << OPAQUE_SHIFT)
    }

    pub(super) const fn door(color: Color, state: DoorState) -> Self {
        let opaque = !matches!(state, DoorState::Open) as u16;
        Self(Self::colored(Object::Door, color).0 | (state as u16) << STATE_SHIFT | opaque << OPAQUE_SHIFT)
    }

    /// Object, colour and state as the numbers of an image, and a filler.
    #[inline]
    pub(super) fn image(self) -> &'static [f32; 4] {
        &IMAGE[usize::from(self.0) % NUM_SHOWN]
    }

    const fn encode(self) -> [u8; 3] {
        [self.object_bits() as u8, (self.0 >> COLOR_SHIFT & 7) as u8, (self.0 >> STATE_SHIFT & 3) as u8]
    }

    #[inline]
    const fn object_bits(self) -> u16 {
        self.0 & 15
    }

    pub(super) fn object(self) -> Object {
        match self.object_bits() {
            2 => Object::Wall,
            4 => Object::Door,
            5 => Object::Key,
            6 => Object::Ball,
            7 => Object::Box,
            8 => Object::Goal,
            9 => Object::Lava,
            _ => Object::Empty,
        }
    }

    pub(super) fn color(self) -> Color {
        Color::ALL.get(usize::from(self.0 >> COLOR_SHIFT & 7)).copied().unwrap_or(Color::Grey)
    }

    pub(super) fn door_state(self) -> DoorState {
        match self.0 >> STATE_SHIFT & 3 {
            0 => DoorState::Open,
            1 => DoorState::Closed,
            _ => DoorState::Locked,
        }
    }

    #[inline]
    pub(super) fn is(self, object: Object) -> bool {
        self.object_bits() == object as u16
    }

    pub(super) fn is_open_door(self) -> bool {
        self.is(Object::Door) && self.door_state() == DoorState::Open
    }

    /// Whether the agent can stand here.
    pub(super) fn can_overlap(self) -> bool {
        self.is(Object::Empty) || self.is(Object::Goal) || self.is(Object::Lava) || self.is_open_door()
    }

    pub(super) fn can_pickup(self) -> bool {
        self.is(Object::Key) || self.is(Object::Ball) || self.is(Object::Box)
    }

    /// 1 for a cell that hides what is behind, a wall or a door that is not open, else 0.
    #[inline]
    pub(super) fn opaque_bit(self) -> u16 {
        self.0 >> OPAQUE_SHIFT & 1
    }

    /// The cell, or [`Cell::UNSEEN`] if the bit is 0 and not 1. Without a branch, since the view decides this often.
    #[inline]
    pub(super) fn if_bit(self, bit: u16) -> Self {
        Self(self.0 & bit.wrapping_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_encode_as_the_numbers_of_an_image() {
        assert_eq!(*Cell::LAVA.image(), [9.0, 0.0, 0.0, 0.0]);
        assert_eq!(Cell::UNSEEN.encode(), [0, 0, 0]);
        assert_eq!(Cell::EMPTY.encode(), [1, 0, 0]);
        assert_eq!(Cell::WALL.encode(), [2, 5, 0]);
        assert_eq!(Cell::GOAL.encode(), [8, 1, 0]);
        assert_eq!(Cell::door(Color::Yellow, DoorState::Locked).encode(), [4, 4, 2]);
    }

    #[test]
    fn parts_come_back_out_of_a_cell() {
        for (rank, color) in Color::BY_NAME.into_iter().enumerate() {
            assert_eq!(color.rank(), rank);
            for state in [DoorState::Open, DoorState::Closed, DoorState::Locked] {
                let door = Cell::door(color, state);
                assert_eq!((door.object(), door.color(), door.door_state()), (Object::Door, color, state));
                assert_eq!(door.opaque_bit() == 0, state == DoorState::Open);
                assert_eq!(door.can_overlap(), state == DoorState::Open);
            }
        }
    }
}
