//! Trajectories that the world model makes up, and what they return.

use agon_envs::Pcg64;
use agon_nn::losses::mixed_categorical::MixedProbs;
use agon_nn::rssm::Latents;
use agon_nn::{Packed, PackedRssm, Params, RssmScratch, Scratch, Sequential};

use super::actions::Actions;
use super::config::DreamerConfig;
use super::world::World;
use crate::AgentError;
use crate::world_model::acts::uniform;
use crate::world_model::numbers::numbers;

/// The networks as imagination reads them.
pub(super) struct Imagining<'a> {
    config: &'a DreamerConfig,
    world: &'a World,
    actions: &'a Actions,
    actor: &'a Sequential,
    critic: &'a Sequential,
    rssm: PackedRssm,
    reward: Packed,
    continuation: Packed,
    of_actor: Packed,
    of_critic: Packed,
    of_slow_critic: Packed,
}

/// Trajectories of `H` steps from `N` states; row `t · N + n` of everything.
#[derive(Debug, Default)]
pub(super) struct Imagined {
    /// `[H + 1, N, F]`: states, the first ones observed.
    pub(super) features: Vec<f32>,
    /// `[H, N, A]`: actions as they were drawn.
    pub(super) drawn: Vec<f32>,
    /// `[H, N]`: how likely it is that a state is reached, discounted.
    pub(super) weights: Vec<f32>,
    /// `[H, N]`: λ-returns.
    pub(super) returns: Vec<f32>,
    /// `[H + 1, N]`: the critic's values.
    pub(super) values: Vec<f32>,
    /// `[H + 1, N]`: those of its slow copy.
    pub(super) slow_values: Vec<f32>,
}

/// Working memory of one slice.
#[derive(Debug, Default)]
pub(super) struct ImaginationScratch {
    rssm: RssmScratch,
    layers: Scratch,
    probs: MixedProbs,
    deterministic: Vec<f32>,
    latents: Vec<f32>,
    outputs: Vec<f32>,
    done: Vec<f32>,
    noise: Vec<f32>,
    logits: Vec<f32>,
    rewards: Vec<f32>,
    continues: Vec<f32>,
}

/// The parameters of all networks that imagination reads.
pub(super) struct Minds<'a> {
    pub(super) world: &'a Params,
    pub(super) actor: &'a Params,
    pub(super) critic: &'a Params,
    pub(super) slow_critic: &'a Params,
}

impl<'a> Imagining<'a> {
    /// Packs the networks' weights.
    pub(super) fn new(
        config: &'a DreamerConfig,
        (world, actions): (&'a World, &'a Actions),
        (actor, critic): (&'a Sequential, &'a Sequential),
        minds: &Minds<'_>,
    ) -> Result<Self, AgentError> {
        Ok(Self {
            config,
            world,
            actions,
            actor,
            critic,
            rssm: PackedRssm::new(&world.rssm, minds.world)?,
            reward: Packed::new(&world.reward, minds.world)?,
            continuation: Packed::new(&world.continuation, minds.world)?,
            of_actor: Packed::new(actor, minds.actor)?,
            of_critic: Packed::new(critic, minds.critic)?,
            of_slow_critic: Packed::new(critic, minds.slow_critic)?,
        })
    }

    /// Goes on from states, `[N, F]`; `continues` says after which of them anything follows, `[N]`.
    pub(super) fn imagine(
        &self,
        states: &[f32],
        continues: &[bool],
        rng: &mut Pcg64,
        scratch: &mut ImaginationScratch,
        out: &mut Imagined,
    ) -> Result<(), AgentError> {
        let (rssm, horizon, rows) = (&self.world.rssm, self.config.horizon, continues.len());
        let (width, deterministic) = (rssm.features(), rssm.deterministic());
        out.features.clear();
        out.features.extend_from_slice(states);
        out.drawn.clear();
        let ImaginationScratch { deterministic: hidden, latents, outputs, done, noise, probs, .. } = scratch;
        [&mut *hidden, &mut *latents].into_iter().for_each(Vec::clear);
        for state in states.chunks_exact(width) {
            hidden.extend_from_slice(&state[..deterministic]);
            latents.extend_from_slice(&state[deterministic..]);
        }
        outputs.resize(rows * self.actor.outputs(), 0.0);
        done.resize(rows * self.actions.len(), 0.0);
        for step in 0..horizon {
            let state = &out.features[step * rows * width..];
            self.actor.infer(&self.of_actor, state, rows, &mut scratch.layers, outputs)?;
            self.actions.choose(outputs, Some(rng), probs, done)?;
            out.drawn.extend_from_slice(done);
            self.actions.done(done);
            rssm.advance(&self.rssm, (latents, done), &[], hidden, &mut scratch.rssm)?;
            noise.clear();
            noise.extend((0..rows * rssm.latents()).map(|_| uniform(rng)));
            rssm.prior(&self.rssm, hidden, Latents::Drawn(noise), &mut scratch.rssm, latents)?;
            let pairs = hidden.chunks_exact(deterministic).zip(latents.chunks_exact(width - deterministic));
            for (hidden, latents) in pairs {
                out.features.extend_from_slice(hidden);
                out.features.extend_from_slice(latents);
            }
        }
        self.judge(continues, scratch, out)
    }

