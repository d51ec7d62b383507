//! Two-dimensional convolution.

use std::sync::Arc;

use agon_policy::Operation;

use super::patches::{Geometry, Patches, channels_last_weights};
use super::winograd::Winograd;
use super::{ConvConfig, Sums, put_bias};
use crate::error::NnError;
use crate::image::ImageShape;
use crate::init::Init;
use crate::kernels::{
    Incidence, Left, PANEL, Pixel, Pooled, Right, Run, SparsePixels, Start, activate, differentiate,
    gemm_gathered, gemm_strided, pack_transposed, packed_len, patches_times, scatter_add, transpose_into,
    transpose_strided, transposed_patches_times,
};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::linear::Activation;
use crate::operation::{self, name_of, sizes};
use crate::params::{Layout, LayoutBuilder, ParamRange};

/// A convolution with its activation:
/// `y[o, i, j] = activation(bias[o] + Σ weight[o, c, u, v] · x[c, i·stride + u·dilation − padding, …])`.
///
/// # Shapes
/// `x`: `[B, C·H·W]`, `weight`: `[O, C / groups, kernel height, kernel width]`, `bias`: `[O]`, `y`: `[B, O·H'·W']`.
///
/// # Source
/// `torch.nn.Conv2d` (PyTorch 2.9).
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: ParamRange,
    bias: ParamRange,
    config: ConvConfig,
    activation: Activation,
    input: ImageShape,
    output: ImageShape,
    /// The input with its border of zeros.
    padded: ImageShape,
    /// Of one group.
    gather: Patches,
    /// Where patches go in a channels-last image, of one group.
    scatter: Patches,
    runs: Vec<Run>,
    method: Method,
}

/// How products are computed.
#[derive(Debug, Clone)]
enum Method {
    /// Of the patches, gathered where they lie.
    Gathered,
    /// So, or of an image that is mostly zero pixel by pixel: of layers that are small enough to gain by it.
    Sparse(Arc<Incidence>),
    /// Of transformed tiles.
    Winograd(Winograd),
}

impl Method {
    /// Of images of which most is not zero.
    fn dense(input: ImageShape, output: ImageShape, config: &ConvConfig) -> Self {
        Winograd::new(input, output, config).map_or(Self::Gathered, Self::Winograd)
    }
}

/// Patches that go through one product when the gradient of the input is computed.
const PATCHES: usize = 24;

/// A pixel in this many may be other than zero for an image to count as sparse: an addition to memory costs about
/// twice as much as one in a register.
const SPARSE: usize = 4;

/// Elements of all patches up to which a table of them stays in the cache.
const MOST_PLACES: usize = 1 << 14;

