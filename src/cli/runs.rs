//! `train`, `resume` and `network`.

use std::path::Path;

use serde::Serialize;

use super::args::{ResumeArgs, TrainArgs};
use super::progress::{self, Display};
use super::{Ending, complain, say, say_json, say_sentence, serve};
use crate::RunError;
use crate::config::{self, Mode, RunConfig};
use crate::experiment::{self, SeedRun};
use crate::jobs::Ended;
use crate::memory;
use crate::presets;
use crate::request::{Place, Request};
use crate::run::RunDirectory;
use crate::run::directory::CONFIG;
use crate::run::written::is_finished;
use crate::runtime::{self, Setup};
use crate::text::{duration, human};
use crate::transfer::TransferMode;

/// Bytes of memory from which on a run's needs are printed.
const WORTH_SAYING: u64 = 256 << 20;

/// What a training command prints with `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    run: &'a Path,
    seed: u64,
    finished: bool,
    /// Whether it was when it was asked to go on.
    finished_before: bool,
    env_steps: u64,
    mean_return: Option<f64>,
    seconds: f64,
    steps_per_second: f64,
}

pub(super) fn train(setup: &Setup, args: &TrainArgs) -> Result<Ending, RunError> {
    let mut config = configure(setup, args)?;
    let encoder = config.encoder_kind();
    let preset = requested(args).settle(setup, &mut config)?;
    let seeds = args.seeds.unwrap_or(1);
    let last = RunConfig { seed: config.seed.saturating_add(seeds - 1), ..config.clone() };
    last.clone().resolve(&setup.registry, &setup.algorithms)?;
    progress::handle_interrupts()?;
    let display =
        Display::new(args.json).with_total(seeds as usize, config.total_timesteps.saturating_mul(seeds));
    display.note(&preset_note(&preset));
    if let Some(kind) = config.encoder_kind().filter(|kind| Some(kind) != encoder.as_ref()) {
        display.note(&format!(
            "encoder: {kind}, which suits the observations; choose with network.encoder.kind"
        ));
    }
    let needs = runtime::memory_needs(setup, &config)?;
    if setup.engine.is_none() {
        memory::ensure_fits(&needs, (seeds as usize).min(config.threads()))?;
    }
    if needs.total() >= WORTH_SAYING {
        let (total, available) = (memory::bytes(needs.total()), memory::bytes(memory::available()));
        display.note(&format!("a run takes {total} of memory, of which {needs}; {available} are available"));
    }
    let place = Place { out: &args.out, name: args.name.as_deref(), replace: args.force };
    let path = place.make_room(setup, &config, seeds)?;
    let runs = experiment::seed_runs(&path, config.seed, seeds);
    let page = args.serve.map(|port| serve::beside(setup, &args.out, port)).transpose()?;
    if let Some((url, _)) = &page {
        display.note(&format!("page: {url}"));
    }
    let goal = config.total_timesteps;
    let observe = |run: &SeedRun| display.of_run(format!("{} seed {}", config.env.id, run.seed), goal);
    let ended = experiment::train(setup, &config, &path, &runs, &observe);
    // A place that was made for a run that did not begin.
    let ended = ended.inspect_err(|_| drop(std::fs::remove_dir(&path)))?;
    drop(display);
    report(&pairs(runs, ended), &[], &path, args.json)
}

/// What the settings begin with, in words.
fn preset_note(preset: &str) -> String {
    match preset {
        presets::NONE => "preset: none, the algorithm's own defaults (see `agon presets`)".to_owned(),
        preset => format!("preset: {preset} (`--preset none` for the algorithm's defaults)"),
    }
}

pub(super) fn network(setup: &Setup, args: &TrainArgs) -> Result<Ending, RunError> {
    let mut config = configure(setup, args)?;
    config.resolve(&setup.registry, &setup.algorithms)?;
    match runtime::summary(setup, &config)? {
        Some(summary) if args.json => say_json(&summary),
        Some(summary) => say(summary.to_string().trim_end()),
        None => say(format!("{} trains no network", config.algorithm)),
    }
}

fn requested(args: &TrainArgs) -> Request<'_> {
    Request { algorithm: &args.algorithm, env: &args.env, preset: args.preset.as_deref() }
}

/// Lays the layers of settings over each other.
pub(super) fn configure(setup: &Setup, args: &TrainArgs) -> Result<RunConfig, RunError> {
    let mut config = requested(args).configure(setup, |table| {
        if let Some(path) = &args.config {
            let mut file = config::read_table(path)?;
            // A run's config.toml says what made it; the new run says so itself.
            file.remove("made_by");
            config::merge(table, file);
        }
        args.set.iter().try_for_each(|assignment| config::set(table, assignment))?;
        refuse_other_subject(args)
    })?;
    config.runtime.histograms |= args.histograms;
    if args.asynchronous {
        config.runtime.mode = Mode::Async;
    }
    if let Some(from) = &args.init_from {
        config.init_from = Some(from.clone());
    }
    if !args.data.is_empty() {
        config.data.sets.clone_from(&args.data);
    }
    config.data.acts |= args.acts;
    if args.matching {
        config.transfer.mode = TransferMode::Matching;
    }
    config.transfer.reset.extend(args.reset.iter().cloned());
    config.transfer.freeze.extend(args.freeze.iter().cloned());
    let RunConfig { seed, total_timesteps, runtime, eval, .. } = &mut config;
    *seed = args.seed.unwrap_or(*seed);
    *total_timesteps = args.total_timesteps.unwrap_or(*total_timesteps);
    runtime.threads = args.threads.unwrap_or(runtime.threads);
    eval.every = args.eval_every.unwrap_or(eval.every);
    runtime.checkpoint_every = args.checkpoint_every.unwrap_or(runtime.checkpoint_every);
    Ok(config)
}

