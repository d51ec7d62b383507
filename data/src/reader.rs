//! Data sets on disk, an episode at a time.

use std::path::{Path, PathBuf};

use crate::arrow::ArrowReader;
use crate::guard::guarded;
use crate::hdf5::Hdf5Reader;
use crate::{DataError, DataSetId, Episode, Format, Metadata};

/// A data set that is there to be read.
pub struct DataSet {
    metadata: Metadata,
    data: PathBuf,
    episodes: Source,
}

enum Source {
    /// Minari begins an HDF5 file as one of no bytes.
    Nothing,
    Hdf5(Hdf5Reader),
    Arrow(ArrowReader),
}

impl DataSet {
    /// Opens a data set below a root.
    ///
    /// # Errors
    /// [`DataError`] where it is not there, its metadata are damaged, or it has not the number of episodes that they say.
    pub fn open(root: &Path, id: &DataSetId) -> Result<Self, DataError> {
        Self::open_path(&id.folder(root))
    }

    /// Opens a data set by its folder, or by the folder `data` in it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_path(folder: &Path) -> Result<Self, DataError> {
        let data = folder.join("data");
        let data = if data.is_dir() { data } else { folder.to_path_buf() };
        let metadata = Metadata::read(&data)?;
        let (episodes, found) = match metadata.data_format {
            Format::Hdf5 if metadata.total_episodes == 0 => (Source::Nothing, 0),
            Format::Hdf5 => {
                let place = data.display().to_string();
                let (reader, found) = guarded(&place, || {
                    let reader = Hdf5Reader::open(&data)?;
                    let found = reader.episodes()?;
                    Ok((reader, found))
                })?;
                (Source::Hdf5(reader), found)
            }
            format => {
                let reader = ArrowReader::open(&data, format);
                let found = reader.episodes()?;
                (Source::Arrow(reader), found)
            }
        };
        if found != metadata.total_episodes {
            return Err(DataError::mismatch(
                data.display().to_string(),
                format!("{} episodes", metadata.total_episodes),
                found,
            ));
        }
        Ok(Self { metadata, data, episodes })
    }

    /// What is known of the data set as a whole.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The folder of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.data
    }

    /// How many episodes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.metadata.total_episodes
    }

    /// Whether there is no episode.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one episode, counted from 0 in the order of their numbers.
    ///
    /// Kinds of numbers are those of the file, which may be others than the spaces say: lengths and shapes are checked.
    ///
    /// # Errors
    /// [`DataError`] names the episode and the place in it that is damaged or not supported.
    pub fn episode(&self, index: u64) -> Result<Episode, DataError> {
        let beyond = || DataError::mismatch("episode", format!("less than {}", self.len()), index);
        if index >= self.len() {
            return Err(beyond());
        }
        let episode = guarded("episode", || match &self.episodes {
            Source::Hdf5(reader) => reader.episode(index, &self.metadata),
            Source::Arrow(reader) => reader.episode(index, &self.metadata),
            Source::Nothing => Err(beyond()),
        });
        episode.map_err(DataError::within(format!("episode {index} of {}", self.metadata.dataset_id)))
    }

    /// Reads all episodes, one after the other, and last compares the number of steps with the metadata.
    #[must_use]
    pub fn episodes(&self) -> Episodes<'_> {
        Episodes { data_set: self, next: 0, total_steps: 0 }
    }
}

/// The episodes of a [`DataSet`]. After the last, there is one error more where their steps are not as many as the metadata
/// say.
pub struct Episodes<'set> {
    data_set: &'set DataSet,
    next: u64,
    total_steps: u64,
}

impl Iterator for Episodes<'_> {
    type Item = Result<Episode, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let metadata = &self.data_set.metadata;
        let index = self.next;
        self.next += 1;
        if index < metadata.total_episodes {
            let episode = self.data_set.episode(index);
            match &episode {
                Ok(episode) => self.total_steps += episode.total_steps() as u64,
                // What is wrong is told already, and a count without the episode says nothing.
                Err(_) => self.total_steps = metadata.total_steps,
            }
            return Some(episode);
        }
        if index == metadata.total_episodes && self.total_steps != metadata.total_steps {
            let expected = format!("{} as in the metadata", metadata.total_steps);
            return Some(Err(DataError::mismatch("total_steps", expected, self.total_steps)));
        }
        None
    }
}
