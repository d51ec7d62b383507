//! Recordings: what a policy saw, remembered and did over a few steps, so that anybody can check another runtime by them.

use agon_envs::{Action as EnvAction, ActionBatch, MakeOptions, ObsBuffer, StepBatch};
use agon_policy::{Action, ActionSpace, Episode, InputKind, Observation, PortablePolicy};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{Answer, Export};
use crate::RunError;
use crate::config::EnvConfig;
use crate::policy::{Observed, TrainedPolicy, drawn};
use crate::setup::Setup;

/// Steps of a recording at most.
const MOST_STEPS: usize = 1000;

/// Steps at least.
const FEWEST_STEPS: usize = 100;

/// Bytes at most.
const MOST_BYTES: usize = 1 << 23;

/// Episodes after which a recording ends: at least one beginning lies inside.
const EPISODES: usize = 3;

/// Largest difference of an action of numbers.
const TOLERANCE: f32 = 1e-4;

/// Inputs, states and outputs of a policy over some steps of one row.
#[derive(Debug, Default)]
pub struct Recording {
    tensors: Vec<Tensor>,
    /// How many steps there are.
    pub steps: usize,
}

/// The values of one tensor, step after step.
#[derive(Debug)]
struct Tensor {
    name: String,
    row: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Export {
    /// Records a policy in its environment, up to the beginning of a few episodes, and checks that the exported program does
    /// what the trained policy does.
    ///
    /// # Errors
    /// If the environment cannot be made, or an action differs, naming the step.
    pub fn record(&self, setup: &Setup, trained: &TrainedPolicy, seed: u64) -> Result<Recording, RunError> {
        self.recorded(setup, &trained.card().env, Some(trained.anew()), seed)
    }

    /// As [`Self::record`], of a policy that does what no trained one does, such as a compressed one: it acts by itself.
    ///
    /// # Errors
    /// If the environment is not told or cannot be made, or several agents act in it.
    pub fn record_itself(&self, setup: &Setup, seed: u64) -> Result<Recording, RunError> {
        match self.environment()? {
            Some(env) => self.recorded(setup, &env, None, seed),
            None => {
                Err(RunError::Policy("expected a policy that names its environment, found none".to_owned()))
            }
        }
    }

    fn recorded(
        &self,
        setup: &Setup,
        env: &EnvConfig,
        mut trained: Option<TrainedPolicy>,
        seed: u64,
    ) -> Result<Recording, RunError> {
        let portable = self.policy()?;
        let options = MakeOptions { wrappers: drawn(&env.wrappers).to_vec(), ..env.options(1) };
        let mut simulator = setup.registry.make(&env.id, &options)?;
        let mut now = simulator.new_batch();
        simulator.reset(seed, &mut now)?;
        let agents = simulator.num_agents();
        if trained.is_none() && agents > 1 {
            let message = format!("expected an environment of one agent, found {agents} in {}", env.id);
            return Err(RunError::Policy(message));
        }
        let mut recording = Recording::new(self, portable.logits_len());
        let mut episode = portable.begin();
        let (mut starts, mut begun) = (true, 1);
        let is_enough = |recording: &Recording, begun| begun > EPISODES && recording.steps >= FEWEST_STEPS;
        while !is_enough(&recording, begun) && recording.steps < MOST_STEPS && recording.bytes() < MOST_BYTES
        {
            if starts {
                episode.begin_again();
            }
            let seen = Seen { now: &now, mask_len: self.program.mask_len, starts };
            let step = recording.step(self, &portable, &mut episode, &seen)?;
            match &mut trained {
                None => simulator.step(&step.batch(&self.program.action), &mut now)?,
                Some(trained) => {
                    let observed = Observed {
                        observations: (&now.observations).into(),
                        action_masks: &now.action_masks,
                        episode_starts: &[starts],
                        rewards: &now.rewards,
                    };
                    let actions = trained.act_in(&observed)?;
                    let expected = actions.row(0, actions.len() / agents);
                    if !step.agrees(&expected, &self.program.action) {
                        let message = format!(
                            "the exported policy differs from the trained one at step {}: expected {expected:?}, found {step:?}",
                            recording.steps
                        );
                        return Err(RunError::Policy(message));
                    }
                    simulator.step(actions, &mut now)?;
                }
            }
            starts = (0..agents).all(|row| now.terminated[row] || now.truncated[row] || !now.active[row]);
            begun += usize::from(starts);
        }
        Ok(recording)
    }
}

/// What is seen of the first row at one step.
struct Seen<'a> {
    now: &'a StepBatch,
    mask_len: usize,
    starts: bool,
}

/// What was done at one step.
#[derive(Debug)]
enum Done {
    Indices(Vec<i64>),
    Numbers(Vec<f32>),
}

impl Done {
    /// As environments take it.
    fn batch(&self, space: &ActionSpace) -> ActionBatch {
        let start = if let ActionSpace::Discrete { start, .. } = space { *start } else { 0 };
        match self {
            Self::Indices(indices) => {
                ActionBatch::Discrete(indices.iter().map(|index| (index - start) as u32).collect())
            }
            Self::Numbers(numbers) => ActionBatch::Continuous(numbers.clone()),
        }
    }

    /// Whether it is the trained policy's action.
    fn agrees(&self, expected: &EnvAction<'_>, space: &ActionSpace) -> bool {
        let start = if let ActionSpace::Discrete { start, .. } = space { *start } else { 0 };
        match (self, expected) {
            (Self::Indices(found), EnvAction::Discrete(expected)) => {
                found.iter().map(|index| index - start).eq(expected.iter().map(|&index| i64::from(index)))
            }
            (Self::Numbers(found), EnvAction::Continuous(expected)) => {
                let pairs = found.iter().zip(*expected);
                pairs.into_iter().all(|(a, b)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0))
            }
            _ => false,
        }
    }
}

