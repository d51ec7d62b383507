//! CartPole: balance a pole on a cart by pushing the cart left or right.
//!
//! # Description
//! A pole is hinged to a cart that moves without friction on a track. The pole starts upright and is to be kept so by
//! pushing the cart.
//!
//! # Action space
//! `Discrete(2)`: 0 pushes the cart to the left with 10 N, 1 to the right.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | cart position | −4.8 | 4.8 | m |
//! | 1 | cart velocity | −∞ | ∞ | m/s |
//! | 2 | pole angle | −0.418 | 0.418 | rad |
//! | 3 | pole angular velocity | −∞ | ∞ | rad/s |
//!
//! The bounds are twice the values at which an episode ends.
//!
//! # Rewards
//! 1 a step, the last one included. With `sutton_barto_reward`: 0 a step and −1 at the end.
//!
//! # Starting state
//! All four numbers uniform in (−0.05, 0.05).
//!
//! # Episode end
//! Terminated when the pole leans more than 12° or the cart leaves ±2.4 m; truncated after 500 steps (`-v1`) or 200
//! (`-v0`).
//!
//! # Arguments
//! `sutton_barto_reward` (false): 0 a step and −1 at the end instead of 1 a step.
//!
//! Physics, each a number or a range `[low, high]` that each episode draws it from:
//!
//! | argument | meaning | default |
//! |---|---|---|
//! | `gravity` | acceleration of gravity, m/s² | 9.8 |
//! | `cart_mass` | mass of the cart, kg | 1 |
//! | `pole_mass` | mass of the pole, kg | 0.1 |
//! | `length` | half of the pole's length, m | 0.5 |
//! | `force` | force of a push, N | 10 |
//!
//! `show_context` (none): names of those whose ratio to the default follows the observation's own values.
//!
//! # Version history
//! v1: 500 steps. v0: 200 steps.
//!
//! # Source
//! Barto, Sutton and Anderson (1983); Gymnasium 1.3 `gymnasium/envs/classic_control/cartpole.py`, whose trajectories it
//! repeats: state and dynamics in double precision, explicit Euler steps of 0.02 s.
//!
//! # Deviations
//! 1. Sine and cosine are polynomials (fdlibm's kernels, below one unit in the last place) instead of the platform's
//!    library calls, so that a column of poles is computed with vector instructions. Trajectories stay within 1e-6.

use std::f64::consts::{FRAC_PI_4, PI};

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Drawn, Quantity, Standard, draw_context, write_row};
use crate::math::sin_cos_small;
use crate::simulator::IN_TABLES;
use crate::simulator::{Actions, EcsEnv, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder};
use crate::{Canvas, EnvError, Frame, Pcg64, Space};

const STANDARDS: [Standard; 5] = [
    Standard::positive("gravity", 9.8),
    Standard::positive("cart_mass", 1.0),
    Standard::positive("pole_mass", 0.1),
    Standard::positive("length", 0.5),
    Standard::positive("force", 10.0),
];
const STANDARD: Physics = Physics::of(9.8, 1.0, 0.1, 0.5, 10.0);
/// Seconds between state updates.
const TAU: f64 = 0.02;
const ANGLE_LIMIT: f64 = 12.0 * 2.0 * PI / 360.0;
const POSITION_LIMIT: f64 = 2.4;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPole {
    /// Reward 0 a step and −1 at the end instead of 1 a step.
    pub sutton_barto_reward: bool,
    /// Acceleration of gravity in m/s².
    pub gravity: Quantity,
    /// Mass of the cart in kg.
    pub cart_mass: Quantity,
    /// Mass of the pole in kg.
    pub pole_mass: Quantity,
    /// Half of the pole's length in m.
    pub length: Quantity,
    /// Force of a push in N.
    pub force: Quantity,
    /// Which of these are shown.
    pub show_context: Vec<String>,
}

impl Default for CartPole {
    fn default() -> Self {
        let [gravity, cart_mass, pole_mass, length, force] = STANDARDS.map(|standard| standard.value.into());
        let (sutton_barto_reward, show_context) = (false, Vec::new());
        Self { sutton_barto_reward, gravity, cart_mass, pole_mass, length, force, show_context }
    }
}

impl CartPole {
    /// The environment with these arguments.
    ///
    /// # Errors
    /// If a quantity is not positive, or a name is none of one.
    pub fn validated(self) -> Result<CartPoles, EnvError> {
        let given = [self.gravity, self.cart_mass, self.pole_mass, self.length, self.force];
        let context = Context::new("CartPole", &STANDARDS, &given, &self.show_context)?;
        Ok(CartPoles { args: self, context })
    }
}

/// The environment with arguments that have been checked.
#[derive(Clone, Debug)]
pub struct CartPoles {
    args: CartPole,
    context: Context,
}

/// What the equations need of a cart and its pole.
#[derive(Clone, Copy)]
struct Physics {
    gravity: f64,
    pole_mass: f64,
    total_mass: f64,
    length: f64,
    pole_mass_length: f64,
    force: f64,
}

