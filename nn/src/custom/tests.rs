use dfdx::prelude::{Axis, BroadcastTo as _, MeanTo as _, TryMatMul as _};

use super::*;
use crate::linear::Activation;
use crate::model::{EncoderConfig, Head, HeadSpec, Model, ModelConfig, Observation, PackedModel};
use crate::model::{MemoryState, ModelScratch};
use crate::tape::Tape;

/// `tanh(x W + b)`, which the crate has too: the two must agree.
#[derive(Clone, Debug)]
struct Dense(usize);

impl CustomPart for Dense {
    fn outputs(&self, _inputs: usize) -> usize {
        self.0
    }

    fn parameters(&self, inputs: usize) -> Vec<PartParameter> {
        let init = Init::Normal { std: 0.5 };
        vec![
            PartParameter::new("weight", (inputs, self.0), init),
            PartParameter::new("bias", (1, self.0), init),
        ]
    }

    fn forward(&self, weights: &PartWeights, x: Traced) -> Traced {
        (x.matmul(weights.get(0)) + weights.in_every_row(1)).tanh()
    }
}

/// Breaks the promise that rows do not influence each other.
#[derive(Clone, Debug)]
struct Mixes;

impl CustomPart for Mixes {
    fn outputs(&self, inputs: usize) -> usize {
        inputs
    }

    fn forward(&self, _weights: &PartWeights, x: Traced) -> Traced {
        let shape = *x.shape();
        x.retaped::<OwnedTape<f32, Cpu>>()
            + x.mean::<(usize,), Axis<0>>().broadcast_like::<(usize, usize), Axis<0>>(&shape)
    }
}

/// Says that it has one output more than it gives.
#[derive(Clone, Debug)]
struct Lies;

impl CustomPart for Lies {
    fn outputs(&self, inputs: usize) -> usize {
        inputs + 1
    }

    fn forward(&self, _weights: &PartWeights, x: Traced) -> Traced {
        x
    }
}

fn parts() -> CustomParts {
    let mut parts = CustomParts::new();
    parts.register("dense", |arguments| {
        let width = arguments.get("width").ok_or("expected `width`, found none")?;
        Ok(Dense(*width as usize))
    });
    parts.register("lies", |_| Ok(Lies));
    parts
}

fn config(text: &str) -> ModelConfig {
    let encoder: EncoderConfig = serde_json::from_str(text).unwrap();
    ModelConfig { encoder, ..ModelConfig::default() }
}

fn model(config: &ModelConfig) -> Result<(Model, Params), NnError> {
    let mut builder = LayoutBuilder::new();
    let head = HeadSpec { name: "q".to_owned(), head: Head::Q { actions: 3 }, init: Init::PYTORCH_LINEAR };
    let model = Model::new(&mut builder, "", &Observation::Vector(4), config, &[head], Init::PYTORCH_LINEAR)?;
    Ok((model, builder.build(7)))
}

#[test]
fn parts_are_checked_by_what_they_promise() {
    check_part(&Dense(3), 5).unwrap();
    let message = check_part(&Mixes, 3).unwrap_err().to_string();
    assert!(message.contains("rows that do not influence each other"), "{message}");
    let message = check_part(&Lies, 3).unwrap_err().to_string();
    assert!(message.contains("[ROWS, outputs]") && message.contains("[32, 3]"), "{message}");
}

#[test]
fn a_part_agrees_with_the_layer_it_repeats() {
    let mut builder = LayoutBuilder::new();
    let custom: Arc<dyn Layer> =
        Arc::new(CustomLayer::new(&mut builder, "a", "dense", Arc::new(Dense(6)), 4).unwrap());
    let linear = crate::Linear::new(&mut builder, "b", 4, 6, Activation::Tanh, Init::PYTORCH_LINEAR);
    let mut params = builder.build(3);
    // PyTorch's layout is the transposed one.
    let (weight, bias) = (params.get("a.weight").unwrap().to_vec(), params.get("a.bias").unwrap().to_vec());
    let layout = params.layout().clone();
    let turned: Vec<f32> = (0..24).map(|i| weight[i % 4 * 6 + i / 4]).collect();
    layout.find("b.weight").unwrap().range.write(&turned, params.as_mut_slice());
    layout.find("b.bias").unwrap().range.write(&bias, params.as_mut_slice());
    let values: Vec<f32> = (0..4 * 70).map(|i| (i as f32).cos()).collect();
    let x = Matrix::from_slice(70, 4, &values).unwrap();
    let run = |layer: Arc<dyn Layer>| {
        let mut tape = Tape::new();
        let y = Sequential::new(vec![layer]).unwrap().forward(&params, &x, &mut tape).unwrap();
        let mut gradient = vec![f32::NAN; params.len()];
        tape.backward(&params, &[(&y, y.as_slice())], &mut gradient).unwrap();
        (y.as_slice().to_vec(), gradient)
    };
    let ((custom, a), (linear, b)) = (run(custom), run(linear.into()));
    let close = |a: f32, b: f32| (a - b).abs() < 1e-5 * (1.0 + b.abs());
    assert!(custom.iter().zip(&linear).all(|(&a, &b)| close(a, b)));
    let of = |name: &str, gradient: &[f32]| layout.find(name).unwrap().range.read(gradient);
    let (a_weight, b_weight) = (of("a.weight", &a), of("b.weight", &b));
    assert!((0..24).all(|i| close(a_weight[i % 4 * 6 + i / 4], b_weight[i])), "{a:?} {b:?}");
    assert!(of("a.bias", &a).iter().zip(of("b.bias", &b)).all(|(&a, b)| close(a, b)));
}

#[test]
fn acting_gives_the_bits_of_learning() {
    let mut config =
        config(r#"{"kind": "custom", "part": "dense", "arguments": {"width": 8}, "hidden": [5]}"#);
    config.bind(&parts()).unwrap();
    let (model, params) = model(&config).unwrap();
    assert!(params.get("encoder.0.weight").is_some(), "{params:?}");
    let values: Vec<f32> = (0..4 * 50).map(|i| (i as f32).sin()).collect();
    let x = Matrix::from_slice(50, 4, &values).unwrap();
    let learned = model.forward(&params, &(&x).into(), &mut Tape::new()).unwrap();
    let packed = PackedModel::new(&model, &params).unwrap();
    let mut acted = vec![0.0; 3];
    for (row, x) in values.chunks_exact(4).enumerate() {
        let mut memory = MemoryState { state: &mut [], resets: &[] };
        let (scratch, out) = (&mut ModelScratch::default(), &mut [&mut acted[..]]);
        model.infer(&packed, x, 1, &mut memory, scratch, out).unwrap();
        assert_eq!(acted, learned[0].as_slice()[row * 3..(row + 1) * 3]);
    }
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    let refusal = |text: &str| {
        let mut config = config(text);
        config.bind(&parts()).and_then(|()| model(&config).map(drop)).unwrap_err().to_string()
    };
    let message = refusal(r#"{"kind": "custom", "part": "dence"}"#);
    assert!(message.contains("dence") && message.contains("dense, lies"), "{message}");
    let message = refusal(r#"{"kind": "custom", "part": "dense"}"#);
    assert!(message.contains("expected `width`"), "{message}");
    let message = refusal(r#"{"kind": "custom", "part": "lies"}"#);
    assert!(message.contains("[32, 4] of `lies`"), "{message}");
    // Settings that nobody has bound.
    let message = model(&config(r#"{"kind": "custom", "part": "dense"}"#)).unwrap_err().to_string();
    assert!(message.contains("registers"), "{message}");
}
