//! `envs play`: an environment in the terminal, under the keyboard.

mod board;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use agon_envs::{ActionBatch, ActionSpec, Autoreset, Frame, Keys, MakeOptions, Simulator, StepBatch};
use crossterm::event::{self, Event, KeyCode, KeyEventKind};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, queue, style};

use super::args::PlayArgs;
use super::record::arguments;
use super::{Ending, say, thinking};
use crate::RunError;
use crate::arena::players::PlayerOptions;
use crate::config::EnvConfig;
use crate::error::AtPath;
use crate::runtime::Setup;
use board::Match;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    /// One of left, up, right, down.
    Move(usize),
    /// An action beside moving: the first or the second.
    Fire(usize),
    /// An action by its number.
    Number(u32),
    /// More or less of a continuous action.
    Turn(f32),
    Restart,
    Quit,
}

fn wish(key: KeyCode) -> Option<Wish> {
    Some(match key {
        KeyCode::Left | KeyCode::Char('a') => Wish::Move(0),
        KeyCode::Up | KeyCode::Char('w') => Wish::Move(1),
        KeyCode::Right | KeyCode::Char('d') => Wish::Move(2),
        KeyCode::Down | KeyCode::Char('s') => Wish::Move(3),
        KeyCode::Char(' ') => Wish::Fire(0),
        KeyCode::Char('x') | KeyCode::Enter => Wish::Fire(1),
        KeyCode::Char('+' | '=') => Wish::Turn(0.25),
        KeyCode::Char('-') => Wish::Turn(-0.25),
        KeyCode::Char('r') => Wish::Restart,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Char(digit) => Wish::Number(digit.to_digit(10)?),
        _ => return None,
    })
}

/// What the keys mean where the environment does not say it: moves are the first actions.
fn guessed_keys(actions: u32) -> Keys {
    let within = |action: u32| action.min(actions.saturating_sub(1));
    let (moves, buttons, idle) =
        if actions == 3 { ([0, 2, 2, 0], [1, 1], 1) } else { ([0, 1, 2, 3], [4, 5], 0) };
    Keys { moves: moves.map(within), buttons: buttons.map(within), idle: within(idle), real_time: false }
}

pub(super) fn play(setup: &Setup, args: &PlayArgs) -> Result<Ending, RunError> {
    let options =
        MakeOptions { args: arguments(&args.arg)?, autoreset: Autoreset::Disabled, ..Default::default() };
    let spec = setup.registry.get(&args.id)?;
    let mut simulator = spec.make(&options)?;
    if !simulator.info().action_names.is_empty() {
        return play_board(setup, args, options.args);
    }
    if args.against.is_some() || args.second {
        return Err(RunError::Config("--against and --second are for games of two sides".to_owned()));
    }
    let mut now = simulator.new_batch();
    simulator.reset(args.seed, &mut now)?;
    if simulator.render_text(0).is_none() && simulator.render(0).is_none() {
        return Err(RunError::Config(format!("{} can be shown neither as text nor as a picture", args.id)));
    }
    needs_terminal()?;
    let discrete = matches!(simulator.action_spec(), ActionSpec::Discrete { .. });
    let keys = spec.player_keys().unwrap_or_else(|| guessed_keys(choices(simulator.action_spec())));
    let clocked = !discrete || simulator.render_text(0).is_none() || keys.real_time;
    let fps = args.fps.unwrap_or(if clocked { 10 } else { 0 });
    let total = on_screen(|screen| session(&args.id, &mut simulator, &mut now, (keys, fps), screen))?;
    say(format_args!("return {total:.2}"))
}

/// A game of two sides, against chance where nobody else is named.
fn play_board(setup: &Setup, args: &PlayArgs, arguments: toml::Table) -> Result<Ending, RunError> {
    let env = EnvConfig { id: args.id.clone(), args: arguments, ..EnvConfig::default() };
    let options = PlayerOptions {
        thinking: thinking(args.simulations, &args.search),
        timeout: Duration::from_secs(300),
        seed: args.seed,
    };
    let against = args.against.as_deref().unwrap_or("random");
    let mut game = Match::new(setup, &env, against, !args.second, &options)?;
    needs_terminal()?;
    on_screen(|screen| game.play(screen))?;
    Ok(Ending::Success)
}

