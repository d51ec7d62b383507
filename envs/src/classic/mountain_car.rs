//! MountainCar: drive an underpowered car out of a valley by swinging back and forth.
//!
//! # Description
//! A car stands in a valley between two hills. Its motor is too weak to climb the right one; momentum gained on the left
//! one is enough.
//!
//! # Action space
//! `Discrete(3)`: 0 accelerates to the left, 1 does not accelerate, 2 accelerates to the right.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | position | −1.2 | 0.6 | m |
//! | 1 | velocity | −0.07 | 0.07 | m/step |
//!
//! # Rewards
//! −1 a step, the last one included.
//!
//! # Starting state
//! Position uniform in (−0.6, −0.4), velocity 0.
//!
//! # Episode end
//! Terminated at position 0.5 or more with a velocity of at least `goal_velocity`; truncated after 200 steps (`-v0`).
//!
//! # Arguments
//! `goal_velocity` (0.0): the velocity needed at the goal.
//!
//! Physics, each a number or a range `[low, high]` that each episode draws it from: `force` (0.001), what the engine adds to the
//! velocity in a step, and `gravity` (0.0025), what the steepest slope takes from it.
//!
//! `show_context` (none): names of those whose ratio to the default follows the observation's own values.
//!
//! # Version history
//! v0: as in Gymnasium.
//!
//! # Source
//! Moore (1990), "Efficient Memory-based Learning for Robot Control"; Gymnasium 1.3
//! `gymnasium/envs/classic_control/mountain_car.py`, whose trajectories it repeats.
//!
//! # Deviations
//! 1. The cosine is a polynomial (within two units in the last place) instead of the platform's library call, so that a
//!    column of cars is computed with vector instructions.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Drawn, Quantity, Standard, draw_context, write_row};
use crate::math::sin_cos;
use crate::simulator::IN_TABLES;
use crate::simulator::{
    Actions, Arena, EcsEnv, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder,
};
use crate::{Canvas, EnvError, Frame, Space};

pub(super) const MIN_POSITION: f64 = -1.2;
pub(super) const MAX_POSITION: f64 = 0.6;
pub(super) const MAX_SPEED: f64 = 0.07;
const GOAL_POSITION: f64 = 0.5;
const STANDARDS: [Standard; 2] = [Standard::positive("force", 0.001), Standard::positive("gravity", 0.0025)];
const STANDARD: Physics = Physics { force: 0.001, gravity: 0.0025 };

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCar {
    /// Velocity needed at the goal.
    pub goal_velocity: f64,
    /// What the engine adds to the velocity in a step.
    pub force: Quantity,
    /// What the steepest slope takes from it.
    pub gravity: Quantity,
    /// Which of these are shown.
    pub show_context: Vec<String>,
}

impl Default for MountainCar {
    fn default() -> Self {
        let [force, gravity] = STANDARDS.map(|standard| standard.value.into());
        Self { goal_velocity: 0.0, force, gravity, show_context: Vec::new() }
    }
}

/// The environment with arguments that have been checked.
#[derive(Clone, Debug)]
pub struct MountainCars {
    args: MountainCar,
    context: Context,
}

/// What the equations need.
#[derive(Clone, Copy)]
struct Physics {
    force: f64,
    gravity: f64,
}

impl MountainCar {
    /// The environment with these arguments.
    ///
    /// # Errors
    /// If the goal's velocity is not a number that a car can have, a quantity is not positive, or a name is none of one.
    pub fn validated(self) -> Result<MountainCars, EnvError> {
        if !(-MAX_SPEED..=MAX_SPEED).contains(&self.goal_velocity) {
            return Err(EnvError::Setting {
                field: "goal_velocity",
                expected: "between -0.07 and 0.07",
                found: self.goal_velocity.to_string(),
            });
        }
        let given = [self.force, self.gravity];
        let context = Context::new("MountainCar", &STANDARDS, &given, &self.show_context)?;
        Ok(MountainCars { args: self, context })
    }
}

/// Position in metres.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Position(pub(super) f64);

/// Velocity in metres a step.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Velocity(pub(super) f64);

#[derive(Resource)]
pub(super) struct GoalVelocity(pub(super) f64);

impl EcsEnv for MountainCars {
    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        self.context.space(&LOW, &HIGH).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(3).expect("three is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .constant(GoalVelocity(self.args.goal_velocity))
            .arena_component(Position::default())
            .arena_component(Velocity::default())
            .outcome(judge)
            .draw(|world, arena| Some(draw(world.get::<Position>(arena)?.0, GOAL_POSITION)));
        if self.context.is_standard() {
            simulator.dynamics(drive).observe(observe).reset(reset);
        } else {
            simulator
                .constant(self.context.clone())
                .arena_component(Drawn::default())
                .dynamics(drive_in_context)
                .observe(observe_in_context)
                .reset((reset, draw_context).chain());
        }
    }
}

/// Bounds of position and velocity.
const LOW: [f32; 2] = [MIN_POSITION as f32, -MAX_SPEED as f32];
const HIGH: [f32; 2] = [MAX_POSITION as f32, MAX_SPEED as f32];

/// Position and velocity.
pub(super) fn space() -> Result<Space, crate::SpaceError> {
    Space::box_f32(&LOW, &HIGH)
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn drive(actions: Res<Actions>, mut cars: Query<(&Row, &mut Position, &mut Velocity)>) {
    for (rows, mut position, mut velocity) in cars.contiguous_iter_mut().expect(IN_TABLES) {
        let actions = &actions.indices()[rows[0].index()..][..rows.len()];
        move_all(position.bypass_change_detection(), velocity.bypass_change_detection(), actions, |_| {
            STANDARD
        });
    }
}

/// The same, each car with its own physics.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn drive_in_context(actions: Res<Actions>, mut cars: Query<(&Row, &mut Position, &mut Velocity, &Drawn)>) {
    for (rows, mut position, mut velocity, drawn) in cars.contiguous_iter_mut().expect(IN_TABLES) {
        let actions = &actions.indices()[rows[0].index()..][..rows.len()];
        let physics = |i: usize| {
            let Drawn([force, gravity, ..]) = drawn[i];
            Physics { force, gravity }
        };
        move_all(position.bypass_change_detection(), velocity.bypass_change_detection(), actions, physics);
    }
}

