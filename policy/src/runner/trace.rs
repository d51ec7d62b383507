//! A step with everything that its layers gave, and the gradient of what a policy chooses by with respect to it.
//!
//! Only the step itself is looked at: what a policy remembers of earlier ones is a constant. Layers run as they do when the
//! policy acts; here their inputs are kept, so that the chain rule can be applied from the last one to the first.

use crate::error::PolicyError;

use super::attention::Attended;
use super::ends;
use super::gradient::{Reverse, keep};
use super::layers::{Layer, Pool};
use super::{Episode, PortablePolicy, smooth};

/// What a layer was given and gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) input: Vec<f32>,
    pub(super) output: Vec<f32>,
    /// What it remembered before: a recurrent layer's state.
    pub(super) memory: Vec<f32>,
    /// What an attention's blocks computed on the way.
    pub(super) attended: Option<Box<Attended>>,
    /// Whether categories were vectors already, see [`smooth`].
    pub(super) is_smooth: bool,
    /// Of a layer of several chains of layers, what those were given and gave.
    pub(super) parts: Vec<Vec<Kept>>,
}

/// What the layers of a policy gave at one step.
#[derive(Clone, Debug)]
pub struct Trace {
    is_fresh: bool,
    /// What each step before the network was given.
    prepared: Vec<Vec<f32>>,
    kept: Vec<Kept>,
    outputs: Vec<f32>,
    /// Logits of options, values of actions, or the parameters of a distribution, see [`PortablePolicy::logits`]; without a
    /// mask.
    pub logits: Vec<f32>,
}

/// What one layer gave at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTrace<'a> {
    /// Its place and its kind: `2 conv2d`, and `3.0.1 relu` of a layer inside of another one.
    pub name: String,
    /// `[C, H, W]` of an image.
    pub image: Option<[usize; 3]>,
    /// What it gave.
    pub values: &'a [f32],
    /// Whether it is a function of each value.
    pub is_activation: bool,
}

/// What a block of an attention layer attended to at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionTrace<'a> {
    /// The layer's place and the block's: `1 attention, block 0`.
    pub name: String,
    /// Heads.
    pub heads: usize,
    /// `[heads, steps]`, the oldest step first, the step itself last; of each head they sum to one.
    pub weights: &'a [f32],
}

/// Where an input of a network comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which value of an observation.
    pub value: usize,
    /// Of how many steps before.
    pub age: usize,
}

/// The derivatives of a sum of logits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradient {
    /// With respect to each value of the observation.
    pub observation: Vec<f32>,
    /// With respect to what each layer gave, in the order of [`PortablePolicy::layers_of`].
    pub layers: Vec<Vec<f32>>,
}

impl Trace {
    /// What the network read.
    #[must_use]
    pub fn network_inputs(&self) -> &[f32] {
        self.kept.first().map_or(&[], |first| &first.input)
    }
}

