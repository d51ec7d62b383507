//! The runtime: whatever makes fragments, a learner that learns, and everything between them and the disk.
//!
//! A run is a loop of *iterations*. In lockstep mode each one has every shard make one fragment with the newest policy,
//! learns from them in shard order and publishes the next policy; nothing is in flight at its end, which is when
//! checkpoints are taken. In asynchronous mode workers never wait for the learner unless their queue is full, and
//! an iteration is any `num_shards` fragments. The runtime knows no algorithm and no environment.

mod at_checkpoint;
mod in_process;
mod probe;
pub mod remote;
mod runaway;
mod session;
mod shard;
mod source;
mod worker;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use agon_agents::{AgentError, Learner, PolicyInfo, Recorded, RunInfo, Weights};
use agon_envs::EnvSpec;
use agon_envs::mixture::TaskRows;
use agon_envs::wrappers::Moments;
use agon_nn::{InstructionSet, Summary};

use crate::RunError;
use crate::acting::{Acting, check_widths};
use crate::config::{MadeBy, Mode, RunConfig};
use crate::data::{FileRows, NothingNew, RecordedExperience, Storage};
use crate::error::AtPath;
use crate::league::League;
use crate::memory::{self, Needs};
use crate::policy;
use crate::provenance;
use crate::run::checkpoint::{self, Newest, RunState};
use crate::run::chunks::ChunkFiles;
use crate::run::directory::RunInputs;
use crate::run::window::MetricsWindow;
use crate::run::{Failure, RunDirectory, identity};
pub use crate::setup::Setup;
use crate::sinks::{Beginning, CsvLog, Sink, Sinks, TensorBoard, watch};
pub use crate::sinks::{Outcome, Progress, RECENT_EPISODES};
use crate::teacher::TeacherConfig;
use crate::transfer::TransferConfig;
pub(crate) use at_checkpoint::acting_at;
use in_process::InProcess;
use probe::Probe;
use session::{Counters, Session};
pub use source::{FragmentSource, MakeSource, MakeSources, SourceContext};

/// Watches a run; return false to have it checkpoint and stop.
pub type Observer<'a> = dyn FnMut(&Progress<'_>) -> bool + Send + 'a;

/// Starts a new run in `path` and trains to its end. `observer` is called after each iteration; return false to have the run
/// checkpoint and stop.
///
/// # Errors
/// If the configuration is broken, the directory holds a run already, or anything fails on the way; the last checkpoint
/// then is whole and [`resume`] continues from it.
pub fn train(
    setup: &Setup,
    config: RunConfig,
    path: &Path,
    observer: &mut Observer<'_>,
) -> Result<Outcome, RunError> {
    train_with(setup, config, path, Box::new(watch(observer)))
}

/// As [`train`], observed by a sink.
///
/// # Errors
/// As [`train`], and what the sink gives.
pub fn train_with(
    setup: &Setup,
    config: RunConfig,
    path: &Path,
    sink: Box<dyn Sink + '_>,
) -> Result<Outcome, RunError> {
    train_from(setup, config, path, sink, None)
}

/// As [`train_with`], with fragments from a source of one's own. Its fragments are validated before they are learned from.
///
/// # Errors
/// As [`train_with`], and what the source gives or a fragment that does not fit.
pub fn train_from(
    setup: &Setup,
    mut config: RunConfig,
    path: &Path,
    sink: Box<dyn Sink + '_>,
    source: Option<Box<MakeSource<'_>>>,
) -> Result<Outcome, RunError> {
    config.resolve(&setup.registry, &setup.algorithms)?;
    // Everything that can be refused is refused before a directory exists.
    let (parts, inputs) = Parts::begin(setup, &mut config)?;
    let made_by = MadeBy::this_program(&config)?;
    let inexact = match (&source, config.runtime.mode) {
        _ if parts.info.recorded_alone().is_some() => None,
        (Some(_), _) => Some("its fragments come from elsewhere".to_owned()),
        (None, Mode::Async) if setup.source.is_some() => {
            Some("asynchronous workers on other machines are not reproducible".to_owned())
        }
        (None, Mode::Async) => Some("asynchronous workers are not reproducible".to_owned()),
        (None, Mode::Lockstep) => parts.probe.inexact(),
    };
    let env_versions = parts.probe.origin().versions;
    config.made_by = Some(MadeBy { inexact, env_versions, ..config.made_by.unwrap_or(made_by) });
    let (run, _lock) = RunDirectory::create(path, &config, &inputs)?;
    provenance::record(&run, &config, 0, &inputs)?;
    drive(Drive { setup, config: &config, run: &run, parts, from: None, sink, source })
}

