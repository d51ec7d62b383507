//! A policy as one file: the weights of all networks, and everything else that acting needs.
//!
//! `model.safetensors` is a safetensors file whose tensors are the learner's networks under PyTorch's names; the acting
//! network's have no prefix. Its metadata has one key, `agon`, a JSON object that is a [`Card`]: with it the file acts by itself,
//! without the run directory that it came from.

use std::collections::BTreeMap;
use std::path::Path;

use agon_agents::Weights;
use agon_agents::learner::{PolicyInfo, Spaces};
use agon_envs::Space;
use agon_envs::wrappers::Moments;
use agon_nn::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::EnvConfig;
use crate::error::AtPath;

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 2;

/// The key of the metadata.
const KEY: &str = "agon";

/// What a weight file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Version of this format.
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// Name of the algorithm.
    pub algorithm: String,
    /// All of the algorithm's settings: exploration among them.
    pub agent: toml::Table,
    /// The shape of the networks, activations included.
    pub network: Option<ModelConfig>,
    /// The environment: its id, arguments, time limit and wrappers.
    pub env: EnvConfig,
    /// What the policy sees and does: outside all wrappers.
    pub spaces: Spaces,
    /// What the environment itself gives and takes: inside the run's wrappers.
    pub env_spaces: EnvSpaces,
    /// Running statistics of the wrappers, the innermost first: what observations are normalised by.
    pub statistics: Vec<Moments>,
    /// Environment steps of the whole run: what schedules go by.
    pub total_timesteps: u64,
    /// Environment steps of training so far.
    pub env_steps: u64,
    /// The run's seed.
    pub seed: u64,
    /// Mean return of the last 100 training episodes; none before the first has ended.
    pub mean_return: Option<f64>,
    /// Only in `best.safetensors`: the mean return that it is the best by, of an evaluation or, without those, of the last 100
    /// training episodes.
    pub best_mean_return: Option<f64>,
    /// The instruction set that its bits were made with.
    pub instruction_set: String,
    /// CRC-32 of everything before it in the metadata and of the weights; set when the file is written. The last field.
    pub checksum: u32,
}

/// The spaces of an environment, without the wrappers that a run puts around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvSpaces {
    /// Space of one row's observations.
    pub observation: Space,
    /// Space of one row's actions.
    pub action: Space,
    /// Length of an action mask; zero without masks.
    pub mask_len: usize,
    /// Acting rows of each environment.
    pub num_agents: usize,
    /// Wrappers that are part of the registered environment.
    pub wrappers: usize,
    /// How many of the card's statistics are theirs.
    pub statistics: usize,
    /// Names of the groups whose members are decided about; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Card {
    /// What an algorithm must know to make the policy.
    pub fn policy_info(&self) -> PolicyInfo {
        PolicyInfo { spaces: self.spaces.clone(), total_timesteps: self.total_timesteps }
    }
}

/// The content of a weight file.
pub(crate) fn content(card: &Card, weights: &Weights) -> Result<Vec<u8>, RunError> {
    let text = serde_json::to_string(card).map_err(|error| RunError::Policy(error.to_string()))?;
    let before = before_checksum(&text).ok_or_else(|| {
        RunError::Policy("the metadata of a weight file must end with its checksum".to_owned())
    })?;
    let text = format!("{before}{}}}", checksum(before, weights));
    // One entry: the file's bytes must not depend on the order of a hash map.
    Ok(weights.to_safetensors(&BTreeMap::from([(KEY.to_owned(), text)]))?)
}

/// Reads a weight file.
///
/// # Errors
/// If the file cannot be read, is no weight file of this format, or is damaged.
pub fn read(path: &Path) -> Result<(Card, Weights), RunError> {
    parse(path, &std::fs::read(path).at("cannot read", path)?)
}

/// The content of a weight file; its path is for errors.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<(Card, Weights), RunError> {
    let wrong = |message: String| RunError::Weights { path: path.to_owned(), message };
    let metadata = Weights::metadata(bytes).map_err(|error| wrong(error.to_string()))?;
    let text = metadata.get(KEY).ok_or_else(|| {
        wrong("expected a weight file with the metadata key `agon`, found one without".to_owned())
    })?;
    /// The one field that all versions have.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let named = |error: serde_json::Error| wrong(format!("metadata `agon`: {error}"));
    let Version { format } = serde_json::from_str(text).map_err(named)?;
    if format != FORMAT {
        return Err(wrong(format!("expected format {FORMAT}, found {format}")));
    }
    let card: Card = serde_json::from_str(text).map_err(named)?;
    let weights = Weights::from_safetensors(bytes).map_err(|error| wrong(error.to_string()))?;
    let found = before_checksum(text).map(|before| checksum(before, &weights));
    if found != Some(card.checksum) {
        let (expected, found) = (card.checksum, found.unwrap_or_default());
        return Err(wrong(format!(
            "expected checksum {expected:08x}, found {found:08x}: the file is damaged"
        )));
    }
    ensure_finite(&weights).map_err(wrong)?;
    for (i, moments) in card.statistics.iter().enumerate() {
        if !moments.is_whole() {
            return Err(wrong(format!("statistics {i} of the metadata are no count, means and squares")));
        }
    }
    Ok((card, weights))
}

/// The tensors of a weight file, and its card; none of a file that another program wrote, such as PyTorch's `save_file`.
///
/// # Errors
/// As [`read`], but for a missing card; and if the file is a policy for other programs.
pub(crate) fn parse_tensors(path: &Path, bytes: &[u8]) -> Result<(Option<Card>, Weights), RunError> {
    let wrong = |message: String| RunError::Weights { path: path.to_owned(), message };
    let metadata = Weights::metadata(bytes).map_err(|error| wrong(error.to_string()))?;
    if metadata.contains_key(KEY) {
        return parse(path, bytes).map(|(card, weights)| (Some(card), weights));
    }
    if metadata.contains_key(agon_policy::METADATA_KEY) {
        let message = "expected all networks of a run, as model.safetensors has them, found a policy for other programs";
        return Err(wrong(message.to_owned()));
    }
    let weights = Weights::from_safetensors(bytes).map_err(|error| wrong(error.to_string()))?;
    ensure_finite(&weights).map_err(wrong)?;
    Ok((None, weights))
}

fn ensure_finite(weights: &Weights) -> Result<(), String> {
    for (name, _, values) in weights.iter() {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(format!("expected finite weights, found {value} in {name}"));
        }
    }
    Ok(())
}

/// The text of a card up to the number that is its checksum.
fn before_checksum(text: &str) -> Option<&str> {
    let before = &text[..=text.rfind(':')?];
    before.ends_with("\"checksum\":").then_some(before)
}

/// CRC-32 of a card's text and all tensors, by name.
fn checksum(text: &str, weights: &Weights) -> u32 {
    let mut tensors: Vec<_> = weights.iter().collect();
    tensors.sort_unstable_by_key(|(name, _, _)| *name);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(text.as_bytes());
    for (name, shape, values) in tensors {
        hasher.update(name.as_bytes());
        shape.iter().for_each(|&length| hasher.update(&(length as u64).to_le_bytes()));
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize()
}
