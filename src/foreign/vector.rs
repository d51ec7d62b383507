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
    /// The rows of a step that was sent.
    active: RowSet,
    everything: RowSet,
}

/// What is asked for at first.
#[derive(Serialize)]
struct Make<'a> {
    /// Gymnasium's id.
    id: &'a str,
    module: Option<&'a str>,
    args: &'a toml::Table,
    num_envs: usize,
}

/// What environments are, as their process says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    observation_space: Space,
    action_space: Space,
    versions: BTreeMap<String, String>,
    remarks: Vec<String>,
}

impl GymnasiumEnv {
    /// Starts a process and has it make the environments; `id` is for errors, `gymnasium_id` is Gymnasium's.
    ///
    /// # Errors
    /// If the process cannot be started, has no such environment, or its spaces are none of ours.
    pub(super) fn new(id: &str, gymnasium_id: &str, options: &MakeOptions) -> Result<Self, EnvError> {
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
        let make = Make { id: gymnasium_id, module: worker.module.as_deref(), args, num_envs };
        let made = process.ask(Request::Make, &to_json(&make)?)?;
        let made: Made = serde_json::from_slice(&made).map_err(|error| failed(error.to_string()))?;
        let Made { observation_space, action_space, versions, remarks } = made;
        let info = VectorInfo {
            action_spec: ActionSpec::of(&action_space)?,
            observation_space,
            action_space,
            mask_len: 0,
            num_envs,
            num_agents: 1,
            teams: Vec::new(),
            frames: None,
            metrics: Vec::new(),
        };
        let shared = Shared::new(&info).map_err(|error| failed(cannot_share(&error)))?;
        process.ask(Request::Map, &to_json(&shared.address())?)?;
        Ok(Self {
            origin: Origin { versions, remarks },
            process,
            shared,
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
        self.shared.read_observations(&self.everything, out).map_err(|error| lost(&error))
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.shared.write_active(envs).map_err(|error| lost(&error))?;
        self.process.ask(Request::ResetSome, &[])?;
        self.shared.read_observations(envs, out).map_err(|error| lost(&error))
    }

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.shared.write_actions(actions, active).map_err(|error| lost(&error))?;
        self.active.copy_from(active);
        self.process.send(Request::Step, &[])
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        self.process.receive()?;
        self.shared.read_outcomes(&self.active, out).map_err(|error| lost(&error))
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