/// Gymnasium's equations, in its order of operations.
#[inline(always)]
fn move_all(
    position: &mut [Position],
    velocity: &mut [Velocity],
    actions: &[u32],
    physics: impl Fn(usize) -> Physics,
) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let cars = position.iter_mut().zip(velocity.iter_mut()).zip(actions);
            for (i, ((x, v), &action)) in cars.enumerate() {
                let Physics { force, gravity } = physics(i);
                let (_, cos) = sin_cos(3.0 * x.0);
                let faster = v.0 + (f64::from(action as i32 - 1) * force + cos * -gravity);
                v.0 = faster.clamp(-MAX_SPEED, MAX_SPEED);
                x.0 = (x.0 + v.0).clamp(MIN_POSITION, MAX_POSITION);
                let against_the_wall = (x.0 == MIN_POSITION) & (v.0 < 0.0);
                v.0 = if against_the_wall { 0.0 } else { v.0 };
            }
        },
    );
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn judge(goal: Res<GoalVelocity>, mut outcomes: ResMut<Outcomes>, cars: Query<(&Row, &Position, &Velocity)>) {
    let outcomes = &mut *outcomes;
    for (rows, position, velocity) in cars.contiguous_iter().expect(IN_TABLES) {
        let range = rows[0].index()..rows[0].index() + rows.len();
        outcomes.rewards[range.clone()].fill(-1.0);
        for ((terminated, x), v) in outcomes.terminated[range].iter_mut().zip(position).zip(velocity) {
            *terminated = (x.0 >= GOAL_POSITION) & (v.0 >= goal.0);
        }
    }
}

pub(super) fn observe(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    mut cars: Query<(&Row, &Position, &Velocity)>,
) {
    if scope.is_all()
        && let Ok(chunks) = cars.contiguous_iter()
    {
        let rows_out = observations.rows_mut::<f32>();
        for (rows, position, velocity) in chunks {
            let (out, _) = rows_out[2 * rows[0].index()..][..2 * rows.len()].as_chunks_mut::<2>();
            for ((out, x), v) in out.iter_mut().zip(position).zip(velocity) {
                *out = [x.0 as f32, v.0 as f32];
            }
        }
        return;
    }
    scope.for_each(&mut cars, |(&row, position, velocity)| {
        observations.row_mut(row).copy_from_slice(&[position.0 as f32, velocity.0 as f32]);
    });
}

fn observe_in_context(
    scope: Res<Scope>,
    context: Res<Context>,
    mut observations: ResMut<Observations>,
    mut cars: Query<(&Row, &Position, &Velocity, &Drawn)>,
) {
    scope.for_each(&mut cars, |(&row, position, velocity, drawn)| {
        write_row(&mut observations, row, &[position.0 as f32, velocity.0 as f32], &context, drawn);
    });
}

fn reset(scope: Res<Scope>, mut cars: Query<(&Arena, &mut EnvRng, &mut Position, &mut Velocity)>) {
    scope.for_each(&mut cars, |(_, mut rng, mut position, mut velocity)| {
        position.0 = rng.0.uniform(-0.6, -0.4);
        velocity.0 = 0.0;
    });
}

/// The hills, the flag and the car.
pub(super) fn draw(position: f64, goal: f64) -> Frame {
    const WIDTH: f32 = 600.0;
    const HEIGHT: f32 = 400.0;
    let scale = WIDTH / (MAX_POSITION - MIN_POSITION) as f32;
    let height = |x: f64| ((3.0 * x).sin() * 0.45 + 0.55) as f32;
    let place = |x: f64| ((x - MIN_POSITION) as f32 * scale, HEIGHT - height(x) * scale);
    let mut canvas = Canvas::new(WIDTH as u32, HEIGHT as u32, [255, 255, 255]);
    let hills: Vec<(f32, f32)> = (0..=100)
        .map(|i| place(MIN_POSITION + (MAX_POSITION - MIN_POSITION) * f64::from(i) / 100.0))
        .collect();
    canvas.polyline(&hills, 2.0, [0, 0, 0]);
    let (flag_x, flag_y) = place(goal);
    canvas.line((flag_x, flag_y), (flag_x, flag_y - 50.0), 1.5, [0, 0, 0]);
    canvas.polygon(
        &[(flag_x, flag_y - 50.0), (flag_x + 25.0, flag_y - 45.0), (flag_x, flag_y - 40.0)],
        [204, 204, 0],
    );
    let (x, y) = place(position);
    let slope = -((3.0 * position).cos() * 1.35).atan() as f32;
    let (sin, cos) = slope.sin_cos();
    // From the car's own coordinates, its wheels on the ground, to the picture's.
    let turned = |(dx, dy): (f32, f32)| (x + dx * cos - (dy - 10.0) * sin, y + dx * sin + (dy - 10.0) * cos);
    canvas.polygon(&[(-20.0, 0.0), (-20.0, -20.0), (20.0, -20.0), (20.0, 0.0)].map(turned), [0, 0, 0]);
    for wheel in [-10.0, 10.0] {
        canvas.circle(turned((wheel, 2.0)), 8.0, [128, 128, 128]);
    }
    canvas.into_frame()
}
