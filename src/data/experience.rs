//! What a run learns from: episodes of data sets, as the one stream of steps that a learner remembers.
//!
//! Data are read twice, an episode at a time: once to count, to choose and to take checksums and statistics, and once more for
//! the learner. No more than an episode is held beside the learner's own memory.

use agon_agents::{Fragment, FragmentShape};
use std::rc::Rc;

use agon_data::{DataSet, Episode};
use agon_envs::mixture::TaskRows;
use agon_envs::wrappers::{Moments, RunningStatistics};
use agon_envs::{ActionBatch, EpisodeStats, ObsBuffer, Space, VectorInfo, WrapperConfig};
use sha2::{Digest, Sha256};

use super::{DataConfig, convert, gymnasium, open};
use crate::RunError;

/// The chosen episodes of a run's data sets.
pub(crate) struct RecordedExperience {
    sets: Vec<DataSet>,
    /// Which set, and which of its episodes.
    chosen: Vec<(usize, u64)>,
    seen: Seen,
    steps: u64,
    checksum: String,
    /// Statistics of all observations, where the run's environments normalise by some.
    moments: Option<Moments>,
}

/// What an agent sees and does in the environment that the data are of.
struct Seen {
    observation: Space,
    action: Space,
    mask_len: usize,
    /// Of several, which task each data set is of, by its number, and what that looks like among the others.
    tasks: Vec<(u32, Rc<TaskRows>)>,
    normalizes: Option<Normalize>,
}

/// How observations are normalised.
#[derive(Clone, Copy)]
struct Normalize {
    epsilon: f64,
    clip: f32,
}

/// An episode's rows.
struct Rows {
    /// `[T + 1, O]`.
    observations: ObsBuffer,
    /// `[T, W]`.
    actions: ActionBatch,
    /// `[T]`.
    rewards: Vec<f32>,
    terminated: bool,
    /// `[T + 1, A]`, or empty.
    masks: Vec<bool>,
    episode_return: f64,
    /// The task, if there are several.
    task: Option<u32>,
}

/// What the first reading found of an episode.
struct Survey {
    place: (usize, u64),
    steps: usize,
    episode_return: f64,
    digest: [u8; 32],
    moments: Option<Moments>,
}

