//! `eval`: a weight file, a run, every seed of an experiment, or an ONNX file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::args::EvalArgs;
use super::{Ending, complain, say, say_json, say_sentence};
use crate::RunError;
use crate::config::{self, EnvConfig};
use crate::evaluate::{EvalOptions, Evaluation, evaluate_in};
use crate::experiment;
use crate::export::Export;
#[cfg(feature = "onnx")]
use crate::import::OnnxModel;
use crate::policy::{self, Which};
use crate::run::RunDirectory;
use crate::runtime::Setup;
use crate::signing::Source;
use crate::stats::{self, Estimate, Resamples, Resampling};

/// What is said of a seed of an experiment.
#[derive(Serialize)]
struct SeedEvaluation {
    seed: u64,
    run: PathBuf,
    #[serde(flatten)]
    evaluation: Evaluation,
}

/// What is said of an experiment.
#[derive(Serialize)]
struct OverSeeds {
    /// The mean over seeds of their mean returns, with its bootstrapped 95 % interval.
    mean_return: Estimate,
    /// The standard deviation of the seeds' mean returns; none of one seed.
    std_over_seeds: Option<f64>,
    seeds: Vec<SeedEvaluation>,
}

/// The settings that an evaluation may change.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changeable {
    env: EnvConfig,
}

pub(super) fn eval(setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    if args.run.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
        return eval_onnx(setup, args);
    }
    if let Some(export) = exported(setup, args)? {
        return eval_exported(setup, args, &export);
    }
    if let Some(env) = &args.env {
        let message =
            format!("only an ONNX file is told its environment: `--set env.id={env}` changes that of a run");
        return Err(RunError::Config(message));
    }
    let is_experiment = args.run.is_dir() && !RunDirectory::exists(&args.run);
    if is_experiment { eval_experiment(setup, args) } else { eval_run(setup, args) }
}

fn eval_run(setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    let (_, evaluation) = evaluate(setup, args, &args.run)?;
    let trained = format!("after {} steps of training", evaluation.env_steps);
    say_evaluation(args, &evaluation, &trained)
}

/// The policy of a file that was exported or compressed, if it is one.
fn exported(setup: &Setup, args: &EvalArgs) -> Result<Option<Export>, RunError> {
    if !args.run.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
        return Ok(None);
    }
    let content = Source::of(setup.require_signature.as_deref(), &args.run)?.read(&args.run)?;
    let wrong = |error: RunError| RunError::Weights { path: args.run.clone(), message: error.to_string() };
    Export::from_safetensors(&content).map_err(wrong)
}

fn eval_exported(setup: &Setup, args: &EvalArgs, export: &Export) -> Result<Ending, RunError> {
    check_choices(args, "an exported file")?;
    let env = match (&args.env, export.environment()?) {
        (None, Some(env)) => env,
        (Some(id), Some(env)) if *id == env.id => env,
        (Some(id), _) => EnvConfig { id: id.clone(), ..EnvConfig::default() },
        (None, None) => {
            let file = args.run.display();
            let message =
                format!("{file} names no environment: expected one, as in `agon eval {file} CartPole-v1`");
            return Err(RunError::Config(message));
        }
    };
    let env = changed(&env, &args.set, &args.arg)?;
    let found = export.evaluate(setup, &env, &options(args))?;
    say_evaluation(args, &found, &format!("in {}", env.id))
}

/// Refuses what is for runs, of which a file has one policy.
fn check_choices(args: &EvalArgs, what: &str) -> Result<(), RunError> {
    if args.stochastic
        || args.best
        || args.checkpoint.is_some()
        || !args.search.is_empty()
        || args.target_return.is_some()
    {
        let message = format!(
            "{what} has one policy, which takes its best actions: expected neither --stochastic, --best, --checkpoint, --search nor --target-return"
        );
        return Err(RunError::Config(message));
    }
    Ok(())
}

/// A policy of another program, or one that was exported.
#[cfg(feature = "onnx")]
fn eval_onnx(setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    check_choices(args, "an ONNX file")?;
    let model = OnnxModel::open_with(setup, &args.run)?;
    let env = changed(&model.environment_or(args.env.as_deref())?, &args.set, &args.arg)?;
    let found = model.evaluate(setup, &env, &options(args))?;
    say_evaluation(args, &found, &format!("in {}", env.id))
}

#[cfg(not(feature = "onnx"))]
fn eval_onnx(_setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    let file = args.run.display();
    Err(RunError::Config(format!(
        "{file}: this program was built without the feature `onnx`, which reads ONNX files"
    )))
}

