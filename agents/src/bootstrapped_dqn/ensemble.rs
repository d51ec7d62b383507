//! The ensemble: its networks, their priors, and how they act.

use std::sync::Arc;

use agon_nn::{
    Head, HeadSpec, Init, LayoutBuilder, Model, ModelConfig, Packed, Params, Rows, Scratch, Sequential,
    Summary,
};

use super::BootstrappedDqnConfig;
use crate::exploration::{best, mask_of};
use crate::learner::{Spaces, single_discrete};
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::{AgentError, network};

/// What the tensors of the networks that never learn are called, before their own names.
pub(super) const PRIOR: &str = "prior.";

/// Networks of the same shape beside each other, in one set of parameters.
pub(super) struct Ensemble {
    pub(super) members: Vec<Sequential>,
    pub(super) summary: Summary,
}

impl Ensemble {
    /// The members, and their parameters to be.
    pub(super) fn layout(
        config: &BootstrappedDqnConfig,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_not_noisy("bootstrapped-dqn", network)?;
        network::check_no_memory("bootstrapped-dqn", network)?;
        let actions = single_discrete("bootstrapped-dqn", &spaces.action)?;
        let observation = network::observation("bootstrapped-dqn", &spaces.observation)?;
        let mut builder = LayoutBuilder::new();
        let init = Init::Orthogonal { gain: 1.0 };
        let (mut members, mut parts) = (Vec::new(), Vec::new());
        for k in 0..config.ensemble {
            let head = HeadSpec { name: format!("{k}.q"), head: Head::Q { actions }, init };
            let prefix = format!("{k}.");
            let model = Model::new(&mut builder, &prefix, &observation, network, &[head], init)?;
            members.push(model.chain(0)?);
            parts.extend(model.summary().parts.clone());
        }
        Ok((Self { members, summary: Summary { parts } }, builder))
    }

    pub(super) fn pack(&self, params: &Params) -> Result<Vec<Packed>, AgentError> {
        Ok(self.members.iter().map(|member| Packed::new(member, params)).collect::<Result<_, _>>()?)
    }
}

/// The networks that never learn.
pub(super) struct Prior {
    pub(super) packed: Vec<Packed>,
    pub(super) scale: f32,
}

impl Prior {
    pub(super) fn of(ensemble: &Ensemble, params: &Params, scale: f64) -> Result<Self, AgentError> {
        Ok(Self { packed: ensemble.pack(params)?, scale: scale as f32 })
    }
}

/// A snapshot of the ensemble. An actor's state is the member that each row follows.
pub(super) struct EnsemblePolicy {
    ensemble: Arc<Ensemble>,
    packed: Vec<Packed>,
    prior: Arc<Prior>,
    num_actions: usize,
}

impl EnsemblePolicy {
    /// A snapshot of an ensemble with these parameters.
    pub(super) fn of(
        ensemble: &Arc<Ensemble>,
        params: &Params,
        prior: &Arc<Prior>,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            packed: ensemble.pack(params)?,
            num_actions: ensemble.members[0].outputs(),
            ensemble: Arc::clone(ensemble),
            prior: Arc::clone(prior),
        }))
    }

    /// Adds a member's values in one observation to `out`.
    fn add_values(
        &self,
        member: usize,
        x: Rows<'_>,
        scratch: &mut Scratch,
        buffer: &mut Vec<f32>,
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        let network = &self.ensemble.members[member];
        buffer.resize(self.num_actions, 0.0);
        for (packed, scale) in [(&self.packed[member], 1.0), (&self.prior.packed[member], self.prior.scale)] {
            network.infer(packed, x, 1, scratch, buffer)?;
            out.iter_mut().zip(&*buffer).for_each(|(sum, value)| *sum += scale * value);
        }
        Ok(())
    }
}

impl Policy for EnsemblePolicy {
    fn state_len(&self) -> usize {
        1
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, scratch, outputs, buffer, .. } = actor;
        let members = self.ensemble.members.len();
        let width = self.ensemble.members[0].inputs();
        for (row, action) in output.actions.indices_mut().iter_mut().enumerate() {
            if input.resets[row] {
                state[row] = rng.bounded(members as u64 - 1) as f32;
            }
            outputs.clear();
            outputs.resize(self.num_actions, 0.0);
            let x = network::row(input.observations, row, width);
            let asked = match input.mode {
                ActMode::Explore => state[row] as usize..state[row] as usize + 1,
                ActMode::Deterministic => 0..members,
            };
            for member in asked {
                self.add_values(member, x, scratch, buffer, outputs)?;
            }
            *action = best(outputs, mask_of(input.action_masks, self.num_actions, row)) as u32;
        }
        Ok(())
    }
}
