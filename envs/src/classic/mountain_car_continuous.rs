//! MountainCarContinuous: drive an underpowered car out of a valley, with a throttle, and save fuel.
//!
//! # Description
//! The valley of [MountainCar](super::mountain_car), with a continuous force.
//!
//! # Action space
//! `Box(-1, 1, (1,))`: the force on the car, scaled by 0.0015.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | position | −1.2 | 0.6 | m |
//! | 1 | velocity | −0.07 | 0.07 | m/step |
//!
//! # Rewards
//! −0.1 times the squared action a step; 100 more at the goal.
//!
//! # Starting state
//! Position uniform in (−0.6, −0.4), velocity 0.
//!
//! # Episode end
//! Terminated at position 0.45 or more with a velocity of at least `goal_velocity`; truncated after 999 steps (`-v0`).
//!
//! # Arguments
//! `goal_velocity` (0.0): the velocity needed at the goal.
//!
//! # Version history
//! v0: as in Gymnasium.
//!
//! # Source
//! Gymnasium 1.3 `gymnasium/envs/classic_control/continuous_mountain_car.py`, whose trajectories it repeats: the state is
//! single precision but for an episode's first one.
//!
//! # Deviations
//! None.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::mountain_car::{
    GoalVelocity, MAX_POSITION, MAX_SPEED, MIN_POSITION, MountainCar, Position, Velocity, draw, observe,
    space,
};
use crate::simulator::{Actions, EcsEnv, EnvRng, Outcomes, Row, Scope, SimulatorBuilder};
use crate::{EnvError, Space};

const GOAL_POSITION: f64 = 0.45;
const POWER: f32 = 0.0015;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCarContinuous {
    /// Velocity needed at the goal.
    pub goal_velocity: f64,
}

impl MountainCarContinuous {
    /// Checks the arguments.
    ///
    /// # Errors
    /// As [`MountainCar::validated`].
    pub fn validated(self) -> Result<Self, EnvError> {
        MountainCar { goal_velocity: self.goal_velocity, ..MountainCar::default() }.validated().map(|_| self)
    }
}

impl EcsEnv for MountainCarContinuous {
    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        space().expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn action_space(&self) -> Space {
        Space::box_uniform(-1.0, 1.0, &[1]).expect("constant bounds are in order")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .constant(GoalVelocity(self.goal_velocity))
            .arena_component(Position::default())
            .arena_component(Velocity::default())
            .outcome(drive)
            .observe(observe)
            .reset(reset)
            .draw(|world, arena| Some(draw(world.get::<Position>(arena)?.0, GOAL_POSITION)));
    }
}

/// Moves and judges in one: the reward is of the action.
fn drive(
    actions: Res<Actions>,
    goal: Res<GoalVelocity>,
    mut outcomes: ResMut<Outcomes>,
    mut cars: Query<(&Row, &mut Position, &mut Velocity)>,
) {
    let outcomes = &mut *outcomes;
    for (&row, mut position, mut velocity) in &mut cars {
        let force = actions.values()[row.index()];
        let (x, v) = (position.0, velocity.0);
        // A state after the first step is single precision, and so are then the products with it.
        let steep = if f64::from(x as f32) == x { f64::from(3.0 * x as f32) } else { 3.0 * x };
        let push = force * POWER - (0.0025 * steep.cos()) as f32;
        let v = (v + f64::from(push)).clamp(-MAX_SPEED, MAX_SPEED) as f32;
        let x = ((x as f32 + v).clamp(MIN_POSITION as f32, MAX_POSITION as f32)).max(MIN_POSITION as f32);
        let v = if x == MIN_POSITION as f32 && v < 0.0 { 0.0 } else { v };
        let terminated = x >= GOAL_POSITION as f32 && v >= goal.0 as f32;
        (position.0, velocity.0) = (f64::from(x), f64::from(v));
        let bonus = if terminated { 100.0 } else { 0.0 };
        outcomes.rewards[row.index()] = bonus - f64::from(force).powi(2) * 0.1;
        outcomes.terminated[row.index()] = terminated;
    }
}

fn reset(scope: Res<Scope>, mut cars: Query<(&mut EnvRng, &mut Position, &mut Velocity)>) {
    scope.for_each(&mut cars, |(mut rng, mut position, mut velocity)| {
        position.0 = rng.0.uniform(-0.6, -0.4);
        velocity.0 = 0.0;
    });
}
