//! `data`: data sets of recorded episodes.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{DataCommand, DataInfoArgs, EvaluateDataArgs, RecordDataArgs};
use super::{Ending, say, say_json, table};
use crate::RunError;
use crate::config::{self, EnvConfig};
use crate::data::evaluate::{self, BehaviorPolicy, EvaluationOptions, Method};
use crate::data::record::{self, RecordOptions, Recorder};
use crate::data::report::{self, DataReport, Summary};
use crate::data::{self, open};
use crate::policy::Which;
use crate::runtime::Setup;
use crate::stats;

pub(super) fn data(setup: &Setup, command: &DataCommand) -> Result<Ending, RunError> {
    match command {
        DataCommand::Record(args) => record(setup, args),
        DataCommand::Info(args) => info(args),
        DataCommand::Check(args) => check(&args.sets),
        DataCommand::Convert(args) => {
            let episodes = data::copy(&[open(&args.set)?], &args.id, args.format, None)?;
            say(format_args!("{}: {episodes} episodes as {}", args.id, args.format))
        }
        DataCommand::Mix(args) => {
            let sets = args.sets.iter().map(|id| open(id)).collect::<Result<Vec<_>, _>>()?;
            let episodes = data::copy(&sets, &args.id, args.format, args.each)?;
            say(format_args!("{}: {episodes} episodes of {} data sets", args.id, sets.len()))
        }
        DataCommand::Evaluate(args) => evaluate(setup, args),
        DataCommand::List => list(),
    }
}

