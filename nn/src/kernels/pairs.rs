//! Sums of several slices in pairs of pairs.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, first_lanes, load, store};

/// Slices that can be added in pairs.
const MOST: usize = 1 << DEPTH;
/// How deep the tree can be.
const DEPTH: usize = 16;

/// Adds the values of `others` from `start` on to `total`, in pairs of pairs: `(total + others[0]) + (others[1] + others[2])`.
///
/// # Panics
/// If one of them is too short, or there are too many.
pub(crate) fn add_in_pairs(total: &mut [f32], others: &[&[f32]], start: usize) {
    assert!(others.iter().all(|other| other.len() >= start + total.len()), "{} values", total.len());
    assert!(others.len() < MOST, "{} slices", others.len());
    if !others.is_empty() {
        dispatch(AddInPairs { total, others, start });
    }
}

struct AddInPairs<'a> {
    total: &'a mut [f32],
    others: &'a [&'a [f32]],
    start: usize,
}

impl WithSimd for AddInPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { total, others, start } = self;
        let (ptr, len) = (total.as_mut_ptr(), total.len());
        let mut at = 0;
        // SAFETY: at + the lanes that are touched <= len, and start + len <= the length of the others (asserted above).
        unsafe {
            while at + 4 * S::F32_LANES <= len {
                let add = |x, y| add_all(simd, x, y);
                let load = |ptr: *const f32| {
                    let mut vectors = [simd.splat_f32s(0.0); 4];
                    for (i, vector) in vectors.iter_mut().enumerate() {
                        *vector = load::<S>(ptr.add(i * S::F32_LANES));
                    }
                    vectors
                };
                let sum = tree([simd.splat_f32s(0.0); 4], ptr.add(at), others, start + at, load, add);
                for (i, vector) in sum.into_iter().enumerate() {
                    store::<S>(ptr.add(at + i * S::F32_LANES), vector);
                }
                at += 4 * S::F32_LANES;
            }
            while at < len {
                let zero = simd.splat_f32s(0.0);
                let add = |x, y| simd.add_f32s(x, y);
                if at + S::F32_LANES <= len {
                    let sum = tree(zero, ptr.add(at), others, start + at, |ptr| load::<S>(ptr), add);
                    store::<S>(ptr.add(at), sum);
                } else {
                    let mask = first_lanes(simd, len - at);
                    let load = |ptr| simd.mask_load_ptr_f32s(mask, ptr);
                    let sum = tree(zero, ptr.add(at), others, start + at, load, add);
                    simd.mask_store_ptr_f32s(mask, ptr.add(at), sum);
                }
                at += S::F32_LANES;
            }
        }
    }
}

#[inline(always)]
fn add_all<S: Simd>(simd: S, mut x: [S::f32s; 4], y: [S::f32s; 4]) -> [S::f32s; 4] {
    for (x, y) in x.iter_mut().zip(y) {
        *x = simd.add_f32s(*x, y);
    }
    x
}

/// The sum at one place: partial sums of 2ⁿ slices wait until there is another one of as many.
///
/// # Safety
/// What `load` reads must be readable at `first`, and at `at` in all others.
#[inline(always)]
unsafe fn tree<V: Copy>(
    zero: V,
    first: *const f32,
    others: &[&[f32]],
    at: usize,
    load: impl Fn(*const f32) -> V,
    add: impl Fn(V, V) -> V,
) -> V {
    let (mut waiting, mut count) = ([zero; DEPTH], 1);
    waiting[0] = load(first);
    for (index, other) in others.iter().enumerate() {
        // SAFETY: the caller vouches for the place.
        let mut sum = load(unsafe { other.as_ptr().add(at) });
        for _ in 0..(index + 2).trailing_zeros() {
            count -= 1;
            sum = add(waiting[count], sum);
        }
        waiting[count] = sum;
        count += 1;
    }
    let mut sum = waiting[count - 1];
    for &before in waiting[..count - 1].iter().rev() {
        sum = add(before, sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum as it is defined: halves of the next power of two.
    fn expected(values: &[f32]) -> f32 {
        match values {
            [value] => *value,
            _ => {
                let (first, second) = values.split_at(values.len().next_power_of_two() / 2);
                expected(first) + expected(second)
            }
        }
    }

    #[test]
    fn sums_have_the_form_of_a_tree_at_every_place() {
        for len in [1, 15, 16, 64, 133] {
            for count in 1..=9 {
                let value = |slice: usize, i: usize| ((i * 7919 + slice * 31 + 13) % 101) as f32 * 0.1;
                let slices: Vec<Vec<f32>> =
                    (0..count).map(|slice| (0..len + 3).map(|i| value(slice, i)).collect()).collect();
                let mut total = slices[0][3..].to_vec();
                let others: Vec<&[f32]> = slices[1..].iter().map(Vec::as_slice).collect();
                add_in_pairs(&mut total, &others, 3);
                for (i, sum) in total.iter().enumerate() {
                    let values: Vec<f32> = slices.iter().map(|slice| slice[3 + i]).collect();
                    assert_eq!(*sum, expected(&values), "{count} slices, place {i} of {len}");
                }
            }
        }
    }
}
