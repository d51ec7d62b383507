//! An agent as an engine.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::{PASS, action, side};
use crate::RunError;
use crate::acting::fit;
use crate::arena::{Games, Thinker, Thinking, Verdict};
use crate::config::EnvConfig;
use crate::policy::{self, TrainedPolicy, Which};
use crate::setup::Setup;

/// Commands that are answered.
const COMMANDS: [&str; 18] = [
    "boardsize",
    "clear_board",
    "final_score",
    "genmove",
    "gogui-analyze_commands",
    "agon-search",
    "known_command",
    "komi",
    "list_commands",
    "name",
    "play",
    "protocol_version",
    "quit",
    "reg_genmove",
    "showboard",
    "time_left",
    "time_settings",
    "undo",
];
/// Bytes of a command at most.
const LONGEST_COMMAND: u64 = 1 << 16;
/// Moves that the rest of the main time is spread over.
const MOVES_LEFT: f64 = 20.0;

/// Which agent, and how it plays.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// A run or a weight file.
    pub source: PathBuf,
    /// Which of a run's weights.
    pub which: Which,
    /// How it thinks before a move at most.
    pub thinking: Thinking,
}

/// What a clock leaves for a move.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Clock {
    main_s: f64,
    period_s: f64,
    /// Moves of a period.
    stones: f64,
}

impl Clock {
    /// Seconds for the next move; none without a limit.
    fn for_move(self) -> Option<f64> {
        if self.main_s > 0.0 {
            Some(self.main_s / MOVES_LEFT)
        } else if self.stones > 0.0 {
            Some(self.period_s / self.stones)
        } else {
            None
        }
    }
}

/// An agent, and the game that is on its board.
struct Server<'a> {
    setup: &'a Setup,
    trained: TrainedPolicy,
    env: EnvConfig,
    games: Games,
    thinker: Thinker,
    /// Simulations before each move where there is time for them.
    simulations: usize,
    clocks: [Clock; 2],
    /// Seconds that a simulation takes, as seen so far.
    pace_s: Option<f64>,
    /// What the last search came to.
    last: Vec<(String, f64)>,
}

/// Answers commands until `quit` or the end of the input.
///
/// # Errors
/// If the agent cannot be loaded, or input or output fail. A wrong command is answered, and no error.
pub fn serve(
    setup: &Setup,
    options: &ServerOptions,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), RunError> {
    let mut server = Server::new(setup, options)?;
    let failed =
        |source| RunError::Io { action: "cannot use", path: "standard input and output".into(), source };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut *input, LONGEST_COMMAND).read_until(b'\n', &mut line);
        if read.map_err(failed)? == 0 {
            return Ok(());
        }
        let text: String =
            String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let text = text.split('#').next().unwrap_or_default();
        let mut words = text.split_whitespace().peekable();
        let id =
            words.next_if(|word| word.chars().all(|c| c.is_ascii_digit())).unwrap_or_default().to_owned();
        let words: Vec<&str> = words.collect();
        let Some((&command, arguments)) = words.split_first() else { continue };
        let answer = match server.answer(command, arguments) {
            Ok(text) => format!("={id} {text}"),
            Err(message) => format!("?{id} {message}"),
        };
        write!(output, "{}\n\n", answer.trim_end()).map_err(failed)?;
        output.flush().map_err(failed)?;
        if command == "quit" {
            return Ok(());
        }
    }
}

impl<'a> Server<'a> {
    fn new(setup: &'a Setup, options: &ServerOptions) -> Result<Self, RunError> {
        let trained = policy::load_which(setup, &options.source, options.which)?;
        let env = trained.card().env.clone();
        let policy = Arc::clone(&trained.acting().policy);
        let thinker = Thinker::new(policy, &options.thinking, 0)?;
        let games = board(setup, &trained, &env)?;
        let simulations = thinker.simulations();
        let clocks = [Clock::default(); 2];
        Ok(Self { setup, trained, env, games, thinker, simulations, clocks, pace_s: None, last: Vec::new() })
    }

