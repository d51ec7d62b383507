//! Acting against learning, sequences against their parts, and gradients.

use proptest::prelude::*;

use super::*;
use crate::attention::{AttentionMask, BlockConfig, TransformerBlock};
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::norm::Norm;
use crate::sequential::Sequential;

fn transformer(window: usize, position: Position) -> TransformerConfig {
    TransformerConfig { layers: 2, heads: 2, width: 12, feed_forward: 9, window, position }
}

fn configs() -> Vec<MemoryConfig> {
    let init = RecurrentInit::Uniform;
    let mut configs = vec![
        MemoryConfig::Rnn { hidden: 5, init },
        MemoryConfig::Gru { hidden: 17, init },
        MemoryConfig::Lstm { hidden: 6, init: RecurrentInit::Chrono { longest: 8 } },
    ];
    let positions =
        [Position::None, Position::Learned { positions: 4 }, Position::Sinusoidal, Position::Rotary];
    for (window, position) in [1, 3, 20, 4].into_iter().zip(positions) {
        configs.push(MemoryConfig::Transformer(transformer(window, position)));
        configs.push(MemoryConfig::Gtrxl(transformer(window + 1, position)));
    }
    configs
}

const INPUTS: usize = 3;

fn build(config: &MemoryConfig) -> (Memory, Params) {
    let mut builder = LayoutBuilder::new();
    let memory = Memory::new(&mut builder, "memory", INPUTS, config).unwrap().unwrap();
    (memory, builder.build(1))
}

/// Fixed values that look random.
fn values(count: usize, shift: usize) -> Vec<f32> {
    (0..count).map(|i| ((i + shift) * 7919 % 211) as f32 / 100.0 - 1.0).collect()
}

/// Runs all steps on a tape; returns outputs and last state.
fn learn(
    memory: &Memory,
    params: &Params,
    x: &[f32],
    state: &[f32],
    resets: &[bool],
) -> (Vec<f32>, Vec<f32>) {
    let batch = state.len() / memory.state_len();
    let x = Matrix::from_slice(x.len() / INPUTS, INPUTS, x).unwrap();
    let state = Matrix::from_slice(batch, memory.state_len(), state).unwrap();
    let (y, last) =
        memory.forward(params, &x, x.rows() / batch, &state, resets, &mut Tape::inference()).unwrap();
    (y.as_slice().to_vec(), last.as_slice().to_vec())
}

