//! The transforms of minimal filtering (Winograd): an image's tile, a weight and a tile of the output, each as a polynomial's
//! values at a few points, where a convolution is a product.
//!
//! A tile of `m` by `m` outputs of a 3 × 3 kernel takes `(m + 2)²` multiplications for each pair of channels instead of `9 m²`:
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. Vectors run along the channels, so their number must be a multiple of [`LANES`].
//! Each table is made from its points at compile time, and the loops over it are unrolled: what is zero costs nothing.
//!
//! # Source
//! Lavin and Gray 2016 (arXiv:1509.09308) with the construction of Toom and Cook. The points are not theirs (0, ±1, ±2): with
//! those that are nearer to each other rounding errors are half as large, as Barabasz et al. 2020 (arXiv:1803.10986) observed.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, load, store};

/// Channels must be a multiple of it: the values of the longest vector.
pub(crate) const LANES: usize = 16;

/// Outputs of a tile each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileSize {
    Two,
    Three,
    Four,
}

impl TileSize {
    pub(crate) const ALL: [Self; 3] = [Self::Two, Self::Three, Self::Four];

    /// Pixels of the output that a tile covers each way.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// Pixels of the input that a tile reads each way.
    pub(crate) fn inputs(self) -> usize {
        self.outputs() + 2
    }

    /// Values of a transformed tile.
    pub(crate) fn values(self) -> usize {
        self.inputs() * self.inputs()
    }
}

/// Transformed tiles: value `v` of channel `c` of tile `t` lies at `v * stride + t * channels + c`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiles {
    pub(crate) channels: usize,
    pub(crate) stride: usize,
    /// The image's first tile.
    pub(crate) first: usize,
}

/// The tiles of an image, line by line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileGrid {
    pub(crate) size: TileSize,
    /// Down and across.
    pub(crate) count: [usize; 2],
}

impl TileGrid {
    pub(crate) fn tiles(self) -> usize {
        self.count[0] * self.count[1]
    }

    /// Height and width of the image that the tiles read, which overlap by two pixels.
    pub(crate) fn read(self) -> [usize; 2] {
        self.put().map(|size| size + 2)
    }

    /// Height and width of what the tiles put out.
    pub(crate) fn put(self) -> [usize; 2] {
        self.count.map(|count| count * self.size.outputs())
    }

    /// How transformed tiles lie, of which `len` values are there.
    fn transformed(self, tiles: Tiles, len: usize) -> Side {
        let Tiles { channels, stride, first } = tiles;
        let end = (first + self.tiles()) * channels;
        let whole = (self.size.values() - 1) * stride + end;
        assert!(end <= stride && whole <= len, "transformed tiles of {self:?} lie inside {len} values");
        Side {
            start: first * channels,
            down: self.count[1] * channels,
            across: channels,
            line: self.size.inputs() as isize * stride as isize,
            pixel: stride as isize,
        }
    }

    /// How the tiles of an image `[height, width, channels]` lie.
    fn plain(self, width: usize, channels: usize) -> Side {
        let (step, line) = (self.size.outputs(), width * channels);
        Side {
            start: 0,
            down: step * line,
            across: step * channels,
            line: line as isize,
            pixel: channels as isize,
        }
    }
}

/// `to = Bᵀ d B` for each tile `d` of an image `[height, width, channels]` of the size [`TileGrid::read`].
pub(crate) fn transform_input(grid: TileGrid, image: &[f32], to: &mut [f32], tiles: Tiles) {
    let [height, width] = grid.read();
    assert!(image.len() >= height * width * tiles.channels, "image holds [{height}, {width}, channels]");
    let sides = [grid.plain(width, tiles.channels), grid.transformed(tiles, to.len())];
    let work = Work::new(grid.count, tiles.channels, (image, to), sides);
    match grid.size {
        TileSize::Two => work.run::<Input<Two, 2>, 4, 4>(),
        TileSize::Three => work.run::<Input<Three, 3>, 5, 5>(),
        TileSize::Four => work.run::<Input<Four, 4>, 6, 6>(),
    }
}

/// `to = A d Aᵀ` for each tile `d` of the gradient of an output, `[height, width, channels]` of the size [`TileGrid::put`].
pub(crate) fn transform_delta(grid: TileGrid, delta: &[f32], to: &mut [f32], tiles: Tiles) {
    let [height, width] = grid.put();
    assert!(delta.len() >= height * width * tiles.channels, "delta holds [{height}, {width}, channels]");
    let sides = [grid.plain(width, tiles.channels), grid.transformed(tiles, to.len())];
    let work = Work::new(grid.count, tiles.channels, (delta, to), sides);
    match grid.size {
        TileSize::Two => work.run::<Delta<Two, 2>, 2, 4>(),
        TileSize::Three => work.run::<Delta<Three, 3>, 3, 5>(),
        TileSize::Four => work.run::<Delta<Four, 4>, 4, 6>(),
    }
}

