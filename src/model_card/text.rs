//! A card's Markdown.

use std::fmt::Write as _;

use super::{ASSUMED_WATTS, Limit, ModelCard};
use crate::config::Mode;
use crate::evaluate::Evaluation;
use crate::policy::Card;
use crate::text::{duration, table};

/// A card's text below its front matter.
pub(super) fn of(card: &ModelCard) -> String {
    let sections = [
        ("Result", result(card)),
        ("Training", training(card)),
        ("Limits", limits(card)),
        ("Intended use", use_and_misuse(card)),
        ("Energy", energy(card)),
        ("Where it comes from", origin(card)),
        ("Use", usage(card)),
    ];
    let (algorithm, env) = (card.config.algorithm.to_uppercase(), code(&card.config.env.id));
    let mut text = format!("\n# {algorithm} on {env}\n\n");
    let Card { seed, env_steps, .. } = &card.policy;
    let _ = writeln!(
        text,
        "A policy that {algorithm} trained in the environment {env} for {env_steps} steps, with seed {seed}, in Agon {}.",
        card.policy.version
    );
    if !card.env.0.is_empty() {
        let _ = writeln!(text, "The environment: {}", cell(&card.env.0));
    }
    for (title, body) in sections {
        let _ = write!(text, "\n## {title}\n\n{}\n", body.trim_end());
    }
    text
}

fn result(card: &ModelCard) -> String {
    let Evaluation { episodes, min_return, max_return, mean_length, cut, .. } = &card.evaluation;
    let mut text = table(
        &[
            "mean return",
            "95 % interval",
            "standard deviation",
            "minimum",
            "maximum",
            "mean length",
            "episodes",
        ],
        &[vec![
            format!("{:.2}", card.evaluation.mean_return),
            format!("{:.2} to {:.2}", card.interval.low, card.interval.high),
            format!("{:.2}", card.evaluation.std_return),
            format!("{min_return:.2}"),
            format!("{max_return:.2}"),
            format!("{mean_length:.1}"),
            episodes.to_string(),
        ]],
    );
    text.push_str("\n\n");
    let _ = writeln!(
        text,
        "Measured when this card was written, by {episodes} episodes of `{}` with its best actions, in environments and with \
         seeds that training did not use, wrappers and time limit as in training.",
        card.weights.0
    );
    text.push_str(
        "The interval is of the mean over these episodes (bootstrap); it says nothing of other seeds of training.\n",
    );
    if card.options.best {
        text.push_str("The weights are those of the checkpoint that did best in training.\n");
    }
    if *cut > 0 {
        let _ = writeln!(text, "{cut} episodes did not end and were cut.");
    }
    if let Some(threshold) = card.env.1 {
        let word = if card.evaluation.mean_return >= threshold { "is reached" } else { "is not reached" };
        let _ = writeln!(
            text,
            "The environment counts as solved from a mean return of {threshold}, which {word}."
        );
    }
    if card.siblings.len() > 1 {
        let of_seed = |(seed, score): &(u64, Option<f64>)| {
            vec![seed.to_string(), score.map_or("none".to_owned(), |score| format!("{score:.2}"))]
        };
        let rows: Vec<Vec<String>> = card.siblings.iter().map(of_seed).collect();
        let _ = writeln!(
            text,
            "\nThe same training with other seeds:\n\n{}",
            table(&["seed", "mean return of the last 100 training episodes"], &rows)
        );
    } else {
        text.push_str("How other seeds of the same training fare is not known here.\n");
    }
    text
}

fn training(card: &ModelCard) -> String {
    let config = &card.config;
    let mut text =
        "There is no data set: the policy learned from its own steps in the environment.\n".to_owned();
    if let Some(input) = card.records.iter().flat_map(|record| &record.inputs).next() {
        let whose = input.made_by.as_ref().map_or("of another program".to_owned(), |made_by| {
            let (algorithm, env) = (cell(&made_by.algorithm), code(&made_by.env));
            format!("of {algorithm} on {env} after {} steps with seed {}", made_by.env_steps, made_by.seed)
        });
        let _ = writeln!(text, "It began with weights {whose} (SHA-256 `{}`).", input.sha256);
    }
    let _ = writeln!(
        text,
        "It took {} of the {} steps that were asked for, in {}.",
        card.policy.env_steps,
        config.total_timesteps,
        duration(card.seconds)
    );
    let settings = config.hyper_parameters();
    let rows: Vec<Vec<String>> =
        settings.iter().map(|(key, value)| vec![code(key), code(&value.to_string())]).collect();
    let _ =
        writeln!(text, "\nThe settings that decide the result:\n\n{}", table(&["setting", "value"], &rows));
    text
}

