//! Acrobot: swing the free end of a double pendulum above a line.
//!
//! # Description
//! Two links hang from a fixed point; a motor works at the joint between them. The free end is to reach a height of one
//! link above the fixed point.
//!
//! # Action space
//! `Discrete(3)`: a torque of −1, 0 or 1 N m at the joint.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | cosine of the first link's angle, which is 0 hanging down | −1 | 1 | |
//! | 1 | sine of the first link's angle | −1 | 1 | |
//! | 2 | cosine of the second link's angle to the first | −1 | 1 | |
//! | 3 | sine of the second link's angle to the first | −1 | 1 | |
//! | 4 | angular velocity of the first link | −4π | 4π | rad/s |
//! | 5 | angular velocity of the second link | −9π | 9π | rad/s |
//!
//! # Rewards
//! −1 a step, 0 for the step that reaches the line.
//!
//! # Starting state
//! Both angles and both velocities uniform in (−0.1, 0.1), single precision.
//!
//! # Episode end
//! Terminated when −cos θ₁ − cos(θ₁ + θ₂) > 1; truncated after 500 steps.
//!
//! # Arguments
//! Physics, each a number or a range `[low, high]` that each episode draws it from:
//!
//! | argument | meaning | default |
//! |---|---|---|
//! | `gravity` | acceleration of gravity, m/s² | 9.8 |
//! | `length_1` | length of the first link, m | 1 |
//! | `mass_1`, `mass_2` | masses of the links, kg | 1 |
//!
//! `show_context` (none): names of those whose ratio to the default follows the observation's own values.
//!
//! # Version history
//! v1: as in Gymnasium.
//!
//! # Source
//! Sutton and Barto, "Reinforcement Learning: An Introduction" (the book's dynamics); Gymnasium 1.3
//! `gymnasium/envs/classic_control/acrobot.py`: one Runge-Kutta step of 0.2 s in double precision.
//!
//! # Deviations
//! 1. Sine and cosine are polynomials (within two units in the last place) instead of the platform's library calls. The
//!    system is chaotic, so a trajectory is the reference's own for about the first hundred steps of an episode and every
//!    single step is afterwards: verification goes on from the recorded state.

use std::f64::consts::{FRAC_PI_2, PI};

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Drawn, Quantity, Standard, draw_context, write_row};
use crate::math::sin_cos;
use crate::simulator::IN_TABLES;
use crate::simulator::{Actions, EcsEnv, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder};
use crate::{Canvas, EnvError, Frame, Space};

const STANDARDS: [Standard; 4] = [
    Standard::positive("gravity", 9.8),
    Standard::positive("length_1", 1.0),
    Standard::positive("mass_1", 1.0),
    Standard::positive("mass_2", 1.0),
];
const STANDARD: Physics = Physics { gravity: 9.8, length_1: 1.0, mass_1: 1.0, mass_2: 1.0 };
/// Seconds of a step.
const DT: f64 = 0.2;
const MAX_VELOCITY_1: f64 = 4.0 * PI;
const MAX_VELOCITY_2: f64 = 9.0 * PI;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acrobot {
    /// Acceleration of gravity in m/s².
    pub gravity: Quantity,
    /// Length of the first link in m.
    pub length_1: Quantity,
    /// Mass of the first link in kg.
    pub mass_1: Quantity,
    /// Mass of the second link in kg.
    pub mass_2: Quantity,
    /// Which of these are shown.
    pub show_context: Vec<String>,
}

impl Default for Acrobot {
    fn default() -> Self {
        let [gravity, length_1, mass_1, mass_2] = STANDARDS.map(|standard| standard.value.into());
        Self { gravity, length_1, mass_1, mass_2, show_context: Vec::new() }
    }
}

impl Acrobot {
    /// The environment with these arguments.
    ///
    /// # Errors
    /// If a quantity is not positive, or a name is none of one.
    pub fn validated(self) -> Result<Acrobots, EnvError> {
        let given = [self.gravity, self.length_1, self.mass_1, self.mass_2];
        Ok(Acrobots(Context::new("Acrobot", &STANDARDS, &given, &self.show_context)?))
    }
}

/// The environment with arguments that have been checked.
#[derive(Clone, Debug)]
pub struct Acrobots(Context);

