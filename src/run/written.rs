//! What a run has written down so far, read from its log files.

use std::path::Path;

use crate::RunError;
use crate::error::AtPath;
use crate::run::directory::MODEL;

/// Environment steps that a run has written down; 0 before the first iteration.
///
/// # Errors
/// If its metrics cannot be read.
pub(crate) fn steps_done(path: &Path) -> Result<u64, RunError> {
    let metrics = path.join("metrics.csv");
    if !metrics.exists() {
        return Ok(0);
    }
    let text = std::fs::read_to_string(&metrics).at("cannot read", &metrics)?;
    let steps = whole_lines(&text).skip(1).last().and_then(|line| line.split(',').nth(1)?.parse().ok());
    Ok(steps.unwrap_or(0))
}

/// Whether a run has come to its end: its weights are what it writes last.
///
/// # Errors
/// If its metrics cannot be read.
pub(crate) fn is_finished(path: &Path, total_timesteps: u64) -> Result<bool, RunError> {
    Ok(steps_done(path)? >= total_timesteps && path.join(MODEL).exists())
}

/// The lines of a text that are complete: one that a kill cut short is no row yet.
fn whole_lines(text: &str) -> std::str::Lines<'_> {
    text.rfind('\n').map_or("", |end| &text[..end]).lines()
}

/// Steps at the end and return of a run's episodes, in order.
pub(crate) fn episodes(path: &Path) -> Result<Vec<(f64, f64)>, RunError> {
    let episodes = path.join("episodes.csv");
    let text = std::fs::read_to_string(&episodes).at("cannot read", &episodes)?;
    let ended = |line: &str| -> Option<(f64, f64)> {
        let mut fields = line.split(',').skip(1);
        let at = fields.next()?.parse().ok()?;
        Some((at, fields.nth(1)?.parse().ok()?))
    };
    Ok(whole_lines(&text).skip(1).filter_map(ended).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_row_that_was_cut_short_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("metrics.csv"), "iteration,global_step\n1,128\n2,25").unwrap();
        assert_eq!(steps_done(directory.path()).unwrap(), 128);
        fs::write(directory.path().join("metrics.csv"), "iteration,global_step\n").unwrap();
        assert_eq!(steps_done(directory.path()).unwrap(), 0);
    }
}
