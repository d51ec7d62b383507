//! TensorBoard event files: what `tensorboard --logdir` shows.
//!
//! An event file is a sequence of `TFRecord`s (length, checksum, message, checksum), each message an `Event` of protocol
//! buffers. Scalars, texts, histograms and hyper-parameters are written. A file that a killed process left with a torn last record is
//! mended when it is opened again, so that a resumed run goes on in the same file.
//!
//! # Source
//! TensorFlow 2.19, `tensorflow/core/lib/io/record_writer.h`, `tsl/lib/hash/crc32c.h`, `tensorflow/core/util/event.proto`,
//! `tensorflow/core/framework/summary.proto`; TensorBoard 2.21, `plugins/hparams/summary_v2.py`, `plugins/text/metadata.py`.

mod proto;

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

pub use proto::HISTOGRAM_BUCKETS;
use proto::{
    Event, Histogram, HparamsPluginData, SessionEndInfo, SessionStartInfo, SummaryValue, Value, What,
};

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

/// A hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Hparam {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

/// Writes an event file.
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
        self.write(&Event::summary(wall_time, step as i64, SummaryValue::scalar(tag, value as f32)))
    }

    /// Writes a text, which TensorBoard reads as Markdown.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[doc(alias = "add_text")]
    pub fn text(&mut self, tag: &str, step: u64, wall_time: f64, text: &str) -> Result<(), EventFileError> {
        let value = SummaryValue::text(tag, text);
        self.write(&Event::summary(wall_time, step as i64, value))
    }

    /// Writes how some numbers are distributed, in [`HISTOGRAM_BUCKETS`] equal ranges. What is not finite does not count; nothing
    /// is written if nothing is.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[doc(alias = "add_histogram")]
    pub fn histogram(
        &mut self,
        tag: &str,
        step: u64,
        wall_time: f64,
        values: &[f32],
    ) -> Result<(), EventFileError> {
        match Histogram::of(values) {
            Some(histogram) => {
                let value = SummaryValue::histogram(tag, histogram);
                self.write(&Event::summary(wall_time, step as i64, value))
            }
            None => Ok(()),
        }
    }

    /// Writes the hyper-parameters of a run, which TensorBoard compares runs by. `wall_time` is when it began.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[doc(alias = "add_hparams")]
    pub fn hparams(&mut self, hparams: &[(String, Hparam)], wall_time: f64) -> Result<(), EventFileError> {
        let hparams = hparams.iter().map(|(name, value)| (name.clone(), Value::of(value))).collect();
        let started = SessionStartInfo { hparams, start_time_secs: wall_time };
        let data = HparamsPluginData { session_start_info: Some(started), session_end_info: None };
        self.write(&Event::summary(
            wall_time,
            0,
            SummaryValue::hparams("_hparams_/session_start_info", &data),
        ))
    }

    /// Says that a run whose hyper-parameters were written has come to its end.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn hparams_end(&mut self, wall_time: f64) -> Result<(), EventFileError> {
        let ended = SessionEndInfo { status: SessionEndInfo::SUCCESS, end_time_secs: wall_time };
        let data = HparamsPluginData { session_start_info: None, session_end_info: Some(ended) };
        self.write(&Event::summary(wall_time, 0, SummaryValue::hparams("_hparams_/session_end_info", &data)))
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

#[cfg(test)]
mod tests;
