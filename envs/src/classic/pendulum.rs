//! Pendulum: swing a pole up and hold it there with a motor too weak to lift it.
//!
//! # Description
//! A pole hangs on a motor. It starts at a random angle and is to be swung upright and held.
//!
//! # Action space
//! `Box(-2, 2, (1,))`: the torque in N m.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | cosine of the angle, which is 0 upright | −1 | 1 | |
//! | 1 | sine of the angle | −1 | 1 | |
//! | 2 | angular velocity | −8 | 8 | rad/s |
//!
//! # Rewards
//! −(θ² + 0.1 ω² + 0.001 u²) with the angle θ brought to ±π: at best 0, at worst −16.27.
//!
//! # Starting state
//! Angle uniform in (−π, π), angular velocity uniform in (−1, 1).
//!
//! # Episode end
//! Truncated after 200 steps; never terminated.
//!
//! # Arguments
//! Physics, each a number or a range `[low, high]` that each episode draws it from:
//!
//! | argument | meaning | default |
//! |---|---|---|
//! | `g` | acceleration of gravity, m/s² | 10 |
//! | `mass` | mass of the pole, kg | 1 |
//! | `length` | its length, m | 1 |
//!
//! `show_context` (none): names of those whose ratio to the default follows the observation's own values.
//!
//! # Version history
//! v1: as in Gymnasium.
//!
//! # Source
//! Gymnasium 1.3 `gymnasium/envs/classic_control/pendulum.py`, whose trajectories it repeats.
//!
//! # Deviations
//! 1. Sine and cosine are polynomials (within two units in the last place) instead of the platform's library calls, so
//!    that a column of poles is computed with vector instructions.

use std::f64::consts::PI;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Drawn, Quantity, Standard, draw_context, write_row};
use crate::math::sin_cos;
use crate::simulator::IN_TABLES;
use crate::simulator::{Actions, EcsEnv, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder};
use crate::{Canvas, EnvError, Frame, Space};

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f32 = 2.0;
const STANDARDS: [Standard; 3] =
    [Standard::any("g", 10.0), Standard::positive("mass", 1.0), Standard::positive("length", 1.0)];
/// Seconds between state updates.
const DT: f64 = 0.05;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pendulum {
    /// Acceleration of gravity in m/s².
    pub g: Quantity,
    /// Mass of the pole in kg.
    pub mass: Quantity,
    /// Its length in m.
    pub length: Quantity,
    /// Which of these are shown.
    pub show_context: Vec<String>,
}

impl Default for Pendulum {
    fn default() -> Self {
        let [g, mass, length] = STANDARDS.map(|standard| standard.value.into());
        Self { g, mass, length, show_context: Vec::new() }
    }
}

impl Pendulum {
    /// The environment with these arguments.
    ///
    /// # Errors
    /// If gravity is not a finite number, mass or length is not positive, or a name is none of a quantity.
    pub fn validated(self) -> Result<Pendulums, EnvError> {
        let given = [self.g, self.mass, self.length];
        Ok(Pendulums(Context::new("Pendulum", &STANDARDS, &given, &self.show_context)?))
    }
}

/// The environment with arguments that have been checked.
#[derive(Clone, Debug)]
pub struct Pendulums(Context);

/// What the equations need of a pole: the pull of gravity, and what a torque of 1 N m does.
#[derive(Clone, Copy)]
struct Physics {
    pull: f64,
    push: f32,
}

impl Physics {
    #[inline(always)]
    fn of(g: f64, mass: f64, length: f64) -> Self {
        Self { pull: 3.0 * g / (2.0 * length), push: (3.0 / (mass * (length * length))) as f32 }
    }
}

/// Angle from upright in radians, not brought to ±π.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Angle(f64);

/// Angular velocity in radians a second.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct AngularVelocity(f64);

/// The last torque, for the picture.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Torque(f32);

impl EcsEnv for Pendulums {
    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let high = [1.0, 1.0, MAX_SPEED as f32];
        self.0.space(&high.map(|bound| -bound), &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn action_space(&self) -> Space {
        Space::box_uniform(-MAX_TORQUE, MAX_TORQUE, &[1]).expect("constant bounds are in order")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .arena_component(Angle::default())
            .arena_component(AngularVelocity::default())
            .arena_component(Torque::default())
            .draw(|world, arena| {
                let (angle, torque) = (world.get::<Angle>(arena)?.0, world.get::<Torque>(arena)?.0);
                Some(draw(angle, torque))
            });
        if self.0.is_standard() {
            simulator.outcome(swing).observe(observe).reset(reset);
        } else {
            simulator
                .constant(self.0.clone())
                .arena_component(Drawn::default())
                .outcome(swing_in_context)
                .observe(observe_in_context)
                .reset((reset, draw_context).chain());
        }
    }
}

type Columns<'a> = (&'a Row, &'a mut Angle, &'a mut AngularVelocity, &'a mut Torque);

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn swing(actions: Res<Actions>, mut outcomes: ResMut<Outcomes>, mut poles: Query<Columns<'static>>) {
    let physics = Physics::of(10.0, 1.0, 1.0);
    for (rows, mut angle, mut velocity, mut torque) in poles.contiguous_iter_mut().expect(IN_TABLES) {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let state = State {
            angle: angle.bypass_change_detection(),
            velocity: velocity.bypass_change_detection(),
            torque: torque.bypass_change_detection(),
        };
        state.step(&actions.values()[range.clone()], &mut outcomes.rewards[range], |_| physics);
    }
}

/// The same, each pole with its own physics.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn swing_in_context(
    actions: Res<Actions>,
    mut outcomes: ResMut<Outcomes>,
    mut poles: Query<(Columns<'static>, &Drawn)>,
) {
    for ((rows, mut angle, mut velocity, mut torque), drawn) in poles.contiguous_iter_mut().expect(IN_TABLES)
    {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let state = State {
            angle: angle.bypass_change_detection(),
            velocity: velocity.bypass_change_detection(),
            torque: torque.bypass_change_detection(),
        };
        let physics = |i: usize| {
            let Drawn([g, mass, length, ..]) = drawn[i];
            Physics::of(g, mass, length)
        };
        state.step(&actions.values()[range.clone()], &mut outcomes.rewards[range], physics);
    }
}

/// The columns of a chunk of poles.
struct State<'a> {
    angle: &'a mut [Angle],
    velocity: &'a mut [AngularVelocity],
    torque: &'a mut [Torque],
}

