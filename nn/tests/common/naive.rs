//! Row-wise layers from their definitions, in `f64`.

use std::ops::Range;
use std::sync::Arc;

use agon_nn::{
    Activate, Activation, BatchNorm2d, ChannelsFirst, Conv2d, ConvConfig, ConvTranspose2d,
    ConvTransposeConfig, Embedding, ImageShape, Init, Layer, Layout, LayoutBuilder, Linear, NoisyLinear,
    Norm, OneHot, Parallel, Params, Pool2d, PoolConfig, Residual, Sequential,
};
use rand::RngExt as _;
use rand_pcg::Pcg64;

/// A layer as it is configured.
#[derive(Debug, Clone)]
pub enum Spec {
    Linear {
        inputs: usize,
        outputs: usize,
        activation: Activation,
    },
    Noisy {
        inputs: usize,
        outputs: usize,
        activation: Activation,
    },
    Conv {
        image: ImageShape,
        config: ConvConfig,
        activation: Activation,
    },
    Transposed {
        image: ImageShape,
        config: ConvTransposeConfig,
        activation: Activation,
    },
    Pool {
        image: ImageShape,
        config: PoolConfig,
        max: bool,
    },
    Norm {
        width: usize,
        rms: bool,
        eps: f32,
    },
    BatchNorm {
        image: ImageShape,
    },
    Activate {
        shape: Vec<usize>,
        activation: Activation,
    },
    ChannelsFirst {
        image: ImageShape,
    },
    /// With a table for each index, or one for all.
    Embedding {
        nvec: Vec<usize>,
        width: usize,
        of_each: bool,
    },
    OneHot {
        nvec: Vec<usize>,
    },
    Residual(Vec<Spec>),
    Parallel {
        inputs: usize,
        branches: Vec<(Range<usize>, Vec<Spec>)>,
    },
}

/// Parameters by name, in `f64`.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub layout: &'a Layout,
    pub flat: &'a [f64],
}

impl Values<'_> {
    fn get(&self, name: &str, part: &str) -> Vec<f64> {
        let spec = self.layout.find(&format!("{name}.{part}"));
        spec.unwrap_or_else(|| panic!("{name}.{part}")).range.read(self.flat)
    }
}

/// A chain of layers with its parameters.
pub struct Network {
    pub specs: Vec<Spec>,
    pub chain: Sequential,
    pub params: Params,
}

impl Network {
    /// With random parameters: also norms and buffers differ from their first values, and noise is drawn.
    pub fn new(specs: &[Spec], rng: &mut Pcg64) -> Self {
        let (mut builder, mut noisy) = (LayoutBuilder::new(), Vec::new());
        let layers = build(specs, &mut builder, "net", &mut noisy);
        let mut params = builder.build(0);
        for spec in params.layout().clone().specs() {
            let fan_in: usize = spec.range.shape().iter().skip(1).product();
            let scale = 1.5 / (fan_in as f32).sqrt();
            let mut values = spec.range.read(params.as_slice());
            for value in &mut values {
                *value = scale * rng.random_range(-1.0..1.0_f32);
                if spec.name.ends_with("running_var") {
                    *value = value.abs() + 0.25;
                }
            }
            spec.range.write(&values, params.as_mut_slice());
        }
        noisy.iter().for_each(|layer: &NoisyLinear| layer.resample(&mut params, rng));
        Self { specs: specs.to_vec(), chain: Sequential::new(layers).unwrap(), params }
    }

    /// Random rows: categories where the first layer reads them.
    pub fn inputs(&self, rows: usize, rng: &mut Pcg64) -> Vec<f32> {
        (0..rows)
            .flat_map(|_| {
                let mut row: Vec<f32> =
                    (0..self.chain.inputs()).map(|_| rng.random_range(-1.0..1.0)).collect();
                for (column, count) in self.categories() {
                    row[column] = rng.random_range(0..count) as f32;
                }
                row
            })
            .collect()
    }

    /// The columns that hold categories, with their number.
    pub fn categories(&self) -> Vec<(usize, usize)> {
        categories(&self.specs[0])
    }

    /// A row's outputs from the definitions.
    pub fn reference(&self, flat: &[f64], x: &[f64]) -> Vec<f64> {
        chain(&self.specs, Values { layout: self.params.layout(), flat }, "net", x)
    }
}

