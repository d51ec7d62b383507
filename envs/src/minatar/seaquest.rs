//! MinAtar Seaquest: shoot fish and submarines, rescue divers and surface for air.
//!
//! # Description
//! A submarine with a limited supply of oxygen shoots fish and enemy submarines, which shoot back, and picks up divers.
//! It must surface for air before the oxygen runs out, and with a diver aboard; with six of them it is rewarded for the
//! oxygen left. The enemies come and move faster after each surfacing.
//!
//! # Action space
//! `-v0` and `-v1`: `Discrete(6)`: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire.
//!
//! # Observation space
//! `Box(0, 255, (10, 10, 10), uint8)`, row, column, channel, 0 or 255:
//!
//! | channel | meaning |
//! |---|---|
//! | 0, 1 | front and back of the submarine |
//! | 2 | its shots |
//! | 3 | trail: the cell behind a fish, an enemy submarine or a diver, which tells where it goes |
//! | 4 | shots of enemy submarines |
//! | 5, 6 | fish, enemy submarines |
//! | 7 | oxygen: a cell of the bottom row, from the left, for each 20 steps left |
//! | 8 | divers aboard: a cell of the bottom row each, from the right |
//! | 9 | divers |
//!
//! # Rewards
//! 1 for each fish or submarine shot; when surfacing with six divers, 1 for each full 20 steps of oxygen left.
//!
//! # Starting state
//! The submarine is at the surface in column 5 and looks to the left, with oxygen for 200 steps. Nothing else is there.
//!
//! # Episode end
//! Terminated when the submarine touches a fish, a submarine or a shot, runs out of oxygen, or surfaces without a diver.
//! There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `sticky_action_prob` | 0.1 | probability that the last action is repeated instead of the chosen one |
//! | `difficulty_ramping` | true | enemies come and move faster after each surfacing |
//!
//! # Version history
//! v1: the actions that have an effect, which are all. v0: all six.
//!
//! # Source
//! Young and Tian (2019), "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible Reinforcement Learning
//! Experiments"; trajectories are those of minatar 1.0.15, written from a description of its behaviour. That includes
//! that each surfacing costs a diver, also after six have been delivered: the number aboard is then −1, and only exactly
//! none is fatal.
//!
//! # Deviations
//! 1. A set bit is 255 instead of true: networks scale bytes by 1/255 and see 0 and 1.
//! 2. A reset with a seed also forgets the last action, so that a seed gives one trajectory; the original keeps it.

use serde::{Deserialize, Serialize};

use super::game::{Channel, Game, GameAction, Image, Outcome, SIDE, ahead, behind, in_grid, set};
use super::list::List;
use crate::random::Mt19937;

const RIGHTMOST: u8 = SIDE as u8 - 1;
/// The lowest row that a submarine can dive to; the gauges are below.
const DEEPEST: u8 = 8;
const FULL_OXYGEN: i16 = 200;
/// Steps that a cell of the gauge stands for, and oxygen a point of a full delivery is worth.
const OXYGEN_CELL: i16 = 20;
const MAX_DIVERS: i32 = 6;
const START_ENEMY_PERIOD: u8 = 20;
const START_MOVE_PERIOD: u8 = 5;
const SHORTEST_MOVE_PERIOD: u8 = 2;
const DIVER_PERIOD: u8 = 30;
const DIVER_MOVE_PERIOD: u8 = 5;
const GUN_PERIOD: u8 = 5;
const ENEMY_GUN_PERIOD: u8 = 10;
/// A crossing takes at most ten moves of six steps, and at most one enemy appears a step: never more than 60 live.
const MOST_ENEMIES: usize = 64;
/// A shot lives for ten steps at most and a submarine shoots every eleventh: one for each submarine of the last ten steps.
const MOST_ENEMY_SHOTS: usize = 80;
/// Own shots live for ten steps, one comes every five; divers live for 60 steps, one comes every 30.
const MOST_OTHERS: usize = 4;

/// Where somebody is and looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    x: u8,
    y: u8,
    right: bool,
}

