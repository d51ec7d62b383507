//! Recorded observations that do not fit into memory: in a file of the run's directory, which nobody else can see and which is
//! gone when the run ends, however it ends.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use agon_agents::AgentError;
use agon_agents::replay::RowStore;
use crossbeam_channel::{Sender, bounded};

use crate::RunError;
use crate::error::AtPath;

/// Threads that read ahead: disks answer several questions at once sooner than one after the other.
const READERS: usize = 4;
/// Rows that a reader takes at a time, and parts of as many that may wait.
const ROWS: usize = 16;
const WAITING: usize = 256;

/// A file of rows, and threads that read what is expected, so that the system has it in memory when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct FileRows {
    file: OnceLock<Opened>,
    end: AtomicU64,
}

#[derive(Debug)]
struct Opened {
    file: File,
    expected: Sender<Expected>,
    /// How often something was expected. What was before that is being read by whoever needs it, and is not read again.
    newest: Arc<AtomicU64>,
}

/// Some rows, and the number of the time that something was expected.
#[derive(Debug)]
struct Expected {
    time: u64,
    rows: Vec<(u64, usize)>,
}

impl FileRows {
    /// Makes the file. Nothing can be kept before.
    ///
    /// # Errors
    /// If the directory cannot be written to.
    pub(crate) fn open_in(&self, directory: &Path) -> Result<(), RunError> {
        let file = tempfile::tempfile_in(directory).at("cannot make a file in", directory)?;
        let (expected, waiting) = bounded::<Expected>(WAITING);
        let newest = Arc::new(AtomicU64::new(0));
        for _ in 0..READERS {
            let reader = file.try_clone().at("cannot make a file in", directory)?;
            let (waiting, newest) = (waiting.clone(), Arc::clone(&newest));
            let read_ahead = move || {
                let mut bytes = Vec::new();
                for Expected { time, rows } in waiting {
                    for (at, len) in rows {
                        if time < newest.load(Ordering::Relaxed) {
                            break;
                        }
                        bytes.resize(len, 0);
                        // Whoever needs the row reads it again, and says what is wrong.
                        let _ = read_at(&reader, &mut bytes, at);
                    }
                }
            };
            let reading = thread::Builder::new().name("read-ahead".to_owned()).spawn(read_ahead);
            reading.at("cannot begin to read ahead in", directory)?;
        }
        // A second file would have nothing in it: the first one stays.
        let _ = self.file.set(Opened { file, expected, newest });
        Ok(())
    }

    fn opened(&self) -> Result<&Opened, AgentError> {
        self.file.get().ok_or_else(|| failed(&"there is no file yet"))
    }
}

fn failed(message: &dyn std::fmt::Display) -> AgentError {
    AgentError::Chunk { key: "of recorded observations".to_owned(), message: message.to_string() }
}

impl RowStore for FileRows {
    fn keep(&self, bytes: &[u8]) -> Result<u64, AgentError> {
        let opened = self.opened()?;
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        write_at(&opened.file, bytes, at).map_err(|error| failed(&error))?;
        Ok(at)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), AgentError> {
        read_at(&self.opened()?.file, out, at).map_err(|error| failed(&error))
    }

    fn expect(&self, rows: Vec<(u64, usize)>) {
        let Some(Opened { expected, newest, .. }) = self.file.get() else { return };
        let time = newest.fetch_add(1, Ordering::Relaxed) + 1;
        for rows in rows.chunks(ROWS) {
            // What has no room is read when it is needed.
            let _ = expected.try_send(Expected { time, rows: rows.to_vec() });
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut at: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => (out, at) = (&mut out[count..], at + count as u64),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        (bytes, at) = (&bytes[count..], at + count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_nothing_stays_in_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let rows = FileRows::default();
        assert!(rows.keep(&[1]).unwrap_err().to_string().contains("no file"));
        rows.open_in(directory.path()).unwrap();
        let places = [rows.keep(&[1, 2, 3]).unwrap(), rows.keep(&[4, 5]).unwrap()];
        rows.expect(vec![(places[0], 3), (places[1], 2), (1 << 40, 9)]);
        let mut out = [0; 2];
        rows.read(places[1], &mut out).unwrap();
        assert_eq!(out, [4, 5]);
        rows.read(places[0] + 1, &mut out).unwrap();
        assert_eq!(out, [2, 3]);
        assert!(
            rows.read(places[1] + 1, &mut out).unwrap_err().to_string().contains("recorded observations")
        );
        if cfg!(unix) {
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }
}
