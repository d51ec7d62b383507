//! The last observations as one.

use super::{Context, Moment, Wrapper};
use crate::batch::{ObsBuffer, ObsElement};
use crate::frames::{Frames, Padding};
use crate::spaces::BoxSpace;
use crate::vector::VectorInfo;
use crate::{EnvError, Space, StepBatch};

/// Shows the last `num_stack` observations as one, the newest last.
///
/// # Shapes
/// Images are stacked along their channels, so that a convolution reads them as one image; other boxes along their first
/// dimension (`[O]` becomes `[num_stack * O]`), as in Stable-Baselines3's `VecFrameStack`.
///
/// The stack needs no memory of its own: the older frames are the newer ones of the last observation, which the caller (or
/// a wrapper around it that changes observations) holds as they were.
pub struct FrameStack {
    frames: Frames,
}

impl FrameStack {
    /// Stacks `num_stack` observations.
    ///
    /// # Errors
    /// If `num_stack` is zero, or observations are no box.
    pub fn new(num_stack: usize, padding: Padding, info: &VectorInfo) -> Result<Self, EnvError> {
        Ok(Self { frames: Frames::new(num_stack, padding, &info.observation_space)? })
    }

    /// Moves the older frames of a row up and puts a new one at their end.
    fn push<T: ObsElement>(&self, row: &mut [T], frame: &[T], moment: Moment) {
        let newest = self.frames.num_stack - 1;
        match (moment, self.frames.padding) {
            // All groups move at once: what comes over from the next group is where the new frame goes.
            (Moment::Step, _) => row.copy_within(self.frames.group_len.., 0),
            (Moment::Reset, Padding::Zero) => row.fill(T::default()),
            (Moment::Reset, Padding::Reset) => (0..newest).for_each(|old| self.frames.put(row, old, frame)),
        }
        self.frames.put(row, newest, frame);
    }

    fn push_rows<T: ObsElement>(&self, context: &Context<'_>, from: &[T], to: &mut [T]) {
        let len = self.frames.frame_len();
        let stacked = len * self.frames.num_stack;
        for row in context.rows.iter() {
            let frame = &from[row * len..(row + 1) * len];
            self.push(&mut to[row * stacked..(row + 1) * stacked], frame, context.moment);
        }
    }
}

impl Wrapper for FrameStack {
    fn name(&self) -> &'static str {
        "frame_stack"
    }

    fn reads_back(&self) -> bool {
        self.frames.num_stack > 1
    }

    fn frames(&self, _inner: Option<Frames>) -> Option<Frames> {
        Some(self.frames)
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let Space::Box(bounds) = &inner.observation_space else { return Ok(inner.clone()) };
        let mut shape = bounds.shape().to_vec();
        let Frames { num_stack, groups, group_len, .. } = self.frames;
        let axis = if groups > 1 { 2 } else { 0 };
        match shape.get_mut(axis) {
            Some(dim) => *dim *= num_stack,
            None => shape.push(num_stack),
        }
        let repeat = |bound: &[f32]| -> Vec<f32> {
            bound.chunks(group_len).flat_map(|group| group.repeat(num_stack)).collect()
        };
        let stacked = BoxSpace::new(repeat(bounds.low()), repeat(bounds.high()), shape, bounds.dtype())?;
        Ok(VectorInfo { observation_space: Space::Box(stacked), ..inner.clone() })
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        match (context.inner, &mut out.observations) {
            (Some(ObsBuffer::F32(from)), ObsBuffer::F32(to)) => self.push_rows(&context, from, to),
            (Some(ObsBuffer::U8(from)), ObsBuffer::U8(to)) => self.push_rows(&context, from, to),
            // A stack of one frame is the frame.
            _ => {}
        }
        Ok(())
    }
}
