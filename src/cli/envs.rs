//! `envs list`, `info`, `check` and `verify`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use agon_envs::verify::verify_recording;
use agon_envs::{EnvSpec, MakeOptions, check_env};
use serde::Serialize;

use super::args::VerifyArgs;
use super::docs::without_code_links;
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
    num_agents: usize,
    action_masks: bool,
    metrics: Vec<String>,
}

/// An environment with what its page says of it.
#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    info: Info,
    /// Sections of its page in Markdown, by their titles, such as the meanings of its actions.
    page: BTreeMap<String, String>,
}

/// Sections that say what the numbers mean.
const MEANINGS: [&str; 4] = ["Action space", "Observation space", "Rewards", "Arguments"];

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
            num_agents: simulator.num_agents(),
            action_masks: simulator.mask_len() > 0,
            metrics: simulator.info().metrics.clone(),
        })
    }

    fn has(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let shown = [&self.id, &self.summary, &self.observation_space, &self.action_space];
        shown.iter().any(|shown| shown.to_lowercase().contains(&text))
    }
}

/// The sections of an environment's page, by their titles.
fn sections(spec: &EnvSpec) -> BTreeMap<String, String> {
    let page = spec.page_text();
    let parts = page.split("\n# ").skip(1).filter_map(|part| part.split_once('\n'));
    let readable = |text: &str| text.trim().lines().map(without_code_links).collect::<Vec<_>>().join("\n");
    parts.map(|(title, text)| (title.trim().to_owned(), readable(text))).collect()
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

pub(super) fn list(setup: &Setup, filter: Option<&str>, json: bool) -> Result<Ending, RunError> {
    let mut infos: Vec<Info> = setup.registry.iter().map(Info::of).collect::<Result<_, _>>()?;
    infos.retain(|info| filter.is_none_or(|text| info.has(text)));
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

pub(super) fn info(setup: &Setup, id: &str, json: bool) -> Result<Ending, RunError> {
    let spec = setup.registry.get(id)?;
    let (info, page) = (Info::of(&spec)?, sections(&spec));
    if json {
        return say_json(&Described { info, page });
    }
    say(format_args!(
        "{}\n{}\n\nobservation space  {}\naction space       {}\ntime limit         {} steps\nsolved at          {}",
        info.id,
        info.summary,
        info.observation_space,
        info.action_space,
        or_none(info.max_episode_steps),
        or_none(info.reward_threshold),
    ))?;
    let mut ending = Ending::Success;
    for (title, text) in MEANINGS.iter().filter_map(|title| page.get_key_value(*title)) {
        ending = say(format_args!("\n{title}\n{text}"))?;
    }
    Ok(ending)
}

pub(super) fn check(setup: &Setup, ids: &[String]) -> Result<Ending, RunError> {
    let specs: Vec<Cow<'_, EnvSpec>> = if ids.is_empty() {
        setup.registry.iter().map(Cow::Borrowed).collect()
    } else {
        ids.iter().map(|id| setup.registry.get(id)).collect::<Result<_, _>>()?
    };
    for spec in specs {
        let report = check_env(&spec)?;
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
