//! Writes and reads many short episodes, and tells how long that takes.
//!
//! `cargo run --release --example many_episodes -- FOLDER 10000`

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use agon_data::{Array, Column, DataSet, DataSetId, Dtype, Episode, Format, Metadata, Space, Spaces, Writer};

const STEPS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(count)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("a folder and a number of episodes must be given".into());
    };
    let count: u64 = count.parse()?;
    let observation =
        Space::Box { dtype: Dtype::F32, shape: vec![4], low: vec![-1.0; 4], high: vec![1.0; 4] };
    let spaces = Spaces { observation, action: Space::Discrete { start: 0, n: 2 } };
    let episode = Episode {
        seed: Some(1),
        options: None,
        observations: Column::Array(Array::from_f32(vec![4], &[0.5; 4 * (STEPS + 1)])?),
        actions: Column::Array(Array::from_i64(&[1; STEPS])),
        rewards: vec![1.0; STEPS],
        terminations: vec![false; STEPS],
        truncations: vec![false; STEPS],
        infos: None,
        attributes: BTreeMap::new(),
    };
    let mut out = std::io::stdout().lock();
    for format in Format::ALL {
        let id: DataSetId = format!("many-{format}-v0").parse()?;
        let begin = Instant::now();
        let mut writer = Writer::create(&root, Metadata::new(id.clone(), spaces.clone(), format))?;
        for _ in 0..count {
            writer.push(&episode)?;
        }
        let metadata = writer.finish()?;
        let written = begin.elapsed();
        let begin = Instant::now();
        for found in DataSet::open(&root, &id)?.episodes() {
            if found? != episode {
                return Err("an episode must come back as it was written".into());
            }
        }
        let size = metadata.dataset_size.unwrap_or_default();
        writeln!(
            out,
            "{format}: {count} episodes, {size} MB, written in {written:.1?}, read in {:.1?}",
            begin.elapsed()
        )?;
    }
    Ok(())
}
