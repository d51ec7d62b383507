//! Heads: from features to the numbers that a distribution or a value is made of.

use std::sync::Arc;

use agon_policy::Operation;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::init::Init;
use crate::kernels::add;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::linear::{Activation, Linear};
use crate::losses::dueling::{combine_row, split_gradient_row};
use crate::noisy::NoisyLinear;
use crate::operation::name_of;
use crate::parallel::Parallel;
use crate::params::{Layout, LayoutBuilder, ParamRange};

/// What a head puts out for each row; [`crate::losses`] has the numerics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A logit for each action.
    Categorical {
        /// Number of actions.
        actions: usize,
    },
    /// Logits of several choices, one after the other.
    MultiCategorical {
        /// Number of options of each choice.
        nvec: Vec<usize>,
    },
    /// Means, then logarithms of standard deviations, which do not depend on the features: PPO's.
    Gaussian {
        /// Number of dimensions.
        dimensions: usize,
    },
    /// Means, then logarithms of standard deviations, both functions of the features: SAC's, before its tanh.
    SquashedGaussian {
        /// Number of dimensions.
        dimensions: usize,
    },
    /// One value.
    Value,
    /// A value for each action.
    Q {
        /// Number of actions.
        actions: usize,
    },
    /// A value for each action, as a state's value and advantages (Wang et al. 2016, arXiv:1511.06581).
    Dueling {
        /// Number of actions.
        actions: usize,
    },
    /// Logits or quantiles of each action's return, `[actions, atoms]`.
    Distributional {
        /// Number of actions.
        actions: usize,
        /// Number of atoms or quantiles.
        atoms: usize,
        /// Whether they are a state's and advantages' sum, as in Rainbow.
        dueling: bool,
    },
}

/// The layers of a head before its output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeadConfig {
    /// Width of each hidden layer.
    pub hidden: Vec<usize>,
    /// What follows each hidden layer.
    pub activation: Activation,
    /// Whether the layers are noisy, for exploration (Fortunato et al. 2018, arXiv:1706.10295).
    pub noisy: bool,
}

/// How a head's layers start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadInit {
    /// The hidden layers.
    pub hidden: Init,
    /// The output.
    pub output: Init,
}

/// The layers of a head, and those of them that are noisy.
pub(crate) struct BuiltHead {
    pub(crate) layers: Vec<Arc<dyn Layer>>,
    pub(crate) noisy: Vec<NoisyLinear>,
}

impl Head {
    /// The number of values of an output row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Categorical { actions } | Self::Q { actions } | Self::Dueling { actions } => *actions,
            Self::MultiCategorical { nvec } => nvec.iter().sum(),
            Self::Gaussian { dimensions } | Self::SquashedGaussian { dimensions } => 2 * dimensions,
            Self::Value => 1,
            Self::Distributional { actions, atoms, .. } => actions * atoms,
        }
    }

    /// Adds the head's parameters to a layout.
    ///
    /// They are named as PyTorch's `Sequential`, `<prefix>.0.weight`, …; the streams of a dueling head are
    /// `<prefix>.value` and `<prefix>.advantage`, a free standard deviation is `<prefix>.log_std`.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is zero.
    pub(crate) fn build(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
        config: &HeadConfig,
        init: HeadInit,
    ) -> Result<BuiltHead, NnError> {
        let outputs = self.outputs();
        let choices = if let Self::MultiCategorical { nvec } = self { nvec.contains(&0) } else { false };
        if outputs == 0 || choices {
            let expected = "at least one action of each kind";
            return Err(NnError::Config { field: "head", expected, got: format!("{self:?}") });
        }
        let mut built = BuiltHead { layers: Vec::new(), noisy: Vec::new() };
        match *self {
            Self::Dueling { actions } => {
                self.dueling(builder, prefix, (inputs, actions, 1), config, init, &mut built)?;
            }
            Self::Distributional { actions, atoms, dueling: true } => {
                self.dueling(builder, prefix, (inputs, actions, atoms), config, init, &mut built)?;
            }
            Self::Gaussian { dimensions } => {
                built.stack(builder, prefix, inputs, dimensions, config, init)?;
                let log_std = FreeLogStd::new(builder, &format!("{prefix}.log_std"), dimensions);
                built.layers.push(Arc::new(log_std));
            }
            _ => built.stack(builder, prefix, inputs, outputs, config, init)?,
        }
        Ok(built)
    }

    fn dueling(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        (inputs, actions, atoms): (usize, usize, usize),
        config: &HeadConfig,
        init: HeadInit,
        built: &mut BuiltHead,
    ) -> Result<(), NnError> {
        let mut branches = Vec::new();
        for (name, outputs) in [("value", atoms), ("advantage", actions * atoms)] {
            let mut stream = BuiltHead { layers: Vec::new(), noisy: Vec::new() };
            stream.stack(builder, &format!("{prefix}.{name}"), inputs, outputs, config, init)?;
            built.noisy.append(&mut stream.noisy);
            branches.push((name.to_owned(), 0..inputs, stream.layers));
        }
        built.layers.push(Parallel::new(inputs, branches)?.into());
        built.layers.push(Arc::new(Dueling { actions, atoms }));
        Ok(())
    }
}

