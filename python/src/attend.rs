//! Work that takes long, with Python beside it: it runs on a thread of its own, while the calling thread, the only one that
//! gets Python's signals, answers its questions and looks for Ctrl-C.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agon::RunError;
use agon::sinks::{Beginning, EpisodeRow, Progress, Signal, Sink};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{self, AgonError};

/// Between looks for Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between reports to whoever only shows how far a run is.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Whom runs tell how far they are.
#[derive(Clone, Copy)]
pub(crate) struct Watcher<'a, 'py> {
    /// Called with a dictionary; what it gives is `False` if the runs shall stop.
    pub(crate) watch: &'a Bound<'py, PyAny>,
    /// Whether after every iteration, with the episodes that ended in it, or now and then.
    pub(crate) each_iteration: bool,
}

/// What a run tells.
enum Told {
    Note { run: PathBuf, text: String },
    Progress(Box<Standing>),
}

/// Where a run stands, and the episodes that have ended since it told so last.
#[derive(Default)]
struct Standing {
    run: PathBuf,
    seed: u64,
    env_steps: u64,
    total_timesteps: u64,
    updates: u64,
    mean_return: f64,
    seconds: f64,
    steps_per_second: f64,
    metrics: Vec<(&'static str, f64)>,
    episodes: Episodes,
}

#[derive(Default)]
struct Episodes {
    env_steps: Vec<u64>,
    returns: Vec<f64>,
    lengths: Vec<u32>,
}

/// Something told, and where the answer goes: whether to go on.
struct Question {
    told: Told,
    answer: Sender<bool>,
}

/// What runs ask, and whether they were told to stop.
pub(crate) struct Desk {
    questions: Sender<Question>,
    is_watched: bool,
    each_iteration: bool,
    stopped: AtomicBool,
}

impl Desk {
    /// Of one of several runs, what observes it.
    pub(crate) fn sink(&self, run: &Path, seed: u64) -> Box<dyn Sink + '_> {
        let standing = Standing { run: run.to_owned(), seed, ..Standing::default() };
        Box::new(Asking { desk: self, standing, shown: None })
    }

    /// Whether runs shall stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for the answer; where nobody listens any more there is nothing to go on for.
    fn tell(&self, told: Told) -> bool {
        if !self.is_watched {
            return true;
        }
        let (answer, answered) = bounded(1);
        self.questions.send(Question { told, answer }).is_ok() && answered.recv().unwrap_or(false)
    }
}

/// Tells the desk of a run.
struct Asking<'a> {
    desk: &'a Desk,
    standing: Standing,
    shown: Option<Instant>,
}

impl Sink for Asking<'_> {
    fn name(&self) -> &str {
        "python"
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        for note in beginning.notes {
            self.warning(note);
        }
        Ok(())
    }

    fn episode(&mut self, row: &EpisodeRow<'_>) -> Result<(), RunError> {
        if self.desk.each_iteration {
            let Episodes { env_steps, returns, lengths } = &mut self.standing.episodes;
            env_steps.push(row.env_steps);
            returns.push(row.stats.episode_return);
            lengths.push(row.stats.episode_length);
        }
        Ok(())
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        let is_last = progress.env_steps >= progress.total_timesteps;
        let is_due = self.desk.each_iteration
            || is_last
            || self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY);
        if is_due && self.desk.is_watched && !self.desk.is_stopped() {
            self.shown = Some(Instant::now());
            let Standing { run, seed, episodes, .. } = &mut self.standing;
            let told = Standing {
                run: run.clone(),
                seed: *seed,
                env_steps: progress.env_steps,
                total_timesteps: progress.total_timesteps,
                updates: progress.updates,
                mean_return: progress.mean_return,
                seconds: progress.seconds,
                steps_per_second: progress.steps_per_second,
                metrics: progress.metrics.to_vec(),
                episodes: std::mem::take(episodes),
            };
            if !self.desk.tell(Told::Progress(Box::new(told))) {
                self.desk.stopped.store(true, Ordering::Relaxed);
            }
        }
        Ok(self.poll())
    }

    fn warning(&mut self, message: &str) {
        let run = self.standing.run.clone();
        self.desk.tell(Told::Note { run, text: message.to_owned() });
    }

    fn poll(&mut self) -> Signal {
        if self.desk.is_stopped() { Signal::Stop } else { Signal::Continue }
    }
}

