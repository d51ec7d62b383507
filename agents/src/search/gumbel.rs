//! Gumbel `AlphaZero`: which actions are tried, and what is made of it.
//!
//! At the root the `m` actions of the greatest `g(a) + logits(a)`, with Gumbel noise `g`, are tried by sequential halving: all
//! equally often, then the better half of them, and so on, by `g(a) + logits(a) + σ(q(a))`. Below the root the action is taken
//! whose share of visits is furthest below its probability in `π' = softmax(logits + σ(q))`. Both complete the values of
//! actions that were not tried.
//!
//! ```text
//! σ(q) = (c_visit + max_b N(b)) c_scale q,   q between 0 and 1
//! q(a) = v where a was not tried,   v = (v̂ + Σ N · Σ_{tried} π(b) q(b) / Σ_{tried} π(b)) / (1 + Σ N)
//! ```
//!
//! # Source
//! Danihelka, Guez, Schrittwieser and Silver (2022), *Policy improvement by planning with Gumbel*, equations 7, 8, 10, 11
//! and 33 (mixed value).

use agon_envs::Pcg64;

use super::settings::GumbelConfig;
use super::{Rest, Tree, softmax};

/// Draws noise for each action.
pub(super) fn draw(rng: &mut Pcg64, noise: &mut [f32]) {
    for noise in noise {
        // −ln(−ln u), with u above 0 and below 1.
        let u = rng.random().clamp(1e-12, 1.0 - 1e-12);
        *noise = -libm::log(-libm::log(u)) as f32;
    }
}

/// What is known of a node's actions.
struct Known {
    /// `[A]`: visits.
    visits: Vec<u32>,
    /// `[A]`: completed values.
    values: Vec<f32>,
    /// `[A]`: logits + σ(completed values); −∞ where an action is not allowed.
    improved: Vec<f32>,
}

fn known(settings: &GumbelConfig, tree: &Tree, node: u32, rest: &Rest<'_>, discount: f32) -> Known {
    let (logits, actions) = (tree.logits(node), tree.actions());
    let mut priors = vec![0.0; actions];
    softmax(logits, &mut priors);
    let mut visits = vec![0; actions];
    let mut values = vec![0.0; actions];
    let (mut total, mut weight, mut weighted) = (0, 0.0, 0.0);
    for action in 0..actions {
        if let Some((count, value)) = tree.action_value(node, action, discount) {
            (visits[action], values[action]) = (count, value);
            total += count;
            // What the network all but excludes counts a little, if it was tried.
            let prior = priors[action].max(f32::MIN_POSITIVE);
            weight += prior;
            weighted += prior * value;
        }
    }
    let own = tree.node(node).value;
    let mixed = if total > 0 { (own + total as f32 * weighted / weight) / (1.0 + total as f32) } else { own };
    let most = visits.iter().copied().max().unwrap_or(0);
    let factor = (settings.c_visit as f32 + most as f32) * settings.c_scale as f32;
    for (value, &visits) in values.iter_mut().zip(&visits) {
        *value = if visits > 0 { *value } else { mixed };
    }
    let improved = logits.iter().zip(&values);
    let improved = improved.map(|(logit, &value)| logit + factor * rest.scale.unit(tree, value)).collect();
    Known { visits, values, improved }
}

/// The action that a simulation takes at a node.
pub(super) fn select(
    settings: &GumbelConfig,
    tree: &Tree,
    node: u32,
    rest: &Rest<'_>,
    discount: f32,
) -> usize {
    let known = known(settings, tree, node, rest, discount);
    if node == tree.root() {
        let allowed = tree.logits(node).iter().filter(|logit| logit.is_finite()).count();
        let visits = visits_at(settings.max_considered.min(allowed), rest.budget, rest.simulation);
        return best(tree.actions(), |action| {
            (known.visits[action] == visits).then(|| rest.noise[action] + known.improved[action])
        });
    }
    let mut probabilities = vec![0.0; tree.actions()];
    softmax(&known.improved, &mut probabilities);
    let total: u32 = known.visits.iter().sum();
    best(tree.actions(), |action| {
        let share = known.visits[action] as f32 / (1 + total) as f32;
        known.improved[action].is_finite().then(|| probabilities[action] - share)
    })
}

/// The action to take, after the simulations, and the value `Σ π'(a) q(a)`: that of the improved probabilities, which are
/// written, and not the mean of what was tried, of which much is worse.
pub(super) fn decide(
    settings: &GumbelConfig,
    tree: &Tree,
    rest: &Rest<'_>,
    discount: f32,
    policy: &mut [f32],
) -> (usize, f32) {
    let known = known(settings, tree, tree.root(), rest, discount);
    softmax(&known.improved, policy);
    let most = known.visits.iter().copied().max().unwrap_or(0);
    let action = best(tree.actions(), |action| {
        (known.visits[action] == most).then(|| rest.noise[action] + known.improved[action])
    });
    (action, policy.iter().zip(&known.values).map(|(share, value)| share * value).sum())
}

/// The action of the greatest score, the first among equals; actions without a score, or one of −∞, are passed over.
fn best(actions: usize, score: impl Fn(usize) -> Option<f32>) -> usize {
    let mut best = (f32::NEG_INFINITY, 0);
    for action in 0..actions {
        if let Some(score) = score(action)
            && score > best.0
        {
            best = (score, action);
        }
    }
    best.1
}

/// How often an action has been visited that simulation number `simulation` of sequential halving tries: the schedule of a
/// budget, in which the considered actions are halved in each of `⌈log₂ m⌉` phases, of about equal length.
pub(super) fn visits_at(considered: usize, budget: usize, simulation: usize) -> u32 {
    if considered <= 1 {
        return simulation as u32;
    }
    let phases = considered.next_power_of_two().ilog2() as usize;
    let (mut remaining, mut visits, mut begin) = (considered, 0, 0);
    loop {
        let rounds = (budget / (phases * remaining)).max(1);
        let end = begin + rounds * remaining;
        if simulation < end {
            return (visits + (simulation - begin) / remaining) as u32;
        }
        (begin, visits) = (end, visits + rounds);
        remaining = (remaining / 2).max(2);
    }
}
