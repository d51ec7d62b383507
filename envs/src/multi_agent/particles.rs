//! What the particle worlds share: discs that are pushed about in the plane and push each other away.
//!
//! Bodies have mass 1. A step of 0.1 s moves a body by its velocity, damps the velocity by a quarter and adds the forces:
//! the agent's own push and, between bodies that collide, a soft contact force. Landmarks never move.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::simulator::IN_TABLES;
use crate::simulator::{Actions, Agent, Arena, EnvRng, Scope, SimulatorBuilder};
use crate::{Canvas, Frame, Space};

/// Most agents and most landmarks of a world.
pub(super) const MAX_BODIES: usize = 16;
/// Seconds between state updates.
const TAU: f64 = 0.1;
/// Share of its velocity that a body loses in a step.
const DAMPING: f64 = 0.25;
const CONTACT_FORCE: f64 = 100.0;
/// Over this depth the contact force sets in.
const CONTACT_MARGIN: f64 = 1e-3;
/// Margins apart beyond which the contact force is exactly zero in double precision.
const OUT_OF_TOUCH: f64 = 746.0;

/// A point or a vector.
pub(super) type Vector = [f64; 2];

/// What an agent is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Radius.
    pub(super) size: f64,
    /// Force of a full push.
    pub(super) acceleration: f64,
    pub(super) max_speed: f64,
    pub(super) color: [u8; 3],
}

/// What a world is like.
#[derive(Resource, Clone, Debug)]
pub(super) struct Scene {
    /// The agents, by number.
    pub(super) kinds: Vec<Kind>,
    pub(super) num_landmarks: usize,
    pub(super) landmark_size: f64,
    /// Whether agents bounce off landmarks.
    pub(super) solid_landmarks: bool,
    /// Landmarks start within this square around the centre.
    pub(super) landmark_range: f64,
    /// Whether actions are the strengths of the five pushes instead of one of them.
    pub(super) continuous_actions: bool,
}

/// Where an agent is and where it goes.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) position: Vector,
    pub(super) velocity: Vector,
}

/// Where an arena's landmarks are.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Landmarks(pub(super) [Vector; MAX_BODIES]);

/// From `b` to `a`.
#[inline]
pub(super) fn difference(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1]]
}

#[inline]
pub(super) fn length(vector: Vector) -> f64 {
    (vector[0] * vector[0] + vector[1] * vector[1]).sqrt()
}

#[inline]
pub(super) fn distance(a: Vector, b: Vector) -> f64 {
    length(difference(a, b))
}

/// Writes vectors one after the other into an observation, zeros into the rest of it.
pub(super) fn write_vectors(out: &mut [f32], vectors: impl Iterator<Item = Vector>) {
    let (out, _) = out.as_chunks_mut::<2>();
    let mut slots = out.iter_mut();
    for (slot, vector) in slots.by_ref().zip(vectors.map(Some).chain(std::iter::repeat(None))) {
        *slot = vector.map_or([0.0; 2], |vector| vector.map(|value| value as f32));
    }
}

impl Scene {
    /// The five pushes: nothing, left, right, down, up.
    #[expect(clippy::expect_used, reason = "constants")]
    pub(super) fn action_space(&self) -> Space {
        if self.continuous_actions {
            Space::box_uniform(0.0, 1.0, &[5]).expect("bounds are in order")
        } else {
            Space::discrete(5).expect("five is not zero")
        }
    }

    /// Any numbers.
    #[expect(clippy::expect_used, reason = "constant bounds")]
    pub(super) fn observation_space(&self, len: usize) -> Space {
        Space::box_uniform(f32::NEG_INFINITY, f32::INFINITY, &[len]).expect("bounds are in order")
    }