/// Does work whose runs are observed by sinks of the desk. An exception of the watcher, or Ctrl-C, stops the runs at their
/// next checkpoints and is raised then.
pub(crate) fn attend<T: Send>(
    py: Python<'_>,
    watcher: Option<Watcher<'_, '_>>,
    work: impl FnOnce(&Desk) -> Result<T, RunError> + Send,
) -> PyResult<T> {
    let (questions, asked) = bounded(1);
    let each_iteration = watcher.is_some_and(|watcher| watcher.each_iteration);
    let is_watched = watcher.is_some();
    let watch = watcher.map(|watcher| watcher.watch.clone().unbind());
    let (done, worked) = bounded(1);
    py.detach(|| {
        let desk = Desk { questions, is_watched, each_iteration, stopped: AtomicBool::new(false) };
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let result = work(&desk);
                // The reader is gone only if it has panicked.
                let _ = done.send(());
                result
            });
            let raised = listen(watch.as_ref(), &asked, &worked, &desk.stopped);
            match (worker.join(), raised) {
                (Err(_), _) => Err(AgonError::new_err("the training thread panicked")),
                (_, Some(raised)) => Err(raised),
                (Ok(result), None) => result.map_err(error::of_run),
            }
        })
    })
}

/// Answers until the work is done; gives what was raised meanwhile.
fn listen(
    watch: Option<&Py<PyAny>>,
    asked: &Receiver<Question>,
    worked: &Receiver<()>,
    stopped: &AtomicBool,
) -> Option<PyErr> {
    let mut raised = None;
    let mut looked = Instant::now();
    let mut keep = |result: PyResult<bool>| {
        let goes_on = result.unwrap_or_else(|error| {
            raised.get_or_insert(error);
            false
        });
        if !goes_on {
            stopped.store(true, Ordering::Relaxed);
        }
        goes_on
    };
    loop {
        select! {
            recv(asked) -> question => if let (Ok(Question { told, answer }), Some(watch)) = (question, watch) {
                let goes_on = keep(Python::attach(|py| told.ask(py, watch)));
                // The run waits for it.
                let _ = answer.send(goes_on);
            },
            recv(worked) -> _ => break,
            default(LOOK_EVERY) => {}
        }
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            keep(Python::attach(|py| py.check_signals().map(|()| true)));
        }
    }
    raised
}

impl Told {
    /// Tells it to Python; whether to go on.
    fn ask(self, py: Python<'_>, watch: &Py<PyAny>) -> PyResult<bool> {
        let event = PyDict::new(py);
        match self {
            Self::Note { run, text } => {
                event.set_item("run", run)?;
                event.set_item("note", text)?;
            }
            Self::Progress(standing) => standing.describe(py, &event)?,
        }
        let answer = watch.call1(py, (event,))?;
        Ok(!answer.bind(py).is(&*pyo3::types::PyBool::new(py, false)))
    }
}

impl Standing {
    fn describe(self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        event.set_item("run", self.run)?;
        event.set_item("seed", self.seed)?;
        event.set_item("env_steps", self.env_steps)?;
        event.set_item("total_timesteps", self.total_timesteps)?;
        event.set_item("updates", self.updates)?;
        event.set_item("mean_return", self.mean_return)?;
        event.set_item("seconds", self.seconds)?;
        event.set_item("steps_per_second", self.steps_per_second)?;
        let metrics = PyDict::new(py);
        for (name, value) in self.metrics {
            metrics.set_item(name, value)?;
        }
        event.set_item("metrics", metrics)?;
        let episodes = PyDict::new(py);
        let Episodes { env_steps, returns, lengths } = self.episodes;
        episodes.set_item("env_steps", PyArray1::from_vec(py, env_steps))?;
        episodes.set_item("returns", PyArray1::from_vec(py, returns))?;
        episodes.set_item("lengths", PyArray1::from_vec(py, lengths))?;
        event.set_item("episodes", episodes)
    }
}
