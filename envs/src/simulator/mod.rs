//! The ECS simulator: many environments in one world, stepped together.
//!
//! A [`Simulator`] holds a fixed number of environments (a *shard* of a run). One tick runs a fixed, single-threaded
//! schedule of system sets, [`Phase`]: `Act → Dynamics → Outcome → Score → Observe`, then, for the rows whose episode
//! ended, `Autoreset → Observe`. Two systems of a set that touch the same data without a stated order are an error when
//! the world is built, so a tick has one possible result. Parallelism is across simulators, never inside one.
//!
//! Invariant: nothing outside the components registered with the [`SimulatorBuilder`], the episode counters and the
//! autoreset bookkeeping survives from one tick to the next; a [`Simulator::snapshot`] is therefore whole.

mod builder;
mod schedule;
mod single;
mod snapshot;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

pub use builder::{EcsEnv, SimulatorBuilder};
pub use schedule::{ActionMasks, Actions, EnvRng, MemberOf, Observations, Outcomes, Phase, Row, Scope};
pub use single::SingleEnv;

use crate::batch::{ActionBatch, ActionSpec, EpisodeStats, ObsBuffer, StepBatch, row_dtype};
use crate::{EnvError, Pcg64, Space};

/// When an episode that ended is reset; Gymnasium's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autoreset {
    /// In the tick in which it ended: the observation is the next episode's first one, the final one is kept apart.
    #[default]
    SameStep,
    /// In the tick after: that tick ignores the action and gives the first observation with reward zero.
    NextStep,
    /// By the caller ([`Simulator::reset_rows`]); stepping an ended environment is an error.
    Disabled,
}

/// Episode counters of all rows.
#[derive(Resource, Clone, Serialize, Deserialize)]
struct Episodes {
    returns: Vec<f64>,
    lengths: Vec<u32>,
    /// Rows that ended and wait for their reset; stays false under same-step autoreset.
    waiting: Vec<bool>,
    /// Rows that ended in this tick, in order.
    ended: Vec<u32>,
    any_waiting: bool,
}

#[derive(Resource)]
struct TimeLimit(Option<u32>);

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    num_envs: u64,
    started: bool,
    episodes: Episodes,
    arenas: snapshot::Columns,
    member_rows: Vec<Row>,
    members: snapshot::Columns,
}

/// `N` environments of one kind, stepped together.
pub struct Simulator {
    world: World,
    step: Schedule,
    reset: Schedule,
    arenas: Vec<Entity>,
    arena_components: Vec<snapshot::ComponentIo>,
    member_components: Vec<snapshot::ComponentIo>,
    observation_space: Space,
    action_space: Space,
    action_spec: ActionSpec,
    observation_len: usize,
    mask_len: usize,
    autoreset: Autoreset,
    max_episode_steps: Option<u32>,
    started: bool,
    /// Generators of waiting rows, kept over a tick that must not touch them.
    kept_rngs: Vec<(Entity, Pcg64)>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("num_envs", &self.num_envs())
            .field("observation_space", &self.observation_space)
            .field("action_space", &self.action_space)
            .field("autoreset", &self.autoreset)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Builds a world of `num_envs` environments.
    ///
    /// # Errors
    /// If `num_envs` is zero or over 2³¹, the time limit is zero, the action space cannot be stepped in a batch, or the
    /// systems' order is ambiguous.
    pub fn new(
        env: &dyn EcsEnv,
        num_envs: usize,
        max_episode_steps: Option<u32>,
        autoreset: Autoreset,
    ) -> Result<Self, EnvError> {
        if num_envs == 0 || num_envs > 1 << 31 {
            let found = num_envs.to_string();
            return Err(EnvError::Setting { field: "num_envs", expected: "between 1 and 2^31", found });
        }
        if max_episode_steps == Some(0) {
            let found = "0".to_owned();
            return Err(EnvError::Setting { field: "max_episode_steps", expected: "at least 1", found });
        }
        let (observation_space, action_space) = (env.observation_space(), env.action_space());
        let action_spec = ActionSpec::of(&action_space)?;
        let observation_len = observation_space.packed_len();
        let mask_len = if env.has_action_mask() { action_spec.mask_len() } else { 0 };

        let mut builder = SimulatorBuilder::new(num_envs);
        builder
            .constant(Actions {
                batch: ActionBatch::zeros(&action_spec, num_envs),
                width: action_spec.width(),
            })
            .constant(Observations {
                buffer: ObsBuffer::zeros(row_dtype(&observation_space), num_envs * observation_len),
                width: observation_len,
            })
            .constant(Outcomes {
                rewards: vec![0.0; num_envs],
                terminated: vec![false; num_envs],
                truncated: vec![false; num_envs],
            })
            .constant(ActionMasks { masks: vec![true; num_envs * mask_len], width: mask_len })
            .constant(Scope::default())
            .constant(TimeLimit(max_episode_steps))
            .constant(Episodes {
                returns: vec![0.0; num_envs],
                lengths: vec![0; num_envs],
                waiting: vec![false; num_envs],
                ended: Vec::with_capacity(num_envs),
                any_waiting: false,
            });
        builder.step.add_systems(score.in_set(Phase::Score));
        env.build(&mut builder);
        builder.finish()?;
        let SimulatorBuilder { world, step, reset, arenas, arena_components, member_components } = builder;
        Ok(Self {
            world,
            step,
            reset,
            arenas,
            arena_components,
            member_components,
            observation_space,
            action_space,
            action_spec,
            observation_len,
            mask_len,
            autoreset,
            max_episode_steps,
            started: false,
            kept_rngs: Vec::new(),
        })
    }

