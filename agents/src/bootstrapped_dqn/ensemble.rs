//! The ensemble: its networks, their priors, and how they act.

use std::sync::Arc;

use agon_nn::{
    Head, HeadSpec, Init, Layout, LayoutBuilder, Model, ModelConfig, Packed, Params, Rows, Scratch,
    Sequential, Summary,
};

use agon_policy::{Operation, OperationBranch, Parameter};

use super::BootstrappedDqnConfig;
use crate::exploration::{best, mask_of};
use crate::learner::{Spaces, single_discrete};
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::{Decision, Program, told};
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
    params: Params,
    pub(super) packed: Vec<Packed>,
    pub(super) scale: f32,
}

impl Prior {
    pub(super) fn of(ensemble: &Ensemble, params: &Params, scale: f64) -> Result<Self, AgentError> {
        Ok(Self { params: params.clone(), packed: ensemble.pack(params)?, scale: scale as f32 })
    }
}

/// A snapshot of the ensemble. An actor's state is the member that each row follows.
pub(super) struct EnsemblePolicy {
    ensemble: Arc<Ensemble>,
    params: Params,
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
            params: params.clone(),
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

    /// The members and their priors beside each other, and the sum of their values.
    fn program(&self) -> Option<Program> {
        let priors = Layout::clone(self.prior.params.layout()).prefixed(PRIOR);
        let mut branches = Vec::new();
        for (layout, scale) in [(&**self.params.layout(), 1.0), (&priors, self.prior.scale)] {
            let members = self.ensemble.members.iter();
            branches.extend(members.map(|member| (member.inputs(), member.operations(layout), scale)));
        }
        let (actions, inputs) = (self.num_actions, self.num_actions * branches.len());
        let mut sum = vec![0.0; actions * inputs];
        for (branch, (.., scale)) in branches.iter().enumerate() {
            (0..actions).for_each(|action| sum[action * inputs + branch * actions + action] = *scale);
        }
        let branches = branches.into_iter();
        let branches =
            branches.map(|(width, operations, _)| OperationBranch { columns: [0, width], operations });
        let (weight, bias) = ("ensemble.sum.weight".to_owned(), "ensemble.sum.bias".to_owned());
        let mut parameters = told(&self.params, "");
        parameters.extend(told(&self.prior.params, PRIOR));
        parameters.insert(weight.clone(), Parameter { shape: vec![actions, inputs], values: sum });
        parameters.insert(bias.clone(), Parameter { shape: vec![actions], values: vec![0.0; actions] });
        let operations = vec![
            Operation::Parallel { branches: branches.collect() },
            Operation::Linear { weight, bias, inputs, outputs: actions },
        ];
        Some(Program { operations, parameters, decision: Decision::Values { actions } })
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
