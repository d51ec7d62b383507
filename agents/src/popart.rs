//! PopArt: value targets with mean 0 and deviation 1 in each task, while what is expected of an observation stays what it was.
//!
//! The critic puts out a number `n` for each task; what it expects is `μ + σ n`. Where `μ` and `σ` of a task move, the weights
//! and bias of its output are changed so that the value does not: `w ← w σ / σ'`, `b ← (σ b + μ − μ') / σ'`. Losses read
//! normalised values and targets, and advantages divided by `σ`, so that no task drowns the others.
//!
//! # Source
//! van Hasselt et al. (2016), arXiv:1602.07714; for several tasks Hessel et al. (2018), arXiv:1809.04474.
//!
//! # Deviations
//! 1. Statistics move once a rollout, before it is learned from, and by `max(beta, 1/k)` at a task's `k`-th rollout, so that the
//!    first ones count in full.
//! 2. The variance is kept in place of the second moment, which says the same and loses no digits where means are large.

use agon_nn::{Init, LayoutBuilder, ParamRange, Params};
use serde::{Deserialize, Serialize};

use crate::estimator::ShardWork;
use crate::settings::shares_above_zero;
use crate::{AgentError, Fragment};

/// Bounds of σ, the paper's.
const STD: [f64; 2] = [1e-4, 1e6];

/// PopArt's settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PopArtConfig {
    /// How far mean and variance of a task's value targets move towards those of a rollout; above 0, at most 1.
    pub beta: f64,
}

impl Default for PopArtConfig {
    fn default() -> Self {
        Self { beta: 0.05 }
    }
}

impl PopArtConfig {
    pub(crate) fn validate(&self) -> Result<(), AgentError> {
        shares_above_zero(&[("popart.beta", self.beta)])
    }
}

/// Where a critic's statistics and its output lie among the parameters.
#[derive(Clone, Debug)]
pub(crate) struct PopArt {
    /// `[K]` each.
    mean: ParamRange,
    var: ParamRange,
    rollouts: ParamRange,
    /// `[K, H]` and `[K]`.
    weight: ParamRange,
    bias: ParamRange,
}

impl PopArt {
    /// Adds the statistics of a critic whose head is named so, beside its parameters.
    ///
    /// # Errors
    /// If there is no such head.
    pub(crate) fn new(builder: &mut LayoutBuilder, head: &str, tasks: usize) -> Result<Self, AgentError> {
        let last = |what: &str| {
            let of_head = |name: &str| name.starts_with(&format!("{head}.")) && name.ends_with(what);
            let specs = builder.layout().specs();
            let found = specs.iter().rfind(|spec| of_head(&spec.name)).map(|spec| spec.range.clone());
            found.ok_or_else(|| AgentError::Unsupported {
                algorithm: "popart",
                expected: "a critic that ends in a linear layer",
                found: head.to_owned(),
            })
        };
        let (weight, bias) = (last(".weight")?, last(".bias")?);
        let mut add = |what: &str, init| builder.add_buffer(&format!("{head}.popart.{what}"), &[tasks], init);
        Ok(Self {
            mean: add("running_mean", Init::Zeros),
            var: add("running_var", Init::Constant(1.0)),
            rollouts: add("num_rollouts", Init::Zeros),
            weight,
            bias,
        })
    }

    /// What outputs are scaled by now.
    pub(crate) fn scales(&self, params: &Params) -> Scales {
        let read = |range: &ParamRange| range.read(params.as_slice());
        let std = |var: f32| f64::from(var).sqrt().clamp(STD[0], STD[1]) as f32;
        Scales { mean: read(&self.mean), std: read(&self.var).into_iter().map(std).collect() }
    }

    /// Moves the statistics towards those of a rollout's value targets, and changes the critic's output so that it says the same.
    pub(crate) fn follow(
        &self,
        params: &mut Params,
        fragments: &[Fragment],
        shards: &[ShardWork],
        beta: f64,
    ) {
        let tasks = self.mean.len();
        let mut seen = vec![Seen::default(); tasks];
        for (fragment, work) in fragments.iter().zip(shards) {
            for (row, &target) in work.returns.iter().enumerate().filter(|(row, _)| fragment.active[*row]) {
                seen[task_of(&fragment.tasks, row)].add(f64::from(target));
            }
        }
        let before = self.scales(params);
        let flat = params.as_mut_slice();
        let mut rollouts = self.rollouts.read(flat);
        let (mut mean, mut var) = (self.mean.read(flat), self.var.read(flat));
        for (task, seen) in seen.iter().enumerate().filter(|(_, seen)| seen.count > 0.0) {
            rollouts[task] += 1.0;
            let step = beta.max(1.0 / f64::from(rollouts[task]));
            let moved = seen.mean - f64::from(mean[task]);
            let spread = seen.squares / seen.count;
            mean[task] = (f64::from(mean[task]) + step * moved) as f32;
            let within = (1.0 - step) * f64::from(var[task]) + step * spread;
            var[task] = (within + step * (1.0 - step) * moved * moved) as f32;
        }
        self.mean.write(&mean, flat);
        self.var.write(&var, flat);
        self.rollouts.write(&rollouts, flat);
        let now = self.scales(params);
        self.preserve(&before, &now, params);
    }

    /// Makes `μ' + σ' n'` what `μ + σ n` was.
    fn preserve(&self, before: &Scales, now: &Scales, params: &mut Params) {
        let flat = params.as_mut_slice();
        let (mut weight, mut bias) = (self.weight.read(flat), self.bias.read(flat));
        let width = weight.len() / bias.len();
        for (task, (row, bias)) in weight.chunks_exact_mut(width).zip(&mut bias).enumerate() {
            let (std, std_now) = (f64::from(before.std[task]), f64::from(now.std[task]));
            let moved = f64::from(before.mean[task]) - f64::from(now.mean[task]);
            row.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * std / std_now) as f32);
            *bias = ((std * f64::from(*bias) + moved) / std_now) as f32;
        }
        self.weight.write(&weight, flat);
        self.bias.write(&bias, flat);
    }
}

/// Mean and squared deviations of a task's targets (Welford's).
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Seen {
    fn add(&mut self, target: f64) {
        self.count += 1.0;
        let off = target - self.mean;
        self.mean += off / self.count;
        self.squares += off * (target - self.mean);
    }
}

/// What a critic's outputs are scaled by: `μ` and `σ` of each task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scales {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Scales {
    /// The tasks, `K`.
    pub(crate) fn tasks(&self) -> usize {
        self.mean.len()
    }

    /// What is expected of a row in its task.
    ///
    /// # Shapes
    /// `outputs`: `[K]`.
    pub(crate) fn value(&self, outputs: &[f32], task: usize) -> f32 {
        self.mean[task] + self.std[task] * outputs[task]
    }

    /// Brings values, targets and advantages of a fragment to the scale of the outputs.
    pub(crate) fn normalise(&self, fragment: &Fragment, work: &mut ShardWork) {
        let rows = work.values.iter_mut().zip(&mut work.returns).zip(&mut work.advantages);
        for (row, ((value, target), advantage)) in rows.enumerate() {
            let task = task_of(&fragment.tasks, row);
            let (mean, std) = (self.mean[task], self.std[task]);
            *value = (*value - mean) / std;
            *target = (*target - mean) / std;
            *advantage /= std;
        }
    }
}

/// The task of a row; the only one where tasks are not told apart.
pub(crate) fn task_of(tasks: &[u32], row: usize) -> usize {
    tasks.get(row).map_or(0, |&task| task as usize)
}

#[cfg(test)]
mod tests;
