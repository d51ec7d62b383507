//! The ECS simulator: many environments in one world, stepped together.
//!
//! A [`Simulator`] holds a fixed number of environments (a *shard* of a run): a world ([`WorldEnv`]), the wrappers stacked
//! on it, and on top of both what every environment shares: checked actions, autoreset and final observations. Any other
//! [`VectorEnv`] can take the world's place. One tick of the world runs a fixed, single-threaded schedule of system sets, [`Phase`]:
//! `Act → Dynamics → Outcome → Observe`; a reset runs `Autoreset → Observe` for the arenas concerned. Two systems of a set
//! that touch the same data without a stated order are an error when the world is built, so a tick has one possible
//! result. Parallelism is across simulators, never inside one.
//!
//! Invariant: nothing outside the components registered with the [`SimulatorBuilder`], the counters of the
//! [`Monitor`], the wrappers' own state and the autoreset bookkeeping survives from one tick to the next; a
//! [`Simulator::snapshot`] is therefore whole.

mod builder;
mod save;
mod schedule;
mod single;
mod snapshot;
mod world;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use builder::{EcsEnv, SimulatorBuilder};
pub(crate) use schedule::IN_TABLES;
pub use schedule::{
    ActionMasks, Actions, Agent, Arena, EnvRng, MemberOf, Observations, Outcomes, Phase, Row, Scope,
};
pub use single::SingleEnv;
pub use world::WorldEnv;

use crate::batch::{ActionBatch, ActionSpec, EpisodeStats, ObsBuffer, StepBatch};
use crate::groups::{self, Decision, RowDecision};
use crate::random::Seed;
use crate::statistics::RunningStatistics;
use crate::vector::{Origin, RowSet, VectorEnv, VectorInfo};
use crate::{EnvError, Frame, Monitor, Space};

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

/// `E` environments of one kind, stepped together: `N` rows, one for each acting agent.
pub struct Simulator {
    /// The environment's id, for errors; empty where it has none.
    id: String,
    env: Box<dyn VectorEnv>,
    info: VectorInfo,
    observation_len: usize,
    autoreset: Autoreset,
    started: bool,
    /// Whether a step was sent and not yet received.
    in_flight: bool,
    /// Rows whose episode has ended and that wait for the reset of their environment.
    waiting: Vec<bool>,
    num_waiting: usize,
    /// The rows of the current tick.
    active: RowSet,
    /// The environments to be reset.
    ended: RowSet,
    /// What one row decided.
    decided: Vec<Decision>,
    /// Makes so many environments of the same kind.
    copies: Option<Arc<Copies>>,
}