    /// Adds the state, the motion, the starting state and the picture.
    pub(super) fn build(self, simulator: &mut SimulatorBuilder) {
        let (drawn, written) = (self.clone(), self.clone());
        simulator
            .constant(self)
            .arena_component(Landmarks::default())
            .agent_component(Body::default())
            .dynamics(advance)
            .reset(place)
            .draw(move |world, arena| {
                let (landmarks, bodies) = contents(world, arena)?;
                Some(drawn.draw(&landmarks, &bodies))
            })
            .write(move |world, arena| {
                let (landmarks, bodies) = contents(world, arena)?;
                Some(written.write(&landmarks, &bodies))
            });
    }

    /// One step of an arena.
    pub(super) fn step(&self, bodies: &mut [Body], landmarks: &[Vector], forces: &mut [Vector]) {
        for a in 0..bodies.len() {
            for b in a + 1..bodies.len() {
                let sizes = self.kinds[a].size + self.kinds[b].size;
                let force = contact(bodies[a].position, bodies[b].position, sizes);
                for (axis, value) in force.into_iter().enumerate() {
                    forces[a][axis] += value;
                    forces[b][axis] -= value;
                }
            }
            if self.solid_landmarks {
                for &landmark in landmarks {
                    let force =
                        contact(bodies[a].position, landmark, self.kinds[a].size + self.landmark_size);
                    forces[a][0] += force[0];
                    forces[a][1] += force[1];
                }
            }
        }
        for ((body, kind), force) in bodies.iter_mut().zip(&self.kinds).zip(forces) {
            let [position, velocity] = [&mut body.position, &mut body.velocity];
            for ((place, speed), push) in position.iter_mut().zip(velocity).zip(force) {
                *place += *speed * TAU;
                *speed = *speed * (1.0 - DAMPING) + *push * TAU;
            }
            let speed = length(body.velocity);
            if speed > kind.max_speed {
                body.velocity = body.velocity.map(|value| value / speed * kind.max_speed);
            }
        }
    }
}

/// The force on a disc at `a` from one at `b`, for the sum of their radii.
fn contact(a: Vector, b: Vector, sizes: f64) -> Vector {
    let delta = difference(a, b);
    let distance = length(delta);
    let apart = (distance - sizes) / CONTACT_MARGIN;
    if apart > OUT_OF_TOUCH || distance == 0.0 {
        return [0.0; 2];
    }
    // ln(1 + e^−apart), without overflow.
    let softplus = if apart > 0.0 { (-apart).exp().ln_1p() } else { apart.exp().ln_1p() - apart };
    delta.map(|value| CONTACT_FORCE * value / distance * (softplus * CONTACT_MARGIN))
}

/// Pushes the agents and moves them. Agents lie in one column by row, arenas in another by number.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn advance(
    scene: Res<Scene>,
    actions: Res<Actions>,
    arenas: Query<&Landmarks>,
    mut agents: Query<&mut Body>,
) {
    let n = scene.kinds.len();
    let landmarks = arenas.contiguous_iter().expect(IN_TABLES).next();
    let bodies = agents.contiguous_iter_mut().expect(IN_TABLES).next();
    let (Some(landmarks), Some(mut bodies)) = (landmarks, bodies) else { return };
    let bodies = bodies.bypass_change_detection().chunks_exact_mut(n);
    for (env, (bodies, landmarks)) in bodies.zip(landmarks).enumerate() {
        let mut forces = [[0.0; 2]; MAX_BODIES];
        let forces = &mut forces[..n];
        for (agent, (force, kind)) in forces.iter_mut().zip(&scene.kinds).enumerate() {
            let row = env * n + agent;
            let push = if scene.continuous_actions {
                let strengths = &actions.values()[5 * row..5 * row + 5];
                [strengths[2] - strengths[1], strengths[4] - strengths[3]].map(f64::from)
            } else {
                match actions.indices()[row] {
                    1 => [-1.0, 0.0],
                    2 => [1.0, 0.0],
                    3 => [0.0, -1.0],
                    4 => [0.0, 1.0],
                    _ => [0.0, 0.0],
                }
            };
            *force = push.map(|value| value * kind.acceleration);
        }
        scene.step(bodies, &landmarks.0[..scene.num_landmarks], forces);
    }
}

