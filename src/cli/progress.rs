//! How runs show themselves: bars on a terminal, plain lines elsewhere; and Ctrl-C.

mod screen;
mod text;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::RunError;
use crate::jobs::lock;
use crate::sinks::{Beginning, Outcome, Progress, Signal, Sink};
use crate::text::broken;
use screen::{Screen, columns};
use text::{Rate, Standing, bar_cells, fitted, run_parts, shortened, total_parts};

/// The name of what shows a run.
const PROGRESS: &str = "progress";
/// Set by the first Ctrl-C; the second one ends the process.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The bars on the screen, which text from elsewhere must go above.
static SCREEN: Mutex<Option<MultiProgress>> = Mutex::new(None);
/// Between log lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Between updates of a bar: drawing must not slow a run that takes a second.
const DRAW_EVERY: Duration = Duration::from_millis(50);

/// Has Ctrl-C stop runs at their next iteration.
pub(super) fn handle_interrupts() -> Result<(), RunError> {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        print_above("stopping at a checkpoint (Ctrl-C again: at once)");
    };
    match ctrlc::set_handler(handler) {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(RunError::Threads(format!("Ctrl-C handler: {error}"))),
    }
}

/// Prints a line where the bars, if there are any, do not draw over it.
fn print_above(text: &str) {
    let bars = lock(&SCREEN).clone();
    let printed = bars.is_some_and(|bars| bars.println(text).is_ok());
    if !printed {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Makes what shows runs.
pub(super) struct Display {
    bars: MultiProgress,
    style: Style,
    /// Whether the bar of a run that has ended stays; of many runs only those under way are shown.
    keeps_bars: bool,
    total: Option<Arc<Total>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Silent,
    Bars,
    Lines,
}

impl Display {
    pub(super) fn new(silent: bool) -> Self {
        let style = match (silent, io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bars,
            (false, false) => Style::Lines,
        };
        let draws_a_second = (1000 / DRAW_EVERY.as_millis()) as u8;
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen), draws_a_second);
        let bars = MultiProgress::with_draw_target(target);
        if style == Style::Bars {
            *lock(&SCREEN) = Some(bars.clone());
        }
        Self { bars, style, keeps_bars: true, total: None }
    }

    /// For more runs than a screen has lines: only those under way are shown.
    pub(super) fn of_many(silent: bool) -> Self {
        let mut display = Self::new(silent);
        display.keeps_bars = false;
        display
    }

    /// Shows how far all runs together are: so many of them, with so many environment steps in all.
    #[must_use]
    pub(super) fn with_total(mut self, runs: usize, env_steps: u64) -> Self {
        if runs > 1 && self.style != Style::Silent {
            let bar = (self.style == Style::Bars).then(|| {
                let bar = ProgressBar::new(env_steps).with_finish(ProgressFinish::Abandon);
                self.bars.add(bar)
            });
            self.total = Some(Arc::new(Total::new(bar, runs, env_steps)));
        }
        self
    }

    /// A line that is no progress.
    pub(super) fn note(&self, text: &str) {
        match self.style {
            Style::Silent => {}
            Style::Bars => print_above(&broken(text, columns())),
            Style::Lines => print_above(text),
        }
    }

    /// What shows one run, which is to be brought to so many environment steps.
    pub(super) fn of_run(&self, name: String, goal: u64) -> Box<dyn Sink> {
        let bar = match self.style {
            Style::Silent => return Box::new(Interrupt),
            Style::Lines => None,
            Style::Bars => Some(ProgressBar::new(goal).with_finish(ProgressFinish::Abandon)),
        };
        Box::new(Shown {
            name,
            goal,
            bar: bar.map(|bar| match self.total.as_ref().and_then(|total| total.bar.as_ref()) {
                Some(total) => self.bars.insert_before(total, bar),
                None => self.bars.add(bar),
            }),
            keeps_bar: self.keeps_bars,
            shown: None,
            rate: Rate::default(),
            total: self.total.clone(),
            begun: false,
            stopped: false,
            env_steps: 0,
        })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        *lock(&SCREEN) = None;
        if let Some(bar) = self.total.as_ref().and_then(|total| total.bar.as_ref()) {
            bar.abandon();
        }
        screen::leave();
    }
}