/// `image = bias + Aᵀ m A` for each transformed tile `m`, `[height, width, channels]`; what tiles put out beyond the image is
/// left out. Without a bias it is zero.
pub(crate) fn transform_output(
    grid: TileGrid,
    from: &[f32],
    tiles: Tiles,
    bias: Option<&[f32]>,
    image: &mut [f32],
    [height, width]: [usize; 2],
) {
    let [most_height, most_width] = grid.put();
    let step = grid.size.outputs();
    let covered = |size, most| size <= most && size + step > most;
    let fits = covered(height, most_height) && covered(width, most_width);
    assert!(fits, "tiles end at [{most_height}, {most_width}], the image at [{height}, {width}]");
    assert!(image.len() >= height * width * tiles.channels, "image holds [{height}, {width}, channels]");
    assert!(bias.is_none_or(|bias| bias.len() >= tiles.channels), "bias holds [{}]", tiles.channels);
    let sides = [grid.transformed(tiles, from.len()), grid.plain(width, tiles.channels)];
    let work =
        Work { bias, size: [height, width], ..Work::new(grid.count, tiles.channels, (from, image), sides) };
    match grid.size {
        TileSize::Two => work.run::<Output<Two, 2>, 4, 2>(),
        TileSize::Three => work.run::<Output<Three, 3>, 5, 3>(),
        TileSize::Four => work.run::<Output<Four, 4>, 6, 4>(),
    }
}

/// Transformed weights: value `v` of the kernel in row `r` and column `c` lies at `v * stride + r * columns + c`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernels {
    pub(crate) size: TileSize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Kernels {
    /// A little more than a matrix: values at the distance of a power of two would share few places of the cache.
    pub(crate) fn stride(self) -> usize {
        self.rows * self.columns + LANES
    }

    /// Values of all.
    pub(crate) fn len(self) -> usize {
        self.size.values() * self.stride()
    }

    /// How transformed kernels lie, of which `len` values are there.
    fn transformed(self, len: usize) -> Side {
        assert!(len >= self.len(), "transformed weights hold {self:?}");
        let (line, pixel) = (self.size.inputs() * self.stride(), self.stride());
        Side { start: 0, down: self.columns, across: 0, line: line as isize, pixel: pixel as isize }
    }

    /// How kernels `[rows, 9, columns]` lie, of which `len` values are there.
    fn plain(self, len: usize) -> Side {
        assert!(len >= self.rows * 9 * self.columns, "weights hold {self:?}");
        let columns = self.columns as isize;
        Side { start: 0, down: 9 * self.columns, across: 0, line: 3 * columns, pixel: columns }
    }
}

/// `to[·, r, c] = G g Gᵀ` of the kernels `g = from[r, ·, c]`, `[rows, 9, columns]`, which may be turned by half a turn first.
pub(crate) fn transform_weight(kernels: Kernels, from: &[f32], turned: bool, to: &mut [f32]) {
    let plain = kernels.plain(from.len());
    let sides = [if turned { plain.turned() } else { plain }, kernels.transformed(to.len())];
    let work = Work::new([kernels.rows, 1], kernels.columns, (from, to), sides);
    match kernels.size {
        TileSize::Two => work.run::<Weight<Two, 2>, 3, 4>(),
        TileSize::Three => work.run::<Weight<Three, 3>, 3, 5>(),
        TileSize::Four => work.run::<Weight<Four, 4>, 3, 6>(),
    }
}

/// `to[r, ·, c] = Gᵀ u G`, `[rows, 9, columns]`: from the gradient of transformed weights that of the weights.
pub(crate) fn transform_gradient(kernels: Kernels, from: &[f32], to: &mut [f32]) {
    let sides = [kernels.transformed(from.len()), kernels.plain(to.len())];
    let work = Work::new([kernels.rows, 1], kernels.columns, (from, to), sides);
    match kernels.size {
        TileSize::Two => work.run::<Gradient<Two, 2>, 4, 3>(),
        TileSize::Three => work.run::<Gradient<Three, 3>, 5, 3>(),
        TileSize::Four => work.run::<Gradient<Four, 4>, 6, 3>(),
    }
}

/// Where squares of values lie: square `[i, j]` begins at `start + i * down + j * across`, and its value `[y, x]` is
/// `y * line + x * pixel` further on.
#[derive(Clone, Copy, Debug)]
struct Side {
    start: usize,
    down: usize,
    across: usize,
    line: isize,
    pixel: isize,
}

