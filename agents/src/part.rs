//! One of a learner's networks: its parameters, what they are called among the weights, and what trains them.

use agon_nn::{Optimizer, OptimizerConfig, OptimizerState, Params};
use serde::{Deserialize, Serialize};

use crate::slices::{self, Slice};
use crate::{AgentError, Weights};

/// What a target network's tensors are called, before their own names.
pub(crate) const TARGET: &str = "target.";

/// Parameters that are saved and have a name.
#[derive(Debug)]
pub struct Part {
    /// What the tensors are called, before their own names: empty for the acting network.
    prefix: &'static str,
    pub(crate) params: Params,
    /// None for a network that does not learn by gradients.
    optimizer: Option<Optimizer>,
}

/// What is saved of one.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedPart {
    params: Vec<f32>,
    pub(crate) optimizer: Option<OptimizerState>,
}

impl Part {
    /// A network that gradients train.
    pub(crate) fn trained(
        prefix: &'static str,
        params: Params,
        optimizer: OptimizerConfig,
    ) -> Result<Self, AgentError> {
        let optimizer = Some(Optimizer::new(optimizer, params.len())?);
        Ok(Self { prefix, params, optimizer })
    }

    /// A network that follows another one, or never changes.
    pub(crate) fn fixed(prefix: &'static str, params: Params) -> Self {
        Self { prefix, params, optimizer: None }
    }

    /// Takes a step against the gradient that is summed over slices; a network without an optimizer takes none.
    ///
    /// # Errors
    /// If the gradient is not finite, naming the parameter.
    pub(crate) fn descend<W, S>(
        &mut self,
        slices: &mut [Slice<W, S>],
        max_grad_norm: f64,
        learning_rate: f64,
    ) -> Result<(), AgentError> {
        let Some(optimizer) = &mut self.optimizer else { return Ok(()) };
        slices::descend(&mut self.params, optimizer, slices, max_grad_norm, learning_rate)
    }

    /// Takes a step against a gradient.
    ///
    /// # Errors
    /// If the gradient is of another length.
    pub(crate) fn step(&mut self, gradient: &[f32], learning_rate: f64) -> Result<(), AgentError> {
        let Some(optimizer) = &mut self.optimizer else { return Ok(()) };
        Ok(optimizer.step(&mut self.params, gradient, learning_rate as f32)?)
    }

    /// Moves a part of the way to another network: 1 is a copy.
    pub(crate) fn follow(&mut self, other: &Self, tau: f64) -> Result<(), AgentError> {
        Ok(self.params.lerp_from(&other.params, tau as f32)?)
    }
}

/// A network that follows another one, and its form for computing without a tape.
#[derive(Debug)]
pub(crate) struct Target<P> {
    pub(crate) part: Part,
    pub(crate) packed: P,
}

impl<P> Target<P> {
    /// Moves a part of the way to another network: 1 is a copy.
    pub(crate) fn follow(
        &mut self,
        online: &Part,
        tau: f64,
        pack: impl FnOnce(&Params) -> Result<P, AgentError>,
    ) -> Result<(), AgentError> {
        if tau < 1.0 {
            self.part.follow(online, tau)?;
        } else {
            self.part.params = online.params.clone();
        }
        self.packed = pack(&self.part.params)?;
        Ok(())
    }
}

/// Whether a multiple of `every` steps was passed or reached on the way from `before` to `now`.
pub(crate) fn is_due(every: u64, before: u64, now: u64) -> bool {
    now / every > before / every
}

/// The weights of all parts, in their order.
pub(crate) fn weights(parts: &[&Part]) -> Weights {
    let mut weights = Weights::new();
    parts.iter().for_each(|part| weights.add(part.prefix, &part.params));
    weights
}

/// Takes on the weights of all parts, or changes nothing.
///
/// # Errors
/// [`AgentError::Weights`] with every name and shape that does not fit.
pub(crate) fn load_weights(parts: &mut [&mut Part], weights: &Weights) -> Result<(), AgentError> {
    let mut networks: Vec<_> = parts.iter_mut().map(|part| (part.prefix, &mut part.params)).collect();
    weights.fill_all(&mut networks, &[])
}

/// What is saved of all parts, in their order.
pub(crate) fn save(parts: &[&Part]) -> Vec<SavedPart> {
    let saved = parts.iter().map(|part| SavedPart {
        params: part.params.as_slice().to_vec(),
        optimizer: part.optimizer.as_ref().map(Optimizer::state),
    });
    saved.collect()
}

/// Parts with a saved state, to be taken on when everything else has been checked too.
pub(crate) struct Restored(Vec<(Params, Option<Optimizer>)>);

/// Checks what was saved of parts.
///
/// # Errors
/// [`AgentError::Restore`] if it belongs to other networks or other optimizers.
pub(crate) fn restored(parts: &[&Part], saved: Vec<SavedPart>) -> Result<Restored, AgentError> {
    expect_len("networks", parts.len(), saved.len())?;
    let restored = parts.iter().zip(saved).map(|(part, saved)| {
        expect_len("weights", part.params.len(), saved.params.len())?;
        let mut params = part.params.clone();
        params.as_mut_slice().copy_from_slice(&saved.params);
        let optimizer = match (&part.optimizer, saved.optimizer) {
            (Some(optimizer), Some(saved)) => {
                let damaged = |error: agon_nn::NnError| AgentError::Restore(error.to_string());
                let restored = Optimizer::from_state(optimizer.config(), saved).map_err(damaged)?;
                expect_len("values of the optimizer", params.len(), restored.len())?;
                Some(restored)
            }
            (None, None) => None,
            (expected, _) => {
                let expected = if expected.is_some() { "an optimizer" } else { "no optimizer" };
                return Err(AgentError::Restore(format!("expected a network with {expected}")));
            }
        };
        Ok((params, optimizer))
    });
    Ok(Restored(restored.collect::<Result<_, _>>()?))
}

impl Restored {
    /// Takes the state on.
    pub(crate) fn put(self, parts: &mut [&mut Part]) {
        for (part, (params, optimizer)) in parts.iter_mut().zip(self.0) {
            (part.params, part.optimizer) = (params, optimizer);
        }
    }
}

fn expect_len(what: &str, expected: usize, found: usize) -> Result<(), AgentError> {
    if expected == found {
        Ok(())
    } else {
        Err(AgentError::Restore(format!("expected {expected} {what}, got {found}")))
    }
}
