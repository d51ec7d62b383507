//! `envs list`, `info`, `check` and `verify`.

use agon_envs::verify::verify_recording;
use agon_envs::{EnvSpec, MakeOptions, check_env};
use serde::Serialize;

use super::args::VerifyArgs;
use super::{Ending, say, say_json, table};
use crate::RunError;
use crate::runtime::Setup;

/// What is known of an environment.
#[derive(Serialize)]
struct Info {
    id: String,
    summary: String,
    observation_space: String,
    action_space: String,
    max_episode_steps: Option<u32>,
    reward_threshold: Option<f64>,
}

impl Info {
    fn of(spec: &EnvSpec) -> Result<Self, RunError> {
        let simulator = spec.make(&MakeOptions::default())?;
        Ok(Self {
            id: spec.id().to_owned(),
            summary: spec.summary_text().to_owned(),
            observation_space: simulator.observation_space().to_string(),
            action_space: simulator.action_space().to_string(),
            max_episode_steps: spec.time_limit(),
            reward_threshold: spec.threshold(),
        })
    }
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

pub(super) fn list(setup: &Setup, json: bool) -> Result<Ending, RunError> {
    let infos: Vec<Info> = setup.registry.iter().map(Info::of).collect::<Result<_, _>>()?;
    if json {
        return say_json(&infos);
    }
    let rows: Vec<Vec<String>> = infos
        .into_iter()
        .map(|info| {
            vec![info.id, or_none(info.max_episode_steps), or_none(info.reward_threshold), info.summary]
        })
        .collect();
    say(table(&["id", "time limit", "solved at", "summary"], &rows))
}

pub(super) fn info(setup: &Setup, id: &str) -> Result<Ending, RunError> {
    let info = Info::of(setup.registry.get(id)?)?;
    say(format_args!(
        "{}\n{}\n\nobservation space  {}\naction space       {}\ntime limit         {} steps\nsolved at          {}",
        info.id,
        info.summary,
        info.observation_space,
        info.action_space,
        or_none(info.max_episode_steps),
        or_none(info.reward_threshold),
    ))
}

pub(super) fn check(setup: &Setup, ids: &[String]) -> Result<Ending, RunError> {
    let specs: Vec<&EnvSpec> = if ids.is_empty() {
        setup.registry.iter().collect()
    } else {
        ids.iter().map(|id| setup.registry.get(id)).collect::<Result<_, _>>()?
    };
    for spec in specs {
        let report = check_env(spec)?;
        let seeds = if report.seeds_differ { "seeds differ" } else { "no randomness" };
        say(format_args!(
            "{}: ok ({} steps, {} episodes, {seeds})",
            spec.id(),
            report.steps,
            report.episodes
        ))?;
    }
    Ok(Ending::Success)
}

pub(super) fn verify(setup: &Setup, args: &VerifyArgs) -> Result<Ending, RunError> {
    let mut all_pass = true;
    let mut reports = Vec::new();
    for file in &args.files {
        let report = verify_recording(&setup.registry, file, args.env.as_deref())?;
        let passes = report.passes(args.tolerance);
        all_pass &= passes;
        if !args.json {
            let place = if report.place.is_empty() { String::new() } else { format!(" at {}", report.place) };
            let flags = report
                .first_flag_mismatch
                .as_ref()
                .map(|place| format!(", {} wrong flags from {place} on", report.flag_mismatches))
                .unwrap_or_default();
            say(format_args!(
                "{}: {} ({} steps, {} episodes, largest difference {:e}{place}{flags})",
                report.env,
                if passes { "ok" } else { "DIFFERS" },
                report.steps,
                report.episodes,
                report.max_difference,
            ))?;
        }
        reports.push(report);
    }
    if args.json {
        say_json(&reports)?;
    }
    Ok(if all_pass { Ending::Success } else { Ending::Failure })
}
