//! Boxes as images.

use super::BoxSpace;

/// How an image lies in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageLayout {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// `[H, W, C]` instead of `[C, H, W]`.
    pub(crate) channels_last: bool,
}

impl ImageLayout {
    /// The layout of a box of three dimensions: channels first if the first dimension is less than both others
    /// (Stable-Baselines3's rule).
    pub(crate) fn of(bounds: &BoxSpace) -> Option<Self> {
        match *bounds.shape() {
            [a, b, c] if a < b && a < c => {
                Some(Self { height: b, width: c, channels: a, channels_last: false })
            }
            [a, b, c] => Some(Self { height: a, width: b, channels: c, channels_last: true }),
            _ => None,
        }
    }
}
