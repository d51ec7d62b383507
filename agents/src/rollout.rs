//! A rollout: the fragments of an iteration with their advantages, flattened, and minibatches gathered from it.
//!
//! What minibatches are made of is a *unit*: one transition, or, for a network with a memory, a sequence of consecutive
//! ticks of one row with the state before its first one.

use agon_envs::spaces::Dtype;
use agon_envs::{ActionBatch, ActionSpec, ObsBuffer};
use agon_nn::{Input, Matrix, MemoryState, Model, ModelScratch, PackedModel, Params, Rows};

use crate::actor_critic::ActorCritic;
use crate::distribution::{Distribution, Evaluated};
use crate::network;
use crate::returns::{self, Trajectory};
use crate::rnd::Bonus;
use crate::{AgentError, Fragment};

/// How advantages and value targets are estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Targets {
    /// Generalised advantage estimation; targets are λ-returns.
    Gae { gamma: f32, gae_lambda: f32 },
    /// V-trace: corrected for what the acting policy did differently. The advantages carry their importance weights if
    /// `weighted`; else the loss has a ratio of its own.
    Vtrace { gamma: f32, rho_bar: f32, c_bar: f32, weighted: bool },
}

/// The steps of all shards, flattened: `B` rows in the order shard, tick, row of the shard.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) observations: ObsBuffer,
    /// As they are learned from: continuous ones before they were clipped.
    pub(crate) actions: ActionBatch,
    pub(crate) action_masks: Vec<bool>,
    pub(crate) log_probs: Vec<f32>,
    pub(crate) values: Vec<f32>,
    pub(crate) advantages: Vec<f32>,
    pub(crate) returns: Vec<f32>,
    /// Targets of the bonus's value function, if there is a bonus.
    pub(crate) bonus_returns: Vec<f32>,
    /// False where the row took no part in the tick, which so is no transition.
    pub(crate) active: Vec<bool>,
    resets: Vec<bool>,
    /// First row of each unit.
    starts: Vec<u32>,
    /// From one row of a unit to the next.
    stride: usize,
    /// Rows of a unit.
    sequence_length: usize,
    /// `[units, S]`.
    states: Vec<f32>,
    state_len: usize,
}

impl Rollout {
    /// Without rows. Units have `sequence_length` ticks if the networks have a memory, else one.
    pub(crate) fn new(
        networks: &ActorCritic,
        dtype: Dtype,
        spec: &ActionSpec,
        sequence_length: usize,
    ) -> Self {
        let state_len = networks.state_len();
        Self {
            observations: ObsBuffer::zeros(dtype, 0),
            actions: ActionBatch::zeros(spec, 0),
            action_masks: Vec::new(),
            log_probs: Vec::new(),
            values: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
            bonus_returns: Vec::new(),
            active: Vec::new(),
            resets: Vec::new(),
            starts: Vec::new(),
            stride: 0,
            sequence_length: if state_len > 0 { sequence_length } else { 1 },
            states: Vec::new(),
            state_len,
        }
    }

