//! What is in a data set: returns, lengths, what was observed and done; and whether it is as it should be.

use std::collections::HashSet;

use agon_data::{Array, Column, DataSet, Space};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::RunError;
use crate::plot::{Line, Picture, PlotOptions, draw_lines};
use crate::stats;

/// What is in a data set.
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// Its id.
    pub id: String,
    /// The layout of its files.
    pub format: String,
    /// Whether frames are JPEG files, and so not what the agent saw.
    pub jpeg: bool,
    /// Who acted.
    pub algorithm: Option<String>,
    /// Episodes.
    pub episodes: usize,
    /// Steps.
    pub steps: usize,
    /// Shares of the episodes that ended by themselves.
    pub terminated: f64,
    /// Returns of episodes.
    pub returns: Summary,
    /// Lengths of episodes.
    pub lengths: Summary,
    /// Observations that differ from all others, as a share of all.
    pub distinct_observations: f64,
    /// What was observed and done, part by part.
    pub parts: Vec<PartReport>,
    /// The return of each episode, in order.
    #[serde(skip)]
    pub episode_returns: Vec<f64>,
}

/// Some numbers in short.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// The least.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// The greatest.
    pub max: f64,
}

/// What one part of observations or actions was.
#[derive(Clone, Debug, Serialize)]
pub struct PartReport {
    /// Its name, such as `observations.position`.
    pub name: String,
    /// All of its numbers; none of texts and JPEG files.
    pub numbers: Option<Summary>,
    /// How evenly choices were made: their entropy over that of even ones, 0 to 1; none where it is no choice.
    pub entropy: Option<f64>,
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| values.iter().copied().fold(start, pick);
        Self {
            min: fold(f64::INFINITY, f64::min),
            mean: stats::mean(values),
            std: if values.len() > 1 { stats::sample_std(values) } else { 0.0 },
            max: fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Sums of the numbers of a part.
struct Part<'a> {
    name: String,
    space: &'a Space,
    count: f64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
    /// How often each value of a choice was taken.
    choices: Vec<u64>,
}

/// Reads a whole data set.
///
/// # Errors
/// If an episode cannot be read, or there is none.
pub fn report(set: &DataSet) -> Result<DataReport, RunError> {
    let metadata = set.metadata();
    let mut parts = Vec::new();
    add_parts("observations", &metadata.spaces.observation, &mut parts);
    let observed = parts.len();
    add_parts("actions", &metadata.spaces.action, &mut parts);
    let (mut returns, mut lengths, mut terminated) = (Vec::new(), Vec::new(), 0);
    let (mut seen, mut rows) = (HashSet::new(), 0);
    for index in 0..set.len() {
        let episode = set.episode(index)?;
        returns.push(episode.rewards.iter().sum::<f64>());
        lengths.push(episode.rewards.len() as f64);
        terminated += usize::from(episode.terminations.last().copied().unwrap_or(false));
        rows += count_distinct(&episode.observations, &mut seen)?;
        let mut leaves = Vec::new();
        leaves_of(&episode.observations, &mut leaves);
        let after = leaves.len();
        leaves_of(&episode.actions, &mut leaves);
        if after != observed || leaves.len() != parts.len() {
            let message = format!("episode {index}: expected {} parts, found {}", parts.len(), leaves.len());
            return Err(RunError::Config(message));
        }
        for (part, array) in parts.iter_mut().zip(leaves) {
            if let Some(array) = array {
                part.add(&array.to_f64()?);
            }
        }
    }
    if returns.is_empty() {
        return Err(RunError::Config(format!("{}: expected episodes, found none", metadata.dataset_id)));
    }
    Ok(DataReport {
        id: metadata.dataset_id.to_string(),
        format: metadata.data_format.to_string(),
        jpeg: metadata.jpeg_encoding && metadata.spaces.observation.has_image(),
        algorithm: metadata.algorithm_name.clone(),
        episodes: returns.len(),
        steps: lengths.iter().sum::<f64>() as usize,
        terminated: terminated as f64 / returns.len() as f64,
        returns: Summary::of(&returns),
        lengths: Summary::of(&lengths),
        distinct_observations: seen.len() as f64 / rows.max(1) as f64,
        parts: parts.into_iter().map(Part::report).collect(),
        episode_returns: returns,
    })
}

/// Returns of episodes, sorted: how many are how good.
///
/// # Errors
/// If it cannot be drawn.
pub fn picture(reports: &[DataReport]) -> Result<Picture, RunError> {
    let lines: Vec<Line> = reports
        .iter()
        .map(|report| {
            let mut sorted = report.episode_returns.clone();
            sorted.sort_by(f64::total_cmp);
            let last = (sorted.len() - 1).max(1) as f64;
            let points =
                sorted.iter().enumerate().map(|(rank, &value)| (100.0 * rank as f64 / last, value)).collect();
            Line { label: report.id.clone(), num_runs: 1, points, band: Vec::new(), joined: true }
        })
        .collect();
    let options = PlotOptions {
        title: "Returns of recorded episodes".to_owned(),
        x_label: "share of episodes (%)".to_owned(),
        y_label: "return at most".to_owned(),
        ..PlotOptions::default()
    };
    Ok(draw_lines(&lines, &options)?)
}

/// Something about a data set, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Whether nobody can learn from the data as they are, or their files contradict each other; else it is only to be known.
    pub is_fault: bool,
    /// The sentence.
    pub text: String,
}

