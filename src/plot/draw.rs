//! The picture itself: title and legend, the plot with its axes, and what has to be known of it in small letters.
//!
//! Everything is laid out here, in pixels of a picture of the reference size. Legend and notes have rows of their own, so that
//! they never hide a curve; where they take much room the picture becomes higher instead of the plot smaller.

use super::font::{Anchor, Typeface};
use super::legend::{Legend, SWATCH_WIDTH};
use super::series::{Series, range_of};
use super::style;
use super::svg::{Color, Point, Stroke, Svg};
use super::ticks::Ticks;
use super::{Band, Curve, Line, Picture, PlotError, PlotOptions};

/// Room that a text is given, as a share of its width.
const TEXT_ROOM: f64 = 1.06;

// Sizes in pixels of a plot of 960 × 600; others are scaled, but text never below the smallest scale.
const REFERENCE_SIZE: (f64, f64) = (960.0, 600.0);
const SMALLEST_SCALE: f64 = 0.6;
const TITLE_SIZE: f64 = 24.0;
const AXIS_LABEL_SIZE: f64 = 20.0;
const TICK_SIZE: f64 = 17.0;
const NOTE_SIZE: f64 = 13.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 8.0;
const LINE_WIDTH: f64 = 2.4;
/// The share of the picture's height that the plot has at least.
const PLOT_SHARE: f64 = 0.6;

const TEXT_COLOR: Color = [0x22, 0x22, 0x22];
const NOTE_COLOR: Color = [0x55, 0x55, 0x55];
const AXIS_COLOR: Color = [0x55, 0x55, 0x55];
const GRID_COLOR: Color = [0xe4, 0xe4, 0xe4];
pub(super) const THRESHOLD_COLOR: Color = [0x66, 0x66, 0x66];
pub(super) const THRESHOLD_DASHES: [f64; 2] = [4.0, 2.5];
const FAINT_OPACITY: f64 = 0.35;
const PARTIAL_OPACITY: f64 = 0.65;

/// Draws curves.
pub(super) fn draw(curves: &[Curve], options: &PlotOptions) -> Result<Picture, PlotError> {
    validate(options)?;
    let series = curves.iter().map(|curve| Series::new(curve, options)).collect::<Result<Vec<_>, _>>()?;
    let notes = [mean_notes(&series, options), notes(&series, options)].concat();
    draw_series(&series, options, notes)
}

/// Draws lines.
pub(super) fn draw_lines(lines: &[Line], options: &PlotOptions) -> Result<Picture, PlotError> {
    validate(options)?;
    let series = lines.iter().map(|line| Series::of_line(line, options)).collect::<Result<Vec<_>, _>>()?;
    let notes = notes(&series, options);
    draw_series(&series, options, notes)
}

