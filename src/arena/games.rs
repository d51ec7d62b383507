//! Games of two sides that are played beside each other.

use agon_envs::{ActionBatch, Seed, Simulator, StepBatch};

use crate::RunError;
use crate::config::EnvConfig;
use crate::setup::Setup;

/// How a game ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The side that moved first won.
    First,
    /// The other one won.
    Second,
    /// Nobody won.
    Draw,
}

/// Some games, each in an arena of a simulator. A game that is over keeps its moves and its end.
pub struct Games {
    /// The boards. Those of games that are over stand for nothing.
    pub simulator: Simulator,
    /// What was observed last.
    pub now: StepBatch,
    names: Vec<String>,
    moves: Vec<Vec<u32>>,
    ended: Vec<Option<Verdict>>,
}

impl Games {
    /// So many games from the start, each side a row.
    ///
    /// # Errors
    /// If the environment is no game of two sides whose moves have names.
    pub fn new(setup: &Setup, env: &EnvConfig, count: usize) -> Result<Self, RunError> {
        let mut env = env.clone();
        env.args.insert("opponent".to_owned(), "self".into());
        let no_game =
            || RunError::Config(format!("{} is no game of two sides whose moves have names", env.id));
        let mut options = env.options(count);
        options.num_envs = count;
        let simulator = setup.registry.make(&env.id, &options).map_err(|error| {
            // An environment without opponents says that it does not know the argument.
            if error.to_string().contains("opponent") { no_game() } else { error.into() }
        })?;
        let info = simulator.info();
        if !info.turns || info.num_agents != 2 || info.action_names.is_empty() {
            return Err(no_game());
        }
        let mut games = Self {
            names: info.action_names.clone(),
            now: simulator.new_batch(),
            simulator,
            moves: vec![Vec::new(); count],
            ended: vec![None; count],
        };
        games.restart()?;
        Ok(games)
    }

    /// Sets up all boards anew.
    ///
    /// # Errors
    /// If the environment fails.
    pub fn restart(&mut self) -> Result<(), RunError> {
        self.simulator.reset_with(&vec![Seed::Integer(0); self.len()], &mut self.now)?;
        self.moves.iter_mut().for_each(Vec::clear);
        self.ended.fill(None);
        Ok(())
    }

    /// Sets up the boards of some games anew.
    ///
    /// # Errors
    /// If the environment fails.
    pub fn begin_again(&mut self, which: &[usize]) -> Result<(), RunError> {
        let envs: Vec<u32> = which.iter().map(|&game| game as u32).collect();
        self.simulator.reset_envs(&envs, &mut self.now)?;
        for &game in which {
            self.moves[game].clear();
            self.ended[game] = None;
        }
        Ok(())
    }

    /// Number of games.
    pub fn len(&self) -> usize {
        self.moves.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// The moves of a game so far.
    pub fn moves(&self, game: usize) -> &[u32] {
        &self.moves[game]
    }

    /// How moves are written.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How a game ended, if it did.
    pub fn verdict(&self, game: usize) -> Option<Verdict> {
        self.ended[game]
    }

    /// Whose turn it is, 0 for the side that moved first.
    pub fn turn(&self, game: usize) -> usize {
        self.simulator.turn(game)
    }

    /// What whoever is to move may do.
    pub fn legal(&self, game: usize) -> &[bool] {
        let (row, len) = (2 * game + self.turn(game), self.simulator.mask_len());
        &self.now.action_masks[row * len..(row + 1) * len]
    }

    /// Makes a move in each game of which one is given; the others go nowhere.
    ///
    /// # Errors
    /// If a move is not legal, or a game is over that a move is given for.
    pub fn play(&mut self, moves: &[Option<u32>]) -> Result<(), RunError> {
        let mut actions = vec![0; 2 * self.len()];
        let mut kept = Vec::new();
        for (game, chosen) in moves.iter().enumerate() {
            let turn = self.turn(game);
            let action = match chosen {
                Some(action) => {
                    let is_legal = self.legal(game).get(*action as usize).copied().unwrap_or(false);
                    if self.ended[game].is_some() || !is_legal {
                        let name = self.names.get(*action as usize).map_or("no move", String::as_str);
                        return Err(RunError::Config(format!("{name} is not legal in this position")));
                    }
                    *action
                }
                // The board is stepped with the others, and put back.
                None => {
                    kept.push((game, self.simulator.save_env(game)?));
                    self.legal(game).iter().position(|&legal| legal).unwrap_or(0) as u32
                }
            };
            actions[2 * game + turn] = action;
        }
        let before = if kept.is_empty() { None } else { Some(self.now.clone()) };
        self.simulator.step(&ActionBatch::Discrete(actions), &mut self.now)?;
        for (game, chosen) in moves.iter().enumerate() {
            let Some(action) = chosen else { continue };
            self.moves[game].push(*action);
            if self.now.terminated[2 * game] || self.now.truncated[2 * game] {
                self.ended[game] = Some(match self.now.rewards[2 * game] {
                    reward if reward > 0.0 => Verdict::First,
                    reward if reward < 0.0 => Verdict::Second,
                    _ => Verdict::Draw,
                });
            }
        }
        if let Some(before) = before {
            for (game, state) in kept {
                self.simulator.load_env(game, &state)?;
                self.now.copy_env_from(&before, game, game, self.simulator.info());
            }
        }
        Ok(())
    }

    /// Ends a game before its end.
    pub fn end(&mut self, game: usize, verdict: Verdict) {
        self.ended[game] = Some(verdict);
    }

    /// Games that go on.
    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|&game| self.ended[game].is_none())
    }
}
