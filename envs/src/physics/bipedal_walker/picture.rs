//! Pictures of the walker: a view that scrolls with it.

use rapier2d::prelude::{RigidBodyHandle, Vector};

use super::{
    BipedalWalker, HEIGHT, HULL_CORNERS, LEG_SIZE, SCALE, TERRAIN_HEIGHT, TERRAIN_STEP, WIDTH, hull,
};
use crate::render::Color;
use crate::{Canvas, Frame};

const SKY: Color = [215, 215, 255];
const CLOUD: Color = [255, 255, 255];
const EARTH: Color = [102, 153, 76];
const GRASS: [Color; 2] = [[76, 255, 76], [76, 204, 76]];
const BOX: (Color, Color) = ([255, 255, 255], [153, 153, 153]);
const HULL: (Color, Color) = ([127, 51, 229], [76, 76, 127]);
const LIDAR: Color = [255, 0, 0];

/// Metres to pixels, of a view that starts at `scroll` metres.
struct View {
    scroll: f64,
}

impl View {
    fn at(&self, (x, y): (f64, f64)) -> (f32, f32) {
        (((x - self.scroll) * SCALE) as f32, ((HEIGHT - y) * SCALE) as f32)
    }

    fn sees(&self, from: f64, to: f64) -> bool {
        to >= self.scroll && from <= self.scroll + WIDTH
    }
}

fn outlined(canvas: &mut Canvas, corners: &[(f32, f32)], (fill, line): (Color, Color)) {
    canvas.polygon(corners, fill);
    let closed: Vec<_> = corners.iter().chain(&corners[..1]).copied().collect();
    canvas.polyline(&closed, 1.5, line);
}

impl BipedalWalker {
    pub(super) fn picture(&self) -> Frame {
        let position = self.walker.position();
        let view = View { scroll: f64::from(position.x) - WIDTH / 5.0 };
        let mut canvas = Canvas::new(600, 400, SKY);
        // Clouds are far away: they move at half the speed.
        let sky = View { scroll: view.scroll / 2.0 };
        for cloud in &self.clouds {
            canvas.polygon(&cloud.map(|corner| sky.at(corner)), CLOUD);
        }
        self.draw_ground(&mut canvas, &view);
        let from = (f64::from(position.x), f64::from(position.y));
        for (i, &fraction) in self.lidar.iter().enumerate() {
            let to = position + Self::lidar_ray(i) * fraction;
            canvas.line(view.at(from), view.at((f64::from(to.x), f64::from(to.y))), 0.5, LIDAR);
        }
        self.draw_walker(&mut canvas, &view);
        self.draw_flag(&mut canvas, &view);
        canvas.into_frame()
    }

    fn draw_ground(&self, canvas: &mut Canvas, view: &View) {
        // One polygon, since neighbouring smooth edges would let the sky through.
        let visible = |&i: &usize| {
            view.sees(self.terrain.point(i).0 - TERRAIN_STEP, self.terrain.point(i).0 + TERRAIN_STEP)
        };
        let mut earth: Vec<_> =
            (0..self.terrain.heights.len()).filter(visible).map(|i| self.terrain.point(i)).collect();
        if let (Some(first), Some(last)) = (earth.first().copied(), earth.last().copied()) {
            earth.extend([(last.0, 0.0), (first.0, 0.0)]);
        }
        let earth: Vec<_> = earth.into_iter().map(|corner| view.at(corner)).collect();
        canvas.polygon(&earth, EARTH);
        for corners in &self.terrain.boxes {
            if view.sees(corners[0].0, corners[1].0) {
                outlined(canvas, &corners.map(|corner| view.at(corner)), BOX);
            }
        }
        for i in 0..self.terrain.heights.len() - 1 {
            let (from, to) = (self.terrain.point(i), self.terrain.point(i + 1));
            if view.sees(from.0, to.0) {
                canvas.line(view.at(from), view.at(to), 2.0, GRASS[i % 2]);
            }
        }
    }

    fn draw_walker(&self, canvas: &mut Canvas, view: &View) {
        let world = &self.walker.world;
        let corner = |body: RigidBodyHandle, corner: Vector| {
            let point = *world.body(body).position() * corner;
            view.at((f64::from(point.x), f64::from(point.y)))
        };
        // The left leg is behind the hull, the right one before it.
        let leg = |canvas: &mut Canvas, i: usize| {
            let dark = if i == 0 { 0 } else { 50 };
            let colors = ([178 - dark, 101 - dark, 152 - dark], [127 - dark, 76 - dark, 101 - dark]);
            let (width, length) = (LEG_SIZE.0 / 2.0, LEG_SIZE.1 / 2.0);
            for (body, width) in
                [(self.walker.legs[i].lower, 0.8 * width), (self.walker.legs[i].upper, width)]
            {
                let corners = [(-width, length), (width, length), (width, -length), (-width, -length)];
                outlined(canvas, &corners.map(|(x, y)| corner(body, Vector::new(x, y))), colors);
            }
        };
        leg(canvas, 0);
        let center = hull().1;
        let corners =
            HULL_CORNERS.map(|(x, y)| corner(self.walker.hull, Vector::new(x, y) / SCALE as f32 - center));
        outlined(canvas, &corners, HULL);
        leg(canvas, 1);
    }

    fn draw_flag(&self, canvas: &mut Canvas, view: &View) {
        let (x, foot) = view.at((TERRAIN_STEP * 3.0, TERRAIN_HEIGHT));
        let top = foot - 50.0;
        canvas.line((x, foot), (x, top), 1.0, [0, 0, 0]);
        outlined(canvas, &[(x, top), (x, top + 10.0), (x + 25.0, top + 5.0)], ([230, 51, 0], [0, 0, 0]));
    }
}
