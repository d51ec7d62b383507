//! Recording episodes into a data set: of a run's policy, of several of its checkpoints, or of random actions.
//!
//! Recorded is what an environment shows without normalisation. A policy that sees it normalised acts in an environment of its
//! own, beside the one that is recorded and step by step the same.

use std::path::{Path, PathBuf};

use agon_agents::EnvironmentLoop;
use agon_agents::policy::ActMode;
use agon_data::{Array, Column, Episode, Format, Metadata, Spaces, Writer};
use agon_envs::random::SeedSequence;
use agon_envs::{Autoreset, MakeOptions, ObsBuffer, Pcg64, Seed, Simulator, StepBatch, WrapperConfig, check};

use super::{convert, gymnasium, root};
use crate::RunError;
use crate::acting::{Acting, fit};
use crate::config::{EVALUATION_LIMIT, EnvConfig};
use crate::policy::{self, TrainedPolicy, Which};
use crate::run::RunDirectory;
use crate::setup::Setup;

/// Who acts in what is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorder {
    /// Random legal actions in an environment.
    Random(EnvConfig),
    /// The policy of a run or of a weight file.
    Policy(PathBuf, Which),
    /// The policies of all checkpoints whose weights a run keeps, up to a step: the oldest ones first, each as many episodes.
    Checkpoints(PathBuf, u64),
}

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// Who acts.
    pub recorder: Recorder,
    /// The data set's id, as `cartpole/medium-v0`.
    pub id: String,
    /// The layout of its files.
    pub format: Format,
    /// Episodes; at least 1.
    pub episodes: u64,
    /// Seed of the first episode; each one has the next.
    pub seed: u64,
    /// Whether a policy acts as in training instead of taking its best action.
    pub stochastic: bool,
    /// Who made it, if anybody is to be named.
    pub author: Option<String>,
}

/// What was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Steps of all episodes.
    pub steps: u64,
    /// The return of each episode.
    pub returns: Vec<f64>,
}

/// Records episodes; `progress` is told how many there are.
///
/// # Errors
/// If there is no such policy or environment, the data set exists, or an episode cannot be recorded; nothing of it is left
/// then.
pub fn record(
    setup: &Setup,
    options: &RecordOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Recording, RunError> {
    // Files keep signed seeds.
    if options.seed.checked_add(options.episodes).is_none_or(|last| i64::try_from(last).is_err()) {
        let (most, found) = (i64::MAX, options.seed);
        let message = format!("the seeds of all episodes must be at most {most}, got {found} for the first");
        return Err(RunError::Config(message));
    }
    let mut actors = Actors::new(setup, options)?;
    let mut recording = Recording { steps: 0, returns: Vec::new() };
    let mut stage = Stage::new(setup, &actors.env, actors.policies.first())?;
    let simulator = stage.recorded();
    let spaces = Spaces {
        observation: convert::space_of(simulator.observation_space()),
        action: convert::space_of(simulator.action_space()),
    };
    let metadata = Metadata {
        env_spec: Some(gymnasium::spec(&actors.env, stage.time_limit)),
        algorithm_name: Some(actors.name.clone()),
        author: options.author.iter().cloned().collect(),
        ..Metadata::new(options.id.parse()?, spaces, options.format)
    };
    let mut writer = Writer::create(&root()?, metadata)?;
    let mut on_stage = 0;
    for number in 0..options.episodes {
        // As many episodes of each, one after the other.
        let turn = (number * actors.policies.len().max(1) as u64 / options.episodes) as usize;
        if turn != on_stage {
            stage = Stage::new(setup, &actors.env, actors.policies.get(turn))?;
            on_stage = turn;
        }
        let seed = options.seed.wrapping_add(number);
        let episode = stage.episode(actors.policies.get(turn), seed, options.stochastic, &mut actors.rng)?;
        recording.steps += episode.rewards.len() as u64;
        recording.returns.push(episode.rewards.iter().sum());
        writer.push(&episode)?;
        progress(number + 1);
    }
    writer.finish()?;
    Ok(recording)
}

/// Who acts, one after the other; nobody where actions are random.
struct Actors {
    policies: Vec<TrainedPolicy>,
    env: EnvConfig,
    name: String,
    rng: Pcg64,
}

impl Actors {
    fn new(setup: &Setup, options: &RecordOptions) -> Result<Self, RunError> {
        let stream = SeedSequence::with_spawn_key(options.seed, &[4]);
        let rng = Pcg64::from_sequence(&stream);
        let policies = match &options.recorder {
            Recorder::Random(env) => {
                return Ok(Self { policies: Vec::new(), env: env.clone(), name: "random".to_owned(), rng });
            }
            Recorder::Policy(path, which) => vec![policy::load_which(setup, path, *which)?],
            Recorder::Checkpoints(path, last) => checkpoints(setup, path, *last)?,
        };
        let card = policies[0].card();
        let (env, name) = (card.env.clone(), card.algorithm.clone());
        Ok(Self { policies, env, name, rng })
    }
}

/// The policies of the checkpoints that a run keeps, up to a step.
fn checkpoints(setup: &Setup, path: &Path, last: u64) -> Result<Vec<TrainedPolicy>, RunError> {
    let steps = RunDirectory::at(path).kept_models()?;
    let found: Vec<TrainedPolicy> = steps
        .iter()
        .filter(|&&step| step <= last)
        .map(|&step| policy::load_which(setup, path, Which::Step(step)))
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        let message = format!(
            "expected weights of checkpoints up to step {last} in models/, found none: train with runtime.keep_models=true"
        );
        return Err(RunError::Directory { path: path.to_owned(), message });
    }
    Ok(found)
}

