//! Wrappers as settings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    ActionRepeat, ClipAction, ClipReward, FairnessPenalty, FlattenObservation, FrameStack, MaskObservation,
    NormalizeObservation, NormalizeReward, ObservationNoise, Parity, RandomCrop, RandomShift,
    RecordStatistics, RecordVideo, RenderObservation, RescaleAction, StickyAction, TimeLimit, Wrapped,
    Wrapper,
};
use crate::EnvError;
use crate::frames::Padding;
use crate::vector::VectorEnv;

/// One wrapper of a stack, as a TOML table with its `kind` and settings.
///
/// ```toml
/// [[env.wrappers]]
/// kind = "frame_stack"
/// num_stack = 4
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WrapperConfig {
    /// [`TimeLimit`].
    TimeLimit {
        /// Steps until truncation; at least 1.
        max_episode_steps: u32,
    },
    /// [`FrameStack`].
    FrameStack {
        /// Observations shown as one; at least 1.
        #[serde(default = "four")]
        num_stack: usize,
        /// What fills the stack at first.
        #[serde(default)]
        padding: Padding,
    },
    /// [`StickyAction`].
    StickyAction {
        /// Chance that the last action is taken again, 0 to 1.
        #[serde(default = "quarter")]
        probability: f64,
    },
    /// [`ActionRepeat`].
    ActionRepeat {
        /// Steps inside for each one outside; at least 1.
        repeats: u32,
    },
    /// [`NormalizeObservation`].
    NormalizeObservation {
        /// Added to the variance.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Largest absolute value.
        #[serde(default = "ten")]
        clip: f64,
    },
    /// [`NormalizeReward`].
    NormalizeReward {
        /// Discount of the return whose deviation scales rewards.
        #[serde(default = "gamma")]
        gamma: f64,
        /// Added to the variance.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Largest absolute value.
        #[serde(default = "ten")]
        clip: f64,
    },
    /// [`ClipReward`].
    ClipReward {
        /// Least reward.
        #[serde(default = "minus_one")]
        min: f64,
        /// Greatest reward.
        #[serde(default = "one")]
        max: f64,
    },
    /// [`FairnessPenalty`], of environments that decide about groups.
    FairnessPenalty {
        /// Which rates of the groups must be alike.
        #[serde(default)]
        parity: Parity,
        /// By how much a group's rate may differ from the overall one, 0 to 1.
        #[serde(default = "twentieth")]
        limit: f64,
        /// By how much a multiplier rises with each decision for each unit that the limit is exceeded by.
        #[serde(default = "slow")]
        learning_rate: f64,
        /// The largest multiplier.
        #[serde(default = "ten")]
        max_multiplier: f64,
    },
    /// [`ClipAction`].
    ClipAction {},
    /// [`RescaleAction`].
    RescaleAction {
        /// Least action outside.
        #[serde(default = "minus_one")]
        min: f64,
        /// Greatest action outside.
        #[serde(default = "one")]
        max: f64,
    },
    /// [`FlattenObservation`].
    FlattenObservation {
        /// Numbers of categories of an image's channels, which make it one-hot; `[11, 6, 3]` for `MiniGrid`.
        #[serde(default)]
        categories: Vec<usize>,
    },
    /// [`MaskObservation`].
    MaskObservation {
        /// Indices of the numbers to hide.
        indices: Vec<usize>,
        /// Leave them out instead of showing zeros.
        #[serde(default)]
        drop: bool,
    },
    /// [`ObservationNoise`].
    ObservationNoise {
        /// Standard deviation; positive.
        std: f64,
        /// Indices of the numbers that get noise; all if empty.
        #[serde(default)]
        indices: Vec<usize>,
    },
    /// [`RenderObservation`].
    RenderObservation {
        /// Rows of pixels, at most 512.
        #[serde(default = "eighty_four")]
        height: usize,
        /// Pixels of a row, at most 512.
        #[serde(default = "eighty_four")]
        width: usize,
        /// One channel of brightness in place of red, green and blue.
        #[serde(default)]
        grayscale: bool,
    },
    /// [`RandomShift`].
    RandomShift {
        /// Most pixels of a shift; at least 1.
        #[serde(default = "four_pixels")]
        pad: u32,
    },
    /// [`RandomCrop`].
    RandomCrop {
        /// Rows of the window.
        height: usize,
        /// Columns of the window.
        width: usize,
    },
    /// [`RecordStatistics`].
    RecordStatistics {},
    /// [`RecordVideo`].
    RecordVideo {
        /// Where the files go.
        directory: PathBuf,
        /// Every how many episodes one is recorded; at least 1.
        #[serde(default = "hundred")]
        every: u64,
    },
}

