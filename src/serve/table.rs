//! Files of numbers that grow while they are read.
//!
//! Only what was added since the last look is read, and only the columns that were asked for are kept: a thousand runs of a
//! hundred thousand rows do not fit in memory as a whole. A plot of a finished run refuses a file that is damaged
//! ([`plot`](crate::plot)); a page that watches a run shows what can be read and says how much cannot: a line without its end
//! waits for it, one that is no row is counted.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::RunError;
use crate::error::AtPath;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;
/// Bytes before the last place that are compared, to notice that a file was cut and written anew.
const COMPARED: usize = 64;
/// Longest header that is read.
const LONGEST_HEADER: u64 = 1 << 16;

/// Bytes from which on a file is sampled, how many rows of it, and how many bytes are read to find one.
const SHORT_FILE: u64 = 1 << 20;
const SAMPLED_ROWS: u64 = 200;
const SAMPLED_BYTES: usize = 1 << 10;

/// What an empty field is kept as. A `NaN` that was written has other bits.
const MISSING: u64 = 0x7ff8_0000_0000_0a60;

/// Whether a number stands for an empty field: nothing was measured.
pub(super) fn is_missing(number: f64) -> bool {
    number.to_bits() == MISSING
}

/// Some columns of a file.
#[derive(Debug, Default)]
pub(super) struct Table {
    path: PathBuf,
    /// All of its columns.
    names: Vec<String>,
    /// Those that are kept: their indices, increasing, and numbers.
    kept: Vec<(usize, Vec<f64>)>,
    /// Lines that are no rows of numbers.
    broken: usize,
    /// Bytes of whole lines that have been read.
    offset: u64,
    /// The last of them.
    before: Vec<u8>,
}

impl Table {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    /// Lines that are no rows.
    pub(super) fn broken(&self) -> usize {
        self.broken
    }

    /// Numbers that are kept.
    pub(super) fn size(&self) -> usize {
        self.kept.iter().map(|(_, numbers)| numbers.len()).sum()
    }

    /// The numbers of a column that was asked for.
    pub(super) fn column(&self, name: &str) -> Option<&[f64]> {
        let index = self.names.iter().position(|found| found == name)?;
        let at = self.kept.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&self.kept[at].1)
    }

    /// Some rows of a long file, as far apart as can be, to be seen while the others are read; none of a file that is read as fast.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn sample(path: &Path, columns: &[&str]) -> Result<Option<Self>, RunError> {
        let mut file = File::open(path).at("cannot read", path)?;
        let length = file.metadata().at("cannot read", path)?.len();
        let mut table = Self::new(path.to_owned());
        if length < SHORT_FILE {
            return Ok(None);
        }
        table.begin(&mut file, columns)?;
        let begin = table.offset;
        let mut piece = vec![0; SAMPLED_BYTES];
        for number in 0..SAMPLED_ROWS {
            let at = begin + (length - begin) * number / SAMPLED_ROWS;
            file.seek(SeekFrom::Start(at)).at("cannot read", path)?;
            let read = file.read(&mut piece).at("cannot read", path)?;
            // What is read from the middle on begins with the end of a line.
            let mut lines = piece[..read].split(|&byte| byte == b'\n').skip(usize::from(at > begin));
            if let (Some(line), Some(_)) = (lines.next(), lines.next()) {
                table.add(line);
            }
        }
        Ok(Some(table))
    }

    /// Reads what was added, and all of it where a column is new or the file is another one. Columns that the file does not
    /// have are not kept.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn follow(&mut self, columns: &[&str]) -> Result<(), RunError> {
        let mut file = File::open(&self.path).at("cannot read", &self.path)?;
        let length = file.metadata().at("cannot read", &self.path)?.len();
        let is_new =
            |name: &&str| self.names.iter().any(|found| found == *name) && self.column(name).is_none();
        if self.names.is_empty() || columns.iter().any(is_new) || !self.goes_on(&mut file, length)? {
            self.begin(&mut file, columns)?;
        }
        self.read_rows(&mut file, length)
    }

    /// Whether a file still holds what was read of it.
    fn goes_on(&self, file: &mut File, length: u64) -> Result<bool, RunError> {
        if length < self.offset {
            return Ok(false);
        }
        let mut before = vec![0; self.before.len()];
        file.seek(SeekFrom::Start(self.offset - before.len() as u64)).at("cannot read", &self.path)?;
        let read = file.read_exact(&mut before);
        Ok(read.is_ok() && before == self.before)
    }

    /// Starts anew behind the header; knows no columns while it has no end.
    fn begin(&mut self, file: &mut File, columns: &[&str]) -> Result<(), RunError> {
        let kept = self.kept.iter().filter_map(|(index, _)| self.names.get(*index).cloned());
        let wanted: Vec<String> = kept.chain(columns.iter().map(|&name| name.to_owned())).collect();
        let path = std::mem::take(&mut self.path);
        *self = Self::new(path);
        let Some((names, length)) = header(&self.path, file)? else { return Ok(()) };
        self.names = names;
        let is_wanted = |name: &String| wanted.contains(name);
        let indices = (0..).zip(&self.names).filter(|(_, name)| is_wanted(name));
        self.kept = indices.map(|(index, _)| (index, Vec::new())).collect();
        self.offset = length;
        Ok(())
    }

    /// Reads the rows up to `length` whose lines have an end.
    fn read_rows(&mut self, file: &mut File, length: u64) -> Result<(), RunError> {
        if self.names.is_empty() || length <= self.offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.offset)).at("cannot read", &self.path)?;
        let mut rest = file.take(length - self.offset);
        let mut text: Vec<u8> = Vec::with_capacity(CHUNK);
        loop {
            let held = text.len();
            text.resize(held + CHUNK, 0);
            let read = rest.read(&mut text[held..]).at("cannot read", &self.path)?;
            text.truncate(held + read);
            if read == 0 {
                return Ok(());
            }
            let Some(end) = text[held..].iter().rposition(|&byte| byte == b'\n') else { continue };
            let whole = held + end + 1;
            for line in text[..whole].split_inclusive(|&byte| byte == b'\n') {
                self.add(&line[..line.len() - 1]);
            }
            self.offset += whole as u64;
            self.before.extend_from_slice(&text[whole.saturating_sub(COMPARED)..whole]);
            self.before.drain(..self.before.len().saturating_sub(COMPARED));
            text.drain(..whole);
        }
    }

    /// Adds a line, if it is a row.
    fn add(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let rows = self.kept.first().map_or(0, |(_, numbers)| numbers.len());
        let mut fields = line.split(|&byte| byte == b',');
        let (mut next, mut is_row) = (0, true);
        for (index, numbers) in &mut self.kept {
            let field = fields.nth(*index - next).and_then(number);
            next = *index + 1;
            match field {
                Some(number) => numbers.push(number),
                None => {
                    is_row = false;
                    break;
                }
            }
        }
        if !is_row || next + fields.count() != self.names.len() {
            self.broken += usize::from(!line.is_empty());
            self.kept.iter_mut().for_each(|(_, numbers)| numbers.truncate(rows));
        }
    }
}

