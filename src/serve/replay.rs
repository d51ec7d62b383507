//! Time travel: the episode that the policy of a checkpoint plays with a seed, frame by frame.
//!
//! It is played anew, by what films are made with ([`record`](crate::record)), so its frames are those of `agon record`. How
//! much is played is bounded: in steps, in time, in bytes of pictures, and in how many are played at once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agon_agents::program::Decision;
use agon_envs::{ActionSpec, Frame, render};
use serde::Deserialize;

use super::places;
use super::types::Replay;
use crate::RunError;
use crate::config::CALLABLE;
use crate::foreign::PREFIX;
use crate::jobs::lock;
use crate::policy::{self, Which};
use crate::record::{Player, Step};
use crate::run::directory::MODEL;
use crate::run::{RunDirectory, checkpoint};
use crate::setup::Setup;

/// Steps that are played unless fewer are asked for.
const MOST_STEPS: usize = 10_000;
/// Bytes of the pictures of one episode, and of all that are kept.
const MOST_BYTES: usize = 64 << 20;
const MOST_KEPT_BYTES: usize = 256 << 20;
/// How long one is played.
const LONGEST: Duration = Duration::from_secs(60);
/// Episodes that are played at once, and that are kept.
const MOST_AT_ONCE: usize = 2;
const MOST_KEPT: usize = 12;
/// Numbers of an observation that are told.
const MOST_NUMBERS: usize = 64;

/// Which episode is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The run's.
    pub(super) key: u32,
    /// `newest`, `best`, or environment steps.
    pub(super) checkpoint: String,
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) stochastic: bool,
    #[serde(default = "a_thousand")]
    pub(super) max_steps: usize,
}

fn a_thousand() -> usize {
    1000
}

/// Episodes that were played, and how many are being played.
#[derive(Debug, Default)]
pub(super) struct Replays {
    kept: Mutex<VecDeque<(u64, Pictures)>>,
    last: AtomicU64,
    playing: AtomicUsize,
}

/// Frames as PNG files.
type Pictures = Arc<Vec<Vec<u8>>>;

/// Why none was played.
#[derive(Debug)]
pub(super) enum Unplayed {
    /// Others are being played.
    Busy,
    Failed(RunError),
}

impl From<RunError> for Unplayed {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}

impl Replays {
    /// Plays an episode and keeps its frames.
    ///
    /// # Errors
    /// If others are being played, there is no such checkpoint, or the environment cannot be drawn.
    pub(super) fn play(&self, setup: &Setup, run: &Path, wanted: &Wanted) -> Result<Replay, Unplayed> {
        /// One of those that are played at once, for as long as it lives.
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.playing.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.playing);
        if before >= MOST_AT_ONCE {
            return Err(Unplayed::Busy);
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (replay, pictures) = play(setup, run, wanted, id)?;
        let mut kept = lock(&self.kept);
        kept.push_back((id, Arc::new(pictures)));
        let bytes = |kept: &VecDeque<(u64, Pictures)>| -> usize {
            kept.iter().flat_map(|(_, pictures)| pictures.iter()).map(Vec::len).sum()
        };
        while kept.len() > MOST_KEPT || (kept.len() > 1 && bytes(&kept) > MOST_KEPT_BYTES) {
            kept.pop_front();
        }
        Ok(replay)
    }

    /// A frame of an episode that is still kept.
    pub(super) fn frame(&self, id: u64, number: usize) -> Option<Vec<u8>> {
        let pictures =
            lock(&self.kept).iter().find(|(found, _)| *found == id).map(|(_, pictures)| Arc::clone(pictures));
        pictures?.get(number).cloned()
    }
}

/// Which weights are meant, if they lie where they should.
fn which(run: &Path, name: &str) -> Result<Which, RunError> {
    let directory = RunDirectory::at(run);
    let (which, file) = match name {
        "newest" => (Which::Newest, directory.model()),
        "best" => (Which::Best, directory.best_model()),
        steps => match steps.parse() {
            Ok(step) => (Which::Step(step), checkpoint::path_of(&directory.checkpoints(), step)),
            Err(_) => {
                let message = format!("a checkpoint is newest, best or a number of steps, got {steps}");
                return Err(RunError::Config(message));
            }
        },
    };
    for file in [directory.config_path(), run.join(MODEL), file] {
        if !places::is_inside(&file) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let message = format!("expected {name}, found none: the run keeps its newest checkpoints only");
            return Err(RunError::Directory { path: run.to_owned(), message });
        }
    }
    Ok(which)
}

