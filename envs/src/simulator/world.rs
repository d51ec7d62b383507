//! The simulator's core: one ECS world of many arenas, as a [`VectorEnv`] that wrappers can be stacked on.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::builder::{Assume, Draw, EcsEnv, RngIo, SimulatorBuilder, Write};
use super::schedule::{ActionMasks, Actions, Arena, Observations, Outcomes, Scope};
use super::snapshot;
use crate::batch::{ActionBatch, ActionSpec, EpisodeStats, ObsBuffer, StepBatch};
use crate::random::Seed;
use crate::vector::{RowSet, VectorEnv, VectorInfo};
use crate::wrappers::RunningStatistics;
use crate::{EnvError, Frame};

/// Arenas of one kind in one world, stepped together; never resets by itself.
pub struct WorldEnv {
    world: World,
    step: Schedule,
    reset: Schedule,
    info: VectorInfo,
    arenas: Vec<Entity>,
    /// The acting entities, a row each; empty where the arenas act themselves.
    agents: Vec<Entity>,
    rng: RngIo,
    arena_components: Vec<snapshot::ComponentIo>,
    agent_components: Vec<snapshot::ComponentIo>,
    member_components: Vec<snapshot::ComponentIo>,
    draw: Option<Box<Draw>>,
    write: Option<Box<Write>>,
    assume: Option<Box<Assume>>,
    episodes: Episodes,
    max_episode_steps: u32,
}

/// Counters of every row's episode.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Episodes {
    returns: Vec<f64>,
    lengths: Vec<u32>,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    num_envs: u64,
    episodes: Episodes,
    arenas: snapshot::Columns,
    agents: snapshot::Columns,
    member_arenas: Vec<Arena>,
    members: snapshot::Columns,
}

/// Observations and masks of rows that keep them over a tick.
struct IdleRows {
    rows: Vec<usize>,
    observations: ObsBuffer,
    masks: Vec<bool>,
}

impl IdleRows {
    fn restore(&self, info: &VectorInfo, out: &mut StepBatch) {
        let (len, mask_len) = (info.observation_len(), info.mask_len);
        for (i, &row) in self.rows.iter().enumerate() {
            out.observations.copy_range(row * len, &self.observations, i * len, len);
            let kept = &self.masks[i * mask_len..(i + 1) * mask_len];
            out.action_masks[row * mask_len..(row + 1) * mask_len].copy_from_slice(kept);
        }
    }
}

impl WorldEnv {
    /// Builds a world of `num_envs` arenas.
    ///
    /// # Errors
    /// If `num_envs` is zero or over 2³¹, the time limit is zero, the action space cannot be stepped in a batch, or the
    /// systems' order is ambiguous.
    pub fn new(env: &dyn EcsEnv, num_envs: usize, max_episode_steps: Option<u32>) -> Result<Self, EnvError> {
        let num_agents = env.num_agents().unwrap_or(1);
        if num_agents == 0 {
            let found = "0".to_owned();
            return Err(EnvError::Setting { field: "num_agents", expected: "at least 1", found });
        }
        if num_envs == 0 || num_envs.saturating_mul(num_agents) > 1 << 31 {
            let found = num_envs.to_string();
            return Err(EnvError::Setting { field: "num_envs", expected: "between 1 and 2^31", found });
        }
        if max_episode_steps == Some(0) {
            let found = "0".to_owned();
            return Err(EnvError::Setting { field: "max_episode_steps", expected: "at least 1", found });
        }
        let (observation_space, action_space) = (env.observation_space(), env.action_space());
        let action_spec = ActionSpec::of(&action_space)?;
        let mask_len = if env.has_action_mask() { action_spec.mask_len() } else { 0 };
        let info = VectorInfo {
            observation_space,
            action_space,
            action_spec,
            mask_len,
            num_envs,
            num_agents,
            frames: None,
        };

        let mut builder = SimulatorBuilder::new(num_envs, env.num_agents());
        builder
            .constant(Actions::new(&info.action_spec, info.num_rows()))
            .constant(Observations::new(&info))
            .constant(Outcomes::new(info.num_rows()))
            .constant(ActionMasks::new(info.num_rows(), mask_len))
            .constant(Scope::new(num_envs));
        env.build(&mut builder);
        builder.finish()?;
        let rows = info.num_rows();
        Ok(Self {
            world: builder.world,
            step: builder.step,
            reset: builder.reset,
            info,
            arenas: builder.arenas,
            agents: builder.agents,
            rng: builder.rng,
            arena_components: builder.arena_components,
            agent_components: builder.agent_components,
            member_components: builder.member_components,
            draw: builder.draw,
            write: builder.write,
            assume: builder.assume,
            episodes: Episodes { returns: vec![0.0; rows], lengths: vec![0; rows] },
            max_episode_steps: max_episode_steps.unwrap_or(u32::MAX),
        })
    }