/// What a user must know of the beginning of a run, asked for JSON or not.
fn say_notes(beginning: &Beginning<'_>) {
    for note in beginning.notes {
        let _ = writeln!(io::stderr(), "{note}");
    }
}

/// What Ctrl-C asks of a run.
fn wish() -> Signal {
    if INTERRUPTED.load(Ordering::Relaxed) { Signal::Stop } else { Signal::Continue }
}

/// Shows nothing.
struct Interrupt;

impl Sink for Interrupt {
    fn name(&self) -> &str {
        PROGRESS
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        say_notes(beginning);
        Ok(())
    }

    fn iteration(&mut self, _progress: &Progress<'_>) -> Result<Signal, RunError> {
        Ok(wish())
    }

    fn poll(&mut self) -> Signal {
        wish()
    }

    fn warning(&mut self, message: &str) {
        let _ = writeln!(io::stderr(), "{message}");
    }
}

/// A run on the screen: as a bar, or as a line now and then.
struct Shown {
    name: String,
    goal: u64,
    bar: Option<ProgressBar>,
    keeps_bar: bool,
    shown: Option<Instant>,
    rate: Rate,
    total: Option<Arc<Total>>,
    begun: bool,
    /// Whether it was told to stop before its goal.
    stopped: bool,
    env_steps: u64,
}

impl Sink for Shown {
    fn name(&self) -> &str {
        PROGRESS
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        self.begun = true;
        match &self.bar {
            Some(bar) => bar.suspend(|| say_notes(beginning)),
            None => say_notes(beginning),
        }
        Ok(())
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        let is_first = self.env_steps == 0;
        let new = progress.env_steps - self.env_steps;
        self.env_steps = progress.env_steps;
        if let Some(total) = &self.total {
            // What was done before this process began says nothing of its speed.
            total.advance(new.min(self.goal), !is_first);
        }
        let rate = self.rate.add(progress.seconds, progress.env_steps).unwrap_or(progress.steps_per_second);
        let ends = progress.env_steps >= self.goal;
        let every = if self.bar.is_some() { DRAW_EVERY } else { LINE_EVERY };
        if ends || self.shown.is_none_or(|at| at.elapsed() >= every) {
            self.shown = Some(Instant::now());
            let parts = run_parts(progress, self.goal, rate);
            match &self.bar {
                Some(bar) => draw(bar, &self.name, progress.env_steps.min(self.goal), self.goal, &parts),
                None => {
                    let _ = writeln!(io::stderr(), "{}: {}", self.name, fitted(&parts, usize::MAX));
                }
            }
        }
        Ok(wish())
    }

    fn warning(&mut self, message: &str) {
        let say = || {
            let _ = writeln!(io::stderr(), "{}: {message}", self.name);
        };
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    fn poll(&mut self) -> Signal {
        wish()
    }

    fn end(&mut self, outcome: &Outcome) -> Result<(), RunError> {
        self.stopped = outcome.env_steps < self.goal;
        Ok(())
    }
}

impl Drop for Shown {
    /// The run has ended, has failed, or had got to its goal before.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            // A bar stays where its run has stopped.
            if self.keeps_bar && self.begun { bar.abandon() } else { bar.finish_and_clear() }
        }
        if let Some(total) = &self.total
            && !self.stopped
        {
            total.advance(self.goal.saturating_sub(self.env_steps), false);
            total.run_is_over();
        }
    }
}

/// How far all runs together are.
struct Total {
    bar: Option<ProgressBar>,
    runs: usize,
    goal: u64,
    state: Mutex<TotalState>,
}

struct TotalState {
    runs_over: usize,
    env_steps: u64,
    /// Those that were taken by this process.
    fresh: u64,
    rate: Rate,
    started: Instant,
    shown: Option<Instant>,
}

impl Total {
    fn new(bar: Option<ProgressBar>, runs: usize, goal: u64) -> Self {
        let (rate, started) = (Rate::default(), Instant::now());
        let state = TotalState { runs_over: 0, env_steps: 0, fresh: 0, rate, started, shown: None };
        Self { bar, runs, goal, state: Mutex::new(state) }
    }

