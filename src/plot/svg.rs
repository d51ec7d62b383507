//! The few SVG elements that plots are made of.

use std::fmt::Write as _;

use super::font::{Anchor, Typeface};

/// Red, green and blue.
pub(super) type Color = [u8; 3];
/// A position, from the top left corner.
pub(super) type Point = (f64, f64);

/// How a line is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) color: Color,
    pub(super) opacity: f64,
    pub(super) width: f64,
    /// Lengths of dashes and gaps by turns, in line widths; unbroken if empty.
    pub(super) dashes: Vec<f64>,
}

/// A picture under construction.
pub(super) struct Svg<'a> {
    typeface: &'a Typeface,
    elements: String,
}

impl<'a> Svg<'a> {
    pub(super) fn new(typeface: &'a Typeface) -> Self {
        Self { typeface, elements: String::new() }
    }

    /// The whole picture: `shown` is its size in pixels, `size` that in the units of its elements.
    pub(super) fn finish(self, shown: (u32, u32), size: (f64, f64)) -> String {
        let ((width, height), (w, h)) = (shown, size);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {w:.2} {h:.2}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"butt\">\n{}</svg>\n",
            self.elements
        )
    }

    pub(super) fn line(&mut self, points: impl IntoIterator<Item = Point>, stroke: &Stroke) {
        let path = path(points);
        if path.is_empty() {
            return;
        }
        let Stroke { color, opacity, width, dashes } = stroke;
        let dashes: Vec<String> = dashes.iter().map(|length| format!("{:.1}", length * width)).collect();
        let dashes = match &dashes[..] {
            [] => String::new(),
            dashes => format!(" stroke-dasharray=\"{}\"", dashes.join(" ")),
        };
        let (color, opacity) = (hex(*color), opacity_of("stroke", *opacity));
        self.push(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width:.2}\"{opacity}{dashes}/>"
        ));
    }

    pub(super) fn polygon(&mut self, points: impl IntoIterator<Item = Point>, color: Color, opacity: f64) {
        let path = path(points);
        if !path.is_empty() {
            let (color, opacity) = (hex(color), opacity_of("fill", opacity));
            self.push(&format!("<path d=\"{path}Z\" fill=\"{color}\"{opacity}/>"));
        }
    }

    pub(super) fn rect(&mut self, (x, y): Point, (w, h): (f64, f64), color: Color, opacity: f64) {
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], color, opacity);
    }

    /// A dot; hollow if not filled.
    pub(super) fn dot(&mut self, (x, y): Point, radius: f64, color: Color, filled: bool) {
        let color = hex(color);
        let paint = if filled {
            format!("fill=\"{color}\"")
        } else {
            format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"{:.2}\"", radius * 0.4)
        };
        self.push(&format!("<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius:.2}\" {paint}/>"));
    }

    /// A line of text as outlines, turned by some degrees; `size` is that of an em.
    pub(super) fn text(
        &mut self,
        text: &str,
        (x, y): Point,
        size: f64,
        anchor: Anchor,
        color: Color,
        degrees: i32,
    ) {
        if text.is_empty() {
            return;
        }
        let turn = if degrees == 0 { String::new() } else { format!(" rotate({degrees})") };
        let (outline, color) = (self.typeface.outline(text, size, anchor), hex(color));
        // Who reads with a screen reader, or searches, finds the words.
        let label = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        self.push(&format!(
            "<path role=\"img\" aria-label=\"{label}\" transform=\"translate({x:.2} {y:.2}){turn}\" fill=\"{color}\" \
             d=\"{outline}\"/>"
        ));
    }

    fn push(&mut self, element: &str) {
        self.elements.push_str(element);
        self.elements.push('\n');
    }
}

fn path(points: impl IntoIterator<Item = Point>) -> String {
    let mut data = String::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        let _ = write!(data, "{}{x:.2} {y:.2}", if i == 0 { 'M' } else { 'L' });
    }
    data
}

fn hex([r, g, b]: Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn opacity_of(what: &str, opacity: f64) -> String {
    if opacity < 1.0 { format!(" {what}-opacity=\"{opacity:.2}\"") } else { String::new() }
}
