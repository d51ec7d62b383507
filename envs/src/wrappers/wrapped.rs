//! A wrapper around a vector environment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Context, Moment, Wrapper};
use crate::batch::EpisodeStats;
use crate::columns::{from_bytes, to_bytes};
use crate::groups::Decision;
use crate::statistics::RunningStatistics;
use crate::vector::{Origin, RowSet, VectorEnv, VectorInfo};
use crate::{ActionBatch, EnvError, Frame, ObsBuffer, Seed, StepBatch};

/// A [`Wrapper`]'s hooks around a [`VectorEnv`].
pub struct Wrapped<W> {
    env: Box<dyn VectorEnv>,
    wrapper: W,
    info: VectorInfo,
    /// What the environment inside writes, where its observations are of another size or kind, or where it goes on from them
    /// and the wrapper changes them.
    inner: Option<StepBatch>,
    /// Whether `inner` is of the second kind: then the wrapper works in place on a copy.
    copies: bool,
    actions: ActionBatch,
    /// The rows of an environment's reset, and those still running in an action repeat.
    rows: RowSet,
    rewards: Vec<f64>,
    /// The rows of a step that was sent.
    sent: RowSet,
}

/// What is saved of all rows, or of one environment's.
#[derive(Serialize, Deserialize)]
struct Saved {
    name: String,
    columns: Vec<Vec<u8>>,
    /// What belongs to no row; nothing where one environment is saved.
    shared: Vec<u8>,
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
        if wrapper.repeats() > 1 {
            // Only the last of several steps could be told of.
            info.groups.clear();
        }
        let converts = info.observation_space != env.info().observation_space;
        let copies = !converts && env.reads_back() && wrapper.changes_observations();
        let inner = (converts || copies).then(|| env.info().new_batch());
        let rows = info.num_rows();
        let actions = ActionBatch::zeros(&env.info().action_spec, rows);
        let (none, rewards) = (RowSet::none(rows), vec![0.0; rows]);
        Ok(Self { env, wrapper, info, inner, copies, actions, rows: none.clone(), rewards, sent: none })
    }

    /// Runs the wrapper's hook on the rows.
    fn after(&mut self, moment: Moment, rows: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let (mask_len, copies, len) = (self.info.mask_len, self.copies, self.info.observation_len());
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
            if copies {
                for row in rows.iter() {
                    out.observations.copy_range(row * len, &inner.observations, row * len, len);
                }
            }
            &inner.observations
        });
        let inner = inner.filter(|_| !copies);
        self.wrapper.after(Context { rows, moment, inner, env: &mut *self.env }, out)
    }

    /// Runs `f` with the wrapper's own row set, which `f` may fill.
    fn with_rows<T>(&mut self, f: impl FnOnce(&mut Self, &mut RowSet) -> T) -> T {
        let mut rows = std::mem::take(&mut self.rows);
        let result = f(self, &mut rows);
        self.rows = rows;
        result
    }

    /// Lets the wrapper change the actions on their way in, in a copy; whether there is one.
    fn change(&mut self, actions: &ActionBatch, active: &RowSet) -> bool {
        let changes = self.wrapper.changes_actions();
        if changes || self.wrapper.repeats() > 1 {
            self.actions.copy_range(0, actions, 0, actions.len());
            self.wrapper.actions(&mut self.actions, active);
        }
        changes
    }

    /// Takes what the first step inside gave on its way out.
    fn finish(&mut self, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let repeats = self.wrapper.repeats();
        if repeats > 1 {
            self.repeat(repeats, active, out)?;
        }
        self.after(Moment::Step, active, out)
    }

    /// Steps the environment inside again until it was stepped `repeats` times; a row stops at the end of its episode.
    fn repeat(&mut self, repeats: u32, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let mut running = std::mem::take(&mut self.rows);
        running.copy_from(active);
        self.rewards.fill(0.0);
        let mut flags: Vec<(usize, bool, bool)> = Vec::new();
        for repeat in 1..=repeats {
            let target = self.inner.as_mut().unwrap_or(out);
            for (sum, reward) in self.rewards.iter_mut().zip(&target.rewards) {
                *sum += reward;
            }
            let ended = running
                .iter()
                .filter(|&row| target.terminated[row] || target.truncated[row])
                .collect::<Vec<_>>();
            flags.extend(ended.iter().map(|&row| (row, target.terminated[row], target.truncated[row])));
            if repeat == repeats {
                break;
            }
            if !ended.is_empty() {
                let left: Vec<usize> = running.iter().filter(|row| !ended.contains(row)).collect();
                running.clear();
                left.into_iter().for_each(|row| running.insert(row));
                if running.is_empty() {
                    break;
                }
            }
            self.env.step(&self.actions, &running, target)?;
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

    /// What is saved of some rows, given what is saved of the environment inside.
    fn save(&mut self, rows: Range<usize>, shared: Vec<u8>, env: Vec<u8>) -> Result<Vec<u8>, EnvError> {
        let mut columns = Vec::new();
        self.wrapper.visit_columns(&mut |column| columns.push(column.save(rows.clone())));
        let columns = columns.into_iter().collect::<Result<_, _>>()?;
        let inner = self.inner.as_ref().map(|inner| {
            let len = self.env.info().observation_len();
            let mut observations = ObsBuffer::zeros(self.env.info().dtype(), 0);
            observations.extend_from(&inner.observations, rows.start * len, rows.len() * len);
            observations
        });
        to_bytes(&Saved { name: self.wrapper.name().to_owned(), columns, shared, inner, env })
    }

    /// Takes on what was saved of some rows, but for what belongs to no row and what is inside.
    fn load(&mut self, rows: Range<usize>, saved: &Saved) -> Result<(), EnvError> {
        let len = self.env.info().observation_len();
        let expected = self.inner.as_ref().map(|inner| (inner.observations.dtype(), rows.len() * len));
        if saved.inner.as_ref().map(|buffer| (buffer.dtype(), buffer.len())) != expected {
            let message = format!("the observations inside {} are of another size", saved.name);
            return Err(EnvError::Snapshot(message));
        }
        if let (Some(inner), Some(saved)) = (&mut self.inner, &saved.inner) {
            inner.observations.copy_range(rows.start * len, saved, 0, saved.len());
        }
        let mut columns = saved.columns.iter();
        let mut loaded = Ok(());
        self.wrapper.visit_columns(&mut |column| {
            if loaded.is_ok() {
                loaded = match columns.next() {
                    Some(bytes) => column.load(rows.clone(), bytes),
                    None => Err(EnvError::Snapshot(format!("{} lacks a column", saved.name))),
                };
            }
        });
        loaded
    }

    /// Reads what was saved of a wrapper of this kind.
    fn read(&self, bytes: &[u8]) -> Result<Saved, EnvError> {
        let saved: Saved = from_bytes(bytes)?;
        if saved.name == self.wrapper.name() {
            return Ok(saved);
        }
        let message = format!("expected the wrapper {}, found {}", self.wrapper.name(), saved.name);
        Err(EnvError::Snapshot(message))
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

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.sent.copy_from(active);
        let changed = self.change(actions, active);
        self.env.send(if changed { &self.actions } else { actions }, active)
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        self.env.receive(self.inner.as_mut().unwrap_or(out))?;
        let sent = std::mem::take(&mut self.sent);
        let result = self.finish(&sent, out);
        self.sent = sent;
        result
    }

    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let changed = self.change(actions, active);
        let actions = if changed { &self.actions } else { actions };
        self.env.step(actions, active, self.inner.as_mut().unwrap_or(out))?;
        self.finish(active, out)
    }

    fn episode(&self, row: usize) -> Option<EpisodeStats> {
        self.wrapper.episode(row).or_else(|| self.env.episode(row))
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

    fn privileged(&self) -> Option<&ObsBuffer> {
        self.wrapper.privileged().or_else(|| self.env.privileged())
    }

    fn reads_back(&self) -> bool {
        self.wrapper.reads_back() || (self.inner.is_none() && self.env.reads_back())
    }

    fn origin(&self) -> Option<&Origin> {
        self.env.origin()
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        self.env.snapshot_support()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let (shared, env) = (self.wrapper.save_shared()?, self.env.snapshot()?);
        self.save(0..self.info.num_rows(), shared, env)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved = self.read(snapshot)?;
        self.load(0..self.info.num_rows(), &saved)?;
        self.wrapper.load_shared(&saved.shared)?;
        self.env.restore(&saved.env)
    }

    fn save_env(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        let inside = self.env.save_env(env)?;
        self.save(self.info.rows_of_env(env), Vec::new(), inside)
    }

    fn load_env(&mut self, env: usize, saved: &[u8]) -> Result<(), EnvError> {
        let saved = self.read(saved)?;
        self.load(self.info.rows_of_env(env), &saved)?;
        self.env.load_env(env, &saved.env)
    }

    fn fork(&mut self, from: usize, to: usize) -> Result<(), EnvError> {
        let (rows, at) = (self.info.rows_of_env(from), self.info.rows_of_env(to).start);
        self.wrapper.visit_columns(&mut |column| column.copy(rows.clone(), at));
        if let Some(inner) = &mut self.inner {
            inner.copy_env(from, to, self.env.info());
        }
        self.env.fork(from, to)
    }

    fn reseed(&mut self, env: usize, seed: &Seed) -> Result<(), EnvError> {
        self.wrapper.reseed(env, seed, &self.info);
        self.env.reseed(env, seed)
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
