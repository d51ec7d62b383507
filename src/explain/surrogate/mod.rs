//! Surrogates: a policy's behaviour as a decision tree or a weighted sum, which a reader can follow, and what that costs.

pub mod cart;
mod code;
pub mod linear;
mod report;
mod viper;
mod words;

use agon_envs::ActionSpec;
use serde::Serialize;

pub use cart::{Examples, Node, Split, Tree};
pub use code::{Language, source};
pub use linear::Linear;
pub use report::explain;
pub(super) use viper::spread;
pub use words::{question, rules};

use super::play::{Teacher, Until, play};
use super::subject::{Subject, best};
use crate::setup::Setup;
use crate::{RunError, stats};
use viper::{HELD_OUT, add_example, best_of_size, no_examples, returns, rounds, seed_of, standard_error};

/// Which surrogate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SurrogateKind {
    /// A decision tree.
    Tree,
    /// A weighted sum for each number of an action.
    Linear,
}

/// How a surrogate is made.
#[derive(Clone, Debug)]
pub struct SurrogateOptions {
    /// Which; by default a tree where actions are choices, else a weighted sum.
    pub kind: Option<SurrogateKind>,
    /// Leaves of the largest tree; at least 2.
    pub leaves: usize,
    /// Rounds of DAgger; at least 1.
    pub rounds: usize,
    /// Steps of a round; at least 1.
    pub samples: usize,
    /// Examples that are fitted, at most.
    pub most_examples: usize,
    /// Episodes by which trees are told apart at first, at least 1; the best of each size play five times as many more.
    pub validation: usize,
    /// Episodes that it is measured in; at least 1.
    pub episodes: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl Default for SurrogateOptions {
    fn default() -> Self {
        Self {
            kind: None,
            leaves: 64,
            rounds: 10,
            samples: 5000,
            most_examples: 100_000,
            validation: 20,
            episodes: 100,
            seed: 0,
        }
    }
}

/// A policy that can be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Surrogate {
    /// Questions.
    Tree(Tree),
    /// Sums.
    Linear(Linear),
}

/// A surrogate of one size, and what it is worth in episodes that nothing was fitted on or chosen by.
#[derive(Clone, Debug, Serialize)]
pub struct Sized {
    /// Leaves of a tree; 1 of a weighted sum.
    pub leaves: usize,
    /// Mean return of the episodes that it was chosen by.
    pub validation_return: f64,
    /// `[episodes]`.
    #[serde(skip)]
    pub returns: Vec<f64>,
    /// Their mean.
    pub mean_return: f64,
    /// Half of the width of its 95 % interval.
    pub half_width: f64,
    /// The surrogate.
    #[serde(skip)]
    pub surrogate: Surrogate,
}

/// How well a surrogate does what the policy would do.
#[derive(Clone, Debug, Serialize)]
pub struct Fidelity {
    /// States that both were asked in.
    pub states: usize,
    /// The share of equal actions; of actions that are numbers the share of their variance that is explained.
    pub agreement: f64,
    /// The same, weighted by how much states matter.
    pub weighted_agreement: f64,
}

/// A surrogate's report.
#[derive(Clone, Debug, Serialize)]
pub struct SurrogateReport {
    /// Which surrogate.
    pub kind: SurrogateKind,
    /// Examples of all rounds.
    pub examples: usize,
    /// Mean return of the policy itself in the episodes of the curve.
    pub policy_return: f64,
    /// Half of the width of its 95 % interval.
    pub policy_half_width: f64,
    /// One of each size, the smallest first.
    pub curve: Vec<Sized>,
    /// Which of them is told in words and code: the smallest whose validation is within a standard error of the best one's.
    pub chosen: usize,
    /// On states where the policy leads.
    pub fidelity_on_policy: Fidelity,
    /// On states where the surrogate leads.
    pub fidelity_on_surrogate: Fidelity,
}

impl Surrogate {
    /// What it does: an index for each choice, or numbers within their bounds.
    pub fn act(&self, subject: &Subject, features: &[f32], mask: &[bool]) -> Vec<f32> {
        let linear;
        let numbers = match self {
            Self::Tree(tree) => &tree.leaf(features).value,
            Self::Linear(fitted) => {
                linear = fitted.predict(features);
                &linear
            }
        };
        match &subject.action_spec {
            ActionSpec::Discrete { .. } => {
                let chosen = best(&subject.choices(), numbers, mask);
                chosen.into_iter().map(|index| index as f32).collect()
            }
            ActionSpec::Continuous { low, high } => {
                let bounds = low.iter().zip(high);
                numbers.iter().zip(bounds).map(|(number, (low, high))| number.clamp(*low, *high)).collect()
            }
        }
    }
}

