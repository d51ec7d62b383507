//! Gradients against finite differences of the definition, and identities between the ways to run a layer.

use proptest::prelude::*;

use super::*;
use crate::finite_differences::{assert_gradient, weighted_sum, widen};
use crate::tape::Tape;

const CELLS: [Cell; 3] = [Cell::Rnn, Cell::Gru, Cell::Lstm];

/// Sizes and random values of a batch of sequences.
#[derive(Debug, Clone)]
struct Case {
    cell: Cell,
    steps: usize,
    batch: usize,
    inputs: usize,
    hidden: usize,
    x: Vec<f32>,
    state: Vec<f32>,
    resets: Vec<bool>,
    truncate_every: Option<usize>,
    seed: u64,
}

impl Case {
    /// Fixed values that look random.
    fn new(cell: Cell, [steps, batch, inputs, hidden]: [usize; 4]) -> Self {
        let value = |i: usize| ((i * 7919 + 13) % 211) as f32 / 100.0 - 1.0;
        Self {
            cell,
            steps,
            batch,
            inputs,
            hidden,
            x: (0..steps * batch * inputs).map(value).collect(),
            state: (0..batch * hidden * cell.states()).map(|i| value(i + 99)).collect(),
            resets: Vec::new(),
            truncate_every: None,
            seed: 3,
        }
    }

    fn layer(&self) -> (Recurrent, Params) {
        let mut builder = LayoutBuilder::new();
        let layer =
            Recurrent::new(&mut builder, "l", self.cell, self.inputs, self.hidden, RecurrentInit::Uniform);
        (layer, builder.build(self.seed))
    }

    fn unroll(&self) -> Unroll<'_> {
        Unroll { steps: self.steps, resets: &self.resets, truncate_every: self.truncate_every }
    }

    fn x(&self) -> Matrix {
        Matrix::from_slice(self.steps * self.batch, self.inputs, &self.x).unwrap().tracked()
    }

    fn state(&self) -> Matrix {
        Matrix::from_slice(self.batch, self.hidden * self.cell.states(), &self.state).unwrap().tracked()
    }

    /// Outputs, last state, and the gradients of parameters, inputs and first state.
    fn run(&self, of_y: &[f32], of_last: &[f32]) -> [Vec<f32>; 5] {
        let (layer, params) = self.layer();
        let (x, state, mut tape) = (self.x(), self.state(), Tape::new());
        let (y, last) = layer.forward(&params, &x, &state, &self.unroll(), &mut tape).unwrap();
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, of_y), (&last, of_last)], &mut gradient).unwrap();
        let of_inputs = [&x, &state].map(|matrix| of_inputs.get(matrix).unwrap().to_vec());
        let [of_x, of_state] = of_inputs;
        [y.as_slice().to_vec(), last.as_slice().to_vec(), gradient, of_x, of_state]
    }

    /// The definition, in `f64`: outputs and last state.
    fn reference(&self, layer: &Recurrent, params: &[f64], x: &[f64], state: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (hidden, inputs) = (self.hidden, self.inputs);
        let affine = |weight: &ParamRange, bias: &ParamRange, row: usize, x: &[f64]| -> f64 {
            let weight = &params[weight.range()][row * x.len()..][..x.len()];
            weight.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + params[bias.range()][row]
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut state, mut y) = (state.to_vec(), Vec::new());
        for step in 0..self.steps {
            for (row, state) in state.chunks_exact_mut(hidden * self.cell.states()).enumerate() {
                if self.resets.get(step * self.batch + row) == Some(&true) {
                    state.fill(0.0);
                }
                let (h, c) = state.split_at_mut(hidden);
                let old = h.to_vec();
                let x = &x[(step * self.batch + row) * inputs..][..inputs];
                let of_x =
                    |gate: usize, j: usize| affine(&layer.weight_ih, &layer.bias_ih, gate * hidden + j, x);
                let of_h =
                    |gate: usize, j: usize| affine(&layer.weight_hh, &layer.bias_hh, gate * hidden + j, &old);
                let both = |gate: usize, j: usize| of_x(gate, j) + of_h(gate, j);
                for j in 0..hidden {
                    h[j] = match self.cell {
                        Cell::Rnn => both(0, j).tanh(),
                        Cell::Gru => {
                            let (r, z) = (sigmoid(both(0, j)), sigmoid(both(1, j)));
                            let n = (of_x(2, j) + r * of_h(2, j)).tanh();
                            (1.0 - z) * n + z * old[j]
                        }
                        Cell::Lstm => {
                            let [i, f, o] = [0, 1, 3].map(|gate| sigmoid(both(gate, j)));
                            c[j] = f * c[j] + i * both(2, j).tanh();
                            o * c[j].tanh()
                        }
                    };
                }
                y.extend_from_slice(h);
            }
        }
        (y, state)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (prop::sample::select(CELLS.to_vec()), 1..5_usize, 1..4_usize, 1..5_usize, 1..20_usize);
    sizes.prop_flat_map(|(cell, steps, batch, inputs, hidden)| {
        let values = |count: usize| prop::collection::vec(-1.5_f32..1.5, count);
        let resets =
            prop_oneof![Just(Vec::new()), prop::collection::vec(prop::bool::weighted(0.3), steps * batch)];
        let random =
            (values(steps * batch * inputs), values(batch * hidden * cell.states()), resets, any::<u64>());
        random.prop_map(move |(x, state, resets, seed)| Case {
            cell,
            steps,
            batch,
            inputs,
            hidden,
            x,
            state,
            resets,
            truncate_every: None,
            seed,
        })
    })
}