impl Physics {
    #[inline(always)]
    const fn of(gravity: f64, cart_mass: f64, pole_mass: f64, length: f64, force: f64) -> Self {
        let (total_mass, pole_mass_length) = (pole_mass + cart_mass, pole_mass * length);
        Self { gravity, pole_mass, total_mass, length, pole_mass_length, force }
    }

    #[inline(always)]
    fn drawn(Drawn([gravity, cart_mass, pole_mass, length, force, _]): Drawn) -> Self {
        Self::of(gravity, cart_mass, pole_mass, length, force)
    }
}

/// Position of the cart in metres.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Position(f64);

/// Velocity of the cart in metres a second.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Velocity(f64);

/// Angle of the pole from upright, in radians.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Angle(f64);

/// Angular velocity of the pole in radians a second.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct AngularVelocity(f64);

#[derive(Resource)]
struct Rewards {
    running: f64,
    last: f64,
}

impl EcsEnv for CartPoles {
    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let high = [2.0 * POSITION_LIMIT as f32, f32::INFINITY, 2.0 * ANGLE_LIMIT as f32, f32::INFINITY];
        self.context.space(&high.map(|bound| -bound), &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        let (running, last) = if self.args.sutton_barto_reward { (0.0, -1.0) } else { (1.0, 1.0) };
        simulator
            .constant(Rewards { running, last })
            .arena_component(Position::default())
            .arena_component(Velocity::default())
            .arena_component(Angle::default())
            .arena_component(AngularVelocity::default())
            .outcome(judge)
            .draw(|world, arena| {
                let length = world.get::<Drawn>(arena).map_or(STANDARD.length, |drawn| drawn.0[3]);
                Some(draw(world.get::<Position>(arena)?.0, world.get::<Angle>(arena)?.0, length))
            });
        if self.context.is_standard() {
            simulator.dynamics(push).observe(observe).reset(reset);
        } else {
            simulator
                .constant(self.context.clone())
                .arena_component(Drawn::default())
                .dynamics(push_in_context)
                .observe(observe_in_context)
                .reset((reset, draw_context).chain());
        }
    }
}

type Columns<'a> = (&'a Row, &'a mut Position, &'a mut Velocity, &'a mut Angle, &'a mut AngularVelocity);

/// Pushes every cart and advances the system by one Euler step.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn push(actions: Res<Actions>, mut carts: Query<Columns<'static>>) {
    let actions = actions.indices();
    let chunks = carts.contiguous_iter_mut().expect(IN_TABLES);
    for (rows, mut position, mut velocity, mut angle, mut angular_velocity) in chunks {
        // Arenas never change their set of components: a chunk's rows follow each other.
        let first = rows[0].index();
        let state = State {
            position: position.bypass_change_detection(),
            velocity: velocity.bypass_change_detection(),
            angle: angle.bypass_change_detection(),
            angular_velocity: angular_velocity.bypass_change_detection(),
        };
        pulp::Arch::new().dispatch(|| state.step(&actions[first..first + rows.len()], |_| STANDARD));
    }
}

/// The same, each cart with its own physics.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn push_in_context(actions: Res<Actions>, mut carts: Query<(Columns<'static>, &Drawn)>) {
    let actions = actions.indices();
    let chunks = carts.contiguous_iter_mut().expect(IN_TABLES);
    for ((rows, mut position, mut velocity, mut angle, mut angular_velocity), drawn) in chunks {
        let first = rows[0].index();
        let state = State {
            position: position.bypass_change_detection(),
            velocity: velocity.bypass_change_detection(),
            angle: angle.bypass_change_detection(),
            angular_velocity: angular_velocity.bypass_change_detection(),
        };
        let physics = |i: usize| Physics::drawn(drawn[i]);
        pulp::Arch::new().dispatch(|| state.step(&actions[first..first + rows.len()], physics));
    }
}

/// The columns of a chunk of carts.
struct State<'a> {
    position: &'a mut [Position],
    velocity: &'a mut [Velocity],
    angle: &'a mut [Angle],
    angular_velocity: &'a mut [AngularVelocity],
}

