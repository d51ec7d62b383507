//! Record batches out of Parquet files, and into them.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Fields};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;

use crate::{DataError, limit};

/// Rows decoded at once: few, since every row may repeat a long text.
const BATCH_ROWS: usize = 256;

/// Reads all rows of a file.
pub(super) fn read(path: &Path) -> Result<Vec<RecordBatch>, DataError> {
    let place = path.display().to_string();
    let bytes = Bytes::from(std::fs::read(path).map_err(DataError::io("read", path))?);
    let size = bytes.len() as u64;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(DataError::parquet(&place))?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(u64::MAX);
    for column in builder.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
        // The decoder panics on negative ones.
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let length = column.compressed_size();
        let is_inside = start >= 0
            && length >= 0
            && column.data_page_offset() >= 0
            && start
                .checked_add(length)
                .and_then(|end| u64::try_from(end).ok())
                .is_some_and(|end| end <= size);
        if !is_inside {
            let found = format!("{length} bytes at {start}");
            return Err(DataError::mismatch(
                format!("{place}, {}", column.column_path()),
                "in the file",
                found,
            ));
        }
    }
    let row_size = row_size(builder.schema().fields());
    limit::check_compressed(rows.saturating_mul(row_size), size, &place)?;
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(DataError::parquet(&place))?;
    let (mut batches, mut total) = (Vec::new(), 0);
    for batch in reader {
        let batch = batch.map_err(DataError::arrow(&place))?;
        total += batch.get_array_memory_size() as u64;
        limit::check_compressed(total, size, &place)?;
        batches.push(batch);
    }
    Ok(batches)
}

/// Writes one row group.
pub(super) fn write(path: &Path, batch: &RecordBatch) -> Result<(), DataError> {
    let place = path.display().to_string();
    let file = File::create(path).map_err(DataError::io("write", path))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(DataError::parquet(&place))?;
    writer.write(batch).map_err(DataError::parquet(&place))?;
    writer.close().map(drop).map_err(DataError::parquet(&place))
}

/// Bytes of a row as far as its kind tells.
fn row_size(fields: &Fields) -> u64 {
    fields.iter().fold(0, |size: u64, field| size.saturating_add(value_size(field.data_type())))
}

fn value_size(kind: &DataType) -> u64 {
    match kind {
        DataType::Struct(fields) => row_size(fields),
        DataType::FixedSizeList(item, length) => {
            value_size(item.data_type()).saturating_mul(u64::try_from(*length).unwrap_or(u64::MAX))
        }
        _ => kind.primitive_width().unwrap_or(1) as u64,
    }
}
