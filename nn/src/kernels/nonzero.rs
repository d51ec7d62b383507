//! Where the elements of rows that are not zero lie: rows of floats, of bytes, and of bits.

use super::elementwise::byte_value;

/// Rows whose zeros may be passed over.
pub(crate) trait Source: Copy {
    /// Elements of a row.
    fn width(self) -> usize;

    /// Number of rows.
    fn count(self) -> usize;

    /// Whether an element is other than zero.
    fn is_filled(self, row: usize, column: usize) -> bool;

    /// An element.
    ///
    /// # Safety
    /// It must be there.
    unsafe fn value(self, row: usize, column: usize) -> f32;

    /// Which of 64 elements of a row, or of as many as are left, are not zero: a bit each, from the lowest on.
    fn bits(self, row: usize, first: usize) -> u64 {
        let columns = first..self.width().min(first + ROWS);
        columns.rev().fold(0, |bits, column| bits << 1 | u64::from(self.is_filled(row, column)))
    }

    /// 16 elements of a row, or as many as are left: which are not zero, and their values.
    ///
    /// # Safety
    /// The row must be there, the first element too, and the processor have the instructions.
    #[cfg(target_arch = "x86_64")]
    unsafe fn group(self, row: usize, first: usize) -> (u16, std::arch::x86_64::__m512);
}

/// Rows of floats.
#[derive(Clone, Copy)]
pub(crate) struct Floats<'a> {
    values: &'a [f32],
    width: usize,
}

/// Rows of bytes, each times a factor.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    values: &'a [u8],
    width: usize,
    scale: f32,
}

/// Rows of bits, each row in whole bytes from their lowest bits on; a set bit is a value.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    width: usize,
    value: f32,
}

impl<'a> Floats<'a> {
    /// Of whole rows.
    pub(crate) fn new(values: &'a [f32], width: usize) -> Self {
        Self { values, width }
    }
}

impl<'a> Bytes<'a> {
    /// Of whole rows.
    pub(crate) fn new(values: &'a [u8], width: usize, scale: f32) -> Self {
        Self { values, width, scale }
    }
}

impl<'a> Bits<'a> {
    /// Of whole rows; bits beyond the width are zero.
    pub(crate) fn new(bytes: &'a [u8], width: usize, value: f32) -> Self {
        Self { bytes, width, value }
    }

    fn row(self, row: usize) -> &'a [u8] {
        let stride = self.width.div_ceil(8);
        &self.bytes[row * stride..(row + 1) * stride]
    }

    /// Up to eight bytes, the first one lowest, the missing ones zero.
    fn word(bytes: &[u8]) -> u64 {
        match bytes.first_chunk() {
            Some(&bytes) => u64::from_le_bytes(bytes),
            None => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        }
    }
}

impl Source for Floats<'_> {
    fn width(self) -> usize {
        self.width
    }

    fn count(self) -> usize {
        self.values.len() / self.width
    }

    fn is_filled(self, row: usize, column: usize) -> bool {
        self.values[row * self.width + column] != 0.0
    }

    #[inline(always)]
    unsafe fn value(self, row: usize, column: usize) -> f32 {
        // SAFETY: the caller vouches for the element.
        unsafe { *self.values.get_unchecked(row * self.width + column) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn group(self, row: usize, first: usize) -> (u16, std::arch::x86_64::__m512) {
        use std::arch::x86_64::{_CMP_NEQ_UQ, _mm512_cmp_ps_mask, _mm512_maskz_loadu_ps, _mm512_setzero_ps};
        // SAFETY: the mask covers what is left of the row; the caller vouches for row and processor.
        unsafe {
            let from = self.values.as_ptr().add(row * self.width + first);
            let values = _mm512_maskz_loadu_ps(lanes(self.width - first), from);
            (_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, _mm512_setzero_ps()), values)
        }
    }
}

