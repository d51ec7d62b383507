//! The picture itself: title and legend above, then the plot with its axes.
//!
//! Everything is laid out here, in pixels; plotters serves as canvas, and text is drawn as outlines. The legend has rows of its own
//! above the plot, so that it never hides a curve. plotters rounds coordinates to whole units: the picture is drawn
//! several times enlarged and shown at its size.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};

use plotters::coord::Shift;
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Rectangle};
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::{Color, RGBColor, ShapeStyle, WHITE};

use super::font::{Anchor, Typeface};
use super::series::{Series, range_of};
use super::ticks::Ticks;
use super::{Curve, Line, PlotError, PlotOptions};

/// Units of the canvas in a pixel.
const UNITS: f64 = 8.0;
/// Room that a text is given, as a share of its width.
const TEXT_ROOM: f64 = 1.06;

// Sizes in pixels of a plot of 960 × 600; others are scaled, but text never below the smallest scale.
const REFERENCE_SIZE: (f64, f64) = (960.0, 600.0);
const SMALLEST_SCALE: f64 = 0.6;
const TITLE_SIZE: f64 = 24.0;
const AXIS_LABEL_SIZE: f64 = 20.0;
const LEGEND_SIZE: f64 = 18.0;
const TICK_SIZE: f64 = 17.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 8.0;
const SWATCH_WIDTH: f64 = 34.0;
const LINE_WIDTH: f64 = 2.4;
const DASH: (f64, f64) = (9.0, 6.0);

const TEXT_COLOR: RGBColor = RGBColor(0x22, 0x22, 0x22);
const AXIS_COLOR: RGBColor = RGBColor(0x55, 0x55, 0x55);
const GRID_COLOR: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const THRESHOLD_COLOR: RGBColor = RGBColor(0x66, 0x66, 0x66);
const BAND_OPACITY: f64 = 0.2;
const UNSMOOTHED_OPACITY: f64 = 0.3;

/// Okabe and Ito's colours, which colour-blind readers can tell apart; the pale yellow comes last.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0xf0, 0xe4, 0x42),
];

/// Draws curves into an SVG text.
pub(super) fn draw(curves: &[Curve], options: &PlotOptions) -> Result<String, PlotError> {
    validate(options)?;
    draw_series(curves.iter().map(|curve| Series::new(curve, options.smooth)), options)
}

/// Draws lines into an SVG text.
pub(super) fn draw_lines(lines: &[Line], options: &PlotOptions) -> Result<String, PlotError> {
    validate(options)?;
    draw_series(lines.iter().map(Series::of_line), options)
}

fn draw_series(
    series: impl Iterator<Item = Result<Series, PlotError>>,
    options: &PlotOptions,
) -> Result<String, PlotError> {
    let as_wanted = |mut series: Series| {
        if !options.bands {
            series.band.clear();
        }
        if options.log_x { series.over_log10() } else { Ok(series) }
    };
    let series = series.map(|series| as_wanted(series?)).collect::<Result<Vec<_>, _>>()?;
    if series.is_empty() {
        return Err(PlotError::NoData { label: None });
    }
    let typeface = Typeface::new()?;

    let (width, height) = options.size;
    let (canvas_width, canvas_height) = (width * UNITS as u32, height * UNITS as u32);
    let mut svg = String::new();
    let texts;
    {
        let root = SVGBackend::with_string(&mut svg, (canvas_width, canvas_height)).into_drawing_area();
        let canvas = Canvas::new(&root, &typeface, options.size);
        canvas.draw(&series, options)?;
        root.present().map_err(failed)?;
        texts = canvas.texts.into_inner();
    }
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    svg.insert_str(end, &texts);
    let enlarged = format!(r#"width="{canvas_width}" height="{canvas_height}""#);
    let shown =
        format!(r#"width="{width}" height="{height}" stroke-linejoin="round" stroke-linecap="round""#);
    Ok(svg.replacen(&enlarged, &shown, 1))
}

fn validate(options: &PlotOptions) -> Result<(), PlotError> {
    let (width, height) = options.size;
    if !(200..=8192).contains(&width) || !(150..=8192).contains(&height) {
        let (field, bound) = ("size", "between 200 x 150 and 8192 x 8192");
        return Err(PlotError::InvalidOption { field, bound, value: format!("{width} x {height}") });
    }
    if options.smooth == 0 {
        let (field, bound) = ("smooth", "at least 1");
        return Err(PlotError::InvalidOption { field, bound, value: "0".to_owned() });
    }
    match options.threshold {
        Some((y, _)) if !y.is_finite() => {
            let (field, bound) = ("threshold", "a finite number");
            Err(PlotError::InvalidOption { field, bound, value: y.to_string() })
        }
        _ => Ok(()),
    }
}

/// A drawing area with lengths in pixels of the reference size.
struct Canvas<'a, 'b> {
    root: &'a DrawingArea<SVGBackend<'b>, Shift>,
    typeface: &'a Typeface,
    /// Elements of the texts so far.
    texts: RefCell<String>,
    /// Units of the canvas in a pixel of the reference size.
    unit: f64,
    width: f64,
    height: f64,
}

/// Where the plot lies and which numbers it shows.
struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let along = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let height = self.bottom - self.top;
        (self.left + along(x, self.x) * (self.right - self.left), self.bottom - along(y, self.y) * height)
    }
}

