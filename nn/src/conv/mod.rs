//! Convolutions over images.
//!
//! A convolution is a product of the image's patches with the weight. The patches are never written out: the product
//! gathers their elements where they lie, by two small tables of offsets. Its vectors run along the output channels,
//! so that any kernel, stride, dilation or image size fills them. Between layers images are channels-first, as in
//! PyTorch; inside, products work channels-last. An image of a small layer that is mostly zero, as planes of features
//! are, is walked pixel by pixel instead, with the same bits. Kernels of 3 × 3 between layers of many channels, as in residual
//! towers, are products of transformed tiles, which need half to a third of the multiplications.

mod conv2d;
mod patches;
mod transposed;
mod winograd;

pub use conv2d::Conv2d;
pub use transposed::{ConvTranspose2d, ConvTransposeConfig};

use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::image::{ImageShape, check_sizes};
use crate::layer::{Gradient, aligned};

/// A convolution's sizes, each for height and width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {
    /// Number of output channels, a multiple of `groups`.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Distance between neighbouring patches.
    #[serde(default = "ones")]
    pub stride: [usize; 2],
    /// Zeros on both sides of the image.
    #[serde(default)]
    pub padding: [usize; 2],
    /// Distance between the elements of a patch.
    #[serde(default = "ones")]
    pub dilation: [usize; 2],
    /// Groups of input channels that only feed their own group of output channels.
    #[serde(default = "one")]
    pub groups: usize,
}

fn one() -> usize {
    1
}

fn ones() -> [usize; 2] {
    [1, 1]
}

impl ConvConfig {
    /// A square kernel with stride one and without padding.
    #[must_use]
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self { channels, kernel: [kernel; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 }
    }

    /// With another stride.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// With padding.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], ..self }
    }

    /// With dilation.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation; 2], ..self }
    }

    /// With groups.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The shape of the output: `⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1` each way.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is zero, the groups do not divide the channels, or the kernel does not fit into
    /// the padded image.
    pub fn output_shape(&self, input: ImageShape) -> Result<ImageShape, NnError> {
        check_sizes(&[
            ("channels", [self.channels; 2]),
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("padding", self.padding),
            ("dilation", self.dilation),
        ])?;
        let config = |field, expected, got| Err(NnError::Config { field, expected, got });
        if input.is_empty() {
            return config("image shape", "sizes of at least 1", input.to_string());
        }
        if self.channels == 0 || self.groups == 0 {
            return config(
                "channels and groups",
                "at least 1",
                format!("{} and {}", self.channels, self.groups),
            );
        }
        for (field, sizes) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)]
        {
            if sizes.contains(&0) {
                return config(field, "sizes of at least 1", format!("{sizes:?}"));
            }
        }
        if !input.channels.is_multiple_of(self.groups) || !self.channels.is_multiple_of(self.groups) {
            let got = format!("{} for {} and {} channels", self.groups, input.channels, self.channels);
            return config("groups", "a divisor of input and output channels", got);
        }
        let mut sizes = [0; 2];
        for (axis, (size, input)) in sizes.iter_mut().zip([input.height, input.width]).enumerate() {
            let padded = input + 2 * self.padding[axis];
            let span = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            if span > padded {
                let got = format!("a span of {span} in {padded}");
                return config("kernel", "no larger than the padded image", got);
            }
            *size = (padded - span) / self.stride[axis] + 1;
        }
        Ok(ImageShape::new(self.channels, sizes[0], sizes[1]))
    }
}

/// Sums over the blocks of a batch that parameter gradients are made of.
struct Sums<'a> {
    /// Of the weight, in the layer's own order; nothing if no gradient is wanted.
    of_weight: Option<&'a mut [f32]>,
    /// Of the bias, for each pixel of the output.
    of_bias: &'a mut [f32],
    /// After the last block, the flat gradient, and which parameters it holds nothing of.
    sink: Option<(&'a mut [f32], &'a [bool])>,
}

impl<'a> Sums<'a> {
    /// `unwanted` takes the bias' sums if no gradient is wanted.
    fn begin(gradient: Option<Gradient<'a>>, weight_len: usize, unwanted: &'a mut [f32]) -> Self {
        let Some(Gradient { flat, scratch, fresh, first, last }) = gradient else {
            return Self { of_weight: None, of_bias: unwanted, sink: None };
        };
        if first {
            scratch.fill(0.0);
        }
        let (of_weight, of_bias) = scratch.split_at_mut(aligned(weight_len));
        Self { of_weight: Some(of_weight), of_bias, sink: last.then_some((flat, fresh)) }
    }
}

/// Adds up each channel's plane of pixels.
fn put_bias(pixels: &[f32], plane: usize, fresh: bool, bias: &mut [f32]) {
    for (bias, pixels) in bias.iter_mut().zip(pixels.chunks_exact(plane)) {
        let sum = pixels.iter().sum::<f32>();
        *bias = if fresh { sum } else { *bias + sum };
    }
}
