//! Heat maps over pictures.

use agon_envs::{Frame, render};

use super::view::Grid;

/// For and against, and how much.
const FOR: [f64; 3] = [255.0, 120.0, 0.0];
const AGAINST: [f64; 3] = [40.0, 140.0, 255.0];
const MUCH: [f64; 3] = [255.0, 200.0, 40.0];
/// How bright what lies below is.
const BELOW: f64 = 0.55;
/// The share of cells that are no brighter than full colour.
const FULL: f64 = 0.998;
/// Grids up to this side are drawn as cells, finer ones smoothly.
const CELLS: usize = 32;

/// A frame in grey with colours over it: orange for, blue against; yellow where only the size is known. Full colour is the
/// largest of the map.
pub(in crate::explain) fn overlay(frame: &Frame, grid: Grid, of_cells: &[f64], is_signed: bool) -> Frame {
    let mut sizes: Vec<f64> = of_cells.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let full = crate::stats::quantile(&sizes, FULL).max(f64::MIN_POSITIVE);
    let (columns, rows) = (frame.width as usize, frame.height as usize);
    let is_fine = grid.height.max(grid.width) > CELLS;
    let smooth =
        is_fine.then(|| super::attribution::resized(of_cells, [grid.height, grid.width], [rows, columns]));
    let value = |row: usize, column: usize| match &smooth {
        Some(smooth) => smooth[row * columns + column],
        None => of_cells[row * grid.height / rows * grid.width + column * grid.width / columns],
    };
    let mut rgb = Vec::with_capacity(frame.rgb.len());
    for (i, pixel) in frame.rgb.chunks_exact(3).enumerate() {
        let light = 0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2]);
        let own = value(i / columns, i % columns) / full;
        let color = match (is_signed, own > 0.0) {
            (false, _) => MUCH,
            (true, true) => FOR,
            (true, false) => AGAINST,
        };
        let amount = own.abs().min(1.0);
        let mix = |part: f64| (BELOW * light * (1.0 - amount) + part * amount).round() as u8;
        rgb.extend(color.map(mix));
    }
    Frame { width: frame.width, height: frame.height, rgb }
}

/// An image of an observation as a picture whose cells are those of the grid: red, green and blue where it is one, else how much
/// there is in each cell.
pub(in crate::explain) fn drawn(grid: Grid, observation: &[f32]) -> Frame {
    let own = &observation[grid.first..grid.first + grid.cells() * grid.channels];
    let mut largest = vec![f32::MIN_POSITIVE; grid.channels];
    for (i, value) in own.iter().enumerate() {
        largest[i % grid.channels] = largest[i % grid.channels].max(value.abs());
    }
    let is_color = grid.channels == 3 && grid.height.min(grid.width) >= CELLS;
    let shade = |value: f32| (255.0 * value.clamp(0.0, 1.0)).round() as u8;
    let cell = |values: &[f32]| -> [u8; 3] {
        if is_color {
            return [0, 1, 2].map(|channel| shade(values[channel] / 255.0));
        }
        let sum: f32 = values.iter().zip(&largest).map(|(value, largest)| value.abs() / largest).sum();
        [shade(sum / grid.channels as f32); 3]
    };
    let rgb = own.chunks_exact(grid.channels).flat_map(cell).collect();
    let frame = Frame { width: grid.width as u32, height: grid.height as u32, rgb };
    frame.enlarged(320 / frame.width.max(frame.height).max(1))
}

/// A frame of about this side.
pub(in crate::explain) fn sized(frame: &Frame, side: u32) -> Frame {
    let factor = side / frame.width.max(frame.height).max(1);
    frame.enlarged(factor).shrunk(side)
}

/// Frames beside each other with a line of text below each.
pub(in crate::explain) fn beside(frames: &[(String, Frame)], columns: usize, side: u32) -> Frame {
    let frames: Vec<(String, Frame)> =
        frames.iter().map(|(text, frame)| (text.clone(), sized(frame, side))).collect();
    render::contact_sheet(&frames, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_lies_over_its_cells() {
        let grid = Grid { first: 0, height: 2, width: 2, channels: 1 };
        let frame = Frame::filled(4, 4, [100, 100, 100]);
        let heat = overlay(&frame, grid, &[0.0, 2.0, -2.0, 0.0], true);
        let pixel = |x: usize, y: usize| &heat.rgb[(y * 4 + x) * 3..][..3];
        assert_eq!(pixel(0, 0), [55, 55, 55]);
        assert_eq!(pixel(3, 1), [255, 120, 0]);
        assert_eq!(pixel(0, 3), [40, 140, 255]);
        let heat = overlay(&frame, grid, &[0.0, 0.0, 0.0, -5.0], false);
        assert_eq!(heat.rgb[15 * 3..], [255, 200, 40]);
    }

    #[test]
    fn planes_are_drawn_by_what_is_in_them() {
        let grid = Grid { first: 1, height: 3, width: 3, channels: 2 };
        let mut observation = vec![0.0; 1 + 18];
        observation[1 + 2 * 4] = 7.0;
        let frame = drawn(grid, &observation);
        assert_eq!((frame.width, frame.height), (318, 318));
        let pixel = |x: usize, y: usize| frame.rgb[(y * 318 + x) * 3];
        assert_eq!((pixel(150, 150), pixel(10, 10)), (128, 0));
    }
}