impl Recording {
    /// Nothing yet of the tensors that a policy takes and gives.
    fn new(export: &Export, logits_len: usize) -> Self {
        let mut tensors = Vec::new();
        let mut add = |name: String, row: &[usize], dtype: Dtype| {
            tensors.push(Tensor { name, row: row.to_vec(), dtype, bytes: Vec::new() });
        };
        let program = &export.program;
        for part in &program.inputs {
            add(part.name.clone(), &part.shape, dtype(part.kind));
        }
        if program.mask_len > 0 {
            add("action_mask".to_owned(), &[program.mask_len], Dtype::BOOL);
        }
        let states = program.states();
        if !states.is_empty() {
            add("episode_start".to_owned(), &[], Dtype::BOOL);
        }
        for (suffix, states) in [("in", &states), ("out", &states)] {
            for state in states {
                add(format!("{}_{suffix}", state.name), &state.shape, dtype(state.kind));
            }
        }
        match &program.action {
            ActionSpace::Discrete { .. } => add("actions".to_owned(), &[], Dtype::I64),
            ActionSpace::MultiDiscrete { nvec } => add("actions".to_owned(), &[nvec.len()], Dtype::I64),
            ActionSpace::MultiBinary { n } => add("actions".to_owned(), &[*n], Dtype::I64),
            ActionSpace::Box { shape, .. } => add("actions".to_owned(), shape, Dtype::F32),
        }
        add(Answer::Logits.name(&program.decision).to_owned(), &[logits_len], Dtype::F32);
        Self { tensors, steps: 0 }
    }

    fn bytes(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.bytes.len()).sum()
    }

    /// Acts, and adds what went in and came out.
    fn step(
        &mut self,
        export: &Export,
        policy: &PortablePolicy,
        episode: &mut Episode,
        seen: &Seen<'_>,
    ) -> Result<Done, RunError> {
        let program = &export.program;
        let len: usize = program.inputs.iter().map(|part| part.len()).sum();
        let mut columns: Vec<Vec<u8>> = Vec::new();
        let mut start = 0;
        for part in &program.inputs {
            columns.push(column(&seen.now.observations, start, part.len(), part.kind));
            start += part.len();
        }
        let mask = &seen.now.action_masks[..seen.mask_len];
        if program.mask_len > 0 {
            columns.push(mask.iter().map(|&legal| u8::from(legal)).collect());
        }
        let states = program.states();
        if !states.is_empty() {
            columns.push(vec![u8::from(seen.starts)]);
        }
        let memory = |episode: &Episode| -> Vec<Vec<u8>> {
            let values = policy.memory(episode).into_iter().zip(&states);
            values.map(|(values, state)| bytes(values.iter().copied(), state.kind)).collect()
        };
        columns.extend(memory(episode));
        let observation = match &seen.now.observations {
            ObsBuffer::F32(values) => Observation::Floats(&values[..len]),
            ObsBuffer::U8(values) => Observation::Bytes(&values[..len]),
        };
        let mut same = episode.clone();
        let logits = bytes(policy.logits(&mut same, observation, mask)?.iter().copied(), InputKind::Float);
        let (done, actions) = match policy.act(episode, observation, mask)? {
            Action::Discrete(indices) => {
                let bytes = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
                (Done::Indices(indices.to_vec()), bytes)
            }
            Action::Continuous(numbers) => {
                (Done::Numbers(numbers.to_vec()), bytes(numbers.iter().copied(), InputKind::Float))
            }
        };
        columns.extend(memory(episode));
        columns.extend([actions, logits]);
        for (tensor, column) in self.tensors.iter_mut().zip(columns) {
            tensor.bytes.extend(column);
        }
        self.steps += 1;
        Ok(done)
    }

    /// The content of a safetensors file: a tensor `[steps, …]` for each input and output of the graph, by its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, RunError> {
        let wrong = |error: safetensors::SafeTensorError| RunError::Policy(error.to_string());
        let mut tensors = Vec::new();
        for Tensor { name, row, dtype, bytes } in &self.tensors {
            let shape = [self.steps].into_iter().chain(row.iter().copied()).collect();
            tensors.push((name.as_str(), TensorView::new(*dtype, shape, bytes).map_err(wrong)?));
        }
        safetensors::serialize(tensors, None).map_err(wrong)
    }
}

fn dtype(kind: InputKind) -> Dtype {
    match kind {
        InputKind::Float => Dtype::F32,
        InputKind::Byte => Dtype::U8,
        InputKind::Integer => Dtype::I64,
    }
}

/// Values of the first row, as the tensor of their part has them.
fn column(observations: &ObsBuffer, start: usize, len: usize, kind: InputKind) -> Vec<u8> {
    match observations {
        ObsBuffer::U8(values) => values[start..start + len].to_vec(),
        ObsBuffer::F32(values) => bytes(values[start..start + len].iter().copied(), kind),
    }
}

fn bytes(values: impl Iterator<Item = f32>, kind: InputKind) -> Vec<u8> {
    match kind {
        InputKind::Float => values.flat_map(f32::to_le_bytes).collect(),
        InputKind::Byte => values.map(|value| value as u8).collect(),
        InputKind::Integer => values.flat_map(|value| (value as i64).to_le_bytes()).collect(),
    }
}
