//! Transposed two-dimensional convolution: the gradient of a convolution as a layer, which enlarges images.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::patches::{Geometry, Patches, channels_last_weights};
use super::{Sums, put_bias};
use crate::error::NnError;
use crate::image::{ImageShape, check_sizes};
use crate::init::Init;
use crate::kernels::{
    Left, Pooled, Right, Run, Start, activate, differentiate, gemm_gathered, gemm_strided, pack_transposed,
    packed_len, scatter_add, transpose_into, transpose_strided,
};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::linear::Activation;
use crate::params::{LayoutBuilder, ParamRange};

/// A transposed convolution's sizes, each for height and width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTransposeConfig {
    /// Number of output channels.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Distance between the places of neighbouring input pixels.
    pub stride: [usize; 2],
    /// Border of the output that is cut off on both sides.
    #[serde(default)]
    pub padding: [usize; 2],
    /// Lines and columns that are added below and to the right, less than the stride.
    #[serde(default)]
    pub output_padding: [usize; 2],
}

impl ConvTransposeConfig {
    /// A square kernel.
    #[must_use]
    pub fn new(channels: usize, kernel: usize, stride: usize) -> Self {
        Self { channels, kernel: [kernel; 2], stride: [stride; 2], padding: [0; 2], output_padding: [0; 2] }
    }

    /// With padding.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], ..self }
    }

    /// With output padding.
    #[must_use]
    pub fn output_padding(self, output_padding: usize) -> Self {
        Self { output_padding: [output_padding; 2], ..self }
    }

    /// The shape of the output: `(size − 1)·stride − 2·padding + kernel + output_padding` each way.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is zero, the output padding is not less than the stride, or nothing is left of
    /// the output.
    pub fn output_shape(&self, input: ImageShape) -> Result<ImageShape, NnError> {
        let full = self.full_shape(input)?;
        let [top, left] = self.padding;
        if full.height <= 2 * top || full.width <= 2 * left {
            let got = format!("{:?} of [{}, {}]", self.padding, full.height, full.width);
            return Err(NnError::Config { field: "padding", expected: "less than half of the output", got });
        }
        Ok(ImageShape::new(self.channels, full.height - 2 * top, full.width - 2 * left))
    }

    /// The output before its border is cut off.
    fn full_shape(&self, input: ImageShape) -> Result<ImageShape, NnError> {
        check_sizes(&[
            ("channels", [self.channels; 2]),
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("padding", self.padding),
            ("output_padding", self.output_padding),
        ])?;
        let config = |field, expected, got| Err(NnError::Config { field, expected, got });
        if input.is_empty() || self.channels == 0 {
            let got = format!("{input} and {} channels", self.channels);
            return config("image shape and channels", "sizes of at least 1", got);
        }
        for (field, sizes) in [("kernel", self.kernel), ("stride", self.stride)] {
            if sizes.contains(&0) {
                return config(field, "sizes of at least 1", format!("{sizes:?}"));
            }
        }
        if self.output_padding.iter().zip(&self.stride).any(|(padding, stride)| padding >= stride) {
            let got = format!("{:?} with stride {:?}", self.output_padding, self.stride);
            return config("output_padding", "less than the stride", got);
        }
        let size = |axis: usize, input: usize| {
            (input - 1) * self.stride[axis] + self.kernel[axis] + self.output_padding[axis]
        };
        Ok(ImageShape::new(self.channels, size(0, input.height), size(1, input.width)))
    }
}

/// A transposed convolution with its activation.
///
/// Every input pixel adds `x[c] · weight[c]` to the patch of the output that begins at `stride` times its place.
///
/// # Shapes
/// `x`: `[B, C·H·W]`, `weight`: `[C, O, kernel height, kernel width]`, `bias`: `[O]`, `y`: `[B, O·H'·W']`.
///
/// # Source
/// `torch.nn.ConvTranspose2d` (PyTorch 2.9), with one group and without dilation.
#[derive(Debug, Clone)]
pub struct ConvTranspose2d {
    weight: ParamRange,
    bias: ParamRange,
    config: ConvTransposeConfig,
    activation: Activation,
    input: ImageShape,
    output: ImageShape,
    /// The output before its border is cut off.
    full: ImageShape,
    /// Patches of the full output, channels last.
    patches: Patches,
    runs: Vec<Run>,
}