fn weights(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + 11) % 17) as f32 / 8.0 - 1.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradients_agree_with_finite_differences_of_the_definition(case in cases()) {
        let (layer, params) = case.layer();
        let (of_y, of_last) = (weights(case.steps * case.batch * case.hidden), weights(case.state.len()));
        let [y, last, of_params, of_x, of_state] = case.run(&of_y, &of_last);
        let at = (widen(params.as_slice()), widen(&case.x), widen(&case.state));
        let loss = |params: &[f64], x: &[f64], state: &[f64]| {
            let (y, last) = case.reference(&layer, params, x, state);
            weighted_sum(&y, &of_y) + weighted_sum(&last, &of_last)
        };
        let (expected_y, expected_last) = case.reference(&layer, &at.0, &at.1, &at.2);
        for (got, expected) in y.iter().zip(&expected_y).chain(last.iter().zip(&expected_last)) {
            prop_assert!((f64::from(*got) - expected).abs() < 1e-5, "expected {expected}, got {got}");
        }
        assert_gradient("parameters", |p| loss(p, &at.1, &at.2), params.as_slice(), &of_params);
        assert_gradient("input", |x| loss(&at.0, x, &at.2), &case.x, &of_x);
        assert_gradient("state", |s| loss(&at.0, &at.1, s), &case.state, &of_state);
    }

    #[test]
    fn steps_give_the_bits_of_the_sequence(case in cases()) {
        let (layer, params) = case.layer();
        let (y, last) =
            layer.forward(&params, &case.x(), &case.state(), &case.unroll(), &mut Tape::inference()).unwrap();
        let mut packed = vec![f32::NAN; layer.packed_len()];
        layer.pack(&params, &mut packed).unwrap();
        // All rows at once, and each row by itself.
        for width in [case.batch, 1] {
            let mut state = case.state.clone();
            let mut out = vec![f32::NAN; case.hidden * width];
            for first in (0..case.steps * case.batch).step_by(width) {
                let row = first % case.batch;
                let resets = case.resets.get(first..first + width).unwrap_or(&[]);
                let x = &case.x[first * case.inputs..(first + width) * case.inputs];
                let states = &mut state[row * layer.state_len()..(row + width) * layer.state_len()];
                layer.step(&packed, x, width, resets, states, &mut out).unwrap();
                prop_assert_eq!(&out[..], &y.as_slice()[first * case.hidden..(first + width) * case.hidden]);
            }
            prop_assert_eq!(&state[..], last.as_slice());
        }
    }
}