impl Side {
    /// Squares of 3 by 3 values, read from the last to the first.
    fn turned(self) -> Self {
        let start = self.start.strict_add_signed(2 * (self.line + self.pixel));
        Self { start, line: -self.line, pixel: -self.pixel, ..self }
    }
}

/// Squares of values, all transformed in the same way, for each channel by itself.
struct Work<'a> {
    /// Of squares, down and across.
    count: [usize; 2],
    channels: usize,
    from: &'a [f32],
    to: &'a mut [f32],
    /// Where they are read and written.
    sides: [Side; 2],
    /// Of each channel, added to what is written.
    bias: Option<&'a [f32]>,
    /// Height and width within which is written, counted from the first square.
    size: [usize; 2],
}

impl<'a> Work<'a> {
    fn new(
        count: [usize; 2],
        channels: usize,
        (from, to): (&'a [f32], &'a mut [f32]),
        sides: [Side; 2],
    ) -> Self {
        assert!(channels.is_multiple_of(LANES), "channels in whole vectors, got {channels}");
        Self { count, channels, from, to, sides, bias: None, size: [usize::MAX; 2] }
    }

    fn run<Q: Table<I, O>, const I: usize, const O: usize>(self) {
        dispatch(Transform::<Q, I, O> { work: self, table: PhantomData });
    }
}

/// A matrix from the points of a tile.
trait Table<const I: usize, const O: usize> {
    const TABLE: [[f32; I]; O];
}

/// The points of a tile of `M` outputs and `T` inputs each way.
trait Points<const M: usize, const T: usize> {
    /// All but the last point, which is infinity.
    const POINTS: &'static [f64];
}

struct Two;

impl Points<2, 4> for Two {
    const POINTS: &'static [f64] = &[0.0, 1.0, -1.0];
}

struct Three;

impl Points<3, 5> for Three {
    const POINTS: &'static [f64] = &[0.0, 0.5, -1.0, 2.0];
}

struct Four;

impl Points<4, 6> for Four {
    const POINTS: &'static [f64] = &[0.0, 0.75, -0.75, 1.5, -1.5];
}

/// `Bᵀ`.
struct Input<P, const M: usize>(PhantomData<P>);

impl<P: Points<M, T>, const M: usize, const T: usize> Table<T, T> for Input<P, M> {
    const TABLE: [[f32; T]; T] = input_table(P::POINTS);
}

/// `Aᵀ`.
struct Output<P, const M: usize>(PhantomData<P>);

impl<P: Points<M, T>, const M: usize, const T: usize> Table<T, M> for Output<P, M> {
    const TABLE: [[f32; T]; M] = transposed(&delta_table::<M, T>(P::POINTS));
}

/// `A`.
struct Delta<P, const M: usize>(PhantomData<P>);

impl<P: Points<M, T>, const M: usize, const T: usize> Table<M, T> for Delta<P, M> {
    const TABLE: [[f32; M]; T] = delta_table(P::POINTS);
}

/// `G`.
struct Weight<P, const M: usize>(PhantomData<P>);

impl<P: Points<M, T>, const M: usize, const T: usize> Table<3, T> for Weight<P, M> {
    const TABLE: [[f32; 3]; T] = weight_table(P::POINTS);
}

/// `Gᵀ`.
struct Gradient<P, const M: usize>(PhantomData<P>);

impl<P: Points<M, T>, const M: usize, const T: usize> Table<T, 3> for Gradient<P, M> {
    const TABLE: [[f32; T]; 3] = transposed(&weight_table::<T>(P::POINTS));
}

/// The coefficients of `Π (x − points[l])` over all `l` but `without`.
const fn product<const T: usize>(points: &[f64], without: usize) -> [f64; T] {
    let mut coefficients = [0.0; T];
    coefficients[0] = 1.0;
    let mut l = 0;
    while l < points.len() {
        if l != without {
            let mut power = T - 1;
            while power > 0 {
                coefficients[power] = coefficients[power - 1] - points[l] * coefficients[power];
                power -= 1;
            }
            coefficients[0] *= -points[l];
        }
        l += 1;
    }
    coefficients
}

const fn input_table<const T: usize>(points: &[f64]) -> [[f32; T]; T] {
    let mut table = [[0.0; T]; T];
    let mut row = 0;
    while row < T {
        // The row of infinity leaves out no point.
        let coefficients: [f64; T] = product(points, row);
        let mut column = 0;
        while column < T {
            table[row][column] = coefficients[column] as f32;
            column += 1;
        }
        row += 1;
    }
    table
}

