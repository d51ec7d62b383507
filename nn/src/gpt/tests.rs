//! Acting against learning, windows that slide, causality, padding, and gradients.

use super::*;
use crate::model::Head;
use crate::sequential::Scratch;

const WIDTHS: [usize; 3] = [1, 4, 2];
const WINDOW: usize = 3;
const OUTPUTS: usize = 5;
/// The head reads the second of the three kinds.
const READ: usize = 1;

fn build(position: Position) -> (Gpt, Params) {
    build_with(position, WINDOW)
}

fn build_with(position: Position, window: usize) -> (Gpt, Params) {
    let kind = |(name, width): (&str, usize)| {
        let encoder =
            if width == 4 { EncoderConfig::mlp(&[6], Activation::Tanh) } else { EncoderConfig::Identity };
        TokenKind { name: name.to_owned(), observation: Observation::Vector(width), encoder }
    };
    let kinds: Vec<TokenKind> = ["a", "b", "c"].into_iter().zip(WIDTHS).map(kind).collect();
    let config = TransformerConfig { layers: 2, heads: 2, width: 8, feed_forward: 12, window, position };
    let head = HeadSpec {
        name: "head".to_owned(),
        head: Head::Categorical { actions: OUTPUTS },
        init: Init::PYTORCH_LINEAR,
    };
    let mut builder = LayoutBuilder::new();
    let (init, none) = (Init::PYTORCH_LINEAR, HeadConfig::default());
    let gpt = Gpt::new(&mut builder, "net.", &kinds, &config, (READ, &head, &none), init).unwrap();
    (gpt, builder.build(3))
}

fn positions() -> [Position; 3] {
    [Position::None, Position::Learned { positions: 4 }, Position::Sinusoidal]
}

/// Fixed values that look random.
fn values(count: usize, shift: usize) -> Vec<f32> {
    (0..count).map(|i| ((i + shift) * 7919 % 211) as f32 / 100.0 - 1.0).collect()
}

/// Steps of some sequences, the parts of each in a row.
struct Steps {
    parts: [Vec<f32>; 3],
    positions: Vec<u32>,
}

impl Steps {
    fn new(count: usize, first: u32, shift: usize) -> Self {
        let parts = [0, 1, 2].map(|kind| values(count * WIDTHS[kind], shift + 50 * kind));
        Self { parts, positions: (first..).take(count).collect() }
    }

    /// Some of the steps.
    fn part(&self, range: std::ops::Range<usize>) -> Self {
        let parts = [0, 1, 2]
            .map(|kind| self.parts[kind][range.start * WIDTHS[kind]..range.end * WIDTHS[kind]].to_vec());
        Self { parts, positions: self.positions[range].to_vec() }
    }

    fn then(&self, other: &Self) -> Self {
        let parts = [0, 1, 2].map(|kind| [self.parts[kind].clone(), other.parts[kind].clone()].concat());
        Self { parts, positions: [self.positions.clone(), other.positions.clone()].concat() }
    }

    fn learn(&self, gpt: &Gpt, params: &Params, sequences: usize, wanted: &[u32], tape: &mut Tape) -> Matrix {
        let parts: Vec<Input> = (0..3)
            .map(|kind| {
                let (rows, values) = (self.positions.len(), &self.parts[kind]);
                Input::Floats(Matrix::from_slice(rows, WIDTHS[kind], values).unwrap())
            })
            .collect();
        let x = GptInput { parts: &parts, positions: &self.positions, sequences, wanted };
        gpt.forward(params, &x, tape).unwrap()
    }

    /// Outputs of all steps of one sequence.
    fn outputs(&self, gpt: &Gpt, params: &Params) -> Vec<f32> {
        let wanted: Vec<u32> = (0..self.positions.len() as u32).collect();
        self.learn(gpt, params, 1, &wanted, &mut Tape::inference()).as_slice().to_vec()
    }
}

