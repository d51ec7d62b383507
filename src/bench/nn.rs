//! Speed of networks on one core: acting and training steps.

use std::hint::black_box;
use std::time::{Duration, Instant};

use agon_nn::stock::StockMlp;
use agon_nn::{
    Activation, Adam, AdamConfig, AttentionMask, BlockConfig, ByteMatrix, Cell, ConvConfig, EncoderConfig,
    ImageShape, Init, Input, LayerSummary, LayoutBuilder, Matrix, MlpConfig, NnError, Observation, Packed,
    Params, Recurrent, RecurrentInit, Scratch, Sequential, Tape, TransformerBlock, Unroll, kernels,
};
use serde::Serialize;

use crate::RunError;

/// Speed of one network at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkRow {
    /// The network.
    pub network: String,
    /// `forward`, acting without a tape; or `step`: forward, backward and Adam.
    pub work: String,
    /// Rows, or sequences.
    pub batch: usize,
    /// Microseconds, the median.
    pub microseconds: f64,
    /// Microseconds, the least.
    pub best: f64,
    /// Floating-point operations of matrix products, in billions a second at the median; Adam's and elementwise
    /// functions' are not counted.
    pub gflops: f64,
    /// The same as a share of the machine's measured peak.
    pub share_of_peak: f64,
    /// Microseconds of the tensor library's own layers ([`agon_nn::stock`]), the median, where it has them.
    pub stock: Option<f64>,
}

/// Measures all networks whose name contains one of the words; all without words.
///
/// Also returns the machine's peak in billions of operations a second: the best of a matrix product that fits into
/// the second-level cache.
///
/// # Errors
/// If no network's name contains one of the words, or a network cannot be built, which is a bug.
pub fn networks(filter: &[String], seconds: f64) -> Result<(f64, Vec<NetworkRow>), RunError> {
    super::check_seconds(seconds)?;
    let mut bench = Bench { filter, seconds, peak: peak(), rows: Vec::new() };
    bench.mlp()?;
    bench.planes()?;
    bench.minatar()?;
    bench.nature()?;
    bench.towers()?;
    bench.lstm()?;
    bench.transformer()?;
    bench.functions();
    if bench.rows.is_empty() {
        return Err(RunError::Config(format!(
            "expected a part of a network's name, such as mlp, minatar, nature, tower, lstm, transformer or tanh, got {}",
            filter.join(", ")
        )));
    }
    Ok((bench.peak, bench.rows))
}

/// Billions of operations a second of matrix products of the machine at its best.
fn peak() -> f64 {
    let (m, n, k) = (192, 64, 256);
    let (a, b) = (vec![0.5; m * k], vec![0.25; k * n]);
    let mut c = vec![0.0; m * n];
    let (_, best) = time(0.5, || kernels::matrix_product((m, n, k), black_box(&a), black_box(&b), &mut c));
    (2 * m * n * k) as f64 / best * 1e-3
}

