//! Episodes as groups of one HDF5 file: `episode_0` with the datasets `observations`, `actions`, `rewards`,
//! `terminations`, `truncations` and `infos`, where parts of spaces are groups, and attributes for the rest.

mod attributes;
mod heap;
mod kind;
mod read;
mod write;

pub(crate) use read::Hdf5Reader;
pub(crate) use write::Hdf5Writer;

/// The name of the file.
const FILE: &str = "main_data.hdf5";

/// The prefix of the groups that a tuple's parts are.
const INDEX: &str = "_index_";

fn group_of(index: u64) -> String {
    format!("episode_{index}")
}
