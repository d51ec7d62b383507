//! `envs docs`: a page for each environment, made of the code's own doc comments and metadata.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use agon_envs::{EnvSpec, MakeOptions};

use super::{Ending, say};
use crate::RunError;
use crate::error::AtPath;
use crate::runtime::Setup;

/// Writes the pages, or checks that they are what would be written.
pub(super) fn docs(setup: &Setup, out: &Path, check: bool) -> Result<Ending, RunError> {
    let mut pages = BTreeMap::new();
    let mut index = String::from(
        "# Environments\n\nMade by `agon envs docs`; change the doc comments in `envs/src/`, not these pages.\n\n\
         | id | summary |\n|---|---|\n",
    );
    for spec in setup.registry.iter().filter(|spec| !spec.page_text().is_empty()) {
        let name = file_name(spec.id());
        let _ = writeln!(index, "| [{}]({name}) | {} |", spec.id(), spec.summary_text());
        pages.insert(name, page(spec)?);
    }
    pages.insert("README.md".to_owned(), index);
    if check {
        return drift(out, &pages);
    }
    fs::create_dir_all(out).at("cannot create", out)?;
    for (name, text) in &pages {
        let path = out.join(name);
        fs::write(&path, text).at("cannot write", &path)?;
    }
    say(format_args!("{} pages in {}", pages.len(), out.display()))
}

/// Says which pages are missing, differ or belong to nothing.
fn drift(out: &Path, pages: &BTreeMap<String, String>) -> Result<Ending, RunError> {
    let mut wrong: Vec<String> = Vec::new();
    for (name, text) in pages {
        match fs::read_to_string(out.join(name)) {
            Ok(found) if found == *text => {}
            Ok(_) => wrong.push(format!("{name} differs")),
            Err(_) => wrong.push(format!("{name} is missing")),
        }
    }
    for entry in fs::read_dir(out).at("cannot read", out)? {
        let name = entry.at("cannot read", out)?.file_name().to_string_lossy().into_owned();
        if !pages.contains_key(&name) {
            wrong.push(format!("{name} belongs to no environment"));
        }
    }
    if wrong.is_empty() {
        return say(format_args!("{} pages are up to date", pages.len()));
    }
    say(format_args!("{}\nrun `agon envs docs --out {}`", wrong.join("\n"), out.display()))?;
    Ok(Ending::Failure)
}

fn file_name(id: &str) -> String {
    format!("{}.md", id.replace('/', "-"))
}

fn page(spec: &EnvSpec) -> Result<String, RunError> {
    let simulator = spec.make(&MakeOptions::default())?;
    let none = || "none".to_owned();
    let mut facts = vec![
        ("action space", format!("`{}`", simulator.action_space())),
        ("observation space", format!("`{}`", simulator.observation_space())),
        ("time limit", spec.time_limit().map_or_else(none, |steps| format!("{steps} steps"))),
        (
            "solved at",
            spec.threshold().map_or_else(none, |threshold| format!("a mean return of {threshold}")),
        ),
    ];
    if !simulator.info().metrics.is_empty() {
        facts.push(("metrics", format!("`{}`", simulator.info().metrics.join("`, `"))));
    }
    if simulator.num_agents() > 1 {
        facts.push(("agents", simulator.num_agents().to_string()));
    }
    if simulator.mask_len() > 0 {
        facts.push(("action masks", "yes: some actions are illegal in some states".to_owned()));
    }
    let mut text = format!("# {}\n\n{}\n\n| | |\n|---|---|\n", spec.id(), spec.summary_text());
    for (name, value) in facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push('\n');
    let page = spec.page_text();
    for line in page.lines() {
        let heading = if line.starts_with("# ") { "#" } else { "" };
        let _ = writeln!(text, "{heading}{}", without_code_links(line));
    }
    Ok(text)
}

/// A line whose links into the code (`[text](super::module)`, ``[`text`]``) are plain text.
pub(super) fn without_code_links(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        let (before, bracket) = rest.split_at(open);
        out.push_str(before);
        let Some(close) = bracket.find(']') else {
            rest = bracket;
            break;
        };
        let (label, after) = (&bracket[1..close], &bracket[close + 1..]);
        let target = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match target {
            Some((path, after)) if path.contains("::") || path == "self" || path == "super" => {
                out.push_str(label);
                rest = after;
            }
            None if label.starts_with('`') && label.ends_with('`') && label.len() > 1 => {
                out.push_str(label);
                rest = after;
            }
            _ => {
                out.push_str(&bracket[..=close]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_the_code_become_text_and_others_stay() {
        assert_eq!(
            without_code_links(
                "As [MountainCar](super::mountain_car), see [`Env`] and [paper](https://x.y)."
            ),
            "As MountainCar, see `Env` and [paper](https://x.y)."
        );
        assert_eq!(without_code_links("`[10, 10, C]` and [0, 1)"), "`[10, 10, C]` and [0, 1)");
    }
}