fn limits(card: &ModelCard) -> String {
    let row = |Limit { disturbance, found }: &Limit| match found {
        Ok(found) => vec![
            cell(disturbance),
            format!("{:.2}", found.mean_return),
            format!("{:.2}", found.std_return),
            change(card.evaluation.mean_return, found.mean_return),
        ],
        Err(reason) => {
            vec![cell(disturbance), format!("not measured: {}", cell(reason)), String::new(), String::new()]
        }
    };
    let undisturbed = vec![
        "none".to_owned(),
        format!("{:.2}", card.evaluation.mean_return),
        format!("{:.2}", card.evaluation.std_return),
        String::new(),
    ];
    let rows: Vec<Vec<String>> = std::iter::once(undisturbed).chain(card.limits.iter().map(row)).collect();
    let mut text = table(&["disturbance", "mean return", "standard deviation", "change"], &rows);
    let _ = write!(
        text,
        "\n\nEach row is {} episodes with the same seeds.\n\
         Noise is Gaussian, on what the policy sees (behind the wrappers), in standard deviations of each number while the \
         undisturbed policy plays; the environment itself is undisturbed.\n",
        card.evaluation.episodes
    );
    if !card.limits.iter().any(|limit| limit.disturbance.starts_with("dynamics")) {
        text.push_str("Other arguments of the environment (changed dynamics): not run.\n");
    }
    text.push_str(
        "Attacks by chosen observations: not run.\n\
         Fairness: not run; the environment has no people in it that could be treated differently, as far as Agon knows.\n\
         Privacy: not run; whether the training can be read off the weights was not looked at.\n",
    );
    text
}

fn use_and_misuse(card: &ModelCard) -> String {
    let env = code(&card.config.env.id);
    format!(
        "For research, teaching and comparison in {env} with the arguments and wrappers above, as a baseline or to begin other \
         training with.\n\n\
         Not for anything else: the policy knows this simulation and nothing of what it stands for.\n\
         It must not act on people, vehicles, plants or money, where the simulation may be wrong and a mistake has a price, \
         without measurements of its own for that use and somebody who can stop it.\n\
         Outside of the observations that it has seen its actions mean nothing, and it does not say so.\n"
    )
}

fn energy(card: &ModelCard) -> String {
    let hours = card.seconds / 3600.0;
    let side_by_side =
        card.config.made_by.as_ref().and_then(|made_by| made_by.side_by_side).unwrap_or(1).max(1);
    let (watts, whose) = match card.options.watts {
        Some(watts) => (watts, "stated by whoever wrote this card"),
        None => (ASSUMED_WATTS, "an assumption: a desktop processor at work"),
    };
    let hours_text = if hours < 0.01 { format!("{hours:.5}") } else { format!("{hours:.2}") };
    let mut text = format!(
        "About {} Wh: {hours_text} hours of training × {watts} W{}.\n\
         The watts are {whose}; they were not measured.\n",
        significant(hours * watts / side_by_side as f64),
        if side_by_side > 1 { format!(" / {side_by_side} runs side by side") } else { String::new() }
    );
    text.push_str(
        "Other seeds, searches of settings, evaluations, cooling and the making of the machine are not counted; emissions depend \
         on where the electricity came from and are not estimated.\n",
    );
    text
}