fn categories(spec: &Spec) -> Vec<(usize, usize)> {
    match spec {
        Spec::Embedding { nvec, .. } | Spec::OneHot { nvec } => nvec.iter().copied().enumerate().collect(),
        Spec::Parallel { branches, .. } => {
            let of_branch = |(columns, specs): &(Range<usize>, Vec<Spec>)| {
                let start = columns.start;
                categories(&specs[0]).into_iter().map(move |(column, count)| (start + column, count))
            };
            branches.iter().flat_map(of_branch).collect()
        }
        _ => Vec::new(),
    }
}

fn build(
    specs: &[Spec],
    builder: &mut LayoutBuilder,
    prefix: &str,
    noisy: &mut Vec<NoisyLinear>,
) -> Vec<Arc<dyn Layer>> {
    let layers = specs.iter().enumerate();
    layers.map(|(index, spec)| spec.build(builder, &format!("{prefix}.{index}"), noisy)).collect()
}

fn chain(specs: &[Spec], values: Values<'_>, prefix: &str, x: &[f64]) -> Vec<f64> {
    let layers = specs.iter().enumerate();
    layers.fold(x.to_vec(), |x, (index, spec)| spec.forward(values, &format!("{prefix}.{index}"), &x))
}

impl Spec {
    pub fn build(
        &self,
        builder: &mut LayoutBuilder,
        name: &str,
        noisy: &mut Vec<NoisyLinear>,
    ) -> Arc<dyn Layer> {
        let init = Init::Zeros;
        match self.clone() {
            Self::Linear { inputs, outputs, activation } => {
                Linear::new(builder, name, inputs, outputs, activation, init).into()
            }
            Self::Noisy { inputs, outputs, activation } => {
                noisy.push(NoisyLinear::new(builder, name, inputs, outputs, activation, NoisyLinear::SIGMA));
                noisy[noisy.len() - 1].clone().into()
            }
            Self::Conv { image, config, activation } => {
                Conv2d::new(builder, name, image, config, activation, init).unwrap().into()
            }
            Self::Transposed { image, config, activation } => {
                ConvTranspose2d::new(builder, name, image, config, activation, init).unwrap().into()
            }
            Self::Pool { image, config, max: true } => Pool2d::max(image, config).unwrap().into(),
            Self::Pool { image, config, max: false } => Pool2d::average(image, config).unwrap().into(),
            Self::Norm { width, rms: true, eps } => Norm::rms(builder, name, width, eps).into(),
            Self::Norm { width, rms: false, eps } => Norm::layer(builder, name, width, eps).into(),
            Self::BatchNorm { image } => BatchNorm2d::new(builder, name, image).unwrap().into(),
            Self::Activate { shape, activation } => Activate::new(activation, &shape).into(),
            Self::ChannelsFirst { image } => ChannelsFirst::new(image).into(),
            Self::Embedding { nvec, width, of_each: true } => {
                Embedding::of_each(builder, name, &nvec, width, init).into()
            }
            Self::Embedding { nvec, width, of_each: false } => {
                Embedding::new(builder, name, nvec[0], width, nvec.len(), init).into()
            }
            Self::OneHot { nvec } => OneHot::new(&nvec).into(),
            Self::Residual(specs) => Residual::new(build(&specs, builder, name, noisy)).unwrap().into(),
            Self::Parallel { inputs, branches } => {
                let branches = branches.into_iter().enumerate().map(|(index, (columns, specs))| {
                    let name = format!("{name}.{index}");
                    let layers = build(&specs, builder, &name, noisy);
                    (name, columns, layers)
                });
                Parallel::new(inputs, branches.collect()).unwrap().into()
            }
        }
    }

