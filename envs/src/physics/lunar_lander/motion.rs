//! How the lander moves: as one rigid body while nothing is near, as three bodies in rapier's world near the moon.
//!
//! The main decision: in free flight the motors hold both legs on their stops, against any torque that the engines can
//! make, so lander and legs are one rigid body and its motion needs no solver. Rapier's world is made when the ground
//! comes near, from that body's position and velocity, and kept to the end of the episode. Most steps of a random
//! policy are flight, and cost next to nothing.

use rapier2d::parry::mass_properties::MassProperties;
use rapier2d::prelude::{MultibodyJointHandle, Pose, RigidBodyHandle, Rotation, SharedShape, Vector};
use serde::{Deserialize, Serialize};
use std::f32::consts::TAU;
use std::sync::LazyLock;

use super::surface::Surface;
use super::{SCALE, SLEEP_ANGULAR, SLEEP_LINEAR, SLEEP_SECONDS};
use crate::physics::world::{Hinge, Motor, Part, TIME_STEP, World};

/// The lander's corners, in pixels around its origin.
pub(super) const LANDER_CORNERS: [(f32, f32); 6] =
    [(-14.0, 17.0), (-17.0, 0.0), (-17.0, -10.0), (17.0, -10.0), (17.0, 0.0), (14.0, 17.0)];
const LANDER_DENSITY: f32 = 5.0;
const LEG_DENSITY: f32 = 1.0;
/// Where a leg's hinge is, in pixels from the leg's centre: beside and below the lander's origin.
const LEG_AWAY: f32 = 20.0;
const LEG_DOWN: f32 = 18.0;
/// Half of a leg's width and height in metres.
pub(super) const LEG_SIZE: (f32, f32) = (2.0 / SCALE as f32, 8.0 / SCALE as f32);
const LEG_SPRING_TORQUE: f32 = 40.0;
/// Radians a second at which a leg's motor turns it to its stop.
const LEG_SPRING_SPEED: f32 = 0.3;
/// Radians between which legs turn; motors hold them on the first.
const LEG_STOPS: (f32, f32) = (0.4, 0.9);
/// Radians by which legs are spread in the instant that throws the lander; Box2D moves them to their stops after it.
const LEG_START: f32 = -0.05;
const FRICTION: f32 = 0.1;
/// Box2D's friction of a body that names none.
const LEG_FRICTION: f32 = 0.2;
/// Metres from the lander's origin within which lander and legs are.
const REACH: f32 = 1.3;
/// Metres above the ground at which rapier takes over, beside what is flown in two steps.
const MARGIN: f32 = 0.1;
/// The legs, as signs: the first one is on the right.
const SIDES: [f32; 2] = [-1.0, 1.0];

/// Shapes and masses, which never change.
struct Build {
    lander: SharedShape,
    leg: SharedShape,
    /// The lander's centre of mass, from its origin.
    lander_center: Vector,
    /// The centre of mass of lander and legs, from the lander's origin.
    center: Vector,
    inverse_mass: f32,
    inverse_inertia: f32,
    /// The common centre and the inverse inertia before the first step.
    start: (Vector, f32),
}

static BUILD: LazyLock<Build> = LazyLock::new(Build::new);

impl Build {
    #[expect(clippy::expect_used, reason = "constant corners of a convex polygon")]
    fn new() -> Self {
        let corners = LANDER_CORNERS.map(|(x, y)| Vector::new(x, y) / SCALE as f32);
        let lander = SharedShape::convex_hull(&corners).expect("the corners are those of a convex polygon");
        let leg = SharedShape::cuboid(LEG_SIZE.0, LEG_SIZE.1);
        let lander_mass = lander.mass_properties(LANDER_DENSITY);
        let lander_center = lander_mass.local_com;
        let with_legs = |angle: f32| {
            SIDES.iter().fold(lander_mass, |sum: MassProperties, &side| {
                sum + leg.mass_properties(LEG_DENSITY).transform_by(&leg_at(side, angle))
            })
        };
        let (whole, start) = (with_legs(LEG_STOPS.0), with_legs(LEG_START));
        // Around the centre of mass, so that rapier's bodies have it as their origin.
        let centered = corners.map(|corner| corner - lander_center);
        let lander = SharedShape::convex_hull(&centered).expect("the corners are those of a convex polygon");
        Self {
            lander,
            leg,
            lander_center,
            center: whole.local_com,
            inverse_mass: whole.inv_mass,
            inverse_inertia: whole.inv_principal_inertia,
            start: (start.local_com, start.inv_principal_inertia),
        }
    }
}

