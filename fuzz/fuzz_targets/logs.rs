//! Log files of any content.
#![no_main]

use std::fs;

use agon::plot::{self, XAxis};
use agon::score::RunScores;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let run = agon_fuzz::copy_of_run();
    for name in ["metrics.csv", "episodes.csv", "timing.csv", "evaluations.csv"] {
        fs::write(run.path().join(name), content).expect("a write");
    }
    let _ = plot::load_series(run.path(), XAxis::Seconds, "charts/episodic_return");
    let _ = RunScores::load(run.path());
});