    /// Units that minibatches are made of.
    pub(crate) fn units(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn clear(&mut self) {
        self.observations.resize(0);
        match &mut self.actions {
            ActionBatch::Discrete(indices) => indices.clear(),
            ActionBatch::Continuous(values) => values.clear(),
        }
        self.starts.clear();
        self.states.clear();
        let Self { log_probs, values, advantages, returns, bonus_returns, .. } = self;
        [log_probs, values, advantages, returns, bonus_returns].into_iter().for_each(Vec::clear);
        let Self { action_masks, active, resets, .. } = self;
        [action_masks, active, resets].into_iter().for_each(Vec::clear);
    }

    /// Appends the steps of a shard.
    pub(crate) fn extend(&mut self, fragment: &Fragment, work: &ShardWork) {
        let first = self.active.len();
        let (rows, shape) = (fragment.rows(), &fragment.shape);
        self.observations.extend_from(&fragment.observations, 0, rows * shape.observation_len);
        let data_width = shape.policy_data_width;
        match (&mut self.actions, &fragment.actions) {
            (ActionBatch::Discrete(to), ActionBatch::Discrete(from)) => to.extend_from_slice(from),
            (ActionBatch::Continuous(to), _) => {
                fragment.policy_data.chunks_exact(data_width).for_each(|row| to.extend_from_slice(&row[1..]));
            }
            (ActionBatch::Discrete(_), ActionBatch::Continuous(_)) => {}
        }
        self.action_masks.extend_from_slice(&fragment.action_masks[..rows * shape.mask_len]);
        self.log_probs.extend(fragment.policy_data.iter().step_by(data_width));
        self.values.extend_from_slice(&work.values[..rows]);
        self.advantages.extend_from_slice(&work.advantages);
        self.returns.extend_from_slice(&work.returns);
        self.bonus_returns.extend_from_slice(&work.bonus_returns);
        self.active.extend_from_slice(&fragment.active);
        self.resets.extend_from_slice(&fragment.resets);
        self.stride = shape.num_rows();
        if self.state_len == 0 {
            let active = fragment.active.iter().enumerate().filter(|(_, active)| **active);
            self.starts.extend(active.map(|(row, _)| (first + row) as u32));
        } else {
            for tick in (0..shape.num_steps).step_by(self.sequence_length) {
                let start = first + tick * shape.num_rows();
                self.starts.extend((start..start + shape.num_rows()).map(|row| row as u32));
            }
            self.states.extend_from_slice(&work.states);
        }
    }

    /// Advantages of those of the given rows that are transitions.
    pub(crate) fn advantages_of(&self, rows: &[u32]) -> Vec<f32> {
        let rows = rows.iter().map(|&row| row as usize).filter(|&row| self.active[row]);
        rows.map(|row| self.advantages[row]).collect()
    }

    /// The rows of some units, tick by tick.
    pub(crate) fn rows(&self, units: &[u32], rows: &mut Vec<u32>) {
        rows.clear();
        for tick in 0..self.sequence_length {
            let offset = (tick * self.stride) as u32;
            rows.extend(units.iter().map(|&unit| self.starts[unit as usize] + offset));
        }
    }
}

/// Working memory for one shard's values and advantages.
#[derive(Debug, Default)]
pub(crate) struct ShardWork {
    scratch: ModelScratch,
    /// `[T + 1, N]`.
    values: Vec<f32>,
    /// Of the final observations.
    final_values: Vec<f32>,
    next_values: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
    bonus_returns: Vec<f32>,
    /// `[T + 1, N, V]`, and of the final observations: all values.
    outputs: Vec<f32>,
    final_outputs: Vec<f32>,
    /// `[units, S]`.
    states: Vec<f32>,
    /// `[N, S]`, as ticks pass.
    state: Vec<f32>,
    policy_outputs: Vec<f32>,
    ratios: Vec<f32>,
    evaluated: Evaluated,
}

/// The networks that advantages are estimated with.
pub(crate) struct Estimator<'a> {
    pub(crate) networks: &'a ActorCritic,
    critic: PackedModel,
    /// For V-trace, which needs the learning policy's probabilities.
    actor: Option<PackedModel>,
    sequence_length: usize,
    targets: Targets,
}

impl<'a> Estimator<'a> {
    pub(crate) fn new(
        networks: &'a ActorCritic,
        params: &Params,
        rollout: &Rollout,
        targets: Targets,
    ) -> Result<Self, AgentError> {
        let actor = match targets {
            Targets::Gae { .. } => None,
            Targets::Vtrace { .. } => Some(PackedModel::new(&networks.actor, params)?),
        };
        let critic = PackedModel::new(&networks.critic, params)?;
        Ok(Self { networks, critic, actor, sequence_length: rollout.sequence_length, targets })
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
        let width = self.networks.critic.outputs(0);
        column(&work.outputs, width, 0, &mut work.values);
        column(&work.final_outputs, width, 0, &mut work.final_values);
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
            let x = part(&all, ticks.start * len..ticks.end * len);
            let out = &mut outputs[ticks.start * width..ticks.end * width];
            model.infer(packed, x, num_rows, &mut MemoryState { state, resets }, scratch, &mut [out])?;
            let Some(finals) = &mut finals else { continue };
            while let Some(&row) = fragment.final_rows.get(ended).filter(|&&row| (row as usize) < ticks.end) {
                let width_of_state = model.state_len();
                let env = row as usize - ticks.start;
                let mut before = state[env * width_of_state..(env + 1) * width_of_state].to_vec();
                let x = part(&network::rows(&fragment.final_observations), ended * len..(ended + 1) * len);
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

/// Some values of rows.
fn part<'a>(rows: &Rows<'a>, range: std::ops::Range<usize>) -> Rows<'a> {
    match *rows {
        Rows::F32(values) => Rows::F32(&values[range]),
        Rows::U8 { values, scale } => Rows::U8 { values: &values[range], scale },
    }
}

impl ShardWork {
    /// Probabilities of the actions under the learning policy over those under the acting one.
    fn ratios(&mut self, fragment: &Fragment, distribution: &Distribution) -> Result<(), AgentError> {
        let (rows, data_width) = (fragment.rows(), fragment.shape.policy_data_width);
        let outputs = &self.policy_outputs[..rows * distribution.outputs()];
        let masks = &fragment.action_masks[..rows * fragment.shape.mask_len];
        let recorded = fragment.policy_data.chunks_exact(data_width);
        match &fragment.actions {
            ActionBatch::Discrete(_) => {
                distribution.evaluate(outputs, masks, &fragment.actions, &mut self.evaluated)?;
            }
            ActionBatch::Continuous(_) => {
                let raw = recorded.clone().flat_map(|row| &row[1..]).copied().collect();
                distribution.evaluate(outputs, masks, &ActionBatch::Continuous(raw), &mut self.evaluated)?;
            }
        }
        self.ratios.clear();
        let log_probs = self.evaluated.log_probs.iter().zip(recorded);
        self.ratios.extend(log_probs.map(|(now, then)| (now - then[0]).exp()));
        Ok(())
    }
}

/// The rows of one slice of a minibatch, gathered from the rollout.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Rows of the rollout, tick by tick.
    pub(crate) rows: Vec<u32>,
    pub(crate) actions: ActionBatch,
    pub(crate) action_masks: Vec<bool>,
    pub(crate) resets: Vec<bool>,
    /// `[units, S]`, for a network with a memory.
    pub(crate) states: Option<Matrix>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            actions: ActionBatch::Discrete(Vec::new()),
            action_masks: Vec::new(),
            resets: Vec::new(),
            states: None,
        }
    }
}

