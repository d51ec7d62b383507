//! The observations of an iteration, as learners gather minibatches from them.
//!
//! Bytes that are all 0 or 255 are kept as bits, and so they reach the kernels. That is seen from the bytes alone; with
//! the first other byte bytes are kept, from then on.

use agon_envs::ObsBuffer;
use agon_envs::spaces::Dtype;
use agon_nn::{BitMatrix, ByteMatrix, Input, Matrix};

use crate::bits::{BITS, pack};
use crate::network::BYTE_SCALE;
use crate::slices::for_each;
use crate::{AgentError, Fragment};

/// Rows of observations.
#[derive(Debug)]
pub(crate) struct Observations {
    /// Elements of a row.
    width: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    U8(Vec<u8>),
    /// Each row in whole bytes.
    Bits(Vec<u8>),
}

impl Observations {
    /// Without rows.
    pub(crate) fn new(dtype: Dtype, width: usize) -> Self {
        let values = match dtype {
            Dtype::F32 => Values::F32(Vec::new()),
            Dtype::U8 => Values::Bits(Vec::new()),
        };
        Self { width, values }
    }

    /// Takes on rows of fragments that are equally long, such as their observations, one after the other, on the threads of the team.
    ///
    /// # Errors
    /// If they are of another kind.
    pub(crate) fn fill(
        &mut self,
        fragments: &[Fragment],
        rows: impl Fn(&Fragment) -> &ObsBuffer + Sync,
    ) -> Result<(), AgentError> {
        let width = self.width;
        let of = |index: usize| rows(&fragments[index]);
        match &mut self.values {
            Values::F32(values) => fill(values, fragments, width, |index, to| match of(index) {
                ObsBuffer::F32(from) => {
                    to.copy_from_slice(&from[..to.len()]);
                    Ok(())
                }
                ObsBuffer::U8(_) => Err(other_kind()),
            }),
            Values::U8(values) => fill(values, fragments, width, |index, to| match of(index) {
                ObsBuffer::U8(from) => {
                    to.copy_from_slice(&from[..to.len()]);
                    Ok(())
                }
                ObsBuffer::F32(_) => Err(other_kind()),
            }),
            Values::Bits(bits) => {
                let stride = width.div_ceil(BITS);
                let filled = fill(bits, fragments, stride, |index, to| match of(index) {
                    ObsBuffer::U8(from) => {
                        let mut rows = from.chunks_exact(width).zip(to.chunks_exact_mut(stride));
                        if rows.all(|(row, to)| pack(row, to)) { Ok(()) } else { Err(None) }
                    }
                    ObsBuffer::F32(_) => Err(Some(other_kind())),
                });
                match filled {
                    Err(None) => {
                        self.values = Values::U8(Vec::new());
                        self.fill(fragments, rows)
                    }
                    Err(Some(error)) => Err(error),
                    Ok(()) => Ok(()),
                }
            }
        }
    }

    /// Some rows, copied, as a network reads them when it learns.
    ///
    /// # Errors
    /// Without rows.
    pub(crate) fn gather(&self, rows: &[u32]) -> Result<Input, AgentError> {
        let (count, width) = (rows.len(), self.width);
        Ok(match &self.values {
            Values::F32(values) => {
                let mut matrix = Matrix::zeros(count, width)?;
                for (&row, out) in rows.iter().zip(matrix.as_mut_slice().chunks_exact_mut(width)) {
                    out.copy_from_slice(&values[row as usize * width..(row as usize + 1) * width]);
                }
                Input::Floats(matrix)
            }
            Values::U8(values) => {
                ByteMatrix::new(count, width, gather(values, width, rows), BYTE_SCALE)?.into()
            }
            Values::Bits(bits) => {
                let value = BYTE_SCALE * f32::from(u8::MAX);
                BitMatrix::new(count, width, gather(bits, width.div_ceil(BITS), rows), value)?.into()
            }
        })
    }
}

/// Lets `write` fill each fragment's rows of `stride` values.
fn fill<T: Copy + Default + Send, E: Send>(
    values: &mut Vec<T>,
    fragments: &[Fragment],
    stride: usize,
    write: impl Fn(usize, &mut [T]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let rows = fragments.first().map_or(0, Fragment::rows);
    values.resize(fragments.len() * rows * stride, T::default());
    let mut parts: Vec<&mut [T]> = values.chunks_mut((rows * stride).max(1)).collect();
    for_each(&mut parts, |index, part| write(index, part))
}

/// Some rows of `width` bytes.
fn gather(values: &[u8], width: usize, rows: &[u32]) -> Vec<u8> {
    let mut gathered = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        gathered.extend_from_slice(&values[row as usize * width..(row as usize + 1) * width]);
    }
    gathered
}

fn other_kind() -> AgentError {
    let (expected, found) = ("observations of the environment's kind", "another kind".to_owned());
    AgentError::Unsupported { algorithm: "the policy", expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::FragmentShape;
    use crate::test_support::shape_of_four_numbers;

    const WIDTH: usize = 10;

    /// Two fragments of three rows of bytes, all 0 or 255 but for one byte.
    fn fragments(other: u8) -> Vec<Fragment> {
        let shape = FragmentShape { observation_len: WIDTH, dtype: Dtype::U8, ..shape_of_four_numbers(3) };
        let fragment = |index: usize| {
            let mut fragment = Fragment::new(&shape);
            let mut bytes: Vec<u8> =
                (0..4 * WIDTH).map(|i| if (i * 7 + index).is_multiple_of(3) { 255 } else { 0 }).collect();
            bytes[14] = other;
            fragment.observations = ObsBuffer::U8(bytes);
            fragment
        };
        (0..2).map(fragment).collect()
    }

    #[test]
    fn bytes_of_two_values_are_gathered_as_bits_and_others_as_bytes() {
        for (other, are_bits) in [(255, true), (0, true), (254, false)] {
            let (fragments, mut observations) = (fragments(other), Observations::new(Dtype::U8, WIDTH));
            observations.fill(&fragments, |fragment| &fragment.observations).unwrap();
            let rows = [4, 1, 1];
            let gathered = observations.gather(&rows).unwrap();
            assert_eq!(matches!(gathered, Input::Bits(_)), are_bits, "{other}");
            let expected = rows.iter().flat_map(|&row| {
                let ObsBuffer::U8(bytes) = &fragments[row as usize / 3].observations else { panic!("bytes") };
                bytes[row as usize % 3 * WIDTH..][..WIDTH].iter().map(|&byte| BYTE_SCALE * f32::from(byte))
            });
            let expected: Vec<f32> = expected.collect();
            let mut got = vec![0.0; rows.len() * WIDTH];
            agon_nn::Rows::from(&gathered).copy_to(&mut got);
            assert_eq!(got, expected, "{other}");
        }
    }

    #[test]
    fn observations_of_another_kind_are_refused() {
        assert!(
            Observations::new(Dtype::F32, WIDTH)
                .fill(&fragments(0), |fragment| &fragment.observations)
                .is_err()
        );
    }
}
