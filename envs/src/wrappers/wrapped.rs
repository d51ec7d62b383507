//! A wrapper around a vector environment.

use serde::{Deserialize, Serialize};

use super::{Context, Moment, RunningStatistics, Wrapper, from_bytes, to_bytes};
use crate::batch::EpisodeStats;
use crate::vector::{RowSet, VectorEnv, VectorInfo};
use crate::{ActionBatch, EnvError, Frame, ObsBuffer, Seed, StepBatch};

/// A [`Wrapper`]'s hooks around a [`VectorEnv`].
pub struct Wrapped<W> {
    env: Box<dyn VectorEnv>,
    wrapper: W,
    info: VectorInfo,
    /// What the environment inside writes, where its observations are of another size or kind.
    inner: Option<StepBatch>,
    actions: ActionBatch,
    /// The rows of an environment's reset, and those still running in an action repeat.
    rows: RowSet,
    rewards: Vec<f64>,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    name: String,
    wrapper: Vec<u8>,
    /// What the environment inside wrote last, where that is not what the caller holds: a frame stack in there goes on
    /// from it.
    inner: Option<ObsBuffer>,
    env: Vec<u8>,
}

impl<W: Wrapper> Wrapped<W> {
    /// Puts the wrapper around the environment.
    ///
    /// # Errors
    /// [`EnvError::Wrapper`] if it does not fit.
    pub fn new(env: Box<dyn VectorEnv>, wrapper: W) -> Result<Self, EnvError> {
        let mut info = wrapper.info(env.info())?;
        info.frames = wrapper.frames(env.info().frames);
        let inner = (info.observation_space != env.info().observation_space).then(|| env.info().new_batch());
        let rows = info.num_rows();
        let actions = ActionBatch::zeros(&env.info().action_spec, rows);
        Ok(Self { env, wrapper, info, inner, actions, rows: RowSet::none(rows), rewards: vec![0.0; rows] })
    }

    /// Runs the wrapper's hook on the rows.
    fn after(&mut self, moment: Moment, rows: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let mask_len = self.info.mask_len;
        let inner = self.inner.as_mut().map(|inner| {
            if moment == Moment::Step {
                std::mem::swap(&mut inner.rewards, &mut out.rewards);
                std::mem::swap(&mut inner.terminated, &mut out.terminated);
                std::mem::swap(&mut inner.truncated, &mut out.truncated);
            }
            for row in rows.iter().take(if mask_len > 0 { usize::MAX } else { 0 }) {
                let range = row * mask_len..(row + 1) * mask_len;
                out.action_masks[range.clone()].copy_from_slice(&inner.action_masks[range]);
            }
            &inner.observations
        });
        self.wrapper.after(Context { rows, moment, inner, env: &mut *self.env }, out)
    }

    /// Runs `f` with the wrapper's own row set, which `f` may fill.
    fn with_rows<T>(&mut self, f: impl FnOnce(&mut Self, &mut RowSet) -> T) -> T {
        let mut rows = std::mem::take(&mut self.rows);
        let result = f(self, &mut rows);
        self.rows = rows;
        result
    }

    /// Steps the environment inside several times; a row stops at the end of its episode.
    fn repeat(&mut self, repeats: u32, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let mut running = std::mem::take(&mut self.rows);
        running.copy_from(active);
        self.rewards.fill(0.0);
        let mut flags: Vec<(usize, bool, bool)> = Vec::new();
        for repeat in 0..repeats {
            let target = self.inner.as_mut().unwrap_or(out);
            self.env.step(&self.actions, &running, target)?;
            for (sum, reward) in self.rewards.iter_mut().zip(&target.rewards) {
                *sum += reward;
            }
            let ended = running
                .iter()
                .filter(|&row| target.terminated[row] || target.truncated[row])
                .collect::<Vec<_>>();
            flags.extend(ended.iter().map(|&row| (row, target.terminated[row], target.truncated[row])));
            if !ended.is_empty() && repeat + 1 < repeats {
                let left: Vec<usize> = running.iter().filter(|row| !ended.contains(row)).collect();
                running.clear();
                left.into_iter().for_each(|row| running.insert(row));
                if running.is_empty() {
                    break;
                }
            }
        }
        let target = self.inner.as_mut().unwrap_or(out);
        target.rewards.copy_from_slice(&self.rewards);
        for (row, terminated, truncated) in flags {
            target.terminated[row] = terminated;
            target.truncated[row] = truncated;
        }
        self.rows = running;
        Ok(())
    }
}

impl<W: Wrapper> VectorEnv for Wrapped<W> {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        self.wrapper.seed(seeds, &self.info);
        self.env.reset(seeds, self.inner.as_mut().unwrap_or(out))?;
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        self.with_rows(|this, rows| {
            rows.fill();
            this.after(Moment::Reset, rows, out)
        })
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.env.reset_envs(envs, self.inner.as_mut().unwrap_or(out))?;
        self.with_rows(|this, rows| {
            rows.clear();
            if envs.is_all() {
                rows.fill();
            } else {
                this.info.rows_of(envs).for_each(|row| rows.insert(row));
            }
            this.after(Moment::Reset, rows, out)
        })
    }

    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let repeats = self.wrapper.repeats();
        if self.wrapper.changes_actions() || repeats > 1 {
            self.actions.copy_range(0, actions, 0, actions.len());
            self.wrapper.actions(&mut self.actions, active);
        }
        if repeats > 1 {
            self.repeat(repeats, active, out)?;
        } else {
            let actions = if self.wrapper.changes_actions() { &self.actions } else { actions };
            self.env.step(actions, active, self.inner.as_mut().unwrap_or(out))?;
        }
        self.after(Moment::Step, active, out)
    }

    fn episode(&self, row: usize) -> EpisodeStats {
        self.wrapper.episode(row).unwrap_or_else(|| self.env.episode(row))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let name = self.wrapper.name().to_owned();
        let inner = self.inner.as_ref().map(|inner| inner.observations.clone());
        to_bytes(&Saved { name, wrapper: self.wrapper.save()?, inner, env: self.env.snapshot()? })
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved = from_bytes(snapshot)?;
        if saved.name != self.wrapper.name() {
            let message = format!("expected the wrapper {}, found {}", self.wrapper.name(), saved.name);
            return Err(EnvError::Snapshot(message));
        }
        let shape = |buffer: &ObsBuffer| (buffer.dtype(), buffer.len());
        if saved.inner.as_ref().map(shape) != self.inner.as_ref().map(|inner| shape(&inner.observations)) {
            let message = format!("the observations inside {} are of another size", saved.name);
            return Err(EnvError::Snapshot(message));
        }
        if let (Some(inner), Some(saved)) = (&mut self.inner, saved.inner) {
            inner.observations = saved;
        }
        self.wrapper.load(&saved.wrapper)?;
        self.env.restore(&saved.env)
    }

    fn render(&mut self, env: usize) -> Option<Frame> {
        self.env.render(env)
    }

    fn render_text(&mut self, env: usize) -> Option<String> {
        self.env.render_text(env)
    }

    fn assume(&mut self, env: usize, observation: &[f32]) -> bool {
        // An observation from outside says nothing of the state inside once it was changed.
        self.inner.is_none() && self.env.assume(env, observation)
    }

    fn visit_statistics(&mut self, visit: &mut dyn FnMut(&mut RunningStatistics)) {
        self.env.visit_statistics(visit);
        if let Some(statistics) = self.wrapper.statistics() {
            visit(statistics);
        }
    }
}
