//! Checkpoints: the whole state of a run in one file that is either whole or refused, and the chunks it refers to.
//!
//! Layout: `MAGIC` and a frame (`src/run/framed.rs`) around the state. A file is written under a temporary name,
//! synced and renamed; the newest two and the best are kept.

use std::fs;
use std::path::{Path, PathBuf};

use agon_agents::AgentError;
use agon_agents::codec::decode;
use agon_envs::wrappers::Moments;
use serde::{Deserialize, Serialize};

use super::chunk_file::ChunkFile;
use super::directory::write_atomically;
use super::framed::{self, framed};
use super::recent::Recent;
use super::window::MetricsWindow;
use crate::RunError;
use crate::error::AtPath;
use crate::signing::Source;

pub(crate) const MAGIC: &[u8; 8] = b"AGONCKPE";
/// Newest checkpoints that are kept.
const KEPT: usize = 2;

/// Everything that decides how a run goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// The settings that decided it, as TOML, see [`identity`](super::identity).
    pub(crate) settings: String,
    /// Environment steps that the run was to have.
    pub(crate) total_timesteps: u64,
    pub(crate) iteration: u64,
    pub(crate) env_steps: u64,
    pub(crate) episodes: u64,
    pub(crate) recent: Recent,
    pub(crate) learner: Vec<u8>,
    /// The chunks of the learner's state that are kept beside.
    pub(crate) chunks: Vec<ChunkFile>,
    /// Numbers of the past selves of a league; their weights are chunks.
    pub(crate) league: Vec<u64>,
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
    write_atomically(&path, &framed(MAGIC, &payload).0)?;
    drop_others(directory, state)?;
    Ok(path)
}

/// Reads a checkpoint, and makes sure that the chunks it refers to are whole.
pub(crate) fn load(path: &Path) -> Result<RunState, RunError> {
    load_from(&Source::trusted(path), path)
}

/// As [`load`], of a run whose files may have to be signed.
pub(crate) fn load_from(source: &Source, path: &Path) -> Result<RunState, RunError> {
    let state = parse(path, &source.read(path)?)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    state.chunks.iter().try_for_each(|chunk| chunk.verify(source, directory))?;
    Ok(state)
}

/// The checkpoint that a run goes on from.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) path: PathBuf,
    pub(crate) state: RunState,
    /// What is wrong with newer ones.
    pub(crate) passed_over: Vec<RunError>,
}

/// The newest checkpoint that is whole. One that a crash or a bad disk damaged is passed over; if all are damaged, the newest
/// one's error says how.
pub(crate) fn newest(directory: &Path) -> Result<Option<Newest>, RunError> {
    let mut passed_over = Vec::new();
    for path in list(directory)? {
        match load(&path) {
            Ok(state) => return Ok(Some(Newest { path, state, passed_over })),
            Err(error) => passed_over.push(error),
        }
    }
    passed_over.into_iter().next().map_or(Ok(None), Err)
}

/// Reads a checkpoint without its chunks.
pub(crate) fn read(path: &Path) -> Result<RunState, RunError> {
    parse(path, &fs::read(path).at("cannot read", path)?)
}

/// The content of a checkpoint; its path is for errors.
fn parse(path: &Path, bytes: &[u8]) -> Result<RunState, RunError> {
    let (payload, _) = framed::content(path, MAGIC, bytes)?;
    let wrong =
        |error: AgentError| RunError::Checkpoint { path: path.to_owned(), message: error.to_string() };
    let state: RunState = decode(payload).map_err(wrong)?;
    if step_of(path).is_some_and(|step| step != state.env_steps) {
        let message = format!("expected the state of this step, found that of {}", state.env_steps);
        return Err(RunError::Checkpoint { path: path.to_owned(), message });
    }
    Ok(state)
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

/// Removes what is not kept beside a checkpoint that was just written.
fn drop_others(directory: &Path, state: &RunState) -> Result<(), RunError> {
    // What is newer was passed over when the run was resumed: it belongs to a future that is run again.
    let (newer, older): (Vec<_>, Vec<_>) =
        list(directory)?.into_iter().partition(|path| step_of(path) > Some(state.env_steps));
    let best = state.best.map(|best| best.env_steps);
    let surplus = older.into_iter().skip(KEPT).filter(|path| best != step_of(path));
    for path in newer.into_iter().chain(surplus) {
        fs::remove_file(&path).at("cannot remove", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(env_steps: u64, best: Option<Best>) -> RunState {
        RunState {
            settings: String::new(),
            total_timesteps: 100,
            iteration: env_steps,
            env_steps,
            episodes: 0,
            recent: Recent::default(),
            learner: vec![1, 2, 3],
            chunks: Vec::new(),
            league: Vec::new(),
            source: Vec::new(),
            statistics: Vec::new(),
            window: MetricsWindow::default(),
            sinks: vec![("csv".to_owned(), vec![7])],
            seconds: 0.25,
            best,
        }
    }

    #[test]
    fn the_fuzzer_writes_files_of_this_version() {
        let target = include_str!("../../fuzz/fuzz_targets/checkpoint.rs");
        assert!(target.contains(std::str::from_utf8(MAGIC).unwrap()));
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
    fn what_is_newer_than_the_state_that_is_saved_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        for step in [10, 30, 20] {
            save(directory.path(), &state(step, None)).unwrap();
        }
        assert_eq!(steps(directory.path()).unwrap(), [20, 10]);
    }

    #[test]
    fn a_damaged_newest_one_is_passed_over_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let older = save(directory.path(), &state(1, None)).unwrap();
        let path = save(directory.path(), &state(2, None)).unwrap();
        let whole = fs::read(&path).unwrap();
        for (damage, expected) in [
            (whole[..10].to_vec(), "expected at least"),
            (whole[..whole.len() - 1].to_vec(), "bytes of content"),
            ([b"XXXXXXXX", &whole[8..]].concat(), "found another one"),
            ([&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat(), "the file is damaged"),
            (fs::read(&older).unwrap(), "expected the state of this step, found that of 1"),
        ] {
            fs::write(&path, damage).unwrap();
            let found = newest(directory.path()).unwrap().unwrap();
            assert_eq!((found.path, found.state.env_steps), (older.clone(), 1));
            let [error] = &found.passed_over[..] else { panic!("{:?}", found.passed_over) };
            let message = error.to_string();
            assert!(message.contains("step_000000000002.ckpt") && message.contains(expected), "{message}");
        }
        fs::write(&older, b"").unwrap();
        assert!(newest(directory.path()).is_err());
    }

    #[test]
    fn bytes_after_the_state_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path(), 1);
        let payload = [postcard::to_stdvec(&state(1, None)).unwrap(), vec![0]].concat();
        fs::write(&path, framed(MAGIC, &payload).0).unwrap();
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains("expected the end, found 1 more bytes"), "{message}");
    }
}
