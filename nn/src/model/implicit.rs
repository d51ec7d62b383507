//! Implicit quantiles: a network that gives the quantile of each action's return at any `τ` it is asked for.
//!
//! ```text
//! observation ─► encoder ───────────────► ⊙ ─► head ─► quantiles at τ, a value for each action
//!           τ ─► cosines ─► linear, ReLU ─┘
//! ```

use std::f64::consts::PI;

use agon_policy::Operation;
use rand::Rng;

use super::head::{Head, HeadConfig, HeadInit};
use super::{EncoderConfig, Observation, Summary};
use crate::error::NnError;
use crate::init::Init;
use crate::input::{Input, Rows};
use crate::kernels::Pooled;
use crate::linear::{Activation, Linear};
use crate::matrix::{Matrix, check_length};
use crate::noisy::NoisyLinear;
use crate::params::{Layout, LayoutBuilder, Params};
use crate::sequential::{Packed, Scratch, Sequential};
use crate::tape::Tape;

/// The settings of [`ImplicitQuantiles`].
#[derive(Debug, Clone, PartialEq)]
pub struct ImplicitConfig<'a> {
    /// From observations to features.
    pub encoder: &'a EncoderConfig,
    /// The layers of the head before its output.
    pub head: &'a HeadConfig,
    /// Number of actions.
    pub actions: usize,
    /// Whether the head has streams for a state's value and for advantages.
    pub dueling: bool,
    /// Cosines that a `τ` is seen as; the paper has 64.
    pub cosines: usize,
}

/// An encoder, an embedding of `τ`, and a head.
///
/// `q(x, τ) = head(ψ(x) ⊙ relu(W c(τ) + b))`, `c_j(τ) = cos(π j τ)` for `j = 0, …, n − 1`.
///
/// # Shapes
/// Observations `[B, observation]`, `τ`: `[B, N]`, quantiles `[B·N, actions]`, row `b·N + i` for `τ[b, i]`.
///
/// # Source
/// Dabney et al. 2018, arXiv:1806.06923, section 3.1 and equation 4, with `j` from 0 to `n − 1` as written there.
#[derive(Debug, Clone)]
pub struct ImplicitQuantiles {
    encoder: Option<Sequential>,
    embedding: Sequential,
    head: Sequential,
    noisy: Vec<NoisyLinear>,
    inputs: usize,
    cosines: usize,
    summary: Summary,
}

