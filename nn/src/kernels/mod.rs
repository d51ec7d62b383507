//! Numeric kernels, compiled for each instruction set and chosen at run time.
//!
//! This is the only folder with `unsafe` code: raw pointers in the inner loops, whose bounds the safe functions
//! around them check once. The kernels are single-threaded; parallelism is the caller's.
#![expect(unsafe_code, reason = "vector loads and stores, and slices of dfdx tensors")]

mod activation;
mod buffer;
mod dot;
mod elementwise;
mod gemm;
mod loan;
mod math;
mod optimizer;
mod pack;
mod simd;
pub(crate) mod view;

pub(crate) use activation::{activate, differentiate};
pub(crate) use buffer::{AlignedBuffer, Pooled};
pub(crate) use dot::dot_rows;
pub use elementwise::{exp, ln, relu, sigmoid, tanh};
pub(crate) use gemm::{Init, Left, Right, gemm};
pub(crate) use loan::Loan;
pub(crate) use optimizer::{AdamScalars, adam, all_finite, lerp, scale, sum_of_squares};
pub(crate) use pack::{pack_transposed, packed_len, transpose_into};

#[cfg(test)]
mod tests;
