//! Dropout: hidden values that are left out at random, anew for each row.

use std::sync::Arc;

use agon_policy::Operation;
use rand::{Rng, RngExt as _};

use crate::error::NnError;
use crate::init::Init;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights};
use crate::linear::{Activation, Linear};
use crate::mlp::MlpConfig;
use crate::norm::Norm;
use crate::params::{Layout, LayoutBuilder, ParamRange, Params};
use crate::residual::Activate;

/// How the seeds of all layers are called.
const SEED: &str = "dropout_seed";
/// Seeds are two whole numbers below this, which `f32` holds exactly.
const SEEDS: u32 = 1 << 24;
/// Rows are read by so many sums side by side.
const LANES: usize = 8;

/// Sets each value to zero with a probability, and multiplies the others by `1 / (1 − probability)`.
///
/// Which values a row loses is decided by a seed, which lies among the parameters as a buffer, and by the row itself: so a row
/// loses the same ones wherever it stands in a batch and whoever computes it, when its gradient is computed too, and rows that are
/// the same lose the same. The seed starts as zeros, which drops nothing, for evaluation; [`resample`] draws it.
///
/// # Shapes
/// `x`, `y`: `[B, width]`; `dropout_seed`: `[2]`.
///
/// # Source
/// Srivastava et al. (2014), JMLR 15; what is dropped is drawn by the lengths of the runs between.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    seed: ParamRange,
    width: usize,
    probability: f32,
}

impl Dropout {
    /// Of rows of `width` values. Adds `<name>.dropout_seed` to a layout.
    ///
    /// # Errors
    /// [`NnError::Config`] if the probability is not at least 0 and below 1.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        width: usize,
        probability: f32,
    ) -> Result<Self, NnError> {
        if !(0.0..1.0).contains(&probability) {
            let (expected, got) = ("at least 0 and below 1", probability.to_string());
            return Err(NnError::Config { field: "dropout", expected, got });
        }
        let seed = builder.add_buffer(&format!("{name}.{SEED}"), &[2], Init::Zeros);
        Ok(Self { seed, width, probability })
    }

    /// The seed, if something is dropped.
    fn seed(&self, params: &[f32]) -> Option<u64> {
        let [high, low] = [0, 1].map(|index| self.seed.of(params)[index] as u64);
        let seed = high << 24 | low;
        (seed != 0 && self.probability > 0.0).then_some(seed)
    }

    /// Multiplies what stays of `values`, as the row `x` decides, and clears the rest.
    fn drop(&self, seed: u64, x: &[f32], values: &mut [f32]) {
        let scale = 1.0 / (1.0 - self.probability);
        values.iter_mut().for_each(|value| *value *= scale);
        let mut state = mixed(seed ^ hash(x));
        // The logarithm of the probability that a value stays.
        let stay = libm::log1pf(-self.probability);
        let mut at = 0;
        loop {
            state = mixed(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            // Uniform above 0 up to 1; the run of values that stay is distributed geometrically.
            let uniform = ((state >> 40) + 1) as f32 / SEEDS as f32;
            let run = libm::logf(uniform) / stay;
            if run >= (values.len() - at) as f32 {
                return;
            }
            at += run as usize;
            values[at] = 0.0;
            at += 1;
            if at == values.len() {
                return;
            }
        }
    }
}

/// A hash of a row's bits.
fn hash(row: &[f32]) -> u64 {
    let mut lanes = [0x9e37_79b9_u32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane ^ value.to_bits()).wrapping_mul(0x85eb_ca6b).rotate_left(13);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = (*lane ^ value.to_bits()).wrapping_mul(0x85eb_ca6b).rotate_left(13);
    }
    lanes.iter().fold(row.len() as u64, |hash, &lane| mixed(hash ^ u64::from(lane)))
}

/// Steele, Lea and Flood's finalizer: numbers that differ in one bit come out unlike.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Draws new seeds for all layers of a network that drop something.
pub fn resample(params: &mut Params, rng: &mut impl Rng) {
    let layout = Arc::clone(params.layout());
    for spec in layout.specs().iter().filter(|spec| spec.name.ends_with(SEED)) {
        // Not both zero.
        let seed = [rng.random_range(1..SEEDS), rng.random_range(0..SEEDS)];
        spec.range.write(&seed.map(|part| part as f32), params.as_mut_slice());
    }
}

