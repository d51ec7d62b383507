//! Data sets of recorded episodes, read and written in the layout of Minari 0.5.4: HDF5, Arrow or Parquet files.
//!
//! A [`DataSet`] gives one [`Episode`] at a time, a [`Writer`] takes one at a time, so that neither ever holds a whole
//! data set in memory. The values of an episode are a [`Column`]: what its [`Space`] says, a row a step, as little-endian
//! bytes. Nothing is converted on the way: what an accessor would have to round is an error or says so in its name.
//!
//! ```text
//! root/(namespace/)name-vN/data/metadata.json      Metadata
//!                              /main_data.hdf5     Format::Hdf5: a group an episode
//!                              /0/part-0.arrow     Format::Arrow, Format::Parquet: a folder an episode
//! ```
//!
//! Files are not trusted: a length is compared with the file before memory is taken for it, and damage is an error.

#![forbid(unsafe_code)]

mod error;

mod dtype;
mod space;
mod value;

mod column;
mod episode;
mod jpeg;

mod format;
mod guard;
mod id;
mod limit;
mod metadata;

mod arrow;
mod hdf5;

mod reader;
mod writer;

pub use column::{Array, Column};
pub use dtype::Dtype;
pub use episode::Episode;
pub use error::DataError;
pub use format::Format;
pub use id::{DataSetId, list, root};
pub use metadata::{MINARI_VERSION, Metadata};
pub use reader::{DataSet, Episodes};
pub use space::{Space, Spaces};
pub use value::Value;
pub use writer::Writer;
