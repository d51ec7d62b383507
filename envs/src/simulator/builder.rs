//! How an environment becomes a world: components, systems and what of them is saved.

use bevy_ecs::component::Mutable;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{IntoScheduleConfigs, LogLevel, ScheduleBuildSettings, SingleThreadedExecutor};
use bevy_ecs::system::ScheduleSystem;
use serde::{Serialize, de::DeserializeOwned};

use super::schedule::{Agent, Arena, EnvRng, MemberOf, Phase, Row};
use super::snapshot::ComponentIo;
use crate::groups::Decision;
use crate::random::{Generator, Seed};
use crate::{EnvError, Frame, Pcg64, Space};

/// Draws an arena.
pub(super) type Draw = dyn Fn(&mut World, Entity) -> Option<Frame> + Send + Sync;
/// Writes an arena as text.
pub(super) type Write = dyn Fn(&mut World, Entity) -> Option<String> + Send + Sync;

/// Writes the metrics of an acting entity's episode, given its arena and itself.
pub(super) type Metrics = dyn Fn(&World, Entity, Entity, &mut [f64]) + Send + Sync;

/// Appends what an acting entity decided in its last step, given its arena and itself.
pub(super) type Decide = dyn Fn(&World, Entity, Entity, &mut Vec<Decision>) + Send + Sync;

/// Whose turn it is in an arena.
pub(super) type Turn = dyn Fn(&World, Entity) -> usize + Send + Sync;

/// Sets an arena's state from an observation.
pub(super) type Assume = dyn Fn(&mut World, Entity, &[f32]) -> bool + Send + Sync;

/// How the arenas' generators are seeded, and kept over a tick that must not move them.
pub(super) struct RngIo {
    pub(super) seed: fn(&mut EntityWorldMut<'_>, &Seed),
    pub(super) keep: fn(&World, &[Entity]) -> Box<dyn FnOnce(&mut World)>,
    component: fn() -> ComponentIo,
}

impl RngIo {
    fn of<R: Generator>() -> Self {
        Self {
            seed: |arena, seed| {
                arena.insert(EnvRng(R::from_seed(seed)));
            },
            keep: |world, arenas| {
                let kept: Vec<(Entity, EnvRng<R>)> = arenas
                    .iter()
                    .filter_map(|&arena| Some((arena, world.get::<EnvRng<R>>(arena)?.clone())))
                    .collect();
                Box::new(move |world| {
                    // Written in place: a generator may have thousands of bytes.
                    for (arena, rng) in kept {
                        if let Some(mut own) = world.get_mut::<EnvRng<R>>(arena) {
                            *own = rng;
                        }
                    }
                })
            },
            component: ComponentIo::of::<EnvRng<R>>,
        }
    }
}

/// An environment as components and systems: the fast way in, and the one for arenas of many entities.
///
/// An implementation describes the spaces and builds the world; the state of `N` arenas is then stepped together.
/// Arenas are entities with an [`Arena`] number, a [`Row`] and an [`EnvRng`]; entities that belong to an arena carry
/// [`MemberOf`]. Where several agents act in an arena ([`EcsEnv::num_agents`]) each of them is an entity with an [`Agent`]
/// and its own [`Row`], and the arena has no row.
/// All state must be in components registered with the builder, and no component may hold an `Entity` or its arena's
/// number: that is what makes a snapshot whole, and lets an arena's state be given to another one. Members of one kind should carry one set of components: their order is kept within a set.
/// Nothing an arena does may depend on the order in which a query meets members (take a maximum, not a rounded sum):
/// that order depends on what else is in the world.
pub trait EcsEnv: Send + Sync + 'static {
    /// Space of the observations.
    fn observation_space(&self) -> Space;

    /// Space of the actions.
    fn action_space(&self) -> Space;

    /// Adds components and systems.
    fn build(&self, simulator: &mut SimulatorBuilder);

    /// Whether some actions can be illegal in some states; then `Observe` systems fill
    /// [`ActionMasks`](super::ActionMasks).
    fn has_action_mask(&self) -> bool {
        false
    }

    /// Number of agents that act in each arena as entities of their own; none if the arena itself acts.
    fn num_agents(&self) -> Option<usize> {
        None
    }

