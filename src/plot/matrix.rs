//! Numbers as the colours of cells: what happens in rows over columns.

use std::ops::Range;

use super::figures::finish;
use super::font::{Anchor, Typeface};
use super::svg::{Color, Stroke, Svg};
use super::{Picture, PlotError};
use crate::text::significant;

const TEXT_COLOR: Color = [0x22, 0x22, 0x22];
const PALE_COLOR: Color = [0x66, 0x66, 0x66];
/// Of no number.
const NONE_COLOR: Color = [0xe8, 0xe8, 0xe8];
/// Okabe and Ito's orange-red and blue, which colour-blind readers can tell apart.
const ABOVE: Color = [0xd5, 0x5e, 0x00];
const BELOW: Color = [0x00, 0x5a, 0x9c];
const DARK: Color = [0x08, 0x30, 0x6b];
const TITLE_SIZE: f64 = 20.0;
const TEXT_SIZE: f64 = 15.0;
const SMALL_SIZE: f64 = 12.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 8.0;

/// What colours stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shades {
    /// White is zero, orange above, blue below, up to the largest absolute number.
    Signed,
    /// White is zero, dark the largest number.
    Positive,
    /// White is zero, dark is one, and every cell has its number.
    Shares,
    /// White is the first number, dark the second, and every cell has its number.
    Between([f64; 2]),
}

/// Cells and what stands around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Text above.
    pub title: String,
    /// Text below.
    pub x_label: String,
    /// What rows are of.
    pub rows: Vec<String>,
    /// What columns are of; as many as there is room for are written.
    pub columns: Vec<String>,
    /// `[rows][columns]`; cells of what is no number are grey.
    pub values: Vec<Vec<f64>>,
    /// What colours stand for.
    pub shades: Shades,
    /// Rows and columns of cells that a line is drawn around.
    pub frame: Option<(Range<usize>, Range<usize>)>,
}

/// Draws cells.
///
/// # Errors
/// If there are none, or rows differ in length.
pub fn matrix(told: &Matrix) -> Result<Picture, PlotError> {
    const WIDTH: f64 = 720.0;
    let Matrix { title, x_label, rows, columns, values, shades, frame } = told;
    let is_whole = values.len() == rows.len() && values.iter().all(|row| row.len() == columns.len());
    if rows.is_empty() || columns.is_empty() || !is_whole {
        return Err(PlotError::NoData { label: None });
    }
    let typeface = Typeface::new()?;
    let text_width = |text: &str, size: f64| typeface.width(text) * size;
    let number = |value: f64| match shades {
        Shades::Between(_) => significant(value, 3),
        _ => format!("{value:.2}"),
    };
    let has_numbers = matches!(shades, Shades::Shares | Shades::Between(_));
    let widest_number = if has_numbers {
        let numbers = values.iter().flatten().filter(|value| value.is_finite());
        numbers.map(|&value| text_width(&number(value), SMALL_SIZE)).fold(0.0, f64::max)
    } else {
        0.0
    };
    let widest_column = columns.iter().map(|column| text_width(column, SMALL_SIZE)).fold(0.0, f64::max);
    // Whole sizes: cells leave no seams.
    let least = if has_numbers { (widest_column.max(widest_number) + GAP).ceil().max(40.0) } else { 2.0 };
    let across = (WIDTH / columns.len() as f64).clamp(least, 48.0_f64.max(least)).floor();
    let down = if has_numbers { 30.0 } else { (360.0 / rows.len() as f64).clamp(6.0, 28.0).floor() };
    let widest = rows.iter().map(|row| text_width(row, TEXT_SIZE)).fold(0.0, f64::max);
    let left = MARGIN + widest + GAP;
    let top = MARGIN + if title.is_empty() { 0.0 } else { TITLE_SIZE + 2.0 * GAP };
    let (right, bottom) = (left + across * columns.len() as f64, top + down * rows.len() as f64);
    let width = (right + 92.0).max(text_width(title, TITLE_SIZE) + 2.0 * MARGIN);
    let height = (bottom + GAP + SMALL_SIZE * 1.6 + TEXT_SIZE * 1.4 + MARGIN).max(top + 120.0);
    let mut svg = Svg::new(&typeface);
    svg.rect((0.0, 0.0), (width, height), [255; 3], 1.0);
    svg.text(title, (width / 2.0, MARGIN), TITLE_SIZE, Anchor::Top, TEXT_COLOR, 0);
    let largest = values.iter().flatten().filter(|value| value.is_finite()).map(|value| value.abs());
    let largest = largest.fold(f64::MIN_POSITIVE, f64::max);
    let ends = match *shades {
        Shades::Signed => [-largest, largest],
        Shades::Positive => [0.0, largest],
        Shades::Shares => [0.0, 1.0],
        Shades::Between(ends) => ends,
    };
    for (row, (name, own)) in rows.iter().zip(values).enumerate() {
        let y = top + down * row as f64;
        for (column, &value) in own.iter().enumerate() {
            let at = (left + across * column as f64, y);
            let share = share(*shades, value, ends);
            svg.rect(at, (across, down), shade(*shades, share), 1.0);
            if has_numbers && value.is_finite() {
                let color = if share > 0.55 { [255; 3] } else { TEXT_COLOR };
                let middle = (at.0 + across / 2.0, y + down / 2.0 - SMALL_SIZE * 0.55);
                svg.text(&number(value), middle, SMALL_SIZE, Anchor::Top, color, 0);
            }
        }
        if down >= 12.0 || row % (14.0 / down).ceil() as usize == 0 {
            let size = TEXT_SIZE.min(down.max(11.0));
            svg.text(name, (left - GAP, y + down / 2.0), size, Anchor::Right, TEXT_COLOR, 0);
        }
    }
    if let Some((rows, columns)) = frame {
        let x = |column: usize| left + across * column as f64;
        let y = |row: usize| top + down * row as f64;
        let corners = [(columns.start, rows.start), (columns.end, rows.start), (columns.end, rows.end)];
        let around = corners.into_iter().chain([(columns.start, rows.end), (columns.start, rows.start)]);
        let stroke = Stroke { color: ABOVE, opacity: 1.0, width: 3.0, dashes: Vec::new() };
        svg.line(around.map(|(column, row)| (x(column), y(row))), &stroke);
    }
    let room = widest_column + if has_numbers { GAP } else { 2.0 * GAP };
    let every = (room / across).ceil().max(1.0) as usize;
    for (column, name) in columns.iter().enumerate().step_by(every) {
        let at = (left + across * (column as f64 + 0.5), bottom + GAP * 0.5);
        svg.text(name, at, SMALL_SIZE, Anchor::Top, PALE_COLOR, 0);
    }
    let below = bottom + GAP + SMALL_SIZE * 1.6;
    svg.text(x_label, (f64::midpoint(left, right), below), TEXT_SIZE, Anchor::Top, TEXT_COLOR, 0);
    scale(&mut svg, *shades, ends, (right + 2.0 * GAP, top));
    finish(svg, (width, height))
}