/// What the equations need.
#[derive(Clone, Copy)]
struct Physics {
    gravity: f64,
    length_1: f64,
    mass_1: f64,
    mass_2: f64,
}

/// Angles of both links and their velocities: θ₁, θ₂, ω₁, ω₂.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Links([f64; 4]);

impl EcsEnv for Acrobots {
    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let high = [1.0, 1.0, 1.0, 1.0, MAX_VELOCITY_1 as f32, MAX_VELOCITY_2 as f32];
        self.0.space(&high.map(|bound| -bound), &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(3).expect("three is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .arena_component(Links::default())
            .outcome(judge)
            .assume(|world, arena, observation| {
                let &[cos_1, sin_1, cos_2, sin_2, omega_1, omega_2] = observation else { return false };
                let angle = |sin: f32, cos: f32| f64::from(sin).atan2(f64::from(cos));
                let links =
                    [angle(sin_1, cos_1), angle(sin_2, cos_2), f64::from(omega_1), f64::from(omega_2)];
                world.entity_mut(arena).insert(Links(links));
                true
            })
            .draw(|world, arena| Some(draw(world.get::<Links>(arena)?.0)));
        if self.0.is_standard() {
            simulator.dynamics(swing).observe(observe).reset(reset);
        } else {
            simulator
                .constant(self.0.clone())
                .arena_component(Drawn::default())
                .dynamics(swing_in_context)
                .observe(observe_in_context)
                .reset((reset, draw_context).chain());
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn swing(actions: Res<Actions>, mut arenas: Query<(&Row, &mut Links)>) {
    for (rows, mut links) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let actions = &actions.indices()[rows[0].index()..][..rows.len()];
        let links = links.bypass_change_detection();
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (links, &action) in links.iter_mut().zip(actions) {
                    links.0 = runge_kutta(links.0, f64::from(action as i32 - 1), STANDARD);
                }
            },
        );
    }
}

/// The same, each with its own physics.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn swing_in_context(actions: Res<Actions>, mut arenas: Query<(&Row, &mut Links, &Drawn)>) {
    for (rows, mut links, drawn) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let actions = &actions.indices()[rows[0].index()..][..rows.len()];
        let links = links.bypass_change_detection();
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for ((links, &action), drawn) in links.iter_mut().zip(actions).zip(drawn) {
                    let Drawn([gravity, length_1, mass_1, mass_2, ..]) = *drawn;
                    let physics = Physics { gravity, length_1, mass_1, mass_2 };
                    links.0 = runge_kutta(links.0, f64::from(action as i32 - 1), physics);
                }
            },
        );
    }
}

/// One classic fourth-order Runge-Kutta step, then angles brought to ±π and velocities clipped.
#[inline(always)]
fn runge_kutta(links: [f64; 4], torque: f64, physics: Physics) -> [f64; 4] {
    let half = DT / 2.0;
    let at = |slope: [f64; 4], step: f64| std::array::from_fn::<f64, 4, _>(|i| links[i] + step * slope[i]);
    let k1 = derivative(links, torque, physics);
    let k2 = derivative(at(k1, half), torque, physics);
    let k3 = derivative(at(k2, half), torque, physics);
    let k4 = derivative(at(k3, DT), torque, physics);
    let next: [f64; 4] =
        std::array::from_fn(|i| links[i] + DT / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]));
    [
        wrap(next[0]),
        wrap(next[1]),
        next[2].clamp(-MAX_VELOCITY_1, MAX_VELOCITY_1),
        next[3].clamp(-MAX_VELOCITY_2, MAX_VELOCITY_2),
    ]
}

/// An angle brought to ±π. A step turns a link by less than two turns, so that two subtractions are enough.
#[inline(always)]
fn wrap(angle: f64) -> f64 {
    let mut angle = angle;
    for _ in 0..2 {
        angle = if angle > PI { angle - 2.0 * PI } else { angle };
        angle = if angle < -PI { angle + 2.0 * PI } else { angle };
    }
    angle
}

