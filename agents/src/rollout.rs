//! A rollout: the fragments of an iteration with their advantages, flattened.
//!
//! What minibatches are made of is a *unit*: one transition, or, for a network with a memory, a sequence of consecutive
//! ticks of one row with the state before its first one.

use agon_envs::{ActionBatch, ActionSpec};

use crate::actor_critic::ActorCritic;
use crate::distribution::other_actions;
use crate::estimator::{ShardWork, set_aside};
use crate::guide::Guide;
use crate::observations::Observations;
use crate::policy_data::PolicyData;
use crate::slices::for_each;
use crate::{AgentError, Fragment, returns};

/// The steps of all shards, flattened: `B` rows in the order shard, tick, row of the shard.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) observations: Observations,
    /// What a teacher sees, where that is not the same.
    privileged: Option<Observations>,
    /// As they are learned from: continuous ones before they were clipped.
    pub(crate) actions: ActionBatch,
    pub(crate) action_masks: Vec<bool>,
    pub(crate) log_probs: Vec<f32>,
    pub(crate) values: Vec<f32>,
    pub(crate) advantages: Vec<f32>,
    pub(crate) returns: Vec<f32>,
    /// What a teacher would do, `[B, P]`; empty without one.
    pub(crate) guidance: Vec<f32>,
    /// Targets of the bonus's value function, if there is a bonus.
    pub(crate) bonus_returns: Vec<f32>,
    /// False where the row took no part in the tick, which so is no transition.
    pub(crate) active: Vec<bool>,
    /// Whether it is true everywhere.
    pub(crate) all_active: bool,
    pub(crate) resets: Vec<bool>,
    /// The task of each row; empty where there is but one, or the critic puts out no value for each.
    pub(crate) tasks: Vec<u32>,
    has_tasks: bool,
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
    /// Without rows. Units have `sequence_length` ticks.
    pub(crate) fn new(
        networks: &ActorCritic,
        (observations, privileged): (Observations, Option<Observations>),
        spec: &ActionSpec,
        sequence_length: usize,
    ) -> Self {
        let state_len = networks.state_len();
        Self {
            observations,
            privileged,
            actions: ActionBatch::zeros(spec, 0),
            action_masks: Vec::new(),
            log_probs: Vec::new(),
            values: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
            guidance: Vec::new(),
            bonus_returns: Vec::new(),
            active: Vec::new(),
            all_active: true,
            resets: Vec::new(),
            tasks: Vec::new(),
            has_tasks: networks.popart.is_some(),
            starts: Vec::new(),
            stride: 0,
            sequence_length,
            states: Vec::new(),
            state_len,
            policy_data: PolicyData::of(spec),
        }
    }

    /// Units that minibatches are made of.
    pub(crate) fn units(&self) -> usize {
        self.starts.len()
    }

    /// Takes on the steps of all shards, one after the other, on the threads of the team.
    pub(crate) fn fill(&mut self, fragments: &[Fragment], shards: &[ShardWork]) -> Result<(), AgentError> {
        let Some(first) = fragments.first() else { return Ok(()) };
        let (count, rows, shape) = (fragments.len(), first.rows(), &first.shape);
        let total = count * rows;
        self.stride = shape.num_rows();
        match &mut self.actions {
            ActionBatch::Discrete(indices) => indices.resize(total * shape.action_spec.width(), 0),
            ActionBatch::Continuous(values) => values.resize(total * shape.action_spec.width(), 0.0),
        }
        self.action_masks.resize(total * shape.mask_len, false);
        let Self { log_probs, values, advantages, returns, .. } = self;
        [log_probs, values, advantages, returns].into_iter().for_each(|column| column.resize(total, 0.0));
        let of_bonus = if shards[0].bonus_returns.is_empty() { 0 } else { total };
        self.bonus_returns.resize(of_bonus, 0.0);
        self.active.resize(total, false);
        self.resets.resize(total, false);
        self.states.resize(if self.state_len == 0 { 0 } else { count * shards[0].states.len() }, 0.0);
        self.all_active = fragments.iter().all(|fragment| fragment.active.iter().all(|&active| active));
        self.tasks.clear();
        for fragment in fragments.iter().filter(|_| self.has_tasks) {
            self.tasks.extend_from_slice(&fragment.tasks);
        }
        self.find_starts(fragments);
        let policy_data = self.policy_data;
        self.observations.fill(fragments, |fragment| &fragment.observations)?;
        if let Some(privileged) = &mut self.privileged {
            privileged.fill(fragments, |fragment| &fragment.privileged)?;
        }
        let mut parts = self.parts(count);
        for_each(&mut parts, |index, part| part.fill(&fragments[index], &shards[index], policy_data))
    }

    /// Asks a teacher what it would do in every row, on the threads of the team.
    pub(crate) fn ask(&mut self, guide: &Guide, outputs: usize) -> Result<(), AgentError> {
        /// Rows that are asked about at once.
        const ROWS: usize = 1024;
        let rows = self.active.len();
        let mut guidance = std::mem::take(&mut self.guidance);
        guidance.resize(rows * outputs, 0.0);
        let mut parts: Vec<&mut [f32]> = guidance.chunks_mut(ROWS * outputs).collect();
        let seen = self.privileged.as_ref().unwrap_or(&self.observations);
        let outcome = for_each(&mut parts, |index, part| {
            let first = index * ROWS;
            let rows: Vec<u32> = (first..first + part.len() / outputs).map(|row| row as u32).collect();
            part.copy_from_slice(&guide.outputs(&seen.gather(&rows)?)?);
            Ok::<_, AgentError>(())
        });
        self.guidance = guidance;
        outcome
    }

    /// What the teacher would do in some rows, `[rows.len(), P]`.
    pub(crate) fn guidance_of(&self, rows: &[u32]) -> Vec<f32> {
        let width = self.guidance.len() / self.active.len();
        let of_row = |&row: &u32| &self.guidance[row as usize * width..(row as usize + 1) * width];
        rows.iter().flat_map(of_row).copied().collect()
    }

    /// Where units begin.
    fn find_starts(&mut self, fragments: &[Fragment]) {
        self.starts.clear();
        let of_transitions = self.state_len == 0 && self.sequence_length == 1;
        let mut first = 0;
        for fragment in fragments {
            let num_rows = fragment.shape.num_rows();
            if of_transitions && self.all_active {
                self.starts.extend((first..first + fragment.rows()).map(|row| row as u32));
            } else if of_transitions {
                let active = fragment.active.iter().enumerate().filter(|(_, active)| **active);
                self.starts.extend(active.map(|(row, _)| (first + row) as u32));
            } else {
                for tick in (0..fragment.shape.num_steps).step_by(self.sequence_length) {
                    let start = first + tick * num_rows;
                    self.starts.extend((start..start + num_rows).map(|row| row as u32));
                }
            }
            first += fragment.rows();
        }
    }

    /// The rows of each of `count` shards.
    fn parts(&mut self, count: usize) -> Vec<Part<'_>> {
        let actions: Vec<ActionPart<'_>> = match &mut self.actions {
            ActionBatch::Discrete(indices) => split(indices, count).map(ActionPart::Discrete).collect(),
            ActionBatch::Continuous(values) => split(values, count).map(ActionPart::Continuous).collect(),
        };
        let flags = split(&mut self.action_masks, count)
            .zip(split(&mut self.active, count))
            .zip(split(&mut self.resets, count));
        let numbers = split(&mut self.log_probs, count)
            .zip(split(&mut self.values, count))
            .zip(split(&mut self.advantages, count))
            .zip(split(&mut self.returns, count))
            .zip(split(&mut self.bonus_returns, count))
            .zip(split(&mut self.states, count));
        let columns = actions.into_iter().zip(flags).zip(numbers);
        let part = columns.map(|((actions, ((action_masks, active), resets)), numbers)| {
            let (((((log_probs, values), advantages), returns), bonus_returns), states) = numbers;
            Part {
                actions,
                action_masks,
                active,
                resets,
                log_probs,
                values,
                advantages,
                returns,
                bonus_returns,
                states,
            }
        });
        part.collect()
    }

    /// How well the values predicted the returns, over the transitions.
    pub(crate) fn explained_variance(&self) -> f64 {
        if self.all_active {
            return returns::explained_variance(&self.values, &self.returns);
        }
        let of_transitions = |numbers: &[f32]| -> Vec<f32> {
            let numbers = numbers.iter().zip(&self.active).filter(|(_, active)| **active);
            numbers.map(|(number, _)| *number).collect()
        };
        returns::explained_variance(&of_transitions(&self.values), &of_transitions(&self.returns))
    }

    /// The advantages of the transitions among some units.
    pub(crate) fn advantages_of(&self, units: &[u32]) -> Vec<f32> {
        let mut advantages = Vec::with_capacity(units.len() * self.sequence_length);
        for tick in 0..self.sequence_length {
            let rows = units.iter().map(|&unit| self.starts[unit as usize] as usize + tick * self.stride);
            if self.all_active {
                advantages.extend(rows.map(|row| self.advantages[row]));
            } else {
                advantages.extend(rows.filter(|&row| self.active[row]).map(|row| self.advantages[row]));
            }
        }
        advantages
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

/// The rows of one shard.
struct Part<'a> {
    actions: ActionPart<'a>,
    action_masks: &'a mut [bool],
    active: &'a mut [bool],
    resets: &'a mut [bool],
    log_probs: &'a mut [f32],
    values: &'a mut [f32],
    advantages: &'a mut [f32],
    returns: &'a mut [f32],
    bonus_returns: &'a mut [f32],
    states: &'a mut [f32],
}