/// Makes so many environments of one kind.
type Copies = dyn Fn(usize) -> Result<Box<dyn VectorEnv>, EnvError> + Send + Sync;

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
    /// As [`WorldEnv::new`] and [`Monitor::new`].
    pub fn new(
        env: &dyn EcsEnv,
        num_envs: usize,
        max_episode_steps: Option<u32>,
        autoreset: Autoreset,
    ) -> Result<Self, EnvError> {
        let world = WorldEnv::new(env, num_envs)?;
        Ok(Self::over(Box::new(Monitor::new(world, max_episode_steps)?), autoreset))
    }

    /// Puts autoreset and checks on top of a vector environment that has a [`Monitor`] in it.
    ///
    /// # Panics
    /// If nobody in it counts episodes ([`VectorEnv::episode`]).
    pub fn over(env: Box<dyn VectorEnv>, autoreset: Autoreset) -> Self {
        assert!(env.episode(0).is_some(), "a simulator needs a Monitor in its vector environment");
        let info = env.info().clone();
        Self {
            id: String::new(),
            observation_len: info.observation_len(),
            autoreset,
            started: false,
            in_flight: false,
            waiting: vec![false; info.num_rows()],
            num_waiting: 0,
            active: RowSet::all(info.num_rows()),
            ended: RowSet::none(info.num_envs),
            decided: Vec::new(),
            copies: None,
            env,
            info,
        }
    }

    /// With an id that errors name.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// With a way to make more environments of the same kind.
    #[must_use]
    pub(crate) fn with_copies(
        mut self,
        copies: impl Fn(usize) -> Result<Box<dyn VectorEnv>, EnvError> + Send + Sync + 'static,
    ) -> Self {
        self.copies = Some(Arc::new(copies));
        self
    }

    /// So many more environments of the same kind, wrappers included: room to look ahead in. [`Simulator::save_env`] and
    /// [`VectorEnv::load_env`] take a state from here to there, without what a simulator puts on top.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`] if states cannot be taken over, and as [`EnvSpec::make`](crate::EnvSpec::make).
    pub fn copies(&self, num_envs: usize) -> Result<Box<dyn VectorEnv>, EnvError> {
        self.env.snapshot_support()?;
        match &self.copies {
            Some(copies) => copies(num_envs),
            None => Err(EnvError::NotSnapshotable { reason: "it was not made by a registry".to_owned() }),
        }
    }

    /// The state of one environment, as [`VectorEnv::save_env`] of [`Simulator::copies`] has it.
    ///
    /// # Errors
    /// As [`Simulator::save_env`].
    pub fn state_of(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        self.is_ready("state_of")?;
        self.exists(env)?;
        self.env.save_env(env)
    }

    /// Steps so far of the episode of an environment's first agent.
    pub fn episode_length(&self, env: usize) -> u32 {
        self.env.episode(env * self.info.num_agents).map_or(0, |episode| episode.episode_length)
    }

    /// Whose turn it is in an environment, of its agents; zero where all act at the same time.
    pub fn turn(&self, env: usize) -> usize {
        self.env.turn(env)
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

    /// What an environment of another program is made of; none for one of this program.
    pub fn origin(&self) -> Option<&Origin> {
        self.env.origin()
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

    /// Which task an environment plays now, of those that [`VectorInfo::tasks`] names.
    pub fn task(&self, env: usize) -> usize {
        self.env.task(env)
    }

    /// What a teacher sees of each row since the last reset or step, `[N, Q]`; none where nobody keeps it.
    pub fn privileged(&self) -> Option<&ObsBuffer> {
        self.env.privileged()
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
    /// [`EnvError::Setting`] if there is not one seed an environment, [`EnvError::StepInFlight`] between the halves of a step.
    pub fn reset_with(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        self.not_in_flight("reset")?;
        self.fit(out);
        self.env.reset(seeds, out).map_err(|error| error.named(&self.id))?;
        self.started = true;
        self.waiting.fill(false);
        self.num_waiting = 0;
        out.active.fill(true);
        clear_ended(out);
        out.decisions.clear();
        self.settle_masks(out)
    }

    /// Starts a new episode in the given environments; their generators run on. The rows of other environments keep their
    /// observation, which `out` must still hold from the last call.
    ///
    /// # Errors
    /// [`EnvError::Setting`] for one that does not exist, [`EnvError::StepBeforeReset`] before the first reset,
    /// [`EnvError::StepInFlight`] between the halves of a step.
    pub fn reset_envs(&mut self, envs: &[u32], out: &mut StepBatch) -> Result<(), EnvError> {
        self.is_ready("reset_envs")?;
        envs.iter().try_for_each(|&env| self.exists(env as usize))?;
        self.fit(out);
        self.ended.clear();
        for &env in envs {
            if !self.ended.contains(env as usize) {
                self.ended.insert(env as usize);
            }
        }
        self.reset_ended(out)?;
        self.settle_masks(out)
    }

    /// Steps every environment once and fills `out`. Allocates nothing once the buffers have grown to their size.
    ///
    /// # Shapes
    /// `actions`: `[N, width]` as [`Simulator::action_spec`] says.
    ///
    /// # Errors
    /// For a wrong or masked-out action of a row that takes part, a step before the first reset or after an end, a reward that
    /// is not a number, or a row that goes on and may do nothing.
    /// After a wrong action nothing has been stepped.
    pub fn step(&mut self, actions: &ActionBatch, out: &mut StepBatch) -> Result<(), EnvError> {
        self.is_ready("step")?;
        self.fit(out);
        self.begin_tick(actions, &out.action_masks)?;
        self.env.step(actions, &self.active, out).map_err(|error| error.named(&self.id))?;
        self.end_tick(out)
    }

    /// The first half of [`Simulator::step`]: checks the actions and hands them over. Environments that run elsewhere work on
    /// while the caller does something else; [`Simulator::receive`] gets what they did, the same bits as a step.
    ///
    /// `last` is the batch of the last call, whose masks say what is legal.
    ///
    /// # Errors
    /// As [`Simulator::step`], [`EnvError::StepInFlight`] if the last step was not received, and [`EnvError::Setting`] if
    /// `last` is not of this simulator. After a wrong action nothing has been sent.
    pub fn send(&mut self, actions: &ActionBatch, last: &StepBatch) -> Result<(), EnvError> {
        self.is_ready("send")?;
        self.check_actions(actions, last)?;
        self.env.send(actions, &self.active)?;
        self.in_flight = true;
        Ok(())
    }

    /// Checks the actions of the next step without taking it, so that several simulators step together or not at all.
    ///
    /// # Errors
    /// As [`Simulator::send`].
    pub fn check_actions(&mut self, actions: &ActionBatch, last: &StepBatch) -> Result<(), EnvError> {
        self.is_ready("check_actions")?;
        let masks = last.action_masks.len();
        if masks != self.num_rows() * self.info.mask_len {
            let expected = "as long as the rows' masks together";
            return Err(EnvError::Setting { field: "action_masks", expected, found: masks.to_string() });
        }
        self.begin_tick(actions, &last.action_masks)
    }

    /// The second half of [`Simulator::step`]: fills `out`, which must still hold the last batch.
    ///
    /// # Errors
    /// [`EnvError::NothingSent`] without a step that was sent, or as [`Simulator::step`]. The step is over all the same: what
    /// may follow is a reset.
    pub fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        if !std::mem::take(&mut self.in_flight) {
            return Err(EnvError::NothingSent);
        }
        self.fit(out);
        self.env.receive(out).map_err(|error| error.named(&self.id))?;
        self.end_tick(out)
    }

    /// Checks that what is observed now, and was observed last in the episodes that ended, is finite. Not part of a step: who
    /// has a network read it wants to know, and pays for it.
    ///
    /// # Errors
    /// [`EnvError::NotANumber`] naming the environment, the row and the index. Rows that wait for a reset are passed over.
    pub fn check_observations(&self, last: &StepBatch) -> Result<(), EnvError> {
        let len = self.observation_len;
        let ended = first_not_finite(&last.final_observations, |_| true)
            .map(|(at, value)| (last.episodes[at / len].row as usize, at % len, value));
        let now = || first_not_finite(&last.observations, |at| !self.waiting[at / len]);
        match ended.or_else(|| now().map(|(at, value)| (at / len, at % len, value))) {
            None => Ok(()),
            Some((row, index, value)) => {
                let (env, value) = (self.id.clone(), f64::from(value));
                Err(EnvError::NotANumber { env, row, index: Some(index), value })
            }
        }
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

    /// That an episode has begun and no step is in flight.
    fn is_ready(&self, method: &'static str) -> Result<(), EnvError> {
        if self.started { self.not_in_flight(method) } else { Err(EnvError::StepBeforeReset) }
    }

    fn not_in_flight(&self, method: &'static str) -> Result<(), EnvError> {
        if self.in_flight { Err(EnvError::StepInFlight { method }) } else { Ok(()) }
    }

    /// That there is an environment of this number.
    fn exists(&self, env: usize) -> Result<(), EnvError> {
        if env < self.num_envs() {
            return Ok(());
        }
        let (field, expected) = ("environment", "below the number of environments");
        Err(EnvError::Setting { field, expected, found: env.to_string() })
    }

    /// Says which rows take part in this tick and which environments are reset instead, and checks the actions of the former.
    #[inline]
    fn begin_tick(&mut self, actions: &ActionBatch, masks: &[bool]) -> Result<(), EnvError> {
        self.choose_active()?;
        let VectorInfo { action_spec, action_space, mask_len, .. } = &self.info;
        actions.validate(action_spec, action_space, self.info.num_rows(), &self.active)?;
        if *mask_len > 0 { actions.validate_masks(action_spec, masks, &self.active) } else { Ok(()) }
    }

    /// Says which rows take part in the next tick and which environments are reset in it.
    #[inline]
    fn choose_active(&mut self) -> Result<(), EnvError> {
        if self.num_waiting == 0 {
            self.ended.clear();
            self.active.fill();
            return Ok(());
        }
        let agents = self.info.num_agents;
        if agents == 1 {
            self.ended.copy_flags(self.waiting.iter().copied());
        } else {
            let is_over = |rows: &[bool]| rows.iter().all(|&waiting| waiting);
            self.ended.copy_flags(self.waiting.chunks(agents).map(is_over));
        }
        if self.autoreset == Autoreset::Disabled {
            let first = self.ended.iter().next();
            if let Some(env) = first {
                return Err(EnvError::StepAfterEnd { row: env * agents });
            }
        }
        self.active.copy_flags(self.waiting.iter().map(|waiting| !waiting));
        Ok(())
    }

    /// Says which rows were stepped, resets what was over before the tick and reports what ended in it.
    #[inline]
    fn end_tick(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        if self.active.is_all() {
            out.active.fill(true);
        } else {
            out.active.iter_mut().zip(&self.waiting).for_each(|(active, waiting)| *active = !waiting);
        }
        if !self.ended.is_empty() {
            self.reset_ended(out)?;
        }
        self.collect_decisions(out)?;
        self.collect_ended(out)?;
        self.settle_masks(out)?;
        if out.rewards.iter().fold(true, |ok, reward| ok & reward.is_finite()) {
            return Ok(());
        }
        let wrong = |&row: &usize| out.active[row] && !out.rewards[row].is_finite();
        match (0..out.rewards.len()).find(wrong) {
            None => Ok(()),
            Some(row) => {
                let (env, value) = (self.id.clone(), out.rewards[row]);
                Err(EnvError::NotANumber { env, row, index: None, value })
            }
        }
    }

    /// Sees to it that every mask allows something: one of a row that waits for its reset allows all if it allowed nothing,
    /// because whoever acts acts in every row.
    fn settle_masks(&self, out: &mut StepBatch) -> Result<(), EnvError> {
        let ActionSpec::Discrete { nvec } = &self.info.action_spec else { return Ok(()) };
        if self.info.mask_len == 0 {
            return Ok(());
        }
        for (row, mask) in out.action_masks.chunks_exact_mut(self.info.mask_len).enumerate() {
            // One branch is the common case, and this needs no jump.
            if nvec.len() == 1 && mask.iter().fold(false, |any, allowed| any | allowed) {
                continue;
            }
            let mut rest = &*mask;
            let blocked = nvec.iter().position(|&n| {
                let (of_branch, others) = rest.split_at(n as usize);
                rest = others;
                !of_branch.contains(&true)
            });
            match blocked {
                None => {}
                Some(_) if self.waiting[row] => mask.fill(true),
                Some(branch) => return Err(EnvError::NoLegalAction { env: self.id.clone(), row, branch }),
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
        self.env.reset_envs(&self.ended, out).map_err(|error| error.named(&self.id))?;
        self.ended.clear();
        Ok(())
    }

    /// Asks the active rows what they decided, before those that ended are reset.
    #[inline]
    fn collect_decisions(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        out.decisions.clear();
        if self.info.groups.is_empty() {
            return Ok(());
        }
        for row in (0..self.num_rows()).filter(|&row| out.active[row]) {
            self.decided.clear();
            self.env.decisions(row, &mut self.decided);
            let decided = self.decided.iter().map(|&decision| RowDecision { row: row as u32, decision });
            out.decisions.extend(decided);
        }
        groups::check(&self.id, &self.info.groups, &out.decisions)
    }

    /// Reports the episodes that ended and, under same-step autoreset, starts the next ones.
    fn collect_ended(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        /// Most chunks have no end: one vectorised look decides.
        const CHUNK: usize = 64;
        clear_ended(out);
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
                self.record_episode(row, &mut out.episodes, &mut out.episode_metrics);
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

    /// Adds the statistics and metrics of an episode that ended.
    #[inline]
    #[expect(clippy::expect_used, reason = "the constructor has asked for a monitor")]
    fn record_episode(&self, row: usize, episodes: &mut Vec<EpisodeStats>, metrics: &mut Vec<f64>) {
        episodes.push(self.env.episode(row).expect("a monitor counts every row"));
        if !self.info.metrics.is_empty() {
            let start = metrics.len();
            metrics.resize(start + self.info.metrics.len(), 0.0);
            self.env.episode_metrics(row, &mut metrics[start..]);
        }
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

/// The first number that is not finite, among those at places that are looked at.
fn first_not_finite(values: &ObsBuffer, is_looked_at: impl Fn(usize) -> bool) -> Option<(usize, f32)> {
    let ObsBuffer::F32(values) = values else { return None };
    // Most have none: one vectorised look decides.
    if values.iter().fold(true, |ok, value| ok & value.is_finite()) {
        return None;
    }
    let wrong = |&(at, value): &(usize, &f32)| !value.is_finite() && is_looked_at(at);
    values.iter().enumerate().find(wrong).map(|(at, &value)| (at, value))
}

/// Empties the lists of what ended.
fn clear_ended(out: &mut StepBatch) {
    out.episodes.clear();
    out.episode_metrics.clear();
    out.final_observations.resize(0);
}

#[cfg(test)]
mod tests;