/// Says what of a data set is not as it should be, and what should be known of it.
///
/// # Errors
/// If its metadata or an episode cannot be read.
pub fn check(set: &DataSet) -> Result<Vec<Remark>, RunError> {
    let metadata = set.metadata();
    let (mut remarks, mut faults, mut steps) = (Vec::new(), Vec::new(), 0);
    if metadata.jpeg_encoding
        && (metadata.spaces.observation.has_image() || metadata.spaces.action.has_image())
    {
        remarks.push("images are JPEG files: not what the agent saw".to_owned());
    }
    if !metadata.combined_datasets.is_empty() {
        let sets = metadata.combined_datasets.join(", ");
        remarks
            .push(format!("was combined from {sets}: exact images become JPEG there if one of them has it"));
    }
    let (mut without_seed, mut hashes) = (0, HashSet::new());
    let mut same = 0;
    for index in 0..set.len() {
        let episode = set.episode(index)?;
        episode.validate(&metadata.spaces)?;
        without_seed += usize::from(episode.seed.is_none());
        let mut hash = Sha256::new();
        hash_column(&episode.observations, &mut hash);
        hash_column(&episode.actions, &mut hash);
        same += usize::from(!hashes.insert(<[u8; 32]>::from(hash.finalize())));
        if let Some(step) = episode.rewards.iter().position(|reward| !reward.is_finite()) {
            faults.push(format!("episode {index}: the reward of step {step} is {}", episode.rewards[step]));
        }
        let flags = episode.terminations.iter().zip(&episode.truncations);
        let ends: Vec<usize> = flags
            .enumerate()
            .filter(|(_, (terminated, truncated))| **terminated || **truncated)
            .map(|(step, _)| step)
            .collect();
        match ends[..] {
            [] => remarks.push(format!("episode {index} has no end: it is learned from as truncated")),
            [step] if step + 1 == episode.rewards.len() => {}
            _ => faults.push(format!("episode {index} ends at step {} and goes on", ends[0])),
        }
        steps += episode.rewards.len() as u64;
    }
    for (what, told, found) in [
        ("steps", u128::from(metadata.total_steps), u128::from(steps)),
        ("episodes", u128::from(metadata.total_episodes), u128::from(set.len())),
    ] {
        if told != found {
            faults.push(format!("the metadata say {told} {what}, the files have {found}"));
        }
    }
    if without_seed > 0 {
        let all = set.len();
        remarks.push(format!(
            "{without_seed} of {all} episodes have no seed: recorded without one, or lost by Minari's filter_episodes or combine_datasets"
        ));
    }
    if same > 0 {
        remarks.push(format!("{same} episodes are the same as another one"));
    }
    let of = |is_fault| move |text| Remark { is_fault, text };
    Ok(faults.into_iter().map(of(true)).chain(remarks.into_iter().map(of(false))).collect())
}

