//! The moon's surface.

use rapier2d::prelude::Vector;
use serde::{Deserialize, Serialize};

use super::{HEIGHT, HELIPAD_Y, WIDTH};
use crate::Pcg64;

/// Points of the surface.
pub(super) const CHUNKS: usize = 11;

/// Heights of the surface in metres, at points in equal distances.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Surface([f64; CHUNKS]);

impl Surface {
    /// A flat surface.
    pub(super) fn flat() -> Self {
        Self([HELIPAD_Y; CHUNKS])
    }

    /// Random heights, flat around the pad, smoothed.
    pub(super) fn draw(rng: &mut Pcg64) -> Self {
        let mut height = [0.0; CHUNKS + 1];
        for value in &mut height {
            *value = rng.uniform(0.0, HEIGHT / 2.0);
        }
        height[CHUNKS / 2 - 2..=CHUNKS / 2 + 2].fill(HELIPAD_Y);
        // The first point's left neighbour is the last height, as the source's index −1 has it.
        let left = |i: usize| if i == 0 { CHUNKS } else { i - 1 };
        Self(std::array::from_fn(|i| 0.33 * (height[left(i)] + height[i] + height[i + 1])))
    }

    /// One of the points.
    pub(super) fn point(&self, i: usize) -> Vector {
        Vector::new((WIDTH / (CHUNKS - 1) as f64 * i as f64) as f32, self.0[i] as f32)
    }

    /// The pieces of ground between points.
    pub(super) fn segments(&self) -> impl Iterator<Item = (Vector, Vector)> {
        (0..CHUNKS - 1).map(|i| (self.point(i), self.point(i + 1)))
    }

    /// A height that the surface does not exceed between two horizontal positions.
    pub(super) fn highest(&self, from: f32, to: f32) -> f32 {
        let chunk = (WIDTH / (CHUNKS - 1) as f64) as f32;
        let last = CHUNKS - 1;
        let first = ((from / chunk).floor().max(0.0) as usize).min(last);
        let end = ((to / chunk).ceil().max(0.0) as usize).min(last);
        self.0[first..=end].iter().copied().fold(0.0, f64::max) as f32
    }
}
