//! From groups to episodes.

use std::path::{Path, PathBuf};

use hdf5_pure::{Datatype, File, Group, VlenStringReadOptions};

use super::heap::Heap;
use super::kind::Stored;
use super::{FILE, INDEX, attributes, group_of};
use crate::episode::Parts;
use crate::{Array, Column, DataError, Dtype, Episode, Metadata, Space, limit};

/// Deeper groups of infos are refused.
const MAXIMUM_DEPTH: usize = 32;

/// An HDF5 file of episodes.
pub(crate) struct Hdf5Reader {
    file: File,
    path: PathBuf,
    size: u64,
}

impl Hdf5Reader {
    /// Opens the file in the folder of the data.
    pub(crate) fn open(data: &Path) -> Result<Self, DataError> {
        let path = data.join(FILE);
        let size = std::fs::metadata(&path).map_err(DataError::io("read", &path))?.len();
        let file = File::open_streaming(&path).map_err(DataError::hdf5(path.display().to_string()))?;
        Ok(Self { file, path, size })
    }

    /// How many groups of episodes there are.
    pub(crate) fn episodes(&self) -> Result<u64, DataError> {
        let groups = self.file.root().groups().map_err(DataError::hdf5(self.path.display().to_string()))?;
        Ok(groups.iter().filter(|name| name.starts_with("episode_")).count() as u64)
    }

    pub(crate) fn episode(&self, index: u64, metadata: &Metadata) -> Result<Episode, DataError> {
        let name = group_of(index);
        let group = self.file.group(&name).map_err(DataError::hdf5(&name))?;
        let values = group.attrs().map_err(DataError::hdf5("attributes"))?;
        let datatypes = group.attr_datatypes().map_err(DataError::hdf5("attributes"))?;
        let attributes = attributes::read(&values, &datatypes)?;
        let spaces = &metadata.spaces;
        let parts = Parts {
            observations: self.space(
                &group,
                "observations",
                &spaces.observation,
                metadata.jpeg_encoding,
                "observations",
            )?,
            actions: self.space(&group, "actions", &spaces.action, metadata.jpeg_encoding, "actions")?,
            rewards: self.numbers(&group, "rewards", "rewards")?.to_f64()?,
            terminations: self.numbers(&group, "terminations", "terminations")?.to_bool()?,
            truncations: self.numbers(&group, "truncations", "truncations")?.to_bool()?,
            infos: match group.groups().map_err(DataError::hdf5("groups"))?.iter().any(|name| name == "infos")
            {
                true => self.infos(&group.group("infos").map_err(DataError::hdf5("infos"))?, "infos", 0)?,
                false => None,
            },
        };
        parts.into_episode(index, attributes, spaces)
    }

    fn space(
        &self,
        group: &Group,
        name: &str,
        space: &Space,
        jpeg: bool,
        place: &str,
    ) -> Result<Column, DataError> {
        let inner = || group.group(name).map_err(DataError::hdf5(place));
        match space {
            Space::Dict(parts) => {
                let inner = inner()?;
                let parts = parts.iter().map(|(name, space)| {
                    let part = self.space(&inner, name, space, jpeg, &format!("{place}.{name}"))?;
                    Ok((name.clone(), part))
                });
                parts.collect::<Result<_, _>>().map(Column::Dict)
            }
            Space::Tuple(parts) => {
                let inner = inner()?;
                let parts = parts.iter().enumerate().map(|(index, space)| {
                    self.space(&inner, &format!("{INDEX}{index}"), space, jpeg, &format!("{place}.{index}"))
                });
                parts.collect::<Result<_, _>>().map(Column::Tuple)
            }
            Space::Text { .. } => self.texts(group, name, place).map(Column::Text),
            _ if jpeg && space.is_image() => self.frames(group, name, place).map(Column::Jpeg),
            _ => self.numbers(group, name, place).map(Column::Array),
        }
    }

    /// Infos have no space: groups and types of the file say what they are.
    fn infos(&self, group: &Group, place: &str, depth: usize) -> Result<Option<Column>, DataError> {
        if depth > MAXIMUM_DEPTH {
            return Err(DataError::unsupported(place, format!("a nesting of more than {MAXIMUM_DEPTH}")));
        }
        let mut parts = Vec::new();
        for name in group.groups().map_err(DataError::hdf5(place))? {
            let inner = group.group(&name).map_err(DataError::hdf5(place))?;
            let part = self.infos(&inner, &format!("{place}.{name}"), depth + 1)?;
            parts.extend(part.map(|part| (name, part)));
        }
        for name in group.datasets().map_err(DataError::hdf5(place))? {
            let place = format!("{place}.{name}");
            let dataset = group.dataset(&name).map_err(DataError::hdf5(&place))?;
            let part = match dataset.datatype().map_err(DataError::hdf5(&place))? {
                Datatype::VariableLength { is_string: true, .. } | Datatype::String { .. } => {
                    Column::Text(self.texts(group, &name, &place)?)
                }
                _ => Column::Array(self.numbers(group, &name, &place)?),
            };
            parts.push((name, part));
        }
        Ok(Parts::infos(parts, INDEX, depth == 0))
    }

