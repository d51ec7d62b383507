//! The files of a model and their hashes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::wrong;
use crate::RunError;
use crate::error::AtPath;
use crate::hash::{self, Sha};

/// A path relative to a model, by its parts: they are ordered so, and not as texts, in which `a-b` comes before `a/b`. A single
/// file has none.
pub(super) type Parts = Vec<String>;

/// SHA-256 of files.
pub(super) type Digests = BTreeMap<Parts, Sha>;

/// Files that an error names of each kind, at most.
const NAMED: usize = 5;

/// How the path of a single file is written.
const ITSELF: &str = ".";

/// The parts of a path that is written with slashes; none if it leads outside, or to the same place as another one.
pub(super) fn parts(name: &str) -> Option<Parts> {
    if name == ITSELF {
        return Some(Vec::new());
    }
    let parts: Parts = name.split('/').map(str::to_owned).collect();
    let is_plain =
        |part: &String| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    parts.iter().all(is_plain).then_some(parts)
}

/// A path as it is written.
pub(super) fn joined(parts: &[String]) -> String {
    if parts.is_empty() { ITSELF.to_owned() } else { parts.join("/") }
}

/// What a model is called: its file or directory.
pub(super) fn name(path: &Path) -> Result<String, RunError> {
    let whole = path.canonicalize().at("cannot read", path)?;
    let name = whole.file_name().unwrap_or_default().to_str();
    name.map(str::to_owned).ok_or_else(|| wrong(path, "expected a name that is text".to_owned()))
}

/// A path within a directory, relative to it and with slashes.
pub(super) fn inside(directory: &Path, path: &Path) -> Result<String, RunError> {
    // What is not there yet has a directory that is.
    let whole = match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(whole), ..) => whole,
        (Err(_), Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            parent.canonicalize().at("cannot read", parent)?.join(name)
        }
        (Err(error), ..) => return Err(error).at("cannot read", path),
    };
    let directory = directory.canonicalize().at("cannot read", directory)?;
    let relative =
        whole.strip_prefix(&directory).ok().and_then(Path::to_str).map(|text| text.replace('\\', "/"));
    relative.filter(|text| !text.is_empty()).ok_or_else(|| {
        let message = format!("expected a path within {}", directory.display());
        wrong(path, message)
    })
}

/// The hashes of a directory's files, those below ignored paths left out, or of a single file.
pub(super) fn digests(path: &Path, ignored: &[String]) -> Result<Digests, RunError> {
    let ignored: Vec<Parts> = ignored.iter().filter_map(|name| parts(name)).collect();
    let mut found = Digests::new();
    let mut waiting = vec![(path.to_owned(), Parts::new())];
    while let Some((path, parts)) = waiting.pop() {
        if ignored.iter().any(|start| !start.is_empty() && parts.starts_with(start)) {
            continue;
        }
        let kind = fs::symlink_metadata(&path).at("cannot read", &path)?.file_type();
        if kind.is_file() {
            found.insert(parts, hash::of_file(&path)?);
        } else if kind.is_dir() {
            for entry in fs::read_dir(&path).at("cannot read", &path)? {
                let entry = entry.at("cannot read", &path)?;
                let Ok(name) = entry.file_name().into_string() else {
                    return Err(wrong(&entry.path(), "expected a name that is text".to_owned()));
                };
                if name.contains('\\') {
                    return Err(wrong(&entry.path(), "expected a name without a backslash".to_owned()));
                }
                waiting.push((entry.path(), [&parts[..], &[name]].concat()));
            }
        } else {
            let found = if kind.is_symlink() { "a symbolic link" } else { "something else" };
            return Err(wrong(&path, format!("expected files and directories, found {found}")));
        }
    }
    Ok(found)
}

/// What differs between files and what was signed of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Files of another content.
    pub changed: Vec<String>,
    /// Files that were signed and are gone.
    pub missing: Vec<String>,
    /// Files that were not signed.
    pub unsigned: Vec<String>,
}

impl Differences {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.unsigned.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        let kinds = [("changed", &self.changed), ("missing", &self.missing), ("not signed", &self.unsigned)];
        for (word, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{between}{word}: {}", names[..names.len().min(NAMED)].join(", "))?;
            if names.len() > NAMED {
                write!(f, " and {} more", names.len() - NAMED)?;
            }
            between = "; ";
        }
        Ok(())
    }
}

/// Compares hashes with those that were signed.
pub(super) fn differences(found: &Digests, signed: &Digests) -> Differences {
    let mut differences = Differences::default();
    for (path, digest) in signed {
        match found.get(path) {
            None => differences.missing.push(joined(path)),
            Some(found) if found != digest => differences.changed.push(joined(path)),
            Some(_) => {}
        }
    }
    differences
        .unsigned
        .extend(found.keys().filter(|path| !signed.contains_key(*path)).map(|path| joined(path)));
    differences
}

/// As [`differences`], of the signed files alone.
pub(super) fn differences_of_signed(path: &Path, signed: &Digests) -> Result<Differences, RunError> {
    let mut found = Digests::new();
    for parts in signed.keys() {
        let mut file = PathBuf::from(path);
        let mut kind = fs::symlink_metadata(&file).at("cannot read", &file)?.file_type();
        for part in parts {
            file.push(Component::Normal(part.as_ref()));
            match fs::symlink_metadata(&file) {
                Ok(metadata) => kind = metadata.file_type(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(error).at("cannot read", &file),
            }
            if kind.is_symlink() {
                return Err(wrong(&file, "expected files and directories, found a symbolic link".to_owned()));
            }
        }
        if kind.is_file() && file.is_file() {
            found.insert(parts.clone(), hash::of_file(&file)?);
        }
    }
    Ok(differences(&found, signed))
}
