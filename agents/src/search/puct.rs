//! `AlphaZero`'s choice: the action of the greatest upper confidence bound.
//!
//! ```text
//! q(a) + c_puct p(a) √(Σ N) / (1 + N(a)),   q between 0 and 1
//! ```
//!
//! At the root `p` is mixed with Dirichlet noise. An action that was not tried is worth what its parent is, less
//! `fpu_reduction`.
//!
//! # Source
//! Silver et al. (2018), Science 362, supplementary pseudocode; Wu (2019), arXiv:1902.10565, section 3.2 for forced playouts
//! and what is taken off again.

use agon_envs::Pcg64;
use rand_distr::{Distribution, Gamma};

use super::settings::PuctConfig;
use super::{Rest, Scale, Tree, softmax};

/// Draws a distribution over the allowed actions; zeros elsewhere.
pub(super) fn draw(settings: &PuctConfig, rng: &mut Pcg64, logits: &[f32], noise: &mut [f32]) {
    noise.fill(0.0);
    let allowed = logits.iter().filter(|logit| logit.is_finite()).count().max(1);
    // The settings are checked: a concentration above zero makes a distribution.
    let Ok(gamma) = Gamma::new(settings.dirichlet_alpha / allowed as f64, 1.0) else { return };
    let mut sum = 0.0;
    for (noise, logit) in noise.iter_mut().zip(logits) {
        if logit.is_finite() {
            let drawn: f64 = gamma.sample(rng);
            *noise = drawn as f32;
            sum += *noise;
        }
    }
    for noise in noise {
        *noise = if sum > 0.0 { *noise / sum } else { 0.0 };
    }
}

/// The probabilities of a node, at the root with noise.
fn priors(settings: &PuctConfig, tree: &Tree, node: u32, noise: &[f32]) -> Vec<f32> {
    let mut priors = vec![0.0; tree.actions()];
    softmax(tree.logits(node), &mut priors);
    if node == tree.root() && noise.iter().any(|&noise| noise > 0.0) {
        let fraction = settings.dirichlet_fraction as f32;
        for (prior, noise) in priors.iter_mut().zip(noise) {
            *prior = (1.0 - fraction) * *prior + fraction * noise;
        }
    }
    priors
}

/// Visits and value of every action of a node.
struct Known {
    visits: Vec<u32>,
    values: Vec<f32>,
    total: u32,
}

fn known(tree: &Tree, node: u32, scale: Scale, fpu: f32, discount: f32) -> Known {
    let untried = scale.unit(tree, tree.mean(node)) - fpu;
    let mut known = Known { visits: Vec::new(), values: Vec::new(), total: 0 };
    for action in 0..tree.actions() {
        let tried = tree.action_value(node, action, discount);
        let (visits, value) = tried.map_or((0, untried), |(visits, value)| (visits, scale.unit(tree, value)));
        known.visits.push(visits);
        known.values.push(value);
        known.total += visits;
    }
    known
}

/// The action that a simulation takes at a node.
pub(super) fn select(settings: &PuctConfig, tree: &Tree, node: u32, rest: &Rest<'_>, discount: f32) -> usize {
    let priors = priors(settings, tree, node, rest.noise);
    let known = known(tree, node, rest.scale, settings.fpu_reduction as f32, discount);
    let logits = tree.logits(node);
    let root = (known.total.max(1) as f32).sqrt();
    let explores = node == tree.root() && rest.noise.iter().any(|&noise| noise > 0.0);
    let (mut best, mut action) = (f32::NEG_INFINITY, 0);
    for a in (0..tree.actions()).filter(|&a| logits[a].is_finite()) {
        let visits = known.visits[a] as f32;
        let forced = (settings.forced_playouts as f32 * priors[a] * known.total as f32).sqrt();
        let bound = if explores && visits > 0.0 && visits < forced {
            f32::MAX
        } else {
            known.values[a] + settings.c_puct as f32 * priors[a] * root / (1.0 + visits)
        };
        if bound > best {
            (best, action) = (bound, a);
        }
    }
    action
}

/// The action to take: drawn by visit counts with the uniform number `u`, else the most visited. Writes what is to be learned:
/// the shares of visits, without those that were forced.
pub(super) fn decide(
    settings: &PuctConfig,
    tree: &Tree,
    noise: &[f32],
    discount: f32,
    u: Option<f32>,
    policy: &mut [f32],
) -> usize {
    let root = tree.root();
    let visits: Vec<u32> = (0..tree.actions())
        .map(|action| tree.action_value(root, action, discount).map_or(0, |(visits, _)| visits))
        .collect();
    let most = (0..visits.len()).fold(0, |best, a| if visits[a] > visits[best] { a } else { best });
    for (share, &visits) in policy.iter_mut().zip(&visits) {
        *share = visits as f32;
    }
    if visits[most] == 0 {
        // No simulation was taken: the network's own probabilities.
        policy.copy_from_slice(&priors(settings, tree, root, &[]));
    } else if settings.forced_playouts > 0.0 && noise.iter().any(|&noise| noise > 0.0) {
        prune(settings, tree, noise, most, discount, policy);
    }
    let sum: f32 = policy.iter().sum();
    policy.iter_mut().for_each(|share| *share /= sum);
    let Some(u) = u else { return most };
    let power = 1.0 / settings.temperature;
    let weights: Vec<f64> = visits.iter().map(|&visits| libm::pow(f64::from(visits), power)).collect();
    let target = f64::from(u) * weights.iter().sum::<f64>();
    let mut reached = 0.0;
    let drawn = weights.iter().position(|weight| {
        reached += weight;
        *weight > 0.0 && reached > target
    });
    drawn.unwrap_or(most)
}

/// Takes off the visits without which an action's bound would still not have been above that of the most visited.
fn prune(settings: &PuctConfig, tree: &Tree, noise: &[f32], most: usize, discount: f32, policy: &mut [f32]) {
    let scale = Scale::Game;
    let known = known(tree, tree.root(), scale, settings.fpu_reduction as f32, discount);
    let priors = priors(settings, tree, tree.root(), noise);
    let root = (known.total.max(1) as f32).sqrt();
    let bound =
        |a: usize, visits: f32| known.values[a] + settings.c_puct as f32 * priors[a] * root / (1.0 + visits);
    let best = bound(most, policy[most]);
    for a in 0..policy.len() {
        if a == most || policy[a] == 0.0 {
            continue;
        }
        let forced = (settings.forced_playouts as f32 * priors[a] * known.total as f32).sqrt();
        let least = (policy[a] - forced).max(0.0).ceil();
        while policy[a] > least && bound(a, policy[a] - 1.0) < best {
            policy[a] -= 1.0;
        }
        // A single visit says nothing.
        if policy[a] <= 1.0 {
            policy[a] = 0.0;
        }
    }
}
