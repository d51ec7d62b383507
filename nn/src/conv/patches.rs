//! Where the elements of an image's patches lie.

use crate::image::ImageShape;
use crate::kernels::{Gathered, Run, transpose_into};

/// Offsets of patches and of their elements in an image: element `k` of patch `p` lies at `positions[p] + elements[k]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patches {
    pub(super) positions: Vec<u32>,
    pub(super) elements: Vec<u32>,
}

/// What decides the offsets besides the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    /// Number of patches each way.
    pub(super) count: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
}

impl Patches {
    /// In a channels-first image; elements in the order channel, line, column, over the first `channels` channels.
    pub(super) fn channels_first(geometry: Geometry, image: ImageShape, channels: usize) -> Self {
        let Geometry { count, kernel, stride, dilation } = geometry;
        let at = |channel: usize, y: usize, x: usize| ((channel * image.height + y) * image.width + x) as u32;
        let elements = (0..channels).flat_map(|channel| {
            grid(kernel).map(move |[y, x]| at(channel, y * dilation[0], x * dilation[1]))
        });
        Self {
            positions: grid(count).map(|[y, x]| at(0, y * stride[0], x * stride[1])).collect(),
            elements: elements.collect(),
        }
    }

    /// In a channels-last image; elements in the order line, column, channel, over the first `channels` channels.
    pub(super) fn channels_last(geometry: Geometry, image: ImageShape, channels: usize) -> Self {
        let Geometry { count, kernel, stride, dilation } = geometry;
        let at =
            |y: usize, x: usize, channel: usize| ((y * image.width + x) * image.channels + channel) as u32;
        let elements = grid(kernel).flat_map(|[y, x]| {
            (0..channels).map(move |channel| at(y * dilation[0], x * dilation[1], channel))
        });
        Self {
            positions: grid(count).map(|[y, x]| at(y * stride[0], x * stride[1], 0)).collect(),
            elements: elements.collect(),
        }
    }

    /// The matrix `[patches, elements]` of an image.
    pub(super) fn of<'a>(&'a self, image: &'a [f32]) -> Gathered<'a> {
        Gathered { data: image, rows: &self.positions, columns: &self.elements }
    }

    /// The matrix `[elements, patches]` of an image.
    pub(super) fn transposed_of<'a>(&'a self, image: &'a [f32]) -> Gathered<'a> {
        Gathered { data: image, rows: &self.elements, columns: &self.positions }
    }

    /// The elements as runs that lie next to each other.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for &element in &self.elements {
            match runs.last_mut() {
                Some(run) if run.start + run.len == element => run.len += 1,
                _ => runs.push(Run { start: element, len: 1 }),
            }
        }
        runs
    }
}

fn grid([height, width]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
}

/// Reorders weights from `[rows, channels, kernel]` to `[rows, kernel, channels]`.
pub(super) fn channels_last_weights(from: &[f32], channels: usize, kernel: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(channels * kernel).zip(to.chunks_exact_mut(channels * kernel)) {
        transpose_into(from, channels, kernel, false, to);
    }
}