/// What an evaluation found, as text or JSON.
fn say_evaluation(args: &EvalArgs, evaluation: &Evaluation, of_what: &str) -> Result<Ending, RunError> {
    if args.json {
        return say_json(evaluation);
    }
    say_sentence(&format!(
        "{} episodes {of_what}: mean return {:.2}, standard deviation {:.2}, minimum {:.2}, maximum {:.2}",
        evaluation.episodes,
        evaluation.mean_return,
        evaluation.std_return,
        evaluation.min_return,
        evaluation.max_return
    ))?;
    if evaluation.cut > 0 {
        let (cut, limit) = (evaluation.cut, options(args).max_episode_steps);
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

fn eval_experiment(setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    let (mut seeds, mut failed) = (Vec::new(), None);
    for run in experiment::find_runs(&args.run)? {
        match evaluate(setup, args, &run) {
            Ok((seed, evaluation)) => seeds.push(SeedEvaluation { seed, run, evaluation }),
            Err(error) => {
                complain(format_args!("left out {}", error.chain()));
                failed = failed.or(Some(error));
            }
        }
    }
    if let (true, Some(error)) = (seeds.is_empty(), failed) {
        return Err(error);
    }
    let means: Vec<f64> = seeds.iter().map(|seed| seed.evaluation.mean_return).collect();
    let mean_return = Resamples::new(means.len(), Resampling::default()).mean(&means);
    let std_over_seeds = Some(stats::sample_std(&means)).filter(|std| std.is_finite());
    let found = OverSeeds { mean_return, std_over_seeds, seeds };
    if args.json {
        return say_json(&found);
    }
    for SeedEvaluation { seed, evaluation, .. } in &found.seeds {
        let Evaluation { episodes, env_steps, mean_return, std_return, .. } = evaluation;
        let cut =
            if evaluation.cut > 0 { format!(", {} of them cut", evaluation.cut) } else { String::new() };
        say_sentence(&format!(
            "seed {seed}: {episodes} episodes after {env_steps} steps of training{cut}: mean return {mean_return:.2}, standard \
             deviation {std_return:.2}"
        ))?;
    }
    let Estimate { value, low, high } = found.mean_return;
    let spread = found.std_over_seeds.map_or(String::new(), |std| format!(", standard deviation {std:.2}"));
    say_sentence(&format!(
        "{} seeds: mean return {value:.2}, bootstrapped 95 % interval over seeds [{low:.2}, {high:.2}]{spread}",
        found.seeds.len()
    ))
}

fn options(args: &EvalArgs) -> EvalOptions {
    let EvalArgs { episodes, seed, stochastic, best, .. } = *args;
    EvalOptions { episodes, seed, stochastic, best, ..EvalOptions::default() }
}

/// Evaluates one policy; gives the seed it was trained with, too.
fn evaluate(setup: &Setup, args: &EvalArgs, path: &Path) -> Result<(u64, Evaluation), RunError> {
    let which = Which::chosen(args.checkpoint, args.best);
    let trained = policy::load_which(setup, path, which)?;
    let trained = if args.search.is_empty() {
        trained
    } else {
        let settings = policy::changed_search(&trained.search_settings(), &args.search)?;
        trained.looking_ahead(settings)?
    };
    let trained = match args.target_return {
        Some(target_return) => trained.aiming_at(target_return)?,
        None => trained,
    };
    let card = trained.card();
    let env = changed(&card.env, &args.set, &args.arg)?;
    Ok((card.seed, evaluate_in(setup, &trained, &env, &options(args))?))
}

/// An environment with other settings (`env.max_episode_steps=500`) and other arguments (`is_slippery=false`).
fn changed(env: &EnvConfig, settings: &[String], arguments: &[String]) -> Result<EnvConfig, RunError> {
    if settings.is_empty() && arguments.is_empty() {
        return Ok(env.clone());
    }
    let mut env = env.clone();
    for argument in arguments {
        config::set_by("--arg", &mut env.args, argument)?;
    }
    let mut table =
        toml::Table::try_from(Changeable { env }).map_err(|error| RunError::Config(error.to_string()))?;
    for setting in settings {
        if !setting.starts_with("env.") {
            return Err(RunError::Config(format!(
                "--set {setting}: an evaluation has settings of the environment only, as in `env.max_episode_steps=500`; \
                 all others were decided by training"
            )));
        }
        config::set(&mut table, setting)?;
    }
    Ok(config::from_table::<Changeable>(table)?.env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_change_the_environment_and_nothing_else() {
        let env = EnvConfig { id: "FrozenLake-v1".to_owned(), ..EnvConfig::default() };
        let change = |settings: &[&str], arguments: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            changed(&env, &owned(settings), &owned(arguments))
        };
        let found = change(&["env.max_episode_steps=7"], &["is_slippery=false"]).unwrap();
        assert_eq!((found.max_episode_steps, found.args["is_slippery"].as_bool()), (Some(7), Some(false)));
        assert_eq!(change(&[], &[]).unwrap(), env);
        for (setting, part) in [("agent.gamma=0.5", "the environment only"), ("env.ids=x", "ids")] {
            let message = change(&[setting], &[]).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
