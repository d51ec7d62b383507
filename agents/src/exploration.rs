//! ε-greedy actions: the best one, or with probability ε any one.

use agon_envs::Pcg64;
use agon_nn::Schedule;

use crate::AgentError;
use crate::settings::shares;

/// Marks a row whose action the network chooses.
const EXPLOIT: u32 = u32::MAX;

/// The settings of ε.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exploration {
    /// ε at first.
    pub(crate) start_e: f64,
    /// ε in the end.
    pub(crate) end_e: f64,
    /// Share of the run over which it falls linearly.
    pub(crate) exploration_fraction: f64,
}

impl Exploration {
    pub(crate) fn validate(&self) -> Result<(), AgentError> {
        let Self { start_e, end_e, exploration_fraction } = *self;
        shares(&[("start_e", start_e), ("end_e", end_e), ("exploration_fraction", exploration_fraction)])
    }

    /// ε over a run of so many environment steps.
    pub(crate) fn epsilon(&self, total_timesteps: u64) -> Schedule {
        let duration = self.exploration_fraction * total_timesteps as f64;
        Schedule::linear(self.start_e, self.end_e, duration)
    }
}

/// Which of a batch of rows act at random, and how; the network chooses for the others.
///
/// # Shapes
/// `actions`: `[N]`, `masks`: `[N, A]` or empty. Gives whether there is a row that the network chooses for.
pub(crate) fn explore(
    epsilon: f64,
    num_actions: usize,
    masks: &[bool],
    rng: &mut Pcg64,
    actions: &mut [u32],
) -> bool {
    let mut greedy = false;
    for (row, action) in actions.iter_mut().enumerate() {
        *action = EXPLOIT;
        if epsilon > 0.0 && rng.random() < epsilon {
            *action = random_action(num_actions, mask_of(masks, num_actions, row), rng);
        }
        greedy |= *action == EXPLOIT;
    }
    greedy
}

/// The best action in every row that does not act at random.
///
/// # Shapes
/// `values`: `[N, A]`, `masks`: `[N, A]` or empty, `actions`: `[N]`.
pub(crate) fn exploit(values: &[f32], num_actions: usize, masks: &[bool], actions: &mut [u32]) {
    for (row, (action, values)) in actions.iter_mut().zip(values.chunks_exact(num_actions)).enumerate() {
        if *action == EXPLOIT {
            *action = best(values, mask_of(masks, num_actions, row)) as u32;
        }
    }
}

/// The mask of a row, where there are masks.
pub(crate) fn mask_of(masks: &[bool], num_actions: usize, row: usize) -> Option<&[bool]> {
    masks.get(row * num_actions..(row + 1) * num_actions)
}

/// One of the allowed actions, all alike.
fn random_action(num_actions: usize, mask: Option<&[bool]>, rng: &mut Pcg64) -> u32 {
    let allowed = mask.map_or(num_actions, |mask| mask.iter().filter(|&&allowed| allowed).count());
    let chosen = rng.bounded(allowed.max(1) as u64 - 1) as usize;
    let nth = |mask: &[bool]| (0..num_actions).filter(|&action| mask[action]).nth(chosen);
    mask.and_then(nth).unwrap_or(chosen) as u32
}

/// The allowed action of the highest value; the first of equals.
pub(crate) fn best(values: &[f32], mask: Option<&[bool]>) -> usize {
    let first = mask.and_then(|mask| mask.iter().position(|&allowed| allowed)).unwrap_or(0);
    let mut best = (first, f32::NEG_INFINITY);
    for (action, &value) in values.iter().enumerate() {
        if value > best.1 && mask.is_none_or(|mask| mask[action]) {
            best = (action, value);
        }
    }
    best.0
}
