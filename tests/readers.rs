//! Whatever a file holds, its reader reads it or says what is wrong: random bytes, and real files with some bytes changed.
//! `fuzz/` has the same readers for longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agon::config::RunConfig;
use agon::envs::Registry;
use agon::envs::verify::verify_recording;
use agon::experiment;
use agon::plot::{self, XAxis};
use agon::policy;
use agon::runtime::{self, Setup};
use agon::score::RunScores;
use agon::suite::Suite;
use agon::sweep::SweepFile;
use proptest::prelude::*;

/// A small run, and files that people write.
fn samples() -> &'static Path {
    static SAMPLES: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = SAMPLES.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let settings = [
            "total_timesteps=64",
            "num_envs=1",
            "agent.num_steps=8",
            "agent.num_minibatches=1",
            "network.encoder.hidden=[4]",
            "env.max_episode_steps=8",
            "eval.every=32",
            "eval.episodes=1",
        ];
        let config = common::config_of("ppo", &settings);
        runtime::train(&Setup::default(), config, &directory.path().join("run"), &mut |_| true).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (from, to) in [
            ("examples/sweeps/dqn_cartpole.toml", "sweep.toml"),
            ("results/suite.toml", "suite.toml"),
            ("tests/golden/env/CartPole-v1.csv.gz", "CartPole-v1.csv.gz"),
        ] {
            fs::copy(root.join(from), directory.path().join(to)).unwrap();
        }
        directory
    });
    directory.path()
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Cut(usize),
    Replace(Vec<u8>),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..32);
    let text = "[-+.0-9a-zA-Z_=\\[\\]{},'\"\n]{0,12}".prop_map(String::into_bytes);
    let damage = prop_oneof![
        4 => (any::<usize>(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (any::<usize>(), bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (any::<usize>(), text).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => any::<usize>().prop_map(Damage::Cut),
        1 => bytes().prop_map(Damage::Replace),
    ];
    prop::collection::vec(damage, 1..4)
}

fn damaged(whole: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut content = whole.to_vec();
    for damage in damages {
        let place = |at: &usize| at % (content.len() + 1);
        match damage {
            Damage::Flip(at, bit) if !content.is_empty() => {
                let at = at % content.len();
                content[at] ^= 1 << bit;
            }
            Damage::Flip(..) => {}
            Damage::Insert(at, bytes) => {
                let at = place(at);
                content.splice(at..at, bytes.iter().copied());
            }
            Damage::Cut(at) => content.truncate(place(at)),
            Damage::Replace(bytes) => content.clone_from(bytes),
        }
    }
    content
}

/// Damages a file of the samples, in a directory of its own.
fn with_damage(file: &str, damages: &[Damage], read: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(Path::new(file).file_name().unwrap());
    let whole = fs::read(samples().join(file)).unwrap();
    fs::write(&path, damaged(&whole, damages)).unwrap();
    read(&path);
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

proptest! {
    #[test]
    fn weight_files_are_read_or_refused(damages in damages()) {
        with_damage("run/model.safetensors", &damages, |path| drop(policy::load(path)));
    }

    #[test]
    fn configurations_are_read_or_refused(damages in damages()) {
        with_damage("run/config.toml", &damages, |path| {
            let setup = Setup::default();
            if let Ok(mut config) = RunConfig::load(path) {
                let _ = config.resolve(&setup.registry, &setup.algorithms);
            }
            drop(policy::load(directory_of(path)));
        });
    }

    #[test]
    fn experiments_are_read_or_refused(damages in damages()) {
        let directory = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(samples().join("run/config.toml")).unwrap();
        let config: toml::Table = config.parse().unwrap();
        let whole = toml::toml! { seeds = [1, 2] };
        let mut whole = whole;
        whole.insert("config".to_owned(), config.into());
        let content = damaged(whole.to_string().as_bytes(), &damages);
        fs::write(directory.path().join("experiment.toml"), content).unwrap();
        drop(experiment::open(directory.path()));
    }

    #[test]
    fn sweeps_and_suites_are_read_or_refused(damages in damages()) {
        with_damage("sweep.toml", &damages, |path| drop(SweepFile::load(path)));
        with_damage("suite.toml", &damages, |path| drop(Suite::load(&Setup::default(), path)));
    }

    #[test]
    fn logs_are_read_or_refused(damages in damages()) {
        let files = [("metrics.csv", "charts/episodic_return"), ("timing.csv", "seconds"), ("evaluations.csv", "eval/mean_return")];
        for (file, column) in files {
            with_damage(&format!("run/{file}"), &damages, |path| {
                let run = directory_of(path);
                fs::copy(samples().join("run/config.toml"), run.join("config.toml")).unwrap();
                for x in [XAxis::Steps, XAxis::Seconds, XAxis::Updates] {
                    drop(plot::load_series(&run, x, column));
                }
                drop(RunScores::load(&run));
            });
        }
        with_damage("run/episodes.csv", &damages, |path| {
            let run = directory_of(path);
            for file in ["config.toml", "metrics.csv"] {
                fs::copy(samples().join("run").join(file), run.join(file)).unwrap();
            }
            drop(RunScores::load(&run));
        });
    }

    #[test]
    fn recordings_are_read_or_refused(damages in damages(), compressed in any::<bool>()) {
        if compressed {
            with_damage("CartPole-v1.csv.gz", &damages, |path| drop(verify_recording(&Registry::builtin(), path, None)));
        } else {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("CartPole-v1.csv");
            fs::write(&path, damaged(recording().as_bytes(), &damages)).unwrap();
            drop(verify_recording(&Registry::builtin(), &path, None));
        }
    }
}

/// The first lines of a recording.
fn recording() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let file = fs::File::open(samples().join("CartPole-v1.csv.gz")).unwrap();
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
        text.lines().take(40).map(|line| format!("{line}\n")).collect()
    })
}

#[test]
fn a_small_file_that_stands_for_an_endless_line_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("CartPole-v1.csv.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::best());
    encoder.write_all(b"seed,step,action,reward,terminated,truncated,obs\n").unwrap();
    for _ in 0..64 {
        encoder.write_all(&vec![b'1'; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 1 << 17);
    let message = verify_recording(&Registry::builtin(), &path, None).unwrap_err().to_string();
    assert!(message.contains("expected lines of at most 1048576 bytes"), "{message}");
}
