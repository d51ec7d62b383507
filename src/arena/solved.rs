//! Positions whose outcome somebody has proved: how often an agent takes a move that gives it away.
//!
//! A file has a line for each position: the set that it is of, the moves that lead to it (names of actions with commas
//! between, `-` for none), and what a solver says of each action for the side to move, a number each, above zero for a win,
//! `x` where it is not allowed. Lines that begin with `#` are remarks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::thinker::Thought;
use super::{Games, Thinker, Thinking};
use crate::RunError;
use crate::acting::fit;
use crate::error::AtPath;
use crate::policy::{self, Which};
use crate::setup::Setup;

/// Positions that are looked at together.
const TOGETHER: usize = 128;
/// Bytes of a file at most.
const MOST_BYTES: u64 = 64 << 20;

/// How to look at positions.
#[derive(Clone, Debug, PartialEq)]
pub struct SolvedOptions {
    /// A run or a weight file.
    pub source: PathBuf,
    /// The file of positions.
    pub positions: PathBuf,
    /// Which of a run's weights.
    pub which: Which,
    /// How it thinks, if it searches.
    pub thinking: Thinking,
}

/// What came of the positions of one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SolvedRow {
    /// The set.
    pub set: String,
    /// Positions.
    pub count: usize,
    /// Moves that give away a win or a draw.
    pub outcome_errors: usize,
    /// Moves as good as any.
    pub perfect: usize,
    /// Mean squared error of values against outcomes, −1 to 1; not a number without values.
    pub value_error: f64,
}

/// A position, and what a solver says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// The set that it is of.
    pub set: String,
    /// The actions that lead to it.
    pub actions: Vec<u32>,
    /// The score of each action; none where it is not allowed.
    pub scores: Vec<Option<i32>>,
}

/// Reads a file of positions of a game whose actions have names.
///
/// # Errors
/// If it cannot be read, or a line is no position; the line is named.
pub fn read(path: &Path, names: &[String]) -> Result<Vec<Solved>, RunError> {
    let size = std::fs::metadata(path).at("cannot read", path)?.len();
    if size > MOST_BYTES {
        let message =
            format!("{} has {size} bytes, a file of positions has at most {MOST_BYTES}", path.display());
        return Err(RunError::Config(message));
    }
    let text = std::fs::read_to_string(path).at("cannot read", path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|(number, line)| {
        parse(line, names).map_err(|message| {
            RunError::Config(format!("{}, line {}: {message}", path.display(), number + 1))
        })
    });
    let positions: Vec<Solved> = parsed.collect::<Result<_, _>>()?;
    if positions.is_empty() {
        return Err(RunError::Config(format!("{} has no positions", path.display())));
    }
    Ok(positions)
}

fn parse(line: &str, names: &[String]) -> Result<Solved, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [set, moves, scores] = words[..] else {
        return Err(format!("expected a set, moves and scores, got {} words", words.len()));
    };
    let action = |name: &str| {
        let found = names.iter().position(|known| known == name);
        found.map(|action| action as u32).ok_or_else(|| format!("expected the name of a move, got {name}"))
    };
    let moves = if moves == "-" { "" } else { moves };
    let actions = moves.split(',').filter(|name| !name.is_empty()).map(action).collect::<Result<_, _>>()?;
    let score = |text: &str| match text {
        "x" => Ok(None),
        number => number.parse().map(Some).map_err(|_| format!("expected a score or x, got {number}")),
    };
    let scores: Vec<Option<i32>> = scores.split(',').map(score).collect::<Result<_, _>>()?;
    if scores.len() != names.len() {
        return Err(format!("expected {} scores, got {}", names.len(), scores.len()));
    }
    if scores.iter().all(Option::is_none) {
        return Err("expected a position with a legal move".to_owned());
    }
    Ok(Solved { set: set.to_owned(), actions, scores })
}

/// A position as a line of such a file.
pub fn line(position: &Solved, names: &[String]) -> String {
    let moves: Vec<&str> = position.actions.iter().map(|&action| names[action as usize].as_str()).collect();
    let moves = if moves.is_empty() { "-".to_owned() } else { moves.join(",") };
    let score = |score: &Option<i32>| score.map_or("x".to_owned(), |score| score.to_string());
    let scores: Vec<String> = position.scores.iter().map(score).collect();
    format!("{} {moves} {}", position.set, scores.join(","))
}

/// Has an agent move in all positions of a file; a row for each set, in the order in which the file begins them.
///
/// # Errors
/// If policy or file cannot be read, do not fit each other, or a game fails.
pub fn judge(setup: &Setup, options: &SolvedOptions) -> Result<Vec<SolvedRow>, RunError> {
    let trained = policy::load_which(setup, &options.source, options.which)?;
    let mut games = Games::new(setup, &trained.card().env, TOGETHER)?;
    let policy = Arc::clone(&trained.acting().policy);
    fit(&mut games.simulator, &trained.card().spaces, &trained.card().statistics)?;
    let mut agent = Thinker::new(policy, &options.thinking, 0)?;
    let positions = read(&options.positions, games.names())?;
    let mut rows: Vec<SolvedRow> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for some in positions.chunks(TOGETHER) {
        set_up(&mut games, some)?;
        let which: Vec<usize> = (0..some.len()).collect();
        for (position, thought) in some.iter().zip(agent.think(&mut games, &which)?) {
            let Thought { action, value, .. } = thought;
            let place = *places.entry(position.set.clone()).or_insert_with(|| {
                rows.push(SolvedRow { set: position.set.clone(), ..SolvedRow::default() });
                rows.len() - 1
            });
            let row = &mut rows[place];
            let best = position.scores.iter().flatten().max().copied().unwrap_or(0);
            let got = position.scores.get(action).copied().flatten();
            let Some(got) = got else {
                return Err(RunError::Config(format!(
                    "{}: the file says that action {action} is not allowed where the game allows it",
                    options.positions.display()
                )));
            };
            row.count += 1;
            row.outcome_errors += usize::from(got.signum() < best.signum());
            row.perfect += usize::from(got == best);
            row.value_error +=
                value.map_or(f64::NAN, |value| f64::from(value - best.signum() as f32).powi(2));
        }
    }
    rows.iter_mut().for_each(|row| row.value_error /= row.count as f64);
    Ok(rows)
}

/// Plays the moves that lead to the positions.
fn set_up(games: &mut Games, positions: &[Solved]) -> Result<(), RunError> {
    games.restart()?;
    let longest = positions.iter().map(|position| position.actions.len()).max().unwrap_or(0);
    for tick in 0..longest {
        let mut moves = vec![None; games.len()];
        for (chosen, position) in moves.iter_mut().zip(positions) {
            *chosen = position.actions.get(tick).copied();
        }
        games.play(&moves)?;
    }
    match (0..positions.len()).find(|&game| games.verdict(game).is_some()) {
        None => Ok(()),
        Some(game) => {
            let moves: Vec<&str> = positions[game]
                .actions
                .iter()
                .map(|&action| games.names()[action as usize].as_str())
                .collect();
            Err(RunError::Config(format!("the game {} is over: there is nothing to choose", moves.join(","))))
        }
    }
}
