//! Fairness of a trained policy: how it decides about members of groups, over the steps of its episodes.
//!
//! Whatever environment says who was decided about ([`agon_envs::groups`]) can be reported on. Beside the policy stand rules to
//! compare with: random actions everywhere, and where there is a known rule for an environment, that. All intervals are over
//! whole episodes, whose steps depend on each other.
//!
//! # Source
//! D'Amour et al. 2020, "Fairness is not static"; Hardt, Price and Srebro 2016 for equal opportunity; Feldman et al. 2015 for
//! disparate impact.

mod actors;
mod measures;
mod play;
mod report;

use std::path::{Path, PathBuf};

pub use measures::{Gap, GroupRates, Measured};
pub use report::ActorReport;

use crate::RunError;
use crate::page::Page;
use crate::policy::{self, Which};
use crate::setup::Setup;

/// How a policy is reported on, and where the page goes.
#[derive(Clone, Debug)]
pub struct FairnessOptions {
    /// The folder of the page, which is created.
    pub out: PathBuf,
    /// Episodes of each of the policy and the rules beside it; at least 2.
    pub episodes: usize,
    /// Seed of environments and of everything that is drawn.
    pub seed: u64,
    /// Whether the policy acts as in training instead of taking its best actions.
    pub stochastic: bool,
    /// Resamples of episodes that intervals are made of; at least 1.
    pub resamples: usize,
    /// Whether rules are played beside the policy.
    pub baselines: bool,
}

impl Default for FairnessOptions {
    fn default() -> Self {
        Self {
            out: PathBuf::from("fairness"),
            episodes: 100,
            seed: 0,
            stochastic: false,
            resamples: 2000,
            baselines: true,
        }
    }
}

/// Reports on the policy of a run or of a weight file, and gives what was found, a sentence each.
///
/// # Errors
/// If the policy cannot be loaded, its environment has no groups, the environment fails, or a file cannot be written.
pub fn fairness(
    setup: &Setup,
    path: &Path,
    which: Which,
    options: &FairnessOptions,
) -> Result<Vec<String>, RunError> {
    let trained = policy::load_which(setup, path, which)?;
    let reports = measure(setup, &trained, options)?;
    let mut page = Page::new(&options.out, "fairness", "how it treats groups", trained.card())?;
    report::write(&mut page, &reports, options)?;
    page.finish()
}

/// Plays the policy's episodes and those of the rules beside it, and measures them; the policy is the first.
///
/// # Errors
/// If the options are out of range, the environment has no groups or several agents, or it fails.
pub fn measure(
    setup: &Setup,
    trained: &policy::TrainedPolicy,
    options: &FairnessOptions,
) -> Result<Vec<ActorReport>, RunError> {
    if !(2..=100_000).contains(&options.episodes) {
        let found = options.episodes;
        return Err(RunError::Config(format!("episodes must be from 2 to 100000, got {found}")));
    }
    let mut reports = Vec::new();
    for mut actor in actors::of(setup, trained, options)? {
        let played = play::play(setup, &mut actor, options.episodes, options.seed)?;
        reports.push(ActorReport::of(actor.name, &played, options));
    }
    Ok(reports)
}

#[cfg(test)]
mod tests;
