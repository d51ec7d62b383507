//! The grid of cells, and points and rectangles on it.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use super::cell::Cell;

/// A cell's coordinates: `x` to the right, `y` downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) x: i32,
    pub(super) y: i32,
}

impl Point {
    pub(super) const fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }
}

impl Add for Point {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

/// A rectangle of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// The cell at the top left.
    pub(super) top: Point,
    /// Width and height.
    pub(super) size: Point,
}

impl Area {
    pub(super) const fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self { top: Point::new(x, y), size: Point::new(width, height) }
    }
}

/// The cells of a world, with a ring of walls around them.
///
/// The ring makes every neighbour of a cell, and everything that the agent sees outside of the world, an ordinary cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedGrid")]
pub(super) struct Grid {
    width: i32,
    height: i32,
    cells: Vec<Cell>,
}

/// A grid as it was saved, not yet known to be whole.
#[derive(Deserialize)]
struct SavedGrid {
    width: i32,
    height: i32,
    cells: Vec<Cell>,
}

impl TryFrom<SavedGrid> for Grid {
    type Error = String;

    fn try_from(SavedGrid { width, height, cells }: SavedGrid) -> Result<Self, String> {
        let side = 1..=i32::from(u8::MAX);
        if !side.contains(&width) || !side.contains(&height) || cells.len() != ringed(width, height) {
            return Err(format!("a grid of {width} by {height} cannot have {} cells", cells.len()));
        }
        Ok(Self { width, height, cells })
    }
}

/// Cells of a grid, those of the ring included.
fn ringed(width: i32, height: i32) -> usize {
    ((width + 2) * (height + 2)) as usize
}

impl Grid {
    pub(super) fn new(width: i32, height: i32) -> Self {
        let mut grid = Self { width, height, cells: vec![Cell::WALL; ringed(width, height)] };
        grid.clear();
        grid
    }

    pub(super) fn width(&self) -> i32 {
        self.width
    }

    pub(super) fn height(&self) -> i32 {
        self.height
    }

    /// The whole grid.
    pub(super) fn area(&self) -> Area {
        Area::new(0, 0, self.width, self.height)
    }

    /// Empties every cell.
    pub(super) fn clear(&mut self) {
        let (stride, width, height) = (self.stride(), self.width as usize, self.height as usize);
        for row in self.cells.chunks_exact_mut(stride).skip(1).take(height) {
            row[1..=width].fill(Cell::EMPTY);
        }
    }

    fn stride(&self) -> usize {
        self.width as usize + 2
    }

    #[inline]
    fn index(&self, at: Point) -> usize {
        // Points beyond the ring are the ring's: nothing but walls is out there.
        self.column(at.x) + self.row(at.y)
    }

    /// A column's part of an index into [`Grid::cells`].
    #[inline]
    pub(super) fn column(&self, x: i32) -> usize {
        (x.clamp(-1, self.width) + 1) as usize
    }

    /// A row's part of an index into [`Grid::cells`].
    #[inline]
    pub(super) fn row(&self, y: i32) -> usize {
        (y.clamp(-1, self.height) + 1) as usize * self.stride()
    }

    /// All cells, those of the ring included: `cells[row(y) + column(x)]`.
    #[inline]
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    #[inline]
    pub(super) fn get(&self, at: Point) -> Cell {
        self.cells[self.index(at)]
    }

    pub(super) fn set(&mut self, at: Point, cell: Cell) {
        debug_assert!((0..self.width).contains(&at.x) && (0..self.height).contains(&at.y), "{at:?}");
        let index = self.index(at);
        self.cells[index] = cell;
    }

    /// Fills a rectangle.
    pub(super) fn fill(&mut self, area: Area, cell: Cell) {
        for y in area.top.y..area.top.y + area.size.y {
            for x in area.top.x..area.top.x + area.size.x {
                self.set(Point::new(x, y), cell);
            }
        }
    }

    /// Puts walls along the border of a rectangle.
    pub(super) fn wall_rect(&mut self, area: Area) {
        let Area { top, size } = area;
        let (right, bottom) = (top.x + size.x - 1, top.y + size.y - 1);
        for x in top.x..=right {
            self.set(Point::new(x, top.y), Cell::WALL);
            self.set(Point::new(x, bottom), Cell::WALL);
        }
        for y in top.y..=bottom {
            self.set(Point::new(top.x, y), Cell::WALL);
            self.set(Point::new(right, y), Cell::WALL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_outside_is_wall_and_stays_wall() {
        let mut grid = Grid::new(3, 4);
        grid.fill(grid.area(), Cell::GOAL);
        grid.clear();
        for (x, y) in [(-1, 0), (3, 2), (0, -1), (2, 4), (-9, 50)] {
            assert_eq!(grid.get(Point::new(x, y)), Cell::WALL, "{x} {y}");
        }
        assert!((0..3).all(|x| (0..4).all(|y| grid.get(Point::new(x, y)) == Cell::EMPTY)));
    }

    #[test]
    fn a_saved_grid_with_missing_cells_is_refused() {
        let grid = Grid::new(3, 3);
        let text = serde_json::to_string(&grid).unwrap();
        assert_eq!(serde_json::from_str::<Grid>(&text).unwrap(), grid);
        let error = serde_json::from_str::<Grid>(&text.replace("\"width\":3", "\"width\":4")).unwrap_err();
        assert!(error.to_string().contains("4 by 3"), "{error}");
    }
}
