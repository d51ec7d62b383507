//! Jobs: runs that are brought to a step, side by side on the cores, each from where it stands.
//!
//! A job's run is started if it does not exist, resumed if it was cut short, and left alone if it has got there. So
//! whatever is made of jobs (experiments, sweeps, the suite) goes on after a kill by being asked for again. A run that fails
//! by itself, because its losses diverge for example, keeps its [`Failure`] and no other one from its goal.

mod elsewhere;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use agon_agents::Weights;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::RunConfig;
use crate::memory;
use crate::plot::{self, XAxis};
use crate::run::written::{is_finished, steps_done};
use crate::run::{Failure, RunDirectory, checkpoint};
use crate::runtime::{self, Setup};
use crate::sinks::{
    Beginning, EpisodeRow, Evaluation, MetricsRow, Outcome, Progress, RETURN_METRIC, Signal, Sink, TimingRow,
};
pub use elsewhere::fulfil;

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
    pub fn goal(&self) -> u64 {
        self.until.min(self.config.total_timesteps)
    }

    /// Brings the run to its goal, or until its sink says to stop.
    ///
    /// # Errors
    /// If the directory holds a run of other settings, or what fails would keep other runs from their goals too, as a full
    /// disk does.
    pub fn work(&self, setup: &Setup, sink: Box<dyn Sink + '_>) -> Result<Ended, RunError> {
        let until = Box::new(Until { goal: self.goal(), sink });
        let worked = if RunDirectory::exists(&self.path) {
            self.check_settings(setup)?;
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            runtime::resume_with(setup, &self.path, Some(self.config.runtime.threads), until)
        } else {
            runtime::train_with(setup, self.config.clone(), &self.path, until)
        };
        match worked {
            Ok(outcome) if outcome.env_steps >= self.goal() => Ok(Ended::Reached(outcome)),
            Ok(outcome) => Ok(Ended::Stopped(outcome)),
            Err(error) if error.is_of_run() => {
                let failure = Failure { env_steps: steps_done(&self.path)?, reason: error.chain() };
                // What was refused before it had a directory is refused as fast again.
                if RunDirectory::exists(&self.path) {
                    failure.save(&self.path)?;
                }
                Ok(Ended::Failed(failure))
            }
            Err(error) => Err(error),
        }
    }

    /// How it ended already, if it did.
    fn ended(&self) -> Result<Option<Ended>, RunError> {
        match self.outcome()? {
            Some(outcome) => Ok(Some(Ended::Reached(outcome))),
            None => Ok(Failure::load(&self.path)?.map(Ended::Failed)),
        }
    }

    /// Bytes that working on it will need at most; none if it has ended. One that is refused will say so itself.
    fn memory(&self, setup: &Setup) -> Result<u64, RunError> {
        if RunDirectory::exists(&self.path) && self.ended()?.is_some() {
            return Ok(0);
        }
        let mut config = self.config.clone();
        config.resolve(&setup.registry, &setup.algorithms)?;
        match runtime::memory_needs(setup, &config) {
            Err(error) if error.is_of_run() => Ok(0),
            needs => Ok(needs?.total()),
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
        let finished = is_finished(&self.path, total)?;
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

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ended {
    /// Its run reached its goal.
    Reached(Outcome),
    /// Its run was told to stop before.
    Stopped(Outcome),
    /// It was not begun, because another one was told to stop.
    Waiting,
    /// Its run failed, for a reason of its own.
    Failed(Failure),
}

impl Ended {
    /// What the run gave, if it reached its goal or was told to stop.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Reached(outcome) | Self::Stopped(outcome) => Some(outcome),
            Self::Waiting | Self::Failed(_) => None,
        }
    }

    /// Why the run failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        if let Self::Failed(failure) = self { Some(failure) } else { None }
    }

    /// Whether nothing is left to do: it reached its goal, or never will.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Reached(_) | Self::Failed(_))
    }
}

/// Stops a run at a job's goal; its sink sees everything.
struct Until<'a> {
    goal: u64,
    sink: Box<dyn Sink + 'a>,
}

