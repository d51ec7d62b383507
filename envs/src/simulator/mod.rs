//! The ECS simulator: many environments in one world, stepped together.
//!
//! A [`Simulator`] holds a fixed number of environments (a *shard* of a run): a world ([`WorldEnv`]), the wrappers stacked
//! on it, and on top of both what every environment shares: checked actions, autoreset, final observations and episode
//! statistics. One tick of the world runs a fixed, single-threaded schedule of system sets, [`Phase`]:
//! `Act → Dynamics → Outcome → Observe`; a reset runs `Autoreset → Observe` for the arenas concerned. Two systems of a set
//! that touch the same data without a stated order are an error when the world is built, so a tick has one possible
//! result. Parallelism is across simulators, never inside one.
//!
//! Invariant: nothing outside the components registered with the [`SimulatorBuilder`], the episode counters, the
//! wrappers' own state and the autoreset bookkeeping survives from one tick to the next; a [`Simulator::snapshot`] is
//! therefore whole.

mod builder;
mod schedule;
mod single;
mod snapshot;
mod world;

use serde::{Deserialize, Serialize};

pub use builder::{EcsEnv, SimulatorBuilder};
pub(crate) use schedule::IN_TABLES;
pub use schedule::{
    ActionMasks, Actions, Agent, Arena, EnvRng, MemberOf, Observations, Outcomes, Phase, Row, Scope,
};
pub use single::SingleEnv;
pub use world::WorldEnv;

use crate::batch::{ActionBatch, ActionSpec, StepBatch};
use crate::random::Seed;
use crate::vector::{RowSet, VectorEnv, VectorInfo};
use crate::wrappers::RunningStatistics;
use crate::{EnvError, Frame, Space};

/// When an episode that ended is reset; Gymnasium's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autoreset {
    /// In the tick in which it ended: the observation is the next episode's first one, the final one is kept apart.
    #[default]
    SameStep,
    /// In the tick after: that tick ignores the action and gives the first observation with reward zero.
    NextStep,
    /// By the caller ([`Simulator::reset_envs`]); stepping an ended environment is an error.
    Disabled,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    started: bool,
    waiting: Vec<bool>,
    env: Vec<u8>,
}

/// `E` environments of one kind, stepped together: `N` rows, one for each acting agent.
pub struct Simulator {
    env: Box<dyn VectorEnv>,
    info: VectorInfo,
    observation_len: usize,
    autoreset: Autoreset,
    started: bool,
    /// Rows whose episode has ended and that wait for the reset of their environment.
    waiting: Vec<bool>,
    num_waiting: usize,
    /// The rows of the current tick.
    active: RowSet,
    /// The environments to be reset.
    ended: RowSet,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("info", &self.info)
            .field("autoreset", &self.autoreset)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Builds a world of `num_envs` environments, without wrappers.
    ///
    /// # Errors
    /// As [`WorldEnv::new`].
    pub fn new(
        env: &dyn EcsEnv,
        num_envs: usize,
        max_episode_steps: Option<u32>,
        autoreset: Autoreset,
    ) -> Result<Self, EnvError> {
        Ok(Self::over(Box::new(WorldEnv::new(env, num_envs, max_episode_steps)?), autoreset))
    }

    /// Puts autoreset, checks and statistics on top of a vector environment.
    pub fn over(env: Box<dyn VectorEnv>, autoreset: Autoreset) -> Self {
        let info = env.info().clone();
        Self {
            observation_len: info.observation_len(),
            autoreset,
            started: false,
            waiting: vec![false; info.num_rows()],
            num_waiting: 0,
            active: RowSet::all(info.num_rows()),
            ended: RowSet::none(info.num_envs),
            env,
            info,
        }
    }

    /// Number of environments, `E`.
    pub fn num_envs(&self) -> usize {
        self.info.num_envs
    }

    /// Agents that act in each environment.
    pub fn num_agents(&self) -> usize {
        self.info.num_agents
    }

    /// Rows of a batch, `N`: environments times agents. Row `e * num_agents + a` is agent `a` of environment `e`.
    pub fn num_rows(&self) -> usize {
        self.info.num_rows()
    }

    /// Sizes and spaces.
    pub fn info(&self) -> &VectorInfo {
        &self.info
    }

    /// Space of one row's observations.
    pub fn observation_space(&self) -> &Space {
        &self.info.observation_space
    }

    /// Space of one row's actions.
    pub fn action_space(&self) -> &Space {
        &self.info.action_space
    }