impl Gathered {
    /// Copies what networks read of the given units out of the rollout; gives their observations.
    pub(crate) fn gather(&mut self, rollout: &Rollout, units: &[u32]) -> Result<Input, AgentError> {
        rollout.rows(units, &mut self.rows);
        let (rows, all) = (&self.rows, rollout.active.len());
        let width = rollout.actions.len() / all;
        match (&mut self.actions, &rollout.actions) {
            (ActionBatch::Discrete(to), ActionBatch::Discrete(from)) => pick(to, from, rows, width),
            (ActionBatch::Continuous(to), ActionBatch::Continuous(from)) => pick(to, from, rows, width),
            (to, ActionBatch::Continuous(from)) => {
                let mut values = Vec::new();
                pick(&mut values, from, rows, width);
                *to = ActionBatch::Continuous(values);
            }
            (ActionBatch::Continuous(_), ActionBatch::Discrete(_)) => {}
        }
        pick(&mut self.action_masks, &rollout.action_masks, rows, rollout.action_masks.len() / all);
        if rollout.state_len > 0 {
            pick(&mut self.resets, &rollout.resets, rows, 1);
            let mut states = Vec::new();
            pick(&mut states, &rollout.states, units, rollout.state_len);
            self.states = Some(Matrix::from_slice(units.len(), rollout.state_len, &states)?);
        }
        network::gather(&rollout.observations, rollout.observations.len() / all, rows)
    }

    /// Ticks of a unit.
    pub(crate) fn sequence_length(&self, units: usize) -> usize {
        self.rows.len() / units
    }
}

/// Some rows of a column of `width` values.
fn pick<T: Copy>(to: &mut Vec<T>, from: &[T], rows: &[u32], width: usize) {
    to.clear();
    if width == 1 {
        to.extend(rows.iter().map(|&row| from[row as usize]));
    } else {
        rows.iter()
            .for_each(|&row| to.extend_from_slice(&from[row as usize * width..(row as usize + 1) * width]));
    }
}

/// What the rows of a whole minibatch have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MinibatchScale {
    /// Transitions among its rows.
    pub(crate) transitions: usize,
    /// Taken from advantages.
    pub(crate) mean: f32,
    /// What they are then multiplied by.
    pub(crate) factor: f32,
}

impl MinibatchScale {
    /// Of the advantages of a minibatch's transitions; normalised to mean 0 and deviation 1 if asked for and there is more
    /// than one.
    pub(crate) fn of(advantages: &[f32], normalise: bool) -> Self {
        let transitions = advantages.len();
        if !normalise || transitions < 2 {
            return Self { transitions, mean: 0.0, factor: 1.0 };
        }
        let n = transitions as f64;
        let mean = advantages.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
        let variance = advantages.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { transitions, mean: mean as f32, factor: 1.0 / (variance.sqrt() as f32 + 1e-8) }
    }

    /// An advantage as the loss reads it.
    pub(crate) fn scaled(&self, advantage: f32) -> f32 {
        (advantage - self.mean) * self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_are_normalised_to_mean_zero_and_deviation_one() {
        let advantages: Vec<f32> = (0..67).map(|i| ((i * 37) % 101) as f32 * 3.0 + 500.0).collect();
        let scaled = |advantages: &[f32], normalise| -> Vec<f32> {
            let scale = MinibatchScale::of(advantages, normalise);
            assert_eq!(scale.transitions, advantages.len());
            advantages.iter().map(|&a| scale.scaled(a)).collect()
        };
        let out = scaled(&advantages, true);
        let n = out.len() as f64;
        let mean = out.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
        let variance = out.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!(mean.abs() < 1e-6 && (variance.sqrt() - 1.0).abs() < 1e-6, "{mean} {variance}");
        assert_eq!(scaled(&advantages, false), advantages);
        // One advantage has no deviation, equal ones have none to divide by.
        assert_eq!(scaled(&[3.5], true), [3.5]);
        assert_eq!(scaled(&[0.7; 4], true), [0.0; 4]);
    }
}