    /// Number of environments, `N`.
    pub fn num_envs(&self) -> usize {
        self.arenas.len()
    }

    /// Space of one environment's observations.
    pub fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    /// Space of one environment's actions.
    pub fn action_space(&self) -> &Space {
        &self.action_space
    }

    /// The batch form of the action space.
    pub fn action_spec(&self) -> &ActionSpec {
        &self.action_spec
    }

    /// Length of an observation row, `O`.
    pub fn observation_len(&self) -> usize {
        self.observation_len
    }

    /// Length of an action mask, `A`; zero where the environment has none.
    pub fn mask_len(&self) -> usize {
        self.mask_len
    }

    /// When ended episodes are reset.
    pub fn autoreset(&self) -> Autoreset {
        self.autoreset
    }

    /// Steps after which an episode is truncated.
    pub fn max_episode_steps(&self) -> Option<u32> {
        self.max_episode_steps
    }

    /// Buffers of the right sizes for [`Simulator::step`].
    pub fn new_batch(&self) -> StepBatch {
        let num_envs = self.num_envs();
        let dtype = row_dtype(&self.observation_space);
        StepBatch {
            observations: ObsBuffer::zeros(dtype, num_envs * self.observation_len),
            rewards: vec![0.0; num_envs],
            terminated: vec![false; num_envs],
            truncated: vec![false; num_envs],
            action_masks: vec![true; num_envs * self.mask_len],
            episodes: Vec::with_capacity(num_envs),
            final_observations: ObsBuffer::zeros(dtype, 0),
        }
    }

    /// Seeds row `i` with `seed + i`, as Gymnasium's vector environments do, and starts an episode in every row.
    ///
    /// # Errors
    /// None today; the signature leaves room for environments that can fail to reset.
    pub fn reset(&mut self, seed: u64, out: &mut StepBatch) -> Result<(), EnvError> {
        let rngs = (0..self.num_envs() as u64).map(|row| Pcg64::seed_from(seed.wrapping_add(row)));
        self.reset_with(rngs.collect(), out)
    }

    /// Gives row `i` the generator `rngs[i]` and starts an episode in every row.
    ///
    /// # Errors
    /// [`EnvError::Setting`] if there is not one generator a row.
    pub fn reset_with(&mut self, rngs: Vec<Pcg64>, out: &mut StepBatch) -> Result<(), EnvError> {
        if rngs.len() != self.num_envs() {
            let found = rngs.len().to_string();
            return Err(EnvError::Setting { field: "rngs", expected: "one for each environment", found });
        }
        for (&arena, rng) in self.arenas.iter().zip(rngs) {
            self.world.entity_mut(arena).insert(EnvRng(rng));
        }
        self.started = true;
        self.fit(out);
        self.swap_buffers(out);
        self.clear_outcomes();
        let num_envs = self.num_envs() as u32;
        self.start_episodes((0..num_envs).collect());
        self.swap_buffers(out);
        out.episodes.clear();
        out.final_observations.resize(0);
        Ok(())
    }

    /// Starts a new episode in the given rows; their generators run on. The other rows keep their observation, which
    /// `out` must still hold from the last call.
    ///
    /// # Errors
    /// [`EnvError::Setting`] for a row that does not exist, [`EnvError::StepBeforeReset`] before the first reset.
    pub fn reset_rows(&mut self, rows: &[u32], out: &mut StepBatch) -> Result<(), EnvError> {
        if !self.started {
            return Err(EnvError::StepBeforeReset);
        }
        if let Some(row) = rows.iter().find(|&&row| row as usize >= self.num_envs()) {
            let found = row.to_string();
            return Err(EnvError::Setting {
                field: "row",
                expected: "below the number of environments",
                found,
            });
        }
        self.fit(out);
        self.swap_buffers(out);
        self.start_episodes(rows.to_vec());
        self.swap_buffers(out);
        Ok(())
    }