impl BuiltHead {
    /// Hidden layers and a linear output.
    fn stack(
        &mut self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
        outputs: usize,
        config: &HeadConfig,
        init: HeadInit,
    ) -> Result<(), NnError> {
        if config.hidden.contains(&0) {
            let (expected, got) = ("widths of at least 1", format!("{:?}", config.hidden));
            return Err(NnError::Config { field: "hidden", expected, got });
        }
        let mut width = inputs;
        let hidden = config.hidden.iter().map(|&hidden| (hidden, config.activation, init.hidden));
        let layers = hidden.chain([(outputs, Activation::Identity, init.output)]);
        for (index, (outputs, activation, init)) in layers.enumerate() {
            let name = format!("{prefix}.{}", 2 * index);
            if config.noisy {
                let layer = NoisyLinear::new(builder, &name, width, outputs, activation, NoisyLinear::SIGMA);
                self.noisy.push(layer.clone());
                self.layers.push(layer.into());
            } else {
                self.layers.push(Linear::new(builder, &name, width, outputs, activation, init).into());
            }
            width = outputs;
        }
        Ok(())
    }
}

/// Appends logarithms of standard deviations, which are parameters, to each row of means.
#[derive(Debug)]
pub(crate) struct FreeLogStd {
    log_std: ParamRange,
}

impl FreeLogStd {
    pub(crate) fn new(builder: &mut LayoutBuilder, name: &str, dimensions: usize) -> Self {
        Self { log_std: builder.add(name, &[1, dimensions], Init::Zeros) }
    }
}

impl Layer for FreeLogStd {
    fn inputs(&self) -> usize {
        self.log_std.len()
    }

    fn outputs(&self) -> usize {
        2 * self.log_std.len()
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.log_std]
    }

    fn packed_len(&self) -> usize {
        aligned(self.log_std.len())
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        packed[..self.log_std.len()].copy_from_slice(self.log_std.of(params));
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        let width = self.log_std.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(2 * width)) {
            out[..width].copy_from_slice(x);
            out[width..].copy_from_slice(&weights.packed[..width]);
        }
    }

    fn backward(
        &self,
        _: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let width = self.log_std.len();
        if let Some(gradient) = gradient {
            let sum = self.log_std.of_mut(gradient.flat);
            if gradient.first && gradient.fresh[0] {
                sum.fill(0.0);
            }
            for delta in delta.chunks_exact(2 * width) {
                add(sum, &delta[width..]);
            }
        }
        if let Some(dx) = dx {
            for (dx, delta) in dx.chunks_exact_mut(width).zip(delta.chunks_exact(2 * width)) {
                dx.copy_from_slice(&delta[..width]);
            }
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        vec![Operation::Append { parameter: name_of(layout, &self.log_std), width: self.log_std.len() }]
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("log_std({})", self.log_std.len()),
            output_shape: vec![2, self.log_std.len()],
            parameters: self.log_std.len(),
            flops: 0,
        }
    }
}

/// Joins the streams of a dueling head, see [`crate::losses::dueling`].
#[derive(Debug)]
pub(crate) struct Dueling {
    pub(crate) actions: usize,
    pub(crate) atoms: usize,
}

impl Layer for Dueling {
    fn inputs(&self) -> usize {
        (1 + self.actions) * self.atoms
    }

    fn outputs(&self) -> usize {
        self.actions * self.atoms
    }

    fn forward(&self, _: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        for (x, out) in x.chunks_exact(self.inputs()).zip(out.chunks_exact_mut(self.outputs())) {
            let (value, advantages) = x.split_at(self.atoms);
            combine_row(value, advantages, out);
        }
    }

    fn backward(&self, _: &Saved<'_>, delta: &mut [f32], _: Option<Gradient<'_>>, dx: Option<&mut [f32]>) {
        let Some(dx) = dx else { return };
        for (dx, delta) in dx.chunks_exact_mut(self.inputs()).zip(delta.chunks_exact(self.outputs())) {
            let (value, advantages) = dx.split_at_mut(self.atoms);
            split_gradient_row(delta, value, advantages);
        }
    }

    fn operations(&self, _: &Layout) -> Vec<Operation> {
        vec![Operation::Dueling { actions: self.actions, atoms: self.atoms }]
    }

    fn describe(&self) -> LayerSummary {
        let output_shape = if self.atoms == 1 { vec![self.actions] } else { vec![self.actions, self.atoms] };
        LayerSummary { layer: "Dueling".to_owned(), output_shape, parameters: 0, flops: 0 }
    }
}