/// Refuses a run that cannot begin: what it is made of, begins with and learns from is made, and thrown away.
///
/// # Errors
/// As [`train`], before there is a directory.
pub fn check(setup: &Setup, config: &RunConfig) -> Result<(), RunError> {
    let mut config = config.clone();
    config.resolve(&setup.registry, &setup.algorithms)?;
    Parts::begin(setup, &mut config).map(drop)
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
    resume_with(setup, path, threads, Box::new(watch(observer)))
}

/// As [`resume`], observed by a sink.
///
/// # Errors
/// As [`resume`], and what the sink gives.
pub fn resume_with(
    setup: &Setup,
    path: &Path,
    threads: Option<usize>,
    sink: Box<dyn Sink + '_>,
) -> Result<Outcome, RunError> {
    resume_from(setup, path, threads, sink, None)
}

/// As [`resume_with`], with fragments from a source of one's own.
///
/// # Errors
/// As [`resume_with`] and [`train_from`].
pub fn resume_from(
    setup: &Setup,
    path: &Path,
    threads: Option<usize>,
    sink: Box<dyn Sink + '_>,
    source: Option<Box<MakeSource<'_>>>,
) -> Result<Outcome, RunError> {
    let (run, mut config) = RunDirectory::open(path)?;
    let _lock = run.lock()?;
    Failure::clear(path)?;
    config.resolve(&setup.registry, &setup.algorithms)?;
    if let Some(threads) = threads {
        config.runtime.threads = threads;
    }
    // Bits are promised for an instruction set: go on with the one the run began with.
    if let Some(made_by) = &config.made_by {
        config.runtime.instruction_set.clone_from(&made_by.instruction_set);
    }
    let from = checkpoint::newest(&run.checkpoints())?;
    if let Some(Newest { path, state, .. }) = &from {
        check_settings(path, state, &config)?;
    }
    let mut parts = Parts::new(setup, &config)?;
    if let Some(made_by) = &config.made_by {
        parts.probe.check_versions(&made_by.env_versions)?;
    }
    if config.init_from.is_some() && from.is_none() {
        let file = run.init_model();
        let bytes = std::fs::read(&file).at("cannot read", &file)?;
        parts.begin_with(&config.transfer, &file, &bytes)?;
    }
    if config.teacher.policy.is_some() {
        let file = run.teacher_model();
        let bytes = std::fs::read(&file).at("cannot read", &file)?;
        parts.follow(setup, &config, &file, &bytes)?;
    }
    let env_steps = from.as_ref().map_or(0, |newest| newest.state.env_steps);
    provenance::record(&run, &config, env_steps, &RunInputs::default())?;
    drive(Drive { setup, config: &config, run: &run, parts, from, sink, source })
}

/// Has a run end after another number of environment steps, more than it is trained for already. [`resume`] goes on to
/// there: schedules over the length of the run have the new length from then on.
///
/// # Errors
/// If there is no run, another process has it, or it is trained for more steps.
pub fn extend(path: &Path, total_timesteps: u64) -> Result<(), RunError> {
    let (run, mut config) = RunDirectory::open(path)?;
    let _lock = run.lock()?;
    if total_timesteps == config.total_timesteps {
        return Ok(());
    }
    let trained = checkpoint::newest_step(&run.checkpoints())?.unwrap_or(0);
    check_total(total_timesteps, trained)?;
    config.total_timesteps = total_timesteps;
    run.write_config(&config)
}

