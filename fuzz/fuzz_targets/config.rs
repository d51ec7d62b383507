//! A run's `config.toml` of any content, over a run that has checkpoints.
#![no_main]

use std::fs;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let run = agon_fuzz::copy_of_run();
    fs::write(run.path().join("config.toml"), content).expect("a write");
    let _ = agon::policy::load(run.path());
    agon_fuzz::resume(run.path());
});
