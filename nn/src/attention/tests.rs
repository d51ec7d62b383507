//! Gradients against finite differences of the definitions, and what masks promise.

use proptest::prelude::*;

use super::*;
use crate::error::NnError;
use crate::finite_differences::{assert_gradient, weighted_sum, widen};
use crate::linear::Activation;
use crate::matrix::Matrix;
use crate::params::{LayoutBuilder, Params};
use crate::tape::Tape;

/// `x Wᵀ + b` of rows; the parameters by name.
fn linear(params: (&Params, &[f64]), weight: &str, bias: &str, x: &[f64]) -> Vec<f64> {
    let find = |name: &str| &params.0.layout().find(name).unwrap().range;
    let (weight, bias) = (find(weight), find(bias));
    let inputs = weight.shape()[1];
    let (weight, bias) = (weight.read(params.1), bias.read(params.1));
    let rows = x.chunks_exact(inputs);
    let row = |x: &[f64]| -> Vec<f64> {
        let weights = weight.chunks_exact(inputs);
        let product = |w: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        weights.zip(&bias).map(|(w, b)| product(w) + b).collect()
    };
    rows.flat_map(row).collect()
}

/// Which keys a query may attend to.
type Allowed<'a> = &'a dyn Fn(usize, usize, usize) -> bool;

/// Outputs before their projection, and weights, from `[q]` rows and `[k, v]` rows.
fn attention(
    q: &[f64],
    kv: &[f64],
    [batch, queries, keys, heads, width]: [usize; 5],
    allowed: Allowed<'_>,
) -> (Vec<f64>, Vec<f64>) {
    let d = width / heads;
    let (mut out, mut weights) = (vec![0.0; q.len()], Vec::new());
    for b in 0..batch {
        for h in 0..heads {
            for i in 0..queries {
                let q = &q[(b * queries + i) * width + h * d..][..d];
                let key = |j: usize, part: usize| &kv[((b * keys + j) * 2 + part) * width + h * d..][..d];
                let score =
                    |j: usize| q.iter().zip(key(j, 0)).map(|(q, k)| q * k).sum::<f64>() / (d as f64).sqrt();
                let exps: Vec<f64> =
                    (0..keys).map(|j| if allowed(b, i, j) { score(j).exp() } else { 0.0 }).collect();
                let sum: f64 = exps.iter().sum();
                for (j, e) in exps.iter().enumerate() {
                    let weight = if sum > 0.0 { e / sum } else { 0.0 };
                    weights.push(weight);
                    for (c, v) in key(j, 1).iter().enumerate() {
                        out[(b * queries + i) * width + h * d + c] += weight * v;
                    }
                }
            }
        }
    }
    (out, weights)
}

fn joint_to_split(qkv: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = qkv.chunks_exact(3 * width);
    (
        rows.clone().flat_map(|row| &row[..width]).copied().collect(),
        rows.flat_map(|row| &row[width..]).copied().collect(),
    )
}

fn weights(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + 11) % 17) as f32 / 8.0 - 1.0).collect()
}

/// Fixed values that look random.
fn matrix(rows: usize, columns: usize, shift: usize) -> Matrix {
    let values: Vec<f32> =
        (0..rows * columns).map(|i| ((i + shift) * 7919 % 211) as f32 / 100.0 - 1.0).collect();
    Matrix::from_slice(rows, columns, &values).unwrap().tracked()
}

#[derive(Debug, Clone)]
struct Case {
    batch: usize,
    len: usize,
    heads: usize,
    head_width: usize,
    causal: bool,
    window: Option<usize>,
    padding: Vec<bool>,
    segments: Vec<u32>,
    seed: u64,
}