/// Runs all steps one by one without a tape.
fn act(memory: &Memory, params: &Params, x: &[f32], state: &[f32], resets: &[bool]) -> (Vec<f32>, Vec<f32>) {
    let packed = PackedMemory::new(memory, params).unwrap();
    let (mut state, mut y) = (state.to_vec(), Vec::new());
    let batch = state.len() / memory.state_len();
    for (step, x) in x.chunks_exact(batch * INPUTS).enumerate() {
        let mut out = vec![f32::NAN; batch * memory.outputs()];
        let resets = resets.get(step * batch..(step + 1) * batch).unwrap_or(&[]);
        memory.step(&packed, x, resets, &mut state, &mut out).unwrap();
        y.extend(out);
    }
    (y, state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn acting_gives_the_bits_of_learning(
        (batch, steps, cut) in (1..4_usize, 2..9_usize).prop_flat_map(|(b, t)| (Just(b), Just(t), 1..t)),
        flags in prop::collection::vec(prop::bool::weighted(0.2), 40),
        with_resets in any::<bool>(),
        shift in 0..200_usize,
    ) {
        for config in configs() {
            let (memory, params) = build(&config);
            let x = values(steps * batch * INPUTS, shift);
            let resets = if with_resets { &flags[..steps * batch] } else { &[] };
            let state = vec![0.0; batch * memory.state_len()];
            let (y, last) = learn(&memory, &params, &x, &state, resets);
            let acted = act(&memory, &params, &x, &state, resets);
            prop_assert_eq!(&y, &acted.0, "{:?}", config);
            prop_assert_eq!(&last, &acted.1, "{:?}", config);

            // In two parts, the state carried between them.
            let (early, late) = x.split_at(cut * batch * INPUTS);
            let split = resets.len().min(cut * batch);
            let (first, middle) = learn(&memory, &params, early, &state, &resets[..split]);
            let (second, end) = learn(&memory, &params, late, &middle, &resets[split..]);
            prop_assert_eq!(&y, &[first, second].concat(), "{:?}", config);
            prop_assert_eq!(&last, &end, "{:?}", config);
        }
    }
}

#[test]
fn a_reset_is_the_start_of_an_episode() {
    for config in configs() {
        let (memory, params) = build(&config);
        let (batch, steps, cut) = (2, 6, 4);
        let x = values(steps * batch * INPUTS, 3);
        let state = vec![0.0; batch * memory.state_len()];
        let resets: Vec<bool> = (0..steps * batch).map(|row| row / batch == cut).collect();
        let (y, last) = learn(&memory, &params, &x, &state, &resets);
        let (fresh, fresh_last) = learn(&memory, &params, &x[cut * batch * INPUTS..], &state, &[]);
        assert_eq!(y[cut * batch * memory.outputs()..], fresh, "{config:?}");
        assert_eq!(last, fresh_last, "{config:?}");
        let (without, _) = learn(&memory, &params, &x, &state, &[]);
        let remembers = !matches!(&config, MemoryConfig::Transformer(config) if config.window == 1);
        assert_eq!(without != y, remembers, "{config:?}");
    }
}

#[test]
fn a_transformer_is_its_blocks_with_a_mask() {
    let (batch, steps, window) = (3, 7, 4);
    let config = transformer(window, Position::None);
    let (memory, params) = build(&MemoryConfig::Transformer(config));
    let mut builder = LayoutBuilder::new();
    let width = config.width;
    let input =
        Linear::new(&mut builder, "memory.input", INPUTS, width, Activation::Identity, Init::PYTORCH_LINEAR);
    let block_config = BlockConfig { width, heads: 2, feed_forward: 9, activation: Activation::Gelu };
    let blocks = [0, 1].map(|layer| {
        TransformerBlock::pre_norm(&mut builder, &format!("memory.layers.{layer}"), &block_config).unwrap()
    });
    let norm = Norm::layer(&mut builder, "memory.norm", width, Norm::LAYER_EPS);
    assert_eq!(builder.build(1).layout(), params.layout());

    let x = values(batch * steps * INPUTS, 9);
    let resets: Vec<bool> = (0..steps * batch).map(|row| row % 5 == 3).collect();
    let (y, _) = learn(&memory, &params, &x, &vec![0.0; batch * memory.state_len()], &resets);

    // The same rows in the order of sequences.
    let swap = |values: &[f32], width: usize| -> Vec<f32> {
        let row = |b: usize, t: usize| &values[(t * batch + b) * width..][..width];
        (0..batch).flat_map(|b| (0..steps).flat_map(move |t| row(b, t))).copied().collect()
    };
    let mut segments = vec![0; batch * steps];
    for (b, segments) in segments.chunks_exact_mut(steps).enumerate() {
        let mut segment = 0;
        for (t, value) in segments.iter_mut().enumerate() {
            segment += u32::from(resets[t * batch + b]);
            *value = segment;
        }
    }
    let mask = AttentionMask::none().causal().window(window).segments(&segments);
    let mut tape = Tape::inference();
    let x = Matrix::from_slice(batch * steps, INPUTS, &swap(&x, INPUTS)).unwrap();
    let mut h = Sequential::new(vec![input.into()]).unwrap().forward(&params, &x, &mut tape).unwrap();
    for block in &blocks {
        h = block.forward(&params, &h, batch, &mask, &mut tape).unwrap();
    }
    let h = Sequential::new(vec![norm.into()]).unwrap().forward(&params, &h, &mut tape).unwrap();
    assert_eq!(h.as_slice(), swap(&y, width));
}

#[test]
fn gradients_agree_with_finite_differences_along_random_directions() {
    let (batch, steps) = (2, 5);
    for config in configs() {
        let (memory, params) = build(&config);
        // A state that some steps have filled, a constant.
        let past = values(6 * batch * INPUTS, 50);
        let (_, state) = act(&memory, &params, &past, &vec![0.0; batch * memory.state_len()], &[]);
        let state = Matrix::from_slice(batch, memory.state_len(), &state).unwrap();
        let resets: Vec<bool> = (0..steps * batch).map(|row| row == 5).collect();
        let of_y = values(steps * batch * memory.outputs(), 77);
        let x =
            Matrix::from_slice(steps * batch, INPUTS, &values(steps * batch * INPUTS, 3)).unwrap().tracked();
        let loss = |params: &Params, x: &Matrix| -> f64 {
            let mut tape = Tape::inference();
            let (y, _) = memory.forward(params, x, steps, &state, &resets, &mut tape).unwrap();
            y.as_slice().iter().zip(&of_y).map(|(&y, &w)| f64::from(y) * f64::from(w)).sum()
        };
        let mut tape = Tape::new();
        let (y, _) = memory.forward(&params, &x, steps, &state, &resets, &mut tape).unwrap();
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, &of_y)], &mut gradient).unwrap();
        let check = |name: &str, gradient: &[f32], direction: &[f32], up: f64, down: f64, step: f64| {
            let got: f64 = gradient.iter().zip(direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            let expected = (up - down) / (2.0 * step);
            let scale = gradient.iter().map(|g| g.abs()).fold(1.0, f32::max);
            let bound = 2e-3 * f64::from(scale) * (direction.len() as f64).sqrt();
            assert!((got - expected).abs() < bound, "{config:?} {name}: expected {expected}, got {got}");
        };
        let step = 2e-3;
        for shift in [11, 40, 99] {
            let direction = values(params.len(), shift);
            let at = |step: f32| {
                let mut moved = params.clone();
                moved.as_mut_slice().iter_mut().zip(&direction).for_each(|(p, d)| *p += step * d);
                loss(&moved, &x)
            };
            check("parameters", &gradient, &direction, at(step), at(-step), f64::from(step));
            let direction = values(x.as_slice().len(), shift);
            let at = |step: f32| {
                let mut moved = x.clone();
                moved.as_mut_slice().iter_mut().zip(&direction).for_each(|(p, d)| *p += step * d);
                loss(&params, &moved)
            };
            check("input", of_inputs.get(&x).unwrap(), &direction, at(step), at(-step), f64::from(step));
        }
    }
}

