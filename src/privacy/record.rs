//! Trajectories of a policy, as examples that a student learns its actions from.

use agon_agents::private::Example;
use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use agon_policy::{Episode, Observation};

use super::PrivacyOptions;
use crate::RunError;
use crate::explain::Subject;
use crate::explain::play::{self, Until};
use crate::setup::Setup;

/// What the logit of a recorded action is above the others: certainty, to every digit.
const CERTAIN: f32 = 40.0;

/// Plays three times as many episodes as a student learns from, and keeps the first steps of each.
pub(super) fn record(
    setup: &Setup,
    subject: &Subject,
    options: &PrivacyOptions,
) -> Result<Vec<Example>, RunError> {
    let nvec = subject.choices();
    if nvec.is_empty() {
        let message = "expected a policy whose actions are choices, found one whose actions are numbers";
        return Err(RunError::Policy(message.to_owned()));
    }
    let count = 3 * options.trajectories;
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[6]));
    let mut under_way: Vec<(Episode, Example, usize)> = Vec::new();
    let mut done: Vec<Example> = Vec::new();
    let mut bytes = Vec::new();
    play::play(setup, subject, options.seed, Until::Episodes(count), &mut |seen| {
        while under_way.len() <= seen.env {
            under_way.push((subject.policy.begin(), Example::default(), 0));
        }
        let (episode, example, steps) = &mut under_way[seen.env];
        if seen.starts {
            if *steps > 0 {
                done.push(std::mem::take(example));
            }
            episode.begin_again();
            *steps = 0;
        }
        let mut looked = episode.clone();
        let opinion = play::opinion(subject, episode, seen.observation, seen.mask, &mut bytes)?;
        let action = drawn(&opinion.action, &nvec, seen.mask, options.random, &mut rng);
        if *steps < options.steps {
            // What the network reads of it: a student stands behind the same preparations.
            let observation = if subject.program().takes_bytes() {
                Observation::Bytes(&bytes)
            } else {
                Observation::Floats(seen.observation)
            };
            subject.policy.prepare(&mut looked, observation, &mut example.inputs)?;
            for (&options, &chosen) in nvec.iter().zip(&action) {
                let logit = |option: usize| if option == chosen as usize { CERTAIN } else { 0.0 };
                example.targets.extend((0..options).map(logit));
            }
        }
        *steps += 1;
        Ok(action)
    })?;
    done.extend(under_way.into_iter().filter(|(_, _, steps)| *steps > 0).map(|(_, example, _)| example));
    if done.len() < count {
        let message = format!("expected {count} trajectories, recorded {}", done.len());
        return Err(RunError::Policy(message));
    }
    done.truncate(count);
    // Whoever ends first must not be in one half.
    rng.shuffle(&mut done);
    Ok(done)
}

/// The action, or with a chance a legal one at random.
fn drawn(action: &[f32], nvec: &[usize], mask: &[bool], chance: f64, rng: &mut Pcg64) -> Vec<f32> {
    if rng.random() >= chance {
        return action.to_vec();
    }
    let mut first = 0;
    let mut pick = |&options: &usize| {
        let legal: Vec<usize> =
            (0..options).filter(|option| mask.get(first + option).copied().unwrap_or(true)).collect();
        first += options;
        legal.get(rng.bounded(legal.len().max(1) as u64 - 1) as usize).copied().unwrap_or(0) as f32
    };
    nvec.iter().map(&mut pick).collect()
}
