//! Frames out of JPEG files.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{Array, DataError, Dtype};

/// Pixels that a byte of a JPEG file can stand for at most: plain files need two bits for 64 of them, so that a file of
/// more claims a size that it does not have.
const MAXIMUM_PIXELS_PER_BYTE: usize = 1024;

/// Decodes frames that must have that shape: height and width of grey pixels, or with a third dimension of 3 colours.
pub(crate) fn decode(frames: &[Vec<u8>], shape: &[usize], place: &str) -> Result<Array, DataError> {
    let (height, width, color) = match shape {
        [height, width] | [height, width, 1] => (*height, *width, ColorSpace::Luma),
        [height, width, 3] => (*height, *width, ColorSpace::RGB),
        _ => return Err(DataError::unsupported(place, format!("JPEG frames of shape {shape:?}"))),
    };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(color).set_strict_mode(true);
    let mut pixels = Vec::new();
    for (row, frame) in frames.iter().enumerate() {
        let place = || format!("{place}, frame {row}");
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(frame.as_slice()), options);
        let damaged = |error| DataError::mismatch(place(), "a whole JPEG file", format!("{error:?}"));
        decoder.decode_headers().map_err(damaged)?;
        let found = decoder.dimensions();
        if found != Some((width, height)) {
            return Err(DataError::mismatch(
                place(),
                format!("{width} pixels by {height}"),
                format!("{found:?}"),
            ));
        }
        if height * width / MAXIMUM_PIXELS_PER_BYTE > frame.len() {
            return Err(DataError::mismatch(
                place(),
                format!("enough for {width} pixels by {height}"),
                frame.len(),
            ));
        }
        pixels.extend(decoder.decode().map_err(damaged)?);
    }
    Array::new(Dtype::U8, shape.to_vec(), pixels)
}
