//! Model cards: what a trained policy is, how it was measured, and what it is not for.
//!
//! A card is the `README.md` of a model, with the front matter that the Hugging Face Hub reads of policies. Its numbers are
//! measured when it is written, by evaluations of the weights that it is about; what was not measured stands there as not
//! measured.

mod front_matter;
mod limits;
mod text;

use std::path::Path;

use agon_envs::Registry;

use crate::RunError;
use crate::config::RunConfig;
use crate::evaluate::{EvalOptions, Evaluation, evaluate_in};
use crate::experiment;
use crate::hash;
use crate::jobs::seconds_taken;
use crate::policy::{self, Card, Which};
use crate::provenance::{self, Record};
use crate::run::RunDirectory;
use crate::score::RunScores;
use crate::setup::Setup;
use crate::stats::{Estimate, Resamples, Resampling};
pub use limits::{Limit, Shift};

/// Watts that a machine is taken to draw where nobody says otherwise: a desktop processor at work.
pub const ASSUMED_WATTS: f64 = 65.0;

/// What a card says beside what was measured, and how it is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct CardOptions {
    /// The licence of the weights; none if nobody states one.
    pub license: Option<String>,
    /// Episodes of each evaluation.
    pub episodes: usize,
    /// Of a run, the best weights instead of the newest.
    pub best: bool,
    /// Watts that the machine drew while it trained; [`ASSUMED_WATTS`] if nobody has measured them.
    pub watts: Option<f64>,
    /// Other arguments of the environment that the policy is tried with.
    pub shifts: Vec<Shift>,
}

impl Default for CardOptions {
    fn default() -> Self {
        Self { license: None, episodes: 100, best: false, watts: None, shifts: Vec::new() }
    }
}

/// What is told of a model.
#[derive(Clone, Debug)]
pub struct ModelCard {
    config: RunConfig,
    policy: Card,
    /// The weight file's name, and the SHA-256 of its content.
    weights: (String, String),
    /// One sentence of the environment, and the mean return at which it counts as solved.
    env: (String, Option<f64>),
    evaluation: Evaluation,
    /// Of the mean return, bootstrapped over episodes.
    interval: Estimate,
    limits: Vec<Limit>,
    /// Seconds that the training took.
    seconds: f64,
    records: Vec<Record>,
    /// The runs of the same experiment: seed, and mean return of the last training episodes.
    siblings: Vec<(u64, Option<f64>)>,
    options: CardOptions,
}

impl ModelCard {
    /// Evaluates a run's policy, as it is and disturbed, and gathers what is known of it.
    ///
    /// # Errors
    /// If it is no run, has no weights, an option is out of range, or an evaluation of the undisturbed policy fails.
    pub fn of(setup: &Setup, run: &Path, options: CardOptions) -> Result<Self, RunError> {
        if let Some(watts) = options.watts.filter(|watts| !(watts.is_finite() && *watts > 0.0)) {
            return Err(RunError::Config(format!("watts must be a positive number, got {watts}")));
        }
        let which = if options.best { Which::Best } else { Which::Newest };
        let trained = policy::load_which(setup, run, which)?;
        let (_, config) = RunDirectory::open(run)?;
        let file = policy::weight_file(run, which)?;
        let digest = hash::hex(&hash::of_file(&file)?);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let eval = EvalOptions { episodes: options.episodes, ..EvalOptions::default() };
        let card = trained.card().clone();
        let evaluation = evaluate_in(setup, &trained, &card.env, &eval)?;
        let interval =
            Resamples::new(evaluation.returns.len(), Resampling::default()).mean(&evaluation.returns);
        let limits = limits::measure(setup, &trained, &eval, &options.shifts)?;
        Ok(Self {
            env: about(&setup.registry, &config.env.id)?,
            policy: card,
            weights: (name, digest),
            evaluation,
            interval,
            limits,
            seconds: seconds_taken(run).unwrap_or(0.0),
            records: provenance::records(run)?,
            siblings: siblings(run)?,
            config,
            options,
        })
    }

    /// The card's text: front matter in YAML, then Markdown.
    pub fn to_markdown(&self) -> String {
        format!("{}{}", front_matter::of(self), text::of(self))
    }
}

/// One sentence of an environment, and its threshold.
fn about(registry: &Registry, id: &str) -> Result<(String, Option<f64>), RunError> {
    let spec = registry.get(id)?;
    Ok((spec.summary_text().to_owned(), spec.threshold()))
}

/// The finished runs of the experiment that a run is of, itself included; none if it is of none.
fn siblings(run: &Path) -> Result<Vec<(u64, Option<f64>)>, RunError> {
    let whole = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    match whole.parent().filter(|parent| experiment::is_experiment(parent)) {
        None => Ok(Vec::new()),
        Some(experiment) => Ok(experiment::find_runs(experiment)?
            .iter()
            .filter_map(|run| RunScores::load(run).ok())
            .map(|scores| (scores.config.seed, scores.last_100))
            .collect()),
    }
}

#[cfg(test)]
mod tests;