/// The rows of some steps of a case without resets, from another state.
fn part(case: &Case, steps: std::ops::Range<usize>, state: &[f32]) -> Case {
    let width = case.batch * case.inputs;
    Case {
        steps: steps.len(),
        x: case.x[steps.start * width..steps.end * width].to_vec(),
        state: state.to_vec(),
        resets: Vec::new(),
        truncate_every: None,
        ..case.clone()
    }
}

/// Runs two parts of a case one after the other; the second from `state`, or from the first one's last state, but the
/// gradient does not pass between the two.
fn in_two_parts(
    case: &Case,
    cut: usize,
    state: Option<&[f32]>,
    of_y: &[f32],
    of_last: &[f32],
) -> [Vec<f32>; 5] {
    let width = cut * case.batch * case.hidden;
    let first = part(case, 0..cut, &case.state).run(&of_y[..width], &vec![0.0; case.state.len()]);
    let second = part(case, cut..case.steps, state.unwrap_or(&first[1])).run(&of_y[width..], of_last);
    let sum = first[2].iter().zip(&second[2]).map(|(a, b)| a + b).collect();
    [
        [&first[0][..], &second[0]].concat(),
        second[1].clone(),
        sum,
        [&first[3][..], &second[3]].concat(),
        first[4].clone(),
    ]
}

#[track_caller]
fn assert_close(name: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name} {index}: {got} {expected}");
    }
}

#[test]
fn a_reset_separates_two_sequences() {
    for cell in CELLS {
        let mut case = Case::new(cell, [6, 3, 4, 17]);
        let (of_y, of_last) = (weights(6 * 3 * 17), weights(case.state.len()));
        let parts = in_two_parts(&case, 4, Some(&vec![0.0; case.state.len()]), &of_y, &of_last);
        case.resets = (0..6 * 3).map(|i| i / 3 == 4).collect();
        let whole = case.run(&of_y, &of_last);
        for (index, name) in ["outputs", "last state"].into_iter().enumerate() {
            assert_eq!(whole[index], parts[index], "{cell:?} {name}");
        }
        for (index, name) in ["parameters", "input", "state"].into_iter().enumerate() {
            assert_close(name, &whole[index + 2], &parts[index + 2]);
        }
    }
}

#[test]
fn truncation_gives_the_gradients_of_chunks_that_are_trained_one_after_the_other() {
    for cell in CELLS {
        let mut case = Case::new(cell, [7, 2, 3, 5]);
        let (of_y, of_last) = (weights(7 * 2 * 5), weights(case.state.len()));
        let unbounded = case.run(&of_y, &of_last);
        let parts = in_two_parts(&case, 4, None, &of_y, &of_last);
        case.truncate_every = Some(4);
        let truncated = case.run(&of_y, &of_last);
        for (index, name) in ["outputs", "last state"].into_iter().enumerate() {
            assert_eq!(truncated[index], parts[index], "{cell:?} {name}");
            assert_eq!(truncated[index], unbounded[index], "{cell:?} {name}");
        }
        for (index, name) in ["parameters", "input", "state"].into_iter().enumerate() {
            assert_close(name, &truncated[index + 2], &parts[index + 2]);
            assert_ne!(truncated[index + 2], unbounded[index + 2], "{cell:?} {name}");
        }
    }
}

#[test]
fn a_loss_of_the_last_state_alone_reaches_everything() {
    for cell in CELLS {
        let case = Case::new(cell, [3, 2, 3, 4]);
        let (layer, params) = case.layer();
        let (x, state, mut tape) = (case.x(), case.state(), Tape::new());
        let (_, last) = layer.forward(&params, &x, &state, &case.unroll(), &mut tape).unwrap();
        let of_last = weights(case.state.len());
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&last, &of_last)], &mut gradient).unwrap();
        let expected = case.run(&[0.0; 3 * 2 * 4], &of_last);
        assert_eq!(gradient, expected[2]);
        assert_eq!(of_inputs.get(&x).unwrap(), expected[3]);
        assert_eq!(of_inputs.get(&state).unwrap(), expected[4]);
    }
}

