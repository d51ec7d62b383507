//! Curves of what the page has chosen, from tables that are kept between two looks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::library::Entry;
use super::look::{LOGS, log_file};
use super::series::{self, Columns, Point, View};
use super::table::{self, Table};
use super::types::{CurveOf, Kind, LeftOut};
use crate::RunError;
use crate::jobs::lock;
use crate::plot::XAxis;
use crate::sinks::{EVALUATIONS, RETURN_METRIC};

/// Numbers of tables that are kept in memory: 256 MB of them.
const MOST_KEPT: usize = 32 << 20;
/// What is recorded of an entry of a suite, whose runs are told apart by a column.
const RECORDED: &str = "curve.csv";

/// The tables that were read, the ones looked at last behind the others.
#[derive(Debug, Default)]
pub(super) struct Tables {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    tables: HashMap<PathBuf, (Arc<Mutex<Table>>, usize)>,
    uses: u64,
    last_use: HashMap<PathBuf, u64>,
}

impl Tables {
    /// Whether a file has been read.
    fn knows(&self, path: &Path) -> bool {
        lock(&self.kept).tables.get(path).is_some_and(|(_, size)| *size > 0)
    }

    /// Has a table read what was added to its file, and uses it.
    fn with<T>(&self, path: &Path, columns: &[&str], used: impl FnOnce(&Table) -> T) -> Result<T, RunError> {
        let table = {
            let mut kept = lock(&self.kept);
            kept.uses += 1;
            let now = kept.uses;
            kept.last_use.insert(path.to_owned(), now);
            let new = || (Arc::new(Mutex::new(Table::new(path.to_owned()))), 0);
            Arc::clone(&kept.tables.entry(path.to_owned()).or_insert_with(new).0)
        };
        let mut table = lock(&table);
        table.follow(columns)?;
        let given = used(&table);
        self.note_size(path, table.size());
        Ok(given)
    }

