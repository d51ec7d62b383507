//! Values, advantages and targets of a fragment: what a rollout is learned from.

use agon_envs::ActionBatch;
use agon_nn::{MemoryState, Model, ModelScratch, PackedModel, Params};

use crate::actor_critic::ActorCritic;
use crate::distribution::{Distribution, Evaluated};
use crate::popart::{Scales, task_of};
use crate::returns::{self, Trajectory};
use crate::rnd::Bonus;
use crate::{AgentError, Fragment, network};

/// How advantages and value targets are estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Targets {
    /// Generalised advantage estimation; targets are λ-returns.
    Gae { gamma: f32, gae_lambda: f32 },
    /// V-trace: corrected for what the acting policy did differently. The advantages carry their importance weights if
    /// `weighted`; else the loss has a ratio of its own.
    Vtrace { gamma: f32, rho_bar: f32, c_bar: f32, weighted: bool },
}

/// Working memory for one shard's values and advantages.
#[derive(Debug, Default)]
pub(crate) struct ShardWork {
    scratch: ModelScratch,
    /// `[T + 1, N]`.
    pub(crate) values: Vec<f32>,
    /// Of the final observations.
    final_values: Vec<f32>,
    next_values: Vec<f32>,
    pub(crate) advantages: Vec<f32>,
    pub(crate) returns: Vec<f32>,
    pub(crate) bonus_returns: Vec<f32>,
    /// `[T + 1, N, V]`, and of the final observations: all values.
    outputs: Vec<f32>,
    final_outputs: Vec<f32>,
    /// `[units, S]`.
    pub(crate) states: Vec<f32>,
    /// `[N, S]`, as ticks pass.
    state: Vec<f32>,
    policy_outputs: Vec<f32>,
    ratios: Vec<f32>,
    evaluated: Evaluated,
}

/// The networks that advantages are estimated with.
pub(crate) struct Estimator<'a> {
    networks: &'a ActorCritic,
    critic: PackedModel,
    /// For V-trace, which needs the learning policy's probabilities.
    actor: Option<PackedModel>,
    /// What scales the critic's outputs, if something does.
    scales: Option<Scales>,
    sequence_length: usize,
    targets: Targets,
}

impl<'a> Estimator<'a> {
    pub(crate) fn new(
        networks: &'a ActorCritic,
        params: &Params,
        sequence_length: usize,
        targets: Targets,
    ) -> Result<Self, AgentError> {
        let actor = match targets {
            Targets::Gae { .. } => None,
            Targets::Vtrace { .. } => Some(PackedModel::new(&networks.actor, params)?),
        };
        let critic = PackedModel::new(&networks.critic, params)?;
        let scales = networks.popart.as_ref().map(|popart| popart.scales(params));
        Ok(Self { networks, critic, actor, scales, sequence_length, targets })
    }

    /// Values of all observations and of the final ones, then advantages and value targets.
    pub(crate) fn estimate(&self, fragment: &Fragment, work: &mut ShardWork) -> Result<(), AgentError> {
        let (rows, num_rows) = (fragment.rows(), fragment.shape.num_rows());
        let (mut values, mut final_values) =
            (std::mem::take(&mut work.outputs), std::mem::take(&mut work.final_outputs));
        let outcome = self.run(
            &self.networks.critic,
            &self.critic,
            fragment,
            work,
            &mut values,
            Some(&mut final_values),
        );
        (work.outputs, work.final_outputs) = (values, final_values);
        outcome?;
        self.read_values(fragment, work);
        work.next_values.clear();
        work.next_values.extend_from_slice(&work.values[num_rows..]);
        for (&row, &value) in fragment.final_rows.iter().zip(&work.final_values) {
            work.next_values[row as usize] = value;
        }
        work.advantages.resize(rows, 0.0);
        work.returns.resize(rows, 0.0);
        if let Some(actor) = &self.actor {
            let mut outputs = std::mem::take(&mut work.policy_outputs);
            let outcome = self.run(&self.networks.actor, actor, fragment, work, &mut outputs, None);
            work.policy_outputs = outputs;
            outcome?;
            work.ratios(fragment, &self.networks.distribution)?;
        }
        let trajectory = Trajectory {
            num_rows,
            rewards: &fragment.rewards,
            values: &work.values[..rows],
            next_values: &work.next_values,
            terminated: &fragment.terminated,
            truncated: &fragment.truncated,
        };
        match self.targets {
            Targets::Gae { gamma, gae_lambda } => {
                returns::gae(&trajectory, gamma, gae_lambda, &mut work.advantages);
                let sums =
                    work.advantages.iter().zip(&work.values).map(|(advantage, value)| advantage + value);
                work.returns.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
            }
            Targets::Vtrace { gamma, rho_bar, c_bar, weighted } => {
                let (vs, advantages) = (&mut work.returns, &mut work.advantages);
                returns::vtrace(&trajectory, &work.ratios, gamma, rho_bar, c_bar, vs, advantages);
                if !weighted {
                    returns::one_step_advantages(&trajectory, vs, gamma, advantages);
                }
            }
        }
        Ok(())
    }

