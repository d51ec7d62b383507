//! Rapier's world as an environment keeps it: cloneable, serialisable and stepped at Box2D's rate.
//!
//! The main decision: bodies hang together by rapier's multibody joints, not by its impulse joints. The legs of these
//! tasks are up to seventy times lighter than what stands on them, and a motor's torque passes through such a joint
//! only after some 160 sweeps of an iterative solver (Box2D takes 180). In joint coordinates a quarter of them does.
//!
//! What rapier keeps between steps (contacts with their impulses, islands, the broad phase's tree) is part of the state
//! and saved; its pipeline is scratch space and is not.

use rapier2d::geometry::BvhOptimizationStrategy;
use rapier2d::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds a step.
pub(super) const TIME_STEP: f32 = 1.0 / 50.0;
/// Bodies touch when their gap is below this many metres: Box2D's linear slop.
const TOUCHING_GAP: f32 = 0.005;
/// Gaps, in metres, below which a contact is solved before it closes. As far as bodies move in a step, so that they stop
/// at the ground instead of in it, which Box2D's continuous collision detection is for.
const PREDICTION_DISTANCE: f32 = 0.25;
/// Sweeps over all constraints in a step, with and without correction of positions.
const SWEEPS: (usize, usize) = (30, 10);

/// A world of rigid bodies.
pub(super) struct World(PhysicsWorld);

/// What a moving body is made of.
pub(super) struct Part {
    /// Position of its centre of mass, which is its origin.
    pub(super) position: Vector,
    /// Radians.
    pub(super) angle: f32,
    /// Its outline around the centre of mass.
    pub(super) shape: SharedShape,
    /// Kilograms a square metre.
    pub(super) density: f32,
    /// Multiplied with the ground's, and the root taken.
    pub(super) friction: f32,
}

/// How a body hangs on another.
pub(super) struct Hinge {
    /// Where the hinge is, seen from each of the two.
    pub(super) anchors: [Vector; 2],
    /// The second body's angle relative to the first at the start, in radians.
    pub(super) angle: f32,
    /// Between which relative angles it moves.
    pub(super) limits: [f32; 2],
    /// What turns it.
    pub(super) motor: Motor,
}

/// A motor that turns a hinge at a speed with as much torque as that takes, up to a bound.
#[derive(Clone, Copy)]
pub(super) struct Motor {
    /// Radians a second.
    pub(super) speed: f32,
    /// Newton metres.
    pub(super) max_torque: f32,
}

impl Motor {
    /// Damping so high that only the torque's bound keeps the motor from its speed.
    const STIFF: f32 = 1e8;

    fn set(self, joint: &mut GenericJoint) {
        joint.set_motor_velocity(JointAxis::AngX, self.speed, Self::STIFF);
        joint.set_motor_max_force(JointAxis::AngX, self.max_torque);
    }
}

impl World {
    /// An empty world.
    pub(super) fn new(gravity: f32) -> Self {
        Self(PhysicsWorld {
            gravity: Vector::new(0.0, gravity),
            integration_parameters: IntegrationParameters {
                dt: TIME_STEP,
                num_solver_iterations: 1,
                num_internal_pgs_iterations: SWEEPS.0,
                num_internal_stabilization_iterations: SWEEPS.1,
                normalized_prediction_distance: PREDICTION_DISTANCE,
                max_ccd_substeps: 0,
                contact_recycling: false,
                warmstart_joints: true,
                ..Default::default()
            },
            // An optimised tree would be owned by the pipeline between two steps, where no snapshot finds it.
            broad_phase: BroadPhaseBvh::with_optimization_strategy(BvhOptimizationStrategy::None),
            ..Default::default()
        })
    }

    /// Adds a piece of ground that moving bodies collide with.
    pub(super) fn add_ground(&mut self, shape: SharedShape, friction: f32) {
        let ground = ColliderBuilder::new(shape)
            .friction(friction)
            .friction_combine_rule(CoefficientCombineRule::GeometricMean)
            .collision_groups(groups(Group::GROUP_1, Group::GROUP_2));
        self.0.insert_collider(ground, None);
    }

    /// Adds a body that moves and collides with the ground only.
    pub(super) fn add_body(&mut self, part: Part) -> RigidBodyHandle {
        // The environments that end when bodies rest measure it themselves, by Box2D's rule.
        let body =
            RigidBodyBuilder::dynamic().translation(part.position).rotation(part.angle).can_sleep(false);
        let collider = ColliderBuilder::new(part.shape)
            .density(part.density)
            .friction(part.friction)
            .friction_combine_rule(CoefficientCombineRule::GeometricMean)
            .collision_groups(groups(Group::GROUP_2, Group::GROUP_1));
        self.0.insert(body, collider).0
    }

    /// Hangs the second body on the first; its position follows from the first one's.
    #[expect(clippy::expect_used, reason = "the environments' hinges form trees")]
    pub(super) fn add_hinge(&mut self, bodies: [RigidBodyHandle; 2], hinge: &Hinge) -> MultibodyJointHandle {
        let mut joint = RevoluteJointBuilder::new()
            .local_anchor1(hinge.anchors[0])
            .local_anchor2(hinge.anchors[1])
            .limits(hinge.limits.map(|limit| limit - hinge.angle))
            .contacts_enabled(false)
            .build();
        // A multibody starts with all joint coordinates zero, so the frame is turned to where the body is.
        joint.data.local_frame1.rotation = Rotation::new(hinge.angle);
        hinge.motor.set(&mut joint.data);
        self.0.insert_multibody_joint(bodies[0], bodies[1], joint).expect("hinges form no loop")
    }