/// The columns of a file, once its first line has an end.
///
/// # Errors
/// If it cannot be read.
pub(super) fn columns(path: &Path) -> Result<Vec<String>, RunError> {
    let mut file = File::open(path).at("cannot read", path)?;
    Ok(header(path, &mut file)?.map(|(names, _)| names).unwrap_or_default())
}

/// The names in a file's first line and the line's length; none while it has no end.
fn header(path: &Path, file: &mut File) -> Result<Option<(Vec<String>, u64)>, RunError> {
    file.seek(SeekFrom::Start(0)).at("cannot read", path)?;
    let mut text = Vec::new();
    let mut reader = BufReader::with_capacity(1 << 10, file.take(LONGEST_HEADER));
    reader.read_until(b'\n', &mut text).at("cannot read", path)?;
    let Some(line) = text.strip_suffix(b"\n") else { return Ok(None) };
    let names = String::from_utf8_lossy(line).split(',').map(|name| name.trim().to_owned()).collect();
    Ok(Some((names, text.len() as u64)))
}

/// The number of a field; none if it is something else.
fn number(field: &[u8]) -> Option<f64> {
    if let Some(number) = plain_number(field) {
        return Some(number);
    }
    let text = str::from_utf8(field).ok()?.trim();
    if text.is_empty() { Some(f64::from_bits(MISSING)) } else { text.parse().ok() }
}

/// The number of a field of digits and at most one point, without a search for the nearest number: as few digits and as small a
/// power of ten are exact, so their quotient is the nearest.
fn plain_number(field: &[u8]) -> Option<f64> {
    const MOST_DIGITS: usize = 15;
    const POWERS: [f64; MOST_DIGITS + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, text) = match field {
        [b'-', text @ ..] => (true, text),
        text => (false, text),
    };
    let (mut digits, mut point, mut integer) = (0, None, 0_u64);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                integer = integer * 10 + u64::from(byte - b'0');
                digits += 1;
                if digits > MOST_DIGITS {
                    return None;
                }
            }
            b'.' if point.is_none() => point = Some(digits),
            _ => return None,
        }
    }
    if digits == 0 {
        return None;
    }
    let number = integer as f64 / POWERS[digits - point.unwrap_or(digits)];
    Some(if is_negative { -number } else { number })
}