impl ConvTranspose2d {
    /// Adds the layer's parameters `<name>.weight` and `<name>.bias` to a layout.
    ///
    /// The bias starts at zero, except with [`Init::KaimingUniform`], where it starts as PyTorch's.
    ///
    /// # Errors
    /// As [`ConvTransposeConfig::output_shape`].
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        input: ImageShape,
        config: ConvTransposeConfig,
        activation: Activation,
        init: Init,
    ) -> Result<Self, NnError> {
        let (output, full) = (config.output_shape(input)?, config.full_shape(input)?);
        let [height, width] = config.kernel;
        let bias_init = match init {
            Init::KaimingUniform { .. } => Init::UniformFanIn { fan_in: config.channels * height * width },
            _ => Init::Zeros,
        };
        let weight =
            builder.add(&format!("{name}.weight"), &[input.channels, config.channels, height, width], init);
        let bias = builder.add(&format!("{name}.bias"), &[config.channels], bias_init);
        let geometry = Geometry {
            count: [input.height, input.width],
            kernel: config.kernel,
            stride: config.stride,
            dilation: [1, 1],
        };
        let patches = Patches::channels_last(geometry, full, config.channels);
        Ok(Self { weight, bias, activation, input, output, full, runs: patches.runs(), patches, config })
    }

    /// The shape of the images it puts out.
    #[must_use]
    pub fn output_shape(&self) -> ImageShape {
        self.output
    }

    fn kernel_len(&self) -> usize {
        self.config.kernel[0] * self.config.kernel[1]
    }

    /// Calls `f` with the place of each line of the output in the full, channels-last image and in a channels-first
    /// plane.
    fn for_each_line(&self, mut f: impl FnMut(usize, usize)) {
        let [top, left] = self.config.padding;
        for line in 0..self.output.height {
            let full = ((line + top) * self.full.width + left) * self.config.channels;
            f(full, line * self.output.width);
        }
    }
}

impl Layer for ConvTranspose2d {
    fn inputs(&self) -> usize {
        self.input.len()
    }