impl Source for Bytes<'_> {
    fn width(self) -> usize {
        self.width
    }

    fn count(self) -> usize {
        self.values.len() / self.width
    }

    fn is_filled(self, row: usize, column: usize) -> bool {
        self.values[row * self.width + column] != 0
    }

    #[inline(always)]
    unsafe fn value(self, row: usize, column: usize) -> f32 {
        // SAFETY: the caller vouches for the element.
        byte_value(unsafe { *self.values.get_unchecked(row * self.width + column) }, self.scale)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn group(self, row: usize, first: usize) -> (u16, std::arch::x86_64::__m512) {
        use std::arch::x86_64::{
            _mm_maskz_loadu_epi8, _mm_test_epi8_mask, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32,
            _mm512_mul_ps, _mm512_set1_ps,
        };
        // SAFETY: the mask covers what is left of the row; the caller vouches for row and processor.
        unsafe {
            let from = self.values.as_ptr().add(row * self.width + first);
            let bytes = _mm_maskz_loadu_epi8(lanes(self.width - first), from.cast());
            let values = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
            (_mm_test_epi8_mask(bytes, bytes), _mm512_mul_ps(_mm512_set1_ps(self.scale), values))
        }
    }
}

impl Source for Bits<'_> {
    fn width(self) -> usize {
        self.width
    }

    fn count(self) -> usize {
        self.bytes.len() / self.width.div_ceil(8)
    }

    fn is_filled(self, row: usize, column: usize) -> bool {
        self.row(row)[column / 8] >> (column % 8) & 1 == 1
    }

    #[inline(always)]
    fn bits(self, row: usize, first: usize) -> u64 {
        Self::word(&self.row(row)[first / 8..])
    }

    /// The value of a bit that is set.
    #[inline(always)]
    unsafe fn value(self, _: usize, _: usize) -> f32 {
        self.value
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn group(self, row: usize, first: usize) -> (u16, std::arch::x86_64::__m512) {
        use std::arch::x86_64::{_mm512_maskz_mov_ps, _mm512_set1_ps};
        // SAFETY: the caller vouches for the processor.
        unsafe {
            let bytes = self.row(row);
            let mask = match bytes[first / 8..] {
                [low, high, ..] => u16::from_le_bytes([low, high]),
                [low] => u16::from(low),
                [] => 0,
            };
            (mask, _mm512_maskz_mov_ps(mask, _mm512_set1_ps(self.value)))
        }
    }
}

/// Writes the values of all rows of bits.
///
/// # Panics
/// If there is not a value for each bit.
pub(crate) fn unpack_bits(rows: Bits<'_>, out: &mut [f32]) {
    assert_eq!(out.len(), rows.count() * rows.width, "a value for each bit");
    let values: [f32; 2] = [0.0, rows.value];
    for (row, out) in out.chunks_exact_mut(rows.width).enumerate() {
        let row = rows.row(row);
        let (eights, rest) = out.as_chunks_mut::<8>();
        for (out, &byte) in eights.iter_mut().zip(row) {
            *out = std::array::from_fn(|bit| values[usize::from(byte >> bit & 1)]);
        }
        for (bit, out) in rest.iter_mut().enumerate() {
            *out = values[usize::from(row[row.len() - 1] >> bit & 1)];
        }
    }
}

/// A bit for each of the first `count` lanes of 16.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn lanes(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

/// Elements that are looked at together.
const GROUP: usize = 16;

/// Whether the processor has the instructions of this file's vector code.
#[cfg(target_arch = "x86_64")]
#[inline]
fn has_vectors() -> bool {
    pulp::x86::V4::try_new().is_some()
}

/// For each pair of rows, the columns where one of them is not zero, and their values there.
///
/// Neighbouring rows are often alike, so that a pair has hardly more columns than a row, and reads what belongs to a
/// column once.
#[derive(Default)]
pub(crate) struct Pairs {
    columns: Vec<u32>,
    values: [Vec<f32>; 2],
    /// Where each pair's columns end.
    ends: Vec<usize>,
}

/// One pair of rows.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    /// Where one of the rows is not zero, in order.
    pub(crate) columns: &'a [u32],
    /// What the rows hold there.
    pub(crate) values: [&'a [f32]; 2],
}