    /// What the states of trajectories pay, whether they go on, what they are worth, and what follows from that.
    fn judge(
        &self,
        continues: &[bool],
        scratch: &mut ImaginationScratch,
        out: &mut Imagined,
    ) -> Result<(), AgentError> {
        let (horizon, rows) = (self.config.horizon, continues.len());
        let ImaginationScratch { layers, logits, rewards, continues: follows, .. } = scratch;
        let followed = &out.features[rows * self.world.rssm.features()..];
        let (steps, all) = (horizon * rows, (horizon + 1) * rows);
        let bins = self.world.two_hot.bins();
        logits.resize(steps * bins, 0.0);
        self.world.reward.infer(&self.reward, followed, steps, layers, logits)?;
        rewards.clear();
        numbers(&self.world.two_hot, logits, rewards)?;
        follows.resize(steps, 0.0);
        self.world.continuation.infer(&self.continuation, followed, steps, layers, follows)?;
        agon_nn::kernels::sigmoid(follows);
        logits.resize(all * bins, 0.0);
        for (packed, values) in
            [(&self.of_critic, &mut out.values), (&self.of_slow_critic, &mut out.slow_values)]
        {
            self.critic.infer(packed, &out.features, all, layers, logits)?;
            values.clear();
            numbers(&self.world.two_hot, logits, values)?;
        }
        let (gamma, lambda) = (self.config.gamma as f32, self.config.return_lambda as f32);
        let discounts: Vec<f32> = follows.iter().map(|follows| gamma * follows).collect();
        out.returns.resize(steps, 0.0);
        lambda_returns(rows, rewards, &discounts, &out.values, lambda, &mut out.returns);
        out.weights.clear();
        out.weights.extend(continues.iter().map(|&goes_on| if goes_on { 1.0 } else { 0.0 }));
        for at in rows..steps {
            let weight = out.weights[at - rows] * discounts[at - rows];
            out.weights.push(weight);
        }
        Ok(())
    }
}

/// `G_t = r_t + d_t ((1 − λ) V_{t+1} + λ G_{t+1})`, where the last return is the last value.
///
/// # Shapes
/// `rewards`, `discounts`, of what a step leads to, and `out`: `[H, N]`; `values`: `[H + 1, N]`.
fn lambda_returns(
    rows: usize,
    rewards: &[f32],
    discounts: &[f32],
    values: &[f32],
    lambda: f32,
    out: &mut [f32],
) {
    for at in (0..out.len()).rev() {
        let value = values[at + rows];
        let following = if at + rows < out.len() { out[at + rows] } else { value };
        out[at] = rewards[at] + discounts[at] * ((1.0 - lambda) * value + lambda * following);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_between_one_step_and_all_of_them() {
        // Two steps of one trajectory: rewards 1 and 2, discounts ½ and ½, values 3, 4 and 8.
        let of = |lambda| {
            let mut out = [0.0; 2];
            lambda_returns(1, &[1.0, 2.0], &[0.5, 0.5], &[3.0, 4.0, 8.0], lambda, &mut out);
            out
        };
        assert_eq!(of(0.0), [1.0 + 0.5 * 4.0, 2.0 + 0.5 * 8.0]);
        assert_eq!(of(1.0), [1.0 + 0.5 * 6.0, 6.0]);
        assert_eq!(of(0.5), [1.0 + 0.5 * (0.5 * 4.0 + 0.5 * 6.0), 6.0]);
    }

    #[test]
    fn trajectories_do_not_mix() {
        let mut out = [0.0; 4];
        lambda_returns(2, &[1.0, 10.0, 2.0, 20.0], &[1.0; 4], &[0.0; 6], 1.0, &mut out);
        assert_eq!(out, [3.0, 30.0, 2.0, 20.0]);
    }
}