#[test]
fn two_uses_of_a_layer_add_their_gradients() {
    for cell in CELLS {
        let case = Case::new(cell, [2, 2, 3, 4]);
        let (layer, params) = case.layer();
        let (x, state, mut tape) = (case.x(), case.state(), Tape::new());
        let unroll = case.unroll();
        let (first, middle) = layer.forward(&params, &x, &state, &unroll, &mut tape).unwrap();
        let (second, last) = layer.forward(&params, &x, &middle, &unroll, &mut tape).unwrap();
        let (of_y, of_last) = (weights(2 * 2 * 2 * 4), weights(case.state.len()));
        let (of_first, of_second) = of_y.split_at(2 * 2 * 4);
        let mut gradient = vec![f32::NAN; params.len()];
        let losses = [(&first, of_first), (&second, of_second), (&last, &of_last[..])];
        let of_inputs = tape.backward(&params, &losses, &mut gradient).unwrap();

        let mut whole = Case::new(cell, [4, 2, 3, 4]);
        whole.x = [&case.x[..], &case.x].concat();
        whole.state.clone_from(&case.state);
        let expected = whole.run(&of_y, &of_last);
        assert_close("parameters", &gradient, &expected[2]);
        let (early, late) = expected[3].split_at(case.x.len());
        let both: Vec<f32> = early.iter().zip(late).map(|(a, b)| a + b).collect();
        assert_close("input", of_inputs.get(&x).unwrap(), &both);
        assert_close("state", of_inputs.get(&state).unwrap(), &expected[4]);
    }
}

#[test]
fn large_values_saturate_without_nan() {
    for cell in CELLS {
        let mut case = Case::new(cell, [3, 2, 3, 17]);
        case.x.iter_mut().for_each(|x| *x *= 1e6);
        let results = case.run(&weights(3 * 2 * 17), &weights(case.state.len()));
        assert!(results.iter().flatten().all(|x| x.is_finite()), "{cell:?}");
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let case = Case::new(Cell::Lstm, [3, 2, 4, 5]);
    let (layer, params) = case.layer();
    let run = |x: &Matrix, state: &Matrix, unroll: Unroll<'_>| {
        layer.forward(&params, x, state, &unroll, &mut Tape::inference()).unwrap_err().to_string()
    };
    let (x, state) = (case.x(), case.state());
    assert_eq!(run(&x, &state, Unroll::new(4)), "input must have 8 rows, got 6");
    assert_eq!(run(&x, &state, Unroll::new(0)), "steps must be at least 1, got 0");
    assert_eq!(run(&x, &state, Unroll::new(3).truncate_every(0)), "truncate_every must be at least 1, got 0");
    assert_eq!(run(&x, &state, Unroll::new(3).resets(&[true])), "resets must hold 6 values, got 1");
    assert_eq!(run(&state, &state, Unroll::new(1)), "input must have 4 columns, got 10");
    assert_eq!(run(&x, &x, Unroll::new(1)), "state must have 10 columns, got 4");
    let other = LayoutBuilder::new().build(0);
    let error = layer.forward(&other, &x, &state, &Unroll::new(3), &mut Tape::inference()).unwrap_err();
    assert_eq!(error.to_string(), "parameters must hold 244 values, got 0");

    let packed = vec![0.0; layer.packed_len()];
    let step = |packed: &[f32], x: usize, batch: usize, resets: &[bool], state: usize, out: usize| {
        let (x, mut state, mut out) = (vec![0.0; x], vec![0.0; state], vec![0.0; out]);
        layer.step(packed, &x, batch, resets, &mut state, &mut out).map_err(|error| error.to_string())
    };
    assert_eq!(step(&packed, 8, 2, &[], 20, 10), Ok(()));
    assert_eq!(step(&packed, 0, 0, &[], 0, 0).unwrap_err(), "input must not be empty, got shape [0, 4]");
    assert_eq!(step(&packed, 7, 2, &[], 20, 10).unwrap_err(), "input must hold 8 values, got 7");
    assert_eq!(step(&packed, 8, 2, &[], 10, 10).unwrap_err(), "state must hold 20 values, got 10");
    assert_eq!(step(&packed, 8, 2, &[true], 20, 10).unwrap_err(), "resets must hold 2 values, got 1");
    assert_eq!(step(&packed, 8, 2, &[], 20, 5).unwrap_err(), "output must hold 10 values, got 5");
    assert!(step(&packed[1..], 8, 2, &[], 20, 10).unwrap_err().starts_with("packed weights must hold"));
}