/// A leg spread by an angle, seen from the lander's origin.
fn leg_at(side: f32, angle: f32) -> Pose {
    let rotation = Rotation::new(-side * angle);
    Pose::from_parts(-(rotation * leg_anchor(side)), rotation)
}

/// A leg on its stop, seen from the lander's origin.
fn resting_leg(side: f32) -> Pose {
    leg_at(side, LEG_STOPS.0)
}

/// Where the lander's origin is, seen from a leg.
fn leg_anchor(side: f32) -> Vector {
    Vector::new(side * LEG_AWAY, LEG_DOWN) / SCALE as f32
}

/// Where lander and legs are, and how they move.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Motion {
    /// As one rigid body.
    Flight(Flight),
    /// As three bodies near the ground.
    Landing(Box<Landing>),
}

/// Lander and legs as one rigid body.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Flight {
    /// The lander's origin.
    position: Vector,
    angle: f32,
    /// Of the common centre of mass.
    velocity: Vector,
    angular_velocity: f32,
}

/// Lander and legs in rapier's world.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Landing {
    world: World,
    lander: RigidBodyHandle,
    legs: [RigidBodyHandle; 2],
    /// The lander's angle in radians, full turns counted.
    angle: f32,
    /// Seconds for which each body has been slow enough to fall asleep.
    sleep_time: [f32; 3],
}

/// The lander's state, as the task sees it.
#[derive(Clone, Copy)]
pub(super) struct LanderState {
    /// Of the lander's origin, in metres.
    pub(super) position: Vector,
    /// Radians.
    pub(super) angle: f32,
    /// Of the lander's own centre of mass, in m/s.
    pub(super) velocity: Vector,
    /// Radians a second.
    pub(super) angular_velocity: f32,
}

/// What a step met.
#[derive(Clone, Copy, Default)]
pub(super) struct Touch {
    pub(super) legs: [bool; 2],
    pub(super) lander: bool,
    pub(super) asleep: bool,
}

impl Motion {
    /// Upright at a point, thrown by an impulse on the lander's centre of mass.
    pub(super) fn thrown(position: Vector, impulse: Vector) -> Self {
        let (center, inverse_inertia) = BUILD.start;
        Self::Flight(Flight {
            position,
            angle: 0.0,
            velocity: impulse * BUILD.inverse_mass,
            angular_velocity: (BUILD.lander_center - center).perp_dot(impulse) * inverse_inertia,
        })
    }

    pub(super) fn state(&self) -> LanderState {
        match self {
            Self::Flight(flight) => flight.state(),
            Self::Landing(landing) => landing.state(),
        }
    }

    /// Where the legs are.
    pub(super) fn legs(&self) -> [Pose; 2] {
        match self {
            Self::Flight(flight) => SIDES.map(|side| flight.pose() * resting_leg(side)),
            Self::Landing(landing) => landing.legs.map(|leg| *landing.world.body(leg).position()),
        }
    }

    /// Pushes the lander at a point.
    pub(super) fn push(&mut self, impulse: Vector, at: Vector) {
        match self {
            Self::Flight(flight) => flight.push(impulse, at),
            Self::Landing(landing) => landing.world.push(landing.lander, impulse, at),
        }
    }

    /// Pushes the lander at its centre of mass.
    pub(super) fn push_center(&mut self, impulse: Vector) {
        let LanderState { position, angle, .. } = self.state();
        self.push(impulse, position + Rotation::new(angle) * BUILD.lander_center);
    }

    /// Turns the lander by an angular impulse.
    pub(super) fn turn(&mut self, impulse: f32) {
        match self {
            Self::Flight(flight) => flight.angular_velocity += impulse * BUILD.inverse_inertia,
            Self::Landing(landing) => landing.world.turn(landing.lander, impulse),
        }
    }

    /// Hands over to rapier if the ground is near. To be called before the pushes of a step.
    pub(super) fn look_down(&mut self, gravity: f32, surface: &Surface) {
        if let Self::Flight(flight) = self
            && flight.is_near(surface)
        {
            *self = Self::Landing(Box::new(Landing::new(flight, gravity, surface)));
        }
    }

    /// Advances by a time step.
    pub(super) fn advance(&mut self, gravity: f32) -> Touch {
        match self {
            Self::Flight(flight) => {
                flight.advance(gravity);
                Touch::default()
            }
            Self::Landing(landing) => landing.advance(),
        }
    }
}

impl Flight {
    fn pose(&self) -> Pose {
        Pose::from_parts(self.position, Rotation::new(self.angle))
    }

    fn state(&self) -> LanderState {
        let arm = Rotation::new(self.angle) * (BUILD.lander_center - BUILD.center);
        LanderState {
            position: self.position,
            angle: self.angle,
            velocity: self.velocity + Vector::new(-arm.y, arm.x) * self.angular_velocity,
            angular_velocity: self.angular_velocity,
        }
    }