impl Conv2d {
    /// Adds the layer's parameters `<name>.weight` and `<name>.bias` to a layout.
    ///
    /// The bias starts at zero, except with [`Init::KaimingUniform`], where it starts as PyTorch's.
    ///
    /// # Errors
    /// As [`ConvConfig::output_shape`].
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        input: ImageShape,
        config: ConvConfig,
        activation: Activation,
        init: Init,
    ) -> Result<Self, NnError> {
        let output = config.output_shape(input)?;
        let channels = input.channels / config.groups;
        let [height, width] = config.kernel;
        let bias_init = match init {
            Init::KaimingUniform { .. } => Init::UniformFanIn { fan_in: channels * height * width },
            _ => Init::Zeros,
        };
        let shape = [config.channels, channels, height, width];
        let weight = builder.add(&format!("{name}.weight"), &shape, init);
        let bias = builder.add(&format!("{name}.bias"), &[config.channels], bias_init);
        let padded = ImageShape::new(
            input.channels,
            input.height + 2 * config.padding[0],
            input.width + 2 * config.padding[1],
        );
        let geometry = Geometry {
            count: [output.height, output.width],
            kernel: config.kernel,
            stride: config.stride,
            dilation: config.dilation,
        };
        let scatter = Patches::channels_last(geometry, padded, channels);
        let gather = Patches::channels_first(geometry, padded, channels);
        let places = gather.positions.len() * gather.elements.len();
        let gains = config.groups == 1 && config.channels <= PANEL && places <= MOST_PLACES;
        let method = if gains {
            Method::Sparse(Arc::new(Incidence::new(padded.len(), &gather.positions, &gather.elements)))
        } else {
            Method::dense(input, output, &config)
        };
        Ok(Self {
            method,
            weight,
            bias,
            activation,
            input,
            output,
            padded,
            gather,
            runs: scatter.runs(),
            scatter,
            config,
        })
    }

    /// For images of which most is not zero, as between the layers of a tower: they are not looked through for what is.
    #[must_use]
    pub fn dense(mut self) -> Self {
        if let Method::Sparse(_) = self.method {
            self.method = Method::dense(self.input, self.output, &self.config);
        }
        self
    }

    /// The shape of the images it puts out.
    #[must_use]
    pub fn output_shape(&self) -> ImageShape {
        self.output
    }

    /// Output channels of a group.
    fn group_outputs(&self) -> usize {
        self.config.channels / self.config.groups
    }

    /// Number of patches of an image.
    fn positions(&self) -> usize {
        self.gather.positions.len()
    }

    /// Number of elements of a patch of one group.
    fn elements(&self) -> usize {
        self.gather.elements.len()
    }

    fn packed_group_len(&self) -> usize {
        aligned(packed_len(self.group_outputs(), self.elements()))
    }

    /// Of what is packed for the forward products, and with transformed tiles for the backward ones, too.
    fn packed_weights_len(&self) -> usize {
        match &self.method {
            Method::Winograd(tiles) => tiles.packed_len(),
            _ => self.config.groups * self.packed_group_len(),
        }
    }

    /// Values whose sums over the batch make the gradient of the weight.
    fn weight_sums_len(&self) -> usize {
        match &self.method {
            Method::Winograd(tiles) => tiles.sums_len(),
            _ => self.weight.len(),
        }
    }

    fn is_padded(&self) -> bool {
        self.config.padding != [0, 0]
    }

    /// The image with its border, in `scratch` if there is one.
    fn padded<'a>(&self, image: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        if !self.is_padded() {
            return image;
        }
        let [top, left] = self.config.padding;
        let (width, padded_width) = (self.input.width, self.padded.width);
        for (from, to) in image
            .chunks_exact(self.input.height * width)
            .zip(scratch.chunks_exact_mut(self.padded.height * padded_width))
        {
            for (from, to) in
                from.chunks_exact(width).zip(to[top * padded_width..].chunks_exact_mut(padded_width))
            {
                to[left..left + width].copy_from_slice(from);
            }
        }
        scratch
    }

    /// Working memory for the border, which stays zero.
    fn border(&self) -> Pooled {
        if self.is_padded() { Pooled::zeros(self.padded.len()) } else { Pooled::take(0) }
    }

    /// Working memory for the pixels of a sparse image.
    fn pixels(&self) -> SparsePixels {
        SparsePixels::new(if let Method::Sparse(_) = self.method { self.padded.len() / SPARSE } else { 0 })
    }

    /// The pixels of a padded image that are not zero, if they are few.
    fn sparse<'a>(&self, image: &[f32], list: &'a mut SparsePixels) -> Option<(&Incidence, &'a [Pixel])> {
        let Method::Sparse(incidence) = &self.method else { return None };
        Some((incidence, list.of(image)?))
    }

    /// The part of a channels-first padded image that a group reads.
    fn group_image<'a>(&self, image: &'a [f32], group: usize) -> &'a [f32] {
        &image[group * self.padded.len() / self.config.groups..]
    }

    /// The output, but for the activation, as products of patches.
    fn multiply_patches(&self, packed: &[f32], bias: &[f32], x: &[f32], out: &mut [f32]) {
        let (positions, elements, outputs) = (self.positions(), self.elements(), self.group_outputs());
        let channels = self.config.channels;
        let mut border = self.border();
        let mut pixels = self.pixels();
        let mut last = Pooled::take(positions * channels);
        for (image, out) in x.chunks_exact(self.inputs()).zip(out.chunks_exact_mut(self.outputs())) {
            let image = self.padded(image, &mut border);
            if let Some((incidence, pixels)) = self.sparse(image, &mut pixels) {
                last.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(bias));
                patches_times(incidence, pixels, (packed, PANEL), &mut last, channels);
            } else {
                for group in 0..self.config.groups {
                    gemm_gathered(
                        (positions, outputs, elements),
                        self.gather.of(self.group_image(image, group)),
                        Right::packed(&packed[group * self.packed_group_len()..], elements),
                        Start::Bias(&bias[group * outputs..]),
                        &mut last[group * outputs..],
                        channels,
                    );
                }
            }
            transpose_into(&last, positions, channels, false, out);
        }
    }

    /// The gradients of the weight, which is added to what is there, and of the input. `weights` are channels-last.
    fn multiply_patches_backward(
        &self,
        x: &[f32],
        delta: &[f32],
        weights: &[f32],
        mut of_weight: Option<&mut [f32]>,
        mut dx: Option<&mut [f32]>,
    ) {
        let (positions, elements, outputs) = (self.positions(), self.elements(), self.group_outputs());
        let channels = self.config.channels;
        let mut border = self.border();
        let mut pixels = self.pixels();
        let mut last = Pooled::take(if of_weight.is_some() { positions * channels } else { 0 });
        let patches = aligned(self.padded.len()) + PATCHES * elements;
        let mut scratch = Pooled::take(if dx.is_some() { patches } else { 0 });
        for (row, delta) in delta.chunks_exact(self.outputs()).enumerate() {
            let range = row * self.inputs()..(row + 1) * self.inputs();
            if let Some(of_weight) = &mut of_weight {
                let image = self.padded(&x[range.clone()], &mut border);
                transpose_into(delta, channels, positions, false, &mut last);
                if let Some((incidence, pixels)) = self.sparse(image, &mut pixels) {
                    transposed_patches_times(incidence, pixels, &last, of_weight, channels);
                } else {
                    for group in 0..self.config.groups {
                        let right = Right::rows(&last[group * outputs..], channels);
                        gemm_gathered(
                            (elements, outputs, positions),
                            self.gather.transposed_of(self.group_image(image, group)),
                            right,
                            Start::Accumulate,
                            &mut of_weight[group * outputs * elements..],
                            outputs,
                        );
                    }
                }
            }
            if let Some(dx) = &mut dx {
                self.input_gradient(weights, delta, &mut scratch, &mut dx[range]);
            }
        }
    }

    /// Writes or adds the gradient of the weight from what was summed up.
    fn put_weight_gradient(&self, sums: &[f32], fresh: bool, gradient: &mut [f32]) {
        let (elements, outputs) = (self.elements(), self.group_outputs());
        let tiles = if let Method::Winograd(tiles) = &self.method { Some(tiles) } else { None };
        let mut of_weight = Pooled::take(if tiles.is_some() { self.weight.len() } else { 0 });
        let sums = tiles.map_or(sums, |tiles| {
            tiles.of_weight(sums, &mut of_weight);
            &of_weight
        });
        let groups = sums.chunks_exact(outputs * elements).zip(gradient.chunks_exact_mut(outputs * elements));
        for (sums, gradient) in groups {
            transpose_into(sums, elements, outputs, !fresh, gradient);
        }
    }

    /// The gradient of one image's input from the gradient of its output, both channels-first.
    fn input_gradient(&self, weights: &[f32], delta: &[f32], scratch: &mut [f32], dx: &mut [f32]) {
        let (positions, elements, outputs) = (self.positions(), self.elements(), self.group_outputs());
        let (image, patches) = scratch.split_at_mut(aligned(self.padded.len()));
        let image = &mut image[..self.padded.len()];
        image.fill(0.0);
        for group in 0..self.config.groups {
            let delta = &delta[group * outputs * positions..(group + 1) * outputs * positions];
            let weight = &weights[group * outputs * elements..(group + 1) * outputs * elements];
            let first_channel = group * self.input.channels / self.config.groups;
            for first in (0..positions).step_by(PATCHES) {
                let count = PATCHES.min(positions - first);
                let left = Left::transposed(&delta[first..], positions);
                let shape = (count, elements, outputs);
                let target = &mut patches[..count * elements];
                gemm_strided(shape, left, Right::rows(weight, elements), Start::Zero, target, elements);
                let places = &self.scatter.positions[first..first + count];
                scatter_add(places, &self.runs, target, &mut image[first_channel..]);
            }
        }
        let (width, channels) = (self.input.width, self.input.channels);
        let plane = self.input.height * width;
        if !self.is_padded() {
            return transpose_into(image, plane, channels, false, dx);
        }
        let [top, left] = self.config.padding;
        for line in 0..self.input.height {
            let from = &image[((line + top) * self.padded.width + left) * channels..][..width * channels];
            transpose_strided(from, width, channels, &mut dx[line * width..], plane);
        }
    }
}