fn needs_terminal() -> Result<(), RunError> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    Err(RunError::Config("envs play needs a terminal for its keyboard and screen".to_owned()))
}

/// Plays with the whole screen and every key, and gives the terminal back whatever happens.
fn on_screen<T>(play: impl FnOnce(&mut io::Stdout) -> Result<T, RunError>) -> Result<T, RunError> {
    terminal::enable_raw_mode().at("cannot control", "the terminal".as_ref())?;
    let mut screen = io::stdout();
    let played = queue!(screen, EnterAlternateScreen, cursor::Hide)
        .at("cannot write to", "the terminal".as_ref())
        .and_then(|()| play(&mut screen));
    let restored = queue!(screen, cursor::Show, LeaveAlternateScreen).and_then(|()| screen.flush());
    let raw = terminal::disable_raw_mode();
    let played = played?;
    restored.and(raw).at("cannot restore", "the terminal".as_ref())?;
    Ok(played)
}

/// Actions of the first branch.
fn choices(spec: &ActionSpec) -> u32 {
    match spec {
        ActionSpec::Discrete { nvec } => nvec.first().copied().unwrap_or(1),
        ActionSpec::Continuous { .. } => 1,
    }
}

/// Plays until the player has had enough; gives the return of the last episode.
fn session(
    id: &str,
    simulator: &mut Simulator,
    now: &mut StepBatch,
    (keys, fps): (Keys, u32),
    screen: &mut io::Stdout,
) -> Result<f64, RunError> {
    let choices = choices(simulator.action_spec());
    let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
    let (mut total, mut steps, mut over) = (0.0, 0, false);
    loop {
        let state = if over { " - over: r for another, q to end" } else { "" };
        show(simulator, screen, &format!("{id}   step {steps}   return {total:.2}{state}"))
            .at("cannot write to", "the terminal".as_ref())?;
        let wish = next_wish(fps, over).at("cannot read", "the keyboard".as_ref())?;
        match wish {
            Some(Wish::Quit) => return Ok(total),
            Some(Wish::Restart) => {
                simulator.reset_envs(&[0], now)?;
                (total, steps, over) = (0.0, 0, false);
                continue;
            }
            _ if over => continue,
            _ => {}
        }
        choose(&mut actions, simulator.action_spec(), &keys, wish, choices);
        match simulator.step(&actions, now) {
            Ok(()) => {}
            // A key for an action that the rules forbid now is no reason to end the game.
            Err(agon_envs::EnvError::MaskedAction { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        total += now.rewards[0];
        steps += 1;
        over = (0..simulator.num_rows()).all(|row| now.terminated[row] || now.truncated[row]);
    }
}

/// The next key that means something; none when the clock says to go on without.
fn next_wish(fps: u32, over: bool) -> io::Result<Option<Wish>> {
    loop {
        if fps > 0 && !over && !event::poll(Duration::from_millis(u64::from(1000 / fps.clamp(1, 1000))))? {
            return Ok(None);
        }
        if let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && let Some(wish) = wish(key.code)
        {
            return Ok(Some(wish));
        }
    }
}

/// Puts the wish into the first row's action.
fn choose(actions: &mut ActionBatch, spec: &ActionSpec, keys: &Keys, wish: Option<Wish>, choices: u32) {
    match (actions, spec) {
        (ActionBatch::Discrete(values), _) => {
            let action = match wish {
                Some(Wish::Move(direction)) => keys.moves[direction],
                Some(Wish::Fire(button)) => keys.buttons[button],
                Some(Wish::Number(number)) if number < choices => number,
                _ => keys.idle,
            };
            values.iter_mut().for_each(|value| *value = action);
        }
        (ActionBatch::Continuous(values), ActionSpec::Continuous { low, high }) => {
            let bounds = |i: usize| (low[i % low.len()].max(-1e3), high[i % high.len()].min(1e3));
            for (i, value) in values.iter_mut().enumerate() {
                let (low, high) = bounds(i);
                let half = (high - low) / 2.0;
                *value = match wish {
                    Some(Wish::Move(0 | 3)) if i == 0 => low,
                    Some(Wish::Move(1 | 2)) if i == 0 => high,
                    Some(Wish::Turn(by)) if i == 0 => (*value + by * half).clamp(low, high),
                    Some(Wish::Fire(_)) => low + half,
                    _ => *value,
                };
            }
        }
        (ActionBatch::Continuous(_), ActionSpec::Discrete { .. }) => {}
    }
}

/// Draws the environment's text, or its picture in half blocks.
fn show(simulator: &mut Simulator, screen: &mut io::Stdout, title: &str) -> io::Result<()> {
    let (columns, rows) = terminal::size().unwrap_or((80, 24));
    queue!(screen, Clear(ClearType::All), cursor::MoveTo(0, 0), style::Print(title))?;
    if let Some(text) = simulator.render_text(0) {
        for (row, line) in (2..rows).zip(text.lines()) {
            queue!(screen, cursor::MoveTo(0, row), style::Print(line))?;
        }
    } else if let Some(frame) = simulator.render(0) {
        let room = (u32::from(columns).min(100)).min(2 * u32::from(rows.saturating_sub(3)) * 3 / 2);
        half_blocks(screen, &frame.shrunk(room.max(8)))?;
    }
    screen.flush()
}

/// Two pixels a character: the upper in the foreground, the lower in the background.
fn half_blocks(screen: &mut io::Stdout, frame: &Frame) -> io::Result<()> {
    let pixel = |x: u32, y: u32| {
        let at = ((y.min(frame.height - 1) * frame.width + x) * 3) as usize;
        style::Color::Rgb { r: frame.rgb[at], g: frame.rgb[at + 1], b: frame.rgb[at + 2] }
    };
    for (line, y) in (0..frame.height).step_by(2).enumerate() {
        queue!(screen, cursor::MoveTo(0, line as u16 + 2))?;
        for x in 0..frame.width {
            let colors = style::Colors::new(pixel(x, y), pixel(x, y + 1));
            queue!(screen, style::SetColors(colors), style::Print('\u{2580}'))?;
        }
        queue!(screen, style::ResetColor)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use agon_envs::Registry;

    use super::*;

    #[test]
    fn keys_mean_what_the_environment_does() {
        let taxi = Registry::builtin().get("Taxi-v4").unwrap().player_keys().unwrap();
        let mut actions = ActionBatch::Discrete(vec![0]);
        let spec = ActionSpec::Discrete { nvec: vec![6] };
        let mut after = |key| {
            choose(&mut actions, &spec, &taxi, wish(key), 6);
            actions.indices()[0]
        };
        assert_eq!(after(KeyCode::Up), 1, "north");
        assert_eq!(after(KeyCode::Left), 3, "west");
        assert_eq!(after(KeyCode::Char(' ')), 4, "pick up");
        assert_eq!(after(KeyCode::Char('5')), 5);
        assert_eq!(wish(KeyCode::Char('q')), Some(Wish::Quit));
    }

    #[test]
    fn continuous_actions_stay_within_their_bounds() {
        let spec = ActionSpec::Continuous { low: vec![-2.0], high: vec![2.0] };
        let mut actions = ActionBatch::zeros(&spec, 1);
        for _ in 0..20 {
            choose(&mut actions, &spec, &guessed_keys(1), wish(KeyCode::Char('+')), 1);
        }
        assert_eq!(actions, ActionBatch::Continuous(vec![2.0]));
    }

    #[test]
    fn no_key_means_an_action_that_does_not_exist() {
        let exist = |keys: Keys, choices| {
            let mut all = keys.moves.iter().chain(&keys.buttons).chain([&keys.idle]);
            all.all(|&action| action < choices)
        };
        assert!((1..8).all(|choices| exist(guessed_keys(choices), choices)));
        let registry = Registry::builtin();
        let keyed: Vec<_> = registry.iter().filter(|spec| spec.player_keys().is_some()).collect();
        assert!(keyed.len() > 60, "most of the built-in environments have keys");
        for spec in keyed {
            let simulator = spec.make(&MakeOptions::default()).unwrap();
            let keys = spec.player_keys().unwrap();
            assert!(exist(keys, choices(simulator.action_spec())), "{}", spec.id());
        }
    }
}
