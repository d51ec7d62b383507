//! A checkpoint whose checksum is right, with any content.
#![no_main]

use std::fs;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let run = agon_fuzz::copy_of_run();
    let length = (content.len() as u64).to_le_bytes();
    let checksum = crc32fast::hash(&[&length[..], content].concat()).to_le_bytes();
    let path = agon_fuzz::last(run.path(), "ckpt");
    fs::write(path, [&b"AGONCKPE"[..], &length, &checksum, content].concat()).expect("a write");
    agon_fuzz::resume(run.path());
});