/// The header and the last lines of a file, of which only the end is read; a last line without an end is none.
///
/// # Errors
/// If it cannot be read.
pub(super) fn last_lines(path: &Path, count: usize) -> Result<(Vec<String>, Vec<String>), RunError> {
    // More than as many rows of a page have.
    const END: u64 = 1 << 14;
    let mut file = File::open(path).at("cannot read", path)?;
    let Some((names, begin)) = header(path, &mut file)? else { return Ok((Vec::new(), Vec::new())) };
    let length = file.metadata().at("cannot read", path)?.len();
    let from = length.saturating_sub(END).max(begin);
    file.seek(SeekFrom::Start(from)).at("cannot read", path)?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end).at("cannot read", path)?;
    let text = String::from_utf8_lossy(&end);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    // What is read from the middle on begins with the end of a line.
    let cut = usize::from(from > begin);
    let lines: Vec<&str> = whole.lines().skip(cut).collect();
    let last = lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.to_owned()).collect();
    Ok((names, last))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    fn add(path: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_line_counts_once_it_has_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.csv");
        let mut table = Table::new(path.clone());
        add(&path, "iteration,global_st");
        table.follow(&["global_step"]).unwrap();
        assert_eq!(table.column("global_step"), None);
        add(&path, "ep,x\n1,100,0.5\n2,20");
        table.follow(&["global_step"]).unwrap();
        assert_eq!(table.column("global_step").unwrap(), [100.0]);
        add(&path, "0,0.25\n");
        table.follow(&["global_step"]).unwrap();
        assert_eq!(table.column("global_step").unwrap(), [100.0, 200.0]);
        assert_eq!(table.column("x"), None, "nobody asked for it");
        table.follow(&["x"]).unwrap();
        assert_eq!(table.column("x").unwrap(), [0.5, 0.25]);
        assert_eq!(table.column("global_step").unwrap(), [100.0, 200.0], "what was asked for before stays");
        assert!(Table::sample(&path, &["x"]).unwrap().is_none(), "a short file is read as fast");
    }

    #[test]
    fn a_file_that_was_cut_and_grew_again_is_read_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("timing.csv");
        fs::write(&path, "iteration,s\n1,1\n2,2\n3,3\n").unwrap();
        let mut table = Table::new(path.clone());
        table.follow(&["s"]).unwrap();
        fs::write(&path, "iteration,s\n1,1\n").unwrap();
        table.follow(&["s"]).unwrap();
        assert_eq!(table.column("s").unwrap(), [1.0]);
        fs::write(&path, "iteration,s\n1,7\n2,8\n3,9\n4,9\n").unwrap();
        table.follow(&["s"]).unwrap();
        assert_eq!(table.column("s").unwrap(), [7.0, 8.0, 9.0, 9.0], "as long as before, and another one");
    }

    #[test]
    fn what_is_no_row_is_counted_and_what_is_empty_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.csv");
        let rows = "1,,NaN\n2,2OO,1\n3,300\n4,400,1,1\n\n5,500,inf\n6,\u{e9},1\r\n7,700,1\r\n";
        fs::write(&path, format!("iteration,global_step,x\n{rows}")).unwrap();
        let mut table = Table::new(path);
        table.follow(&["global_step", "x", "y"]).unwrap();
        let (steps, x) = (table.column("global_step").unwrap(), table.column("x").unwrap());
        assert!(is_missing(steps[0]) && !is_missing(x[0]) && x[0].is_nan());
        assert_eq!((&steps[1..], &x[1..]), (&[500.0, 700.0][..], &[f64::INFINITY, 1.0][..]));
        assert_eq!((table.broken(), table.size()), (4, 6));
    }

    #[test]
    fn a_sample_of_a_long_file_is_of_whole_rows_from_its_first_to_its_last_part() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.csv");
        let rows: String = (0..100_000).map(|i| format!("{i},{},{}\n", 2 * i, 3 * i)).collect();
        fs::write(&path, format!("iteration,global_step,x\n{rows}4,2")).unwrap();
        let sample = Table::sample(&path, &["iteration", "x"]).unwrap().unwrap();
        let (iterations, x) = (sample.column("iteration").unwrap(), sample.column("x").unwrap());
        assert!(iterations.iter().zip(x).all(|(iteration, x)| *x == 3.0 * iteration));
        assert!(iterations.is_sorted() && iterations[0] == 0.0 && iterations[199] > 99_000.0);
        assert_eq!((x.len(), sample.broken()), (200, 0));
    }

    #[test]
    fn numbers_are_the_nearest_whichever_way_they_are_read() {
        let texts = [
            "0",
            "-0",
            "12",
            "-3.25",
            "0.1",
            "123456789.012345",
            "999999999999999",
            "1234567890123456",
            "0.000001",
            "1e-7",
            "-1.5E3",
            ".5",
            "5.",
            "inf",
            "-inf",
            "21.333333333333332",
            "00012.50",
        ];
        for text in texts {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(number(text.as_bytes()).map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        for text in ["-", ".", "1.2.3", "1,2", "0x10", "--1", "one", "\u{661}"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn rows_over_several_chunks_are_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.csv");
        let rows: String = (0..60_000).map(|i| format!("{i},{},{}\n", 2 * i, 3 * i)).collect();
        fs::write(&path, format!("iteration,global_step,x\n{rows}")).unwrap();
        let mut table = Table::new(path.clone());
        table.follow(&["x"]).unwrap();
        let x = table.column("x").unwrap();
        assert!(x.len() == 60_000 && (0..).zip(x).all(|(i, &x)| x == f64::from(3 * i)));
        let (names, lines) = last_lines(&path, 2).unwrap();
        assert_eq!(
            (names.len(), lines),
            (3, vec!["59998,119996,179994".into(), "59999,119998,179997".to_owned()])
        );
    }
}
