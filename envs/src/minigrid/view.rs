//! What the agent sees: a window of 7 by 7 cells, turned so that the agent looks upwards from the middle of its bottom
//! row.
//!
//! Visibility is worked out a row at a time on bit masks: light that enters a row spreads sideways through it as a carry
//! spreads through an adder, so that three doubling steps replace a loop over cells. Columns are padded to eight cells, one
//! vector register, and everything that is done to cells is done to whole columns.

use super::cell::Cell;
use super::grid::{Grid, Point};
use super::world::World;

/// Cells along a side of the window.
pub(super) const SIZE: usize = 7;
/// Numbers of an image: object, colour and state of every cell.
pub(super) const IMAGE_LEN: usize = SIZE * SIZE * 3;

/// Column of the agent in its window; its row is the last one.
const AGENT_COLUMN: usize = SIZE / 2;
/// The bits of a whole row.
const ROW: u16 = 0x7f;

/// A column of cells from the top, and a filler.
type Column = [Cell; SIZE + 1];
/// Rows from the top and a filler; bit `i` is column `i`.
type Rows = [u16; SIZE + 1];

/// The agent's window.
pub(super) struct View {
    /// Column by column from the left; unseen cells are [`Cell::UNSEEN`].
    columns: [Column; SIZE],
    visible: Rows,
}

impl View {
    /// Looks at the world from where the agent stands.
    #[inline]
    pub(super) fn new(world: &World, see_through_walls: bool) -> Self {
        let (grid, agent) = (&world.grid, world.agent);
        // The window is parallel to the axes: a column of it is one of the grid's columns or rows, and so for rows.
        // Loops, because closures of array functions were not inlined here and took two fifths of a step.
        let (mut across, mut along) = ([0; SIZE], [0; SIZE + 1]);
        for (x, index) in across.iter_mut().enumerate() {
            *index = offset(grid, agent, world.rightwards(), x as i32 - AGENT_COLUMN as i32);
        }
        for (y, index) in along.iter_mut().enumerate() {
            *index = offset(grid, agent, world.ahead(), SIZE as i32 - 1 - y as i32);
        }
        let mut columns = [[Cell::UNSEEN; SIZE + 1]; SIZE];
        for (column, across) in columns.iter_mut().zip(across) {
            for (cell, along) in column.iter_mut().zip(along) {
                *cell = grid.cells()[across + along];
            }
        }
        let mut visible = [ROW; SIZE + 1];
        if !see_through_walls {
            visible = visibility(&columns);
            for (x, column) in columns.iter_mut().enumerate() {
                for (cell, row) in column.iter_mut().zip(visible) {
                    *cell = cell.if_bit(row >> x & 1);
                }
            }
        }
        // The agent sees what it carries where it stands, and not what it stands on.
        columns[AGENT_COLUMN][SIZE - 1] = world.carrying;
        Self { columns, visible }
    }

    /// Writes the image and one number more, of no meaning.
    ///
    /// # Shapes
    /// `image`: `[x, y, (object, colour, state)]` and the surplus number.
    #[inline]
    pub(super) fn write(&self, image: &mut [f32; IMAGE_LEN + 1]) {
        for (x, column) in self.columns.iter().enumerate() {
            for (y, cell) in column.iter().take(SIZE).enumerate() {
                // Four numbers are one store; the fourth is overwritten by the next cell's first.
                let start = 3 * (x * SIZE + y);
                image[start..start + 4].copy_from_slice(cell.image());
            }
        }
    }

    /// The places in the grid that the agent sees; some may lie outside of it.
    pub(super) fn seen(&self, world: &World) -> impl Iterator<Item = Point> {
        let (agent, ahead, right) = (world.agent, world.ahead(), world.rightwards());
        let visible = self.visible;
        (0..SIZE * SIZE).map(|i| (i / SIZE, i % SIZE)).filter(move |&(x, y)| visible[y] >> x & 1 == 1).map(
            move |(x, y)| {
                let (side, far) = (x as i32 - AGENT_COLUMN as i32, (SIZE - 1 - y) as i32);
                Point::new(agent.x + side * right.x + far * ahead.x, agent.y + side * right.y + far * ahead.y)
            },
        )
    }
}

/// The part of a cell's index that walking `distance` steps from the agent fixes: the column's or the row's.
#[inline]
fn offset(grid: &Grid, agent: Point, step: Point, distance: i32) -> usize {
    if step.x == 0 { grid.row(agent.y + step.y * distance) } else { grid.column(agent.x + step.x * distance) }
}

/// Which cells the agent can see.
///
/// From the agent's row upwards, light spreads in each row to the right and then to the left; every cell that it passes
/// through also lights the cell above and the one above in the direction of spreading.
#[inline]
fn visibility(columns: &[Column; SIZE]) -> Rows {
    let mut opaque: Rows = [0; SIZE + 1];
    for (x, column) in columns.iter().enumerate() {
        for (row, cell) in opaque.iter_mut().zip(column) {
            *row |= cell.opaque_bit() << x;
        }
    }
    let mut visible = [0; SIZE + 1];
    let mut lit = 1 << AGENT_COLUMN;
    for y in (0..SIZE).rev() {
        let clear = !opaque[y] & ROW;
        let lit_right = spread_right(lit, clear);
        let through = lit_right & clear & (ROW >> 1);
        let lit_left = spread_left(lit_right, clear);
        let back = lit_left & clear & (ROW - 1);
        visible[y] = lit_left;
        lit = through | through << 1 | back | back >> 1;
    }
    visible
}

/// Lights every cell whose left neighbour is lit and clear, from left to right.
#[inline]
fn spread_right(lit: u16, clear: u16) -> u16 {
    let mut lit = lit;
    let mut carries = clear << 1;
    for shift in [1, 2, 4] {
        lit |= carries & lit << shift;
        carries &= carries << shift;
    }
    lit & ROW
}

/// Lights every cell whose right neighbour is lit and clear, from right to left.
#[inline]
fn spread_left(lit: u16, clear: u16) -> u16 {
    let mut lit = lit;
    let mut carries = clear >> 1;
    for shift in [1, 2, 4] {
        lit |= carries & lit >> shift;
        carries &= carries >> shift;
    }
    lit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, cell by cell.
    fn visibility_by_cells(columns: &[Column; SIZE]) -> Rows {
        let mut mask = [[false; SIZE]; SIZE];
        mask[AGENT_COLUMN][SIZE - 1] = true;
        for y in (0..SIZE).rev() {
            let order = (0..SIZE - 1).map(|x| (x, x + 1)).chain((1..SIZE).rev().map(|x| (x, x - 1)));
            for (x, next) in order {
                if mask[x][y] && columns[x][y].opaque_bit() == 0 {
                    mask[next][y] = true;
                    if y > 0 {
                        mask[next][y - 1] = true;
                        mask[x][y - 1] = true;
                    }
                }
            }
        }
        let row = |y: usize| (0..SIZE).fold(0, |row, x| row | u16::from(mask[x][y]) << x);
        std::array::from_fn(|y| if y < SIZE { row(y) } else { 0 })
    }

    #[test]
    fn spreading_by_masks_is_spreading_by_cells() {
        let mut rng = crate::Pcg64::seed_from(7);
        for trial in 0..20_000 {
            let walls = 0.05 + 0.9 * rng.random();
            let columns = std::array::from_fn(|_| {
                std::array::from_fn(|_| if rng.random() < walls { Cell::WALL } else { Cell::EMPTY })
            });
            assert_eq!(visibility(&columns), visibility_by_cells(&columns), "trial {trial}");
        }
    }
}
