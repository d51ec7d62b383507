//! Pictures and text of a world: the whole grid, with the agent's view lit up.
//!
//! Shapes and their measures, in fractions of a tile, are those of MiniGrid's own tiles.

use super::cell::{Cell, Color, DoorState, Object};
use super::grid::Point;
use super::view::View;
use super::world::World;
use crate::render::{Canvas, Color as Rgb, Frame};

/// Pixels along a side of a tile.
const TILE: u32 = 32;
const BLACK: Rgb = [0, 0, 0];
const GRID_LINE: Rgb = [100, 100, 100];
const LAVA: Rgb = [255, 128, 0];
const AGENT: Rgb = [255, 0, 0];
/// How far towards white a tile in view is shifted.
const LIGHT: f32 = 0.3;

/// The world as a picture.
pub(super) fn frame(world: &World, see_through_walls: bool) -> Frame {
    let (columns, rows) = (world.grid.width(), world.grid.height());
    let mut canvas = Canvas::new(columns as u32 * TILE, rows as u32 * TILE, BLACK);
    for at in cells(world) {
        Tile { canvas: &mut canvas, at }.draw(world.grid.get(at));
    }
    Tile { canvas: &mut canvas, at: world.agent }.agent(world.ahead());
    let mut frame = canvas.into_frame();
    for at in View::new(world, see_through_walls).seen(world) {
        if (0..columns).contains(&at.x) && (0..rows).contains(&at.y) {
            light_up(&mut frame, at);
        }
    }
    frame
}

/// All places of the grid, row by row.
fn cells(world: &World) -> impl Iterator<Item = Point> + use<> {
    let (columns, rows) = (world.grid.width(), world.grid.height());
    (0..columns * rows).map(move |i| Point::new(i % columns, i / columns))
}

fn light_up(frame: &mut Frame, at: Point) {
    let (left, top, width) = (at.x as u32 * TILE, at.y as u32 * TILE, frame.width);
    for y in top..top + TILE {
        let start = ((y * width + left) * 3) as usize;
        for value in &mut frame.rgb[start..start + 3 * TILE as usize] {
            let old = f32::from(*value);
            *value = (old + LIGHT * (255.0 - old)) as u8;
        }
    }
}

/// A tile of a canvas; measures are fractions of its side.
struct Tile<'a> {
    canvas: &'a mut Canvas,
    at: Point,
}