fn play(setup: &Setup, run: &Path, wanted: &Wanted, id: u64) -> Result<(Replay, Vec<Vec<u8>>), RunError> {
    let which = which(run, &wanted.checkpoint)?;
    let (_, config) = RunDirectory::open(run)?;
    let is_python = |id: &str| id.starts_with(CALLABLE) || id.starts_with(PREFIX);
    if config.env.ids().any(is_python) || config.env.python.is_some() {
        let message =
            "its environment is a program in Python, which a page does not start: `agon record` does";
        return Err(RunError::Config(message.to_owned()));
    }
    let trained = policy::load_which(setup, run, which)?;
    let card = trained.card();
    let mut player = Player::of_policy(setup, &trained, wanted.stochastic, Some(wanted.seed))?;
    let (agents, action) = (player.simulator().num_agents(), player.simulator().action_spec().clone());
    let reading = Reading::new(trained.acting().policy.program().map(|program| program.decision));
    let is_raw = card.env_spaces.observation == card.spaces.observation;
    let shown = setup.registry.get(&card.env.id)?.page_section("Observation space").unwrap_or_default();
    let mut replay = Replay {
        id,
        env_steps: card.env_steps,
        seed: wanted.seed,
        stochastic: wanted.stochastic,
        frames: 0,
        width: 0,
        height: 0,
        agents,
        end: String::new(),
        observation_space: card.spaces.observation.to_string(),
        meanings: if is_raw { meanings(&shown, player.simulator().observation_len()) } else { Vec::new() },
        action_space: player.simulator().action_space().to_string(),
        outputs_are: reading.name(),
        options: match action {
            ActionSpec::Discrete { nvec } => nvec.iter().map(|&n| n as usize).collect(),
            ActionSpec::Continuous { .. } => Vec::new(),
        },
        observations: Vec::new(),
        outputs: Vec::new(),
        values: Vec::new(),
        actions: Vec::new(),
        rewards: Vec::new(),
    };
    let most_steps = wanted.max_steps.clamp(1, MOST_STEPS);
    let (mut pictures, mut bytes, begun) = (Vec::new(), 0, Instant::now());
    player.watch(&mut |frame: Frame, step| {
        (replay.width, replay.height) = (frame.width, frame.height);
        let picture = render::png_bytes(&frame)?;
        bytes += picture.len();
        pictures.push(picture);
        if let Some(step) = step {
            if step.terminated || step.truncated {
                replay.end = if step.terminated { "terminated" } else { "truncated" }.to_owned();
            }
            add(&mut replay, step, &reading);
        }
        let cut = match () {
            () if replay.rewards.len() >= most_steps => format!("cut after {most_steps} steps"),
            () if bytes >= MOST_BYTES => format!("cut after {} MiB of pictures", MOST_BYTES >> 20),
            () if begun.elapsed() >= LONGEST => format!("cut after {} seconds of playing", LONGEST.as_secs()),
            () => return Ok(true),
        };
        if replay.end.is_empty() {
            replay.end = cut;
        }
        Ok(false)
    })?;
    replay.frames = pictures.len();
    Ok((replay, pictures))
}

fn add(replay: &mut Replay, step: Step, reading: &Reading) {
    let outputs = reading.read(&step);
    replay.values.push(step.value.or_else(|| reading.value(&step)));
    replay.outputs.push(outputs);
    let mut observation = step.observation;
    observation.truncate(MOST_NUMBERS);
    replay.observations.push(observation);
    replay.actions.push(step.action);
    replay.rewards.push(step.reward);
}

/// What the outputs of a policy's network say.
enum Reading {
    /// Logits of choices with so many options each.
    Logits(Vec<usize>),
    /// Values of so many actions.
    Values,
    /// Means, and logarithms of standard deviations.
    Gaussian(usize),
    /// Nothing that can be told.
    None,
}