/// Hidden layers of which each is a linear map, dropout, a LayerNorm or none, and the activation, in this order. Named as PyTorch's
/// `Sequential` of them, activations counted.
///
/// # Shapes
/// `[B, inputs]` to `[B, hidden]`, the last of `config.hidden`.
///
/// # Errors
/// [`NnError::Config`] if a width is zero or the probability not at least 0 and below 1.
///
/// # Panics
/// If `inputs` is zero or a name is taken.
///
/// # Source
/// Hiraoka et al. (2022), arXiv:2110.02034.
pub fn dropped_layers(
    builder: &mut LayoutBuilder,
    prefix: &str,
    inputs: usize,
    config: &MlpConfig,
    (layer_norm, probability): (bool, f32),
    init: Init,
) -> Result<Vec<Arc<dyn Layer>>, NnError> {
    config.validate()?;
    let (mut layers, mut width, mut index): (Vec<Arc<dyn Layer>>, _, _) = (Vec::new(), inputs, 0);
    for &hidden in &config.hidden {
        let mut name = || {
            index += 1;
            format!("{prefix}.{}", index - 1)
        };
        layers.push(Linear::new(builder, &name(), width, hidden, Activation::Identity, init).into());
        layers.push(Dropout::new(builder, &name(), hidden, probability)?.into());
        if layer_norm {
            layers.push(Norm::layer(builder, &name(), hidden, Norm::LAYER_EPS).into());
        }
        layers.push(Activate::new(config.activation, &[hidden]).into());
        index += 1;
        width = hidden;
    }
    Ok(layers)
}

impl Layer for Dropout {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn buffers(&self) -> Vec<&ParamRange> {
        vec![&self.seed]
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        out.copy_from_slice(x);
        if let Some(seed) = self.seed(weights.params) {
            let rows = x.chunks_exact(self.width).zip(out.chunks_exact_mut(self.width));
            rows.for_each(|(x, out)| self.drop(seed, x, out));
        }
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        _: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let Some(dx) = dx else { return };
        dx.copy_from_slice(delta);
        if let Some(seed) = self.seed(saved.weights.params) {
            let rows = saved.x.chunks_exact(self.width).zip(dx.chunks_exact_mut(self.width));
            rows.for_each(|(x, dx)| self.drop(seed, x, dx));
        }
    }

    /// Nothing: where a network is written down, it drops nothing.
    fn operations(&self, _: &Layout) -> Vec<Operation> {
        Vec::new()
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("Dropout({})", self.probability),
            output_shape: vec![self.width],
            parameters: 0,
            flops: 0,
        }
    }
}

