//! Who plays: trained agents, chance, and other programs.

use std::path::Path;
use std::time::Duration;

use agon_envs::Pcg64;
use agon_envs::board::{self, Solver, Unsolved};

use super::gtp::Engine;
use super::{Games, Thinker, Thinking, ladder};
use crate::RunError;
use crate::config::EnvConfig;
use crate::policy::{self, Which};
use crate::setup::Setup;

/// What somebody does in a game.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A move.
    Move(u32),
    /// Gives it up.
    Resign,
    /// It cannot go on, by no fault of the game: it does not count.
    Void(String),
}

/// Somebody who plays.
pub trait Player {
    /// What it is called in tables.
    fn name(&self) -> &str;

    /// What it does in each of some games, in their order, in which it is its turn.
    ///
    /// # Errors
    /// If it cannot play at all.
    fn choose(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Reply>, RunError>;

    /// What some games are worth for whoever is to move in each, −1 to 1; none if it has no such opinion.
    ///
    /// # Errors
    /// If it fails.
    fn values(&mut self, _games: &mut Games, _which: &[usize]) -> Result<Option<Vec<f32>>, RunError> {
        Ok(None)
    }

    /// Whether it is told how to search.
    fn searches(&self) -> bool {
        false
    }
}

/// Refuses a way to search where no player takes it.
///
/// # Errors
/// [`RunError::Config`] that says so.
pub fn ensure_one_searches(players: &[Box<dyn Player>], thinking: &Thinking) -> Result<(), RunError> {
    if *thinking == Thinking::default()
        || thinking.simulations == Some(0)
        || players.iter().any(|player| player.searches())
    {
        return Ok(());
    }
    let names: Vec<&str> = players.iter().map(|player| player.name()).collect();
    Err(RunError::Config(format!(
        "simulations and other settings of a search are for a player that searches, which is none of {}",
        names.join(", ")
    )))
}

/// How players are made of what is typed.
#[derive(Clone, Debug)]
pub struct PlayerOptions {
    /// How those think that search.
    pub thinking: Thinking,
    /// How long another program may think about a move.
    pub timeout: Duration,
    /// Seed of what is random.
    pub seed: u64,
}

/// Uniformly random legal moves.
struct Random(Pcg64);

impl Player for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn choose(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Reply>, RunError> {
        Ok(which.iter().map(|&game| Reply::Move(random_move(games, game, &mut self.0))).collect())
    }
}

/// A uniformly random legal move.
pub(super) fn random_move(games: &Games, game: usize, rng: &mut Pcg64) -> u32 {
    let legal: Vec<usize> =
        games.legal(game).iter().enumerate().filter(|(_, legal)| **legal).map(|(action, _)| action).collect();
    legal[rng.integers(0, legal.len() as i64) as usize] as u32
}

/// Perfect moves as soon as the end can be seen, random ones before.
struct Perfect {
    name: String,
    solver: Box<dyn Solver>,
    /// Positions that are looked at before a move.
    most: u64,
    rng: Pcg64,
}

impl Player for Perfect {
    fn name(&self) -> &str {
        &self.name
    }

    fn choose(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Reply>, RunError> {
        let choose = |&game: &usize| match self.solver.solve(games.moves(game), self.most) {
            Ok(scores) => {
                let best = scores.iter().flatten().max();
                let good: Vec<usize> =
                    (0..scores.len()).filter(|&action| scores[action].as_ref() == best).collect();
                let pick = self.rng.integers(0, good.len() as i64) as usize;
                Ok(Reply::Move(good[pick] as u32))
            }
            Err(Unsolved::TooFar) => Ok(Reply::Move(random_move(games, game, &mut self.rng))),
            Err(Unsolved::NoPosition) => {
                let message = "the solver's rules are not the game's, which is a bug";
                Err(RunError::Config(message.to_owned()))
            }
        };
        which.iter().map(choose).collect()
    }

    /// Of games of which it sees the end.
    fn values(&mut self, games: &mut Games, which: &[usize]) -> Result<Option<Vec<f32>>, RunError> {
        let value = |&game: &usize| {
            let scores = self.solver.solve(games.moves(game), self.most).ok()?;
            scores.into_iter().flatten().max().map(|best| best.signum() as f32)
        };
        Ok(which.iter().map(value).collect())
    }
}

/// A solver of a game, where it has one.
///
/// # Errors
/// If it has none, or the arguments are not the game's.
pub(super) fn solver_of(env: &EnvConfig) -> Result<Box<dyn Solver>, RunError> {
    let args = env.args.iter().filter(|(key, _)| key.as_str() != "opponent");
    let args: toml::Table = args.map(|(key, value)| (key.clone(), value.clone())).collect();
    board::solver(&env.id, &args)?.ok_or_else(|| {
        RunError::Config(format!(
            "{} has no solver: expected TicTacToe-v0, ConnectFour-v0 or Othello-v0",
            env.id
        ))
    })
}

/// A run or a weight file.
struct Trained {
    name: String,
    thinker: Thinker,
}

impl Player for Trained {
    fn name(&self) -> &str {
        &self.name
    }

