//! The last observations as one.

use serde::{Deserialize, Serialize};

use super::{Context, Moment, Padding, Wrapper, images::Layout, refused};
use crate::batch::{ObsBuffer, ObsElement};
use crate::spaces::BoxSpace;
use crate::vector::VectorInfo;
use crate::{EnvError, Space, StepBatch};

/// Where the frames of a stack lie in its row, the oldest first.
///
/// The frames are interleaved where images are stacked along their last dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// Frames of a stack.
    pub num_stack: usize,
    /// What stands for the frames before the episode's first.
    pub padding: Padding,
    /// Groups of a row that are stacked each by itself: the pixels of channels-last images, else one.
    groups: usize,
    /// Elements of a group in one frame.
    group_len: usize,
}

impl Frames {
    /// Of stacks of `num_stack` observations.
    ///
    /// # Errors
    /// [`EnvError::Wrapper`] if `num_stack` is zero, or observations are no box.
    pub fn new(num_stack: usize, padding: Padding, observation_space: &Space) -> Result<Self, EnvError> {
        if num_stack == 0 {
            return Err(refused("frame_stack", "num_stack must be at least 1, got 0"));
        }
        let Space::Box(bounds) = observation_space else {
            let message = format!("expected a Box, got {observation_space}; flatten it first");
            return Err(refused("frame_stack", message));
        };
        let (groups, group_len) = match Layout::of(bounds) {
            Some(Layout { height, width, channels, channels_last: true }) => (height * width, channels),
            _ => (1, bounds.len()),
        };
        Ok(Self { num_stack, padding, groups, group_len })
    }

    /// Elements of one frame.
    pub fn frame_len(&self) -> usize {
        self.groups * self.group_len
    }

    /// Copies a frame into its place in a stack; 0 is the oldest.
    ///
    /// # Panics
    /// If a length is wrong.
    pub fn put<T: ObsElement>(&self, stack: &mut [T], place: usize, frame: &[T]) {
        let (stacked, at) = (self.num_stack * self.group_len, place * self.group_len);
        if self.groups == 1 {
            return stack[at..at + self.group_len].copy_from_slice(frame);
        }
        for element in 0..self.group_len {
            let slots = stack[at + element..].iter_mut().step_by(stacked);
            slots.zip(frame[element..].iter().step_by(self.group_len)).for_each(|(to, &from)| *to = from);
        }
    }

    /// Copies the newest frame out of a stack.
    ///
    /// # Panics
    /// If a length is wrong.
    pub fn newest<T: ObsElement>(&self, stack: &[T], frame: &mut [T]) {
        let at = (self.num_stack - 1) * self.group_len;
        let groups = stack.chunks_exact(self.num_stack * self.group_len);
        for (to, group) in frame.chunks_exact_mut(self.group_len).zip(groups) {
            to.copy_from_slice(&group[at..]);
        }
    }
}

/// Shows the last `num_stack` observations as one, the newest last.
///
/// # Shapes
/// Images are stacked along their channels, so that a convolution reads them as one image; other boxes along their first
/// dimension (`[O]` becomes `[num_stack * O]`), as in Stable-Baselines3's `VecFrameStack`.
///
/// The stack needs no memory of its own: the older frames are the newer ones of the last observation, which the caller (or
/// the wrapper around it) holds.
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