impl From<Dropout> for Arc<dyn Layer> {
    fn from(layer: Dropout) -> Self {
        Arc::new(layer)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_pcg::Pcg64;

    use super::*;
    use crate::{Input, Matrix, Sequential, Tape};

    const WIDTH: usize = 20;

    fn network(probability: f32) -> (Sequential, Params) {
        let mut builder = LayoutBuilder::new();
        let dropout = Dropout::new(&mut builder, "layer", WIDTH, probability).unwrap();
        let params = builder.build(1);
        (Sequential::new(vec![dropout.into()]).unwrap(), params)
    }

    /// Rows of numbers that are all different.
    fn rows(count: usize) -> Vec<f32> {
        (0..count * WIDTH).map(|at| 1.0 + at as f32 / 7.0).collect()
    }

    fn run(network: &Sequential, params: &Params, x: &[f32]) -> Vec<f32> {
        let x = Matrix::from_slice(x.len() / WIDTH, WIDTH, x).unwrap();
        network.forward(params, &x, &mut Tape::inference()).unwrap().as_slice().to_vec()
    }

    #[test]
    fn as_many_are_left_out_as_is_said_and_the_mean_stays() {
        for probability in [0.01, 0.1, 0.5, 0.9] {
            let (network, mut params) = network(probability);
            let x = rows(2000);
            assert_eq!(run(&network, &params, &x), x, "nothing is drawn yet");
            resample(&mut params, &mut Pcg64::seed_from_u64(1));
            let y = run(&network, &params, &x);
            let dropped = y.iter().filter(|y| **y == 0.0).count() as f32;
            let (count, p) = (x.len() as f32, probability);
            // Four standard deviations.
            let bound = 4.0 * (count * p * (1.0 - p)).sqrt();
            assert!((dropped - count * p).abs() < bound, "{p}: {dropped} of {count}");
            for (x, y) in x.iter().zip(&y).filter(|(_, y)| **y != 0.0) {
                assert!((y * (1.0 - p) / x - 1.0).abs() < 1e-6);
            }
            // Every place is left out as often, the first and the last too.
            let at = |place: usize| y.chunks_exact(WIDTH).filter(|row| row[place] == 0.0).count() as f32;
            let bound = 5.0 * (2000.0 * p * (1.0 - p)).sqrt();
            assert!((0..WIDTH).all(|place| (at(place) - 2000.0 * p).abs() < bound), "{p}");
        }
    }

    #[test]
    fn a_row_loses_the_same_wherever_it_stands_and_another_seed_is_another_choice() {
        let (network, mut params) = network(0.3);
        let mut rng = Pcg64::seed_from_u64(2);
        resample(&mut params, &mut rng);
        let x = rows(50);
        let all = run(&network, &params, &x);
        for (x, y) in x.chunks_exact(WIDTH).zip(all.chunks_exact(WIDTH)) {
            assert_eq!(run(&network, &params, x), y);
        }
        resample(&mut params, &mut rng);
        let again = run(&network, &params, &x);
        // Two choices of 30 % agree in 58 % of places.
        let same = all.iter().zip(&again).filter(|(a, b)| (**a == 0.0) == (**b == 0.0)).count();
        assert!((480..680).contains(&same), "{same} of 1000");
    }

    #[test]
    fn the_gradient_goes_through_what_stayed() {
        let (network, mut params) = network(0.4);
        resample(&mut params, &mut Pcg64::seed_from_u64(3));
        let values = rows(5);
        let x = Matrix::from_slice(5, WIDTH, &values).unwrap().tracked();
        let mut tape = Tape::new();
        let y = network.forward_input(&params, &Input::Floats(x.clone()), &mut tape).unwrap();
        assert_eq!(y.as_slice(), run(&network, &params, &values), "acting gives the bits of learning");
        let delta: Vec<f32> = (0..5 * WIDTH).map(|at| at as f32 - 31.5).collect();
        let mut gradient = vec![0.0; params.len()];
        let inputs = tape.backward(&params, &[(&y, &delta)], &mut gradient).unwrap();
        let dx = inputs.get(&x).unwrap();
        for ((dx, delta), y) in dx.iter().zip(&delta).zip(y.as_slice()) {
            let expected = if *y == 0.0 { 0.0 } else { delta / 0.6 };
            assert!((dx - expected).abs() < 1e-4, "{dx}, expected {expected}");
        }
        assert!(gradient.iter().all(|&of_seed| of_seed == 0.0));
    }

    #[test]
    fn hidden_layers_are_named_in_their_order_and_bad_probabilities_are_refused() {
        let mut builder = LayoutBuilder::new();
        let config = MlpConfig { hidden: vec![4, 3], activation: Activation::Relu };
        let made = |builder: &mut LayoutBuilder, probability| {
            dropped_layers(builder, "q", 2, &config, (true, probability), Init::PYTORCH_LINEAR)
        };
        let layers = made(&mut builder, 0.1).unwrap();
        let layers: Vec<String> = layers.iter().map(|layer| layer.describe().layer).collect();
        assert_eq!(layers[1..4], ["Dropout(0.1)", "LayerNorm(4)", "Activate(relu)"]);
        let params = builder.zeros();
        let names: Vec<&str> = params.layout().specs().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names[..4], ["q.0.weight", "q.0.bias", "q.1.dropout_seed", "q.2.weight"]);
        assert_eq!(names[5], "q.4.weight");
        for probability in [-0.1, 1.0, f32::NAN] {
            assert!(made(&mut LayoutBuilder::new(), probability).is_err());
        }
    }
}
