//! Damaged and hostile files give errors: no panic, and no more memory than the files are worth.
//!
//! Run with a limit of memory to see the second: `ulimit -v 2000000; cargo test --test damaged`.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use agon_data::{DataSet, Format};

use common::{copy, golden};

const SETS: [&str; 11] = [
    "box32-hdf5",
    "box32-arrow",
    "box32-parquet",
    "nested-hdf5",
    "text-hdf5",
    "text-arrow",
    "text-parquet",
    "jpeg-hdf5",
    "jpeg-arrow",
    "even-hdf5",
    "discrete-parquet",
];

/// Reads everything; an error is as good as an episode.
fn read(folder: &Path) -> bool {
    let Ok(data_set) = DataSet::open_path(folder) else { return false };
    let spaces = data_set.metadata().spaces.clone();
    // Counts of damaged metadata may be large.
    data_set.episodes().take(20).all(|episode| {
        episode.is_ok_and(|episode| {
            let _pixels = episode.observations.decode(&spaces.observation);
            true
        })
    })
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A generator that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn damage(rounds: usize, seed: u64) {
    let mut random = Random(seed);
    let mut errors = 0;
    for name in SETS {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&golden().join(format!("sets/golden/{name}-v0")), folder.path());
        assert!(read(folder.path()), "{name} is right before it is damaged");
        let mut paths = Vec::new();
        files(folder.path(), &mut paths);
        paths.sort();
        for round in 0..rounds {
            let path = &paths[random.below(paths.len())];
            let whole = std::fs::read(path).expect("a file");
            let mut bytes = whole.clone();
            match round % 4 {
                0 => bytes.truncate(random.below(whole.len())),
                1 => {
                    let position = random.below(whole.len());
                    bytes[position] ^= 1 << random.below(8);
                }
                2 => {
                    let position = random.below(whole.len());
                    let end = whole.len().min(position + 1 + random.below(8));
                    bytes[position..end].fill(if random.below(2) == 0 { 0xff } else { 0x7f });
                }
                _ => {
                    for _ in 0..8 {
                        let position = random.below(whole.len());
                        bytes[position] = random.below(256) as u8;
                    }
                }
            }
            std::fs::write(path, &bytes).expect("damage");
            let kept = path.clone();
            let folder = folder.path().to_path_buf();
            match std::panic::catch_unwind(move || read(&folder)) {
                Ok(is_read) => errors += usize::from(!is_read),
                Err(_) => panic!("{name}, round {round}: panicked on {}", kept.display()),
            }
            std::fs::write(path, &whole).expect("repair");
        }
    }
    assert!(errors > rounds, "damage is noticed");
}

#[test]
fn damaged_files_are_errors_or_other_numbers() {
    damage(200, 1);
}

#[test]
#[ignore = "slow: minutes of damage"]
fn much_damage_is_no_worse() {
    (2..6).for_each(|seed| damage(1000, seed));
}

#[test]
fn missing_parts_are_named() {
    for (name, missing) in [
        ("discrete-hdf5", "main_data.hdf5"),
        ("discrete-arrow", "3/part-0.arrow"),
        ("discrete-arrow", "3/metadata.json"),
        ("discrete-parquet", "11"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&golden().join(format!("sets/golden/{name}-v0")), folder.path());
        let path = folder.path().join("data").join(missing);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .expect("removed");
        assert!(!read(folder.path()), "{name} without {missing}");
    }
}

#[test]
fn counts_of_the_metadata_must_be_those_of_the_episodes() {
    for format in Format::ALL {
        for (from, to) in [
            ("\"total_steps\": 36", "\"total_steps\": 37"),
            ("\"total_episodes\": 12", "\"total_episodes\": 11"),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            copy(&golden().join(format!("sets/golden/discrete-{format}-v0")), folder.path());
            let path = folder.path().join("data/metadata.json");
            let text = std::fs::read_to_string(&path).expect("metadata");
            assert!(text.contains(from), "{text}");
            std::fs::write(&path, text.replace(from, to)).expect("metadata");
            assert!(!read(folder.path()), "{format} with {to}");
        }
    }
}
