//! Steps without a tape: what acts and imagines.

use std::fmt;

use super::Rssm;
use super::graph::one_hot;
use crate::error::NnError;
use crate::kernels::AlignedBuffer;
use crate::losses::mixed_categorical::{MixedProbs, most_probable};
use crate::matrix::check_length;
use crate::params::Params;
use crate::sequential::{Packed, Scratch};

/// A model's weights as steps read them: made once for each snapshot.
#[derive(Clone)]
pub struct PackedRssm {
    input: Packed,
    cell: AlignedBuffer,
    posterior: Packed,
    prior: Packed,
}

impl fmt::Debug for PackedRssm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedRssm").finish_non_exhaustive()
    }
}

impl PackedRssm {
    /// Takes the model's weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(model: &Rssm, params: &Params) -> Result<Self, NnError> {
        let mut cell = AlignedBuffer::zeros(model.cell.packed_len());
        model.cell.pack(params, &mut cell)?;
        Ok(Self {
            input: Packed::new(&model.input, params)?,
            cell,
            posterior: Packed::new(&model.posterior, params)?,
            prior: Packed::new(&model.prior, params)?,
        })
    }
}

/// Working memory of steps: one for each thread, for any models.
#[derive(Debug, Default)]
pub struct RssmScratch {
    layers: Scratch,
    joined: Vec<f32>,
    input: Vec<f32>,
    before: Vec<f32>,
    logits: Vec<f32>,
    probs: MixedProbs,
}

/// How latent variables are chosen.
#[derive(Debug, Clone, Copy)]
pub enum Latents<'a> {
    /// Drawn by numbers of `[0, 1)`, `[B, C]`.
    Drawn(&'a [f32]),
    /// The most probable class of each.
    MostProbable,
}

impl Rssm {
    /// Moves the deterministic state on by one step.
    ///
    /// # Shapes
    /// `latents`: `[B, Z]`, `actions`: `[B, A]`, `resets`: `[B]` or empty for none, `deterministic`: `[B, D]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a slice has the wrong length, [`NnError::Empty`] without rows.
    pub fn advance(
        &self,
        packed: &PackedRssm,
        (latents, actions): (&[f32], &[f32]),
        resets: &[bool],
        deterministic: &mut [f32],
        scratch: &mut RssmScratch,
    ) -> Result<(), NnError> {
        let (width, rows) = (self.latent_values(), deterministic.len() / self.deterministic());
        check_length("latent variables", rows * width, latents.len())?;
        check_length("actions", rows * self.actions, actions.len())?;
        let RssmScratch { layers, joined, input, before, .. } = scratch;
        joined.clear();
        let pairs = latents.chunks_exact(width).zip(actions.chunks_exact(self.actions));
        for (row, (latents, actions)) in pairs.enumerate() {
            let at = joined.len();
            joined.extend_from_slice(latents);
            if resets.get(row) == Some(&true) {
                joined[at..].fill(0.0);
            }
            joined.extend_from_slice(actions);
        }
        input.resize(rows * self.input.outputs(), 0.0);
        self.input.infer(&packed.input, &joined[..], rows, layers, input)?;
        before.clear();
        before.extend_from_slice(deterministic);
        // The new state of a gated recurrent unit is its output.
        self.cell.step(&packed.cell, input, rows, resets, before, deterministic)
    }

    /// Chooses latent variables with what was observed.
    ///
    /// # Shapes
    /// `deterministic`: `[B, D]`, `embedded`: `[B, E]`, `out`: `[B, Z]`.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn posterior(
        &self,
        packed: &PackedRssm,
        (deterministic, embedded): (&[f32], &[f32]),
        chosen: Latents<'_>,
        scratch: &mut RssmScratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let rows = deterministic.len() / self.deterministic();
        check_length("embedded observations", rows * self.embedded, embedded.len())?;
        let RssmScratch { layers, joined, logits, .. } = scratch;
        joined.clear();
        let pairs =
            deterministic.chunks_exact(self.deterministic()).zip(embedded.chunks_exact(self.embedded));
        for (deterministic, embedded) in pairs {
            joined.extend_from_slice(deterministic);
            joined.extend_from_slice(embedded);
        }
        logits.resize(rows * self.latent_values(), 0.0);
        self.posterior.infer(&packed.posterior, &joined[..], rows, layers, logits)?;
        self.choose(chosen, scratch, out)
    }

    /// Chooses latent variables without an observation: what the model expects.
    ///
    /// # Shapes
    /// `deterministic`: `[B, D]`, `out`: `[B, Z]`.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn prior(
        &self,
        packed: &PackedRssm,
        deterministic: &[f32],
        chosen: Latents<'_>,
        scratch: &mut RssmScratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let rows = deterministic.len() / self.deterministic();
        let RssmScratch { layers, logits, .. } = scratch;
        logits.resize(rows * self.latent_values(), 0.0);
        self.prior.infer(&packed.prior, deterministic, rows, layers, logits)?;
        self.choose(chosen, scratch, out)
    }

    fn choose(&self, chosen: Latents<'_>, scratch: &mut RssmScratch, out: &mut [f32]) -> Result<(), NnError> {
        let (classes, RssmScratch { logits, probs, .. }) = (self.mixed.classes(), scratch);
        check_length("latent variables", logits.len(), out.len())?;
        self.mixed.probs(logits, probs)?;
        match chosen {
            Latents::Drawn(noise) => {
                check_length("noise", logits.len() / classes, noise.len())?;
                one_hot(probs.as_slice(), noise, classes, out);
            }
            Latents::MostProbable => {
                out.fill(0.0);
                for (probs, out) in probs.as_slice().chunks_exact(classes).zip(out.chunks_exact_mut(classes))
                {
                    out[most_probable(probs)] = 1.0;
                }
            }
        }
        Ok(())
    }

    /// The classes of latent variables, `[B, C]`, of their zeros and ones, `[B, Z]`.
    pub fn classes_of<'a>(&self, latents: &'a [f32]) -> impl Iterator<Item = usize> + 'a {
        let classes = self.mixed.classes();
        latents.chunks_exact(classes).map(most_probable)
    }
}
