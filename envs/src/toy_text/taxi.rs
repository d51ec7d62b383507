//! Taxi: pick up a passenger and bring them to a hotel.
//!
//! # Description
//! A city of 5 by 5 with walls and four stands: red, green, yellow, blue. A passenger waits at one and wants to another.
//!
//! # Action space
//! `Discrete(6)`: 0 south, 1 north, 2 east, 3 west, 4 pick up, 5 drop off.
//!
//! # Observation space
//! `Discrete(500)`: `((row * 5 + column) * 5 + passenger) * 4 + destination`, where passengers and destinations are 0 red,
//! 1 green, 2 yellow, 3 blue, and passenger 4 is in the taxi.
//!
//! # Rewards
//! −1 a step, 20 for the drop-off at the destination, −10 for picking up or dropping off where that is not possible.
//!
//! # Starting state
//! Uniform over taxi places, passengers at stands and other destinations: 300 states.
//!
//! # Episode end
//! Terminated by the drop-off at the destination; truncated after 200 steps.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `is_rainy` | false | whether the taxi may slide to the side |
//! | `rainy_probability` | 0.8 | chance to move as meant in rain |
//! | `fickle_passenger` | false | whether the passenger may change their mind on the first move after pick-up |
//! | `fickle_probability` | 0.3 | chance of that in an episode |
//!
//! # Version history
//! v4: as in Gymnasium 1.3.
//!
//! # Source
//! Dietterich (2000), "Hierarchical Reinforcement Learning with the MAXQ Value Function Decomposition"; Gymnasium 1.3
//! `gymnasium/envs/toy_text/taxi.py`, whose trajectories it repeats.
//!
//! # Deviations
//! 1. The legal actions are no part of an info dictionary. Pictures are our own.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::tabular::{self, State, Table, Transition};
use crate::simulator::{EcsEnv, EnvRng, Outcomes, Row, Scope, SimulatorBuilder};
use crate::{Canvas, EnvError, Frame, Space};

const SIDE: usize = 5;
const STATES: usize = SIDE * SIDE * 5 * 4;
const STANDS: [(usize, usize); 4] = [(0, 0), (0, 4), (4, 0), (4, 3)];
const COLORS: [[u8; 3]; 4] = [[214, 60, 60], [60, 160, 80], [214, 190, 40], [60, 90, 214]];
const IN_TAXI: usize = 4;
/// Columns whose east side has a wall, by row.
const WALLS_EAST: [&[usize]; SIDE] = [&[1], &[1], &[], &[0, 2], &[0, 2]];

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Taxi {
    /// Whether the taxi may slide to the side.
    pub is_rainy: bool,
    /// Whether the passenger may change their mind.
    pub fickle_passenger: bool,
    /// Chance to move as meant in rain.
    pub rainy_probability: f64,
    /// Chance that a passenger is fickle.
    pub fickle_probability: f64,
}

impl Default for Taxi {
    fn default() -> Self {
        Self { is_rainy: false, fickle_passenger: false, rainy_probability: 0.8, fickle_probability: 0.3 }
    }
}

/// A state in its four parts.
#[derive(Clone, Copy)]
struct City {
    row: usize,
    column: usize,
    passenger: usize,
    destination: usize,
}

impl City {
    fn decode(state: usize) -> Self {
        Self { row: state / 100, column: state / 20 % 5, passenger: state / 4 % 5, destination: state % 4 }
    }

    fn encode(self) -> u16 {
        (((self.row * 5 + self.column) * 5 + self.passenger) * 4 + self.destination) as u16
    }

    fn at(self, (row, column): (usize, usize)) -> Self {
        Self { row, column, ..self }
    }

    /// Where a move ends: 0 south, 1 north, 2 east, 3 west.
    fn moved(self, direction: usize) -> (usize, usize) {
        let Self { row, column, .. } = self;
        match direction {
            0 => ((row + 1).min(SIDE - 1), column),
            1 => (row.saturating_sub(1), column),
            2 if column + 1 < SIDE && !WALLS_EAST[row].contains(&column) => (row, column + 1),
            3 if column > 0 && !WALLS_EAST[row].contains(&(column - 1)) => (row, column - 1),
            _ => (row, column),
        }
    }
}