/// The time derivative of the state, in the reference's order of operations; the centres of mass are half a metre from the
/// joints, moments of inertia 1.
#[inline(always)]
fn derivative([theta1, theta2, omega1, omega2]: [f64; 4], torque: f64, physics: Physics) -> [f64; 4] {
    let Physics { gravity, length_1: l1, mass_1: m1, mass_2: m2 } = physics;
    const CENTER: f64 = 0.5;
    let (sin2, cos2) = sin_cos(theta2);
    let (_, cos12) = sin_cos(theta1 + theta2 - FRAC_PI_2);
    let (_, cos1) = sin_cos(theta1 - FRAC_PI_2);
    let d1 = m1 * (CENTER * CENTER) + m2 * (l1 * l1 + CENTER * CENTER + 2.0 * l1 * CENTER * cos2) + 1.0 + 1.0;
    let d2 = m2 * (CENTER * CENTER + l1 * CENTER * cos2) + 1.0;
    let phi2 = m2 * CENTER * gravity * cos12;
    let phi1 = -m2 * l1 * CENTER * (omega2 * omega2) * sin2 - 2.0 * m2 * l1 * CENTER * omega2 * omega1 * sin2
        + (m1 * CENTER + m2 * l1) * gravity * cos1
        + phi2;
    let alpha2 = (torque + d2 / d1 * phi1 - m2 * l1 * CENTER * (omega1 * omega1) * sin2 - phi2)
        / (m2 * (CENTER * CENTER) + 1.0 - d2 * d2 / d1);
    let alpha1 = -(d2 * alpha2 + phi1) / d1;
    [omega1, omega2, alpha1, alpha2]
}

fn judge(mut outcomes: ResMut<Outcomes>, arenas: Query<(&Row, &Links)>) {
    let outcomes = &mut *outcomes;
    for (row, links) in &arenas {
        let [theta1, theta2, ..] = links.0;
        let terminated = -sin_cos(theta1).1 - sin_cos(theta2 + theta1).1 > 1.0;
        outcomes.terminated[row.index()] = terminated;
        outcomes.rewards[row.index()] = if terminated { 0.0 } else { -1.0 };
    }
}

fn observe(scope: Res<Scope>, mut observations: ResMut<Observations>, mut arenas: Query<(&Row, &Links)>) {
    scope.for_each(&mut arenas, |(&row, links)| {
        observations.row_mut(row).copy_from_slice(&numbers(links));
    });
}

fn observe_in_context(
    scope: Res<Scope>,
    context: Res<Context>,
    mut observations: ResMut<Observations>,
    mut arenas: Query<(&Row, &Links, &Drawn)>,
) {
    scope.for_each(&mut arenas, |(&row, links, drawn)| {
        write_row(&mut observations, row, &numbers(links), &context, drawn);
    });
}

/// What is seen of the links.
fn numbers(links: &Links) -> [f32; 6] {
    let [theta1, theta2, omega1, omega2] = links.0;
    let ((sin1, cos1), (sin2, cos2)) = (sin_cos(theta1), sin_cos(theta2));
    [cos1, sin1, cos2, sin2, omega1, omega2].map(|number| number as f32)
}

fn reset(scope: Res<Scope>, mut arenas: Query<(&mut EnvRng, &mut Links)>) {
    scope.for_each(&mut arenas, |(mut rng, mut links)| {
        links.0 = std::array::from_fn(|_| f64::from(rng.0.uniform(-0.1, 0.1) as f32));
    });
}

/// The two links, their joints and the line to be reached.
fn draw([theta1, theta2, ..]: [f64; 4]) -> Frame {
    const SIDE: f32 = 500.0;
    const SCALE: f32 = SIDE / 4.4;
    let middle = (SIDE / 2.0, SIDE / 2.0);
    let end = |from: (f32, f32), angle: f64| {
        (from.0 + SCALE * angle.sin() as f32, from.1 + SCALE * angle.cos() as f32)
    };
    let elbow = end(middle, theta1);
    let tip = end(elbow, theta1 + theta2);
    let mut canvas = Canvas::new(SIDE as u32, SIDE as u32, [255, 255, 255]);
    canvas.line((0.0, middle.1 - SCALE), (SIDE, middle.1 - SCALE), 1.5, [0, 0, 0]);
    canvas.polyline(&[middle, elbow], 22.0, [0, 204, 204]);
    canvas.polyline(&[elbow, tip], 22.0, [0, 204, 204]);
    for joint in [middle, elbow] {
        canvas.circle(joint, 11.0, [204, 204, 0]);
    }
    canvas.into_frame()
}