    fn answer(&mut self, command: &str, arguments: &[&str]) -> Result<String, String> {
        match (command, arguments) {
            ("protocol_version", _) => Ok("2".to_owned()),
            ("name", _) => Ok("Agon".to_owned()),
            ("version", _) => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            ("known_command", [name]) => Ok((COMMANDS.contains(name) || *name == "version").to_string()),
            ("list_commands", _) => Ok([&COMMANDS[..], &["version"]].concat().join("\n")),
            ("quit", _) => Ok(String::new()),
            ("boardsize", [size]) => self.set_size(size),
            ("komi", [komi]) => self.set_komi(komi),
            ("clear_board", []) => {
                self.games.restart().map(|()| String::new()).map_err(|error| error.chain())
            }
            ("play", [colour, name]) => self.play(colour, name),
            ("undo", []) => self.undo(),
            ("genmove", [colour]) => self.generate(colour, true),
            ("reg_genmove", [colour]) => self.generate(colour, false),
            ("showboard", []) => {
                let text = self.games.simulator.render_text(0).ok_or("the game has no text")?;
                Ok(format!("\n{text}"))
            }
            ("final_score", []) => Ok(match self.games.verdict(0) {
                Some(Verdict::First) => "B+".to_owned(),
                Some(Verdict::Second) => "W+".to_owned(),
                Some(Verdict::Draw) => "0".to_owned(),
                None => return Err("the game is not over".to_owned()),
            }),
            ("time_settings", [main, period, stones]) => {
                let clock = clock(main, period, stones)?;
                self.clocks = [clock; 2];
                Ok(String::new())
            }
            ("time_left", [colour, time, stones]) => {
                let side = side(colour).ok_or("expected a colour")?;
                let (time, stones) = (seconds(time)?, seconds(stones)?);
                let clock = &mut self.clocks[side];
                if stones > 0.0 {
                    (clock.main_s, clock.period_s, clock.stones) = (0.0, time, stones);
                } else {
                    clock.main_s = time;
                }
                Ok(String::new())
            }
            ("gogui-analyze_commands", []) => Ok("pspairs/What the search found/agon-search".to_owned()),
            ("agon-search", []) => {
                let pair = |(name, share): &(String, f64)| format!("{name} {:.0}%", 100.0 * share);
                Ok(self.last.iter().map(pair).collect::<Vec<_>>().join(" "))
            }
            (known, _) if COMMANDS.contains(&known) => Err("syntax error".to_owned()),
            _ => Err("unknown command".to_owned()),
        }
    }

    fn set_size(&mut self, size: &str) -> Result<String, String> {
        let [rows, columns] = match self.trained.card().spaces.observation.shape().as_deref() {
            Some([rows, columns, ..]) => [*rows, *columns],
            _ => return Err("the game has no board".to_owned()),
        };
        let wanted: usize = size.parse().map_err(|_| "expected a number")?;
        if wanted != rows && wanted != columns {
            return Err("unacceptable size".to_owned());
        }
        self.games.restart().map_err(|error| error.chain())?;
        Ok(String::new())
    }

    /// Changes the komi of Go; other games have none.
    fn set_komi(&mut self, komi: &str) -> Result<String, String> {
        let komi: f64 = komi.parse().map_err(|_| "expected a number")?;
        if !self.env.id.starts_with("Go-") {
            return Ok(String::new());
        }
        let mut env = self.env.clone();
        env.args.insert("komi".to_owned(), komi.into());
        let moves = self.games.moves(0).to_vec();
        let games = board(self.setup, &self.trained, &env).map_err(|error| error.chain())?;
        (self.env, self.games) = (env, games);
        self.replay(&moves)?;
        Ok(String::new())
    }

    fn replay(&mut self, moves: &[u32]) -> Result<(), String> {
        self.games.restart().map_err(|error| error.chain())?;
        moves.iter().try_for_each(|&action| self.games.play(&[Some(action)])).map_err(|error| error.chain())
    }

