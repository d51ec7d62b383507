//! `ARCHITECTURE.md` tells the truth: the paths it names exist, and the crates import each other only as it draws.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(directory)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{directory} has sources");
    found
}

/// Source lines that contain `word`, comments left out, in any file that `looked_at` accepts.
fn mentions(directory: &str, word: &str, looked_at: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in sources(directory).into_iter().filter(|path| looked_at(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        found.extend(
            code.filter(|line| line.contains(word)).map(|line| format!("{}: {line}", path.display())),
        );
    }
    found
}

#[test]
fn every_path_in_the_map_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|word| word.contains('/') && !word.contains(' '));
    let missing: Vec<&str> = named.filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}, which do not exist");
    assert!(text.lines().count() <= 150, "the map fits on 150 lines");
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    for (directory, forbidden) in [
        ("policy", ["agon_envs", "agon_nn", "agon_agents", "agon::", "bevy_ecs", "dfdx"].as_slice()),
        ("data", ["agon_envs", "agon_nn", "agon_agents", "agon::", "bevy_ecs", "dfdx"].as_slice()),
        ("envs", ["agon_nn", "agon_agents", "agon_data", "agon::", "dfdx"].as_slice()),
        ("nn", ["agon_envs", "agon_agents", "agon_data", "agon::", "bevy_ecs"].as_slice()),
        ("agents", ["agon::", "bevy_ecs"].as_slice()),
        ("src", ["bevy_ecs", "dfdx::"].as_slice()),
    ] {
        for word in forbidden {
            let found =
                mentions(directory, word, |path| path.components().any(|part| part.as_os_str() == "src"));
            assert!(found.is_empty(), "{directory} must not know {word}: {found:#?}");
        }
    }
}

#[test]
fn unsafe_code_is_in_the_kernels_only() {
    let elsewhere = |path: &Path| !path.to_string_lossy().contains("nn/src/kernels");
    for directory in ["policy", "envs", "nn", "agents", "src", "python/src"] {
        let found = mentions(directory, "unsafe ", elsewhere);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn nothing_below_the_runtime_reads_a_clock() {
    for directory in ["policy/src", "envs/src", "nn/src", "agents/src"] {
        for word in ["Instant::now", "SystemTime", "thread::spawn", "println!"] {
            let found = mentions(directory, word, |_| true);
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}

/// bevy sorts entities in reverse order of spawning and gives freed ids out again: an order of ids says nothing.
#[test]
fn nothing_is_ordered_by_entity() {
    for word in [
        "BTreeMap<Entity",
        "BTreeSet<Entity",
        "sort::<Entity",
        "sort_unstable::<Entity",
        "entity.index()",
        "entity.to_bits()",
    ] {
        let found = mentions("envs/src", word, |_| true);
        assert!(found.is_empty(), "{found:#?}");
    }
    let sorted = mentions("envs/src", "sort", |_| true);
    let by_entity: Vec<String> =
        sorted.into_iter().filter(|line| line.to_lowercase().contains("entit")).collect();
    // Files of the same name are not lines of code.
    let by_entity: Vec<&String> = by_entity
        .iter()
        .filter(|line| line.split_once(": ").is_some_and(|(_, code)| code.to_lowercase().contains("entit")))
        .collect();
    assert!(by_entity.is_empty(), "{by_entity:#?}");
}