impl Case {
    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    fn mask(&self) -> AttentionMask<'_> {
        let mut mask = AttentionMask::none().key_padding(&self.padding).segments(&self.segments);
        if self.causal {
            mask = mask.causal();
        }
        self.window.map_or(mask, |window| mask.window(window))
    }

    fn allows(&self, b: usize, i: usize, j: usize) -> bool {
        let segment = |t: usize| self.segments.get(b * self.len + t);
        let padded = self.padding.get(b * self.len + j) == Some(&true);
        !padded
            && segment(i) == segment(j)
            && (!self.causal || j <= i)
            && self.window.is_none_or(|window| j + window > i)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (1..4_usize, 1..6_usize, 1..4_usize, 1..6_usize).prop_flat_map(|(batch, len, heads, head_width)| {
        let flags = prop::collection::vec(prop::bool::weighted(0.3), batch * len);
        let segments = prop::collection::vec(0..3_u32, batch * len);
        let padding = prop_oneof![Just(Vec::new()), flags];
        let segments = prop_oneof![Just(Vec::new()), segments];
        (any::<bool>(), prop::option::of(1..4_usize), padding, segments, any::<u64>()).prop_map(
            move |(causal, window, padding, segments, seed)| Case {
                batch,
                len,
                heads,
                head_width,
                causal,
                window,
                padding,
                segments,
                seed,
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradients_of_self_attention_agree_with_finite_differences(case in cases()) {
        let (width, rows) = (case.width(), case.batch * case.len);
        let mut builder = LayoutBuilder::new();
        let layer = SelfAttention::new(&mut builder, "l", width, case.heads).unwrap();
        let params = builder.build(case.seed);
        let x = matrix(rows, width, case.seed as usize % 100);
        let mut tape = Tape::new();
        let (y, scores) =
            layer.forward_with_weights(&params, &x, case.batch, &case.mask(), &mut tape).unwrap();
        let (of_y, of_scores) = (weights(y.as_slice().len()), weights(scores.as_slice().len()));
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs =
            tape.backward(&params, &[(&y, &of_y), (&scores, &of_scores)], &mut gradient).unwrap();

        let allowed = |b: usize, i: usize, j: usize| case.allows(b, i, j);
        let sizes = [case.batch, case.len, case.len, case.heads, width];
        let run = |p: &[f64], x: &[f64]| {
            let qkv = linear((&params, p), "l.in_proj_weight", "l.in_proj_bias", x);
            let (q, kv) = joint_to_split(&qkv, width);
            let (context, scores) = attention(&q, &kv, sizes, &allowed);
            (linear((&params, p), "l.out_proj.weight", "l.out_proj.bias", &context), scores)
        };
        let (p, at) = (widen(params.as_slice()), widen(x.as_slice()));
        let (expected_y, expected_scores) = run(&p, &at);
        for (got, expected) in y.as_slice().iter().zip(&expected_y) {
            prop_assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
        }
        for (got, expected) in scores.as_slice().iter().zip(&expected_scores) {
            prop_assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
            prop_assert!(*expected != 0.0 || *got == 0.0, "a masked weight is exactly zero, got {got}");
        }
        let loss = |p: &[f64], x: &[f64]| {
            let (y, scores) = run(p, x);
            weighted_sum(&y, &of_y) + weighted_sum(&scores, &of_scores)
        };
        assert_gradient("parameters", |p| loss(p, &at), params.as_slice(), &gradient);
        assert_gradient("input", |x| loss(&p, x), x.as_slice(), of_inputs.get(&x).unwrap());
    }

    #[test]
    fn gradients_of_cross_attention_agree_with_finite_differences(case in cases(), keys in 1..6_usize) {
        let width = case.width();
        let mut builder = LayoutBuilder::new();
        let layer = CrossAttention::new(&mut builder, "l", width, case.heads).unwrap();
        let params = builder.build(case.seed);
        let x = matrix(case.batch * case.len, width, 3);
        let others = matrix(case.batch * keys, width, 5);
        let mut tape = Tape::new();
        let mask = AttentionMask::none();
        let (y, scores) = layer.forward(&params, &x, &others, case.batch, &mask, &mut tape).unwrap();
        let (of_y, of_scores) = (weights(y.as_slice().len()), weights(scores.as_slice().len()));
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs =
            tape.backward(&params, &[(&y, &of_y), (&scores, &of_scores)], &mut gradient).unwrap();
        let sizes = [case.batch, case.len, keys, case.heads, width];
        let loss = |p: &[f64], x: &[f64], others: &[f64]| {
            let project = |x: &[f64]| joint_to_split(&linear((&params, p), "l.in_proj_weight", "l.in_proj_bias", x), width);
            let (context, scores) = attention(&project(x).0, &project(others).1, sizes, &|_, _, _| true);
            let y = linear((&params, p), "l.out_proj.weight", "l.out_proj.bias", &context);
            weighted_sum(&y, &of_y) + weighted_sum(&scores, &of_scores)
        };
        let (p, at_x, at_others) = (widen(params.as_slice()), widen(x.as_slice()), widen(others.as_slice()));
        assert_gradient("parameters", |p| loss(p, &at_x, &at_others), params.as_slice(), &gradient);
        assert_gradient("input", |x| loss(&p, x, &at_others), x.as_slice(), of_inputs.get(&x).unwrap());
        let of_others = of_inputs.get(&others).unwrap();
        assert_gradient("others", |others| loss(&p, &at_x, others), others.as_slice(), of_others);
    }
}

fn relu(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|x| x.max(0.0)).collect()
}

fn layer_norm(params: (&Params, &[f64]), name: &str, x: &[f64]) -> Vec<f64> {
    let find =
        |part: &str| &params.1[params.0.layout().find(&format!("{name}.{part}")).unwrap().range.range()];
    let (weight, bias) = (find("weight"), find("bias"));
    let row = |x: &[f64]| -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let scaled = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
        scaled.zip(weight.iter().zip(bias)).map(|(x, (w, b))| x * w + b).collect()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
}

fn gate(params: (&Params, &[f64]), name: &str, x: &[f64], y: &[f64]) -> Vec<f64> {
    let find =
        |part: &str| &params.1[params.0.layout().find(&format!("{name}.{part}")).unwrap().range.range()];
    let (w, u, bias) = (find("weight_y"), find("weight_x"), find("bias"));
    let width = bias.len();
    let product = |matrix: &[f64], part: usize, j: usize, x: &[f64]| -> f64 {
        matrix[(part * width + j) * width..][..width].iter().zip(x).map(|(w, x)| w * x).sum()
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let row = |(x, y): (&[f64], &[f64])| -> Vec<f64> {
        let r = (0..width).map(|j| sigmoid(product(w, 0, j, y) + product(u, 0, j, x)));
        let rx: Vec<f64> = r.zip(x).map(|(r, x)| r * x).collect();
        let value = |j: usize| {
            let z = sigmoid(product(w, 1, j, y) + product(u, 1, j, x) - bias[j]);
            let h = (product(w, 2, j, y) + product(u, 2, j, &rx)).tanh();
            (1.0 - z) * x[j] + z * h
        };
        (0..width).map(value).collect()
    };
    x.chunks_exact(width).zip(y.chunks_exact(width)).flat_map(row).collect()
}

#[test]
fn gradients_of_gated_blocks_agree_with_finite_differences() {
    for (batch, len, width, heads, feed_forward) in [(2, 3, 4, 2, 5), (1, 1, 1, 1, 1), (1, 4, 18, 3, 7)] {
        let config = BlockConfig { width, heads, feed_forward, activation: Activation::Tanh };
        let mut builder = LayoutBuilder::new();
        let block = TransformerBlock::gated(&mut builder, "l", &config).unwrap();
        let mut params = builder.build(5);
        // Biases of zero would leave a norm of one value at the corner of ReLU.
        params.as_mut_slice().iter_mut().filter(|value| **value == 0.0).for_each(|value| *value = 0.07);
        let x = matrix(batch * len, width, 7);
        let mut tape = Tape::new();
        let y = block.forward(&params, &x, batch, &AttentionMask::none().causal(), &mut tape).unwrap();
        let of_y = weights(y.as_slice().len());
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, &of_y)], &mut gradient).unwrap();
        let run = |p: &[f64], x: &[f64]| {
            let p = (&params, p);
            let qkv = linear(
                p,
                "l.self_attn.in_proj_weight",
                "l.self_attn.in_proj_bias",
                &layer_norm(p, "l.norm1", x),
            );
            let (q, kv) = joint_to_split(&qkv, width);
            let (context, _) = attention(&q, &kv, [batch, len, len, heads, width], &|_, i, j| j <= i);
            let attended =
                relu(linear(p, "l.self_attn.out_proj.weight", "l.self_attn.out_proj.bias", &context));
            let y = gate(p, "l.gate1", x, &attended);
            let hidden = linear(p, "l.linear1.weight", "l.linear1.bias", &layer_norm(p, "l.norm2", &y));
            let hidden: Vec<f64> = hidden.into_iter().map(f64::tanh).collect();
            gate(p, "l.gate2", &y, &relu(linear(p, "l.linear2.weight", "l.linear2.bias", &hidden)))
        };
        let (p, at) = (widen(params.as_slice()), widen(x.as_slice()));
        for (got, expected) in y.as_slice().iter().zip(run(&p, &at)) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
        }
        assert_gradient("parameters", |p| weighted_sum(&run(p, &at), &of_y), params.as_slice(), &gradient);
        let of_x = of_inputs.get(&x).unwrap();
        assert_gradient("input", |x| weighted_sum(&run(&p, x), &of_y), x.as_slice(), of_x);
    }
}

