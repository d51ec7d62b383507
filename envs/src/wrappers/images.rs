//! Data augmentation at the source: random shifts and crops of images.

use super::actions::{reseed_rows, row_streams};
use super::{Context, Wrapper, refused};
use crate::batch::{ObsBuffer, ObsElement};
use crate::columns::Column;
use crate::spaces::{BoxSpace, ImageLayout};
use crate::vector::{RowSet, VectorInfo};
use crate::{EnvError, Pcg64, Seed, Space, StepBatch};

impl ImageLayout {
    fn of_images(wrapper: &'static str, space: &Space) -> Result<(Self, BoxSpace), EnvError> {
        match space {
            Space::Box(bounds) if bounds.shape().len() == 3 => {
                let layout = Self::of(bounds);
                layout
                    .map(|layout| (layout, bounds.clone()))
                    .ok_or_else(|| refused(wrapper, "expected an image"))
            }
            other => {
                Err(refused(wrapper, format!("expected images, a Box of three dimensions, got {other}")))
            }
        }
    }
}

/// Moves each image by a random number of pixels in both directions; the edge is repeated.
///
/// # Source
/// Kostrikov, Yarats and Fergus (2021), "Image Augmentation Is All You Need" (DrQ): pad 4 of 84 pixels.
pub struct RandomShift {
    layout: ImageLayout,
    pad: i64,
    depth: u32,
    rngs: Vec<Pcg64>,
}

/// Cuts a window of a fixed size out of each image, at a random place.
///
/// # Source
/// Laskin et al. (2020), "Reinforcement Learning with Augmented Data" (RAD).
pub struct RandomCrop {
    from: ImageLayout,
    to: ImageLayout,
    shape: Space,
    depth: u32,
    rngs: Vec<Pcg64>,
}

impl RandomShift {
    /// Shifts by up to `pad` pixels; `depth` is the wrapper's place in the stack.
    ///
    /// # Errors
    /// If observations are no images, or `pad` is zero or as large as the image.
    pub fn new(pad: u32, depth: u32, info: &VectorInfo) -> Result<Self, EnvError> {
        let (layout, _) = ImageLayout::of_images("random_shift", &info.observation_space)?;
        if pad == 0 || pad as usize >= layout.height.min(layout.width) {
            let message = format!("pad must be at least 1 and less than the image's sides, got {pad}");
            return Err(refused("random_shift", message));
        }
        let rngs = vec![Pcg64::seed_from(0); info.num_rows()];
        Ok(Self { layout, pad: i64::from(pad), depth, rngs })
    }

    fn shift_rows<T: ObsElement>(&mut self, rows: &RowSet, images: &mut [T]) {
        let Self { layout, pad, rngs, .. } = self;
        let len = layout.len();
        for row in rows.iter() {
            let [top, left] = [(); 2].map(|()| rngs[row].integers(-*pad, *pad + 1));
            layout.shift(&mut images[row * len..(row + 1) * len], top, left);
        }
    }
}

impl RandomCrop {
    /// Cuts out `height` by `width` pixels; `depth` is the wrapper's place in the stack.
    ///
    /// # Errors
    /// If observations are no images, or the window is empty or larger than them.
    pub fn new(height: usize, width: usize, depth: u32, info: &VectorInfo) -> Result<Self, EnvError> {
        let (from, bounds) = ImageLayout::of_images("random_crop", &info.observation_space)?;
        if height == 0 || width == 0 || height > from.height || width > from.width {
            let message = format!(
                "expected a window of at least 1 by 1 and at most {} by {}, got {height} by {width}",
                from.height, from.width
            );
            return Err(refused("random_crop", message));
        }
        let to = ImageLayout { height, width, ..from };
        let shape =
            if from.channels_last { [height, width, from.channels] } else { [from.channels, height, width] };
        let least = bounds.low().iter().copied().fold(f32::INFINITY, f32::min);
        let most = bounds.high().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shape = Space::Box(BoxSpace::uniform(least, most, &shape, bounds.dtype())?);
        let rngs = vec![Pcg64::seed_from(0); info.num_rows()];
        Ok(Self { from, to, shape, depth, rngs })
    }

    fn crop_rows<T: ObsElement>(&mut self, rows: &RowSet, images: &[T], windows: &mut [T]) {
        let Self { from, to, rngs, .. } = self;
        let (len, window) = (from.len(), to.len());
        let room = [from.height - to.height, from.width - to.width].map(|room| room as i64);
        for row in rows.iter() {
            let [top, left] = room.map(|room| rngs[row].integers(0, room + 1));
            let image = &images[row * len..(row + 1) * len];
            from.window(image, to, &mut windows[row * window..(row + 1) * window], top, left);
        }
    }
}

impl Wrapper for RandomShift {
    fn name(&self) -> &'static str {
        "random_shift"
    }

    fn seed(&mut self, seeds: &[Seed], info: &VectorInfo) {
        self.rngs = row_streams(seeds, self.depth, info);
    }

    fn reseed(&mut self, env: usize, seed: &Seed, info: &VectorInfo) {
        reseed_rows(&mut self.rngs, env, seed, self.depth, info);
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        match &mut out.observations {
            ObsBuffer::F32(images) => self.shift_rows(context.rows, images),
            ObsBuffer::U8(images) => self.shift_rows(context.rows, images),
        }
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.rngs);
    }
}

impl Wrapper for RandomCrop {
    fn name(&self) -> &'static str {
        "random_crop"
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        Ok(VectorInfo { observation_space: self.shape.clone(), ..inner.clone() })
    }

    fn seed(&mut self, seeds: &[Seed], info: &VectorInfo) {
        self.rngs = row_streams(seeds, self.depth, info);
    }

    fn reseed(&mut self, env: usize, seed: &Seed, info: &VectorInfo) {
        reseed_rows(&mut self.rngs, env, seed, self.depth, info);
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        match (context.inner, &mut out.observations) {
            (Some(ObsBuffer::F32(from)), ObsBuffer::F32(to)) => self.crop_rows(context.rows, from, to),
            (Some(ObsBuffer::U8(from)), ObsBuffer::U8(to)) => self.crop_rows(context.rows, from, to),
            // A window of the image's size is the image.
            _ => {}
        }
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.rngs);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_shifted_image_repeats_its_edge(
            (height, width, channels) in (1..6_usize, 1..6_usize, 1..4_usize),
            channels_last: bool,
            (top, left) in (-5..6_i64, -5..6_i64),
        ) {
            let (top, left) = (top % height as i64, left % width as i64);
            let layout = ImageLayout { height, width, channels, channels_last };
            let image: Vec<u8> = (0..layout.len() as u8).collect();
            let mut shifted = image.clone();
            layout.shift(&mut shifted, top, left);
            let index = |y: usize, x: usize, channel: usize| match channels_last {
                true => (y * width + x) * channels + channel,
                false => (channel * height + y) * width + x,
            };
            let nearest = |at: usize, by: i64, size: usize| (at as i64 + by).clamp(0, size as i64 - 1) as usize;
            for (y, x, channel) in places(height, width, channels) {
                let source = index(nearest(y, top, height), nearest(x, left, width), channel);
                prop_assert_eq!(shifted[index(y, x, channel)], image[source]);
            }
        }
    }

    fn places(height: usize, width: usize, channels: usize) -> Vec<(usize, usize, usize)> {
        let at = |y: usize, x: usize| (0..channels).map(move |channel| (y, x, channel));
        (0..height).flat_map(|y| (0..width).flat_map(move |x| at(y, x))).collect()
    }
}