fn record(setup: &Setup, args: &RecordDataArgs) -> Result<Ending, RunError> {
    let options = RecordOptions {
        recorder: recorder(setup, args)?,
        id: args.id.clone(),
        format: args.format,
        episodes: args.episodes,
        seed: args.seed,
        stochastic: args.stochastic,
        author: args.author.clone(),
    };
    let bar = ProgressBar::new(args.episodes);
    let style = ProgressStyle::with_template("{pos} of {len} episodes {wide_bar} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let recording = record::record(setup, &options, &mut |episodes| bar.set_position(episodes));
    bar.finish_and_clear();
    let recording = recording?;
    say(format_args!(
        "{}: {} episodes, {} steps, mean return {:.2}",
        args.id,
        recording.returns.len(),
        recording.steps,
        stats::mean(&recording.returns)
    ))
}

/// Who acts: a registered environment's id means random actions.
fn recorder(setup: &Setup, args: &RecordDataArgs) -> Result<Recorder, RunError> {
    let path = Path::new(&args.source);
    if !path.exists() {
        setup.registry.get(&args.source)?;
        if args.best || args.stochastic || args.checkpoint.is_some() || args.all_until.is_some() {
            let message =
                "--best, --stochastic, --checkpoint and --all-until are for a run: random actions have none";
            return Err(RunError::Config(message.to_owned()));
        }
        let mut env = EnvConfig { id: args.source.clone(), ..EnvConfig::default() };
        args.args.iter().try_for_each(|argument| config::set_by("--arg", &mut env.args, argument))?;
        return Ok(Recorder::Random(env));
    }
    if !args.args.is_empty() {
        let message =
            "--arg is for an environment's id: a run and a weight file have their own arguments".to_owned();
        return Err(RunError::Config(message));
    }
    Ok(match args.all_until {
        Some(last) => Recorder::Checkpoints(path.to_owned(), last),
        None => Recorder::Policy(path.to_owned(), Which::chosen(args.checkpoint, args.best)),
    })
}

fn info(args: &DataInfoArgs) -> Result<Ending, RunError> {
    let reports: Vec<DataReport> =
        args.sets.iter().map(|id| report::report(&open(id)?)).collect::<Result<_, _>>()?;
    if let Some(out) = &args.out {
        report::picture(&reports)?.save(out)?;
    }
    if args.json {
        return say_json(&reports);
    }
    for told in &reports {
        let jpeg = if told.jpeg { ", images as JPEG (not what the agent saw)" } else { "" };
        let by = told.algorithm.as_ref().map_or(String::new(), |name| format!(", by {name}"));
        say(format_args!(
            "{}: {} episodes, {} steps, {}{jpeg}{by}",
            told.id, told.episodes, told.steps, told.format
        ))?;
        let mut rows =
            vec![row("return", &told.returns, String::new()), row("length", &told.lengths, String::new())];
        for part in &told.parts {
            let entropy = part.entropy.map_or(String::new(), |entropy| format!("{entropy:.3}"));
            if let Some(numbers) = &part.numbers {
                rows.push(row(&part.name, numbers, entropy));
            }
        }
        say(table(&["", "min", "mean", "std", "max", "entropy"], &rows).trim_end())?;
        say(format_args!(
            "{:.1} % of episodes ended by themselves, {:.1} % of observations differ\n",
            100.0 * told.terminated,
            100.0 * told.distinct_observations
        ))?;
    }
    if let Some(out) = &args.out {
        return say(format_args!("plot: {}", out.display()));
    }
    Ok(Ending::Success)
}

fn evaluate(setup: &Setup, args: &EvaluateDataArgs) -> Result<Ending, RunError> {
    let options = EvaluationOptions {
        set: args.set.clone(),
        policy: args.policy.clone(),
        method: if args.method == "wis" { Method::ImportanceSampling } else { Method::FittedQ },
        stochastic: args.stochastic,
        behavior: match args.behavior.as_deref() {
            None => BehaviorPolicy::Cloned,
            Some("random") => BehaviorPolicy::Random,
            Some(path) => BehaviorPolicy::Policy(path.into()),
        },
        gamma: args.gamma,
        updates: args.updates,
        seed: args.seed,
    };
    let found = evaluate::evaluate(setup, &options)?;
    if args.json {
        return say_json(&found);
    }
    let stats::Estimate { value, low, high } = found.value;
    say(format_args!(
        "{}: discounted return {value:.3} ({low:.3} to {high:.3}), the data's {:.3}, {} episodes",
        args.policy.display(),
        found.data_return,
        found.episodes
    ))?;
    match (found.effective_episodes, found.loss) {
        (Some(effective), _) => say(format_args!("worth {effective:.1} episodes of the policy's own")),
        (_, Some(loss)) => say(format_args!("loss {loss:.4} at the end")),
        _ => Ok(Ending::Success),
    }
}

fn row(name: &str, summary: &Summary, entropy: String) -> Vec<String> {
    let Summary { min, mean, std, max } = summary;
    let number = |value: &f64| format!("{value:.3}");
    vec![name.to_owned(), number(min), number(mean), number(std), number(max), entropy]
}

fn check(sets: &[String]) -> Result<Ending, RunError> {
    let mut has_faults = false;
    for id in sets {
        let set = open(id)?;
        let remarks = report::check(&set)?;
        has_faults |= remarks.iter().any(|remark| remark.is_fault);
        let told: Vec<&str> = remarks.iter().map(|remark| remark.text.as_str()).collect();
        let told = if told.is_empty() { "as it should be".to_owned() } else { told.join("\n  ") };
        say(format_args!("{id}: {} episodes\n  {told}", set.len()))?;
    }
    Ok(if has_faults { Ending::Failure } else { Ending::Success })
}

fn list() -> Result<Ending, RunError> {
    let root = data::root()?;
    let mut rows = Vec::new();
    for id in agon_data::list(&root)? {
        let set = open(id.as_str())?;
        let metadata = set.metadata();
        rows.push(vec![
            id.to_string(),
            metadata.total_episodes.to_string(),
            metadata.total_steps.to_string(),
            metadata.data_format.to_string(),
        ]);
    }
    if rows.is_empty() {
        return say(format_args!("no data sets under {}", root.display()));
    }
    say(table(&["id", "episodes", "steps", "format"], &rows).trim_end())
}
