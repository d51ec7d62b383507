//! Agreement of recurrent layers with numbers recorded from PyTorch (`/tests/golden/nn`).

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::{Cell, LayoutBuilder, Matrix, Recurrent, RecurrentInit, Tape, Unroll};
use common::Golden;

/// Puts the values of two `[B, H]` tensors next to each other in rows, or of one.
fn rows(tensors: &[Vec<f32>], batch: usize) -> Vec<f32> {
    let width = tensors[0].len() / batch;
    let row = |b: usize| tensors.iter().flat_map(move |values| &values[b * width..(b + 1) * width]);
    (0..batch).flat_map(row).copied().collect()
}

/// The other way round.
fn columns(values: &[f32], batch: usize, tensors: usize) -> Vec<Vec<f32>> {
    let width = values.len() / batch / tensors;
    let tensor = |i: usize| values.chunks_exact(width).skip(i).step_by(tensors).flatten().copied().collect();
    (0..tensors).map(tensor).collect()
}

fn check(name: &str, cell: Cell, tensors: usize) {
    let golden = Golden::read(name);
    let [steps, batch, inputs] = golden.shape("x0")[..] else { panic!("a batch of sequences") };
    let hidden = golden.shape("y0")[2];
    let mut builder = LayoutBuilder::new();
    let layer = Recurrent::new(&mut builder, "l", cell, inputs, hidden, RecurrentInit::Uniform);
    let mut params = builder.build(0);
    let recorded = |name: &str| name.trim_start_matches("l.").to_owned();
    for spec in params.layout().clone().specs() {
        let values = golden.floats(&format!("w.{}", recorded(&spec.name)));
        spec.range.write(&values, params.as_mut_slice());
    }
    let floats =
        |letter: &str| (1..=tensors).map(|i| golden.floats(&format!("{letter}{i}"))).collect::<Vec<_>>();
    let x = Matrix::from_slice(steps * batch, inputs, &golden.floats("x0")).unwrap().tracked();
    let state = Matrix::from_slice(batch, tensors * hidden, &rows(&floats("x"), batch)).unwrap().tracked();
    let resets = if name.ends_with("reset") { golden.flags("reset") } else { Vec::new() };

    let mut tape = Tape::new();
    let unroll = Unroll::new(steps).resets(&resets);
    let (y, last) = layer.forward(&params, &x, &state, &unroll, &mut tape).unwrap();
    golden.check("y0", y.as_slice());
    for (i, values) in columns(last.as_slice(), batch, tensors).iter().enumerate() {
        golden.check(&format!("y{}", i + 1), values);
    }

    let (of_y, of_last) = (golden.floats("g0"), rows(&floats("g"), batch));
    let mut gradient = vec![f32::NAN; params.len()];
    let of_inputs = tape.backward(&params, &[(&y, &of_y), (&last, &of_last)], &mut gradient).unwrap();
    golden.check("dx0", of_inputs.get(&x).unwrap());
    for (i, values) in columns(of_inputs.get(&state).unwrap(), batch, tensors).iter().enumerate() {
        golden.check(&format!("dx{}", i + 1), values);
    }
    for spec in params.layout().specs() {
        golden.check(&format!("dw.{}", recorded(&spec.name)), &spec.range.read(&gradient));
    }
}

#[test]
fn recurrent_layers_agree_with_pytorch() {
    check("rnn", Cell::Rnn, 1);
    check("gru", Cell::Gru, 1);
    check("lstm", Cell::Lstm, 2);
}

#[test]
fn recurrent_layers_with_resets_agree_with_pytorch() {
    check("rnn_reset", Cell::Rnn, 1);
    check("gru_reset", Cell::Gru, 1);
    check("lstm_reset", Cell::Lstm, 2);
}