impl State<'_> {
    #[inline(always)]
    fn step(self, actions: &[u32], physics: impl Fn(usize) -> Physics) {
        // Poles of a running episode lean at most 12° plus one step; only then do the polynomials hold.
        if self.angle.iter().fold(true, |small, angle| small & (angle.0.abs() <= FRAC_PI_4)) {
            self.step_with(actions, sin_cos_small, physics);
        } else {
            self.step_with(actions, f64::sin_cos, physics);
        }
    }

    /// Gymnasium's equations, in its order of operations.
    #[inline(always)]
    fn step_with(
        self,
        actions: &[u32],
        sin_cos: impl Fn(f64) -> (f64, f64),
        physics: impl Fn(usize) -> Physics,
    ) {
        let n = actions.len();
        let (x, x_dot) = (&mut self.position[..n], &mut self.velocity[..n]);
        let (theta, theta_dot) = (&mut self.angle[..n], &mut self.angular_velocity[..n]);
        for i in 0..n {
            let Physics { gravity, pole_mass, total_mass, length, pole_mass_length, force } = physics(i);
            let force = if actions[i] == 1 { force } else { -force };
            let (sin, cos) = sin_cos(theta[i].0);
            let temp = (force + pole_mass_length * (theta_dot[i].0 * theta_dot[i].0) * sin) / total_mass;
            let theta_acc =
                (gravity * sin - cos * temp) / (length * (4.0 / 3.0 - pole_mass * (cos * cos) / total_mass));
            let x_acc = temp - pole_mass_length * theta_acc * cos / total_mass;
            x[i].0 += TAU * x_dot[i].0;
            x_dot[i].0 += TAU * x_acc;
            theta[i].0 += TAU * theta_dot[i].0;
            theta_dot[i].0 += TAU * theta_acc;
        }
    }
}

/// Says which episodes end, and the rewards.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn judge(rewards: Res<Rewards>, mut outcomes: ResMut<Outcomes>, carts: Query<(&Row, &Position, &Angle)>) {
    let outcomes = &mut *outcomes;
    let chunks = carts.contiguous_iter().expect(IN_TABLES);
    for (rows, position, angle) in chunks {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let terminated = &mut outcomes.terminated[range.clone()];
        let out = &mut outcomes.rewards[range];
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for i in 0..terminated.len().min(out.len()) {
                    let ended = (position[i].0.abs() > POSITION_LIMIT) | (angle[i].0.abs() > ANGLE_LIMIT);
                    terminated[i] = ended;
                    out[i] = if ended { rewards.last } else { rewards.running };
                }
            },
        );
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    carts: Query<(&Row, &Position, &Velocity, &Angle, &AngularVelocity)>,
) {
    let rows_out = observations.rows_mut::<f32>();
    for (rows, position, velocity, angle, angular_velocity) in carts.contiguous_iter().expect(IN_TABLES) {
        let (out, _) = rows_out[4 * rows[0].index()..][..4 * rows.len()].as_chunks_mut::<4>();
        let row =
            |i: usize| [position[i].0, velocity[i].0, angle[i].0, angular_velocity[i].0].map(|v| v as f32);
        if scope.is_all() {
            out.iter_mut().enumerate().for_each(|(i, out)| *out = row(i));
        } else {
            scope.iter().map(|env| env - rows[0].index()).for_each(|i| out[i] = row(i));
        }
    }
}

fn observe_in_context(
    scope: Res<Scope>,
    context: Res<Context>,
    mut observations: ResMut<Observations>,
    mut carts: Query<(&Row, &Position, &Velocity, &Angle, &AngularVelocity, &Drawn)>,
) {
    scope.for_each(&mut carts, |(&row, position, velocity, angle, angular_velocity, drawn)| {
        let own = [position.0, velocity.0, angle.0, angular_velocity.0].map(|value| value as f32);
        write_row(&mut observations, row, &own, &context, drawn);
    });
}

fn reset(
    scope: Res<Scope>,
    mut carts: Query<(&mut EnvRng, &mut Position, &mut Velocity, &mut Angle, &mut AngularVelocity)>,
) {
    let uniform = |rng: &mut Pcg64| rng.uniform(-0.05, 0.05);
    scope.for_each(&mut carts, |(mut rng, mut x, mut x_dot, mut theta, mut theta_dot)| {
        x.0 = uniform(&mut rng.0);
        x_dot.0 = uniform(&mut rng.0);
        theta.0 = uniform(&mut rng.0);
        theta_dot.0 = uniform(&mut rng.0);
    });
}

/// The track, the cart, the pole and its hinge.
fn draw(position: f64, angle: f64, length: f64) -> Frame {
    const WIDTH: f32 = 600.0;
    const HEIGHT: f32 = 400.0;
    const SCALE: f32 = WIDTH / (2.0 * POSITION_LIMIT as f32);
    let (x, y) = (position as f32 * SCALE + WIDTH / 2.0, HEIGHT - 100.0);
    let mut canvas = Canvas::new(WIDTH as u32, HEIGHT as u32, [255, 255, 255]);
    canvas.line((0.0, y), (WIDTH, y), 1.0, [0, 0, 0]);
    canvas.rect(x - 25.0, y - 15.0, 50.0, 30.0, [0, 0, 0]);
    let hinge = (x, y - 7.5);
    let length = SCALE * 2.0 * length as f32;
    let tip = (hinge.0 + length * angle.sin() as f32, hinge.1 - length * angle.cos() as f32);
    canvas.line(hinge, tip, 10.0, [202, 152, 101]);
    canvas.circle(hinge, 5.0, [129, 132, 203]);
    canvas.into_frame()
}