    fn numbers(&self, group: &Group, name: &str, place: &str) -> Result<Array, DataError> {
        let dataset = group.dataset(name).map_err(DataError::hdf5(place))?;
        let stored = Stored::of(&dataset.datatype().map_err(DataError::hdf5(place))?, place)?;
        let shape = self.row_shape(&dataset, stored.dtype.size(), place)?;
        let mut bytes = dataset.read_raw().map_err(DataError::hdf5(place))?;
        if stored.is_big_endian {
            bytes.chunks_exact_mut(stored.dtype.size()).for_each(<[u8]>::reverse);
        }
        Array::new(stored.dtype, shape, bytes).map_err(DataError::within(place))
    }

    fn texts(&self, group: &Group, name: &str, place: &str) -> Result<Vec<String>, DataError> {
        let dataset = group.dataset(name).map_err(DataError::hdf5(place))?;
        let size = dataset.element_size().map_err(DataError::hdf5(place))?;
        let shape = self.row_shape(&dataset, usize::try_from(size).unwrap_or(usize::MAX), place)?;
        if !shape.is_empty() {
            return Err(DataError::unsupported(place, format!("texts of shape {shape:?} a row")));
        }
        match dataset.datatype().map_err(DataError::hdf5(place))? {
            Datatype::VariableLength { is_string: true, .. } => {
                let limit = usize::try_from(self.size).unwrap_or(usize::MAX);
                let options = VlenStringReadOptions::new().with_max_payload_bytes(limit);
                dataset.read_vlen_strings(options).map_err(DataError::hdf5(place))
            }
            Datatype::String { .. } => dataset.read_string().map_err(DataError::hdf5(place)),
            other => Err(DataError::mismatch(place, "texts", other)),
        }
    }

    /// Frames of different sizes are sequences in the heap, frames of one size an array of bytes, where what this crate's
    /// writer filled up is taken off again.
    fn frames(&self, group: &Group, name: &str, place: &str) -> Result<Vec<Vec<u8>>, DataError> {
        let dataset = group.dataset(name).map_err(DataError::hdf5(place))?;
        match dataset.datatype().map_err(DataError::hdf5(place))? {
            Datatype::VariableLength { is_string: false, base_type, .. } => {
                if Stored::of(&base_type, place)?.dtype != Dtype::U8 {
                    return Err(DataError::mismatch(place, "bytes", base_type));
                }
                let superblock = self.file.superblock();
                if (superblock.offset_size, superblock.length_size) != (8, 8) {
                    let what = format!("a file with addresses of {} bytes", superblock.offset_size);
                    return Err(DataError::unsupported(place, what));
                }
                self.row_shape(&dataset, 16, place)?;
                let references = dataset.read_raw().map_err(DataError::hdf5(place))?;
                Heap::open(&self.path, superblock.base_address.get())?.sequences(&references, place)
            }
            _ => {
                let array = self.numbers(group, name, place)?;
                let [length] = *array.shape() else {
                    return Err(DataError::mismatch(
                        place,
                        "a JPEG file a row",
                        format!("shape {:?}", array.shape()),
                    ));
                };
                if array.dtype() != Dtype::U8 {
                    return Err(DataError::mismatch(place, "bytes", array.dtype()));
                }
                Ok(array.bytes().chunks_exact(length).map(without_filling).collect())
            }
        }
    }

    /// The shape of a row, once it is sure that the file can hold so many of them.
    fn row_shape(
        &self,
        dataset: &hdf5_pure::Dataset,
        element: usize,
        place: &str,
    ) -> Result<Vec<usize>, DataError> {
        let shape = dataset.shape().map_err(DataError::hdf5(place))?;
        let claimed = shape.iter().fold(element as u64, |size, dimension| size.saturating_mul(*dimension));
        if dataset.filters().is_empty() {
            limit::check_plain(claimed, self.size, place)?;
        } else {
            limit::check_compressed(claimed, self.size, place)?;
        }
        match shape.split_first() {
            Some((_, shape)) => {
                Ok(shape.iter().map(|dimension| usize::try_from(*dimension).unwrap_or(usize::MAX)).collect())
            }
            None => Err(DataError::mismatch(place, "a row a step", "one value")),
        }
    }
}

/// A JPEG file ends with these two bytes.
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

fn without_filling(row: &[u8]) -> Vec<u8> {
    let end = row.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if row[..end].ends_with(&END_OF_IMAGE) { row[..end].to_vec() } else { row.to_vec() }
}
