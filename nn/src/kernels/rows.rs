//! Functions over the same place of several rows: what gates are made of.

use pulp::{MemMask, Simd};

use super::simd::{first_lanes, load, store};

/// A function of the vectors at one place of `N` rows that are read, `M` that change and `K` that are written.
///
/// A trait and not a closure, because only a function can be told to be inlined: where it is not, its vectors lose the
/// instruction set that is chosen around it.
pub(super) trait RowFunction<const N: usize, const M: usize, const K: usize>: Copy {
    /// The new vectors of the rows that change, and those of the rows that are written.
    fn apply<S: Simd>(
        self,
        simd: S,
        read: [S::f32s; N],
        change: [S::f32s; M],
    ) -> ([S::f32s; M], [S::f32s; K]);
}

/// Applies a function place by place.
///
/// # Panics
/// If the rows differ in length.
#[inline(always)]
pub(super) fn map_rows<S: Simd, const N: usize, const M: usize, const K: usize>(
    simd: S,
    read: [&[f32]; N],
    change: [&mut [f32]; M],
    write: [&mut [f32]; K],
    function: impl RowFunction<N, M, K>,
) {
    let len = read.first().map(|row| row.len()).or(change.first().map(|row| row.len())).unwrap_or(0);
    assert!(read.iter().all(|row| row.len() == len), "equally long rows");
    assert!(change.iter().chain(&write).all(|row| row.len() == len), "equally long rows");
    let read = read.map(<[f32]>::as_ptr);
    let (change, write) = (change.map(<[f32]>::as_mut_ptr), write.map(<[f32]>::as_mut_ptr));
    let (full, rest) = (len / S::F32_LANES * S::F32_LANES, len % S::F32_LANES);
    let mut at = 0;
    while at < full {
        let (mut values, mut old) = ([simd.splat_f32s(0.0); N], [simd.splat_f32s(0.0); M]);
        // SAFETY: at + F32_LANES <= full <= len, the length of all rows (asserted above).
        unsafe {
            for (value, ptr) in values.iter_mut().zip(read) {
                *value = load::<S>(ptr.add(at));
            }
            for (value, ptr) in old.iter_mut().zip(change) {
                *value = load::<S>(ptr.add(at));
            }
            let (new, written) = function.apply(simd, values, old);
            for (value, ptr) in new.into_iter().zip(change) {
                store::<S>(ptr.add(at), value);
            }
            for (value, ptr) in written.into_iter().zip(write) {
                store::<S>(ptr.add(at), value);
            }
        }
        at += S::F32_LANES;
    }
    if rest > 0 {
        let mask: MemMask<S::m32s> = first_lanes(simd, rest);
        let (mut values, mut old) = ([simd.splat_f32s(0.0); N], [simd.splat_f32s(0.0); M]);
        // SAFETY: the mask covers the `rest` values left from `full` on.
        unsafe {
            for (value, ptr) in values.iter_mut().zip(read) {
                *value = simd.mask_load_ptr_f32s(mask, ptr.add(full));
            }
            for (value, ptr) in old.iter_mut().zip(change) {
                *value = simd.mask_load_ptr_f32s(mask, ptr.add(full));
            }
            let (new, written) = function.apply(simd, values, old);
            for (value, ptr) in new.into_iter().zip(change) {
                simd.mask_store_ptr_f32s(mask, ptr.add(full), value);
            }
            for (value, ptr) in written.into_iter().zip(write) {
                simd.mask_store_ptr_f32s(mask, ptr.add(full), value);
            }
        }
    }
}

/// Cuts a row into `N` equal parts.
///
/// # Panics
/// If the row is shorter.
#[inline(always)]
pub(super) fn parts<const N: usize>(row: &[f32], width: usize) -> [&[f32]; N] {
    std::array::from_fn(|i| &row[i * width..(i + 1) * width])
}

/// Cuts a row into `N` equal parts, to change them.
///
/// # Panics
/// If the row is shorter.
#[inline(always)]
pub(super) fn parts_mut<const N: usize>(row: &mut [f32], width: usize) -> [&mut [f32]; N] {
    let mut rest = row;
    std::array::from_fn(|_| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(width);
        rest = after;
        part
    })
}
