//! What networks compute, told to programs that compute it elsewhere: layers as [`Operation`]s.
//!
//! Parameters have the names under which weight files hold them.

use agon_policy::{Activation, Operation};

use crate::image::ImageShape;
use crate::params::{Layout, ParamRange};

/// An activation; nothing for the identity.
pub(crate) fn activation(function: Activation) -> Option<Operation> {
    (function != Activation::Identity).then_some(Operation::Activation { function })
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

    use agon_policy::{
        ActionSpace, Decision, InputKind, InputPart, Parameter, PolicyProgram, PortablePolicy,
    };

    use super::*;
    use crate::{
        EncoderConfig, Head, HeadConfig, HeadSpec, Init, LayoutBuilder, MemoryConfig, MemoryState, Model,
        ModelConfig, ModelScratch, Observation, PackedModel, Params,
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

    /// What a program makes of rows one after the other, the episode begun anew at some.
    fn run_elsewhere(
        operations: Vec<Operation>,
        params: &Params,
        rows: &[Vec<f32>],
        starts: &[bool],
    ) -> Vec<Vec<f32>> {
        let specs = params.layout().specs().iter();
        let parameters = specs.map(|spec| {
            let (shape, values) = (spec.range.shape().to_vec(), spec.range.read(params.as_slice()));
            (spec.name.clone(), Parameter { shape, values })
        });
        let (shape, kind, bounds) = (vec![rows[0].len()], InputKind::Float, Vec::new());
        let input = InputPart { name: "obs".to_owned(), shape, kind, low: bounds.clone(), high: bounds };
        let program = PolicyProgram {
            inputs: vec![input],
            preparation: Vec::new(),
            operations,
            decision: Decision::Values { actions: 3 },
            adjustments: Vec::new(),
            action: ActionSpace::Discrete { n: 3, start: 0 },
            mask_len: 0,
        };
        let policy = PortablePolicy::new(program, &parameters.collect()).unwrap();
        let mut episode = policy.begin();
        let outputs = rows.iter().zip(starts).map(|(row, starts)| {
            if *starts {
                episode.begin_again();
            }
            policy.logits(&mut episode, &row[..], &[]).unwrap().to_vec()
        });
        outputs.collect()
    }

    #[test]
    fn what_is_told_is_what_a_model_computes() {
        let image = || Observation::Image { shape: ImageShape::new(3, 10, 10), channels_last: true };
        let mlp = "kind = 'mlp'\nhidden = [9, 7]\nlayer_norm = true";
        let memory = |text: &str| toml::from_str::<MemoryConfig>(text).unwrap();
        let blocks = "layers = 2\nheads = 2\nwidth = 8\nfeed_forward = 10\nwindow = 4";
        let mut cases = vec![
            (image(), "kind = 'minatar_cnn'\nchannels = 4", MemoryConfig::None),
            (image(), "kind = 'impala'\nchannels = [2, 3]", memory("kind = 'gru'\nhidden = 6")),
            (Observation::Vector(5), mlp, memory("kind = 'lstm'\nhidden = 6")),
            (Observation::Vector(5), mlp, memory("kind = 'rnn'\nhidden = 6")),
        ];
        for kind in ["transformer", "gtrxl"] {
            for position in ["'none'", "{ learned = { positions = 5 } }", "'sinusoidal'", "'rotary'"] {
                let memory = memory(&format!("kind = '{kind}'\n{blocks}\nposition = {position}"));
                cases.push((Observation::Vector(5), mlp, memory));
            }
        }
        for (observation, encoder, memory) in cases {
            let encoder = toml::from_str(encoder).unwrap();
            let config = ModelConfig { encoder, memory, ..ModelConfig::default() };
            let what = format!("{config:?}");
            let mut builder = LayoutBuilder::new();
            let head = HeadSpec {
                name: "q".to_owned(),
                head: Head::Dueling { actions: 3 },
                init: Init::PYTORCH_LINEAR,
            };
            let init = Init::PYTORCH_LINEAR;
            let model = Model::new(&mut builder, "", &observation, &config, &[head], init).unwrap();
            let params = builder.build(4);
            let packed = PackedModel::new(&model, &params).unwrap();
            let width = observation.len();
            let wave = |i: usize| ((i * 37 % 101) as f32 * 0.1).sin();
            let rows: Vec<Vec<f32>> =
                (0..9).map(|t| (0..width).map(|i| wave(t * width + i)).collect()).collect();
            let starts: Vec<bool> = (0..9).map(|t| t == 0 || t == 6).collect();
            let found = run_elsewhere(model.operations(0, params.layout()), &params, &rows, &starts);
            let (mut state, mut scratch) = (vec![0.0; model.state_len()], ModelScratch::default());
            for ((row, starts), found) in rows.iter().zip(&starts).zip(&found) {
                let mut expected = vec![0.0; 3];
                let resets = [*starts];
                let mut memory = MemoryState { state: &mut state, resets: &resets };
                model.infer(&packed, &row[..], 1, &mut memory, &mut scratch, &mut [&mut expected]).unwrap();
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-5, "{what}: {found:?} {expected:?}");
                }
            }
        }
    }
}
