//! What the fuzz targets share: a small run, made once, and a copy of it for each input.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agon::agents::Algorithms;
use agon::config::{self, RunConfig};
use agon::runtime::{self, Setup};

/// A directory in memory where there is one, so that inputs do not wait for a disk.
pub fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory")
}

/// A DQN run of a hundred steps that was stopped on its way, with chunks beside its checkpoints.
fn stopped_run() -> &'static Path {
    static RUN: OnceLock<tempfile::TempDir> = OnceLock::new();
    RUN.get_or_init(|| {
        let directory = directory();
        let mut table = toml::Table::new();
        for setting in [
            "algorithm=dqn",
            "env.id=CartPole-v1",
            "total_timesteps=128",
            "agent.buffer_size=64",
            "agent.train_frequency=4",
            "agent.learning_starts=8",
            "agent.batch_size=4",
            "network.encoder.hidden=[4]",
            "env.max_episode_steps=8",
            "runtime.threads=1",
        ] {
            config::set(&mut table, setting).expect("a setting");
        }
        let config = RunConfig::from_table(&Algorithms::builtin(), table).expect("a configuration");
        let stop = &mut |progress: &runtime::Progress<'_>| progress.env_steps < 60;
        runtime::train(&Setup::default(), config, directory.path(), stop).expect("a run");
        directory
    })
    .path()
}

/// A copy of the run.
pub fn copy_of_run() -> tempfile::TempDir {
    let (from, to) = (stopped_run(), directory());
    fs::create_dir(to.path().join("checkpoints")).expect("a directory");
    for part in ["", "checkpoints"] {
        for entry in fs::read_dir(from.join(part)).expect("a run").flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), to.path().join(part).join(entry.file_name())).expect("a copy");
            }
        }
    }
    to
}

/// The last file of that kind among a run's checkpoints.
pub fn last(run: &Path, kind: &str) -> PathBuf {
    let entries = fs::read_dir(run.join("checkpoints")).expect("checkpoints").flatten();
    let of_kind = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == kind));
    of_kind.max().expect("a file")
}

/// Goes on with a run for some iterations; whatever it says is an answer.
pub fn resume(run: &Path) {
    let mut iterations = 0;
    let _ = runtime::resume(&Setup::default(), run, Some(1), &mut |_| {
        iterations += 1;
        iterations < 8
    });
}
