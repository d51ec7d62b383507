//! The part of a log file that a checkpoint keeps: its length and checksum, so that damage is found when a run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::error::AtPath;

/// How long a file was at a checkpoint, and the CRC-32 of what it held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    length: u64,
    checksum: u32,
}

/// What of a file the last checkpoint has counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    length: u64,
    hasher: crc32fast::Hasher,
}

impl Counted {
    /// Counts what a file holds beyond the last time, which must have been written out.
    pub(super) fn up_to_end(&mut self, path: &Path) -> Result<Kept, RunError> {
        let mut file = File::open(path).at("cannot read", path)?;
        file.seek(SeekFrom::Start(self.length)).at("cannot read", path)?;
        self.read(&mut file).at("cannot read", path)?;
        Ok(self.kept())
    }

    fn kept(&self) -> Kept {
        Kept { length: self.length, checksum: self.hasher.clone().finalize() }
    }

    fn read(&mut self, file: &mut impl Read) -> io::Result<()> {
        let Self { length, hasher } = self;
        *length += io::copy(file, &mut Hashed(hasher))?;
        Ok(())
    }
}

struct Hashed<'a>(&'a mut crc32fast::Hasher);

impl io::Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a file at its end after cutting it to what a checkpoint kept of it, which must be as it was.
pub(super) fn reopen(path: &Path, kept: Kept) -> Result<(File, Counted), RunError> {
    let wrong = |message: String| Err(RunError::Directory { path: path.to_owned(), message });
    let mut file = OpenOptions::new().read(true).write(true).open(path).at("cannot open", path)?;
    let mut counted = Counted::default();
    counted.read(&mut (&file).take(kept.length)).at("cannot read", path)?;
    let (expected, found) = (kept, counted.kept());
    if found.length < expected.length {
        let (expected, found) = (expected.length, found.length);
        return wrong(format!(
            "expected at least the {expected} bytes that the checkpoint noted, found {found}"
        ));
    }
    if found != expected {
        return wrong(format!(
            "expected checksum {:08x} of the {} bytes that the checkpoint noted, found {:08x}: the file was changed",
            expected.checksum, expected.length, found.checksum
        ));
    }
    file.set_len(kept.length).at("cannot cut", path)?;
    file.seek(SeekFrom::End(0)).at("cannot write", path)?;
    Ok((file, counted))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_was_kept_is_checked_and_what_came_after_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.csv");
        let mut counted = Counted::default();
        fs::write(&path, "a,b\n").unwrap();
        counted.up_to_end(&path).unwrap();
        fs::write(&path, "a,b\n1,2\n").unwrap();
        let kept = counted.up_to_end(&path).unwrap();
        assert_eq!(kept.checksum, crc32fast::hash(b"a,b\n1,2\n"), "in two parts as in one");
        fs::write(&path, "a,b\n1,2\n3,4\n").unwrap();
        let (mut file, mut counted) = reopen(&path, kept).unwrap();
        file.write_all(b"5,6\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a,b\n1,2\n5,6\n");
        assert_eq!(counted.up_to_end(&path).unwrap().checksum, crc32fast::hash(b"a,b\n1,2\n5,6\n"));
        for (damaged, expected) in
            [("a,b\n1,3\n5,6\n", "the file was changed"), ("a,b\n", "expected at least")]
        {
            fs::write(&path, damaged).unwrap();
            let message = reopen(&path, kept).unwrap_err().to_string();
            assert!(message.contains("log.csv") && message.contains(expected), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "nothing is cut");
        }
    }
}
