//! Maximum and average over windows of images.

use std::sync::Arc;

use agon_policy::Operation;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::image::{ImageShape, check_sizes};
use crate::kernels::Pooled;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights};
use crate::operation::sizes;
use crate::params::Layout;

/// The windows of a pooling layer, each size for height and width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// Border on both sides, at most half of the kernel: it never is a maximum, and counts as zeros in an average.
    #[serde(default)]
    pub padding: [usize; 2],
}

impl PoolConfig {
    /// Square windows.
    #[must_use]
    pub fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] }
    }

    /// The shape of the output: `⌊(size + 2·padding − kernel) / stride⌋ + 1` each way.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is zero, the padding is more than half of the kernel, or the kernel does not fit
    /// into the padded image.
    pub fn output_shape(&self, input: ImageShape) -> Result<ImageShape, NnError> {
        check_sizes(&[("kernel", self.kernel), ("stride", self.stride), ("padding", self.padding)])?;
        let config = |field, expected, got| Err(NnError::Config { field, expected, got });
        if input.is_empty() {
            return config("image shape", "sizes of at least 1", input.to_string());
        }
        let mut sizes = [0; 2];
        for (axis, (size, input)) in sizes.iter_mut().zip([input.height, input.width]).enumerate() {
            let (kernel, stride, padding) = (self.kernel[axis], self.stride[axis], self.padding[axis]);
            if kernel == 0 || stride == 0 {
                return config("kernel and stride", "at least 1", format!("{kernel} and {stride}"));
            }
            if 2 * padding > kernel {
                return config("padding", "at most half of the kernel", format!("{padding} of {kernel}"));
            }
            if kernel > input + 2 * padding {
                let got = format!("{kernel} in {}", input + 2 * padding);
                return config("kernel", "no larger than the padded image", got);
            }
            *size = (input + 2 * padding - kernel) / stride + 1;
        }
        Ok(ImageShape::new(input.channels, sizes[0], sizes[1]))
    }
}

/// What a window is replaced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    Max,
    Average,
}

/// The maximum or the average of windows of each channel.
///
/// # Shapes
/// `[B, C·H·W]` to `[B, C·H'·W']`.
///
/// # Source
/// `torch.nn.MaxPool2d`, `torch.nn.AvgPool2d` (PyTorch 2.9). The gradient of a maximum goes to the window's first one.
#[derive(Debug, Clone)]
#[doc(alias = "MaxPool2d", alias = "AvgPool2d")]
pub struct Pool2d {
    reduction: Reduction,
    config: PoolConfig,
    input: ImageShape,
    output: ImageShape,
}

impl Pool2d {
    /// The maximum of each window; NaN if there is one.
    ///
    /// # Errors
    /// As [`PoolConfig::output_shape`].
    pub fn max(input: ImageShape, config: PoolConfig) -> Result<Self, NnError> {
        let output = config.output_shape(input)?;
        Ok(Self { reduction: Reduction::Max, config, input, output })
    }

    /// The average of each window.
    ///
    /// # Errors
    /// As [`PoolConfig::output_shape`].
    pub fn average(input: ImageShape, config: PoolConfig) -> Result<Self, NnError> {
        Ok(Self { reduction: Reduction::Average, ..Self::max(input, config)? })
    }

    /// The shape of the images it puts out.
    #[must_use]
    pub fn output_shape(&self) -> ImageShape {
        self.output
    }

    /// The part of a window that lies inside the image, along one axis.
    fn window(&self, axis: usize, index: usize, size: usize) -> std::ops::Range<usize> {
        let start = index * self.config.stride[axis];
        let padding = self.config.padding[axis];
        start.saturating_sub(padding)..(start + self.config.kernel[axis] - padding).min(size)
    }

    /// One over the number of values of a window, its border included.
    fn share(&self) -> f32 {
        1.0 / (self.config.kernel[0] * self.config.kernel[1]) as f32
    }