    fn push(&mut self, impulse: Vector, at: Vector) {
        let arm = at - self.pose() * BUILD.center;
        self.velocity += impulse * BUILD.inverse_mass;
        self.angular_velocity += arm.perp_dot(impulse) * BUILD.inverse_inertia;
    }

    /// One step of symplectic Euler, as Box2D moves bodies.
    fn advance(&mut self, gravity: f32) {
        self.velocity.y += gravity * TIME_STEP;
        let center = self.pose() * BUILD.center + self.velocity * TIME_STEP;
        self.angle += self.angular_velocity * TIME_STEP;
        self.position = center - Rotation::new(self.angle) * BUILD.center;
    }

    /// Whether lander or legs may touch the ground in the next step.
    fn is_near(&self, surface: &Surface) -> bool {
        let speed = self.velocity.length() + 0.5 + REACH * self.angular_velocity.abs();
        let margin = MARGIN + 2.0 * TIME_STEP * speed;
        let sides = (self.position.x - REACH - margin, self.position.x + REACH + margin);
        let ground = surface.highest(sides.0, sides.1);
        if self.position.y - REACH - margin > ground {
            return false;
        }
        let pose = self.pose();
        let lowest = BUILD.lander.compute_aabb(&(pose * Pose::from_translation(BUILD.lander_center))).mins.y;
        let lowest = SIDES.iter().fold(lowest, |lowest: f32, &side| {
            lowest.min(BUILD.leg.compute_aabb(&(pose * resting_leg(side))).mins.y)
        });
        lowest - margin <= ground
    }
}

impl Landing {
    fn new(flight: &Flight, gravity: f32, surface: &Surface) -> Self {
        let mut world = World::new(gravity);
        for (from, to) in surface.segments() {
            world.add_ground(SharedShape::segment(from, to), FRICTION);
        }
        let pose = flight.pose();
        let LanderState { velocity, angular_velocity, angle, .. } = flight.state();
        let lander = world.add_body(Part {
            position: pose * BUILD.lander_center,
            angle,
            shape: BUILD.lander.clone(),
            density: LANDER_DENSITY,
            friction: FRICTION,
        });
        let legs = SIDES.map(|side| {
            let resting = pose * resting_leg(side);
            let leg = world.add_body(Part {
                position: resting.translation,
                angle: resting.rotation.angle(),
                shape: BUILD.leg.clone(),
                density: LEG_DENSITY,
                friction: LEG_FRICTION,
            });
            let (stop, end) = LEG_STOPS;
            let hinge = Hinge {
                anchors: [-BUILD.lander_center, leg_anchor(side)],
                angle: -side * stop,
                limits: if side < 0.0 { [stop, end] } else { [-end, -stop] },
                motor: Motor { speed: LEG_SPRING_SPEED * side, max_torque: LEG_SPRING_TORQUE },
            };
            (leg, world.add_hinge([lander, leg], &hinge))
        });
        let hinge: MultibodyJointHandle = legs[0].1;
        world.set_motion(hinge, angle, velocity, angular_velocity);
        Self { world, lander, legs: legs.map(|(leg, _)| leg), angle, sleep_time: [0.0; 3] }
    }

    fn state(&self) -> LanderState {
        let lander = self.world.body(self.lander);
        LanderState {
            position: lander.translation() - *lander.rotation() * BUILD.lander_center,
            angle: self.angle,
            velocity: lander.linvel(),
            angular_velocity: lander.angvel(),
        }
    }

    fn advance(&mut self) -> Touch {
        self.world.step(self.lander);
        let turned = self.world.body(self.lander).rotation().angle() - self.angle;
        self.angle += turned - TAU * (turned / TAU).round();
        Touch {
            legs: self.legs.map(|leg| self.world.touches_ground(leg)),
            lander: self.world.touches_ground(self.lander),
            asleep: self.is_asleep(),
        }
    }

    /// Whether all bodies have come to rest, by Box2D's rule.
    fn is_asleep(&mut self) -> bool {
        let bodies = [self.lander, self.legs[0], self.legs[1]];
        for (time, body) in self.sleep_time.iter_mut().zip(bodies) {
            let body = self.world.body(body);
            let slow = body.linvel().length() <= SLEEP_LINEAR && body.angvel().abs() <= SLEEP_ANGULAR;
            *time = if slow { *time + TIME_STEP } else { 0.0 };
        }
        self.sleep_time.iter().all(|&time| time >= SLEEP_SECONDS)
    }
}
