//! Record batches out of Arrow files.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, Endianness, convert::try_fb_to_schema, root_as_footer, root_as_message};
use arrow_schema::ArrowError;

use crate::DataError;

/// The length of the footer and the closing `ARROW1`.
const TRAILER: usize = 10;

/// Reads all batches of a file. The reader of the library would take memory for what blocks claim, and reads big-endian
/// numbers as if they were little-endian.
pub(super) fn read(path: &Path) -> Result<Vec<RecordBatch>, DataError> {
    let place = path.display().to_string();
    let bytes = Buffer::from_vec(std::fs::read(path).map_err(DataError::io("read", path))?);
    let failed = |source| DataError::arrow(place.as_str())(source);
    let damaged = |expected: &str, found: usize| DataError::mismatch(place.as_str(), expected, found);

    let Some((rest, trailer)) = bytes.split_last_chunk::<TRAILER>() else {
        return Err(damaged("an Arrow file of at least 10 bytes", bytes.len()));
    };
    let length = read_footer_length(*trailer).map_err(failed)?;
    let Some(footer) = rest.len().checked_sub(length).map(|start| &rest[start..]) else {
        return Err(damaged("an Arrow file longer than its footer", length));
    };
    let footer = root_as_footer(footer).map_err(|error| failed(ArrowError::ParseError(error.to_string())))?;
    let schema = footer.schema().ok_or_else(|| damaged("an Arrow file with a schema", 0))?;
    if schema.endianness() != Endianness::Little {
        return Err(DataError::unsupported(place, "big-endian numbers in an Arrow file"));
    }
    if footer.dictionaries().is_some_and(|dictionaries| !dictionaries.is_empty()) {
        return Err(DataError::unsupported(place, "dictionaries in an Arrow file"));
    }
    let schema = Arc::new(try_fb_to_schema(schema).map_err(failed)?);
    let decoder = FileDecoder::new(schema, footer.version());
    let mut batches = Vec::new();
    for block in footer.recordBatches().iter().flatten() {
        let slice = slice(&bytes, block).filter(|slice| is_inside(slice, block));
        let slice =
            slice.ok_or_else(|| damaged("an Arrow file that holds its blocks and buffers", bytes.len()))?;
        batches.extend(decoder.read_record_batch(block, &slice).map_err(failed)?);
    }
    Ok(batches)
}

/// Whether the buffers that a block's message names lie in the block's body, and no array is longer than the body has
/// bits: the decoder panics otherwise.
fn is_inside(slice: &Buffer, block: &Block) -> bool {
    let Ok(metadata) = usize::try_from(block.metaDataLength()) else { return false };
    let (message, body) = slice.split_at(metadata);
    // Since version 0.15, four bytes of all ones come before the length of the message.
    let message = if message.starts_with(&[0xff; 4]) { &message[8..] } else { &message[4..] };
    let Some(batch) = root_as_message(message).ok().and_then(|message| message.header_as_record_batch())
    else {
        return false;
    };
    let most = i64::try_from(body.len()).unwrap_or(i64::MAX);
    let is_buffer_inside = |offset: i64, length: i64| {
        offset >= 0 && length >= 0 && offset.checked_add(length).is_some_and(|end| end <= most)
    };
    let is_length = |length: i64| (0..=most.saturating_mul(8)).contains(&length);
    is_length(batch.length())
        && batch.compression().is_none()
        && batch.buffers().iter().flatten().all(|buffer| is_buffer_inside(buffer.offset(), buffer.length()))
        && batch.nodes().iter().flatten().all(|node| is_length(node.length()) && is_length(node.null_count()))
}

fn slice(bytes: &Buffer, block: &Block) -> Option<Buffer> {
    let offset = usize::try_from(block.offset()).ok()?;
    let metadata = usize::try_from(block.metaDataLength()).ok()?;
    let length = metadata.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
    // The decoder takes the first four bytes of the metadata for granted.
    let is_inside = metadata >= 8 && offset.checked_add(length)? <= bytes.len();
    is_inside.then(|| bytes.slice_with_length(offset, length))
}