/// What acting gives at each step of two sequences beside each other, the second of which begins anew at a step.
fn act(gpt: &Gpt, params: &Params, sequences: [&Steps; 2], begins: usize) -> Vec<[Vec<f32>; 2]> {
    let packed = PackedGpt::new(gpt, params).unwrap();
    let (mut scratch, width) = (Scratch::default(), gpt.width());
    // Whatever was there before is forgotten where a sequence begins.
    let mut state = vec![1.0; 2 * gpt.state_len()];
    let count = sequences[0].positions.len();
    let mut embedded = |kind: usize, t: usize| {
        let range = t * WIDTHS[kind]..(t + 1) * WIDTHS[kind];
        let x: Vec<f32> = sequences.iter().flat_map(|own| &own.parts[kind][range.clone()]).copied().collect();
        let positions = sequences.map(|own| own.positions[t]);
        let mut out = vec![f32::NAN; 2 * width];
        gpt.embed(&packed, kind, &*x, &positions, &mut scratch, &mut out).unwrap();
        out
    };
    let tokens: Vec<Vec<f32>> = (0..count)
        .map(|t| {
            // The last kind belongs to the step before.
            let before = embedded(2, t.saturating_sub(1));
            let [first, second] = [embedded(0, t), embedded(1, t)];
            (0..2)
                .flat_map(|row| [&before, &first, &second].map(move |token| (row, token)))
                .flat_map(|(row, token)| token[row * width..(row + 1) * width].to_vec())
                .collect()
        })
        .collect();
    let step = |(t, tokens): (usize, &Vec<f32>)| {
        let resets = [t == 0, t == 0 || t == begins];
        let skipped = resets.map(usize::from);
        let new = GptTokens { tokens, skipped: &skipped, resets: &resets };
        let mut out = vec![f32::NAN; 2 * gpt.outputs()];
        let mut states: Vec<&mut [f32]> = state.chunks_exact_mut(gpt.state_len()).collect();
        gpt.extend(&packed, &new, &mut states, &mut Scratch::default(), &mut out).unwrap();
        let (first, second) = out.split_at(gpt.outputs());
        [first.to_vec(), second.to_vec()]
    };
    tokens.iter().enumerate().map(step).collect()
}

#[test]
fn acting_gives_the_bits_of_learning_in_every_window() {
    for (position, window) in positions().into_iter().zip([1, 2, WINDOW]) {
        let (gpt, params) = build_with(position, window);
        let (a, b) = (Steps::new(8, 0, 7), Steps::new(5, 0, 90).then(&Steps::new(3, 0, 31)));
        for (t, [of_a, of_b]) in act(&gpt, &params, [&a, &b], 5).into_iter().enumerate() {
            // The window alone: its last output.
            let expected = |own: &Steps, begin: usize| {
                let window = own.part(begin.max((t + 1).saturating_sub(window))..t + 1);
                let outputs = window.outputs(&gpt, &params);
                outputs[outputs.len() - OUTPUTS..].to_vec()
            };
            assert_eq!(of_a, expected(&a, 0), "{position:?}, step {t}");
            assert_eq!(of_b, expected(&b, if t < 5 { 0 } else { 5 }), "{position:?}, step {t}");
        }
    }
}

#[test]
fn a_cache_that_slides_would_be_something_else() {
    // What the design goes by: outputs of a window depend on where it begins, beyond the tokens that are in it.
    let (gpt, params) = build(Position::Learned { positions: 9 });
    let (all, other) = (Steps::new(3, 0, 7), Steps::new(1, 0, 44));
    let changed = other.then(&all.part(1..3));
    let last = |outputs: Vec<f32>| outputs[outputs.len() - OUTPUTS..].to_vec();
    assert_ne!(last(all.outputs(&gpt, &params)), last(all.part(1..3).outputs(&gpt, &params)));
    assert_ne!(last(all.outputs(&gpt, &params)), last(changed.outputs(&gpt, &params)));
}

#[test]
fn the_future_does_not_change_the_past() {
    for position in positions() {
        let (gpt, params) = build(position);
        let steps = Steps::new(WINDOW, 2, 11);
        let before = steps.outputs(&gpt, &params);
        for t in 0..WINDOW {
            for (kind, width) in WIDTHS.into_iter().enumerate() {
                let mut changed = steps.part(0..WINDOW);
                changed.parts[kind][t * width] += 0.5;
                let after = changed.outputs(&gpt, &params);
                // A token changes the outputs of its step if it comes no later than the kind that is read.
                let first = if kind <= READ { t } else { t + 1 };
                assert_eq!(before[..first * OUTPUTS], after[..first * OUTPUTS], "{kind} of step {t}");
                for later in first..WINDOW {
                    let range = later * OUTPUTS..(later + 1) * OUTPUTS;
                    assert_ne!(before[range.clone()], after[range], "{kind} of step {t}, output {later}");
                }
            }
        }
    }
}

