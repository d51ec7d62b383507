//! Playing episodes for the eye: with a run's policy, or at random.

use std::path::Path;

use agon_agents::EnvironmentLoop;
use agon_agents::policy::ActMode;
use agon_envs::random::SeedSequence;
use agon_envs::{Autoreset, Frame, MakeOptions, Pcg64, Simulator, check};

use crate::acting::{Acting, fit};
use crate::policy::{self, Which};
use crate::setup::Setup;
use crate::{RunError, streams};

/// One environment and who acts in it.
pub struct Player {
    acting: EnvironmentLoop,
    trained: Option<Acting>,
    mode: ActMode,
    rng: Pcg64,
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
        let trained = policy::load_which(setup, path, which)?;
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

    /// Plays one episode and keeps up to `max_frames` pictures of it.
    ///
    /// # Errors
    /// If the environment cannot be drawn or fails.
    pub fn episode(&mut self, max_frames: usize) -> Result<Episode, RunError> {
        let mut frames = vec![self.frame()?];
        let (mut episode_return, mut length) = (0.0, 0);
        loop {
            self.tick()?;
            length += 1;
            let now = &self.acting.now;
            episode_return += now.rewards[0];
            let over = now
                .terminated
                .iter()
                .zip(&now.truncated)
                .all(|(terminated, truncated)| *terminated || *truncated);
            if frames.len() < max_frames {
                frames.push(self.frame()?);
            }
            if over || frames.len() >= max_frames {
                self.acting.restart()?;
                return Ok(Episode { frames, episode_return, length });
            }
        }
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