impl WrapperConfig {
    /// [`NormalizeReward`] with the settings that it has where nothing is said.
    #[must_use]
    pub fn normalize_reward() -> Self {
        Self::NormalizeReward { gamma: gamma(), epsilon: epsilon(), clip: ten() }
    }

    /// Whether what is seen outside is not what is seen inside.
    #[must_use]
    pub fn changes_observations(&self) -> bool {
        match self {
            Self::FrameStack { .. }
            | Self::NormalizeObservation { .. }
            | Self::FlattenObservation { .. }
            | Self::MaskObservation { .. }
            | Self::ObservationNoise { .. }
            | Self::RenderObservation { .. }
            | Self::RandomShift { .. }
            | Self::RandomCrop { .. } => true,
            Self::TimeLimit { .. }
            | Self::StickyAction { .. }
            | Self::ActionRepeat { .. }
            | Self::NormalizeReward { .. }
            | Self::ClipReward { .. }
            | Self::FairnessPenalty { .. }
            | Self::ClipAction {}
            | Self::RescaleAction { .. }
            | Self::RecordStatistics {}
            | Self::RecordVideo { .. } => false,
        }
    }

    /// Puts this wrapper around an environment; `depth` is its place in the stack, from zero inside.
    ///
    /// # Errors
    /// [`EnvError::Wrapper`] if a setting is out of range or it does not fit the environment.
    pub fn wrap(&self, env: Box<dyn VectorEnv>, depth: u32) -> Result<Box<dyn VectorEnv>, EnvError> {
        let info = env.info().clone();
        match self {
            Self::TimeLimit { max_episode_steps } => boxed(env, TimeLimit::new(*max_episode_steps, &info)?),
            Self::FrameStack { num_stack, padding } => {
                boxed(env, FrameStack::new(*num_stack, *padding, &info)?)
            }
            Self::StickyAction { probability } => boxed(env, StickyAction::new(*probability, depth, &info)?),
            Self::ActionRepeat { repeats } => boxed(env, ActionRepeat::new(*repeats)?),
            Self::NormalizeObservation { epsilon, clip } => {
                boxed(env, NormalizeObservation::new(*epsilon, *clip as f32, &info)?)
            }
            Self::NormalizeReward { gamma, epsilon, clip } => {
                boxed(env, NormalizeReward::new(*gamma, *epsilon, *clip, &info)?)
            }
            Self::ClipReward { min, max } => boxed(env, ClipReward::new(*min, *max)?),
            Self::FairnessPenalty { parity, limit, learning_rate, max_multiplier } => {
                boxed(env, FairnessPenalty::new(*parity, *limit, *learning_rate, *max_multiplier, &info)?)
            }
            Self::ClipAction {} => boxed(env, ClipAction::new(&info)?),
            Self::RescaleAction { min, max } => {
                boxed(env, RescaleAction::new(*min as f32, *max as f32, &info)?)
            }
            Self::FlattenObservation { categories } => {
                boxed(env, FlattenObservation::new(categories, &info)?)
            }
            Self::MaskObservation { indices, drop } => {
                boxed(env, MaskObservation::new(indices, *drop, &info)?)
            }
            Self::ObservationNoise { std, indices } => {
                boxed(env, ObservationNoise::new(*std as f32, indices, depth, &info)?)
            }
            Self::RenderObservation { height, width, grayscale } => {
                boxed(env, RenderObservation::new(*height, *width, *grayscale, &info)?)
            }
            Self::RandomShift { pad } => boxed(env, RandomShift::new(*pad, depth, &info)?),
            Self::RandomCrop { height, width } => boxed(env, RandomCrop::new(*height, *width, depth, &info)?),
            Self::RecordStatistics {} => boxed(env, RecordStatistics::new(&info)),
            Self::RecordVideo { directory, every } => {
                boxed(env, RecordVideo::new(directory.clone(), *every, &info)?)
            }
        }
    }
}

fn boxed<W: Wrapper + 'static>(env: Box<dyn VectorEnv>, wrapper: W) -> Result<Box<dyn VectorEnv>, EnvError> {
    Ok(Box::new(Wrapped::new(env, wrapper)?))
}

fn four() -> usize {
    4
}

fn eighty_four() -> usize {
    84
}

fn four_pixels() -> u32 {
    4
}

fn twentieth() -> f64 {
    0.05
}

fn slow() -> f64 {
    1e-4
}

fn quarter() -> f64 {
    0.25
}

fn epsilon() -> f64 {
    1e-8
}

fn gamma() -> f64 {
    0.99
}

fn one() -> f64 {
    1.0
}

fn minus_one() -> f64 {
    -1.0
}

fn ten() -> f64 {
    10.0
}

fn hundred() -> u64 {
    100
}
