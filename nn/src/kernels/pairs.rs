//! Sums of several slices in pairs of pairs.

use pulp::{Simd, WithSimd};

use super::elementwise::add;
use super::simd::{dispatch, load_at, store_at};

/// How deep the tree of sums can be.
const DEPTH: usize = 7;
/// Slices that can be added in pairs.
const MOST: usize = 1 << DEPTH;

/// Adds the values of `others` from `start` on to `total`, in pairs of pairs: `(total + others[0]) + (others[1] + others[2])`.
///
/// # Panics
/// If one of them is too short, or there are too many.
pub(crate) fn add_in_pairs(total: &mut [f32], others: &[&[f32]], start: usize) {
    assert!(others.iter().all(|other| other.len() >= start + total.len()), "{} values", total.len());
    assert!(others.len() < MOST, "{} slices", others.len());
    match others {
        [] => {}
        [other] => add(total, &other[start..start + total.len()]),
        _ => dispatch(AddInPairs { total, others, start }),
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
        while at < len {
            // SAFETY: at < len, and start + len <= the length of the others (asserted above).
            unsafe {
                let sum = tree(simd, ptr, at, others, start, len);
                store_at(simd, ptr, at, len, sum);
            }
            at += S::F32_LANES;
        }
    }
}

/// The sum at one place: partial sums of 2ⁿ slices wait until there is another one of as many.
///
/// # Safety
/// `len` values must be readable at `first`, and from `start` on in all others; `at` must be less than `len`.
#[inline(always)]
unsafe fn tree<S: Simd>(
    simd: S,
    first: *const f32,
    at: usize,
    others: &[&[f32]],
    start: usize,
    len: usize,
) -> S::f32s {
    let (mut waiting, mut count) = ([simd.splat_f32s(0.0); DEPTH], 1);
    // SAFETY (of both loads): the caller vouches for the values.
    waiting[0] = unsafe { load_at(simd, first, at, len) };
    for (index, other) in others.iter().enumerate() {
        let mut sum = unsafe { load_at(simd, other.as_ptr().add(start), at, len) };
        for _ in 0..(index + 2).trailing_zeros() {
            count -= 1;
            sum = simd.add_f32s(waiting[count], sum);
        }
        waiting[count] = sum;
        count += 1;
    }
    let mut sum = waiting[count - 1];
    for &before in waiting[..count - 1].iter().rev() {
        sum = simd.add_f32s(before, sum);
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
