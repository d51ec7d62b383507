//! TensorBoard event files: scalars that `tensorboard --logdir` shows.
//!
//! An event file is a sequence of `TFRecord`s (length, checksum, message, checksum), each message an `Event` of protocol
//! buffers. Only what scalars need is declared here. A file that a killed process left with a torn last record is
//! mended when it is opened again, so that a resumed run goes on in the same file.
//!
//! # Source
//! TensorFlow 2.19, `tensorflow/core/lib/io/record_writer.h`, `tsl/lib/hash/crc32c.h`, `tensorflow/core/util/event.proto`,
//! `tensorflow/core/framework/summary.proto`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

/// The first event of every file.
const FILE_VERSION: &str = "brain.Event:2";
/// Length of a record before its message: 8 bytes length, 4 bytes checksum.
const HEADER_LEN: usize = 12;
const CRC_LEN: usize = 4;

/// An event file could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} event file {}", path.display())]
pub struct EventFileError {
    /// What was tried: `create`, `append to` or `write`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// Writes scalars to an event file.
///
/// Events are buffered: call [`EventWriter::flush`] where the file should be up to date. Dropping the writer flushes too,
/// but cannot report errors.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
    /// Record under construction, kept for its memory.
    record: Vec<u8>,
}

impl EventWriter {
    /// Creates an event file, replacing one that exists.
    ///
    /// TensorBoard reads files whose name contains `tfevents`, by custom `events.out.tfevents.<unix seconds>.<host>`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, EventFileError> {
        let failed = |source| EventFileError { action: "create", path: path.to_path_buf(), source };
        let file = File::create(path).map_err(failed)?;
        let mut writer = Self::new(path, file);
        writer.write_version()?;
        writer.flush()?;
        Ok(writer)
    }

    /// Opens an event file to write after its last whole record, dropping what a killed process left half written
    /// behind it; creates the file if there is none.
    ///
    /// # Errors
    /// If the file cannot be opened, read or shortened, or does not start with a whole record.
    pub fn append(path: &Path) -> Result<Self, EventFileError> {
        let failed = |source| EventFileError { action: "append to", path: path.to_path_buf(), source };
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let whole = whole_records_len(&file).map_err(failed)?;
        if whole == 0 && file.metadata().map_err(failed)?.len() > 0 {
            // Shortening would wipe a file that was never ours.
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "not a TensorBoard event file")));
        }
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut writer = Self::new(path, file);
        if whole == 0 {
            writer.write_version()?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Writes one value of the curve `tag`.
    ///
    /// `wall_time` is in seconds since 1970. TensorBoard keeps values as `f32`.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[doc(alias = "add_scalar")]
    pub fn scalar(&mut self, tag: &str, step: u64, wall_time: f64, value: f64) -> Result<(), EventFileError> {
        let value = SummaryValue { tag: tag.to_owned(), value: Some(SimpleValue::SimpleValue(value as f32)) };
        let what = Some(What::Summary(Summary { value: vec![value] }));
        self.write(&Event { wall_time, step: step as i64, what })
    }

    /// Says that the run starts again at `step`: TensorBoard drops what was written for this step and later ones.
    ///
    /// For a run that resumes from a checkpoint older than the file's last events.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[doc(alias = "purge_step")]
    pub fn restart_at(&mut self, step: u64, wall_time: f64) -> Result<(), EventFileError> {
        let what = Some(What::SessionLog(SessionLog { status: SessionLog::START }));
        self.write(&Event { wall_time, step: step as i64, what })
    }

    /// Hands everything written so far to the operating system.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> Result<(), EventFileError> {
        self.file.flush().map_err(|source| EventFileError {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_path_buf(), file: BufWriter::new(file), record: Vec::new() }
    }

    fn write_version(&mut self) -> Result<(), EventFileError> {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        self.write(&Event { wall_time, step: 0, what: Some(What::FileVersion(FILE_VERSION.to_owned())) })
    }

    fn write(&mut self, event: &Event) -> Result<(), EventFileError> {
        self.record.clear();
        self.record.extend_from_slice(&(event.encoded_len() as u64).to_le_bytes());
        self.record.extend_from_slice(&masked_crc32c(&self.record).to_le_bytes());
        event.encode_raw(&mut self.record);
        let crc = masked_crc32c(&self.record[HEADER_LEN..]);
        self.record.extend_from_slice(&crc.to_le_bytes());
        self.file.write_all(&self.record).map_err(|source| EventFileError {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }
}

/// Length of the file's valid records, from its start to the first damaged or incomplete one.
fn whole_records_len(file: &File) -> io::Result<u64> {
    let file_len = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut whole = 0;
    loop {
        let mut header = [0; HEADER_LEN];
        if !read_whole(&mut reader, &mut header)? {
            return Ok(whole);
        }
        let (len_bytes, len_crc) = header.split_at(8);
        let len = len_bytes.iter().rev().fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
        let rest = file_len - whole - HEADER_LEN as u64;
        // The length is compared before it is believed: a torn header must not reserve memory.
        if len_crc != masked_crc32c(len_bytes).to_le_bytes() || len.saturating_add(CRC_LEN as u64) > rest {
            return Ok(whole);
        }
        let mut body = vec![0; len as usize + CRC_LEN];
        if !read_whole(&mut reader, &mut body)? {
            return Ok(whole);
        }
        let (message, crc) = body.split_at(len as usize);
        if crc != masked_crc32c(message).to_le_bytes() {
            return Ok(whole);
        }
        whole += (HEADER_LEN + body.len()) as u64;
    }
}

/// Fills the buffer; false if the file ends before.
fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A CRC-32C, masked so that checksums of data that contains checksums stay sound.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "SimpleValue", tags = "2")]
    value: Option<SimpleValue>,
}

