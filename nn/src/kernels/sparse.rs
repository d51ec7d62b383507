//! Products with an image that is mostly zero: planes of features, as grid worlds draw them.
//!
//! A convolution's patches overlap, so a pixel is an element of several of them. Where most pixels are zero it is
//! cheaper to go from each other pixel to the patches it belongs to than to walk all patches. The sums are the same,
//! bit for bit: every element of the product is one chain of multiply-adds in the order of the pixels either way, and
//! a multiply-add with a zero changes nothing.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, first_lanes, load, store};

/// A pixel that is not zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pixel {
    pub(crate) index: u32,
    pub(crate) value: f32,
}

/// Which element of which patch each pixel of an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incidence {
    /// Where the places of each pixel begin, and where those of the last one end.
    starts: Vec<u32>,
    places: Vec<Place>,
    /// Number of patches, and of elements of a patch.
    shape: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    patch: u32,
    element: u32,
}

impl Incidence {
    /// Of an image of `pixels` pixels, whose element `k` of patch `p` is the pixel `patches[p] + elements[k]`.
    pub(crate) fn new(pixels: usize, patches: &[u32], elements: &[u32]) -> Self {
        let pixel =
            |patch: u32, element: u32| (patches[patch as usize] + elements[element as usize]) as usize;
        let places = || {
            let elements = 0..elements.len() as u32;
            elements.flat_map(|element| (0..patches.len() as u32).map(move |patch| Place { patch, element }))
        };
        let mut starts = vec![0; pixels + 1];
        for place in places() {
            starts[pixel(place.patch, place.element) + 1] += 1;
        }
        for index in 0..pixels {
            starts[index + 1] += starts[index];
        }
        let mut next = starts.clone();
        let mut sorted = vec![Place { patch: 0, element: 0 }; patches.len() * elements.len()];
        for place in places() {
            let next = &mut next[pixel(place.patch, place.element)];
            sorted[*next as usize] = place;
            *next += 1;
        }
        Self { starts, places: sorted, shape: [patches.len(), elements.len()] }
    }

    /// The number of pixels of an image.
    fn pixels(&self) -> usize {
        self.starts.len() - 1
    }
}

/// Pixels that are looked at together.
const GROUP: usize = 16;

/// A list of the pixels of an image that are not zero.
pub(crate) struct SparsePixels {
    pixels: Vec<Pixel>,
    most: usize,
}

impl SparsePixels {
    /// For images with at most that many pixels other than zero.
    pub(crate) fn new(most: usize) -> Self {
        Self { pixels: vec![Pixel { index: 0, value: 0.0 }; most + GROUP], most }
    }

    /// The pixels that are not zero, in order; nothing if there are too many.
    pub(crate) fn of(&mut self, image: &[f32]) -> Option<&[Pixel]> {
        let mut count = 0;
        for (group, pixels) in image.chunks(GROUP).enumerate() {
            // Without their signs, so that both zeros are zero; no branches, so that it becomes vector code.
            if pixels.iter().fold(0, |bits, value| bits | value.to_bits() << 1) == 0 {
                continue;
            }
            for (offset, &value) in pixels.iter().enumerate() {
                self.pixels[count] = Pixel { index: (group * GROUP + offset) as u32, value };
                count += usize::from(value != 0.0);
            }
            if count > self.most {
                return None;
            }
        }
        Some(&self.pixels[..count])
    }
}

/// `c[patches, n] += image · right`, the image as its matrix `[patches, elements]`.
///
/// # Shapes
/// `right`: `[elements, n]` with `right_stride` between its rows, `c`: `[patches, n]`.
pub(crate) fn patches_times(
    incidence: &Incidence,
    image: &[Pixel],
    (right, right_stride): (&[f32], usize),
    c: &mut [f32],
    n: usize,
) {
    let [patches, elements] = incidence.shape;
    let operands = Operands { right, right_stride, right_rows: elements, c, c_rows: patches, n };
    run(incidence, image, operands, |place| [place.patch, place.element]);
}

/// `c[elements, n] += imageᵀ · right`, the image as its matrix `[patches, elements]`.
///
/// # Shapes
/// `right`: `[patches, n]`, `c`: `[elements, n]`.
pub(crate) fn transposed_patches_times(
    incidence: &Incidence,
    image: &[Pixel],
    right: &[f32],
    c: &mut [f32],
    n: usize,
) {
    let [patches, elements] = incidence.shape;
    let operands = Operands { right, right_stride: n, right_rows: patches, c, c_rows: elements, n };
    run(incidence, image, operands, |place| [place.element, place.patch]);
}

struct Operands<'a> {
    right: &'a [f32],
    right_stride: usize,
    right_rows: usize,
    c: &'a mut [f32],
    c_rows: usize,
    n: usize,
}

/// Checks the extents and adds up; `rows` says which row of `c` and which of `right` belong to a place.
fn run<F: Fn(Place) -> [u32; 2]>(incidence: &Incidence, image: &[Pixel], operands: Operands<'_>, rows: F) {
    let &Operands { right, right_stride, right_rows, ref c, c_rows, n } = &operands;
    if n == 0 || incidence.places.is_empty() {
        return;
    }
    assert!(image.iter().all(|pixel| (pixel.index as usize) < incidence.pixels()), "pixels of the image");
    assert!((right_rows - 1) * right_stride + n <= right.len(), "right holds [{right_rows}, {n}]");
    assert!(c_rows * n <= c.len(), "c holds [{c_rows}, {n}], got {}", c.len());
    dispatch(Product { incidence, image, operands, rows });
}

