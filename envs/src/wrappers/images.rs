//! Data augmentation at the source: random shifts and crops of images.

use super::actions::row_streams;
use super::{Context, Wrapper, refused};
use crate::batch::{ObsBuffer, ObsElement};
use crate::columns::Column;
use crate::spaces::{BoxSpace, ImageLayout};
use crate::vector::VectorInfo;
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

    /// Planes that lie one after the other, and elements of a pixel in each.
    fn planes(&self) -> (usize, usize) {
        if self.channels_last { (1, self.channels) } else { (self.channels, 1) }
    }

    /// Copies the window of `to`'s size whose top left corner is at `(top, left)`; what is outside repeats the edge.
    fn window<T: ObsElement>(&self, from: &[T], to_layout: &Self, to: &mut [T], top: i64, left: i64) {
        let (planes, pixel) = self.planes();
        let (from_width, to_width) = (self.width * pixel, to_layout.width * pixel);
        // The columns of the window that lie inside the image.
        let inside = |x: i64| x.clamp(0, to_layout.width as i64) as usize;
        let (first, last) = (inside(-left), inside(self.width as i64 - left));
        let lines = to.chunks_exact_mut(to_width).zip((0..planes).flat_map(|plane| {
            (0..to_layout.height as i64)
                .map(move |y| plane * self.height + (y + top).clamp(0, self.height as i64 - 1) as usize)
        }));
        for (out, line) in lines {
            let source = &from[line * from_width..(line + 1) * from_width];
            let (before, rest) = out.split_at_mut(first * pixel);
            let (middle, after) = rest.split_at_mut((last - first) * pixel);
            let start = (first as i64 + left) as usize * pixel;
            before.chunks_exact_mut(pixel).for_each(|out| out.copy_from_slice(&source[..pixel]));
            middle.copy_from_slice(&source[start..start + middle.len()]);
            after.chunks_exact_mut(pixel).for_each(|out| out.copy_from_slice(&source[from_width - pixel..]));
        }
    }
}

/// Moves each image by a random number of pixels in both directions; the edge is repeated.
///
/// # Source
/// Kostrikov, Yarats and Fergus (2021), "Image Augmentation Is All You Need" (DrQ): pad 4 of 84 pixels.
pub struct RandomShift {
    window: Window,
    pad: i64,
}

/// Cuts a window of a fixed size out of each image, at a random place.
///
/// # Source
/// Laskin et al. (2020), "Reinforcement Learning with Augmented Data" (RAD).
pub struct RandomCrop {
    window: Window,
    shape: Space,
}

impl RandomShift {
    /// Shifts by up to `pad` pixels; `depth` is the wrapper's place in the stack.
    ///
    /// # Errors
    /// If observations are no images, or `pad` is zero or as large as the image.
    pub fn new(pad: u32, depth: u32, info: &VectorInfo) -> Result<Self, EnvError> {
        let (from, _) = ImageLayout::of_images("random_shift", &info.observation_space)?;
        if pad == 0 || pad as usize >= from.height.min(from.width) {
            let message = format!("pad must be at least 1 and less than the image's sides, got {pad}");
            return Err(refused("random_shift", message));
        }
        Ok(Self { window: Window::new(from, from, depth, info), pad: i64::from(pad) })
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
        Ok(Self { window: Window::new(from, to, depth, info), shape })
    }
}

/// What both share: a window at a random place of each row's image.
struct Window {
    from: ImageLayout,
    to: ImageLayout,
    depth: u32,
    rngs: Vec<Pcg64>,
    /// Copies of images that are changed in place.
    scratch: ObsBuffer,
}

impl Window {
    fn new(from: ImageLayout, to: ImageLayout, depth: u32, info: &VectorInfo) -> Self {
        let len = from.height * from.width * from.channels;
        let rngs = vec![Pcg64::seed_from(0); info.num_rows()];
        Self { from, to, depth, rngs, scratch: ObsBuffer::zeros(info.dtype(), len) }
    }

    /// Cuts a window out of the rows' images, with its corner in the given range.
    fn cut(&mut self, context: &Context<'_>, out: &mut StepBatch, range: [(i64, i64); 2]) {
        let len = self.from.height * self.from.width * self.from.channels;
        let to_len = self.to.height * self.to.width * self.to.channels;
        for row in context.rows.iter() {
            let rng = &mut self.rngs[row];
            let [top, left] = range.map(|(low, high)| rng.integers(low, high + 1));
            let (source, at) = match context.inner {
                Some(inner) => (inner, row * len),
                None => {
                    self.scratch.copy_range(0, &out.observations, row * len, len);
                    (&self.scratch, 0)
                }
            };
            let to = row * to_len..(row + 1) * to_len;
            match (source, &mut out.observations) {
                (ObsBuffer::F32(from), ObsBuffer::F32(out)) => {
                    self.from.window(&from[at..at + len], &self.to, &mut out[to], top, left);
                }
                (ObsBuffer::U8(from), ObsBuffer::U8(out)) => {
                    self.from.window(&from[at..at + len], &self.to, &mut out[to], top, left);
                }
                // A wrapper's element type is that of the environment inside.
                _ => {}
            }
        }
    }
}

impl Wrapper for RandomShift {
    fn name(&self) -> &'static str {
        "random_shift"
    }

    fn seed(&mut self, seeds: &[Seed], info: &VectorInfo) {
        self.window.rngs = row_streams(seeds, self.window.depth, info);
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        self.window.cut(&context, out, [(-self.pad, self.pad), (-self.pad, self.pad)]);
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.window.rngs);
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
        self.window.rngs = row_streams(seeds, self.window.depth, info);
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        let (from, to) = (self.window.from, self.window.to);
        let room = [(0, (from.height - to.height) as i64), (0, (from.width - to.width) as i64)];
        self.window.cut(&context, out, room);
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.window.rngs);
    }
}
