//! The ground that the walker crosses: grass, and in the hardcore version stumps, stairs and pits.

use rapier2d::prelude::{SharedShape, Vector};
use serde::{Deserialize, Serialize};

use super::{SCALE, TERRAIN_HEIGHT, TERRAIN_LENGTH, TERRAIN_STARTPAD, TERRAIN_STEP};
use crate::Pcg64;
use crate::physics::world::World;

const TERRAIN_GRASS: i64 = 10;
const FRICTION: f32 = 2.5;

/// What the ground is made of at a point.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Grass,
    Stump,
    Stairs,
    Pit,
}

/// The ground: a line of points in equal distances, and boxes on it or in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Terrain {
    /// Heights of the points in metres.
    pub(super) heights: Vec<f64>,
    /// Corners of the boxes in metres.
    pub(super) boxes: Vec<[(f64, f64); 4]>,
}

impl Terrain {
    /// A flat piece of ground.
    pub(super) fn flat() -> Self {
        Self { heights: vec![TERRAIN_HEIGHT; TERRAIN_LENGTH], boxes: Vec::new() }
    }

    /// Draws the ground, in the source's order of draws.
    pub(super) fn draw(hardcore: bool, rng: &mut Pcg64) -> Self {
        let mut terrain = Self::default();
        let mut kind = Kind::Grass;
        let (mut velocity, mut y, mut original_y) = (0.0, TERRAIN_HEIGHT, 0.0);
        let mut counter = TERRAIN_STARTPAD as i64;
        let mut first = false;
        let (mut stair_steps, mut stair_width, mut stair_height) = (0, 0, 0.0);
        for i in 0..TERRAIN_LENGTH {
            let x = i as f64 * TERRAIN_STEP;
            match kind {
                // The first point after an obstacle keeps the height.
                Kind::Grass if first => {}
                Kind::Grass => {
                    velocity = 0.8 * velocity + 0.01 * sign(TERRAIN_HEIGHT - y);
                    if i > TERRAIN_STARTPAD {
                        velocity += rng.uniform(-1.0, 1.0) / SCALE;
                    }
                    y += velocity;
                }
                Kind::Pit if first => {
                    counter = rng.integers(3, 5);
                    let wall = |x: f64| block(x, y - 4.0 * TERRAIN_STEP, 1.0, 4.0);
                    terrain.boxes.push(wall(x));
                    terrain.boxes.push(wall(x + TERRAIN_STEP * counter as f64));
                    counter += 2;
                    original_y = y;
                }
                Kind::Pit => {
                    y = if counter > 1 { original_y - 4.0 * TERRAIN_STEP } else { original_y };
                }
                Kind::Stump if first => {
                    counter = rng.integers(1, 3);
                    terrain.boxes.push(block(x, y, counter as f64, counter as f64));
                }
                Kind::Stump => {}
                Kind::Stairs if first => {
                    stair_height = if rng.random() > 0.5 { 1.0 } else { -1.0 };
                    stair_width = rng.integers(4, 5);
                    stair_steps = rng.integers(3, 5);
                    original_y = y;
                    for step in 0..stair_steps {
                        let x = x + (step * stair_width) as f64 * TERRAIN_STEP;
                        let y = y + (step as f64 * stair_height - 1.0) * TERRAIN_STEP;
                        terrain.boxes.push(block(x, y, stair_width as f64, 1.0));
                    }
                    counter = stair_steps * stair_width;
                }
                Kind::Stairs => {
                    let step = (stair_steps * stair_width - counter) as f64 - stair_height;
                    y = original_y + step / stair_width as f64 * stair_height * TERRAIN_STEP;
                }
            }
            first = false;
            terrain.heights.push(y);
            counter -= 1;
            if counter == 0 {
                counter = rng.integers(TERRAIN_GRASS / 2, TERRAIN_GRASS);
                first = true;
                kind = match kind {
                    Kind::Grass if hardcore => {
                        [Kind::Stump, Kind::Stairs, Kind::Pit][rng.integers(1, 4) as usize - 1]
                    }
                    _ => Kind::Grass,
                };
            }
        }
        terrain
    }

    /// One of the points.
    pub(super) fn point(&self, i: usize) -> (f64, f64) {
        (i as f64 * TERRAIN_STEP, self.heights[i])
    }

    /// Adds the ground to a world.
    #[expect(clippy::expect_used, reason = "boxes are convex")]
    pub(super) fn build(&self, world: &mut World) {
        let vector = |(x, y): (f64, f64)| Vector::new(x as f32, y as f32);
        // Not one polyline: its contacts live in a hash map, whose order a snapshot does not keep.
        for i in 0..self.heights.len() - 1 {
            let segment = SharedShape::segment(vector(self.point(i)), vector(self.point(i + 1)));
            world.add_ground(segment, FRICTION);
        }
        for corners in &self.boxes {
            let shape = SharedShape::convex_hull(&corners.map(vector)).expect("four corners of a box");
            world.add_ground(shape, FRICTION);
        }
    }
}

/// A box with its lower left corner at a point, `width` and `height` in steps of the terrain.
fn block(x: f64, y: f64, width: f64, height: f64) -> [(f64, f64); 4] {
    let (right, top) = (x + width * TERRAIN_STEP, y + height * TERRAIN_STEP);
    [(x, y), (right, y), (right, top), (x, top)]
}

/// NumPy's sign, which is zero for zero.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
