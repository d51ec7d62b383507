//! Simulation: steps a second, what wrappers cost, memory and the time to build.

use std::borrow::Cow;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, MakeOptions, Pcg64, Simulator, WrapperConfig, check};
use serde::{Deserialize, Serialize};

use super::{REPETITIONS, check_seconds};
use crate::RunError;
use crate::memory;
use crate::runtime::Setup;
use crate::stats::median;

/// Ticks that are timed together, at least.
const MIN_TICKS: usize = 16;

/// Simulation speed of an environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulationRow {
    /// The environment.
    pub env: String,
    /// Environments stepped together, by each thread.
    pub num_envs: usize,
    /// Threads, each with its own simulator.
    pub threads: usize,
    /// Steps a second of all threads, the median; steps of agents where several act in an environment.
    pub steps_per_second: f64,
    /// The best repetition.
    pub best: f64,
}

/// Measures simulation with random actions, observations written, resets and the making of actions counted.
///
/// # Errors
/// If an environment is unknown or fails, or a batch size is zero.
pub fn simulation(
    setup: &Setup,
    ids: &[String],
    batches: &[usize],
    threads: &[usize],
    seconds: f64,
) -> Result<Vec<SimulationRow>, RunError> {
    check_seconds(seconds)?;
    let mut rows = Vec::new();
    for spec in specs(setup, ids)? {
        for &num_envs in batches {
            for &threads in threads {
                let options = MakeOptions { num_envs, ..Default::default() };
                let all = num_envs.saturating_mul(threads.max(1));
                memory::ensure_environments_fit(&spec, &MakeOptions { num_envs: all, ..options.clone() })?;
                let mut rates = on_threads(&spec, &options, threads.max(1), seconds)?;
                rates.sort_by(f64::total_cmp);
                rows.push(SimulationRow {
                    env: spec.id().to_owned(),
                    num_envs,
                    threads: threads.max(1),
                    steps_per_second: median(&rates),
                    best: rates[rates.len() - 1],
                });
            }
        }
    }
    Ok(rows)
}

/// The named environments, or all.
fn specs<'a>(setup: &'a Setup, ids: &[String]) -> Result<Vec<Cow<'a, EnvSpec>>, RunError> {
    if ids.is_empty() {
        return Ok(setup.registry.iter().map(Cow::Borrowed).collect());
    }
    Ok(ids.iter().map(|id| setup.registry.get(id)).collect::<Result<_, _>>()?)
}

/// Rates of several repetitions, summed over threads that begin each of them together.
fn on_threads(
    spec: &EnvSpec,
    options: &MakeOptions,
    threads: usize,
    seconds: f64,
) -> Result<Vec<f64>, RunError> {
    let barrier = Barrier::new(threads);
    let measured: Vec<Result<Vec<f64>, RunError>> = thread::scope(|scope| {
        let work = |thread: usize| {
            let barrier = &barrier;
            scope.spawn(move || {
                simulate(spec, options, thread as u64, seconds, || {
                    barrier.wait();
                })
            })
        };
        let handles: Vec<_> = (0..threads).map(work).collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or(Err(RunError::WorkersGone))).collect()
    });
    let mut sums = vec![0.0; REPETITIONS];
    for rates in measured {
        sums.iter_mut().zip(rates?).for_each(|(sum, rate)| *sum += rate);
    }
    Ok(sums)
}

/// Rates of several repetitions; `together` is called before each.
fn simulate(
    spec: &EnvSpec,
    options: &MakeOptions,
    thread: u64,
    seconds: f64,
    together: impl Fn(),
) -> Result<Vec<f64>, RunError> {
    let mut simulator = spec.make(options)?;
    let mut out = simulator.new_batch();
    simulator.reset(thread * 1_000_003, &mut out)?;
    let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
    let mut rng = Pcg64::seed_from(thread + 1);
    let budget = Duration::from_secs_f64(seconds.max(0.01) / REPETITIONS as f64);
    let mut rates = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        together();
        let (start, mut ticks) = (Instant::now(), 0);
        while start.elapsed() < budget {
            for _ in 0..MIN_TICKS {
                fill_random(&simulator, &out, &mut rng, &mut actions)?;
                simulator.step(&actions, &mut out)?;
            }
            ticks += MIN_TICKS;
        }
        rates.push((ticks * simulator.num_rows()) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(rates)
}

/// Random actions, several of one draw: the bench measures the simulator, not the generator.
fn fill_random(
    simulator: &Simulator,
    out: &agon_envs::StepBatch,
    rng: &mut Pcg64,
    actions: &mut ActionBatch,
) -> Result<(), RunError> {
    match (simulator.action_spec(), actions) {
        (ActionSpec::Discrete { nvec }, ActionBatch::Discrete(values))
            if simulator.mask_len() == 0 && *nvec == [2] =>
        {
            for values in values.chunks_mut(64) {
                let mut bits = rng.next_u64();
                for value in values {
                    *value = (bits & 1) as u32;
                    bits >>= 1;
                }
            }
        }
        (ActionSpec::Discrete { nvec }, ActionBatch::Discrete(values))
            if simulator.mask_len() == 0 && nvec.len() == 1 && nvec[0] < 256 =>
        {
            for values in values.chunks_mut(4) {
                let mut bits = rng.next_u64();
                for value in values {
                    *value = ((bits as u32 & 0xffff) * nvec[0]) >> 16;
                    bits >>= 16;
                }
            }
        }
        (ActionSpec::Continuous { low, high }, ActionBatch::Continuous(values))
            if low.iter().chain(high).all(|bound| bound.is_finite()) =>
        {
            let width = low.len();
            for (i, values) in values.chunks_mut(2).enumerate() {
                let mut bits = rng.next_u64();
                for (k, value) in values.iter_mut().enumerate() {
                    let at = (2 * i + k) % width;
                    let unit = (bits as u32 >> 8) as f32 / 16_777_216.0;
                    *value = (low[at] + (high[at] - low[at]) * unit).min(high[at]);
                    bits >>= 32;
                }
            }
        }
        (_, actions) => check::random_actions(simulator, out, rng, actions)?,
    }
    Ok(())
}

/// What one wrapper costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrapperRow {
    /// The environment it is put around.
    pub env: String,
    /// The wrapper, as its settings.
    pub wrapper: String,
    /// Nanoseconds of a step without it, the median.
    pub bare_ns: f64,
    /// Nanoseconds of a step with it, the median.
    pub wrapped_ns: f64,
}

