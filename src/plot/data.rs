//! Curves from the files of a run.
//!
//! A run directory holds `metrics.csv`, one row an iteration with `iteration,global_step,updates` and the metrics, and
//! `timing.csv` with `iteration,global_step,seconds` and the speeds. Times are kept apart because they differ between
//! two equal runs. `evaluations.csv` has a row for each iteration that was evaluated after, if any was. An experiment
//! directory holds one run directory for each seed: `seed_1`, `seed_2`, ...

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Curve, PlotError};

const METRICS: &str = "metrics.csv";
const TIMING: &str = "timing.csv";
const EVALUATIONS: &str = crate::sinks::EVALUATIONS;
const ITERATION: &str = "iteration";
/// Columns that count rather than measure; not offered as metrics.
const COUNTERS: [&str; 3] = [ITERATION, "global_step", "updates"];
/// Run directories of an experiment begin with this.
const SEED_PREFIX: &str = "seed_";

/// What the x axis counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XAxis {
    /// Environment steps (`global_step`).
    #[default]
    Steps,
    /// Seconds since the run began (`seconds`, in `timing.csv`).
    Seconds,
    /// Gradient updates (`updates`).
    Updates,
}

impl XAxis {
    /// The text for the axis.
    pub fn label(self) -> &'static str {
        match self {
            Self::Steps => "environment steps",
            Self::Seconds => "seconds",
            Self::Updates => "gradient updates",
        }
    }
}

/// The points of one metric of a run.
///
/// `y` is a column of `metrics.csv`, `timing.csv` or `evaluations.csv`, as a whole (`charts/episodic_return`) or its last part
/// (`episodic_return`). Rows where one of both is empty are left out: there was nothing to measure. What is there and not
/// finite is kept.
///
/// # Errors
/// If a file is missing or not a table of numbers, or if there is no such metric or several.
pub fn load_series(run_dir: &Path, x: XAxis, y: &str) -> Result<Vec<(f64, f64)>, PlotError> {
    let metrics = Table::read(&run_dir.join(METRICS))?;
    let timing_path = run_dir.join(TIMING);
    let timing = Table::read_if_there(&timing_path)?;
    let evaluations = Table::read_if_there(&run_dir.join(EVALUATIONS))?;
    let tables: Vec<&Table> =
        [Some(&metrics), timing.as_ref(), evaluations.as_ref()].into_iter().flatten().collect();
    let (y_table, y_column) = find_metric(run_dir, &tables, y)?;
    let (x_table, x_name) = match x {
        XAxis::Steps => (y_table, "global_step"),
        XAxis::Updates => (&metrics, "updates"),
        // Reading it again gives the error for a file that is missing.
        XAxis::Seconds => match &timing {
            Some(timing) => (timing, "seconds"),
            None => return Err(Table::read(&timing_path).err().unwrap_or(PlotError::NoData { label: None })),
        },
    };
    let xs = x_table.by_iteration(x_table.counter(x_name)?)?;
    let ys = y_table.by_iteration(y_column)?;
    // An evaluation's iteration may have no row of its own in the other tables: then the next row stands for it.
    let is_evaluation = evaluations.as_ref().is_some_and(|table| std::ptr::eq(table, y_table));
    let x_of = |iteration: u64| {
        let next = xs.range(iteration..).next().filter(|&(&found, _)| found == iteration || is_evaluation);
        next.map(|(_, x)| *x)
    };
    Ok(ys.into_iter().filter_map(|(iteration, y)| Some((x_of(iteration)?, y))).collect())
}

/// The columns of one of a run's files of numbers, by name. What is empty is NaN.
///
/// # Errors
/// If the file is missing or no table of numbers.
pub fn load_columns(path: &Path) -> Result<Vec<(String, Vec<f64>)>, PlotError> {
    let table = Table::read(path)?;
    let numbers = |column: usize| {
        let number = |row| Ok(table.number(row, column)?.unwrap_or(f64::NAN));
        table.rows.iter().map(number).collect::<Result<Vec<f64>, _>>()
    };
    let columns = table.columns.iter().enumerate();
    columns.map(|(column, name)| Ok((name.clone(), numbers(column)?))).collect()
}