impl Tile<'_> {
    fn point(&self, x: f32, y: f32) -> (f32, f32) {
        let tile = TILE as f32;
        ((self.at.x as f32 + x) * tile, (self.at.y as f32 + y) * tile)
    }

    fn rect(&mut self, (left, right): (f32, f32), (top, bottom): (f32, f32), color: Rgb) {
        let ((x0, y0), (x1, y1)) = (self.point(left, top), self.point(right, bottom));
        self.canvas.rect(x0, y0, x1 - x0, y1 - y0, color);
    }

    fn square(&mut self, low: f32, high: f32, color: Rgb) {
        self.rect((low, high), (low, high), color);
    }

    fn circle(&mut self, x: f32, y: f32, radius: f32, color: Rgb) {
        let center = self.point(x, y);
        self.canvas.circle(center, radius * TILE as f32, color);
    }

    fn draw(&mut self, cell: Cell) {
        self.rect((0.0, 0.031), (0.0, 1.0), GRID_LINE);
        self.rect((0.0, 1.0), (0.0, 0.031), GRID_LINE);
        let color = cell.color().rgb();
        match cell.object() {
            Object::Empty => {}
            Object::Wall | Object::Goal => self.square(0.0, 1.0, color),
            Object::Lava => self.lava(),
            Object::Door => self.door(cell.door_state(), cell.color()),
            Object::Key => self.key(color),
            Object::Ball => self.circle(0.5, 0.5, 0.31, color),
            Object::Box => {
                self.square(0.12, 0.88, color);
                self.square(0.18, 0.82, BLACK);
                self.rect((0.16, 0.84), (0.47, 0.53), color);
            }
        }
    }

    fn lava(&mut self) {
        self.square(0.0, 1.0, LAVA);
        for wave in [0.3, 0.5, 0.7] {
            let points = [(0.1, wave), (0.3, wave + 0.1), (0.5, wave), (0.7, wave + 0.1), (0.9, wave)];
            let points = points.map(|(x, y)| self.point(x, y));
            self.canvas.polyline(&points, 0.06 * TILE as f32, BLACK);
        }
    }

    fn door(&mut self, state: DoorState, color: Color) {
        let rgb = color.rgb();
        match state {
            DoorState::Open => {
                self.rect((0.88, 1.0), (0.0, 1.0), rgb);
                self.rect((0.92, 0.96), (0.04, 0.96), BLACK);
            }
            DoorState::Closed => {
                for (inset, color) in [(0.0, rgb), (0.04, BLACK), (0.08, rgb), (0.12, BLACK)] {
                    self.square(inset, 1.0 - inset, color);
                }
                self.circle(0.75, 0.5, 0.08, rgb);
            }
            DoorState::Locked => {
                self.square(0.0, 1.0, rgb);
                self.square(0.06, 0.94, rgb.map(|value| (0.45 * f32::from(value)) as u8));
                self.rect((0.52, 0.75), (0.50, 0.56), rgb);
            }
        }
    }

    fn key(&mut self, color: Rgb) {
        self.rect((0.50, 0.63), (0.31, 0.88), color);
        for tooth in [(0.59, 0.66), (0.81, 0.88)] {
            self.rect((0.38, 0.50), tooth, color);
        }
        self.circle(0.56, 0.28, 0.190, color);
        self.circle(0.56, 0.28, 0.064, BLACK);
    }

    /// A triangle that points ahead.
    fn agent(&mut self, ahead: Point) {
        let (forward, side) = ((ahead.x as f32, ahead.y as f32), (-ahead.y as f32, ahead.x as f32));
        let corners = [(-0.38, -0.31), (0.37, 0.0), (-0.38, 0.31)].map(|(along, across)| {
            let x = 0.5 + along * forward.0 + across * side.0;
            let y = 0.5 + along * forward.1 + across * side.1;
            self.point(x, y)
        });
        self.canvas.polygon(&corners, AGENT);
    }
}

/// The world as text, two letters a cell: the object and its colour, `__` for an open door, the agent as an arrow.
pub(super) fn text(world: &World) -> String {
    let mut text = String::new();
    for at in cells(world) {
        if at.x == 0 && at.y > 0 {
            text.push('\n');
        }
        let [first, second] =
            if at == world.agent { agent_letters(world.direction()) } else { letters(world.grid.get(at)) };
        text.push(first);
        text.push(second);
    }
    text
}

fn agent_letters(direction: u8) -> [char; 2] {
    match direction {
        0 => ['>'; 2],
        1 => ['V'; 2],
        2 => ['<'; 2],
        _ => ['^'; 2],
    }
}

fn letters(cell: Cell) -> [char; 2] {
    let object = match (cell.object(), cell.door_state()) {
        (Object::Empty, _) => return [' '; 2],
        (Object::Door, DoorState::Open) => return ['_'; 2],
        (Object::Door, DoorState::Locked) => 'L',
        (Object::Door, DoorState::Closed) => 'D',
        (Object::Wall, _) => 'W',
        (Object::Key, _) => 'K',
        (Object::Ball, _) => 'A',
        (Object::Box, _) => 'B',
        (Object::Goal, _) => 'G',
        (Object::Lava, _) => 'V',
    };
    let color = match cell.color() {
        Color::Red => 'R',
        Color::Green | Color::Grey => 'G',
        Color::Blue => 'B',
        Color::Purple => 'P',
        Color::Yellow => 'Y',
    };
    [object, color]
}
