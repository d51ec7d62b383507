//! Where the elements of rows that are not zero lie.

use super::elementwise::byte_value;

/// Places beyond the last that may be written to.
const SPARE: usize = 32;
/// A place has to fit into 16 bits.
pub(crate) const WIDEST: usize = 1 << 16;

/// An element of a row.
pub(crate) trait Element: Copy {
    /// How many elements of a row are not zero.
    fn count(row: &[Self]) -> usize;

    /// Finds the places of all rows.
    fn find(rows: &[Self], width: usize, places: &mut Places);

    /// The element as a number.
    fn value(self, scale: f32) -> f32;
}

/// For each row, the columns of its elements that are not zero.
#[derive(Default)]
pub(crate) struct Places {
    columns: Vec<u16>,
    /// Where each row's places end.
    ends: Vec<usize>,
    width: usize,
}

impl Places {
    /// Those of rows of `width` elements, at most [`WIDEST`].
    pub(crate) fn find<T: Element>(&mut self, rows: &[T], width: usize) {
        assert!(width <= WIDEST, "rows of at most {WIDEST} elements, got {width}");
        let longest = rows.len() + SPARE;
        if self.columns.len() < longest {
            self.columns.resize(longest, 0);
        }
        self.width = width;
        self.ends.clear();
        T::find(rows, width, self);
    }

    /// The columns of one row, all less than the width.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &[u16] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.columns[start..self.ends[row]]
    }

    /// Sets a bit for each row in the masks of its columns.
    ///
    /// # Panics
    /// If there are more rows than bits, or fewer masks than columns.
    pub(crate) fn mark(&self, masks: &mut [RowMask]) {
        let rows = self.ends.len();
        assert!(rows <= ROWS && masks.len() >= self.width, "{rows} rows of {}", self.width);
        for row in 0..rows {
            let (word, bit) = (row / 64, 1 << (row % 64));
            for &column in self.row(row) {
                masks[usize::from(column)][word] |= bit;
            }
        }
    }
}

/// A bit for each of [`ROWS`] rows.
pub(crate) type RowMask = [u64; 2];

/// Rows that a mask has bits for.
pub(crate) const ROWS: usize = 128;

macro_rules! element {
    ($type:ty, $find:ident, $zero:expr, $value:expr) => {
        impl Element for $type {
            fn count(row: &[Self]) -> usize {
                row.iter().map(|&value| usize::from(value != $zero)).sum()
            }

            fn find(rows: &[Self], width: usize, places: &mut Places) {
                #[cfg(target_arch = "x86_64")]
                if avx512::is_available() {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx512::$find(rows, width, &mut places.columns, &mut places.ends) };
                }
                find_in_groups(rows, width, places, |value| value != $zero);
            }

            #[inline(always)]
            fn value(self, scale: f32) -> f32 {
                $value(self, scale)
            }
        }
    };
}

element!(f32, find_floats, 0.0, |value, _| value);
element!(u8, find_bytes, 0, byte_value);

/// Without vector instructions of its own: groups of zeros are passed over.
fn find_in_groups<T: Copy>(rows: &[T], width: usize, places: &mut Places, filled: impl Fn(T) -> bool) {
    const GROUP: usize = 8;
    let mut end = 0;
    for row in rows.chunks_exact(width) {
        for (group, values) in row.chunks(GROUP).enumerate() {
            if !values.iter().fold(false, |any, &value| any | filled(value)) {
                continue;
            }
            for (offset, &value) in values.iter().enumerate() {
                places.columns[end] = (group * GROUP + offset) as u16;
                end += usize::from(filled(value));
            }
        }
        places.ends.push(end);
    }
}

/// 32 elements at a time.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        _CMP_NEQ_UQ, _mm256_maskz_loadu_epi8, _mm256_test_epi8_mask, _mm512_add_epi16, _mm512_cmp_ps_mask,
        _mm512_loadu_si512, _mm512_maskz_compress_epi16, _mm512_maskz_loadu_ps, _mm512_set1_epi16,
        _mm512_setzero_ps, _mm512_storeu_si512,
    };

    use super::SPARE;

    /// Elements at a time.
    const GROUP: usize = 32;
    static FIRST: [u16; GROUP] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
        28, 29, 30, 31,
    ];

    /// Whether the processor has the instructions of this module.
    #[inline]
    pub(super) fn is_available() -> bool {
        is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
    }

    macro_rules! find {
        ($name:ident, $type:ty, $filled:ident) => {
            /// Writes the columns of elements that are not zero, and where each row's end.
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
            pub(super) fn $name(rows: &[$type], width: usize, columns: &mut [u16], ends: &mut Vec<usize>) {
                assert!(columns.len() >= rows.len() + SPARE, "room for {} places", rows.len());
                // SAFETY: 32 numbers of 16 bits are read.
                let first = unsafe { _mm512_loadu_si512(FIRST.as_ptr().cast()) };
                let mut end = 0;
                for row in rows.chunks_exact(width) {
                    let mut at = first;
                    for group in row.chunks(GROUP) {
                        let filled = $filled(group);
                        let places = _mm512_maskz_compress_epi16(filled, at);
                        // SAFETY: no more than `rows.len()` places come before, and there is room for 32 more.
                        unsafe { _mm512_storeu_si512(columns.as_mut_ptr().add(end).cast(), places) };
                        end += filled.count_ones() as usize;
                        at = _mm512_add_epi16(at, _mm512_set1_epi16(GROUP as i16));
                    }
                    ends.push(end);
                }
            }
        };
    }

    find!(find_floats, f32, filled_floats);
    find!(find_bytes, u8, filled_bytes);

    /// Which of up to 32 values are not zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
    fn filled_floats(values: &[f32]) -> u32 {
        let (low, high) = values.split_at(values.len().min(16));
        let [low, high] = [low, high].map(|half| {
            // SAFETY: the mask covers the values.
            let half = unsafe { _mm512_maskz_loadu_ps(first(half.len()) as u16, half.as_ptr()) };
            u32::from(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(half, _mm512_setzero_ps()))
        });
        low | high << 16
    }

    /// Which of up to 32 bytes are not zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
    fn filled_bytes(values: &[u8]) -> u32 {
        // SAFETY: the mask covers the values.
        let values = unsafe { _mm256_maskz_loadu_epi8(first(values.len()), values.as_ptr().cast()) };
        _mm256_test_epi8_mask(values, values)
    }

    /// A bit for each of the first `count`, at most 32.
    #[inline(always)]
    fn first(count: usize) -> u32 {
        ((1_u64 << count) - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_with_and_without_vector_instructions() {
        for width in [1, 15, 16, 33, 100] {
            let bytes: Vec<u8> =
                (0..7 * width).map(|i| if i * 31 % 5 == 0 { (i % 3) as u8 } else { 0 }).collect();
            let mut floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte)).collect();
            floats[0] = f32::NAN;
            let [mut found, mut expected] = [Places::default(), Places::default()];
            found.find(&bytes, width);
            expected.find(&bytes, width);
            expected.ends.clear();
            find_in_groups(&bytes, width, &mut expected, |value| value != 0);
            for row in 0..7 {
                assert_eq!(found.row(row), expected.row(row), "row {row} of {width}");
            }
            found.find(&floats, width);
            assert_eq!(found.row(0).first(), Some(&0), "NaN is not zero");
        }
    }
}
