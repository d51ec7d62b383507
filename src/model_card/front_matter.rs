//! The front matter of a card, in YAML: what the Hugging Face Hub sorts and shows policies by.

use super::ModelCard;

/// Licences by the names that the Hub has for them, as far as people write them.
const LICENSES: [&str; 17] = [
    "afl-3.0",
    "agpl-3.0",
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "eupl-1.2",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl-3.0",
    "mit",
    "mpl-2.0",
    "openrail",
    "unlicense",
];

/// A card's front matter with the lines around it.
pub(super) fn of(card: &ModelCard) -> String {
    let (algorithm, env) = (&card.config.algorithm, &card.config.env.id);
    let mut lines = vec!["---".to_owned(), "library_name: agon".to_owned()];
    if let Some(license) = &card.options.license {
        let known = license.trim().to_lowercase();
        if LICENSES.contains(&known.as_str()) {
            lines.push(format!("license: {known}"));
        } else {
            lines.push("license: other".to_owned());
            lines.push(format!("license_name: {}", scalar(license.trim())));
        }
    }
    lines.push("pipeline_tag: reinforcement-learning".to_owned());
    lines.push("tags:".to_owned());
    for tag in [env.as_str(), algorithm, "deep-reinforcement-learning", "reinforcement-learning", "agon"] {
        lines.push(format!("- {}", scalar(tag)));
    }
    let evaluation = &card.evaluation;
    let value = format!("{:.2} +/- {:.2}", evaluation.mean_return, evaluation.std_return);
    lines.extend([
        "model-index:".to_owned(),
        format!("- name: {}", scalar(&algorithm.to_uppercase())),
        "  results:".to_owned(),
        "  - task:".to_owned(),
        "      type: reinforcement-learning".to_owned(),
        "      name: reinforcement-learning".to_owned(),
        "    dataset:".to_owned(),
        format!("      name: {}", scalar(env)),
        format!("      type: {}", scalar(env)),
        "    metrics:".to_owned(),
        "    - type: mean_reward".to_owned(),
        format!("      value: {}", scalar(&value)),
        "      name: mean_reward".to_owned(),
        "      verified: false".to_owned(),
        "---".to_owned(),
    ]);
    lines.join("\n") + "\n"
}

/// A text as a value of YAML: as it is where that means the same text, else quoted as in JSON, which YAML reads too.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+".contains(c))
        && !WORDS.contains(&text.to_lowercase().as_str());
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_mean_something_else_are_quoted() {
        assert_eq!(scalar("MinAtar/Breakout-v0"), "MinAtar/Breakout-v0");
        for text in ["no", "12", "python:m:C", "a: b", "-x", "", "500.00 +/- 0.00", "a\nb", "ünï", "\"", "#a"]
        {
            let quoted = scalar(text);
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }
}