    fn choose(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Reply>, RunError> {
        let thoughts = self.thinker.think(games, which)?;
        Ok(thoughts.into_iter().map(|thought| Reply::Move(thought.action as u32)).collect())
    }

    fn values(&mut self, games: &mut Games, which: &[usize]) -> Result<Option<Vec<f32>>, RunError> {
        Ok(self.thinker.think(games, which)?.into_iter().map(|thought| thought.value).collect())
    }

    fn searches(&self) -> bool {
        self.thinker.simulations() > 0
    }
}

/// The game that a run was trained in, if what is typed is a run or a file.
///
/// # Errors
/// If it is a run or a file and cannot be read.
pub fn game_of(setup: &Setup, player: &str) -> Result<Option<EnvConfig>, RunError> {
    let (source, _, which) = parts(player);
    if player == "random" || solver_positions(player).is_some() || player.starts_with(GTP) {
        return Ok(None);
    }
    Ok(Some(policy::load_which(setup, Path::new(source), which)?.card().env.clone()))
}

/// What is typed, with `PATH@all` as all checkpoints of a run whose weights are kept (`runtime.keep_models`).
///
/// # Errors
/// If a run keeps none, or its directory cannot be read.
pub fn expanded(typed: &[String]) -> Result<Vec<String>, RunError> {
    let mut players = Vec::new();
    for player in typed {
        let Some(run) = player.strip_suffix("@all").filter(|_| !player.starts_with(GTP)) else {
            players.push(player.clone());
            continue;
        };
        let steps = ladder::kept(Path::new(parts(run).0))?;
        players.extend(steps.into_iter().map(|step| format!("{run}@{step}")));
    }
    Ok(players)
}

/// What begins the command of another program.
const GTP: &str = "gtp:";

/// Positions that a solver looks at before a move, where nothing is said: about a second.
const SOLVER_POSITIONS: u64 = 1_000_000;

/// `solver[#POSITIONS]`: how many positions it may look at; none for another player.
fn solver_positions(player: &str) -> Option<u64> {
    match player.strip_prefix("solver")? {
        "" => Some(SOLVER_POSITIONS),
        rest => rest.strip_prefix('#')?.parse().ok(),
    }
}

/// `PATH[#SIMULATIONS][@STEP]`: the path, simulations of its own, and which checkpoint.
fn parts(player: &str) -> (&str, Option<usize>, Which) {
    let (rest, step) = match player.rsplit_once('@') {
        Some((rest, step)) => match step.parse() {
            Ok(step) => (rest, Which::Step(step)),
            Err(_) => (player, Which::Newest),
        },
        None => (player, Which::Newest),
    };
    match rest.rsplit_once('#') {
        Some((path, simulations)) => match simulations.parse() {
            Ok(simulations) => (path, Some(simulations), step),
            Err(_) => (rest, None, step),
        },
        None => (rest, None, step),
    }
}

/// Makes a player of a game: `random`, `solver[#POSITIONS]`, `gtp:COMMAND`, or `PATH[#SIMULATIONS][@STEP]`, a run or a weight
/// file.
///
/// # Errors
/// If there is no such policy or program, or it does not fit the game.
pub fn player(
    setup: &Setup,
    typed: &str,
    env: &EnvConfig,
    options: &PlayerOptions,
) -> Result<Box<dyn Player>, RunError> {
    if typed == "random" {
        return Ok(Box::new(Random(Pcg64::seed_from(options.seed))));
    }
    if let Some(most) = solver_positions(typed) {
        let (name, solver) = (typed.to_owned(), solver_of(env)?);
        return Ok(Box::new(Perfect { name, solver, most, rng: Pcg64::seed_from(options.seed) }));
    }
    if let Some(command) = typed.strip_prefix(GTP) {
        return Ok(Box::new(Engine::start(command, env, options.timeout)?));
    }
    let (source, simulations, which) = parts(typed);
    let trained = policy::load_which(setup, Path::new(source), which)?;
    let mut games = Games::new(setup, env, 1)?;
    crate::acting::fit(&mut games.simulator, &trained.card().spaces, &trained.card().statistics)?;
    // All players share the boards, and so what is put around these.
    if trained.card().env.wrappers != env.wrappers || !trained.card().statistics.is_empty() {
        return Err(RunError::Policy(format!(
            "{typed} was trained with other wrappers than the game is played with, or with running statistics of its own"
        )));
    }
    let policy = std::sync::Arc::clone(&trained.acting().policy);
    // One way of thinking for all players: those that do not search go without.
    let mut thinking =
        if policy.lookahead().is_some() { options.thinking.clone() } else { Thinking::default() };
    thinking.simulations = simulations.or(thinking.simulations);
    if simulations == Some(0) {
        // The others' searches are nothing to one that is to play without.
        thinking.changes.clear();
    }
    let thinker = Thinker::new(policy, &thinking, options.seed)?;
    Ok(Box::new(Trained { name: typed.to_owned(), thinker }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_typed_with_simulations_and_a_checkpoint_or_without() {
        assert_eq!(parts("runs/a"), ("runs/a", None, Which::Newest));
        assert_eq!(parts("runs/a#64"), ("runs/a", Some(64), Which::Newest));
        assert_eq!(parts("runs/a@5000"), ("runs/a", None, Which::Step(5000)));
        assert_eq!(parts("runs/a#0@5000"), ("runs/a", Some(0), Which::Step(5000)));
        assert_eq!(solver_positions("solver"), Some(SOLVER_POSITIONS));
        assert_eq!(solver_positions("solver#500"), Some(500));
        assert_eq!(solver_positions("solvers"), None);
        assert_eq!(parts("runs/x#y@z"), ("runs/x#y@z", None, Which::Newest));
    }
}
