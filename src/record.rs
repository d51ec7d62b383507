//! Playing episodes for the eye: with a run's policy, or at random.

use std::path::Path;

use agon_agents::EnvironmentLoop;
use agon_agents::policy::ActMode;
use agon_envs::random::SeedSequence;
use agon_envs::{
    Action, ActionBatch, ActionSpec, Autoreset, Frame, MakeOptions, ObsBuffer, Pcg64, Simulator, check,
};

use crate::acting::{Acting, fit};
use crate::policy::{self, TrainedPolicy, Which};
use crate::setup::Setup;
use crate::{RunError, streams};

/// One environment and who acts in it.
pub struct Player {
    acting: EnvironmentLoop,
    trained: Option<Acting>,
    mode: ActMode,
    rng: Pcg64,
}

/// A step as its policy saw and took it. Of several agents the first one's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What was observed, `[O]`: outside all wrappers, as the policy has it.
    pub observation: Vec<f32>,
    /// The outputs of the policy's network, `[P]`; empty if it has none, or did not need them.
    pub outputs: Vec<f32>,
    /// What the policy expected of the rest of the episode; none of a policy without such an estimate.
    pub value: Option<f32>,
    /// The actions that were legal, `[A]`; empty without masks.
    pub mask: Vec<bool>,
    /// The action that was taken, `[W]`.
    pub action: Vec<f64>,
    /// What it brought.
    pub reward: f64,
    /// Whether the episode ended with it by itself.
    pub terminated: bool,
    /// Whether a limit ended it.
    pub truncated: bool,
}

/// One recorded episode.
#[derive(Clone, Debug)]
pub struct Episode {
    /// The first frame and one a step.
    pub frames: Vec<Frame>,
    /// Return of the first agent.
    pub episode_return: f64,
    /// Steps.
    pub length: u32,
}

/// An episode, or its beginning, as a policy saw it. Of several agents the first one's.
#[derive(Clone, Debug)]
pub struct Recording {
    /// `[T + 1, O]`: outside all wrappers, as the policy has it; the last one is what the last action led to.
    pub observations: ObsBuffer,
    /// `[T, W]`.
    pub actions: ActionBatch,
    /// `[T]`.
    pub rewards: Vec<f64>,
}

impl Recording {
    /// Actions, `T`.
    pub fn steps(&self) -> usize {
        self.rewards.len()
    }

    /// All numbers that were observed, `[T + 1, O]`; bytes as 0 to 255.
    pub fn values(&self) -> Vec<f32> {
        match &self.observations {
            ObsBuffer::F32(values) => values.clone(),
            ObsBuffer::U8(values) => values.iter().map(|&value| f32::from(value)).collect(),
        }
    }
}

impl Player {
    /// Random legal actions in an environment.
    ///
    /// # Errors
    /// If the environment is unknown or its arguments do not fit.
    pub fn random(setup: &Setup, id: &str, args: toml::Table, seed: u64) -> Result<Self, RunError> {
        let options = MakeOptions { args, autoreset: Autoreset::Disabled, ..Default::default() };
        Self::new(setup.registry.make(id, &options)?, None, ActMode::Explore, seed)
    }

    /// A policy of a run, or that of a weight file, in its environment and wrappers.
    ///
    /// # Errors
    /// If there are no weights or the environment cannot be made.
    pub fn of_run(
        setup: &Setup,
        path: &Path,
        which: Which,
        stochastic: bool,
        seed: Option<u64>,
    ) -> Result<Self, RunError> {
        Self::of_policy(setup, &policy::load_which(setup, path, which)?, stochastic, seed)
    }

    /// A policy that is loaded, as [`Self::of_run`].
    ///
    /// # Errors
    /// If the environment cannot be made, or is another one than the policy's.
    pub fn of_policy(
        setup: &Setup,
        trained: &TrainedPolicy,
        stochastic: bool,
        seed: Option<u64>,
    ) -> Result<Self, RunError> {
        let card = trained.card();
        let options = MakeOptions { autoreset: Autoreset::Disabled, ..card.env.options(1) };
        let mut simulator = setup.registry.make(&card.env.id, &options)?;
        fit(&mut simulator, &card.spaces, &trained.acting().statistics)?;
        let mode = if stochastic { ActMode::Explore } else { ActMode::Deterministic };
        let seed = seed.unwrap_or_else(|| streams::evaluation(card.seed));
        Self::new(simulator, Some(trained.acting().clone()), mode, seed)
    }

