//! Robustness of a trained policy: what is left of its return when it sees less well, is deceived, acts late, or finds other
//! dynamics than those it was trained in.
//!
//! Noise and deception are of what the environment shows, each number in units of its own standard deviation while the policy
//! plays undisturbed; the environment itself is not touched. Beside each deception stands a random one of the same radius: only
//! their difference is the attack's. [`hacking`] looks into the log of a run for a return that rises while what it stands for
//! falls.

mod deceive;
pub mod hacking;
mod play;
mod report;

use std::path::{Path, PathBuf};

use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use serde::Serialize;

use crate::RunError;
use crate::config;
use crate::explain::Subject;
use crate::page::Page;
use crate::policy::Which;
use crate::run::RunDirectory;
use crate::setup::Setup;
use crate::stats::{Estimate, Resamples, Resampling};
use play::{Disturbance, Spread};

/// What is tried, and where the page goes.
#[derive(Clone, Debug)]
pub struct RobustnessOptions {
    /// The folder of the page, which is created.
    pub out: PathBuf,
    /// Episodes under each disturbance; at least 2.
    pub episodes: usize,
    /// Seed of environments and disturbances.
    pub seed: u64,
    /// Standard deviations of noise.
    pub noise: Vec<f64>,
    /// Radii of deceptions.
    pub radii: Vec<f64>,
    /// Steps of the stronger deception; at least 1.
    pub pgd_steps: usize,
    /// By how many steps actions are late.
    pub delays: Vec<usize>,
    /// Arguments of the environment with other values, as `gravity=12`.
    pub shifts: Vec<String>,
}

impl Default for RobustnessOptions {
    fn default() -> Self {
        Self {
            out: PathBuf::from("robustness"),
            episodes: 50,
            seed: 0,
            noise: vec![0.1, 0.3, 1.0],
            radii: vec![0.05, 0.1, 0.2, 0.5],
            pgd_steps: 10,
            delays: vec![1, 2, 4],
            shifts: Vec::new(),
        }
    }
}

impl RobustnessOptions {
    fn validate(&self) -> Result<(), RunError> {
        let wrong = |field: &str, bound: &str, found: String| {
            Err(RunError::Config(format!("{field} must be {bound}, got {found}")))
        };
        if !(2..=100_000).contains(&self.episodes) {
            return wrong("episodes", "from 2 to 100000", self.episodes.to_string());
        }
        for (field, values) in [("noise", &self.noise), ("radii", &self.radii)] {
            if let Some(value) = values.iter().find(|value| !(**value > 0.0 && value.is_finite())) {
                return wrong(field, "above 0", value.to_string());
            }
        }
        if !(1..=1000).contains(&self.pgd_steps) {
            return wrong("pgd_steps", "from 1 to 1000", self.pgd_steps.to_string());
        }
        if let Some(delay) = self.delays.iter().find(|delay| !(1..=1000).contains(*delay)) {
            return wrong("delays", "from 1 to 1000", delay.to_string());
        }
        Ok(())
    }
}

/// What a policy returned under a disturbance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The kind: `undisturbed`, `noise`, `random direction`, `FGSM`, `PGD`, `delay` or `dynamics`.
    pub kind: String,
    /// How much of it; the argument of shifted dynamics.
    pub level: String,
    /// The same as a number; none of shifted dynamics.
    pub size: Option<f64>,
    /// Mean return, with its bootstrapped interval.
    pub episode_return: Estimate,
    /// The share of decisions that the disturbance of observations changed; none where it is not about these.
    pub changed: Option<f64>,
}

/// Reports on the policy of a run or of a weight file, and gives what was found, a sentence each.
///
/// # Errors
/// If the options are out of range, the policy cannot be loaded or told as one network, the environment does not know an
/// argument or fails, or a file cannot be written.
pub fn robustness(
    setup: &Setup,
    path: &Path,
    which: Which,
    options: &RobustnessOptions,
) -> Result<Vec<String>, RunError> {
    options.validate()?;
    let mut subject = Subject::load(setup, path, which)?;
    let measured = measure(setup, &mut subject, options)?;
    let suspicions = if RunDirectory::exists(path) { Some(hacking::detect(path, &[])?) } else { None };
    let mut page = Page::new(&options.out, "robustness", "what it withstands", subject.trained.card())?;
    report::write(&mut page, &measured, suspicions.as_deref(), options)?;
    page.finish()
}

/// As [`robustness`], without a page; undisturbed play comes first. The subject's environment is as before afterwards.
///
/// # Errors
/// As [`robustness`].
pub fn measure(
    setup: &Setup,
    subject: &mut Subject,
    options: &RobustnessOptions,
) -> Result<Vec<Measured>, RunError> {
    options.validate()?;
    let mut spread = Spread::default();
    let played = play::undisturbed(setup, subject, options, &mut spread)?;
    let mut all = vec![measured("undisturbed", "0", Some(0.0), &played)];
    let deviations = spread.deviations();
    if subject.features_are_numbers() {
        let mut cases: Vec<(&str, f64, Disturbance)> = Vec::new();
        cases.extend(options.noise.iter().map(|&size| ("noise", size, Disturbance::Noise(size))));
        for &size in &options.radii {
            cases.push(("random direction", size, Disturbance::Random(size)));
            cases.push(("FGSM", size, Disturbance::Deception { radius: size, steps: 1 }));
            cases.push(("PGD", size, Disturbance::Deception { radius: size, steps: options.pgd_steps }));
        }
        for (i, (kind, size, disturbance)) in cases.into_iter().enumerate() {
            let rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[7, i as u32]));
            let played = play::disturbed(setup, subject, options, &deviations, disturbance, rng)?;
            all.push(measured(kind, &size.to_string(), Some(size), &played));
        }
    }
    for &delay in &options.delays {
        let played = play::delayed(setup, subject, options, delay)?;
        all.push(measured(
            "delay",
            &if delay == 1 { "1 step".to_owned() } else { format!("{delay} steps") },
            Some(delay as f64),
            &played,
        ));
    }
    for argument in &options.shifts {
        let args = subject.env.args.clone();
        config::set_by("--shift", &mut subject.env.args, argument)?;
        let played = play::undisturbed(setup, subject, options, &mut Spread::default());
        subject.env.args = args;
        all.push(measured("dynamics", argument, None, &played?));
    }
    Ok(all)
}

fn measured(kind: &str, level: &str, size: Option<f64>, played: &play::Played) -> Measured {
    let resampling = Resampling { resamples: 5000, seed: 0 };
    Measured {
        kind: kind.to_owned(),
        level: level.to_owned(),
        size,
        episode_return: Resamples::new(played.returns.len(), resampling).mean(&played.returns),
        changed: played.changed,
    }
}

#[cfg(test)]
mod tests;
