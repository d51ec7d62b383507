//! ε-greedy actions of a value network, with a memory or without.

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::{MemoryState, Model, PackedModel};

use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::schedule::LinearSchedule;
use crate::{AgentError, network};

/// A snapshot of a network whose head has a value for each action, with its exploration.
pub(crate) struct EpsilonGreedy {
    pub(crate) model: Arc<Model>,
    pub(crate) packed: PackedModel,
    /// Probability of a random action.
    pub(crate) epsilon: LinearSchedule,
}

impl Policy for EpsilonGreedy {
    fn state_len(&self) -> usize {
        self.model.state_len()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, model_scratch, outputs, .. } = actor;
        let epsilon = match input.mode {
            ActMode::Explore => self.epsilon.at(input.env_steps),
            ActMode::Deterministic => 0.0,
        };
        let num_actions = self.model.outputs(0);
        outputs.resize(input.num_envs * num_actions, 0.0);
        // Also where every action is random: a memory must see each observation.
        let memory = &mut MemoryState { state, resets: input.resets };
        let observations = network::rows(input.observations);
        self.model.infer(
            &self.packed,
            observations,
            input.num_envs,
            memory,
            model_scratch,
            &mut [&mut outputs[..]],
        )?;
        let rows = output.actions.indices_mut().iter_mut().zip(outputs.chunks_exact(num_actions));
        for (row, (action, values)) in rows.enumerate() {
            let mask = mask_of(input.action_masks, row, num_actions);
            let explores = epsilon > 0.0 && rng.random() < epsilon;
            *action = if explores { any(num_actions, mask, rng) } else { greedy(values, mask) } as u32;
        }
        Ok(())
    }
}

/// The mask of a row; none where there are no masks.
pub(crate) fn mask_of(masks: &[bool], row: usize, num_actions: usize) -> Option<&[bool]> {
    masks.get(row * num_actions..(row + 1) * num_actions)
}

/// The allowed action of the highest value; the first of equals.
pub(crate) fn greedy(values: &[f32], mask: Option<&[bool]>) -> usize {
    let first = mask.and_then(|mask| mask.iter().position(|&allowed| allowed)).unwrap_or(0);
    let mut best = (first, f32::NEG_INFINITY);
    for (action, &value) in values.iter().enumerate() {
        if value > best.1 && mask.is_none_or(|mask| mask[action]) {
            best = (action, value);
        }
    }
    best.0
}

/// An allowed action, each with the same probability.
fn any(num_actions: usize, mask: Option<&[bool]>, rng: &mut Pcg64) -> usize {
    let allowed = mask.map_or(num_actions, |mask| mask.iter().filter(|&&allowed| allowed).count());
    let chosen = rng.bounded(allowed.max(1) as u64 - 1) as usize;
    mask.and_then(|mask| (0..num_actions).filter(|&action| mask[action]).nth(chosen)).unwrap_or(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_broken_by_the_first_allowed_action() {
        assert_eq!(greedy(&[1.0, 3.0, 3.0], None), 1);
        assert_eq!(greedy(&[5.0, 3.0, 3.0], Some(&[false, true, true])), 1);
        assert_eq!(greedy(&[f32::NAN; 3], Some(&[false, false, true])), 2);
    }

    #[test]
    fn random_actions_are_allowed_ones_alike() {
        let mut rng = Pcg64::seed_from(1);
        let mut counts = [0_u32; 4];
        (0..4000).for_each(|_| counts[any(4, Some(&[true, false, true, false]), &mut rng)] += 1);
        // 2000 each with a deviation of 32; five of them.
        assert!(counts[0].abs_diff(2000) < 160 && counts[1] == 0 && counts[3] == 0, "{counts:?}");
    }
}