fn draw_series(series: &[Series], options: &PlotOptions, notes: Vec<String>) -> Result<Picture, PlotError> {
    if series.is_empty() {
        return Err(PlotError::NoData { label: None });
    }
    let typeface = Typeface::new()?;
    let svg = Canvas::new(&typeface, options.size).draw(series, options, &notes)?;
    Ok(Picture { svg, notes })
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

/// What lines and bands of averaged runs are.
fn mean_notes(series: &[Series], options: &PlotOptions) -> Vec<String> {
    let mut notes = Vec::new();
    let most = series.iter().map(|series| series.count.runs).max().unwrap_or(0);
    if options.smooth > 1 {
        notes.push(format!("each run: the mean of its last {} points", options.smooth));
    }
    if most > 1 {
        let few = series.iter().any(|series| (2..=3).contains(&series.count.runs));
        let band = options.band.describe(few);
        notes.push(format!(
            "line: mean over the n seeds{}",
            if band.is_empty() { String::new() } else { format!("; {band}") }
        ));
    }
    let is_partial = |series: &Series| series.stretches.iter().any(|stretch| stretch.is_partial);
    if series.iter().any(is_partial) {
        notes.push("thin: the mean of fewer seeds, as the legend says".to_owned());
    }
    notes
}

/// What is not shown, and what the caller has to say.
fn notes(series: &[Series], options: &PlotOptions) -> Vec<String> {
    let named = |what: &str, is_of: fn(&Series) -> bool| {
        let names: Vec<&str> =
            series.iter().filter(|series| is_of(series)).map(|series| series.label.as_str()).collect();
        match &names[..] {
            [] => None,
            names if names.len() > 3 || names.contains(&"") => {
                Some(format!("{what}, in {} curves", names.len()))
            }
            names => Some(format!("{what}: {}", names.join(", "))),
        }
    };
    let left_out =
        named("without points at or below 0, which a logarithmic axis has no place for", |series| {
            series.left_out
        });
    let gaps = named("gaps where values are not finite", |series| series.has_gap);
    left_out.into_iter().chain(gaps).chain(options.notes.iter().cloned()).collect()
}

impl Band {
    /// What it is, for the picture; `few` if a curve has two or three runs.
    fn describe(self, few: bool) -> String {
        let text = match self {
            Self::Interval if few => {
                "band: 95 % interval of the mean, bootstrapped over seeds (of 2 or 3: from the lowest to the highest)"
            }
            Self::Interval => "band: 95 % interval of the mean, bootstrapped over seeds",
            Self::StandardError => "band: ± one standard error of the mean, within what was seen",
            Self::StandardDeviation => "band: ± one standard deviation over seeds, within what was seen",
            Self::Range => "band: from the lowest to the highest seed",
            Self::Seeds => "thin lines: the seeds",
            Self::None => "",
        };
        text.to_owned()
    }
}

/// Text with the lengths of a picture of the reference size.
struct Canvas<'a> {
    typeface: &'a Typeface,
    svg: Svg<'a>,
    /// Pixels of the reference size in a pixel of the picture.
    fit: f64,
    shown_width: u32,
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
    fn at(&self, (x, y): Point) -> Point {
        let along = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let height = self.bottom - self.top;
        (self.left + along(x, self.x) * (self.right - self.left), self.bottom - along(y, self.y) * height)
    }
}

impl<'a> Canvas<'a> {
    fn new(typeface: &'a Typeface, (shown_width, shown_height): (u32, u32)) -> Self {
        let (width, height) = (f64::from(shown_width), f64::from(shown_height));
        let fit = (width / REFERENCE_SIZE.0).min(height / REFERENCE_SIZE.1).max(SMALLEST_SCALE);
        let svg = Svg::new(typeface);
        Self { typeface, svg, fit, shown_width, width: width / fit, height: height / fit }
    }

