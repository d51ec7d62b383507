//! `train`, `resume`, `eval` and `network`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{EvalArgs, ResumeArgs, TrainArgs};
use super::progress::{self, Display};
use super::{Ending, complain, say, say_json};
use crate::RunError;
use crate::config::{self, MadeBy, Mode, RunConfig};
use crate::evaluate::{EvalOptions, evaluate};
use crate::experiment::{self, SeedRun};
use crate::jobs::Ended;
use crate::memory;
use crate::presets;
use crate::run::{RunDirectory, directory};
use crate::runtime::{self, Setup};
use crate::text::{duration, human};

/// What a training command prints with `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    run: &'a Path,
    seed: u64,
    finished: bool,
    env_steps: u64,
    mean_return: Option<f64>,
    seconds: f64,
    steps_per_second: f64,
}

pub(super) fn train(setup: &Setup, args: &TrainArgs) -> Result<Ending, RunError> {
    let mut config = configure(setup, args)?;
    let encoder = config.encoder_kind();
    config.resolve(&setup.registry, &setup.algorithms)?;
    config.made_by = Some(MadeBy::this_program(&config)?);
    let seeds = args.seeds.unwrap_or(1);
    let last = RunConfig { seed: config.seed.saturating_add(seeds - 1), ..config.clone() };
    last.clone().resolve(&setup.registry, &setup.algorithms)?;
    let path = match &args.name {
        Some(name) => args.out.join(name),
        None => free_path(&args.out, &default_name(&config, seeds), args.force),
    };
    let runs = experiment::seed_runs(&path, config.seed, seeds);
    progress::handle_interrupts()?;
    let display = Display::new(args.json);
    if let Some(kind) = config.encoder_kind().filter(|kind| Some(kind) != encoder.as_ref()) {
        display.note(&format!(
            "encoder: {kind}, which suits the observations; choose with network.encoder.kind"
        ));
    }
    let needed = runtime::memory_bytes(setup, &config)?;
    memory::ensure_fits(needed, runs.len().min(config.threads()))?;
    if needed > 0 {
        let (needed, available) = (memory::bytes(needed), memory::bytes(memory::available()));
        display.note(&format!("a full replay buffer takes {needed}; {available} of memory are available"));
    }
    if args.force && path.exists() {
        directory::remove(&path)?;
    }
    let observe = |run: &SeedRun| display.of_run(format!("{} seed {}", config.env.id, run.seed));
    let ended = experiment::train(setup, &config, &path, &runs, &observe)?;
    report(&pairs(runs, ended), &path, args.json)
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

/// Lays the layers of settings over each other.
fn configure(setup: &Setup, args: &TrainArgs) -> Result<RunConfig, RunError> {
    let mut table = presets::base(args.preset.as_deref(), &args.algorithm, &args.env)?;
    if let Some(path) = &args.config {
        let mut file = config::read_table(path)?;
        // A run's config.toml says what made it; the new run says so itself.
        file.remove("made_by");
        config::merge(&mut table, file);
    }
    for assignment in &args.set {
        config::set(&mut table, assignment)?;
        refuse_subject(assignment)?;
    }
    config::set_subject(&mut table, &args.algorithm, &args.env)?;
    let mut config = RunConfig::from_table(&setup.algorithms, table)?;
    if args.asynchronous {
        config.runtime.mode = Mode::Async;
    }
    if let Some(from) = &args.init_from {
        config.init_from = Some(from.clone());
    }
    let RunConfig { seed, total_timesteps, runtime, eval, .. } = &mut config;
    *seed = args.seed.unwrap_or(*seed);
    *total_timesteps = args.total_timesteps.unwrap_or(*total_timesteps);
    runtime.threads = args.threads.unwrap_or(runtime.threads);
    eval.every = args.eval_every.unwrap_or(eval.every);
    runtime.checkpoint_every = args.checkpoint_every.unwrap_or(runtime.checkpoint_every);
    Ok(config)
}

/// Refuses a setting that says what the arguments say already.
fn refuse_subject(assignment: &str) -> Result<(), RunError> {
    let key = assignment.split_once('=').map_or(assignment, |(key, _)| key).trim();
    match key {
        "algorithm" | "env.id" => Err(RunError::Config(format!(
            "--set {assignment}: the algorithm and the environment are the two arguments before the options"
        ))),
        _ => Ok(()),
    }
}

/// The first directory of a name, or of the name and a number, that does not exist; with `replace`, that of the name.
fn free_path(out: &Path, name: &str, replace: bool) -> PathBuf {
    let named = out.join(name);
    if replace || !named.exists() {
        return named;
    }
    let numbered = (2_u64..).map(|number| out.join(format!("{name}-{number}")));
    numbered.into_iter().find(|path| !path.exists()).unwrap_or(named)
}

fn default_name(config: &RunConfig, seeds: u64) -> String {
    let env = config.env.id.replace('/', "_");
    match seeds {
        1 => format!("{}_{env}_{}", config.algorithm, config.seed),
        _ => format!(
            "{}_{env}_seeds_{}-{}",
            config.algorithm,
            config.seed,
            config.seed.saturating_add(seeds - 1)
        ),
    }
}

pub(super) fn resume(setup: &Setup, args: &ResumeArgs) -> Result<Ending, RunError> {
    progress::handle_interrupts()?;
    let display = Display::new(args.json);
    if experiment::is_experiment(&args.run) {
        if let Some(total_timesteps) = args.total_timesteps {
            experiment::extend(&args.run, total_timesteps)?;
        }
        let (config, runs) = experiment::open(&args.run)?;
        let observe = |run: &SeedRun| display.of_run(format!("{} seed {}", config.env.id, run.seed));
        let ended = experiment::resume(setup, &args.run, args.threads, &observe)?;
        return report(&pairs(runs, ended), &args.run, args.json);
    }
    if let Some(total_timesteps) = args.total_timesteps {
        runtime::extend(&args.run, total_timesteps)?;
    }
    let (_, config) = RunDirectory::open(&args.run)?;
    if let Some(reason) = config.made_by.as_ref().and_then(|made_by| made_by.inexact.as_ref()) {
        display.note(&format!("this run cannot be resumed exactly: {reason}"));
    }
    let sink = display.of_run(format!("{} seed {}", config.env.id, config.seed));
    let outcome = runtime::resume_with(setup, &args.run, args.threads, sink)?;
    experiment::draw_curve(setup, &args.run, &config)?;
    let run = SeedRun { seed: config.seed, path: args.run.clone() };
    let ended = if outcome.finished { Ended::Reached(outcome) } else { Ended::Stopped(outcome) };
    report(&[(run, ended)], &args.run, args.json)
}

fn pairs(runs: Vec<SeedRun>, ended: Vec<Ended>) -> Vec<(SeedRun, Ended)> {
    runs.into_iter().zip(ended).collect()
}

fn report(runs: &[(SeedRun, Ended)], path: &Path, json: bool) -> Result<Ending, RunError> {
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
        let word = if outcome.finished { "finished" } else { "stopped" };
        say(format_args!(
            "seed {}: {word} after {} steps in {}, {rate} steps/s, mean return of the last 100 episodes {mean}",
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

pub(super) fn eval(setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    let options = EvalOptions {
        episodes: args.episodes,
        seed: args.seed,
        stochastic: args.stochastic,
        best: args.best,
        ..EvalOptions::default()
    };
    let evaluation = evaluate(setup, &args.run, &options)?;
    if args.json {
        return say_json(&evaluation);
    }
    say(format_args!(
        "{} episodes after {} steps of training: mean return {:.2}, standard deviation {:.2}, minimum {:.2}, maximum {:.2}",
        evaluation.episodes,
        evaluation.env_steps,
        evaluation.mean_return,
        evaluation.std_return,
        evaluation.min_return,
        evaluation.max_return
    ))?;
    if evaluation.cut > 0 {
        let (cut, limit) = (evaluation.cut, options.max_episode_steps);
        say(format_args!("{cut} of them did not end and were cut after {limit} steps"))?;
    }
    for (agent, mean) in evaluation.agents.iter().enumerate() {
        say(format_args!("mean return of agent {agent}: {mean:.2}"))?;
    }
    for (team, mean) in &evaluation.teams {
        say(format_args!("mean return of team {team}, its agents' returns added up: {mean:.2}"))?;
    }
    for (name, mean) in &evaluation.env_metrics {
        say(format_args!("mean {name}: {mean:.3}"))?;
    }
    Ok(Ending::Success)
}
