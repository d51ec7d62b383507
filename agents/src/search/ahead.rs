//! A policy that learned without a search, and looks ahead all the same.

use std::sync::Arc;

use super::{Evaluator, Lookahead, SearchConfig};
use crate::AgentError;
use crate::policy::{ActInput, ActOutput, Actor, Policy};
use crate::program::Program;

/// A policy, and a search that improves on it wherever there are environments to be copied: what it says of actions and
/// positions is what the search begins from.
pub struct LookingAhead {
    policy: Arc<dyn Policy>,
    settings: SearchConfig,
    discount: f32,
}

impl LookingAhead {
    /// Searches as the settings say, with the discount that the policy's values are of.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if the policy gives no logits and values by observation, [`AgentError::Setting`] if a setting
    /// is out of range.
    pub fn new(policy: Arc<dyn Policy>, settings: SearchConfig, discount: f32) -> Result<Self, AgentError> {
        settings.validate()?;
        if policy.evaluator().is_none() {
            return Err(AgentError::Unsupported {
                algorithm: "a search",
                expected: "a policy with a value function, a single discrete action and no memory",
                found: "one that is not".to_owned(),
            });
        }
        settings.check_looks(policy.evaluator().is_some_and(|evaluator| evaluator.looks().is_some()))?;
        Ok(Self { policy, settings, discount })
    }
}

impl Policy for LookingAhead {
    fn program(&self) -> Option<Program> {
        self.policy.program()
    }

    fn values(&self, input: &ActInput<'_>, state: &[f32]) -> Result<Option<Vec<f32>>, AgentError> {
        self.policy.values(input, state)
    }

    fn evaluator(&self) -> Option<&dyn Evaluator> {
        self.policy.evaluator()
    }

    fn lookahead(&self) -> Option<Lookahead<'_>> {
        let evaluator = self.policy.evaluator()?;
        Some(Lookahead { settings: &self.settings, discount: self.discount, evaluator })
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let mut data = vec![0.0; input.num_rows * self.policy.data_width()];
        self.policy.act(input, actor, ActOutput { actions: output.actions, policy_data: &mut data })
    }
}
