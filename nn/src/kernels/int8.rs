//! Products of bytes with integer weights, exact: every instruction set gives the same integers.
//!
//! `sum[o] = Σ w[o, i] · (q[i] − zero)` of bytes `q` and weights from −127 to 127, in 32 bits. What follows, a scale, a bias, a
//! rectifier and perhaps bytes for the next map, is done while the sums are in registers; its few operations are not fused, so
//! that numbers are the same everywhere too. With AVX-512 VNNI four products are one lane of one instruction; without, sums
//! are what the compiler makes of a loop, for the vectors that there are.

use agon_policy::Quantization;

use crate::instruction_set::InstructionSet;

/// Outputs of a vector of sums.
const LANES: usize = 16;
/// Inputs of one instruction.
const GROUP: usize = 4;
/// Vectors of sums of a tile.
const WIDTH: usize = 4;
/// Rows of a tile.
const ROWS: usize = 6;

/// An integer weight in the order in which products read it, and what follows the sums.
#[derive(Clone, Debug)]
pub(crate) struct IntegerWeight {
    inputs: usize,
    outputs: usize,
    /// `[blocks of LANES outputs, groups of GROUP inputs, LANES, GROUP]`, zeros beyond.
    packed: Vec<i8>,
    /// `−zero · Σ w` of each output, to whole blocks.
    start: Vec<i32>,
    /// What a unit of a sum stands for, to whole blocks.
    scale: Vec<f32>,
    bias: Vec<f32>,
}

