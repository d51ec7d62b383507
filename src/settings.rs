//! Every setting of a run, with its type, default and meaning, out of the code's own doc comments.
//!
//! The types of settings are plain structs and enums; their sources are part of the program and are read line by line. What
//! stands here is therefore what the code says, and a setting that is added needs no word anywhere else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::RunError;
use crate::setup::Setup;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub name: String,
    /// Its type, as the code has it.
    pub kind: String,
    /// What it means.
    pub meaning: String,
}

/// A table of settings, or what stands in its place by its `kind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// Settings that all have a place.
    Settings(Vec<Setting>),
    /// Alternatives, each with its meaning and its own settings.
    Kinds(Vec<(Setting, Vec<Setting>)>),
}

/// The types of settings, by name.
type Types = BTreeMap<String, Table>;

/// A table that a page shows, and where it stands among a run's settings.
const RUN: [(&str, &str); 8] = [
    ("RunConfig", "Run"),
    ("EnvConfig", "`env`"),
    ("RuntimeConfig", "`runtime`"),
    ("EvalConfig", "`eval`"),
    ("TransferConfig", "`transfer`"),
    ("TeacherConfig", "`teacher`"),
    ("PruningConfig", "`pruning`"),
    ("LeagueConfig", "`league`"),
];
/// Types that a page shows in sections of their own, once.
const SHARED: [(&str, &str); 5] = [
    ("ModelConfig", "`network`"),
    ("OptimizerConfig", "Optimizers"),
    ("WrapperConfig", "`env.wrappers`"),
    ("TaskConfig", "`env.tasks`"),
    ("Transformation", "`agent.augmentation.transformations`"),
];

/// The types of settings of all crates.
fn types() -> Types {
    const OWN: [&str; 8] = [
        include_str!("config.rs"),
        include_str!("config/env.rs"),
        include_str!("config/made_by.rs"),
        include_str!("data/config.rs"),
        include_str!("league.rs"),
        include_str!("pruning.rs"),
        include_str!("teacher.rs"),
        include_str!("transfer/mod.rs"),
    ];
    let crates = [
        &OWN,
        agon_agents::SETTINGS_SOURCES,
        agon_nn::SETTINGS_SOURCES,
        agon_policy::SETTINGS_SOURCES,
        agon_envs::SETTINGS_SOURCES,
    ];
    crates.into_iter().flatten().copied().flat_map(parse).collect()
}

/// The public structs and enums of a source.
fn parse(source: &str) -> Vec<(String, Table)> {
    let mut found = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let name = |keyword: &str| {
            let rest = line.strip_prefix("pub ")?.strip_prefix(keyword)?.strip_suffix(" {")?;
            rest.chars().all(char::is_alphanumeric).then(|| rest.to_owned())
        };
        if let Some(name) = name("struct ") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
            found.push((name, Table::Settings(fields(&body, "    "))));
        } else if let Some(name) = name("enum ") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
            found.push((name, Table::Kinds(variants(&body))));
        }
    }
    found
}

/// The fields of a body, at an indentation.
fn fields(body: &[&str], indentation: &str) -> Vec<Setting> {
    let (mut settings, mut meaning) = (Vec::new(), String::new());
    for line in body {
        let Some(line) = line.strip_prefix(indentation) else { continue };
        if let Some(text) = line.strip_prefix("/// ") {
            append(&mut meaning, text);
            continue;
        }
        if line.starts_with("#[") || line.starts_with(' ') {
            continue;
        }
        let declaration = line.strip_prefix("pub ").unwrap_or(line).trim_end_matches(',');
        if let Some((name, kind)) = declaration.split_once(": ") {
            let meaning = std::mem::take(&mut meaning);
            settings.push(Setting { name: name.to_owned(), kind: kind.to_owned(), meaning });
        }
    }
    settings
}

/// The alternatives of an enum's body.
fn variants(body: &[&str]) -> Vec<(Setting, Vec<Setting>)> {
    let (mut kinds, mut meaning, mut at) = (Vec::new(), String::new(), 0);
    while at < body.len() {
        let line = body[at].trim_start();
        at += 1;
        if let Some(text) = line.strip_prefix("/// ") {
            append(&mut meaning, text);
            continue;
        }
        let name: String = line.chars().take_while(|c| c.is_alphanumeric()).collect();
        if !name.starts_with(char::is_uppercase) {
            continue;
        }
        let inside = match line[name.len()..].trim_end_matches(',') {
            " {" => {
                let end = body[at..].iter().position(|line| line.trim_end_matches(',') == "    }");
                let end = at + end.unwrap_or(body.len() - at);
                let inside = fields(&body[at..end], "        ");
                at = end;
                inside
            }
            tuple if tuple.starts_with('(') => {
                let kind = tuple.trim_matches(['(', ')']).to_owned();
                vec![Setting { name: String::new(), kind, meaning: String::new() }]
            }
            _ => Vec::new(),
        };
        let meaning = std::mem::take(&mut meaning);
        kinds.push((Setting { name: snake_case(&name), kind: String::new(), meaning }, inside));
    }
    kinds
}

