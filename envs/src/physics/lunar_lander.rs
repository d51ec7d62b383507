//! LunarLander: land a rocket on its pad with three engines.
//!
//! # Description
//! A lander on two springy legs falls from the top of the sky, pushed by a random force, over a moon of random hills.
//! Between two flags the moon is flat. The lander is to come to rest there; fuel is unlimited but costs.
//!
//! # Action space
//! `Discrete(4)`: 0 does nothing, 1 fires the left orientation engine, 2 the main engine, 3 the right one.
//!
//! `LunarLanderContinuous-v3`: `Box(-1, 1, (2,))`. The first number is the main engine's throttle: off up to 0, above it
//! 50 % to 100 %. The second one fires the left engine below −0.5 and the right one above 0.5, by its size.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | horizontal position, from the pad | −2.5 | 2.5 | 10 m |
//! | 1 | vertical position, from where it stands when landed | −2.5 | 2.5 | 6.67 m |
//! | 2 | horizontal velocity | −10 | 10 | 5 m/s |
//! | 3 | vertical velocity | −10 | 10 | 7.5 m/s |
//! | 4 | angle | −2π | 2π | rad |
//! | 5 | angular velocity | −10 | 10 | 2.5 rad/s |
//! | 6 | first leg on the ground | 0 | 1 | |
//! | 7 | second leg on the ground | 0 | 1 | |
//!
//! # Rewards
//! What the potential −100 (distance + speed + |angle|) + 10 a leg on the ground gained, in the units above, less 0.3 a
//! step of the main engine and 0.03 a step of a side engine, times the throttle. In the last step −100 for a crash or
//! 100 for a landing instead.
//!
//! # Metrics
//! `landed`: 1 if the lander came to rest, else 0. `fuel`: what the engines took off the rewards so far.
//!
//! # Starting state
//! The lander's origin is at the middle of the upper edge, upright; a force uniform in ±1000 N along each axis acts in
//! the first step, which the reset takes. The hills' heights are uniform and smoothed.
//!
//! # Episode end
//! Terminated when the lander's body touches the moon, when it leaves the picture sideways, or when lander and legs have
//! been at rest for half a second; truncated after 1000 steps.
//!
//! # Arguments
//! | name | meaning | default | range |
//! |---|---|---|---|
//! | `continuous` | throttles instead of on and off | false | |
//! | `gravity` | m/s² upwards, or a range that each episode draws it from | −10 | (−12, 0) |
//! | `enable_wind` | wind pushes and turns the lander in flight | false | |
//! | `wind_power` | largest force, N, or a range | 15 | \[0, 20\] |
//! | `turbulence_power` | largest torque, N m, or a range | 1.5 | \[0, 2\] |
//! | `show_context` | names of those three whose ratio to the default follows the observation's own values | none | |
//!
//! # Version history
//! v3 as Gymnasium's: the wind starts anew in each episode.
//!
//! # Source
//! Gymnasium 1.3 `gymnasium/envs/box2d/lunar_lander.py`: its constants, its order of random draws, its rewards.
//!
//! # Deviations
//! 1. The solver is rapier's with joint coordinates, not Box2D's, so trajectories agree in kind, not in their digits.
//! 2. In free flight lander and legs move as one rigid body, the legs on their stops; Box2D's motors hold them there too.
//!    Rapier's world exists from shortly above the ground to the end of the episode.
//! 3. Rest is Box2D's rule, applied here: below 0.01 m/s and 2° a second for 0.5 s, all three bodies.
//! 4. A leg that leaves one edge of the moon while it stands on another counts as standing.
//! 5. Observations are cut off at the space's bounds; rewards are not.
//! 6. A `wind_power` or `turbulence_power` out of range is refused; Gymnasium warns.
//!
//! Returns and lengths of 1000 episodes of a random policy, and of the controller [`heuristic`] over seeds 0 to 99:
//!
//! | | mean | deviation | 5 % | 25 % | 50 % | 75 % | 95 % | length |
//! |---|---|---|---|---|---|---|---|---|
//! | Gymnasium, random | −184.6 | 109.0 | −398.6 | −248.6 | −147.7 | −104.3 | −66.3 | 90.8 |
//! | here, random | −164.9 | 116.3 | −405.4 | −223.9 | −126.2 | −88.9 | −21.8 | 94.9 |
//! | Gymnasium, random throttles | −209.8 | 129.4 | −437.6 | −306.2 | −195.7 | −100.7 | −41.5 | 113.3 |
//! | here, random throttles | −211.4 | 137.8 | −442.1 | −323.5 | −184.5 | −91.3 | −31.7 | 113.3 |
//! | Gymnasium, random, wind | −266.6 | 144.8 | −532.8 | −365.9 | −245.1 | −151.5 | −70.3 | 87.4 |
//! | here, random, wind | −252.0 | 152.4 | −520.3 | −359.9 | −246.3 | −119.1 | −48.2 | 90.2 |
//! | Gymnasium, heuristic | 252.8 | 78.5 | 173.3 | 254.3 | 265.9 | 288.7 | 304.6 | 253.4 |
//! | here, heuristic | 250.9 | 85.8 | 32.4 | 252.8 | 270.0 | 295.7 | 313.6 | 226.9 |
//! | Gymnasium, heuristic throttles | 280.3 | 48.4 | 253.3 | 270.3 | 287.6 | 299.7 | 309.0 | 207.2 |
//! | here, heuristic throttles | 281.8 | 30.5 | 252.8 | 269.6 | 287.4 | 299.5 | 308.8 | 208.7 |
//!
//! In flight the engines' mean effects agree to three digits. What differs is the hard landing: a lander that comes down
//! on one leg is turned less by it before its body hits, so that the median fall scores some twenty more.

