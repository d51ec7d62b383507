//! The shape of images, as rows of a matrix.

use std::fmt;
use std::sync::Arc;

use agon_policy::Operation;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::kernels::transpose_into;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights};
use crate::operation::sizes;
use crate::params::Layout;

/// Channels, height and width of an image; a row of a matrix holds it in this order, as PyTorch's `[C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[usize; 3]", into = "[usize; 3]")]
pub struct ImageShape {
    /// Number of channels.
    pub channels: usize,
    /// Number of lines.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

impl ImageShape {
    /// `[channels, height, width]`.
    #[must_use]
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// The number of values of an image.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Refuses sizes of windows whose sums and products could overflow.
pub(crate) fn check_sizes(sizes: &[(&'static str, [usize; 2])]) -> Result<(), NnError> {
    const LARGEST: usize = 1 << 16;
    match sizes.iter().find(|(_, sizes)| sizes.iter().any(|&size| size > LARGEST)) {
        None => Ok(()),
        Some((field, sizes)) => {
            Err(NnError::Config { field, expected: "sizes of at most 65536", got: format!("{sizes:?}") })
        }
    }
}

impl From<[usize; 3]> for ImageShape {
    fn from([channels, height, width]: [usize; 3]) -> Self {
        Self { channels, height, width }
    }
}

impl From<ImageShape> for [usize; 3] {
    fn from(shape: ImageShape) -> Self {
        [shape.channels, shape.height, shape.width]
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}, {}]", self.channels, self.height, self.width)
    }
}

/// Brings images from channels-last, as most simulators draw them, to channels-first, as convolutions read them.
///
/// # Shapes
/// `[B, H·W·C]` to `[B, C·H·W]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelsFirst {
    shape: ImageShape,
}

impl ChannelsFirst {
    /// For images of that shape.
    #[must_use]
    pub fn new(shape: ImageShape) -> Self {
        Self { shape }
    }

    fn plane(&self) -> usize {
        self.shape.height * self.shape.width
    }
}

impl Layer for ChannelsFirst {
    fn inputs(&self) -> usize {
        self.shape.len()
    }

    fn outputs(&self) -> usize {
        self.shape.len()
    }

    fn forward(&self, _: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        for (x, out) in x.chunks_exact(self.shape.len()).zip(out.chunks_exact_mut(self.shape.len())) {
            transpose_into(x, self.plane(), self.shape.channels, false, out);
        }
    }

    fn backward(&self, _: &Saved<'_>, delta: &mut [f32], _: Option<Gradient<'_>>, dx: Option<&mut [f32]>) {
        let Some(dx) = dx else { return };
        for (delta, dx) in delta.chunks_exact(self.shape.len()).zip(dx.chunks_exact_mut(self.shape.len())) {
            transpose_into(delta, self.shape.channels, self.plane(), false, dx);
        }
    }

    fn operations(&self, _: &Layout) -> Vec<Operation> {
        vec![Operation::ChannelsFirst { output: sizes(self.shape) }]
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: "ChannelsFirst".to_owned(),
            output_shape: <[usize; 3]>::from(self.shape).to_vec(),
            parameters: 0,
            flops: 0,
        }
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl From<ChannelsFirst> for Arc<dyn Layer> {
    fn from(layer: ChannelsFirst) -> Self {
        Arc::new(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{ConvConfig, ConvTransposeConfig};
    use crate::pool::PoolConfig;

    #[test]
    fn windows_of_absurd_sizes_are_refused_and_not_computed_with() {
        let image = ImageShape::new(3, 8, 8);
        let conv = |config: ConvConfig| config.output_shape(image).unwrap_err().to_string();
        assert!(
            conv(ConvConfig::new(4, 3).padding(usize::MAX))
                .starts_with("padding must be sizes of at most 65536")
        );
        assert!(conv(ConvConfig::new(4, usize::MAX)).starts_with("kernel must be"));
        assert!(conv(ConvConfig::new(usize::MAX, 3)).starts_with("channels must be"));
        assert!(conv(ConvConfig::new(4, 3).dilation(usize::MAX)).starts_with("dilation must be"));
        let transposed = ConvTransposeConfig::new(4, 3, usize::MAX).output_shape(image).unwrap_err();
        assert!(transposed.to_string().starts_with("stride must be"));
        let pool = PoolConfig::new(2, 2, usize::MAX).output_shape(image).unwrap_err();
        assert!(pool.to_string().starts_with("padding must be"));
    }
}