impl Pairs {
    /// Of all rows; the last one is alone if their number is odd.
    pub(crate) fn find<S: Source>(&mut self, rows: S) {
        let pairs = rows.count().div_ceil(2);
        let longest = pairs * rows.width() + GROUP;
        if self.columns.len() < longest {
            self.columns.resize(longest, 0);
            self.values.iter_mut().for_each(|values| values.resize(longest, 0.0));
        }
        self.ends.clear();
        #[cfg(target_arch = "x86_64")]
        if has_vectors() {
            // SAFETY: the processor has the instructions.
            return unsafe { self.find_in_vectors(rows) };
        }
        let mut end = 0;
        for pair in 0..pairs {
            for column in 0..rows.width() {
                let of_row = |row: usize| {
                    let filled = row < rows.count() && rows.is_filled(row, column);
                    // SAFETY: the element has just been looked at.
                    if filled { unsafe { rows.value(row, column) } } else { 0.0 }
                };
                let values = [of_row(2 * pair), of_row(2 * pair + 1)];
                self.columns[end] = column as u32;
                (self.values[0][end], self.values[1][end]) = (values[0], values[1]);
                end += usize::from(values[0] != 0.0 || values[1] != 0.0);
            }
            self.ends.push(end);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn find_in_vectors<S: Source>(&mut self, rows: S) {
        use std::arch::x86_64::{
            _mm512_add_epi32, _mm512_maskz_compress_epi32, _mm512_maskz_compress_ps, _mm512_set_epi32,
            _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_storeu_si512,
        };
        let start = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let (columns, [first, second]) =
            (self.columns.as_mut_ptr(), self.values.each_mut().map(Vec::as_mut_ptr));
        let mut end = 0;
        for row in (0..rows.count()).step_by(2) {
            let mut at = start;
            for group in (0..rows.width()).step_by(GROUP) {
                // SAFETY: rows and groups are there. No more columns come before `end` than pairs and columns passed, and
                // there is room for 16 more (`find`).
                unsafe {
                    let (mask, of_first) = rows.group(row, group);
                    let (other, of_second) = match row + 1 < rows.count() {
                        true => rows.group(row + 1, group),
                        false => (0, _mm512_setzero_ps()),
                    };
                    let filled = mask | other;
                    _mm512_storeu_si512(columns.add(end).cast(), _mm512_maskz_compress_epi32(filled, at));
                    _mm512_storeu_ps(first.add(end), _mm512_maskz_compress_ps(filled, of_first));
                    _mm512_storeu_ps(second.add(end), _mm512_maskz_compress_ps(filled, of_second));
                    end += filled.count_ones() as usize;
                }
                at = _mm512_add_epi32(at, _mm512_set1_epi32(GROUP as i32));
            }
            self.ends.push(end);
        }
    }

    /// The pair of the rows `2 * index` and the next; all its columns are less than the width.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Pair<'_> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        let range = start..self.ends[index];
        Pair {
            columns: &self.columns[range.clone()],
            values: [&self.values[0][range.clone()], &self.values[1][range]],
        }
    }
}

/// Rows that a mask has bits for, and columns whose bits are turned into masks at once.
pub(crate) const ROWS: usize = 64;

/// Sets for each column the bits of the rows, from `first` on and at most [`ROWS`], where it is not zero.
pub(crate) fn mark<S: Source>(rows: S, first: usize, masks: &mut Vec<u64>) {
    masks.resize(rows.width().next_multiple_of(ROWS), 0);
    let range = first..rows.count().min(first + ROWS);
    #[cfg(target_arch = "x86_64")]
    if has_vectors() {
        // SAFETY: the processor has the instructions.
        return unsafe { mark_in_vectors(rows, range, masks) };
    }
    for (block, masks) in masks.chunks_exact_mut(ROWS).enumerate() {
        masks.fill(0);
        for (row, bits) in range.clone().zip(&mut *masks) {
            *bits = rows.bits(row, block * ROWS);
        }
        transpose_bits(masks);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn mark_in_vectors<S: Source>(rows: S, range: std::ops::Range<usize>, masks: &mut [u64]) {
    for (block, masks) in masks.chunks_exact_mut(ROWS).enumerate() {
        masks[range.len()..].fill(0);
        let first = block * ROWS;
        let groups = (rows.width() - first).min(ROWS).div_ceil(GROUP);
        for (row, bits) in range.clone().zip(&mut *masks) {
            *bits = 0;
            for group in 0..groups {
                // SAFETY: the row and the group are there, and the processor has the instructions.
                let (filled, _) = unsafe { rows.group(row, first + group * GROUP) };
                *bits |= u64::from(filled) << (group * GROUP);
            }
        }
        transpose_bits(masks);
    }
}

/// Transposes a square of bits, the lowest bit first: bit `j` of word `i` becomes bit `i` of word `j`.
#[inline(always)]
fn transpose_bits(square: &mut [u64]) {
    swap_bits::<32>(square, 0x0000_0000_ffff_ffff);
    swap_bits::<16>(square, 0x0000_ffff_0000_ffff);
    swap_bits::<8>(square, 0x00ff_00ff_00ff_00ff);
    swap_bits::<4>(square, 0x0f0f_0f0f_0f0f_0f0f);
    swap_bits::<2>(square, 0x3333_3333_3333_3333);
    swap_bits::<1>(square, 0x5555_5555_5555_5555);
}

/// Swaps the upper right quarter with the lower left one in each square of `2 N` words; the mask is the left half.
#[inline(always)]
fn swap_bits<const N: usize>(words: &mut [u64], mask: u64) {
    for square in words.chunks_exact_mut(2 * N) {
        let (upper, lower) = square.split_at_mut(N);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let swapped = (*upper >> N ^ *lower) & mask;
            *lower ^= swapped;
            *upper ^= swapped << N;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(bytes: &[u8], width: usize) -> Vec<u8> {
        let byte = |bytes: &[u8]| bytes.iter().rev().fold(0, |bits, &byte| bits << 1 | u8::from(byte != 0));
        bytes.chunks(width).flat_map(|row| row.chunks(8).map(byte)).collect()
    }

    fn check<S: Source>(rows: S, floats: &[f32]) {
        let (width, mut pairs) = (rows.width(), Pairs::default());
        pairs.find(rows);
        for pair in 0..rows.count().div_ceil(2) {
            let value = |row: usize, column: usize| {
                if row < rows.count() { floats[row * width + column] } else { 0.0 }
            };
            let expected =
                (0..width).map(|column| (column as u32, [0, 1].map(|i| value(2 * pair + i, column))));
            let expected: Vec<_> = expected.filter(|(_, values)| values.iter().any(|v| *v != 0.0)).collect();
            let Pair { columns, values } = pairs.get(pair);
            let got = columns.iter().zip(values[0].iter().zip(values[1]));
            let got: Vec<_> = got.map(|(&column, (&a, &b))| (column, [a, b])).collect();
            assert_eq!(got, expected, "pair {pair} of {width}");
        }
        let mut masks = Vec::new();
        mark(rows, 0, &mut masks);
        for (column, mask) in masks.into_iter().enumerate().take(width) {
            let expected = (0..rows.count()).map(|row| u64::from(floats[row * width + column] != 0.0) << row);
            assert_eq!(mask, expected.sum::<u64>(), "column {column} of {width}");
        }
    }

    #[test]
    fn elements_that_are_not_zero_are_found() {
        for width in [1, 15, 16, 33, 64, 100] {
            let bytes: Vec<u8> = (0..7 * width).map(|i| if i * 31 % 5 == 0 { 3 } else { 0 }).collect();
            let floats: Vec<f32> = bytes.iter().map(|&byte| 0.5 * f32::from(byte)).collect();
            check(Bytes::new(&bytes, width, 0.5), &floats);
            check(Floats::new(&floats, width), &floats);
            let bits = bits(&bytes, width);
            let bits = Bits::new(&bits, width, 1.5);
            check(bits, &floats);
            let mut unpacked = vec![f32::NAN; floats.len()];
            unpack_bits(bits, &mut unpacked);
            assert_eq!(unpacked, floats);
        }
    }

    #[test]
    fn nan_is_not_zero_and_minus_zero_is() {
        let mut row = [0.0; 40];
        (row[3], row[20]) = (f32::NAN, -0.0);
        let mut pairs = Pairs::default();
        pairs.find(Floats::new(&row, 40));
        assert_eq!(pairs.get(0).columns, [3]);
    }
}
