//! The command that trains a sweep's winner.

use super::{Measure, SweepFile, SweepReport};
use crate::config::{RunConfig, flatten};
use crate::run::directory::CONFIG;

/// The command line that trains the best trial again, with as many seeds, to be pasted into a shell; none if no trial has a
/// score.
pub fn train_command(file: &SweepFile, report: &SweepReport) -> Option<String> {
    let best = report.succeeded().find(|trial| trial.score.is_some())?;
    let mut words = vec!["agon".to_owned(), "train".to_owned(), file.algorithm.clone(), file.env.clone()];
    if let Some(preset) = &file.preset {
        words.extend(["--preset".to_owned(), preset.clone()]);
    }
    let mut settings = Vec::new();
    flatten("", &file.settings, &mut settings);
    settings.extend(report.parameters.iter().cloned().zip(best.values.iter().cloned()));
    for (key, value) in settings {
        words.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    if file.metric == Measure::FinalEvaluation
        && let Ok(config) = RunConfig::load(&best.path.join("seed_1").join(CONFIG))
    {
        words.extend(["--eval-every".to_owned(), config.eval.every.to_string()]);
    }
    if file.seeds > 1 {
        words.extend(["--seeds".to_owned(), file.seeds.to_string()]);
    }
    Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_laid_over_in_an_order_that_keeps_them() {
        let table: toml::Table =
            "total_timesteps = 10\n[network.encoder]\nhidden = [8, 8]\nkind = \"mlp\"\n".parse().unwrap();
        let mut found = Vec::new();
        flatten("", &table, &mut found);
        let texts: Vec<String> = found.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            texts,
            ["network.encoder.kind=\"mlp\"", "network.encoder.hidden=[8, 8]", "total_timesteps=10"]
        );
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let words = ["agent.gamma=0.9", "a=[8, 8]", "name='x'", ""];
        assert_eq!(words.map(quoted), ["agent.gamma=0.9", "'a=[8, 8]'", r"'name='\''x'\'''", "''"]);
    }
}