fn origin(card: &ModelCard) -> String {
    let mut text = format!("`{}` has SHA-256 `{}`.\n", card.weights.0, card.weights.1);
    if card.records.is_empty() {
        text.push_str("What worked on the run was not recorded.\n");
    }
    for record in &card.records {
        let (program, machine) = (&record.program, &record.machine);
        let repository = record.repository.as_ref().map_or("no repository".to_owned(), |found| {
            let changed = if found.dirty { " with changes" } else { "" };
            format!("commit {}{changed}", code(&found.commit))
        });
        let _ = writeln!(
            text,
            "- {} from step {}: Agon {}, {}, {} with {} threads of {} cores, {}; {repository}; settings SHA-256 `{}`.",
            record.at,
            record.env_steps,
            cell(&program.version),
            cell(&record.instruction_set),
            cell(&machine.cpu),
            record.threads,
            machine.cores,
            cell(&machine.os),
            record.settings_sha256
        );
    }
    text.push_str(
        "\n`agon provenance RUN` checks these hashes and goes back to the runs that the weights came from.\n\
         If `model.sig` lies beside this card, `agon verify . --key KEY.pub` says whether all files are as they were signed; so \
         does OpenSSF's `model_signing verify key`.\n",
    );
    text.push_str("\nThe command that made it, and the one that makes it again from the `config.toml` beside this card:\n\n```sh\n");
    if let Some(made_by) = &card.config.made_by {
        let _ = writeln!(text, "{}", made_by.command.replace(['\n', '\r'], " ").replace("```", ""));
    }
    let (algorithm, env) = (&card.config.algorithm, &card.config.env.id);
    let instruction_set = &card.policy.instruction_set;
    let init = if card.config.init_from.is_some() { " --init-from init.safetensors" } else { "" };
    let has_teacher = card.config.teacher.policy.is_some();
    let teacher = if has_teacher { " --set teacher.policy=teacher.safetensors" } else { "" };
    let _ = writeln!(
        text,
        "agon train {algorithm} {env} --preset none --config config.toml{init}{teacher} --set runtime.instruction_set={instruction_set} \
         --name again\n```\n"
    );
    match inexact(card) {
        Some(reason) => {
            let _ = writeln!(text, "The weights will not be the same bit for bit: {}.", cell(&reason));
        }
        None => {
            let _ = writeln!(
                text,
                "With the same version and the instruction set {instruction_set} the weights are the same bit for bit, on any \
                 number of threads."
            );
        }
    }
    text
}

/// Why the run cannot be made again bit for bit; none if it can.
fn inexact(card: &ModelCard) -> Option<String> {
    let lengths = || card.records.iter().map(|record| record.total_timesteps);
    if let Some(reason) = card.config.made_by.as_ref().and_then(|made_by| made_by.inexact.clone()) {
        return Some(reason);
    }
    let total = card.config.total_timesteps;
    if card.config.runtime.mode == Mode::Async {
        Some("asynchronous workers are not reproducible".to_owned())
    } else if let Some(other) = lengths().find(|length| *length != total) {
        Some(format!("the run was to have {other} steps at first, and schedules went by that"))
    } else if card.policy.env_steps < total {
        Some(format!("it is not trained to its end yet, after {} of {total} steps", card.policy.env_steps))
    } else {
        None
    }
}

fn usage(card: &ModelCard) -> String {
    let file = &card.weights.0;
    let best = if card.options.best { " --best" } else { "" };
    format!(
        "```sh\nagon eval .{best}\nagon record .{best} --out episode.gif\nagon export .{best} --format onnx\n```\n\n\
         ```python\nimport agon\n\npolicy = agon.load(\"{file}\")\naction, state = policy(observation)         # an episode begins\naction, state = policy(observation, state)  # and goes on\n```\n"
    )
}

/// A mean return beside another one, in percent where that means something.
fn change(before: f64, now: f64) -> String {
    let (size, digits, unit) =
        if before > 0.0 { (100.0 * (now - before) / before, 0, " %") } else { (now - before, 2, "") };
    let text = format!("{size:+.digits$}{unit}");
    // Rounded to nothing it has no sign.
    let is_none = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    if is_none { text[1..].to_owned() } else { text }
}

/// Two digits that matter.
fn significant(value: f64) -> String {
    crate::text::significant(value, 2)
}

/// A text as code in Markdown.
fn code(text: &str) -> String {
    format!("`{}`", cell(&text.replace('`', "'")))
}

/// A text that ends neither a cell of a table nor a line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_in_percent_of_what_is_positive() {
        let changes =
            [(200.0, 150.0), (200.0, 199.9), (-100.0, -75.0), (0.0, -0.001)].map(|(a, b)| change(a, b));
        assert_eq!(changes, ["-25 %", "0 %", "+25.00", "0.00"]);
    }

    #[test]
    fn cells_end_neither_tables_nor_lines() {
        assert_eq!((cell("a|b\nc"), code("a`b")), ("a\\|b c".to_owned(), "`a'b`".to_owned()));
    }
}