/// Puts agents and landmarks at random places.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn place(
    scene: Res<Scene>,
    scope: Res<Scope>,
    mut arenas: Query<(&mut Landmarks, &mut EnvRng)>,
    mut agents: Query<&mut Body>,
) {
    let n = scene.kinds.len();
    let arenas = arenas.contiguous_iter_mut().expect(IN_TABLES).next();
    let bodies = agents.contiguous_iter_mut().expect(IN_TABLES).next();
    let (Some((mut landmarks, mut rngs)), Some(mut bodies)) = (arenas, bodies) else { return };
    let (landmarks, rngs) = (landmarks.bypass_change_detection(), rngs.bypass_change_detection());
    let bodies = bodies.bypass_change_detection();
    for env in scope.iter() {
        let rng = &mut rngs[env].0;
        let mut point = |range: f64| [rng.uniform(-range, range), rng.uniform(-range, range)];
        for body in &mut bodies[env * n..(env + 1) * n] {
            *body = Body { position: point(1.0), velocity: [0.0; 2] };
        }
        for landmark in &mut landmarks[env].0[..scene.num_landmarks] {
            *landmark = point(scene.landmark_range);
        }
    }
}

/// What is in an arena.
fn contents(world: &mut World, arena: Entity) -> Option<(Landmarks, Vec<Body>)> {
    let number = *world.get::<Arena>(arena)?;
    let landmarks = *world.get::<Landmarks>(arena)?;
    let mut agents = world.query::<(&Agent, &Body)>();
    let bodies = agents.iter(world).filter(|(agent, _)| agent.arena == number).map(|(_, body)| *body);
    Some((landmarks, bodies.collect()))
}

impl Scene {
    /// Discs; the picture widens when a body leaves the square.
    fn draw(&self, landmarks: &Landmarks, bodies: &[Body]) -> Frame {
        const SIDE: f32 = 500.0;
        let landmarks = &landmarks.0[..self.num_landmarks];
        let places = landmarks.iter().chain(bodies.iter().map(|body| &body.position));
        let reach = places.flatten().fold(1.0_f64, |reach, value| reach.max(value.abs()));
        let scale = f64::from(SIDE) / 2.0 / (reach * 1.1 + 0.1);
        let at = |[x, y]: Vector| (SIDE / 2.0 + (x * scale) as f32, SIDE / 2.0 - (y * scale) as f32);
        let mut canvas = Canvas::new(SIDE as u32, SIDE as u32, [255, 255, 255]);
        let (left, top) = at([-1.0, 1.0]);
        let width = (2.0 * scale) as f32;
        canvas.rect_outline(left, top, width, width, 1.0, [210, 210, 210]);
        let mut disc = |place: Vector, size: f64, color: [u8; 3]| {
            canvas.circle(at(place), (size * scale) as f32, color);
            canvas.circle_outline(at(place), (size * scale) as f32, 1.5, [30, 30, 30]);
        };
        for &landmark in landmarks {
            disc(landmark, self.landmark_size, [90, 90, 90]);
        }
        for (body, kind) in bodies.iter().zip(&self.kinds) {
            disc(body.position, kind.size, kind.color);
        }
        canvas.into_frame()
    }

    /// A line for each body.
    fn write(&self, landmarks: &Landmarks, bodies: &[Body]) -> String {
        let agents = bodies.iter().enumerate().map(|(i, Body { position: [x, y], velocity: [u, v] })| {
            format!("agent {i} at ({x:.2}, {y:.2}), velocity ({u:.2}, {v:.2})")
        });
        let marks = landmarks.0[..self.num_landmarks].iter().enumerate();
        let marks = marks.map(|(i, [x, y])| format!("landmark {i} at ({x:.2}, {y:.2})"));
        agents.chain(marks).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests;
