//! The transformations, as settings.

use serde::{Deserialize, Serialize};

/// A random change of an observation that leaves its meaning as it is, or changes that of actions in a known way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Transformation {
    /// Moves an image by up to `pad` pixels in both directions (`DrQ`: 4 of 84).
    Shift {
        /// Most pixels of a move; at least 1, and less than the image's sides.
        #[serde(default = "four")]
        pad: usize,
        /// What comes in at the edge.
        #[serde(default)]
        edge: Edge,
    },
    /// Shows a window of an image, of random size and place, stretched over the whole of it.
    Crop {
        /// Least share of height and of width; above 0, below 1.
        #[serde(default = "four_fifths")]
        scale: f64,
    },
    /// Blanks a rectangle of an image, of random size and place.
    Cutout {
        /// Least share of height and of width; above 0.
        #[serde(default = "tenth")]
        least: f64,
        /// Greatest share; at most 1.
        #[serde(default = "third")]
        most: f64,
    },
    /// Adds normal noise. Bytes are rounded, and stay within theirs.
    Noise {
        /// Standard deviation; above 0. Of bytes as a share of 255.
        std: f64,
        /// Indices of the numbers that get noise; all if empty.
        #[serde(default)]
        indices: Vec<usize>,
    },
    /// Multiplies numbers by a random factor, the same for all of an observation (RAD's amplitude scaling).
    Scale {
        /// Least factor; above 0.
        #[serde(default = "three_fifths")]
        low: f64,
        /// Greatest factor.
        #[serde(default = "six_fifths")]
        high: f64,
        /// Indices of the numbers that are scaled; all if empty.
        #[serde(default)]
        indices: Vec<usize>,
    },
    /// Puts channels of an image in a random order.
    Channels {
        /// Those that change places; all if empty.
        #[serde(default)]
        channels: Vec<usize>,
    },
    /// Puts equal parts of an observation in a random order, such as the same numbers of several objects, and with them options
    /// of the action.
    Parts {
        /// The indices of each part's numbers, as many in each.
        parts: Vec<Vec<usize>>,
        /// The options, or the dimensions, of the action that belong to each part, as many in each; none if empty.
        #[serde(default)]
        actions: Vec<Vec<usize>>,
    },
    /// Mirrors and turns an image as a board allows, and the action with it.
    Symmetry {
        /// Which.
        group: Symmetries,
        /// What they do to the options of the action.
        #[serde(default)]
        actions: Moves,
        /// The option that each becomes when left and right change places, in place of `actions`.
        #[serde(default)]
        mirrored: Vec<usize>,
        /// The option that each becomes when top and bottom do.
        #[serde(default)]
        flipped: Vec<usize>,
        /// The option that each becomes by a quarter turn against the clock.
        #[serde(default)]
        turned: Vec<usize>,
    },
    /// Changes the sign of numbers in half of the cases, and the action with it, as in a system that is the same from both sides.
    Negate {
        /// Indices of the numbers; all if empty.
        #[serde(default)]
        indices: Vec<usize>,
        /// Of a choice, the option that each becomes; of an action of numbers, the indices of those that change their sign, all
        /// if empty.
        #[serde(default)]
        actions: Vec<usize>,
    },
}

/// What comes in at the edge of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// The edge again.
    #[default]
    Repeat,
    /// Zeros.
    Zero,
}

/// A group of symmetries of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symmetries {
    /// As it is, and left and right changed: 2.
    Mirror,
    /// As it is, and top and bottom changed: 2.
    Flip,
    /// Both: 4.
    Rectangle,
    /// Turns by quarters: 4. The image is square.
    Turns,
    /// Turns, mirrored or not: 8. The image is square.
    Square,
}

/// What a symmetry of an image does to the options of the action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moves {
    /// Nothing.
    #[default]
    Same,
    /// The first options are the image's pixels, row by row; what comes after them stays.
    Cells,
    /// Options are the image's columns.
    Columns,
}

fn four() -> usize {
    4
}

fn four_fifths() -> f64 {
    0.8
}

fn tenth() -> f64 {
    0.1
}

fn third() -> f64 {
    1.0 / 3.0
}

fn three_fifths() -> f64 {
    0.6
}

fn six_fifths() -> f64 {
    1.2
}