impl RecordedExperience {
    /// Reads all episodes of the data sets once, and chooses those that are learned from. `tasks` are those of the environment, if it
    /// has several.
    ///
    /// # Errors
    /// If a data set cannot be read, is of other spaces than the environment's, or differs from what the run began with.
    pub(crate) fn read(
        config: &DataConfig,
        wrappers: &[WrapperConfig],
        info: &VectorInfo,
        tasks: Vec<TaskRows>,
    ) -> Result<Self, RunError> {
        let refused = |found: &str| {
            let message =
                format!("data.sets: expected an environment of one agent and one task, found {found}");
            Err(RunError::Config(message))
        };
        if info.num_agents > 1 {
            return refused("several agents");
        }
        if info.tasks.len() != tasks.len() {
            return refused("several tasks");
        }
        let sets = config.sets.iter().map(|id| open(id)).collect::<Result<Vec<_>, _>>()?;
        let seen = Seen {
            observation: info.observation_space.clone(),
            action: info.action_space.clone(),
            mask_len: info.mask_len,
            tasks: tasks_of(&config.sets, &sets, tasks, &info.observation_space)?,
            normalizes: normalizer(wrappers)?,
        };
        let mut surveys = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            let (observation, action, _) = seen.recorded(number);
            let id = &config.sets[number];
            convert::ensure_alike(id, "observations", observation, &set.metadata().spaces.observation)?;
            convert::ensure_alike(id, "actions", action, &set.metadata().spaces.action)?;
            for index in 0..set.len() {
                let rows = seen.rows((number, set), &config.sets[number], index)?;
                if rows.rewards.is_empty() {
                    continue;
                }
                surveys.push(survey((number, index), &rows, &seen));
            }
        }
        let chosen = best(surveys, config.best);
        let steps = chosen.iter().map(|survey| survey.steps as u64).sum();
        if steps == 0 {
            return Err(RunError::Config("data.sets: expected steps to learn from, found none".to_owned()));
        }
        let mut hash = Sha256::new();
        chosen.iter().for_each(|survey| hash.update(survey.digest));
        let checksum = crate::hash::hex(&hash.finalize());
        if let Some(expected) = config.checksum.as_ref().filter(|expected| **expected != checksum) {
            return Err(RunError::Config(format!(
                "data.sets: expected the data that the run began with, of checksum {expected}, found {checksum}"
            )));
        }
        let moments = seen.normalizes.map(|_| {
            let mut all = RunningStatistics::new(seen.observation.packed_len()).moments().clone();
            chosen.iter().filter_map(|survey| survey.moments.as_ref()).for_each(|moments| all.merge(moments));
            all
        });
        let chosen = chosen.iter().map(|survey| survey.place).collect();
        Ok(Self { sets, chosen, seen, steps, checksum, moments })
    }

    /// With observations normalised by other statistics than their own, where they are normalised at all.
    pub(crate) fn normalized_by(self, moments: Moments) -> Self {
        Self { moments: self.moments.map(|_| moments), ..self }
    }

    /// Steps of the chosen episodes.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Of what is learned from.
    pub(crate) fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Statistics that observations are normalised by.
    pub(crate) fn moments(&self) -> Option<&Moments> {
        self.moments.as_ref()
    }

    /// What whoever watches should know of the data, a sentence each.
    pub(crate) fn remarks(&self, env: &str) -> Vec<String> {
        let has_jpeg = |set: &&DataSet| {
            let metadata = set.metadata();
            let spaces = &metadata.spaces;
            metadata.jpeg_encoding && (spaces.observation.has_image() || spaces.action.has_image())
        };
        let ids = self.sets.iter().filter(has_jpeg).map(|set| set.metadata().dataset_id.as_str());
        let jpeg =
            ids.map(|id| format!("{id} has its images as JPEG files, which are not what the agent saw"));
        let others = self.sets.iter().filter_map(|set| {
            let (id, of) =
                (&set.metadata().dataset_id, gymnasium::env_of(set.metadata().env_spec.as_deref()?)?);
            let is_strange = of != env && self.seen.tasks.is_empty();
            is_strange.then(|| format!("{id} was recorded in {of}, the run is evaluated in {env}"))
        });
        jpeg.chain(others).collect()
    }

    /// Hands all steps to a learner, an episode at a time.
    ///
    /// # Errors
    /// As [`Self::read`], and what `take` gives.
    pub(crate) fn each(
        &self,
        shape: &FragmentShape,
        take: &mut dyn FnMut(&Fragment) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        for &(set, index) in &self.chosen {
            let id = self.sets[set].metadata().dataset_id.as_str();
            let mut rows = self.seen.rows((set, &self.sets[set]), id, index)?;
            if let (Some(moments), Some(normalize)) = (&self.moments, self.seen.normalizes) {
                normalize.apply(moments, &mut rows.observations);
            }
            take(&fragment(shape, rows))?;
        }
        Ok(())
    }
}

impl Seen {
    /// What a data set's rows are before they are those of the environment: observations, actions, and the length of masks.
    fn recorded(&self, number: usize) -> (&Space, &Space, usize) {
        match self.tasks.get(number) {
            Some((_, task)) => (task.observation_space(), task.action_space(), task.mask_len()),
            None => (&self.observation, &self.action, self.mask_len),
        }
    }

