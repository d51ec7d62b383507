//! A policy that acts by itself, one row at a time.

mod attention;
mod build;
mod ends;
mod gradient;
mod layers;
mod maps;
mod smooth;
mod trace;

use crate::error::PolicyError;
use crate::program::{ActionSpace, Parameters, PolicyProgram};
use crate::state::StateTensor;

use self::ends::Preparer;
use self::layers::{Layer, Pool};

pub use self::trace::{AttentionTrace, Gradient, LayerTrace, Origin, Trace};

/// A policy that acts: its network, ready to run, and what is before and after it.
///
/// ```
/// # use agon_policy::{Action, PortablePolicy};
/// # fn act(file: &[u8]) -> Result<(), agon_policy::PolicyError> {
/// let policy = PortablePolicy::from_safetensors(file)?;
/// let mut episode = policy.begin();
/// match policy.act(&mut episode, &[0.01, 0.0, -0.02, 0.0][..], &[])? {
///     Action::Discrete(indices) => println!("{indices:?}"),
///     Action::Continuous(numbers) => println!("{numbers:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PortablePolicy {
    program: PolicyProgram,
    states: Vec<StateTensor>,
    preparers: Vec<Preparer>,
    layers: Vec<Layer>,
    /// Values of an observation, and of the network's outputs.
    observation_len: usize,
    network_inputs: usize,
    outputs: usize,
    state_len: usize,
}

/// An episode that a policy acts in: what it remembers.
#[derive(Clone, Debug)]
pub struct Episode {
    memory: Vec<f32>,
    is_fresh: bool,
    pool: Pool,
    outputs: Vec<f32>,
    indices: Vec<i64>,
    numbers: Vec<f32>,
}

/// One row of an observation: the values of all parts, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// Numbers. Categories are numbers too.
    Floats(&'a [f32]),
    /// Bytes, where an observation is one array of bytes.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a [f32]> for Observation<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Floats(values)
    }
}

impl<'a> From<&'a [u8]> for Observation<'a> {
    fn from(values: &'a [u8]) -> Self {
        Self::Bytes(values)
    }
}

