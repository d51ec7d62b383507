//! A rollout: the fragments of an iteration with their advantages, flattened.
//!
//! What minibatches are made of is a *unit*: one transition, or, for a network with a memory, a sequence of consecutive
//! ticks of one row with the state before its first one.

use agon_envs::spaces::Dtype;
use agon_envs::{ActionBatch, ActionSpec, ObsBuffer};

use crate::actor_critic::ActorCritic;
use crate::distribution::other_actions;
use crate::estimator::{ShardWork, set_aside};
use crate::policy_data::PolicyData;
use crate::{AgentError, Fragment, returns};

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
    pub(crate) resets: Vec<bool>,
    /// First row of each unit.
    starts: Vec<u32>,
    /// From one row of a unit to the next.
    stride: usize,
    /// Rows of a unit.
    pub(crate) sequence_length: usize,
    /// `[units, S]`.
    pub(crate) states: Vec<f32>,
    pub(crate) state_len: usize,
    policy_data: PolicyData,
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
            policy_data: PolicyData::of(spec),
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
    pub(crate) fn extend(&mut self, fragment: &Fragment, work: &ShardWork) -> Result<(), AgentError> {
        let first = self.active.len();
        let (rows, shape) = (fragment.rows(), &fragment.shape);
        self.observations.extend_from(&fragment.observations, 0, rows * shape.observation_len);
        let mut actions = self.policy_data.learned_actions(&fragment.actions, &fragment.policy_data);
        let masks = self.action_masks.len();
        self.action_masks.extend_from_slice(&fragment.action_masks[..rows * shape.mask_len]);
        set_aside(&fragment.active, &mut actions, &mut self.action_masks[masks..]);
        match (&mut self.actions, actions) {
            (ActionBatch::Discrete(to), ActionBatch::Discrete(from)) => to.extend_from_slice(&from),
            (ActionBatch::Continuous(to), ActionBatch::Continuous(from)) => to.extend_from_slice(&from),
            _ => return Err(other_actions()),
        }
        self.log_probs.extend(self.policy_data.log_probs(&fragment.policy_data));
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
        Ok(())
    }

    /// How well the values predicted the returns, over the transitions.
    pub(crate) fn explained_variance(&self) -> f64 {
        let of_transitions = |numbers: &[f32]| -> Vec<f32> {
            let numbers = numbers.iter().zip(&self.active).filter(|(_, active)| **active);
            numbers.map(|(number, _)| *number).collect()
        };
        returns::explained_variance(&of_transitions(&self.values), &of_transitions(&self.returns))
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
