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
//! `g` (10.0): the acceleration of gravity in m/s².
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

use crate::math::sin_cos;
use crate::simulator::IN_TABLES;
use crate::simulator::{Actions, EcsEnv, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder};
use crate::{Canvas, EnvError, Frame, Space};

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f32 = 2.0;
/// Seconds between state updates.
const DT: f64 = 0.05;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pendulum {
    /// Acceleration of gravity in m/s².
    pub g: f64,
}

impl Default for Pendulum {
    fn default() -> Self {
        Self { g: 10.0 }
    }
}

impl Pendulum {
    /// Checks the arguments.
    ///
    /// # Errors
    /// If gravity is not a finite number.
    pub fn validated(self) -> Result<Self, EnvError> {
        if !self.g.is_finite() {
            return Err(EnvError::Setting {
                field: "g",
                expected: "a finite number",
                found: self.g.to_string(),
            });
        }
        Ok(self)
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

#[derive(Resource)]
struct Gravity(f64);

impl EcsEnv for Pendulum {
    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let high = [1.0, 1.0, MAX_SPEED as f32];
        Space::box_f32(&high.map(|bound| -bound), &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn action_space(&self) -> Space {
        Space::box_uniform(-MAX_TORQUE, MAX_TORQUE, &[1]).expect("constant bounds are in order")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .constant(Gravity(self.g))
            .arena_component(Angle::default())
            .arena_component(AngularVelocity::default())
            .arena_component(Torque::default())
            .outcome(swing)
            .observe(observe)
            .reset(reset)
            .draw(|world, arena| {
                let (angle, torque) = (world.get::<Angle>(arena)?.0, world.get::<Torque>(arena)?.0);
                Some(draw(angle, torque))
            });
    }
}

/// Gymnasium's equations, in its order of operations. The cost is of the state before the step.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn swing(
    actions: Res<Actions>,
    gravity: Res<Gravity>,
    mut outcomes: ResMut<Outcomes>,
    mut poles: Query<(&Row, &mut Angle, &mut AngularVelocity, &mut Torque)>,
) {
    let pull = 3.0 * gravity.0 / 2.0;
    for (rows, mut angle, mut velocity, mut torque) in poles.contiguous_iter_mut().expect(IN_TABLES) {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let actions = &actions.values()[range.clone()];
        let rewards = &mut outcomes.rewards[range];
        let (angle, velocity) = (angle.bypass_change_detection(), velocity.bypass_change_detection());
        for (torque, &action) in torque.bypass_change_detection().iter_mut().zip(actions) {
            torque.0 = action;
        }
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let columns = angle.iter_mut().zip(velocity.iter_mut()).zip(rewards.iter_mut()).zip(actions);
                for (((theta, omega), reward), &u) in columns {
                    let turned = theta.0 + PI;
                    let turns = (turned * (1.0 / (2.0 * PI))).floor();
                    let from_upright = turned - turns * (2.0 * PI) - PI;
                    // Products with an action alone are single precision in the reference.
                    let effort = f64::from(0.001 * (u * u));
                    *reward = -(from_upright * from_upright + 0.1 * (omega.0 * omega.0) + effort);
                    let (sin, _) = sin_cos(theta.0);
                    let faster = omega.0 + (pull * sin + f64::from(3.0 * u)) * DT;
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
