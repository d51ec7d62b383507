//! A chunk file of any content.
#![no_main]

use std::fs;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let run = agon_fuzz::copy_of_run();
    fs::write(agon_fuzz::last(run.path(), "chunk"), content).expect("a write");
    agon_fuzz::resume(run.path());
});