    /// Notes how much of a file is kept, and drops what was used longest ago where it is too much together.
    fn note_size(&self, path: &Path, size: usize) {
        let mut kept = lock(&self.kept);
        if let Some((_, noted)) = kept.tables.get_mut(path) {
            *noted = size;
        }
        let mut all: usize = kept.tables.values().map(|(_, size)| *size).sum();
        while all > MOST_KEPT {
            let oldest = kept.last_use.iter().filter(|(found, _)| *found != path).min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(path, _)| path.clone()) else { return };
            kept.last_use.remove(&oldest);
            all -= kept.tables.remove(&oldest).map_or(0, |(_, size)| size);
        }
    }

    /// The curve of a run, or the mean of a group's.
    ///
    /// # Errors
    /// If none of the runs has such a metric, or files cannot be read.
    pub(super) fn curve(
        &self,
        key: u32,
        entry: &Entry,
        metric: &str,
        x: XAxis,
        view: &View,
    ) -> Result<CurveOf, RunError> {
        let mut left_out = LeftOut::default();
        let (mut runs, mut error, mut is_sample) = (Vec::new(), None, false);
        if matches!(entry.kind, Kind::Sweep | Kind::Suite) {
            let message =
                "has no curve of its own: a mean over runs of other settings says nothing".to_owned();
            return Err(RunError::Directory { path: entry.name.clone().into(), message });
        }
        if entry.kind == Kind::Record {
            runs = self.recorded(&entry.path, metric, x, &mut left_out)?;
        } else {
            for run in &entry.runs {
                match self.points(run, metric, x, view, &mut left_out) {
                    Ok((points, is_part)) => {
                        runs.push(points);
                        is_sample |= is_part;
                    }
                    Err(found) => error = Some(found),
                }
            }
        }
        let mut runs: Vec<Vec<Point>> =
            runs.into_iter().map(|points| series::prepared(points, view, &mut left_out)).collect();
        runs.retain(|points| points.iter().any(|(_, y)| y.is_finite()));
        if runs.is_empty() {
            let message = format!("has no {metric} yet");
            return Err(error.unwrap_or(RunError::Directory { path: entry.name.clone().into(), message }));
        }
        let ends = || runs.iter().filter_map(|points| Some((points.first()?.0, points.last()?.0)));
        let range = ends().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (first, last)| {
            (low.min(first), high.max(last))
        });
        let shown = series::shown(&runs, view, &mut left_out);
        Ok(CurveOf {
            key,
            runs: runs.len(),
            x: shown.x,
            y: shown.y,
            low: shown.low,
            high: shown.high,
            runs_at: shown.runs,
            range,
            rows: runs.iter().map(|points| series::rows_within(points, view.window)).sum(),
            is_thinned: shown.is_thinned,
            is_sample,
            left_out,
        })
    }

    /// The points of one run, and whether they are a sample.
    fn points(
        &self,
        run: &Path,
        metric: &str,
        x: XAxis,
        view: &View,
        left_out: &mut LeftOut,
    ) -> Result<(Vec<Point>, bool), RunError> {
        let wrong = |message: String| RunError::Directory { path: run.to_owned(), message };
        let has_metric =
            |file: &PathBuf| table::columns(file).is_ok_and(|names| names.iter().any(|name| name == metric));
        let files = LOGS.iter().filter_map(|(name, _)| log_file(run, name));
        let Some(y_file) = files.into_iter().find(has_metric) else {
            return Err(wrong(format!("has no {metric} yet")));
        };
        let (x_name, x_file) = match x {
            XAxis::Steps => ("global_step", None),
            XAxis::Updates => ("updates", Some("metrics.csv")),
            XAxis::Seconds => ("seconds", Some("timing.csv")),
        };
        let x_file = match x_file {
            None => y_file.clone(),
            Some(name) => log_file(run, name).ok_or_else(|| wrong(format!("has no {name} yet")))?,
        };
        let takes_next = y_file.ends_with(EVALUATIONS);
        if view.is_first_look
            && !self.knows(&y_file)
            && let Some(table) = Table::sample(&y_file, &["iteration", x_name, metric])?
        {
            let column = |name| table.column(name).unwrap_or_default();
            let iterations = column("iteration");
            let columns =
                Columns { x: (iterations, column(x_name)), y: (iterations, column(metric)), takes_next };
            return Ok((series::joined(&columns, left_out), true));
        }
        let columns = |table: &Table, name| {
            let column = |name| table.column(name).unwrap_or_default().to_vec();
            (column("iteration"), column(name), table.broken())
        };
        // All columns of a file at once: one that comes later has it read from its beginning.
        let wanted = |file: &PathBuf| {
            let of_y = if *file == y_file { Some(metric) } else { None };
            let of_x = if *file == x_file { Some(x_name) } else { None };
            ["iteration"].into_iter().chain(of_y).chain(of_x).collect::<Vec<_>>()
        };
        let (y_iterations, y, broken) =
            self.with(&y_file, &wanted(&y_file), |table| columns(table, metric))?;
        left_out.broken += broken;
        let (x_iterations, x, _) = self.with(&x_file, &wanted(&x_file), |table| columns(table, x_name))?;
        let columns = Columns { x: (&x_iterations, &x), y: (&y_iterations, &y), takes_next };
        Ok((series::joined(&columns, left_out), false))
    }

    /// The points of the runs that a suite has recorded.
    fn recorded(
        &self,
        path: &Path,
        metric: &str,
        x: XAxis,
        left_out: &mut LeftOut,
    ) -> Result<Vec<Vec<Point>>, RunError> {
        let wrong =
            |message: &str| RunError::Directory { path: path.to_owned(), message: message.to_owned() };
        if metric != RETURN_METRIC || x != XAxis::Steps {
            return Err(wrong("only the return over environment steps is recorded of it"));
        }
        let file = log_file(path, RECORDED).ok_or_else(|| wrong("has no curve"))?;
        let names = ["seed", "global_step", "episodic_return"];
        let columns = self.with(&file, &names, |table| {
            left_out.broken += table.broken();
            names.map(|name| table.column(name).unwrap_or_default().to_vec())
        })?;
        let [seeds, steps, returns] = &columns;
        let rows: Vec<(f64, Point)> =
            seeds.iter().zip(steps.iter().zip(returns)).map(|(seed, (x, y))| (*seed, (*x, *y))).collect();
        let of_seed = rows.chunk_by(|(a, _), (b, _)| a == b);
        Ok(of_seed.map(|rows| rows.iter().map(|(_, point)| *point).collect()).collect())
    }
}