    fn play(&mut self, colour: &str, name: &str) -> Result<String, String> {
        let side = side(colour).ok_or("expected a colour")?;
        let action = action(self.games.names(), name).ok_or("invalid move")?;
        if self.games.verdict(0).is_some() || !self.give_turn(side) {
            return Err("illegal move".to_owned());
        }
        self.games.play(&[Some(action)]).map_err(|_| "illegal move")?;
        Ok(String::new())
    }

    /// Whether it is a side's turn, if need be after a pass: sides move in turn here, and whoever moves twice in a row has the
    /// other side pass.
    fn give_turn(&mut self, side: usize) -> bool {
        let pass = action(self.games.names(), PASS);
        side == self.games.turn(0) || pass.is_some_and(|pass| self.games.play(&[Some(pass)]).is_ok())
    }

    fn undo(&mut self) -> Result<String, String> {
        let mut moves = self.games.moves(0).to_vec();
        moves.pop().ok_or("cannot undo")?;
        self.replay(&moves)?;
        Ok(String::new())
    }

    fn generate(&mut self, colour: &str, plays: bool) -> Result<String, String> {
        let side = side(colour).ok_or("expected a colour")?;
        let is_over = |server: &Self| server.games.verdict(0).is_some();
        if !is_over(self) && side != self.games.turn(0) && !(plays && self.give_turn(side)) {
            return Err("it is the other side's turn".to_owned());
        }
        if is_over(self) {
            // A game that ended by its rules has nothing but passes left.
            return action(self.games.names(), PASS)
                .map(|_| PASS.to_owned())
                .ok_or("the game is over".to_owned());
        }
        let affordable =
            self.clocks[side].for_move().zip(self.pace_s).map(|(time, pace)| (time / pace) as usize);
        let simulations = affordable.unwrap_or(self.simulations).clamp(1, self.simulations.max(1));
        self.thinker.set_simulations(simulations);
        let begin = Instant::now();
        let thoughts = self.thinker.think(&mut self.games, &[0]).map_err(|error| error.chain())?;
        let taken = begin.elapsed().as_secs_f64() / simulations as f64;
        self.pace_s = Some(self.pace_s.map_or(taken, |pace| 0.5 * (pace + taken)));
        let thought = thoughts.into_iter().next().ok_or("there is no move")?;
        let names = self.games.names();
        let mut shares: Vec<(String, f64)> =
            names.iter().cloned().zip(thought.policy.iter().map(|&p| f64::from(p))).collect();
        shares.retain(|(_, share)| *share >= 0.005);
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let name = names[thought.action].clone();
        self.last = shares;
        if plays {
            self.games.play(&[Some(thought.action as u32)]).map_err(|error| error.chain())?;
        }
        Ok(name)
    }
}

/// A board of its own for one game.
fn board(setup: &Setup, trained: &TrainedPolicy, env: &EnvConfig) -> Result<Games, RunError> {
    let mut games = Games::new(setup, env, 1)?;
    fit(&mut games.simulator, &trained.card().spaces, &trained.card().statistics)?;
    Ok(games)
}

fn seconds(word: &str) -> Result<f64, String> {
    let number: f64 = word.parse().map_err(|_| "expected a number")?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err("expected a number from 0 on".to_owned())
    }
}

fn clock(main: &str, period: &str, stones: &str) -> Result<Clock, String> {
    Ok(Clock { main_s: seconds(main)?, period_s: seconds(period)?, stones: seconds(stones)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_spreads_what_it_has() {
        assert_eq!(clock("0", "0", "0").unwrap().for_move(), None);
        assert_eq!(clock("600", "0", "0").unwrap().for_move(), Some(30.0));
        assert_eq!(clock("0", "30", "5").unwrap().for_move(), Some(6.0));
        assert!(clock("-1", "0", "0").is_err() && clock("0", "x", "0").is_err());
    }
}
