//! Actions as world models see them: zeros and a one, or numbers between −1 and 1.

use agon_envs::{Action, ActionBatch, ActionSpec, Pcg64};
use agon_nn::losses::mixed_categorical::most_probable;

use crate::AgentError;
use crate::action_box::ActionBox;
use crate::learner::{Spaces, single_discrete};

/// The kinds of actions that a world model can be told of.
#[derive(Clone, Debug)]
pub(crate) enum Acts {
    /// One of so many choices.
    Discrete(usize),
    /// Numbers between bounds.
    Continuous(ActionBox),
}

impl Acts {
    /// Of an environment whose actions are all allowed at any time.
    pub(crate) fn new(algorithm: &'static str, spaces: &Spaces) -> Result<Self, AgentError> {
        if spaces.mask_len > 0 {
            let (expected, found) = ("actions that are all allowed", "action masks".to_owned());
            return Err(AgentError::Unsupported { algorithm, expected, found });
        }
        match &spaces.action {
            ActionSpec::Discrete { .. } => Ok(Self::Discrete(single_discrete(algorithm, &spaces.action)?)),
            spec @ ActionSpec::Continuous { .. } => Ok(Self::Continuous(ActionBox::of(algorithm, spec)?)),
        }
    }

    /// Values of an action, `A`.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Discrete(choices) => *choices,
            Self::Continuous(bounds) => bounds.dimensions(),
        }
    }

    /// Values of an action as the environment takes it, `W`.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Discrete(_) => 1,
            Self::Continuous(bounds) => bounds.dimensions(),
        }
    }

    /// A recorded action, `[A]`.
    pub(crate) fn read(&self, action: Action<'_>, out: &mut [f32]) {
        match self {
            Self::Discrete(_) => {
                out.fill(0.0);
                out[action.index()] = 1.0;
            }
            Self::Continuous(bounds) => bounds.read(action.values(), out),
        }
    }

    /// Hands actions, `[B, A]`, to the environment.
    pub(crate) fn write(&self, actions: &[f32], to: &mut ActionBatch) {
        match self {
            Self::Discrete(choices) => {
                let rows = actions.chunks_exact(*choices);
                to.indices_mut().iter_mut().zip(rows).for_each(|(to, row)| *to = most_probable(row) as u32);
            }
            Self::Continuous(bounds) => bounds.write(actions, to),
        }
    }
}

/// A number of `[0, 1)`.
pub(crate) fn uniform(rng: &mut Pcg64) -> f32 {
    // The 24 highest bits: all that a float below one has.
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}
