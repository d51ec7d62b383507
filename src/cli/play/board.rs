//! A board game in the terminal, against an agent or another program.

use std::io::{self, Write};
use std::time::Duration;

use agon_envs::Space;
use crossterm::event::{self, Event, KeyCode, KeyEventKind};
use crossterm::style::{Print, Stylize};
use crossterm::terminal::{Clear, ClearType};
use crossterm::{cursor, queue};

use crate::RunError;
use crate::arena::players::{self, Player, PlayerOptions, Reply};
use crate::arena::{Games, Verdict};
use crate::config::EnvConfig;
use crate::error::AtPath;
use crate::runtime::Setup;

/// A game between the keyboard and somebody.
pub(super) struct Match {
    games: Games,
    other: Box<dyn Player>,
    /// Whether the keyboard moves first.
    first: bool,
    /// Row and column of the cursor.
    at: [usize; 2],
    size: [usize; 2],
    note: String,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Step([isize; 2]),
    Place,
    /// A move that is no square, such as a pass.
    Other,
    Undo,
    Restart,
    Quit,
}

fn wish(key: KeyCode) -> Option<Wish> {
    Some(match key {
        KeyCode::Left | KeyCode::Char('a') => Wish::Step([0, -1]),
        KeyCode::Right | KeyCode::Char('d') => Wish::Step([0, 1]),
        KeyCode::Up | KeyCode::Char('w') => Wish::Step([-1, 0]),
        KeyCode::Down | KeyCode::Char('s') => Wish::Step([1, 0]),
        KeyCode::Enter | KeyCode::Char(' ') => Wish::Place,
        KeyCode::Char('p') => Wish::Other,
        KeyCode::Char('u') => Wish::Undo,
        KeyCode::Char('r') => Wish::Restart,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        _ => return None,
    })
}

impl Match {
    /// Against somebody: a run or a file, `random`, or `gtp:COMMAND`.
    pub(super) fn new(
        setup: &Setup,
        env: &EnvConfig,
        against: &str,
        first: bool,
        options: &PlayerOptions,
    ) -> Result<Self, RunError> {
        let games = Games::new(setup, env, 1)?;
        let other = players::player(setup, against, env, options)?;
        players::ensure_one_searches(std::slice::from_ref(&other), &options.thinking)?;
        let size = match games.simulator.observation_space() {
            Space::Box(bounds) => [bounds.shape()[0], bounds.shape()[1]],
            _ => [1, games.names().len()],
        };
        let at = [size[0] / 2, size[1] / 2];
        Ok(Self { games, other, first, at, size, note: String::new() })
    }

    /// Plays until the player has had enough.
    pub(super) fn play(&mut self, screen: &mut io::Stdout) -> Result<(), RunError> {
        loop {
            self.show(screen).at("cannot write to", "the terminal".as_ref())?;
            let over = self.games.verdict(0).is_some();
            if !over && (self.games.turn(0) == 0) != self.first {
                self.answer()?;
                continue;
            }
            match next_wish().at("cannot read", "the keyboard".as_ref())? {
                Wish::Quit => return Ok(()),
                Wish::Restart => self.begin_again()?,
                Wish::Undo => self.undo()?,
                Wish::Step(by) => self.step(by),
                Wish::Place | Wish::Other if over => {}
                Wish::Place => self.place(self.action_at())?,
                Wish::Other => self.place(self.other_action())?,
            }
        }
    }

    fn begin_again(&mut self) -> Result<(), RunError> {
        self.note.clear();
        self.games.restart()
    }

    fn step(&mut self, by: [isize; 2]) {
        for ((at, size), by) in self.at.iter_mut().zip(self.size).zip(by) {
            *at = at.saturating_add_signed(by).min(size - 1);
        }
    }

    /// The action of the square under the cursor: the square's, or its column's where moves are columns.
    fn action_at(&self) -> Option<u32> {
        let ([rows, columns], [row, column]) = (self.size, self.at);
        let actions = self.games.names().len();
        let action = if actions >= rows * columns { row * columns + column } else { column };
        (action < actions).then_some(action as u32)
    }

    /// The first action that is legal and no square.
    fn other_action(&self) -> Option<u32> {
        let squares = self.size[0] * self.size[1];
        let legal = self.games.legal(0);
        (squares..legal.len()).find(|&action| legal[action]).map(|action| action as u32)
    }

    fn place(&mut self, action: Option<u32>) -> Result<(), RunError> {
        match action.filter(|&action| self.games.legal(0)[action as usize]) {
            Some(action) => {
                self.note = format!("you: {}", self.games.names()[action as usize]);
                self.games.play(&[Some(action)])
            }
            None => {
                "that is not legal here".clone_into(&mut self.note);
                Ok(())
            }
        }
    }

