//! The runtime: workers that act, a learner that learns, and everything between them and the disk.
//!
//! A run is a loop of *iterations*. In lockstep mode each one has every shard make one fragment with the newest policy,
//! learns from them in shard order and publishes the next policy; nothing is in flight at its end, which is when
//! checkpoints are taken. In asynchronous mode workers never wait for the learner unless their queue is full, and
//! an iteration is any `num_shards` fragments. The runtime knows no algorithm and no environment.

mod shard;
mod worker;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use agon_agents::{Algorithms, Fragment, LearnReport, Learner, Policy};
use agon_envs::Registry;
use agon_envs::wrappers::Moments;
use agon_nn::{InstructionSet, Summary};

use crate::RunError;
use crate::config::{Mode, RunConfig};
use crate::evaluate::{self, Evaluation};
use crate::memory;
use crate::run::RunDirectory;
use crate::run::checkpoint::{self, Best, RunState};
use crate::run::chunks::ChunkFiles;
use crate::run::log::{EpisodeRow, MetricsRow, RunLog, TimingRow};
use crate::run::window::MetricsWindow;
use shard::Shard;
pub(crate) use shard::{SavedShard, evaluation_seed, evaluation_seed_at, set_statistics};
use worker::Command;
use workers::Workers;

/// Episodes that the running mean return is taken over, as everywhere in the field.
pub const RECENT_EPISODES: usize = 100;

/// What a run is made of, beside its configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The known environments.
    pub registry: Registry,
    /// The known algorithms.
    pub algorithms: Algorithms,
}

impl Default for Setup {
    fn default() -> Self {
        Self { registry: Registry::builtin(), algorithms: Algorithms::builtin() }
    }
}

/// What an observer of a run is told after each iteration.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Environment steps so far.
    pub env_steps: u64,
    /// Environment steps of the whole run.
    pub total_timesteps: u64,
    /// Gradient updates so far.
    pub updates: u64,
    /// Mean return of the last [`RECENT_EPISODES`] episodes; NaN before the first has ended.
    pub mean_return: f64,
    /// Seconds of work so far, those before a resume included.
    pub seconds: f64,
    /// Environment steps a second since this process began.
    pub steps_per_second: f64,
    /// The learner's metrics.
    pub metrics: &'a [(&'static str, f64)],
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it ran to its end, rather than being asked to stop.
    pub finished: bool,
    /// Environment steps taken.
    pub env_steps: u64,
    /// Mean return of the last [`RECENT_EPISODES`] episodes; NaN if none has ended.
    pub mean_return: f64,
    /// Seconds of work, those before a resume included.
    pub seconds: f64,
}

/// Watches a run; return false to have it checkpoint and stop.
pub type Observer<'a> = dyn FnMut(&Progress<'_>) -> bool + Send + 'a;

/// Starts a new run in `path` and trains to its end.
///
/// # Errors
/// If the configuration is broken, the directory holds a run already, or anything fails on the way; the last checkpoint
/// then is whole and [`resume`] continues from it.
pub fn train(
    setup: &Setup,
    mut config: RunConfig,
    path: &Path,
    observer: &mut Observer<'_>,
) -> Result<Outcome, RunError> {
    config.resolve(&setup.registry, &setup.algorithms)?;
    // Everything that can be refused is refused before a directory exists.
    let parts = Parts::new(setup, &config)?;
    memory::ensure_fits(parts.learner.memory_bytes(), 1)?;
    let run = RunDirectory::create(path, &config)?;
    let _lock = run.lock()?;
    drive(setup, &config, &run, parts, None, observer)
}

/// Continues the run in `path` from its newest whole checkpoint, or from the start if it has none.
///
/// # Errors
/// As [`train`], and if there is no run or every checkpoint is damaged.
pub fn resume(
    setup: &Setup,
    path: &Path,
    threads: Option<usize>,
    observer: &mut Observer<'_>,
) -> Result<Outcome, RunError> {
    let (run, mut config) = RunDirectory::open(path)?;
    let _lock = run.lock()?;
    config.resolve(&setup.registry, &setup.algorithms)?;
    if let Some(threads) = threads {
        config.runtime.threads = threads;
    }
    // Bits are promised for an instruction set: go on with the one the run began with.
    if let Some(made_by) = &config.made_by {
        config.runtime.instruction_set.clone_from(&made_by.instruction_set);
    }
    let state = newest_state(&run)?;
    let parts = Parts::new(setup, &config)?;
    memory::ensure_fits(parts.learner.memory_bytes(), 1)?;
    drive(setup, &config, &run, parts, state, observer)
}

