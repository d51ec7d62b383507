//! Environments of Gymnasium as a vector environment.

use std::collections::BTreeMap;
use std::io;

use agon_envs::random::SeedSequence;
use agon_envs::{
    ActionBatch, ActionSpec, EnvError, Frame, MakeOptions, Origin, RowSet, Seed, Space, StepBatch, VectorEnv,
    VectorInfo,
};
use serde::{Deserialize, Serialize};

use super::process::{Process, Request};
use super::shared::Shared;

/// Environments of one id in one worker process.
pub(super) struct GymnasiumEnv {
    info: VectorInfo,
    origin: Origin,
    process: Process,
    shared: Shared,
    /// `[N, M]`: what the infos say of each row's episode so far.
    metrics: Vec<f64>,
    /// The rows of a step that was sent.
    active: RowSet,
    everything: RowSet,
}

/// What makes one environment in the process.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Maker<'a> {
    /// `gymnasium.make`.
    Gymnasium { id: &'a str },
    /// A class `module:Class`, or the callable of this name that was pickled.
    Callable { name: &'a str, pickle: Option<&'a str> },
}

/// What is asked for at first.
#[derive(Serialize)]
struct Make<'a> {
    maker: &'a Maker<'a>,
    module: Option<&'a str>,
    args: &'a toml::Table,
    num_envs: usize,
    action_masks: Option<bool>,
    metrics: Option<&'a [String]>,
}

/// What environments are, as their process says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    observation_space: Space,
    action_space: Space,
    action_masks: bool,
    metrics: Vec<String>,
    versions: BTreeMap<String, String>,
    remarks: Vec<String>,
}

impl GymnasiumEnv {
    /// Starts a process and has it make the environments; `id` is for errors.
    ///
    /// # Errors
    /// If the process cannot be started, has no such environment, or its spaces are none of ours.
    pub(super) fn new(id: &str, maker: &Maker<'_>, options: &MakeOptions) -> Result<Self, EnvError> {
        let MakeOptions { num_envs, args, worker, .. } = options;
        let num_envs = *num_envs;
        if num_envs == 0 {
            let (field, expected) = ("num_envs", "at least 1");
            return Err(EnvError::Setting { field, expected, found: "0".to_owned() });
        }
        let failed = |message: String| EnvError::Raised {
            env: id.to_owned(),
            row: None,
            message,
            traceback: String::new(),
        };
        let mut process = Process::start(id, num_envs, worker)?;
        if let (Maker::Gymnasium { .. }, Some(_)) = (maker, &worker.pickle) {
            return Err(failed(
                "expected no callable (env.pickle) beside the id, which says what to make".to_owned(),
            ));
        }
        let make = Make {
            maker,
            module: worker.module.as_deref(),
            args,
            num_envs,
            action_masks: worker.action_masks,
            metrics: worker.metrics.as_deref(),
        };
        let made = process.ask(Request::Make, &to_json(&make)?)?;
        let made: Made = serde_json::from_slice(&made).map_err(|error| failed(error.to_string()))?;
        let Made { observation_space, action_space, action_masks, metrics, versions, remarks } = made;
        let action_spec = ActionSpec::of(&action_space)?;
        let info = VectorInfo {
            mask_len: if action_masks { action_spec.mask_len() } else { 0 },
            action_spec,
            observation_space,
            action_space,
            num_envs,
            num_agents: 1,
            teams: Vec::new(),
            frames: None,
            turns: false,
            action_names: Vec::new(),
            metrics,
            groups: Vec::new(),
            tasks: Vec::new(),
            privileged: None,
        };
        let shared = Shared::new(&info).map_err(|error| failed(cannot_share(&error)))?;
        process.ask(Request::Map, &to_json(&shared.address())?)?;
        Ok(Self {
            origin: Origin { versions, remarks },
            process,
            shared,
            metrics: vec![0.0; num_envs * info.metrics.len()],
            active: RowSet::none(num_envs),
            everything: RowSet::all(num_envs),
            info,
        })
    }
}

impl VectorEnv for GymnasiumEnv {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn origin(&self) -> Option<&Origin> {
        Some(&self.origin)
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        if seeds.len() != self.info.num_envs {
            let (field, expected) = ("seeds", "one an environment");
            return Err(EnvError::Setting { field, expected, found: seeds.len().to_string() });
        }
        let seeds: Vec<u64> = seeds.iter().map(number_of).collect();
        self.process.ask(Request::Reset, &to_json(&seeds)?)?;
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        self.shared.read_situations(&self.everything, out).map_err(|error| lost(&error))
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.shared.write_active(envs).map_err(|error| lost(&error))?;
        self.process.ask(Request::ResetSome, &[])?;
        self.shared.read_situations(envs, out).map_err(|error| lost(&error))
    }

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.shared.write_actions(actions, active).map_err(|error| lost(&error))?;
        self.active.copy_from(active);
        self.process.send(Request::Step, &[])
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        self.process.receive()?;
        self.shared.read_outcomes(&self.active, out, &mut self.metrics).map_err(|error| lost(&error))
    }

    fn episode_metrics(&self, row: usize, out: &mut [f64]) {
        out.copy_from_slice(&self.metrics[row * out.len()..(row + 1) * out.len()]);
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        let reason = "it lives in a process of Python; a run goes on with fresh episodes".to_owned();
        Err(EnvError::NotSnapshotable { reason })
    }

    fn render(&mut self, env: usize) -> Option<Frame> {
        let reply =
            self.process.ask(Request::Render, &to_json(&BTreeMap::from([("env", env)])).ok()?).ok()?;
        let (sides, rgb) = reply.split_at_checked(8)?;
        let [height, width] = [0, 4].map(|at| [sides[at], sides[at + 1], sides[at + 2], sides[at + 3]]);
        let (height, width) = (u32::from_le_bytes(height), u32::from_le_bytes(width));
        let is_whole = rgb.len() as u64 == 3 * u64::from(height) * u64::from(width);
        is_whole.then(|| Frame { width, height, rgb: rgb.to_vec() })
    }
}

/// The integer that an environment is seeded with: the seed's own, or one drawn from its stream. It is below 2^31, which every
/// generator that an environment may have takes.
fn number_of(seed: &Seed) -> u64 {
    match seed {
        Seed::Integer(seed) if *seed < 1 << 31 => *seed,
        Seed::Integer(seed) => SeedSequence::new(*seed).seed() >> 33,
        Seed::Sequence(sequence) => sequence.seed() >> 33,
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, EnvError> {
    serde_json::to_vec(value).map_err(|error| EnvError::Failed(error.to_string()))
}

fn cannot_share(error: &io::Error) -> String {
    format!("no file could be made to share with its process: {error}")
}

fn lost(error: &io::Error) -> EnvError {
    EnvError::Failed(format!("the file shared with its process cannot be used: {error}"))
}
