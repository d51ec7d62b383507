//! Connect Four's exact solver (`connect-four-ai`), which nobody here wrote, as a judge and as an opponent.
//!
//! - `positions SEED COUNT`: prints positions with the score of every move, `COUNT` of each of the six sets of Pascal Pons'
//!   test protocol: positions of random games, by how far they are from the beginning and from the end under perfect play.
//! - `gtp`: plays by the Go Text Protocol, for `agon arena`: `play COLOUR COLUMN` and `genmove COLOUR`, columns from 1.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use connect_four_ai::{Position, Solver};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

const SQUARES: usize = 42;
const COLUMNS: usize = 7;

/// Stones and remaining moves of a set's positions, as the protocol names them.
const SETS: [(&str, std::ops::RangeInclusive<usize>, std::ops::RangeInclusive<usize>); 6] = [
    ("end-easy", 29..=41, 1..=13),
    ("middle-easy", 15..=28, 1..=13),
    ("middle-medium", 15..=28, 14..=27),
    ("begin-easy", 1..=14, 1..=13),
    ("begin-medium", 1..=14, 14..=27),
    ("begin-hard", 1..=14, 28..=41),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["positions", seed, count] => match (seed.parse(), count.parse()) {
            (Ok(seed), Ok(count)) => positions(seed, count),
            _ => usage(),
        },
        ["gtp"] => gtp(),
        _ => usage(),
    }
}

fn usage() {
    eprintln!("usage: agon-bench-connect-four positions SEED COUNT | gtp");
    std::process::exit(2);
}

/// Moves until the end under perfect play, from the score of a position with so many stones: a win by the winner's `n`-th stone
/// scores `22 - n` (Pons).
fn remaining(score: i8, stones: usize) -> usize {
    let own = stones / 2;
    let other = stones.div_ceil(2);
    match score {
        0 => SQUARES - stones,
        // The side to move places its stones first.
        1.. => 2 * ((22 - score as usize) - own) - 1,
        _ => 2 * ((22 - (-score) as usize) - other),
    }
}

/// Whether a game is over after the given moves, or what the position is. Columns from 1.
fn position(moves: &str) -> Option<Position> {
    Position::from_moves(moves).ok()
}

fn positions(seed: u64, count: usize) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut solver = Solver::new();
    let mut found: BTreeMap<usize, Vec<String>> = (0..SETS.len()).map(|set| (set, Vec::new())).collect();
    println!("# set moves scores: of each column what it leads to for the side to move, x where it is full.");
    println!("# Solver: connect-four-ai 1.0.0. Random games, seed {seed}.");
    while found.values().any(|lines| lines.len() < count) {
        let stones = rng.random_range(1..SQUARES);
        let Some(moves) = random_game(&mut rng, stones) else { continue };
        let Some(now) = position(&moves) else { continue };
        let open = |set: &usize| SETS[*set].1.contains(&stones) && found[set].len() < count;
        if !(0..SETS.len()).any(|set| open(&set)) {
            continue;
        }
        let scores = scores(&mut solver, &now);
        let Some(best) = scores.iter().flatten().max() else { continue };
        let left = remaining(*best, stones);
        let set = (0..SETS.len()).find(|set| open(set) && SETS[*set].2.contains(&left));
        if let Some(set) = set {
            let text: Vec<String> =
                scores.iter().map(|score| score.map_or("x".to_owned(), |score| score.to_string())).collect();
            let columns: Vec<String> = moves.chars().map(String::from).collect();
            let line = format!("{} {} {}", SETS[set].0, columns.join(","), text.join(","));
            if let Some(lines) = found.get_mut(&set)
                && !lines.contains(&line)
            {
                lines.push(line);
                if lines.len() % 100 == 0 {
                    eprintln!("{}: {}", SETS[set].0, lines.len());
                }
            }
        }
    }
    found.values().flatten().for_each(|line| println!("{line}"));
}

/// So many random moves of a game that goes on after them.
fn random_game(rng: &mut Pcg64Mcg, stones: usize) -> Option<String> {
    let mut moves = String::new();
    let mut now = Position::new();
    for _ in 0..stones {
        let open: Vec<usize> = (0..COLUMNS).filter(|&column| now.is_playable(column)).collect();
        let &column = open.choose(rng)?;
        if now.is_winning_move(column) {
            return None;
        }
        now.play(column);
        moves.push(char::from(b'1' + column as u8));
    }
    Some(moves)
}

/// The score of each move for the side to move; none where the column is full. A move that wins scores as the solver scores a
/// position that is won by it.
fn scores(solver: &mut Solver, now: &Position) -> [Option<i8>; COLUMNS] {
    std::array::from_fn(|column| {
        if !now.is_playable(column) {
            return None;
        }
        // A finished position scores as a win for the loser: the end is looked for first.
        if now.is_winning_move(column) {
            return Some(22 - (now.get_moves() / 2 + 1) as i8);
        }
        let mut next = *now;
        next.play(column);
        Some(-solver.solve(&next))
    })
}

/// Answers commands until the end of input or `quit`.
fn gtp() {
    let mut solver = Solver::new();
    let mut moves = String::new();
    let stdin = std::io::stdin();
    for line in stdin.lock().lines() {
        let Ok(line) = line else { return };
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            [] => continue,
            ["name"] => Ok("connect-four-ai".to_owned()),
            ["version"] => Ok("1.0.0".to_owned()),
            ["protocol_version"] => Ok("2".to_owned()),
            ["boardsize", ..] | ["komi", ..] | ["quit"] => Ok(String::new()),
            ["clear_board"] => {
                moves.clear();
                Ok(String::new())
            }
            ["play", _, column] => {
                moves.push_str(column);
                Ok(String::new())
            }
            ["genmove", _] => match best(&mut solver, &moves) {
                Some(column) => {
                    moves.push(column);
                    Ok(column.to_string())
                }
                None => Err("no position to move in"),
            },
            _ => Err("unknown command"),
        };
        match answer {
            Ok(text) => println!("= {text}\n"),
            Err(text) => println!("? {text}\n"),
        }
        let _ = std::io::stdout().flush();
        if words[..] == ["quit"] {
            return;
        }
    }
}

/// A move of the best score, the nearest to the middle.
fn best(solver: &mut Solver, moves: &str) -> Option<char> {
    let now = if moves.is_empty() { Position::new() } else { position(moves)? };
    let scores = scores(solver, &now);
    let best = *scores.iter().flatten().max()?;
    let middle = [3, 2, 4, 1, 5, 0, 6];
    let column = middle.into_iter().find(|&column| scores[column] == Some(best))?;
    Some(char::from(b'1' + column as u8))
}
