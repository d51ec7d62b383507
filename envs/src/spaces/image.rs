//! Boxes as images.

use super::BoxSpace;
use crate::batch::ObsElement;

/// How an image lies in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Elements of a pixel.
    pub channels: usize,
    /// `[H, W, C]` instead of `[C, H, W]`.
    pub channels_last: bool,
}

impl ImageLayout {
    /// The layout of a box of three dimensions: channels first if the first dimension is less than both others
    /// (Stable-Baselines3's rule).
    #[must_use]
    pub fn of(bounds: &BoxSpace) -> Option<Self> {
        match *bounds.shape() {
            [a, b, c] if a < b && a < c => {
                Some(Self { height: b, width: c, channels: a, channels_last: false })
            }
            [a, b, c] => Some(Self { height: a, width: b, channels: c, channels_last: true }),
            _ => None,
        }
    }

    /// Planes that lie one after the other, and elements of a pixel in each.
    fn planes(&self) -> (usize, usize) {
        if self.channels_last { (1, self.channels) } else { (self.channels, 1) }
    }

    /// Elements of an image.
    pub(crate) fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Copies the window of `to`'s size whose top left corner is at `(top, left)`, which lies inside.
    pub(crate) fn window<T: ObsElement>(
        &self,
        from: &[T],
        to_layout: &Self,
        to: &mut [T],
        top: i64,
        left: i64,
    ) {
        let (planes, pixel) = self.planes();
        let (from_width, to_width) = (self.width * pixel, to_layout.width * pixel);
        let (top, left) = (top as usize, left as usize * pixel);
        let lines =
            (0..planes).flat_map(|plane| (0..to_layout.height).map(move |y| plane * self.height + y + top));
        for (out, line) in to.chunks_exact_mut(to_width).zip(lines) {
            let start = line * from_width + left;
            out.copy_from_slice(&from[start..start + to_width]);
        }
    }

    /// Moves an image in place: the pixel that was at `(top, left)` comes to the corner; the edge is repeated.
    pub fn shift<T: ObsElement>(&self, image: &mut [T], top: i64, left: i64) {
        let (planes, pixel) = self.planes();
        let width = self.width * pixel;
        let inside = |at: i64, size: usize| at.clamp(0, size as i64) as usize;
        let rows = inside(-top, self.height)..inside(self.height as i64 - top, self.height);
        let columns = inside(-left, self.width) * pixel..inside(self.width as i64 - left, self.width) * pixel;
        let by = top * width as i64 + left * pixel as i64;
        let (from, to) = (by.max(0) as usize, (-by).max(0) as usize);
        for plane in image.chunks_exact_mut(image.len() / planes) {
            // All lines move at once: what comes over from the lines beside them is where the edge is repeated.
            plane.copy_within(from..plane.len() - to, to);
            for line in plane[rows.start * width..rows.end * width].chunks_exact_mut(width) {
                // From the inside out, an element each: copies of a few bytes cost more than moving them.
                (0..columns.start).rev().for_each(|at| line[at] = line[at + pixel]);
                (columns.end..width).for_each(|at| line[at] = line[at - pixel]);
            }
            let (first, last) = (rows.start * width, (rows.end - 1) * width);
            (0..rows.start).for_each(|row| plane.copy_within(first..first + width, row * width));
            (rows.end..self.height).for_each(|row| plane.copy_within(last..last + width, row * width));
        }
    }
}