/// Names the arrays that values of a space consist of, in the order of [`leaves_of`].
fn add_parts<'a>(name: &str, space: &'a Space, parts: &mut Vec<Part<'a>>) {
    match space {
        Space::Dict(entries) => {
            entries.iter().for_each(|(own, space)| add_parts(&format!("{name}.{own}"), space, parts));
        }
        Space::Tuple(entries) => {
            let entries = entries.iter().enumerate();
            entries.for_each(|(index, space)| add_parts(&format!("{name}.{index}"), space, parts));
        }
        leaf => {
            let choices = if let Space::Discrete { n, .. } = leaf { (*n).clamp(0, MOST_CHOICES) } else { 0 };
            parts.push(Part {
                name: name.to_owned(),
                space: leaf,
                count: 0.0,
                sum: 0.0,
                squares: 0.0,
                min: f64::INFINITY,
                max: f64::NEG_INFINITY,
                choices: vec![0; choices as usize],
            });
        }
    }
}

/// Values of a choice that are counted at most.
const MOST_CHOICES: i64 = 1 << 20;

/// The arrays of a column; none for texts and JPEG files.
fn leaves_of<'a>(column: &'a Column, leaves: &mut Vec<Option<&'a Array>>) {
    match column {
        Column::Array(array) => leaves.push(Some(array)),
        Column::Text(_) | Column::Jpeg(_) => leaves.push(None),
        Column::Dict(parts) => parts.iter().for_each(|(_, part)| leaves_of(part, leaves)),
        Column::Tuple(parts) => parts.iter().for_each(|part| leaves_of(part, leaves)),
    }
}

impl Part<'_> {
    fn add(&mut self, values: &[f64]) {
        for &value in values {
            self.count += 1.0;
            self.sum += value;
            self.squares += value * value;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
        if let Space::Discrete { start, .. } = self.space {
            for value in values {
                if let Some(count) = self.choices.get_mut((*value as i64 - start) as usize) {
                    *count += 1;
                }
            }
        }
    }

    fn report(self) -> PartReport {
        let mean = self.sum / self.count;
        let std = (self.squares / self.count - mean * mean).max(0.0).sqrt();
        let numbers = (self.count > 0.0).then_some(Summary { min: self.min, mean, std, max: self.max });
        let entropy = (self.choices.len() > 1 && self.count > 0.0).then(|| {
            let shares = self.choices.iter().map(|&count| count as f64 / self.count);
            let entropy: f64 = shares.filter(|share| *share > 0.0).map(|share| -share * share.ln()).sum();
            entropy / (self.choices.len() as f64).ln()
        });
        PartReport { name: self.name, numbers, entropy }
    }
}

/// Adds the observations of an episode to those seen, by their hashes; gives how many there are.
fn count_distinct(column: &Column, seen: &mut HashSet<[u8; 16]>) -> Result<usize, RunError> {
    let rows = column.rows()?;
    let mut hashes = vec![Sha256::new(); rows];
    hash_rows(column, &mut hashes);
    for hash in hashes {
        let digest: [u8; 32] = hash.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        seen.insert(half);
    }
    Ok(rows)
}

fn hash_rows(column: &Column, hashes: &mut [Sha256]) {
    match column {
        Column::Array(array) => {
            let rows = array.bytes().chunks_exact(array.row_size());
            hashes.iter_mut().zip(rows).for_each(|(hash, row)| hash.update(row));
        }
        Column::Text(texts) => hashes.iter_mut().zip(texts).for_each(|(hash, text)| hash.update(text)),
        Column::Jpeg(frames) => hashes.iter_mut().zip(frames).for_each(|(hash, frame)| hash.update(frame)),
        Column::Dict(parts) => parts.iter().for_each(|(_, part)| hash_rows(part, hashes)),
        Column::Tuple(parts) => parts.iter().for_each(|part| hash_rows(part, hashes)),
    }
}

fn hash_column(column: &Column, hash: &mut Sha256) {
    match column {
        Column::Array(array) => hash.update(array.bytes()),
        Column::Text(texts) => texts.iter().for_each(|text| hash.update(text)),
        Column::Jpeg(frames) => frames.iter().for_each(|frame| hash.update(frame)),
        Column::Dict(parts) => parts.iter().for_each(|(_, part)| hash_column(part, hash)),
        Column::Tuple(parts) => parts.iter().for_each(|part| hash_column(part, hash)),
    }
}
