//! Worlds of equal rooms in rows and columns, and the doors between them.

use super::cell::{Cell, Color, DoorState, Object};
use super::family::Layout;
use super::grid::{Area, Point};
use super::sample::{between, pick_color};
use super::world::World;
use crate::Pcg64;

/// Walls of a room, in the order in which they are numbered.
pub(super) const RIGHT: usize = 0;
const DOWN: usize = 1;
pub(super) const LEFT: usize = 2;
pub(super) const UP: usize = 3;

/// The rooms of a grid of one row and two columns.
pub(super) const LEFT_ROOM: RoomIndex = RoomIndex { column: 0, row: 0 };
pub(super) const RIGHT_ROOM: RoomIndex = RoomIndex { column: 1, row: 0 };

/// Draws after which placing something is given up, less one.
const PLACE_TRIES: u32 = 1000;
/// Draws after which connecting the rooms is given up, less one.
const CONNECT_TRIES: u32 = 5000;
/// The largest grid has three rows and three columns.
const MAX_ROOMS: usize = 9;

/// Which room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomIndex {
    pub(super) column: usize,
    pub(super) row: usize,
}

#[derive(Clone, Copy, Default)]
struct Room {
    /// Where a door in each wall would be; none in an outer wall.
    door_at: [Option<Point>; 4],
    /// Whether each wall has been opened, by a door or altogether.
    open: [bool; 4],
    /// Whether the room is behind a locked door.
    locked: bool,
}

/// The rooms of a world that is being drawn.
pub(super) struct RoomGrid {
    room_size: i32,
    rows: usize,
    columns: usize,
    rooms: [Room; MAX_ROOMS],
}

impl RoomGrid {
    /// The layout of such a world; neighbouring rooms share their walls.
    pub(super) fn layout(room_size: i32, rows: usize, columns: usize, max_steps: u32) -> Layout {
        let side = |rooms: usize| (room_size - 1) * rooms as i32 + 1;
        Layout { width: side(columns), height: side(rows), max_steps, see_through_walls: false }
    }

    /// Builds all walls, draws where doors would be, and stands the agent in the middle for now.
    pub(super) fn build(
        room_size: i32,
        rows: usize,
        columns: usize,
        world: &mut World,
        rng: &mut Pcg64,
    ) -> Self {
        let mut grid = Self { room_size, rows, columns, rooms: [Room::default(); MAX_ROOMS] };
        for index in grid.indices() {
            world.grid.wall_rect(grid.area(index));
        }
        for index in grid.indices() {
            let Area { top, size } = grid.area(index);
            let (right, bottom) = (top.x + size.x - 1, top.y + size.y - 1);
            if index.column + 1 < columns {
                let door = Point::new(right, between(rng, top.y + 1, bottom));
                grid.allow_door(index, RIGHT, door);
            }
            if index.row + 1 < rows {
                let door = Point::new(between(rng, top.x + 1, right), bottom);
                grid.allow_door(index, DOWN, door);
            }
        }
        let middle = |rooms: usize| (rooms / 2) as i32 * (room_size - 1) + room_size / 2;
        world.put_agent(Point::new(middle(columns), middle(rows)), 0);
        grid
    }

    /// All rooms, row by row.
    fn indices(&self) -> impl Iterator<Item = RoomIndex> + use<> {
        let (rows, columns) = (self.rows, self.columns);
        (0..rows * columns).map(move |i| RoomIndex { column: i % columns, row: i / columns })
    }

    fn area(&self, index: RoomIndex) -> Area {
        let step = self.room_size - 1;
        Area::new(index.column as i32 * step, index.row as i32 * step, self.room_size, self.room_size)
    }

    fn number(&self, index: RoomIndex) -> usize {
        index.row * self.columns + index.column
    }

    fn room(&mut self, index: RoomIndex) -> &mut Room {
        let number = self.number(index);
        &mut self.rooms[number]
    }

    /// The room on the other side of a wall that is no outer wall.
    fn neighbor(&self, index: RoomIndex, wall: usize) -> RoomIndex {
        let RoomIndex { column, row } = index;
        match wall {
            RIGHT => RoomIndex { column: column + 1, row },
            DOWN => RoomIndex { column, row: row + 1 },
            LEFT => RoomIndex { column: column - 1, row },
            _ => RoomIndex { column, row: row - 1 },
        }
    }

    fn allow_door(&mut self, index: RoomIndex, wall: usize, at: Point) {
        let neighbor = self.neighbor(index, wall);
        self.room(index).door_at[wall] = Some(at);
        self.room(neighbor).door_at[(wall + 2) % 4] = Some(at);
    }

