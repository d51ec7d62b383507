//! How an environment becomes a world: components, systems and what of them is saved.

use bevy_ecs::component::Mutable;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{IntoScheduleConfigs, LogLevel, ScheduleBuildSettings, SingleThreadedExecutor};
use bevy_ecs::system::ScheduleSystem;
use serde::{Serialize, de::DeserializeOwned};

use super::schedule::{EnvRng, MemberOf, Phase, Row};
use super::snapshot::ComponentIo;
use crate::{EnvError, Pcg64, Space};

/// An environment as components and systems: the fast way in, and the one for arenas of many entities.
///
/// An implementation describes the spaces and builds the world; the state of `N` arenas is then stepped together.
/// Arenas are entities with a [`Row`] and an [`EnvRng`]; entities that belong to an arena carry [`MemberOf`].
/// All state must be in components registered with the builder, and no component may hold an `Entity`: that is what
/// makes a snapshot whole. Members of one kind should carry one set of components: their order is kept within a set.
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
}

/// A world in the making: what [`EcsEnv::build`] adds to.
pub struct SimulatorBuilder {
    pub(super) world: World,
    pub(super) step: Schedule,
    pub(super) reset: Schedule,
    pub(super) arenas: Vec<Entity>,
    pub(super) arena_components: Vec<ComponentIo>,
    pub(super) member_components: Vec<ComponentIo>,
}

impl SimulatorBuilder {
    pub(super) fn new(num_envs: usize) -> Self {
        let mut world = World::new();
        let arenas = (0..num_envs as u32)
            .map(|row| world.spawn((Row(row), EnvRng(Pcg64::seed_from(u64::from(row))))).id())
            .collect();
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
        step.configure_sets(
            (Phase::Act, Phase::Dynamics, Phase::Outcome, Phase::Score, Phase::Observe).chain(),
        );
        reset.configure_sets((Phase::Autoreset, Phase::Observe).chain());
        let arena_components = vec![ComponentIo::of::<EnvRng>()];
        Self { world, step, reset, arenas, arena_components, member_components: Vec::new() }
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

    pub(super) fn finish(&mut self) -> Result<(), EnvError> {
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
