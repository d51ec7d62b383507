//! The run directory and what its files are called.
//!
//! | file | content |
//! |---|---|
//! | `config.toml` | the complete configuration, the version and the command |
//! | `provenance.jsonl` | what began the run and went on with it: a record of program, machine and inputs each |
//! | `metrics.csv` | one row an iteration; decided by the configuration alone |
//! | `episodes.csv` | one row an episode; decided by the configuration alone |
//! | `evaluations.csv` | one row an evaluation, if `eval.every` asks for them; decided by the configuration alone |
//! | `timing.csv` | one row an iteration of what the clock decides: seconds, steps a second, policy lag, waiting |
//! | `events.out.tfevents.*` | the same metrics for TensorBoard |
//! | `checkpoints/*.ckpt` | the newest two whole states, and the best one |
//! | `checkpoints/*.chunk` | the parts of a replay buffer that those refer to |
//! | `model.safetensors` | the newest checkpoint's weights under PyTorch's names, and all that acting needs |
//! | `best.safetensors` | those of the best evaluation, or where there are none of the checkpoint with the highest mean return |
//! | `models/step_*.safetensors` | those of every regular checkpoint, if `runtime.keep_models` asks for them |
//! | `init.safetensors` | the weights that the run began with, if `init_from` gave some |
//! | `teacher.safetensors` | the policy that the run learns from, if `teacher.policy` named one |
//! | `curve.svg`, `curve.png` | the learning curve |

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::RunError;
use crate::config::RunConfig;
use crate::error::AtPath;
use crate::experiment::{begun_runs, find_runs, is_experiment};
use crate::signing::Source;

/// The configuration's file name.
pub const CONFIG: &str = "config.toml";

/// The name of the directory of checkpoints in a run's.
const CHECKPOINTS: &str = "checkpoints";

/// The name of the directory of weights that are kept for good.
const MODELS: &str = "models";

/// The file name of the newest weights.
pub const MODEL: &str = "model.safetensors";

/// The file name of the weights that a run, or the seeds of an experiment, began with.
pub const INIT: &str = "init.safetensors";
/// The teacher of a run.
pub const TEACHER: &str = "teacher.safetensors";

/// A directory that holds one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

/// The file that is locked while a process has a directory.
pub(crate) const LOCK: &str = "run.lock";

/// How often a lock is tried for again before somebody else has it, and how long after the last time.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// How the names of files that are being written end.
const TEMPORARY: &str = ".tmp";

/// Keeps other processes off a run, or off an experiment as a whole, while it lives.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of a directory, and clears away what killed processes had not written to its end.
    ///
    /// # Errors
    /// If another process has it.
    pub(crate) fn take(path: &Path) -> Result<Self, RunError> {
        let file = path.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&file);
        let lock = lock.at("cannot create", &file)?;
        let mut tries = 0;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                // A process that this one is about to start has its files too, for the moment before it is another program.
                Err(TryLockError::WouldBlock) if tries < TRIES => thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => return Err(wrong(path, "another process is running it")),
                Err(TryLockError::Error(source)) => {
                    return Err(RunError::Io { action: "cannot lock", path: file, source });
                }
            }
            tries += 1;
        }
        if !is_at(&lock, &file) {
            return Err(wrong(path, "another process is replacing it"));
        }
        remove_temporaries(path)?;
        remove_temporaries(&path.join(CHECKPOINTS))?;
        Ok(Self { _file: lock })
    }

    /// Whether a process has a directory. Looks for a moment only, which who takes the lock then waits for.
    pub(crate) fn is_held(path: &Path) -> bool {
        let Ok(lock) = File::open(path.join(LOCK)) else { return false };
        matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Waits until no process has a directory.
    ///
    /// # Errors
    /// If one still has it after so long, or the lock cannot be looked at.
    pub(crate) fn wait_until_free(path: &Path, patience: Duration) -> Result<(), RunError> {
        const LOOK_EVERY: Duration = Duration::from_millis(200);
        let begun = Instant::now();
        while path.join(LOCK).exists() {
            match Self::take(path) {
                Err(RunError::Directory { .. }) if begun.elapsed() < patience => thread::sleep(LOOK_EVERY),
                taken => return taken.map(drop),
            }
        }
        Ok(())
    }

    /// Makes a directory and takes its lock, to begin something there: nothing may be in it yet that `taken` knows.
    ///
    /// Whoever comes second finds either the lock taken or, looking once more behind the lock, what the first one wrote.
    ///
    /// # Errors
    /// What `taken` gives, or if another process has the directory.
    pub(crate) fn claim(
        path: &Path,
        taken: impl Fn(&Path) -> Result<(), RunError>,
    ) -> Result<Self, RunError> {
        taken(path)?;
        fs::create_dir_all(path).at("cannot create", path)?;
        let lock = Self::take(path)?;
        taken(path)?;
        Ok(lock)
    }
}

