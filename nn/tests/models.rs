//! Models built from configurations: shapes, names, gradients, acting against learning, errors.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use agon_nn::{
    Activation, EncoderConfig, Head, HeadConfig, HeadSpec, ImageShape, Init, Input, LayoutBuilder, Matrix,
    MemoryState, Model, ModelConfig, ModelScratch, NnError, Observation, PackedModel, Params, Tape, Unroll,
};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng as _;

fn image(channels: usize, height: usize, width: usize, channels_last: bool) -> Observation {
    Observation::Image { shape: ImageShape::new(channels, height, width), channels_last }
}

fn dict() -> Observation {
    Observation::Dict(vec![
        ("goal".to_owned(), Observation::Discrete(vec![3, 4])),
        ("map".to_owned(), image(2, 6, 6, true)),
        ("speed".to_owned(), Observation::Vector(3)),
    ])
}

fn encoder(json: &str) -> EncoderConfig {
    serde_json::from_str(json).unwrap()
}

/// Every kind of encoder, with an observation that it can read.
fn cases() -> Vec<(&'static str, Observation)> {
    vec![
        (r#"{"kind": "identity"}"#, Observation::Vector(5)),
        (r#"{"kind": "mlp", "hidden": [7, 9], "activation": "silu"}"#, Observation::Vector(5)),
        (r#"{"kind": "mlp", "hidden": [12], "layer_norm": true}"#, Observation::Vector(5)),
        (r#"{"kind": "mlp", "hidden": [6]}"#, Observation::Discrete(vec![3, 5])),
        (r#"{"kind": "cnn"}"#, image(4, 10, 10, false)),
        (r#"{"kind": "cnn", "hidden": [20]}"#, image(1, 36, 40, true)),
        (r#"{"kind": "cnn", "hidden": [20], "layer_norm": true}"#, image(3, 7, 6, true)),
        (
            r#"{"kind": "cnn", "convs": [{"channels": 6, "kernel": [3, 2], "stride": [2, 1], "padding": [1, 0]}]}"#,
            image(3, 7, 8, true),
        ),
        (r#"{"kind": "nature_cnn", "hidden": 24}"#, image(2, 40, 36, false)),
        (r#"{"kind": "minatar_cnn", "channels": 5, "hidden": 18}"#, image(4, 10, 10, true)),
        (r#"{"kind": "impala", "channels": [4, 6], "hidden": 16}"#, image(3, 11, 9, false)),
        (
            r#"{"kind": "residual", "channels": 16, "blocks": 2, "planes": 3, "hidden": [8]}"#,
            image(3, 6, 7, true),
        ),
        (r#"{"kind": "embedding", "width": 5, "hidden": [8]}"#, Observation::Discrete(vec![3, 4])),
        (r#"{"kind": "dict", "hidden": [10]}"#, dict()),
        (
            r#"{"kind": "dict", "parts": {"map": {"kind": "mlp", "hidden": [4]}, "speed": {"kind": "identity"}}}"#,
            dict(),
        ),
        (r#"{"kind": "auto"}"#, image(3, 5, 5, false)),
    ]
}

fn heads(specs: &[(&str, Head)]) -> Vec<HeadSpec> {
    let init = Init::Orthogonal { gain: 0.5 };
    specs.iter().map(|(name, head)| HeadSpec { name: (*name).to_owned(), head: head.clone(), init }).collect()
}

fn build(
    config: &ModelConfig,
    observation: &Observation,
    specs: &[HeadSpec],
) -> Result<(Model, Params), NnError> {
    let mut builder = LayoutBuilder::new();
    let model = Model::new(&mut builder, "", observation, config, specs, Init::Orthogonal { gain: 1.0 })?;
    Ok((model, builder.build(3)))
}

/// Rows of observations: categories where there are categories, else numbers.
fn observations(observation: &Observation, rows: usize) -> Vec<f32> {
    fn fill(observation: &Observation, salt: &mut usize, row: &mut Vec<f32>) {
        let mut next = || {
            *salt = (*salt * 7919 + 31) % 10_007;
            *salt
        };
        match observation {
            Observation::Discrete(nvec) => row.extend(nvec.iter().map(|n| (next() % n) as f32)),
            Observation::Dict(parts) => parts.iter().for_each(|(_, part)| fill(part, salt, row)),
            other => row.extend((0..other.len()).map(|_| (next() % 2001) as f32 / 1000.0 - 1.0)),
        }
    }
    let (mut salt, mut values) = (17, Vec::new());
    (0..rows).for_each(|_| fill(observation, &mut salt, &mut values));
    values
}

fn act(model: &Model, params: &Params, x: &[f32], rows: usize, heads: usize) -> Vec<Vec<f32>> {
    let packed = PackedModel::new(model, params).unwrap();
    let mut outs: Vec<Vec<f32>> = (0..heads).map(|head| vec![f32::NAN; rows * model.outputs(head)]).collect();
    let mut slices: Vec<&mut [f32]> = outs.iter_mut().map(Vec::as_mut_slice).collect();
    model
        .infer(&packed, x, rows, &mut MemoryState::none(), &mut ModelScratch::default(), &mut slices)
        .unwrap();
    outs
}

#[test]
fn every_encoder_learns_and_acts_with_the_same_bits() {
    let both = heads(&[("actor", Head::Categorical { actions: 3 }), ("critic", Head::Value)]);
    for (json, observation) in cases() {
        let config = ModelConfig { encoder: encoder(json), ..ModelConfig::default() };
        let rows = 5;
        let x = observations(&observation, rows);
        for specs in [&both[..], &both[..1]] {
            let (model, params) = build(&config, &observation, specs).unwrap();
            assert_eq!(model.summary().parameters(), params.layout().values_len(), "{json}");
            let input = Input::from(&Matrix::from_slice(rows, observation.len(), &x).unwrap());
            let learned = model.forward(&params, &input, &mut Tape::inference()).unwrap();
            for (learned, acted) in learned.iter().zip(act(&model, &params, &x, rows, specs.len())) {
                assert_eq!(learned.as_slice(), acted, "{json}");
                assert!(acted.iter().all(|y| y.is_finite()), "{json}");
            }
            let chained = model.chain(0).unwrap().forward_input(&params, &input, &mut Tape::inference());
            assert_eq!(chained.unwrap().as_slice(), learned[0].as_slice(), "{json}");
        }
    }
}

/// The derivative of `Σ weights · outputs` in a random direction of the parameters, against differences.
#[test]
fn gradients_agree_with_differences_along_random_directions() {
    let smooth =
        |json: &str| json.replace("\"kind\": \"cnn\"", "\"kind\": \"cnn\", \"activation\": \"tanh\"");
    let specs = heads(&[
        ("actor", Head::Gaussian { dimensions: 2 }),
        ("q", Head::Dueling { actions: 3 }),
        ("z", Head::Distributional { actions: 2, atoms: 4, dueling: true }),
    ]);
    // Nature's rectifiers change sides at any step that `f32` can resolve; `cnn` has its layers with tanh.
    for (json, observation) in cases().into_iter().filter(|(json, _)| !json.contains("nature")) {
        let head = HeadConfig { hidden: vec![6], activation: Activation::Tanh, noisy: json.contains("mlp") };
        let config = ModelConfig { encoder: encoder(&smooth(json)), head, ..ModelConfig::default() };
        let (model, mut params) = build(&config, &observation, &specs).unwrap();
        let mut rng = Pcg64::seed_from_u64(5);
        model.resample_noise(&mut params, &mut rng);
        let rows = 4;
        let x = observations(&observation, rows);
        let input = Input::from(&Matrix::from_slice(rows, observation.len(), &x).unwrap());
        let weights: Vec<Vec<f32>> = (0..3)
            .map(|head| {
                (0..rows * model.outputs(head)).map(|i| ((i * 37 + head) % 19) as f32 / 9.0 - 1.0).collect()
            })
            .collect();
        let loss = |params: &Params| -> f64 {
            let outputs = model.forward(params, &input, &mut Tape::inference()).unwrap();
            let pairs = outputs.iter().zip(&weights);
            pairs
                .flat_map(|(y, w)| y.as_slice().iter().zip(w).map(|(y, w)| f64::from(*y) * f64::from(*w)))
                .sum()
        };
        let mut tape = Tape::new();
        let outputs = model.forward(&params, &input, &mut tape).unwrap();
        let seeds: Vec<(&Matrix, &[f32])> =
            outputs.iter().zip(&weights).map(|(y, w)| (y, w.as_slice())).collect();
        let mut gradient = vec![f32::NAN; params.len()];
        tape.backward(&params, &seeds, &mut gradient).unwrap();
        for direction in 0..3_usize {
            let mut learned = vec![false; params.len()];
            for spec in params.layout().specs() {
                learned[spec.range.range()].fill(spec.learned);
            }
            let d: Vec<f32> =
                (0..params.len())
                    .map(|i| {
                        if learned[i] {
                            ((i * 7919 + direction * 101) % 211) as f32 / 105.0 - 1.0
                        } else {
                            0.0
                        }
                    })
                    .collect();
            let moved = |step: f32| {
                let mut moved = params.clone();
                moved.as_mut_slice().iter_mut().zip(&d).for_each(|(p, d)| *p += step * d);
                loss(&moved)
            };
            // Small, so that few rectifiers change sides.
            let step = 1e-4;
            let expected = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let got: f64 = gradient.iter().zip(&d).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            let tolerance = 0.03 * expected.abs() + 0.05;
            assert!((got - expected).abs() < tolerance, "{json}: {got}, expected {expected}");
        }
    }
}

/// Steps of several environments at once, and one by one with carried states.
#[test]
fn models_with_a_memory_act_as_they_learn() {
    let specs = heads(&[("actor", Head::Categorical { actions: 3 }), ("critic", Head::Value)]);
    let (steps, batch) = (6, 3);
    let resets: Vec<bool> = (0..steps * batch).map(|i| i % 7 == 5).collect();
    for memory in [
        r#"{"kind": "rnn"}"#,
        r#"{"kind": "gru", "hidden": 9}"#,
        r#"{"kind": "lstm", "hidden": 17}"#,
        r#"{"kind": "transformer", "width": 12, "heads": 3, "feed_forward": 20, "window": 3}"#,
        r#"{"kind": "gtrxl", "width": 8, "heads": 2, "feed_forward": 16, "window": 4, "layers": 1}"#,
    ] {
        let config = ModelConfig {
            encoder: encoder(r#"{"kind": "mlp", "hidden": [8]}"#),
            memory: serde_json::from_str(memory).unwrap(),
            ..ModelConfig::default()
        };
        let observation = Observation::Vector(4);
        let (model, params) = build(&config, &observation, &specs).unwrap();
        assert_eq!(model.summary().parameters(), params.layout().values_len(), "{memory}");
        let x = observations(&observation, steps * batch);
        let input = Input::from(&Matrix::from_slice(steps * batch, 4, &x).unwrap());
        let start = Matrix::zeros(batch, model.state_len()).unwrap();
        let unroll = Unroll::new(steps).resets(&resets);
        let learned =
            model.forward_sequence(&params, &input, &start, &unroll, &mut Tape::inference()).unwrap();

        let packed = PackedModel::new(&model, &params).unwrap();
        let (mut state, mut scratch) = (vec![0.0; batch * model.state_len()], ModelScratch::default());
        for step in 0..steps {
            let rows = step * batch..(step + 1) * batch;
            let (mut logits, mut values) = (vec![f32::NAN; batch * 3], vec![f32::NAN; batch]);
            let mut memory_state = MemoryState { state: &mut state, resets: &resets[rows.clone()] };
            let x = &x[rows.start * 4..rows.end * 4];
            model
                .infer(&packed, x, batch, &mut memory_state, &mut scratch, &mut [&mut logits, &mut values])
                .unwrap();
            assert_eq!(logits, learned.heads[0].as_slice()[rows.start * 3..rows.end * 3], "{memory} {step}");
            assert_eq!(values, learned.heads[1].as_slice()[rows], "{memory} {step}");
        }
        assert_eq!(state, learned.state.unwrap().as_slice(), "{memory}");
        assert!(model.forward(&params, &input, &mut Tape::new()).is_err(), "a memory needs its state");
    }
}

#[test]
fn parameters_are_named_as_pytorch_users_would() {
    let names = |json: &str, observation: &Observation| -> Vec<String> {
        let config = ModelConfig { encoder: encoder(json), ..ModelConfig::default() };
        let (_, params) = build(&config, observation, &heads(&[("q", Head::Q { actions: 2 })])).unwrap();
        let weights = params.layout().specs().iter().filter(|spec| spec.name.ends_with("weight"));
        weights.map(|spec| spec.name.clone()).collect()
    };
    assert_eq!(
        names(r#"{"kind": "nature_cnn"}"#, &image(4, 84, 84, false)),
        ["encoder.0.weight", "encoder.2.weight", "encoder.4.weight", "encoder.7.weight", "q.0.weight"]
    );
    assert_eq!(
        names(r#"{"kind": "cnn", "layer_norm": true}"#, &image(4, 10, 10, false)),
        ["encoder.0.weight", "encoder.1.weight", "encoder.4.weight", "encoder.5.weight", "q.0.weight"]
    );
    assert_eq!(
        names(r#"{"kind": "impala", "channels": [4]}"#, &image(3, 9, 9, false))[..3],
        ["encoder.0.conv.weight", "encoder.0.res_block0.conv0.weight", "encoder.0.res_block0.conv1.weight"]
    );
    assert_eq!(
        names(r#"{"kind": "dict", "hidden": [4]}"#, &dict()),
        [
            "encoder.map.0.weight",
            "encoder.map.3.weight",
            "encoder.speed.0.weight",
            "encoder.speed.2.weight",
            "encoder.joined.0.weight",
            "q.0.weight"
        ]
    );
}

#[test]
fn nature_has_its_published_size() {
    let config = ModelConfig { encoder: encoder(r#"{"kind": "nature_cnn"}"#), ..ModelConfig::default() };
    let (model, params) =
        build(&config, &image(4, 84, 84, false), &heads(&[("q", Head::Q { actions: 4 })])).unwrap();
    assert_eq!(params.len(), 1_686_180);
    let convs: u64 = 2 * (32 * 256 * 400 + 64 * 512 * 81 + 64 * 576 * 49);
    assert_eq!(model.summary().flops(), convs + 2 * (3136 * 512 + 512 * 4));
}

#[test]
fn noise_moves_outputs_and_can_be_silenced() {
    let head = HeadConfig { noisy: true, ..HeadConfig::default() };
    let config = ModelConfig { head, ..ModelConfig::default() };
    let observation = Observation::Vector(3);
    let (model, mut params) = build(&config, &observation, &heads(&[("q", Head::Q { actions: 2 })])).unwrap();
    assert!(model.is_noisy());
    let mean = act(&model, &params, &[0.1, 0.2, 0.3], 1, 1);
    model.resample_noise(&mut params, &mut Pcg64::seed_from_u64(1));
    assert_ne!(act(&model, &params, &[0.1, 0.2, 0.3], 1, 1), mean);
    model.silence_noise(&mut params);
    assert_eq!(act(&model, &params, &[0.1, 0.2, 0.3], 1, 1), mean);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let q = heads(&[("q", Head::Q { actions: 2 })]);
    let message = |json: &str, observation: &Observation, specs: &[HeadSpec]| {
        let config = ModelConfig { encoder: encoder(json), ..ModelConfig::default() };
        build(&config, observation, specs).unwrap_err().to_string()
    };
    let cnn = r#"{"kind": "cnn"}"#;
    assert!(message(cnn, &Observation::Vector(4), &q).contains("got a vector of 4"));
    assert!(message(cnn, &image(4, 2, 2, false), &q).starts_with("encoder.kernel must be no larger"));
    assert!(message(r#"{"kind": "mlp", "hidden": [0]}"#, &Observation::Vector(4), &q).contains("hidden"));
    let unknown = r#"{"kind": "dict", "parts": {"camera": {"kind": "auto"}}}"#;
    assert!(message(unknown, &dict(), &q).ends_with("got camera"));
    assert!(message(cnn, &image(4, 10, 10, false), &[]).contains("heads"));
    assert!(
        message(cnn, &image(4, 10, 10, false), &heads(&[("q", Head::Q { actions: 0 })])).contains("head")
    );
    assert!(message(r#"{"kind": "identity"}"#, &Observation::Vector(0), &q).contains("at least one value"));

    let (model, params) = build(&ModelConfig::default(), &Observation::Vector(4), &q).unwrap();
    let x = Input::from(&Matrix::zeros(2, 3).unwrap());
    let error = model.forward(&params, &x, &mut Tape::new()).unwrap_err();
    assert_eq!(error.to_string(), "observation must have 4 columns, got 3");
    assert!(serde_json::from_str::<EncoderConfig>(r#"{"kind": "mlp", "hiden": [3]}"#).is_err());
}

#[test]
fn a_tower_is_for_images() {
    let tower = encoder(r#"{"kind": "residual"}"#);
    assert_eq!(tower.fitting(&image(3, 6, 7, true)), tower);
    assert_eq!(tower.fitting(&Observation::Vector(4)), EncoderConfig::default());
}