/// Median and least microseconds of `f`, repeated for about `seconds`.
fn time(seconds: f64, mut f: impl FnMut()) -> (f64, f64) {
    // Short functions are timed in groups, so that the clock does not show.
    let start = Instant::now();
    for _ in 0..3 {
        f();
    }
    let once = start.elapsed().as_secs_f64() / 3.0;
    let group = (50e-6 / once).ceil().clamp(1.0, 1000.0) as u32;
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs_f64(seconds) || times.len() < 9 {
        let lap = Instant::now();
        for _ in 0..group {
            f();
        }
        times.push(lap.elapsed().as_secs_f64() * 1e6 / f64::from(group));
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

/// Replaces values.
type Function = fn(&mut [f32]);

struct Bench<'a> {
    filter: &'a [String],
    seconds: f64,
    peak: f64,
    rows: Vec<NetworkRow>,
}

impl Bench<'_> {
    fn wants(&self, network: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|word| network.contains(word.as_str()))
    }

    /// Times `f`, which takes `flops` operations.
    fn row(&mut self, network: &str, work: &str, batch: usize, flops: u64, f: impl FnMut()) {
        let (median, best) = time(self.seconds, f);
        let gflops = flops as f64 / median * 1e-3;
        self.rows.push(NetworkRow {
            network: network.to_owned(),
            work: work.to_owned(),
            batch,
            microseconds: median,
            best,
            gflops,
            share_of_peak: gflops / self.peak,
            stock: None,
        });
    }

    fn mlp(&mut self) -> Result<(), NnError> {
        let name = "MLP 4-64-64-2 tanh";
        if !self.wants(name) {
            return Ok(());
        }
        let mut builder = LayoutBuilder::new();
        let (config, init) = (MlpConfig::default(), Init::PYTORCH_LINEAR);
        let mlp = config.build(&mut builder, "mlp", 4, 2, init, init)?;
        let params = builder.build(1);
        for batch in [1, 8, 64, 1024] {
            self.forward(name, &mlp, &params, &floats(batch, mlp.inputs())?)?;
            let mut stock = StockMlp::new(batch);
            self.compare(|| {
                black_box(stock.forward());
            });
        }
        for batch in [64, 256, 2048] {
            self.step(name, &mlp, &params, &floats(batch, mlp.inputs())?)?;
            let mut stock = StockMlp::new(batch);
            self.compare(|| stock.step());
        }
        Ok(())
    }

    /// An MLP on planes of bytes, one in twelve of which is not zero: MinAtar's Breakout.
    fn planes(&mut self) -> Result<(), NnError> {
        let name = "MLP 400-128-128-6 relu, bytes";
        if !self.wants(name) {
            return Ok(());
        }
        let mut builder = LayoutBuilder::new();
        let config = MlpConfig { hidden: vec![128, 128], activation: Activation::Relu };
        let init = Init::PYTORCH_LINEAR;
        let mlp = config.build(&mut builder, "mlp", 400, 6, init, init)?;
        let params = builder.build(1);
        let planes = |batch: usize| -> Result<Input, NnError> {
            let bytes = (0..batch * 400).map(|i| if i * 7919 % 2003 < 167 { 255 } else { 0 }).collect();
            Ok(ByteMatrix::new(batch, 400, bytes, 1.0 / 255.0)?.into())
        };
        for batch in [1, 64, 1024] {
            self.forward(name, &mlp, &params, &planes(batch)?)?;
        }
        for batch in [32, 1024] {
            self.step(name, &mlp, &params, &planes(batch)?)?;
        }
        Ok(())
    }

    /// Elementary functions of values that lie in the cache, and a copy of these, which is part of each.
    fn functions(&mut self) {
        let source: Vec<f32> = (0..4096).map(|i| 0.3 + (i % 97) as f32 * 0.01).collect();
        let functions: [(&str, Function); 5] = [
            ("function: none", |_| {}),
            ("function: exp", kernels::exp),
            ("function: ln", kernels::ln),
            ("function: tanh", kernels::tanh),
            ("function: sigmoid", kernels::sigmoid),
        ];
        for (name, function) in functions {
            if !self.wants(name) {
                continue;
            }
            let mut values = source.clone();
            self.row(name, "forward", source.len(), 0, || {
                values.copy_from_slice(black_box(&source));
                function(&mut values);
                black_box(&mut values);
            });
        }
    }

    fn minatar(&mut self) -> Result<(), NnError> {
        let name = "MinAtar CNN";
        if !self.wants(name) {
            return Ok(());
        }
        let (network, params) = cnn(ImageShape::new(4, 10, 10), &[ConvConfig::new(16, 3)], 128)?;
        for batch in [1, 64] {
            self.forward(name, &network, &params, &floats(batch, network.inputs())?)?;
        }
        for batch in [32, 128, 1024] {
            self.step(name, &network, &params, &floats(batch, network.inputs())?)?;
        }
        Ok(())
    }

    fn nature(&mut self) -> Result<(), NnError> {
        let name = "Nature CNN";
        if !self.wants(name) {
            return Ok(());
        }
        let convs =
            [ConvConfig::new(32, 8).stride(4), ConvConfig::new(64, 4).stride(2), ConvConfig::new(64, 3)];
        let (network, params) = cnn(ImageShape::new(4, 84, 84), &convs, 512)?;
        for batch in [8, 64] {
            self.forward(name, &network, &params, &floats(batch, network.inputs())?)?;
        }
        for batch in [32, 256] {
            self.step(name, &network, &params, &floats(batch, network.inputs())?)?;
        }
        Ok(())
    }

    /// Residual towers of AlphaZero on boards, of which a third of the squares is taken.
    fn towers(&mut self) -> Result<(), NnError> {
        let boards = [("Connect Four", [3, 6, 7]), ("Go 9x9", [4, 9, 9])];
        for (channels, blocks) in [(32, 4), (64, 5)] {
            for (game, [planes, height, width]) in boards {
                let name = format!("residual tower {blocks}x{channels}, {game}");
                if !self.wants(&name) {
                    continue;
                }
                let image = ImageShape::new(planes, height, width);
                let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
                let encoder = EncoderConfig::Residual { channels, blocks, planes: 8, hidden: Vec::new() };
                let observation = Observation::Image { shape: image, channels_last: false };
                let network = Sequential::new(encoder.build(&mut builder, "tower", &observation, init)?)?;
                let params = builder.build(1);
                let boards = |batch: usize| -> Result<Input, NnError> {
                    let squares = (0..batch * image.len()).map(|i| f32::from(i * 7919 % 2003 < 668));
                    let squares: Vec<f32> = squares.collect();
                    Ok(Input::from(&Matrix::from_slice(batch, image.len(), &squares)?))
                };
                for batch in [1, 128] {
                    self.forward(&name, &network, &params, &boards(batch)?)?;
                }
                self.step(&name, &network, &params, &boards(256)?)?;
            }
        }
        Ok(())
    }

    fn lstm(&mut self) -> Result<(), NnError> {
        let (name, steps, batch) = ("LSTM 64-128, 16 steps", 16, 64);
        if !self.wants(name) {
            return Ok(());
        }
        let mut builder = LayoutBuilder::new();
        let lstm = Recurrent::new(&mut builder, "lstm", Cell::Lstm, 64, 128, RecurrentInit::Uniform);
        let mut learner = Learner::new(&builder.build(1))?;
        let x = Matrix::from_slice(steps * batch, 64, &values(steps * batch * 64))?;
        let state = Matrix::zeros(batch, lstm.state_len())?;
        let gradient_out: Vec<f32> = values(steps * batch * 128).iter().map(|x| 1e-3 * x).collect();
        // The gradients of input and first state are not computed.
        let forward = (steps * batch) as u64 * lstm.describe().flops;
        let of_input = (2 * lstm.weight_ih.len() * steps * batch) as u64;
        let of_state = (2 * lstm.weight_hh.len() * batch) as u64;
        let mut run = || -> Result<(), NnError> {
            let mut tape = Tape::new();
            let (y, _) = lstm.forward(&learner.params, &x, &state, &Unroll::new(steps), &mut tape)?;
            learner.learn(tape, &[(&y, &gradient_out)])
        };
        run()?;
        self.row(name, "step", batch, 3 * forward - of_input - of_state, || {
            let _ = black_box(run());
        });
        Ok(())
    }

    fn transformer(&mut self) -> Result<(), NnError> {
        let (name, len, batch) = ("transformer block 64, 4 heads, 32 tokens", 32, 64);
        if !self.wants(name) {
            return Ok(());
        }
        let config = BlockConfig { width: 64, heads: 4, feed_forward: 256, activation: Activation::Gelu };
        let mut builder = LayoutBuilder::new();
        let block = TransformerBlock::pre_norm(&mut builder, "block", &config)?;
        let mut learner = Learner::new(&builder.build(1))?;
        let rows = batch * len;
        let x = Matrix::from_slice(rows, 64, &values(rows * 64))?;
        let gradient_out: Vec<f32> = values(rows * 64).iter().map(|x| 1e-3 * x).collect();
        // All products have three; only the input's gradient of the first norm is saved, which has none.
        let flops = 3 * rows as u64 * block.describe(len).flops;
        let mut run = || -> Result<(), NnError> {
            let mut tape = Tape::new();
            let y = block.forward(&learner.params, &x, batch, &AttentionMask::none(), &mut tape)?;
            learner.learn(tape, &[(&y, &gradient_out)])
        };
        run()?;
        self.row(name, "step", batch, flops, || {
            let _ = black_box(run());
        });
        Ok(())
    }

    fn compare(&mut self, f: impl FnMut()) {
        let (median, _) = time(self.seconds, f);
        if let Some(row) = self.rows.last_mut() {
            row.stock = Some(median);
        }
    }

    fn forward(
        &mut self,
        name: &str,
        network: &Sequential,
        params: &Params,
        x: &Input,
    ) -> Result<(), NnError> {
        let (packed, mut scratch, batch) = (Packed::new(network, params)?, Scratch::new(), x.rows());
        let mut out = vec![0.0; batch * network.outputs()];
        network.infer(&packed, x, batch, &mut scratch, &mut out)?;
        let flops = batch as u64 * flops(&network.summary());
        self.row(name, "forward", batch, flops, || {
            let _ = black_box(network.infer(&packed, black_box(x), batch, &mut scratch, &mut out));
        });
        Ok(())
    }

    fn step(&mut self, name: &str, network: &Sequential, params: &Params, x: &Input) -> Result<(), NnError> {
        let batch = x.rows();
        let gradient_out: Vec<f32> = values(batch * network.outputs()).iter().map(|x| 1e-3 * x).collect();
        let mut learner = Learner::new(params)?;
        // The input's gradient is not computed, so the first layer has two products and the others three.
        let summary = network.summary();
        let flops = batch as u64 * (3 * flops(&summary) - summary[0].flops);
        let mut run = || -> Result<(), NnError> {
            let mut tape = Tape::new();
            let y = network.forward_input(&learner.params, x, &mut tape)?;
            learner.learn(tape, &[(&y, &gradient_out)])
        };
        run()?;
        self.row(name, "step", batch, flops, || {
            let _ = black_box(run());
        });
        Ok(())
    }
}

