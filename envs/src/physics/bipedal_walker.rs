//! BipedalWalker: walk on two legs over uneven ground.
//!
//! # Description
//! A hull on two legs with a hip and a knee each is to walk to the far end of a strip of grass. The hardcore version has
//! stumps, stairs and pits on it.
//!
//! # Action space
//! `Box(-1, 1, (4,))`: for the first leg's hip and knee and the second one's, the direction that the motor turns in and
//! the part of 80 N m that it turns with, at most at 4 rad/s in a hip and 6 rad/s in a knee.
//!
//! # Observation space
//! | index | meaning | min | max | unit |
//! |---|---|---|---|---|
//! | 0 | hull's angle | −π | π | rad |
//! | 1 | hull's angular velocity | −5 | 5 | 25 rad/s |
//! | 2 | horizontal velocity | −5 | 5 | 8.33 m/s |
//! | 3 | vertical velocity | −5 | 5 | 12.5 m/s |
//! | 4 | first leg's hip angle | −π | π | rad |
//! | 5 | its speed | −5 | 5 | 4 rad/s |
//! | 6 | first leg's knee angle + 1 | −π | π | rad |
//! | 7 | its speed | −5 | 5 | 6 rad/s |
//! | 8 | first leg on the ground | 0 | 5 | |
//! | 9–13 | as 4–8, of the second leg | | | |
//! | 14–23 | distances to the ground of ten rays, from straight down to 1.35 rad forwards | −1 | 1 | 5.33 m |
//!
//! # Rewards
//! 4.33 a metre forwards, less 5 a radian that the hull tilts further, less 0.028 a joint and step times the action's
//! size: about 300 for the whole way. −100 in a step that ends in a fall.
//!
//! # Starting state
//! The walker stands at the start, knees bent, on a flat piece; the ground beyond is random.
//!
//! # Episode end
//! Terminated when the hull touches the ground, when the walker goes back beyond the start, or when it arrives; truncated
//! after 1600 steps, 2000 in the hardcore version.
//!
//! # Arguments
//! `hardcore` (false): stumps, stairs and pits.
//!
//! # Version history
//! v3 as Gymnasium's: rays give the closest ground.
//!
//! # Source
//! Gymnasium 1.3 `gymnasium/envs/box2d/bipedal_walker.py`: its constants, its order of random draws, its rewards.
//!
//! # Deviations
//! 1. The solver is rapier's with joint coordinates, not Box2D's, so trajectories agree in kind, not in their digits.
//! 2. The walker starts in the pose that Box2D moves it to in the first two steps from the source's start, whose joints
//!    are apart and whose knees are straighter than their limits allow.
//! 3. A leg that leaves one edge of the ground while it stands on another counts as standing.
//! 4. Observations are cut off at the space's bounds; rewards are not.
//!
//! Returns and lengths of episodes of a random policy (Gymnasium: 1000, hardcore 300; here: 200 each):
//!
//! | | mean | deviation | 5 % | 25 % | 50 % | 75 % | 95 % | length |
//! |---|---|---|---|---|---|---|---|---|
//! | Gymnasium | −99.6 | 14.0 | −119.4 | −108.3 | −100.8 | −87.8 | −78.2 | 588.1 |
//! | here | −100.6 | 13.1 | −119.5 | −110.7 | −101.0 | −92.1 | −77.7 | 483.3 |
//! | Gymnasium, hardcore | −107.8 | 11.3 | −122.5 | −111.3 | −104.4 | −101.4 | −98.5 | 722.3 |
//! | here, hardcore | −108.6 | 13.7 | −122.4 | −112.7 | −105.1 | −100.3 | −97.8 | 550.4 |
//!
//! Episodes are shorter because fewer random walkers stay up until the time limit.

mod picture;
mod terrain;
#[cfg(test)]
mod tests;

use std::f32::consts::PI;

use rapier2d::prelude::{MultibodyJointHandle, RigidBodyHandle, SharedShape, Vector};
use serde::{Deserialize, Serialize};

use self::terrain::Terrain;
use super::world::{Hinge, Motor, Part, TIME_STEP, World};
use crate::batch::Action;
use crate::{Env, Frame, Pcg64, Space, Step};

