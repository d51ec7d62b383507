//! A game as a picture and as text, both drawn from its observation.

use super::game::{CELLS, Game, Image, SIDE};
use crate::{Canvas, Frame};

/// Pixels of a cell's side.
const CELL: f32 = 32.0;
/// Pixels between a cell and its border: neighbouring cells stay apart.
const GAP: f32 = 1.0;
const BACKGROUND: [u8; 3] = [24, 26, 38];
const EMPTY: [u8; 3] = [32, 35, 50];

/// The last channel that is set in each cell.
fn top_channels<G: Game<C>, const C: usize>(game: &G) -> [Option<usize>; CELLS] {
    let mut image: Image<C> = [[0; C]; CELLS];
    game.observe(&mut image);
    image.map(|cell| cell.iter().rposition(|&byte| byte != 0))
}

/// The grid, a square a cell.
pub(super) fn frame<G: Game<C>, const C: usize>(game: &G) -> Frame {
    let side = CELL as u32 * SIDE as u32;
    let mut canvas = Canvas::new(side, side, BACKGROUND);
    for (cell, channel) in top_channels(game).into_iter().enumerate() {
        let color = channel.map_or(EMPTY, |channel| G::CHANNELS[channel].color);
        let (x, y) = ((cell % SIDE) as f32 * CELL, (cell / SIDE) as f32 * CELL);
        canvas.rect(x + GAP, y + GAP, CELL - 2.0 * GAP, CELL - 2.0 * GAP, color);
    }
    canvas.into_frame()
}

/// The grid, a letter a cell, then what the letters mean.
pub(super) fn text<G: Game<C>, const C: usize>(game: &G) -> String {
    let mut text = String::new();
    for row in top_channels(game).chunks(SIDE) {
        text.extend(row.iter().map(|channel| channel.map_or('.', |channel| G::CHANNELS[channel].letter)));
        text.push('\n');
    }
    let legend: Vec<String> =
        G::CHANNELS.iter().map(|channel| format!("{} {}", channel.letter, channel.name)).collect();
    text + &legend.join(", ")
}
