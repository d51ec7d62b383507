//! Pictures of environments: RGB frames drawn with anti-aliased shapes.
//!
//! An environment draws its current state into a [`Canvas`] and hands out a [`Frame`]; what becomes of frames (a GIF, a
//! contact sheet, a terminal) is the caller's business. Drawing reads the state and never changes it.

mod files;

use ab_glyph::{Font, FontRef, Point, PxScale, ScaleFont};
use tiny_skia::{FillRule, LineCap, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

pub use files::{png_bytes, write_gif, write_png, write_webp};

/// A picture: `height * width` pixels, row-major from the top left, three bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[height, width, 3]`: red, green, blue.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// A frame of one colour.
    pub fn filled(width: u32, height: u32, color: Color) -> Self {
        Self { width, height, rgb: color.repeat(width as usize * height as usize) }
    }

    /// The frame made small enough that no side is longer than `side`: each pixel is the mean of those it stands for.
    #[must_use]
    pub fn shrunk(&self, side: u32) -> Self {
        let longest = self.width.max(self.height);
        if longest <= side || side == 0 {
            return self.clone();
        }
        let scaled = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longest)).max(1) as u32;
        let (width, height) = (scaled(self.width), scaled(self.height));
        let span = |i: u32, from: u32, to: u32| (i * from / to)..((i + 1) * from / to).max(i * from / to + 1);
        let mut rgb = Vec::with_capacity((width * height * 3) as usize);
        for y in 0..height {
            for x in 0..width {
                let (rows, columns) = (span(y, self.height, height), span(x, self.width, width));
                let (mut sums, mut count) = ([0_u32; 3], 0);
                for row in rows {
                    for column in columns.clone() {
                        let at = ((row * self.width + column) * 3) as usize;
                        sums.iter_mut()
                            .zip(&self.rgb[at..])
                            .for_each(|(sum, &value)| *sum += u32::from(value));
                        count += 1;
                    }
                }
                rgb.extend(sums.map(|sum| (sum / count) as u8));
            }
        }
        Self { width, height, rgb }
    }

    /// The frame with each pixel as a square of `factor` × `factor`; as it is for 0 and 1.
    #[must_use]
    pub fn enlarged(&self, factor: u32) -> Self {
        if factor <= 1 {
            return self.clone();
        }
        let mut rgb = Vec::with_capacity(self.rgb.len() * (factor * factor) as usize);
        for row in self.rgb.chunks_exact((self.width * 3) as usize) {
            let wide: Vec<u8> = row.chunks_exact(3).flat_map(|pixel| pixel.repeat(factor as usize)).collect();
            (0..factor).for_each(|_| rgb.extend_from_slice(&wide));
        }
        Self { width: self.width * factor, height: self.height * factor, rgb }
    }

    /// Copies `other` into this frame with its top left corner at `(x, y)`; what falls outside is cut off.
    pub fn paste(&mut self, other: &Self, x: u32, y: u32) {
        let columns = other.width.min(self.width.saturating_sub(x)) as usize;
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let from = (row * other.width) as usize * 3;
            let to = ((y + row) * self.width + x) as usize * 3;
            self.rgb[to..to + 3 * columns].copy_from_slice(&other.rgb[from..from + 3 * columns]);
        }
    }
}