#[test]
fn a_new_gate_is_close_to_the_identity() {
    let mut builder = LayoutBuilder::new();
    let gate = GruGate::new(&mut builder, "g", 3);
    let mut params = builder.build(0);
    assert_eq!(params.get("g.bias"), Some(vec![2.0; 3]));
    // Without weights z = σ(−2) and h = 0.
    for name in ["g.weight_y", "g.weight_x"] {
        let range = params.layout().find(name).unwrap().range.clone();
        range.write(&[0.0; 27], params.as_mut_slice());
    }
    let x = Matrix::from_slice(1, 3, &[1.0, -2.0, 0.5]).unwrap();
    let out = gate.forward(&params, &x, &x, &mut Tape::inference()).unwrap();
    for (out, x) in out.as_slice().iter().zip(x.as_slice()) {
        assert!((out - x / (1.0 + (-2.0_f32).exp())).abs() < 1e-6);
    }
}

#[test]
fn a_query_without_keys_gets_zeros_and_gives_no_gradient() {
    let mut builder = LayoutBuilder::new();
    let layer = SelfAttention::new(&mut builder, "l", 4, 2).unwrap();
    let params = builder.build(0);
    let x = matrix(6, 4, 1);
    // In the second of two sequences everything is padding.
    let padding = [false, false, false, true, true, true];
    let mask = AttentionMask::none().key_padding(&padding);
    let mut tape = Tape::new();
    let (y, scores) = layer.forward_with_weights(&params, &x, 2, &mask, &mut tape).unwrap();
    assert!(scores.as_slice()[2 * 3 * 3..].iter().all(|&weight| weight == 0.0));
    let bias = params.get("l.out_proj.bias").unwrap();
    assert!(y.as_slice()[3 * 4..].chunks_exact(4).all(|row| row == bias));
    let mut gradient = vec![f32::NAN; params.len()];
    let losses = [(&y, &weights(24)[..]), (&scores, &weights(36)[..])];
    let of_inputs = tape.backward(&params, &losses, &mut gradient).unwrap();
    let of_x = of_inputs.get(&x).unwrap();
    assert!(of_x[3 * 4..].iter().all(|&value| value == 0.0), "{of_x:?}");
    assert!(of_x[..3 * 4].iter().all(|&value| value != 0.0 && value.is_finite()));
    assert!(gradient.iter().all(|value| value.is_finite()));
}

