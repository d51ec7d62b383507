//! Policies that have a model of their world: what it makes of an episode, for whoever looks at it.

pub(crate) mod acts;
pub(crate) mod numbers;
pub(crate) mod sequences;

use agon_envs::{ActionBatch, ObsBuffer};

use crate::AgentError;
use crate::error::ensure;

/// One episode as it happened.
#[derive(Clone, Copy, Debug)]
pub struct Lived<'a> {
    /// `[T + 1, O]`: the last one is what the last action led to.
    pub observations: &'a ObsBuffer,
    /// `[T, W]`.
    pub actions: &'a ActionBatch,
    /// Actions, `T`.
    pub steps: usize,
}

impl Lived<'_> {
    /// The number of observations, if there are as many values as they and the actions have, and some of them can be looked at.
    ///
    /// # Errors
    /// If the episode is of another environment, or nothing or more than everything is to be looked at.
    pub(crate) fn moments(
        &self,
        (width, per_action): (usize, usize),
        context: usize,
    ) -> Result<usize, AgentError> {
        let moments = self.steps + 1;
        if self.observations.len() != moments * width {
            let expected = format!("{} values of {moments} observations", moments * width);
            return Err(AgentError::setting("observations", expected, self.observations.len()));
        }
        if self.actions.len() != self.steps * per_action {
            let expected = format!("{} values of {} actions", self.steps * per_action, self.steps);
            return Err(AgentError::setting("actions", expected, self.actions.len()));
        }
        let expected = "at least 1 and at most all observations";
        ensure((1..=moments).contains(&context), "context", expected, context)?;
        Ok(moments)
    }
}

/// What a model makes of an episode, in the units of observations and rewards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dream {
    /// `[T + 1, O]`: each observation as it is told again by the state that it led to.
    pub reconstructed: Vec<f32>,
    /// `[T + 1, O]`: the same while there is something to see, and after that what was expected under the actions that were taken.
    pub imagined: Vec<f32>,
    /// `[T + 1]`: what was paid on the way there, as it was imagined; none before the first action.
    pub rewards: Vec<f32>,
    /// `[T + 1]`: the probability that anything follows, as it was imagined.
    pub continues: Vec<f32>,
}

/// A model of what is observed, what is paid, and what ends.
pub trait WorldModel: Send + Sync {
    /// Looks at the first `context` observations of an episode, at least one, and imagines the others: the most probable latent
    /// variables at every step.
    ///
    /// # Errors
    /// If the episode is of another environment.
    fn dream(&self, lived: &Lived<'_>, context: usize) -> Result<Dream, AgentError>;
}
