//! Actions of TD3: deterministic, with noise while it explores.

use std::sync::Arc;

use agon_nn::kernels::tanh;
use agon_nn::{Packed, Params, Sequential};
use rand_distr::{Distribution as _, StandardNormal};

use super::Td3Config;
use crate::action_box::ActionBox;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::Program;
use crate::{AgentError, network};

/// A snapshot of the policy; random before learning starts.
pub(super) struct Td3Policy {
    actor: Sequential,
    packed: Packed,
    bounds: ActionBox,
    params: Params,
    learning_starts: u64,
    exploration_noise: f32,
}

impl Td3Policy {
    /// A snapshot of a policy with these parameters.
    pub(super) fn of(
        actor: &Sequential,
        params: &Params,
        bounds: &ActionBox,
        config: &Td3Config,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            packed: Packed::new(actor, params)?,
            actor: actor.clone(),
            bounds: bounds.clone(),
            params: params.clone(),
            learning_starts: config.learning_starts,
            exploration_noise: config.exploration_noise as f32,
        }))
    }
}

impl Policy for Td3Policy {
    fn program(&self) -> Option<Program> {
        let operations = self.actor.operations(self.params.layout());
        Some(Program::of(operations, &self.params, self.bounds.decision()))
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, .. } = actor;
        outputs.resize(input.num_rows * self.bounds.dimensions(), 0.0);
        if input.mode == ActMode::Explore && input.env_steps < self.learning_starts {
            outputs.iter_mut().for_each(|action| *action = rng.uniform(-1.0, 1.0) as f32);
        } else {
            let observations = network::rows(input.observations);
            self.actor.infer(&self.packed, observations, input.num_rows, scratch, outputs)?;
            tanh(outputs);
            if input.mode == ActMode::Explore {
                for action in outputs.iter_mut() {
                    let noise: f32 = StandardNormal.sample(&mut *rng);
                    *action = (*action + self.exploration_noise * noise).clamp(-1.0, 1.0);
                }
            }
        }
        self.bounds.write(outputs, output.actions);
        Ok(())
    }
}
