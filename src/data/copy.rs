//! Data sets out of others: in another layout, or several as one. Episodes stay as they are, seeds and exact images included.

use agon_data::{DataSet, Format, Metadata, Writer};

use super::root;
use crate::RunError;

/// Writes the episodes of data sets, one set after the other, as one: of each at most `most`, from the first on. A single set is
/// one in another layout. Gives how many there are.
///
/// # Errors
/// If there is no set, their spaces differ or only some have JPEG files, the id exists, or an episode does not fit the layout.
pub fn copy(sets: &[DataSet], id: &str, format: Format, most: Option<u64>) -> Result<u64, RunError> {
    let Some(first) = sets.first() else {
        return Err(RunError::Config("expected data sets to copy, found none".to_owned()));
    };
    let told = first.metadata();
    for set in sets {
        let other = set.metadata();
        let differs = [
            ("observations", told.spaces.observation.to_json(), other.spaces.observation.to_json()),
            ("actions", told.spaces.action.to_json(), other.spaces.action.to_json()),
        ];
        if let Some((what, expected, found)) = differs.iter().find(|(_, expected, found)| expected != found) {
            return Err(RunError::Config(format!(
                "{}: expected {what} of {expected}, found {found}",
                other.dataset_id
            )));
        }
        let has_images = told.spaces.observation.has_image() || told.spaces.action.has_image();
        if has_images && told.jpeg_encoding != other.jpeg_encoding {
            let (expected, found) = (told.jpeg_encoding, other.jpeg_encoding);
            return Err(RunError::Config(format!(
                "{}: expected jpeg_encoding = {expected} as of the first, found {found}",
                other.dataset_id
            )));
        }
    }
    let is_same = |pick: fn(&Metadata) -> &Option<String>| {
        sets.iter().all(|set| pick(set.metadata()) == pick(told)).then(|| pick(told).clone()).flatten()
    };
    let mut metadata = Metadata {
        dataset_id: id.parse()?,
        data_format: format,
        env_spec: is_same(|metadata| &metadata.env_spec),
        algorithm_name: is_same(|metadata| &metadata.algorithm_name),
        ..told.clone()
    };
    if sets.len() > 1 {
        metadata.author = all(sets, |metadata| &metadata.author);
        metadata.author_email = all(sets, |metadata| &metadata.author_email);
        metadata.requirements = all(sets, |metadata| &metadata.requirements);
        metadata.code_permalink = is_same(|metadata| &metadata.code_permalink);
        if sets.iter().any(|set| scores(set.metadata()) != scores(told)) {
            (metadata.ref_min_score, metadata.ref_max_score) = (None, None);
            metadata.num_episodes_average_score = None;
        }
        metadata.description = Some(format!(
            "Episodes of {}.",
            sets.iter().map(|set| set.metadata().dataset_id.to_string()).collect::<Vec<_>>().join(", ")
        ));
    }
    let mut writer = Writer::create(&root()?, metadata)?;
    let mut episodes = 0;
    for set in sets {
        for index in 0..set.len().min(most.unwrap_or(u64::MAX)) {
            writer.push(&set.episode(index)?)?;
            episodes += 1;
        }
    }
    writer.finish()?;
    Ok(episodes)
}

/// What any of the sets says, each thing once.
fn all(sets: &[DataSet], pick: fn(&Metadata) -> &Vec<String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for said in sets.iter().flat_map(|set| pick(set.metadata())) {
        if !found.contains(said) {
            found.push(said.clone());
        }
    }
    found
}

/// The returns that scores are told by.
fn scores(metadata: &Metadata) -> (Option<f64>, Option<f64>) {
    (metadata.ref_min_score, metadata.ref_max_score)
}
