//! Convolutions of 3 × 3 with fewer multiplications: as products of transformed tiles (Winograd).
//!
//! Images go through in groups: all tiles of a group are transformed, then each of a tile's values is one product of matrices
//! `[tiles, channels] · [channels, channels]`, then the products are transformed back. A pixel's value is a chain of
//! additions over the channels whatever the group, so rows do not influence each other.

use crate::image::ImageShape;
use crate::kernels::{
    Kernels, LANES, Left, Pooled, Right, Start, TileGrid, TileSize, Tiles, gemm, transform_delta,
    transform_gradient, transform_input, transform_output, transform_weight, transpose_into,
};

use super::ConvConfig;
use super::patches::channels_last_weights;

/// Values of a group's transformed tiles that should stay in the cache.
const GROUP: usize = 256 * 1024;

/// Tiles of a group that are worth reading all of the weights for, which may not stay there.
const TILES: usize = 256;

/// How a convolution is computed by tiles, forward and backward.
#[derive(Debug, Clone)]
pub(super) struct Winograd {
    forward: Pass,
    /// From the gradient of the output to that of the input.
    backward: Pass,
}

impl Winograd {
    /// If the convolution can be computed so, and gains by it.
    pub(super) fn new(input: ImageShape, output: ImageShape, config: &ConvConfig) -> Option<Self> {
        let ConvConfig { kernel, stride, padding, dilation, groups, .. } = config;
        let plain = (*kernel, *stride, *dilation, *groups) == ([3; 2], [1; 2], [1; 2], 1);
        let whole = input.channels.is_multiple_of(LANES) && output.channels.is_multiple_of(LANES);
        if !plain || !whole || padding.iter().any(|&padding| padding > 2) {
            return None;
        }
        let forward = Pass::new(input, output, *padding)?;
        // What is left of the kernel outside of the output at its border.
        let backward = Pass::new(output, input, padding.map(|padding| 2 - padding))?;
        Some(Self { forward, backward })
    }

    /// Rows that should go through at once.
    pub(super) fn rows(&self) -> usize {
        self.forward.rows()
    }

    /// Values of the transformed weights of both directions.
    pub(super) fn packed_len(&self) -> usize {
        self.forward.weights_len() + self.backward.weights_len()
    }

    /// Transforms weights `[O, C, 3, 3]`.
    pub(super) fn pack(&self, weight: &[f32], packed: &mut [f32]) {
        let [inputs, outputs] = [self.forward.input.channels, self.forward.output.channels];
        let (forward, backward) = packed.split_at_mut(self.forward.weights_len());
        let mut reordered = Pooled::take(weight.len());
        transpose_into(weight, outputs, inputs * 9, false, &mut reordered);
        transform_weight(self.forward.kernels(), &reordered, false, forward);
        channels_last_weights(weight, inputs, 9, &mut reordered);
        transform_weight(self.backward.kernels(), &reordered, true, backward);
    }

    /// `out` of rows `x`, both channels-first.
    pub(super) fn forward(&self, packed: &[f32], bias: &[f32], x: &[f32], out: &mut [f32]) {
        self.forward.run(&packed[..self.forward.weights_len()], Some(bias), x, out);
    }

    /// The gradient of the input from that of the output.
    pub(super) fn input_gradient(&self, packed: &[f32], delta: &[f32], dx: &mut [f32]) {
        self.backward.run(&packed[self.forward.weights_len()..], None, delta, dx);
    }

    /// Values of what [`Self::add_gradient`] adds to.
    pub(super) fn sums_len(&self) -> usize {
        self.forward.weights_len()
    }