/// A `oneof` writes zeros, which plain fields leave out: a value of 0 must not look like no value.
#[derive(Clone, PartialEq, prost::Oneof)]
enum SimpleValue {
    #[prost(float, tag = "2")]
    SimpleValue(f32),
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl SessionLog {
    const START: i32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the records of a file strictly, by the format's definition.
    fn read_events(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc32c(&rest[..8]).to_le_bytes());
            let message = &rest[12..12 + len];
            assert_eq!(rest[12 + len..16 + len], masked_crc32c(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            rest = &rest[16 + len..];
        }
        events
    }

    fn scalar_of(event: &Event) -> (&str, i64, f64, f32) {
        let Some(What::Summary(summary)) = &event.what else { panic!("not a summary: {event:?}") };
        let Some(SimpleValue::SimpleValue(value)) = summary.value[0].value else { panic!("no value") };
        (&summary.value[0].tag, event.step, event.wall_time, value)
    }

    #[test]
    fn checksums_are_masked_crc32c() {
        // RFC 3720, B.4: the CRC-32C of 32 zero bytes is 8a9136aa; rotated right by 15 bits 6d551522.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_crc32c(&[0; 32]), 0xfd7fffa);
    }

    /// The bytes of protocol buffers, by hand: field 1 double, field 2 varint, field 5 a summary.
    #[test]
    fn events_are_protocol_buffers() {
        let value = SummaryValue { tag: "a/b".into(), value: Some(SimpleValue::SimpleValue(0.0)) };
        let event =
            Event { wall_time: 1.0, step: 300, what: Some(What::Summary(Summary { value: vec![value] })) };
        let expected = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..],
            &[0x10, 0xac, 0x02],
            &[0x2a, 12, 0x0a, 10, 0x0a, 3, b'a', b'/', b'b', 0x15, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(event.encode_to_vec(), expected);
    }

    #[test]
    fn scalars_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.1700000000.host.1");
        let mut writer = EventWriter::create(&path).unwrap();
        writer.scalar("charts/episodic_return", 2048, 1.7e9, 21.5).unwrap();
        writer.scalar("losses/value_loss", 4096, 1.7e9 + 1.0, 0.0).unwrap();
        writer.flush().unwrap();
        assert_eq!(writer.path(), path);

        let events = read_events(&path);
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
        assert_eq!(scalar_of(&events[1]), ("charts/episodic_return", 2048, 1.7e9, 21.5));
        assert_eq!(scalar_of(&events[2]), ("losses/value_loss", 4096, 1.7e9 + 1.0, 0.0));
    }

    #[test]
    fn appending_continues_after_the_last_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tfevents");
        let mut writer = EventWriter::append(&path).unwrap();
        writer.scalar("x", 1, 0.0, 1.0).unwrap();
        drop(writer);
        let one_record = std::fs::read(&path).unwrap();

        // Every way in which a second record can be torn, and damage in the middle of it.
        let mut writer = EventWriter::append(&path).unwrap();
        writer.scalar("x", 2, 0.0, 2.0).unwrap();
        drop(writer);
        let two_records = std::fs::read(&path).unwrap();
        for end in one_record.len()..two_records.len() {
            std::fs::write(&path, &two_records[..end]).unwrap();
            drop(EventWriter::append(&path).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), one_record, "torn after {end} bytes");
        }
        for position in one_record.len()..two_records.len() {
            let mut damaged = two_records.clone();
            damaged[position] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            drop(EventWriter::append(&path).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), one_record, "damaged at byte {position}");
        }

        let mut writer = EventWriter::append(&path).unwrap();
        writer.restart_at(1, 5.0).unwrap();
        writer.scalar("x", 3, 5.0, 3.0).unwrap();
        drop(writer);
        let events = read_events(&path);
        assert_eq!(events.len(), 4);
        assert_eq!(events[2].what, Some(What::SessionLog(SessionLog { status: 1 })));
        assert_eq!(scalar_of(&events[3]), ("x", 3, 5.0, 3.0));
    }

    #[test]
    fn other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        std::fs::write(&path, "iteration,global_step\n").unwrap();
        let error = EventWriter::append(&path).unwrap_err();
        assert_eq!(error.source.to_string(), "not a TensorBoard event file");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "iteration,global_step\n");
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("tfevents");
        let error = EventWriter::create(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot create event file {}", path.display()));
        assert!(EventWriter::append(&path).is_err());
    }
}
