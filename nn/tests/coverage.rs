//! No layer is forgotten: each one has a test of its gradient and one that acting gives the bits of learning.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers, and the tests that check them: `check` of `tests/layers.rs` and the tests of models check gradients against
/// differences, acting against learning bit for bit, and both against a definition.
const TESTED: [(&str, &[(&str, &str)]); 18] = [
    ("Activate", &[("tests/layers.rs", "layers_without_weights_are_what_they_are_defined_as")]),
    ("BatchNorm2d", &[("tests/layers.rs", "batch_norms_in_training_agree_with_finite_differences")]),
    ("ChannelsFirst", &[("tests/layers.rs", "layers_without_weights_are_what_they_are_defined_as")]),
    ("Conv2d", &[("tests/layers.rs", "convolutions_are_what_they_are_defined_as")]),
    ("ConvTranspose2d", &[("tests/layers.rs", "transposed_convolutions_are_what_they_are_defined_as")]),
    (
        "CustomLayer",
        &[
            ("src/custom/tests.rs", "parts_are_checked_by_what_they_promise"),
            ("src/custom/tests.rs", "acting_gives_the_bits_of_learning"),
        ],
    ),
    (
        "Dueling",
        &[
            ("src/losses/dueling.rs", "the_gradient_agrees_with_finite_differences"),
            ("tests/models.rs", "gradients_agree_with_differences_along_random_directions"),
        ],
    ),
    ("Dropout", &[("src/dropout.rs", "the_gradient_goes_through_what_stayed")]),
    ("Embedding", &[("tests/layers.rs", "embeddings_are_what_they_are_defined_as")]),
    ("FreeLogStd", &[("tests/models.rs", "gradients_agree_with_differences_along_random_directions")]),
    ("Linear", &[("tests/layers.rs", "random_chains_are_what_they_are_defined_as")]),
    ("NoisyLinear", &[("tests/layers.rs", "noisy_layers_are_what_they_are_defined_as")]),
    ("Norm", &[("tests/layers.rs", "norms_are_what_they_are_defined_as")]),
    ("OneHot", &[("tests/models.rs", "every_encoder_learns_and_acts_with_the_same_bits")]),
    ("Parallel", &[("tests/models.rs", "every_encoder_learns_and_acts_with_the_same_bits")]),
    ("Pool2d", &[("tests/layers.rs", "pools_are_what_they_are_defined_as")]),
    ("Residual", &[("tests/models.rs", "every_encoder_learns_and_acts_with_the_same_bits")]),
    (
        "SpectralNorm",
        &[
            ("src/spectral_norm/tests.rs", "gradients_of_linear_layers_agree_with_finite_differences"),
            ("src/spectral_norm/tests.rs", "a_convolution_is_that_with_the_divided_weight"),
        ],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_layer_has_its_tests() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut layers = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let after = text.split("Layer for ").skip(1);
        let named = after.filter_map(|rest| rest.split_once(" {")).map(|(name, _)| name);
        layers.extend(named.filter(|name| name.chars().all(char::is_alphanumeric)).map(str::to_owned));
    }
    let tested: BTreeSet<String> = TESTED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(layers, tested, "layers of src, and those with tests in the table above");
    for (layer, tests) in TESTED {
        for (file, test) in tests {
            let text = fs::read_to_string(root().join(file)).unwrap();
            assert!(text.contains(&format!("fn {test}(")), "{layer}: {file} has no test {test}");
        }
    }
}
