//! From episodes to groups.

use std::path::{Path, PathBuf};

use hdf5_pure::{
    DatasetBuilder, File, FileAccessProperties, FileCreateProperties, Group, MaxExtent, SyncPolicy,
};

use super::kind::datatype_of;
use super::{FILE, INDEX, attributes, group_of};
use crate::{Array, Column, DataError, Dtype, Episode, Value};

/// Episodes are held in memory until they are of so many bytes, and then go to the file together. As seldom as memory
/// allows: once there are groups in the file, the library looks through all of them for every object that it adds, so that
/// the time for many more grows with their square.
const BATCH_SIZE: usize = 256 << 20;

/// About the bytes that an episode takes in memory beyond its values, as measured.
const OVERHEAD: usize = 12 << 10;

/// Rows are stored in chunks of about this size, as h5py does.
const CHUNK_SIZE: usize = 1 << 20;

/// An HDF5 file that takes one episode after the other.
pub(crate) struct Hdf5Writer {
    file: File,
    path: PathBuf,
    pending: usize,
}

impl Hdf5Writer {
    /// Makes the file in the folder of the data.
    pub(crate) fn create(data: &Path) -> Result<Self, DataError> {
        let path = data.join(FILE);
        let access = FileAccessProperties::new().with_sync_policy(SyncPolicy::OnClose);
        let file = File::create_with_options(&path, FileCreateProperties::new(), access);
        let file = file.map_err(DataError::hdf5(path.display().to_string()))?;
        Ok(Self { file, path, pending: 0 })
    }

    pub(crate) fn push(&mut self, index: u64, episode: &Episode) -> Result<(), DataError> {
        let mut values = vec![
            ("id".to_owned(), Value::Integer(index.into())),
            ("total_steps".to_owned(), Value::Integer(episode.total_steps() as i128)),
        ];
        values.extend(episode.seed.map(|seed| ("seed".to_owned(), Value::Integer(seed.into()))));
        values.extend(episode.options.clone().map(|options| ("options".to_owned(), options)));
        values.extend(episode.attributes.clone());
        let mut parts = vec![
            ("observations", episode.observations.clone()),
            ("actions", episode.actions.clone()),
            ("rewards", Column::Array(Array::from_f64(&episode.rewards))),
            ("terminations", Column::Array(Array::from_bool(&episode.terminations))),
            ("truncations", Column::Array(Array::from_bool(&episode.truncations))),
        ];
        parts.extend(episode.infos.clone().map(|infos| ("infos", infos)));
        // Everything that can be refused is, before anything of the episode is staged.
        let mut attributes = Vec::new();
        for (name, value) in &values {
            attributes.extend(attributes::write(name, value)?);
        }
        parts.iter().try_for_each(|(name, column)| check(column, name))?;

        let name = group_of(index);
        let group = self.file.root().create_group(&name).map_err(DataError::hdf5(&name))?;
        for (name, value) in attributes {
            group.set_attr(&name, value).map_err(DataError::hdf5(name))?;
        }
        for (name, column) in parts {
            write(&group, name, column, name)?;
        }
        self.pending += episode.size() + OVERHEAD;
        if self.pending >= BATCH_SIZE { self.commit() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> Result<(), DataError> {
        self.commit()?;
        let place = self.path.display().to_string();
        self.file.close().map_err(DataError::hdf5(place))
    }

    fn commit(&mut self) -> Result<(), DataError> {
        self.pending = 0;
        self.file.commit().map_err(DataError::hdf5(self.path.display().to_string()))
    }
}

/// Names that are paths, and texts that end early, are not what they were when they are read back.
fn check(column: &Column, place: &str) -> Result<(), DataError> {
    match column {
        Column::Array(_) | Column::Jpeg(_) => Ok(()),
        Column::Text(texts) => match texts.iter().position(|text| text.contains('\0')) {
            Some(row) => {
                Err(DataError::unsupported(format!("{place}, row {row}"), "a text with a zero in HDF5"))
            }
            None => Ok(()),
        },
        Column::Dict(parts) => parts.iter().try_for_each(|(name, part)| {
            if name.is_empty() || name == "." || name.contains('/') {
                let what = format!("a part named {name:?} in HDF5, where / separates groups");
                return Err(DataError::unsupported(place, what));
            }
            check(part, &format!("{place}.{name}"))
        }),
        Column::Tuple(parts) => {
            let mut parts = parts.iter().enumerate();
            parts.try_for_each(|(index, part)| check(part, &format!("{place}.{index}")))
        }
    }
}

fn write(group: &Group, name: &str, column: Column, place: &str) -> Result<(), DataError> {
    let array = match column {
        Column::Array(array) => array,
        Column::Jpeg(frames) => filled(&frames, place)?,
        Column::Text(texts) => {
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            // In one piece and so without room for more rows: the library adds texts to a file in no other way.
            let created = group.create_dataset(name, |builder| {
                builder.with_vlen_strings(&texts);
            });
            return created.map(drop).map_err(DataError::hdf5(place));
        }
        Column::Dict(parts) => {
            let inner = group.create_group(name).map_err(DataError::hdf5(place))?;
            let mut parts = parts.into_iter();
            return parts.try_for_each(|(name, part)| write(&inner, &name, part, &format!("{place}.{name}")));
        }
        Column::Tuple(parts) => {
            let inner = group.create_group(name).map_err(DataError::hdf5(place))?;
            let mut parts = parts.into_iter().enumerate();
            return parts.try_for_each(|(index, part)| {
                write(&inner, &format!("{INDEX}{index}"), part, &format!("{place}.{index}"))
            });
        }
    };
    let datatype = datatype_of(array.dtype())?;
    let (rows, row_size, row_shape) = (array.rows(), array.row_size(), array.shape().to_vec());
    let numbers = (array.bytes().len() / array.dtype().size()) as u64;
    let created = group.create_dataset(name, |builder| {
        builder.with_raw_data(datatype, array.into_bytes(), numbers);
        shape(builder, rows, &row_shape, row_size);
    });
    created.map(drop).map_err(DataError::hdf5(place))
}

/// Frames as rows of one length. A decoder stops at the end of the image, and so does not see what is filled up. The
/// library cannot write sequences of different lengths.
fn filled(frames: &[Vec<u8>], place: &str) -> Result<Array, DataError> {
    let length = frames.iter().map(Vec::len).max().unwrap_or(0);
    let mut bytes = Vec::with_capacity(frames.len() * length);
    for frame in frames {
        bytes.extend_from_slice(frame);
        bytes.resize(bytes.len() + length - frame.len(), 0);
    }
    Array::new(Dtype::U8, vec![length], bytes).map_err(DataError::within(place))
}

/// Rows without end, so that more can be added.
fn shape(builder: &mut DatasetBuilder, rows: usize, row_shape: &[usize], row_size: usize) {
    let dimensions = |rows: usize| -> Vec<u64> {
        std::iter::once(rows).chain(row_shape.iter().copied()).map(|dimension| dimension as u64).collect()
    };
    let extents = row_shape.iter().map(|dimension| MaxExtent::Fixed(*dimension as u64));
    let maximum: Vec<_> = std::iter::once(MaxExtent::Unlimited).chain(extents).collect();
    let chunk_rows = (CHUNK_SIZE / row_size).clamp(1, rows.max(1));
    builder.with_shape(&dimensions(rows)).with_maxshape(&maximum).with_chunks(&dimensions(chunk_rows));
}