impl Place {
    /// The place just inside of the grid from which somebody enters a row.
    fn entrance(y: u8, right: bool) -> Self {
        Self { x: if right { 0 } else { RIGHTMOST }, y, right }
    }

    #[inline]
    fn is_at(self, other: Self) -> bool {
        (self.x, self.y) == (other.x, other.y)
    }

    /// Moves a cell ahead; says whether that is in the grid.
    #[inline]
    fn advance(&mut self) -> bool {
        self.x = ahead(self.x, self.right);
        in_grid(self.x)
    }
}

/// Somebody who moves every few steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Swimmer {
    place: Place,
    /// Steps until the next move.
    clock: u8,
}

/// An enemy submarine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Submarine {
    swimmer: Swimmer,
    gun_clock: u8,
}

/// The state of a game.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seaquest {
    player: Place,
    oxygen: i16,
    /// Divers aboard; below zero after a full delivery.
    num_divers: i32,
    at_surface: bool,
    level: u8,
    enemy_period: u8,
    enemy_clock: u8,
    diver_clock: u8,
    move_period: u8,
    gun_clock: u8,
    shots: List<Place, MOST_OTHERS>,
    divers: List<Swimmer, MOST_OTHERS>,
    enemy_shots: List<Place, MOST_ENEMY_SHOTS>,
    fish: List<Swimmer, MOST_ENEMIES>,
    submarines: List<Submarine, MOST_ENEMIES>,
}

impl Seaquest {
    /// An enemy appears, unless another one comes towards it in its row.
    #[cold]
    fn spawn_enemy(&mut self, rng: &mut Mt19937) {
        let right = rng.random_sample() < 0.5;
        let is_submarine = rng.random_sample() < 1.0 / 3.0;
        let place = Place::entrance(1 + rng.below(8) as u8, right);
        let opposes = |swimmer: &Swimmer| swimmer.place.y == place.y && swimmer.place.right != right;
        if self.submarines.iter().any(|submarine| opposes(&submarine.swimmer))
            || self.fish.iter().any(opposes)
        {
            return;
        }
        let swimmer = Swimmer { place, clock: self.move_period };
        if is_submarine {
            self.submarines.push(Submarine { swimmer, gun_clock: ENEMY_GUN_PERIOD });
        } else {
            self.fish.push(swimmer);
        }
    }

    #[cold]
    fn spawn_diver(&mut self, rng: &mut Mt19937) {
        let right = rng.random_sample() < 0.5;
        let place = Place::entrance(1 + rng.below(8) as u8, right);
        self.divers.push(Swimmer { place, clock: DIVER_MOVE_PERIOD });
    }

    #[inline]
    fn act(&mut self, action: GameAction) {
        if action == GameAction::Fire && self.gun_clock == 0 {
            self.shots.push(self.player);
            self.gun_clock = GUN_PERIOD;
        }
        let Place { x, y, right } = self.player;
        let right = (right | (action == GameAction::Right)) & (action != GameAction::Left);
        self.player = Place { x: action.column(x), y: action.row(y, 0, DEEPEST), right };
    }

    /// Own shots fly, and hit a fish or else a submarine.
    #[inline]
    fn move_shots(&mut self, outcome: &mut Outcome) {
        let Self { shots, fish, submarines, .. } = self;
        shots.retain_newest_first(|shot| {
            if !shot.advance() {
                return false;
            }
            let hit = fish.remove_oldest(|fish| fish.place.is_at(*shot))
                || submarines.remove_oldest(|submarine| submarine.swimmer.place.is_at(*shot));
            outcome.reward += u32::from(hit);
            !hit
        });
    }

    /// Divers swim, and come aboard where the submarine is before or after.
    #[inline]
    fn move_divers(&mut self) {
        let Self { divers, num_divers, player, .. } = self;
        let mut comes_aboard = |diver: &Swimmer| {
            let comes = diver.place.is_at(*player) && *num_divers < MAX_DIVERS;
            *num_divers += i32::from(comes);
            comes
        };
        divers.retain_newest_first(|diver| {
            if comes_aboard(diver) {
                return false;
            }
            if diver.clock > 0 {
                diver.clock -= 1;
                return true;
            }
            diver.clock = DIVER_MOVE_PERIOD;
            diver.place.advance() && !comes_aboard(diver)
        });
    }