    /// Gives a hinge's motor another speed and torque.
    pub(super) fn set_motor(&mut self, hinge: MultibodyJointHandle, motor: Motor) {
        if let Some((multibody, link)) = self.0.multibody_joints.get_mut(hinge)
            && let Some(link) = multibody.link_mut(link)
        {
            motor.set(&mut link.joint.data);
        }
    }

    /// Sets the angle and the velocity of a hinge's bodies, which move as one, by those of the first body.
    pub(super) fn set_motion(
        &mut self,
        hinge: MultibodyJointHandle,
        angle: f32,
        linear: Vector,
        angular: f32,
    ) {
        if let Some((multibody, _)) = self.0.multibody_joints.get_mut(hinge) {
            // Rapier takes a root's rotation from its body, but not the coordinate that it integrates.
            let mut coordinates = vec![0.0; multibody.ndofs()];
            coordinates[2] = angle;
            multibody.apply_displacements(&coordinates);
            let mut velocity = multibody.generalized_velocity_mut();
            (velocity[0], velocity[1], velocity[2]) = (linear.x, linear.y, angular);
        }
    }

    /// Pushes a body at a point during the next step, by an impulse.
    pub(super) fn push(&mut self, body: RigidBodyHandle, impulse: Vector, at: Vector) {
        self.0.bodies[body].add_force_at_point(impulse / TIME_STEP, at, true);
    }

    /// Pushes a body at its centre of mass during the next step, by an impulse.
    pub(super) fn push_center(&mut self, body: RigidBodyHandle, impulse: Vector) {
        self.0.bodies[body].add_force(impulse / TIME_STEP, true);
    }

    /// Turns a body during the next step, by an angular impulse.
    pub(super) fn turn(&mut self, body: RigidBodyHandle, impulse: f32) {
        self.0.bodies[body].add_torque(impulse / TIME_STEP, true);
    }

    /// Advances by [`TIME_STEP`]. The pushes end with it.
    pub(super) fn step(&mut self, pushed: RigidBodyHandle) {
        self.0.step();
        let body = &mut self.0.bodies[pushed];
        body.reset_forces(false);
        body.reset_torques(false);
    }

    /// One of the bodies.
    pub(super) fn body(&self, handle: RigidBodyHandle) -> &RigidBody {
        &self.0.bodies[handle]
    }

    /// Whether a body touched the ground in the last step: when it began, or because it was stopped there.
    pub(super) fn touches_ground(&self, body: RigidBodyHandle) -> bool {
        let colliders = self.body(body).colliders();
        colliders.iter().any(|&collider| {
            self.0.narrow_phase.contact_pairs_with(collider).any(|pair| {
                let mut points = pair.manifolds().iter().flat_map(|manifold| &manifold.points);
                points.any(|point| point.dist < TOUCHING_GAP || point.data.impulse > 0.0)
            })
        })
    }

    /// The part of a ray before it meets the ground, 1 if it meets none.
    pub(super) fn ray_fraction(&self, from: Vector, to: Vector) -> f32 {
        let filter = QueryFilter::new().groups(groups(Group::GROUP_2, Group::GROUP_1));
        let ray = Ray::new(from, to - from);
        self.0.cast_ray(&ray, 1.0, true, filter).map_or(1.0, |(_, fraction)| fraction)
    }
}

fn groups(memberships: Group, filter: Group) -> InteractionGroups {
    InteractionGroups::new(memberships, filter, InteractionTestMode::And)
}

impl Clone for World {
    fn clone(&self) -> Self {
        let world = &self.0;
        Self(PhysicsWorld {
            gravity: world.gravity,
            integration_parameters: world.integration_parameters,
            islands: world.islands.clone(),
            broad_phase: world.broad_phase.clone(),
            narrow_phase: world.narrow_phase.clone(),
            bodies: world.bodies.clone(),
            colliders: world.colliders.clone(),
            impulse_joints: world.impulse_joints.clone(),
            multibody_joints: world.multibody_joints.clone(),
            soft_bodies: world.soft_bodies.clone(),
            ..Default::default()
        })
    }
}

impl Serialize for World {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for World {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PhysicsWorld::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part that a snapshot left out would be made anew by a restore: without the broad phase's tree, bodies fall through the
    /// floor and no error says so.
    #[test]
    fn a_snapshot_holds_every_part_of_the_world() {
        let saved = serde_json::to_value(World::new(-10.0)).unwrap();
        let parts: Vec<&str> = saved.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "bodies",
            "broad_phase",
            "colliders",
            "gravity",
            "impulse_joints",
            "integration_parameters",
            "islands",
            "multibody_joints",
            "narrow_phase",
            "soft_bodies",
        ];
        assert!(expected.iter().all(|part| parts.contains(part)), "{parts:?}");
        // What is new in a release of rapier must be looked at, and cloned above.
        assert_eq!(parts.len(), expected.len(), "{parts:?}");
    }

    #[test]
    fn a_body_stands_on_the_floor_after_a_restore() {
        let mut world = World::new(-10.0);
        world.add_ground(SharedShape::cuboid(10.0, 1.0), 0.5);
        let part = Part {
            position: Vector::new(0.0, 3.0),
            angle: 0.0,
            shape: SharedShape::cuboid(0.5, 0.5),
            density: 1.0,
            friction: 0.5,
        };
        let body = world.add_body(part);
        (0..20).for_each(|_| world.step(body));
        let mut restored: World = postcard::from_bytes(&postcard::to_stdvec(&world).unwrap()).unwrap();
        for _ in 0..200 {
            world.step(body);
            restored.step(body);
        }
        let height = |world: &World| world.body(body).translation().y;
        assert!((1.4..1.6).contains(&height(&restored)), "{}", height(&restored));
        assert_eq!(height(&world).to_bits(), height(&restored).to_bits());
    }
}
