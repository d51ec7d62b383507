//! What all files of checkpoints have in common: bytes that are either whole or refused.
//!
//! Layout: a magic of 8 bytes, the content's length as 8 bytes little-endian, the CRC-32 of length and content as 4, the
//! content. Nothing in a content is believed before both are right.

use std::path::Path;

use crate::RunError;

/// Bytes before the content.
const HEADER: usize = 8 + 8 + 4;

/// The bytes of a file, and their checksum.
pub(crate) fn framed(magic: &[u8; 8], content: &[u8]) -> (Vec<u8>, u32) {
    let length = (content.len() as u64).to_le_bytes();
    let checksum = checksum(&length, content);
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(content);
    (bytes, checksum)
}

/// The content of a file and its checksum, or what is wrong with it.
pub(crate) fn content<'a>(
    path: &Path,
    magic: &[u8; 8],
    bytes: &'a [u8],
) -> Result<(&'a [u8], u32), RunError> {
    let wrong = |message: String| Err(RunError::Checkpoint { path: path.to_owned(), message });
    let Some((header, content)) = bytes.split_at_checked(HEADER) else {
        return wrong(format!("expected at least {HEADER} bytes, found {}", bytes.len()));
    };
    if !header.starts_with(magic) {
        let name = String::from_utf8_lossy(magic);
        return wrong(format!("expected a file of this version ({name}), found another one"));
    }
    let number = |range: std::ops::Range<usize>| {
        header[range].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
    };
    let length = number(8..16);
    if content.len() as u64 != length {
        return wrong(format!("expected {length} bytes of content, found {}", content.len()));
    }
    let (expected, found) = (number(16..20), checksum(&header[8..16], content));
    if u64::from(found) != expected {
        return wrong(format!("expected checksum {expected:08x}, found {found:08x}: the file is damaged"));
    }
    Ok((content, found))
}

fn checksum(length: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAGIC: &[u8; 8] = b"AGONTEST";

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let (whole, _) = framed(MAGIC, b"some content");
        let path = Path::new("file");
        assert_eq!(content(path, MAGIC, &whole).unwrap().0, b"some content");
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(content(path, MAGIC, &damaged).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(content(path, MAGIC, &whole[..length]).is_err(), "{length} bytes");
        }
        assert!(content(path, MAGIC, &[&whole[..], b"x"].concat()).is_err(), "a byte more");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let behind_magic = [&MAGIC[..], &bytes].concat();
            prop_assert!(content(Path::new("file"), MAGIC, &bytes).is_err());
            prop_assert!(content(Path::new("file"), MAGIC, &behind_magic).is_err() || bytes.len() >= 12);
        }
    }
}