    /// Adds the gradient of the transformed weights to `sums`.
    pub(super) fn add_gradient(&self, x: &[f32], delta: &[f32], sums: &mut [f32]) {
        let Pass { input, output, grid, .. } = &self.forward;
        let most = self.forward.rows().min(x.len() / input.len());
        let [in_tiles, out_tiles] = self.forward.tiles(most);
        let mut of_x = Pooled::take(grid.size.values() * in_tiles.stride);
        let mut of_delta = Pooled::take(grid.size.values() * out_tiles.stride);
        let mut images = Border::new(*input, self.forward.padding, grid.read());
        let mut deltas = Border::new(*output, [0; 2], grid.put());
        let groups = x.chunks(most * input.len()).zip(delta.chunks(most * output.len()));
        for (x, delta) in groups {
            let rows = x.chunks_exact(input.len()).zip(delta.chunks_exact(output.len()));
            for (row, (x, delta)) in rows.enumerate() {
                let first = row * grid.tiles();
                transform_input(*grid, images.of(x), &mut of_x, Tiles { first, ..in_tiles });
                transform_delta(*grid, deltas.of(delta), &mut of_delta, Tiles { first, ..out_tiles });
            }
            let tiles = x.len() / input.len() * grid.tiles();
            let shape = (input.channels, output.channels, tiles);
            let products = sums.chunks_exact_mut(self.forward.kernels().stride());
            let operands = of_x.chunks_exact(in_tiles.stride).zip(of_delta.chunks_exact(out_tiles.stride));
            for (sums, (x, delta)) in products.zip(operands) {
                let left = Left::transposed(x, input.channels);
                gemm(shape, left, Right::rows(delta, output.channels), Start::Accumulate, sums);
            }
        }
    }

    /// The gradient of the weights `[C · 9, O]` from `sums`.
    pub(super) fn of_weight(&self, sums: &[f32], of_weight: &mut [f32]) {
        transform_gradient(self.forward.kernels(), sums, of_weight);
    }
}

/// A convolution in one direction.
#[derive(Debug, Clone)]
struct Pass {
    input: ImageShape,
    output: ImageShape,
    padding: [usize; 2],
    grid: TileGrid,
}

impl Pass {
    /// With the size of tiles that needs the fewest multiplications; nothing if a plain product needs few more.
    fn new(input: ImageShape, output: ImageShape, padding: [usize; 2]) -> Option<Self> {
        let grid = |size: TileSize| {
            let count = [output.height, output.width].map(|pixels| pixels.div_ceil(size.outputs()));
            TileGrid { size, count }
        };
        let values = |grid: &TileGrid| grid.tiles() * grid.size.values();
        let best = TileSize::ALL.map(grid).into_iter().min_by_key(values)?;
        let plain = 9 * output.height * output.width;
        (4 * values(&best) <= 3 * plain).then_some(Self { input, output, padding, grid: best })
    }

    fn rows(&self) -> usize {
        let row = self.grid.tiles() * self.grid.size.values() * (self.input.channels + self.output.channels);
        (GROUP / row).max(TILES.div_ceil(self.grid.tiles())).clamp(1, 64)
    }

    fn kernels(&self) -> Kernels {
        Kernels { size: self.grid.size, rows: self.input.channels, columns: self.output.channels }
    }

    fn weights_len(&self) -> usize {
        self.kernels().len()
    }

    /// The transformed tiles of so many rows, of input and output.
    fn tiles(&self, rows: usize) -> [Tiles; 2] {
        // As for the weights, a little more than whole tiles.
        [self.input.channels, self.output.channels].map(|channels| {
            let stride = rows * self.grid.tiles() * channels + LANES;
            Tiles { channels, stride, first: 0 }
        })
    }