/// Gives a run whose environment a callable of Python makes the callable anew, pickled: one of another version of Python, or
/// one that was changed. [`resume`] goes on with it.
///
/// # Errors
/// If there is no run, another process has it, or its environment is none that was pickled.
pub fn hand_over(path: &Path, pickle: &str) -> Result<(), RunError> {
    let (run, mut config) = RunDirectory::open(path)?;
    let _lock = run.lock()?;
    config.env.hand_over(pickle)?;
    run.write_config(&config)
}

/// Refuses another length of a run than one that is still ahead.
fn check_total(total_timesteps: u64, trained: u64) -> Result<(), RunError> {
    if total_timesteps > trained && i64::try_from(total_timesteps).is_ok() {
        return Ok(());
    }
    Err(RunError::Config(format!(
        "total_timesteps must be more than the {trained} steps that the run is trained for (at most {}), got \
         {total_timesteps}",
        i64::MAX
    )))
}

/// Refuses a checkpoint that is not of the run that it lies in.
fn check_settings(path: &Path, state: &RunState, config: &RunConfig) -> Result<(), RunError> {
    let damaged = |message: String| RunError::Checkpoint { path: path.to_owned(), message };
    let saved = state.settings.parse().map_err(|error: toml::de::Error| damaged(error.to_string()))?;
    identity::check(path, &saved, &identity::of(config)?)?;
    if config.total_timesteps != state.total_timesteps {
        check_total(config.total_timesteps, state.env_steps)?;
    }
    Ok(())
}

/// The layers of the networks that a run of this configuration would train; none if its algorithm has none.
///
/// # Errors
/// If the environment or the learner cannot be made.
pub fn summary(setup: &Setup, config: &RunConfig) -> Result<Option<Summary>, RunError> {
    Ok(Parts::new(setup, config)?.learner.summary())
}

/// The weights that a run of this configuration begins with where none are given.
///
/// # Errors
/// As [`summary`].
pub(crate) fn fresh_weights(setup: &Setup, config: &RunConfig) -> Result<Weights, RunError> {
    Ok(Parts::new(setup, config)?.learner.weights())
}

/// What a run of this configuration needs of the machine's memory, at least.
///
/// # Errors
/// As [`summary`], and if one such run does not fit.
pub fn memory_needs(setup: &Setup, config: &RunConfig) -> Result<Needs, RunError> {
    Ok(Parts::new(setup, config)?.needs)
}

/// What a run is made of before anything acts.
struct Parts<'a> {
    spec: Cow<'a, EnvSpec>,
    probe: Probe,
    info: RunInfo,
    /// Running statistics, as they begin.
    statistics: Vec<Moments>,
    learner: Box<dyn Learner>,
    /// What its teacher has to say, if it has one.
    teacher: Option<TeacherConfig>,
    /// What it learns from that was recorded before it.
    recorded: Option<RecordedExperience>,
    /// Where that is kept, if not in memory.
    rows: Option<Arc<FileRows>>,
    /// What it will need of the memory.
    needs: Needs,
}

