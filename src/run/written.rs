//! What a run has written down so far, read from its log files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
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
    let mut lines = whole_lines(&text);
    let columns = lines.next().map_or(0, |header| header.split(',').count());
    // Somebody else's lines are none.
    let steps = |line: &str| {
        (line.split(',').count() == columns).then(|| line.split(',').nth(1)?.parse().ok()).flatten()
    };
    Ok(lines.filter_map(steps).next_back().unwrap_or(0))
}

/// Where a run stands by the last row of its metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) env_steps: u64,
    pub(crate) updates: u64,
    /// Of the last episodes; NaN before one has ended.
    pub(crate) mean_return: f64,
}

/// The last row of a run's metrics, of which only the end is read; none before the first one.
///
/// # Errors
/// If the metrics cannot be read.
pub(crate) fn last_row(path: &Path) -> Result<Option<Row>, RunError> {
    // Longer than two rows.
    const END: u64 = 1 << 14;
    let metrics = path.join("metrics.csv");
    if !metrics.exists() {
        return Ok(None);
    }
    let read = || {
        let mut file = File::open(&metrics)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
        let mut end = Vec::new();
        file.take(END).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().at("cannot read", &metrics)?;
    let text = String::from_utf8_lossy(&end);
    // The first line is the header, or the end of a row.
    let row = |line: &str| {
        let mut fields = line.split(',').skip(1);
        let (env_steps, updates) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mean_return = fields.nth(1)?.parse().unwrap_or(f64::NAN);
        Some(Row { env_steps, updates, mean_return })
    };
    Ok(whole_lines(&text).skip(1).filter_map(row).last())
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
        assert_eq!(last_row(directory.path()).unwrap(), None, "a row without updates is none");
        let (rows, last) = ("1,128,4,2,20.5,20.5,0.1\n".repeat(5000), "2,256,8,3,,20.5,0.1\n3,38");
        fs::write(directory.path().join("metrics.csv"), format!("iteration\n{rows}{last}")).unwrap();
        let row = last_row(directory.path()).unwrap().unwrap();
        assert_eq!((row.env_steps, row.updates, row.mean_return.is_nan()), (256, 8, true));
        let damaged = "iteration,global_step,updates,episodes,return\n1,128,4,2,20.5\n1,2\nhalf\n,,,,\n";
        fs::write(directory.path().join("metrics.csv"), damaged).unwrap();
        assert_eq!(steps_done(directory.path()).unwrap(), 128, "of rows that are whole the last one counts");
        assert_eq!(last_row(directory.path()).unwrap().unwrap().env_steps, 128);
        fs::write(directory.path().join("metrics.csv"), "iteration,global_step\n").unwrap();
        assert_eq!(steps_done(directory.path()).unwrap(), 0);
    }
}