    /// Puts the environments of `envs` in scope.
    fn set_scope(&mut self, envs: &RowSet) {
        self.world.resource_mut::<Scope>().set(envs, &self.arenas, &self.agents);
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

    fn start_episodes(&mut self, envs: &RowSet, out: &mut StepBatch) {
        for row in self.info.rows_of(envs) {
            self.episodes.returns[row] = 0.0;
            self.episodes.lengths[row] = 0;
        }
        self.set_scope(envs);
        self.swap_buffers(out);
        self.reset.run(&mut self.world);
        self.swap_buffers(out);
    }

    /// The environments that have an active row.
    fn envs_with(&self, active: &RowSet) -> RowSet {
        let mut envs = RowSet::none(self.info.num_envs);
        for row in active.iter() {
            if !envs.contains(row / self.info.num_agents) {
                envs.insert(row / self.info.num_agents);
            }
        }
        envs
    }

    /// What the caller holds of rows that are over while other agents of their arena go on: the systems observe these too.
    fn idle_rows(&self, active: &RowSet, out: &StepBatch) -> IdleRows {
        let (agents, len, mask_len) = (self.info.num_agents, self.info.observation_len(), self.info.mask_len);
        let mut idle = IdleRows {
            rows: Vec::new(),
            observations: ObsBuffer::zeros(self.info.dtype(), 0),
            masks: Vec::new(),
        };
        if agents == 1 || active.is_all() {
            return idle;
        }
        for row in (0..self.info.num_rows()).filter(|&row| !active.contains(row)) {
            let first = row - row % agents;
            if (first..first + agents).any(|other| active.contains(other)) {
                idle.rows.push(row);
                idle.observations.extend_from(&out.observations, row * len, len);
                idle.masks.extend_from_slice(&out.action_masks[row * mask_len..(row + 1) * mask_len]);
            }
        }
        idle
    }

    /// Adds up returns and lengths, and truncates at the time limit.
    fn score(&mut self, active: &RowSet, out: &mut StepBatch) {
        let Episodes { returns, lengths } = &mut self.episodes;
        let limit = self.max_episode_steps;
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
}

impl VectorEnv for WorldEnv {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        if seeds.len() != self.arenas.len() {
            let found = seeds.len().to_string();
            return Err(EnvError::Setting { field: "seeds", expected: "one for each environment", found });
        }
        for (&arena, seed) in self.arenas.iter().zip(seeds) {
            (self.rng.seed)(&mut self.world.entity_mut(arena), seed);
        }
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        self.start_episodes(&RowSet::all(seeds.len()), out);
        Ok(())
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.start_episodes(envs, out);
        Ok(())
    }

    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        let mut release = None;
        if active.is_all() {
            self.world.resource_mut::<Scope>().set_all();
        } else {
            let envs = self.envs_with(active);
            self.set_scope(&envs);
            // A system may work on whole columns, held arenas included: those are reset before they are stepped again,
            // but their generators must not have moved.
            let held: Vec<Entity> = (0..self.arenas.len())
                .filter(|&env| !envs.contains(env))
                .map(|env| self.arenas[env])
                .collect();
            release = Some((self.rng.keep)(&self.world, &held));
        }
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        let last = self.idle_rows(active, out);
        self.swap_buffers(out);
        self.world.resource_mut::<Actions>().batch.copy_range(0, actions, 0, actions.len());
        self.step.run(&mut self.world);
        self.swap_buffers(out);
        if let Some(release) = release {
            release(&mut self.world);
            last.restore(&self.info, out);
            for row in (0..self.info.num_rows()).filter(|&row| !active.contains(row)) {
                out.rewards[row] = 0.0;
                out.terminated[row] = false;
                out.truncated[row] = false;
            }
        }
        self.score(active, out);
        Ok(())
    }

    fn episode(&self, row: usize) -> EpisodeStats {
        EpisodeStats {
            row: row as u32,
            episode_return: self.episodes.returns[row],
            episode_length: self.episodes.lengths[row],
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let (members, member_arenas) = snapshot::members(&mut self.world);
        let saved = Saved {
            num_envs: self.arenas.len() as u64,
            episodes: self.episodes.clone(),
            arenas: snapshot::Columns::save(&self.world, &self.arenas, &self.arena_components)?,
            agents: snapshot::Columns::save(&self.world, &self.agents, &self.agent_components)?,
            members: snapshot::Columns::save(&self.world, &members, &self.member_components)?,
            member_arenas,
        };
        postcard::to_stdvec(&saved).map_err(|error| EnvError::Snapshot(error.to_string()))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved =
            postcard::from_bytes(snapshot).map_err(|error| EnvError::Snapshot(error.to_string()))?;
        if saved.num_envs != self.arenas.len() as u64 {
            return Err(EnvError::Snapshot(format!(
                "expected {} environments, found {}",
                self.arenas.len(),
                saved.num_envs
            )));
        }
        saved.arenas.load(&mut self.world, &self.arenas, &self.arena_components)?;
        saved.agents.load(&mut self.world, &self.agents, &self.agent_components)?;
        let members = snapshot::respawn_members(&mut self.world, &saved.member_arenas);
        saved.members.load(&mut self.world, &members, &self.member_components)?;
        self.episodes = saved.episodes;
        Ok(())
    }

    fn render(&mut self, env: usize) -> Option<Frame> {
        let arena = *self.arenas.get(env)?;
        self.draw.as_ref()?(&mut self.world, arena)
    }

    fn render_text(&mut self, env: usize) -> Option<String> {
        let arena = *self.arenas.get(env)?;
        self.write.as_ref()?(&mut self.world, arena)
    }

    fn assume(&mut self, env: usize, observation: &[f32]) -> bool {
        match (self.arenas.get(env), &self.assume) {
            (Some(&arena), Some(assume)) => assume(&mut self.world, arena, observation),
            _ => false,
        }
    }

    fn visit_statistics(&mut self, _visit: &mut dyn FnMut(&mut RunningStatistics)) {}
}
