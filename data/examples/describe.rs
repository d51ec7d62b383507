//! Reads a folder of data sets and tells what is in each.
//!
//! `cargo run --example describe -- ROOT`

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use agon_data::{DataSet, list, root};

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args_os().nth(1).map(PathBuf::from).or_else(root).ok_or("a folder must be given")?;
    let mut out = std::io::stdout().lock();
    for id in list(&root)? {
        let steps = DataSet::open(&root, &id).and_then(|data_set| {
            data_set.episodes().map(|episode| Ok(episode?.total_steps())).collect::<Result<Vec<_>, _>>()
        });
        match steps {
            Ok(steps) => {
                writeln!(out, "{id}: {} episodes of {} steps", steps.len(), steps.iter().sum::<usize>())?;
            }
            Err(error) => {
                write!(out, "{id}: {error}")?;
                let mut error: &dyn Error = &error;
                while let Some(source) = error.source() {
                    write!(out, ": {source}")?;
                    error = source;
                }
                writeln!(out)?;
            }
        }
    }
    Ok(())
}
