//! What is recorded of an entry: small files that are committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Measured};
use crate::RunError;
use crate::config::RunConfig;
use crate::error::AtPath;
use crate::evaluate::{EvalOptions, evaluate};
use crate::jobs::seconds_taken;
use crate::plot::{self, Curve, XAxis};
use crate::run::directory::{CONFIG, write_atomically};
use crate::run::written::steps_done;
use crate::runtime::Setup;
use crate::score::{self, RunScores};
use crate::sinks::RETURN_METRIC;

/// Points of a recorded curve, for each seed.
const CURVE_POINTS: usize = 400;
/// Significant digits of a recorded curve: more than a picture shows.
const CURVE_DIGITS: usize = 5;
const SCORES: &str = "scores.csv";
const CURVE: &str = "curve.csv";

/// What is recorded of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The configuration, with the first seed.
    pub config: RunConfig,
    /// One row a seed.
    pub seeds: Vec<SeedScore>,
    /// Points (environment steps, mean return of the last 100 episodes) of each seed.
    pub curves: Vec<Vec<(f64, f64)>>,
}

/// A row of `scores.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedScore {
    /// The seed.
    pub seed: u64,
    /// Its score.
    pub score: f64,
    /// Settings that are its own, on one line; see [`Entry::each_seed`].
    #[serde(default)]
    pub settings: String,
    /// How it was scored: [`Measured::label`].
    pub measure: String,
    /// Environment steps that it was trained for.
    pub env_steps: u64,
    /// Seconds of training.
    pub wall_s: f64,
    /// Environment steps a second.
    pub steps_per_second: f64,
    /// Runs that shared the machine, this one included.
    pub runs_at_once: usize,
    /// Processor, cores, instruction set.
    pub machine: String,
}

/// A row of `curve.csv`.
#[derive(Debug, Serialize, Deserialize)]
struct CurveRow {
    seed: u64,
    global_step: u64,
    episodic_return: f64,
}

impl Reference {
    /// Scores finished runs, the first one's seed first.
    pub(super) fn measure(
        setup: &Setup,
        entry: &Entry,
        runs: &[PathBuf],
        runs_at_once: usize,
        machine: &str,
    ) -> Result<Self, RunError> {
        let mut config = entry.config(setup)?;
        let mut seeds = Vec::new();
        let mut curves = Vec::new();
        for path in runs {
            let scores = RunScores::load(path)?;
            config.made_by.clone_from(&scores.config.made_by);
            let value = match entry.measure {
                Measured::Last100 {} => scores.get(&score::Measure::Last100)?,
                Measured::Experiment { episodes } => {
                    score::of_experiment(&setup.registry, path, &scores.config, episodes)?
                }
                Measured::FinalEvaluation { episodes, stochastic } => {
                    let options = EvalOptions { episodes, stochastic, ..EvalOptions::default() };
                    evaluate(setup, path, &options)?.mean_return
                }
            };
            let (env_steps, wall_s) = (steps_done(path)?, seconds_taken(path)?);
            seeds.push(SeedScore {
                seed: scores.config.seed,
                score: value,
                settings: one_line(&entry.own_settings(scores.config.seed)),
                measure: entry.measure.label(),
                env_steps,
                wall_s: (wall_s * 100.0).round() / 100.0,
                steps_per_second: (env_steps as f64 / wall_s).round(),
                runs_at_once,
                machine: machine.to_owned(),
            });
            let series = plot::load_series(path, XAxis::Steps, RETURN_METRIC)?;
            curves.push(thinned(&series));
        }
        Ok(Self { config, seeds, curves })
    }

    /// Whether this is what an entry asks for.
    pub(super) fn is_of(&self, setup: &Setup, entry: &Entry, wanted: &RunConfig) -> bool {
        let seeds = (1..=entry.seeds).eq(self.seeds.iter().map(|row| row.seed));
        let measure = self.seeds.iter().all(|row| row.measure == entry.measure.label());
        let own = self.seeds.iter().all(|row| row.settings == one_line(&entry.own_settings(row.seed)));
        // Settings that came later have their defaults; settings that are gone make it another configuration.
        let mut recorded = self.config.clone();
        let resolved = recorded.resolve(&setup.registry, &setup.algorithms);
        seeds && measure && own && resolved.is_ok() && wanted.first_difference(&recorded).is_none()
    }

