//! Time limit and episode statistics of any vector environment.
//!
//! The main decision: they are neither the environment's work nor a wrapper that someone may forget. A [`Monitor`] stands
//! directly above every registered environment and below its wrappers, so that a limit counts the environment's own steps
//! and returns are sums of its own rewards, whatever wrappers make of them.
//!
//! # Source
//! Gymnasium's `TimeLimit` and `RecordEpisodeStatistics`; Stable-Baselines3's `Monitor`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::batch::EpisodeStats;
use crate::columns::{Column, from_bytes, to_bytes};
use crate::groups::Decision;
use crate::statistics::RunningStatistics;
use crate::vector::{Origin, RowSet, VectorEnv, VectorInfo};
use crate::{ActionBatch, EnvError, Frame, Seed, StepBatch};

/// Counts every row's return and steps, and truncates its episode at the time limit.
pub struct Monitor<E> {
    env: E,
    returns: Vec<f64>,
    lengths: Vec<u32>,
    max_episode_steps: u32,
    /// The rows of a step that was sent.
    active: RowSet,
}

/// What a snapshot holds, of all environments or of one.
#[derive(Serialize, Deserialize)]
struct Saved {
    returns: Vec<u8>,
    lengths: Vec<u8>,
    env: Vec<u8>,
}

impl<E: VectorEnv> Monitor<E> {
    /// Around an environment; without a limit episodes end when the environment says so.
    ///
    /// # Errors
    /// If the limit is zero.
    pub fn new(env: E, max_episode_steps: Option<u32>) -> Result<Self, EnvError> {
        if max_episode_steps == Some(0) {
            let found = "0".to_owned();
            return Err(EnvError::Setting { field: "max_episode_steps", expected: "at least 1", found });
        }
        let rows = env.info().num_rows();
        Ok(Self {
            env,
            returns: vec![0.0; rows],
            lengths: vec![0; rows],
            max_episode_steps: max_episode_steps.unwrap_or(u32::MAX),
            active: RowSet::none(rows),
        })
    }

    /// Adds up returns and lengths, and truncates at the time limit.
    fn score(&mut self, active: &RowSet, out: &mut StepBatch) {
        let (returns, lengths, limit) = (&mut self.returns, &mut self.lengths, self.max_episode_steps);
        if active.is_all() {
            let columns = returns.iter_mut().zip(lengths.iter_mut());
            for (((total, length), reward), truncated) in columns.zip(&out.rewards).zip(&mut out.truncated) {
                *total += reward;
                *length += 1;
                *truncated |= *length >= limit;
            }
            return;
        }
        for row in active.iter() {
            returns[row] += out.rewards[row];
            lengths[row] += 1;
            out.truncated[row] |= lengths[row] >= limit;
        }
    }

    fn save(&self, rows: Range<usize>, env: Vec<u8>) -> Result<Vec<u8>, EnvError> {
        let (returns, lengths) = (self.returns.save(rows.clone())?, self.lengths.save(rows)?);
        to_bytes(&Saved { returns, lengths, env })
    }

    /// Takes on the counters of some rows.
    fn load(&mut self, rows: Range<usize>, saved: &Saved) -> Result<(), EnvError> {
        self.returns.load(rows.clone(), &saved.returns)?;
        self.lengths.load(rows, &saved.lengths)
    }
}

impl<E: VectorEnv> VectorEnv for Monitor<E> {
    fn info(&self) -> &VectorInfo {
        self.env.info()
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        self.env.reset(seeds, out)?;
        self.returns.fill(0.0);
        self.lengths.fill(0);
        Ok(())
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.env.reset_envs(envs, out)?;
        for row in self.env.info().rows_of(envs) {
            (self.returns[row], self.lengths[row]) = (0.0, 0);
        }
        Ok(())
    }

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.active.copy_from(active);
        self.env.send(actions, active)
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        self.env.receive(out)?;
        let active = std::mem::take(&mut self.active);
        self.score(&active, out);
        self.active = active;
        Ok(())
    }

    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.env.step(actions, active, out)?;
        self.score(active, out);
        Ok(())
    }

    fn episode(&self, row: usize) -> Option<EpisodeStats> {
        let (episode_return, episode_length) = (self.returns[row], self.lengths[row]);
        Some(EpisodeStats { row: row as u32, episode_return, episode_length })
    }

    fn episode_metrics(&self, row: usize, out: &mut [f64]) {
        self.env.episode_metrics(row, out);
    }

    fn decisions(&self, row: usize, out: &mut Vec<Decision>) {
        self.env.decisions(row, out);
    }

    fn task(&self, env: usize) -> usize {
        self.env.task(env)
    }

    fn turn(&self, env: usize) -> usize {
        self.env.turn(env)
    }

    fn reads_back(&self) -> bool {
        self.env.reads_back()
    }

    fn origin(&self) -> Option<&Origin> {
        self.env.origin()
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        self.env.snapshot_support()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let env = self.env.snapshot()?;
        self.save(0..self.returns.len(), env)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved = from_bytes(snapshot)?;
        self.env.restore(&saved.env)?;
        self.load(0..self.returns.len(), &saved)
    }

    fn save_env(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        let saved = self.env.save_env(env)?;
        self.save(self.info().rows_of_env(env), saved)
    }

    fn load_env(&mut self, env: usize, saved: &[u8]) -> Result<(), EnvError> {
        let saved: Saved = from_bytes(saved)?;
        self.env.load_env(env, &saved.env)?;
        self.load(self.info().rows_of_env(env), &saved)
    }

    fn fork(&mut self, from: usize, to: usize) -> Result<(), EnvError> {
        let (rows, at) = (self.info().rows_of_env(from), self.info().rows_of_env(to).start);
        self.returns.copy(rows.clone(), at);
        self.lengths.copy(rows, at);
        self.env.fork(from, to)
    }

    fn reseed(&mut self, env: usize, seed: &Seed) -> Result<(), EnvError> {
        self.env.reseed(env, seed)
    }

    fn render(&mut self, env: usize) -> Option<Frame> {
        self.env.render(env)
    }

    fn render_text(&mut self, env: usize) -> Option<String> {
        self.env.render_text(env)
    }

    fn assume(&mut self, env: usize, observation: &[f32]) -> bool {
        self.env.assume(env, observation)
    }

    fn visit_statistics(&mut self, visit: &mut dyn FnMut(&mut RunningStatistics)) {
        self.env.visit_statistics(visit);
    }
}
