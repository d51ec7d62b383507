//! Agreement with numbers recorded from PyTorch (`/tests/golden/nn`; `AGON_GOLDEN_NN` names another folder).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;

use agon_nn::losses::{categorical, huber, mse};
use agon_nn::{
    Activation, Adam, AdamConfig, Init, LayoutBuilder, Linear, Matrix, Tape, check_finite, clip_grad_norm,
    kernels,
};
use safetensors::SafeTensors;

/// One recorded case.
struct Golden {
    name: String,
    bytes: Vec<u8>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let folder = std::env::var_os("AGON_GOLDEN_NN").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/nn")),
            PathBuf::from,
        );
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), bytes }
    }

    fn shape(&self, tensor: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(tensor).unwrap().shape().to_vec()
    }

    fn bytes(&self, tensor: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(tensor).unwrap().data().to_vec()
    }

    fn floats(&self, tensor: &str) -> Vec<f32> {
        self.bytes(tensor).as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
    }

    fn indices(&self, tensor: &str) -> Vec<usize> {
        let values = self.bytes(tensor);
        values
            .as_chunks()
            .0
            .iter()
            .map(|&chunk| usize::try_from(i64::from_le_bytes(chunk)).unwrap())
            .collect()
    }

    /// Within 1e-4 relative or 1e-5 absolute.
    fn check(&self, tensor: &str, got: &[f32]) {
        let expected = self.floats(tensor);
        assert_eq!(got.len(), expected.len(), "{} {tensor}", self.name);
        for (index, (&got, &expected)) in got.iter().zip(&expected).enumerate() {
            let difference = (got - expected).abs();
            assert!(
                difference <= 1e-5 || difference <= 1e-4 * expected.abs(),
                "{} {tensor}[{index}]: expected {expected}, got {got}",
                self.name
            );
        }
    }
}

#[test]
fn linear_layers_agree_with_pytorch() {
    for (name, activation) in [
        ("identity", Activation::Identity),
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("silu", Activation::Silu),
        ("gelu", Activation::Gelu),
        ("elu", Activation::Elu),
        ("leaky_relu", Activation::LeakyRelu),
    ] {
        let golden = Golden::read(&format!("linear_{name}"));
        let (rows, inputs) = (golden.shape("x0")[0], golden.shape("x0")[1]);
        let outputs = golden.shape("y0")[1];
        let mut builder = LayoutBuilder::new();
        let linear = Linear::new(&mut builder, "l", inputs, outputs, activation, Init::Zeros);
        let mut params = builder.build(0);
        linear.weight.of_mut(params.as_mut_slice()).copy_from_slice(&golden.floats("w.weight"));
        linear.bias.of_mut(params.as_mut_slice()).copy_from_slice(&golden.floats("w.bias"));

        let x = Matrix::from_slice(rows, inputs, &golden.floats("x0")).unwrap().tracked();
        let (y, tape) = linear.forward(&params, &x, Tape::new()).unwrap();
        golden.check("y0", y.as_slice());
        let mut gradient = vec![f32::NAN; params.len()];
        let mut of_inputs = tape.backward(&params, &[(&y, &golden.floats("g0"))], &mut gradient).unwrap();
        check_finite(params.layout(), &gradient).unwrap();
        golden.check("dw.weight", linear.weight.of(&gradient));
        golden.check("dw.bias", linear.bias.of(&gradient));
        golden.check("dx0", of_inputs.get(&x).unwrap().unwrap());
    }
}

#[test]
fn adam_agrees_with_pytorch() {
    let golden = Golden::read("optim_adam");
    let (initial, grads, path) = (golden.floats("w0"), golden.floats("grads"), golden.floats("w"));
    let len = initial.len();
    let mut builder = LayoutBuilder::new();
    builder.add("w", &golden.shape("w0"), Init::Zeros);
    let mut params = builder.build(0);
    params.as_mut_slice().copy_from_slice(&initial);
    let config = AdamConfig { eps: f64::from(golden.floats("eps")[0]), ..AdamConfig::default() };
    let mut adam = Adam::new(config, len).unwrap();
    let mut got = Vec::new();
    for grads in grads.chunks_exact(len) {
        adam.step(&mut params, grads, golden.floats("lr")[0]).unwrap();
        got.extend_from_slice(params.as_slice());
    }
    assert_eq!(got.len(), path.len());
    golden.check("w", &got);
}

