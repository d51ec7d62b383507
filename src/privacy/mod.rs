//! Privacy: what a policy that was learned from recorded trajectories gives away of them.
//!
//! The policy of a run stands for people whose behaviour was recorded. Students learn from half of the trajectories, with and
//! without protection ([`agon_agents::private`]), and an attacker who sees a student and a trajectory says whether the student
//! has learned from it. Beside what the attack finds stands what cannot be exceeded: ε of the [`accountant`]. An example is a
//! whole trajectory, for the attack as for the protection.
//!
//! # Source
//! Yeom et al. 2018, arXiv:1709.01604 (an attack by the loss); Watson et al. 2022, arXiv:2111.08440 (the loss less that of a
//! student that knows the trajectory for certain not).

pub mod accountant;
mod attack;
mod record;
mod report;

use std::path::{Path, PathBuf};

use agon_agents::distillation::DistillationLoss;
use agon_agents::private::{Example, PrivateConfig, PrivateLearner};
use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use agon_nn::{ModelConfig, ToldChain};
use agon_policy::Decision;
use serde::Serialize;

use crate::RunError;
use crate::compress::{parameters_of, student};
use crate::evaluate::EvalOptions;
use crate::explain::Subject;
use crate::export::Export;
use crate::page::Page;
use crate::policy::Which;
use crate::setup::Setup;
use crate::stats::{Estimate, Resamples, Resampling};
use accountant::{Mechanism, Spent, validate_delta};

/// What is measured, and where the page goes.
#[derive(Clone, Debug)]
pub struct PrivacyOptions {
    /// The folder of the page, which is created.
    pub out: PathBuf,
    /// Trajectories that a student learns from; as many others are recorded to compare with, and again as many for the
    /// attacker; at least 10.
    pub trajectories: usize,
    /// Steps of a trajectory that are recorded, at least 1.
    pub steps: usize,
    /// The chance that a recorded action is drawn at random, 0 to 1: people do not act alike.
    pub random: f64,
    /// How the protected student learns; the other one does so without clipping and noise.
    pub learning: PrivateConfig,
    /// The δ of ε; by default a tenth of one trajectory's share.
    pub delta: Option<f64>,
    /// The students' network.
    pub network: ModelConfig,
    /// Episodes that students are evaluated in.
    pub episodes: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl PrivacyOptions {
    /// With the defaults of the command line.
    ///
    /// # Errors
    /// Never: the network's settings are constant.
    pub fn new(out: PathBuf) -> Result<Self, RunError> {
        let network = toml::from_str("[encoder]\nkind = \"mlp\"\nhidden = [32]\nactivation = \"tanh\"\n");
        Ok(Self {
            out,
            trajectories: 300,
            steps: 50,
            random: 0.1,
            learning: PrivateConfig::default(),
            delta: None,
            network: network.map_err(|error| RunError::Config(error.to_string()))?,
            episodes: 50,
            seed: 0,
        })
    }

    /// The δ of ε.
    pub fn delta(&self) -> f64 {
        self.delta.unwrap_or(0.1 / self.trajectories as f64)
    }

    fn validate(&self) -> Result<(), RunError> {
        let wrong = |field: &str, bound: &str, found: String| {
            Err(RunError::Config(format!("{field} must be {bound}, got {found}")))
        };
        if !(10..=100_000).contains(&self.trajectories) {
            return wrong("trajectories", "between 10 and 100000", self.trajectories.to_string());
        }
        if !(1..=10_000).contains(&self.steps) {
            return wrong("steps", "between 1 and 10000", self.steps.to_string());
        }
        if !(0.0..=1.0).contains(&self.random) {
            return wrong("random", "between 0 and 1", self.random.to_string());
        }
        validate_delta(self.delta())?;
        Ok(self.learning.validate()?)
    }
}

/// A student, what it can do, and what it gives away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// How it learned.
    pub name: String,
    /// Mean return of its best actions, with its bootstrapped interval.
    pub episode_return: Estimate,
    /// Mean loss on the trajectories it learned from, and on others.
    pub losses: [f64; 2],
    /// Area under the curve of the attack by the loss: 0.5 is guessing.
    pub attack: Estimate,
    /// The same, with a student of other trajectories to compare with.
    pub calibrated_attack: Estimate,
    /// Steps in which no trajectory took part.
    pub empty_steps: u64,
    /// What the accountants say; none without protection.
    pub spent: Option<Spent>,
}