fn append(meaning: &mut String, text: &str) {
    if !meaning.is_empty() {
        meaning.push(' ');
    }
    meaning.push_str(text);
}

/// A variant's name as settings spell it. Optimizers are spelled without underscores.
fn snake_case(name: &str) -> String {
    if ["AdamW", "RmsProp"].contains(&name) {
        return name.to_lowercase();
    }
    let mut spelled = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            spelled.push('_');
        }
        spelled.extend(letter.to_lowercase());
    }
    spelled
}

/// The name of the type that a setting's type is made of, if it is one of those with a table.
fn inner<'a>(kind: &'a str, types: &Types) -> Option<&'a str> {
    let inside = ["Option<", "Vec<"].iter().find_map(|outer| kind.strip_prefix(outer)?.strip_suffix('>'));
    let name = inside.unwrap_or(kind);
    types.contains_key(name).then_some(name)
}

/// The page of all settings, or of those whose section has a word in its title.
///
/// # Errors
/// If an algorithm's own settings cannot be written, or no section has the word in its title.
pub fn page(setup: &Setup, word: Option<&str>) -> Result<String, RunError> {
    let types = types();
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut base = toml::Table::try_from(crate::config::RunConfig::default()).unwrap_or_default();
    // A configuration does not write these where nothing is said.
    for (key, defaults) in [
        ("transfer", toml::Value::try_from(crate::transfer::TransferConfig::default())),
        ("teacher", toml::Value::try_from(crate::teacher::TeacherConfig::default())),
        ("pruning", toml::Value::try_from(crate::pruning::PruningConfig::default())),
        ("league", toml::Value::try_from(crate::league::LeagueConfig::default())),
    ] {
        base.extend(defaults.ok().map(|defaults| (key.to_owned(), defaults)));
    }
    for (name, title) in RUN {
        let defaults = match title.trim_matches('`') {
            "Run" => base.clone(),
            key => base.get(key).and_then(toml::Value::as_table).cloned().unwrap_or_default(),
        };
        let mut text = String::new();
        write_table(&mut text, &types, name, Some(&defaults));
        sections.push((title.to_owned(), text));
    }
    for spec in setup.algorithms.iter() {
        let defaults = spec.resolve(&toml::Table::new())?;
        let mut text = format!("{}\n\n", spec.summary());
        match spec.settings_type().filter(|name| types.contains_key(*name)) {
            Some(name) => write_table(&mut text, &types, name, Some(&defaults)),
            // A program's own algorithm: its source is elsewhere.
            None => write_defaults(&mut text, &defaults),
        }
        sections.push((format!("`agent` of {}", spec.name()), text));
    }
    for (name, title) in SHARED {
        let mut text = String::new();
        write_table(&mut text, &types, name, None);
        sections.push((title.to_owned(), text));
    }
    let mut shown: Vec<&str> = RUN.iter().chain(&SHARED).map(|(name, _)| *name).collect();
    let of_algorithms: Vec<String> =
        setup.algorithms.iter().filter_map(|spec| spec.settings_type().map(str::to_owned)).collect();
    shown.extend(of_algorithms.iter().map(String::as_str));
    for name in reached(&types, &shown) {
        let mut text = String::new();
        write_table(&mut text, &types, name, None);
        sections.push((format!("`{name}`"), text));
    }
    let mut page = String::from(
        "# Settings\n\nMade by `agon settings --out docs/settings.md`; change the doc comments in the code, not this page.\n\n\
         Every one can be set with `--set KEY=VALUE`, in a file with `--config`, or in a sweep; a run's `config.toml` has them all.\n\
         What a run may change when it goes on stands in [resuming](resuming.md).\n",
    );
    let is_asked_for =
        |title: &str| word.is_none_or(|word| title.to_lowercase().contains(&word.to_lowercase()));
    if let Some(word) = word
        && !sections.iter().any(|(title, _)| is_asked_for(title))
    {
        let titles: Vec<&str> = sections.iter().map(|(title, _)| title.as_str()).collect();
        return Err(RunError::Config(format!(
            "no section of settings has `{word}` in its title, expected one of {}",
            titles.join(", ")
        )));
    }
    for (title, text) in sections {
        if is_asked_for(&title) {
            let _ = write!(page, "\n## {title}\n\n{text}");
        }
    }
    Ok(page)
}

/// Types that settings of the shown ones have, and those of these, in alphabetical order.
fn reached<'a>(types: &'a Types, shown: &[&str]) -> Vec<&'a str> {
    let settings_of = |table: &'a Table| -> Vec<&'a Setting> {
        match table {
            Table::Settings(settings) => settings.iter().collect(),
            Table::Kinds(kinds) => kinds.iter().flat_map(|(_, inside)| inside).collect(),
        }
    };
    let mut found: Vec<&str> = Vec::new();
    let mut queue: Vec<&str> = shown.to_vec();
    while let Some(name) = queue.pop() {
        let Some(table) = types.get(name) else { continue };
        for kind in settings_of(table).into_iter().filter_map(|setting| inner(&setting.kind, types)) {
            if !shown.contains(&kind) && !found.contains(&kind) {
                found.push(kind);
                queue.push(kind);
            }
        }
    }
    found.sort_unstable();
    found
}

