//! How a run shows itself: bars on a terminal, plain lines elsewhere; and Ctrl-C.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

use crate::RunError;
use crate::sinks::{Beginning, Progress, Signal, Sink};
use crate::text::{duration, human};

/// The name of what shows a run.
const PROGRESS: &str = "progress";
/// Set by the first Ctrl-C; the second one ends the process.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
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
        let _ = writeln!(io::stderr(), "\nstopping at a checkpoint; press Ctrl-C again to stop at once");
    };
    match ctrlc::set_handler(handler) {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(RunError::Threads(format!("Ctrl-C handler: {error}"))),
    }
}

/// Makes what shows runs.
pub(super) struct Display {
    bars: MultiProgress,
    style: Style,
    /// What becomes of the bar of a run that has ended.
    finish: ProgressFinish,
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
        Self { bars: MultiProgress::new(), style, finish: ProgressFinish::AndLeave }
    }

    /// For more runs than a screen has lines: only those under way are shown.
    pub(super) fn of_many(silent: bool) -> Self {
        Self { finish: ProgressFinish::AndClear, ..Self::new(silent) }
    }

    /// A line that is no progress.
    pub(super) fn note(&self, text: &str) {
        if self.style != Style::Silent {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// What shows one run.
    pub(super) fn of_run(&self, name: String) -> Box<dyn Sink> {
        match self.style {
            Style::Silent => Box::new(Interrupt),
            Style::Lines => Box::new(Lines { name, said: None }),
            Style::Bars => {
                let bar = ProgressBar::new(0).with_finish(self.finish.clone());
                Box::new(Bar::new(self.bars.add(bar), name))
            }
        }
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
}

/// A progress bar.
struct Bar {
    bar: ProgressBar,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(bar: ProgressBar, name: String) -> Self {
        let template = "{prefix:.bold} {bar:24.cyan/blue} {human_pos}/{human_len} steps  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(name);
        Self { bar, drawn: None }
    }
}

impl Sink for Bar {
    fn name(&self) -> &str {
        PROGRESS
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        self.bar.suspend(|| say_notes(beginning));
        Ok(())
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        let ends = progress.env_steps >= progress.total_timesteps;
        if ends || self.drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
            self.drawn = Some(Instant::now());
            self.bar.set_length(progress.total_timesteps);
            self.bar.set_position(progress.env_steps.min(progress.total_timesteps));
            self.bar.set_message(message(progress));
            if ends {
                self.bar.finish_using_style();
            }
        }
        Ok(wish())
    }

    fn poll(&mut self) -> Signal {
        wish()
    }
}

/// Lines now and then, where there is no terminal.
struct Lines {
    name: String,
    said: Option<Instant>,
}

impl Sink for Lines {
    fn name(&self) -> &str {
        PROGRESS
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        say_notes(beginning);
        Ok(())
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        let ends = progress.env_steps >= progress.total_timesteps;
        if ends || self.said.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            let (steps, total) = (progress.env_steps, progress.total_timesteps);
            let _ = writeln!(io::stderr(), "{}: {steps}/{total} steps  {}", self.name, message(progress));
        }
        Ok(wish())
    }

    fn poll(&mut self) -> Signal {
        wish()
    }
}

/// Speed, return, losses and the time that is left.
fn message(progress: &Progress<'_>) -> String {
    let left = progress.total_timesteps.saturating_sub(progress.env_steps) as f64 / progress.steps_per_second;
    let losses = progress.metrics.iter().filter(|(name, value)| name.ends_with("_loss") && !value.is_nan());
    let losses: Vec<String> =
        losses.map(|(name, value)| format!("{} {value:.3}", name.trim_start_matches("losses/"))).collect();
    let mean_return =
        if progress.mean_return.is_nan() { "–".to_owned() } else { format!("{:.1}", progress.mean_return) };
    format!(
        "{} steps/s  return {mean_return}  {}  {} left",
        human(progress.steps_per_second),
        losses.join("  "),
        duration(left)
    )
}