struct Product<'a, F> {
    incidence: &'a Incidence,
    image: &'a [Pixel],
    operands: Operands<'a>,
    rows: F,
}

impl<F: Fn(Place) -> [u32; 2]> WithSimd for Product<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The common widths get loops of a known length.
        match (self.operands.n / S::F32_LANES, self.operands.n % S::F32_LANES) {
            (1, 0) => self.add_up::<S, 1>(simd),
            (2, 0) => self.add_up::<S, 2>(simd),
            (4, 0) => self.add_up::<S, 4>(simd),
            _ => self.add_up::<S, 0>(simd),
        }
    }
}

impl<F: Fn(Place) -> [u32; 2]> Product<'_, F> {
    /// With rows of `N` vectors; 0 for any length.
    #[inline(always)]
    fn add_up<S: Simd, const N: usize>(self, simd: S) {
        let Operands { right, right_stride, c, n, .. } = self.operands;
        let full = if N > 0 { N } else { n / S::F32_LANES };
        let rest = if N > 0 { 0 } else { n % S::F32_LANES };
        for &Pixel { index, value } in self.image {
            let value = simd.splat_f32s(value);
            let range = self.incidence.starts[index as usize]..self.incidence.starts[index as usize + 1];
            for &place in &self.incidence.places[range.start as usize..range.end as usize] {
                let [to, from] = (self.rows)(place).map(|row| row as usize);
                // SAFETY: the rows of all places lie inside the operands (`run`).
                unsafe {
                    let (to, from) = (c.as_mut_ptr().add(to * n), right.as_ptr().add(from * right_stride));
                    for at in (0..full).map(|vector| vector * S::F32_LANES) {
                        let sum = simd.mul_add_e_f32s(value, load::<S>(from.add(at)), load::<S>(to.add(at)));
                        store::<S>(to.add(at), sum);
                    }
                    if rest > 0 {
                        let (at, mask) = (full * S::F32_LANES, first_lanes(simd, rest));
                        let right = simd.mask_load_ptr_f32s(mask, from.add(at));
                        let old = simd.mask_load_ptr_f32s(mask, to.add(at).cast_const());
                        simd.mask_store_ptr_f32s(mask, to.add(at), simd.mul_add_e_f32s(value, right, old));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gemm::{Gathered, Right, Start, gemm_gathered};
    use super::*;

    /// A 5×5 image of two channels under 3×3 patches, a quarter of whose pixels are not zero.
    fn image() -> (Vec<f32>, Vec<u32>, Vec<u32>) {
        let pixels = (0..50).map(|i| if i * 7 % 4 == 0 { (i as f32).sin() } else { 0.0 }).collect();
        let patches = (0..9).map(|p| p / 3 * 5 + p % 3).collect();
        let elements = (0..18).map(|k| k / 9 * 25 + k % 9 / 3 * 5 + k % 3).collect();
        (pixels, patches, elements)
    }

    #[test]
    fn sparse_products_have_the_bits_of_the_dense_ones() {
        let (pixels, patches, elements) = image();
        let incidence = Incidence::new(pixels.len(), &patches, &elements);
        let mut list = SparsePixels::new(50);
        let sparse = list.of(&pixels).unwrap();
        assert!(sparse.len() > 10, "{}", sparse.len());
        for n in [1, 7, 8, 16, 20, 32, 64] {
            let value = |i: usize| (i as f32 * 0.7).cos();
            let weights: Vec<f32> = (0..18 * n).map(value).collect();
            let (mut dense, mut got): (Vec<f32>, Vec<f32>) =
                ((0..9 * n).map(|i| value(i + 3)).collect(), (0..9 * n).map(|i| value(i + 3)).collect());
            let left = Gathered { data: &pixels, rows: &patches, columns: &elements };
            gemm_gathered((9, n, 18), left, Right::rows(&weights, n), Start::Accumulate, &mut dense, n);
            patches_times(&incidence, sparse, (&weights, n), &mut got, n);
            assert_eq!(got, dense, "width {n}");

            let (mut transposed, mut of_weights) = (weights.clone(), weights);
            let left = Gathered { data: &pixels, rows: &elements, columns: &patches };
            gemm_gathered((18, n, 9), left, Right::rows(&dense, n), Start::Accumulate, &mut transposed, n);
            transposed_patches_times(&incidence, sparse, &dense, &mut of_weights, n);
            assert_eq!(of_weights, transposed, "width {n}");
        }
    }

    #[test]
    fn too_many_pixels_make_no_list_and_nan_is_not_zero() {
        let (pixels, ..) = image();
        let count = pixels.iter().filter(|&&value| value != 0.0).count();
        assert_eq!(SparsePixels::new(count).of(&pixels).map(<[Pixel]>::len), Some(count));
        assert!(SparsePixels::new(count - 1).of(&pixels).is_none());
        assert!(SparsePixels::new(0).of(&[0.0, 1.0]).is_none());
        let mut list = SparsePixels::new(2);
        let found = list.of(&[0.0, f32::NAN, -0.0, 2.0]).unwrap();
        assert_eq!(found.iter().map(|pixel| pixel.index).collect::<Vec<_>>(), [1, 3]);
    }
}