    /// The values among what the critic puts out, each as the task of its row.
    fn read_values(&self, fragment: &Fragment, work: &mut ShardWork) {
        let (width, num_rows) = (self.networks.critic.outputs(0), fragment.shape.num_rows());
        let Some(scales) = &self.scales else {
            column(&work.outputs, width, 0, &mut work.values);
            column(&work.final_outputs, width, 0, &mut work.final_values);
            return;
        };
        // What follows the last tick is valued only where an episode goes on, and so in its task.
        let task =
            |row: usize| task_of(&fragment.tasks, row.min(fragment.rows() - num_rows + row % num_rows));
        let rows = work.outputs.chunks_exact(width).enumerate();
        work.values.clear();
        work.values.extend(rows.map(|(row, outputs)| scales.value(outputs, task(row))));
        let finals = work.final_outputs.chunks_exact(width).zip(&fragment.final_rows);
        work.final_values.clear();
        work.final_values.extend(finals.map(|(outputs, &row)| scales.value(outputs, task(row as usize))));
    }

    /// Adds the advantages of a bonus, which knows no end of episodes, to those of the environment.
    pub(crate) fn add_bonus(&self, fragment: &Fragment, work: &mut ShardWork, bonus: &Bonus, index: usize) {
        let Targets::Gae { gae_lambda, .. } = self.targets else { return };
        let (rows, num_rows) = (fragment.rows(), fragment.shape.num_rows());
        let mut values = Vec::new();
        column(&work.outputs, self.networks.critic.outputs(0), 1, &mut values);
        let (never, mut advantages) = (vec![false; rows], vec![0.0; rows]);
        let trajectory = Trajectory {
            num_rows,
            rewards: &bonus.rewards[index],
            values: &values[..rows],
            next_values: &values[num_rows..],
            terminated: &never,
            truncated: &never,
        };
        returns::gae(&trajectory, bonus.gamma, gae_lambda, &mut advantages);
        for (total, of_bonus) in work.advantages.iter_mut().zip(&advantages) {
            *total = bonus.ext_coef * *total + bonus.int_coef * of_bonus;
        }
        work.bonus_returns.clear();
        work.bonus_returns.extend(advantages.iter().zip(&values).map(|(advantage, value)| advantage + value));
    }

