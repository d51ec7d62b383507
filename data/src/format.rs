//! The three kinds of files that Minari keeps episodes in.

use std::fmt;

/// How the episodes of a data set are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One HDF5 file, a group an episode: Minari's default.
    Hdf5,
    /// A folder an episode, with an Arrow file of one record batch.
    Arrow,
    /// A folder an episode, with a Parquet file of one row group.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Hdf5, Self::Arrow, Self::Parquet];

    /// The name that Minari gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdf5 => "hdf5",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// The format of that name, where it is one of these.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
