//! Checkpoints: the whole state of a run in one file that is either whole or refused, and the chunks it refers to.
//!
//! Layout: the magic `AGONCKP5`, the payload's length as 8 bytes little-endian, its CRC-32 as 4, the payload. A file is
//! written under a temporary name, synced and renamed; the newest two and the best are kept.

use std::fs;
use std::path::{Path, PathBuf};

use agon_envs::wrappers::Moments;
use serde::{Deserialize, Serialize};

use super::chunk_file::ChunkFile;
use super::directory::write_atomically;
use super::recent::Recent;
use super::window::MetricsWindow;
use crate::RunError;
use crate::error::AtPath;

const MAGIC: &[u8; 8] = b"AGONCKP5";
const HEADER: usize = MAGIC.len() + 8 + 4;
/// Newest checkpoints that are kept.
const KEPT: usize = 2;

/// Everything that decides how a run goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunState {
    pub(crate) iteration: u64,
    pub(crate) env_steps: u64,
    pub(crate) episodes: u64,
    pub(crate) recent: Recent,
    pub(crate) learner: Vec<u8>,
    /// The chunks of the learner's state that are kept beside.
    pub(crate) chunks: Vec<ChunkFile>,
    /// Where fragments come from, as it was.
    pub(crate) source: Vec<u8>,
    /// The run's running statistics, merged over all shards.
    pub(crate) statistics: Vec<Moments>,
    /// Metrics since the last row of them.
    pub(crate) window: MetricsWindow,
    /// What each sink goes on from, by name. What it has written after this point belongs to a future that is run again.
    pub(crate) sinks: Vec<(String, Vec<u8>)>,
    /// Seconds of work so far.
    pub(crate) seconds: f64,
    /// The best checkpoint so far.
    pub(crate) best: Option<Best>,
}

/// The checkpoint of the highest mean return: of an evaluation if there are any, else of the last training episodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) env_steps: u64,
    pub(crate) mean_return: f64,
}

/// Writes the state as the checkpoint of its step and drops those that are not kept.
pub(crate) fn save(directory: &Path, state: &RunState) -> Result<PathBuf, RunError> {
    let path = path_of(directory, state.env_steps);
    let payload = postcard::to_stdvec(state)
        .map_err(|error| RunError::Checkpoint { path: path.clone(), message: error.to_string() })?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    write_atomically(&path, &bytes)?;
    drop_old(directory, state.best)?;
    Ok(path)
}

/// Reads a checkpoint, and makes sure that the chunks it refers to are whole.
pub(crate) fn load(path: &Path) -> Result<RunState, RunError> {
    let state = read(path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    state.chunks.iter().try_for_each(|chunk| chunk.read(directory).map(drop))?;
    Ok(state)
}

/// The newest checkpoint that is whole. One that a crash or a bad disk damaged is passed over; if all are damaged, the newest
/// one's error says how.
pub(crate) fn newest(directory: &Path) -> Result<Option<RunState>, RunError> {
    let mut first_error = None;
    for path in list(directory)? {
        match load(&path) {
            Ok(state) => return Ok(Some(state)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(None), Err)
}

/// Reads a checkpoint without its chunks.
pub(crate) fn read(path: &Path) -> Result<RunState, RunError> {
    let wrong = |message: String| RunError::Checkpoint { path: path.to_owned(), message };
    let bytes = fs::read(path).at("cannot read", path)?;
    let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
        return Err(wrong(format!("expected at least {HEADER} bytes, found {}", bytes.len())));
    };
    if !header.starts_with(MAGIC) {
        return Err(wrong("expected a checkpoint of this version (AGONCKP5), found another file".to_owned()));
    }
    let number = |range: std::ops::Range<usize>| {
        header[range].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
    };
    let (length, checksum) = (number(8..16), number(16..20));
    if payload.len() as u64 != length {
        return Err(wrong(format!("expected {length} bytes of content, found {}", payload.len())));
    }
    let found = u64::from(crc32fast::hash(payload));
    if found != checksum {
        return Err(wrong(format!(
            "expected checksum {checksum:08x}, found {found:08x}: the file is damaged"
        )));
    }
    postcard::from_bytes(payload).map_err(|error| wrong(error.to_string()))
}

/// All checkpoints of a directory, newest first.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, RunError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("cannot read", directory),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.at("cannot read", directory)?.path();
        if let Some(step) = step_of(&path) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

/// The steps that there are checkpoints of, the newest first.
pub(crate) fn steps(directory: &Path) -> Result<Vec<u64>, RunError> {
    Ok(list(directory)?.iter().filter_map(|path| step_of(path)).collect())
}

/// Environment steps of the newest checkpoint, whole or not; none without checkpoints.
pub(crate) fn newest_step(directory: &Path) -> Result<Option<u64>, RunError> {
    Ok(list(directory)?.first().and_then(|path| step_of(path)))
}

/// The checkpoint of a step.
pub(crate) fn path_of(directory: &Path, env_steps: u64) -> PathBuf {
    directory.join(format!("step_{env_steps:012}.ckpt"))
}

fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step_")?.strip_suffix(".ckpt")?.parse().ok()
}

fn drop_old(directory: &Path, best: Option<Best>) -> Result<(), RunError> {
    for path in list(directory)?.into_iter().skip(KEPT) {
        if best.map(|best| best.env_steps) != step_of(&path) {
            fs::remove_file(&path).at("cannot remove", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(env_steps: u64, best: Option<Best>) -> RunState {
        RunState {
            iteration: env_steps,
            env_steps,
            episodes: 0,
            recent: Recent::default(),
            learner: vec![1, 2, 3],
            chunks: Vec::new(),
            source: Vec::new(),
            statistics: Vec::new(),
            window: MetricsWindow::default(),
            sinks: vec![("csv".to_owned(), vec![7])],
            seconds: 0.25,
            best,
        }
    }

    #[test]
    fn the_newest_two_and_the_best_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let best = Best { env_steps: 20, mean_return: 5.0 };
        for step in [10, 20, 30, 40, 50] {
            save(directory.path(), &state(step, (step >= 20).then_some(best))).unwrap();
        }
        assert_eq!(steps(directory.path()).unwrap(), [50, 40, 20]);
        let loaded = load(&path_of(directory.path(), 50)).unwrap();
        assert_eq!((loaded.env_steps, loaded.learner, loaded.best), (50, vec![1, 2, 3], Some(best)));
    }

    #[test]
    fn every_damage_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = save(directory.path(), &state(1, None)).unwrap();
        let whole = fs::read(&path).unwrap();
        for (damage, expected) in [
            (whole[..10].to_vec(), "expected at least"),
            (whole[..whole.len() - 1].to_vec(), "bytes of content"),
            ([b"XXXXXXXX", &whole[8..]].concat(), "found another file"),
            ([&whole[..HEADER], &[whole[HEADER] ^ 1], &whole[HEADER + 1..]].concat(), "the file is damaged"),
        ] {
            fs::write(&path, damage).unwrap();
            let message = load(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