/// What a policy does, as the environment takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// An integer for each choice.
    Discrete(&'a [i64]),
    /// Numbers, row-major.
    Continuous(&'a [f32]),
}

impl PortablePolicy {
    /// A policy of a program and its parameters.
    ///
    /// # Errors
    /// If parameters are missing, sizes do not fit each other, or there is a layer that only its own program has.
    pub fn new(program: PolicyProgram, parameters: &Parameters) -> Result<Self, PolicyError> {
        let observation_len = ends::observation_len(&program)?;
        let (preparers, width) = ends::preparers(&program, observation_len)?;
        let offset = preparers.iter().map(Preparer::state_len).sum();
        let mut builder = build::Builder { parameters, offset };
        let network_inputs = width;
        let (layers, outputs) = builder.chain(&program.operations, width)?;
        ends::check(&program, outputs)?;
        // Only now: its sizes have been checked.
        let states = program.states();
        let state_len = states.iter().map(StateTensor::len).sum();
        build::same("what is remembered outside of branches", state_len, builder.offset)?;
        Ok(Self { program, states, preparers, layers, observation_len, network_inputs, outputs, state_len })
    }

    /// What it computes.
    #[must_use]
    pub fn program(&self) -> &PolicyProgram {
        &self.program
    }

    /// An episode that begins.
    #[must_use]
    pub fn begin(&self) -> Episode {
        let memory = vec![0.0; self.state_len];
        let (outputs, indices, numbers) = (Vec::new(), Vec::new(), Vec::new());
        Episode { memory, is_fresh: true, pool: Pool::default(), outputs, indices, numbers }
    }

    /// The best action for an observation.
    ///
    /// `action_mask` has a flag for each option of each choice; all are legal where there are none.
    ///
    /// # Errors
    /// If the observation or the mask is of another size or kind, has a number that is none, or leaves a choice no option;
    /// the episode stays as it was.
    pub fn act<'a, 'b>(
        &self,
        episode: &'a mut Episode,
        observation: impl Into<Observation<'b>>,
        action_mask: &[bool],
    ) -> Result<Action<'a>, PolicyError> {
        self.check_mask(action_mask)?;
        self.run(episode, observation.into())?;
        Ok(self.decided(episode, action_mask))
    }

    /// As [`Self::act`], with what the action is chosen by instead: logits of options or values of actions, those of illegal
    /// ones [`f32::MIN`], or the parameters of a distribution.
    ///
    /// # Errors
    /// As [`Self::act`].
    pub fn logits<'a, 'b>(
        &self,
        episode: &'a mut Episode,
        observation: impl Into<Observation<'b>>,
        action_mask: &[bool],
    ) -> Result<&'a [f32], PolicyError> {
        self.check_mask(action_mask)?;
        self.run(episode, observation.into())?;
        ends::mean_returns(&self.program.decision, &mut episode.outputs);
        let masked = episode.outputs.iter_mut().zip(action_mask).filter(|(_, legal)| !**legal);
        masked.for_each(|(output, _)| *output = f32::MIN);
        Ok(&episode.outputs)
    }

    /// Values of [`Self::logits`].
    #[must_use]
    pub fn logits_len(&self) -> usize {
        match ends::choices(&self.program.decision) {
            [] => self.outputs,
            choices => choices.iter().sum(),
        }
    }

    /// What stands before the network, for whoever runs that on many rows at once: appends what it reads of an observation,
    /// [`Self::network_inputs`] values, to `rows`.
    ///
    /// # Errors
    /// As [`Self::act`], but for the mask.
    pub fn prepare<'b>(
        &self,
        episode: &mut Episode,
        observation: impl Into<Observation<'b>>,
        rows: &mut Vec<f32>,
    ) -> Result<(), PolicyError> {
        let x = self.prepared(episode, observation.into())?;
        rows.extend_from_slice(&x);
        episode.pool.put(x);
        Ok(())
    }

    /// What stands after the network: the best action of a row of its outputs.
    ///
    /// # Errors
    /// If there are not as many outputs, or the mask is wrong, as in [`Self::act`].
    pub fn decide<'a>(
        &self,
        episode: &'a mut Episode,
        network_outputs: &[f32],
        action_mask: &[bool],
    ) -> Result<Action<'a>, PolicyError> {
        self.check_mask(action_mask)?;
        let (expected, found) = (self.outputs, network_outputs.len());
        if expected != found {
            return Err(PolicyError::Length { what: "outputs of the network", expected, found });
        }
        episode.outputs.clear();
        episode.outputs.extend_from_slice(network_outputs);
        Ok(self.decided(episode, action_mask))
    }

    /// Values that the network reads of a row.
    #[must_use]
    pub fn network_inputs(&self) -> usize {
        self.network_inputs
    }

    /// Values that the network gives of a row.
    #[must_use]
    pub fn network_outputs(&self) -> usize {
        self.outputs
    }

    /// Values that an episode remembers.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.state_len
    }

    /// What an episode remembers, a slice for each of [`PolicyProgram::states`].
    #[must_use]
    pub fn memory<'a>(&self, episode: &'a Episode) -> Vec<&'a [f32]> {
        let mut rest = episode.memory.as_slice();
        let mut slices = Vec::new();
        for state in &self.states {
            let (slice, others) = rest.split_at(state.len());
            slices.push(slice);
            rest = others;
        }
        slices
    }

    /// The best action of the outputs that an episode has.
    fn decided<'a>(&self, episode: &'a mut Episode, action_mask: &[bool]) -> Action<'a> {
        let Episode { outputs, indices, numbers, .. } = episode;
        ends::decide(&self.program, outputs, action_mask, indices, numbers);
        match self.program.action {
            ActionSpace::Box { .. } => Action::Continuous(numbers),
            _ => Action::Discrete(indices),
        }
    }

    fn run(&self, episode: &mut Episode, observation: Observation<'_>) -> Result<(), PolicyError> {
        let mut x = self.prepared(episode, observation)?;
        let Episode { memory, pool, outputs, .. } = episode;
        layers::run(&self.layers, &mut x, memory, pool);
        outputs.clear();
        outputs.extend_from_slice(&x[..self.outputs]);
        pool.put(x);
        Ok(())
    }

    /// What the network reads of an observation, in a row of the pool; the episode has begun then.
    fn prepared(&self, episode: &mut Episode, observation: Observation<'_>) -> Result<Vec<f32>, PolicyError> {
        let Episode { memory, is_fresh, pool, .. } = episode;
        let mut x = pool.take(0);
        if let Err(error) = self.read(observation, &mut x) {
            pool.put(x);
            return Err(error);
        }
        if *is_fresh {
            memory.fill(0.0);
        }
        for preparer in &self.preparers {
            preparer.apply(&mut x, memory, *is_fresh, pool);
        }
        *is_fresh = false;
        Ok(x)
    }

    fn read(&self, observation: Observation<'_>, x: &mut Vec<f32>) -> Result<(), PolicyError> {
        let (found, len) = match observation {
            Observation::Floats(values) => ("numbers", values.len()),
            Observation::Bytes(values) => ("bytes", values.len()),
        };
        let expected = if self.program.takes_bytes() { "bytes" } else { "numbers" };
        if found != expected {
            return Err(PolicyError::Kind { expected, found });
        }
        if len != self.observation_len {
            let expected = self.observation_len;
            return Err(PolicyError::Length { what: "an observation", expected, found: len });
        }
        x.clear();
        match observation {
            Observation::Floats(values) => {
                if let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite())
                {
                    return Err(PolicyError::NotFinite { what: "an observation", index, value });
                }
                x.extend_from_slice(values);
            }
            Observation::Bytes(values) => x.extend(values.iter().map(|&value| f32::from(value))),
        }
        Ok(())
    }

    fn check_mask(&self, mask: &[bool]) -> Result<(), PolicyError> {
        let expected = self.program.mask_len;
        if !mask.is_empty() && mask.len() != expected {
            return Err(PolicyError::Length { what: "an action mask", expected, found: mask.len() });
        }
        let mut rest = mask;
        for (choice, &options) in ends::choices(&self.program.decision).iter().enumerate() {
            let (of_choice, others) = rest.split_at(options.min(rest.len()));
            if !mask.is_empty() && !of_choice.contains(&true) {
                return Err(PolicyError::NothingLegal(choice));
            }
            rest = others;
        }
        Ok(())
    }
}

impl Episode {
    /// Forgets everything: the next observation is the first of another episode.
    pub fn begin_again(&mut self) {
        self.is_fresh = true;
    }

    /// Everything that it remembers, [`PortablePolicy::memory_len`] values.
    #[must_use]
    pub fn remembered(&self) -> &[f32] {
        &self.memory
    }

    /// Goes on with what another one remembered.
    ///
    /// # Errors
    /// If that has other values.
    pub fn go_on_with(&mut self, remembered: &[f32]) -> Result<(), PolicyError> {
        let (expected, found) = (self.memory.len(), remembered.len());
        if expected != found {
            return Err(PolicyError::Length { what: "what is remembered", expected, found });
        }
        self.memory.copy_from_slice(remembered);
        self.is_fresh = false;
        Ok(())
    }
}