    fn new(
        mut simulator: Simulator,
        trained: Option<Acting>,
        mode: ActMode,
        seed: u64,
    ) -> Result<Self, RunError> {
        let mut now = simulator.new_batch();
        simulator.reset(seed, &mut now)?;
        let stream = |key| Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[key]));
        let acting = EnvironmentLoop::new(simulator, now, stream(1));
        Ok(Self { acting, trained, mode, rng: stream(2) })
    }

    /// The environment that is played in.
    pub fn simulator(&self) -> &Simulator {
        &self.acting.simulator
    }

    /// Plays one episode and keeps up to `max_frames` pictures of it.
    ///
    /// # Errors
    /// If the environment cannot be drawn or fails.
    pub fn episode(&mut self, max_frames: usize) -> Result<Episode, RunError> {
        let (mut frames, mut episode_return, mut length) = (vec![self.frame()?], 0.0, 0);
        loop {
            self.tick()?;
            length += 1;
            episode_return += self.acting.now.rewards[0];
            let over = self.is_over();
            if frames.len() < max_frames {
                frames.push(self.frame()?);
            }
            if over || frames.len() >= max_frames {
                self.acting.restart()?;
                return Ok(Episode { frames, episode_return, length });
            }
        }
    }

    /// Plays one episode and gives each frame with the step that led to it, which the first one has none of, until `wants_more`
    /// is false or the episode is over. The frames are those of [`Self::episode`].
    ///
    /// # Errors
    /// As [`Self::episode`].
    pub fn watch(
        &mut self,
        wants_more: &mut dyn FnMut(Frame, Option<Step>) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let first = self.frame()?;
        let mut goes_on = wants_more(first, None)?;
        while goes_on {
            let step = self.step()?;
            let over = self.is_over();
            goes_on = wants_more(self.frame()?, Some(step))? && !over;
        }
        Ok(self.acting.restart()?)
    }

    /// Plays one episode, or so many steps of it, and gives what was seen and done.
    ///
    /// # Errors
    /// If the environment fails.
    pub fn recording(&mut self, max_steps: usize) -> Result<Recording, RunError> {
        let simulator = &self.acting.simulator;
        let (len, rows) = (simulator.observation_len(), simulator.num_rows());
        let spec = simulator.action_spec().clone();
        let width = spec.width();
        let mut observations = ObsBuffer::zeros(self.acting.now.observations.dtype(), 0);
        observations.extend_from(&self.acting.now.observations, 0, len);
        let (mut indices, mut numbers, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
        while rewards.len() < max_steps {
            self.tick()?;
            let EnvironmentLoop { now, actions, .. } = &self.acting;
            match actions.row(0, actions.len() / rows) {
                Action::Discrete(choices) => indices.extend_from_slice(choices),
                Action::Continuous(values) => numbers.extend_from_slice(values),
            }
            rewards.push(now.rewards[0]);
            observations.extend_from(&now.observations, 0, len);
            if self.is_over() {
                break;
            }
        }
        debug_assert_eq!(indices.len() + numbers.len(), rewards.len() * width);
        let actions = match spec {
            ActionSpec::Discrete { .. } => ActionBatch::Discrete(indices),
            ActionSpec::Continuous { .. } => ActionBatch::Continuous(numbers),
        };
        self.acting.restart()?;
        Ok(Recording { observations, actions, rewards })
    }

    fn is_over(&self) -> bool {
        let now = &self.acting.now;
        let mut ends = now.terminated.iter().zip(&now.truncated);
        ends.all(|(terminated, truncated)| *terminated || *truncated)
    }

    /// One step, and what there is to tell of it.
    fn step(&mut self) -> Result<Step, RunError> {
        let (width, mask_len) = (self.acting.simulator.observation_len(), self.acting.simulator.mask_len());
        let rows = self.acting.simulator.num_rows();
        let observation = match &self.acting.now.observations {
            ObsBuffer::F32(values) => values[..width].to_vec(),
            ObsBuffer::U8(values) => values[..width].iter().map(|&value| f32::from(value)).collect(),
        };
        let mask = self.acting.now.action_masks.get(..mask_len).unwrap_or_default().to_vec();
        let value = match &self.trained {
            Some(trained) => self.acting.values(&*trained.policy, trained.env_steps)?,
            None => None,
        };
        self.acting.actor.outputs.clear();
        self.tick()?;
        let EnvironmentLoop { actor, now, actions, .. } = &self.acting;
        let action = match actions.row(0, actions.len() / rows) {
            Action::Discrete(choices) => choices.iter().map(|&choice| f64::from(choice)).collect(),
            Action::Continuous(numbers) => numbers.iter().map(|&number| f64::from(number)).collect(),
        };
        Ok(Step {
            observation,
            outputs: actor.outputs[..actor.outputs.len() / rows].to_vec(),
            value: value.and_then(|values| values.first().copied()),
            mask,
            action,
            reward: now.rewards[0],
            terminated: now.terminated[0],
            truncated: now.truncated[0],
        })
    }

    fn tick(&mut self) -> Result<(), RunError> {
        if let Some(trained) = &self.trained {
            return Ok(self.acting.tick(&*trained.policy, trained.env_steps, self.mode)?);
        }
        let EnvironmentLoop { simulator, now, actions, .. } = &mut self.acting;
        check::random_actions(simulator, now, &mut self.rng, actions)?;
        Ok(simulator.step(actions, now)?)
    }

    fn frame(&mut self) -> Result<Frame, RunError> {
        let message = "this environment cannot be drawn: it gives no frames";
        self.acting.simulator.render(0).ok_or_else(|| RunError::Config(message.to_owned()))
    }
}