#[test]
fn masked_tokens_have_no_influence() {
    let mut builder = LayoutBuilder::new();
    let layer = SelfAttention::new(&mut builder, "l", 6, 3).unwrap();
    let params = builder.build(0);
    let run = |x: &Matrix| {
        let mask = AttentionMask::none().causal();
        layer.forward(&params, x, 1, &mask, &mut Tape::inference()).unwrap().as_slice().to_vec()
    };
    let x = matrix(5, 6, 1);
    let mut changed = x.clone();
    changed.as_mut_slice()[4 * 6..].fill(30.0);
    let (before, after) = (run(&x), run(&changed));
    assert_eq!(before[..4 * 6], after[..4 * 6]);
    assert_ne!(before[4 * 6..], after[4 * 6..]);
    // Shorter sequences have the same bits.
    let short = Matrix::from_slice(3, 6, &x.as_slice()[..18]).unwrap();
    assert_eq!(run(&short), before[..18]);
}

#[test]
fn large_logits_are_stable() {
    let mut builder = LayoutBuilder::new();
    let layer = SelfAttention::new(&mut builder, "l", 4, 1).unwrap();
    let params = builder.build(2);
    let mut x = matrix(5, 4, 3);
    x.as_mut_slice().iter_mut().for_each(|x| *x *= 300.0);
    let mut tape = Tape::new();
    let mask = AttentionMask::none();
    let (y, scores) = layer.forward_with_weights(&params, &x, 1, &mask, &mut tape).unwrap();
    for row in scores.as_slice().chunks_exact(5) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
    }
    let mut gradient = vec![f32::NAN; params.len()];
    tape.backward(&params, &[(&y, &weights(20))], &mut gradient).unwrap();
    assert!(gradient.iter().all(|value| value.is_finite()));
}

