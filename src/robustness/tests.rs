//! Options that are refused.

use super::*;

#[test]
fn options_out_of_range_are_refused_by_name() {
    let usual = RobustnessOptions::default();
    usual.validate().unwrap();
    for (options, word) in [
        (RobustnessOptions { episodes: 1, ..usual.clone() }, "episodes"),
        (RobustnessOptions { noise: vec![-1.0], ..usual.clone() }, "noise"),
        (RobustnessOptions { radii: vec![0.0], ..usual.clone() }, "radii"),
        (RobustnessOptions { pgd_steps: 0, ..usual.clone() }, "pgd_steps"),
        (RobustnessOptions { delays: vec![0], ..usual.clone() }, "delays"),
    ] {
        let message = options.validate().unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