#[test]
fn clipping_agrees_with_pytorch() {
    let golden = Golden::read("clip_grad_norm");
    let (first, second) = (golden.floats("g0"), golden.floats("g1"));
    let mut grads = [first.as_slice(), &second].concat();
    let norm = clip_grad_norm(&mut grads, golden.floats("max_norm")[0]);
    golden.check("norm", &[norm]);
    golden.check("c0", &grads[..first.len()]);
    golden.check("c1", &grads[first.len()..]);
}

#[test]
fn regression_losses_agree_with_pytorch() {
    type Loss = fn(f32) -> (f32, f32);
    let cases: [(&str, Loss); 2] = [("loss_huber", |x| huber(x, 1.0)), ("loss_mse", mse)];
    for (name, loss) in cases {
        let golden = Golden::read(name);
        let (pred, target) = (golden.floats("x.pred"), golden.floats("c.target"));
        let scale = 1.0 / pred.len() as f32;
        let (mut mean, mut gradient) = (0.0, Vec::new());
        for (pred, target) in pred.iter().zip(&target) {
            let (value, derivative) = loss(pred - target);
            mean += scale * value;
            gradient.push(scale * derivative);
        }
        golden.check("y", &[mean]);
        golden.check("dx.pred", &gradient);
    }
}

/// Mean log-probability of the recorded actions and its gradient, times `sign`.
fn check_log_prob(golden: &Golden, mask: Option<&[bool]>, sign: f32) {
    let (logits, actions) = (golden.floats("x.logits"), golden.indices("c.action"));
    let n = golden.shape("x.logits")[1];
    let mut log_probs = vec![0.0; logits.len()];
    match mask {
        Some(mask) => categorical::masked_log_softmax_rows(&logits, mask, n, &mut log_probs).unwrap(),
        None => categorical::log_softmax_rows(&logits, n, &mut log_probs).unwrap(),
    }
    let mut probs = log_probs.clone();
    kernels::exp(&mut probs);
    let weight = sign / actions.len() as f32;
    let (mut mean, mut gradient) = (0.0, vec![0.0; logits.len()]);
    for (row, &action) in actions.iter().enumerate() {
        let range = row * n..(row + 1) * n;
        mean += weight * log_probs[range.start + action];
        categorical::add_log_prob_gradient(&probs[range.clone()], action, weight, &mut gradient[range]);
    }
    golden.check("y", &[mean]);
    golden.check("dx.logits", &gradient);
}

#[test]
fn cross_entropy_agrees_with_pytorch() {
    check_log_prob(&Golden::read("loss_cross_entropy"), None, -1.0);
}

#[test]
fn masked_log_probabilities_agree_with_pytorch() {
    let golden = Golden::read("loss_masked_categorical_log_prob");
    let mask: Vec<bool> = golden.bytes("c.mask").iter().map(|&byte| byte != 0).collect();
    check_log_prob(&golden, Some(&mask), 1.0);
}

#[test]
fn categorical_entropy_agrees_with_pytorch() {
    let golden = Golden::read("loss_categorical_entropy");
    let logits = golden.floats("x.logits");
    let (rows, n) = (golden.shape("x.logits")[0], golden.shape("x.logits")[1]);
    let (mut log_probs, mut entropies) = (vec![0.0; logits.len()], vec![0.0; rows]);
    categorical::log_softmax_rows(&logits, n, &mut log_probs).unwrap();
    let mut probs = vec![0.0; logits.len()];
    categorical::softmax_rows(&logits, n, &mut probs).unwrap();
    categorical::entropy_rows(&log_probs, &probs, n, &mut entropies).unwrap();
    let weight = 1.0 / rows as f32;
    let mut gradient = vec![0.0; logits.len()];
    for (row, &entropy) in entropies.iter().enumerate() {
        let range = row * n..(row + 1) * n;
        let (log_probs, probs) = (&log_probs[range.clone()], &probs[range.clone()]);
        categorical::add_entropy_gradient(log_probs, probs, entropy, weight, &mut gradient[range]);
    }
    golden.check("y", &[weight * entropies.iter().sum::<f32>()]);
    golden.check("dx.logits", &gradient);
}
