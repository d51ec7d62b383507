//! The adapter that makes a plain struct ([`Env`]) a component, so that the simulator runs it like any other.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::builder::{EcsEnv, SimulatorBuilder};
use super::schedule::{ActionMasks, Actions, EnvRng, Observations, Outcomes, Row, Scope};
use crate::contract::Outcome;
use crate::{Env, Space};

/// A plain-struct environment in the simulator: every arena holds a copy of the struct.
pub struct SingleEnv<E>(pub E);

/// One arena's struct, with the generic bounds a component needs.
#[derive(Component, Clone, Serialize, Deserialize)]
#[serde(bound = "E: Env")]
struct Instance<E: Env>(E);

impl<E: Env> EcsEnv for SingleEnv<E> {
    fn observation_space(&self) -> Space {
        self.0.observation_space()
    }

    fn action_space(&self) -> Space {
        self.0.action_space()
    }

    fn has_action_mask(&self) -> bool {
        self.0.has_action_mask()
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .arena_component(Instance(self.0.clone()))
            .dynamics(step::<E>)
            .reset(reset::<E>)
            .stays_in_scope();
        simulator.draw(|world, arena| world.get::<Instance<E>>(arena)?.0.render());
        simulator.write(|world, arena| world.get::<Instance<E>>(arena)?.0.render_text());
        if self.0.has_action_mask() {
            simulator.observe(mask::<E>);
        }
        simulator.metrics(self.0.metric_names(), |world, arena, _, out| {
            if let Some(instance) = world.get::<Instance<E>>(arena) {
                instance.0.metrics(out);
            }
        });
        simulator.groups(self.0.groups(), |world, arena, _, out| {
            if let Some(instance) = world.get::<Instance<E>>(arena) {
                instance.0.decisions(out);
            }
        });
    }
}

/// Steps the arenas in scope. The observation is written here already: it is part of the struct's `step`.
fn step<E: Env>(
    scope: Res<Scope>,
    actions: Res<Actions>,
    mut arenas: Query<(&Row, &mut Instance<E>, &mut EnvRng)>,
    mut outcomes: ResMut<Outcomes>,
    mut observations: ResMut<Observations>,
) {
    scope.for_each(&mut arenas, |(&row, mut instance, mut rng)| {
        let step = instance.0.step(actions.row(row), &mut rng.0, observations.row_mut(row));
        outcomes.rewards[row.index()] = step.reward;
        outcomes.terminated[row.index()] = step.outcome == Outcome::Terminated;
        outcomes.truncated[row.index()] = step.outcome == Outcome::Truncated;
    });
}

fn reset<E: Env>(
    scope: Res<Scope>,
    mut arenas: Query<(&Row, &mut Instance<E>, &mut EnvRng)>,
    mut observations: ResMut<Observations>,
) {
    scope.for_each(&mut arenas, |(&row, mut instance, mut rng)| {
        instance.0.reset(&mut rng.0, observations.row_mut(row));
    });
}

fn mask<E: Env>(scope: Res<Scope>, mut arenas: Query<(&Row, &Instance<E>)>, mut masks: ResMut<ActionMasks>) {
    scope.for_each(&mut arenas, |(&row, instance)| instance.0.action_mask(masks.row_mut(row)));
}