#[test]
fn padding_and_other_sequences_have_no_say() {
    for position in positions() {
        let (gpt, params) = build(position);
        let (long, short) = (Steps::new(WINDOW, 1, 4), Steps::new(1, 3, 60));
        // The short one is padded by whatever comes.
        let both = long.then(&short).then(&Steps::new(WINDOW - 1, 0, 5));
        let wanted = [0, 1, 2, 3];
        let found = both.learn(&gpt, &params, 2, &wanted, &mut Tape::inference());
        let expected = [long.outputs(&gpt, &params), short.outputs(&gpt, &params)].concat();
        assert_eq!(found.as_slice(), expected, "{position:?}");

        // Nor in the gradient: padding with the last step or with others gives the same bits.
        let gradient = |steps: &Steps| {
            let mut tape = Tape::new();
            let out = steps.learn(&gpt, &params, 2, &wanted, &mut tape);
            let mut gradient = vec![f32::NAN; params.len()];
            let weights = values(out.as_slice().len(), 9);
            tape.backward(&params, &[(&out, &weights)], &mut gradient).unwrap();
            gradient
        };
        let other = long.then(&short).then(&Steps::new(WINDOW - 1, 0, 77));
        assert_eq!(gradient(&both), gradient(&other), "{position:?}");
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for position in positions() {
        let (gpt, mut params) = build(position);
        let steps = Steps::new(2 * WINDOW, 0, 19);
        let wanted = [0, 1, 2, 4];
        let weights = values(wanted.len() * OUTPUTS, 23);
        let loss = |params: &Params| -> f64 {
            let out = steps.learn(&gpt, params, 2, &wanted, &mut Tape::inference());
            out.as_slice().iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
        };
        let mut gradient = vec![f32::NAN; params.len()];
        let mut tape = Tape::new();
        let out = steps.learn(&gpt, &params, 2, &wanted, &mut tape);
        tape.backward(&params, &[(&out, &weights)], &mut gradient).unwrap();
        let scale = gradient.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
        let specs = params.layout().specs().to_vec();
        const STEP: f32 = 1.0 / 256.0;
        for spec in specs {
            let range = spec.range.range();
            for place in range.clone().step_by(range.len().div_ceil(5)) {
                let at = params.as_slice()[place];
                let mut value = |x: f32| {
                    params.as_mut_slice()[place] = x;
                    loss(&params)
                };
                let difference = (value(at + STEP) - value(at - STEP)) / f64::from(2.0 * STEP);
                value(at);
                let error = (difference - f64::from(gradient[place])).abs();
                let name = &spec.name;
                assert!(error < 2e-3 * f64::from(scale), "{name}: {difference}, {}", gradient[place]);
            }
        }
    }
}

#[test]
fn names_are_those_of_the_parts_and_what_does_not_fit_is_refused() {
    let (gpt, params) = build(Position::Learned { positions: 4 });
    for name in [
        "net.a.weight",
        "net.b.encoder.0.weight",
        "net.b.bias",
        "net.position.weight",
        "net.norm_in.weight",
        "net.layers.1.self_attn.in_proj_weight",
        "net.norm.bias",
        "head.0.weight",
    ] {
        assert!(params.get(name).is_some(), "{name} among {params:?}");
    }
    assert_eq!(gpt.summary().parameters(), params.layout().values_len());

    let long = Steps::new(WINDOW + 1, 0, 1);
    let parts: Vec<Input> = (0..3)
        .map(|kind| Input::Floats(Matrix::from_slice(WINDOW + 1, WIDTHS[kind], &long.parts[kind]).unwrap()))
        .collect();
    let forward = |sequences: usize, wanted: &[u32], parts: &[Input]| {
        let x = GptInput { parts, positions: &long.positions, sequences, wanted };
        gpt.forward(&params, &x, &mut Tape::inference()).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(forward(1, &[0], &parts), "steps must be no more steps than the window, got 4 of 3");
    assert!(forward(3, &[0], &parts).contains("a divisor of the steps"));
    assert!(forward(2, &[4], &parts).contains("rows of the sequences"));
    assert!(forward(2, &[0], &parts[..2]).contains("parts must hold 3 values"));

    let packed = PackedGpt::new(&gpt, &params).unwrap();
    let mut state = vec![0.0; gpt.state_len()];
    let (tokens, mut out) = (vec![0.0; 2 * gpt.width()], vec![0.0; OUTPUTS]);
    let new = GptTokens { tokens: &tokens, skipped: &[2], resets: &[true] };
    assert!(gpt.extend(&packed, &new, &mut [&mut state], &mut Scratch::default(), &mut out).is_err());
    let new = GptTokens { skipped: &[0], ..new };
    assert!(gpt.extend(&packed, &new, &mut [&mut state[1..]], &mut Scratch::default(), &mut out).is_err());
    // A count that cannot be, from a damaged state.
    for count in [f32::NAN, 1e9, -3.0] {
        state[0] = count;
        let new = GptTokens { resets: &[false], ..new };
        gpt.extend(&packed, &new, &mut [&mut state], &mut Scratch::default(), &mut out).unwrap();
    }

    let mut builder = LayoutBuilder::new();
    let config = TransformerConfig { position: Position::Rotary, ..TransformerConfig::default() };
    let head = HeadSpec { name: "head".to_owned(), head: Head::Value, init: Init::Zeros };
    let kinds = [TokenKind {
        name: "a".to_owned(),
        observation: Observation::Vector(1),
        encoder: EncoderConfig::Identity,
    }];
    let none = HeadConfig::default();
    let error = Gpt::new(&mut builder, "", &kinds, &config, (0, &head, &none), Init::Zeros).unwrap_err();
    assert!(error.to_string().contains("rotary"), "{error}");
}