impl<'a> Parts<'a> {
    fn new(setup: &'a Setup, config: &RunConfig) -> Result<Self, RunError> {
        InstructionSet::select(config.instruction_set()?)?;
        let spec = setup.registry.get(&config.env.id)?;
        let algorithm = setup.algorithms.get(&config.algorithm)?;
        let mut probe = Probe::new(&spec, config)?;
        let (mut info, mut statistics) = (probe.run_info(config), probe.fresh_statistics());
        let read = || {
            let tasks = match probe.info().tasks.as_slice() {
                [] => Vec::new(),
                _ => TaskRows::of(&setup.registry, &config.options(1))?,
            };
            RecordedExperience::read(&config.data, &config.env.wrappers, probe.info(), tasks)
        };
        let recorded = config.data.is_on().then(read).transpose()?;
        if let Some(recorded) = &recorded {
            let (acts, share) = (config.data.acts, config.data.share);
            info.recorded = Some(Recorded { steps: recorded.steps(), acts, share });
            if let (true, Some(_)) = (acts, recorded.moments()) {
                let message =
                    "env.wrappers: expected no running statistics where a run acts and has data, found some";
                return Err(RunError::Config(message.to_owned()));
            }
            if !acts {
                statistics = recorded.moments().into_iter().cloned().collect();
            }
        }
        // What would be too large is refused before it is made.
        let mut needs = Needs::default();
        let environments = probe.bytes().saturating_mul(config.num_envs as u64);
        needs.add(memory::ENVIRONMENTS, environments);
        let networks = algorithm.network_bytes(config.network.as_ref(), &info.spaces);
        needs.add("of networks and optimizers (network)", networks);
        memory::ensure_fits(&needs, 1)?;
        let mut learner = algorithm.build(&config.agent, config.network.as_ref(), &info)?;
        let mut rows = None;
        if recorded.is_some() {
            learner.takes_recorded()?;
            rows = rows_on_disk(config.data.storage, &needs, &mut *learner)?;
        }
        config.transfer.set_rates(&mut *learner)?;
        config.pruning.begin(&mut *learner)?;
        needs.add("of replay when it is full (agent.buffer_size)", learner.memory_bytes());
        let policy = learner.policy()?;
        config.league.check(probe.info(), &*policy)?;
        if config.league.is_on() {
            needs.add("of past selves (league.size)", networks.saturating_mul(config.league.size as u64));
        }
        let shape = probe.fragment_shape(config, learner.num_steps(), &*policy);
        // One is learned from while the next one is filled.
        let fragments = shape.bytes().saturating_mul(2 * config.runtime.num_shards as u64);
        needs.add("of fragments (agent.num_steps, num_envs)", fragments);
        memory::ensure_fits(&needs, 1)?;
        Ok(Self { spec, probe, info, statistics, learner, teacher: None, recorded, rows, needs })
    }

    /// What a new run is made of, with the weights that it begins with and its teacher.
    fn begin(setup: &'a Setup, config: &mut RunConfig) -> Result<(Self, RunInputs), RunError> {
        let read =
            |from: &Option<PathBuf>| from.as_deref().map(|from| policy::read_file(setup, from)).transpose();
        let inputs = RunInputs { init: read(&config.init_from)?, teacher: read(&config.teacher.policy)? };
        if let (Some(from), Some(bytes)) = (&config.teacher.policy, &inputs.teacher) {
            config.teacher = config.teacher.settled(setup, (from, bytes), &config.env)?;
        }
        let mut parts = Self::new(setup, config)?;
        config.data.checksum = parts.recorded.as_ref().map(|recorded| recorded.checksum().to_owned());
        if let (Some(from), Some(bytes)) = (&config.init_from, &inputs.init) {
            parts.begin_with(&config.transfer, from, bytes)?;
        }
        if let (Some(from), Some(bytes)) = (&config.teacher.policy, &inputs.teacher) {
            parts.follow(setup, config, from, bytes)?;
        }
        parts.learner.ensure_ready()?;
        Ok((parts, inputs))
    }

    /// Takes on the weights of a file, and its statistics where they are of the same size: the policy was trained on
    /// observations that they had normalised.
    fn begin_with(&mut self, transfer: &TransferConfig, file: &Path, bytes: &[u8]) -> Result<(), RunError> {
        let (card, weights) = policy::parse_tensors(file, bytes)?;
        transfer.begin(&mut *self.learner, &weights).map_err(|error| {
            let whose = card.as_ref().map_or_else(
                || "of another program".to_owned(),
                |card| format!("of {} on {}", card.algorithm, card.env.id),
            );
            RunError::Weights {
                path: file.to_owned(),
                message: format!("cannot begin with weights {whose}: {error}"),
            }
        })?;
        let sizes = |all: &[Moments]| all.iter().map(|moments| moments.mean.len()).collect::<Vec<_>>();
        if let Some(card) = card.filter(|card| sizes(&self.statistics) == sizes(&card.statistics)) {
            self.statistics = card.statistics;
        }
        Ok(())
    }

    /// Has the learner follow the run's teacher.
    fn follow(
        &mut self,
        setup: &Setup,
        config: &RunConfig,
        file: &Path,
        bytes: &[u8],
    ) -> Result<(), RunError> {
        let teacher = (file, bytes);
        let begun = config.teacher.begin(setup, teacher, &config.env, &self.info, &mut *self.learner)?;
        self.teacher = Some(begun);
        Ok(())
    }
}