mod heuristic;
mod motion;
mod picture;
mod surface;
#[cfg(test)]
mod tests;

pub use heuristic::{heuristic, heuristic_continuous};

use std::f32::consts::TAU;
use std::f64::consts::PI;

use rapier2d::prelude::Vector;
use serde::{Deserialize, Serialize};

use self::motion::{LanderState, Motion};
use self::surface::Surface;
use super::world::TIME_STEP;
use crate::batch::Action;
use crate::context::{Context, Quantity, Standard};
use crate::{Env, EnvError, Frame, Pcg64, Space, Step};

/// Pixels a metre.
const SCALE: f64 = 30.0;
const WIDTH: f64 = 600.0 / SCALE;
const HEIGHT: f64 = 400.0 / SCALE;
const STEPS_PER_SECOND: f64 = 50.0;
const HELIPAD_Y: f64 = HEIGHT / 4.0;
/// Metres between the lander's origin and the pad when it has landed.
const LANDED_HEIGHT: f64 = 18.0 / SCALE;

const MAIN_ENGINE_POWER: f64 = 13.0;
const SIDE_ENGINE_POWER: f64 = 0.6;
/// Newtons of the largest force on the lander in the first step, along each axis.
const INITIAL_RANDOM: f64 = 1000.0;
const SIDE_ENGINE_HEIGHT: f64 = 14.0;
const SIDE_ENGINE_AWAY: f64 = 12.0;
const MAIN_ENGINE_Y: f64 = 4.0;

/// Box2D puts bodies to sleep that have been slower than these for this long.
const SLEEP_LINEAR: f32 = 0.01;
const SLEEP_ANGULAR: f32 = 2.0 * TAU / 360.0;
const SLEEP_SECONDS: f32 = 0.5;

const LOW: [f32; 8] = [-2.5, -2.5, -10.0, -10.0, -TAU, -10.0, 0.0, 0.0];
const HIGH: [f32; 8] = [2.5, 2.5, 10.0, 10.0, TAU, 10.0, 1.0, 1.0];

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LunarLanderArgs {
    /// Whether the engines can be throttled.
    pub continuous: bool,
    /// Acceleration upwards in m/s², in (−12, 0).
    pub gravity: Quantity,
    /// Whether wind pushes and turns the lander.
    pub enable_wind: bool,
    /// Largest force of the wind in N, in \[0, 20\].
    pub wind_power: Quantity,
    /// Largest torque of the wind in N m, in \[0, 2\].
    pub turbulence_power: Quantity,
    /// Which of gravity, wind and turbulence are shown.
    pub show_context: Vec<String>,
}

/// What an episode may draw.
const STANDARDS: [Standard; 3] = [
    Standard {
        name: "gravity",
        value: -10.0,
        expected: "between -12 and 0",
        fits: |value| value > -12.0 && value < 0.0,
    },
    Standard {
        name: "wind_power",
        value: 15.0,
        expected: "between 0 and 20",
        fits: |value| (0.0..=20.0).contains(&value),
    },
    Standard {
        name: "turbulence_power",
        value: 1.5,
        expected: "between 0 and 2",
        fits: |value| (0.0..=2.0).contains(&value),
    },
];

impl Default for LunarLanderArgs {
    fn default() -> Self {
        let [gravity, wind_power, turbulence_power] = STANDARDS.map(|standard| standard.value.into());
        Self {
            continuous: false,
            gravity,
            enable_wind: false,
            wind_power,
            turbulence_power,
            show_context: Vec::new(),
        }
    }
}

impl LunarLanderArgs {
    fn quantities(&self) -> [Quantity; 3] {
        [self.gravity, self.wind_power, self.turbulence_power]
    }

    fn context(&self, id: &str) -> Result<Context, EnvError> {
        Context::new(id, &STANDARDS, &self.quantities(), &self.show_context)
    }
}