impl Layer for Conv2d {
    fn inputs(&self) -> usize {
        self.input.len()
    }

    fn outputs(&self) -> usize {
        self.output.len()
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight, &self.bias]
    }

    /// The weights as forward products read them, the bias, and the weights with the channels last, if they are not transformed.
    fn packed_len(&self) -> usize {
        let last = if let Method::Winograd(_) = self.method { 0 } else { aligned(self.weight.len()) };
        self.packed_weights_len() + aligned(self.config.channels) + last
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let weight = self.weight.of(params);
        let (weights, rest) = packed.split_at_mut(self.packed_weights_len());
        let (bias, last) = rest.split_at_mut(aligned(self.config.channels));
        bias[..self.config.channels].copy_from_slice(self.bias.of(params));
        if let Method::Winograd(tiles) = &self.method {
            return tiles.pack(weight, weights);
        }
        let (outputs, elements) = (self.group_outputs(), self.elements());
        for (weight, packed) in
            weight.chunks_exact(outputs * elements).zip(weights.chunks_exact_mut(self.packed_group_len()))
        {
            pack_transposed(weight, outputs, elements, packed);
        }
        let [height, width] = self.config.kernel;
        channels_last_weights(weight, self.input.channels / self.config.groups, height * width, last);
    }

    fn kept_len(&self) -> usize {
        if self.activation.keeps_preactivation() { self.output.len() } else { 0 }
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, kept: &mut [f32], out: &mut [f32]) {
        let (packed, rest) = weights.packed.split_at(self.packed_weights_len());
        let bias = &rest[..self.config.channels];
        match &self.method {
            Method::Winograd(tiles) => tiles.forward(packed, bias, x, out),
            _ => self.multiply_patches(packed, bias, x, out),
        }
        if !kept.is_empty() {
            kept.copy_from_slice(out);
        }
        activate(self.activation, out);
    }

    fn rows_at_once(&self) -> usize {
        if let Method::Winograd(tiles) = &self.method { tiles.rows() } else { 1 }
    }

    /// The gradient of the weight in the order in which it is summed up, and that of the bias for each pixel.
    fn gradient_scratch_len(&self) -> usize {
        aligned(self.weight_sums_len()) + self.output.len()
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        mut dx: Option<&mut [f32]>,
    ) {
        let kept = if self.activation.keeps_preactivation() { saved.kept } else { saved.out };
        let mut unwanted = Pooled::take(if gradient.is_some() { 0 } else { self.output.len() });
        let Sums { mut of_weight, of_bias, sink } =
            Sums::begin(gradient, self.weight_sums_len(), &mut unwanted);
        differentiate(self.activation, self.output.len(), kept, delta, of_bias);
        let (weights, rest) = saved.weights.packed.split_at(self.packed_weights_len());
        if let Method::Winograd(tiles) = &self.method {
            if let Some(of_weight) = &mut of_weight {
                tiles.add_gradient(saved.x, delta, &mut of_weight[..tiles.sums_len()]);
            }
            if let Some(dx) = &mut dx {
                tiles.input_gradient(weights, delta, dx);
            }
        } else {
            let last = &rest[aligned(self.config.channels)..][..self.weight.len()];
            self.multiply_patches_backward(saved.x, delta, last, of_weight.as_deref_mut(), dx);
        }
        if let (Some((flat, fresh)), Some(of_weight)) = (sink, of_weight) {
            self.put_weight_gradient(of_weight, fresh[0], self.weight.of_mut(flat));
            put_bias(of_bias, self.positions(), fresh[1], self.bias.of_mut(flat));
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let ConvConfig { channels: _, kernel, stride, padding, dilation, groups } = self.config;
        let conv = Operation::Conv2d {
            weight: name_of(layout, &self.weight),
            bias: name_of(layout, &self.bias),
            input: sizes(self.input),
            output: sizes(self.output),
            kernel,
            stride,
            padding,
            dilation,
            groups,
        };
        std::iter::once(conv).chain(operation::activation(self.activation)).collect()
    }

    fn describe(&self) -> LayerSummary {
        let ConvConfig { channels, kernel: [height, width], stride, padding, dilation, groups } =
            &self.config;
        let mut layer = format!("Conv2d({}, {channels}, {height}x{width}", self.input.channels);
        for (name, sizes, default) in
            [("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)]
        {
            if *sizes != [default; 2] {
                layer += &format!(", {name} {}x{}", sizes[0], sizes[1]);
            }
        }
        if *groups > 1 {
            layer += &format!(", {groups} groups");
        }
        LayerSummary {
            layer: format!("{layer}, {})", self.activation),
            output_shape: <[usize; 3]>::from(self.output).to_vec(),
            parameters: self.weight.len() + self.bias.len(),
            flops: 2 * (self.weight.len() * self.positions()) as u64,
        }
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl From<Conv2d> for Arc<dyn Layer> {
    fn from(layer: Conv2d) -> Self {
        Arc::new(layer)
    }
}