    /// Steps every environment once and fills `out`. Allocates nothing once the buffers have grown to their size.
    ///
    /// # Shapes
    /// `actions`: `[N, width]` as [`Simulator::action_spec`] says.
    ///
    /// # Errors
    /// For a wrong action, a step before the first reset or after an end, or a reward that is not a number. After a
    /// wrong action nothing has been stepped.
    pub fn step(&mut self, actions: &ActionBatch, out: &mut StepBatch) -> Result<(), EnvError> {
        if !self.started {
            return Err(EnvError::StepBeforeReset);
        }
        actions.validate(&self.action_spec, &self.action_space, self.num_envs())?;
        let waiting = self.begin_tick()?;

        self.fit(out);
        self.swap_buffers(out);
        self.clear_outcomes();
        let count = actions.len();
        self.world.resource_mut::<Actions>().batch.copy_range(0, actions, 0, count);
        self.step.run(&mut self.world);
        if !waiting.is_empty() {
            self.finish_waiting(waiting);
        }
        self.collect_ended(out);
        self.swap_buffers(out);

        match out.rewards.iter().fold(true, |ok, reward| ok & reward.is_finite()) {
            true => Ok(()),
            false => {
                let row = out.rewards.iter().position(|reward| !reward.is_finite()).unwrap_or(0);
                Err(EnvError::NotANumber { row, what: "reward", value: out.rewards[row] })
            }
        }
    }