    /// The batch form of the action space.
    pub fn action_spec(&self) -> &ActionSpec {
        &self.info.action_spec
    }

    /// Length of an observation row, `O`.
    pub fn observation_len(&self) -> usize {
        self.observation_len
    }

    /// Length of an action mask, `A`; zero where the environment has none.
    pub fn mask_len(&self) -> usize {
        self.info.mask_len
    }

    /// When ended episodes are reset.
    pub fn autoreset(&self) -> Autoreset {
        self.autoreset
    }

    /// Buffers of the right sizes for [`Simulator::step`].
    pub fn new_batch(&self) -> StepBatch {
        self.info.new_batch()
    }

    /// Seeds environment `i` with `seed + i`, as Gymnasium's vector environments do, and starts an episode in each.
    ///
    /// # Errors
    /// As [`Simulator::reset_with`].
    pub fn reset(&mut self, seed: u64, out: &mut StepBatch) -> Result<(), EnvError> {
        let seeds: Vec<Seed> =
            (0..self.num_envs() as u64).map(|env| Seed::Integer(seed.wrapping_add(env))).collect();
        self.reset_with(&seeds, out)
    }

    /// Gives environment `i` the random stream of `seeds[i]` and starts an episode in each.
    ///
    /// # Errors
    /// [`EnvError::Setting`] if there is not one seed an environment.
    pub fn reset_with(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        self.fit(out);
        self.env.reset(seeds, out)?;
        self.started = true;
        self.waiting.fill(false);
        self.num_waiting = 0;
        out.active.fill(true);
        out.episodes.clear();
        out.final_observations.resize(0);
        Ok(())
    }

    /// Starts a new episode in the given environments; their generators run on. The rows of other environments keep their
    /// observation, which `out` must still hold from the last call.
    ///
    /// # Errors
    /// [`EnvError::Setting`] for one that does not exist, [`EnvError::StepBeforeReset`] before the first reset.
    pub fn reset_envs(&mut self, envs: &[u32], out: &mut StepBatch) -> Result<(), EnvError> {
        if !self.started {
            return Err(EnvError::StepBeforeReset);
        }
        if let Some(env) = envs.iter().find(|&&env| env as usize >= self.num_envs()) {
            let found = env.to_string();
            return Err(EnvError::Setting {
                field: "environment",
                expected: "below the number of environments",
                found,
            });
        }
        self.fit(out);
        self.ended.clear();
        for &env in envs {
            if !self.ended.contains(env as usize) {
                self.ended.insert(env as usize);
            }
        }
        self.reset_ended(out)
    }

    /// Steps every environment once and fills `out`. Allocates nothing once the buffers have grown to their size.
    ///
    /// # Shapes
    /// `actions`: `[N, width]` as [`Simulator::action_spec`] says.
    ///
    /// # Errors
    /// For a wrong or masked-out action, a step before the first reset or after an end, or a reward that is not a number.
    /// After a wrong action nothing has been stepped.
    pub fn step(&mut self, actions: &ActionBatch, out: &mut StepBatch) -> Result<(), EnvError> {
        if !self.started {
            return Err(EnvError::StepBeforeReset);
        }
        actions.validate(&self.info.action_spec, &self.info.action_space, self.num_rows())?;
        self.fit(out);
        if self.info.mask_len > 0 {
            actions.validate_masks(&self.info.action_spec, &out.action_masks)?;
        }
        self.begin_tick(out)?;
        self.env.step(actions, &self.active, out)?;
        if !self.ended.is_empty() {
            self.reset_ended(out)?;
        }
        self.collect_ended(out)?;
        match out.rewards.iter().fold(true, |ok, reward| ok & reward.is_finite()) {
            true => Ok(()),
            false => {
                let row = out.rewards.iter().position(|reward| !reward.is_finite()).unwrap_or(0);
                Err(EnvError::NotANumber { row, what: "reward", value: out.rewards[row] })
            }
        }
    }

