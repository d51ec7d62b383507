//! What a slice of an update reads, and what both kinds of actions make of it alike.

use agon_nn::{Input, Params, Sequential};

use super::conservative::Conservative;
use crate::AgentError;
use crate::augmentation::{ReplayViews, repeated};
use crate::critics::{CriticSums, Critics};
use crate::replay::ReplayBuffer;

/// What a slice of an update reads.
pub(super) struct Update<'a> {
    pub(super) replay: &'a ReplayBuffer,
    pub(super) actor: &'a Sequential,
    pub(super) actor_params: &'a Params,
    pub(super) critics: &'a Critics,
    pub(super) views: &'a ReplayViews,
    /// Decides the views.
    pub(super) seed: u64,
    pub(super) noise: &'a [f32],
    pub(super) gamma: f32,
    /// The temperature.
    pub(super) alpha: f32,
    /// What a nat of the entropy of what follows is worth.
    pub(super) following_alpha: f32,
    /// CQL's term of the critics' loss.
    pub(super) conservative: Option<&'a Conservative>,
    /// One over the transitions of the minibatch.
    pub(super) scale: f32,
}

impl Update<'_> {
    /// `r + γ (1 − terminated) V(s')`, where `V` is the mean over the views of what steps led to.
    ///
    /// # Shapes
    /// `following`: the sums over the views, `[B]`.
    pub(super) fn targets(&self, slots: &[u32], following: &[f32]) -> Vec<f32> {
        let views = self.views.of_targets as f32;
        let target = |(&slot, sum): (&u32, &f32)| {
            let following = if self.replay.terminated(slot) { 0.0 } else { sum / views };
            self.replay.reward(slot) + self.gamma * following
        };
        slots.iter().zip(following).map(target).collect()
    }

    /// Critics' gradient: the mean over the views of where steps were taken, all of which have the same targets, `[B]`.
    pub(super) fn regress(
        &self,
        x: &Input,
        chosen: &[usize],
        targets: &[f32],
        grads: &mut [f32],
    ) -> Result<CriticSums, AgentError> {
        let views = self.views.of_observations;
        let scale = self.scale / views as f32;
        let sums = self.critics.regress(x, chosen, &repeated(targets, views), scale, grads)?;
        Ok(CriticSums { loss: sums.loss / views as f64, values: sums.values / views as f64, gap: 0.0 })
    }

    /// Where steps were taken, as the policy sees it: one view.
    pub(super) fn seen(&self, slots: &[u32], first: usize) -> Result<Input, AgentError> {
        Ok(self.views.first_observations(self.seed, first, self.replay.observations(slots)?)?.input)
    }
}