impl Sink for Until<'_> {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        self.sink.begin(beginning)
    }

    fn episode(&mut self, row: &EpisodeRow<'_>) -> Result<(), RunError> {
        self.sink.episode(row)
    }

    fn metrics(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        self.sink.metrics(row, timing)
    }

    fn evaluation(&mut self, iteration: u64, evaluation: &Evaluation) -> Result<(), RunError> {
        self.sink.evaluation(iteration, evaluation)
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        let wish = self.sink.iteration(progress)?;
        let reached = progress.env_steps >= self.goal && self.goal < progress.total_timesteps;
        Ok(if reached { Signal::Stop } else { wish })
    }

    fn warning(&mut self, message: &str) {
        self.sink.warning(message);
    }

    fn poll(&mut self) -> Signal {
        self.sink.poll()
    }

    fn weights(&mut self, env_steps: u64, weights: &Weights) -> Result<(), RunError> {
        self.sink.weights(env_steps, weights)
    }

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        self.sink.save()
    }

    fn end(&mut self, outcome: &Outcome) -> Result<(), RunError> {
        self.sink.end(outcome)
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

/// Does jobs side by side, at most `at_once` of them and as many as the memory has room for, on `cores` threads in all; in
/// lockstep mode that changes no result. Where the setup has an engine, it does them, wherever it has room for them.
/// Once one is told to stop no other one is begun. One that fails by itself stops no other one.
///
/// # Errors
/// The first error that is not of one run alone, after those under way have ended.
pub fn work_all<'a>(
    setup: &Setup,
    jobs: &[Job],
    cores: usize,
    at_once: usize,
    observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
) -> Result<Vec<Ended>, RunError> {
    work_all_then(setup, jobs, cores, at_once, observe, &|_| Ok(()))
}

/// As [`work_all`], and does something with the index of each job that has reached its goal, as soon as it has.
///
/// # Errors
/// As [`work_all`], and what `done` gives.
pub fn work_all_then<'a>(
    setup: &Setup,
    jobs: &[Job],
    cores: usize,
    at_once: usize,
    observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
    done: &(dyn Fn(usize) -> Result<(), RunError> + Sync),
) -> Result<Vec<Ended>, RunError> {
    if let Some(engine) = &setup.engine {
        return elsewhere::work_all(setup, &**engine, jobs, observe, done);
    }
    let at_once = at_once.clamp(1, jobs.len().max(1));
    let threads = (cores / at_once).max(1);
    let stopped = AtomicBool::new(false);
    let memory = Memory::new(memory::available());
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..jobs.len()).collect());
    let ended: Mutex<Vec<Result<Ended, RunError>>> =
        Mutex::new(jobs.iter().map(|_| Ok(Ended::Waiting)).collect());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    let next = lock(&queue).pop_front();
                    let Some(index) = next else { return };
                    let mut job = jobs[index].clone();
                    job.config.runtime.threads = threads;
                    if let Some(made_by) = &mut job.config.made_by {
                        made_by.side_by_side = Some(at_once);
                    }
                    let needed = if at_once > 1 { job.memory(setup) } else { Ok(0) };
                    let worked = needed.and_then(|needed| {
                        let _room = memory.wait_for(needed);
                        job.work(setup, observe(&job))
                    });
                    let worked = worked.and_then(|ended| {
                        if matches!(ended, Ended::Reached(_)) {
                            done(index).map(|()| ended)
                        } else {
                            Ok(ended)
                        }
                    });
                    if !worked.as_ref().is_ok_and(Ended::is_settled) {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    lock(&ended)[index] = worked;
                }
            });
        }
    });
    std::mem::take(&mut *lock(&ended)).into_iter().collect()
}

/// Memory that jobs side by side share: one that does not fit beside the others waits for them.
struct Memory {
    total: u64,
    taken: Mutex<u64>,
    freed: Condvar,
}

/// A part of the memory, given back when it is dropped.
struct Room<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Memory {
    fn new(total: u64) -> Self {
        Self { total, taken: Mutex::new(0), freed: Condvar::new() }
    }

    /// Takes room once there is enough, or nothing is taken: then the run itself says what is too large.
    fn wait_for(&self, bytes: u64) -> Room<'_> {
        let mut taken = lock(&self.taken);
        while *taken > 0 && taken.saturating_add(bytes) > self.total {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = taken.saturating_add(bytes);
        Room { memory: self, bytes }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        *lock(&self.memory.taken) -= self.bytes;
        self.memory.freed.notify_all();
    }
}

/// A poisoned lock only means that another run panicked; what it guards is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_wait_until_they_fit_beside_the_others() {
        let memory = Memory::new(10);
        let most = Mutex::new((0_u64, 0_u64));
        thread::scope(|scope| {
            for bytes in [4, 6, 7, 10, 3, 0] {
                let (memory, most) = (&memory, &most);
                scope.spawn(move || {
                    let _room = memory.wait_for(bytes);
                    {
                        let mut now = lock(most);
                        now.0 += bytes;
                        now.1 = now.1.max(now.0);
                    }
                    thread::yield_now();
                    lock(most).0 -= bytes;
                });
            }
        });
        assert_eq!(*lock(&memory.taken), 0);
        assert!((1..=10).contains(&lock(&most).1), "{:?}", lock(&most));
        // What never fits runs alone, and is refused by the run itself.
        drop(memory.wait_for(11));
    }
}