/// Parameters with their gradient and optimizer.
struct Learner {
    params: Params,
    gradient: Vec<f32>,
    adam: Adam,
}

impl Learner {
    fn new(params: &Params) -> Result<Self, NnError> {
        let (len, params) = (params.len(), params.clone());
        Ok(Self { params, gradient: vec![0.0; len], adam: Adam::new(AdamConfig::default(), len)? })
    }

    fn learn(&mut self, tape: Tape, outputs: &[(&Matrix, &[f32])]) -> Result<(), NnError> {
        tape.backward(&self.params, outputs, &mut self.gradient)?;
        self.adam.step(&mut self.params, &self.gradient, 1e-4)
    }
}

/// Convolutions with ReLU, one hidden layer, six outputs.
fn cnn(image: ImageShape, convs: &[ConvConfig], hidden: usize) -> Result<(Sequential, Params), NnError> {
    let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
    let mut layers = Vec::new();
    let mut shape = image;
    for (index, config) in convs.iter().enumerate() {
        let name = index.to_string();
        let conv = agon_nn::Conv2d::new(&mut builder, &name, shape, config.clone(), Activation::Relu, init)?;
        shape = conv.output_shape();
        layers.push(conv.into());
    }
    let config = MlpConfig { hidden: vec![hidden], activation: Activation::Relu };
    let convs = Sequential::new(layers)?;
    let network = convs.then(&config.build(&mut builder, "head", shape.len(), 6, init, init)?)?;
    Ok((network, builder.build(1)))
}

fn flops(summary: &[LayerSummary]) -> u64 {
    summary.iter().map(|layer| layer.flops).sum()
}

/// Rows of numbers between −1 and 1.
fn floats(batch: usize, columns: usize) -> Result<Input, NnError> {
    Ok(Input::from(&Matrix::from_slice(batch, columns, &values(batch * columns))?))
}

/// Some numbers between −1 and 1.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect()
}
