//! Recordings of any content, plain and compressed.
#![no_main]

use std::fs;

use agon::envs::Registry;
use agon::envs::verify::verify_recording;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let directory = agon_fuzz::directory();
    for name in ["CartPole-v1.csv", "CartPole-v1.csv.gz"] {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a write");
        let _ = verify_recording(&Registry::builtin(), &path, None);
    }
});