#[test]
fn steps_beyond_the_learned_positions_share_the_last_one() {
    let config = transformer(2, Position::Learned { positions: 2 });
    let (memory, mut params) = build(&MemoryConfig::Transformer(config));
    let table = params.layout().find("memory.position.weight").unwrap().range.clone();
    assert_eq!(table.shape(), [2, 12]);
    let x: Vec<f32> = values(INPUTS, 1).repeat(5);
    let zeros = vec![0.0; memory.state_len()];
    let run = |params: &Params| learn(&memory, params, &x, &zeros, &[]).0;
    let rows = run(&params);
    let row = |t: usize| &rows[t * 12..(t + 1) * 12];
    assert_eq!(row(3), row(4));
    assert_ne!(row(0), row(3));
    table.of_mut(params.as_mut_slice())[12..].fill(1.0);
    assert_ne!(run(&params)[4 * 12..], rows[4 * 12..]);
}

#[test]
fn update_packs_new_weights() {
    for config in configs() {
        let (memory, mut params) = build(&config);
        let mut packed = PackedMemory::new(&memory, &params).unwrap();
        params.as_mut_slice().iter_mut().for_each(|value| *value *= 0.5);
        packed.update(&memory, &params).unwrap();
        let fresh = PackedMemory::new(&memory, &params).unwrap();
        let x = values(INPUTS, 1);
        let run = |packed: &PackedMemory| {
            let (mut state, mut out) = (vec![0.0; memory.state_len()], vec![0.0; memory.outputs()]);
            memory.step(packed, &x, &[], &mut state, &mut out).unwrap();
            out
        };
        assert_eq!(run(&packed), run(&fresh), "{config:?}");
    }
}

#[test]
fn wrong_sizes_are_refused() {
    for config in configs() {
        let (memory, params) = build(&config);
        let len = memory.state_len();
        let run = |rows: usize, columns: usize, steps: usize, state: usize, resets: &[bool]| {
            let x = Matrix::from_slice(rows, columns, &values(rows * columns, 0)).unwrap();
            let state = Matrix::zeros(2, state).unwrap();
            memory.forward(&params, &x, steps, &state, resets, &mut Tape::new()).unwrap_err().to_string()
        };
        assert_eq!(run(5, INPUTS, 3, len, &[]), "input must have 6 rows, got 5", "{config:?}");
        assert_eq!(run(6, INPUTS, 0, len, &[]), "steps must be at least 1, got 0");
        assert_eq!(
            run(6, INPUTS, 3, len + 1, &[]),
            format!("state must have {len} columns, got {}", len + 1)
        );
        assert_eq!(run(6, INPUTS, 3, len, &[true]), "resets must hold 6 values, got 1");
        assert_eq!(run(6, 4, 3, len, &[]), "input must have 3 columns, got 4");

        let packed = PackedMemory::new(&memory, &params).unwrap();
        let step = |x: usize, resets: &[bool], state: usize, out: usize| {
            let (x, mut state, mut out) = (vec![0.0; x], vec![0.0; state], vec![0.0; out]);
            memory.step(&packed, &x, resets, &mut state, &mut out).map_err(|error| error.to_string())
        };
        let (width, state) = (memory.outputs(), memory.state_len());
        assert_eq!(step(6, &[], 2 * state, 2 * width), Ok(()));
        assert_eq!(step(0, &[], 0, 0).unwrap_err(), "input must not be empty, got shape [0, 3]");
        assert_eq!(step(7, &[], 2 * state, 2 * width).unwrap_err(), "input must hold 6 values, got 7");
        let expected = format!("state must hold {} values, got 1", 2 * state);
        assert_eq!(step(6, &[], 1, 2 * width).unwrap_err(), expected);
        assert_eq!(step(6, &[true], 2 * state, 2 * width).unwrap_err(), "resets must hold 2 values, got 1");
        let other = LayoutBuilder::new().build(0);
        let error = PackedMemory::new(&memory, &other).unwrap_err().to_string();
        assert!(error.starts_with("parameters must hold"), "{error}");
    }
    let (gru, params) = build(&configs()[1]);
    let (transformer, _) = build(&configs()[3]);
    let mut packed = PackedMemory::new(&gru, &params).unwrap();
    let error = packed.update(&transformer, &params).unwrap_err();
    assert_eq!(error.to_string(), "packed memory must be made of the same kind of memory, got another kind");
}

