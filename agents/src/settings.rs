//! The bounds of settings that several algorithms have, each with one wording.

use agon_nn::OptimizerConfig;

use crate::coefficient::Coefficient;
use crate::error::{OPTIMIZER, ensure, positive};
use crate::{AgentError, RunInfo};

/// Slices that a gradient may be summed over.
const MOST_SLICES: usize = 64;

/// Most that a number of steps, rows or updates may be: far beyond what a run can do, and far from overflowing.
const MOST: u64 = 1_000_000_000;
/// Most updates, or passes, between two looks at whether a run is to stop.
const MOST_UPDATES: u64 = 100_000;

/// Most rows of a minibatch that nothing else bounds.
const MOST_ROWS: u64 = 1 << 20;

/// Most samples of a distribution: each is an output for every action.
const MOST_SAMPLES: u64 = 10_000;

/// Settings that must be at least 1.
pub(crate) fn at_least_one(fields: &[(&'static str, u64)]) -> Result<(), AgentError> {
    fields.iter().try_for_each(|&(field, value)| {
        ensure(value > 0, field, "at least 1", value)?;
        ensure(value <= MOST, field, "at most 1000000000", value)
    })
}

/// Numbers of samples, atoms or quantiles of a distribution, and widths of small layers.
pub(crate) fn samples(fields: &[(&'static str, u64)]) -> Result<(), AgentError> {
    fields.iter().try_for_each(|&(field, value)| {
        ensure(value > 0, field, "at least 1", value)?;
        ensure(value <= MOST_SAMPLES, field, "at most 10000", value)
    })
}

/// Numbers of updates, or of passes, that follow each other: at least 1.
pub(crate) fn updates(fields: &[(&'static str, u64)]) -> Result<(), AgentError> {
    fields.iter().try_for_each(|&(field, value)| {
        ensure(value > 0, field, "at least 1", value)?;
        ensure(value <= MOST_UPDATES, field, "at most 100000", value)
    })
}

/// Numbers of rows that are held at once: at least 1, and no more than memory has room for.
pub(crate) fn rows(fields: &[(&'static str, u64)]) -> Result<(), AgentError> {
    fields.iter().try_for_each(|&(field, value)| {
        ensure(value > 0, field, "at least 1", value)?;
        ensure(value <= MOST_ROWS, field, "at most 1048576", value)
    })
}

/// Settings that must be above 0, and finite.
pub(crate) fn above_zero(fields: &[(&'static str, f64)]) -> Result<(), AgentError> {
    fields.iter().try_for_each(|&(field, value)| ensure(positive(value), field, "above 0", value))
}

/// Settings that must be at least 0, and finite.
pub(crate) fn at_least_zero(fields: &[(&'static str, f64)]) -> Result<(), AgentError> {
    fields
        .iter()
        .try_for_each(|&(field, value)| ensure(value >= 0.0 && value.is_finite(), field, "at least 0", value))
}

/// Settings that must be between 0 and 1.
pub(crate) fn shares(fields: &[(&'static str, f64)]) -> Result<(), AgentError> {
    fields
        .iter()
        .try_for_each(|&(field, value)| ensure((0.0..=1.0).contains(&value), field, "between 0 and 1", value))
}

/// Settings that must be above 0 and at most 1.
pub(crate) fn shares_above_zero(fields: &[(&'static str, f64)]) -> Result<(), AgentError> {
    fields.iter().try_for_each(|&(field, value)| {
        ensure(value > 0.0 && value <= 1.0, field, "above 0 and at most 1", value)
    })
}

/// Updates between two resets of networks: at least 1.
pub(crate) fn reset_every(updates: Option<u64>) -> Result<(), AgentError> {
    at_least_one(&[("reset_every", updates.unwrap_or(1))])
}

/// The settings of everything that learns by gradients.
pub(crate) struct Learning {
    pub(crate) learning_rate: Coefficient,
    pub(crate) gamma: f64,
    /// None if the number is left to the algorithm.
    pub(crate) gradient_slices: Option<usize>,
    pub(crate) optimizer: OptimizerConfig,
}

impl Learning {
    pub(crate) fn validate(&self) -> Result<(), AgentError> {
        self.learning_rate.ensure_above_zero("learning_rate")?;
        shares(&[("gamma", self.gamma)])?;
        let slices = self.gradient_slices.unwrap_or(1);
        ensure((1..=MOST_SLICES).contains(&slices), "gradient_slices", "between 1 and 64", slices)?;
        Ok(self.optimizer.validate().map_err(|error| error.within(OPTIMIZER))?)
    }
}

/// The settings of everything that learns from single replayed steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replaying {
    pub(crate) buffer_size: usize,
    pub(crate) learning_starts: u64,
    pub(crate) train_frequency: usize,
    pub(crate) gradient_steps: usize,
    pub(crate) batch_size: usize,
    pub(crate) gradient_slices: usize,
}

impl Replaying {
    pub(crate) fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        let Self { buffer_size, gradient_steps, batch_size, train_frequency, .. } = *self;
        updates(&[("gradient_steps", gradient_steps as u64)])?;
        ensure(buffer_size > 0, "buffer_size", "at least 1", buffer_size)?;
        at_least_one(&[("batch_size", batch_size as u64)])?;
        if batch_size > buffer_size {
            let expected = format!("at most buffer_size = {buffer_size}");
            return Err(AgentError::setting("batch_size", expected, batch_size));
        }
        let rows = "at least num_envs * num_agents";
        ensure(buffer_size >= info.num_rows(), "buffer_size", rows, buffer_size)?;
        addressable(buffer_size)?;
        let envs = info.num_envs;
        if train_frequency == 0
            || !(train_frequency.is_multiple_of(envs) || envs.is_multiple_of(train_frequency))
        {
            let expected = format!("a multiple or a divisor of num_envs = {envs}");
            return Err(AgentError::setting("train_frequency", expected, train_frequency));
        }
        Ok(())
    }

    /// Ticks between updates, and updates then: where a tick has the steps of several rounds, their updates follow together.
    pub(crate) fn rhythm(&self, num_envs: usize) -> (usize, usize) {
        let ticks = (self.train_frequency / num_envs).max(1);
        (ticks, self.gradient_steps.saturating_mul((num_envs / self.train_frequency).max(1)))
    }
}

/// The settings of world models, which learn from replayed sequences that begin where fragments did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayingSequences {
    pub(crate) buffer_size: usize,
    pub(crate) learning_starts: u64,
    pub(crate) num_steps: usize,
    pub(crate) sequence_length: usize,
    pub(crate) batch_size: usize,
    pub(crate) gradient_steps: usize,
    pub(crate) gradient_slices: usize,
}

impl ReplayingSequences {
    pub(crate) fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        let Self { buffer_size, num_steps, sequence_length, batch_size, gradient_steps, .. } = *self;
        at_least_one(&[("num_steps", num_steps as u64), ("sequence_length", sequence_length as u64)])?;
        updates(&[("gradient_steps", gradient_steps as u64)])?;
        rows(&[("batch_size", batch_size as u64)])?;
        rows(&[("batch_size * sequence_length", self.moments())])?;
        ensure(buffer_size > 0, "buffer_size", "at least 1", buffer_size)?;
        if !sequence_length.is_multiple_of(num_steps) {
            let expected = format!("a multiple of num_steps = {num_steps}");
            return Err(AgentError::setting("sequence_length", expected, sequence_length));
        }
        let least = sequence_length.saturating_mul(2 * info.num_rows());
        if buffer_size < least {
            let expected = format!("at least 2 sequences of each environment = {least}");
            return Err(AgentError::setting("buffer_size", expected, buffer_size));
        }
        addressable(buffer_size)
    }

    /// Moments of a minibatch.
    pub(crate) fn moments(&self) -> u64 {
        (self.batch_size as u64).saturating_mul(self.sequence_length as u64)
    }
}

/// A group of settings, out of a configuration that has them under the same names.
macro_rules! group {
    ($group:ident of $config:expr, $($field:ident),+) => {
        $group { $($field: $config.$field),+ }
    };
}

/// [`Learning`], out of a configuration.
macro_rules! learning {
    ($config:expr) => {{
        use crate::settings::Learning;
        let config = $config;
        Learning {
            learning_rate: config.learning_rate,
            gamma: config.gamma,
            gradient_slices: config.gradient_slices.into(),
            optimizer: config.optimizer,
        }
    }};
}

/// [`Replaying`], out of a configuration.
macro_rules! replaying {
    ($config:expr) => {{
        use crate::settings::{Replaying, group};
        group!(
            Replaying of $config,
            buffer_size, learning_starts, train_frequency, gradient_steps, batch_size, gradient_slices
        )
    }};
}

/// [`ReplayingSequences`], out of a configuration.
macro_rules! replaying_sequences {
    ($config:expr) => {{
        use crate::settings::{ReplayingSequences, group};
        group!(
            ReplayingSequences of $config,
            buffer_size, learning_starts, num_steps, sequence_length, batch_size, gradient_steps, gradient_slices
        )
    }};
}

pub(crate) use {group, learning, replaying, replaying_sequences};

/// The steps of a replay buffer are named by numbers of 32 bits.
pub(crate) fn addressable(buffer_size: usize) -> Result<(), AgentError> {
    ensure(u32::try_from(buffer_size).is_ok(), "buffer_size", "below 2^32", buffer_size)
}
