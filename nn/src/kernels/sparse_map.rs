//! Products with a weight that is mostly zero, of which only the rest is stored.
//!
//! An output is a chain of products and sums over its inputs in order, and neither is fused with the other, so that it has the
//! same bits for one row, for many, and in a plain loop. Many rows lie beside each other in vectors, an input a line, so that
//! a value of the weight is loaded once for all of them; single rows go input by input, and pass over inputs that are zero.

use pulp::{Simd, WithSimd};

use super::pack::transpose_strided;
use super::simd::{dispatch, load, store};

/// Rows that lie beside each other.
const ROWS: usize = 64;
/// Below so many rows they go one by one.
const FEW: usize = 8;

/// What is not zero of a weight `[outputs, inputs]`, output by output and input by input.
#[derive(Clone, Debug)]
pub(crate) struct SparseWeight {
    inputs: usize,
    bias: Vec<f32>,
    by_output: Lists,
    by_input: Lists,
}

/// Lists of places and values, one after the other.
#[derive(Clone, Debug, Default)]
struct Lists {
    /// Where each begins, and the last ends.
    ends: Vec<usize>,
    places: Vec<u32>,
    values: Vec<f32>,
}

impl Lists {
    fn of(lines: usize, line: impl Fn(usize) -> Vec<f32>) -> Self {
        let mut lists = Self { ends: vec![0], ..Self::default() };
        for index in 0..lines {
            for (place, &value) in line(index).iter().enumerate().filter(|(_, value)| **value != 0.0) {
                lists.places.push(place as u32);
                lists.values.push(value);
            }
            lists.ends.push(lists.values.len());
        }
        lists
    }

    fn line(&self, index: usize) -> (&[u32], &[f32]) {
        let range = self.ends[index]..self.ends[index + 1];
        (&self.places[range.clone()], &self.values[range])
    }
}

/// Memory of products.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseScratch {
    lines: Vec<f32>,
    sums: Vec<f32>,
}

impl SparseWeight {
    /// Of a weight `[outputs, inputs]` and a bias.
    pub(crate) fn new(weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let row = |output: usize| weight[output * inputs..(output + 1) * inputs].to_vec();
        let column = |input: usize| weight.iter().skip(input).step_by(inputs).copied().collect();
        let (by_output, by_input) = (Lists::of(outputs, row), Lists::of(inputs, column));
        Self { inputs, bias: bias.to_vec(), by_output, by_input }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `out[rows, outputs] = x[rows, inputs] · weightᵀ + bias`.
    pub(crate) fn run(&self, x: &[f32], scratch: &mut SparseScratch, out: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let few = x.len() / inputs % ROWS;
        let few = if few < FEW { few } else { 0 };
        let (x, x_of_few) = x.split_at(x.len() - few * inputs);
        let (out, out_of_few) = out.split_at_mut(x.len() / inputs * outputs);
        for (x, out) in x.chunks(ROWS * inputs).zip(out.chunks_mut(ROWS * outputs)) {
            let rows = x.len() / inputs;
            scratch.lines.resize(inputs * ROWS, 0.0);
            scratch.sums.resize(outputs * ROWS, 0.0);
            transpose_strided(x, rows, inputs, &mut scratch.lines, ROWS);
            dispatch(Lines { weight: self, x: &scratch.lines, out: &mut scratch.sums });
            if rows == ROWS {
                transpose_strided(&scratch.sums, outputs, ROWS, out, outputs);
            } else {
                for (row, out) in out.chunks_exact_mut(outputs).enumerate() {
                    out.iter_mut()
                        .zip(scratch.sums.chunks_exact(ROWS))
                        .for_each(|(out, sums)| *out = sums[row]);
                }
            }
        }
        for (x, out) in x_of_few.chunks_exact(inputs).zip(out_of_few.chunks_exact_mut(outputs)) {
            out.copy_from_slice(&self.bias);
            for (input, &x) in x.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                let (places, values) = self.by_input.line(input);
                for (&place, value) in places.iter().zip(values) {
                    out[place as usize] += x * value;
                }
            }
        }
    }
}

/// A product of [`ROWS`] rows: `x`: `[inputs, ROWS]`, `out`: `[outputs, ROWS]`.
struct Lines<'a> {
    weight: &'a SparseWeight,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match ROWS / S::F32_LANES {
            4 => self.lines::<S, 4>(simd),
            8 => self.lines::<S, 8>(simd),
            _ => self.lines::<S, 1>(simd),
        }
    }
}

impl Lines<'_> {
    #[inline(always)]
    fn lines<S: Simd, const VECTORS: usize>(self, simd: S) {
        let Self { weight, x, out } = self;
        assert!(x.len() >= weight.inputs * ROWS && out.len() >= weight.outputs() * ROWS, "rows of lines");
        let step = VECTORS * S::F32_LANES;
        for first in (0..ROWS).step_by(step) {
            for (output, &bias) in weight.bias.iter().enumerate() {
                let mut sums = [simd.splat_f32s(bias); VECTORS];
                let (places, values) = weight.by_output.line(output);
                for (&place, &value) in places.iter().zip(values) {
                    let value = simd.splat_f32s(value);
                    // SAFETY: a place is less than the inputs, a line has ROWS values, of which `step` begin with `first`.
                    let line = unsafe { x.as_ptr().add(place as usize * ROWS + first) };
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: as above.
                        let x = unsafe { load::<S>(line.add(vector * S::F32_LANES)) };
                        *sum = simd.add_f32s(*sum, simd.mul_f32s(x, value));
                    }
                }
                for (vector, &sum) in sums.iter().enumerate() {
                    // SAFETY: the line of an output has ROWS values, too.
                    unsafe {
                        store::<S>(out.as_mut_ptr().add(output * ROWS + first + vector * S::F32_LANES), sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        for (inputs, outputs) in [(1, 1), (5, 3), (70, 33), (128, 20)] {
            let weight: Vec<f32> =
                (0..inputs * outputs).map(|i| if i % 7 == 3 { value(i) } else { 0.0 }).collect();
            let bias: Vec<f32> = (0..outputs).map(|i| value(i + 3)).collect();
            let sparse = SparseWeight::new(&weight, &bias);
            for rows in [1, 7, 8, 63, 64, 65, 130] {
                let x: Vec<f32> = (0..rows * inputs).map(|i| value(i * 3).max(0.0)).collect();
                let mut out = vec![f32::NAN; rows * outputs];
                sparse.run(&x, &mut SparseScratch::default(), &mut out);
                for (row, out) in out.chunks_exact(outputs).enumerate() {
                    let x = &x[row * inputs..(row + 1) * inputs];
                    for (output, &found) in out.iter().enumerate() {
                        let weight = &weight[output * inputs..(output + 1) * inputs];
                        let sum = |sum: f32, (x, w): (&f32, &f32)| if *w == 0.0 { sum } else { sum + x * w };
                        assert_eq!(
                            found,
                            x.iter().zip(weight).fold(bias[output], sum),
                            "{rows} {inputs} {outputs}"
                        );
                    }
                }
            }
        }
    }
}
