//! Recorded experience: data sets in Minari's layout, what is recorded into them, and runs that learn from them.
//!
//! A data set is files (`agon_data`); an environment has packed rows; `convert` goes between both. The
//! learner of a run with `data.sets` is handed every step before the first update (`experience`); most such runs do not act, and
//! their steps are updates. What was observed lies in memory, or in a file
//! (`rows`).

mod config;
mod convert;
mod copy;
pub mod evaluate;
mod experience;
mod gymnasium;
pub mod record;
pub mod report;
mod rows;
mod source;

use std::path::{Path, PathBuf};

use agon_data::DataSet;

use crate::RunError;
pub use config::{DataConfig, Storage};
pub use copy::copy;
pub(crate) use experience::RecordedExperience;
pub(crate) use rows::FileRows;
pub(crate) use source::NothingNew;

/// Evaluations of a run with data that does not say how many updates or steps are between them.
pub(crate) const EVALUATIONS: u64 = 20;

/// Whether a directory is a data set's.
fn is_set(path: &Path) -> bool {
    path.join("data").is_dir() || path.join("metadata.json").is_file()
}

/// A data set by its id, or by its directory.
///
/// # Errors
/// If there is none, or its files are damaged.
pub fn open(id: &str) -> Result<DataSet, RunError> {
    let path = Path::new(id);
    if is_set(path) {
        return Ok(DataSet::open_path(path)?);
    }
    if path.is_dir() {
        return Err(RunError::Directory {
            path: path.to_owned(),
            message: "expected a data set (data/metadata.json), found none".to_owned(),
        });
    }
    let (root, id) = (root()?, id.parse()?);
    let folder = agon_data::DataSetId::folder(&id, &root);
    if !folder.is_dir() {
        let message =
            format!("no data set {id} under {}: `agon data list` shows those that are there", root.display());
        return Err(RunError::Config(message));
    }
    Ok(DataSet::open(&root, &id)?)
}

/// Where data sets are: Minari's own root.
///
/// # Errors
/// If neither `MINARI_DATASETS_PATH` nor a home directory says.
pub fn root() -> Result<PathBuf, RunError> {
    let message = "expected MINARI_DATASETS_PATH or HOME to say where data sets are, found neither";
    agon_data::root().ok_or_else(|| RunError::Config(message.to_owned()))
}
