//! Times of inference, training steps, Adam and categorical losses on one core.
//!
//! `cargo run --release -p agon-nn --example bench_mlp [filter [instruction set]]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use agon_nn::losses::categorical;
use agon_nn::{
    Activation, Adam, AdamConfig, Init, InstructionSet, LayoutBuilder, Matrix, MlpConfig, Packed,
    Params, Scratch, Sequential, Tape, kernels,
};

/// Runs `f` for about a quarter of a second; returns minimum and median microseconds.
fn measure(mut f: impl FnMut()) -> (f64, f64) {
    let mut times = Vec::new();
    // Short functions are timed in groups, so that the clock does not show.
    let start = Instant::now();
    for _ in 0..10 {
        f();
    }
    let group = (20e-6 * 10.0 / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 1000.0) as u32;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(250) || times.len() < 20 {
        let lap = Instant::now();
        for _ in 0..group {
            f();
        }
        times.push(lap.elapsed().as_secs_f64() * 1e6 / f64::from(group));
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

fn report(filter: &str, name: &str, f: impl FnMut()) {
    if name.contains(filter) {
        let (minimum, median) = measure(f);
        println!("{name:<44} {minimum:>9.2} {median:>9.2}");
    }
}

fn network(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> (Sequential, Params) {
    let mut builder = LayoutBuilder::new();
    let config = MlpConfig { hidden: hidden.to_vec(), activation };
    let init = Init::PYTORCH_LINEAR;
    let mlp = config.build(&mut builder, "net", inputs, outputs, init, init).unwrap();
    (mlp, builder.build(1))
}

fn bench(filter: &str, label: &str, hidden: &[usize], activation: Activation, batches: &[usize]) {
    let (mlp, mut params) = network(4, hidden, 2, activation);
    let packed = Packed::new(&mlp, &params).unwrap();
    let mut scratch = Scratch::new();
    for &batch in batches {
        let x: Vec<f32> = (0..4 * batch).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let mut out = vec![0.0; 2 * batch];
        report(filter, &format!("{label} infer {batch}"), || {
            mlp.infer(&packed, black_box(&x), batch, &mut scratch, black_box(&mut out)).unwrap();
        });
    }
    let mut gradient = vec![0.0; params.len()];
    let mut adam = Adam::new(AdamConfig::default(), params.len()).unwrap();
    for &batch in batches {
        let values: Vec<f32> = (0..4 * batch).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let dy: Vec<f32> = (0..2 * batch).map(|i| (i % 5) as f32 / 800.0).collect();
        let mut x = Matrix::from_slice(batch, 4, &values).unwrap();
        report(filter, &format!("{label} forward {batch}"), || {
            black_box(mlp.forward(&params, &x, &mut Tape::new()).unwrap());
        });
        report(filter, &format!("{label} forward+backward {batch}"), || {
            let mut tape = Tape::new();
            let y = mlp.forward(&params, &x, &mut tape).unwrap();
            tape.backward(&params, &[(&y, &dy)], &mut gradient).unwrap();
        });
        report(filter, &format!("{label} step {batch}"), || {
            x.copy_from_slice(&values).unwrap();
            let mut tape = Tape::new();
            let y = mlp.forward(&params, &x, &mut tape).unwrap();
            tape.backward(&params, &[(&y, &dy)], &mut gradient).unwrap();
            adam.step(&mut params, &gradient, 1e-4).unwrap();
        });
    }
    for (index, x) in gradient.iter_mut().enumerate() {
        *x = (index * 7919 % 1001) as f32 * 1e-5 - 5e-3;
    }
    report(filter, &format!("{label} adam {}", params.len()), || {
        adam.step(&mut params, black_box(&gradient), 1e-4).unwrap();
    });
    gradient.iter_mut().step_by(2).for_each(|x| *x = 0.0);
    report(filter, &format!("{label} adam {}, half dead", params.len()), || {
        adam.step(&mut params, black_box(&gradient), 1e-4).unwrap();
    });
    let mut repacked = packed.clone();
    report(filter, &format!("{label} pack"), || {
        repacked.update(&mlp, black_box(&params)).unwrap();
    });
}

/// What a policy-gradient loss computes of a batch of logits.
fn bench_categorical(filter: &str, n: usize) {
    let batch = 2048;
    let logits: Vec<f32> = (0..batch * n).map(|i| (i % 23) as f32 / 8.0 - 1.0).collect();
    let (mut log_probs, mut probs) = (vec![0.0; batch * n], vec![0.0; batch * n]);
    let (mut entropies, mut gradient) = (vec![0.0; batch], vec![0.0; batch * n]);
    report(filter, &format!("categorical {batch} x {n} log_softmax"), || {
        categorical::log_softmax_rows(black_box(&logits), n, &mut log_probs).unwrap();
    });
    report(filter, &format!("categorical {batch} x {n} loss"), || {
        categorical::log_softmax_rows(black_box(&logits), n, &mut log_probs).unwrap();
        probs.copy_from_slice(&log_probs);
        kernels::exp(&mut probs);
        categorical::entropy_rows(&log_probs, &probs, n, &mut entropies).unwrap();
        gradient.fill(0.0);
        for (row, &entropy) in entropies.iter().enumerate() {
            let range = row * n..(row + 1) * n;
            let (log_probs, probs) = (&log_probs[range.clone()], &probs[range.clone()]);
            categorical::add_log_prob_gradient(probs, row % n, 0.1, &mut gradient[range.clone()]);
            categorical::add_entropy_gradient(log_probs, probs, entropy, 0.01, &mut gradient[range]);
        }
    });
    report(filter, &format!("categorical 1 x {n} sample"), || {
        black_box(categorical::sample(black_box(&logits[..n]), 0.4));
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.next().unwrap_or_default();
    if let Some(set) = arguments.next() {
        InstructionSet::select(set.parse().unwrap()).unwrap();
    }
    println!("{} {:>42} {:>9}", InstructionSet::current(), "minimum µs", "median µs");
    bench(&filter, "4-64-64-2 tanh", &[64, 64], Activation::Tanh, &[1, 8, 64, 128, 256, 1024, 2048]);
    bench(&filter, "4-256-256-2 relu", &[256, 256], Activation::Relu, &[1, 32, 64, 256]);
    for n in [2, 6, 18] {
        bench_categorical(&filter, n);
    }
}
