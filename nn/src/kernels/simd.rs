//! Run-time choice of the instruction set, and loads and stores of partial vectors.

use pulp::{MemMask, Scalar, Simd, WithSimd};

use crate::instruction_set::InstructionSet;

/// Runs `op` compiled for the current instruction set.
#[inline]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    dispatch_to(InstructionSet::current(), op)
}

/// Runs `op` compiled for `set`, which this processor has.
#[inline]
pub(crate) fn dispatch_to<Op: WithSimd>(set: InstructionSet, op: Op) -> Op::Output {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => match pulp::x86::V4::try_new() {
            Some(simd) => Simd::vectorize(simd, op),
            None => Simd::vectorize(Scalar::new(), op),
        },
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => match pulp::x86::V3::try_new() {
            Some(simd) => Simd::vectorize(simd, op),
            None => Simd::vectorize(Scalar::new(), op),
        },
        _ => Simd::vectorize(Scalar::new(), op),
    }
}

/// The first `count` lanes of a vector, `count` less than the number of lanes.
#[inline(always)]
pub(crate) fn first_lanes<S: Simd>(simd: S, count: usize) -> MemMask<S::m32s> {
    // A plain mask: pulp's own masks carry a jump table, which is slower than a masked load.
    MemMask::new(simd.mask_between_m32s(0, count as u32).mask())
}

/// Loads one vector.
///
/// # Safety
/// `S::F32_LANES` values from `ptr` on must be readable.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(ptr: *const f32) -> S::f32s {
    // SAFETY: the caller vouches for the range; every bit pattern is a value of `S::f32s` (it is `Pod`).
    unsafe { ptr.cast::<S::f32s>().read_unaligned() }
}

/// Stores one vector.
///
/// # Safety
/// `S::F32_LANES` values from `ptr` on must be writable.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(ptr: *mut f32, value: S::f32s) {
    // SAFETY: the caller vouches for the range.
    unsafe { ptr.cast::<S::f32s>().write_unaligned(value) }
}

/// Loads the vector at `at`; lanes at `len` and beyond are zeros.
///
/// # Safety
/// `len` values from `ptr` on must be readable, and `at` be less than `len`.
#[inline(always)]
pub(crate) unsafe fn load_at<S: Simd>(simd: S, ptr: *const f32, at: usize, len: usize) -> S::f32s {
    // SAFETY: the caller vouches for `len` values; no lane beyond is touched.
    unsafe {
        if at + S::F32_LANES <= len {
            load::<S>(ptr.add(at))
        } else {
            simd.mask_load_ptr_f32s(first_lanes(simd, len - at), ptr.add(at))
        }
    }
}

/// Stores the vector at `at` without the lanes at `len` and beyond.
///
/// # Safety
/// `len` values from `ptr` on must be writable, and `at` be less than `len`.
#[inline(always)]
pub(crate) unsafe fn store_at<S: Simd>(simd: S, ptr: *mut f32, at: usize, len: usize, value: S::f32s) {
    // SAFETY: the caller vouches for `len` values; no lane beyond is touched.
    unsafe {
        if at + S::F32_LANES <= len {
            store::<S>(ptr.add(at), value);
        } else {
            simd.mask_store_ptr_f32s(first_lanes(simd, len - at), ptr.add(at), value);
        }
    }
}

/// `max(bound, x)`, and NaN where `x` is NaN.
#[inline(always)]
pub(crate) fn max_or_nan<S: Simd>(simd: S, bound: S::f32s, x: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        simd.select_f32s(simd.less_than_f32s(x, bound), bound, x)
    } else {
        // The x86 instruction yields its second operand where the two are unordered.
        simd.max_f32s(bound, x)
    }
}

/// `min(bound, x)`, and NaN where `x` is NaN.
#[inline(always)]
pub(crate) fn min_or_nan<S: Simd>(simd: S, bound: S::f32s, x: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        simd.select_f32s(simd.greater_than_f32s(x, bound), bound, x)
    } else {
        simd.min_f32s(bound, x)
    }
}
