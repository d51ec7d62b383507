//! Options that are refused; what a whole report says is tested from the command line.

use super::*;

#[test]
fn options_out_of_range_are_refused_by_name() {
    let usual = PrivacyOptions::new(PathBuf::from("out")).unwrap();
    usual.validate().unwrap();
    for (options, word) in [
        (PrivacyOptions { trajectories: 1, ..usual.clone() }, "trajectories"),
        (PrivacyOptions { steps: 0, ..usual.clone() }, "steps"),
        (PrivacyOptions { random: 1.5, ..usual.clone() }, "random"),
        (PrivacyOptions { delta: Some(1.0), ..usual.clone() }, "delta"),
    ] {
        let message = options.validate().unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
