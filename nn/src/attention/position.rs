//! Encodings of positions: rows that are added to tokens, or rotations of queries and keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::params::{LayoutBuilder, ParamRange};

/// The base of the wavelengths, as Vaswani et al. 2017.
const BASE: f64 = 10_000.0;

/// Positions whose angles are computed once.
const TABULATED: usize = 1024;

/// How tokens learn of their positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Not at all.
    None,
    /// A learned row for each position is added; positions from `positions − 1` on share the last one.
    Learned {
        /// The number of rows.
        positions: usize,
    },
    /// `sin(p / 10000^(2i/E))` in column `2i` and the cosine in column `2i + 1` are added (Vaswani et al. 2017,
    /// arXiv:1706.03762, section 3.5).
    Sinusoidal,
    /// Queries and keys are rotated: of a head's `d` columns, `j` and `j + d/2` by the angle `p / 10000^(2j/d)`, the
    /// half-split convention of GPT-NeoX (Su et al. 2021, arXiv:2104.09864). Scores then depend on distances alone.
    #[default]
    #[doc(alias = "RoPE")]
    Rotary,
}

/// The sines and cosines of positions.
#[derive(Debug, Clone)]
pub(crate) struct Angles {
    /// `p · 10000^(−2i/width)` for `i` below this.
    count: usize,
    /// Sines, then cosines, of each position.
    table: Arc<[f32]>,
}

impl Angles {
    /// For rows of an even `width`.
    pub(crate) fn new(width: usize) -> Self {
        let count = width.div_ceil(2);
        let mut table = vec![0.0; TABULATED * 2 * count];
        for (position, row) in table.chunks_exact_mut(2 * count).enumerate() {
            write_angles(position, row);
        }
        Self { count, table: table.into() }
    }

    /// Gives `body` the sines and the cosines of a position.
    pub(crate) fn with<T>(&self, position: usize, body: impl FnOnce(&[f32], &[f32]) -> T) -> T {
        let width = 2 * self.count;
        if let Some(row) = self.table.get(position * width..(position + 1) * width) {
            let (sines, cosines) = row.split_at(self.count);
            return body(sines, cosines);
        }
        let mut row = crate::kernels::Pooled::take(width);
        write_angles(position, &mut row);
        let (sines, cosines) = row.split_at(self.count);
        body(sines, cosines)
    }

    /// Adds the sinusoidal encoding of a position to a row.
    pub(crate) fn add_to(&self, position: usize, row: &mut [f32]) {
        self.with(position, |sines, cosines| {
            for (pair, (sine, cosine)) in row.chunks_mut(2).zip(sines.iter().zip(cosines)) {
                for (value, wave) in pair.iter_mut().zip([sine, cosine]) {
                    *value += wave;
                }
            }
        });
    }

    /// Rotates the heads of a row, each as wide as the angles are made for; backwards with `inverse`.
    pub(crate) fn rotate(&self, position: usize, inverse: bool, row: &mut [f32]) {
        self.with(position, |sines, cosines| {
            for head in row.chunks_exact_mut(2 * self.count) {
                let (left, right) = head.split_at_mut(self.count);
                for ((x, y), (&sine, &cosine)) in left.iter_mut().zip(right).zip(sines.iter().zip(cosines)) {
                    let sine = if inverse { -sine } else { sine };
                    (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
                }
            }
        });
    }
}

/// Sines, then cosines, in double precision and then rounded: the angles of far positions are large.
fn write_angles(position: usize, row: &mut [f32]) {
    let count = row.len() / 2;
    let (sines, cosines) = row.split_at_mut(count);
    for (i, (sine, cosine)) in sines.iter_mut().zip(cosines).enumerate() {
        let angle = position as f64 * libm::pow(BASE, -(i as f64) / count as f64);
        (*sine, *cosine) = (libm::sin(angle) as f32, libm::cos(angle) as f32);
    }
}

/// A table of learned rows, `<name>.weight`, as PyTorch's embedding.
pub(super) fn add_learned(
    builder: &mut LayoutBuilder,
    name: &str,
    positions: usize,
    width: usize,
) -> ParamRange {
    // As GPT-2's `wpe`.
    builder.add(&format!("{name}.weight"), &[positions, width], Init::Normal { std: 0.02 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sinusoidal_encoding_is_vaswanis() {
        let mut row = [0.0; 6];
        Angles::new(6).add_to(7, &mut row);
        for i in 0..3 {
            let angle = 7.0 / 10_000.0_f64.powf(2.0 * f64::from(i) / 6.0);
            let at = 2 * i as usize;
            assert!((f64::from(row[at]) - angle.sin()).abs() < 1e-7, "{row:?}");
            assert!((f64::from(row[at + 1]) - angle.cos()).abs() < 1e-7, "{row:?}");
        }
        let mut odd = [0.0; 5];
        Angles::new(5).add_to(0, &mut odd);
        assert_eq!(odd, [0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn products_of_rotated_rows_depend_on_the_distance_alone() {
        let angles = Angles::new(8);
        let product = |p: usize, q: usize| -> f32 {
            let (mut a, mut b) =
                ([0.3, -1.0, 0.5, 2.0, 1.0, 0.25, -0.75, 0.1], [1.0, 0.2, -0.3, 0.4, 0.9, -0.6, 0.7, 1.5]);
            angles.rotate(p, false, &mut a);
            angles.rotate(q, false, &mut b);
            a.iter().zip(b).map(|(a, b)| a * b).sum()
        };
        // Beyond the table too.
        for (p, q) in [(0, 5), (40, 45), (2000, 2005), (1021, 1026)] {
            assert!((product(p, q) - product(7, 12)).abs() < 1e-4, "{p} {q}");
        }
        assert!((product(0, 1) - product(0, 2)).abs() > 1e-2);
    }

    #[test]
    fn rotating_back_gives_the_row() {
        let angles = Angles::new(4);
        let row = [1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 2.0];
        let mut turned = row;
        angles.rotate(9, false, &mut turned);
        // The first pair of each head turns by nine radians.
        assert!((turned[0] - (9.0_f32.cos() - 3.0 * 9.0_f32.sin())).abs() < 1e-5);
        angles.rotate(9, true, &mut turned);
        for (a, b) in turned.iter().zip(row) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}