    fn answer(&mut self) -> Result<(), RunError> {
        let reply = self.other.choose(&mut self.games, &[0])?.pop();
        match reply {
            Some(Reply::Move(action)) => {
                self.note += &format!("   {}: {}", self.other.name(), self.games.names()[action as usize]);
                self.games.play(&[Some(action)])
            }
            Some(Reply::Resign) => {
                self.note += "   it resigns";
                self.games.end(0, if self.first { Verdict::First } else { Verdict::Second });
                Ok(())
            }
            Some(Reply::Void(reason)) => {
                Err(RunError::Config(format!("{} cannot go on: {reason}", self.other.name())))
            }
            None => Ok(()),
        }
    }

    /// Takes back both sides' last moves.
    fn undo(&mut self) -> Result<(), RunError> {
        let mut moves = self.games.moves(0).to_vec();
        moves.pop();
        while moves.len() % 2 != usize::from(!self.first) && !moves.is_empty() {
            moves.pop();
        }
        self.begin_again()?;
        moves.into_iter().try_for_each(|action| self.games.play(&[Some(action)]))
    }

    fn show(&mut self, screen: &mut io::Stdout) -> io::Result<()> {
        let text = self.games.simulator.render_text(0).unwrap_or_default();
        let state = match (self.games.verdict(0), self.first) {
            (None, _) => {
                "arrows and Enter place, p is another move (pass, swap), u takes back, r anew, q ends"
            }
            (Some(Verdict::Draw), _) => "a draw: r for another, q to end",
            (Some(Verdict::First), true) | (Some(Verdict::Second), false) => {
                "you won: r for another, q to end"
            }
            _ => "you lost: r for another, q to end",
        };
        queue!(screen, Clear(ClearType::All), cursor::MoveTo(0, 0), Print(state))?;
        for (row, line) in text.lines().enumerate() {
            queue!(screen, cursor::MoveTo(0, row as u16 + 2))?;
            let mut column = 0;
            for c in line.chars() {
                let is_square = row < self.size[0] && !c.is_whitespace();
                if is_square && [row, column] == self.at {
                    queue!(screen, Print(c.reverse()))?;
                } else {
                    queue!(screen, Print(c))?;
                }
                column += usize::from(is_square);
                if is_square {
                    queue!(screen, Print(' '))?;
                }
            }
        }
        let below = text.lines().count() as u16 + 3;
        queue!(screen, cursor::MoveTo(0, below), Print(&self.note))?;
        screen.flush()
    }
}

/// The next key that means something.
fn next_wish() -> io::Result<Wish> {
    loop {
        if event::poll(Duration::from_millis(500))?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && let Some(wish) = wish(key.code)
        {
            return Ok(wish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against_chance(id: &str, first: bool) -> Match {
        let env = EnvConfig { id: id.to_owned(), ..EnvConfig::default() };
        let options = PlayerOptions {
            thinking: crate::arena::Thinking::default(),
            timeout: Duration::from_secs(1),
            seed: 2,
        };
        Match::new(&Setup::default(), &env, "random", first, &options).unwrap()
    }

    #[test]
    fn squares_columns_and_passes_are_found() {
        let mut four = against_chance("ConnectFour-v0", true);
        four.step([0, -9]);
        assert_eq!((four.at, four.action_at(), four.other_action()), ([3, 0], Some(0), None));
        let mut go = against_chance("Go-v0", true);
        go.step([-9, 9]);
        assert_eq!((go.at, go.action_at(), go.other_action()), ([0, 8], Some(8), Some(81)));
    }

    #[test]
    fn moves_are_made_answered_and_taken_back() {
        let mut game = against_chance("TicTacToe-v0", true);
        game.place(game.action_at()).unwrap();
        assert_eq!(game.games.moves(0), [4]);
        game.place(game.action_at()).unwrap();
        assert_eq!((game.games.moves(0).len(), game.note.as_str()), (1, "that is not legal here"));
        game.answer().unwrap();
        assert_eq!(game.games.moves(0).len(), 2);
        game.undo().unwrap();
        assert!(game.games.moves(0).is_empty());
        // Who moves second keeps the other side's first move.
        let mut game = against_chance("TicTacToe-v0", false);
        game.answer().unwrap();
        let free = (0..9).find(|&action| game.games.legal(0)[action as usize]);
        game.place(free).unwrap();
        game.answer().unwrap();
        game.undo().unwrap();
        assert_eq!(game.games.moves(0).len(), 1);
    }
}
