//! Matches: games between players, both colours of each opening.
//!
//! Games are played in pairs that begin with the same random moves, so that neither side has the better openings, and so
//! that two players without chance do not play one game again and again.

use std::collections::HashSet;
use std::time::Instant;

use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use serde::Serialize;

use super::elo::{self, Pairing, Rating};
use super::players::{Player, Reply, random_move};
use super::{Games, Verdict};
use crate::RunError;
use crate::config::EnvConfig;
use crate::setup::Setup;

/// Most random moves of an opening that are tried before one that ends the game is given up.
const MOST_TRIES: usize = 100;

/// How to play.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchOptions {
    /// Games of each pair of players; rounded up to an even number.
    pub games: usize,
    /// Random moves at the beginning of each game.
    pub opening: usize,
    /// Only openings after which the first player with an opinion, asked in the order of the players, expects a value no further from
    /// zero than this, 0 to 1: others are decided before the players move. None for all.
    pub even: Option<f64>,
    /// Seed of the openings.
    pub seed: u64,
    /// Pairs of games that are played beside each other; at least 1. Who searches in many games at once takes less time for each.
    pub together: usize,
}

/// The games of two players, as the first of them sees them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MatchResult {
    /// The numbers of both players.
    pub players: [usize; 2],
    /// Games that it won, with the first move and with the second.
    pub wins: [usize; 2],
    /// Games that nobody won, likewise.
    pub draws: [usize; 2],
    /// Games that it lost, likewise.
    pub losses: [usize; 2],
    /// Pairs of games from one opening, both colours, by what it took from them: nothing, half a point, and so on to 2. An opening that
    /// is lost for one side by perfect play lets nobody take more than 1 from one who plays perfectly.
    pub pairs: [usize; 5],
    /// Games that one of them could not go on with; they do not count.
    pub void: usize,
    /// Why the first of these was void.
    pub reason: Option<String>,
    /// Games that differ in some move.
    pub distinct: usize,
    /// Mean number of moves.
    pub mean_moves: f64,
    /// Seconds that each of them took for a move, on average.
    pub seconds_per_move: [f64; 2],
    /// What each game brought it: 1, 0.5 or 0.
    #[serde(skip)]
    pub points: Vec<f64>,
}

impl MatchResult {
    /// Its share of all points.
    pub fn score(&self) -> f64 {
        self.points.iter().sum::<f64>() / self.points.len() as f64
    }

    /// Wilson's 95 % interval of its share of points; wider than need be where there are draws.
    pub fn interval(&self) -> [f64; 2] {
        wilson(self.score(), self.points.len())
    }
}

/// Wilson's 95 % interval of a share.
fn wilson(share: f64, count: usize) -> [f64; 2] {
    if count == 0 {
        return [0.0, 1.0];
    }
    let (n, z) = (count as f64, 1.959_964);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

/// All results, and ratings of the players.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tournament {
    /// Names of the players.
    pub players: Vec<String>,
    /// A match of each pair.
    pub matches: Vec<MatchResult>,
    /// A rating of each player; their mean is zero.
    pub ratings: Vec<Rating>,
}

/// Has every player play every other one. `told` hears of each match when it is over.
///
/// # Errors
/// If the game is none, a player cannot play at all or makes a move that is not legal.
pub fn tournament(
    setup: &Setup,
    env: &EnvConfig,
    players: &mut [Box<dyn Player>],
    options: &MatchOptions,
    told: &mut dyn FnMut(&MatchResult),
) -> Result<Tournament, RunError> {
    let mut matches = Vec::new();
    for second in 1..players.len() {
        for first in 0..second {
            let (left, right) = players.split_at_mut(second);
            let pair = [&mut *left[first], &mut *right[0]];
            let mut result = play(setup, env, pair, options)?;
            result.players = [first, second];
            told(&result);
            matches.push(result);
        }
    }
    let pairing = |result: &MatchResult| Pairing { players: result.players, points: result.points.clone() };
    let pairings: Vec<Pairing> = matches.iter().map(pairing).collect();
    let names = players.iter().map(|player| player.name().to_owned()).collect();
    Ok(Tournament { players: names, ratings: elo::ratings(players.len(), &pairings, options.seed), matches })
}

