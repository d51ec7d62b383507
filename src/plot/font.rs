//! The one font of all plots, DejaVu Sans, as outlines: pictures do not depend on what a system has installed.

use std::fmt::Write as _;

use ab_glyph::{Font, FontRef, OutlineCurve, Point};

use super::PlotError;

/// The embedded font.
pub(super) struct Typeface(FontRef<'static>);

/// Which point of a line of text its position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The left end, half way up.
    Left,
    /// The right end, half way up.
    Right,
    /// The middle of the upper edge.
    Top,
}

/// From the baseline to the upper edge of a line, in ems.
const ASCENT: f64 = 0.76;
/// From the baseline to half way up a lower-case letter, in ems.
const MIDDLE: f64 = 0.25;

impl Typeface {
    pub(super) fn new() -> Result<Self, PlotError> {
        let damaged = |_| PlotError::Drawing("the embedded font is damaged".to_owned());
        FontRef::try_from_slice(agon_envs::render::FONT).map(Self).map_err(damaged)
    }

    /// Width of a line of text of one em.
    pub(super) fn width(&self, text: &str) -> f64 {
        let advances = text.chars().map(|letter| self.0.h_advance_unscaled(self.0.glyph_id(letter)));
        f64::from(advances.sum::<f32>()) / self.units()
    }

    /// The outline of a line of text as the data of an SVG path, around the origin.
    pub(super) fn outline(&self, text: &str, em: f64, anchor: Anchor) -> String {
        let scale = em / self.units();
        let (mut pen, down) = match anchor {
            Anchor::Left => (0.0, MIDDLE * em),
            Anchor::Right => (-em * self.width(text), MIDDLE * em),
            Anchor::Top => (-em * self.width(text) / 2.0, ASCENT * em),
        };
        let mut data = String::new();
        for letter in text.chars() {
            let glyph = self.0.glyph_id(letter);
            let at = |point: Point| (pen + f64::from(point.x) * scale, down - f64::from(point.y) * scale);
            let mut end = None;
            for curve in self.0.outline(glyph).map(|outline| outline.curves).unwrap_or_default() {
                let (from, controls, to) = match curve {
                    OutlineCurve::Line(from, to) => (from, vec![], to),
                    OutlineCurve::Quad(from, control, to) => (from, vec![control], to),
                    OutlineCurve::Cubic(from, a, b, to) => (from, vec![a, b], to),
                };
                if end != Some(from) {
                    let (x, y) = at(from);
                    let _ = write!(data, "M{x:.2} {y:.2}");
                }
                data.push(['L', 'Q', 'C'][controls.len()]);
                for point in controls.into_iter().chain([to]) {
                    let (x, y) = at(point);
                    let _ = write!(data, "{x:.2} {y:.2} ");
                }
                end = Some(to);
            }
            pen += f64::from(self.0.h_advance_unscaled(glyph)) * scale;
        }
        data
    }

    fn units(&self) -> f64 {
        self.0.units_per_em().map_or(1.0, f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_anchors_are_the_fonts() {
        let typeface = Typeface::new().unwrap();
        // 1303 of 2048 units: every digit of DejaVu Sans.
        assert!((typeface.width("00") - 2.0 * 1303.0 / 2048.0).abs() < 1e-9);
        let begin = |anchor| {
            let data = typeface.outline("H", 100.0, anchor);
            let numbers = data[1..].split(['L', ' ']).take(2);
            numbers.map(|number| number.parse().unwrap()).collect::<Vec<f64>>()
        };
        let (left, right, top) = (begin(Anchor::Left), begin(Anchor::Right), begin(Anchor::Top));
        assert!((left[0] - right[0] - 100.0 * typeface.width("H")).abs() < 0.2, "{left:?} {right:?}");
        assert!((top[1] - left[1] - 51.0).abs() < 0.2, "{left:?} {top:?}");
        assert!(typeface.outline(" ", 10.0, Anchor::Left).is_empty());
    }
}
