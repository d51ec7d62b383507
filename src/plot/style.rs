//! Colours and dashes: no two curves of a plot look the same.

use super::svg::Color;

/// Okabe and Ito's colours, which colour-blind readers can tell apart, without their yellow, which paper swallows.
///
/// # Source
/// Okabe and Ito 2008, *Color Universal Design*.
const PALETTE: [Color; 7] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0x00, 0x00, 0x00],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
];

/// The colour of a curve.
pub(super) fn color(index: usize) -> Color {
    PALETTE[index % PALETTE.len()]
}

/// The dashes of a curve, in line widths: when all colours are used they come again dashed, then dotted, then as a dash with
/// one dot, with two dots, and so on.
pub(super) fn dashes(index: usize) -> Vec<f64> {
    match index / PALETTE.len() {
        0 => Vec::new(),
        1 => vec![4.0, 2.4],
        2 => vec![1.2, 1.6],
        round => [vec![6.0, 1.8], [1.4, 1.8].repeat(round - 2)].concat(),
    }
}

/// Whether a dot of a series is filled: the second round of colours is hollow.
pub(super) fn is_filled(index: usize) -> bool {
    (index / PALETTE.len()).is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_do_not_repeat() {
        let styles: Vec<_> = (0..60).map(|i| (color(i), dashes(i))).collect();
        for (i, style) in styles.iter().enumerate() {
            assert!(!styles[..i].contains(style), "style {i} repeats");
        }
        assert!((0..7).all(|i| dashes(i).is_empty()), "the first seven are whole");
    }

    /// Machado, Oliveira and Fernandes 2009, severity 1, and the brightness on paper.
    #[test]
    fn colours_differ_for_colour_blind_readers_and_print() {
        let matrices = [
            [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ],
            [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ],
        ];
        let linear = |color: Color| color.map(|c| (f64::from(c) / 255.0).powf(2.2));
        for matrix in matrices {
            let seen = |color: Color| {
                let from = linear(color);
                matrix.map(|row| {
                    let sum: f64 = row.iter().zip(from).map(|(weight, c)| weight * c).sum();
                    sum.clamp(0.0, 1.0).powf(1.0 / 2.2)
                })
            };
            for (i, &a) in PALETTE.iter().enumerate() {
                for &b in &PALETTE[..i] {
                    let distance: f64 = seen(a).iter().zip(seen(b)).map(|(a, b)| (a - b).powi(2)).sum();
                    assert!(distance.sqrt() > 0.12, "{a:?} and {b:?} look alike: {}", distance.sqrt());
                }
            }
        }
        for color in PALETTE {
            let [r, g, b] = linear(color);
            assert!(0.2126 * r + 0.7152 * g + 0.0722 * b < 0.55, "{color:?} is too pale for paper");
        }
    }
}