/// Environments in which somebody acts and is recorded.
struct Stage {
    acting: EnvironmentLoop,
    /// What is recorded, where that is not what the policy sees.
    beside: Option<(Simulator, StepBatch)>,
    /// Steps after which an episode is cut.
    time_limit: Option<u32>,
}

impl Stage {
    fn new(setup: &Setup, env: &EnvConfig, policy: Option<&TrainedPolicy>) -> Result<Self, RunError> {
        let spec = setup.registry.get(&env.id)?;
        let (options, _) = env.options_with_limit(1, &spec, EVALUATION_LIMIT);
        let time_limit = env.max_episode_steps.filter(|limit| *limit > 0).or(spec.time_limit());
        let options = MakeOptions { autoreset: Autoreset::Disabled, ..options };
        let mut simulator = spec.make(&options)?;
        if simulator.num_agents() > 1 {
            let message =
                format!("{}: expected an environment of one agent, found {}", env.id, simulator.num_agents());
            return Err(RunError::Config(message));
        }
        if let Some(policy) = policy {
            fit(&mut simulator, &policy.card().spaces, &policy.acting().statistics)?;
        }
        let normalizes = |wrapper: &WrapperConfig| {
            matches!(
                wrapper,
                WrapperConfig::NormalizeObservation { .. } | WrapperConfig::NormalizeReward { .. }
            )
        };
        let beside = if options.wrappers.iter().any(normalizes) {
            let bare = options.wrappers.iter().filter(|wrapper| !normalizes(wrapper)).cloned().collect();
            let simulator = spec.make(&MakeOptions { wrappers: bare, ..options })?;
            let now = simulator.new_batch();
            Some((simulator, now))
        } else {
            None
        };
        let mut now = simulator.new_batch();
        simulator.reset(0, &mut now)?;
        Ok(Self { acting: EnvironmentLoop::new(simulator, now, Pcg64::seed_from(0)), beside, time_limit })
    }

    /// The environment that is recorded.
    fn recorded(&self) -> &Simulator {
        self.beside.as_ref().map_or(&self.acting.simulator, |(simulator, _)| simulator)
    }

    /// What it shows now.
    fn shown(&self) -> &StepBatch {
        self.beside.as_ref().map_or(&self.acting.now, |(_, now)| now)
    }

    /// One episode, from the environment's own `reset(seed)` on.
    fn episode(
        &mut self,
        policy: Option<&TrainedPolicy>,
        seed: u64,
        stochastic: bool,
        rng: &mut Pcg64,
    ) -> Result<Episode, RunError> {
        let stream = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[5]));
        self.acting.begin_anew(&[Seed::Integer(seed)], stream)?;
        if let Some((simulator, now)) = &mut self.beside {
            simulator.reset_with(&[Seed::Integer(seed)], now)?;
        }
        let mode = if stochastic { ActMode::Explore } else { ActMode::Deterministic };
        let (mut rows, mut rewards, mut actions) = (Trace::default(), Vec::new(), Vec::new());
        let (mut terminations, mut truncations) = (Vec::new(), Vec::new());
        rows.add(self.shown());
        loop {
            self.step(policy.map(TrainedPolicy::acting), mode, rng)?;
            let space = self.recorded().action_space();
            let width = self.recorded().action_spec().width();
            actions.extend(convert::packed_action(space, self.acting.actions.row(0, width)));
            let shown = self.shown();
            rows.add(shown);
            rewards.push(shown.rewards[0]);
            terminations.push(shown.terminated[0]);
            truncations.push(shown.truncated[0]);
            if shown.terminated[0] || shown.truncated[0] {
                break;
            }
        }
        let (recorded, seen) = (self.recorded(), rows);
        let infos = if seen.masks.is_empty() {
            None
        } else {
            let bytes = seen.masks.iter().map(|&legal| u8::from(legal)).collect();
            let masks = Array::new(agon_data::Dtype::Bool, vec![recorded.mask_len()], bytes)?;
            Some(Column::Dict(vec![("action_mask".to_owned(), Column::Array(masks))]))
        };
        Ok(Episode {
            seed: i64::try_from(seed).ok(),
            options: None,
            observations: convert::column_of(recorded.observation_space(), &seen.observations)?,
            actions: convert::column_of(recorded.action_space(), &ObsBuffer::F32(actions))?,
            rewards,
            terminations,
            truncations,
            infos,
            attributes: Default::default(),
        })
    }

    fn step(&mut self, acting: Option<&Acting>, mode: ActMode, rng: &mut Pcg64) -> Result<(), RunError> {
        match acting {
            Some(acting) => self.acting.tick(&*acting.policy, acting.env_steps, mode)?,
            None => {
                let EnvironmentLoop { simulator, now, actions, .. } = &mut self.acting;
                check::random_actions(simulator, now, rng, actions)?;
                simulator.step(actions, now)?;
            }
        }
        if let Some((simulator, now)) = &mut self.beside {
            simulator.step(&self.acting.actions, now)?;
        }
        Ok(())
    }
}

/// What was shown, row by row.
struct Trace {
    observations: ObsBuffer,
    masks: Vec<bool>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { observations: ObsBuffer::F32(Vec::new()), masks: Vec::new() }
    }
}

impl Trace {
    fn add(&mut self, shown: &StepBatch) {
        if self.observations.is_empty() {
            self.observations = ObsBuffer::zeros(shown.observations.dtype(), 0);
        }
        self.observations.extend_from(&shown.observations, 0, shown.observations.len());
        self.masks.extend_from_slice(&shown.action_masks);
    }
}
