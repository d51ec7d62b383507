//! Signs of reward hacking in the log of a run: a return that rises while what it stands for falls.
//!
//! # Source
//! Amodei et al. 2016, arXiv:1606.06565; Pan, Bhatia and Steinhardt 2022, arXiv:2201.03544, section 3: a proxy reward that rises
//! while the true one falls.

use std::path::Path;

use serde::Serialize;

use crate::RunError;
use crate::plot::load_columns;
use crate::stats;

/// What the columns of an environment's own metrics begin with.
const METRICS: &str = "env/";
/// Episodes of the first and of the last part that are compared, as a share of all.
const PART: f64 = 0.25;
/// The fewest episodes of a part.
const FEWEST: usize = 10;

/// A metric that went the other way than the return.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspicion {
    /// The metric.
    pub metric: String,
    /// Whether more of it was said to be better; if nothing was said, true.
    pub higher_is_better: bool,
    /// Mean return of the first and of the last quarter of the episodes.
    pub returns: [f64; 2],
    /// Mean of the metric in the same.
    pub values: [f64; 2],
}

/// A metric of the task, and whether more of it is better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMetric {
    /// Its name in the log.
    pub name: String,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl TaskMetric {
    /// From `success`, or `-missed` for one of which less is better.
    pub fn parse(text: &str) -> Self {
        let name = text.strip_prefix('-').unwrap_or(text).to_owned();
        Self { name, higher_is_better: !text.starts_with('-') }
    }
}

/// Looks for metrics that got worse, clearly so, while the return clearly rose; without any named, at all metrics of the log, as
/// if more of each were better.
///
/// Clearly is where Welch's interval of 95 % of the difference between the last and the first quarter of all episodes does not
/// reach zero. Episodes of a run depend on each other: it is a sign and no proof.
///
/// # Errors
/// If the log cannot be read, or has no metric of a name.
pub fn detect(run: &Path, metrics: &[TaskMetric]) -> Result<Vec<Suspicion>, RunError> {
    let columns = load_columns(&run.join("episodes.csv"))?;
    let column = |name: &str| columns.iter().find(|(found, _)| found == name).map(|(_, values)| values);
    let Some(returns) = column("episodic_return") else { return Ok(Vec::new()) };
    let all: Vec<TaskMetric> = columns
        .iter()
        .filter_map(|(name, _)| name.strip_prefix(METRICS))
        .map(|name| TaskMetric { name: name.to_owned(), higher_is_better: true })
        .collect();
    let asked = if metrics.is_empty() { &all } else { metrics };
    let mut suspicions = Vec::new();
    for TaskMetric { name, higher_is_better } in asked {
        let Some(values) = column(&format!("{METRICS}{name}")) else {
            let known = all.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(RunError::Config(format!("no metric `{name}` in the log, there are: {known}")));
        };
        suspicions.extend(suspicion(returns, values, name, *higher_is_better));
    }
    Ok(suspicions)
}

fn suspicion(returns: &[f64], values: &[f64], name: &str, higher_is_better: bool) -> Option<Suspicion> {
    let known: Vec<(f64, f64)> =
        returns.iter().copied().zip(values.iter().copied()).filter(|(_, value)| value.is_finite()).collect();
    let part = (known.len() as f64 * PART) as usize;
    if part < FEWEST {
        return None;
    }
    let (first, last) = (&known[..part], &known[known.len() - part..]);
    let of = |pairs: &[(f64, f64)]| -> [Vec<f64>; 2] {
        [pairs.iter().map(|(value, _)| *value).collect(), pairs.iter().map(|(_, value)| *value).collect()]
    };
    let ([first_returns, first_values], [last_returns, last_values]) = (of(first), of(last));
    let (rise, _) = difference(&first_returns, &last_returns);
    let (low, high) = difference(&first_values, &last_values);
    let worse = if higher_is_better { high < 0.0 } else { low > 0.0 };
    let mean = stats::mean;
    (rise > 0.0 && worse).then(|| Suspicion {
        metric: name.to_owned(),
        higher_is_better,
        returns: [mean(&first_returns), mean(&last_returns)],
        values: [mean(&first_values), mean(&last_values)],
    })
}

/// Welch's interval of 95 % of how much the second mean is above the first, with the normal quantile: parts are large.
fn difference(first: &[f64], last: &[f64]) -> (f64, f64) {
    const NORMAL: f64 = 1.96;
    let error = |values: &[f64]| stats::sample_std(values).powi(2) / values.len() as f64;
    let (middle, half) =
        (stats::mean(last) - stats::mean(first), NORMAL * (error(first) + error(last)).sqrt());
    (middle - half, middle + half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(metric: impl Fn(usize) -> f64) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut text = "episode,global_step,env,episodic_return,episodic_length,env/success\n".to_owned();
        for i in 0..200 {
            // Rises from 0 to 20, with a little noise.
            let noise = (i * 7919 % 13) as f64 / 13.0;
            let (episode_return, success) = (i as f64 / 10.0 + noise, metric(i) + 0.1 * noise);
            text += &format!("{i},{},0,{episode_return},10,{success}\n", 10 * i);
        }
        std::fs::write(directory.path().join("episodes.csv"), text).unwrap();
        directory
    }

    #[test]
    fn a_metric_that_falls_while_the_return_rises_is_told() {
        let directory = log(|i| 1.0 - i as f64 / 200.0);
        let found = detect(directory.path(), &[]).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].metric, "success");
        assert!(found[0].returns[1] > found[0].returns[0] + 10.0);
        assert!(found[0].values[1] < found[0].values[0] - 0.5);
    }

    #[test]
    fn one_that_rises_or_stays_is_not() {
        assert!(detect(log(|i| i as f64 / 200.0).path(), &[]).unwrap().is_empty());
        assert!(detect(log(|_| 0.5).path(), &[]).unwrap().is_empty());
        // Of which less is better, a rise is worse.
        let falls = [TaskMetric::parse("-success")];
        assert_eq!(detect(log(|i| i as f64 / 200.0).path(), &falls).unwrap().len(), 1);
        let unknown = [TaskMetric::parse("safety")];
        let error = detect(log(|_| 0.5).path(), &unknown).unwrap_err().to_string();
        assert!(error.contains("no metric `safety`") && error.contains("success"), "{error}");
    }
}
