//! Saving, restoring and copying a simulator's state, whole or one environment of it.

use serde::{Deserialize, Serialize};

use super::Simulator;
use crate::EnvError;
use crate::columns::{Column, from_bytes, to_bytes};

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    started: bool,
    waiting: Vec<bool>,
    env: Vec<u8>,
}

/// What is saved of one environment.
#[derive(Serialize, Deserialize)]
struct SavedEnv {
    waiting: Vec<u8>,
    env: Vec<u8>,
}

impl Simulator {
    /// Whether snapshots can be taken, and single environments be saved, loaded and forked.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`] with the reason if they cannot.
    pub fn snapshot_support(&self) -> Result<(), EnvError> {
        self.env.snapshot_support()
    }

    /// The whole state of all environments and wrappers: restored, it has the same future.
    ///
    /// The current observations are not part of it: they are the caller's, in its last [`StepBatch`](crate::StepBatch).
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`], [`EnvError::Snapshot`] if a state cannot be serialised, or [`EnvError::StepInFlight`]
    /// between the halves of a step.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.can_be_saved("snapshot")?;
        to_bytes(&Saved { started: self.started, waiting: self.waiting.clone(), env: self.env.snapshot()? })
    }

    /// Takes on a state saved by [`Simulator::snapshot`] of a simulator of the same kind and size.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`], [`EnvError::Snapshot`] if it belongs to another kind or size or is damaged, or
    /// [`EnvError::StepInFlight`] between the halves of a step.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.can_be_saved("restore")?;
        let saved: Saved = from_bytes(snapshot)?;
        self.env.restore(&saved.env)?;
        if saved.waiting.len() != self.waiting.len() {
            let (expected, found) = (self.waiting.len(), saved.waiting.len());
            return Err(EnvError::Snapshot(format!("expected {expected} rows, found {found}")));
        }
        self.started = saved.started;
        self.waiting = saved.waiting;
        self.count_waiting();
        Ok(())
    }

    /// The state of one environment, its generator and wrappers included: loaded into any environment of a simulator of
    /// the same kind, of any size, it has the same future there.
    ///
    /// Its current observation is the caller's, and running statistics belong to the whole simulator.
    ///
    /// # Errors
    /// As [`Simulator::snapshot`], [`EnvError::Setting`] if there is no such environment, or
    /// [`EnvError::StepBeforeReset`] before the first reset.
    pub fn save_env(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        self.can_save_env("save_env", env)?;
        let waiting = self.waiting.save(self.info.rows_of_env(env))?;
        to_bytes(&SavedEnv { waiting, env: self.env.save_env(env)? })
    }

    /// Gives one environment a state saved by [`Simulator::save_env`].
    ///
    /// # Errors
    /// As [`Simulator::save_env`], and [`EnvError::Snapshot`] if the state belongs to another kind or is damaged.
    pub fn load_env(&mut self, env: usize, saved: &[u8]) -> Result<(), EnvError> {
        self.can_save_env("load_env", env)?;
        let saved: SavedEnv = from_bytes(saved)?;
        self.env.load_env(env, &saved.env)?;
        self.waiting.load(self.info.rows_of_env(env), &saved.waiting)?;
        self.count_waiting();
        Ok(())
    }

    /// Gives environment `to` the state of environment `from`, its generator and wrappers included: what
    /// [`Simulator::save_env`] and [`Simulator::load_env`] do, at the cost of a copy. After
    /// [`StepBatch::copy_env`](crate::StepBatch::copy_env) on the caller's batch, the same actions give the same in both.
    ///
    /// # Errors
    /// As [`Simulator::save_env`].
    pub fn fork(&mut self, from: usize, to: usize) -> Result<(), EnvError> {
        self.can_save_env("fork", from)?;
        self.exists(to)?;
        if from == to {
            return Ok(());
        }
        self.env.fork(from, to)?;
        if self.num_waiting > 0 {
            self.waiting.copy(self.info.rows_of_env(from), self.info.rows_of_env(to).start);
            self.count_waiting();
        }
        Ok(())
    }

    fn can_be_saved(&self, method: &'static str) -> Result<(), EnvError> {
        self.env.snapshot_support()?;
        self.not_in_flight(method)
    }

    fn can_save_env(&self, method: &'static str, env: usize) -> Result<(), EnvError> {
        self.env.snapshot_support()?;
        self.is_ready(method)?;
        self.exists(env)
    }

    fn count_waiting(&mut self) {
        self.num_waiting = self.waiting.iter().filter(|&&waiting| waiting).count();
    }
}