    fn outputs(&self) -> usize {
        self.output.len()
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight, &self.bias]
    }

    /// The weights with the output channels last, the same transposed, and the bias.
    fn packed_len(&self) -> usize {
        aligned(self.weight.len())
            + aligned(packed_len(self.input.channels, self.patches.elements.len()))
            + aligned(self.config.channels)
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let elements = self.patches.elements.len();
        let (last, rest) = packed.split_at_mut(aligned(self.weight.len()));
        channels_last_weights(self.weight.of(params), self.config.channels, self.kernel_len(), last);
        let (transposed, bias) = rest.split_at_mut(aligned(packed_len(self.input.channels, elements)));
        pack_transposed(last, self.input.channels, elements, transposed);
        bias[..self.config.channels].copy_from_slice(self.bias.of(params));
    }

    fn kept_len(&self) -> usize {
        if self.activation.keeps_preactivation() { self.output.len() } else { 0 }
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, kept: &mut [f32], out: &mut [f32]) {
        let (pixels, elements) = (self.patches.positions.len(), self.patches.elements.len());
        let (channels, plane) = (self.config.channels, self.output.height * self.output.width);
        let bias = &weights.packed[self.packed_len() - aligned(channels)..][..channels];
        let mut scratch = Pooled::take(aligned(self.full.len()) + pixels * elements);
        let (full, patches) = scratch.split_at_mut(aligned(self.full.len()));
        for (image, out) in x.chunks_exact(self.inputs()).zip(out.chunks_exact_mut(self.outputs())) {
            let right = Right::rows(&weights.packed[..self.weight.len()], elements);
            let shape = (pixels, elements, self.input.channels);
            gemm_strided(shape, Left::transposed(image, pixels), right, Start::Zero, patches, elements);
            for pixel in full.chunks_exact_mut(channels) {
                pixel.copy_from_slice(bias);
            }
            scatter_add(&self.patches.positions, &self.runs, patches, full);
            self.for_each_line(|full_start, start| {
                let line = &full[full_start..full_start + self.output.width * channels];
                transpose_strided(line, self.output.width, channels, &mut out[start..], plane);
            });
        }
        if !kept.is_empty() {
            kept.copy_from_slice(out);
        }
        activate(self.activation, out);
    }

    /// The transposed gradient of the weight, and that of the bias for each pixel.
    fn gradient_scratch_len(&self) -> usize {
        aligned(self.weight.len()) + self.output.len()
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        mut dx: Option<&mut [f32]>,
    ) {
        let (pixels, elements) = (self.patches.positions.len(), self.patches.elements.len());
        let (inputs, channels) = (self.input.channels, self.config.channels);
        let plane = self.output.height * self.output.width;
        let kept = if self.activation.keeps_preactivation() { saved.kept } else { saved.out };
        let mut unwanted = Pooled::take(if gradient.is_some() { 0 } else { self.output.len() });
        let Sums { mut of_weight, of_bias, sink } = Sums::begin(gradient, self.weight.len(), &mut unwanted);
        differentiate(self.activation, self.output.len(), kept, delta, of_bias);
        // What the border cut off has no gradient: it stays zero.
        let mut full = Pooled::zeros(self.full.len());
        let mut pixels_last = Pooled::take(pixels * inputs);
        let transposed = &saved.weights.packed[aligned(self.weight.len())..];
        for (row, delta) in delta.chunks_exact(self.outputs()).enumerate() {
            self.for_each_line(|full_start, start| {
                for channel in 0..channels {
                    let line = &delta[channel * plane + start..][..self.output.width];
                    let to = full[full_start + channel..].iter_mut().step_by(channels);
                    to.zip(line).for_each(|(to, &from)| *to = from);
                }
            });
            let range = row * self.inputs()..(row + 1) * self.inputs();
            if let Some(of_weight) = &mut of_weight {
                transpose_into(&saved.x[range.clone()], inputs, pixels, false, &mut pixels_last);
                gemm_gathered(
                    (elements, inputs, pixels),
                    self.patches.transposed_of(&full),
                    Right::rows(&pixels_last, inputs),
                    Start::Accumulate,
                    of_weight,
                    inputs,
                );
            }
            if let Some(dx) = &mut dx {
                gemm_gathered(
                    (pixels, inputs, elements),
                    self.patches.of(&full),
                    Right::packed(transposed, elements),
                    Start::Zero,
                    &mut pixels_last,
                    inputs,
                );
                transpose_into(&pixels_last, pixels, inputs, false, &mut dx[range]);
            }
        }
        if let (Some((flat, fresh)), Some(of_weight)) = (sink, of_weight) {
            let kernel = self.kernel_len();
            for (index, weight) in self.weight.of_mut(flat).iter_mut().enumerate() {
                // [input, channel, kernel] from [kernel, channel, input].
                let (input, element) = (index / elements, index % elements);
                let sum = of_weight[(element % kernel * channels + element / kernel) * inputs + input];
                *weight = if fresh[0] { sum } else { *weight + sum };
            }
            put_bias(of_bias, plane, fresh[1], self.bias.of_mut(flat));
        }
    }

    fn describe(&self) -> LayerSummary {
        let ConvTransposeConfig { channels, kernel: [height, width], stride, padding, output_padding } =
            &self.config;
        let mut layer = format!("ConvTranspose2d({}, {channels}, {height}x{width}", self.input.channels);
        for (name, sizes, default) in
            [("stride", stride, 1), ("padding", padding, 0), ("output padding", output_padding, 0)]
        {
            if *sizes != [default; 2] {
                layer += &format!(", {name} {}x{}", sizes[0], sizes[1]);
            }
        }
        LayerSummary {
            layer: format!("{layer}, {})", self.activation),
            output_shape: <[usize; 3]>::from(self.output).to_vec(),
            parameters: self.weight.len() + self.bias.len(),
            flops: 2 * (self.weight.len() * self.patches.positions.len()) as u64,
        }
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl From<ConvTranspose2d> for Arc<dyn Layer> {
    fn from(layer: ConvTranspose2d) -> Self {
        Arc::new(layer)
    }
}