/// One sign and text of the legend.
struct LegendEntry {
    text: String,
    color: RGBColor,
    is_dashed: bool,
    is_dots: bool,
    has_band: bool,
}

impl<'a, 'b> Canvas<'a, 'b> {
    fn new(
        root: &'a DrawingArea<SVGBackend<'b>, Shift>,
        typeface: &'a Typeface,
        (width, height): (u32, u32),
    ) -> Self {
        let (width, height) = (f64::from(width), f64::from(height));
        let fit = (width / REFERENCE_SIZE.0).min(height / REFERENCE_SIZE.1).max(SMALLEST_SCALE);
        let texts = RefCell::default();
        Self { root, typeface, texts, unit: fit * UNITS, width: width / fit, height: height / fit }
    }

    fn draw(&self, series: &[Series], options: &PlotOptions) -> Result<(), PlotError> {
        self.root.fill(&WHITE).map_err(failed)?;
        let (x, y) = (x_range(series, options), y_range(series, options));

        // The height of the plot decides on the y ticks, their width on its left edge, its width on the x ticks.
        let legend = legend(series, options);
        let title_height = if options.title.is_empty() { 0.0 } else { TITLE_SIZE * 1.2 + GAP };
        let legend_rows = self.legend_rows(&legend, self.width - 2.0 * MARGIN);
        let legend_height = legend_rows.len() as f64 * LEGEND_SIZE * 1.5;
        let top = MARGIN + title_height + legend_height + GAP;
        let bottom = self.height - MARGIN - AXIS_LABEL_SIZE * 1.2 - GAP - TICK_SIZE * 1.2 - GAP;
        let y_ticks = Ticks::new(y.0, y.1, ((bottom - top) / (TICK_SIZE * 3.5)).clamp(2.0, 8.0) as usize);
        let left = MARGIN + AXIS_LABEL_SIZE * 1.2 + GAP + self.widest(&y_ticks) + GAP;
        let (x_ticks, right) = self.x_ticks(x, left, options.log_x);
        let frame = Frame { left, top, right, bottom, x, y };

        self.draw_grid(&frame, &x_ticks, &y_ticks)?;
        if let Some((threshold, _)) = options.threshold {
            let ends = [frame.at((x.0, threshold)), frame.at((x.1, threshold))];
            self.dashed_line(&ends, self.stroke(THRESHOLD_COLOR, 1.0, LINE_WIDTH * 0.8))?;
        }
        self.draw_series(&frame, series)?;
        self.draw_axes(&frame)?;
        self.draw_axis_labels(&frame, options);
        self.draw_legend(&legend, &legend_rows, MARGIN + title_height)?;
        if !options.title.is_empty() {
            let size = self.fitting_size(&options.title, TITLE_SIZE, self.width - 2.0 * MARGIN);
            self.write(&options.title, (self.width / 2.0, MARGIN), size, Anchor::Top);
        }
        Ok(())
    }

    /// As many x ticks as fit with their texts, and the right edge of the plot, which leaves room for the last one.
    fn x_ticks(&self, (low, high): (f64, f64), left: f64, log: bool) -> (Ticks, f64) {
        let mut count = 9;
        loop {
            let ticks = if log { Ticks::logarithmic(low, high, count) } else { Ticks::new(low, high, count) };
            let text_width = self.widest(&ticks);
            let right = self.width - MARGIN - text_width / 2.0;
            let room = (right - left) / ticks.values.len() as f64;
            if count <= 1 || text_width * 1.35 <= room {
                return (ticks, right);
            }
            count -= 1;
        }
    }

