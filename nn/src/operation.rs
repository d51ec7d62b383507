//! What networks compute, told to programs that compute it elsewhere: in PyTorch, or in a file of a graph.
//!
//! A network is a list of [`Operation`]s, each on the rows that the one before gives. Parameters have the names under which
//! weight files hold them.

use serde::Serialize;

use crate::image::ImageShape;
use crate::linear::Activation;
use crate::params::{Layout, ParamRange};

/// A function of a row, with the names of its parameters. Images are channels-first; shapes are those of one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// `y = W x + b`.
    Linear {
        /// `[outputs, inputs]`.
        weight: String,
        /// `[outputs]`.
        bias: String,
        /// Values of `x`.
        inputs: usize,
        /// Values of `y`.
        outputs: usize,
    },
    /// A function of each value.
    Activation {
        /// Which.
        function: Activation,
    },
    /// `y = w ⊙ (x − mean x) / √(var x + eps) + b`.
    LayerNorm {
        /// `[width]`.
        weight: String,
        /// `[width]`.
        bias: String,
        /// Values of `x`.
        width: usize,
        /// Added to the variance.
        eps: f32,
    },
    /// `y = w ⊙ x / √(mean x² + eps)`.
    RmsNorm {
        /// `[width]`.
        weight: String,
        /// Values of `x`.
        width: usize,
        /// Added to the mean square.
        eps: f32,
    },
    /// A convolution over an image.
    Conv2d {
        /// `[channels, input channels / groups, kernel height, kernel width]`.
        weight: String,
        /// `[channels]`.
        bias: String,
        /// The image, `[C, H, W]`.
        input: [usize; 3],
        /// What comes out.
        output: [usize; 3],
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Distance between patches.
        stride: [usize; 2],
        /// Zeros on both sides.
        padding: [usize; 2],
        /// Distance between the elements of a patch.
        dilation: [usize; 2],
        /// Groups of channels.
        groups: usize,
    },
    /// The largest value or the mean of each window.
    Pool2d {
        /// Whether the mean.
        average: bool,
        /// The image, `[C, H, W]`.
        input: [usize; 3],
        /// What comes out.
        output: [usize; 3],
        /// Height and width of a window.
        kernel: [usize; 2],
        /// Distance between windows.
        stride: [usize; 2],
        /// Border on both sides, which never is a maximum and counts as zeros in a mean.
        padding: [usize; 2],
    },
    /// From `[H, W, C]` to `[C, H, W]`.
    ChannelsFirst {
        /// What comes out.
        output: [usize; 3],
    },
    /// A unit vector for each category.
    OneHot {
        /// Categories of each index.
        categories: Vec<usize>,
    },
    /// A learned vector for each category.
    Embedding {
        /// `[all rows, width]`.
        weight: String,
        /// Values of a vector.
        width: usize,
        /// For each index the first of its rows in the table.
        first: Vec<usize>,
    },
    /// `y = x + f(x)`.
    Residual {
        /// `f`.
        operations: Vec<Operation>,
    },
    /// Lists beside each other, whose results are joined.
    Parallel {
        /// The lists.
        branches: Vec<OperationBranch>,
    },
    /// From a value and the advantages of actions to their values, `[A, Z]`: `v + a − mean a`.
    Dueling {
        /// Actions.
        actions: usize,
        /// Numbers for each.
        atoms: usize,
    },
    /// Appends a parameter to each row.
    Append {
        /// `[1, width]`.
        parameter: String,
        /// Its values.
        width: usize,
    },
    /// A recurrent layer, whose state is the hidden values, and of an LSTM the cell's after them.
    Recurrent {
        /// `rnn`, `gru` or `lstm`.
        cell: &'static str,
        /// `[gates · hidden, inputs]`.
        weight_ih: String,
        /// `[gates · hidden, hidden]`.
        weight_hh: String,
        /// `[gates · hidden]`.
        bias_ih: String,
        /// `[gates · hidden]`.
        bias_hh: String,
        /// Values of `x`.
        inputs: usize,
        /// Values of `y`.
        hidden: usize,
    },
    /// Something that is not told of.
    Opaque {
        /// As a summary names it.
        layer: String,
    },
}

/// One list of [`Operation::Parallel`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationBranch {
    /// The columns that it reads: the first, and the one after the last.
    pub columns: [usize; 2],
    /// What it computes.
    pub operations: Vec<Operation>,
}

impl Operation {
    /// An activation; nothing for the identity.
    pub(crate) fn activation(function: Activation) -> Option<Self> {
        (function != Activation::Identity).then_some(Self::Activation { function })
    }
}