/// A curve from a run directory, or from an experiment directory with a run directory for each seed.
///
/// Its label is that of the directory unless another is given.
///
/// # Errors
/// As [`load_series`]; or if the directory is neither.
pub fn load_curve(dir: &Path, x: XAxis, y: &str, label: Option<String>) -> Result<Curve, PlotError> {
    let runs = run_dirs(dir)?.iter().map(|run_dir| load_series(run_dir, x, y)).collect::<Result<_, _>>()?;
    Ok(Curve { label: label.unwrap_or_else(|| name(dir, 1)), runs })
}

/// The directories of runs in a directory: itself if it is a run, else those of an experiment, by seed. Seeds that have written
/// down nothing yet are none.
///
/// # Errors
/// If it is neither.
pub fn run_dirs(dir: &Path) -> Result<Vec<PathBuf>, PlotError> {
    if dir.join(METRICS).exists() {
        return Ok(vec![dir.to_path_buf()]);
    }
    let failed = |source| PlotError::Io { action: "read", path: dir.to_path_buf(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let seed =
            path.file_name().and_then(|name| name.to_str()?.strip_prefix(SEED_PREFIX)?.parse::<u64>().ok());
        if let Some(seed) = seed.filter(|_| path.join(METRICS).exists()) {
            found.push((seed, path));
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(PlotError::NotARun { path: dir.to_path_buf() });
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Names of directories: their last parts, as many as tell them apart.
pub fn names(dirs: &[&Path]) -> Vec<String> {
    let longest = dirs.iter().map(|dir| dir.components().count()).max().unwrap_or(1);
    let name_of = |dir: &&Path| {
        let differs = |parts: &usize| {
            let own = name(dir, *parts);
            dirs.iter().filter(|other| *other != dir).all(|other| name(other, *parts) != own)
        };
        name(dir, (1..=longest).find(differs).unwrap_or(longest))
    };
    dirs.iter().map(name_of).collect()
}

/// The last parts of a directory's path.
fn name(dir: &Path, parts: usize) -> String {
    // A path such as `.` or `results/..` has a name only once it is resolved.
    let resolved = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let all: Vec<String> = resolved
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    all[all.len().saturating_sub(parts)..].join("/")
}

/// The table and column of a metric: a full name first, then a last part.
fn find_metric<'a>(
    run_dir: &Path,
    tables: &[&'a Table],
    name: &str,
) -> Result<(&'a Table, usize), PlotError> {
    let columns = || {
        tables.iter().flat_map(|&table| {
            table.columns.iter().enumerate().map(move |(i, column)| (table, i, column.as_str()))
        })
    };
    if let Some((table, i, _)) = columns().find(|(_, _, column)| *column == name) {
        return Ok((table, i));
    }
    let candidates: Vec<_> = columns()
        .filter(|(_, _, column)| column.rsplit_once('/').is_some_and(|(_, last)| last == name))
        .collect();
    match candidates[..] {
        [(table, i, _)] => Ok((table, i)),
        [] => {
            let metric_columns =
                columns().map(|(_, _, column)| column).filter(|column| !COUNTERS.contains(column));
            Err(PlotError::UnknownMetric {
                metric: name.to_owned(),
                dir: run_dir.to_path_buf(),
                available: metric_columns.map(str::to_owned).collect(),
            })
        }
        _ => Err(PlotError::AmbiguousMetric {
            metric: name.to_owned(),
            candidates: candidates.iter().map(|(_, _, column)| (*column).to_owned()).collect(),
        }),
    }
}

/// A file of comma-separated values, as text.
struct Table {
    path: std::path::PathBuf,
    columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl Table {
    fn read(path: &Path) -> Result<Self, PlotError> {
        let file = std::fs::File::open(path).map_err(|source| PlotError::Io {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let failed = |source| PlotError::Csv { path: path.to_path_buf(), source };
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(std::io::BufReader::new(file));
        let columns = reader.headers().map_err(failed)?.iter().map(str::to_owned).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), columns, rows })
    }

    fn read_if_there(path: &Path) -> Result<Option<Self>, PlotError> {
        if path.exists() { Self::read(path).map(Some) } else { Ok(None) }
    }

    /// The index of a column that every such file has.
    fn counter(&self, name: &str) -> Result<usize, PlotError> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| PlotError::UnknownMetric {
            metric: name.to_owned(),
            dir: self.path.clone(),
            available: self.columns.clone(),
        })
    }

    /// The numbers of a column by iteration; of an iteration that occurs twice the later row counts.
    fn by_iteration(&self, column: usize) -> Result<BTreeMap<u64, f64>, PlotError> {
        let iteration = self.counter(ITERATION)?;
        let mut numbers = BTreeMap::new();
        for row in &self.rows {
            if let (Some(iteration), Some(number)) = (self.number(row, iteration)?, self.number(row, column)?)
            {
                numbers.insert(iteration as u64, number);
            }
        }
        Ok(numbers)
    }

    /// A number of a row; none if the field is empty.
    fn number(&self, row: &csv::StringRecord, column: usize) -> Result<Option<f64>, PlotError> {
        match row.get(column) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| PlotError::BadNumber {
                path: self.path.clone(),
                line: row.position().map_or(0, csv::Position::line),
                column: self.columns[column].clone(),
                value: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const METRICS_TEXT: &str = "\
iteration,global_step,updates,charts/episodic_return,losses/value_loss,other/value_loss
1,100,4,,0.5,1
2,200,8,21.5,0.25,2
3,300,12,NaN,0.125,3
4,400,16,30,0.0625,4
";
    const TIMING_TEXT: &str = "\
iteration,global_step,seconds,steps_per_second
1,100,0.5,200
2,200,1.25,190
4,400,2.5,180
";

    #[test]
    fn columns_have_a_number_a_row_and_nan_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        fs::write(&path, METRICS_TEXT).unwrap();
        let columns = load_columns(&path).unwrap();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..3], ["iteration", "global_step", "updates"]);
        assert_eq!(columns[1].1, [100.0, 200.0, 300.0, 400.0]);
        assert!(columns[3].1[0].is_nan() && columns[3].1[2].is_nan() && columns[3].1[3] == 30.0);
        fs::write(&path, "iteration\nfew\n").unwrap();
        assert!(load_columns(&path).unwrap_err().to_string().contains("few"));
    }

    fn run_dir(dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(METRICS), METRICS_TEXT).unwrap();
        fs::write(dir.join(TIMING), TIMING_TEXT).unwrap();
    }

    #[test]
    fn metrics_are_found_by_full_name_or_last_part() {
        let dir = tempfile::tempdir().unwrap();
        run_dir(dir.path());
        let load = |y| load_series(dir.path(), XAxis::Steps, y).unwrap();
        assert_eq!(load("losses/value_loss"), [(100.0, 0.5), (200.0, 0.25), (300.0, 0.125), (400.0, 0.0625)]);
        let returns = load("episodic_return");
        assert_eq!((returns[0], returns[2]), ((200.0, 21.5), (400.0, 30.0)));
        assert!(returns[1].1.is_nan() && returns.len() == 3);
        assert_eq!(load("steps_per_second"), [(100.0, 200.0), (200.0, 190.0), (400.0, 180.0)]);
    }

    #[test]
    fn evaluations_are_a_metric_of_the_iterations_that_have_one() {
        let dir = tempfile::tempdir().unwrap();
        run_dir(dir.path());
        let text =
            "iteration,global_step,eval/episodes,eval/mean_return\n2,200,20,50\n3,300,20,60\n4,400,20,70.5\n";
        fs::write(dir.path().join(EVALUATIONS), text).unwrap();
        let load = |x| load_series(dir.path(), x, "eval/mean_return").unwrap();
        assert_eq!(load(XAxis::Steps), [(200.0, 50.0), (300.0, 60.0), (400.0, 70.5)]);
        // The third iteration has no row of times; the next one stands for it.
        assert_eq!(load(XAxis::Seconds), [(1.25, 50.0), (2.5, 60.0), (2.5, 70.5)]);
        assert_eq!(load(XAxis::Updates), [(8.0, 50.0), (12.0, 60.0), (16.0, 70.5)]);
    }

    #[test]
    fn axes_are_joined_on_the_iteration() {
        let dir = tempfile::tempdir().unwrap();
        run_dir(dir.path());
        assert_eq!(
            load_series(dir.path(), XAxis::Seconds, "losses/value_loss").unwrap(),
            [(0.5, 0.5), (1.25, 0.25), (2.5, 0.0625)]
        );
        assert_eq!(
            load_series(dir.path(), XAxis::Updates, "steps_per_second").unwrap(),
            [(4.0, 200.0), (8.0, 190.0), (16.0, 180.0)]
        );
    }

    #[test]
    fn unknown_and_ambiguous_metrics_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        run_dir(dir.path());
        let error = load_series(dir.path(), XAxis::Steps, "return").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "no metric `return` in {}, there are: charts/episodic_return, losses/value_loss, other/value_loss, \
                 seconds, steps_per_second",
                dir.path().display()
            )
        );
        let error = load_series(dir.path(), XAxis::Steps, "value_loss").unwrap_err();
        assert_eq!(
            error.to_string(),
            "metric `value_loss` could be any of: losses/value_loss, other/value_loss"
        );
    }

    #[test]
    fn damaged_files_are_named_with_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(METRICS);
        fs::write(&path, "iteration,global_step,updates,x\n1,100,4,0.5\n2,2OO,8,0.5\n").unwrap();
        let error = load_series(dir.path(), XAxis::Steps, "x").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}:3: global_step must be a number, got `2OO`", path.display())
        );

        fs::write(&path, "iteration,global_step,updates,x\n1,100,4\n").unwrap();
        assert!(matches!(load_series(dir.path(), XAxis::Steps, "x"), Err(PlotError::Csv { .. })));
    }

    #[test]
    fn missing_timing_matters_only_where_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        run_dir(dir.path());
        fs::remove_file(dir.path().join(TIMING)).unwrap();
        assert!(load_series(dir.path(), XAxis::Steps, "episodic_return").is_ok());
        let error = load_series(dir.path(), XAxis::Seconds, "episodic_return").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", dir.path().join(TIMING).display()));
    }

    #[test]
    fn experiments_give_one_run_a_seed() {
        let dir = tempfile::tempdir().unwrap();
        let experiment = dir.path().join("ppo-cartpole");
        for name in ["seed_1", "seed_2", "seed_10", "notes"] {
            run_dir(&experiment.join(name));
        }
        let curve = load_curve(&experiment, XAxis::Steps, "episodic_return", None).unwrap();
        assert_eq!((curve.label.as_str(), curve.runs.len()), ("ppo-cartpole", 3));

        let run = load_curve(&experiment.join("seed_1"), XAxis::Steps, "episodic_return", Some("PPO".into()))
            .unwrap();
        assert_eq!((run.label.as_str(), run.runs.len()), ("PPO", 1));
    }

    #[test]
    fn directories_without_runs_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let error = load_curve(dir.path(), XAxis::Steps, "x", None).unwrap_err();
        assert!(error.to_string().ends_with("holds neither metrics.csv nor directories seed_1, seed_2, ..."));
        assert!(matches!(
            load_curve(&dir.path().join("missing"), XAxis::Steps, "x", None),
            Err(PlotError::Io { action: "read", .. })
        ));
    }
}
