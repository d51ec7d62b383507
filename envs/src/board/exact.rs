//! Perfect play: what every move of a position comes to if both sides go on without a mistake.
//!
//! Alpha-beta search with a table of positions that were met, and moves tried first that leave the other side few answers.
//! That is quick where little of a game is left: all of tic-tac-toe, the last dozen squares of Othello, the end of Connect
//! Four. How far it may go is said in positions, so that nobody waits without bound.

use std::collections::HashMap;
use std::hash::Hash;

use super::{BoardArguments, ConnectFour, Othello, OthelloArguments, Rules, TicTacToe, Verdict};
use crate::EnvError;
use crate::registry::read;

/// Positions that are remembered at most; then all are forgotten.
const MOST_REMEMBERED: usize = 1 << 21;
/// More than any score is.
const INFINITE: i32 = 1_000_000;

/// Solves the positions of one game.
pub trait Solver: Send {
    /// The score of each action for the side to move after the given actions, above zero for a win and by the game's own
    /// measure ([`Rules::margin`]); none for an action that is not allowed.
    ///
    /// # Errors
    /// [`Unsolved`].
    fn solve(&mut self, actions: &[u32], most: u64) -> Result<Vec<Option<i32>>, Unsolved>;
}

/// Why a position has no scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsolved {
    /// More positions would have to be looked at than was allowed.
    TooFar,
    /// An action is not allowed, or the game is over.
    NoPosition,
}

/// The solver of a built-in game; none if it has none.
///
/// # Errors
/// If the arguments are not the game's.
pub fn solver(id: &str, args: &toml::Table) -> Result<Option<Box<dyn Solver>>, EnvError> {
    Ok(match id {
        "TicTacToe-v0" => {
            let _: BoardArguments = read(id, args)?;
            Some(Box::new(Exact::new(TicTacToe)))
        }
        "ConnectFour-v0" => {
            let _: BoardArguments = read(id, args)?;
            Some(Box::new(Exact::new(ConnectFour)))
        }
        "Othello-v0" => {
            let args: OthelloArguments = read(id, args)?;
            Some(Box::new(Exact::new(Othello::new(args.size)?)))
        }
        _ => None,
    })
}

/// The solver of any game whose positions can be compared.
pub struct Exact<R: Rules> {
    rules: R,
    /// Bounds of the scores of positions, for the side to move.
    known: HashMap<R::Position, [i16; 2]>,
    /// Positions that may yet be looked at.
    left: u64,
}

/// A move, what it leads to, and how the game ended by it.
struct Child<P> {
    position: P,
    verdict: Option<Verdict>,
    /// Answers of the other side.
    answers: usize,
}

impl<R: Rules> Exact<R>
where
    R::Position: Eq + Hash,
{
    /// A solver that knows nothing yet.
    pub fn new(rules: R) -> Self {
        Self { rules, known: HashMap::new(), left: 0 }
    }

    fn legal(&self, position: &R::Position) -> Vec<bool> {
        let mut legal = vec![false; self.rules.actions()];
        self.rules.legal(position, &mut legal);
        legal
    }

    fn child(&self, position: &R::Position, action: usize) -> Child<R::Position> {
        let mut position = position.clone();
        let verdict = self.rules.play(&mut position, action);
        let answers = match verdict {
            Some(_) => 0,
            None => self.legal(&position).iter().filter(|legal| **legal).count(),
        };
        Child { position, verdict, answers }
    }

    /// What a move is worth to whoever made it, as far as it lies between the bounds.
    fn worth(&mut self, child: &Child<R::Position>, low: i32, high: i32) -> Result<i32, Unsolved> {
        match child.verdict {
            Some(verdict) => Ok(self.rules.margin(&child.position, verdict)),
            None => Ok(-self.score(&child.position, -high, -low)?),
        }
    }

    /// The score of a position for the side to move: itself if it lies between the bounds, else a bound on the same side.
    fn score(&mut self, position: &R::Position, mut low: i32, mut high: i32) -> Result<i32, Unsolved> {
        self.left = self.left.checked_sub(1).ok_or(Unsolved::TooFar)?;
        if let Some(&[least, most]) = self.known.get(position) {
            let [least, most] = [least, most].map(i32::from);
            if least >= high || least == most {
                return Ok(least);
            }
            if most <= low {
                return Ok(most);
            }
            (low, high) = (low.max(least), high.min(most));
        }
        let legal = self.legal(position);
        let actions = legal.iter().enumerate().filter(|(_, legal)| **legal).map(|(action, _)| action);
        let mut children: Vec<_> = actions.map(|action| self.child(position, action)).collect();
        children.sort_by_key(|child| child.answers);
        let (mut best, mut floor) = (-INFINITE, low);
        for child in &children {
            best = best.max(self.worth(child, floor, high)?);
            floor = floor.max(best);
            if best >= high {
                break;
            }
        }
        if self.known.len() >= MOST_REMEMBERED {
            self.known.clear();
        }
        let bounds = self.known.entry(position.clone()).or_insert([i16::MIN, i16::MAX]);
        if best > low {
            bounds[0] = bounds[0].max(best as i16);
        }
        if best < high {
            bounds[1] = bounds[1].min(best as i16);
        }
        Ok(best)
    }
}