/// The environment; see the [module's page](self).
#[derive(Clone, Serialize, Deserialize)]
pub struct LunarLander {
    args: LunarLanderArgs,
    /// Gravity, wind and turbulence of this episode.
    drawn: [f64; 3],
    /// Which of them are shown.
    shown: Vec<usize>,
    surface: Surface,
    motion: Motion,
    leg_contact: [bool; 2],
    wind_index: i64,
    torque_index: i64,
    /// The potential after the last step: rewards are its differences.
    shaping: Option<f64>,
    /// What the engines did in the last step, for pictures.
    engines: Engines,
    /// What they have cost in this episode.
    fuel: f64,
    /// Whether lander and legs have come to rest.
    landed: bool,
}

/// Throttles of the engines.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Engines {
    /// 0, or 0.5 to 1.
    main: f64,
    /// 0, or 0.5 to 1.
    side: f64,
    /// −1: the left engine, 1: the right one.
    direction: f64,
}

impl Engines {
    /// What running them costs.
    fn fuel(self) -> f64 {
        0.30 * self.main + 0.03 * self.side
    }

    fn of(action: Action<'_>) -> Self {
        match action {
            Action::Discrete(index) => match index[0] {
                1 => Self { side: 1.0, direction: -1.0, ..Self::default() },
                2 => Self { main: 1.0, ..Self::default() },
                3 => Self { side: 1.0, direction: 1.0, ..Self::default() },
                _ => Self::default(),
            },
            Action::Continuous(throttles) => {
                let [main, side] =
                    [throttles[0], throttles[1]].map(|value| f64::from(value.clamp(-1.0, 1.0)));
                Self {
                    main: if main > 0.0 { (main + 1.0) * 0.5 } else { 0.0 },
                    side: if side.abs() > 0.5 { side.abs() } else { 0.0 },
                    direction: side.signum(),
                }
            }
        }
    }
}

impl LunarLander {
    /// A lander with the given arguments.
    ///
    /// # Errors
    /// If an argument is out of its range.
    pub fn new(args: LunarLanderArgs) -> Result<Self, EnvError> {
        let shown = args.context("LunarLander-v3")?.shown().to_vec();
        Ok(Self {
            drawn: args.quantities().map(|quantity| quantity.bounds()[0]),
            shown,
            args,
            surface: Surface::flat(),
            motion: start(Vector::ZERO),
            leg_contact: [false; 2],
            wind_index: 0,
            torque_index: 0,
            shaping: None,
            engines: Engines::default(),
            fuel: 0.0,
            landed: false,
        })
    }

    /// A lander whose engines can be throttled, registered under `id`.
    pub(super) fn continuous(id: &str, args: LunarLanderArgs) -> Result<Self, EnvError> {
        args.context(id)?;
        Self::new(LunarLanderArgs { continuous: true, ..args })
    }

    /// Pushes and turns the lander while no leg is on the ground, with a force and a torque that never repeat:
    /// tanh(sin(2 k i) + sin(π k i)) with k = 0.01.
    fn blow(&mut self) {
        if !self.args.enable_wind || self.leg_contact[0] || self.leg_contact[1] {
            return;
        }
        let magnitude = |index: i64| ((0.02 * index as f64).sin() + (PI * 0.01 * index as f64).sin()).tanh();
        let force = (magnitude(self.wind_index) * self.drawn[1]) as f32;
        let torque = (magnitude(self.torque_index) * self.drawn[2]) as f32;
        self.wind_index += 1;
        self.torque_index += 1;
        self.motion.push_center(Vector::new(force * TIME_STEP, 0.0));
        self.motion.turn(torque * TIME_STEP);
    }

    /// Fires the engines. Two numbers are drawn in every step, whether an engine runs or not.
    fn fire(&mut self, rng: &mut Pcg64) {
        let Engines { main, side, direction } = self.engines;
        let dispersion = [rng.uniform(-1.0, 1.0) / SCALE, rng.uniform(-1.0, 1.0) / SCALE];
        if main == 0.0 && side == 0.0 {
            return;
        }
        let LanderState { position, angle, .. } = self.motion.state();
        let (sin, cos) = f64::from(angle).sin_cos();
        let mut push = |(x, y): (f64, f64), at: (f64, f64), power: f64| {
            let at = Vector::new(at.0 as f32, at.1 as f32) + position;
            self.motion.push(Vector::new((-x * power) as f32, (-y * power) as f32), at);
        };
        if main > 0.0 {
            let along = MAIN_ENGINE_Y / SCALE + 2.0 * dispersion[0];
            let offset = (sin * along - cos * dispersion[1], -cos * along - sin * dispersion[1]);
            push(offset, offset, MAIN_ENGINE_POWER * main);
        }
        if side > 0.0 {
            let across = 3.0 * dispersion[1] + direction * SIDE_ENGINE_AWAY / SCALE;
            let offset = (sin * dispersion[0] - cos * across, -cos * dispersion[0] - sin * across);
            // The source has 17 in one place and the engine's height in the other; it is part of the task.
            let at = (offset.0 - sin * 17.0 / SCALE, offset.1 + cos * SIDE_ENGINE_HEIGHT / SCALE);
            push(offset, at, SIDE_ENGINE_POWER * side);
        }
    }

