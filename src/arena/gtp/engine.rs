//! Another program as a player.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{COLOURS, PASS, action};
use crate::RunError;
use crate::arena::Games;
use crate::arena::players::{Player, Reply};
use crate::config::EnvConfig;

/// Bytes of an answer at most.
const LONGEST_ANSWER: usize = 1 << 20;

/// A program that speaks the protocol. It is started again if it dies or takes too long; the game that it was in is void.
pub struct Engine {
    command: String,
    name: String,
    /// The settings of the game: size of the board and komi.
    settings: Vec<String>,
    /// Whether nobody passes by choice, so that a program may know passes by itself and not hear of them.
    passes_are_forced: bool,
    timeout: Duration,
    process: Option<Process>,
    /// The game that it has on its board, and its moves.
    board: Option<(usize, Vec<u32>)>,
}

/// A running program.
struct Process {
    child: Child,
    stdin: ChildStdin,
    /// Answers, or why there is none.
    answers: Receiver<Result<String, String>>,
}

impl Engine {
    /// Starts a program by a command line, words with blanks between; quotes hold words together.
    ///
    /// # Errors
    /// If it cannot be started, or does not answer.
    pub fn start(command: &str, env: &EnvConfig, timeout: Duration) -> Result<Self, RunError> {
        let mut settings = Vec::new();
        let integer = |key: &str| env.args.get(key).and_then(toml::Value::as_integer);
        if env.id.starts_with("Go-") {
            settings.push(format!("boardsize {}", integer("size").unwrap_or(9)));
            let komi =
                env.args.get("komi").and_then(toml::Value::as_float).or(integer("komi").map(|k| k as f64));
            settings.push(format!("komi {}", komi.unwrap_or(7.5)));
        } else if let Some(size) = integer("size") {
            settings.push(format!("boardsize {size}"));
        }
        let mut engine = Self {
            command: command.to_owned(),
            name: format!("gtp:{command}"),
            settings,
            passes_are_forced: env.id.starts_with("Othello-"),
            timeout,
            process: None,
            board: None,
        };
        engine.begin().map_err(|message| {
            RunError::Config(format!("`{command}` is no engine that speaks the Go Text Protocol: {message}"))
        })?;
        Ok(engine)
    }

    /// Starts the program and tells it of the game.
    fn begin(&mut self) -> Result<(), String> {
        self.process = Some(Process::start(&self.command)?);
        self.board = None;
        self.ask("protocol_version")?;
        for setting in self.settings.clone() {
            self.ask(&setting)?;
        }
        Ok(())
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        self.tell(command)?.map_err(|refusal| format!("`{command}`: {refusal}"))
    }

    /// The answer to a command, or why it refuses.
    fn tell(&mut self, command: &str) -> Result<Result<String, String>, String> {
        let timeout = self.timeout;
        let process = self.process.as_mut().ok_or("it is not running")?;
        process.tell(command, timeout)
    }

    /// Sets up the position of a game, from what is on the board if that leads to it.
    fn set_up(&mut self, game: usize, moves: &[u32], names: &[String]) -> Result<(), String> {
        let held = match &self.board {
            Some((on, held)) if *on == game && moves.starts_with(held) => held.len(),
            _ => {
                self.ask("clear_board")?;
                0
            }
        };
        for (number, &action) in moves.iter().enumerate().skip(held) {
            let name = &names[action as usize];
            let command = format!("play {} {name}", COLOURS[number % 2]);
            if self.passes_are_forced && name == PASS {
                let _known_or_not = self.tell(&command)?;
            } else {
                self.ask(&command)?;
            }
        }
        self.board = Some((game, moves.to_vec()));
        Ok(())
    }

    fn choose_in(&mut self, games: &Games, game: usize) -> Result<Reply, String> {
        if self.process.is_none() {
            self.begin()?;
        }
        let moves = games.moves(game).to_vec();
        if let Some(pass) = action(games.names(), PASS).filter(|_| self.passes_are_forced)
            && games.legal(game)[pass as usize]
        {
            return Ok(Reply::Move(pass));
        }
        self.set_up(game, &moves, games.names())?;
        let answer = self.ask(&format!("genmove {}", COLOURS[games.turn(game)]))?;
        if answer.eq_ignore_ascii_case("resign") {
            self.board = None;
            return Ok(Reply::Resign);
        }
        let chosen = action(games.names(), &answer).filter(|&action| games.legal(game)[action as usize]);
        let chosen = chosen.ok_or_else(|| format!("its move {answer} is not legal"))?;
        self.board = Some((game, [moves, vec![chosen]].concat()));
        Ok(Reply::Move(chosen))
    }
}

impl Player for Engine {
    fn name(&self) -> &str {
        &self.name
    }

    fn choose(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Reply>, RunError> {
        let mut replies = Vec::with_capacity(which.len());
        for &game in which {
            replies.push(self.choose_in(games, game).unwrap_or_else(|message| {
                // Whatever happened, the next game gets a program that is sound.
                self.process = None;
                Reply::Void(message)
            }));
        }
        Ok(replies)
    }
}

impl Process {
    fn start(command: &str) -> Result<Self, String> {
        let words = words(command)?;
        let (program, arguments) = words.split_first().ok_or("there is no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no standard input or output".to_owned());
        };
        let (sender, answers) = bounded(1);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            loop {
                let answer = read_answer(&mut reader);
                let failed = answer.is_err();
                if sender.send(answer).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self { child, stdin, answers })
    }

    fn tell(&mut self, command: &str, timeout: Duration) -> Result<Result<String, String>, String> {
        let dead = |error: std::io::Error| format!("it takes no commands any more: {error}");
        writeln!(self.stdin, "{command}").map_err(dead)?;
        self.stdin.flush().map_err(dead)?;
        let answer = match self.answers.recv_timeout(timeout) {
            Ok(answer) => answer?,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("no answer to `{command}` after {} s", timeout.as_secs_f64()));
            }
            Err(RecvTimeoutError::Disconnected) => return Err("it ended".to_owned()),
        };
        Ok(match answer.strip_prefix('=') {
            Some(text) => Ok(text.trim_start_matches(|c: char| c.is_ascii_digit()).trim().to_owned()),
            None => Err(answer.trim_start_matches('?').trim().to_owned()),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is asked no more: whether it can still be killed does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads an answer: lines up to an empty one.
fn read_answer(reader: &mut impl BufRead) -> Result<String, String> {
    let mut answer = String::new();
    loop {
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut *reader, LONGEST_ANSWER as u64)
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("it ended".to_owned());
        }
        if answer.len() + line.len() > LONGEST_ANSWER {
            return Err(format!("its answer is longer than {LONGEST_ANSWER} bytes"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            if answer.is_empty() {
                continue;
            }
            return Ok(answer);
        }
        if !answer.is_empty() {
            answer.push('\n');
        }
        answer.push_str(text);
    }
}

/// The words of a command line, of which quotes hold some together.
fn words(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is open".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("gnugo --mode gtp").unwrap(), ["gnugo", "--mode", "gtp"]);
        assert_eq!(words("'a b'/c \"d 'e'\" ''").unwrap(), ["a b/c", "d 'e'", ""]);
        assert!(words("a 'b").is_err());
    }

    #[test]
    fn answers_end_with_an_empty_line() {
        let mut text = &b"\n= D4\n\n=12 two\r\nlines\r\n\r\n? no\n\n"[..];
        let answers: Vec<String> = (0..3).map(|_| read_answer(&mut text).unwrap()).collect();
        assert_eq!(answers, ["= D4", "=12 two\nlines", "? no"]);
        assert!(read_answer(&mut text).is_err());
    }
}