/// Has a learner keep what was observed in recorded experience on disk, if it is to, or can and memory has no room for it.
fn rows_on_disk(
    storage: Storage,
    needs: &Needs,
    learner: &mut dyn Learner,
) -> Result<Option<Arc<FileRows>>, RunError> {
    let fits = || needs.total().saturating_add(learner.memory_bytes()) <= memory::available();
    if storage == Storage::Memory || (storage == Storage::Auto && fits()) {
        return Ok(None);
    }
    let rows = Arc::new(FileRows::default());
    match learner.keep_recorded_in(rows.clone()) {
        Err(AgentError::Unsupported { .. }) if storage == Storage::Auto => Ok(None),
        kept => kept.map(|()| Some(rows)).map_err(RunError::from),
    }
}

/// A run that is about to begin or to go on.
struct Drive<'a> {
    setup: &'a Setup,
    config: &'a RunConfig,
    run: &'a RunDirectory,
    parts: Parts<'a>,
    from: Option<Newest>,
    sink: Box<dyn Sink + 'a>,
    source: Option<Box<MakeSource<'a>>>,
}

fn drive(drive: Drive<'_>) -> Result<Outcome, RunError> {
    let Drive { setup, config, run, parts, from, sink, source: make_source } = drive;
    let Parts { spec, probe, info, mut statistics, mut learner, teacher, recorded, rows, .. } = parts;
    let mut sinks = Sinks::default();
    sinks.push(Box::new(CsvLog::default()));
    sinks.push(Box::new(TensorBoard::default()));
    setup.sinks.iter().for_each(|make| sinks.push(make()));
    sinks.push(sink);
    let env_metrics = probe.env_metrics().to_vec();
    let mut notes = Vec::new();
    if let Some(recorded) = recorded {
        notes.extend(recorded.remarks(&config.env.id));
        if let Some(rows) = &rows {
            rows.open_in(run.path())?;
            notes.push("recorded observations are kept on disk (data.storage)".to_owned());
        }
        let shape = probe.fragment_shape(config, learner.num_steps(), &*learner.policy()?);
        recorded.each(&shape, &mut |fragment| Ok(learner.remember(fragment)?))?;
    }
    let mut counters = Counters::default();
    let mut window = MetricsWindow::default();
    let mut chunks = ChunkFiles::new(run.checkpoints(), &[]);
    let mut league = League::new(&config.league);
    let (mut saved_source, mut saved_sinks) = (None, Vec::new());
    if let Some(Newest { path, state, passed_over }) = from {
        notes.extend(notes_on(&state, &passed_over, config));
        check_sizes(&path, &state, &statistics, env_metrics.len())?;
        chunks = ChunkFiles::new(run.checkpoints(), &state.chunks);
        learner.restore_with(&state.learner, &chunks).map_err(|error| not_of_run(&path, error))?;
        let algorithm = setup.algorithms.get(&config.algorithm)?;
        let policy_info = PolicyInfo { spaces: info.spaces.clone(), total_timesteps: config.total_timesteps };
        let make = |weights: &Weights| {
            algorithm.policy(&config.agent, config.network.as_ref(), &policy_info, weights)
        };
        // The names of tensors are a few bytes each.
        let most =
            algorithm.network_bytes(config.network.as_ref(), &info.spaces).saturating_mul(2) + (1 << 20);
        league.restore(&state.league, &chunks, most, &make).map_err(|error| not_of_run(&path, error))?;
        (saved_source, saved_sinks) = (Some(state.source), state.sinks);
        statistics = state.statistics;
        window = state.window;
        counters = Counters {
            iteration: state.iteration,
            env_steps: state.env_steps,
            episodes: state.episodes,
            recent: state.recent,
            best: state.best,
            seconds_before: state.seconds,
            evaluated: None,
        };
    }
    let policy = learner.policy()?;
    let shape = probe.fragment_shape(config, learner.num_steps(), &*policy);
    let acting = Acting { past: league.past(), ..Acting::of(policy, statistics.clone(), counters.env_steps) };
    let acting = Arc::new(acting);
    let threads = config.threads();
    notes.extend(probe.origin().remarks);
    notes.extend(learner.remarks(threads));
    let weights = learner.weights();
    let context = SourceContext {
        config,
        info: &info,
        shape: &shape,
        acting: Arc::clone(&acting),
        weights: &weights,
        saved: saved_source.as_deref(),
    };
    let env_spaces = probe.env_spaces().clone();
    // An environment may be a process.
    drop(probe);
    let source: Box<dyn FragmentSource> = match (make_source, &setup.source) {
        _ if info.recorded_alone().is_some() => Box::new(NothingNew),
        (Some(make), _) => make(&context)?,
        (None, Some(make)) if config.runtime.mode == Mode::Async => make(&context)?,
        _ => Box::new(InProcess::new(&spec, &context, threads)?),
    };
    if config.league.is_on() && source.is_outside() {
        let message = "league.share: a league needs fragments that are made in this process, got others";
        return Err(RunError::Config(message.to_owned()));
    }
    // What was written beyond the checkpoint is cut only now that nothing can be refused any more.
    let beginning = Beginning {
        path: run.path(),
        config,
        metric_names: &session::metric_names(config, &*learner),
        env_metrics: &env_metrics,
        num_agents: info.num_agents,
        notes: &notes,
        saved: None,
    };
    sinks.begin(&beginning, &saved_sinks)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("learner-{index}"))
        .build()
        .map_err(|error| RunError::Threads(error.to_string()))?;
    let settings =
        toml::to_string(&identity::of(config)?).map_err(|error| RunError::Config(error.to_string()))?;
    let mut session = Session {
        setup,
        config,
        settings,
        run,
        info,
        env_spaces,
        env_metrics,
        learner,
        teacher,
        source,
        shape,
        acting,
        statistics,
        sinks,
        counters,
        window,
        runaway: runaway::Runaway::default(),
        league,
        chunks,
        sparsity: None,
        started: Instant::now(),
    };
    if session.counters.env_steps > 0 {
        // A kill may have come between the checkpoint and its weights.
        session.write_weights()?;
    }
    // Inside the pool, so that a gradient's slices start without waking a thread from outside.
    pool.install(|| session.run())
}