    /// Enemy submarines swim and shoot, also with their last move.
    #[inline]
    fn move_submarines(&mut self, outcome: &mut Outcome) {
        let mut water = Water { player: self.player, period: self.move_period, shots: &mut self.shots };
        let enemy_shots = &mut self.enemy_shots;
        self.submarines.retain_newest_first(|submarine| {
            let stays = water.swim(&mut submarine.swimmer, outcome);
            if submarine.gun_clock == 0 {
                submarine.gun_clock = ENEMY_GUN_PERIOD;
                enemy_shots.push(submarine.swimmer.place);
            } else {
                submarine.gun_clock -= 1;
            }
            stays
        });
    }

    #[inline]
    fn move_enemy_shots(&mut self, outcome: &mut Outcome) {
        let player = self.player;
        self.enemy_shots.retain_newest_first(|shot| {
            outcome.terminated |= shot.is_at(player);
            let stays = shot.advance();
            outcome.terminated |= stays && shot.is_at(player);
            stays
        });
    }

    #[inline]
    fn move_fish(&mut self, outcome: &mut Outcome) {
        let mut water = Water { player: self.player, period: self.move_period, shots: &mut self.shots };
        self.fish.retain_newest_first(|fish| water.swim(fish, outcome));
    }

    /// Breathes, or comes up for air.
    #[inline]
    fn breathe(&mut self, ramping: bool, outcome: &mut Outcome) {
        outcome.terminated |= self.oxygen <= 0;
        if self.player.y > 0 {
            self.oxygen -= 1;
            self.at_surface = false;
        } else if !self.at_surface {
            if self.num_divers == 0 {
                outcome.terminated = true;
            } else {
                self.surface(ramping, outcome);
            }
        }
    }

    #[cold]
    fn surface(&mut self, ramping: bool, outcome: &mut Outcome) {
        self.at_surface = true;
        if self.num_divers == MAX_DIVERS {
            self.num_divers = 0;
            outcome.reward += (self.oxygen.max(0) / OXYGEN_CELL) as u32;
        }
        self.oxygen = FULL_OXYGEN;
        self.num_divers -= 1;
        if ramping && (self.enemy_period > 1 || self.move_period > SHORTEST_MOVE_PERIOD) {
            if self.move_period > SHORTEST_MOVE_PERIOD && self.level % 2 == 1 {
                self.move_period -= 1;
            }
            self.enemy_period = (self.enemy_period - 1).max(1);
            self.level += 1;
        }
    }
}

/// What fish and enemy submarines meet.
struct Water<'a> {
    player: Place,
    /// Steps that they wait between moves.
    period: u8,
    shots: &'a mut List<Place, MOST_OTHERS>,
}

impl Water<'_> {
    /// An enemy swims on; says whether it stays.
    #[inline]
    fn swim(&mut self, enemy: &mut Swimmer, outcome: &mut Outcome) -> bool {
        outcome.terminated |= enemy.place.is_at(self.player);
        if enemy.clock > 0 {
            enemy.clock -= 1;
            return true;
        }
        enemy.clock = self.period;
        if !enemy.place.advance() {
            return false;
        }
        if enemy.place.is_at(self.player) {
            outcome.terminated = true;
            return true;
        }
        let hit = self.shots.remove_oldest(|shot| shot.is_at(enemy.place));
        outcome.reward += u32::from(hit);
        !hit
    }
}

impl Game<10> for Seaquest {
    const MINIMAL_ACTIONS: &'static [GameAction] = &GameAction::ALL;

    const CHANNELS: [Channel; 10] = [
        Channel { name: "front", letter: 'A', color: [255, 221, 120] },
        Channel { name: "back", letter: 'a', color: [196, 150, 60] },
        Channel { name: "shot", letter: '-', color: [255, 250, 230] },
        Channel { name: "trail", letter: '~', color: [92, 100, 132] },
        Channel { name: "enemy's shot", letter: '!', color: [255, 107, 107] },
        Channel { name: "fish", letter: 'f', color: [111, 207, 151] },
        Channel { name: "enemy", letter: 'S', color: [187, 107, 217] },
        Channel { name: "oxygen", letter: 'o', color: [86, 180, 233] },
        Channel { name: "diver aboard", letter: 'd', color: [255, 159, 67] },
        Channel { name: "diver", letter: 'D', color: [255, 128, 171] },
    ];

