//! Pictures of the lander over the moon.

use rapier2d::prelude::{Pose, Rotation, Vector};

use super::motion::{LANDER_CORNERS, LEG_SIZE, LanderState};
use super::surface::CHUNKS;
use super::{HEIGHT, HELIPAD_Y, LunarLander, MAIN_ENGINE_Y, SCALE, SIDE_ENGINE_AWAY, SIDE_ENGINE_HEIGHT};
use crate::render::Color;
use crate::{Canvas, Frame};

const SKY: Color = [0, 0, 0];
const MOON: Color = [255, 255, 255];
const BODY: (Color, Color) = ([128, 102, 230], [77, 77, 128]);
const FLAG: Color = [204, 204, 0];
/// From the outside to the core.
const FLAME: [Color; 3] = [[230, 90, 40], [250, 160, 50], [255, 230, 150]];

fn pixel(point: Vector) -> (f32, f32) {
    let scale = SCALE as f32;
    (point.x * scale, HEIGHT as f32 * scale - point.y * scale)
}

fn outlined(canvas: &mut Canvas, corners: &[(f32, f32)]) {
    canvas.polygon(corners, BODY.0);
    let closed: Vec<_> = corners.iter().chain(&corners[..1]).copied().collect();
    canvas.polyline(&closed, 1.5, BODY.1);
}

impl LunarLander {
    pub(super) fn picture(&self) -> Frame {
        let mut canvas = Canvas::new(600, 400, SKY);
        let mut moon = vec![(0.0, 400.0)];
        moon.extend((0..CHUNKS).map(|i| pixel(self.surface.point(i))));
        moon.push((600.0, 400.0));
        canvas.polygon(&moon, MOON);

        let LanderState { position, angle, .. } = self.motion.state();
        let lander = Pose::from_parts(position, Rotation::new(angle));
        self.draw_flames(&mut canvas, &lander);
        for leg in self.motion.legs() {
            let (x, y) = LEG_SIZE;
            let corners = [(-x, y), (x, y), (x, -y), (-x, -y)];
            outlined(&mut canvas, &corners.map(|(x, y)| pixel(leg * Vector::new(x, y))));
        }
        let corner = |(x, y): (f32, f32)| pixel(lander * (Vector::new(x, y) / SCALE as f32));
        outlined(&mut canvas, &LANDER_CORNERS.map(corner));
        self.draw_flags(&mut canvas);
        canvas.into_frame()
    }

    /// Flags at both ends of the pad.
    fn draw_flags(&self, canvas: &mut Canvas) {
        for i in [CHUNKS / 2 - 1, CHUNKS / 2 + 1] {
            let (x, foot) = pixel(Vector::new(self.surface.point(i).x, HELIPAD_Y as f32));
            let top = foot - 50.0;
            canvas.line((x, foot), (x, top), 1.5, [160, 160, 160]);
            canvas.polygon(&[(x, top), (x, top + 10.0), (x + 25.0, top + 5.0)], FLAG);
        }
    }

    /// What leaves the engines that fired in the last step.
    fn draw_flames(&self, canvas: &mut Canvas, lander: &Pose) {
        let mut flame = |from: (f32, f32), along: (f32, f32), length: f32| {
            let across = (-along.1, along.0);
            for (i, color) in FLAME.into_iter().enumerate() {
                let size = 1.0 - 0.3 * i as f32;
                let at = |forth: f32, side: f32| {
                    let x = from.0 + along.0 * length * size * forth + across.0 * length * size * side;
                    let y = from.1 + along.1 * length * size * forth + across.1 * length * size * side;
                    pixel(*lander * (Vector::new(x, y) / SCALE as f32))
                };
                let corners = [
                    at(0.0, -0.16),
                    at(0.35, -0.24),
                    at(0.7, -0.13),
                    at(1.0, 0.0),
                    at(0.7, 0.13),
                    at(0.35, 0.24),
                    at(0.0, 0.16),
                ];
                canvas.polygon(&corners, color);
            }
        };
        if self.engines.main > 0.0 {
            flame((0.0, -6.0 - MAIN_ENGINE_Y as f32), (0.0, -1.0), 34.0 * self.engines.main as f32);
        }
        if self.engines.side > 0.0 {
            let side = self.engines.direction as f32;
            let from = (-side * (SIDE_ENGINE_AWAY as f32 + 3.0), SIDE_ENGINE_HEIGHT as f32 - 3.0);
            flame(from, (-side, 0.0), 16.0 * self.engines.side as f32);
        }
    }
}