/// Whether a group of settings has a section of its own with its defaults, or no defaults at all.
fn is_told_below(name: &str, default: &toml::Value) -> bool {
    ["agent", "runtime"].contains(&name) || default.as_table().is_some_and(toml::Table::is_empty)
}

fn write_table(text: &mut String, types: &Types, name: &str, defaults: Option<&toml::Table>) {
    let default_of = |name: &str| defaults.and_then(|defaults| defaults.get(name));
    match types.get(name) {
        None => {}
        Some(Table::Settings(settings)) => {
            let head = if defaults.is_some() {
                "| setting | default | meaning |\n|---|---|---|\n"
            } else {
                "| setting | meaning |\n|---|---|\n"
            };
            text.push_str(head);
            for setting in settings.iter().filter(|setting| !is_hidden(&setting.name)) {
                let default = match (defaults, default_of(&setting.name)) {
                    (None, _) => String::new(),
                    (_, Some(value)) if is_told_below(&setting.name, value) => " see below |".to_owned(),
                    (_, Some(value)) => format!(" `{}` |", cell(&value.to_string())),
                    (_, None) => " – |".to_owned(),
                };
                let more = inner(&setting.kind, types).map_or(String::new(), |kind| format!(" (`{kind}`)"));
                let _ = writeln!(
                    text,
                    "| `{}` |{default} {}{more} |",
                    setting.name,
                    cell(&plain(&setting.meaning))
                );
            }
        }
        Some(Table::Kinds(kinds)) => {
            text.push_str("| kind | setting | meaning |\n|---|---|---|\n");
            for (kind, inside) in kinds {
                let _ = writeln!(text, "| `{}` | | {} |", kind.name, cell(&plain(&kind.meaning)));
                for setting in inside {
                    let (name, meaning) = match setting.name.as_str() {
                        "" => ("…".to_owned(), format!("the settings of `{}`", setting.kind)),
                        name => (format!("`{name}`"), plain(&setting.meaning)),
                    };
                    let _ = writeln!(text, "| | {name} | {} |", cell(&meaning));
                }
            }
        }
    }
}

fn write_defaults(text: &mut String, defaults: &toml::Table) {
    text.push_str("| setting | default |\n|---|---|\n");
    for (name, value) in defaults {
        let _ = writeln!(text, "| `{name}` | `{}` |", cell(&value.to_string()));
    }
}

/// What is no setting, but stands in the structs of settings.
fn is_hidden(name: &str) -> bool {
    ["made_by", "fit_encoder"].contains(&name)
}

/// Text without links into the code.
fn plain(meaning: &str) -> String {
    meaning.replace("[`", "`").replace("`]", "`")
}

/// Text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_and_enums_are_read_with_their_comments() {
        let source = "/// A.\npub struct Sizes {\n    /// Width, in two\n    /// lines.\n    #[serde(default)]\n    pub width: usize,\n    \
                      pub(crate) hidden: u8,\n}\n\npub enum Shape {\n    /// Round.\n    RoundOne(Round),\n    /// Cornered.\n    \
                      Square {\n        /// Side.\n        side: f64,\n    },\n    /// No shape.\n    #[default]\n    None,\n}\n";
        let types: Types = parse(source).into_iter().collect();
        let Table::Settings(sizes) = &types["Sizes"] else { panic!("a struct") };
        assert_eq!((sizes[0].name.as_str(), sizes[0].meaning.as_str()), ("width", "Width, in two lines."));
        let Table::Kinds(shapes) = &types["Shape"] else { panic!("an enum") };
        let names: Vec<&str> = shapes.iter().map(|(kind, _)| kind.name.as_str()).collect();
        assert_eq!(names, ["round_one", "square", "none"]);
        assert_eq!((shapes[1].1[0].name.as_str(), shapes[1].1[0].meaning.as_str()), ("side", "Side."));
    }

    #[test]
    fn a_word_that_no_section_has_is_refused() {
        let setup = Setup::default();
        let page = page(&setup, Some("of DQN")).unwrap();
        assert!(page.contains("## `agent` of dqn") && !page.contains("## `agent` of ppo"), "{page}");
        let message = super::page(&setup, Some("nope")).unwrap_err().to_string();
        assert!(message.contains("`nope`") && message.contains("`agent` of sac"), "{message}");
    }

    #[test]
    fn every_setting_of_every_algorithm_has_a_meaning() {
        let (types, setup) = (types(), Setup::default());
        for spec in setup.algorithms.iter() {
            let name = spec.settings_type().unwrap();
            let Some(Table::Settings(settings)) = types.get(name) else { panic!("{name} has no source") };
            for key in spec.resolve(&toml::Table::new()).unwrap().keys() {
                let setting = settings.iter().find(|setting| setting.name == *key);
                assert!(setting.is_some_and(|setting| !setting.meaning.is_empty()), "{name}.{key}");
            }
        }
    }
}
