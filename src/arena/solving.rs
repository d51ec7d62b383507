//! Positions for [`solved`](super::solved), solved here.

use std::collections::HashSet;

use agon_envs::Pcg64;
use agon_envs::board::Unsolved;

use super::Games;
use super::players::{random_move, solver_of};
use super::solved::{self, Solved};
use crate::RunError;
use crate::config::EnvConfig;
use crate::setup::Setup;

/// Positions in a row that are none, ones that were had or ones too far from the end, before it is given up.
const MOST_IN_VAIN: usize = 1000;

/// Which positions to solve.
#[derive(Clone, Debug, PartialEq)]
pub struct SolvingOptions {
    /// The game.
    pub env: EnvConfig,
    /// Random moves that lead to a position.
    pub moves: usize,
    /// Positions.
    pub count: usize,
    /// Positions that may be looked at to solve one; those that take more are passed over.
    pub most: u64,
    /// Seed of the moves.
    pub seed: u64,
    /// The name of the set.
    pub set: String,
}

/// Solves positions that differ and hands each on as a line; gives how many were passed over.
///
/// # Errors
/// If the game has no solver, or there are not so many positions to be found.
pub fn solve(
    setup: &Setup,
    options: &SolvingOptions,
    told: &mut dyn FnMut(String) -> Result<(), RunError>,
) -> Result<usize, RunError> {
    let mut solver = solver_of(&options.env)?;
    let mut games = Games::new(setup, &options.env, 1)?;
    let mut rng = Pcg64::seed_from(options.seed);
    let (mut had, mut passed, mut found, mut in_vain) = (HashSet::new(), 0, 0, 0);
    while found < options.count {
        if in_vain == MOST_IN_VAIN {
            return Err(RunError::Config(format!(
                "{} has too few positions after {} moves that can be solved by looking at {} each: found {found} of {}",
                options.env.id, options.moves, options.most, options.count
            )));
        }
        in_vain += 1;
        let Some(actions) = random_game(&mut games, options.moves, &mut rng)? else { continue };
        if !had.insert(actions.clone()) {
            continue;
        }
        match solver.solve(&actions, options.most) {
            Ok(scores) => {
                let position = Solved { set: options.set.clone(), actions, scores };
                told(solved::line(&position, games.names()))?;
                (found, in_vain) = (found + 1, 0);
            }
            Err(Unsolved::TooFar) => passed += 1,
            Err(Unsolved::NoPosition) => {
                let message = "the solver's rules are not the game's, which is a bug";
                return Err(RunError::Config(message.to_owned()));
            }
        }
    }
    Ok(passed)
}

/// The moves of a random game up to a point; none if it was over by then.
fn random_game(games: &mut Games, moves: usize, rng: &mut Pcg64) -> Result<Option<Vec<u32>>, RunError> {
    games.begin_again(&[0])?;
    for _ in 0..moves {
        let action = random_move(games, 0, rng);
        games.play(&[Some(action)])?;
        if games.verdict(0).is_some() {
            return Ok(None);
        }
    }
    Ok(Some(games.moves(0).to_vec()))
}
