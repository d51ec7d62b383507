//! How observations repeat earlier ones of their episode.
//!
//! A stack of frames is a property of a vector environment ([`VectorInfo::frames`](crate::VectorInfo::frames)), because a
//! replay buffer that knows it stores each frame once; the wrapper that makes stacks is
//! [`FrameStack`](crate::wrappers::FrameStack).

use serde::{Deserialize, Serialize};

use crate::batch::ObsElement;
use crate::spaces::ImageLayout;
use crate::{EnvError, Space};

/// Frames of a stack at most.
const MOST_FRAMES: usize = 1024;

/// What a frame stack holds before there are enough frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Copies of the episode's first observation.
    #[default]
    Reset,
    /// Zeros.
    Zero,
}

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
    pub(crate) groups: usize,
    /// Elements of a group in one frame.
    pub(crate) group_len: usize,
}

impl Frames {
    /// Of stacks of `num_stack` observations.
    ///
    /// # Errors
    /// [`EnvError::Wrapper`] if `num_stack` is zero or above 1024, or observations are no box.
    pub fn new(num_stack: usize, padding: Padding, observation_space: &Space) -> Result<Self, EnvError> {
        let refused = |message| EnvError::Wrapper { wrapper: "frame_stack", message };
        if num_stack == 0 {
            return Err(refused("num_stack must be at least 1, got 0".to_owned()));
        }
        if num_stack > MOST_FRAMES {
            return Err(refused(format!("num_stack must be at most {MOST_FRAMES}, got {num_stack}")));
        }
        let Space::Box(bounds) = observation_space else {
            return Err(refused(format!("expected a Box, got {observation_space}; flatten it first")));
        };
        let (groups, group_len) = match ImageLayout::of(bounds) {
            Some(ImageLayout { height, width, channels, channels_last: true }) => (height * width, channels),
            _ => (1, bounds.len()),
        };
        Ok(Self { num_stack, padding, groups, group_len })
    }

    /// Groups of a row that are stacked each by itself, and elements of a group in one frame.
    pub fn groups(&self) -> (usize, usize) {
        (self.groups, self.group_len)
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
        let at = place * self.group_len;
        if self.groups == 1 {
            return stack[at..at + self.group_len].copy_from_slice(frame);
        }
        // A copy of a few elements is a few times as fast where their number is known: the channels of usual images, and
        // planes of `MinAtar`.
        match self.group_len {
            1 => self.put_groups::<T, 1>(stack, at, frame),
            2 => self.put_groups::<T, 2>(stack, at, frame),
            3 => self.put_groups::<T, 3>(stack, at, frame),
            4 => self.put_groups::<T, 4>(stack, at, frame),
            6 => self.put_groups::<T, 6>(stack, at, frame),
            7 => self.put_groups::<T, 7>(stack, at, frame),
            10 => self.put_groups::<T, 10>(stack, at, frame),
            len => {
                let groups = stack.chunks_exact_mut(self.num_stack * len).zip(frame.chunks_exact(len));
                groups.for_each(|(group, frame)| group[at..at + len].copy_from_slice(frame));
            }
        }
    }

    /// Copies the groups of a frame, `LEN` elements each, to `at` of those of a stack.
    fn put_groups<T: ObsElement, const LEN: usize>(&self, stack: &mut [T], at: usize, frame: &[T]) {
        let groups = stack.chunks_exact_mut(self.num_stack * LEN).zip(frame.as_chunks::<LEN>().0);
        for (group, frame) in groups {
            group[at..at + LEN].copy_from_slice(frame);
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