/// A wrapper of every kind but films, and an environment that it fits.
const WRAPPER_CASES: [(&str, &str); 18] = [
    ("CartPole-v1", "kind = 'time_limit'\nmax_episode_steps = 400"),
    ("CartPole-v1", "kind = 'record_statistics'"),
    ("CartPole-v1", "kind = 'clip_reward'"),
    ("CartPole-v1", "kind = 'sticky_action'"),
    ("CartPole-v1", "kind = 'frame_stack'"),
    ("CartPole-v1", "kind = 'mask_observation'\nindices = [1, 3]"),
    ("CartPole-v1", "kind = 'observation_noise'\nstd = 0.1"),
    ("CartPole-v1", "kind = 'normalize_observation'"),
    ("CartPole-v1", "kind = 'normalize_reward'"),
    ("Taxi-v4", "kind = 'flatten_observation'"),
    ("Pendulum-v1", "kind = 'clip_action'"),
    ("Pendulum-v1", "kind = 'rescale_action'"),
    ("MinAtar/Breakout-v0", "kind = 'frame_stack'"),
    ("MinAtar/Breakout-v0", "kind = 'random_shift'\npad = 1"),
    ("CartPole-v1", "kind = 'action_repeat'\nrepeats = 2"),
    ("MinAtar/Breakout-v0", "kind = 'random_crop'\nheight = 8\nwidth = 8"),
    ("CartPole-v1", "kind = 'render_observation'"),
    ("Fairness/Lending-v0", "kind = 'fairness_penalty'"),
];

/// Measures a step with and without each wrapper, in turn.
///
/// # Errors
/// If an environment or wrapper fails.
pub fn wrappers(setup: &Setup, num_envs: usize, seconds: f64) -> Result<Vec<WrapperRow>, RunError> {
    check_seconds(seconds)?;
    let mut rows = Vec::new();
    for (id, text) in WRAPPER_CASES {
        let wrapper: WrapperConfig = toml::from_str(text)
            .map_err(|error| RunError::Config(format!("wrapper of the bench: {error}")))?;
        let spec = setup.registry.get(id)?;
        let bare = MakeOptions { num_envs, ..Default::default() };
        let wrapped = MakeOptions { num_envs, wrappers: vec![wrapper], ..Default::default() };
        memory::ensure_environments_fit(&spec, &wrapped)?;
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..3 {
            for (options, times) in [&bare, &wrapped].into_iter().zip(&mut times) {
                times
                    .extend(on_threads(&spec, options, 1, seconds / 6.0)?.into_iter().map(|rate| 1e9 / rate));
            }
        }
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let wrapper = text.replace("kind = ", "").replace('\n', ", ").replace('\'', "");
        let [bare_ns, wrapped_ns] = times.map(|times| median(&times));
        rows.push(WrapperRow { env: id.to_owned(), wrapper, bare_ns, wrapped_ns });
    }
    Ok(rows)
}

/// Memory of an environment, and how long it takes to build many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildRow {
    /// The environment.
    pub env: String,
    /// Environments built.
    pub num_envs: usize,
    /// Seconds to build and reset them.
    pub seconds: f64,
    /// Resident bytes of each, its rows of a batch included.
    pub bytes_per_env: f64,
}

/// Builds one simulator in this process; memory is what the process grew by, so a process should build one only.
///
/// # Errors
/// If the environment is unknown or cannot be made.
pub fn build(setup: &Setup, id: &str, num_envs: usize) -> Result<BuildRow, RunError> {
    let spec = setup.registry.get(id)?;
    let options = MakeOptions { num_envs, ..Default::default() };
    memory::ensure_environments_fit(&spec, &options)?;
    let before = resident_bytes();
    let start = Instant::now();
    let mut simulator = spec.make(&options)?;
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out)?;
    let seconds = start.elapsed().as_secs_f64();
    let grown = resident_bytes().saturating_sub(before);
    Ok(BuildRow { env: id.to_owned(), num_envs, seconds, bytes_per_env: grown as f64 / num_envs as f64 })
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_wrapper_has_a_case() {
        // serde lists the kinds that there are.
        let error = toml::from_str::<WrapperConfig>("kind = '?'").unwrap_err().to_string();
        let kinds = error.split("expected one of ").nth(1).unwrap();
        for kind in kinds.split('`').skip(1).step_by(2).filter(|kind| *kind != "record_video") {
            let named = format!("kind = '{kind}'");
            assert!(WRAPPER_CASES.iter().any(|(_, text)| text.starts_with(&named)), "no case of `{kind}`");
        }
        for (_, text) in WRAPPER_CASES {
            assert!(toml::from_str::<WrapperConfig>(text).is_ok(), "{text}");
        }
    }
}
