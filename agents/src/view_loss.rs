//! What augmentation adds to a policy gradient: policy and values say the same of a view of an observation.
//!
//! `KL(π(·|s) ‖ π(·|f(s))) + ½ (V(s) − V(f(s)))²`, where nothing is asked of what is said of `s` itself.
//!
//! # Source
//! Raileanu et al. (2021), arXiv:2006.12862, equations 4 to 6, with the expectation over actions in place of a drawn one.

use agon_nn::{Matrix, Params, Tape, Unroll};

use crate::AgentError;
use crate::actor_critic::ActorCritic;
use crate::augmentation::{ActionMaps, Augmenter, PolicyAugmentation};
use crate::distribution::Distribution;
use crate::divergence::Pair;
use crate::learner::Spaces;
use crate::minibatch::Gathered;

/// The loss.
#[derive(Debug)]
pub(crate) struct ViewLoss {
    augmenter: Augmenter,
    coef: f32,
}

/// What networks say of some rows.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) outputs: &'a Matrix,
    pub(crate) values: &'a Matrix,
}

/// What they say of a view of them, and the gradients of that.
pub(crate) struct OfView {
    pub(crate) outputs: Matrix,
    pub(crate) values: Matrix,
    pub(crate) output_grads: Vec<f32>,
    pub(crate) value_grads: Vec<f32>,
    /// The sum over rows, without `coef`.
    pub(crate) loss: f64,
}

impl ViewLoss {
    /// # Errors
    /// If a setting is out of bounds, or does not suit what is observed and done.
    pub(crate) fn new(settings: &PolicyAugmentation, spaces: &Spaces) -> Result<Self, AgentError> {
        Ok(Self { augmenter: settings.augmenter(spaces)?, coef: settings.coef as f32 })
    }

    /// Runs the networks on a view of rows, and compares.
    ///
    /// # Shapes
    /// `weights`: what the loss of each row counts, `[B]`.
    pub(crate) fn compare(
        &self,
        networks: &ActorCritic,
        params: &Params,
        gathered: &Gathered,
        (x, said): (&agon_nn::Input, Said<'_>),
        (weights, seed): (&[f32], u64),
        tape: &mut Tape,
    ) -> Result<OfView, AgentError> {
        let units = gathered.states.as_ref().map_or(gathered.rows.len(), Matrix::rows);
        // All ticks of a sequence are seen from the same place.
        let view = self.augmenter.view(x, seed, |row| u64::from(gathered.rows[row % units]))?;
        let unroll = Unroll::new(gathered.sequence_length(units)).resets(&gathered.resets);
        let [outputs, values] =
            networks.forward(params, &view.input, gathered.states.as_ref(), &unroll, tape)?;
        let (mut output_grads, mut value_grads) =
            (vec![0.0; outputs.as_slice().len()], vec![0.0; values.as_slice().len()]);
        let target = expected(&networks.distribution, said.outputs, &view.actions);
        let mut masks = gathered.action_masks.clone();
        if !masks.is_empty() {
            let width = outputs.columns();
            let moved = masks.chunks_exact(width).enumerate();
            masks = moved.flat_map(|(row, mask)| view.actions.options(row, mask).into_owned()).collect();
        }
        let pair = Pair { target: &target, outputs: outputs.as_slice(), weights };
        let mut loss = networks.distribution.add_divergence(pair, &masks, &mut output_grads)?;
        let (columns, seen, viewed) = (values.columns(), said.values.as_slice(), values.as_slice());
        for (row, weight) in weights.iter().enumerate() {
            let error = viewed[row * columns] - seen[row * columns];
            value_grads[row * columns] = self.coef * weight * error;
            loss += f64::from(0.5 * weight * error * error);
        }
        output_grads.iter_mut().for_each(|gradient| *gradient *= self.coef);
        Ok(OfView { outputs, values, output_grads, value_grads, loss })
    }
}

/// What should be said of a view: the outputs for the rows themselves, with options and dimensions where they are in the view.
fn expected(distribution: &Distribution, outputs: &Matrix, actions: &ActionMaps) -> Vec<f32> {
    if actions.is_empty() {
        return outputs.as_slice().to_vec();
    }
    let rows = outputs.as_slice().chunks_exact(outputs.columns()).enumerate();
    let expected = rows.flat_map(|(row, outputs)| match distribution {
        Distribution::Categorical { .. } => actions.options(row, outputs).into_owned(),
        Distribution::Gaussian { low, .. } => {
            let (means, log_stds) = outputs.split_at(low.len());
            let mut means = means.to_vec();
            actions.values(row, &mut means);
            [means, actions.options(row, log_stds).into_owned()].concat()
        }
    });
    expected.collect()
}