    /// How the options of a discrete action are written, as moves of a game are; empty where they have no names.
    fn action_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// The team of each of them, by which returns are reported; empty where all are one team.
    fn teams(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A world in the making: what [`EcsEnv::build`] adds to.
pub struct SimulatorBuilder {
    pub(super) world: World,
    pub(super) step: Schedule,
    pub(super) reset: Schedule,
    pub(super) arenas: Vec<Entity>,
    pub(super) agents: Vec<Entity>,
    pub(super) rng: RngIo,
    pub(super) arena_components: Vec<ComponentIo>,
    pub(super) agent_components: Vec<ComponentIo>,
    pub(super) member_components: Vec<ComponentIo>,
    pub(super) draw: Option<Box<Draw>>,
    pub(super) write: Option<Box<Write>>,
    pub(super) assume: Option<Box<Assume>>,
    pub(super) metric_names: &'static [&'static str],
    pub(super) metrics: Option<Box<Metrics>>,
    pub(super) groups: Vec<String>,
    pub(super) decisions: Option<Box<Decide>>,
    pub(super) turn: Option<Box<Turn>>,
    pub(super) in_scope: bool,
}

impl SimulatorBuilder {
    pub(super) fn new(num_envs: usize, num_agents: Option<usize>) -> Self {
        let mut world = World::new();
        let numbers = 0..num_envs as u32;
        let (arenas, agents) = match num_agents {
            None => (world.spawn_batch(numbers.map(|env| (Arena(env), Row(env)))).collect(), Vec::new()),
            Some(per_arena) => {
                let arenas = world.spawn_batch(numbers.clone().map(Arena)).collect();
                let agent = |env: u32| {
                    let per_arena = per_arena as u32;
                    (0..per_arena)
                        .map(move |index| (Row(env * per_arena + index), Agent { arena: Arena(env), index }))
                };
                (arenas, world.spawn_batch(numbers.flat_map(agent).collect::<Vec<_>>()).collect())
            }
        };
        let schedule = || {
            let mut schedule = Schedule::default();
            schedule.set_executor(SingleThreadedExecutor::new());
            schedule.set_build_settings(ScheduleBuildSettings {
                ambiguity_detection: LogLevel::Error,
                ..Default::default()
            });
            schedule
        };
        let (mut step, mut reset) = (schedule(), schedule());
        step.configure_sets((Phase::Act, Phase::Dynamics, Phase::Outcome, Phase::Observe).chain());
        reset.configure_sets((Phase::Autoreset, Phase::Observe).chain());
        Self {
            world,
            step,
            reset,
            arenas,
            agents,
            rng: RngIo::of::<Pcg64>(),
            arena_components: Vec::new(),
            agent_components: Vec::new(),
            member_components: Vec::new(),
            draw: None,
            write: None,
            assume: None,
            metric_names: &[],
            metrics: None,
            groups: Vec::new(),
            decisions: None,
            turn: None,
            in_scope: false,
        }
    }

    /// Makes `R` the arenas' generator instead of NumPy's PCG64: systems then ask for `EnvRng<R>`.
    pub fn random<R: Generator>(&mut self) -> &mut Self {
        self.rng = RngIo::of::<R>();
        self
    }

    /// Gives every arena a copy of `component`; it is part of the snapshots.
    pub fn arena_component<C>(&mut self, component: C) -> &mut Self
    where
        C: Component<Mutability = Mutable> + Clone + Serialize + DeserializeOwned,
    {
        for &arena in &self.arenas {
            self.world.entity_mut(arena).insert(component.clone());
        }
        self.arena_components.push(ComponentIo::of::<C>());
        self
    }

    /// Gives every agent a copy of `component`; it is part of the snapshots.
    pub fn agent_component<C>(&mut self, component: C) -> &mut Self
    where
        C: Component<Mutability = Mutable> + Clone + Serialize + DeserializeOwned,
    {
        for &agent in &self.agents {
            self.world.entity_mut(agent).insert(component.clone());
        }
        self.agent_components.push(ComponentIo::of::<C>());
        self
    }

    /// Declares a component of entities that belong to an arena ([`MemberOf`]); it is part of the snapshots.
    pub fn member_component<C>(&mut self) -> &mut Self
    where
        C: Component<Mutability = Mutable> + Clone + Serialize + DeserializeOwned,
    {
        self.member_components.push(ComponentIo::of::<C>());
        self
    }

    /// Adds settings that the systems read. Not part of the snapshots: state belongs into components.
    pub fn constant<R: Resource>(&mut self, resource: R) -> &mut Self {
        self.world.insert_resource(resource);
        self
    }

    /// Adds systems that read [`Actions`](super::Actions).
    pub fn act<M>(&mut self, systems: impl IntoScheduleConfigs<ScheduleSystem, M>) -> &mut Self {
        self.step.add_systems(systems.in_set(Phase::Act));
        self
    }

    /// Adds systems that advance the state.
    pub fn dynamics<M>(&mut self, systems: impl IntoScheduleConfigs<ScheduleSystem, M>) -> &mut Self {
        self.step.add_systems(systems.in_set(Phase::Dynamics));
        self
    }