    /// The whole state of all environments: restored, it has the same future.
    ///
    /// The current observations are not part of it: they are the caller's, in its last [`StepBatch`].
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if a component cannot be serialised.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let (members, member_rows) = snapshot::members(&mut self.world);
        let saved = Saved {
            num_envs: self.num_envs() as u64,
            started: self.started,
            episodes: self.world.resource::<Episodes>().clone(),
            arenas: snapshot::Columns::save(&self.world, &self.arenas, &self.arena_components)?,
            members: snapshot::Columns::save(&self.world, &members, &self.member_components)?,
            member_rows,
        };
        postcard::to_stdvec(&saved).map_err(|error| EnvError::Snapshot(error.to_string()))
    }

    /// Takes on a state saved by [`Simulator::snapshot`] of a simulator of the same kind and size.
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if it belongs to another kind or size, or is damaged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved =
            postcard::from_bytes(snapshot).map_err(|error| EnvError::Snapshot(error.to_string()))?;
        if saved.num_envs != self.num_envs() as u64 {
            return Err(EnvError::Snapshot(format!(
                "expected {} environments, found {}",
                self.num_envs(),
                saved.num_envs
            )));
        }
        saved.arenas.load(&mut self.world, &self.arenas, &self.arena_components)?;
        let members = snapshot::respawn_members(&mut self.world, &saved.member_rows);
        saved.members.load(&mut self.world, &members, &self.member_components)?;
        self.started = saved.started;
        self.world.insert_resource(saved.episodes);
        Ok(())
    }

    /// Marks which rows wait for a reset; under next-step autoreset they sit out this tick.
    fn begin_tick(&mut self) -> Result<Vec<u32>, EnvError> {
        let episodes = self.world.resource::<Episodes>();
        if !episodes.any_waiting {
            self.world.resource_mut::<Scope>().set_all();
            return Ok(Vec::new());
        }
        let rows = |waiting: bool| {
            let rows = episodes.waiting.iter().enumerate().filter(move |&(_, &w)| w == waiting);
            rows.map(|(row, _)| row as u32).collect::<Vec<_>>()
        };
        let (waiting, stepping) = (rows(true), rows(false));
        if self.autoreset == Autoreset::Disabled {
            return Err(EnvError::StepAfterEnd { row: waiting[0] as usize });
        }
        for &row in &waiting {
            let arena = self.arenas[row as usize];
            if let Some(rng) = self.world.get::<EnvRng>(arena) {
                self.kept_rngs.push((arena, rng.0.clone()));
            }
        }
        self.world.resource_mut::<Scope>().set_rows(stepping.into_iter(), &self.arenas);
        Ok(waiting)
    }

    /// Undoes what the tick did to waiting rows and resets them.
    fn finish_waiting(&mut self, waiting: Vec<u32>) {
        for (arena, rng) in std::mem::take(&mut self.kept_rngs) {
            self.world.entity_mut(arena).insert(EnvRng(rng));
        }
        let mut outcomes = self.world.resource_mut::<Outcomes>();
        for &row in &waiting {
            outcomes.rewards[row as usize] = 0.0;
            outcomes.terminated[row as usize] = false;
            outcomes.truncated[row as usize] = false;
        }
        self.start_episodes(waiting);
    }

    /// Reports the episodes that ended and, under same-step autoreset, starts the next ones.
    fn collect_ended(&mut self, out: &mut StepBatch) {
        out.episodes.clear();
        out.final_observations.resize(0);
        let ended = std::mem::take(&mut self.world.resource_mut::<Episodes>().ended);
        if !ended.is_empty() {
            let buffer = &self.world.resource::<Observations>().buffer;
            let episodes = self.world.resource::<Episodes>();
            for &row in &ended {
                let i = row as usize;
                out.final_observations.extend_from(buffer, i * self.observation_len, self.observation_len);
                out.episodes.push(EpisodeStats {
                    row,
                    episode_return: episodes.returns[i],
                    episode_length: episodes.lengths[i],
                });
            }
            if self.autoreset == Autoreset::SameStep {
                let rows = self.start_episodes(ended);
                self.world.resource_mut::<Episodes>().ended = rows;
                return;
            }
            let mut episodes = self.world.resource_mut::<Episodes>();
            episodes.any_waiting = true;
            for &row in &ended {
                episodes.waiting[row as usize] = true;
            }
        }
        self.world.resource_mut::<Episodes>().ended = ended;
    }

    /// Runs the reset schedule for `rows` and hands the vector back.
    fn start_episodes(&mut self, rows: Vec<u32>) -> Vec<u32> {
        let mut episodes = self.world.resource_mut::<Episodes>();
        for &row in &rows {
            episodes.returns[row as usize] = 0.0;
            episodes.lengths[row as usize] = 0;
            episodes.waiting[row as usize] = false;
        }
        episodes.any_waiting = episodes.any_waiting && episodes.waiting.contains(&true);
        let mut scope = self.world.resource_mut::<Scope>();
        if rows.len() == self.arenas.len() {
            scope.set_all();
        } else {
            scope.set_rows(rows.iter().copied(), &self.arenas);
        }
        self.reset.run(&mut self.world);
        rows
    }

    fn clear_outcomes(&mut self) {
        let mut outcomes = self.world.resource_mut::<Outcomes>();
        outcomes.rewards.fill(0.0);
        outcomes.terminated.fill(false);
        outcomes.truncated.fill(false);
    }

    /// Gives the caller's buffers the right sizes.
    fn fit(&self, out: &mut StepBatch) {
        let num_envs = self.num_envs();
        if out.observations.dtype() != row_dtype(&self.observation_space) || out.rewards.len() != num_envs {
            *out = self.new_batch();
        }
        out.observations.resize(num_envs * self.observation_len);
        out.action_masks.resize(num_envs * self.mask_len, true);
        out.terminated.resize(num_envs, false);
        out.truncated.resize(num_envs, false);
    }

    /// Exchanges the caller's buffers with the world's: the systems write straight into what the caller gets.
    fn swap_buffers(&mut self, out: &mut StepBatch) {
        std::mem::swap(&mut self.world.resource_mut::<Observations>().buffer, &mut out.observations);
        let mut outcomes = self.world.resource_mut::<Outcomes>();
        std::mem::swap(&mut outcomes.rewards, &mut out.rewards);
        std::mem::swap(&mut outcomes.terminated, &mut out.terminated);
        std::mem::swap(&mut outcomes.truncated, &mut out.truncated);
        std::mem::swap(&mut self.world.resource_mut::<ActionMasks>().masks, &mut out.action_masks);
    }
}

/// Adds up returns and lengths, applies the time limit and lists the rows that ended.
fn score(limit: Res<TimeLimit>, mut outcomes: ResMut<Outcomes>, mut episodes: ResMut<Episodes>) {
    let outcomes = &mut *outcomes;
    let Episodes { returns, lengths, waiting, ended, any_waiting } = &mut *episodes;
    let limit = limit.0.unwrap_or(u32::MAX);
    let columns =
        returns.iter_mut().zip(lengths.iter_mut()).zip(&outcomes.rewards).zip(outcomes.truncated.iter_mut());
    for (((episode_return, length), reward), truncated) in columns {
        *episode_return += reward;
        *length += 1;
        *truncated |= *length >= limit;
    }
    ended.clear();
    const CHUNK: usize = 64;
    let chunks = outcomes.terminated.chunks(CHUNK).zip(outcomes.truncated.chunks(CHUNK));
    for (chunk, (terminated, truncated)) in chunks.enumerate() {
        // Most chunks have no end: one vectorised look decides.
        if terminated.iter().zip(truncated).fold(false, |any, (a, b)| any | a | b) {
            for (i, (a, b)) in terminated.iter().zip(truncated).enumerate() {
                let row = chunk * CHUNK + i;
                if (*a | *b) && !(*any_waiting && waiting[row]) {
                    ended.push(row as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
