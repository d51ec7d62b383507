//! dfdx tensors as plain slices.
//!
//! dfdx keeps a tensor's vector private and shows single elements only; a contiguous tensor's elements lie in one
//! vector, so the first element's address is enough. (Tree Borrows accepts this; the stricter Stacked Borrows
//! would want the vector's own pointer.)

use dfdx::shapes::{HasShape, Shape};
use dfdx::tensor::{Cpu, Tensor};

/// A rank-1 tensor's values.
pub(crate) fn vector<T>(tensor: &Tensor<(usize,), f32, Cpu, T>) -> &[f32] {
    let len = tensor.shape().num_elements();
    if len == 0 {
        return &[];
    }
    let (first, last): (*const f32, *const f32) = (&tensor[[0]], &tensor[[len - 1]]);
    assert_eq!(first.wrapping_add(len - 1), last, "parameters are contiguous");
    // SAFETY: first and last element lie `len - 1` apart in the tensor's vector, so all between belong to it.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// A rank-1 tensor's values, copied first if the tensor is shared.
pub(crate) fn vector_mut<T>(tensor: &mut Tensor<(usize,), f32, Cpu, T>) -> &mut [f32] {
    let len = tensor.shape().num_elements();
    if len == 0 {
        return &mut [];
    }
    let last: *const f32 = &raw const tensor[[len - 1]];
    let contiguous = std::ptr::eq((&raw const tensor[[0]]).wrapping_add(len - 1), last);
    assert!(contiguous, "parameters are contiguous");
    let first: *mut f32 = &mut tensor[[0]];
    // SAFETY: `IndexMut` has made the vector unique to this tensor, which is borrowed exclusively; it holds `len`
    // values from `first` on, as checked above.
    unsafe { std::slice::from_raw_parts_mut(first, len) }
}

/// A matrix' values in rows, or nothing if they are not contiguous (a transposed or broadcast view).
pub(crate) fn matrix<T>(tensor: &Tensor<(usize, usize), f32, Cpu, T>) -> Option<&[f32]> {
    let (rows, columns) = *tensor.shape();
    if rows * columns == 0 {
        return Some(&[]);
    }
    let first: *const f32 = &tensor[[0, 0]];
    let row_end: *const f32 = &tensor[[0, columns - 1]];
    let end: *const f32 = &tensor[[rows - 1, columns - 1]];
    let in_rows = first.wrapping_add(columns - 1) == row_end && first.wrapping_add(rows * columns - 1) == end;
    // SAFETY: unit stride along a row and `columns` from row to row, so all elements lie in one run of the vector.
    in_rows.then(|| unsafe { std::slice::from_raw_parts(first, rows * columns) })
}

/// How far apart neighbouring rows and neighbouring columns lie in the tensor's vector; zero where they are the same.
pub(crate) fn strides<T>(tensor: &Tensor<(usize, usize), f32, Cpu, T>) -> [usize; 2] {
    let (rows, columns) = *tensor.shape();
    if rows * columns == 0 {
        return [0, 0];
    }
    let place = |row: usize, column: usize| (&raw const tensor[[row, column]]).addr();
    let distance = |row: usize, column: usize| (place(row, column) - place(0, 0)) / size_of::<f32>();
    [distance(1.min(rows - 1), 0), distance(0, 1.min(columns - 1))]
}

/// A contiguous matrix' values, copied first if the tensor is shared.
pub(crate) fn matrix_mut<T>(tensor: &mut Tensor<(usize, usize), f32, Cpu, T>) -> Option<&mut [f32]> {
    let len = matrix(tensor)?.len();
    if len == 0 {
        return Some(&mut []);
    }
    let first: *mut f32 = &mut tensor[[0, 0]];
    // SAFETY: as in `vector_mut`; `matrix` has checked the strides.
    Some(unsafe { std::slice::from_raw_parts_mut(first, len) })
}