    /// Reads what is recorded in a directory; none if nothing is.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, RunError> {
        if !path.join(SCORES).exists() {
            return Ok(None);
        }
        let config = RunConfig::load(&path.join(CONFIG))?;
        let seeds: Vec<SeedScore> = read_csv(&path.join(SCORES))?;
        let mut by_seed: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
        for row in read_csv::<CurveRow>(&path.join(CURVE))? {
            by_seed.entry(row.seed).or_default().push((row.global_step as f64, row.episodic_return));
        }
        let curves = seeds.iter().map(|row| by_seed.remove(&row.seed).unwrap_or_default()).collect();
        Ok(Some(Self { config, seeds, curves }))
    }

    /// Writes `config.toml`, `curve.csv` and, last, `scores.csv`: where there are scores all is recorded.
    pub(super) fn write(&self, path: &Path) -> Result<(), RunError> {
        std::fs::create_dir_all(path).at("cannot create", path)?;
        let text = toml::to_string(&self.config).map_err(|error| RunError::Config(error.to_string()))?;
        write_atomically(&path.join(CONFIG), text.as_bytes())?;
        let rows = self.seeds.iter().zip(&self.curves).flat_map(|(row, curve)| {
            let seed = row.seed;
            curve.iter().map(move |&(step, episodic_return)| CurveRow {
                seed,
                global_step: step as u64,
                episodic_return,
            })
        });
        write_csv(&path.join(CURVE), rows)?;
        write_csv(&path.join(SCORES), self.seeds.iter())
    }

    /// The scores of all seeds.
    pub fn scores(&self) -> Vec<f64> {
        self.seeds.iter().map(|row| row.score).collect()
    }

    /// The learning curve.
    pub fn curve(&self, label: String) -> Curve {
        Curve { label, runs: self.curves.clone() }
    }
}

/// A table of settings in one line.
fn one_line(settings: &toml::Table) -> String {
    let pairs = settings.iter().map(|(key, value)| format!("{key} = {value}"));
    pairs.collect::<Vec<_>>().join(", ")
}

/// The last point of each of many equal stretches of x, with few digits.
fn thinned(series: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = series.iter().copied().filter(|(_, y)| y.is_finite()).collect();
    let end = finite.last().map_or(1.0, |&(x, _)| x);
    let stretch = |x: f64| (x / end * CURVE_POINTS as f64).ceil() as u64;
    let few_digits = |y: f64| format!("{y:.*e}", CURVE_DIGITS - 1).parse().unwrap_or(y);
    let chunks = finite.chunk_by(|a, b| stretch(a.0) == stretch(b.0));
    chunks.filter_map(|chunk| chunk.last()).map(|&(x, y)| (x, few_digits(y))).collect()
}

fn read_csv<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, RunError> {
    let failed = |error: csv::Error| RunError::Config(format!("{}: {error}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(failed)?;
    reader.deserialize().collect::<Result<_, _>>().map_err(failed)
}

fn write_csv<T: Serialize>(path: &Path, rows: impl Iterator<Item = T>) -> Result<(), RunError> {
    let failed = |error: &dyn std::fmt::Display| RunError::Config(format!("{}: {error}", path.display()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thin_curves_keep_their_end_and_short_ones_everything() {
        let long: Vec<(f64, f64)> = (1..=10_000).map(|i| (f64::from(i), f64::from(i) / 3.0)).collect();
        let thin = thinned(&long);
        assert_eq!(thin.len(), CURVE_POINTS);
        assert_eq!((thin[0], thin[CURVE_POINTS - 1]), ((25.0, 8.3333), (10_000.0, 3333.3)));
        let short = [(1.0, f64::NAN), (2.0, 1.5), (3.0, 2.5)];
        assert_eq!(thinned(&short), short[1..]);
    }
}