impl State<'_> {
    /// Gymnasium's equations, in its order of operations. The cost is of the state before the step.
    #[inline(always)]
    fn step(self, actions: &[f32], rewards: &mut [f64], physics: impl Fn(usize) -> Physics) {
        let Self { angle, velocity, torque } = self;
        for (torque, &action) in torque.iter_mut().zip(actions) {
            torque.0 = action;
        }
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let columns = angle.iter_mut().zip(velocity.iter_mut()).zip(rewards.iter_mut()).zip(actions);
                for (i, (((theta, omega), reward), &u)) in columns.enumerate() {
                    let Physics { pull, push } = physics(i);
                    let turned = theta.0 + PI;
                    let turns = (turned * (1.0 / (2.0 * PI))).floor();
                    let from_upright = turned - turns * (2.0 * PI) - PI;
                    // Products with an action alone are single precision in the reference.
                    let effort = f64::from(0.001 * (u * u));
                    *reward = -(from_upright * from_upright + 0.1 * (omega.0 * omega.0) + effort);
                    let (sin, _) = sin_cos(theta.0);
                    let faster = omega.0 + (pull * sin + f64::from(push * u)) * DT;
                    omega.0 = faster.clamp(-MAX_SPEED, MAX_SPEED);
                    theta.0 += omega.0 * DT;
                }
            },
        );
    }
}

fn observe(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    mut poles: Query<(&Row, &Angle, &AngularVelocity)>,
) {
    if scope.is_all()
        && let Ok(chunks) = poles.contiguous_iter()
    {
        let rows_out = observations.rows_mut::<f32>();
        for (rows, angle, velocity) in chunks {
            let (out, _) = rows_out[3 * rows[0].index()..][..3 * rows.len()].as_chunks_mut::<3>();
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    for ((out, theta), omega) in out.iter_mut().zip(angle).zip(velocity) {
                        let (sin, cos) = sin_cos(theta.0);
                        *out = [cos as f32, sin as f32, omega.0 as f32];
                    }
                },
            );
        }
        return;
    }
    scope.for_each(&mut poles, |(&row, theta, omega)| {
        let (sin, cos) = sin_cos(theta.0);
        observations.row_mut(row).copy_from_slice(&[cos as f32, sin as f32, omega.0 as f32]);
    });
}

fn observe_in_context(
    scope: Res<Scope>,
    context: Res<Context>,
    mut observations: ResMut<Observations>,
    mut poles: Query<(&Row, &Angle, &AngularVelocity, &Drawn)>,
) {
    scope.for_each(&mut poles, |(&row, theta, omega, drawn)| {
        let (sin, cos) = sin_cos(theta.0);
        write_row(&mut observations, row, &[cos as f32, sin as f32, omega.0 as f32], &context, drawn);
    });
}

fn reset(scope: Res<Scope>, mut poles: Query<(&mut EnvRng, &mut Angle, &mut AngularVelocity, &mut Torque)>) {
    scope.for_each(&mut poles, |(mut rng, mut theta, mut omega, mut torque)| {
        theta.0 = rng.0.uniform(-PI, PI);
        omega.0 = rng.0.uniform(-1.0, 1.0);
        torque.0 = 0.0;
    });
}

/// The pole, its hinge, and an arc as long as the torque is strong.
fn draw(angle: f64, torque: f32) -> Frame {
    const SIDE: f32 = 500.0;
    let center = (SIDE / 2.0, SIDE / 2.0);
    let mut canvas = Canvas::new(SIDE as u32, SIDE as u32, [255, 255, 255]);
    let along =
        |length: f32| (center.0 - length * angle.sin() as f32, center.1 - length * angle.cos() as f32);
    canvas.polyline(&[center, along(113.0)], 45.0, [204, 77, 77]);
    canvas.circle(center, 5.0, [0, 0, 0]);
    if torque != 0.0 {
        let points: Vec<(f32, f32)> = (0..=24)
            .map(|i| {
                let bearing = -torque * 0.7 * i as f32 / 24.0;
                (center.0 + 60.0 * bearing.sin(), center.1 - 60.0 * bearing.cos())
            })
            .collect();
        canvas.polyline(&points, 4.0, [40, 90, 200]);
        canvas.circle(points[24], 6.0, [40, 90, 200]);
    }
    canvas.into_frame()
}
