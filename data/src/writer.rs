//! New data sets, an episode at a time.

use std::path::{Path, PathBuf};

use crate::arrow::ArrowWriter;
use crate::hdf5::Hdf5Writer;
use crate::{DataError, Episode, Format, Metadata};

/// A data set that is being written.
///
/// Everything lies in a hidden folder beside the final one until [`finish`](Writer::finish) gives it its name: a writer that
/// was killed or dropped leaves no half data set behind.
pub struct Writer {
    metadata: Metadata,
    root: PathBuf,
    temporary: PathBuf,
    /// `None` once finished.
    episodes: Option<Sink>,
}

enum Sink {
    Hdf5(Box<Hdf5Writer>),
    Arrow(ArrowWriter),
}

impl Writer {
    /// Begins a data set below a root, with the identifier, spaces and format of the metadata. Its counts are set anew.
    ///
    /// Frames of image spaces are written as they are where `jpeg_encoding` is off, as [`Metadata::new`] has it. Where it
    /// is on, the episodes must bring them as JPEG files, which are kept byte for byte.
    ///
    /// # Errors
    /// [`DataError::Exists`] where the data set is there already, [`DataError::Io`] for what the operating system refuses.
    pub fn create(root: &Path, metadata: Metadata) -> Result<Self, DataError> {
        let id = metadata.dataset_id.clone();
        let folder = id.folder(root);
        if folder.exists() {
            return Err(DataError::Exists { id: id.to_string(), path: folder });
        }
        id.make_namespace(root)?;
        let parent = folder.parent().unwrap_or(root);
        let temporary =
            parent.join(format!(".{}-v{}.partial-{}", id.name(), id.version(), std::process::id()));
        if temporary.exists() {
            return Err(DataError::Exists { id: id.to_string(), path: temporary });
        }
        let data = temporary.join("data");
        std::fs::create_dir_all(&data).map_err(DataError::io("make", &data))?;
        let metadata = Metadata {
            total_episodes: 0,
            total_steps: 0,
            dataset_size: None,
            minari_version: crate::MINARI_VERSION.to_owned(),
            ..metadata
        };
        let mut writer = Self { metadata, root: root.to_path_buf(), temporary, episodes: None };
        writer.episodes = Some(match writer.metadata.data_format {
            Format::Hdf5 => Sink::Hdf5(Box::new(Hdf5Writer::create(&data)?)),
            format => Sink::Arrow(ArrowWriter::create(&data, format)),
        });
        Ok(writer)
    }

    /// Adds an episode after those that were added before.
    ///
    /// # Errors
    /// [`DataError`] names the episode and the place in it that does not fit the spaces or the format. A data set whose
    /// writer gave an error of the operating system or of a file's library is better dropped.
    pub fn push(&mut self, episode: &Episode) -> Result<(), DataError> {
        let index = self.metadata.total_episodes;
        let place = format!("episode {index} of {}", self.metadata.dataset_id);
        self.push_at(index, episode).map_err(DataError::within(place))?;
        self.metadata.total_episodes += 1;
        self.metadata.total_steps += episode.total_steps() as u64;
        Ok(())
    }

    /// Writes the counts and gives the data set its name.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn finish(mut self) -> Result<Metadata, DataError> {
        if let Some(Sink::Hdf5(writer)) = self.episodes.take() {
            writer.finish()?;
        }
        let data = self.temporary.join("data");
        let megabytes = size_of(&data)? as f64 / 1e6;
        self.metadata.dataset_size = Some((megabytes * 10.0).round() / 10.0);
        self.metadata.write(&data)?;
        let folder = self.metadata.dataset_id.folder(&self.root);
        if folder.exists() {
            return Err(DataError::Exists { id: self.metadata.dataset_id.to_string(), path: folder });
        }
        std::fs::rename(&self.temporary, &folder).map_err(DataError::io("rename to", &folder))?;
        Ok(self.metadata.clone())
    }

    fn push_at(&mut self, index: u64, episode: &Episode) -> Result<(), DataError> {
        episode.validate(&self.metadata.spaces)?;
        for (place, column, space) in [
            ("observations", &episode.observations, &self.metadata.spaces.observation),
            ("actions", &episode.actions, &self.metadata.spaces.action),
        ] {
            let expected = self.metadata.jpeg_encoding;
            if !column.frames_are(expected, space) {
                let (expected, found) =
                    if expected { ("JPEG frames", "pixels") } else { ("pixels", "JPEG frames") };
                let expected = format!("{expected}, by the jpeg_encoding of the metadata");
                return Err(DataError::mismatch(place, expected, found));
            }
        }
        match &mut self.episodes {
            Some(Sink::Hdf5(writer)) => writer.push(index, episode),
            Some(Sink::Arrow(writer)) => writer.push(index, episode, &self.metadata.spaces),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.episodes = None;
        // After `finish`, the folder has another name, and nobody can be told of an error here.
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

/// Bytes of all files in a folder.
fn size_of(folder: &Path) -> Result<u64, DataError> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder).map_err(DataError::io("list", folder))? {
        let entry = entry.map_err(DataError::io("list", folder))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(DataError::io("read", &path))?;
        size += if metadata.is_dir() { size_of(&path)? } else { metadata.len() };
    }
    Ok(size)
}