/// The weight files that a run was given, of which it keeps copies.
#[derive(Clone, Debug, Default)]
pub struct RunInputs {
    /// What it begins with.
    pub init: Option<Vec<u8>>,
    /// Its teacher.
    pub teacher: Option<Vec<u8>>,
}

impl RunDirectory {
    /// Creates the directory of a new run, locks it and writes the configuration.
    ///
    /// `init` is the content of the weight file that the run begins with.
    ///
    /// # Errors
    /// If it holds a run already, another process has it, or it cannot be written.
    pub fn create(path: &Path, config: &RunConfig, inputs: &RunInputs) -> Result<(Self, RunLock), RunError> {
        let text = config.to_toml()?;
        let directory = Self { path: path.to_owned() };
        let lock = RunLock::claim(path, Self::refuse_existing)?;
        fs::create_dir_all(directory.checkpoints()).at("cannot create", &directory.checkpoints())?;
        for (bytes, file) in
            [(&inputs.init, directory.init_model()), (&inputs.teacher, directory.teacher_model())]
        {
            if let Some(bytes) = bytes {
                write_atomically(&file, bytes)?;
            }
        }
        // Written last and atomically: where there is a configuration there is a run to resume.
        write_atomically(&directory.config_path(), text.as_bytes())?;
        Ok((directory, lock))
    }

    /// Replaces the configuration of a run whose lock the caller has.
    pub(crate) fn write_config(&self, config: &RunConfig) -> Result<(), RunError> {
        write_atomically(&self.config_path(), config.to_toml()?.as_bytes())
    }

    /// The directory of a run, whatever is in it.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The error of a directory that holds none.
    pub(crate) fn none(path: &Path) -> RunError {
        wrong(path, "expected a run (a directory with a config.toml), found none")
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
        Err(wrong(path, message))
    }

    /// Opens the directory of an existing run.
    ///
    /// # Errors
    /// If it holds no run or its configuration is broken.
    pub fn open(path: &Path) -> Result<(Self, RunConfig), RunError> {
        let directory = Self { path: path.to_owned() };
        if !directory.config_path().exists() {
            return Err(Self::none(path));
        }
        let config = RunConfig::load(&directory.config_path())?;
        Ok((directory, config))
    }

    /// As [`Self::open`], of a run whose files may have to be signed.
    pub(crate) fn open_from(source: &Source, path: &Path) -> Result<(Self, RunConfig), RunError> {
        let directory = Self::at(path);
        let file = directory.config_path();
        let config = RunConfig::parse(&file, &source.read(&file)?)?;
        Ok((directory, config))
    }

    /// Keeps other processes from continuing the run at the same time.
    ///
    /// # Errors
    /// If another process has it.
    pub fn lock(&self) -> Result<RunLock, RunError> {
        RunLock::take(&self.path)
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
        self.path.join(CHECKPOINTS)
    }

    /// The newest checkpoint's weights.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The weights of the regular checkpoint after so many environment steps, if they are kept.
    pub fn kept_model(&self, env_steps: u64) -> PathBuf {
        self.path.join(MODELS).join(format!("step_{env_steps:012}.safetensors"))
    }

