//! Generalisation over contexts: what policies return where the physics of their environment is what they were trained in, and
//! where it is not.
//!
//! Each cell of a grid of one or two quantities is an evaluation in the policy's own environment with these as arguments;
//! everything else of it stays, what it shows of its context included. Cells within the range that episodes of training drew
//! from are interpolation, the others extrapolation.

mod axis;
mod report;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use axis::Axis;

use crate::evaluate::{EvalOptions, evaluate_in};
use crate::page::Page;
use crate::policy::{self, Card, Which};
use crate::setup::Setup;
use crate::stats::{Estimate, Resamples, Resampling, mean};
use crate::{RunError, experiment};

/// The most cells of a grid.
const MOST_CELLS: usize = 10_000;

/// What is varied, and where the page goes.
#[derive(Clone, Debug)]
pub struct ContextOptions {
    /// The folder of the page, which is created.
    pub out: PathBuf,
    /// One or two quantities; the first goes along the rows of a map, from left to right.
    pub axes: Vec<Axis>,
    /// Episodes of each policy in each cell; at least 1.
    pub episodes: usize,
    /// Seed of the episodes, the same in every cell.
    pub seed: u64,
    /// Another run, experiment or weight file, for a map beside it.
    pub beside: Option<PathBuf>,
}

impl ContextOptions {
    fn validate(&self) -> Result<(), RunError> {
        let wrong =
            |what: &str, found: String| Err(RunError::Config(format!("expected {what}, got {found}")));
        if !(1..=2).contains(&self.axes.len()) {
            return wrong("one or two quantities", self.axes.len().to_string());
        }
        if let [first, second] = &self.axes[..]
            && first.argument == second.argument
        {
            return wrong("two different quantities", format!("`{}` twice", first.argument));
        }
        let cells = self.axes.iter().map(|axis| axis.values.len()).product::<usize>();
        if cells > MOST_CELLS {
            return wrong(&format!("at most {MOST_CELLS} cells"), cells.to_string());
        }
        Ok(())
    }

    /// The values of the second quantity; nothing in a place of its own without one.
    fn rows(&self) -> Vec<Option<f64>> {
        self.axes.get(1).map_or(vec![None], |axis| axis.values.iter().copied().map(Some).collect())
    }
}

/// What some policies return over a grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContextMap {
    /// The policies: the seeds of an experiment, or one.
    pub policies: usize,
    /// What each quantity was in training, as smallest and largest value; none where it had its standard value.
    pub trained: Vec<Option<[f64; 2]>>,
    /// `[second quantity][first quantity]`: mean returns over episodes and policies.
    pub returns: Vec<Vec<f64>>,
    /// Cells within what was trained on.
    pub inside: usize,
    /// The mean return over those, with an interval over policies (5,000 bootstrap resamples, 95 %); none if there are none.
    pub interpolation: Option<Estimate>,
    /// The same of all others.
    pub extrapolation: Option<Estimate>,
}

/// Maps the policies of a run, an experiment or a weight file, and gives what was found, a sentence each.
///
/// # Errors
/// If the options are out of range, a policy cannot be loaded, the environment has no such quantity or fails, or a file cannot
/// be written.
pub fn contexts(setup: &Setup, path: &Path, options: &ContextOptions) -> Result<Vec<String>, RunError> {
    let (card, own) = map(setup, path, options)?;
    let beside =
        options.beside.as_ref().map(|other| Ok::<_, RunError>((other, map(setup, other, options)?.1)));
    let beside = beside.transpose()?;
    let mut page = Page::new(&options.out, "contexts", "in other contexts", &card)?;
    let beside = beside.as_ref().map(|(path, map)| (path.as_path(), map));
    report::write(&mut page, (path, &own), beside, options)?;
    page.finish()
}

/// As [`contexts`] for one path, without a page; also gives what the first policy is.
///
/// # Errors
/// As [`contexts`].
pub fn map(setup: &Setup, path: &Path, options: &ContextOptions) -> Result<(Card, ContextMap), RunError> {
    options.validate()?;
    let paths = if path.is_dir() { experiment::find_runs(path)? } else { vec![path.to_owned()] };
    let eval = EvalOptions { episodes: options.episodes, seed: Some(options.seed), ..EvalOptions::default() };
    let (columns, rows) = (options.axes[0].values.clone(), options.rows());
    let mut of_policies = Vec::new();
    let mut first: Option<Card> = None;
    for path in &paths {
        let trained = policy::load_which(setup, path, Which::Newest)?;
        let mut env = trained.card().env.clone();
        let mut returns = Vec::new();
        for row in &rows {
            for column in &columns {
                for (axis, value) in options.axes.iter().zip([Some(*column), *row]) {
                    if let Some(value) = value {
                        env.args.insert(axis.argument.clone(), value.into());
                    }
                }
                returns.push(evaluate_in(setup, &trained, &env, &eval)?.mean_return);
            }
        }
        of_policies.push(returns);
        first.get_or_insert_with(|| trained.card().clone());
    }
    let Some(card) = first else {
        return Err(RunError::Config(format!("{} has no runs", path.display())));
    };
    let args = &card.env.args;
    let trained: Vec<Option<[f64; 2]>> = options.axes.iter().map(|axis| axis.trained(args)).collect();
    let is_inside = |cell: usize| {
        let at = [Some(columns[cell % columns.len()]), rows[cell / columns.len()]];
        trained.iter().zip(at).all(|(range, value)| match (range, value) {
            (Some([low, high]), Some(value)) => (*low..=*high).contains(&value),
            _ => false,
        })
    };
    let inside: Vec<bool> = (0..columns.len() * rows.len()).map(is_inside).collect();
    let over = |wanted: bool| {
        let of_policy = |returns: &Vec<f64>| {
            let own = returns.iter().zip(&inside).filter(|(_, inside)| **inside == wanted);
            mean(&own.map(|(value, _)| *value).collect::<Vec<_>>())
        };
        let means: Vec<f64> = of_policies.iter().map(of_policy).collect();
        let resampling = Resampling { resamples: 5000, seed: 0 };
        inside.contains(&wanted).then(|| Resamples::new(means.len(), resampling).mean(&means))
    };
    let cell = |cell: usize| mean(&of_policies.iter().map(|returns| returns[cell]).collect::<Vec<_>>());
    let cells: Vec<f64> = (0..inside.len()).map(cell).collect();
    let map = ContextMap {
        policies: of_policies.len(),
        returns: cells.chunks(columns.len()).map(<[f64]>::to_vec).collect(),
        inside: inside.iter().filter(|inside| **inside).count(),
        interpolation: over(true),
        extrapolation: over(false),
        trained,
    };
    Ok((card, map))
}

#[cfg(test)]
mod tests;
