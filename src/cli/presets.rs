//! `presets`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::args::PresetsArgs;
use super::{Ending, say, say_json};
use crate::RunError;
use crate::presets::{self, Preset};
use crate::text::{human, wrapped};

/// Columns that texts are wrapped to.
const WIDTH: usize = 100;
/// Spaces before what belongs to a preset.
const INDENT: usize = 6;

pub(super) fn presets(args: &PresetsArgs) -> Result<Ending, RunError> {
    let all = presets::all()?;
    let chosen: Vec<&Preset> = all.iter().filter(|preset| fits(preset, args.word.as_deref())).collect();
    if chosen.is_empty() {
        let algorithms: std::collections::BTreeSet<&str> = all.iter().map(Preset::algorithm).collect();
        return Err(RunError::Config(format!(
            "no preset has `{}` in its name, algorithm or environments, expected for example one of {}",
            args.word.as_deref().unwrap_or_default(),
            algorithms.into_iter().collect::<Vec<_>>().join(", ")
        )));
    }
    if args.json {
        let named: toml::Table = chosen
            .into_iter()
            .map(|preset| (preset.name.to_owned(), toml::Value::Table(preset.config.clone())))
            .collect();
        return say_json(&named);
    }
    say(listing(&chosen).trim_end())
}

fn fits(preset: &Preset, word: Option<&str>) -> bool {
    let Some(word) = word.map(str::to_lowercase) else { return true };
    let names = [preset.name, preset.algorithm()];
    names.into_iter().chain(preset.envs()).any(|name| name.to_lowercase().contains(&word))
}

/// Presets under the environments that they are for.
fn listing(presets: &[&Preset]) -> String {
    let mut by_envs: BTreeMap<String, Vec<&Preset>> = BTreeMap::new();
    for preset in presets {
        by_envs.entry(preset.envs().collect::<Vec<_>>().join(", ")).or_default().push(preset);
    }
    let width = presets.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (envs, presets) in by_envs {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", wrapped(&envs, 0, WIDTH));
        for preset in presets {
            let steps = preset.config.get("total_timesteps").and_then(toml::Value::as_integer);
            let steps = steps.map_or(String::new(), |steps| format!("  {} steps", human(steps as f64)));
            let default = if preset.default { "  default" } else { "" };
            let _ = writeln!(text, "  {:width$}  {}{steps}{default}", preset.name, preset.algorithm());
            let _ = writeln!(text, "{}", wrapped(&preset.summary, INDENT, WIDTH));
            let _ = writeln!(text, "{}", wrapped(&format!("source: {}", preset.source), INDENT, WIDTH));
        }
        text.push('\n');
    }
    text
}