impl PortablePolicy {
    /// Takes a step without moving the episode on, and keeps what every layer gave. Values may lie between those that bytes
    /// can have.
    ///
    /// # Errors
    /// If the observation is of another size or has a number that is none.
    pub fn trace(&self, episode: &Episode, observation: &[f32]) -> Result<Trace, PolicyError> {
        if observation.len() != self.observation_len {
            let (expected, found) = (self.observation_len, observation.len());
            return Err(PolicyError::Length { what: "an observation", expected, found });
        }
        if let Some((index, &value)) = observation.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(PolicyError::NotFinite { what: "an observation", index, value });
        }
        let (is_fresh, mut memory) = (episode.is_fresh, episode.memory.clone());
        if is_fresh {
            memory.fill(0.0);
        }
        let mut pool = Pool::default();
        let mut x = observation.to_vec();
        let mut prepared = Vec::with_capacity(self.preparers.len());
        for preparer in &self.preparers {
            prepared.push(x.clone());
            preparer.apply(&mut x, &mut memory, is_fresh, &mut pool);
        }
        let kept = keep(&self.layers, &mut x, &mut memory, &mut pool);
        Ok(self.traced(kept, x, is_fresh, prepared))
    }

    /// What the network has slopes of, by what it reads, a row of [`Self::prepare`]: the same, with categories that its first
    /// layers make vectors of as these vectors.
    ///
    /// # Errors
    /// If the row is of another size.
    pub fn smooth_inputs(&self, inputs: &[f32]) -> Result<Vec<f32>, PolicyError> {
        let (expected, found) = (self.network_inputs, inputs.len());
        if expected != found {
            return Err(PolicyError::Length { what: "inputs of the network", expected, found });
        }
        Ok(smooth::inputs(&self.layers, inputs))
    }

    /// As [`Self::trace`], from a row of [`Self::smooth_inputs`] on, by the episode after [`Self::prepare`]. Gradients are with
    /// respect to the row.
    ///
    /// # Errors
    /// If the row is of another size or has a number that is none.
    pub fn trace_network(&self, episode: &Episode, inputs: &[f32]) -> Result<Trace, PolicyError> {
        let (expected, found) = (smooth::width(&self.layers, self.network_inputs), inputs.len());
        if expected != found {
            return Err(PolicyError::Length { what: "inputs of the network", expected, found });
        }
        if let Some((index, &value)) = inputs.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(PolicyError::NotFinite { what: "inputs of the network", index, value });
        }
        let mut memory = episode.memory.clone();
        if episode.is_fresh {
            memory.fill(0.0);
        }
        let mut x = inputs.to_vec();
        let kept = smooth::keep_smooth(&self.layers, &mut x, &mut memory, &mut Pool::default());
        Ok(self.traced(kept, x, false, Vec::new()))
    }

    fn traced(&self, kept: Vec<Kept>, mut x: Vec<f32>, is_fresh: bool, prepared: Vec<Vec<f32>>) -> Trace {
        let outputs = x.clone();
        ends::mean_returns(&self.program.decision, &mut x);
        Trace { is_fresh, prepared, kept, outputs, logits: x }
    }

    /// Where each of [`Self::smooth_inputs`] comes from; none of those that are always zero.
    #[must_use]
    pub fn origins(&self) -> Vec<Option<Origin>> {
        let origins: Vec<_> = (0..self.observation_len).map(|value| Some(Origin { value, age: 0 })).collect();
        let origins = self.preparers.iter().fold(origins, |origins, preparer| preparer.origins(&origins));
        smooth::origins(&self.layers, &origins)
    }

    /// What each layer gave at a step, from the first to the last; what lies inside of a layer comes before it.
    #[must_use]
    pub fn layers_of<'a>(&self, trace: &'a Trace) -> Vec<LayerTrace<'a>> {
        let mut found = Vec::new();
        collect(&self.layers, &trace.kept, "", &mut found);
        found
    }

    /// What the attention layers of a policy attended to at a step, from the first to the last.
    #[must_use]
    pub fn attention_of<'a>(&self, trace: &'a Trace) -> Vec<AttentionTrace<'a>> {
        let mut found = Vec::new();
        collect_attention(&self.layers, &trace.kept, "", &mut found);
        found
    }

    /// The gradient of `Σ weights · logits` at a step.
    ///
    /// # Errors
    /// If there are not as many weights as logits, or a layer has no gradient here, naming it.
    pub fn gradient(&self, trace: &Trace, weights: &[f32]) -> Result<Gradient, PolicyError> {
        if weights.len() != trace.logits.len() {
            let (expected, found) = (trace.logits.len(), weights.len());
            return Err(PolicyError::Length { what: "weights of logits", expected, found });
        }
        let mut grad = ends::mean_returns_gradient(&self.program.decision, &trace.outputs, weights);
        let mut reverse = Reverse::default();
        reverse.chain(&self.layers, &trace.kept, &mut grad)?;
        // Of a trace of the network alone there is nothing before it.
        for (preparer, input) in self.preparers.iter().zip(&trace.prepared).rev() {
            preparer.reverse(input, trace.is_fresh, &mut grad);
        }
        Ok(Gradient { observation: grad, layers: reverse.into_layers() })
    }
}

/// What layers and those inside of them gave.
fn collect<'a>(layers: &[Layer], kept: &'a [Kept], place: &str, found: &mut Vec<LayerTrace<'a>>) {
    for (i, (layer, kept)) in layers.iter().zip(kept).enumerate() {
        for (part, (layers, kept)) in layer.chains().into_iter().zip(&kept.parts).enumerate() {
            collect(layers, kept, &format!("{place}{i}.{part}."), found);
        }
        found.push(LayerTrace {
            name: format!("{place}{i} {}", layer.name()),
            image: layer.image(),
            values: &kept.output,
            is_activation: matches!(layer, Layer::Activation(_)),
        });
    }
}

fn collect_attention<'a>(
    layers: &[Layer],
    kept: &'a [Kept],
    place: &str,
    found: &mut Vec<AttentionTrace<'a>>,
) {
    for (i, (layer, kept)) in layers.iter().zip(kept).enumerate() {
        for (part, (layers, kept)) in layer.chains().into_iter().zip(&kept.parts).enumerate() {
            collect_attention(layers, kept, &format!("{place}{i}.{part}."), found);
        }
        let (Layer::Attention(attention), Some(attended)) = (layer, &kept.attended) else { continue };
        found.extend(attended.blocks.iter().enumerate().map(|(block, own)| AttentionTrace {
            name: format!("{place}{i} {}, block {block}", layer.name()),
            heads: attention.heads,
            weights: &own.weights,
        }));
    }
}
