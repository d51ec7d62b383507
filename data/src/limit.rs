//! How much a file may grow into when it is read: a claim beyond that is damage, and is refused before memory is taken.

use crate::DataError;

/// What any compressed file may grow into: constant columns of a million steps are a few bytes of a Parquet file.
const ALWAYS: u64 = 256 << 20;

/// What a byte of a compressed file may grow into. Deflate can do 1032, but only values that are all the same are so dull.
const A_BYTE: u64 = 128;

/// Checks the size that a compressed thing claims.
pub(crate) fn check_compressed(claimed: u64, file_size: u64, place: &str) -> Result<(), DataError> {
    check(claimed, file_size.saturating_mul(A_BYTE).saturating_add(ALWAYS), place)
}

/// Checks the size that a thing claims of which every byte lies in the file.
pub(crate) fn check_plain(claimed: u64, file_size: u64, place: &str) -> Result<(), DataError> {
    check(claimed, file_size, place)
}

fn check(claimed: u64, limit: u64, place: &str) -> Result<(), DataError> {
    if claimed <= limit {
        return Ok(());
    }
    Err(DataError::mismatch(place, format!("of at most {limit} bytes, given the size of the file"), claimed))
}