/// A shape as `[C, H, W]`.
pub(crate) fn sizes(shape: ImageShape) -> [usize; 3] {
    shape.into()
}

/// The name of a parameter in a layout; empty if it is of another one.
pub(crate) fn name_of(layout: &Layout, parameter: &ParamRange) -> String {
    let found = layout.specs().iter().find(|spec| spec.range == *parameter);
    found.map(|spec| spec.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        EncoderConfig, Head, HeadConfig, HeadSpec, Init, LayoutBuilder, MemoryConfig, Model, ModelConfig,
        Observation,
    };

    /// The operations of a model, and the names of its learned parameters.
    fn told(
        observation: &Observation,
        config: &ModelConfig,
        head: Head,
    ) -> (Vec<Operation>, BTreeSet<String>) {
        let mut builder = LayoutBuilder::new();
        let head = HeadSpec { name: "q".to_owned(), head, init: Init::PYTORCH_LINEAR };
        let model = Model::new(&mut builder, "", observation, config, &[head], Init::PYTORCH_LINEAR).unwrap();
        let params = builder.build(1);
        let learned = params.layout().specs().iter().filter(|spec| spec.learned);
        (model.operations(0, params.layout()), learned.map(|spec| spec.name.clone()).collect())
    }

    /// Every text in operations that is the name of a parameter.
    fn named(operations: &[Operation]) -> BTreeSet<String> {
        fn visit(value: &serde_json::Value, found: &mut BTreeSet<String>) {
            match value {
                serde_json::Value::String(text) if text.contains('.') => {
                    found.insert(text.clone());
                }
                serde_json::Value::Array(values) => values.iter().for_each(|value| visit(value, found)),
                serde_json::Value::Object(values) => values.values().for_each(|value| visit(value, found)),
                _ => {}
            }
        }
        let mut found = BTreeSet::new();
        visit(&serde_json::to_value(operations).unwrap(), &mut found);
        found
    }

    #[test]
    fn every_learned_parameter_is_told_of_by_its_name() {
        let image = || Observation::Image { shape: ImageShape::new(3, 10, 10), channels_last: true };
        let encoder = |text: &str| toml::from_str::<EncoderConfig>(text).unwrap();
        let memory = |cell: &str| toml::from_str(&format!("kind = '{cell}'\nhidden = 6")).unwrap();
        let parts = Observation::Dict(vec![
            ("a".to_owned(), Observation::Vector(3)),
            ("b".to_owned(), Observation::Discrete(vec![4, 2])),
            ("c".to_owned(), image()),
        ]);
        let q = Head::Q { actions: 3 };
        let cases = [
            (Observation::Vector(4), "kind = 'mlp'\nlayer_norm = true", MemoryConfig::None, q.clone()),
            (image(), "kind = 'minatar_cnn'", memory("lstm"), Head::Dueling { actions: 3 }),
            (image(), "kind = 'impala'\nchannels = [2, 3]", memory("gru"), Head::Gaussian { dimensions: 2 }),
            (Observation::Discrete(vec![5, 3]), "kind = 'embedding'\nhidden = [4]", memory("rnn"), q.clone()),
            (parts, "kind = 'dict'", MemoryConfig::None, q),
        ];
        for (observation, kind, memory, head) in cases {
            let config = ModelConfig { encoder: encoder(kind), memory, ..ModelConfig::default() };
            let (operations, learned) = told(&observation, &config, head);
            assert_eq!(named(&operations), learned, "{kind}");
            assert!(
                !operations.iter().any(|operation| matches!(operation, Operation::Opaque { .. })),
                "{kind}"
            );
        }
    }

    #[test]
    fn noise_is_not_told_of() {
        let head = HeadConfig { noisy: true, ..HeadConfig::default() };
        let config = ModelConfig { encoder: EncoderConfig::Identity, head, ..ModelConfig::default() };
        let (operations, learned) = told(&Observation::Vector(4), &config, Head::Q { actions: 2 });
        let (weight, bias) = ("q.0.weight_mu".to_owned(), "q.0.bias_mu".to_owned());
        assert!(learned.contains(&weight) && learned.contains("q.0.weight_sigma"));
        assert_eq!(operations, [Operation::Linear { weight, bias, inputs: 4, outputs: 2 }]);
    }

    #[test]
    fn what_mixes_steps_by_attention_is_named_only() {
        let memory = toml::from_str("kind = 'transformer'\nwidth = 8\nheads = 2\nlayers = 1").unwrap();
        let config = ModelConfig { memory, ..ModelConfig::default() };
        let (operations, _) = told(&Observation::Vector(4), &config, Head::Q { actions: 2 });
        assert!(operations.iter().any(|operation| matches!(operation, Operation::Opaque { .. })));
    }
}