impl ImplicitQuantiles {
    /// Adds the parameters to a layout: `encoder.*`, `embedding.*` and `<name>.*` for the head.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is out of its bounds, or the encoder does not suit the observation.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        observation: &Observation,
        config: &ImplicitConfig<'_>,
        init: Init,
    ) -> Result<Self, NnError> {
        if config.cosines == 0 {
            return Err(NnError::Config { field: "cosines", expected: "at least 1", got: "0".into() });
        }
        let encoder = config
            .encoder
            .build(builder, "encoder", observation, init)
            .map_err(|error| error.within("encoder"))?;
        let features = encoder.last().map_or(observation.len(), |layer| layer.outputs());
        let linear = Linear::new(builder, "embedding.0", config.cosines, features, Activation::Relu, init);
        let embedding = Sequential::new(vec![linear.into()])?;
        let actions = config.actions;
        let head = if config.dueling { Head::Dueling { actions } } else { Head::Q { actions } };
        let built =
            head.build(builder, name, features, config.head, HeadInit { hidden: init, output: init })?;
        let head = Sequential::new(built.layers)?;
        let parts = vec![
            ("encoder".to_owned(), encoder.iter().map(|layer| layer.describe()).collect()),
            ("embedding".to_owned(), embedding.summary()),
            (name.to_owned(), head.summary()),
        ];
        Ok(Self {
            encoder: if encoder.is_empty() { None } else { Some(Sequential::new(encoder)?) },
            embedding,
            head,
            noisy: built.noisy,
            inputs: observation.len(),
            cosines: config.cosines,
            summary: Summary { parts },
        })
    }

    /// Number of actions.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.head.outputs()
    }

    /// The layers as a table.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Draws the noise of noisy layers anew.
    pub fn resample_noise(&self, params: &mut Params, rng: &mut impl Rng) {
        self.noisy.iter().for_each(|layer| layer.resample(params, rng));
    }

    /// Sets the noise of noisy layers to zero, for evaluation.
    pub fn silence_noise(&self, params: &mut Params) {
        self.noisy.iter().for_each(|layer| layer.silence(params));
    }

    /// What the network computes for the mean of its quantiles at `taus`; `layout` has the names of its parameters.
    #[must_use]
    pub fn operations(&self, taus: &[f32], layout: &Layout) -> Vec<Operation> {
        let mut cosines = vec![0.0; taus.len() * self.cosines];
        write_cosines(taus, &mut cosines);
        let encoder = self.encoder.as_ref().map_or_else(Vec::new, |encoder| encoder.operations(layout));
        let mean = Operation::ImplicitQuantiles {
            cosines: cosines.chunks(self.cosines).map(<[f32]>::to_vec).collect(),
            embedding: self.embedding.operations(layout),
            head: self.head.operations(layout),
        };
        encoder.into_iter().chain([mean]).collect()
    }

    /// The quantiles of a batch at the given `τ`.
    ///
    /// # Errors
    /// [`NnError::Columns`] if observations have another length, [`NnError::Length`] if there is not the same number of
    /// `τ` for each.
    pub fn forward(
        &self,
        params: &Params,
        x: &Input,
        taus: &[f32],
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        if x.columns() != self.inputs {
            return Err(NnError::Columns { name: "observation", expected: self.inputs, got: x.columns() });
        }
        let features = match (&self.encoder, x) {
            (Some(encoder), _) => encoder.forward_input(params, x, tape)?,
            (None, Input::Floats(x)) => x.clone(),
            (None, Input::Bytes(_) | Input::Bits(_)) => {
                let (expected, got) = ("layers where observations are bytes", "none".to_owned());
                return Err(NnError::Config { field: "encoder", expected, got });
            }
        };
        let rows = features.rows();
        check_length("taus", taus.len().next_multiple_of(rows), taus.len())?;
        let mut cosines = Matrix::zeros(taus.len(), self.cosines)?;
        write_cosines(taus, cosines.as_mut_slice());
        let embedded = self.embedding.forward(params, &cosines, tape)?;
        let merged = modulate(params, &features, &embedded, tape)?;
        self.head.forward(params, &merged, tape)
    }

    /// As [`Self::forward`], without a tape; the numbers are the same, bit for bit.
    ///
    /// # Shapes
    /// `x`: `[batch, inputs]`, `taus`: `[batch, N]`, `out`: `[batch·N, actions]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a slice has the wrong length or `packed` was made of another network.
    pub fn infer<'a>(
        &self,
        packed: &PackedImplicit,
        x: impl Into<Rows<'a>>,
        batch: usize,
        taus: &[f32],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let x = x.into();
        check_length("taus", taus.len().next_multiple_of(batch.max(1)), taus.len())?;
        let width = self.head.inputs();
        let mut features = Pooled::take(batch * width);
        match (&self.encoder, &packed.encoder) {
            (Some(encoder), Some(packed)) => encoder.infer(packed, x, batch, scratch, &mut features)?,
            _ => {
                check_length("input", batch * self.inputs, x.len())?;
                x.block(self.inputs, &(0..batch), |x| features.copy_from_slice(x));
            }
        }
        let mut cosines = Pooled::take(taus.len() * self.cosines);
        write_cosines(taus, &mut cosines);
        let mut merged = Pooled::take(taus.len() * width);
        self.embedding.infer(&packed.embedding, &cosines[..], taus.len(), scratch, &mut merged)?;
        let of_each = merged.len().checked_div(batch).unwrap_or(0);
        for (features, merged) in features.chunks_exact(width).zip(merged.chunks_exact_mut(of_each)) {
            for merged in merged.chunks_exact_mut(width) {
                merged.iter_mut().zip(features).for_each(|(merged, feature)| *merged *= feature);
            }
        }
        self.head.infer(&packed.head, &merged[..], taus.len(), scratch, out)
    }
}

/// The weights of [`ImplicitQuantiles`] in the order in which acting reads them.
#[derive(Debug, Clone)]
pub struct PackedImplicit {
    encoder: Option<Packed>,
    embedding: Packed,
    head: Packed,
}