enum ActionPart<'a> {
    Discrete(&'a mut [u32]),
    Continuous(&'a mut [f32]),
}

impl Part<'_> {
    fn fill(
        &mut self,
        fragment: &Fragment,
        work: &ShardWork,
        policy_data: PolicyData,
    ) -> Result<(), AgentError> {
        let rows = fragment.rows();
        let masks = self.action_masks.len();
        self.action_masks.copy_from_slice(&fragment.action_masks[..masks]);
        let mut actions = policy_data.learned_actions(&fragment.actions, &fragment.policy_data);
        set_aside(&fragment.active, &mut actions, self.action_masks);
        match (&mut self.actions, &actions) {
            (ActionPart::Discrete(to), ActionBatch::Discrete(from)) => to.copy_from_slice(from),
            (ActionPart::Continuous(to), ActionBatch::Continuous(from)) => to.copy_from_slice(from),
            _ => return Err(other_actions()),
        }
        for (to, from) in self.log_probs.iter_mut().zip(policy_data.log_probs(&fragment.policy_data)) {
            *to = from;
        }
        self.values.copy_from_slice(&work.values[..rows]);
        self.advantages.copy_from_slice(&work.advantages);
        self.returns.copy_from_slice(&work.returns);
        self.bonus_returns.copy_from_slice(&work.bonus_returns);
        self.active.copy_from_slice(&fragment.active);
        self.resets.copy_from_slice(&fragment.resets);
        self.states.copy_from_slice(&work.states[..self.states.len()]);
        Ok(())
    }
}

/// A column as `count` equally long parts.
fn split<T>(column: &mut [T], count: usize) -> impl Iterator<Item = &mut [T]> {
    let len = column.len() / count;
    let mut rest = column;
    (0..count).map(move |_| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        part
    })
}
