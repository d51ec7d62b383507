//! Frames as files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::Frame;
use crate::EnvError;

/// Writes frames as an animated GIF that repeats for ever.
///
/// # Errors
/// [`EnvError::Picture`] if there is no frame, frames differ in size, or the file cannot be written.
pub fn write_gif(path: &Path, frames: &[Frame], fps: u16) -> Result<(), EnvError> {
    let failed = |message: String| EnvError::Picture { path: path.to_owned(), message };
    let first = frames.first().ok_or_else(|| failed("expected at least one frame, got none".to_owned()))?;
    if let Some(other) =
        frames.iter().find(|frame| (frame.width, frame.height) != (first.width, first.height))
    {
        let sizes = [first.width, first.height, other.width, other.height];
        let message = format!(
            "expected frames of one size, got {}x{} and {}x{}",
            sizes[0], sizes[1], sizes[2], sizes[3]
        );
        return Err(failed(message));
    }
    let side = |pixels: u32| {
        u16::try_from(pixels).map_err(|_| failed(format!("{pixels} pixels are too many for a GIF")))
    };
    let (width, height) = (side(first.width)?, side(first.height)?);
    let file = BufWriter::new(File::create(path).map_err(|error| failed(error.to_string()))?);
    let mut encoder =
        gif::Encoder::new(file, width, height, &[]).map_err(|error| failed(error.to_string()))?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(|error| failed(error.to_string()))?;
    for frame in frames {
        let mut picture = gif::Frame::from_rgb_speed(width, height, &frame.rgb, 10);
        picture.delay = (100 / fps.max(1)).max(2);
        encoder.write_frame(&picture).map_err(|error| failed(error.to_string()))?;
    }
    let mut file = encoder.into_inner().map_err(|error| failed(error.to_string()))?;
    file.flush().map_err(|error| failed(error.to_string()))
}

/// Writes a frame as a PNG.
///
/// # Errors
/// [`EnvError::Picture`] if the file cannot be written.
pub fn write_png(path: &Path, frame: &Frame) -> Result<(), EnvError> {
    let failed = |message: String| EnvError::Picture { path: path.to_owned(), message };
    let file = BufWriter::new(File::create(path).map_err(|error| failed(error.to_string()))?);
    let mut encoder = png::Encoder::new(file, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| failed(error.to_string()))?;
    writer.write_image_data(&frame.rgb).map_err(|error| failed(error.to_string()))?;
    writer.finish().map_err(|error| failed(error.to_string()))
}