/// What becomes of sums.
pub(crate) enum Target<'a> {
    /// Numbers, `[rows, outputs]`.
    Numbers(&'a mut [f32]),
    /// Bytes for the next map, `[rows, padded outputs]`, see [`padded`].
    Bytes(&'a mut [u8], Quantization),
}

/// Values of a row of bytes: whole groups.
pub(crate) fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

impl IntegerWeight {
    /// Of a weight `[outputs, inputs]` of integers, a scale for each output, and the bias.
    pub(crate) fn new(weight: &[i8], scale: &[f32], bias: &[f32], input: Quantization) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let (blocks, groups) = (outputs.div_ceil(LANES), padded(inputs) / GROUP);
        let mut packed = vec![0; blocks * groups * LANES * GROUP];
        let mut start = vec![0; blocks * LANES];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            for (at, &value) in row.iter().enumerate() {
                let place = (output / LANES * groups + at / GROUP) * LANES + output % LANES;
                packed[place * GROUP + at % GROUP] = value;
            }
            let sum: i32 = row.iter().map(|&value| i32::from(value)).sum();
            start[output] = -i32::from(input.zero_point) * sum;
        }
        let whole = |values: &mut dyn Iterator<Item = f32>| {
            let mut values: Vec<f32> = values.collect();
            values.resize(blocks * LANES, 0.0);
            values
        };
        let scale = whole(&mut scale.iter().map(|scale| input.scale * scale));
        Self { inputs, outputs, packed, start, scale, bias: whole(&mut bias.iter().copied()) }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Maps rows of bytes, each of [`padded`] inputs; what is beyond a row's inputs does not count.
    ///
    /// # Panics
    /// If a slice is too short.
    pub(crate) fn run(&self, bytes: &[u8], rows: usize, rectify: bool, target: Target<'_>) {
        let stride = padded(self.inputs);
        assert!(bytes.len() >= rows * stride, "bytes hold [{rows}, {stride}]");
        match &target {
            Target::Numbers(out) => assert!(out.len() >= rows * self.outputs, "numbers of {rows} rows"),
            Target::Bytes(out, _) => {
                assert!(out.len() >= rows * padded(self.outputs), "bytes of {rows} rows");
            }
        }
        #[cfg(target_arch = "x86_64")]
        if InstructionSet::current() == InstructionSet::Avx512
            && std::arch::is_x86_feature_detected!("avx512vnni")
        {
            // SAFETY: the processor has the instructions; the slices are as long as was checked.
            unsafe { vnni::run(self, bytes, rows, rectify, target) };
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if InstructionSet::current() != InstructionSet::Scalar && std::arch::is_x86_feature_detected!("avx2")
        {
            // SAFETY: the processor has the instructions.
            unsafe { portable_avx2(self, bytes, rows, rectify, target) };
            return;
        }
        portable(self, bytes, rows, rectify, target);
    }
}

/// Rows of numbers as rows of bytes, each [`padded`]; what lies beyond a row is anything.
pub(crate) fn to_bytes(x: &[f32], width: usize, quantization: Quantization, bytes: &mut [u8]) {
    let stride = padded(width);
    assert!(bytes.len() >= x.len() / width * stride, "bytes of rows of {width}");
    #[cfg(target_arch = "x86_64")]
    if InstructionSet::current() == InstructionSet::Avx512 && std::arch::is_x86_feature_detected!("avx512bw")
    {
        // SAFETY: the processor has the instructions; the bytes are as many as was checked.
        unsafe { vnni::to_bytes(x, width, quantization, bytes) };
        return;
    }
    for (row, bytes) in x.chunks_exact(width).zip(bytes.chunks_exact_mut(stride)) {
        row.iter().zip(bytes).for_each(|(&x, byte)| *byte = quantization.byte(x));
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn portable_avx2(weight: &IntegerWeight, bytes: &[u8], rows: usize, rectify: bool, target: Target<'_>) {
    portable(weight, bytes, rows, rectify, target);
}

/// One block of outputs of one row after the other.
#[inline(always)]
fn portable(weight: &IntegerWeight, bytes: &[u8], rows: usize, rectify: bool, mut target: Target<'_>) {
    let stride = padded(weight.inputs);
    let block_len = stride * LANES;
    for (row, bytes) in bytes.chunks_exact(stride).take(rows).enumerate() {
        for (block, packed) in weight.packed.chunks_exact(block_len).enumerate() {
            let first = block * LANES;
            let mut sums = [0_i32; LANES];
            sums.copy_from_slice(&weight.start[first..first + LANES]);
            for (group, bytes) in
                packed.as_chunks::<{ LANES * GROUP }>().0.iter().zip(bytes.as_chunks::<GROUP>().0)
            {
                for (sum, weights) in sums.iter_mut().zip(group.as_chunks::<GROUP>().0) {
                    for (&weight, &byte) in weights.iter().zip(bytes) {
                        *sum = sum.wrapping_add(i32::from(weight).wrapping_mul(i32::from(byte)));
                    }
                }
            }
            let width = LANES.min(weight.outputs - first);
            for (lane, &sum) in sums.iter().enumerate().take(width) {
                let y = sum as f32 * weight.scale[first + lane] + weight.bias[first + lane];
                let y = if rectify { y.max(0.0) } else { y };
                match &mut target {
                    Target::Numbers(out) => out[row * weight.outputs + first + lane] = y,
                    Target::Bytes(out, next) => {
                        out[row * padded(weight.outputs) + first + lane] = next.byte(y);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::*;

    use super::{GROUP, IntegerWeight, LANES, Quantization, ROWS, Target, WIDTH, padded};

    /// Bounds and factors of what becomes bytes.
    #[derive(Clone, Copy)]
    struct Steps {
        inverse: __m512,
        low: __m512,
        high: __m512,
        zero: __m512i,
    }

    impl Steps {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn of(quantization: Quantization) -> Self {
            let zero = f32::from(quantization.zero_point);
            Self {
                inverse: _mm512_set1_ps(quantization.inverse()),
                low: _mm512_set1_ps(-zero),
                high: _mm512_set1_ps(255.0 - zero),
                zero: _mm512_set1_epi32(i32::from(quantization.zero_point)),
            }
        }

        /// [`Quantization::byte`] of each lane.
        #[target_feature(enable = "avx512f,avx512bw")]
        #[inline]
        fn bytes(self, x: __m512) -> __m128i {
            let steps = _mm512_mul_ps(x, self.inverse);
            let steps = _mm512_min_ps(self.high, _mm512_max_ps(self.low, steps));
            _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(steps), self.zero))
        }
    }

    /// # Safety
    /// `bytes` must have a padded row for each of `x`.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn to_bytes(x: &[f32], width: usize, quantization: Quantization, bytes: &mut [u8]) {
        let (steps, stride) = (Steps::of(quantization), padded(width));
        for (row, bytes) in x.chunks_exact(width).zip(bytes.chunks_exact_mut(stride)) {
            for at in (0..width).step_by(LANES) {
                let mask = lanes(width - at);
                // SAFETY: only lanes within the row are read; a padded row has room for whole vectors.
                unsafe {
                    let values = _mm512_maskz_loadu_ps(mask, row.as_ptr().add(at));
                    _mm_storeu_si128(bytes.as_mut_ptr().add(at).cast(), steps.bytes(values));
                }
            }
        }
    }

    /// The first of the lanes.
    fn lanes(count: usize) -> u16 {
        if count >= LANES { u16::MAX } else { (1 << count) - 1 }
    }

    /// Where sums go.
    #[derive(Clone, Copy)]
    #[expect(clippy::large_enum_variant, reason = "one for each call, in registers")]
    enum Place {
        Numbers(*mut f32),
        Bytes(*mut u8, Steps),
    }

    /// # Safety
    /// Slices must hold as many rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn run(
        weight: &IntegerWeight,
        bytes: &[u8],
        rows: usize,
        rectify: bool,
        target: Target<'_>,
    ) {
        let place = match target {
            Target::Numbers(out) => Place::Numbers(out.as_mut_ptr()),
            Target::Bytes(out, next) => Place::Bytes(out.as_mut_ptr(), Steps::of(next)),
        };
        let blocks = weight.outputs.div_ceil(LANES);
        let floor = _mm512_set1_ps(if rectify { 0.0 } else { f32::NEG_INFINITY });
        for block in (0..blocks).step_by(WIDTH) {
            let mut row = 0;
            while row < rows {
                // SAFETY: blocks and rows are there.
                row += unsafe {
                    match ((blocks - block).min(WIDTH), rows - row) {
                        (4, ROWS..) => tile::<ROWS, 4>(weight, bytes, (row, block), floor, place),
                        (4, 2..) => tile::<2, 4>(weight, bytes, (row, block), floor, place),
                        (4, _) => tile::<1, 4>(weight, bytes, (row, block), floor, place),
                        (3, ROWS..) => tile::<ROWS, 3>(weight, bytes, (row, block), floor, place),
                        (3, _) => tile::<1, 3>(weight, bytes, (row, block), floor, place),
                        (2, ROWS..) => tile::<ROWS, 2>(weight, bytes, (row, block), floor, place),
                        (2, _) => tile::<1, 2>(weight, bytes, (row, block), floor, place),
                        (_, ROWS..) => tile::<ROWS, 1>(weight, bytes, (row, block), floor, place),
                        _ => tile::<1, 1>(weight, bytes, (row, block), floor, place),
                    }
                };
            }
        }
    }

    /// The sums of some rows and blocks; gives how many rows.
    ///
    /// # Safety
    /// They must be there, in all operands.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    unsafe fn tile<const MR: usize, const NR: usize>(
        weight: &IntegerWeight,
        bytes: &[u8],
        (row, block): (usize, usize),
        floor: __m512,
        place: Place,
    ) -> usize {
        let stride = padded(weight.inputs);
        let groups = stride / GROUP;
        // SAFETY: the caller vouches for rows and blocks; a block has whole groups, and so has a row.
        unsafe {
            let packed = weight.packed.as_ptr().add(block * groups * LANES * GROUP);
            let mut rows = [bytes.as_ptr(); MR];
            for (i, start) in rows.iter_mut().enumerate() {
                *start = start.add((row + i) * stride);
            }
            // Plain loops: closures do not become a part of a function of other instructions, and sums must stay in registers.
            let mut sums = [[_mm512_setzero_si512(); NR]; MR];
            for j in 0..NR {
                let start = _mm512_loadu_si512(weight.start.as_ptr().add((block + j) * LANES).cast());
                for sums in &mut sums {
                    sums[j] = start;
                }
            }
            // The last groups of a row may be beyond its inputs: their weights are zeros.
            for group in 0..weight.inputs.div_ceil(GROUP) {
                let mut weights = [_mm512_setzero_si512(); NR];
                for (j, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(packed.add((j * groups + group) * LANES * GROUP).cast());
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let four = rows[i].add(group * GROUP).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for (sum, weights) in sums.iter_mut().zip(&weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, four, *weights);
                    }
                }
            }
            for j in 0..NR {
                let first = (block + j) * LANES;
                let scale = _mm512_loadu_ps(weight.scale.as_ptr().add(first));
                let bias = _mm512_loadu_ps(weight.bias.as_ptr().add(first));
                for (i, sums) in sums.iter().enumerate() {
                    let y = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]), scale), bias);
                    let y = _mm512_max_ps(floor, y);
                    match place {
                        Place::Numbers(out) => {
                            let out = out.add((row + i) * weight.outputs + first);
                            _mm512_mask_storeu_ps(out, lanes(weight.outputs - first), y);
                        }
                        Place::Bytes(out, steps) => {
                            let out = out.add((row + i) * padded(weight.outputs) + first);
                            _mm_storeu_si128(out.cast(), steps.bytes(y));
                        }
                    }
                }
            }
        }
        MR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: usize, i: usize) -> usize {
        (i * 7919 + seed * 104_729 + i * i * 31) % 1009
    }

    /// By the definition, one output of one row.
    fn expected(weight: &[i8], bytes: &[u8], input: Quantization, (scale, bias): (f32, f32)) -> f32 {
        let zero = i32::from(input.zero_point);
        let sum: i32 = weight.iter().zip(bytes).map(|(&w, &q)| i32::from(w) * (i32::from(q) - zero)).sum();
        sum as f32 * (input.scale * scale) + bias
    }

    #[test]
    fn all_instruction_sets_give_the_same_integers() {
        for (seed, &(rows, inputs, outputs)) in [
            (1, 1, 1),
            (1, 64, 64),
            (7, 5, 17),
            (6, 16, 33),
            (13, 67, 70),
            (64, 128, 128),
            (2, 300, 6),
            (8, 4, 50),
        ]
        .iter()
        .enumerate()
        {
            let weight: Vec<i8> = (0..inputs * outputs)
                .map(|i| (noise(seed, i) % 255) as i16 as i8)
                .map(|w| w.max(-127))
                .collect();
            let scale: Vec<f32> = (0..outputs).map(|i| noise(seed + 1, i) as f32 * 1e-3).collect();
            let bias: Vec<f32> = (0..outputs).map(|i| noise(seed + 2, i) as f32 * 0.1 - 50.0).collect();
            let input = Quantization { scale: 0.037, zero_point: (seed * 40) as u8 };
            let stride = padded(inputs);
            // What lies beyond a row is anything.
            let bytes: Vec<u8> = (0..rows * stride).map(|i| noise(seed + 3, i) as u8).collect();
            let next = Quantization { scale: 0.5, zero_point: 90 };
            let integers = IntegerWeight::new(&weight, &scale, &bias, input);
            for rectify in [false, true] {
                let at = |row: usize, output: usize| {
                    let weight = &weight[output * inputs..(output + 1) * inputs];
                    let bytes = &bytes[row * stride..row * stride + inputs];
                    let y = expected(weight, bytes, input, (scale[output], bias[output]));
                    if rectify { y.max(0.0) } else { y }
                };
                let mut numbers = vec![f32::NAN; rows * outputs];
                let mut out = vec![0; rows * padded(outputs)];
                integers.run(&bytes, rows, rectify, Target::Numbers(&mut numbers));
                integers.run(&bytes, rows, rectify, Target::Bytes(&mut out, next));
                let mut plain = vec![f32::NAN; rows * outputs];
                let mut plain_out = vec![0; rows * padded(outputs)];
                portable(&integers, &bytes, rows, rectify, Target::Numbers(&mut plain));
                portable(&integers, &bytes, rows, rectify, Target::Bytes(&mut plain_out, next));
                for row in 0..rows {
                    for output in 0..outputs {
                        let (i, j) = (row * outputs + output, row * padded(outputs) + output);
                        let y = at(row, output);
                        assert_eq!((numbers[i], plain[i]), (y, y), "{rows} {inputs} {outputs}");
                        assert_eq!((out[j], plain_out[j]), (next.byte(y), next.byte(y)));
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_become_the_bytes_of_the_definition() {
        let quantization = Quantization { scale: 0.3, zero_point: 17 };
        for width in [1, 15, 16, 33] {
            let x: Vec<f32> = (0..3 * width).map(|i| (noise(1, i) as f32 - 500.0) * 0.15).collect();
            let mut bytes = vec![0; 3 * padded(width)];
            to_bytes(&x, width, quantization, &mut bytes);
            for (row, bytes) in x.chunks_exact(width).zip(bytes.chunks_exact(padded(width))) {
                for (x, byte) in row.iter().zip(bytes) {
                    assert_eq!(*byte, quantization.byte(*x), "{x}");
                }
            }
        }
    }
}
