//! The simulator's core: one ECS world of many arenas, as a [`VectorEnv`] that wrappers can be stacked on.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::builder::{Assume, Decide, Draw, EcsEnv, Metrics, RngIo, SimulatorBuilder, Turn, Write};
use super::schedule::{ActionMasks, Actions, Arena, Observations, Outcomes, Scope};
use super::snapshot;
use crate::batch::{ActionBatch, ActionSpec, ObsBuffer, StepBatch};
use crate::columns::{from_bytes, to_bytes};
use crate::groups::Decision;
use crate::random::Seed;
use crate::vector::{RowSet, VectorEnv, VectorInfo};
use crate::{EnvError, Frame};

/// Arenas of one kind in one world, stepped together; never resets by itself and counts nothing.
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
    metrics: Option<Box<Metrics>>,
    decisions: Option<Box<Decide>>,
    turn: Option<Box<Turn>>,
    /// Whether systems leave alone what is not in scope.
    in_scope: bool,
    members: snapshot::Members,
    /// The rows of a step that was sent.
    sent: RowSet,
    /// The environments of a step that not all take part in.
    stepped: RowSet,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    num_envs: u64,
    arenas: snapshot::Columns,
    agents: snapshot::Columns,
    member_arenas: Vec<Arena>,
    members: snapshot::Columns,
}

