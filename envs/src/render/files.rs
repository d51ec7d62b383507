//! Frames as files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::Frame;
use crate::EnvError;

/// Writes frames as an animated GIF that repeats for ever. It has 256 colours a frame and hundredths of a second.
///
/// # Errors
/// [`EnvError::Picture`] if there is no frame, frames differ in size, or the file cannot be written.
pub fn write_gif(path: &Path, frames: &[Frame], fps: u16) -> Result<(), EnvError> {
    let failed = |message: String| EnvError::Picture { path: path.to_owned(), message };
    let (width, height) = common_size(path, frames)?;
    let side = |pixels: u32| {
        u16::try_from(pixels).map_err(|_| failed(format!("{pixels} pixels are too many for a GIF")))
    };
    let (width, height) = (side(width)?, side(height)?);
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

/// Writes frames as an animated WebP that repeats for ever, with all their colours.
///
/// # Source
/// The pictures are lossless bitstreams of the `image-webp` crate; the container is that of RFC 9649, section 2.7.
///
/// # Errors
/// As [`write_gif`].
pub fn write_webp(path: &Path, frames: &[Frame], fps: u16) -> Result<(), EnvError> {
    let failed = |message: String| EnvError::Picture { path: path.to_owned(), message };
    let (width, height) = common_size(path, frames)?;
    let limit = 1 << 14;
    if width > limit || height > limit {
        return Err(failed(format!("{width}x{height} pixels are too many for a WebP")));
    }
    let size = [three_bytes(width - 1), three_bytes(height - 1)].concat();
    // The second flag says that there is an animation; of its background and repetitions all are 0: none, and for ever.
    let mut body = chunk(b"VP8X", &[&[2, 0, 0, 0][..], &size].concat());
    body.extend(chunk(b"ANIM", &[0; 6]));
    let shown_ms = 1000 / u32::from(fps.max(1));
    for frame in frames {
        let mut picture = Vec::new();
        image_webp::WebPEncoder::new(&mut picture)
            .encode(&frame.rgb, width, height, image_webp::ColorType::Rgb8)
            .map_err(|error| failed(error.to_string()))?;
        // Its own file has a header of 12 bytes before the chunk of the bitstream.
        let bitstream = picture.get(12..).unwrap_or_default();
        // The frame stands at the upper left corner; its flag says that it replaces what was there.
        let head = [&[0; 6][..], &size, &three_bytes(shown_ms), &[2]].concat();
        body.extend(chunk(b"ANMF", &[&head, bitstream].concat()));
    }
    let file = [&b"RIFF"[..], &(body.len() as u32 + 4).to_le_bytes(), b"WEBP", &body].concat();
    std::fs::write(path, file).map_err(|error| failed(error.to_string()))
}

/// A chunk of a RIFF file: its name, its length, what it holds, and a byte more if that is odd.
fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = if content.len().is_multiple_of(2) { &[][..] } else { &[0] };
    [name, &(content.len() as u32).to_le_bytes()[..], content, padding].concat()
}

fn three_bytes(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

/// The size that all frames have.
fn common_size(path: &Path, frames: &[Frame]) -> Result<(u32, u32), EnvError> {
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
    Ok((first.width, first.height))
}

/// Writes a frame as a PNG.
///
/// # Errors
/// [`EnvError::Picture`] if the file cannot be written.
pub fn write_png(path: &Path, frame: &Frame) -> Result<(), EnvError> {
    let failed = |message: String| EnvError::Picture { path: path.to_owned(), message };
    let file = BufWriter::new(File::create(path).map_err(|error| failed(error.to_string()))?);
    encode(file, frame, png::Compression::default()).map_err(|error| failed(error.to_string()))
}

/// A frame as the content of a PNG file, compressed fast rather than well.
///
/// # Errors
/// [`EnvError::Picture`] if the frame has no pixels.
pub fn png_bytes(frame: &Frame) -> Result<Vec<u8>, EnvError> {
    let mut bytes = Vec::new();
    let failed = |error: png::EncodingError| EnvError::Picture {
        path: "a picture in memory".into(),
        message: error.to_string(),
    };
    encode(&mut bytes, frame, png::Compression::Fast).map_err(failed)?;
    Ok(bytes)
}

fn encode(to: impl Write, frame: &Frame, compression: png::Compression) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(to, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(compression);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&frame.rgb)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webp_has_every_frame_with_its_colours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("film.webp");
        let frames = [[200, 10, 20], [1, 2, 3], [0, 255, 7]].map(|color| Frame::filled(5, 3, color));
        write_webp(&path, &frames, 25).unwrap();
        let file = std::io::Cursor::new(std::fs::read(&path).unwrap());
        let mut decoder = image_webp::WebPDecoder::new(file).unwrap();
        assert_eq!((decoder.dimensions(), decoder.num_frames()), ((5, 3), 3));
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        for frame in &frames {
            assert_eq!(decoder.read_frame(&mut pixels).unwrap(), 40);
            assert_eq!(pixels, frame.rgb);
        }
        let other = [frames[0].clone(), Frame::filled(4, 3, [0; 3])];
        assert!(write_webp(&path, &other, 25).unwrap_err().to_string().contains("5x3 and 4x3"));
        assert!(write_webp(&path, &[], 25).is_err());
    }
}