    /// A row's outputs.
    fn forward(&self, values: Values<'_>, name: &str, x: &[f64]) -> Vec<f64> {
        match self {
            Self::Linear { activation, .. } => {
                linear(&values.get(name, "weight"), &values.get(name, "bias"), *activation, x)
            }
            Self::Noisy { inputs, activation, .. } => {
                let (q, p) = (values.get(name, "epsilon_in"), values.get(name, "epsilon_out"));
                let weight: Vec<f64> = values
                    .get(name, "weight_mu")
                    .iter()
                    .zip(values.get(name, "weight_sigma"))
                    .enumerate()
                    .map(|(i, (mu, sigma))| mu + sigma * p[i / inputs] * q[i % inputs])
                    .collect();
                let (mu, sigma) = (values.get(name, "bias_mu"), values.get(name, "bias_sigma"));
                let bias: Vec<f64> = (0..p.len()).map(|o| mu[o] + sigma[o] * p[o]).collect();
                linear(&weight, &bias, *activation, x)
            }
            Self::Conv { image, config, activation } => {
                conv(*image, config, &values.get(name, "weight"), &values.get(name, "bias"), x)
                    .into_iter()
                    .map(|z| activate(*activation, z))
                    .collect()
            }
            Self::Transposed { image, config, activation } => {
                transposed(*image, config, &values.get(name, "weight"), &values.get(name, "bias"), x)
                    .into_iter()
                    .map(|z| activate(*activation, z))
                    .collect()
            }
            Self::Pool { image, config, max } => pool(*image, config, *max, x),
            Self::Norm { width, rms, eps } => {
                let mean = if *rms { 0.0 } else { x.iter().sum::<f64>() / *width as f64 };
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / *width as f64;
                let unit = x.iter().map(|x| (x - mean) / (variance + f64::from(*eps)).sqrt());
                let scaled = unit.zip(values.get(name, "weight")).map(|(x, weight)| x * weight);
                if *rms {
                    return scaled.collect();
                }
                scaled.zip(values.get(name, "bias")).map(|(x, bias)| x + bias).collect()
            }
            Self::BatchNorm { image } => {
                let of =
                    |part: &str, index: usize| values.get(name, part)[index / (image.height * image.width)];
                let unit = |(index, x): (usize, &f64)| {
                    (x - of("running_mean", index)) / (of("running_var", index) + f64::from(1e-5_f32)).sqrt()
                };
                let rows = x.iter().enumerate();
                rows.map(|at| unit(at) * of("weight", at.0) + of("bias", at.0)).collect()
            }
            Self::Activate { activation, .. } => x.iter().map(|&x| activate(*activation, x)).collect(),
            Self::ChannelsFirst { image } => {
                let plane = image.height * image.width;
                (0..x.len()).map(|i| x[i % plane * image.channels + i / plane]).collect()
            }
            Self::Embedding { nvec, width, of_each } => {
                let table = values.get(name, "weight");
                let vector = |(index, &x): (usize, &f64)| {
                    let start = if *of_each { nvec[..index].iter().sum() } else { 0 };
                    let known = (0..nvec[index]).find(|&category| category as f64 == x);
                    (0..*width)
                        .map(|i| known.map_or(f64::NAN, |category| table[(start + category) * width + i]))
                        .collect::<Vec<f64>>()
                };
                x.iter().enumerate().flat_map(vector).collect()
            }
            Self::OneHot { nvec } => {
                let vector = |(&x, &count): (&f64, &usize)| {
                    let known = (0..count).any(|category| category as f64 == x);
                    (0..count)
                        .map(|category| if known { f64::from(category as f64 == x) } else { f64::NAN })
                        .collect::<Vec<f64>>()
                };
                x.iter().zip(nvec).flat_map(vector).collect()
            }
            Self::Residual(specs) => {
                chain(specs, values, name, x).into_iter().zip(x).map(|(y, x)| x + y).collect()
            }
            Self::Parallel { branches, .. } => branches
                .iter()
                .enumerate()
                .flat_map(|(index, (columns, specs))| {
                    chain(specs, values, &format!("{name}.{index}"), &x[columns.clone()])
                })
                .collect(),
        }
    }
}

/// Comparisons with NaN are false, so that NaN passes.
pub fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Identity => z,
        Activation::Relu => {
            if z < 0.0 {
                0.0
            } else {
                z
            }
        }
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Silu => z / (1.0 + (-z).exp()),
        Activation::Gelu => 0.5 * z * (1.0 + libm::erf(z / std::f64::consts::SQRT_2)),
        Activation::Elu => {
            if z < 0.0 {
                z.exp_m1()
            } else {
                z
            }
        }
        Activation::LeakyRelu => {
            if z < 0.0 {
                f64::from(0.01_f32) * z
            } else {
                z
            }
        }
    }
}

fn linear(weight: &[f64], bias: &[f64], activation: Activation, x: &[f64]) -> Vec<f64> {
    let rows = weight.chunks_exact(x.len()).zip(bias);
    let z = rows.map(|(w, bias)| bias + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>());
    z.map(|z| activate(activation, z)).collect()
}

