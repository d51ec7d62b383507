//! The world of an episode: the grid, the agent, what it carries, and the rules that all families share.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, DoorState, Object};
use super::grid::{Area, Grid, Point};
use super::sample::between;
use crate::Pcg64;

/// Steps towards the four directions: right, down, left, up.
const STEPS: [Point; 4] = [Point::new(1, 0), Point::new(0, 1), Point::new(-1, 0), Point::new(0, -1)];

/// Nowhere: where the agent is before it is placed.
const NOWHERE: Point = Point::new(-1, -1);

/// As many tries as it takes.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// What the agent can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GridAction {
    Left,
    Right,
    Forward,
    Pickup,
    Drop,
    Toggle,
    Done,
}

impl GridAction {
    pub(super) const ALL: [Self; 7] =
        [Self::Left, Self::Right, Self::Forward, Self::Pickup, Self::Drop, Self::Toggle, Self::Done];
}

/// What an action brought, beside the change of the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) reward: f64,
    pub(super) terminated: bool,
}

impl Outcome {
    /// The episode goes on.
    pub(super) const RUNNING: Self = Self { reward: 0.0, terminated: false };

    /// The episode ends with this reward.
    pub(super) fn ended(reward: f64) -> Self {
        Self { reward, terminated: true }
    }
}

/// State of an episode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct World {
    pub(super) grid: Grid,
    pub(super) agent: Point,
    /// 0 right, 1 down, 2 left, 3 up.
    direction: u8,
    /// [`Cell::EMPTY`] for nothing.
    pub(super) carrying: Cell,
    step_count: u32,
    max_steps: u32,
}

impl World {
    pub(super) fn new(width: i32, height: i32, max_steps: u32) -> Self {
        let grid = Grid::new(width, height);
        Self { grid, agent: NOWHERE, direction: 0, carrying: Cell::EMPTY, step_count: 0, max_steps }
    }

    /// Makes the world as bare as a new one.
    pub(super) fn clear(&mut self) {
        self.grid.clear();
        self.agent = NOWHERE;
        self.direction = 0;
        self.carrying = Cell::EMPTY;
        self.step_count = 0;
    }

    #[inline]
    pub(super) fn direction(&self) -> u8 {
        self.direction & 3
    }

    /// The step that walks ahead.
    #[inline]
    pub(super) fn ahead(&self) -> Point {
        STEPS[usize::from(self.direction & 3)]
    }

    /// The step that walks to the agent's right.
    #[inline]
    pub(super) fn rightwards(&self) -> Point {
        STEPS[usize::from((self.direction + 1) & 3)]
    }

    /// The cell in front of the agent.
    pub(super) fn front(&self) -> Point {
        self.agent + self.ahead()
    }

    pub(super) fn is_out_of_steps(&self) -> bool {
        self.step_count >= self.max_steps
    }

    /// The reward of reaching the task's end now: the sooner, the more.
    pub(super) fn success_reward(&self) -> f64 {
        1.0 - 0.9 * (f64::from(self.step_count) / f64::from(self.max_steps))
    }

    /// Lets the agent act; ends the episode on a goal (with reward) and in lava (without).
    pub(super) fn act(&mut self, action: GridAction) -> Outcome {
        self.step_count += 1;
        let front = self.front();
        let cell = self.grid.get(front);
        match action {
            GridAction::Left => self.direction = (self.direction + 3) & 3,
            GridAction::Right => self.direction = (self.direction + 1) & 3,
            GridAction::Forward => return self.walk(front, cell),
            GridAction::Pickup => {
                if cell.can_pickup() && self.carrying == Cell::EMPTY {
                    self.carrying = cell;
                    self.grid.set(front, Cell::EMPTY);
                }
            }
            GridAction::Drop => {
                if cell == Cell::EMPTY && self.carrying != Cell::EMPTY {
                    self.grid.set(front, self.carrying);
                    self.carrying = Cell::EMPTY;
                }
            }
            GridAction::Toggle => self.toggle(front, cell),
            GridAction::Done => {}
        }
        Outcome::RUNNING
    }

    fn walk(&mut self, front: Point, cell: Cell) -> Outcome {
        if cell.can_overlap() {
            self.agent = front;
        }
        if cell.is(Object::Goal) {
            Outcome::ended(self.success_reward())
        } else if cell.is(Object::Lava) {
            Outcome::ended(0.0)
        } else {
            Outcome::RUNNING
        }
    }

    /// Opens or closes a door (a locked one only with the key of its colour); opens a box, which is always empty.
    fn toggle(&mut self, at: Point, cell: Cell) {
        if cell.is(Object::Box) {
            self.grid.set(at, Cell::EMPTY);
        } else if cell.is(Object::Door) {
            let color = cell.color();
            let state = match cell.door_state() {
                DoorState::Open => DoorState::Closed,
                DoorState::Closed => DoorState::Open,
                DoorState::Locked if self.carrying == Cell::colored(Object::Key, color) => DoorState::Open,
                DoorState::Locked => DoorState::Locked,
            };
            self.grid.set(at, Cell::door(color, state));
        }
    }

    /// Stands the agent on a cell.
    pub(super) fn put_agent(&mut self, at: Point, direction: u8) {
        self.agent = at;
        self.direction = direction;
    }

    /// Draws where to stand in an area and where to look; none as [`World::place_unless`].
    pub(super) fn place_agent(&mut self, area: Area, max_tries: u32, rng: &mut Pcg64) -> Option<()> {
        self.agent = NOWHERE;
        self.agent = self.draw_free(area, max_tries, |_| false, rng)?;
        self.direction = between(rng, 0, 4) as u8;
        Some(())
    }

    /// Puts an object on a free cell of an area; gives the cell.
    pub(super) fn place(&mut self, object: Cell, area: Area, rng: &mut Pcg64) -> Option<Point> {
        self.place_unless(object, area, UNLIMITED, |_| false, rng)
    }

    /// As [`World::place`], but on a cell that is not rejected; none if one more than `max_tries` draws find no cell.
    pub(super) fn place_unless(
        &mut self,
        object: Cell,
        area: Area,
        max_tries: u32,
        reject: impl Fn(Point) -> bool,
        rng: &mut Pcg64,
    ) -> Option<Point> {
        let at = self.draw_free(area, max_tries, reject, rng)?;
        self.grid.set(at, object);
        Some(at)
    }

    fn draw_free(
        &self,
        area: Area,
        max_tries: u32,
        reject: impl Fn(Point) -> bool,
        rng: &mut Pcg64,
    ) -> Option<Point> {
        let (left, top) = (area.top.x.max(0), area.top.y.max(0));
        let right = (left + area.size.x).min(self.grid.width());
        let bottom = (top + area.size.y).min(self.grid.height());
        for _ in 0..=max_tries {
            let at = Point::new(between(rng, left, right), between(rng, top, bottom));
            if self.grid.get(at) == Cell::EMPTY && at != self.agent && !reject(at) {
                return Some(at);
            }
        }
        None
    }
}
