//! From episodes to folders.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use arrow_schema::Schema;

use super::{METADATA_FILE, encode, parquet};
use crate::{Array, DataError, Episode, Format, Spaces, Value};

/// Minari takes the first batch of a file for the whole episode, and the library below it makes batches of so many rows.
const MAXIMUM_ROWS: usize = 32_768;

/// A folder that takes one episode after the other.
pub(crate) struct ArrowWriter {
    data: PathBuf,
    format: Format,
}

impl ArrowWriter {
    pub(crate) fn create(data: &Path, format: Format) -> Self {
        Self { data: data.to_path_buf(), format }
    }

    pub(crate) fn push(&mut self, index: u64, episode: &Episode, spaces: &Spaces) -> Result<(), DataError> {
        let steps = episode.total_steps();
        if steps >= MAXIMUM_ROWS {
            let what = format!(
                "an episode of {steps} steps in {} files, of which Minari reads {} at most; HDF5 has no such limit",
                self.format,
                MAXIMUM_ROWS - 1
            );
            return Err(DataError::unsupported("rewards", what));
        }
        let batch = batch_of(episode, spaces)?;
        let folder = self.data.join(index.to_string());
        std::fs::create_dir(&folder).map_err(DataError::io("make", &folder))?;
        let path = folder.join(format!("part-0.{}", self.format));
        match self.format {
            Format::Parquet => parquet::write(&path, &batch)?,
            Format::Arrow | Format::Hdf5 => write_ipc(&path, &batch)?,
        }
        let path = folder.join(METADATA_FILE);
        std::fs::write(&path, metadata_of(index, episode).to_json()).map_err(DataError::io("write", &path))
    }
}

fn batch_of(episode: &Episode, spaces: &Spaces) -> Result<RecordBatch, DataError> {
    let numbers = |name, array: &Array| encode::field(name, encode::numbers(array, 1));
    let mut columns = vec![
        encode::space("observations", &episode.observations, &spaces.observation, 0)?,
        encode::space("actions", &episode.actions, &spaces.action, 1)?,
        numbers("rewards", &Array::from_f64(&episode.rewards)),
        numbers("terminations", &Array::from_bool(&episode.terminations)),
        numbers("truncations", &Array::from_bool(&episode.truncations)),
    ];
    if let Some(infos) = &episode.infos {
        columns.push(encode::infos("infos", infos)?);
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(DataError::arrow("columns"))
}

fn write_ipc(path: &Path, batch: &RecordBatch) -> Result<(), DataError> {
    let file = BufWriter::new(File::create(path).map_err(DataError::io("write", path))?);
    let failed = |source| DataError::arrow(path.display().to_string())(source);
    let mut writer = FileWriter::try_new(file, batch.schema_ref()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    let file = writer.into_inner().map_err(failed)?;
    file.into_inner().map(drop).map_err(|error| DataError::io("write", path)(error.into_error()))
}

fn metadata_of(index: u64, episode: &Episode) -> Value {
    let mut entries = vec![
        ("id".to_owned(), Value::Integer(index.into())),
        ("total_steps".to_owned(), Value::Integer(episode.total_steps() as i128)),
    ];
    entries.extend(episode.seed.map(|seed| ("seed".to_owned(), Value::Integer(seed.into()))));
    entries.extend(episode.options.clone().map(|options| ("options".to_owned(), options)));
    entries.extend(episode.attributes.clone());
    Value::Object(entries)
}