/// Pixels a metre.
const SCALE: f64 = 30.0;
const WIDTH: f64 = 600.0 / SCALE;
const HEIGHT: f64 = 400.0 / SCALE;
const STEPS_PER_SECOND: f64 = 50.0;
const GRAVITY: f32 = -10.0;

/// Newtons of the largest force on the hull in the first step.
const INITIAL_RANDOM: f64 = 5.0;

const TERRAIN_STEP: f64 = 14.0 / SCALE;
/// Points of the terrain.
const TERRAIN_LENGTH: usize = 200;
const TERRAIN_HEIGHT: f64 = HEIGHT / 4.0;
/// Flat points at the start.
const TERRAIN_STARTPAD: usize = 20;
/// Where the walker has arrived, in metres.
const GOAL: f64 = (TERRAIN_LENGTH - 10) as f64 * TERRAIN_STEP;

const MOTORS_TORQUE: f32 = 80.0;
const SPEED_HIP: f32 = 4.0;
const SPEED_KNEE: f32 = 6.0;
const LIDAR_RANGE: f64 = 160.0 / SCALE;
const LIDARS: usize = 10;

/// The hull's corners, in pixels around its origin.
const HULL_CORNERS: [(f32, f32); 5] = [(-30.0, 9.0), (6.0, 9.0), (34.0, 1.0), (34.0, -8.0), (-30.0, -8.0)];
const HULL_DENSITY: f32 = 5.0;
const HULL_FRICTION: f32 = 0.1;
const LEG_DENSITY: f32 = 1.0;
/// Box2D's friction of a body that names none.
const LEG_FRICTION: f32 = 0.2;
/// Where the hips are below the hull's origin, in metres.
const LEG_DOWN: f32 = 8.0 / SCALE as f32;
/// Width of the upper legs and length of all, in metres.
const LEG_SIZE: (f32, f32) = (8.0 / SCALE as f32, 34.0 / SCALE as f32);
const HIP_LIMITS: [f32; 2] = [-0.8, 1.1];
const KNEE_LIMITS: [f32; 2] = [-1.6, -0.1];

/// The pose that Box2D brings the walker to in the first step, from the source's impossible one: the hull's height
/// above the ground, the hips' angles and the knees'.
const START: (f32, [f32; 2], f32) = (2.4, [0.435, 0.338], -0.885);

/// Bounds of the first 14 numbers; the lidars' are −1 and 1.
const BOUNDS: [(f32, f32); 14] = [
    (-PI, PI),
    (-5.0, 5.0),
    (-5.0, 5.0),
    (-5.0, 5.0),
    (-PI, PI),
    (-5.0, 5.0),
    (-PI, PI),
    (-5.0, 5.0),
    (0.0, 5.0),
    (-PI, PI),
    (-5.0, 5.0),
    (-PI, PI),
    (-5.0, 5.0),
    (0.0, 5.0),
];

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BipedalWalkerArgs {
    /// Whether there are stumps, stairs and pits.
    pub hardcore: bool,
}

/// The environment; see the [module's page](self).
#[derive(Clone, Serialize, Deserialize)]
pub struct BipedalWalker {
    args: BipedalWalkerArgs,
    terrain: Terrain,
    clouds: Vec<[(f64, f64); 5]>,
    walker: Walker,
    /// The potential after the last step: rewards are its differences.
    shaping: Option<f64>,
    /// The part of each lidar's range before it meets the ground.
    lidar: [f32; LIDARS],
}

