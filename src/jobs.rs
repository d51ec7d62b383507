//! Jobs: runs that are brought to a step, side by side on the cores, each from where it stands.
//!
//! A job's run is started if it does not exist, resumed if it was cut short, and left alone if it has got there. So
//! whatever is made of jobs (experiments, sweeps, the suite) goes on after a kill by being asked for again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::RunError;
use crate::config::RunConfig;
use crate::experiment::RETURN_METRIC;
use crate::plot::{self, XAxis};
use crate::run::{RunDirectory, checkpoint};
use crate::runtime::{self, Observer, Outcome, Setup};
use crate::score::steps_done;

/// A run to bring to a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What it is called on the way.
    pub name: String,
    /// Its configuration.
    pub config: RunConfig,
    /// Its directory.
    pub path: PathBuf,
    /// Environment steps to stop at, at a checkpoint, if the run is longer. Its schedules keep their full length.
    pub until: u64,
}

impl Job {
    /// Environment steps that it stops at.
    fn goal(&self) -> u64 {
        self.until.min(self.config.total_timesteps)
    }

    /// Brings the run to its goal, or until its observer says to stop.
    ///
    /// # Errors
    /// If the directory holds a run of other settings, or the run fails.
    pub fn work(&self, setup: &Setup, observer: &mut Observer<'_>) -> Result<Outcome, RunError> {
        let goal = self.goal();
        let mut watch = |progress: &runtime::Progress<'_>| {
            let goes_on = observer(progress);
            goes_on && (progress.env_steps < goal || goal >= progress.total_timesteps)
        };
        if !RunDirectory::exists(&self.path) {
            return runtime::train(setup, self.config.clone(), &self.path, &mut watch);
        }
        self.check_settings(setup)?;
        match self.outcome()? {
            Some(outcome) => Ok(outcome),
            None => runtime::resume(setup, &self.path, Some(self.config.runtime.threads), &mut watch),
        }
    }

    /// Refuses to go on with a run that is not this job's.
    fn check_settings(&self, setup: &Setup) -> Result<(), RunError> {
        let (_, mut found) = RunDirectory::open(&self.path)?;
        let mut wanted = self.config.clone();
        for config in [&mut found, &mut wanted] {
            config.resolve(&setup.registry, &setup.algorithms)?;
        }
        let difference = match wanted.first_difference(&found) {
            None if wanted.seed != found.seed => Some(format!("seed: {} and {}", wanted.seed, found.seed)),
            difference => difference,
        };
        let Some(difference) = difference else { return Ok(()) };
        let message = format!(
            "holds a run of other settings, wanted and found are {difference}: choose another name, or remove the \
             directory"
        );
        Err(RunError::Directory { path: self.path.clone(), message })
    }

    /// What the run gave, if it is at its goal already.
    fn outcome(&self) -> Result<Option<Outcome>, RunError> {
        let total = self.config.total_timesteps;
        // The weights are what a run writes last.
        let finished = steps_done(&self.path)? >= total && self.path.join("model.safetensors").exists();
        let saved = checkpoint::newest_step(&self.path.join("checkpoints"))?.unwrap_or(0);
        if !finished && (saved < self.goal() || self.goal() >= total) {
            return Ok(None);
        }
        let returns = plot::load_series(&self.path, XAxis::Steps, RETURN_METRIC)?;
        let mean_return = returns.last().map_or(f64::NAN, |&(_, mean)| mean);
        let seconds = seconds_taken(&self.path)?;
        Ok(Some(Outcome { finished, env_steps: saved, mean_return, seconds }))
    }
}

/// Seconds of work that a run has written down.
///
/// # Errors
/// If it has written down nothing.
pub fn seconds_taken(path: &Path) -> Result<f64, RunError> {
    let seconds = plot::load_series(path, XAxis::Steps, "seconds")?;
    Ok(seconds.last().map_or(0.0, |&(_, seconds)| seconds))
}

/// Does jobs side by side, at most `at_once` of them, on `cores` threads in all; in lockstep mode that changes no result.
/// Once one is told to stop no other one is begun: those have no outcome.
///
/// # Errors
/// The first failed job's error, after those under way have ended.
pub fn work_all<'a>(
    setup: &Setup,
    jobs: &[Job],
    cores: usize,
    at_once: usize,
    observe: &(dyn Fn(&Job) -> Box<Observer<'a>> + Sync),
) -> Result<Vec<Option<Outcome>>, RunError> {
    work_all_then(setup, jobs, cores, at_once, observe, &|_| Ok(()))
}

/// As [`work_all`], and does something with the index of each job that has reached its goal, on the thread that did it.
///
/// # Errors
/// As [`work_all`], and what `done` gives.
pub fn work_all_then<'a>(
    setup: &Setup,
    jobs: &[Job],
    cores: usize,
    at_once: usize,
    observe: &(dyn Fn(&Job) -> Box<Observer<'a>> + Sync),
    done: &(dyn Fn(usize) -> Result<(), RunError> + Sync),
) -> Result<Vec<Option<Outcome>>, RunError> {
    let at_once = at_once.clamp(1, jobs.len().max(1));
    let threads = (cores / at_once).max(1);
    let stopped = AtomicBool::new(false);
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..jobs.len()).collect());
    let outcomes: Mutex<Vec<Option<Result<Outcome, RunError>>>> =
        Mutex::new(jobs.iter().map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    let next = lock(&queue).pop_front();
                    let Some(index) = next else { return };
                    let mut job = jobs[index].clone();
                    job.config.runtime.threads = threads;
                    let mut outcome = job.work(setup, &mut *observe(&job));
                    let mut goes_on = outcome.as_ref().is_ok_and(|outcome| outcome.env_steps >= job.goal());
                    if let (true, Err(error)) = (goes_on, done(index)) {
                        outcome = Err(error);
                        goes_on = false;
                    }
                    if !goes_on {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    lock(&outcomes)[index] = Some(outcome);
                }
            });
        }
    });
    std::mem::take(&mut *lock(&outcomes)).into_iter().map(Option::transpose).collect()
}

/// The outcomes of jobs if every one has reached its goal.
pub fn complete(jobs: &[Job], outcomes: Vec<Option<Outcome>>) -> Option<Vec<Outcome>> {
    let reached = |(job, outcome): (&Job, Option<Outcome>)| outcome.filter(|o| o.env_steps >= job.goal());
    jobs.iter().zip(outcomes).map(reached).collect()
}

/// A poisoned lock only means that another run panicked; what it guards is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