/// Measures students of the policy of a run or of a weight file, and gives what was found, a sentence each.
///
/// # Errors
/// If the options are out of range, the policy's actions are no choices or it cannot be loaded, the environment fails, or a
/// file cannot be written.
pub fn privacy(
    setup: &Setup,
    path: &Path,
    which: Which,
    options: &PrivacyOptions,
) -> Result<Vec<String>, RunError> {
    options.validate()?;
    let subject = Subject::load(setup, path, which)?;
    let measured = measure(setup, &subject, options)?;
    let mut page = Page::new(&options.out, "privacy", "what students give away", subject.trained.card())?;
    report::write(&mut page, &measured, options)?;
    page.finish()
}

/// As [`privacy`], without a page: the unprotected student first.
///
/// # Errors
/// As [`privacy`].
pub fn measure(
    setup: &Setup,
    subject: &Subject,
    options: &PrivacyOptions,
) -> Result<Vec<Measured>, RunError> {
    options.validate()?;
    let recorded = record::record(setup, subject, options)?;
    let (members, rest) = recorded.split_at(options.trajectories);
    let (others, of_attacker) = rest.split_at(options.trajectories);
    let plain = PrivateConfig { clip_norm: f64::INFINITY, noise_multiplier: 0.0, ..options.learning };
    let reference = taught(subject, options, plain, of_attacker, 0)?;
    let mut measured = Vec::new();
    for (name, config) in [("without protection", plain), ("with DP-SGD", options.learning)] {
        let own = taught(subject, options, config, members, 1)?;
        let (of_members, of_others) = (own.losses(members)?, own.losses(others)?);
        let less = |losses: &[f64], known: Vec<f64>| -> Vec<f64> {
            losses.iter().zip(known).map(|(own, known)| own - known).collect()
        };
        let calibrated =
            [less(&of_members, reference.losses(members)?), less(&of_others, reference.losses(others)?)];
        let mechanism = Mechanism {
            sample_rate: config.sample_rate,
            noise_multiplier: config.noise_multiplier,
            steps: config.updates,
        };
        let spent = (config.noise_multiplier > 0.0).then(|| Spent::of(mechanism, options.delta()));
        measured.push(Measured {
            name: name.to_owned(),
            episode_return: own.returns(setup, subject, options)?,
            losses: [crate::stats::mean(&of_members), crate::stats::mean(&of_others)],
            attack: attack::area(&of_members, &of_others, options.seed),
            calibrated_attack: attack::area(&calibrated[0], &calibrated[1], options.seed),
            empty_steps: own.empty_steps,
            spent: spent.transpose()?,
        });
    }
    Ok(measured)
}

/// A student that has learned.
struct Taught {
    learner: PrivateLearner,
    export: Export,
    empty_steps: u64,
}

/// Teaches a student; the same key draws the same network, lots and noise.
fn taught(
    subject: &Subject,
    options: &PrivacyOptions,
    config: PrivateConfig,
    examples: &[Example],
    key: u32,
) -> Result<Taught, RunError> {
    let nvec = subject.choices();
    let sizes = (subject.policy.network_inputs(), nvec.iter().sum());
    let sequence = SeedSequence::with_spawn_key(options.seed, &[5, key]);
    let mut export = subject.export.clone();
    let (operations, parameters) = student(&export.program, sizes, &options.network, sequence.seed())?;
    let chain = ToldChain::new(&operations, &parameters, sizes.0)?;
    let loss = DistillationLoss::choices(&nvec, 1.0, None);
    let mut learner = PrivateLearner::new(chain, config, loss, Pcg64::from_sequence(&sequence))?;
    let mut empty_steps = 0;
    for _ in 0..config.updates {
        empty_steps += u64::from(learner.update(examples)?.examples == 0);
    }
    export.program.operations = operations;
    export.program.decision = Decision::Categorical { nvec };
    export.parameters = parameters_of(learner.student());
    Ok(Taught { learner, export, empty_steps })
}

impl Taught {
    fn losses(&self, examples: &[Example]) -> Result<Vec<f64>, RunError> {
        examples.iter().map(|example| Ok(f64::from(self.learner.loss_of(example)?))).collect()
    }

    fn returns(
        &self,
        setup: &Setup,
        subject: &Subject,
        options: &PrivacyOptions,
    ) -> Result<Estimate, RunError> {
        let eval = EvalOptions { episodes: options.episodes, ..EvalOptions::default() };
        let returns = self.export.evaluate(setup, &subject.env, &eval)?.returns;
        Ok(Resamples::new(returns.len(), Resampling { resamples: 5000, seed: 0 }).mean(&returns))
    }
}

#[cfg(test)]
mod tests;
