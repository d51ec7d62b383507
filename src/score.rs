//! The score of a finished run: one number that runs are compared by.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use agon_envs::{EnvSpec, Registry};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::RunConfig;
use crate::plot::{self, XAxis};
use crate::run::RunDirectory;
use crate::run::written::{self, steps_done};
use crate::sinks::{RECENT_EPISODES, RETURN_METRIC};
use crate::stats;

/// The metric of evaluations.
pub const EVALUATION_METRIC: &str = "eval/mean_return";

/// What a run's score is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The mean return of the evaluation at the run's end.
    FinalEvaluation,
    /// The mean return of the last 100 training episodes.
    #[serde(alias = "last_100")]
    Last100,
    /// The last value of a metric by its name, such as the environment's own `env/success`.
    Metric(String),
}

impl Measure {
    /// Reads `evaluation`, `training` or the name of a metric; none for `auto`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => None,
            "evaluation" => Some(Self::FinalEvaluation),
            "training" => Some(Self::Last100),
            metric => Some(Self::Metric(metric.to_owned())),
        }
    }

    /// What it is, for tables.
    pub fn label(&self) -> String {
        match self {
            Self::FinalEvaluation => "mean return of the final evaluation".to_owned(),
            Self::Last100 => "mean return of the last 100 training episodes".to_owned(),
            Self::Metric(name) => format!("last value of {name}"),
        }
    }

    /// The metric that it is the last value of.
    pub fn metric(&self) -> &str {
        match self {
            Self::FinalEvaluation => EVALUATION_METRIC,
            Self::Last100 => RETURN_METRIC,
            Self::Metric(name) => name,
        }
    }

    /// What the metric is called on an axis.
    pub fn axis(&self) -> &str {
        match self {
            Self::FinalEvaluation => "mean return of evaluations",
            Self::Last100 => "mean return of the last 100 episodes",
            Self::Metric(name) => name,
        }
    }
}

/// The score of a run that has taken `env_steps` at least, at that point; what comes after does not matter. None if
/// there was nothing to score by then.
///
/// An evaluation counts from the first iteration on that reached the steps, which there is one of if they are a multiple
/// of `eval.every`.
///
/// # Errors
/// If the run's files cannot be read or have no such metric.
pub fn at(path: &Path, measure: &Measure, env_steps: u64) -> Result<Option<f64>, RunError> {
    let steps = env_steps as f64;
    if *measure != Measure::Last100 {
        let series = plot::load_series(path, XAxis::Steps, measure.metric())?;
        let reached = series.iter().find(|&&(at, _)| at >= steps).or(series.last());
        return Ok(reached.map(|&(_, score)| score));
    }
    // Rows of metrics may lie on both sides of the point; episodes say exactly when they ended.
    let ended = written::episodes(path)?.into_iter().take_while(|&(at, _)| at <= steps);
    let returns: Vec<f64> = ended.map(|(_, episode_return)| episode_return).collect();
    let recent = &returns[returns.len().saturating_sub(RECENT_EPISODES)..];
    Ok((!recent.is_empty()).then(|| stats::mean(recent)))
}

/// The environment of a configuration, which scores its experiments.
///
/// # Errors
/// If it has no score of its own, or its arguments do not fit.
pub fn experiment<'a>(registry: &'a Registry, config: &RunConfig) -> Result<Cow<'a, EnvSpec>, RunError> {
    let spec = registry.get(&config.env.id)?;
    match spec.score_of(&config.env.args, &[])? {
        Some(_) => Ok(spec),
        None => {
            let message = format!("expected an environment with a score of its own, got {}", spec.id());
            Err(RunError::Config(message))
        }
    }
}

/// The score that a run's environment gives its first episodes.
///
/// # Errors
/// As [`experiment`], or if the run's episodes cannot be read or are fewer.
pub fn of_experiment(
    registry: &Registry,
    path: &Path,
    config: &RunConfig,
    episodes: usize,
) -> Result<f64, RunError> {
    let spec = experiment(registry, config)?;
    let returns: Vec<f64> = written::episodes(path)?
        .into_iter()
        .take(episodes)
        .map(|(_, episode_return)| episode_return)
        .collect();
    if returns.len() < episodes {
        let message = format!("expected {episodes} episodes to score, found {}", returns.len());
        return Err(RunError::Directory { path: path.to_owned(), message });
    }
    Ok(spec.score_of(&config.env.args, &returns)?.unwrap_or(f64::NAN))
}