/// What evaluation needs of a checkpoint.
pub(crate) struct Trained {
    pub(crate) policy: Arc<dyn Policy>,
    /// Environment steps it was trained for.
    pub(crate) env_steps: u64,
    /// The run's running statistics.
    pub(crate) statistics: Vec<Moments>,
}

/// The policy of a run's newest or best checkpoint.
pub(crate) fn load_policy(
    setup: &Setup,
    run: &RunDirectory,
    config: &RunConfig,
    best: bool,
) -> Result<Trained, RunError> {
    let none = || {
        let message = "expected a checkpoint, found none: the run has not reached its first one".to_owned();
        RunError::Directory { path: run.path().to_owned(), message }
    };
    let mut state = newest_state(run)?.ok_or_else(none)?;
    if let Some(best) = state.best.filter(|_| best) {
        state = checkpoint::load(&checkpoint::path_of(&run.checkpoints(), best.env_steps))?;
    }
    let mut learner = Parts::new(setup, config)?.learner;
    learner.restore_with(&state.learner, &ChunkFiles::new(run.checkpoints(), &state.chunks))?;
    Ok(Trained { policy: learner.policy()?, env_steps: state.env_steps, statistics: state.statistics })
}

/// The newest checkpoint that is whole. One that a crash or a bad disk damaged is passed over; if all are damaged, the
/// newest one's error says how.
fn newest_state(run: &RunDirectory) -> Result<Option<RunState>, RunError> {
    let mut first_error = None;
    for path in checkpoint::list(&run.checkpoints())? {
        match checkpoint::load(&path) {
            Ok(state) => return Ok(Some(state)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(None), Err)
}

/// The shards and the learner of a run, before any thread.
struct Parts {
    shards: Vec<Shard>,
    learner: Box<dyn Learner>,
}

impl Parts {
    fn new(setup: &Setup, config: &RunConfig) -> Result<Self, RunError> {
        InstructionSet::select(config.instruction_set()?)?;
        let spec = setup.registry.get(&config.env.id)?;
        let shards: Vec<Shard> = (0..config.runtime.num_shards)
            .map(|index| Shard::new(index, spec, config))
            .collect::<Result<_, _>>()?;
        let info = shards[0].run_info(config);
        let algorithm = setup.algorithms.get(&config.algorithm)?;
        let network = algorithm.resolve_network(&config.network)?;
        let learner = algorithm.build(&config.agent, network.as_ref(), &info)?;
        Ok(Self { shards, learner })
    }
}

/// The layers of the networks that a run of this configuration would train; none if its algorithm has none.
///
/// # Errors
/// If the environment or the learner cannot be made.
pub fn summary(setup: &Setup, config: &RunConfig) -> Result<Option<Summary>, RunError> {
    Ok(Parts::new(setup, config)?.learner.summary())
}

/// Bytes of memory that the replay of a run of this configuration takes when it is full.
///
/// # Errors
/// As [`summary`].
pub fn memory_bytes(setup: &Setup, config: &RunConfig) -> Result<u64, RunError> {
    Ok(Parts::new(setup, config)?.learner.memory_bytes())
}

fn drive(
    setup: &Setup,
    config: &RunConfig,
    run: &RunDirectory,
    mut parts: Parts,
    state: Option<RunState>,
    observer: &mut Observer<'_>,
) -> Result<Outcome, RunError> {
    let metric_names = parts.learner.metric_names();
    let log = match &state {
        Some(state) => RunLog::reopen(run, metric_names, config.eval.is_on(), &state.log_lengths)?,
        None => RunLog::create(run, metric_names, config.eval.is_on())?,
    };
    let mut counters = Counters::default();
    let mut statistics = parts.shards[0].fresh_statistics();
    let mut window = MetricsWindow::default();
    let mut chunks = ChunkFiles::new(run.checkpoints(), &[]);
    if let Some(state) = state {
        chunks = ChunkFiles::new(run.checkpoints(), &state.chunks);
        parts.learner.restore_with(&state.learner, &chunks)?;
        if state.shards.len() != parts.shards.len() {
            let message = format!("expected {} shards, found {}", parts.shards.len(), state.shards.len());
            return Err(RunError::Checkpoint { path: run.checkpoints(), message });
        }
        for (shard, saved) in parts.shards.iter_mut().zip(state.shards) {
            shard.restore(saved)?;
        }
        statistics = state.statistics;
        window = state.window;
        counters = Counters {
            iteration: state.iteration,
            env_steps: state.env_steps,
            episodes: state.episodes,
            recent: state.recent,
            best: state.best,
            seconds_before: state.seconds,
        };
    }
    let threads = config.threads();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("learner-{index}"))
        .build()
        .map_err(|error| RunError::Threads(error.to_string()))?;
    thread::scope(|scope| {
        let workers = Workers::start(
            scope,
            parts.shards,
            parts.learner.as_ref(),
            statistics.clone(),
            threads,
            config.runtime.mode,
        )?;
        let learner = parts.learner;
        let mut session = Session {
            registry: &setup.registry,
            config,
            run,
            learner,
            workers,
            statistics,
            log,
            counters,
            window,
            chunks,
            started: Instant::now(),
            updates: 0,
            metrics: Vec::new(),
        };
        // Inside the pool, so that a gradient's slices start without waking a thread from outside.
        let outcome = pool.install(|| session.run(observer));
        session.workers.end();
        outcome
    })
}

/// Where a run stands.
#[derive(Debug, Default)]
struct Counters {
    iteration: u64,
    env_steps: u64,
    episodes: u64,
    recent: VecDeque<(f64, u32)>,
    best: Option<Best>,
    seconds_before: f64,
}

impl Counters {
    fn recent_means(&self) -> (f64, f64) {
        let n = self.recent.len() as f64;
        let sums = self.recent.iter().fold((0.0, 0.0), |(r, l), &(ret, len)| (r + ret, l + f64::from(len)));
        (sums.0 / n, sums.1 / n)
    }
}

/// A run under way.
struct Session<'a> {
    registry: &'a Registry,
    config: &'a RunConfig,
    run: &'a RunDirectory,
    learner: Box<dyn Learner>,
    workers: Workers,
    /// Running statistics, merged over all shards.
    statistics: Vec<Moments>,
    log: RunLog,
    counters: Counters,
    /// Metrics since the last row of them.
    window: MetricsWindow,
    /// What checkpoints keep of a replay buffer.
    chunks: ChunkFiles,
    started: Instant,
    updates: u64,
    metrics: Vec<(&'static str, f64)>,
}

/// What the clock said about one iteration.
struct IterationTimes {
    policy_lag: f64,
    waited: f64,
    learned: f64,
}

impl Session<'_> {
    fn run(&mut self, observer: &mut Observer<'_>) -> Result<Outcome, RunError> {
        let total = self.config.total_timesteps;
        let steps_before = self.counters.env_steps;
        let mut next_checkpoint = next_multiple(self.counters.env_steps, self.config.checkpoint_every());
        let mode = self.config.runtime.mode;
        let (go, idle) = match mode {
            Mode::Lockstep => (Command::Collect, true),
            Mode::Async => (Command::Run, false),
        };
        if self.counters.env_steps < total {
            self.workers.command(go)?;
        }
        let mut goes_on = true;
        while self.counters.env_steps < total && goes_on {
            let waiting = Instant::now();
            let fragments = self.workers.fragments(mode)?;
            let waited = waiting.elapsed().as_secs_f64();
            let learning = Instant::now();
            let steps: usize = fragments.iter().map(Fragment::env_steps).sum();
            let env_steps = self.counters.env_steps + steps as u64;
            let report = self.learner.learn(&fragments, env_steps)?;
            self.publish(&fragments)?;
            let policy_lag = self.policy_lag(&fragments);
            let times = IterationTimes { policy_lag, waited, learned: learning.elapsed().as_secs_f64() };

            let evaluation = self.evaluate(env_steps)?;
            let improved =
                evaluation.as_ref().is_some_and(|evaluation| self.improves(evaluation.mean_return));

            let ends = env_steps >= total;
            let due = ends || env_steps >= next_checkpoint || improved;
            // While this iteration is written down, the workers already act in the next one.
            if idle && !due {
                self.workers.command(go)?;
            }
            self.record(&fragments, env_steps, &report, &times)?;
            self.record_evaluation(evaluation)?;
            self.workers.recycle(fragments);
            goes_on = observer(&self.progress(steps_before));
            if due {
                self.checkpoint()?;
                next_checkpoint = next_multiple(env_steps, self.config.checkpoint_every());
                if !ends && goes_on {
                    self.workers.command(go)?;
                }
            } else if !goes_on {
                // The iteration that has begun is finished first: nothing may be in flight.
                self.stop_between_checkpoints(idle)?;
            }
        }
        let finished = self.counters.env_steps >= total;
        if finished {
            self.export()?;
        }
        let mean_return = self.counters.recent_means().0;
        Ok(Outcome { finished, env_steps: self.counters.env_steps, mean_return, seconds: self.seconds() })
    }

    /// Takes a checkpoint although the workers are acting.
    fn stop_between_checkpoints(&mut self, idle: bool) -> Result<(), RunError> {
        if idle {
            // Lockstep workers have begun the next iteration: it is learned from like any other.
            let fragments = self.workers.fragments(Mode::Lockstep)?;
            let steps: usize = fragments.iter().map(Fragment::env_steps).sum();
            let env_steps = self.counters.env_steps + steps as u64;
            let report = self.learner.learn(&fragments, env_steps)?;
            self.publish(&fragments)?;
            let times = IterationTimes { policy_lag: 0.0, waited: 0.0, learned: 0.0 };
            let evaluation = self.evaluate(env_steps)?;
            self.record(&fragments, env_steps, &report, &times)?;
            self.record_evaluation(evaluation)?;
            self.workers.recycle(fragments);
        }
        self.checkpoint()
    }

    /// Publishes what the next fragments are acted with: the learner's policy, and the statistics of all shards.
    fn publish(&mut self, fragments: &[Fragment]) -> Result<(), RunError> {
        for fragment in fragments {
            self.statistics.iter_mut().zip(&fragment.news).for_each(|(all, news)| all.merge(news));
        }
        self.workers.publish(self.learner.as_ref(), &self.statistics)
    }

    /// Evaluates the policy that was just published, if an evaluation is due. Nothing of it reaches the training.
    fn evaluate(&self, env_steps: u64) -> Result<Option<Evaluation>, RunError> {
        let config = self.config;
        if !config.eval.is_due(self.counters.env_steps, env_steps, config.total_timesteps) {
            return Ok(None);
        }
        let statistics = self.statistics.clone();
        let trained = Trained { policy: self.learner.policy()?, env_steps, statistics };
        evaluate::during_training(self.registry, config, &trained).map(Some)
    }

    /// Whether a mean return is the highest so far.
    fn improves(&self, mean_return: f64) -> bool {
        !mean_return.is_nan() && self.counters.best.is_none_or(|best| mean_return > best.mean_return)
    }

    fn record_evaluation(&mut self, evaluation: Option<Evaluation>) -> Result<(), RunError> {
        let Some(evaluation) = evaluation else { return Ok(()) };
        let Evaluation { env_steps, mean_return, .. } = evaluation;
        if self.improves(mean_return) {
            self.counters.best = Some(Best { env_steps, mean_return });
        }
        self.log.evaluation(self.counters.iteration, &evaluation)
    }

    fn policy_lag(&self, fragments: &[Fragment]) -> f64 {
        // The policy just published is not counted: a lockstep run has no lag.
        let learned = self.workers.version - 1;
        let lag: u64 = fragments.iter().map(|fragment| learned.saturating_sub(fragment.policy_version)).sum();
        lag as f64 / fragments.len() as f64
    }

    /// Counts an iteration's episodes and writes its rows.
    fn record(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        report: &LearnReport,
        times: &IterationTimes,
    ) -> Result<(), RunError> {
        let run_envs = self.config.num_envs as u64;
        let before = self.counters.env_steps;
        let mut ended: Vec<_> = fragments
            .iter()
            .flat_map(|fragment| {
                let first = fragment.shard * fragment.shape.num_rows();
                fragment.episodes.iter().map(move |&(tick, stats)| (tick, first + stats.row as usize, stats))
            })
            .collect();
        ended.sort_by_key(|&(tick, env, _)| (tick, env));
        let counters = &mut self.counters;
        for (tick, env, stats) in ended {
            counters.episodes += 1;
            if counters.recent.len() == RECENT_EPISODES {
                counters.recent.pop_front();
            }
            counters.recent.push_back((stats.episode_return, stats.episode_length));
            self.log.episode(&EpisodeRow {
                episode: counters.episodes,
                env_steps: before + (u64::from(tick) + 1) * run_envs,
                env,
                episode_return: stats.episode_return,
                episode_length: stats.episode_length,
            })?;
        }
        counters.iteration += 1;
        counters.env_steps = env_steps;
        self.updates = report.updates;
        self.metrics.clear();
        self.metrics.extend(self.learner.metric_names().iter().copied().zip(report.metrics.iter().copied()));
        self.window.add(&report.metrics);
        let every = self.config.log_every();
        if env_steps / every == before / every && env_steps < self.config.total_timesteps {
            return Ok(());
        }
        let (mean_return, mean_length) = counters.recent_means();
        let means = self.window.take_means();
        let row = MetricsRow {
            iteration: counters.iteration,
            env_steps,
            updates: report.updates,
            episodes: counters.episodes,
            mean_return,
            mean_length,
            learner: &means,
        };
        let seconds = self.seconds();
        let timing = TimingRow {
            seconds,
            steps_per_second: env_steps as f64 / seconds,
            policy_lag: times.policy_lag,
            learner_wait_s: times.waited,
            worker_blocked_s: self.workers.blocked_ns.swap(0, Ordering::Relaxed) as f64 / 1e9,
            learn_s: times.learned,
        };
        self.log.iteration(&row, &timing)
    }

    fn seconds(&self) -> f64 {
        self.counters.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn progress(&self, steps_before: u64) -> Progress<'_> {
        let taken = (self.counters.env_steps - steps_before) as f64;
        Progress {
            env_steps: self.counters.env_steps,
            total_timesteps: self.config.total_timesteps,
            updates: self.updates,
            mean_return: self.counters.recent_means().0,
            seconds: self.seconds(),
            steps_per_second: taken / self.started.elapsed().as_secs_f64(),
            metrics: &self.metrics,
        }
    }

    /// Saves the whole state. The workers wait meanwhile, and go on only when told to.
    fn checkpoint(&mut self) -> Result<(), RunError> {
        let shards = self.workers.save()?;
        let env_steps = self.counters.env_steps;
        let mean_return = self.counters.recent_means().0;
        // With evaluations on, they alone say what is best.
        if !self.config.eval.is_on() && self.improves(mean_return) {
            self.counters.best = Some(Best { env_steps, mean_return });
        }
        let state = RunState {
            iteration: self.counters.iteration,
            env_steps,
            episodes: self.counters.episodes,
            recent: self.counters.recent.clone(),
            learner: self.learner.save_with(&mut self.chunks)?,
            chunks: self.chunks.take_used(),
            shards,
            statistics: self.statistics.clone(),
            window: self.window.clone(),
            log_lengths: self.log.lengths()?,
            seconds: self.seconds(),
            best: self.counters.best,
        };
        self.log.sync()?;
        checkpoint::save(&self.run.checkpoints(), &state)?;
        self.chunks.keep(env_steps, &state.chunks)
    }

    /// Writes the final weights, if the learner has a network.
    fn export(&self) -> Result<(), RunError> {
        let weights = self.learner.weights();
        if weights.is_empty() {
            return Ok(());
        }
        // One entry: the file's bytes must not depend on the order of a hash map.
        let what = format!("{} on {}", self.config.algorithm, self.config.env.id);
        let metadata = BTreeMap::from([("agon".to_owned(), what)]);
        let bytes = weights.to_safetensors(&metadata)?;
        crate::run::directory::write_atomically(&self.run.model(), &bytes)
    }
}

/// The first multiple of `every` above `steps`.
fn next_multiple(steps: u64, every: u64) -> u64 {
    (steps / every + 1) * every
}
