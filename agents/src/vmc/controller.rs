//! C: a linear map from what is seen and remembered to what is done.

use agon_envs::Pcg64;
use agon_nn::losses::mixed_categorical::most_probable;
use agon_nn::{Init, LayoutBuilder, Params};

use crate::world_model::acts::{Acts, uniform};

/// The sizes of the map; its weights are one flat row, `[A · (F + 1)]`: those of each action's values and a bias.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    pub(super) acts: Acts,
    features: usize,
}

/// What its weights are called.
const WEIGHT: &str = "weight";

impl Controller {
    pub(super) fn new(acts: Acts, features: usize) -> Self {
        Self { acts, features }
    }

    /// Numbers that evolve.
    pub(super) fn len(&self) -> usize {
        self.acts.len() * (self.features + 1)
    }

    /// Its parameters to be: it begins as one that does always the same.
    pub(super) fn layout(&self) -> LayoutBuilder {
        let mut builder = LayoutBuilder::new();
        builder.add(WEIGHT, &[self.len()], Init::Zeros);
        builder
    }

    /// Its weights, as they lie.
    pub(super) fn weights<'a>(&self, params: &'a Params) -> &'a [f32] {
        &params.as_slice()[params.layout().specs()[0].range.range()]
    }

    /// Its weights, to be changed.
    pub(super) fn weights_mut<'a>(&self, params: &'a mut Params) -> &'a mut [f32] {
        let place = params.layout().specs()[0].range.range();
        &mut params.as_mut_slice()[place]
    }

    /// What is done in one state, `[F]`, as an action, `[A]`: the choice with the greatest value, or values between −1 and 1.
    pub(super) fn act(&self, weights: &[f32], state: &[f32], out: &mut [f32]) {
        for (value, weights) in out.iter_mut().zip(weights.chunks_exact(self.features + 1)) {
            let (weights, bias) = weights.split_at(self.features);
            *value = bias[0] + dot(weights, state);
        }
        match self.acts {
            Acts::Discrete(_) => {
                let chosen = most_probable(out);
                out.fill(0.0);
                out[chosen] = 1.0;
            }
            Acts::Continuous(_) => out.iter_mut().for_each(|value| *value = value.tanh()),
        }
    }

    /// A random action, `[A]`.
    pub(super) fn explore(&self, rng: &mut Pcg64, out: &mut [f32]) {
        match self.acts {
            Acts::Discrete(choices) => {
                out.fill(0.0);
                out[rng.integers(0, choices as i64) as usize] = 1.0;
            }
            Acts::Continuous(_) => out.iter_mut().for_each(|value| *value = 2.0 * uniform(rng) - 1.0),
        }
    }
}

/// In eight sums, so that the processor can do them at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (a_blocks, b_blocks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest
}
