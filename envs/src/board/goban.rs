//! Pictures of games that are played with stones on the crossings of a wooden board's lines.

use super::game::Side;
use crate::render::Color;
use crate::{Canvas, Frame};

/// Pixels from a line to the next.
const CELL: f32 = 48.0;
/// Pixels from the picture's edge to the outermost lines.
const MARGIN: f32 = 54.0;
/// Pixels from the picture's edge to the middle of the labels.
const LABELS: f32 = 18.0;
const WOOD: Color = [226, 184, 116];
const GRAIN: Color = [218, 174, 106];
const FRAME: Color = [150, 104, 52];
const LINE: Color = [74, 50, 24];
const SHADOW: Color = [176, 134, 76];

/// A board with lines, star points, the letters of its columns, the numbers of its rows from the bottom, and stones.
pub(super) fn draw(size: usize, columns: &[u8], holder: impl Fn(usize, usize) -> Option<Side>) -> Frame {
    let inside = (size - 1) as f32 * CELL;
    let side = 2.0 * MARGIN + inside;
    let at = |i: usize| MARGIN + i as f32 * CELL;
    let mut canvas = Canvas::new(side as u32, side as u32, WOOD);
    grain(&mut canvas, side);
    canvas.rect_outline(2.0, 2.0, side - 4.0, side - 4.0, 4.0, FRAME);
    for (i, &letter) in columns.iter().enumerate().take(size) {
        let (first, last) = (MARGIN, MARGIN + inside);
        let width = if i == 0 || i == size - 1 { 2.2 } else { 1.3 };
        canvas.line((first, at(i)), (last, at(i)), width, LINE);
        canvas.line((at(i), first), (at(i), last), width, LINE);
        let (column, row) = (char::from(letter).to_string(), (size - i).to_string());
        for edge in [LABELS, side - LABELS] {
            canvas.text_centered((at(i), edge), &column, 15.0, LINE);
            canvas.text_centered((edge, at(i)), &row, 15.0, LINE);
        }
    }
    for (row, column) in stars(size) {
        canvas.circle((at(column), at(row)), 4.0, LINE);
    }
    for row in 0..size {
        for column in 0..size {
            if let Some(side) = holder(row, column) {
                stone(&mut canvas, (at(column), at(row)), side);
            }
        }
    }
    canvas.into_frame()
}

/// Lines of slightly darker wood, which bend a little.
fn grain(canvas: &mut Canvas, side: f32) {
    const STEPS: u8 = 8;
    for i in 0..(side / 12.0) as usize {
        let y = 6.0 + i as f32 * 12.0;
        let (bend, phase) = (3.0 + (i % 5) as f32, i as f32 * 1.7);
        let points: Vec<(f32, f32)> = (0..=STEPS)
            .map(|step| {
                let x = side * f32::from(step) / f32::from(STEPS);
                (x, y + bend * (x / side * 5.0 + phase).sin())
            })
            .collect();
        canvas.polyline(&points, 1.0 + (i % 3) as f32 * 0.7, GRAIN);
    }
}

/// The marked points: four away from the corners where there is room for them, and the middle where there is one.
fn stars(size: usize) -> Vec<(usize, usize)> {
    let (near, far) = (2, size.saturating_sub(3));
    let mut stars = Vec::new();
    if size >= 7 {
        stars.extend([(near, near), (near, far), (far, near), (far, far)]);
    }
    if size % 2 == 1 {
        stars.push((size / 2, size / 2));
    }
    stars
}

/// A stone with its shadow, lit from the top left.
fn stone(canvas: &mut Canvas, (x, y): (f32, f32), side: Side) {
    const RADIUS: f32 = 22.0;
    const LAYERS: u8 = 8;
    let (rim, light): (Color, Color) = match side {
        Side::First => ([18, 18, 22], [92, 92, 100]),
        Side::Second => ([206, 202, 192], [254, 253, 250]),
    };
    canvas.circle((x + 2.0, y + 3.0), RADIUS, SHADOW);
    for layer in 0..LAYERS {
        let part = f32::from(layer) / f32::from(LAYERS);
        let mix = |i: usize| {
            let (from, to) = (f32::from(rim[i]), f32::from(light[i]));
            (from + (to - from) * part) as u8
        };
        let shift = part * RADIUS * 0.36;
        canvas.circle((x - shift, y - shift), RADIUS * (1.0 - 0.9 * part), [mix(0), mix(1), mix(2)]);
    }
}
