//! Playing while something is wrong.

use std::collections::VecDeque;

use agon_envs::Pcg64;
use agon_policy::Episode;

use super::RobustnessOptions;
use super::deceive::Deceiver;
use crate::RunError;
use crate::evaluate::normal;
use crate::explain::Subject;
use crate::explain::play::{Seen, Teacher, Until, opinion, play};
use crate::setup::Setup;

/// What is done to what the policy sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Disturbance {
    /// Gaussian noise of so many standard deviations.
    Noise(f64),
    /// Every number moved by a radius, up or down at random.
    Random(f64),
    /// Moved within a radius so that the decision changes, in so many steps.
    Deception {
        /// In standard deviations of each number.
        radius: f64,
        /// Steps of the search.
        steps: usize,
    },
}

/// What came of it.
pub(super) struct Played {
    pub(super) returns: Vec<f64>,
    /// The share of decisions that were changed.
    pub(super) changed: Option<f64>,
}

/// How far each number of an observation spreads.
#[derive(Debug, Default)]
pub(super) struct Spread {
    count: f64,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    fn add(&mut self, observation: &[f32]) {
        self.means.resize(observation.len(), 0.0);
        self.squares.resize(observation.len(), 0.0);
        self.count += 1.0;
        for ((value, mean), square) in observation.iter().zip(&mut self.means).zip(&mut self.squares) {
            let apart = f64::from(*value) - *mean;
            *mean += apart / self.count;
            *square += apart * (f64::from(*value) - *mean);
        }
    }

    /// Standard deviations; zero of what does not change.
    pub(super) fn deviations(&self) -> Vec<f64> {
        self.squares.iter().map(|square| (square / self.count.max(1.0)).sqrt()).collect()
    }
}

/// The policy as it is.
pub(super) fn undisturbed(
    setup: &Setup,
    subject: &Subject,
    options: &RobustnessOptions,
    spread: &mut Spread,
) -> Result<Played, RunError> {
    let mut teacher = Teacher::new(subject);
    let returns = play(setup, subject, options.seed, Until::Episodes(options.episodes), &mut |seen| {
        spread.add(seen.observation);
        Ok(teacher.opinion(seen)?.action)
    })?;
    Ok(Played { returns, changed: None })
}

/// The policy that sees something else than what is there.
pub(super) fn disturbed(
    setup: &Setup,
    subject: &Subject,
    options: &RobustnessOptions,
    deviations: &[f64],
    disturbance: Disturbance,
    mut rng: Pcg64,
) -> Result<Played, RunError> {
    let deceiver = Deceiver::new(subject, deviations);
    let mut episodes: Vec<Episode> = Vec::new();
    let (mut bytes, mut decisions, mut changed) = (Vec::new(), 0_u64, 0_u64);
    let returns = play(setup, subject, options.seed, Until::Episodes(options.episodes), &mut |seen| {
        while episodes.len() <= seen.env {
            episodes.push(subject.policy.begin());
        }
        let episode = &mut episodes[seen.env];
        if seen.starts {
            episode.begin_again();
        }
        let shown = match disturbance {
            Disturbance::Noise(size) => deceiver.moved(seen.observation, |_| size * normal(&mut rng)),
            Disturbance::Random(radius) => {
                deceiver.moved(seen.observation, |_| if rng.random() < 0.5 { radius } else { -radius })
            }
            Disturbance::Deception { radius, steps } => deceiver.deceive(episode, seen, radius, steps)?,
        };
        // What would have been done is asked of the same memory, which what is shown then goes into.
        let honest = opinion(subject, &mut episode.clone(), seen.observation, seen.mask, &mut bytes)?;
        let deceived = opinion(subject, episode, &shown, seen.mask, &mut bytes)?;
        decisions += 1;
        changed += u64::from(honest.action != deceived.action);
        Ok(deceived.action)
    })?;
    Ok(Played { returns, changed: Some(changed as f64 / decisions.max(1) as f64) })
}

/// The policy whose actions are late: the first of an episode is taken until the others arrive.
pub(super) fn delayed(
    setup: &Setup,
    subject: &Subject,
    options: &RobustnessOptions,
    delay: usize,
) -> Result<Played, RunError> {
    let mut teacher = Teacher::new(subject);
    let mut queues: Vec<VecDeque<Vec<f32>>> = Vec::new();
    let returns = play(setup, subject, options.seed, Until::Episodes(options.episodes), &mut |seen| {
        let action = teacher.opinion(seen)?.action;
        if queues.len() <= seen.env {
            queues.resize(seen.env + 1, VecDeque::new());
        }
        let queue = &mut queues[seen.env];
        if seen.starts {
            queue.clear();
            queue.extend(std::iter::repeat_n(action.clone(), delay));
        }
        queue.push_back(action.clone());
        let late = queue.pop_front().unwrap_or_else(|| action.clone());
        // What was legal when it was decided need not be now.
        Ok(if is_legal(subject, &late, seen) { late } else { action })
    })?;
    Ok(Played { returns, changed: None })
}

fn is_legal(subject: &Subject, action: &[f32], seen: &Seen<'_>) -> bool {
    let mut first = 0;
    let mut legal = true;
    for (&options, &choice) in subject.choices().iter().zip(action) {
        legal &= seen.mask.get(first + choice as usize).copied().unwrap_or(true);
        first += options;
    }
    legal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_standard_deviations() {
        let mut spread = Spread::default();
        for row in [[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]] {
            spread.add(&row);
        }
        let deviations = spread.deviations();
        // Squares 4, 0 and 4 over three.
        assert!(
            (deviations[0] - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12 && deviations[1] == 0.0,
            "{deviations:?}"
        );
    }
}
