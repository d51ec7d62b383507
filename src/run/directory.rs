//! The run directory and what its files are called.
//!
//! | file | content |
//! |---|---|
//! | `config.toml` | the complete configuration, the version and the command |
//! | `metrics.csv` | one row an iteration; decided by the configuration alone |
//! | `episodes.csv` | one row an episode; decided by the configuration alone |
//! | `evaluations.csv` | one row an evaluation, if `eval.every` asks for them; decided by the configuration alone |
//! | `timing.csv` | one row an iteration of what the clock decides: seconds, steps a second, policy lag, waiting |
//! | `events.out.tfevents.*` | the same metrics for TensorBoard |
//! | `checkpoints/*.ckpt` | the newest two whole states, and the best one |
//! | `checkpoints/*.chunk` | the parts of a replay buffer that those refer to |
//! | `model.safetensors` | the newest checkpoint's weights under PyTorch's names, and all that acting needs |
//! | `best.safetensors` | those of the best evaluation, or where there are none of the checkpoint with the highest mean return |
//! | `init.safetensors` | the weights that the run began with, if `init_from` gave some |
//! | `curve.svg`, `curve.png` | the learning curve |

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::RunError;
use crate::config::RunConfig;
use crate::error::AtPath;

/// The configuration's file name.
pub const CONFIG: &str = "config.toml";

/// The file name of the newest weights.
pub const MODEL: &str = "model.safetensors";

/// The file name of the weights that a run, or the seeds of an experiment, began with.
pub const INIT: &str = "init.safetensors";

/// A directory that holds one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

/// Keeps other processes off a run while it lives.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunDirectory {
    /// Creates the directory of a new run and writes its configuration.
    ///
    /// `init` is the content of the weight file that the run begins with.
    ///
    /// # Errors
    /// If it holds a run already or cannot be written.
    pub fn create(path: &Path, config: &RunConfig, init: Option<&[u8]>) -> Result<Self, RunError> {
        Self::refuse_existing(path)?;
        let directory = Self { path: path.to_owned() };
        fs::create_dir_all(directory.checkpoints()).at("cannot create", &directory.checkpoints())?;
        if let Some(init) = init {
            write_atomically(&directory.init_model(), init)?;
        }
        let text = toml::to_string(config).map_err(|error| RunError::Config(error.to_string()))?;
        // Written last and atomically: where there is a configuration there is a run to resume.
        write_atomically(&directory.config_path(), text.as_bytes())?;
        Ok(directory)
    }

    /// Whether a directory holds a run.
    pub fn exists(path: &Path) -> bool {
        path.join(CONFIG).exists()
    }

    /// Refuses a directory that holds a run.
    ///
    /// # Errors
    /// If it does.
    pub fn refuse_existing(path: &Path) -> Result<(), RunError> {
        if !Self::exists(path) {
            return Ok(());
        }
        let message =
            "holds a run already: continue it with `agon resume`, or choose another --name or --out";
        Err(Self { path: path.to_owned() }.wrong(message))
    }

    /// Opens the directory of an existing run.
    ///
    /// # Errors
    /// If it holds no run or its configuration is broken.
    pub fn open(path: &Path) -> Result<(Self, RunConfig), RunError> {
        let directory = Self { path: path.to_owned() };
        if !directory.config_path().exists() {
            return Err(directory.wrong("expected a run (a directory with a config.toml), found none"));
        }
        let config = RunConfig::load(&directory.config_path())?;
        Ok((directory, config))
    }

    /// Keeps other processes from continuing the run at the same time.
    ///
    /// # Errors
    /// If another process has it.
    pub fn lock(&self) -> Result<RunLock, RunError> {
        let path = self.path.join("run.lock");
        let file = File::create(&path).at("cannot create", &path)?;
        match file.try_lock() {
            Ok(()) => Ok(RunLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(self.wrong("another process is running it")),
            Err(TryLockError::Error(source)) => Err(RunError::Io { action: "cannot lock", path, source }),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The checkpoints' directory.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The newest checkpoint's weights.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The weights that the run began with, if they were not random.
    pub fn init_model(&self) -> PathBuf {
        self.path.join(INIT)
    }

    /// The best weights so far.
    pub fn best_model(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn wrong(&self, message: &str) -> RunError {
        RunError::Directory { path: self.path.clone(), message: message.to_owned() }
    }
}

/// Writes a file so that a crash leaves either the old content or the new one: to a temporary name, synced, renamed.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).at("cannot create", &temporary)?;
    file.write_all(bytes).at("cannot write", &temporary)?;
    file.sync_all().at("cannot write", &temporary)?;
    fs::rename(&temporary, path).at("cannot write", path)?;
    // The rename itself is durable once the directory is.
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|directory| directory.sync_all()).at("cannot write", parent)?;
    }
    Ok(())
}

/// Writes a file so that a killed process leaves either the old content or the new one. What can be made again need not
/// survive a power cut, and is spared the wait for the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).at("cannot write", &temporary)?;
    fs::rename(&temporary, path).at("cannot write", path)
}