    /// The rows of an episode, checked.
    fn rows(&self, (number, set): (usize, &DataSet), id: &str, index: u64) -> Result<Rows, RunError> {
        let (observation, action, mask_len) = self.recorded(number);
        let episode = set.episode(index)?;
        let place = |what: &str| format!("{what} of episode {index} of {id}");
        let flags = episode.terminations.iter().zip(&episode.truncations);
        let mut before_last = flags.take(episode.total_steps().saturating_sub(1));
        if let Some(step) = before_last.position(|(terminated, truncated)| *terminated || *truncated) {
            let what = place("steps before the last one");
            return Err(RunError::Config(format!("{what} must go on, got an end at step {step}")));
        }
        let Episode { observations, actions, rewards, terminations, infos, .. } = episode;
        let spaces = &set.metadata().spaces;
        let (observations, actions) =
            (observations.decode(&spaces.observation)?, actions.decode(&spaces.action)?);
        if let Some(reward) = rewards.iter().find(|reward| !reward.is_finite()) {
            return Err(RunError::Config(format!("{} must be finite, got {reward}", place("rewards"))));
        }
        let masks = infos.as_ref().and_then(|infos| infos.part("action_mask")?.as_array());
        let masks = match masks {
            Some(masks) if mask_len > 0 => {
                let legal: Vec<bool> = masks.to_i64()?.iter().map(|&legal| legal != 0).collect();
                let expected = (rewards.len() + 1) * mask_len;
                if legal.len() != expected {
                    let (what, found) = (place("action masks"), legal.len());
                    return Err(RunError::Config(format!("{what} must be {expected} values, got {found}")));
                }
                legal
            }
            _ => vec![true; (rewards.len() + 1) * mask_len],
        };
        let mut observations = convert::observations(observation, &observations, &place("observations"))?;
        let mut actions = convert::actions(action, &actions, &place("actions"))?;
        let mut masks = masks;
        if let Some((_, task)) = self.tasks.get(number) {
            observations = task.observations(&observations);
            actions = task.actions(&actions);
            masks = task.masks(&masks, rewards.len() + 1);
        }
        Ok(Rows {
            observations,
            actions,
            task: self.tasks.get(number).map(|(task, _)| *task),
            terminated: terminations.last().copied().unwrap_or(false),
            episode_return: rewards.iter().sum(),
            rewards: rewards.iter().map(|&reward| reward as f32).collect(),
            masks,
        })
    }
}

/// Of which task each data set is: the one of its environment; of several with the same environment the first one that has no set
/// yet.
///
/// # Errors
/// If a set is of no task, or a wrapper around all tasks shows something else than they do.
fn tasks_of(
    ids: &[String],
    sets: &[DataSet],
    tasks: Vec<TaskRows>,
    shown: &Space,
) -> Result<Vec<(u32, Rc<TaskRows>)>, RunError> {
    if let Some(task) = tasks.first().filter(|task| task.shown_space() != shown) {
        let message = format!(
            "env.wrappers: expected none that change observations around several tasks that are learned from data, found {shown} \
             instead of {}",
            task.shown_space()
        );
        return Err(RunError::Config(message));
    }
    let tasks: Vec<Rc<TaskRows>> = tasks.into_iter().map(Rc::new).collect();
    let mut has_set = vec![false; tasks.len()];
    let mut found = Vec::new();
    if tasks.is_empty() {
        return Ok(found);
    }
    for (id, set) in ids.iter().zip(sets) {
        let env = set.metadata().env_spec.as_deref().and_then(gymnasium::env_of);
        let of = |task: &TaskRows| env.as_deref() == Some(task.id());
        let all: Vec<usize> = (0..tasks.len()).filter(|&task| of(&tasks[task])).collect();
        let Some(&task) = all.iter().find(|&&task| !has_set[task]).or(all.first()) else {
            let names: Vec<&str> = tasks.iter().map(|task| task.name()).collect();
            let message = format!(
                "data.sets: expected data of one of the tasks {}, found {id}, of {}",
                names.join(", "),
                env.as_deref().unwrap_or("an environment that it does not name")
            );
            return Err(RunError::Config(message));
        };
        has_set[task] = true;
        found.push((task as u32, Rc::clone(&tasks[task])));
    }
    Ok(found)
}

/// How the run's environments normalise observations: by their last wrapper, or not at all.
///
/// # Errors
/// If there are other statistics, whose values at the time of recording nobody knows.
fn normalizer(wrappers: &[WrapperConfig]) -> Result<Option<Normalize>, RunError> {
    let (last, inner) = match wrappers.split_last() {
        Some((WrapperConfig::NormalizeObservation { epsilon, clip }, inner)) => {
            (Some(Normalize { epsilon: *epsilon, clip: *clip as f32 }), inner)
        }
        _ => (None, wrappers),
    };
    let is_running = |wrapper: &WrapperConfig| {
        matches!(wrapper, WrapperConfig::NormalizeObservation { .. } | WrapperConfig::NormalizeReward { .. })
    };
    if inner.iter().any(is_running) {
        let message = "env.wrappers: a run that learns from data can have one running statistic, of observations in the \
                       last wrapper; found others";
        return Err(RunError::Config(message.to_owned()));
    }
    Ok(last)
}