/// What whoever watches should know of the checkpoint that a run goes on from.
fn notes_on(state: &RunState, passed_over: &[RunError], config: &RunConfig) -> Vec<String> {
    let step = state.env_steps;
    let mut notes: Vec<String> = passed_over
        .iter()
        .map(|error| format!("{}; going on from the older checkpoint of step {step}", error.chain()))
        .collect();
    let (before, now) = (state.total_timesteps, config.total_timesteps);
    if before != now {
        notes.push(format!(
            "going on from step {step} to {now} steps instead of {before}: schedules over the length of the run have the new \
             length from here on"
        ));
    }
    notes
}

/// What was saved does not fit the run, which says nothing of the run itself.
fn not_of_run(path: &Path, error: AgentError) -> RunError {
    match error {
        AgentError::Restore(_) | AgentError::Chunk { .. } => {
            RunError::Checkpoint { path: path.to_owned(), message: error.to_string() }
        }
        error => error.into(),
    }
}

/// Refuses a state whose parts are not of the run's sizes.
fn check_sizes(
    path: &Path,
    state: &RunState,
    statistics: &[Moments],
    num_metrics: usize,
) -> Result<(), RunError> {
    let widths: Vec<usize> = statistics.iter().map(|moments| moments.mean.len()).collect();
    let damaged = |message: String| Err(RunError::Checkpoint { path: path.to_owned(), message });
    if let Err(error) = check_widths(&widths, &state.statistics) {
        return damaged(error.to_string());
    }
    if !state.statistics.iter().all(Moments::is_whole) {
        return damaged("expected statistics of counts, means and squares, found others".to_owned());
    }
    if !state.recent.has_metrics(num_metrics) {
        return damaged(format!("expected {num_metrics} metrics of each episode, found others"));
    }
    if i64::try_from(state.env_steps).is_err() {
        return damaged(format!("expected at most {} steps, found {}", i64::MAX, state.env_steps));
    }
    Ok(())
}

#[cfg(test)]
mod hostile_tests;