    fn draw(
        mut self,
        series: &[Series],
        options: &PlotOptions,
        notes: &[String],
    ) -> Result<String, PlotError> {
        let (x, y) = (x_range(series, options), y_range(series, options));
        let inside = self.width - 2.0 * MARGIN;
        let legend = Legend::new(series, options, self.typeface, inside);
        let notes = self.note_lines(notes, inside);
        let title_height = if options.title.is_empty() { 0.0 } else { TITLE_SIZE * 1.2 + GAP };
        let legend_height = legend.height + if legend.is_below { 2.0 * GAP } else { GAP };
        let top = MARGIN + title_height + if legend.is_below { 0.0 } else { legend_height };
        let labels_height = GAP + TICK_SIZE * 1.2 + GAP + AXIS_LABEL_SIZE * 1.2;
        let notes_height = notes.len() as f64 * NOTE_SIZE * 1.4 + if notes.is_empty() { 0.0 } else { GAP };
        let below = labels_height + if legend.is_below { legend_height } else { 0.0 } + notes_height + MARGIN;
        // What the legend takes of a plot's least height is added to the picture.
        let least = if legend.is_below { self.height * PLOT_SHARE } else { self.height * PLOT_SHARE * 0.7 };
        self.height = self.height.max(top + least + below);
        let bottom = self.height - below;

        // The height of the plot decides on the y ticks, their width on its left edge, its width on the x ticks.
        let y_count = ((bottom - top) / (TICK_SIZE * 3.5)).clamp(2.0, 8.0) as usize;
        let y_ticks =
            if options.log_y { Ticks::logarithmic(y.0, y.1, y_count) } else { Ticks::new(y.0, y.1, y_count) };
        let left = MARGIN + AXIS_LABEL_SIZE * 1.2 + GAP + self.widest(&y_ticks) + GAP;
        let (x_ticks, right) = self.x_ticks(x, left, x_ticks_of(series, options));
        let frame = Frame { left, top, right, bottom, x, y };

        self.svg.rect((0.0, 0.0), (self.width, self.height), [255; 3], 1.0);
        self.draw_grid(&frame, &x_ticks, &y_ticks);
        if let Some(threshold) = threshold(options) {
            let ends = [frame.at((x.0, threshold)), frame.at((x.1, threshold))];
            let dashes = THRESHOLD_DASHES.to_vec();
            self.svg.line(
                ends,
                &Stroke { color: THRESHOLD_COLOR, opacity: 1.0, width: LINE_WIDTH * 0.8, dashes },
            );
        }
        self.draw_lines(&frame, series);
        self.draw_axes(&frame, options);
        let legend_top =
            if legend.is_below { bottom + labels_height + 1.5 * GAP } else { MARGIN + title_height };
        self.draw_legend(&legend, legend_top, series.len());
        if !options.title.is_empty() {
            let size = self.fitting_size(&options.title, TITLE_SIZE, inside);
            self.write(&options.title, (self.width / 2.0, MARGIN), size, Anchor::Top);
        }
        let first = self.height - MARGIN - notes.len() as f64 * NOTE_SIZE * 1.4;
        for (i, note) in notes.iter().enumerate() {
            let place = (MARGIN, first + (i as f64 + 0.6) * NOTE_SIZE * 1.4);
            self.svg.text(note, place, NOTE_SIZE, Anchor::Left, NOTE_COLOR, 0);
        }
        let shown = (self.shown_width, (self.height * self.fit).round() as u32);
        self.svg.finish(shown, (self.width, self.height))
    }

    /// As many x ticks as fit with their texts, and the right edge of the plot, which leaves room for the last one.
    fn x_ticks(
        &self,
        (low, high): (f64, f64),
        left: f64,
        ticks_of: fn(f64, f64, usize) -> Ticks,
    ) -> (Ticks, f64) {
        let mut count = 9;
        loop {
            let ticks = ticks_of(low, high, count);
            let text_width = self.widest(&ticks);
            let right = self.width - MARGIN - text_width / 2.0;
            let room = (right - left) / ticks.values.len() as f64;
            if count <= 1 || text_width * 1.35 <= room {
                return (ticks, right);
            }
            count -= 1;
        }
    }

    fn draw_grid(&mut self, frame: &Frame, x_ticks: &Ticks, y_ticks: &Ticks) {
        let grid = Stroke { color: GRID_COLOR, opacity: 1.0, width: 1.0, dashes: Vec::new() };
        for (&value, label) in x_ticks.values.iter().zip(&x_ticks.labels) {
            let (x, _) = frame.at((value, frame.y.0));
            self.svg.line([(x, frame.top), (x, frame.bottom)], &grid);
            self.write(label, (x, frame.bottom + GAP), TICK_SIZE, Anchor::Top);
        }
        for (&value, label) in y_ticks.values.iter().zip(&y_ticks.labels) {
            let (_, y) = frame.at((frame.x.0, value));
            self.svg.line([(frame.left, y), (frame.right, y)], &grid);
            // Centred on digits, which are higher than the lower-case letters that centring goes by.
            self.write(label, (frame.left - GAP, y + TICK_SIZE * 0.08), TICK_SIZE, Anchor::Right);
        }
    }

