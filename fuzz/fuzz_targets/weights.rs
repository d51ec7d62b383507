//! A weight file of any content.
#![no_main]

use std::fs;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let directory = agon_fuzz::directory();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, content).expect("a write");
    let _ = agon::policy::load(&path);
});
