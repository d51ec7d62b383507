//! Sweep, suite and experiment files of any content.
#![no_main]

use std::fs;

use agon::runtime::Setup;
use agon::suite::Suite;
use agon::sweep::SweepFile;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let directory = agon_fuzz::directory();
    for name in ["sweep.toml", "suite.toml", "experiment.toml"] {
        fs::write(directory.path().join(name), content).expect("a write");
    }
    let _ = SweepFile::load(&directory.path().join("sweep.toml"));
    let _ = Suite::load(&Setup::default(), &directory.path().join("suite.toml"));
    let _ = agon::experiment::open(directory.path());
});