    /// Adds systems that write [`Outcomes`](super::Outcomes).
    pub fn outcome<M>(&mut self, systems: impl IntoScheduleConfigs<ScheduleSystem, M>) -> &mut Self {
        self.step.add_systems(systems.in_set(Phase::Outcome));
        self
    }

    /// Adds systems that write [`Observations`](super::Observations) of the arenas in [`Scope`](super::Scope).
    pub fn observe<M>(&mut self, systems: impl IntoScheduleConfigs<ScheduleSystem, M> + Clone) -> &mut Self {
        self.step.add_systems(systems.clone().in_set(Phase::Observe));
        self.reset.add_systems(systems.in_set(Phase::Observe));
        self
    }

    /// Adds systems that start a new episode in the arenas in [`Scope`](super::Scope).
    pub fn reset<M>(&mut self, systems: impl IntoScheduleConfigs<ScheduleSystem, M>) -> &mut Self {
        self.reset.add_systems(systems.in_set(Phase::Autoreset));
        self
    }

    /// Despawns, at each reset, the members of the arenas that start anew, before the reset systems run.
    pub fn despawn_members_at_reset(&mut self) -> &mut Self {
        self.reset.add_systems(despawn_members.before(Phase::Autoreset));
        self
    }

    /// Says how an arena is drawn.
    pub fn draw(
        &mut self,
        draw: impl Fn(&mut World, Entity) -> Option<Frame> + Send + Sync + 'static,
    ) -> &mut Self {
        self.draw = Some(Box::new(draw));
        self
    }

    /// Says how an arena is written as text.
    pub fn write(
        &mut self,
        write: impl Fn(&mut World, Entity) -> Option<String> + Send + Sync + 'static,
    ) -> &mut Self {
        self.write = Some(Box::new(write));
        self
    }

    /// Says how an arena takes on a state that has a given observation; false if it cannot.
    pub fn assume(
        &mut self,
        assume: impl Fn(&mut World, Entity, &[f32]) -> bool + Send + Sync + 'static,
    ) -> &mut Self {
        self.assume = Some(Box::new(assume));
        self
    }

    /// Names the environment's own metrics of an episode, such as `success`, and says how they are read.
    ///
    /// `metrics` gets an arena, the entity that acts in the row (one of its agents, or the arena itself) and a slot for each
    /// name, zero at first. It is called when the row's episode ended, before the reset.
    pub fn metrics(
        &mut self,
        names: &'static [&'static str],
        metrics: impl Fn(&World, Entity, Entity, &mut [f64]) + Send + Sync + 'static,
    ) -> &mut Self {
        self.metric_names = names;
        self.metrics = Some(Box::new(metrics));
        self
    }

    /// Names the groups whose members are decided about, and says how a step's decisions are read ([`crate::groups`]).
    ///
    /// `decisions` gets an arena and the entity that acts in the row, and appends. It is called after a step, before the reset.
    pub fn groups(
        &mut self,
        names: Vec<String>,
        decisions: impl Fn(&World, Entity, Entity, &mut Vec<Decision>) + Send + Sync + 'static,
    ) -> &mut Self {
        self.groups = names;
        self.decisions = Some(Box::new(decisions));
        self
    }

    /// Says that an arena's agents move one at a time, and whose turn it is: what the others do is ignored.
    pub fn turns(&mut self, turn: impl Fn(&World, Entity) -> usize + Send + Sync + 'static) -> &mut Self {
        self.turn = Some(Box::new(turn));
        self
    }

    /// Promises that no system touches an arena that is not in [`Scope`](super::Scope), nor its generator: stepping a few of
    /// many arenas is then cheaper.
    pub fn stays_in_scope(&mut self) -> &mut Self {
        self.in_scope = true;
        self
    }

    pub(super) fn finish(&mut self) -> Result<(), EnvError> {
        // Before the first reset, and so that a generator's column is complete, every arena has one of a fixed seed.
        for &arena in &self.arenas {
            (self.rng.seed)(&mut self.world.entity_mut(arena), &Seed::Integer(0));
        }
        self.arena_components.insert(0, (self.rng.component)());
        for schedule in [&mut self.step, &mut self.reset] {
            schedule
                .initialize(&mut self.world)
                .map_err(|error| EnvError::Schedule(error.to_string(schedule.graph(), &self.world)))?;
        }
        Ok(())
    }
}

fn despawn_members(mut commands: Commands, scope: Res<super::Scope>, members: Query<(Entity, &MemberOf)>) {
    for (entity, member) in &members {
        if scope.contains(member.0) {
            commands.entity(entity).despawn();
        }
    }
}