    fn draw_lines(&mut self, frame: &Frame, series: &[Series]) {
        let (width, opacity) = (line_width(series.len()), band_opacity(series.len()));
        let within = |y: f64| y.clamp(frame.y.0, frame.y.1);
        for (i, series) in series.iter().enumerate() {
            for stretch in &series.stretches {
                let ends = stretch.points.iter().zip(&stretch.band);
                let above = ends.clone().map(|((x, _), (_, high))| frame.at((*x, within(*high))));
                let below = ends.rev().map(|((x, _), (low, _))| frame.at((*x, within(*low))));
                self.svg.polygon(above.chain(below), style::color(i), opacity);
            }
            let (color, dashes) = (style::color(i), style::dashes(i));
            let stroke = Stroke { color, opacity: FAINT_OPACITY, width: width * 0.45, dashes };
            for line in &series.faint {
                self.svg.line(line.iter().map(|&point| frame.at(point)), &stroke);
            }
        }
        for (i, series) in series.iter().enumerate() {
            for stretch in &series.stretches {
                let points = stretch.points.iter().map(|&point| frame.at(point));
                let (color, dashes) = (style::color(i), style::dashes(i));
                let stroke = match stretch.is_partial {
                    false => Stroke { color, opacity: 1.0, width, dashes },
                    true => Stroke { color, opacity: PARTIAL_OPACITY, width: width * 0.55, dashes },
                };
                match stretch.points.len() {
                    2.. if series.joined => self.svg.line(points, &stroke),
                    _ => points.for_each(|point| {
                        self.svg.dot(point, LINE_WIDTH * 1.8, color, series.joined || style::is_filled(i));
                    }),
                }
            }
        }
    }