    fn draw_grid(&self, frame: &Frame, x_ticks: &Ticks, y_ticks: &Ticks) -> Result<(), PlotError> {
        let grid = self.stroke(GRID_COLOR, 1.0, 1.0);
        for (&value, label) in x_ticks.values.iter().zip(x_ticks.labels()) {
            let (x, _) = frame.at((value, frame.y.0));
            self.line(&[(x, frame.top), (x, frame.bottom)], grid)?;
            self.write(&label, (x, frame.bottom + GAP), TICK_SIZE, Anchor::Top);
        }
        for (&value, label) in y_ticks.values.iter().zip(y_ticks.labels()) {
            let (_, y) = frame.at((frame.x.0, value));
            self.line(&[(frame.left, y), (frame.right, y)], grid)?;
            // Centred on digits, which are higher than the lower-case letters that centring goes by.
            self.write(&label, (frame.left - GAP, y + TICK_SIZE * 0.08), TICK_SIZE, Anchor::Right);
        }
        Ok(())
    }

    fn draw_series(&self, frame: &Frame, series: &[Series]) -> Result<(), PlotError> {
        for (series, color) in series.iter().zip(PALETTE.iter().cycle()) {
            let within = |y: f64| y.clamp(frame.y.0, frame.y.1);
            let ends = series.line.iter().zip(&series.band);
            let above = ends.clone().map(|((x, _), (_, high))| frame.at((*x, within(*high))));
            let below = ends.rev().map(|((x, _), (low, _))| frame.at((*x, within(*low))));
            let outline: Vec<_> = above.chain(below).map(|point| self.units(point)).collect();
            if !outline.is_empty() {
                self.root.draw(&Polygon::new(outline, color.mix(BAND_OPACITY).filled())).map_err(failed)?;
            }
            let unsmoothed: Vec<_> = series.unsmoothed.iter().map(|&point| frame.at(point)).collect();
            self.line(&unsmoothed, self.stroke(*color, UNSMOOTHED_OPACITY, LINE_WIDTH * 0.5))?;
        }
        for (i, series) in series.iter().enumerate() {
            let stroke = self.stroke(PALETTE[i % PALETTE.len()], 1.0, LINE_WIDTH);
            let points: Vec<_> = series.line.iter().map(|&point| frame.at(point)).collect();
            match points[..] {
                [point] => self.dot(point, stroke)?,
                _ if !series.joined => points.iter().try_for_each(|&point| self.dot(point, stroke))?,
                _ if is_dashed(i) => self.dashed_line(&points, stroke)?,
                _ => self.line(&points, stroke)?,
            }
        }
        Ok(())
    }

