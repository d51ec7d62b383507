//! What lies in the named directories: runs, experiments, sweeps, suites.
//!
//! Everything that is ever read was found here first: a request names a key, never a path. Links are not followed, so nothing
//! outside the named directories is found, and what was found is looked at once more before it is opened.

use std::path::{Path, PathBuf};

use super::types::Kind;
use crate::RunError;
use crate::error::AtPath;
use crate::experiment::is_experiment;
use crate::plot;
use crate::run::directory::CONFIG;

/// Directories within directories that are looked into.
const DEEPEST: usize = 8;
/// Most that is listed.
const MOST: usize = 20_000;

/// A directory that was named.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    path: PathBuf,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name of its place and the path in there.
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Index of the group that it is part of, which comes before it.
    pub(super) parent: Option<usize>,
}

/// The named directories, which must exist, under names that tell them apart.
///
/// # Errors
/// If one is no directory.
pub(super) fn named(directories: &[PathBuf]) -> Result<Vec<Place>, RunError> {
    let resolve = |path: &PathBuf| {
        let resolved = path.canonicalize().at("cannot read", path)?;
        if resolved.is_dir() {
            return Ok(resolved);
        }
        let message = "expected a directory of runs, found a file".to_owned();
        Err(RunError::Directory { path: path.clone(), message })
    };
    let mut paths = directories.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    // What lies in another one is found there.
    paths.sort();
    paths.dedup_by(|inner, outer| inner.starts_with(&*outer));
    let names = plot::names(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    Ok(names.into_iter().zip(paths).map(|(name, path)| Place { name, path }).collect())
}

impl Place {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Everything in some places, groups before what is in them. What cannot be read is passed over.
pub(super) fn look(places: &[Place]) -> Vec<Found> {
    let mut found = Vec::new();
    for place in places {
        visit(place, &place.path, None, 0, &mut found);
    }
    found
}

/// Whether a file is a file, and lies where its path says: no part of which is a link.
pub(super) fn is_inside(file: &Path) -> bool {
    file.canonicalize().is_ok_and(|resolved| resolved == file) && file.is_file()
}

fn visit(place: &Place, path: &Path, parent: Option<usize>, depth: usize, found: &mut Vec<Found>) {
    if depth > DEEPEST || found.len() >= MOST {
        return;
    }
    let has = |name: &str| path.join(name).is_file();
    let inner = directories(path);
    let kind = if has(CONFIG) {
        if has("scores.csv") && !has("metrics.csv") { Some(Kind::Record) } else { Some(Kind::Run) }
    } else if has("sweep.toml") {
        Some(Kind::Sweep)
    } else if is_experiment(path)
        || inner.iter().any(|path| seed_of(path).is_some() && path.join(CONFIG).is_file())
    {
        Some(Kind::Experiment)
    } else if has("suite.toml") {
        Some(Kind::Suite)
    } else {
        None
    };
    let parent_of_inner = match kind {
        None => parent,
        Some(kind) => {
            let part = path.strip_prefix(&place.path).unwrap_or(path);
            let parts = part.iter().map(|part| part.to_string_lossy());
            let id = std::iter::once(place.name.as_str().into()).chain(parts).collect::<Vec<_>>().join("/");
            found.push(Found { id, path: path.to_owned(), kind, parent });
            Some(found.len() - 1)
        }
    };
    match kind {
        Some(Kind::Run | Kind::Record) => {}
        // Beside what a suite has made there can be anything.
        Some(Kind::Suite) => {
            for inner in inner {
                let is_of_suite = ["suite", "reference"].iter().any(|name| inner.ends_with(name));
                visit(place, &inner, if is_of_suite { parent_of_inner } else { parent }, depth + 1, found);
            }
        }
        _ => inner.iter().for_each(|inner| visit(place, inner, parent_of_inner, depth + 1, found)),
    }
}

/// The directories in one, links and hidden ones apart, numbers in their names by their values.
fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = path.read_dir() else { return Vec::new() };
    let is_shown = |entry: &std::fs::DirEntry| {
        let hidden = entry.file_name().as_encoded_bytes().first() == Some(&b'.');
        !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let mut found: Vec<PathBuf> = entries.flatten().filter(is_shown).map(|entry| entry.path()).collect();
    found.sort_by_cached_key(|path| (number_of(path), path.clone()));
    found
}

/// The number that a directory's name ends with, behind the rest of the name.
fn number_of(path: &Path) -> (String, u64) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (text.to_owned(), name[text.len()..].parse().unwrap_or(0))
}

fn seed_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("seed_")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn make(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn everything_is_found_with_its_group() {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            "results/suite.toml",
            "results/reference/ppo/config.toml",
            "results/reference/ppo/scores.csv",
            "results/suite/ppo/seed_2/config.toml",
            "results/suite/ppo/seed_10/config.toml",
            "results/alone/config.toml",
            "results/sweeps/lr/sweep.toml",
            "results/sweeps/lr/trial_001/seed_1/config.toml",
            "results/.hidden/config.toml",
        ];
        make(directory.path(), &files);
        let places =
            named(&[directory.path().join("results"), directory.path().join("results/alone")]).unwrap();
        let found = look(&places);
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.id.as_str(), one.kind, one.parent.map_or("", |parent| &found[parent].id)))
            .collect();
        let expected = [
            ("results", Kind::Suite, ""),
            ("results/alone", Kind::Run, ""),
            ("results/reference/ppo", Kind::Record, "results"),
            ("results/suite/ppo", Kind::Experiment, "results"),
            ("results/suite/ppo/seed_2", Kind::Run, "results/suite/ppo"),
            ("results/suite/ppo/seed_10", Kind::Run, "results/suite/ppo"),
            ("results/sweeps/lr", Kind::Sweep, ""),
            ("results/sweeps/lr/trial_001", Kind::Experiment, "results/sweeps/lr"),
            ("results/sweeps/lr/trial_001/seed_1", Kind::Run, "results/sweeps/lr/trial_001"),
        ];
        assert_eq!(told, expected);
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), &["secret/config.toml", "secret/metrics.csv", "results/run/config.toml"]);
        let (secret, results) = (directory.path().join("secret"), directory.path().join("results"));
        std::os::unix::fs::symlink(&secret, results.join("link")).unwrap();
        std::os::unix::fs::symlink(secret.join("metrics.csv"), results.join("run/metrics.csv")).unwrap();
        let found = look(&named(&[results]).unwrap());
        assert_eq!(found.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["results/run"]);
        assert!(
            is_inside(&found[0].path.join("config.toml")) && !is_inside(&found[0].path.join("metrics.csv"))
        );
        assert!(!is_inside(&found[0].path) && !is_inside(&found[0].path.join("../run/config.toml")));
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let message = named(&["/no/such/place".into()]).unwrap_err().to_string();
        assert_eq!(message, "cannot read /no/such/place");
    }
}