/// The place that lies `offset` after `index · stride − padding`, if it is inside.
fn place(index: usize, stride: usize, offset: usize, padding: usize, size: usize) -> Option<usize> {
    (index * stride + offset).checked_sub(padding).filter(|&place| place < size)
}

fn conv(image: ImageShape, config: &ConvConfig, weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let output = config.output_shape(image).unwrap();
    let (channels, [height, width]) = (image.channels / config.groups, config.kernel);
    let mut out = Vec::with_capacity(output.len());
    for o in 0..output.channels {
        let first = o / (config.channels / config.groups) * channels;
        for i in 0..output.height {
            for j in 0..output.width {
                let mut sum = bias[o];
                for c in 0..channels {
                    for u in 0..height {
                        for v in 0..width {
                            let [dy, dx] = [u * config.dilation[0], v * config.dilation[1]];
                            let line = place(i, config.stride[0], dy, config.padding[0], image.height);
                            let column = place(j, config.stride[1], dx, config.padding[1], image.width);
                            if let (Some(line), Some(column)) = (line, column) {
                                let pixel = x[((first + c) * image.height + line) * image.width + column];
                                sum += pixel * weight[((o * channels + c) * height + u) * width + v];
                            }
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

fn transposed(
    image: ImageShape,
    config: &ConvTransposeConfig,
    weight: &[f64],
    bias: &[f64],
    x: &[f64],
) -> Vec<f64> {
    let output = config.output_shape(image).unwrap();
    let [height, width] = config.kernel;
    let mut out: Vec<f64> = (0..output.len()).map(|i| bias[i / (output.height * output.width)]).collect();
    for c in 0..image.channels {
        for i in 0..image.height {
            for j in 0..image.width {
                let pixel = x[(c * image.height + i) * image.width + j];
                for o in 0..output.channels {
                    for u in 0..height {
                        for v in 0..width {
                            let line = place(i, config.stride[0], u, config.padding[0], output.height);
                            let column = place(j, config.stride[1], v, config.padding[1], output.width);
                            if let (Some(line), Some(column)) = (line, column) {
                                let weight = weight[((c * output.channels + o) * height + u) * width + v];
                                out[(o * output.height + line) * output.width + column] += pixel * weight;
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

fn pool(image: ImageShape, config: &PoolConfig, max: bool, x: &[f64]) -> Vec<f64> {
    let output = config.output_shape(image).unwrap();
    let window = |c: usize, i: usize, j: usize| -> Vec<f64> {
        let lines = (0..config.kernel[0])
            .filter_map(|u| place(i, config.stride[0], u, config.padding[0], image.height));
        let columns = |line: usize| {
            (0..config.kernel[1])
                .filter_map(|v| place(j, config.stride[1], v, config.padding[1], image.width))
                .map(move |column| x[(c * image.height + line) * image.width + column])
                .collect::<Vec<f64>>()
        };
        lines.flat_map(columns).collect()
    };
    let mut out = Vec::with_capacity(output.len());
    for c in 0..output.channels {
        for i in 0..output.height {
            for j in 0..output.width {
                let window = window(c, i, j);
                out.push(if !max {
                    window.iter().sum::<f64>() / (config.kernel[0] * config.kernel[1]) as f64
                } else if window.iter().any(|x| x.is_nan()) {
                    f64::NAN
                } else {
                    window.into_iter().fold(f64::NEG_INFINITY, f64::max)
                });
            }
        }
    }
    out
}

/// Random chains whose shapes fit.
pub struct RandomChain<'a> {
    pub rng: &'a mut Pcg64,
}

impl RandomChain<'_> {
    fn activation(&mut self) -> Activation {
        super::ACTIVATIONS[self.rng.random_range(0..super::ACTIVATIONS.len())]
    }

    /// Begins with an image, numbers or categories.
    pub fn chain(&mut self, depth: usize) -> Vec<Spec> {
        match self.rng.random_range(0..3) {
            0 => {
                let [channels, height, width] = [4, 8, 8].map(|most| self.rng.random_range(1..most));
                self.of_image(ImageShape::new(channels, height, width), depth)
            }
            1 => {
                let width = self.rng.random_range(1..40);
                self.of_row(width, depth)
            }
            _ => {
                let nvec: Vec<usize> =
                    (0..self.rng.random_range(1..4)).map(|_| self.rng.random_range(1..6)).collect();
                let total = nvec.iter().sum();
                let width = self.rng.random_range(1..9);
                let (first, width) = match self.rng.random_range(0..3) {
                    0 => (Spec::OneHot { nvec }, total),
                    1 => {
                        let outputs = width * nvec.len();
                        (Spec::Embedding { nvec, width, of_each: true }, outputs)
                    }
                    _ => {
                        let nvec = vec![nvec[0]; nvec.len()];
                        let outputs = width * nvec.len();
                        (Spec::Embedding { nvec, width, of_each: false }, outputs)
                    }
                };
                std::iter::once(first).chain(self.of_row(width, depth - 1)).collect()
            }
        }
    }

    fn of_image(&mut self, image: ImageShape, depth: usize) -> Vec<Spec> {
        if depth == 0 {
            return Vec::new();
        }
        let activation = self.activation();
        let same = ConvConfig::new(image.channels, 3).padding(1);
        let (spec, next) = match self.rng.random_range(0..8) {
            0 | 1 => {
                let config = ConvConfig::new(self.rng.random_range(1..6), self.rng.random_range(1..4));
                let config = config.padding(self.rng.random_range(0..2)).stride(self.rng.random_range(1..3));
                let Ok(next) = config.output_shape(image) else { return self.of_image(image, depth) };
                (Spec::Conv { image, config, activation }, next)
            }
            2 if image.height < 8 => {
                let config = ConvTransposeConfig::new(self.rng.random_range(1..4), 2, 2);
                let next = config.output_shape(image).unwrap();
                (Spec::Transposed { image, config, activation }, next)
            }
            3 => {
                let config = PoolConfig::new(2, self.rng.random_range(1..3), 0);
                let Ok(next) = config.output_shape(image) else { return self.of_image(image, depth) };
                (Spec::Pool { image, config, max: self.rng.random() }, next)
            }
            4 => (Spec::BatchNorm { image }, image),
            5 => (Spec::ChannelsFirst { image }, image),
            6 => {
                let shape = <[usize; 3]>::from(image).to_vec();
                let first = Spec::Activate { shape, activation: Activation::Tanh };
                let conv = Spec::Conv { image, config: same, activation };
                (Spec::Residual(vec![first, conv]), image)
            }
            _ => {
                let outputs = self.rng.random_range(1..30);
                let flat = Spec::Linear { inputs: image.len(), outputs, activation };
                return std::iter::once(flat).chain(self.of_row(outputs, depth - 1)).collect();
            }
        };
        std::iter::once(spec).chain(self.of_image(next, depth - 1)).collect()
    }

    fn of_row(&mut self, width: usize, depth: usize) -> Vec<Spec> {
        if depth == 0 {
            return Vec::new();
        }
        let activation = self.activation();
        let outputs = self.rng.random_range(1..50);
        let (spec, next) = match self.rng.random_range(0..6) {
            0 => (Spec::Linear { inputs: width, outputs, activation }, outputs),
            1 => (Spec::Noisy { inputs: width, outputs, activation }, outputs),
            2 => (Spec::Norm { width, rms: self.rng.random(), eps: 0.1 }, width),
            3 => (Spec::Activate { shape: vec![width], activation }, width),
            4 => {
                let norm = Spec::Norm { width, rms: self.rng.random(), eps: 0.1 };
                let linear = Spec::Linear { inputs: width, outputs: width, activation };
                (Spec::Residual(vec![norm, linear]), width)
            }
            _ => {
                let mut next = 0;
                let count = self.rng.random_range(1..4);
                let branches = (0..count).map(|_| {
                    let start = self.rng.random_range(0..width);
                    let columns = start..self.rng.random_range(start + 1..=width);
                    let outputs = self.rng.random_range(1..20);
                    next += outputs;
                    let (inner, inputs) = (self.activation(), columns.len());
                    let residual =
                        Spec::Residual(vec![Spec::Linear { inputs, outputs: inputs, activation: inner }]);
                    let linear = Spec::Linear { inputs, outputs, activation: self.activation() };
                    (columns, vec![residual, linear])
                });
                let branches = branches.collect();
                (Spec::Parallel { inputs: width, branches }, next)
            }
        };
        std::iter::once(spec).chain(self.of_row(next, depth - 1)).collect()
    }
}