    fn draw_axes(&self, frame: &Frame) -> Result<(), PlotError> {
        let corner = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)];
        self.line(&corner, self.stroke(AXIS_COLOR, 1.0, 1.2))
    }

    fn draw_axis_labels(&self, frame: &Frame, options: &PlotOptions) {
        let size = self.fitting_size(&options.x_label, AXIS_LABEL_SIZE, frame.right - frame.left);
        let below = frame.bottom + GAP + TICK_SIZE * 1.2 + GAP;
        self.write(&options.x_label, ((frame.left + frame.right) / 2.0, below), size, Anchor::Top);

        let size = self.fitting_size(&options.y_label, AXIS_LABEL_SIZE, frame.bottom - frame.top);
        let beside = (MARGIN * 0.75, (frame.top + frame.bottom) / 2.0);
        self.write_turned(&options.y_label, beside, size, Anchor::Top, -90);
    }

    /// The entries in rows that fit into a width, each with its distance from the left.
    fn legend_rows(&self, legend: &[LegendEntry], width: f64) -> Vec<Vec<(usize, f64)>> {
        let mut rows: Vec<Vec<(usize, f64)>> = Vec::new();
        let mut end = f64::INFINITY;
        for (i, entry) in legend.iter().enumerate() {
            let entry_width = SWATCH_WIDTH + GAP + self.text_width(&entry.text, LEGEND_SIZE);
            if end + entry_width > width {
                rows.push(Vec::new());
                end = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((i, end));
            }
            end += entry_width + 3.0 * GAP;
        }
        rows
    }

    fn draw_legend(
        &self,
        legend: &[LegendEntry],
        rows: &[Vec<(usize, f64)>],
        top: f64,
    ) -> Result<(), PlotError> {
        for (row, entries) in rows.iter().enumerate() {
            let y = top + (row as f64 + 0.5) * LEGEND_SIZE * 1.5;
            // Rows are centred over the picture.
            let end = entries.last().map_or(0.0, |&(i, begin)| {
                begin + SWATCH_WIDTH + GAP + self.text_width(&legend[i].text, LEGEND_SIZE)
            });
            let row_left = ((self.width - end) / 2.0).max(MARGIN);
            for &(i, begin) in entries {
                let (entry, x) = (&legend[i], row_left + begin);
                if entry.has_band {
                    let half = LEGEND_SIZE * 0.45;
                    let corners = [self.units((x, y - half)), self.units((x + SWATCH_WIDTH, y + half))];
                    let fill = entry.color.mix(BAND_OPACITY).filled();
                    self.root.draw(&Rectangle::new(corners, fill)).map_err(failed)?;
                }
                let ends = [(x, y), (x + SWATCH_WIDTH, y)];
                let stroke = self.stroke(entry.color, 1.0, LINE_WIDTH);
                if entry.is_dots {
                    self.dot((x + SWATCH_WIDTH / 2.0, y), stroke)?;
                } else if entry.is_dashed {
                    self.dashed_line(&ends, stroke)?;
                } else {
                    self.line(&ends, stroke)?;
                }
                let text_left = x + SWATCH_WIDTH + GAP;
                let size = self.fitting_size(&entry.text, LEGEND_SIZE, self.width - MARGIN - text_left);
                self.write(&entry.text, (text_left, y), size, Anchor::Left);
            }
        }
        Ok(())
    }

    fn dot(&self, point: (f64, f64), style: ShapeStyle) -> Result<(), PlotError> {
        let radius = (LINE_WIDTH * 1.8 * self.unit) as i32;
        self.root.draw(&Circle::new(self.units(point), radius, style.filled())).map_err(failed)
    }

    fn line(&self, points: &[(f64, f64)], stroke: ShapeStyle) -> Result<(), PlotError> {
        if points.is_empty() {
            return Ok(());
        }
        let points: Vec<_> = points.iter().map(|&point| self.units(point)).collect();
        self.root.draw(&PathElement::new(points, stroke)).map_err(failed)
    }

    fn dashed_line(&self, points: &[(f64, f64)], stroke: ShapeStyle) -> Result<(), PlotError> {
        let points: Vec<_> = points.iter().map(|&point| self.units(point)).collect();
        let (dash, gap) = ((DASH.0 * self.unit) as i32, (DASH.1 * self.unit) as i32);
        self.root.draw(&DashedPathElement::new(points, dash, gap, stroke)).map_err(failed)
    }

    /// Writes a text; `size` is that of an em.
    fn write(&self, text: &str, position: (f64, f64), size: f64, anchor: Anchor) {
        self.write_turned(text, position, size, anchor, 0);
    }

    /// As [`Self::write`], turned by some degrees.
    fn write_turned(&self, text: &str, position: (f64, f64), size: f64, anchor: Anchor, degrees: i32) {
        if text.is_empty() {
            return;
        }
        let (x, y) = self.units(position);
        let turn = if degrees == 0 { String::new() } else { format!(" rotate({degrees})") };
        let outline = self.typeface.outline(text, size * self.unit, anchor);
        let (RGBColor(r, g, b), label) = (TEXT_COLOR, escaped(text));
        // Who reads with a screen reader, or searches, finds the words.
        let _ = writeln!(
            self.texts.borrow_mut(),
            r##"<path role="img" aria-label="{label}" transform="translate({x} {y}){turn}" fill="#{r:02x}{g:02x}{b:02x}" d="{outline}"/>"##
        );
    }

    fn text_width(&self, text: &str, size: f64) -> f64 {
        TEXT_ROOM * size * self.typeface.width(text)
    }

    /// The size, made smaller if the text would be wider than allowed.
    fn fitting_size(&self, text: &str, size: f64, width: f64) -> f64 {
        size * (width.max(1.0) / self.text_width(text, size).max(1.0)).min(1.0)
    }

    fn widest(&self, ticks: &Ticks) -> f64 {
        ticks.labels().fold(0.0, |widest, label| widest.max(self.text_width(&label, TICK_SIZE)))
    }

    fn stroke(&self, color: RGBColor, opacity: f64, width: f64) -> ShapeStyle {
        color.mix(opacity).stroke_width((width * self.unit).round() as u32)
    }

    fn units(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.unit).round() as i32, (y * self.unit).round() as i32)
    }
}

/// A text as the value of an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn legend(series: &[Series], options: &PlotOptions) -> Vec<LegendEntry> {
    let counts_runs = series.iter().any(|series| series.num_runs > 1);
    let mut legend: Vec<LegendEntry> = series
        .iter()
        .enumerate()
        .filter(|(_, series)| !series.label.is_empty())
        .map(|(i, series)| LegendEntry {
            text: if counts_runs {
                format!("{} (n = {})", series.label, series.num_runs)
            } else {
                series.label.clone()
            },
            color: PALETTE[i % PALETTE.len()],
            is_dashed: is_dashed(i),
            is_dots: !series.joined,
            has_band: !series.band.is_empty(),
        })
        .collect();
    if let Some((_, text)) = &options.threshold {
        let text = text.clone();
        legend.push(LegendEntry {
            text,
            color: THRESHOLD_COLOR,
            is_dashed: true,
            is_dots: false,
            has_band: false,
        });
    }
    legend
}

