//! Writes the golden data sets again: reads each from the first folder and writes it below the second, in every format.
//!
//! `cargo run --example write_samples -- tests/golden/sets OUT`

use std::error::Error;
use std::path::PathBuf;

use agon_data::{DataSet, Format, Metadata, Writer, list};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("two folders must be given: where golden data sets are, and where to write".into());
    };
    for id in list(&from)? {
        let data_set = DataSet::open(&from, &id)?;
        for format in Format::ALL {
            let name = id.name().replace(&format!("-{}", data_set.metadata().data_format), "");
            let written = format!("ours/{name}-from-{}-{format}-v0", data_set.metadata().data_format);
            let metadata =
                Metadata { dataset_id: written.parse()?, data_format: format, ..data_set.metadata().clone() };
            let metadata = Metadata {
                jpeg_encoding: metadata.jpeg_encoding && metadata.spaces.observation.has_image(),
                ..metadata
            };
            let mut writer = Writer::create(&to, metadata)?;
            for episode in data_set.episodes() {
                writer.push(&episode?)?;
            }
            writer.finish()?;
        }
    }
    Ok(())
}
