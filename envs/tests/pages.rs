//! No environment is written and then forgotten: each page in the sources belongs to a registered one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use agon_envs::Registry;

/// Headings that the page of an environment has, and other modules have not.
const HEADINGS: [&str; 4] = ["# Action space", "# Observation space", "# Rewards", "# Episode end"];

/// The sources in and below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module documentation of a source file.
fn module_docs(path: &Path) -> String {
    let source = fs::read_to_string(path).unwrap();
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

#[test]
fn every_page_in_the_sources_is_that_of_a_registered_environment() {
    let registry = Registry::builtin();
    let registered: Vec<String> = registry.iter().map(|spec| spec.page_text()).collect();
    let mut files = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    let mut pages = 0;
    for file in files {
        let docs = module_docs(&file);
        if HEADINGS.iter().any(|heading| docs.lines().any(|line| line == *heading)) {
            pages += 1;
            assert!(
                registered.contains(&docs),
                "{} is the page of no registered environment",
                file.display()
            );
        }
    }
    assert!(pages > 35, "{pages} pages found");
}

#[test]
fn every_registered_environment_has_a_whole_page() {
    for spec in Registry::builtin().iter() {
        let page = spec.page_text();
        for heading in HEADINGS.iter().chain(&["# Starting state", "# Arguments", "# Source", "# Deviations"])
        {
            let has = page.lines().any(|line| line == *heading);
            assert!(has, "the page of {} lacks the heading `{heading}`", spec.id());
        }
        assert!(!spec.summary_text().is_empty(), "{} has no summary", spec.id());
    }
}