/// Frames side by side, row after row, each with a border and its text below it, in as many lines as it needs.
pub fn contact_sheet(frames: &[(String, Frame)], columns: usize) -> Frame {
    const GAP: u32 = 8;
    const LINE: u32 = 1;
    const TEXT: u32 = 18;
    const SIZE: f32 = TEXT as f32 - 2.0;
    const PAPER: Color = [255, 255, 255];
    const BORDER: Color = [60, 60, 60];
    let columns = columns.clamp(1, frames.len().max(1)) as u32;
    let rows = (frames.len() as u32).div_ceil(columns);
    let largest = |side: fn(&Frame) -> u32| frames.iter().map(|(_, frame)| side(frame)).max().unwrap_or(1);
    let (width, height) = (largest(|frame| frame.width), largest(|frame| frame.height));
    let texts: Vec<Vec<String>> =
        frames.iter().map(|(text, _)| lines(text, SIZE, (width + 2 * LINE - 1) as f32)).collect();
    let text_height = TEXT * texts.iter().map(Vec::len).max().unwrap_or(1).max(1) as u32;
    let (across, down) = (width + 2 * LINE + GAP, height + 2 * LINE + text_height + GAP);
    let mut sheet = Frame::filled(columns * across + GAP, rows.max(1) * down + GAP, PAPER);
    for ((i, (_, frame)), text) in (0..).zip(frames).zip(&texts) {
        let (x, y) = (GAP + i % columns * across, GAP + i / columns * down);
        sheet.paste(&Frame::filled(frame.width + 2 * LINE, frame.height + 2 * LINE, BORDER), x, y);
        sheet.paste(frame, x + LINE, y + LINE);
        let mut label = Canvas::new(width + 2 * LINE, text_height, PAPER);
        for (line, text) in (0..).zip(text) {
            label.text(1.0, 2.0 + (line * TEXT) as f32, text, SIZE, BORDER);
        }
        sheet.paste(&label.into_frame(), x, y + frame.height + 2 * LINE);
    }
    sheet
}

/// A text in lines that are no wider than so many pixels, broken between words, and within words that are wider.
fn lines(text: &str, size: f32, width: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        if let (Some(line), Some(longer)) = (lines.last_mut(), longer)
            && text_width(&longer, size) <= width
        {
            *line = longer;
            continue;
        }
        lines.push(String::new());
        for letter in word.chars() {
            let line = lines.last().map_or(String::new(), |line| format!("{line}{letter}"));
            match lines.last_mut() {
                Some(last) if last.is_empty() || text_width(&line, size) <= width => *last = line,
                _ => lines.push(letter.to_string()),
            }
        }
    }
    lines
}

/// Pixels that a line of text takes.
fn text_width(text: &str, size: f32) -> f32 {
    let font = font();
    let scaled = font.as_scaled(PxScale::from(size));
    text.chars().map(|letter| scaled.h_advance(scaled.glyph_id(letter))).sum()
}

/// Red, green and blue.
pub type Color = [u8; 3];

/// A surface to draw on; coordinates are pixels from the top left corner, y downwards.
pub struct Canvas {
    pixels: Pixmap,
}

impl Canvas {
    /// A surface of one colour. Sizes are clamped to 1 to 4096.
    #[expect(clippy::expect_used, reason = "the size is clamped to what a pixmap can have")]
    pub fn new(width: u32, height: u32, background: Color) -> Self {
        let mut pixels = Pixmap::new(width.clamp(1, 4096), height.clamp(1, 4096))
            .expect("a pixmap of 1 to 4096 pixels a side");
        let [r, g, b] = background;
        pixels.fill(tiny_skia::Color::from_rgba8(r, g, b, 255));
        Self { pixels }
    }

