//! `new`: a crate of one's own to begin with.

use std::fs;
use std::path::Path;

use super::args::NewArgs;
use super::{Ending, say};
use crate::RunError;
use crate::error::AtPath;

/// The sources, which are an example of this crate too, and so compiled and run with it.
const SOURCES: [(&str, &str); 3] = [
    ("main.rs", include_str!("../../examples/own_crate/main.rs")),
    ("corridor.rs", include_str!("../../examples/own_crate/corridor.rs")),
    ("haste.rs", include_str!("../../examples/own_crate/haste.rs")),
];

pub(super) fn new(args: &NewArgs) -> Result<Ending, RunError> {
    let path = &args.path;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) {
        return Err(RunError::Config(format!(
            "a crate's name begins with a letter and has small letters, digits, `-` and `_`, got `{name}`"
        )));
    }
    if path.exists() {
        let message = "exists already: choose another name".to_owned();
        return Err(RunError::Directory { path: path.clone(), message });
    }
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         agon = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         # Environments are fast enough to try things in a debug build, too.\n[profile.dev]\nopt-level = 1\n",
        args.agon.display().to_string()
    );
    let sources = path.join("src");
    fs::create_dir_all(&sources).at("cannot create", &sources)?;
    write(&path.join("Cargo.toml"), &manifest)?;
    write(&path.join(".gitignore"), "/target\n/results\n")?;
    for (file, text) in SOURCES {
        write(&sources.join(file), text)?;
    }
    say(format_args!(
        "crate: {}\nnext: cd {} && cargo run --release -- train ppo Corridor-v0",
        path.display(),
        path.display()
    ))
}

fn write(path: &Path, text: &str) -> Result<(), RunError> {
    fs::write(path, text).at("cannot write", path)
}