impl Reading {
    fn new(decision: Option<Decision>) -> Self {
        match decision {
            Some(Decision::Categorical { nvec }) => Self::Logits(nvec),
            Some(Decision::Values { .. } | Decision::Categories { .. } | Decision::Quantiles { .. }) => {
                Self::Values
            }
            Some(Decision::Gaussian { low, .. }) => Self::Gaussian(low.len()),
            // An ensemble, or a program's own policy: nothing is known of its outputs.
            Some(Decision::Squashed { .. }) | None => Self::None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Logits(_) => "probabilities",
            Self::Values => "values",
            Self::Gaussian(_) => "mean_and_deviation",
            Self::None => "none",
        }
    }

    fn read(&self, step: &Step) -> Vec<f64> {
        let numbers = || step.outputs.iter().map(|&output| f64::from(output));
        match self {
            Self::Logits(nvec) if step.outputs.len() == nvec.iter().sum::<usize>() => {
                let mut from = 0;
                let mut all = Vec::with_capacity(step.outputs.len());
                for &options in nvec {
                    let mask = step.mask.get(from..from + options).unwrap_or_default();
                    all.extend(probabilities(&step.outputs[from..from + options], mask));
                    from += options;
                }
                all
            }
            Self::Gaussian(dimensions) if step.outputs.len() == 2 * dimensions => {
                let is_mean = |i: usize| i < *dimensions;
                numbers()
                    .enumerate()
                    .map(|(i, number)| if is_mean(i) { number } else { number.exp() })
                    .collect()
            }
            Self::Values => numbers().collect(),
            _ => Vec::new(),
        }
    }

    /// The value of the best legal action, where outputs are values.
    fn value(&self, step: &Step) -> Option<f32> {
        let legal = |i: &usize| step.mask.get(*i).copied().unwrap_or(true);
        match self {
            Self::Values => (0..step.outputs.len()).filter(legal).map(|i| step.outputs[i]).reduce(f32::max),
            _ => None,
        }
    }
}

/// The softmax of logits, over those that are legal.
fn probabilities(logits: &[f32], mask: &[bool]) -> Vec<f64> {
    let legal = |i: usize| mask.get(i).copied().unwrap_or(true);
    let highest =
        (0..logits.len()).filter(|&i| legal(i)).map(|i| logits[i]).fold(f32::NEG_INFINITY, f32::max);
    let weight = |i: usize| if legal(i) { f64::from(logits[i] - highest).exp() } else { 0.0 };
    let weights: Vec<f64> = (0..logits.len()).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// What the numbers of an observation mean, from the table of the page's section on them; none unless it tells all of them.
fn meanings(section: &str, length: usize) -> Vec<String> {
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let mut found = Vec::new();
    for row in rows.skip(2) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (Some(index), Some(meaning)) = (cells.next(), cells.next()) else { break };
        let unit = cells.nth(2).filter(|unit| !unit.is_empty() && *unit != "–");
        if index.parse() != Ok(found.len()) {
            return Vec::new();
        }
        found.push(unit.map_or(meaning.to_owned(), |unit| format!("{meaning} ({unit})")));
    }
    if found.len() == length { found } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_of_legal_actions() {
        assert_eq!(probabilities(&[0.0, 0.0], &[]), [0.5, 0.5]);
        assert_eq!(probabilities(&[1.0, 9.0, 1.0], &[true, false, true]), [0.5, 0.0, 0.5]);
        let of_large = probabilities(&[1000.0, 0.0], &[]);
        assert_eq!(of_large, [1.0, 0.0]);
    }

    #[test]
    fn meanings_come_from_the_page_if_all_are_told() {
        let registry = Setup::default().registry;
        let page = registry.get("CartPole-v1").unwrap().page_section("Observation space").unwrap();
        let expected =
            ["cart position (m)", "cart velocity (m/s)", "pole angle (rad)", "pole angular velocity (rad/s)"];
        assert_eq!(meanings(&page, 4), expected);
        assert!(meanings(&page, 5).is_empty() && meanings("none", 1).is_empty());
    }

    #[test]
    fn the_value_of_a_policy_of_values_is_that_of_its_best_legal_action() {
        let step = Step { outputs: vec![1.0, 5.0, 3.0], mask: vec![true, false, true], ..Step::default() };
        assert_eq!(Reading::Values.value(&step), Some(3.0));
        assert_eq!(Reading::Logits(vec![3]).value(&step), None);
        let gaussian = Step { outputs: vec![2.0, 0.0], ..Step::default() };
        assert_eq!(Reading::Gaussian(1).read(&gaussian), [2.0, 1.0]);
    }
}
