//! One chunk of a replay buffer as a file.
//!
//! Layout: the magic `AGONCHK1`, the content's length as 8 bytes little-endian, the CRC-32 of what follows as 4, the
//! content compressed (LZ4).

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::write_atomically;
use crate::RunError;
use crate::error::AtPath;

const MAGIC: &[u8; 8] = b"AGONCHK1";
const HEADER: usize = MAGIC.len() + 8 + 4;

/// A chunk's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChunkFile {
    key: String,
    checksum: u32,
}

impl ChunkFile {
    /// Writes a chunk's file.
    pub(crate) fn write(directory: &Path, key: &str, content: &[u8]) -> Result<Self, RunError> {
        let compressed = lz4_flex::block::compress(content);
        let file = Self { key: key.to_owned(), checksum: crc32fast::hash(&compressed) };
        let mut bytes = Vec::with_capacity(HEADER + compressed.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&file.checksum.to_le_bytes());
        bytes.extend_from_slice(&compressed);
        write_atomically(&directory.join(file.name()), &bytes)?;
        Ok(file)
    }

    /// The chunk's key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The file's name in the checkpoints' directory.
    pub(crate) fn name(&self) -> String {
        format!("{}-{:08x}.chunk", self.key, self.checksum)
    }

    /// The content of a chunk, or what is wrong with its file.
    pub(crate) fn read(&self, directory: &Path) -> Result<Vec<u8>, RunError> {
        let path = directory.join(self.name());
        let bytes = fs::read(&path).at("cannot read", &path)?;
        let wrong = |message: String| RunError::Checkpoint { path: path.clone(), message };
        let Some((header, compressed)) = bytes.split_at_checked(HEADER) else {
            return Err(wrong(format!("expected at least {HEADER} bytes, found {}", bytes.len())));
        };
        if !header.starts_with(MAGIC) {
            return Err(wrong("expected a chunk of this version (AGONCHK1), found another file".to_owned()));
        }
        let found = crc32fast::hash(compressed);
        if found != self.checksum {
            let expected = self.checksum;
            let message = format!("expected checksum {expected:08x}, found {found:08x}: the file is damaged");
            return Err(wrong(message));
        }
        let length = header[8..16].iter().rev().fold(0, |n: u64, &byte| n << 8 | u64::from(byte));
        let length = usize::try_from(length).map_err(|_| wrong(format!("a content of {length} bytes")))?;
        lz4_flex::block::decompress(compressed, length).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damage_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let chunk = ChunkFile::write(directory.path(), "k", b"abcdefgh").unwrap();
        let path = directory.path().join(chunk.name());
        let whole = fs::read(&path).unwrap();
        let flipped = [&whole[..HEADER], &[whole[HEADER] ^ 1], &whole[HEADER + 1..]].concat();
        for (damage, expected) in [
            (whole[..10].to_vec(), "expected at least"),
            ([b"XXXXXXXX", &whole[8..]].concat(), "found another file"),
            (whole[..whole.len() - 1].to_vec(), "the file is damaged"),
            (flipped, "the file is damaged"),
            ([&whole[..8], &[1, 0, 0, 0, 0, 0, 0, 0], &whole[16..]].concat(), "output"),
        ] {
            fs::write(&path, damage).unwrap();
            let message = chunk.read(directory.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(chunk.read(directory.path()), Err(RunError::Io { .. })));
    }
}