#[test]
fn rotary_attention_differs_from_plain_and_shifts_nothing_for_one_token() {
    let mut builder = LayoutBuilder::new();
    let layer = SelfAttention::new(&mut builder, "l", 8, 2).unwrap();
    let params = builder.build(0);
    let mask = AttentionMask::none();
    let run = |x: &Matrix| {
        let plain = layer.forward(&params, x, 1, &mask, &mut Tape::inference()).unwrap();
        let rotary = layer.forward_rotary(&params, x, 1, &mask, &mut Tape::inference()).unwrap();
        (plain.as_slice().to_vec(), rotary.as_slice().to_vec())
    };
    let (plain, rotary) = run(&matrix(1, 8, 2));
    assert_eq!(plain, rotary);
    let (plain, rotary) = run(&matrix(4, 8, 2));
    assert_ne!(plain, rotary);
}

#[test]
fn wrong_sizes_are_refused() {
    let mut builder = LayoutBuilder::new();
    let error = |result: Result<SelfAttention, NnError>| result.unwrap_err().to_string();
    let expected = "heads must be at least 1 and a divisor of the width, got 3 heads of a width of 4";
    assert_eq!(error(SelfAttention::new(&mut builder, "a", 4, 3)), expected);
    assert!(error(SelfAttention::new(&mut builder, "b", 4, 0)).starts_with("heads must be at least 1"));
    let layer = SelfAttention::new(&mut builder, "l", 6, 2).unwrap();
    let params = builder.build(0);
    let run = |rows: usize, columns: usize, batch: usize, mask: AttentionMask<'_>| {
        let x = matrix(rows, columns, 0);
        layer.forward(&params, &x, batch, &mask, &mut Tape::inference()).unwrap_err().to_string()
    };
    let none = AttentionMask::none();
    let expected = "batch must be a divisor of the number of rows, got 5 rows of input in 2 sequences";
    assert_eq!(run(5, 6, 2, none), expected);
    assert!(run(5, 6, 0, none).starts_with("batch must be"));
    assert_eq!(run(4, 5, 2, none), "input must have 6 columns, got 5");
    assert_eq!(run(4, 6, 2, none.key_padding(&[true])), "key_padding must hold 4 values, got 1");
    assert_eq!(run(4, 6, 2, none.segments(&[0; 5])), "segments must hold 4 values, got 5");
    let config = BlockConfig { width: 4, heads: 2, feed_forward: 0, activation: Activation::Relu };
    let error = TransformerBlock::pre_norm(&mut LayoutBuilder::new(), "l", &config).unwrap_err();
    assert_eq!(error.to_string(), "feed_forward must be at least 1, got 0");
    let odd = matrix(4, 6, 0);
    let error = layer.forward_rotary(&params, &odd, 1, &none, &mut Tape::inference()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "width must be an even number for each head if positions are rotary, got 3"
    );
}

#[test]
fn operations_are_counted() {
    let mut builder = LayoutBuilder::new();
    let config = BlockConfig { width: 64, heads: 4, feed_forward: 256, activation: Activation::Gelu };
    let block = TransformerBlock::pre_norm(&mut builder, "l", &config).unwrap();
    let line = block.describe(32);
    assert_eq!(line.parameters, builder.build(0).len());
    assert_eq!(line.flops, 2 * (4 * 64 * 64 + 2 * 64 * 256) + 2 * 2 * 32 * 64);
}