    /// The whole state of all environments and wrappers: restored, it has the same future.
    ///
    /// The current observations are not part of it: they are the caller's, in its last [`StepBatch`].
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if a component cannot be serialised.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let saved = Saved { started: self.started, waiting: self.waiting.clone(), env: self.env.snapshot()? };
        postcard::to_stdvec(&saved).map_err(|error| EnvError::Snapshot(error.to_string()))
    }

    /// Takes on a state saved by [`Simulator::snapshot`] of a simulator of the same kind and size.
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if it belongs to another kind or size, or is damaged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved =
            postcard::from_bytes(snapshot).map_err(|error| EnvError::Snapshot(error.to_string()))?;
        self.env.restore(&saved.env)?;
        if saved.waiting.len() != self.waiting.len() {
            let (expected, found) = (self.waiting.len(), saved.waiting.len());
            return Err(EnvError::Snapshot(format!("expected {expected} rows, found {found}")));
        }
        self.started = saved.started;
        self.num_waiting = saved.waiting.iter().filter(|&&waiting| waiting).count();
        self.waiting = saved.waiting;
        Ok(())
    }

    /// A picture of an environment; none if it cannot be drawn or does not exist.
    pub fn render(&mut self, env: usize) -> Option<Frame> {
        self.env.render(env)
    }

    /// An environment as text; none if it has no such form or does not exist.
    pub fn render_text(&mut self, env: usize) -> Option<String> {
        self.env.render_text(env)
    }

    /// Sets an environment's state to one that has the given observation; false if it cannot.
    pub fn assume(&mut self, env: usize, observation: &[f32]) -> bool {
        self.env.assume(env, observation)
    }

    /// Visits the running statistics of the wrappers, the innermost first.
    pub fn visit_statistics(&mut self, visit: &mut dyn FnMut(&mut RunningStatistics)) {
        self.env.visit_statistics(visit);
    }

    /// Says which rows take part in this tick, and which environments are reset instead.
    fn begin_tick(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        self.ended.clear();
        if self.num_waiting == 0 {
            self.active.fill();
            out.active.fill(true);
            return Ok(());
        }
        let agents = self.info.num_agents;
        for (env, rows) in self.waiting.chunks(agents).enumerate() {
            if rows.iter().all(|&waiting| waiting) {
                if self.autoreset == Autoreset::Disabled {
                    return Err(EnvError::StepAfterEnd { row: env * agents });
                }
                self.ended.insert(env);
            }
        }
        self.active.clear();
        for (row, (&waiting, active)) in self.waiting.iter().zip(&mut out.active).enumerate() {
            *active = !waiting;
            if !waiting {
                self.active.insert(row);
            }
        }
        Ok(())
    }

    /// Resets the environments in `ended`.
    fn reset_ended(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        if self.num_waiting > 0 {
            for row in self.info.rows_of(&self.ended) {
                self.num_waiting -= usize::from(self.waiting[row]);
                self.waiting[row] = false;
            }
        }
        self.env.reset_envs(&self.ended, out)?;
        self.ended.clear();
        Ok(())
    }

    /// Reports the episodes that ended and, under same-step autoreset, starts the next ones.
    fn collect_ended(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        /// Most chunks have no end: one vectorised look decides.
        const CHUNK: usize = 64;
        out.episodes.clear();
        out.final_observations.resize(0);
        let (agents, len) = (self.info.num_agents, self.observation_len);
        let at_once = agents == 1 && self.autoreset == Autoreset::SameStep;
        let chunks = out.terminated.chunks(CHUNK).zip(out.truncated.chunks(CHUNK));
        for (chunk, (terminated, truncated)) in chunks.enumerate() {
            if !terminated.iter().zip(truncated).fold(false, |any, (a, b)| any | a | b) {
                continue;
            }
            for (i, (a, b)) in terminated.iter().zip(truncated).enumerate() {
                if !(*a | *b) {
                    continue;
                }
                let row = chunk * CHUNK + i;
                out.final_observations.extend_from(&out.observations, row * len, len);
                out.episodes.push(self.env.episode(row));
                if at_once {
                    self.ended.insert(row);
                    continue;
                }
                self.waiting[row] = true;
                self.num_waiting += 1;
                let env = row / agents;
                let over = self.waiting[env * agents..(env + 1) * agents].iter().all(|&waiting| waiting);
                if over && self.autoreset == Autoreset::SameStep {
                    self.ended.insert(env);
                }
            }
        }
        if self.ended.is_empty() { Ok(()) } else { self.reset_ended(out) }
    }

    /// Gives the caller's buffers the right sizes.
    fn fit(&self, out: &mut StepBatch) {
        let rows = self.num_rows();
        if out.observations.dtype() != self.info.dtype() || out.rewards.len() != rows {
            *out = self.new_batch();
        }
        out.observations.resize(rows * self.observation_len);
        out.action_masks.resize(rows * self.info.mask_len, true);
        out.terminated.resize(rows, false);
        out.truncated.resize(rows, false);
        out.active.resize(rows, true);
    }
}

#[cfg(test)]
mod tests;