    fn mark_open(&mut self, index: RoomIndex, wall: usize) {
        let neighbor = self.neighbor(index, wall);
        self.room(index).open[wall] = true;
        self.room(neighbor).open[(wall + 2) % 4] = true;
    }

    /// Takes away the wall between two rooms, but for its corners.
    pub(super) fn remove_wall(&mut self, index: RoomIndex, wall: usize, world: &mut World) {
        let Area { top, size } = self.area(index);
        let opening = match wall {
            RIGHT => Area::new(top.x + size.x - 1, top.y + 1, 1, size.y - 2),
            DOWN => Area::new(top.x + 1, top.y + size.y - 1, size.x - 2, 1),
            LEFT => Area::new(top.x, top.y + 1, 1, size.y - 2),
            _ => Area::new(top.x + 1, top.y, size.x - 2, 1),
        };
        world.grid.fill(opening, Cell::EMPTY);
        self.mark_open(index, wall);
    }

    /// Locks a room with a door of a random colour; gives the door's place and colour.
    pub(super) fn add_locked_door(
        &mut self,
        index: RoomIndex,
        wall: usize,
        world: &mut World,
        rng: &mut Pcg64,
    ) -> Option<(Point, Color)> {
        let color = pick_color(rng);
        let at = self.add_door(index, wall, Cell::door(color, DoorState::Locked), world)?;
        self.room(index).locked = true;
        Some((at, color))
    }

    fn add_door(&mut self, index: RoomIndex, wall: usize, door: Cell, world: &mut World) -> Option<Point> {
        let at = self.room(index).door_at[wall]?;
        world.grid.set(at, door);
        self.mark_open(index, wall);
        Some(at)
    }

    /// Puts an object, by default of a random colour, into a room, but not next to the agent; gives the object.
    pub(super) fn add_object(
        &mut self,
        index: RoomIndex,
        kind: Object,
        color: Option<Color>,
        world: &mut World,
        rng: &mut Pcg64,
    ) -> Option<Cell> {
        let object = Cell::colored(kind, color.unwrap_or_else(|| pick_color(rng)));
        let agent = world.agent;
        let next_to_agent = |at: Point| at.x.abs_diff(agent.x) + at.y.abs_diff(agent.y) < 2;
        world.place_unless(object, self.area(index), PLACE_TRIES, next_to_agent, rng)?;
        Some(object)
    }

    /// Places the agent in a room so that it faces a wall or nothing.
    pub(super) fn place_agent(&self, index: RoomIndex, world: &mut World, rng: &mut Pcg64) -> Option<()> {
        loop {
            world.place_agent(self.area(index), PLACE_TRIES, rng)?;
            let ahead = world.grid.get(world.front());
            if ahead == Cell::EMPTY || ahead.is(Object::Wall) {
                return Some(());
            }
        }
    }

    /// Adds closed doors at random until every room can be reached; locked rooms get no second door.
    pub(super) fn connect_all(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<()> {
        for _ in 0..=CONNECT_TRIES {
            if self.all_reached(world.agent) {
                return Some(());
            }
            let column = between(rng, 0, self.columns as i32) as usize;
            let row = between(rng, 0, self.rows as i32) as usize;
            let (index, wall) = (RoomIndex { column, row }, between(rng, 0, 4) as usize);
            let room = *self.room(index);
            if room.door_at[wall].is_none() || room.open[wall] {
                continue;
            }
            let neighbor = self.neighbor(index, wall);
            if room.locked || self.room(neighbor).locked {
                continue;
            }
            self.add_door(index, wall, Cell::door(pick_color(rng), DoorState::Closed), world)?;
        }
        None
    }

    /// Whether every room can be reached from the agent's through opened walls.
    fn all_reached(&self, agent: Point) -> bool {
        let step = self.room_size - 1;
        let start = RoomIndex { column: (agent.x / step) as usize, row: (agent.y / step) as usize };
        let mut reached = [false; MAX_ROOMS];
        reached[self.number(start)] = true;
        // Every pass reaches at least one more room, or none is left.
        for _ in 0..MAX_ROOMS {
            for index in self.indices() {
                let number = self.number(index);
                for wall in [RIGHT, DOWN, LEFT, UP] {
                    if reached[number] && self.rooms[number].open[wall] {
                        reached[self.number(self.neighbor(index, wall))] = true;
                    }
                }
            }
        }
        reached[..self.rows * self.columns].iter().all(|&reached| reached)
    }
}
