//! VIPER: a decision tree that learns from a policy by asking it wherever the tree itself leads.
//!
//! # Source
//! Bastani, Pu and Solar-Lezama 2018, *Verifiable Reinforcement Learning via Policy Extraction*, algorithm 1; DAgger is Ross,
//! Gordon and Bagnell 2011.
//!
//! # Deviations
//! 1. Examples count by `V(s) − min Q(s, a)` instead of being drawn by it: the same loss without the noise of drawing.
//! 2. A policy without values has the spread of its logarithms of probabilities in its place, as the paper has it for maximum
//!    entropy policies.
//! 3. The teacher acts in the first round alone; after that the tree does.

use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;

use super::cart::{Examples, Tree};
use super::{Surrogate, SurrogateOptions};
use crate::explain::play::{Opinion, Teacher, Until, play};
use crate::explain::subject::Subject;
use crate::setup::Setup;
use crate::{RunError, stats};

/// Keys of random streams below the explanation's seed.
pub(super) const ROUNDS: u32 = 0;
pub(super) const VALIDATION: u32 = 1;
pub(super) const HELD_OUT: u32 = 2;
const DRAWN: u32 = 3;

/// A seed below another one.
pub(super) fn seed_of(seed: u64, key: u32, number: u32) -> u64 {
    SeedSequence::with_spawn_key(seed, &[key, number]).seed()
}

/// What a state counts: how much worse the worst option is than the best one, over all choices.
pub(in crate::explain) fn spread(subject: &Subject, logits: &[f32], mask: &[bool]) -> f32 {
    let choices = subject.choices();
    if choices.is_empty() {
        return 1.0;
    }
    let mut first = 0;
    let mut sum = 0.0;
    for options in choices {
        let legal = |i: &usize| mask.is_empty() || mask[*i];
        let own = || (first..first + options).filter(legal).map(|i| logits[i]);
        // Differences of logits are those of logarithms of probabilities.
        let spread = own().fold(f32::NEG_INFINITY, f32::max) - own().fold(f32::INFINITY, f32::min);
        sum += if spread.is_finite() { spread } else { 0.0 };
        first += options;
    }
    sum
}

/// An example: what was seen, and what the teacher would have done.
pub(super) fn add_example(
    examples: &mut Examples,
    subject: &Subject,
    features: &[f32],
    opinion: &Opinion,
    mask: &[bool],
) {
    examples.features.extend_from_slice(features);
    let mut first = 0;
    let choices = subject.choices();
    let target = opinion.action.iter().enumerate().map(|(i, &value)| match choices.get(i) {
        Some(options) => {
            let hot = (first + value as usize) as u32;
            first += options;
            (hot, 1.0)
        }
        None => (i as u32, value),
    });
    examples.targets.push(target.collect());
    examples.weights.push(spread(subject, &opinion.logits, mask));
}

/// No examples yet.
pub(super) fn no_examples(subject: &Subject) -> Examples {
    let num_targets = match subject.choices() {
        choices if choices.is_empty() => subject.action_spec.width(),
        choices => choices.iter().sum(),
    };
    Examples { num_features: subject.features.all.len(), num_targets, ..Examples::default() }
}

/// One surrogate of each round, the newest last, and all examples. `fit` makes a surrogate of examples.
pub(super) fn rounds(
    setup: &Setup,
    subject: &Subject,
    options: &SurrogateOptions,
    fit: &dyn Fn(&Examples) -> Surrogate,
) -> Result<(Vec<Surrogate>, Examples), RunError> {
    let mut examples = no_examples(subject);
    let mut surrogates: Vec<Surrogate> = Vec::new();
    for round in 0..options.rounds {
        let mut teacher = Teacher::new(subject);
        let student = surrogates.last();
        let seed = seed_of(options.seed, ROUNDS, round as u32);
        play(setup, subject, seed, Until::Steps(options.samples), &mut |seen| {
            let opinion = teacher.opinion(seen)?;
            let features = subject.features.extract(seen.observation);
            add_example(&mut examples, subject, &features, &opinion, seen.mask);
            Ok(match student {
                Some(student) => student.act(subject, &features, seen.mask),
                None => opinion.action,
            })
        })?;
        surrogates.push(fit(&drawn(&examples, options)));
    }
    Ok((surrogates, examples))
}

/// As many examples as are fitted at most, drawn without replacement.
fn drawn(examples: &Examples, options: &SurrogateOptions) -> Examples {
    if examples.len() <= options.most_examples {
        return examples.clone();
    }
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[DRAWN]));
    let mut order = rng.permutation(examples.len());
    order.truncate(options.most_examples);
    order.sort_unstable();
    let mut chosen = Examples {
        num_features: examples.num_features,
        num_targets: examples.num_targets,
        ..Examples::default()
    };
    for i in order {
        chosen.features.extend_from_slice(examples.row(i));
        chosen.targets.push(examples.targets[i].clone());
        chosen.weights.push(examples.weights[i]);
    }
    chosen
}

/// The returns of a surrogate in episodes of a seed.
pub(super) fn returns(
    setup: &Setup,
    subject: &Subject,
    surrogate: &Surrogate,
    seed: u64,
    episodes: usize,
) -> Result<Vec<f64>, RunError> {
    play(setup, subject, seed, Until::Episodes(episodes), &mut |seen| {
        Ok(surrogate.act(subject, &subject.features.extract(seen.observation), seen.mask))
    })
}

/// Trees that are validated further where the first episodes cannot tell them apart, and how many times as many episodes that takes.
const CONTENDERS: usize = 4;
const FURTHER: usize = 5;

/// Of each round's tree the part of so many leaves that scores best in validation, with its returns there.
pub(super) fn best_of_size(
    setup: &Setup,
    subject: &Subject,
    options: &SurrogateOptions,
    rounds: &[Tree],
    leaves: usize,
) -> Result<Option<(Tree, Vec<f64>)>, RunError> {
    let validated = |tree: &Tree, part: u32, episodes: usize| {
        let seed = seed_of(options.seed, VALIDATION, part);
        returns(setup, subject, &Surrogate::Tree(tree.clone()), seed, episodes)
    };
    let mut tried: Vec<(Tree, Vec<f64>)> = Vec::new();
    for tree in rounds {
        let tree = tree.pruned(leaves);
        if tried.iter().all(|(other, _)| *other != tree) {
            let scores = validated(&tree, 0, options.validation)?;
            tried.push((tree, scores));
        }
    }
    tried.sort_by(|(_, a), (_, b)| stats::mean(b).total_cmp(&stats::mean(a)));
    let least = tried.first().map_or(0.0, |(_, best)| stats::mean(best) - standard_error(best));
    tried.retain(|(_, scores)| stats::mean(scores) >= least);
    tried.truncate(CONTENDERS);
    for (tree, scores) in &mut tried {
        scores.extend(validated(tree, 1, FURTHER * options.validation)?);
    }
    // Of equals the first.
    Ok(tried.into_iter().reduce(
        |best, other| {
            if stats::mean(&other.1) > stats::mean(&best.1) { other } else { best }
        },
    ))
}

/// The standard error of a mean; zero of a single number.
pub(super) fn standard_error(scores: &[f64]) -> f64 {
    match scores.len() {
        count @ 2.. => stats::sample_std(scores) / (count as f64).sqrt(),
        _ => 0.0,
    }
}
