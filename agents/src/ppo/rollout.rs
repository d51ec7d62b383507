//! A rollout: the fragments of an iteration with their advantages, flattened, and minibatches gathered from it.

use agon_envs::ObsBuffer;
use agon_envs::spaces::Dtype;
use agon_nn::{Input, Packed, Scratch, Sequential};

use super::PpoConfig;
use crate::network;
use crate::returns::{self, Trajectory};
use crate::{AgentError, Fragment};

/// The transitions of all shards, flattened: `B` rows in the order shard, tick, environment. Steps that were none, of agents
/// that had ended before their arena, are not among them.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) observations: ObsBuffer,
    pub(super) actions: Vec<u32>,
    pub(super) action_masks: Vec<bool>,
    pub(super) log_probs: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
}

impl Rollout {
    /// Without rows.
    pub(super) fn new(dtype: Dtype) -> Self {
        Self {
            observations: ObsBuffer::zeros(dtype, 0),
            actions: Vec::new(),
            action_masks: Vec::new(),
            log_probs: Vec::new(),
            values: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.observations.resize(0);
        self.actions.clear();
        self.action_masks.clear();
        self.log_probs.clear();
        self.values.clear();
        self.advantages.clear();
        self.returns.clear();
    }

    /// Appends the transitions of a shard.
    pub(super) fn extend(&mut self, fragment: &Fragment, work: &ShardWork) {
        let (len, mask_len) = (fragment.shape.observation_len, fragment.shape.mask_len);
        let mut start = 0;
        for run in fragment.active.chunk_by(|a, b| a == b) {
            let rows = start..start + run.len();
            start = rows.end;
            if !run[0] {
                continue;
            }
            self.observations.extend_from(&fragment.observations, rows.start * len, rows.len() * len);
            self.actions.extend_from_slice(&fragment.actions.indices()[rows.clone()]);
            let masks = rows.start * mask_len..rows.end * mask_len;
            self.action_masks.extend_from_slice(&fragment.action_masks[masks]);
            self.log_probs.extend_from_slice(&fragment.policy_data[rows.clone()]);
            let (values, advantages) = (&work.values[rows.clone()], &work.advantages[rows]);
            self.values.extend_from_slice(values);
            self.advantages.extend_from_slice(advantages);
            self.returns.extend(advantages.iter().zip(values).map(|(advantage, value)| advantage + value));
        }
    }
}

/// Working memory for one shard's values.
#[derive(Debug, Default)]
pub(super) struct ShardWork {
    pub(super) scratch: Scratch,
    pub(super) values: Vec<f32>,
    pub(super) final_values: Vec<f32>,
    pub(super) next_values: Vec<f32>,
    pub(super) advantages: Vec<f32>,
}

impl ShardWork {
    /// Values of all observations and of the final ones, then advantages.
    pub(super) fn estimate(
        &mut self,
        fragment: &Fragment,
        critic: &Sequential,
        packed: &Packed,
        config: &PpoConfig,
    ) -> Result<(), AgentError> {
        let (rows, num_envs) = (fragment.rows(), fragment.shape.num_envs);
        let finals = fragment.final_rows.len();
        self.values.resize(rows + num_envs, 0.0);
        self.final_values.resize(finals, 0.0);
        self.advantages.resize(rows, 0.0);
        critic.infer(
            packed,
            network::rows(&fragment.observations),
            rows + num_envs,
            &mut self.scratch,
            &mut self.values,
        )?;
        if finals > 0 {
            let observations = network::first_rows(&fragment.final_observations, finals, critic.inputs());
            critic.infer(packed, observations, finals, &mut self.scratch, &mut self.final_values)?;
        }
        self.next_values.clear();
        self.next_values.extend_from_slice(&self.values[num_envs..]);
        for (&row, &value) in fragment.final_rows.iter().zip(&self.final_values) {
            self.next_values[row as usize] = value;
        }
        let trajectory = Trajectory {
            num_envs,
            rewards: &fragment.rewards,
            values: &self.values[..rows],
            next_values: &self.next_values,
            terminated: &fragment.terminated,
            truncated: &fragment.truncated,
        };
        returns::gae(&trajectory, config.gamma as f32, config.gae_lambda as f32, &mut self.advantages);
        Ok(())
    }
}

/// The rows of one slice, gathered from the rollout.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) actions: Vec<u32>,
    pub(super) action_masks: Vec<bool>,
    pub(super) log_probs: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
    pub(super) probs: Vec<f32>,
    pub(super) logit_grads: Vec<f32>,
    pub(super) value_grads: Vec<f32>,
}

impl Gathered {
    /// Copies the given rows out of the rollout; gives their observations.
    pub(super) fn gather(
        &mut self,
        rollout: &Rollout,
        rows: &[u32],
        advantages: &[f32],
        num_actions: usize,
    ) -> Result<Input, AgentError> {
        fn pick<T: Copy>(to: &mut Vec<T>, from: &[T], rows: &[u32], width: usize) {
            to.clear();
            to.extend(rows.iter().flat_map(|&row| &from[row as usize * width..(row as usize + 1) * width]));
        }
        let width = rollout.observations.len() / rollout.actions.len();
        let observations = network::gather(&rollout.observations, width, rows)?;
        pick(&mut self.actions, &rollout.actions, rows, 1);
        pick(
            &mut self.action_masks,
            &rollout.action_masks,
            rows,
            rollout.action_masks.len() / rollout.actions.len(),
        );
        pick(&mut self.log_probs, &rollout.log_probs, rows, 1);
        pick(&mut self.values, &rollout.values, rows, 1);
        pick(&mut self.returns, &rollout.returns, rows, 1);
        self.advantages.clear();
        self.advantages.extend_from_slice(advantages);
        self.probs.resize(rows.len() * num_actions, 0.0);
        self.logit_grads.resize(rows.len() * num_actions, 0.0);
        self.value_grads.resize(rows.len(), 0.0);
        Ok(observations)
    }
}

/// Advantages of the given rows, normalised to mean 0 and deviation 1 if asked for and there is more than one.
pub(super) fn normalise(advantages: &[f32], rows: &[u32], normalise: bool, out: &mut Vec<f32>) {
    out.clear();
    out.extend(rows.iter().map(|&row| advantages[row as usize]));
    if normalise && rows.len() > 1 {
        let n = rows.len() as f64;
        let mean = out.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
        let variance = out.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let (mean, scale) = (mean as f32, 1.0 / (variance.sqrt() as f32 + 1e-8));
        out.iter_mut().for_each(|a| *a = (*a - mean) * scale);
    }
}
