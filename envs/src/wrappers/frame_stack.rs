//! The last observations as one.

use super::{Context, Moment, Padding, Wrapper, images::Layout, refused};
use crate::batch::{ObsBuffer, ObsElement};
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
/// the wrapper around it) holds.
pub struct FrameStack {
    num_stack: usize,
    padding: Padding,
    /// Groups of a row that are stacked each by itself: the pixels of channels-last images, else one.
    groups: usize,
    /// Elements of a group in one frame.
    group_len: usize,
}

impl FrameStack {
    /// Stacks `num_stack` observations.
    ///
    /// # Errors
    /// If `num_stack` is zero, or observations are no box.
    pub fn new(num_stack: usize, padding: Padding, info: &VectorInfo) -> Result<Self, EnvError> {
        if num_stack == 0 {
            return Err(refused("frame_stack", "num_stack must be at least 1, got 0"));
        }
        let Space::Box(bounds) = &info.observation_space else {
            let message = format!("expected a Box, got {}; flatten it first", info.observation_space);
            return Err(refused("frame_stack", message));
        };
        let (groups, group_len) = match Layout::of(bounds) {
            Some(Layout { height, width, channels, channels_last: true }) => (height * width, channels),
            _ => (1, bounds.len()),
        };
        Ok(Self { num_stack, padding, groups, group_len })
    }

    /// Moves the older frames of a row up and puts a new one at their end.
    fn push<T: ObsElement>(&self, row: &mut [T], frame: &[T], moment: Moment) {
        let (stacked, newest) = (self.num_stack * self.group_len, self.group_len);
        // Where in its group a frame begins.
        let put = |row: &mut [T], at: usize| {
            for element in 0..newest {
                let slots = row[at + element..].iter_mut().step_by(stacked);
                slots.zip(frame[element..].iter().step_by(newest)).for_each(|(to, &from)| *to = from);
            }
        };
        match (moment, self.padding) {
            // All groups move at once: what comes over from the next group is where the new frame goes.
            (Moment::Step, _) => row.copy_within(newest.., 0),
            (Moment::Reset, Padding::Zero) => row.fill(T::default()),
            (Moment::Reset, Padding::Reset) => (0..self.num_stack - 1).for_each(|old| put(row, old * newest)),
        }
        if self.groups == 1 {
            row[stacked - newest..].copy_from_slice(frame);
        } else {
            put(row, stacked - newest);
        }
    }

    fn push_rows<T: ObsElement>(&self, context: &Context<'_>, from: &[T], to: &mut [T]) {
        let len = self.groups * self.group_len;
        let stacked = len * self.num_stack;
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

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let Space::Box(bounds) = &inner.observation_space else { return Ok(inner.clone()) };
        let mut shape = bounds.shape().to_vec();
        let axis = if self.groups > 1 { 2 } else { 0 };
        match shape.get_mut(axis) {
            Some(dim) => *dim *= self.num_stack,
            None => shape.push(self.num_stack),
        }
        let repeat = |bound: &[f32]| -> Vec<f32> {
            bound.chunks(self.group_len).flat_map(|group| group.repeat(self.num_stack)).collect()
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
