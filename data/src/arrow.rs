//! Episodes as folders `0`, `1`, … of one Arrow or Parquet file and the episode's metadata.
//!
//! The file has the columns `observations`, `actions`, `rewards`, `terminations`, `truncations` and `infos`, where parts of
//! spaces are fields of structures. There is a row an observation: of the others, the last row is there to fill up.

mod decode;
mod encode;
mod ipc;
mod parquet;
mod read;
mod write;

pub(crate) use read::ArrowReader;
pub(crate) use write::ArrowWriter;

const METADATA_FILE: &str = "metadata.json";

/// Fields of infos keep the shape of their rows in their metadata under this key, as sizes with commas between.
const SHAPE: &str = "shape";