impl SurrogateReport {
    /// The surrogate that is told in words and code.
    pub fn chosen(&self) -> &Sized {
        &self.curve[self.chosen]
    }

    /// The best mean return of the curve.
    pub fn best_return(&self) -> f64 {
        self.curve.iter().map(|sized| sized.mean_return).fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Makes surrogates of a policy, and measures them.
///
/// # Errors
/// If an option is out of range or the environment fails.
pub fn surrogate(
    setup: &Setup,
    subject: &Subject,
    options: &SurrogateOptions,
) -> Result<SurrogateReport, RunError> {
    for (name, value, least) in [
        ("leaves", options.leaves, 2),
        ("rounds", options.rounds, 1),
        ("samples", options.samples, 1),
        ("episodes", options.episodes, 1),
        ("validation episodes", options.validation, 1),
    ] {
        if value < least {
            return Err(RunError::Config(format!("{name} must be at least {least}, got {value}")));
        }
    }
    let kind = options.kind.unwrap_or(match subject.is_continuous() {
        true => SurrogateKind::Linear,
        false => SurrogateKind::Tree,
    });
    let fit = |examples: &Examples| match kind {
        SurrogateKind::Tree => Surrogate::Tree(Tree::grow(examples, options.leaves)),
        SurrogateKind::Linear => Surrogate::Linear(Linear::fit(examples)),
    };
    let (surrogates, examples) = rounds(setup, subject, options, &fit)?;
    let candidates = candidates(setup, subject, options, &surrogates)?;
    let held_out = seed_of(options.seed, HELD_OUT, 0);
    let mut curve = Vec::new();
    let mut validations = Vec::new();
    for (surrogate, validation) in candidates {
        let returns = returns(setup, subject, &surrogate, held_out, options.episodes)?;
        let leaves = if let Surrogate::Tree(tree) = &surrogate { tree.leaves() } else { 1 };
        curve.push(Sized {
            leaves,
            validation_return: stats::mean(&validation),
            mean_return: stats::mean(&returns),
            half_width: half_width(&returns),
            returns,
            surrogate,
        });
        validations.push(validation);
    }
    let chosen = smallest(&validations);
    let mut teacher = Teacher::new(subject);
    let own = play(setup, subject, held_out, Until::Episodes(options.episodes), &mut |seen| {
        Ok(teacher.opinion(seen)?.action)
    })?;
    let fidelity = |leads: bool| fidelity(setup, subject, options, &curve[chosen].surrogate, leads);
    Ok(SurrogateReport {
        kind,
        examples: examples.len(),
        policy_return: stats::mean(&own),
        policy_half_width: half_width(&own),
        fidelity_on_policy: fidelity(false)?,
        fidelity_on_surrogate: fidelity(true)?,
        curve,
        chosen,
    })
}

fn half_width(returns: &[f64]) -> f64 {
    if returns.len() > 1 { stats::ci95_half_width(returns) } else { 0.0 }
}

/// The best surrogate of each size, with its returns in validation.
fn candidates(
    setup: &Setup,
    subject: &Subject,
    options: &SurrogateOptions,
    surrogates: &[Surrogate],
) -> Result<Vec<(Surrogate, Vec<f64>)>, RunError> {
    let trees: Vec<Tree> = surrogates
        .iter()
        .filter_map(|surrogate| if let Surrogate::Tree(tree) = surrogate { Some(tree.clone()) } else { None })
        .collect();
    let mut found: Vec<(Surrogate, Vec<f64>)> = Vec::new();
    if trees.is_empty() {
        let seed = seed_of(options.seed, viper::VALIDATION, 0);
        for surrogate in surrogates {
            let scores = returns(setup, subject, surrogate, seed, options.validation)?;
            let is_better = found.first().is_none_or(|(_, best)| stats::mean(&scores) > stats::mean(best));
            if is_better {
                found = vec![(surrogate.clone(), scores)];
            }
        }
        return Ok(found);
    }
    for leaves in sizes(options.leaves) {
        if let Some((tree, scores)) = best_of_size(setup, subject, options, &trees, leaves)? {
            let tree = Surrogate::Tree(tree);
            if found.iter().all(|(other, _)| *other != tree) {
                found.push((tree, scores));
            }
        }
    }
    Ok(found)
}

/// Sizes of trees: doubled from 2 on, and the largest.
fn sizes(leaves: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(2), |size| Some(2 * size)).take_while(|&size| size < leaves).collect();
    sizes.push(leaves);
    sizes
}

/// The first whose mean is within a standard error of the best one's.
///
/// # Source
/// Breiman and others 1984, the rule of one standard error.
fn smallest(validations: &[Vec<f64>]) -> usize {
    let means: Vec<f64> = validations.iter().map(|scores| stats::mean(scores)).collect();
    let best = (0..means.len()).fold(0, |best, i| if means[i] > means[best] { i } else { best });
    let Some(scores) = validations.get(best) else { return 0 };
    let least = means[best] - standard_error(scores);
    means.iter().position(|&mean| mean >= least).unwrap_or(best)
}

/// How often a surrogate does what the policy would do, in states to which one of them leads.
fn fidelity(
    setup: &Setup,
    subject: &Subject,
    options: &SurrogateOptions,
    surrogate: &Surrogate,
    surrogate_leads: bool,
) -> Result<Fidelity, RunError> {
    let mut teacher = Teacher::new(subject);
    let mut examples = no_examples(subject);
    let mut pairs: Vec<(Vec<f32>, Vec<f32>)> = Vec::new();
    let seed = seed_of(options.seed, HELD_OUT, 1);
    play(setup, subject, seed, Until::Steps(options.samples), &mut |seen| {
        let opinion = teacher.opinion(seen)?;
        let features = subject.features.extract(seen.observation);
        let action = surrogate.act(subject, &features, seen.mask);
        add_example(&mut examples, subject, &features, &opinion, seen.mask);
        pairs.push((opinion.action.clone(), action.clone()));
        Ok(if surrogate_leads { action } else { opinion.action })
    })?;
    let weights = &examples.weights;
    let plain = vec![1.0; weights.len()];
    let agreement = |weights: &[f32]| agreement(subject.is_continuous(), &pairs, weights);
    Ok(Fidelity { states: pairs.len(), agreement: agreement(&plain), weighted_agreement: agreement(weights) })
}

/// The weighted share of equal pairs; of numbers `1 − Σ (a − b)² / Σ (a − mean a)²`.
fn agreement(continuous: bool, pairs: &[(Vec<f32>, Vec<f32>)], weights: &[f32]) -> f64 {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    if total <= 0.0 {
        return f64::NAN;
    }
    type Pair = (Vec<f32>, Vec<f32>);
    let weighted = |value: &dyn Fn(&Pair) -> f64| {
        pairs.iter().zip(weights).map(|(pair, &weight)| f64::from(weight) * value(pair)).sum::<f64>() / total
    };
    if !continuous {
        return weighted(&|(a, b)| f64::from(u8::from(a == b)));
    }
    let width = pairs.first().map_or(0, |(a, _)| a.len());
    let (mut apart, mut spread) = (0.0, 0.0);
    for i in 0..width {
        let mean = weighted(&|(a, _)| f64::from(a[i]));
        apart += weighted(&|(a, b)| f64::from(a[i] - b[i]).powi(2));
        spread += weighted(&|(a, _)| (f64::from(a[i]) - mean).powi(2));
    }
    1.0 - apart / spread.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double_up_to_the_largest() {
        assert_eq!(sizes(15), [2, 4, 8, 15]);
        assert_eq!(sizes(16), [2, 4, 8, 16]);
        assert_eq!(sizes(2), [2]);
    }

    #[test]
    fn the_smallest_within_a_standard_error_is_chosen() {
        let scores = |mean: f64| vec![mean - 1.0, mean + 1.0, mean - 1.0, mean + 1.0];
        assert_eq!(smallest(&[scores(5.0), scores(9.5), scores(10.0)]), 1);
        assert_eq!(smallest(&[scores(5.0), scores(9.0), scores(10.0)]), 2);
        assert_eq!(smallest(&[vec![3.0], vec![3.0]]), 0);
    }

    #[test]
    fn agreement_of_numbers_is_the_share_of_variance_explained() {
        let pair = |a: f32, b: f32| (vec![a], vec![b]);
        assert_eq!(agreement(true, &[pair(1.0, 1.0), pair(3.0, 3.0)], &[1.0, 1.0]), 1.0);
        assert_eq!(agreement(true, &[pair(1.0, 2.0), pair(3.0, 2.0)], &[1.0, 1.0]), 0.0);
        assert_eq!(agreement(false, &[pair(1.0, 1.0), pair(3.0, 2.0)], &[3.0, 1.0]), 0.75);
    }
}