/// The walker in rapier's world.
#[derive(Clone, Serialize, Deserialize)]
struct Walker {
    world: World,
    hull: RigidBodyHandle,
    legs: [Leg; 2],
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Leg {
    upper: RigidBodyHandle,
    lower: RigidBodyHandle,
    hip: MultibodyJointHandle,
    knee: MultibodyJointHandle,
}

impl Walker {
    fn new(terrain: &Terrain) -> Self {
        let mut world = World::new(GRAVITY);
        terrain.build(&mut world);
        let (shape, center) = hull();
        let x = (TERRAIN_STEP * TERRAIN_STARTPAD as f64 / 2.0) as f32;
        let origin = Vector::new(x, TERRAIN_HEIGHT as f32 + START.0);
        let part = Part {
            position: origin + center,
            angle: 0.0,
            shape,
            density: HULL_DENSITY,
            friction: HULL_FRICTION,
        };
        let hull = world.add_body(part);
        let (width, length) = LEG_SIZE;
        // A multibody places what hangs on its root, so only the root's position matters.
        let limb = |world: &mut World, width: f32| {
            world.add_body(Part {
                position: origin,
                angle: 0.0,
                shape: SharedShape::cuboid(width / 2.0, length / 2.0),
                density: LEG_DENSITY,
                friction: LEG_FRICTION,
            })
        };
        let motor = |speed: f32| Motor { speed, max_torque: MOTORS_TORQUE };
        let legs = [(-1.0, START.1[0]), (1.0, START.1[1])].map(|(side, hip_angle)| {
            let upper = limb(&mut world, width);
            let top = Vector::new(0.0, length / 2.0);
            let hip = world.add_hinge(
                [hull, upper],
                &Hinge {
                    anchors: [Vector::new(0.0, -LEG_DOWN) - center, top],
                    angle: hip_angle,
                    limits: HIP_LIMITS,
                    motor: motor(side),
                },
            );
            let lower = limb(&mut world, 0.8 * width);
            let knee = world.add_hinge(
                [upper, lower],
                &Hinge { anchors: [-top, top], angle: START.2, limits: KNEE_LIMITS, motor: motor(1.0) },
            );
            Leg { upper, lower, hip, knee }
        });
        Self { world, hull, legs }
    }

    /// Turns the joints: the sign of an action is a motor's direction, its size the motor's torque.
    fn act(&mut self, action: &[f32]) {
        for (leg, actions) in self.legs.iter().zip(action.chunks_exact(2)) {
            for (hinge, speed, action) in
                [(leg.hip, SPEED_HIP, actions[0]), (leg.knee, SPEED_KNEE, actions[1])]
            {
                let direction = if action == 0.0 { 0.0 } else { action.signum() };
                let max_torque = MOTORS_TORQUE * action.abs().min(1.0);
                self.world.set_motor(hinge, Motor { speed: speed * direction, max_torque });
            }
        }
        self.world.step(self.hull);
    }

    /// Position of the hull's origin.
    fn position(&self) -> Vector {
        let body = self.world.body(self.hull);
        body.translation() - *body.rotation() * hull().1
    }

    /// Angle and speed of the second body relative to the first.
    fn joint(&self, first: RigidBodyHandle, second: RigidBodyHandle) -> (f32, f32) {
        let [first, second] = [first, second].map(|body| self.world.body(body));
        let angle = (first.rotation().inverse() * *second.rotation()).angle();
        (angle, second.angvel() - first.angvel())
    }
}

/// The hull's shape around its centre of mass, and that centre from the hull's origin.
#[expect(clippy::expect_used, reason = "constant corners of a convex polygon")]
fn hull() -> (SharedShape, Vector) {
    let corners = HULL_CORNERS.map(|(x, y)| Vector::new(x, y) / SCALE as f32);
    let shape = SharedShape::convex_hull(&corners).expect("the corners are those of a convex polygon");
    let center = shape.mass_properties(HULL_DENSITY).local_com;
    let centered = SharedShape::convex_hull(&corners.map(|corner| corner - center));
    (centered.expect("the corners are those of a convex polygon"), center)
}

impl BipedalWalker {
    /// A walker with the given arguments.
    pub fn new(args: BipedalWalkerArgs) -> Self {
        let terrain = Terrain::flat();
        let walker = Walker::new(&terrain);
        Self { args, terrain, clouds: Vec::new(), walker, shaping: None, lidar: [1.0; LIDARS] }
    }

    /// The direction of a lidar's ray, scaled to its range.
    fn lidar_ray(i: usize) -> Vector {
        let angle = 1.5 * i as f64 / 10.0;
        Vector::new((angle.sin() * LIDAR_RANGE) as f32, (-angle.cos() * LIDAR_RANGE) as f32)
    }

