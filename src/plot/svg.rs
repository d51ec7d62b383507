//! The canvas of plots: lines, areas and dots by plotters, text as outlines.
//!
//! plotters rounds coordinates to whole units, so everything is drawn enlarged and shown at its size.

use std::fmt::{Display, Write as _};

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::{Color as _, RGBColor, ShapeStyle};

use super::PlotError;
use super::font::{Anchor, Typeface};

/// Red, green and blue.
pub(super) type Color = [u8; 3];
/// A position, from the top left corner.
pub(super) type Point = (f64, f64);

/// plotters' units in one of ours.
const UNITS: f64 = 8.0;

/// How a line is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) color: Color,
    pub(super) opacity: f64,
    pub(super) width: f64,
    /// Lengths of dashes and gaps by turns, in line widths; unbroken if empty.
    pub(super) dashes: Vec<f64>,
}

/// What plotters draws.
enum Shape {
    Line(Vec<Point>, ShapeStyle),
    Area(Vec<Point>, ShapeStyle),
    Dot(Point, f64, ShapeStyle),
}

/// A picture under construction.
pub(super) struct Svg<'a> {
    typeface: &'a Typeface,
    shapes: Vec<Shape>,
    texts: String,
}

impl<'a> Svg<'a> {
    pub(super) fn new(typeface: &'a Typeface) -> Self {
        Self { typeface, shapes: Vec::new(), texts: String::new() }
    }

    /// The whole picture: `shown` is its size in pixels, `size` that in the units of its shapes.
    pub(super) fn finish(self, shown: (u32, u32), size: (f64, f64)) -> Result<String, PlotError> {
        let enlarged = ((size.0 * UNITS).round() as u32, (size.1 * UNITS).round() as u32);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, enlarged).into_drawing_area();
            self.shapes.iter().try_for_each(|shape| shape.draw(&area))?;
            area.present().map_err(failed)?;
        }
        let end = svg.rfind("</svg>").unwrap_or(svg.len());
        svg.insert_str(end, &format!("<g transform=\"scale({UNITS})\">\n{}</g>\n", self.texts));
        let drawn = format!("width=\"{}\" height=\"{}\"", enlarged.0, enlarged.1);
        let shown = format!("width=\"{}\" height=\"{}\" stroke-linejoin=\"round\"", shown.0, shown.1);
        Ok(svg.replacen(&drawn, &shown, 1))
    }

    pub(super) fn line(&mut self, points: impl IntoIterator<Item = Point>, stroke: &Stroke) {
        let Stroke { color, opacity, width, dashes } = stroke;
        let style = style(*color, *opacity).stroke_width((width * UNITS).round() as u32);
        let points: Vec<Point> = points.into_iter().collect();
        if points.is_empty() {
            return;
        }
        if dashes.is_empty() {
            self.shapes.push(Shape::Line(points, style));
        } else {
            let lengths: Vec<f64> = dashes.iter().map(|length| length * width).collect();
            self.shapes.extend(dashed(&points, &lengths).into_iter().map(|dash| Shape::Line(dash, style)));
        }
    }

    pub(super) fn polygon(&mut self, points: impl IntoIterator<Item = Point>, color: Color, opacity: f64) {
        let points: Vec<Point> = points.into_iter().collect();
        if !points.is_empty() {
            self.shapes.push(Shape::Area(points, style(color, opacity).filled()));
        }
    }

    pub(super) fn rect(&mut self, (x, y): Point, (w, h): (f64, f64), color: Color, opacity: f64) {
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], color, opacity);
    }

    /// A dot; hollow if not filled.
    pub(super) fn dot(&mut self, center: Point, radius: f64, color: Color, filled: bool) {
        let style = style(color, 1.0);
        let style =
            if filled { style.filled() } else { style.stroke_width((radius * 0.4 * UNITS).round() as u32) };
        self.shapes.push(Shape::Dot(center, radius, style));
    }

    /// A line of text as outlines, turned by some degrees; `size` is that of an em.
    pub(super) fn text(
        &mut self,
        text: &str,
        (x, y): Point,
        size: f64,
        anchor: Anchor,
        [red, green, blue]: Color,
        degrees: i32,
    ) {
        if text.is_empty() {
            return;
        }
        let turn = if degrees == 0 { String::new() } else { format!(" rotate({degrees})") };
        let outline = self.typeface.outline(text, size, anchor);
        // Who reads with a screen reader, or searches, finds the words.
        let label = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        let _ = writeln!(
            self.texts,
            "<path role=\"img\" aria-label=\"{label}\" transform=\"translate({x:.2} {y:.2}){turn}\" \
             fill=\"#{red:02x}{green:02x}{blue:02x}\" d=\"{outline}\"/>"
        );
    }
}

impl Shape {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), PlotError> {
        let units = |&(x, y): &Point| ((x * UNITS).round() as i32, (y * UNITS).round() as i32);
        let all = |points: &[Point]| points.iter().map(units).collect::<Vec<_>>();
        match self {
            Self::Line(points, style) => area.draw(&PathElement::new(all(points), *style)),
            Self::Area(points, style) => area.draw(&Polygon::new(all(points), *style)),
            Self::Dot(center, radius, style) => {
                area.draw(&Circle::new(units(center), (radius * UNITS).round() as i32, *style))
            }
        }
        .map_err(failed)
    }
}

fn style([red, green, blue]: Color, opacity: f64) -> ShapeStyle {
    ShapeStyle::from(RGBColor(red, green, blue).mix(opacity))
}

/// The dashes of a line; `lengths` are those of dashes and gaps by turns.
fn dashed(points: &[Point], lengths: &[f64]) -> Vec<Vec<Point>> {
    let mut dashes = Vec::new();
    let Some(&first) = points.first() else { return dashes };
    let (mut turn, mut left, mut dash) = (0, lengths[0], vec![first]);
    for pair in points.windows(2) {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        let length = (to_x - x).hypot(to_y - y);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = (x + (to_x - x) * done / length, y + (to_y - y) * done / length);
            if turn % 2 == 0 {
                dash.push(at);
                dashes.push(std::mem::take(&mut dash));
            } else {
                dash = vec![at];
            }
            turn += 1;
            left = lengths[turn % lengths.len()];
        }
        left -= length - done;
        if turn % 2 == 0 {
            dash.push((to_x, to_y));
        }
    }
    dashes.extend(Some(dash).filter(|dash| dash.len() > 1));
    dashes
}

fn failed(error: impl Display) -> PlotError {
    PlotError::Drawing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_around_corners_and_keep_their_lengths() {
        let corner = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)];
        let found = dashed(&corner, &[3.0, 1.0]);
        let expected = [
            vec![(0.0, 0.0), (3.0, 0.0)],
            vec![(4.0, 0.0), (5.0, 0.0), (5.0, 2.0)],
            vec![(5.0, 3.0), (5.0, 5.0)],
        ];
        assert_eq!(found, expected);
        assert!(dashed(&[], &[1.0, 1.0]).is_empty());
    }
}