/// When all colours are used, the next lines have them again, dashed.
fn is_dashed(index: usize) -> bool {
    index / PALETTE.len() % 2 == 1
}

/// The x of all lines, from 0 if they begin near it.
fn x_range(series: &[Series], options: &PlotOptions) -> (f64, f64) {
    let (low, high) = range_of(series.iter().flat_map(|series| &series.line).map(|(x, _)| *x));
    if series.iter().any(|series| !series.joined) {
        // Dots lie inside.
        let margin = if low < high { (high - low) * 0.04 } else { margin_of_one(low) };
        return (low - margin, high + margin);
    }
    if options.log_x && low < high {
        return (low, high);
    }
    let low = if (0.0..=0.15 * high).contains(&low) { 0.0 } else { low };
    if low < high { (low, high) } else { (low - margin_of_one(low), high + margin_of_one(high)) }
}

/// The y of everything that is drawn, with a margin.
///
/// Bands may widen the range of the runs by a quarter on each side: the interval of two seeds, which can be ten times
/// as wide as they differ, is cut off at the edge rather than flattening the curves.
fn y_range(series: &[Series], options: &PlotOptions) -> (f64, f64) {
    let threshold = options.threshold.iter().map(|(y, _)| *y);
    let runs = series.iter().flat_map(|series| [series.range.0, series.range.1]);
    let unsmoothed = series.iter().flat_map(|series| &series.unsmoothed).map(|(_, y)| *y);
    let (low, high) = range_of(runs.chain(unsmoothed).chain(threshold));
    let (band_low, _) = range_of(series.iter().flat_map(|series| &series.band).map(|(low, _)| *low));
    let (_, band_high) = range_of(series.iter().flat_map(|series| &series.band).map(|(_, high)| *high));
    let most = (high - low) * 0.25;
    let (low, high) = (low.min(band_low.max(low - most)), high.max(band_high.min(high + most)));
    let margin = if low < high { (high - low) * 0.04 } else { margin_of_one(low) };
    (low - margin, high + margin)
}

/// The margin around a single number.
fn margin_of_one(number: f64) -> f64 {
    (number.abs() * 0.05).max(0.5)
}

fn failed(error: impl Display) -> PlotError {
    PlotError::Drawing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(band: &[(f64, f64)]) -> Series {
        let line = vec![(100.0, 0.0), (1000.0, 100.0)];
        Series {
            label: "a".to_owned(),
            num_runs: 2,
            line,
            band: band.to_vec(),
            range: (0.0, 100.0),
            unsmoothed: Vec::new(),
            joined: true,
        }
    }

    #[test]
    fn ranges_hold_the_data_with_a_margin() {
        let options = PlotOptions::default();
        assert_eq!(x_range(&[series(&[])], &PlotOptions::default()), (0.0, 1000.0));
        assert_eq!(y_range(&[series(&[])], &options), (-4.0, 104.0));
        assert_eq!(y_range(&[series(&[(-10.0, 10.0), (95.0, 140.0)])], &options), (-15.4, 130.4));
        let options = PlotOptions { threshold: Some((200.0, "solved".to_owned())), ..options };
        assert_eq!(y_range(&[series(&[])], &options), (-8.0, 208.0));
    }

    #[test]
    fn wide_bands_do_not_flatten_the_curves() {
        let range = y_range(&[series(&[(-900.0, 900.0), (-900.0, 900.0)])], &PlotOptions::default());
        assert_eq!(range, (-31.0, 131.0));
    }

    #[test]
    fn constant_data_has_a_range() {
        let mut flat = series(&[]);
        flat.line = vec![(5.0, 500.0)];
        flat.range = (500.0, 500.0);
        assert_eq!(x_range(&[flat.clone()], &PlotOptions::default()), (4.5, 5.5));
        assert_eq!(y_range(&[flat], &PlotOptions::default()), (475.0, 525.0));
    }

    #[test]
    fn colours_repeat_dashed() {
        let legend = legend(&vec![series(&[]); 9], &PlotOptions::default());
        assert_eq!(legend[8].color, PALETTE[0]);
        assert!(legend[8].is_dashed && !legend[7].is_dashed);
        assert_eq!(legend[0].text, "a (n = 2)");
    }
}