    fn reset(&mut self, _rng: &mut Mt19937) {
        self.player = Place { x: 5, y: 0, right: false };
        self.oxygen = FULL_OXYGEN;
        self.num_divers = 0;
        self.at_surface = true;
        self.level = 0;
        (self.enemy_period, self.enemy_clock) = (START_ENEMY_PERIOD, START_ENEMY_PERIOD);
        (self.diver_clock, self.move_period, self.gun_clock) = (DIVER_PERIOD, START_MOVE_PERIOD, 0);
        self.shots.clear();
        self.divers.clear();
        self.enemy_shots.clear();
        self.fish.clear();
        self.submarines.clear();
    }

    #[inline]
    fn step(&mut self, action: GameAction, ramping: bool, rng: &mut Mt19937) -> Outcome {
        let mut outcome = Outcome::default();
        if self.enemy_clock == 0 {
            self.spawn_enemy(rng);
            self.enemy_clock = self.enemy_period;
        }
        if self.diver_clock == 0 {
            self.spawn_diver(rng);
            self.diver_clock = DIVER_PERIOD;
        }
        self.act(action);
        self.move_shots(&mut outcome);
        self.move_divers();
        self.move_submarines(&mut outcome);
        self.move_enemy_shots(&mut outcome);
        self.move_fish(&mut outcome);
        for clock in [&mut self.enemy_clock, &mut self.diver_clock, &mut self.gun_clock] {
            *clock = clock.saturating_sub(1);
        }
        self.breathe(ramping, &mut outcome);
        outcome
    }

    #[inline]
    fn observe(&self, image: &mut Image<10>) {
        let Place { x, y, right } = self.player;
        set(image, x, y, 0);
        set(image, behind(x, right), y, 1);
        for x in 0..(self.oxygen.max(0) / OXYGEN_CELL) as u8 {
            set(image, x, RIGHTMOST, 7);
        }
        for diver in 0..self.num_divers.max(0) as u8 {
            set(image, 8 - diver, RIGHTMOST, 8);
        }
        for shot in self.shots.iter() {
            set(image, shot.x, shot.y, 2);
        }
        for shot in self.enemy_shots.iter() {
            set(image, shot.x, shot.y, 4);
        }
        let mut swimmer = |place: Place, channel: usize| {
            set(image, place.x, place.y, channel);
            let trail = behind(place.x, place.right);
            if in_grid(trail) {
                set(image, trail, place.y, 3);
            }
        };
        self.fish.iter().for_each(|fish| swimmer(fish.place, 5));
        self.submarines.iter().for_each(|submarine| swimmer(submarine.swimmer.place, 6));
        self.divers.iter().for_each(|diver| swimmer(diver.place, 9));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surfacing_costs_a_diver_refills_the_oxygen_and_rewards_six() {
        // Divers and oxygen before; reward, end, divers and oxygen after.
        let cases = [
            (6, 137, (6, false, -1, 200)),
            (6, 200, (10, false, -1, 200)),
            (6, 19, (0, false, -1, 200)),
            (3, 50, (0, false, 2, 200)),
            (-1, 80, (0, false, -2, 200)),
            (0, 80, (0, true, 0, 80)),
        ];
        for (num_divers, oxygen, expected) in cases {
            let mut rng = Mt19937::seed_from(0);
            let mut game = Seaquest::default();
            game.reset(&mut rng);
            (game.player.y, game.at_surface) = (1, false);
            (game.num_divers, game.oxygen) = (num_divers, oxygen);
            let outcome = game.step(GameAction::Up, true, &mut rng);
            assert_eq!((outcome.reward, outcome.terminated, game.num_divers, game.oxygen), expected);
        }
    }
}