    fn draw_axes(&mut self, frame: &Frame, options: &PlotOptions) {
        let corner = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)];
        self.svg.line(corner, &Stroke { color: AXIS_COLOR, opacity: 1.0, width: 1.2, dashes: Vec::new() });
        let size = self.fitting_size(&options.x_label, AXIS_LABEL_SIZE, frame.right - frame.left);
        let below = frame.bottom + GAP + TICK_SIZE * 1.2 + GAP;
        self.write(&options.x_label, ((frame.left + frame.right) / 2.0, below), size, Anchor::Top);
        let size = self.fitting_size(&options.y_label, AXIS_LABEL_SIZE, frame.bottom - frame.top);
        let beside = (MARGIN * 0.75, (frame.top + frame.bottom) / 2.0);
        self.svg.text(&options.y_label, beside, size, Anchor::Top, TEXT_COLOR, -90);
    }

    fn draw_legend(&mut self, legend: &Legend, top: f64, curves: usize) {
        for placed in &legend.entries {
            let (entry, x, y) = (&placed.entry, MARGIN + placed.left, top + placed.middle);
            if entry.has_band {
                let half = legend.text_size * 0.45;
                let opacity = band_opacity(curves).max(0.12);
                self.svg.rect((x, y - half), (SWATCH_WIDTH, 2.0 * half), entry.color, opacity);
            }
            match entry.dot {
                Some(filled) => {
                    self.svg.dot((x + SWATCH_WIDTH / 2.0, y), LINE_WIDTH * 1.8, entry.color, filled);
                }
                None => {
                    let dashes = entry.dashes.clone();
                    let stroke =
                        Stroke { color: entry.color, opacity: 1.0, width: line_width(curves), dashes };
                    self.svg.line([(x, y), (x + SWATCH_WIDTH, y)], &stroke);
                }
            }
            let text_left = x + SWATCH_WIDTH + GAP;
            let size = self.fitting_size(&entry.text, legend.text_size, self.width - MARGIN - text_left);
            self.write(&entry.text, (text_left, y), size, Anchor::Left);
        }
    }

    /// Notes one after the other, in lines broken between words.
    fn note_lines(&self, notes: &[String], width: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in notes.join(".  ").split(' ') {
            match lines.last_mut() {
                Some(line) if self.text_width(&format!("{line} {word}"), NOTE_SIZE) <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines.retain(|line| !line.is_empty());
        lines
    }

    /// Writes a text; `size` is that of an em.
    fn write(&mut self, text: &str, position: Point, size: f64, anchor: Anchor) {
        self.svg.text(text, position, size, anchor, TEXT_COLOR, 0);
    }

    fn text_width(&self, text: &str, size: f64) -> f64 {
        TEXT_ROOM * size * self.typeface.width(text)
    }

    /// The size, made smaller if the text would be wider than allowed.
    fn fitting_size(&self, text: &str, size: f64, width: f64) -> f64 {
        size * (width.max(1.0) / self.text_width(text, size).max(1.0)).min(1.0)
    }

    fn widest(&self, ticks: &Ticks) -> f64 {
        ticks.labels.iter().fold(0.0, |widest, label| widest.max(self.text_width(label, TICK_SIZE)))
    }
}

/// Many lines are thinner.
fn line_width(curves: usize) -> f64 {
    if curves > 8 { LINE_WIDTH * 0.75 } else { LINE_WIDTH }
}

/// Bands that lie over each other must not hide the curves.
fn band_opacity(curves: usize) -> f64 {
    (0.9 / curves as f64).clamp(0.05, 0.2)
}

/// The threshold in the units of the y axis; none if a logarithmic one has no place for it.
fn threshold(options: &PlotOptions) -> Option<f64> {
    let (y, _) = options.threshold.as_ref()?;
    let y = if options.log_y { y.log10() } else { *y };
    y.is_finite().then_some(y)
}

/// The x of all lines, from 0 if they begin near it.
fn x_range(series: &[Series], options: &PlotOptions) -> (f64, f64) {
    let (low, high) = range_of(series.iter().flat_map(Series::xs));
    if series.iter().any(|series| !series.joined) {
        // Dots lie inside.
        let margin = if low < high { (high - low) * 0.04 } else { margin_of_one(low) };
        return (low - margin, high + margin);
    }
    if options.log_x && low < high {
        return (low, high);
    }
    let low = if !options.log_x && (0.0..=0.15 * high).contains(&low) { 0.0 } else { low };
    if low < high { (low, high) } else { (low - margin_of_one(low), high + margin_of_one(high)) }
}

/// How the ticks of the x axis are found.
fn x_ticks_of(series: &[Series], options: &PlotOptions) -> fn(f64, f64, usize) -> Ticks {
    let mut all = series.iter().flat_map(Series::xs);
    match options.log_x {
        true => Ticks::logarithmic,
        false if all.all(|x| x.fract() == 0.0) => Ticks::whole,
        false => Ticks::new,
    }
}

/// The y of everything that is drawn, with a margin.
fn y_range(series: &[Series], options: &PlotOptions) -> (f64, f64) {
    let (low, high) = range_of(series.iter().flat_map(Series::ys).chain(threshold(options)));
    let margin = if low < high { (high - low) * 0.04 } else { margin_of_one(low) };
    (low - margin, high + margin)
}

/// The margin around a single number.
fn margin_of_one(number: f64) -> f64 {
    (number.abs() * 0.05).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::super::series::{Count, Stretch};
    use super::*;

    fn series(points: &[Point], band: &[(f64, f64)]) -> Series {
        let stretch = Stretch { points: points.to_vec(), band: band.to_vec(), is_partial: false };
        let (label, count) = ("a".to_owned(), Count { runs: 2, fewer: String::new() });
        let (stretches, faint) = (vec![stretch], Vec::new());
        Series { label, count, stretches, faint, joined: true, left_out: false, has_gap: false }
    }

    #[test]
    fn ranges_hold_everything_with_a_margin() {
        let options = PlotOptions::default();
        let line = [(100.0, 0.0), (1000.0, 100.0)];
        assert_eq!(x_range(&[series(&line, &[])], &options), (0.0, 1000.0));
        assert_eq!(y_range(&[series(&line, &[])], &options), (-4.0, 104.0));
        let band = [(-10.0, 10.0), (f64::NEG_INFINITY, 140.0)];
        assert_eq!(y_range(&[series(&line, &band)], &options), (-16.0, 146.0));
        let options = PlotOptions { threshold: Some((200.0, "solved".to_owned())), ..options };
        assert_eq!(y_range(&[series(&line, &[])], &options), (-8.0, 208.0));
    }

    #[test]
    fn constant_data_has_a_range() {
        let flat = series(&[(5.0, 500.0)], &[]);
        assert_eq!(x_range(std::slice::from_ref(&flat), &PlotOptions::default()), (4.5, 5.5));
        assert_eq!(y_range(&[flat], &PlotOptions::default()), (475.0, 525.0));
    }
}