    /// Outputs of a model with one head for all observations of a fragment, `[T + 1, N, P]`, and for the final ones.
    ///
    /// With a memory it goes tick by tick, and keeps the states before each unit.
    fn run(
        &self,
        model: &Model,
        packed: &PackedModel,
        fragment: &Fragment,
        work: &mut ShardWork,
        outputs: &mut Vec<f32>,
        mut finals: Option<&mut Vec<f32>>,
    ) -> Result<(), AgentError> {
        let (num_rows, len) = (fragment.shape.num_rows(), fragment.shape.observation_len);
        let (num_steps, width) = (fragment.shape.num_steps, model.outputs(0));
        let ShardWork { scratch, states, state, .. } = work;
        outputs.resize((fragment.rows() + num_rows) * width, 0.0);
        if let Some(finals) = &mut finals {
            finals.resize(fragment.final_rows.len() * width, 0.0);
        }
        let all = network::rows(&fragment.observations);
        if model.state_len() == 0 {
            let memory = &mut MemoryState::none();
            model.infer(packed, all, fragment.rows() + num_rows, memory, scratch, &mut [outputs])?;
            if let (Some(finals), count @ 1..) = (finals, fragment.final_rows.len()) {
                let observations = network::first_rows(&fragment.final_observations, count, len);
                model.infer(packed, observations, count, &mut MemoryState::none(), scratch, &mut [finals])?;
            }
            return Ok(());
        }
        states.clear();
        state.clone_from(&fragment.policy_state);
        let mut ended = 0;
        for t in 0..=num_steps {
            if t < num_steps && t % self.sequence_length == 0 {
                states.extend_from_slice(state);
            }
            let ticks = t * num_rows..(t + 1) * num_rows;
            // What follows the last tick is valued only where an episode goes on.
            let resets = fragment.resets.get(ticks.clone()).unwrap_or(&[]);
            let x = all.of(len, &ticks);
            let out = &mut outputs[ticks.start * width..ticks.end * width];
            model.infer(packed, x, num_rows, &mut MemoryState { state, resets }, scratch, &mut [out])?;
            let Some(finals) = &mut finals else { continue };
            while let Some(&row) = fragment.final_rows.get(ended).filter(|&&row| (row as usize) < ticks.end) {
                let width_of_state = model.state_len();
                let env = row as usize - ticks.start;
                let mut before = state[env * width_of_state..(env + 1) * width_of_state].to_vec();
                let x = network::rows(&fragment.final_observations).of(len, &(ended..ended + 1));
                let out = &mut finals[ended * width..(ended + 1) * width];
                let memory = &mut MemoryState { state: &mut before, resets: &[] };
                model.infer(packed, x, 1, memory, scratch, &mut [out])?;
                ended += 1;
            }
        }
        Ok(())
    }
}

/// One of `width` columns.
fn column(rows: &[f32], width: usize, index: usize, to: &mut Vec<f32>) {
    to.clear();
    to.extend(rows.iter().skip(index).step_by(width));
}

impl ShardWork {
    /// Probabilities of the actions under the learning policy over those under the acting one.
    fn ratios(&mut self, fragment: &Fragment, distribution: &Distribution) -> Result<(), AgentError> {
        let (rows, layout) = (fragment.rows(), distribution.policy_data());
        let outputs = &self.policy_outputs[..rows * distribution.outputs()];
        let mut actions = layout.learned_actions(&fragment.actions, &fragment.policy_data);
        let mut masks = fragment.action_masks[..rows * fragment.shape.mask_len].to_vec();
        set_aside(&fragment.active, &mut actions, &mut masks);
        distribution.evaluate(outputs, &masks, &actions, &mut self.evaluated)?;
        self.ratios.clear();
        let log_probs = self.evaluated.log_probs.iter().zip(layout.log_probs(&fragment.policy_data));
        self.ratios.extend(log_probs.map(|(now, then)| (now - then).exp()));
        Ok(())
    }
}

/// Gives rows that took no part in their tick an action that is legal and finite, as nothing is asked of theirs.
///
/// # Shapes
/// `active`: `[N]`, `actions`: `[N, W]`, `masks`: `[N, A]` or empty.
pub(crate) fn set_aside(active: &[bool], actions: &mut ActionBatch, masks: &mut [bool]) {
    let (width, mask_len) = (actions.len() / active.len(), masks.len() / active.len());
    for (row, _) in active.iter().enumerate().filter(|(_, active)| !**active) {
        masks[row * mask_len..(row + 1) * mask_len].fill(true);
        let own = row * width..(row + 1) * width;
        match actions {
            ActionBatch::Discrete(indices) => indices[own].fill(0),
            ActionBatch::Continuous(values) => values[own].fill(0.0),
        }
    }
}