#[test]
fn initialisations_are_pytorchs_and_cleanrls() {
    let build = |init| {
        let mut builder = LayoutBuilder::new();
        let layer = Recurrent::new(&mut builder, "lstm", Cell::Lstm, 8, 16, init);
        (layer, builder.build(1))
    };
    let (_, params) = build(RecurrentInit::Uniform);
    let names: Vec<&str> = params.layout().specs().iter().map(|spec| spec.name.as_str()).collect();
    let expected = ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0", "lstm.bias_hh_l0"];
    assert_eq!(names, expected);
    let greatest = params.as_slice().iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    assert!(greatest <= 0.25 && greatest > 0.24, "{greatest}");
    let (layer, params) = build(RecurrentInit::Orthogonal);
    assert!(layer.bias_ih.of(params.as_slice()).iter().all(|&bias| bias == 0.0));
    let weight = layer.weight_hh.of(params.as_slice());
    let length: f32 = (0..64).map(|row| weight[row * 16].powi(2)).sum();
    assert!((length - 1.0).abs() < 1e-5, "a column of an orthogonal matrix, got {length}");
}

#[test]
fn chrono_biases_give_the_units_spans_between_one_step_and_the_longest() {
    let spans = |cell, gate: usize| -> Vec<f32> {
        let mut builder = LayoutBuilder::new();
        let init = RecurrentInit::Chrono { longest: 20 };
        let layer = Recurrent::new(&mut builder, "l", cell, 8, 64, init);
        let params = builder.build(1);
        assert!(layer.bias_hh.of(params.as_slice()).iter().all(|&bias| bias == 0.0));
        let biases = &layer.bias_ih.of(params.as_slice())[gate * 64..][..64];
        biases.iter().map(|bias| bias.exp()).collect()
    };
    for (cell, keeps, others) in [(Cell::Gru, 1, &[0, 2][..]), (Cell::Lstm, 1, &[2, 3][..])] {
        let kept = spans(cell, keeps);
        let (least, most) = kept.iter().fold((f32::MAX, 0.0_f32), |(a, b), &x| (a.min(x), b.max(x)));
        assert!((1.0..3.0).contains(&least) && (17.0..19.0).contains(&most), "{cell:?}: {least} to {most}");
        for &gate in others {
            assert!(spans(cell, gate).iter().all(|&span| span == 1.0), "{cell:?}, gate {gate}");
        }
    }
    let (enters, keeps) = (spans(Cell::Lstm, 0), spans(Cell::Lstm, 1));
    assert!(enters.iter().zip(&keeps).all(|(a, b)| (a * b - 1.0).abs() < 1e-5));
}

#[test]
#[should_panic(expected = "chrono needs gates and spans of at least 2, got 1 for Gru")]
fn chrono_biases_of_no_span_are_refused() {
    let init = RecurrentInit::Chrono { longest: 1 };
    let _ = Recurrent::new(&mut LayoutBuilder::new(), "l", Cell::Gru, 3, 4, init);
}

#[test]
fn operations_are_counted() {
    let (layer, _) = Case::new(Cell::Lstm, [1, 1, 64, 128]).layer();
    let summary = layer.describe();
    assert_eq!(summary.layer, "LSTM(64, 128)");
    assert_eq!((summary.parameters, summary.flops), (4 * 128 * (64 + 128 + 2), 2 * 4 * 128 * (64 + 128)));
}