impl<R: Rules> Solver for Exact<R>
where
    R::Position: Eq + Hash,
{
    fn solve(&mut self, actions: &[u32], most: u64) -> Result<Vec<Option<i32>>, Unsolved> {
        let mut position = self.rules.start();
        for &action in actions {
            if !self.legal(&position).get(action as usize).copied().unwrap_or(false) {
                return Err(Unsolved::NoPosition);
            }
            if self.rules.play(&mut position, action as usize).is_some() {
                return Err(Unsolved::NoPosition);
            }
        }
        self.left = most;
        let legal = self.legal(&position);
        let mut scores = vec![None; legal.len()];
        for (action, score) in scores.iter_mut().enumerate().filter(|(action, _)| legal[*action]) {
            let child = self.child(&position, action);
            *score = Some(self.worth(&child, -INFINITE, INFINITE)?);
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::super::game::tests::moves;
    use super::*;
    use crate::Pcg64;

    /// The score of a position by looking at everything.
    fn plain<R: Rules>(rules: &R, position: &R::Position) -> i32 {
        let after = |action| {
            let mut next = position.clone();
            match rules.play(&mut next, action) {
                Some(verdict) => rules.margin(&next, verdict),
                None => -plain(rules, &next),
            }
        };
        moves(rules, position).into_iter().map(after).max().unwrap()
    }

    /// Positions of random games after so many moves, and the moves that lead there.
    fn positions<R: Rules>(rules: &R, after: usize, count: usize) -> Vec<(R::Position, Vec<u32>)> {
        let mut rng = Pcg64::seed_from(3);
        let mut found = Vec::new();
        while found.len() < count {
            let (mut position, mut path, mut over) = (rules.start(), Vec::new(), false);
            while path.len() < after && !over {
                let moves = moves(rules, &position);
                let action = moves[rng.integers(0, moves.len() as i64) as usize];
                path.push(action as u32);
                over = rules.play(&mut position, action).is_some();
            }
            if !over {
                found.push((position, path));
            }
        }
        found
    }

    fn agrees<R: Rules>(rules: &R, after: usize)
    where
        R::Position: Eq + Hash,
    {
        let mut solver = Exact::new(rules.clone());
        for (position, path) in positions(rules, after, 30) {
            let scores = solver.solve(&path, u64::MAX).unwrap();
            assert_eq!(scores.iter().flatten().max(), Some(&plain(rules, &position)), "{path:?}");
            for (action, score) in scores.into_iter().enumerate() {
                let Some(score) = score else { continue };
                let mut next = position.clone();
                let expected = match rules.play(&mut next, action) {
                    Some(verdict) => rules.margin(&next, verdict),
                    None => -plain(rules, &next),
                };
                assert_eq!(score, expected, "{path:?}, then {action}");
            }
        }
    }

    #[test]
    fn scores_are_those_of_looking_at_everything() {
        agrees(&TicTacToe, 2);
        agrees(&Othello::new(6).unwrap(), 26);
        agrees(&ConnectFour, 34);
    }

    #[test]
    fn tic_tac_toe_is_a_draw_whatever_the_first_move() {
        let scores = Exact::new(TicTacToe).solve(&[], u64::MAX).unwrap();
        assert_eq!(scores, vec![Some(0); 9]);
        // In answer to a corner only the middle is no loss.
        let scores = Exact::new(TicTacToe).solve(&[0], u64::MAX).unwrap();
        let good: Vec<usize> = (0..9).filter(|&action| scores[action] == Some(0)).collect();
        assert_eq!(good, [4]);
    }

    #[test]
    fn what_is_too_far_or_no_position_is_said() {
        let mut solver = Exact::new(ConnectFour);
        assert_eq!(solver.solve(&[], 1000), Err(Unsolved::TooFar));
        assert_eq!(solver.solve(&[7], 1000), Err(Unsolved::NoPosition));
        // A column of four is the end.
        assert_eq!(solver.solve(&[0, 1, 0, 1, 0, 1, 0], 1000), Err(Unsolved::NoPosition));
    }
}
