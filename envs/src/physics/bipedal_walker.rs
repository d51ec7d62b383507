//! BipedalWalker: PAGE

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

/// Draws the clouds, in the source's order of draws.
fn draw_clouds(rng: &mut Pcg64) -> Vec<[(f64, f64); 5]> {
    let cloud = |_| {
        let x = rng.uniform(0.0, TERRAIN_LENGTH as f64) * TERRAIN_STEP;
        let y = HEIGHT * 3.0 / 4.0;
        std::array::from_fn(|corner| {
            // The source's π is 3.14.
            let angle = 3.14 * 2.0 * corner as f64 / 5.0;
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
