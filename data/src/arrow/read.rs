//! From folders to episodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::Field;

use super::{METADATA_FILE, decode, ipc, parquet};
use crate::episode::Parts;
use crate::{Column, DataError, Episode, Format, Metadata, Value, metadata};

/// No metadata of an episode are longer.
const MAXIMUM_METADATA_SIZE: u64 = 16 << 20;

/// A folder of folders of episodes.
pub(crate) struct ArrowReader {
    data: PathBuf,
    format: Format,
}

impl ArrowReader {
    pub(crate) fn open(data: &Path, format: Format) -> Self {
        Self { data: data.to_path_buf(), format }
    }

    /// How many folders of episodes there are.
    pub(crate) fn episodes(&self) -> Result<u64, DataError> {
        let mut episodes = 0;
        for entry in std::fs::read_dir(&self.data).map_err(DataError::io("list", &self.data))? {
            let entry = entry.map_err(DataError::io("list", &self.data))?;
            let is_number = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|digit| digit.is_ascii_digit()));
            episodes += u64::from(is_number && entry.path().is_dir());
        }
        Ok(episodes)
    }

    pub(crate) fn episode(&self, index: u64, metadata: &Metadata) -> Result<Episode, DataError> {
        let folder = self.data.join(index.to_string());
        let path = folder.join(METADATA_FILE);
        let text = metadata::read_text(&path, MAXIMUM_METADATA_SIZE)?;
        let place = path.display().to_string();
        let attributes = match Value::parse(&text).map_err(DataError::within(&place))? {
            Value::Object(entries) => entries.into_iter().collect::<BTreeMap<_, _>>(),
            other => return Err(DataError::mismatch(place, "an object", other.kind())),
        };
        let mut batches = Vec::new();
        for path in self.files(&folder)? {
            batches.extend(match self.format {
                Format::Parquet => parquet::read(&path)?,
                Format::Arrow | Format::Hdf5 => ipc::read(&path)?,
            });
        }
        parts_of(&batches, metadata)?.into_episode(index, attributes, &metadata.spaces)
    }

    /// `part-0`, `part-1`, … in numerical order: there is one, unless another program than Minari wrote the episode.
    fn files(&self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(DataError::io("list", folder))? {
            let entry = entry.map_err(DataError::io("list", folder))?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("part-"));
            let number = number.and_then(|name| name.strip_suffix(self.format.name())?.strip_suffix('.'));
            if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
                files.insert(number, entry.path());
            }
        }
        if files.is_empty() {
            let file = format!("a file part-0.{}", self.format);
            return Err(DataError::mismatch(folder.display().to_string(), file, "none"));
        }
        Ok(files.into_values().collect())
    }
}

/// Puts the rows of all batches together.
fn parts_of(batches: &[RecordBatch], metadata: &Metadata) -> Result<Parts, DataError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let Some(steps) = rows.checked_sub(1) else {
        return Err(DataError::mismatch("rows", "at least 1", 0));
    };
    let (spaces, jpeg) = (&metadata.spaces, metadata.jpeg_encoding);
    let numbers = |name| {
        let column = column(batches, name, steps, |array, _| {
            decode::numbers(array, Some(&[]), name).map(Column::Array)
        })?;
        match column {
            Column::Array(array) => Ok(array),
            other => Err(DataError::mismatch(name, "an array", other.kind())),
        }
    };
    let has_infos = batches.iter().any(|batch| batch.column_by_name("infos").is_some());
    Ok(Parts {
        observations: column(batches, "observations", rows, |array, _| {
            decode::space(array, &spaces.observation, jpeg, "observations")
        })?,
        actions: column(batches, "actions", steps, |array, _| {
            decode::space(array, &spaces.action, jpeg, "actions")
        })?,
        rewards: numbers("rewards")?.to_f64()?,
        terminations: numbers("terminations")?.to_bool()?,
        truncations: numbers("truncations")?.to_bool()?,
        infos: match has_infos {
            true => Some(column(batches, "infos", rows, |array, field| {
                let infos = decode::infos(array, field, "infos", true)?;
                infos.ok_or_else(|| DataError::mismatch("infos", "at least one part", "none"))
            })?),
            false => None,
        },
    })
}

/// Decodes the first rows of a column.
fn column(
    batches: &[RecordBatch],
    name: &str,
    rows: usize,
    decode: impl Fn(&ArrayRef, &Field) -> Result<Column, DataError>,
) -> Result<Column, DataError> {
    let mut column: Option<Column> = None;
    let mut left = rows;
    for batch in batches {
        let Ok(index) = batch.schema_ref().index_of(name) else {
            return Err(DataError::mismatch(name, "a column of every batch", "none"));
        };
        let array = batch.column(index);
        let array = array.slice(0, array.len().min(left));
        left -= array.len();
        let more = decode(&array, batch.schema_ref().field(index))?;
        match &mut column {
            Some(column) => column.append(more, name)?,
            None => column = Some(more),
        }
    }
    column.ok_or_else(|| DataError::mismatch(name, "a column of a batch", "no batch"))
}