impl Taxi {
    /// Checks the arguments.
    ///
    /// # Errors
    /// If a probability is none.
    pub fn validated(self) -> Result<Self, EnvError> {
        for (field, value) in
            [("rainy_probability", self.rainy_probability), ("fickle_probability", self.fickle_probability)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(EnvError::Setting {
                    field,
                    expected: "between 0 and 1",
                    found: value.to_string(),
                });
            }
        }
        Ok(self)
    }

    fn transitions(self, state: usize, action: usize) -> Vec<Transition> {
        let city = City::decode(state);
        let certain = |city: City, reward: f64, terminated: bool| {
            vec![Transition { probability: 1.0, next: city.encode(), reward, terminated }]
        };
        let stand = STANDS.iter().position(|&stand| stand == (city.row, city.column));
        match (action, stand) {
            (0..=3, _) if self.is_rainy => self.slide(city, action),
            (0..=3, _) => certain(city.at(city.moved(action)), -1.0, false),
            (4, Some(stand)) if city.passenger == stand => {
                certain(City { passenger: IN_TAXI, ..city }, -1.0, false)
            }
            (5, Some(stand)) if city.passenger == IN_TAXI => {
                let arrived = stand == city.destination;
                certain(City { passenger: stand, ..city }, if arrived { 20.0 } else { -1.0 }, arrived)
            }
            _ => certain(city, -10.0, false),
        }
    }

    /// A move in rain: as meant, or to the left or right of it; a blocked one does not slide.
    fn slide(self, city: City, action: usize) -> Vec<Transition> {
        let here = (city.row, city.column);
        let meant = city.moved(action);
        let [left, right] = [[2, 3], [3, 2], [1, 0], [0, 1]][action];
        let (left, right) = if meant == here { (here, here) } else { (city.moved(left), city.moved(right)) };
        let aside = (1.0 - self.rainy_probability) / 2.0;
        [(meant, self.rainy_probability), (left, aside), (right, aside)]
            .map(|(place, probability)| Transition {
                probability,
                next: city.at(place).encode(),
                reward: -1.0,
                terminated: false,
            })
            .to_vec()
    }
}

/// Whether the passenger may still change their mind.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Fickle {
    armed: bool,
    /// The state before the step.
    before: u16,
}

#[derive(Resource)]
struct FickleProbability(f64);