    fn run(&self, weights: &[f32], bias: Option<&[f32]>, x: &[f32], out: &mut [f32]) {
        let Self { input, output, padding, grid } = self;
        let most = self.rows().min(x.len() / input.len());
        let [in_tiles, out_tiles] = self.tiles(most);
        let mut of_x = Pooled::take(grid.size.values() * in_tiles.stride);
        let mut of_out = Pooled::take(grid.size.values() * out_tiles.stride);
        let mut images = Border::new(*input, *padding, grid.read());
        let mut last = Pooled::take(output.len());
        let size = [output.height, output.width];
        for (x, out) in x.chunks(most * input.len()).zip(out.chunks_mut(most * output.len())) {
            for (row, x) in x.chunks_exact(input.len()).enumerate() {
                let tiles = Tiles { first: row * grid.tiles(), ..in_tiles };
                transform_input(*grid, images.of(x), &mut of_x, tiles);
            }
            let shape = (x.len() / input.len() * grid.tiles(), output.channels, input.channels);
            let operands = of_x.chunks_exact(in_tiles.stride).zip(of_out.chunks_exact_mut(out_tiles.stride));
            let matrices = weights.chunks_exact(self.kernels().stride());
            for ((x, out), weight) in operands.zip(matrices) {
                let right = Right::rows(weight, output.channels);
                gemm(shape, Left::rows(x, input.channels), right, Start::Zero, out);
            }
            for (row, out) in out.chunks_exact_mut(output.len()).enumerate() {
                let tiles = Tiles { first: row * grid.tiles(), ..out_tiles };
                transform_output(*grid, &of_out, tiles, bias, &mut last, size);
                transpose_into(&last, output.height * output.width, output.channels, false, out);
            }
        }
    }
}

/// A channels-last image within a border of zeros.
struct Border {
    shape: ImageShape,
    padding: [usize; 2],
    width: usize,
    last: Pooled,
    image: Pooled,
}

impl Border {
    /// With so much padding above and on the left, and below and on the right what is left of a given height and width.
    fn new(shape: ImageShape, padding: [usize; 2], [height, width]: [usize; 2]) -> Self {
        let image = Pooled::zeros(height * width * shape.channels);
        Self { shape, padding, width, last: Pooled::take(shape.len()), image }
    }

    /// The channels-first image with its border.
    fn of(&mut self, image: &[f32]) -> &[f32] {
        let ImageShape { channels, width, height } = self.shape;
        transpose_into(image, channels, height * width, false, &mut self.last);
        let [top, left] = self.padding;
        let lines = self.image.chunks_exact_mut(self.width * channels).skip(top);
        for (from, to) in self.last.chunks_exact(width * channels).zip(lines) {
            to[left * channels..][..width * channels].copy_from_slice(from);
        }
        &self.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(input: ImageShape, config: &ConvConfig) -> Option<usize> {
        let output = config.output_shape(input).unwrap();
        Winograd::new(input, output, config).map(|tiles| tiles.forward.grid.size.outputs())
    }

    #[test]
    fn tiles_are_of_the_size_that_needs_the_fewest_products() {
        for (height, width, expected) in
            [(2, 10, 2), (6, 6, 3), (9, 9, 3), (6, 7, 4), (7, 7, 4), (8, 8, 4), (10, 10, 4), (19, 19, 4)]
        {
            let image = ImageShape::new(32, height, width);
            assert_eq!(
                tiles(image, &ConvConfig::new(64, 3).padding(1)),
                Some(expected),
                "{height} × {width}"
            );
        }
    }

    #[test]
    fn other_kernels_and_channels_beside_whole_vectors_are_products_of_patches() {
        let (image, config) = (ImageShape::new(32, 9, 9), ConvConfig::new(32, 3).padding(1));
        assert!(tiles(image, &config).is_some());
        for config in [
            ConvConfig::new(32, 5).padding(2),
            config.clone().stride(2),
            config.clone().dilation(2),
            config.clone().groups(2),
            ConvConfig::new(33, 3).padding(1),
        ] {
            assert_eq!(tiles(image, &config), None, "{config:?}");
        }
        assert_eq!(tiles(ImageShape::new(4, 9, 9), &config), None);
        // One pixel takes nine products, and the smallest tile sixteen.
        assert_eq!(tiles(ImageShape::new(32, 3, 3), &ConvConfig::new(32, 3)), None);
    }
}
