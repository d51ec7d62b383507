//! Tests of what the environments share.

use super::*;
use crate::{MakeOptions, check_env};

#[test]
fn every_environment_of_several_agents_keeps_the_contract() {
    let mut registry = Registry::empty();
    register(&mut registry).unwrap();
    for spec in registry.iter() {
        let report = check_env(spec).unwrap();
        assert!(report.episodes > 0 && report.seeds_differ, "{}: {report:?}", spec.id());
    }
}

#[test]
fn unknown_arguments_are_refused_and_wrong_ones_named() {
    let registry = Registry::builtin();
    for spec in
        registry.iter().filter(|spec| ["Foraging", "Simple"].iter().any(|name| spec.id().starts_with(name)))
    {
        let mut options = MakeOptions::default();
        options.args.insert("food".into(), toml::Value::Integer(1));
        assert!(spec.make(&options).unwrap_err().to_string().contains("food"), "{}", spec.id());
    }
    let mut options = MakeOptions::default();
    options.args.insert("sight".into(), toml::Value::Integer(0));
    let error = registry.make("Foraging-8x8-2p-2f-v3", &options).unwrap_err().to_string();
    assert_eq!(error, "sight must be between 1 and the size of the grid, got 0");
}