impl EcsEnv for Taxi {
    #[expect(clippy::expect_used, reason = "a constant")]
    fn observation_space(&self) -> Space {
        Space::discrete(STATES).expect("a city is not empty")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(6).expect("six is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        let starts: Vec<f64> = (0..STATES)
            .map(City::decode)
            .map(|city| f64::from(u8::from(city.passenger < IN_TAXI && city.passenger != city.destination)))
            .collect();
        let table = Table::new(STATES, 6, |state, action| self.transitions(state, action), &starts);
        tabular::build(simulator, table);
        if self.fickle_passenger {
            simulator
                .constant(FickleProbability(self.fickle_probability))
                .arena_component(Fickle::default())
                .act(remember)
                .outcome(change_mind.after(tabular::step))
                .reset(arm.after(tabular::reset));
        }
        simulator.draw(|world, arena| Some(draw(City::decode(usize::from(world.get::<State>(arena)?.0)))));
        simulator.write(|world, arena| Some(write(City::decode(usize::from(world.get::<State>(arena)?.0)))));
    }
}

fn remember(mut arenas: Query<(&State, &mut Fickle)>) {
    for (state, mut fickle) in &mut arenas {
        fickle.before = state.0;
    }
}

/// On the first move with a passenger, a fickle one names another destination.
fn change_mind(outcomes: Res<Outcomes>, mut arenas: Query<(&Row, &mut State, &mut Fickle, &mut EnvRng)>) {
    for (row, mut state, mut fickle, mut rng) in &mut arenas {
        let (before, now) = (City::decode(usize::from(fickle.before)), City::decode(usize::from(state.0)));
        let moved = (before.row, before.column) != (now.row, now.column);
        if fickle.armed && before.passenger == IN_TAXI && moved && !outcomes.terminated[row.index()] {
            fickle.armed = false;
            let others: Vec<usize> = (0..4).filter(|&stand| stand != before.destination).collect();
            let destination = others[rng.0.integers(0, 3) as usize];
            state.0 = City { destination, ..now }.encode();
        }
    }
}

fn arm(
    probability: Res<FickleProbability>,
    scope: Res<Scope>,
    mut arenas: Query<(&mut Fickle, &mut EnvRng)>,
) {
    scope.for_each(&mut arenas, |(mut fickle, mut rng)| fickle.armed = rng.0.random() < probability.0);
}

fn draw(city: City) -> Frame {
    const TILE: f32 = 70.0;
    const MARGIN: f32 = 20.0;
    let side = (SIDE as f32 * TILE + 2.0 * MARGIN) as u32;
    let mut canvas = Canvas::new(side, side, [96, 104, 96]);
    let corner = |(row, column): (usize, usize)| (MARGIN + column as f32 * TILE, MARGIN + row as f32 * TILE);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (x, y) = corner((row, column));
            canvas.rect(x, y, TILE, TILE, [205, 205, 200]);
            canvas.rect_outline(x, y, TILE, TILE, 1.0, [180, 180, 175]);
        }
    }
    for (stand, color) in STANDS.into_iter().zip(COLORS) {
        let (x, y) = corner(stand);
        canvas.rect(x + 4.0, y + 4.0, TILE - 8.0, TILE - 8.0, color.map(|c| c / 2 + 100));
    }
    let (x, y) = corner(STANDS[city.destination]);
    canvas.rect(x + 14.0, y + 12.0, 42.0, 46.0, [150, 110, 80]);
    canvas.rect(x + 29.0, y + 40.0, 12.0, 18.0, [70, 50, 35]);
    canvas.text_centered((x + 35.0, y + 24.0), "H", 20.0, [255, 255, 255]);
    let (x, y) = corner((city.row, city.column));
    canvas.rect(x + 10.0, y + 28.0, 50.0, 22.0, [250, 200, 30]);
    canvas.rect(x + 20.0, y + 16.0, 30.0, 14.0, [250, 200, 30]);
    canvas.rect(x + 24.0, y + 19.0, 22.0, 9.0, [120, 170, 200]);
    for wheel in [20.0, 50.0] {
        canvas.circle((x + wheel, y + 51.0), 7.0, [30, 30, 30]);
    }
    let (x, y) = if city.passenger == IN_TAXI {
        (x + 35.0, y + 22.0)
    } else {
        let (x, y) = corner(STANDS[city.passenger]);
        (x + 14.0, y + 50.0)
    };
    canvas.circle((x, y), 7.0, [235, 195, 160]);
    if city.passenger != IN_TAXI {
        canvas.rect(x - 6.0, y + 6.0, 12.0, 12.0, [90, 60, 140]);
    }
    for (row, walls) in WALLS_EAST.iter().enumerate() {
        for &column in *walls {
            let (x, y) = corner((row, column));
            canvas.rect(x + TILE - 4.0, y, 8.0, TILE, [60, 50, 40]);
        }
    }
    canvas.into_frame()
}

fn write(city: City) -> String {
    let mut lines = vec!["+---------+".to_owned()];
    for (row, walls) in WALLS_EAST.iter().enumerate() {
        let mut line = "|".to_owned();
        for column in 0..SIDE {
            let stand = STANDS.iter().position(|&stand| stand == (row, column));
            line.push(match stand {
                _ if (row, column) == (city.row, city.column) && city.passenger == IN_TAXI => '@',
                _ if (row, column) == (city.row, city.column) => '#',
                Some(stand) => ['R', 'G', 'Y', 'B'][stand],
                None => ' ',
            });
            line.push(if column + 1 == SIDE || walls.contains(&column) { '|' } else { ':' });
        }
        lines.push(line);
    }
    lines.push("+---------+".to_owned());
    let names = ["red", "green", "yellow", "blue", "the taxi"];
    lines.push(format!("passenger: {}, destination: {}", names[city.passenger], names[city.destination]));
    lines.join("\n")
}