    /// Environment steps of all checkpoints whose weights are kept, increasing.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn kept_models(&self) -> Result<Vec<u64>, RunError> {
        let directory = self.path.join(MODELS);
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let mut steps = Vec::new();
        for entry in fs::read_dir(&directory).at("cannot read", &directory)? {
            let name = entry.at("cannot read", &directory)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_prefix("step_"));
            steps.extend(name.and_then(|name| name.strip_suffix(".safetensors")?.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// The weights that the run began with, if they were not random.
    pub fn init_model(&self) -> PathBuf {
        self.path.join(INIT)
    }

    /// The weights of the run's teacher.
    pub fn teacher_model(&self) -> PathBuf {
        self.path.join(TEACHER)
    }

    /// The best weights so far.
    pub fn best_model(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Refuses a directory without a run or an experiment that has files in it: other ones than a process leaves that was killed
/// before its run had begun.
///
/// # Errors
/// If there is one, naming it; or the directory cannot be read.
pub fn refuse_others_files(path: &Path) -> Result<(), RunError> {
    // Files first: whatever a process writes that begins a run meanwhile, its configuration is there by the second look.
    match others_file(path)? {
        Some(file) if !RunDirectory::exists(path) && !is_experiment(path) => {
            let message = format!(
                "expected a run, an experiment or an empty directory, found {} in it: choose another name",
                file.file_name().unwrap_or_default().display()
            );
            Err(wrong(path, &message))
        }
        _ => Ok(()),
    }
}

/// A file in a directory that no run has before its configuration is written.
fn others_file(path: &Path) -> Result<Option<PathBuf>, RunError> {
    for entry in fs::read_dir(path).at("cannot read", path)? {
        let file = entry.at("cannot read", path)?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_own = match name {
            LOCK | INIT | TEACHER => true,
            CHECKPOINTS => fs::read_dir(&file).is_ok_and(|mut entries| entries.next().is_none()),
            _ => is_temporary(name),
        };
        if !is_own {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Removes the directory of a run, or of an experiment with all its runs, if no process has any of them; or what is left of one
/// that had not begun.
///
/// # Errors
/// If it is neither, or in use.
pub fn remove(path: &Path) -> Result<(), RunError> {
    let runs = if is_experiment(path) {
        begun_runs(path)?
    } else if !RunDirectory::exists(path) && begun_runs(path)?.is_empty() {
        refuse_others_files(path)?;
        Vec::new()
    } else {
        find_runs(path)?
    };
    let mut locks = vec![RunLock::take(path)?];
    for run in runs.iter().filter(|run| *run != path) {
        locks.push(RunLock::take(run)?);
    }
    // Renamed first: nobody finds a half of it, or puts something new into what is being removed.
    let removed = temporary_name(path);
    fs::rename(path, &removed).at("cannot remove", path)?;
    fs::remove_dir_all(&removed).at("cannot remove", &removed)
}

/// Whether an open file is still the one at its path: its directory may have been replaced since.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let numbers = |metadata: io::Result<fs::Metadata>| metadata.map(|found| (found.dev(), found.ino())).ok();
    numbers(file.metadata()) == numbers(fs::metadata(path))
}

/// Elsewhere a directory with an open file in it cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

fn wrong(path: &Path, message: &str) -> RunError {
    RunError::Directory { path: path.to_owned(), message: message.to_owned() }
}

/// Writes a file so that a crash leaves either the old content or the new one: to a temporary name, synced, renamed.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    put(path, |file| {
        file.write_all(bytes)?;
        file.sync_all()
    })?;
    // The rename itself is durable once the directory is.
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|directory| directory.sync_all()).at("cannot write", parent)?;
    }
    Ok(())
}

/// Writes a file so that a killed process leaves either the old content or the new one. What can be made again need not
/// survive a power cut, and is spared the wait for the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    put(path, |file| file.write_all(bytes))
}

/// Writes a file under a temporary name and renames it; a failure leaves no temporary file behind.
fn put(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), RunError> {
    let temporary = temporary_name(path);
    let written = File::create(&temporary).at("cannot create", &temporary).and_then(|mut file| {
        write(&mut file).at("cannot write", &temporary)?;
        fs::rename(&temporary, path).at("cannot write", path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A name beside a file that no other write, of this process or another one, has.
fn temporary_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    name.push(format!(".{process}-{count}{TEMPORARY}"));
    path.with_file_name(name)
}

/// Whether a file of this name was being written.
fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(TEMPORARY)
}

/// Removes what killed processes had not written to its end from a directory that is this process's.
fn remove_temporaries(directory: &Path) -> Result<(), RunError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).at("cannot read", directory),
    };
    for entry in entries {
        let path = entry.at("cannot read", directory)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_temporary) {
            fs::remove_file(&path).at("cannot remove", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_claim_a_directory_is_refused_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run");
        let mut config = RunConfig::default();
        assert!(!RunLock::is_held(&path));
        let (run, lock) = RunDirectory::create(&path, &config, &RunInputs::default()).unwrap();
        assert!(RunLock::is_held(&path));
        let written = fs::read(run.config_path()).unwrap();
        config.seed = 2;
        for _ in 0..2 {
            assert!(RunDirectory::create(&path, &config, &RunInputs::default()).is_err());
            assert_eq!(fs::read(run.config_path()).unwrap(), written);
        }
        // A directory in which nothing was written yet is whose lock it is.
        let empty = directory.path().join("empty");
        let claimed = RunLock::claim(&empty, RunDirectory::refuse_existing).unwrap();
        let message = RunDirectory::create(&empty, &config, &RunInputs::default()).unwrap_err().to_string();
        assert!(message.contains("another process is running it"), "{message}");
        assert!(!RunDirectory::exists(&empty));
        let waited = RunLock::wait_until_free(&path, Duration::ZERO).unwrap_err().to_string();
        assert!(waited.contains("another process is running it"), "{waited}");
        drop((lock, claimed));
        // Processes that other tests are about to start have the lock for the moment before they are other programs.
        RunLock::wait_until_free(&path, Duration::from_secs(60)).unwrap();
        let is_free = |_| {
            thread::sleep(BETWEEN_TRIES);
            !RunLock::is_held(&path)
        };
        assert!((0..1000).any(is_free));
        assert!(RunDirectory::create(&empty, &config, &RunInputs::default()).is_ok());
    }

    #[test]
    fn what_a_killed_process_left_half_written_is_cleared_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for name in [".config.toml.1-0.tmp", "notes.tmp"] {
            fs::write(path.join(name), "half").unwrap();
        }
        drop(RunLock::take(path).unwrap());
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["notes.tmp", LOCK]);
    }

    #[test]
    fn a_write_that_fails_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, b"x").is_err() && replace(&path, b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
