//! Recorded trajectories of Gymnasium, MinAtar and MiniGrid, replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use agon_envs::Registry;
use agon_envs::verify::verify_recording;

/// Environments whose rewards are computed from floating point states.
const CONTINUOUS_REWARDS: [&str; 2] = ["Pendulum-v1", "MountainCarContinuous-v0"];

#[test]
fn every_recording_is_repeated() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/env"));
    let registry = Registry::builtin();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "gz") {
            continue;
        }
        let report = verify_recording(&registry, &path, None).unwrap();
        assert!(report.passes(1e-5), "{report:?}");
        let tolerance = if CONTINUOUS_REWARDS.contains(&report.env.as_str()) { 1e-8 } else { 0.0 };
        assert!(report.max_reward_difference <= tolerance, "{report:?}");
        assert!(report.steps >= 700, "{report:?}");
        count += 1;
    }
    assert_eq!(count, 35, "recordings of 35 environments");
}