#[test]
fn sizes_out_of_their_bounds_are_refused() {
    let plain = transformer(3, Position::Rotary);
    let init = RecurrentInit::Uniform;
    for (config, expected) in [
        (MemoryConfig::Lstm { hidden: 0, init }, "hidden must be at least 1, got 0"),
        (
            MemoryConfig::Gru { hidden: 4, init: RecurrentInit::Chrono { longest: 1 } },
            "init must be chrono of at least 2, for a GRU or LSTM, got chrono of 1 for Gru",
        ),
        (
            MemoryConfig::Rnn { hidden: 4, init: RecurrentInit::Chrono { longest: 9 } },
            "init must be chrono of at least 2, for a GRU or LSTM, got chrono of 9 for Rnn",
        ),
        (MemoryConfig::Gtrxl(TransformerConfig { layers: 0, ..plain }), "layers must be at least 1, got 0"),
        (
            MemoryConfig::Transformer(TransformerConfig { window: 0, ..plain }),
            "window must be at least 1, got 0",
        ),
        (
            MemoryConfig::Transformer(TransformerConfig { heads: 5, ..plain }),
            "heads must be at least 1 and a divisor of the width, got 5 heads of a width of 12",
        ),
        (
            MemoryConfig::Transformer(TransformerConfig { heads: 4, ..plain }),
            "width must be an even number for each head if positions are rotary, got 3",
        ),
        (
            MemoryConfig::Gtrxl(transformer(3, Position::Learned { positions: 0 })),
            "position.learned.positions must be at least 1, got 0",
        ),
    ] {
        let error = Memory::new(&mut LayoutBuilder::new(), "memory", 3, &config).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(Memory::new(&mut LayoutBuilder::new(), "memory", 3, &MemoryConfig::None).unwrap().is_none());
    let (memory, params) = build(&MemoryConfig::Transformer(plain));
    let (x, state) = (Matrix::zeros(4, INPUTS).unwrap(), Matrix::zeros(1, memory.state_len()).unwrap());
    let unroll = Unroll::new(4).truncate_every(2);
    let error = memory.unroll(&params, &x, &state, &unroll, &mut Tape::new()).unwrap_err();
    assert!(error.to_string().starts_with("truncate_every must be absent"), "{error}");
}

#[test]
fn configurations_are_read_from_text() {
    let read = |text: &str| serde_json::from_str::<MemoryConfig>(text);
    assert_eq!(read(r#"{"kind": "none"}"#).unwrap(), MemoryConfig::None);
    let expected = MemoryConfig::Lstm { hidden: 128, init: RecurrentInit::Uniform };
    assert_eq!(read(r#"{"kind": "lstm", "hidden": 128}"#).unwrap(), expected);
    let text = r#"{"kind": "gtrxl", "width": 32, "window": 16, "position": {"learned": {"positions": 100}}}"#;
    let position = Position::Learned { positions: 100 };
    let expected = TransformerConfig { width: 32, window: 16, position, ..TransformerConfig::default() };
    assert_eq!(read(text).unwrap(), MemoryConfig::Gtrxl(expected));
    assert!(read(r#"{"kind": "lstm", "hidden": 128, "layers": 2}"#).is_err());
    assert!(read(r#"{"kind": "transformer", "size": 2}"#).is_err());
    for config in configs() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(read(&text).unwrap(), config, "{text}");
    }
}

#[test]
fn summaries_count_all_parameters() {
    for config in configs() {
        let (memory, params) = build(&config);
        let lines = memory.describe();
        assert_eq!(
            lines.iter().map(|line| line.parameters).sum::<usize>(),
            params.layout().values_len(),
            "{config:?}"
        );
        assert_eq!(lines.last().unwrap().output_shape, [memory.outputs()]);
        assert!(lines.iter().map(|line| line.flops).sum::<u64>() > 0);
        assert_eq!(memory.inputs(), INPUTS);
    }
}