/// What is saved of one arena.
#[derive(Serialize, Deserialize)]
struct SavedArena {
    arena: snapshot::Columns,
    agents: snapshot::Columns,
    num_members: u32,
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
    /// If `num_envs` is zero or over 2³¹, the action space cannot be stepped in a batch, or the systems' order is ambiguous.
    pub fn new(env: &dyn EcsEnv, num_envs: usize) -> Result<Self, EnvError> {
        let num_agents = env.num_agents().unwrap_or(1);
        if num_agents == 0 {
            let found = "0".to_owned();
            return Err(EnvError::Setting { field: "num_agents", expected: "at least 1", found });
        }
        if num_envs == 0 || num_envs.saturating_mul(num_agents) > 1 << 31 {
            let found = format!("{num_envs} of {num_agents}");
            let (field, expected) = ("num_envs", "at least 1, and at most 2^31 agents in all");
            return Err(EnvError::Setting { field, expected, found });
        }
        let named = env.teams().len();
        if named != 0 && named != num_agents {
            let expected = "one for each agent, or none";
            return Err(EnvError::Setting { field: "teams", expected, found: named.to_string() });
        }
        let (observation_space, action_space) = (env.observation_space(), env.action_space());
        let action_spec = ActionSpec::of(&action_space)?;
        let mask_len = if env.has_action_mask() { action_spec.mask_len() } else { 0 };
        let mut info = VectorInfo {
            observation_space,
            action_space,
            action_spec,
            mask_len,
            num_envs,
            num_agents,
            teams: env.teams(),
            frames: None,
            turns: false,
            action_names: env.action_names(),
            metrics: Vec::new(),
            groups: Vec::new(),
            tasks: Vec::new(),
            privileged: None,
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
        info.groups.clone_from(&builder.groups);
        info.turns = builder.turn.is_some();
        info.metrics = builder.metric_names.iter().map(|&name| name.to_owned()).collect();
        Ok(Self {
            members: snapshot::Members::new(&mut builder.world),
            sent: RowSet::none(info.num_rows()),
            stepped: RowSet::none(num_envs),
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
            metrics: builder.metrics,
            decisions: builder.decisions,
            turn: builder.turn,
            in_scope: builder.in_scope,
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
        if self.info.mask_len > 0 {
            std::mem::swap(&mut self.world.resource_mut::<ActionMasks>().masks, &mut out.action_masks);
        }
    }

    fn start_episodes(&mut self, envs: &RowSet, out: &mut StepBatch) {
        self.set_scope(envs);
        self.swap_buffers(out);
        self.reset.run(&mut self.world);
        self.swap_buffers(out);
    }

    /// Makes `stepped` the environments that have an active row.
    fn find_stepped(&mut self, active: &RowSet) {
        let agents = self.info.num_agents;
        if agents == 1 {
            return self.stepped.copy_from(active);
        }
        let is_active = |env: usize| (env * agents..(env + 1) * agents).any(|row| active.contains(row));
        self.stepped.copy_flags((0..self.info.num_envs).map(is_active));
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

    /// Hands the actions of the active rows to the systems. What the others have is not checked, and they keep their last
    /// ones, so that a system that looks at every row finds legal ones only.
    fn act(&mut self, actions: &ActionBatch, active: &RowSet) {
        let batch = &mut self.world.resource_mut::<Actions>().batch;
        batch.copy_rows(actions, active, self.info.action_spec.width());
    }

    /// Runs a tick of the active rows with the actions handed over.
    fn advance(&mut self, active: &RowSet, out: &mut StepBatch) {
        let mut release = None;
        if active.is_all() {
            self.world.resource_mut::<Scope>().set_all();
        } else {
            self.find_stepped(active);
            self.world.resource_mut::<Scope>().set(&self.stepped, &self.arenas, &self.agents);
            // A system may work on whole columns, held arenas included: those are reset before they are stepped again,
            // but their generators must not have moved.
            let held = self.arenas.iter().enumerate().filter(|(env, _)| !self.stepped.contains(*env));
            let held: Vec<Entity> =
                if self.in_scope { Vec::new() } else { held.map(|(_, &arena)| arena).collect() };
            release = Some((self.rng.keep)(&self.world, &held));
        }
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        let last = self.idle_rows(active, out);
        self.swap_buffers(out);
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
    }

    /// The acting entities of an arena that does not act itself.
    fn agents_of(&self, env: usize) -> std::ops::Range<usize> {
        let per_arena = self.agents.len() / self.arenas.len();
        env * per_arena..(env + 1) * per_arena
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

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.act(actions, active);
        self.sent.copy_from(active);
        Ok(())
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        let sent = std::mem::take(&mut self.sent);
        self.advance(&sent, out);
        self.sent = sent;
        Ok(())
    }

    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.act(actions, active);
        self.advance(active, out);
        Ok(())
    }

    fn episode_metrics(&self, row: usize, out: &mut [f64]) {
        if let Some(metrics) = &self.metrics {
            let arena = self.arenas[row / self.info.num_agents];
            metrics(&self.world, arena, self.agents.get(row).copied().unwrap_or(arena), out);
        }
    }

    fn decisions(&self, row: usize, out: &mut Vec<Decision>) {
        if let Some(decisions) = &self.decisions {
            let arena = self.arenas[row / self.info.num_agents];
            decisions(&self.world, arena, self.agents.get(row).copied().unwrap_or(arena), out);
        }
    }

    fn turn(&self, env: usize) -> usize {
        self.turn.as_ref().map_or(0, |turn| turn(&self.world, self.arenas[env]))
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let (members, member_arenas) = self.members.all(&self.world);
        let saved = Saved {
            num_envs: self.arenas.len() as u64,
            arenas: snapshot::Columns::save(&self.world, &self.arenas, &self.arena_components)?,
            agents: snapshot::Columns::save(&self.world, &self.agents, &self.agent_components)?,
            members: snapshot::Columns::save(&self.world, &members, &self.member_components)?,
            member_arenas,
        };
        to_bytes(&saved)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved = from_bytes(snapshot)?;
        if saved.num_envs != self.arenas.len() as u64 {
            return Err(EnvError::Snapshot(format!(
                "expected {} environments, found {}",
                self.arenas.len(),
                saved.num_envs
            )));
        }
        saved.arenas.load(&mut self.world, &self.arenas, &self.arena_components)?;
        saved.agents.load(&mut self.world, &self.agents, &self.agent_components)?;
        if let Some(arena) = saved.member_arenas.iter().find(|arena| arena.index() >= self.arenas.len()) {
            let message = format!("expected {} environments, found a member of {arena:?}", self.arenas.len());
            return Err(EnvError::Snapshot(message));
        }
        saved.members.expect(saved.member_arenas.len())?;
        let members = self.members.replace_all(&mut self.world, &saved.member_arenas);
        saved.members.load(&mut self.world, &members, &self.member_components)
    }

    fn save_env(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        let (world, agents) = (&self.world, &self.agents[self.agents_of(env)]);
        let members = self.members.of(world, Arena(env as u32));
        to_bytes(&SavedArena {
            arena: snapshot::Columns::save(world, &self.arenas[env..=env], &self.arena_components)?,
            agents: snapshot::Columns::save(world, agents, &self.agent_components)?,
            num_members: members.len() as u32,
            members: snapshot::Columns::save(world, &members, &self.member_components)?,
        })
    }

    fn load_env(&mut self, env: usize, saved: &[u8]) -> Result<(), EnvError> {
        let saved: SavedArena = from_bytes(saved)?;
        saved.arena.load(&mut self.world, &self.arenas[env..=env], &self.arena_components)?;
        let agents = &self.agents[self.agents_of(env)];
        saved.agents.load(&mut self.world, agents, &self.agent_components)?;
        saved.members.expect(saved.num_members as usize)?;
        let members = self.members.replace(&mut self.world, Arena(env as u32), saved.num_members as usize);
        saved.members.load(&mut self.world, &members, &self.member_components)
    }

    fn fork(&mut self, from: usize, to: usize) -> Result<(), EnvError> {
        for component in &self.arena_components {
            component.copy(&mut self.world, self.arenas[from], self.arenas[to]);
        }
        for (from, to) in self.agents_of(from).zip(self.agents_of(to)) {
            for component in &self.agent_components {
                component.copy(&mut self.world, self.agents[from], self.agents[to]);
            }
        }
        let sources = self.members.of(&self.world, Arena(from as u32));
        let targets = self.members.replace(&mut self.world, Arena(to as u32), sources.len());
        for component in &self.member_components {
            for (&from, &to) in sources.iter().zip(&targets) {
                component.copy(&mut self.world, from, to);
            }
        }
        Ok(())
    }

    fn reseed(&mut self, env: usize, seed: &Seed) -> Result<(), EnvError> {
        (self.rng.seed)(&mut self.world.entity_mut(self.arenas[env]), seed);
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
}
