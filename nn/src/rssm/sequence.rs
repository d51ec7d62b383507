//! Sequences that were observed, on a tape.

use super::Rssm;
use super::graph::{all_steps, draw, each_step};
use crate::beside::beside;
use crate::error::NnError;
use crate::matrix::{Matrix, check_length};
use crate::params::Params;
use crate::recurrent::Unroll;
use crate::tape::Tape;

/// A batch of sequences: `T` steps of `B` rows, row `t · B + b`.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// `[T, B, A]`: what was done before each step.
    pub actions: &'a [f32],
    /// `[T, B]`: steps before which nothing was.
    pub resets: &'a [bool],
    /// `[T, B, C]`: numbers of `[0, 1)` that draw the latent variables.
    pub noise: &'a [f32],
    /// `[B, D]` and `[B, Z]`: the state before the first step.
    pub deterministic: &'a Matrix,
    /// See there.
    pub latents: &'a Matrix,
}

/// What a model makes of a batch of sequences, on the tape.
#[derive(Debug, Clone)]
pub struct Observed {
    /// `[T · B, F]`: the states, with latent variables drawn from the posterior.
    pub features: Matrix,
    /// `[T · B, Z]`: logits of the latent variables with what was observed.
    pub posterior: Matrix,
    /// `[T · B, Z]`: and without.
    pub prior: Matrix,
}

impl Rssm {
    /// Runs the model along sequences. Everything that it returns is differentiable, and so is `embedded`.
    ///
    /// # Shapes
    /// `embedded`: `[T · B, E]`.
    ///
    /// # Errors
    /// [`NnError::Columns`], [`NnError::Rows`] or [`NnError::Length`] if something does not fit, [`NnError::Empty`] without steps.
    pub fn observe(
        &self,
        params: &Params,
        embedded: &Matrix,
        sequence: &Sequence<'_>,
        tape: &mut Tape,
    ) -> Result<Observed, NnError> {
        let rows = sequence.deterministic.rows();
        let steps = embedded.rows() / rows;
        check_length("embedded observations", steps * rows, embedded.rows())?;
        check_length("actions", steps * rows * self.actions, sequence.actions.len())?;
        check_length("resets", steps * rows, sequence.resets.len())?;
        check_length("noise", steps * rows * self.latents, sequence.noise.len())?;
        let embedded = each_step(params, embedded, steps, tape)?;
        let (mut hidden, mut latents) = (sequence.deterministic.clone(), sequence.latents.clone());
        let (mut all_hidden, mut all_latents, mut all_posterior) = (Vec::new(), Vec::new(), Vec::new());
        for (step, embedded) in embedded.iter().enumerate() {
            let of_step = step * rows..(step + 1) * rows;
            let actions = &sequence.actions[of_step.start * self.actions..of_step.end * self.actions];
            let actions = Matrix::from_slice(rows, self.actions, actions)?;
            let resets = &sequence.resets[of_step.clone()];
            let before = beside(params, &[&latents, &actions], resets, tape)?;
            let input = self.input.forward(params, &before, tape)?;
            let unroll = Unroll::new(1).resets(resets);
            (hidden, _) = self.cell.forward(params, &input, &hidden, &unroll, tape)?;
            let seen = beside(params, &[&hidden, embedded], &[], tape)?;
            let posterior = self.posterior.forward(params, &seen, tape)?;
            let noise = &sequence.noise[of_step.start * self.latents..of_step.end * self.latents];
            latents = draw(params, self.mixed, &posterior, noise, tape)?;
            all_hidden.push(hidden.clone());
            all_latents.push(latents.clone());
            all_posterior.push(posterior);
        }
        let hidden = all_steps(params, &all_hidden, tape)?;
        let latents = all_steps(params, &all_latents, tape)?;
        let posterior = all_steps(params, &all_posterior, tape)?;
        let prior = self.prior.forward(params, &hidden, tape)?;
        let features = beside(params, &[&hidden, &latents], &[], tape)?;
        Ok(Observed { features, posterior, prior })
    }
}