    fn advance(&self, env_steps: u64, are_fresh: bool) {
        let mut state = lock(&self.state);
        state.env_steps += env_steps;
        state.fresh += if are_fresh { env_steps } else { 0 };
        if self.bar.is_some() && state.shown.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
            self.show(&mut state);
        }
    }

    fn run_is_over(&self) {
        let mut state = lock(&self.state);
        state.runs_over += 1;
        self.show(&mut state);
    }

    fn show(&self, state: &mut TotalState) {
        state.shown = Some(Instant::now());
        let (seconds, fresh) = (state.started.elapsed().as_secs_f64(), state.fresh);
        let rate = state.rate.add(seconds, fresh).unwrap_or(fresh as f64 / seconds);
        let (runs_over, runs) = (state.runs_over, self.runs);
        let env_steps = state.env_steps.min(self.goal);
        let parts = total_parts(&Standing { runs_over, runs, env_steps, goal: self.goal, rate });
        match &self.bar {
            Some(bar) => draw(bar, "total", env_steps, self.goal, &parts),
            None => {
                let _ = writeln!(io::stderr(), "total: {}", fitted(&parts, usize::MAX));
            }
        }
    }
}

/// Draws a line with a bar, as much of it as the terminal has room for.
fn draw(bar: &ProgressBar, name: &str, position: u64, length: u64, parts: &[text::Part]) {
    let columns = columns();
    let name = shortened(name, columns / 3);
    let cells = bar_cells(columns);
    let room = columns.saturating_sub(name.chars().count() + cells + 2);
    let template = format!("{{prefix:.bold}} {{bar:{cells}.cyan/blue}} {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_length(length);
    bar.set_prefix(name);
    bar.set_position(position);
    bar.set_message(fitted(parts, room));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(goal: u64, bar: Option<ProgressBar>, total: &Arc<Total>) -> Shown {
        let (rate, total) = (Rate::default(), Some(Arc::clone(total)));
        let name = "CartPole-v1 seed 1".to_owned();
        let (shown, env_steps, begun, stopped, keeps_bar) = (None, 0, true, false, true);
        Shown { name, goal, bar, keeps_bar, shown, rate, total, begun, stopped, env_steps }
    }

    fn iterate(run: &mut Shown, env_steps: u64) {
        let progress = Progress {
            env_steps,
            total_timesteps: 1000,
            updates: 0,
            mean_return: f64::NAN,
            seconds: env_steps as f64,
            steps_per_second: 1.0,
            metrics: &[],
        };
        assert_eq!(run.iteration(&progress).unwrap(), Signal::Continue);
    }

    fn end(run: &mut Shown, env_steps: u64) {
        let finished = env_steps >= run.goal;
        run.end(&Outcome { finished, env_steps, mean_return: f64::NAN, seconds: 1.0 }).unwrap();
    }

    #[test]
    fn a_bar_stays_where_its_run_was_stopped() {
        let bar = ProgressBar::hidden();
        let total = Arc::new(Total::new(None, 2, 2000));
        let mut run = shown(1000, Some(bar.clone()), &total);
        iterate(&mut run, 300);
        end(&mut run, 300);
        drop(run);
        assert_eq!((bar.position(), bar.length(), bar.is_finished()), (300, Some(1000), true));
    }

    #[test]
    fn the_total_counts_runs_that_ended_failed_or_were_there() {
        let total = Arc::new(Total::new(None, 4, 4000));
        let standing = || {
            let state = lock(&total.state);
            (state.runs_over, state.env_steps, state.fresh)
        };
        let mut stopped = shown(1000, None, &total);
        iterate(&mut stopped, 100);
        iterate(&mut stopped, 300);
        end(&mut stopped, 300);
        drop(stopped);
        // What a resumed run had done before is no speed.
        assert_eq!(standing(), (0, 300, 200));
        let mut finished = shown(1000, None, &total);
        iterate(&mut finished, 1024);
        end(&mut finished, 1024);
        drop(finished);
        drop(shown(1000, None, &total));
        assert_eq!(standing(), (2, 2300, 200));
    }
}
