//! What there is to know of one run: its settings, checkpoints and last lines.

use super::library::Entry;
use super::look::{LOGS, log_file};
use super::table;
use super::types::{Detail, Kind, Lines};
use crate::RunError;
use crate::run::RunDirectory;
use crate::run::checkpoint;

/// Lines of a file.
const LAST: usize = 12;
/// The file of episodes, of which there are lines too.
const EPISODES: &str = "episodes.csv";

/// Looks at a run, or at the first one of a group.
///
/// # Errors
/// If its checkpoints cannot be listed.
pub(super) fn detail(key: u32, entry: &Entry, config: Vec<(String, String)>) -> Result<Detail, RunError> {
    let mut detail = Detail { key, config, checkpoints: Vec::new(), has_best: false, logs: Vec::new() };
    if entry.kind != Kind::Run {
        return Ok(detail);
    }
    let run = RunDirectory::at(&entry.path);
    detail.checkpoints = checkpoint::steps(&run.checkpoints())?;
    detail.checkpoints.reverse();
    detail.has_best = run.best_model().is_file();
    for name in LOGS.map(|(name, _)| name).into_iter().chain([EPISODES]) {
        let Some(file) = log_file(&entry.path, name) else { continue };
        let (columns, lines) = table::last_lines(&file, LAST)?;
        let fields = |line: String| line.split(',').map(str::to_owned).collect();
        detail.logs.push(Lines { file: name, columns, rows: lines.into_iter().map(fields).collect() });
    }
    Ok(detail)
}