impl PackedImplicit {
    /// Copies the network's weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(network: &ImplicitQuantiles, params: &Params) -> Result<Self, NnError> {
        Ok(Self {
            encoder: network.encoder.as_ref().map(|encoder| Packed::new(encoder, params)).transpose()?,
            embedding: Packed::new(&network.embedding, params)?,
            head: Packed::new(&network.head, params)?,
        })
    }
}

/// `out[i, j] = cos(π j taus[i])`, by `cos(jθ) = 2 cos(θ) cos((j − 1)θ) − cos((j − 2)θ)`.
fn write_cosines(taus: &[f32], out: &mut [f32]) {
    let count = out.len().checked_div(taus.len()).unwrap_or(0).max(1);
    for (&tau, out) in taus.iter().zip(out.chunks_exact_mut(count)) {
        let first = (PI * f64::from(tau)).cos();
        let (mut before, mut now) = (first, 1.0);
        for out in out {
            *out = now as f32;
            (before, now) = (now, 2.0 * first * now - before);
        }
    }
}

/// `out[b·N + i] = features[b] ⊙ embedded[b·N + i]`, as one operation on the tape.
fn modulate(
    params: &Params,
    features: &Matrix,
    embedded: &Matrix,
    tape: &mut Tape,
) -> Result<Matrix, NnError> {
    let (width, of_each) = (features.columns(), embedded.as_slice().len() / features.rows());
    let out = Matrix::output(embedded.rows(), width, |out| {
        let rows = features.as_slice().chunks_exact(width).zip(embedded.as_slice().chunks_exact(of_each));
        for ((feature, embedded), out) in rows.zip(out.chunks_exact_mut(of_each)) {
            for (out, embedded) in out.chunks_exact_mut(width).zip(embedded.chunks_exact(width)) {
                // Embedding times feature: the order of factors of `ImplicitQuantiles::infer`.
                out.iter_mut().zip(embedded).zip(feature).for_each(|((out, e), f)| *out = e * f);
            }
        }
    })?;
    if tape.is_recording() {
        let (kept_features, kept_embedded) = (features.clone(), embedded.clone());
        tape.record(params, &[features, embedded], &[&out], move |mut flow| {
            let Some(Some(delta)) = flow.outputs.pop() else { return };
            let (features, embedded) = (kept_features.as_slice(), kept_embedded.as_slice());
            let mut inputs = flow.inputs.into_iter();
            if let Some(Some(mut of_features)) = inputs.next() {
                of_features.fill(|gradient| {
                    gradient.fill(0.0);
                    let rows = delta.chunks_exact(of_each).zip(embedded.chunks_exact(of_each));
                    for ((delta, embedded), gradient) in rows.zip(gradient.chunks_exact_mut(width)) {
                        for (delta, embedded) in delta.chunks_exact(width).zip(embedded.chunks_exact(width)) {
                            let pairs = gradient.iter_mut().zip(delta).zip(embedded);
                            pairs.for_each(|((gradient, d), e)| *gradient += d * e);
                        }
                    }
                });
            }
            if let Some(Some(mut of_embedded)) = inputs.next() {
                of_embedded.fill(|gradient| {
                    let rows = delta.chunks_exact(of_each).zip(features.chunks_exact(width));
                    for ((delta, feature), gradient) in rows.zip(gradient.chunks_exact_mut(of_each)) {
                        for (delta, gradient) in
                            delta.chunks_exact(width).zip(gradient.chunks_exact_mut(width))
                        {
                            let pairs = gradient.iter_mut().zip(delta).zip(feature);
                            pairs.for_each(|((gradient, d), f)| *gradient = d * f);
                        }
                    }
                });
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finite_differences::{assert_gradient, weighted_sum};
    use crate::params::ParamRange;

    const OBSERVATION: usize = 3;
    const WIDTH: usize = 5;
    const COSINES: usize = 4;

    fn network(encoder: &EncoderConfig, dueling: bool) -> (ImplicitQuantiles, Params) {
        let head = HeadConfig::default();
        let config = ImplicitConfig { encoder, head: &head, actions: 2, dueling, cosines: COSINES };
        let mut builder = LayoutBuilder::new();
        let observation = Observation::Vector(OBSERVATION);
        let network =
            ImplicitQuantiles::new(&mut builder, "q", &observation, &config, Init::PYTORCH_LINEAR).unwrap();
        (network, builder.build(3))
    }

    const X: [f32; 6] = [0.3, -0.8, 0.5, 1.0, 0.1, -0.4];
    const TAUS: [f32; 6] = [0.1, 0.5, 0.9, 0.25, 0.6, 1.0];

    /// The network in `f64`: tanh encoder of one layer, plain head.
    fn reference(params: &[f64], ranges: &[ParamRange]) -> Vec<f64> {
        let values: Vec<Vec<f64>> = ranges.iter().map(|range| range.read(params)).collect();
        let [we, be, wt, bt, wq, bq] = [0, 1, 2, 3, 4, 5].map(|i| &values[i][..]);
        let linear = |w: &[f64], b: &[f64], x: &[f64]| -> Vec<f64> {
            let rows = w.chunks_exact(x.len()).zip(b);
            rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
        };
        let mut out = Vec::new();
        for (x, taus) in X.chunks_exact(OBSERVATION).zip(TAUS.chunks_exact(3)) {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let features: Vec<f64> = linear(we, be, &x).into_iter().map(f64::tanh).collect();
            for &tau in taus {
                let angle = |j: usize| std::f64::consts::PI * j as f64 * f64::from(tau);
                let cosines: Vec<f64> = (0..COSINES).map(|j| angle(j).cos()).collect();
                let embedded = linear(wt, bt, &cosines).into_iter().map(|e| e.max(0.0));
                let merged: Vec<f64> = embedded.zip(&features).map(|(e, f)| e * f).collect();
                out.extend(linear(wq, bq, &merged));
            }
        }
        out
    }

    #[test]
    fn values_and_gradients_agree_with_a_reimplementation() {
        let (network, params) = network(&EncoderConfig::mlp(&[WIDTH], Activation::Tanh), false);
        let names = [
            "encoder.0.weight",
            "encoder.0.bias",
            "embedding.0.weight",
            "embedding.0.bias",
            "q.0.weight",
            "q.0.bias",
        ];
        let ranges: Vec<_> =
            names.iter().map(|name| params.layout().find(name).unwrap().range.clone()).collect();
        let x = Input::from(&Matrix::from_slice(2, OBSERVATION, &X).unwrap());
        let mut tape = Tape::new();
        let out = network.forward(&params, &x, &TAUS, &mut tape).unwrap();
        let expected = reference(&crate::finite_differences::widen(params.as_slice()), &ranges);
        assert_eq!((out.rows(), out.columns()), (6, 2));
        for (got, expected) in out.as_slice().iter().zip(&expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "expected {expected}, got {got}");
        }
        let weights: Vec<f32> = (0..12).map(|i| 0.1 * i as f32 - 0.5).collect();
        let mut gradient = vec![f32::NAN; params.len()];
        tape.backward(&params, &[(&out, &weights)], &mut gradient).unwrap();
        let loss = |at: &[f64]| weighted_sum(&reference(at, &ranges), &weights);
        assert_gradient("implicit quantiles", loss, params.as_slice(), &gradient);
    }

    #[test]
    fn acting_gives_the_bits_of_learning() {
        for (encoder, dueling) in [(vec![WIDTH], true), (vec![WIDTH], false), (vec![], true)] {
            let (network, params) = network(&EncoderConfig::mlp(&encoder, Activation::Relu), dueling);
            let x = Input::from(&Matrix::from_slice(2, OBSERVATION, &X).unwrap());
            let expected = network.forward(&params, &x, &TAUS, &mut Tape::inference()).unwrap();
            let packed = PackedImplicit::new(&network, &params).unwrap();
            let mut out = [0.0; 12];
            let mut scratch = Scratch::default();
            network.infer(&packed, Rows::F32(&X), 2, &TAUS, &mut scratch, &mut out).unwrap();
            assert_eq!(out, expected.as_slice());
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let (network, params) = network(&EncoderConfig::mlp(&[WIDTH], Activation::Relu), false);
        let x = Input::from(&Matrix::from_slice(2, OBSERVATION, &X).unwrap());
        assert!(network.forward(&params, &x, &TAUS[..5], &mut Tape::inference()).is_err());
        let x = Input::from(&Matrix::from_slice(3, 2, &X).unwrap());
        assert!(network.forward(&params, &x, &TAUS, &mut Tape::inference()).is_err());
    }
}