/// The powers of each point, and of infinity the greatest.
const fn delta_table<const M: usize, const T: usize>(points: &[f64]) -> [[f32; M]; T] {
    let mut table = [[0.0; M]; T];
    let mut row = 0;
    while row < points.len() {
        let (mut column, mut power) = (0, 1.0);
        while column < M {
            table[row][column] = power as f32;
            power *= points[row];
            column += 1;
        }
        row += 1;
    }
    table[T - 1][M - 1] = 1.0;
    table
}

const fn transposed<const I: usize, const O: usize>(table: &[[f32; I]; O]) -> [[f32; O]; I] {
    let mut turned = [[0.0; O]; I];
    let mut row = 0;
    while row < O {
        let mut column = 0;
        while column < I {
            turned[column][row] = table[row][column];
            column += 1;
        }
        row += 1;
    }
    turned
}

/// Those of Lagrange's interpolation at each point, and of infinity the greatest.
const fn weight_table<const T: usize>(points: &[f64]) -> [[f32; 3]; T] {
    let mut table = [[0.0; 3]; T];
    let mut row = 0;
    while row < points.len() {
        let (mut divisor, mut l) = (1.0, 0);
        while l < points.len() {
            if l != row {
                divisor *= points[row] - points[l];
            }
            l += 1;
        }
        let (mut column, mut power) = (0, 1.0);
        while column < 3 {
            table[row][column] = (power / divisor) as f32;
            power *= points[row];
            column += 1;
        }
        row += 1;
    }
    table[T - 1][2] = 1.0;
    table
}

/// `sum + factor · x`, or `factor · x` without a sum.
#[inline(always)]
fn step<S: Simd>(simd: S, factor: f32, x: S::f32s, sum: Option<S::f32s>) -> Option<S::f32s> {
    match sum {
        _ if factor == 0.0 => sum,
        None if factor == 1.0 => Some(x),
        None => Some(simd.mul_f32s(simd.splat_f32s(factor), x)),
        Some(sum) if factor == 1.0 => Some(simd.add_f32s(sum, x)),
        Some(sum) if factor == -1.0 => Some(simd.sub_f32s(sum, x)),
        Some(sum) => Some(simd.mul_add_e_f32s(simd.splat_f32s(factor), x, sum)),
    }
}

/// `table · x`, with loops by index, which are unrolled whole, so that zeros cost nothing.
#[inline(always)]
fn times<S: Simd, const I: usize, const O: usize>(
    simd: S,
    table: &[[f32; I]; O],
    x: &[S::f32s; I],
) -> [S::f32s; O] {
    let mut out = [simd.splat_f32s(0.0); O];
    for o in 0..O {
        let mut sum = None;
        for i in 0..I {
            sum = step(simd, table[o][i], x[i], sum);
        }
        out[o] = sum.unwrap_or(out[o]);
    }
    out
}

/// What a table makes of each square: `table · x · tableᵀ`.
struct Transform<'a, Q, const I: usize, const O: usize> {
    work: Work<'a>,
    table: PhantomData<Q>,
}

impl<Q: Table<I, O>, const I: usize, const O: usize> WithSimd for Transform<'_, Q, I, O> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "as in `times`")]
    fn with_simd<S: Simd>(self, simd: S) {
        let Work { count: [down, across], channels, from, to, sides: [source, target], bias, size } =
            self.work;
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        for i in 0..down {
            for j in 0..across {
                let start = source.start + i * source.down + j * source.across;
                let goal = target.start + i * target.down + j * target.across;
                let lines = O.min(size[0] - i * O);
                let pixels = O.min(size[1] - j * O);
                for channel in (0..channels).step_by(S::F32_LANES) {
                    // SAFETY: the functions above have checked that the squares lie inside both slices, all channels, which
                    // are whole vectors, included.
                    unsafe {
                        let (from, to) = (from.add(start + channel), to.add(goal + channel));
                        let mut half = [[simd.splat_f32s(0.0); O]; I];
                        for x in 0..I {
                            let mut column = [simd.splat_f32s(0.0); I];
                            for y in 0..I {
                                let at = y as isize * source.line + x as isize * source.pixel;
                                column[y] = load::<S>(from.offset(at));
                            }
                            half[x] = times(simd, &Q::TABLE, &column);
                        }
                        let bias = bias.map(|bias| load::<S>(bias.as_ptr().add(channel)));
                        for y in 0..O {
                            let mut line = [simd.splat_f32s(0.0); I];
                            for x in 0..I {
                                line[x] = half[x][y];
                            }
                            let line = times(simd, &Q::TABLE, &line);
                            for x in 0..O {
                                if y < lines && x < pixels {
                                    let value = bias.map_or(line[x], |bias| simd.add_f32s(line[x], bias));
                                    let at = y as isize * target.line + x as isize * target.pixel;
                                    store::<S>(to.offset(at), value);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