    /// All planes of the input with those of the output.
    fn planes<'a>(
        &self,
        x: &'a [f32],
        out: &'a mut [f32],
    ) -> impl Iterator<Item = (&'a [f32], &'a mut [f32])> {
        let (plane, out_plane) =
            (self.input.height * self.input.width, self.output.height * self.output.width);
        x.chunks_exact(plane).zip(out.chunks_exact_mut(out_plane))
    }
}

/// The greater of two values; NaN if one of them is.
fn greater(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// Lines first, then columns: the first pass runs along whole lines.
fn reduce(pool: &Pool2d, x: &[f32], out: &mut [f32], start: f32, join: impl Fn(f32, f32) -> f32) {
    let width = pool.input.width;
    let mut line = Pooled::take(width);
    for (x, out) in pool.planes(x, out) {
        for (index, out) in out.chunks_exact_mut(pool.output.width).enumerate() {
            line.fill(start);
            for y in pool.window(0, index, pool.input.height) {
                for (sum, &x) in line.iter_mut().zip(&x[y * width..(y + 1) * width]) {
                    *sum = join(*sum, x);
                }
            }
            for (index, out) in out.iter_mut().enumerate() {
                *out = line[pool.window(1, index, width)].iter().fold(start, |sum, &x| join(sum, x));
            }
        }
    }
}

impl Layer for Pool2d {
    fn inputs(&self) -> usize {
        self.input.len()
    }

    fn outputs(&self) -> usize {
        self.output.len()
    }

    fn forward(&self, _: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        match self.reduction {
            Reduction::Max => reduce(self, x, out, f32::NEG_INFINITY, greater),
            Reduction::Average => {
                reduce(self, x, out, 0.0, |sum, x| sum + x);
                let share = self.share();
                out.iter_mut().for_each(|sum| *sum *= share);
            }
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
        dx.fill(0.0);
        let (width, share) = (self.input.width, self.share());
        let (plane, out_plane) = (self.input.height * width, self.output.height * self.output.width);
        let planes = dx.chunks_exact_mut(plane).zip(saved.x.chunks_exact(plane));
        let deltas = delta.chunks_exact(out_plane).zip(saved.out.chunks_exact(out_plane));
        for ((dx, x), (delta, out)) in planes.zip(deltas) {
            for (index, (&delta, &out)) in delta.iter().zip(out).enumerate() {
                let lines = self.window(0, index / self.output.width, self.input.height);
                let columns = self.window(1, index % self.output.width, width);
                let mut pixels = lines.flat_map(|y| columns.clone().map(move |x| y * width + x));
                match self.reduction {
                    Reduction::Average => pixels.for_each(|pixel| dx[pixel] += share * delta),
                    Reduction::Max => {
                        // Nothing equals a NaN, which then gets no gradient; the output says that it is there.
                        if let Some(pixel) = pixels.find(|&pixel| x[pixel] == out) {
                            dx[pixel] += delta;
                        }
                    }
                }
            }
        }
    }

    fn operations(&self, _: &Layout) -> Vec<Operation> {
        let PoolConfig { kernel, stride, padding } = self.config;
        let (input, output) = (sizes(self.input), sizes(self.output));
        let average = self.reduction != Reduction::Max;
        vec![Operation::Pool2d { average, input, output, kernel, stride, padding }]
    }

    fn describe(&self) -> LayerSummary {
        let name = if self.reduction == Reduction::Max { "MaxPool2d" } else { "AvgPool2d" };
        let PoolConfig { kernel, stride, padding } = &self.config;
        let border = if *padding == [0, 0] {
            String::new()
        } else {
            format!(", padding {}x{}", padding[0], padding[1])
        };
        LayerSummary {
            layer: format!("{name}({}x{}, stride {}x{}{border})", kernel[0], kernel[1], stride[0], stride[1]),
            output_shape: <[usize; 3]>::from(self.output).to_vec(),
            parameters: 0,
            flops: 0,
        }
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl From<Pool2d> for Arc<dyn Layer> {
    fn from(layer: Pool2d) -> Self {
        Arc::new(layer)
    }
}