impl Normalize {
    /// As the wrapper does it.
    fn apply(self, moments: &Moments, observations: &mut ObsBuffer) {
        let ObsBuffer::F32(values) = observations else { return };
        let scales: Vec<(f64, f64)> = (0..moments.mean.len())
            .map(|i| (moments.mean[i], 1.0 / (moments.variance(i) + self.epsilon).sqrt()))
            .collect();
        for (value, (mean, scale)) in values.iter_mut().zip(scales.iter().cycle()) {
            *value = (((f64::from(*value) - mean) * scale) as f32).clamp(-self.clip, self.clip);
        }
    }
}

fn survey(place: (usize, u64), rows: &Rows, seen: &Seen) -> Survey {
    let mut hash = Sha256::new();
    let floats = |hash: &mut Sha256, values: &[f32]| {
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    };
    match &rows.observations {
        ObsBuffer::F32(values) => floats(&mut hash, values),
        ObsBuffer::U8(values) => hash.update(values),
    }
    match &rows.actions {
        ActionBatch::Continuous(values) => floats(&mut hash, values),
        ActionBatch::Discrete(values) => values.iter().for_each(|value| hash.update(value.to_le_bytes())),
    }
    floats(&mut hash, &rows.rewards);
    hash.update([u8::from(rows.terminated)]);
    rows.masks.iter().for_each(|&legal| hash.update([u8::from(legal)]));
    let moments = seen.normalizes.map(|_| {
        let width = seen.observation.packed_len();
        let mut statistics = RunningStatistics::new(width);
        statistics.update(rows.observations.as_f32().chunks_exact(width));
        statistics.take_news()
    });
    let (steps, episode_return) = (rows.rewards.len(), rows.episode_return);
    Survey { place, steps, episode_return, digest: hash.finalize().into(), moments }
}

/// The share of episodes of the greatest return, at least one, in their own order.
fn best(surveys: Vec<Survey>, share: f64) -> Vec<Survey> {
    let count = ((surveys.len() as f64 * share).ceil() as usize).max(1);
    let mut order: Vec<usize> = (0..surveys.len()).collect();
    order.sort_by(|&a, &b| surveys[b].episode_return.total_cmp(&surveys[a].episode_return));
    let mut is_kept = vec![false; surveys.len()];
    order.iter().take(count).for_each(|&index| is_kept[index] = true);
    surveys.into_iter().zip(is_kept).filter_map(|(survey, kept)| kept.then_some(survey)).collect()
}

/// An episode as a fragment of one environment.
fn fragment(shape: &FragmentShape, rows: Rows) -> Fragment {
    let steps = rows.rewards.len();
    let shape = FragmentShape {
        num_steps: steps,
        num_envs: 1,
        num_agents: 1,
        policy_data_width: 0,
        policy_state_len: 0,
        ..shape.clone()
    };
    let len = shape.observation_len;
    let mut fragment = Fragment::new(&shape);
    fragment.final_observations.extend_from(&rows.observations, steps * len, len);
    fragment.observations = rows.observations;
    fragment.actions = rows.actions;
    fragment.rewards = rows.rewards;
    fragment.action_masks = rows.masks;
    fragment.resets[0] = true;
    let last = steps - 1;
    fragment.terminated[last] = rows.terminated;
    fragment.truncated[last] = !rows.terminated;
    fragment.final_rows = vec![last as u32];
    let stats = EpisodeStats { row: 0, episode_return: rows.episode_return, episode_length: steps as u32 };
    fragment.episodes = vec![(last as u32, stats)];
    fragment.episode_metrics = vec![f64::NAN; shape.num_metrics];
    if let Some(task) = rows.task {
        fragment.tasks.fill(task);
    }
    fragment
}
