//! One chunk of a replay buffer as a file.
//!
//! Layout: the magic `AGONCHK2` and a [frame](super::framed) around the content's length, 8 bytes little-endian, and the
//! content compressed (LZ4).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::write_atomically;
use super::framed::{self, framed};
use crate::RunError;
use crate::signing::Source;

const MAGIC: &[u8; 8] = b"AGONCHK2";
/// A byte of a compressed block stands for so many bytes at most.
const MOST_EXPANDED: u64 = 255;

/// A chunk's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChunkFile {
    key: String,
    checksum: u32,
}

impl ChunkFile {
    /// Writes a chunk's file.
    pub(crate) fn write(directory: &Path, key: &str, content: &[u8]) -> Result<Self, RunError> {
        let mut framed_content = (content.len() as u64).to_le_bytes().to_vec();
        framed_content.extend_from_slice(&lz4_flex::block::compress(content));
        let (bytes, checksum) = framed(MAGIC, &framed_content);
        let file = Self { key: key.to_owned(), checksum };
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

    /// Makes sure that the file is whole.
    pub(crate) fn verify(&self, source: &Source, directory: &Path) -> Result<(), RunError> {
        self.framed(source, directory).map(drop)
    }

    /// The content of a chunk that takes at most `most` bytes, or what is wrong with its file.
    pub(crate) fn read(&self, source: &Source, directory: &Path, most: u64) -> Result<Vec<u8>, RunError> {
        let (path, bytes) = self.framed(source, directory)?;
        let wrong = |message: String| RunError::Checkpoint { path: path.clone(), message };
        let (framed_content, _) = framed::content(&path, MAGIC, &bytes)?;
        let Some((length, compressed)) = framed_content.split_first_chunk() else {
            return Err(wrong(format!("expected a length of 8 bytes, found {}", framed_content.len())));
        };
        let length = u64::from_le_bytes(*length);
        let most = most.min(MOST_EXPANDED.saturating_mul(compressed.len() as u64));
        match usize::try_from(length) {
            Ok(length) if length as u64 <= most => {
                lz4_flex::block::decompress(compressed, length).map_err(|error| wrong(error.to_string()))
            }
            _ => Err(wrong(format!("expected a content of at most {most} bytes, found {length}"))),
        }
    }

    /// The file's path and bytes, which are whole.
    fn framed(&self, source: &Source, directory: &Path) -> Result<(PathBuf, Vec<u8>), RunError> {
        let path = self.path(directory)?;
        let bytes = source.read(&path)?;
        let (_, found) = framed::content(&path, MAGIC, &bytes)?;
        if found == self.checksum {
            return Ok((path, bytes));
        }
        let expected = self.checksum;
        let message = format!("expected checksum {expected:08x}, found {found:08x}: the file is another one");
        Err(RunError::Checkpoint { path, message })
    }

    /// Where the file is: beside the checkpoints, whatever its key says.
    fn path(&self, directory: &Path) -> Result<PathBuf, RunError> {
        let name = self.name();
        if Path::new(&name).file_name().is_some_and(|file| file == name.as_str()) {
            return Ok(directory.join(name));
        }
        let message = format!("expected the name of a chunk file, found {name}");
        Err(RunError::Checkpoint { path: directory.to_owned(), message })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_damage_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let chunk = ChunkFile::write(directory.path(), "k", b"abcdefgh").unwrap();
        let path = directory.path().join(chunk.name());
        let whole = fs::read(&path).unwrap();
        let other = ChunkFile::write(directory.path(), "k", b"abcdefgi").unwrap();
        let other = fs::read(directory.path().join(other.name())).unwrap();
        let bomb = [&u64::MAX.to_le_bytes()[..], &lz4_flex::block::compress(&[0; 9])].concat();
        for (damage, expected) in [
            (whole[..10].to_vec(), "expected at least"),
            (whole[..whole.len() - 1].to_vec(), "bytes of content"),
            (other, "the file is another one"),
            (framed(MAGIC, &bomb).0, "the file is another one"),
        ] {
            fs::write(&path, damage).unwrap();
            let message = chunk
                .read(&Source::trusted(directory.path()), directory.path(), 100)
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{message}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(
            chunk.read(&Source::trusted(directory.path()), directory.path(), 100),
            Err(RunError::Io { .. })
        ));
    }

    #[test]
    fn a_length_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        for (length, expected) in [
            (u64::MAX, "at most 100 bytes, found 18446744073709551615"),
            (1 << 40, "at most 100 bytes"),
            (101, "at most 100 bytes, found 101"),
            (10, "output"),
        ] {
            let content = [&length.to_le_bytes()[..], &lz4_flex::block::compress(&[0; 80])].concat();
            let (bytes, checksum) = framed(MAGIC, &content);
            let file = ChunkFile { key: "k".to_owned(), checksum };
            fs::write(directory.path().join(file.name()), bytes).unwrap();
            let message =
                file.read(&Source::trusted(directory.path()), directory.path(), 100).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let outside = ChunkFile { key: "../k".to_owned(), checksum: 0 };
        let message =
            outside.read(&Source::trusted(directory.path()), directory.path(), 100).unwrap_err().to_string();
        assert!(message.contains("expected the name of a chunk file"), "{message}");
    }
}