    /// One step of the task.
    fn advance(&mut self, action: &[f32], obs: &mut [f32]) -> Step {
        self.walker.act(action);
        let position = self.walker.position();
        for i in 0..LIDARS {
            self.lidar[i] = self.walker.world.ray_fraction(position, position + Self::lidar_ray(i));
        }
        let state = self.state();
        for ((slot, value), (low, high)) in obs.iter_mut().zip(state).zip(BOUNDS) {
            *slot = (value as f32).clamp(low, high);
        }
        obs[state.len()..].copy_from_slice(&self.lidar);

        let x = f64::from(position.x);
        let shaping = 130.0 * x / SCALE - 5.0 * state[0].abs();
        let mut reward = self.shaping.map_or(0.0, |last| shaping - last);
        self.shaping = Some(shaping);
        for &torque in action {
            reward -= 0.00035 * f64::from(MOTORS_TORQUE) * f64::from(torque.abs().min(1.0));
        }
        if self.walker.world.touches_ground(self.walker.hull) || x < 0.0 {
            Step::terminated(-100.0)
        } else if x > GOAL {
            Step::terminated(reward)
        } else {
            Step::running(reward)
        }
    }

    /// The observation without the lidars, in double precision and not cut off at its bounds.
    fn state(&self) -> [f64; 14] {
        let walker = &self.walker;
        let hull = walker.world.body(walker.hull);
        let velocity = hull.linvel();
        let mut state = [0.0; 14];
        state[0] = f64::from(hull.rotation().angle());
        state[1] = 2.0 * f64::from(hull.angvel()) / STEPS_PER_SECOND;
        state[2] = 0.3 * f64::from(velocity.x) * WIDTH / STEPS_PER_SECOND;
        state[3] = 0.3 * f64::from(velocity.y) * HEIGHT / STEPS_PER_SECOND;
        for (leg, slots) in walker.legs.iter().zip(state[4..].chunks_exact_mut(5)) {
            let (hip, hip_speed) = walker.joint(walker.hull, leg.upper);
            let (knee, knee_speed) = walker.joint(leg.upper, leg.lower);
            let contact = if walker.world.touches_ground(leg.lower) { 1.0 } else { 0.0 };
            let values = [hip, hip_speed / SPEED_HIP, knee + 1.0, knee_speed / SPEED_KNEE, contact];
            slots.copy_from_slice(&values.map(f64::from));
        }
        state
    }
}

/// What the source takes for a full turn where it draws clouds.
#[expect(clippy::approx_constant, reason = "the source's own approximation")]
const SOURCE_TAU: f64 = 3.14 * 2.0;

/// Draws the clouds, in the source's order of draws.
fn draw_clouds(rng: &mut Pcg64) -> Vec<[(f64, f64); 5]> {
    let cloud = |_| {
        let x = rng.uniform(0.0, TERRAIN_LENGTH as f64) * TERRAIN_STEP;
        let y = HEIGHT * 3.0 / 4.0;
        std::array::from_fn(|corner| {
            let angle = SOURCE_TAU * corner as f64 / 5.0;
            let at_x = x + 15.0 * TERRAIN_STEP * angle.sin() + rng.uniform(0.0, 5.0 * TERRAIN_STEP);
            (at_x, y + 5.0 * TERRAIN_STEP * angle.cos() + rng.uniform(0.0, 5.0 * TERRAIN_STEP))
        })
    };
    (0..TERRAIN_LENGTH / 20).map(cloud).collect()
}

impl Env for BipedalWalker {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let lidars = [(-1.0, 1.0); LIDARS];
        let (low, high): (Vec<f32>, Vec<f32>) = BOUNDS.into_iter().chain(lidars).unzip();
        Space::box_f32(&low, &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn action_space(&self) -> Space {
        Space::box_f32(&[-1.0; 4], &[1.0; 4]).expect("constant bounds are in order")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.terrain = Terrain::draw(self.args.hardcore, rng);
        self.clouds = draw_clouds(rng);
        self.walker = Walker::new(&self.terrain);
        let force = Vector::new(rng.uniform(-INITIAL_RANDOM, INITIAL_RANDOM) as f32, 0.0);
        self.walker.world.push_center(self.walker.hull, force * TIME_STEP);
        self.shaping = None;
        self.advance(&[0.0; 4], obs);
    }

    #[expect(clippy::panic, reason = "the simulator checks actions against the space")]
    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        match action {
            Action::Continuous(torques) => self.advance(torques, obs),
            Action::Discrete(_) => panic!("the walker's actions are continuous"),
        }
    }

    fn render(&self) -> Option<Frame> {
        Some(self.picture())
    }
}