    /// Fills an axis-parallel rectangle.
    pub fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, color: Color) {
        if let Some(rect) = Rect::from_xywh(x, y, width, height) {
            self.pixels.fill_rect(rect, &paint(color), Transform::identity(), None);
        }
    }

    /// Draws the outline of an axis-parallel rectangle.
    pub fn rect_outline(&mut self, x: f32, y: f32, width: f32, height: f32, line: f32, color: Color) {
        self.polyline(
            &[(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y), (x + width, y)],
            line,
            color,
        );
    }

    /// Fills a polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], color: Color) {
        if let Some(path) = path(points, true) {
            self.pixels.fill_path(&path, &paint(color), FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws lines from point to point.
    pub fn polyline(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        if let Some(path) = path(points, false) {
            let stroke = Stroke { width, line_cap: LineCap::Round, ..Default::default() };
            self.pixels.stroke_path(&path, &paint(color), &stroke, Transform::identity(), None);
        }
    }

    /// Draws a line.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, color: Color) {
        self.polyline(&[from, to], width, color);
    }

    /// Fills a circle.
    pub fn circle(&mut self, center: (f32, f32), radius: f32, color: Color) {
        if let Some(path) = PathBuilder::from_circle(center.0, center.1, radius) {
            self.pixels.fill_path(&path, &paint(color), FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws the outline of a circle.
    pub fn circle_outline(&mut self, center: (f32, f32), radius: f32, line: f32, color: Color) {
        if let Some(path) = PathBuilder::from_circle(center.0, center.1, radius) {
            let stroke = Stroke { width: line, ..Default::default() };
            self.pixels.stroke_path(&path, &paint(color), &stroke, Transform::identity(), None);
        }
    }

    /// Writes a line of text with its top left corner at `(x, y)`; `size` is the line's height.
    pub fn text(&mut self, x: f32, y: f32, text: &str, size: f32, color: Color) {
        let font = font();
        let scaled = font.as_scaled(PxScale::from(size));
        let mut pen = x;
        for letter in text.chars() {
            let id = scaled.glyph_id(letter);
            let glyph = id.with_scale_and_position(size, Point { x: pen, y: y + scaled.ascent() });
            pen += scaled.h_advance(id);
            if let Some(outline) = font.outline_glyph(glyph) {
                let bounds = outline.px_bounds();
                outline.draw(|dx, dy, coverage| {
                    self.blend(
                        bounds.min.x as i32 + dx as i32,
                        bounds.min.y as i32 + dy as i32,
                        color,
                        coverage,
                    );
                });
            }
        }
    }

    /// Writes a line of text centred on a point.
    pub fn text_centered(&mut self, center: (f32, f32), text: &str, size: f32, color: Color) {
        let width = text_width(text, size);
        self.text(center.0 - width / 2.0, center.1 - size / 2.0, text, size, color);
    }

    /// Mixes a colour into one pixel.
    fn blend(&mut self, x: i32, y: i32, color: Color, coverage: f32) {
        let (width, height) = (self.pixels.width() as i32, self.pixels.height() as i32);
        if !(0..width).contains(&x) || !(0..height).contains(&y) {
            return;
        }
        let pixel = &mut self.pixels.pixels_mut()[(y * width + x) as usize];
        let mix = |old: u8, new: u8| {
            let (old, new) = (f32::from(old), f32::from(new));
            (old + (new - old) * coverage.clamp(0.0, 1.0)).round() as u8
        };
        let [r, g, b] = color;
        let mixed = [mix(pixel.red(), r), mix(pixel.green(), g), mix(pixel.blue(), b)];
        *pixel = tiny_skia::ColorU8::from_rgba(mixed[0], mixed[1], mixed[2], 255).premultiply();
    }

    /// The finished picture.
    pub fn into_frame(self) -> Frame {
        let (width, height) = (self.pixels.width(), self.pixels.height());
        let rgb = self.pixels.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        Frame { width, height, rgb }
    }
}

/// DejaVu Sans, the typeface of pictures and plots. Licence: `assets/LICENSE-DejaVu.txt`.
pub const FONT: &[u8] = include_bytes!("../assets/DejaVuSans.ttf");

#[expect(clippy::expect_used, reason = "a font file of this crate, tested")]
fn font() -> FontRef<'static> {
    FontRef::try_from_slice(FONT).expect("the crate's font file is whole")
}

fn paint(color: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(color[0], color[1], color[2], 255);
    paint.anti_alias = true;
    paint
}

fn path(points: &[(f32, f32)], close: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (&(x, y), rest) = points.split_first()?;
    builder.move_to(x, y);
    for &(x, y) in rest {
        builder.line_to(x, y);
    }
    if close {
        builder.close();
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_land_where_they_are_drawn() {
        let mut canvas = Canvas::new(8, 4, [0, 0, 0]);
        canvas.rect(2.0, 1.0, 3.0, 2.0, [9, 8, 7]);
        let frame = canvas.into_frame();
        assert_eq!((frame.width, frame.height, frame.rgb.len()), (8, 4, 96));
        let pixel = |x: usize, y: usize| &frame.rgb[(y * 8 + x) * 3..][..3];
        assert_eq!(pixel(2, 1), [9, 8, 7]);
        assert_eq!(pixel(4, 2), [9, 8, 7]);
        assert_eq!(pixel(5, 2), [0, 0, 0]);
        assert_eq!(pixel(1, 1), [0, 0, 0]);
    }

    #[test]
    fn edges_of_circles_are_smooth() {
        let mut canvas = Canvas::new(20, 20, [0, 0, 0]);
        canvas.circle((10.0, 10.0), 6.0, [200, 200, 200]);
        let frame = canvas.into_frame();
        assert!(frame.rgb.iter().any(|&value| value > 0 && value < 200), "no pixel is half covered");
    }

    #[test]
    fn text_leaves_ink_and_stays_inside() {
        let mut canvas = Canvas::new(30, 20, [0, 0, 0]);
        canvas.text_centered((28.0, 10.0), "Ag", 16.0, [255, 255, 255]);
        assert!(canvas.into_frame().rgb.iter().any(|&value| value > 128));
    }

    #[test]
    fn shrinking_keeps_the_mean_and_the_shape() {
        let mut frame = Frame::filled(8, 4, [0, 0, 0]);
        frame.paste(&Frame::filled(4, 4, [200, 100, 0]), 0, 0);
        let small = frame.shrunk(2);
        assert_eq!((small.width, small.height), (2, 1));
        assert_eq!(small.rgb, [200, 100, 0, 0, 0, 0]);
        assert_eq!(frame.shrunk(100), frame);
    }

    #[test]
    fn a_contact_sheet_holds_every_frame_with_a_border_and_its_text() {
        let frames: Vec<_> =
            (0..5).map(|i| (format!("step {i}"), Frame::filled(40, 30, [9, 9, 9]))).collect();
        let sheet = contact_sheet(&frames, 3);
        let count = |value: u8| sheet.rgb.chunks_exact(3).filter(|pixel| **pixel == [value; 3]).count();
        assert_eq!(count(9), 5 * 40 * 30);
        assert!(count(60) >= 5 * (42 * 32 - 40 * 30), "a line around each");
        let below = (8 + 32) * sheet.width as usize * 3;
        let text = &sheet.rgb[below..below + 18 * sheet.width as usize * 3];
        assert!(text.iter().any(|value| *value < 128), "no text below the first row");
    }

    #[test]
    fn text_that_is_wider_than_its_frame_goes_on_in_the_next_line() {
        let words = lines("step 12: fire the left engine", 16.0, 80.0);
        assert_eq!(words.join(" "), "step 12: fire the left engine");
        assert!(words.len() > 2 && words.iter().all(|line| text_width(line, 16.0) <= 80.0), "{words:?}");
        let broken = lines("incomprehensibilities", 16.0, 60.0);
        assert_eq!(broken.concat(), "incomprehensibilities");
        assert!(broken.iter().all(|line| text_width(line, 16.0) <= 60.0), "{broken:?}");
        let sheet = |text: &str| contact_sheet(&[(text.to_owned(), Frame::filled(40, 30, [9, 9, 9]))], 3);
        assert_eq!(sheet("step").height + 18, sheet("step one").height);
        assert_eq!((sheet("").height, lines("  ", 16.0, 1.0).len()), (sheet("step").height, 0));
    }

    #[test]
    fn enlarging_makes_squares_of_pixels() {
        let mut frame = Frame::filled(2, 1, [0, 0, 0]);
        frame.paste(&Frame::filled(1, 1, [7, 8, 9]), 1, 0);
        let large = frame.enlarged(2);
        assert_eq!((large.width, large.height), (4, 2));
        let row = [0, 0, 0, 0, 0, 0, 7, 8, 9, 7, 8, 9];
        assert_eq!(large.rgb, [row, row].concat());
        assert_eq!(frame.enlarged(1), frame);
    }

    #[test]
    fn pasting_cuts_off_what_falls_outside() {
        let mut sheet = Frame::filled(3, 2, [0, 0, 0]);
        sheet.paste(&Frame::filled(2, 2, [1, 2, 3]), 2, 1);
        assert_eq!(sheet.rgb.iter().filter(|&&value| value > 0).count(), 3);
        assert_eq!(sheet.rgb[15..], [1, 2, 3]);
    }
}
