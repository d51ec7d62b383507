//! Pictures as observations: what a person would see, in place of the numbers.

use super::{Context, Wrapper, refused};
use crate::batch::ObsBuffer;
use crate::render::Frame;
use crate::spaces::{BoxSpace, Dtype};
use crate::vector::VectorInfo;
use crate::{EnvError, Space, StepBatch};

/// The longest side of a picture.
const MOST: usize = 512;

/// Shows an environment's picture in place of its observation, `[height, width, channels]` of bytes; each pixel is the mean of
/// those that it stands for.
///
/// # Source
/// Gymnasium 1.4's `AddRenderObservation`, `GrayscaleObservation` (weights of ITU-R BT.601) and `ResizeObservation`.
pub struct RenderObservation {
    height: usize,
    width: usize,
    grayscale: bool,
}

impl RenderObservation {
    /// # Errors
    /// If a side is 0 or above 512, or an environment has several agents, which would all see the same.
    pub fn new(height: usize, width: usize, grayscale: bool, info: &VectorInfo) -> Result<Self, EnvError> {
        if !((1..=MOST).contains(&height) && (1..=MOST).contains(&width)) {
            let message = format!("height and width must be between 1 and {MOST}, got {height} and {width}");
            return Err(refused("render_observation", message));
        }
        if info.num_rows() != info.num_envs {
            let message =
                format!("expected one agent an environment, got {}", info.num_rows() / info.num_envs);
            return Err(refused("render_observation", message));
        }
        Ok(Self { height, width, grayscale })
    }

    fn channels(&self) -> usize {
        if self.grayscale { 1 } else { 3 }
    }

    /// Writes a picture in the observation's size and colours.
    fn write(&self, frame: &Frame, to: &mut [u8]) {
        let (from_width, from_height) = (frame.width as usize, frame.height as usize);
        let span = |at: usize, from: usize, to: usize| {
            let first = at * from / to;
            first..((at + 1) * from / to).max(first + 1)
        };
        for (pixel, to) in to.chunks_exact_mut(self.channels()).enumerate() {
            let rows = span(pixel / self.width, from_height, self.height);
            let columns = span(pixel % self.width, from_width, self.width);
            let (mut sums, count) = ([0_u32; 3], (rows.len() * columns.len()) as u32);
            for row in rows {
                let line =
                    &frame.rgb[(row * from_width + columns.start) * 3..(row * from_width + columns.end) * 3];
                for rgb in line.chunks_exact(3) {
                    sums.iter_mut().zip(rgb).for_each(|(sum, &value)| *sum += u32::from(value));
                }
            }
            if self.grayscale {
                let [red, green, blue] = sums;
                to[0] = ((299 * red + 587 * green + 114 * blue) / (1000 * count)) as u8;
            } else {
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = (sum / count) as u8);
            }
        }
    }
}

impl Wrapper for RenderObservation {
    fn name(&self) -> &'static str {
        "render_observation"
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let shape = [self.height, self.width, self.channels()];
        let observation_space = Space::Box(BoxSpace::uniform(0.0, 255.0, &shape, Dtype::U8)?);
        Ok(VectorInfo { observation_space, ..inner.clone() })
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        let ObsBuffer::U8(pictures) = &mut out.observations else {
            return Err(refused("render_observation", "expected a batch of bytes"));
        };
        let len = self.height * self.width * self.channels();
        for row in context.rows.iter() {
            let frame = context.env.render(row);
            let frame =
                frame.ok_or_else(|| refused("render_observation", "the environment has no picture"))?;
            self.write(&frame, &mut pictures[row * len..(row + 1) * len]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapper(height: usize, width: usize, grayscale: bool) -> RenderObservation {
        RenderObservation { height, width, grayscale }
    }

    #[test]
    fn pixels_are_means_of_what_they_stand_for() {
        let mut frame = Frame::filled(4, 2, [0, 0, 0]);
        // The left half is red and blue, the right one white below.
        frame.rgb[..3].copy_from_slice(&[200, 0, 0]);
        frame.rgb[3..6].copy_from_slice(&[0, 0, 100]);
        frame.rgb[(4 + 2) * 3..].fill(255);
        let mut colours = [0; 6];
        wrapper(1, 2, false).write(&frame, &mut colours);
        assert_eq!(colours, [50, 0, 25, 127, 127, 127]);
        let mut grey = [0; 2];
        wrapper(1, 2, true).write(&frame, &mut grey);
        // 0.299 · 50 + 0.114 · 25, and half of white.
        assert_eq!(grey, [17, 127]);
        let mut large = [0; 3 * 8 * 4];
        wrapper(4, 8, false).write(&frame, &mut large);
        assert_eq!(large[..6], [200, 0, 0, 200, 0, 0], "a picture can be enlarged");
    }
}