    /// One step of the task.
    fn advance(&mut self, engines: Engines, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let gravity = self.drawn[0] as f32;
        self.motion.look_down(gravity, &self.surface);
        self.blow();
        self.engines = engines;
        self.fire(rng);
        let touch = self.motion.advance(gravity);
        self.leg_contact = touch.legs;

        let state = self.state();
        for (slot, ((value, low), high)) in obs.iter_mut().zip(state.iter().zip(LOW).zip(HIGH)) {
            *slot = (*value as f32).clamp(low, high);
        }
        for (slot, &index) in obs[LOW.len()..].iter_mut().zip(&self.shown) {
            *slot = (self.drawn[index] / STANDARDS[index].value) as f32;
        }
        let shaping = shaping(&state);
        let reward = self.shaping.map_or(0.0, |last| shaping - last);
        self.shaping = Some(shaping);
        self.fuel += engines.fuel();
        self.landed = touch.asleep;
        if touch.asleep {
            Step::terminated(100.0)
        } else if touch.lander || state[0].abs() >= 1.0 {
            Step::terminated(-100.0)
        } else {
            Step::running(reward - engines.fuel())
        }
    }

    /// The observation, in double precision and not cut off at its bounds.
    fn state(&self) -> [f64; 8] {
        let LanderState { position, angle, velocity, angular_velocity } = self.motion.state();
        let contact = self.leg_contact.map(|contact| if contact { 1.0 } else { 0.0 });
        [
            (f64::from(position.x) - WIDTH / 2.0) / (WIDTH / 2.0),
            (f64::from(position.y) - (HELIPAD_Y + LANDED_HEIGHT)) / (HEIGHT / 2.0),
            f64::from(velocity.x) * (WIDTH / 2.0) / STEPS_PER_SECOND,
            f64::from(velocity.y) * (HEIGHT / 2.0) / STEPS_PER_SECOND,
            f64::from(angle),
            20.0 * f64::from(angular_velocity) / STEPS_PER_SECOND,
            contact[0],
            contact[1],
        ]
    }
}

/// The lander at the top of the sky, thrown by a force in the first step.
fn start(force: Vector) -> Motion {
    Motion::thrown(Vector::new((WIDTH / 2.0) as f32, HEIGHT as f32), force * TIME_STEP)
}

/// The potential whose differences are the rewards: near the pad, slow, upright, legs on the ground.
fn shaping(state: &[f64; 8]) -> f64 {
    -100.0 * (state[0] * state[0] + state[1] * state[1]).sqrt()
        - 100.0 * (state[2] * state[2] + state[3] * state[3]).sqrt()
        - 100.0 * state[4].abs()
        + 10.0 * state[6]
        + 10.0 * state[7]
}

impl Env for LunarLander {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let (mut low, mut high) = (LOW.to_vec(), HIGH.to_vec());
        low.resize(LOW.len() + self.shown.len(), f32::NEG_INFINITY);
        high.resize(low.len(), f32::INFINITY);
        Space::box_f32(&low, &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn action_space(&self) -> Space {
        if self.args.continuous {
            Space::box_f32(&[-1.0; 2], &[1.0; 2]).expect("constant bounds are in order")
        } else {
            Space::discrete(4).expect("four is not zero")
        }
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.surface = Surface::draw(rng);
        let force = [(); 2].map(|()| rng.uniform(-INITIAL_RANDOM, INITIAL_RANDOM) as f32);
        self.motion = start(Vector::from_array(force));
        if self.args.enable_wind {
            self.wind_index = rng.integers(-9999, 9999);
            self.torque_index = rng.integers(-9999, 9999);
        }
        self.drawn = self.args.quantities().map(|quantity| quantity.draw(rng));
        self.leg_contact = [false; 2];
        self.shaping = None;
        self.fuel = 0.0;
        self.advance(Engines::default(), rng, obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.advance(Engines::of(action), rng, obs)
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["landed", "fuel"]
    }

    fn metrics(&self, out: &mut [f64]) {
        out.copy_from_slice(&[if self.landed { 1.0 } else { 0.0 }, self.fuel]);
    }

    fn render(&self) -> Option<Frame> {
        Some(self.picture())
    }
}