/// The games of two players.
fn play(
    setup: &Setup,
    env: &EnvConfig,
    mut players: [&mut (dyn Player + 'static); 2],
    options: &MatchOptions,
) -> Result<MatchResult, RunError> {
    let mut result = MatchResult::default();
    let mut seen = HashSet::new();
    let (mut moves, mut counted, mut clocks) = (0, 0, [Clock::default(); 2]);
    let pairs = options.games.div_ceil(2);
    let mut from = 0;
    while from < pairs {
        let some = (pairs - from).min(options.together.max(1));
        let mut games = Games::new(setup, env, 2 * some)?;
        open(&mut games, from, &mut players, options)?;
        let voids = finish(&mut games, &mut players, &mut clocks)?;
        let mut halves = vec![Some(0); some];
        for (game, void) in voids.iter().enumerate() {
            // Of each pair the first player begins the first game.
            let colour = game % 2;
            if let Some(reason) = void {
                result.void += 1;
                halves[game / 2] = None;
                result.reason.get_or_insert_with(|| reason.clone());
                continue;
            }
            let points = match (games.verdict(game), colour) {
                (Some(Verdict::First), 0) | (Some(Verdict::Second), 1) => 1.0,
                (Some(Verdict::Draw), _) | (None, _) => 0.5,
                _ => 0.0,
            };
            let counts = if points == 1.0 {
                &mut result.wins
            } else if points == 0.5 {
                &mut result.draws
            } else {
                &mut result.losses
            };
            counts[colour] += 1;
            result.points.push(points);
            halves[game / 2] = halves[game / 2].map(|halves| halves + (2.0 * points) as usize);
            moves += games.moves(game).len();
            counted += 1;
            seen.insert((colour, games.moves(game).to_vec()));
        }
        halves.into_iter().flatten().for_each(|halves| result.pairs[halves] += 1);
        from += some;
    }
    result.distinct = seen.len();
    result.seconds_per_move = clocks.map(Clock::mean);
    result.mean_moves = moves as f64 / f64::from(counted.max(1));
    Ok(result)
}

/// Plays the random moves of pairs of games, the same in both of a pair; anew where they are not even, if they are to be.
fn open(
    games: &mut Games,
    first_pair: usize,
    players: &mut [&mut (dyn Player + 'static); 2],
    options: &MatchOptions,
) -> Result<(), RunError> {
    let keys = (0..games.len() / 2).map(|pair| [(first_pair + pair) as u32]);
    let seeds = keys.map(|key| SeedSequence::with_spawn_key(options.seed, &key));
    let mut rngs: Vec<Pcg64> = seeds.map(|seed| Pcg64::from_sequence(&seed)).collect();
    let mut pairs: Vec<usize> = (0..rngs.len()).collect();
    for _ in 0..MOST_TRIES {
        for &pair in &pairs {
            draw(games, pair, &mut rngs[pair], options.opening)?;
        }
        let Some(even) = options.even else { return Ok(()) };
        let which: Vec<usize> = pairs.iter().map(|pair| 2 * pair).collect();
        let values = judge(games, &which, players)?;
        let uneven = pairs.iter().zip(&values).filter(|(_, value)| f64::from(value.abs()) > even);
        pairs = uneven.map(|(&pair, _)| pair).collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let again: Vec<usize> = pairs.iter().flat_map(|pair| [2 * pair, 2 * pair + 1]).collect();
        games.begin_again(&again)?;
    }
    Err(RunError::Config(format!(
        "none of {MOST_TRIES} openings of {} random moves is even: expected a value within {}",
        options.opening,
        options.even.unwrap_or_default()
    )))
}

/// What the first of the players that has an opinion says of games, for whoever is to move.
fn judge(
    games: &mut Games,
    which: &[usize],
    players: &mut [&mut (dyn Player + 'static); 2],
) -> Result<Vec<f32>, RunError> {
    for player in players {
        if let Some(values) = player.values(games, which)? {
            return Ok(values);
        }
    }
    let message =
        "even openings need a player that says what a position is worth: a run with a value function";
    Err(RunError::Config(message.to_owned()))
}

/// Plays random moves in both games of a pair that end neither.
fn draw(games: &mut Games, pair: usize, rng: &mut Pcg64, moves: usize) -> Result<(), RunError> {
    let mut tries = 0;
    let mut opening: Vec<u32> = Vec::new();
    while opening.len() < moves {
        let game = 2 * pair;
        let action = random_move(games, game, rng);
        let mut chosen = vec![None; games.len()];
        (chosen[game], chosen[game + 1]) = (Some(action), Some(action));
        games.play(&chosen)?;
        opening.push(action);
        if games.verdict(game).is_some() {
            tries += 1;
            if tries == MOST_TRIES {
                let message = format!("no opening of {moves} random moves leaves a game to be played");
                return Err(RunError::Config(message));
            }
            games.begin_again(&[game, game + 1])?;
            opening.clear();
        }
    }
    Ok(())
}

/// What a player took for its moves.
#[derive(Clone, Copy, Default)]
struct Clock {
    seconds: f64,
    moves: usize,
}

impl Clock {
    fn mean(self) -> f64 {
        if self.moves > 0 { self.seconds / self.moves as f64 } else { 0.0 }
    }
}

/// Plays all games to their ends; of each why it is void, if it is.
fn finish(
    games: &mut Games,
    players: &mut [&mut (dyn Player + 'static); 2],
    clocks: &mut [Clock; 2],
) -> Result<Vec<Option<String>>, RunError> {
    let mut voids: Vec<Option<String>> = vec![None; games.len()];
    loop {
        let running: Vec<usize> = games.running().collect();
        if running.is_empty() {
            return Ok(voids);
        }
        let mut chosen = vec![None; games.len()];
        for (number, player) in players.iter_mut().enumerate() {
            let own = |&game: &usize| (games.turn(game) + game % 2) % 2 == number;
            let which: Vec<usize> = running.iter().copied().filter(own).collect();
            if which.is_empty() {
                continue;
            }
            let begin = Instant::now();
            let replies = player.choose(games, &which)?;
            clocks[number].seconds += begin.elapsed().as_secs_f64();
            clocks[number].moves += which.len();
            for (&game, reply) in which.iter().zip(replies) {
                match reply {
                    Reply::Move(action) => chosen[game] = Some(action),
                    Reply::Resign => {
                        let other = if games.turn(game) == 0 { Verdict::Second } else { Verdict::First };
                        games.end(game, other);
                    }
                    Reply::Void(reason) => {
                        games.end(game, Verdict::Draw);
                        voids[game] = Some(reason);
                    }
                }
            }
        }
        games.play(&chosen)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_share_and_narrows() {
        let [low, high] = wilson(0.9, 200);
        // R's binom.confint(180, 200, method = "wilson").
        assert!((low - 0.8506).abs() < 1e-4 && (high - 0.9343).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0.5, 0), [0.0, 1.0]);
        let [low, high] = wilson(1.0, 10);
        assert!(low > 0.7 && high > 0.9999, "{low} {high}");
    }
}
