//! Numeric kernels, compiled for each instruction set and chosen at run time.
//!
//! This is the only folder with `unsafe` code: raw pointers in the inner loops, whose bounds the safe functions
//! around them check once, and the board where threads of a team find their parts. The numeric kernels are
//! single-threaded; parallelism is the caller's.
#![expect(unsafe_code, reason = "vector loads and stores; jobs that threads share")]

mod activation;
mod blocked;
mod board;
mod buffer;
mod choices;
mod dot;
mod elementwise;
mod gates;
mod gemm;
mod highway;
mod int8;
mod math;
mod nonzero;
mod norm;
mod optimizer;
mod pack;
mod pairs;
mod registers;
mod rows;
mod scatter;
mod simd;
mod softmax;
mod sparse;
mod sparse_map;
mod sparse_rows;
mod winograd;

pub(crate) use activation::{activate, differentiate};
pub(crate) use blocked::gemm_blocked;
pub(crate) use board::Board;
pub(crate) use buffer::{AlignedBuffer, Pooled};
pub(crate) use choices::{ChoiceGradient, entropy_columns, gradient_columns, normalize_columns};
pub(crate) use dot::dot_rows;
pub(crate) use elementwise::{add, scale_bytes};
pub use elementwise::{exp, ln, relu, sigmoid, tanh};
pub(crate) use gates::{
    GateGradient, GateStep, gru_gradient, gru_step, lstm_gradient, lstm_step, rnn_gradient, rnn_step,
};
pub(crate) use gemm::{Gathered, Left, PANEL, Right, Start, gemm, gemm_gathered, gemm_strided};
pub(crate) use highway::{
    HighwayGradient, highway, highway_gradient, highway_reset_gradient, highway_resets,
};
pub(crate) use int8::{IntegerWeight, Target, padded, to_bytes};
pub(crate) use nonzero::{Bits, Bytes, Floats, unpack_bits};
pub(crate) use norm::{NormKind, normalize_rows, normalize_rows_backward};
pub(crate) use optimizer::{
    AdamUpdate, RmsPropScalars, RmsPropUpdate, SgdUpdate, Update, all_finite, lerp, scale, sum_of_squares,
    update,
};
pub(crate) use pack::{pack_transposed, packed_len, transpose_into, transpose_strided};
pub(crate) use pairs::add_in_pairs;
pub use registers::clear_upper_halves;
pub(crate) use scatter::{Run, scatter_add};
pub(crate) use softmax::{divide_rows, softmax_gradient, softmax_numerators, softmax_rows};
pub(crate) use sparse::{Incidence, Pixel, SparsePixels, patches_times, transposed_patches_times};
pub(crate) use sparse_map::{SparseScratch, SparseWeight};
pub(crate) use sparse_rows::Sparse;
pub(crate) use winograd::{
    Kernels, LANES, TileGrid, TileSize, Tiles, transform_delta, transform_gradient, transform_input,
    transform_output, transform_weight,
};

/// `c = a · b`, all row-major: the matrix product that the layers are made of, to measure the machine with.
///
/// # Shapes
/// `a`: `[m, k]`, `b`: `[k, n]`, `c`: `[m, n]`.
///
/// # Panics
/// If a slice is too short.
pub fn matrix_product((m, n, k): (usize, usize, usize), a: &[f32], b: &[f32], c: &mut [f32]) {
    gemm((m, n, k), Left::rows(a, k), Right::rows(b, n), Start::Zero, c);
}

#[cfg(test)]
mod tests;