/// A bar of all shades with its numbers.
fn scale(svg: &mut Svg<'_>, shades: Shades, [smallest, largest]: [f64; 2], (x, top): (f64, f64)) {
    const STEPS: u32 = 24;
    const STEP: f64 = 4.0;
    let low = if shades == Shades::Signed { -1.0 } else { 0.0 };
    let height = STEP * f64::from(STEPS);
    for step in 0..STEPS {
        let share = 1.0 - (f64::from(step) + 0.5) / f64::from(STEPS);
        svg.rect(
            (x, top + STEP * f64::from(step)),
            (14.0, STEP),
            shade(shades, low + share * (1.0 - low)),
            1.0,
        );
    }
    for (value, y) in [(largest, top), (smallest, top + height)] {
        let digits = if matches!(shades, Shades::Between(_)) { 3 } else { 2 };
        let text = if value == 0.0 { "0".to_owned() } else { significant(value, digits) };
        svg.text(&text, (x + 14.0 + GAP * 0.5, y), SMALL_SIZE, Anchor::Left, PALE_COLOR, 0);
    }
}

/// A number as a share of what is darkest.
fn share(shades: Shades, value: f64, [low, high]: [f64; 2]) -> f64 {
    match shades {
        Shades::Between(_) if high > low => (value - low) / (high - low),
        // All cells are the same.
        Shades::Between(_) => value * 0.0,
        _ => value / high,
    }
}

/// The colour of a share.
fn shade(shades: Shades, share: f64) -> Color {
    if !share.is_finite() {
        return NONE_COLOR;
    }
    let end = match shades {
        Shades::Signed if share < 0.0 => BELOW,
        Shades::Signed => ABOVE,
        Shades::Positive | Shades::Shares | Shades::Between(_) => DARK,
    };
    let amount = match shades {
        Shades::Signed => share.abs(),
        Shades::Positive | Shades::Shares | Shades::Between(_) => share.max(0.0),
    };
    let amount = amount.min(1.0);
    end.map(|part| (255.0 + (f64::from(part) - 255.0) * amount).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_from_white_to_their_ends() {
        assert_eq!(shade(Shades::Signed, 0.0), [255; 3]);
        assert_eq!(shade(Shades::Signed, 1.0), ABOVE);
        assert_eq!(shade(Shades::Signed, -1.0), BELOW);
        assert_eq!(shade(Shades::Positive, -3.0), [255; 3]);
        assert_eq!(shade(Shades::Shares, 2.0), DARK);
        assert_eq!(shade(Shades::Positive, f64::NAN), NONE_COLOR);
    }

    #[test]
    fn cells_say_what_they_are_of() {
        let mut told = Matrix {
            title: "Similarity".to_owned(),
            x_label: "layer".to_owned(),
            rows: vec!["a".to_owned(), "b".to_owned()],
            columns: vec!["x".to_owned(), "y".to_owned()],
            values: vec![vec![1.0, 0.25], vec![f64::NAN, 0.5]],
            shades: Shades::Shares,
            frame: None,
        };
        let picture = matrix(&told).unwrap();
        for text in ["Similarity", "layer", "a", "y", "0.25", "1.00"] {
            assert!(picture.svg.contains(&format!("aria-label=\"{text}\"")), "{text}");
        }
        told.values.pop();
        assert!(matrix(&told).is_err());
    }
}