/// Refuses a `--set` of another algorithm or environment than the arguments name.
fn refuse_other_subject(args: &TrainArgs) -> Result<(), RunError> {
    for (key, argument) in [("algorithm", &args.algorithm), ("env.id", &args.env)] {
        // Of several the last one counts.
        let value = |assignment: &String| {
            let (found, value) = assignment.split_once('=')?;
            (found.trim() == key).then(|| value.trim().trim_matches(['\'', '"']).to_owned())
        };
        if let Some(value) = args.set.iter().rev().find_map(value)
            && value != *argument
        {
            return Err(RunError::Config(format!(
                "--set {key}={value}: the arguments before the options say {argument}"
            )));
        }
    }
    Ok(())
}

pub(super) fn resume(setup: &Setup, args: &ResumeArgs) -> Result<Ending, RunError> {
    progress::handle_interrupts()?;
    let display = Display::new(args.json);
    if experiment::is_experiment(&args.run) {
        if let Some(total_timesteps) = args.total_timesteps {
            experiment::extend(&args.run, total_timesteps)?;
        }
        let (config, runs) = experiment::open(&args.run)?;
        let goal = config.total_timesteps;
        let display = display.with_total(runs.len(), goal.saturating_mul(runs.len() as u64));
        let before = finished(&runs, goal)?;
        let observe = |run: &SeedRun| display.of_run(format!("{} seed {}", config.env.id, run.seed), goal);
        let ended = experiment::resume(setup, &args.run, args.threads, &observe)?;
        drop(display);
        return report(&pairs(runs, ended), &before, &args.run, args.json);
    }
    if let Some(total_timesteps) = args.total_timesteps {
        runtime::extend(&args.run, total_timesteps)?;
    }
    let (_, config) = RunDirectory::open(&args.run)?;
    if let Some(reason) = config.made_by.as_ref().and_then(|made_by| made_by.inexact.as_ref()) {
        display.note(&format!("this run cannot be resumed exactly: {reason}"));
    }
    let run = SeedRun { seed: config.seed, path: args.run.clone() };
    let before = finished(&[run], config.total_timesteps)?;
    let name = format!("{} seed {}", config.env.id, config.seed);
    let observe = |_: &SeedRun| display.of_run(name.clone(), config.total_timesteps);
    let ended = experiment::resume_run(setup, &args.run, args.threads, &observe)?;
    drop(display);
    report(&[ended], &before, &args.run, args.json)
}

/// The seeds of runs that have come to their ends.
fn finished(runs: &[SeedRun], total_timesteps: u64) -> Result<Vec<u64>, RunError> {
    let mut seeds = Vec::new();
    for run in runs {
        if is_finished(&run.path, total_timesteps)? {
            seeds.push(run.seed);
        }
    }
    Ok(seeds)
}

fn pairs(runs: Vec<SeedRun>, ended: Vec<Ended>) -> Vec<(SeedRun, Ended)> {
    runs.into_iter().zip(ended).collect()
}

/// Says how runs have ended; `before` are the seeds that had finished before they were asked to go on.
fn report(runs: &[(SeedRun, Ended)], before: &[u64], path: &Path, json: bool) -> Result<Ending, RunError> {
    let settled = runs.iter().all(|(_, ended)| ended.is_settled());
    let mut ending = if settled { Ending::Success } else { Ending::Interrupted };
    for (run, failure) in runs.iter().filter_map(|(run, ended)| Some((run, ended.failure()?))) {
        let (seed, run) = (run.seed, run.path.display());
        complain(format_args!(
            "seed {seed} failed after {} steps: {}; `agon resume {run}` tries again from its last checkpoint",
            failure.env_steps, failure.reason
        ));
        ending = if settled { Ending::Failure } else { ending };
    }
    let begun = || runs.iter().filter_map(|(run, ended)| Some((run, ended.outcome()?)));
    if json {
        let summaries: Vec<Summary<'_>> = begun()
            .map(|(run, outcome)| Summary {
                run: &run.path,
                seed: run.seed,
                finished: outcome.finished,
                finished_before: before.contains(&run.seed),
                env_steps: outcome.env_steps,
                mean_return: Some(outcome.mean_return).filter(|mean| !mean.is_nan()),
                seconds: outcome.seconds,
                steps_per_second: outcome.env_steps as f64 / outcome.seconds,
            })
            .collect();
        say_json(&summaries)?;
        return Ok(ending);
    }
    for (run, outcome) in begun() {
        let rate = human(outcome.env_steps as f64 / outcome.seconds);
        let mean = if outcome.mean_return.is_nan() {
            "–".to_owned()
        } else {
            format!("{:.1}", outcome.mean_return)
        };
        let word = match (outcome.finished, before.contains(&run.seed)) {
            (true, true) => "finished already,",
            (true, false) => "finished",
            (false, _) => "stopped",
        };
        let config = RunConfig::load(&run.path.join(CONFIG));
        let of = match config.is_ok_and(|config| config.data.is_alone()) {
            true => "the last evaluation",
            false => "the last 100 episodes",
        };
        say_sentence(&format!(
            "seed {}: {word} after {} steps in {}, {rate} steps/s, mean return of {of} {mean}",
            run.seed,
            outcome.env_steps,
            duration(outcome.seconds),
        ))?;
    }
    if !settled {
        say(format_args!("continue with: agon resume {}", path.display()))?;
    }
    say(format_args!("run: {}", path.display()))?;
    let curve = path.join("curve.svg");
    if curve.exists() {
        say(format_args!("learning curve: {} (and curve.png)", curve.display()))?;
    }
    Ok(ending)
}