/// The scores of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunScores {
    /// The run's directory.
    pub path: PathBuf,
    /// Its configuration, complete.
    pub config: RunConfig,
    /// Mean return of the final evaluation; none without evaluations.
    pub final_evaluation: Option<f64>,
    /// Mean return of the last 100 training episodes; none if no episode has ended.
    pub last_100: Option<f64>,
}

impl RunScores {
    /// Reads the scores of a finished run.
    ///
    /// # Errors
    /// If there is no run or it has not come to its end.
    pub fn load(path: &Path) -> Result<Self, RunError> {
        let (_, config) = RunDirectory::open(path)?;
        let steps = steps_done(path)?;
        if steps < config.total_timesteps {
            let message = format!(
                "expected a finished run, found one after {steps} of {} steps: continue it with `agon resume`",
                config.total_timesteps
            );
            return Err(RunError::Directory { path: path.to_owned(), message });
        }
        let last = |metric| -> Result<Option<f64>, RunError> {
            let series = plot::load_series(path, XAxis::Steps, metric)?;
            Ok(series.last().map(|&(_, value)| value).filter(|value| value.is_finite()))
        };
        let final_evaluation = if config.eval.is_on() { last(EVALUATION_METRIC)? } else { None };
        Ok(Self { path: path.to_owned(), final_evaluation, last_100: last(RETURN_METRIC)?, config })
    }

    /// The score by a measure.
    ///
    /// # Errors
    /// If the run has none.
    pub fn get(&self, measure: &Measure) -> Result<f64, RunError> {
        let (score, expected) = match measure {
            Measure::Metric(name) => {
                let series = plot::load_series(&self.path, XAxis::Steps, name)?;
                (
                    series.last().map(|&(_, value)| value),
                    "a run with a value of the metric, found one without",
                )
            }
            Measure::FinalEvaluation => {
                (self.final_evaluation, "a run with evaluations (`--eval-every`), found one without")
            }
            Measure::Last100 => (self.last_100, "a run with ended episodes, found one without"),
        };
        score.ok_or_else(|| RunError::Directory {
            path: self.path.clone(),
            message: format!("expected {expected}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn run(directory: &Path, total: u64, every: u64) {
        let mut config = RunConfig { total_timesteps: total, ..RunConfig::default() };
        config.env.id = "CartPole-v1".to_owned();
        config.eval.every = every;
        fs::write(directory.join("config.toml"), toml::to_string(&config).unwrap()).unwrap();
        let metrics =
            "iteration,global_step,updates,episodes,charts/episodic_return\n1,50,1,0,\n2,100,2,3,21.5\n";
        fs::write(directory.join("metrics.csv"), metrics).unwrap();
        fs::write(
            directory.join("evaluations.csv"),
            "iteration,global_step,eval/mean_return\n1,50,3\n2,100,90\n",
        )
        .unwrap();
    }

    #[test]
    fn scores_are_the_last_rows() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 100, 50);
        let scores = RunScores::load(directory.path()).unwrap();
        assert_eq!(scores.get(&Measure::FinalEvaluation).unwrap(), 90.0);
        assert_eq!(scores.get(&Measure::Last100).unwrap(), 21.5);
    }

    #[test]
    fn scores_on_the_way_do_not_know_what_comes_after() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 100, 50);
        let mut text = "episode,global_step,env,episodic_return,episodic_length\n".to_owned();
        for episode in 1..=300 {
            text.push_str(&format!("{episode},{},0,{episode},9\n", 10 * episode));
        }
        fs::write(directory.path().join("episodes.csv"), text + "301,3010,0,9").unwrap();
        let at = |measure, steps| super::at(directory.path(), &measure, steps).unwrap();
        assert_eq!(
            [10, 50, 51, 1000].map(|steps| at(Measure::FinalEvaluation, steps)),
            [3.0, 3.0, 90.0, 90.0].map(Some)
        );
        // Episodes 1 to 3; the last hundred of 200; of all that are whole.
        let expected = [None, Some(2.0), Some(150.5), Some(250.5)];
        assert_eq!([9, 39, 2000, 9999].map(|steps| at(Measure::Last100, steps)), expected);
    }

    #[test]
    fn unfinished_runs_and_missing_evaluations_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 101, 0);
        let message = RunScores::load(directory.path()).unwrap_err().to_string();
        assert!(message.contains("after 100 of 101 steps"), "{message}");
        run(directory.path(), 100, 0);
        let scores = RunScores::load(directory.path()).unwrap();
        let message = scores.get(&Measure::FinalEvaluation).unwrap_err().to_string();
        assert!(message.contains("expected a run with evaluations"), "{message}");
    }
}
