//! Byte sequences of different lengths, which lie in collections of the global heap of an HDF5 file. The HDF5 library
//! reads them as texts only, so the references that it gives are followed here.
//!
//! # Source
//! HDF5 File Format Specification 3.0, section III.E "Disk Format: Level 1E - Global Heap".

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::{DataError, limit};

const HEADER: usize = 16;

/// A file whose sequences are read one after the other, with the collection of the last at hand.
pub(super) struct Heap {
    file: File,
    path: PathBuf,
    size: u64,
    base: u64,
    address: u64,
    collection: Vec<u8>,
}

impl Heap {
    /// Opens the file again. Addresses count from `base`.
    pub(super) fn open(path: &Path, base: u64) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        let size = file.metadata().map_err(DataError::io("read", path))?.len();
        Ok(Self { file, path: path.to_path_buf(), size, base, address: u64::MAX, collection: Vec::new() })
    }

    /// The sequences of the references, each of 4 bytes of length, 8 of address and 4 of index.
    pub(super) fn sequences(&mut self, references: &[u8], place: &str) -> Result<Vec<Vec<u8>>, DataError> {
        let mut total = 0_u64;
        let mut sequences = Vec::new();
        for reference in references.as_chunks::<16>().0 {
            let length = number(&reference[..4]);
            let (address, index) = (number(&reference[4..12]), number(&reference[12..]));
            // Every sequence is an object of its own, so that together they are no larger than the file.
            total = total.saturating_add(length);
            limit::check_plain(total, self.size, place)?;
            sequences.push(if length == 0 {
                Vec::new()
            } else {
                self.object(address, index, length, place)?
            });
        }
        Ok(sequences)
    }

    fn object(&mut self, address: u64, index: u64, length: u64, place: &str) -> Result<Vec<u8>, DataError> {
        if self.address != address {
            self.load(address, place)?;
        }
        let mut position = HEADER;
        while let Some(header) = self.collection.get(position..position + HEADER) {
            let (found, size) = (number(&header[..2]), number(&header[8..]));
            position += HEADER;
            let end = usize::try_from(size).ok().and_then(|size| position.checked_add(size));
            if found == 0 {
                break;
            }
            let Some(object) = end.and_then(|end| self.collection.get(position..end)) else { break };
            if found == index {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let bytes = object.get(..length).map(<[u8]>::to_vec);
                return bytes.ok_or_else(|| {
                    DataError::mismatch(place, format!("a sequence of {length} bytes"), size)
                });
            }
            position += object.len().next_multiple_of(8);
        }
        Err(DataError::mismatch(place, format!("object {index} of the heap at {address}"), "nothing"))
    }

    fn load(&mut self, address: u64, place: &str) -> Result<(), DataError> {
        let offset = self.base.saturating_add(address);
        let mut header = [0; HEADER];
        self.read(offset, &mut header)?;
        if &header[..5] != b"GCOL\x01" {
            return Err(DataError::mismatch(
                place,
                format!("a heap at {address}"),
                format!("{:?}", &header[..5]),
            ));
        }
        let size = number(&header[8..]);
        limit::check_plain(size.saturating_add(offset), self.size, place)?;
        self.collection = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut collection = std::mem::take(&mut self.collection);
        self.read(offset, &mut collection)?;
        self.collection = collection;
        self.address = address;
        Ok(())
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        let read = self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.read_exact(bytes));
        read.map_err(DataError::io("read", &self.path))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
