//! What can be wrong with a data set: one error for the whole crate, whose every variant names the place.

use std::path::{Path, PathBuf};

/// Why a data set cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A text is no JSON, in the dialect that Python writes.
    #[error("json must have {expected} at byte {position}, got {found}")]
    Json {
        /// What would be right there.
        expected: &'static str,
        /// Where in the text.
        position: usize,
        /// What is there.
        found: String,
    },
    /// A value is not what its place asks for.
    #[error("{place} must be {expected}, got {found}")]
    Mismatch {
        /// Episode and name of the value.
        place: String,
        /// What the place asks for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A thing that exists in such files and that this crate does not read or write.
    #[error("{place} is not supported: {what}")]
    Unsupported {
        /// Where it stands.
        place: String,
        /// What it is, and what to do instead.
        what: String,
    },
    /// An identifier of a data set is malformed.
    #[error("an id of a data set must be (namespace/)name-vN of letters, digits, - and _, got {id:?}")]
    Id {
        /// The identifier.
        id: String,
    },
    /// A data set of that identifier is there already.
    #[error("data set {id} must not exist yet, got {}", path.display())]
    Exists {
        /// The identifier.
        id: String,
        /// Where it is.
        path: PathBuf,
    },
    /// The HDF5 file is damaged or of a kind that is not read.
    #[error("cannot read or write {place} as HDF5")]
    Hdf5 {
        /// Which part of the file.
        place: String,
        /// What the HDF5 library said.
        source: Box<hdf5_pure::Error>,
    },
    /// The Arrow file is damaged or of a kind that is not read.
    #[error("cannot read or write {place} as Arrow")]
    Arrow {
        /// Which part of the file.
        place: String,
        /// What the Arrow library said.
        source: arrow_schema::ArrowError,
    },
    /// The Parquet file is damaged or of a kind that is not read.
    #[error("cannot read or write {place} as Parquet")]
    Parquet {
        /// Which part of the file.
        place: String,
        /// What the Parquet library said.
        source: parquet::errors::ParquetError,
    },
    /// An error of one file or episode of the data set.
    #[error("{place}")]
    Within {
        /// Which file or episode.
        place: String,
        /// What is wrong there.
        source: Box<DataError>,
    },
}

impl DataError {
    #[expect(clippy::needless_pass_by_value, reason = "callers format what they found")]
    pub(crate) fn mismatch(
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Mismatch { place: place.into(), expected: expected.into(), found: found.to_string() }
    }

    pub(crate) fn unsupported(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported { place: place.into(), what: what.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn hdf5(place: impl Into<String>) -> impl FnOnce(hdf5_pure::Error) -> Self {
        let place = place.into();
        move |source| Self::Hdf5 { place, source: Box::new(source) }
    }

    pub(crate) fn arrow(place: impl Into<String>) -> impl FnOnce(arrow_schema::ArrowError) -> Self {
        let place = place.into();
        move |source| Self::Arrow { place, source }
    }

    pub(crate) fn parquet(place: impl Into<String>) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let place = place.into();
        move |source| Self::Parquet { place, source }
    }

    pub(crate) fn within(place: impl Into<String>) -> impl FnOnce(Self) -> Self {
        let place = place.into();
        move |source| Self::Within { place, source: Box::new(source) }
    }
}
