//! Trained policies: loaded from a run directory or from one weight file, and called.
//!
//! ```no_run
//! # fn main() -> Result<(), agon::RunError> {
//! let mut policy = agon::policy::load("results/ppo_CartPole-v1_1")?;
//! let observation = [0.01, 0.0, -0.02, 0.0_f32];
//! let action = policy.act(&observation[..])?;
//! println!("{:?}", action.indices());
//! # Ok(())
//! # }
//! ```
//!
//! A policy takes the observations that the environment itself gives and answers with the actions that it takes: wrappers
//! that change either (stacked frames, normalisation with the run's statistics, rescaled actions) are part of it. What a
//! wrapper does to the world is not: repeated and sticky actions, noise and time limits are the caller's.
//! It remembers what it must of each row; say where episodes begin with [`Observed::episode_starts`], and to a policy that aims at
//! a return what was paid with [`Observed::rewards`].

mod ahead;
mod aim;
mod feed;
mod file;
mod portable;
mod told;

use std::path::Path;

use agon_agents::policy::{ActInput, ActMode, ActOutput, Actor};
use agon_envs::random::SeedSequence;
use agon_envs::{ActionBatch, ObsRow, Pcg64, StepBatch};

use crate::RunError;
use crate::acting::Acting;
use crate::run::{RunDirectory, checkpoint, identity};
use crate::runtime;
use crate::setup::Setup;
use crate::signing::Source;
use crate::streams;
pub use ahead::changed_search;
use feed::Feed;
pub use feed::Observed;
pub(crate) use feed::{drawn, of_the_world};
pub use file::{Card, EnvSpaces, FORMAT, read};
pub(crate) use file::{content, parse, parse_tensors};
#[cfg(any(feature = "onnx", test))]
pub(crate) use portable::parts_of;
pub use told::ToldPolicy;
pub(crate) use told::{row_of, write_action};

/// Which of a run's weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Those of the newest checkpoint.
    #[default]
    Newest,
    /// Those of the best evaluation if there were any in training, else of the checkpoint with the highest mean return.
    Best,
    /// Those of the checkpoint after so many environment steps, one of those that a run keeps.
    Step(u64),
}

impl Which {
    /// A step if one is named, else the best or the newest.
    pub(crate) fn chosen(step: Option<u64>, best: bool) -> Self {
        match (step, best) {
            (Some(step), _) => Self::Step(step),
            (None, true) => Self::Best,
            (None, false) => Self::Newest,
        }
    }
}

/// A trained policy, and what it remembers of the rows that it acts in.
pub struct TrainedPolicy {
    card: Card,
    acting: Acting,
    mode: ActMode,
    seed: u64,
    session: Option<Session>,
}

/// Some environments that a policy acts in.
struct Session {
    feed: Feed,
    actor: Actor,
    now: StepBatch,
    actions: ActionBatch,
    policy_data: Vec<f32>,
    resets: Vec<bool>,
    /// Whether the caller said what was paid.
    rewarded: bool,
    /// In the environment's own terms.
    env_actions: ActionBatch,
}

/// The newest policy of a run directory, or that of a weight file.
///
/// # Errors
/// If there are no weights, or they are damaged or of an algorithm that is not built in; or if a signature is demanded, see
/// [`Setup::require_signature`], and there is none or it does not hold.
pub fn load(path: impl AsRef<Path>) -> Result<TrainedPolicy, RunError> {
    load_with(&Setup::default(), path.as_ref())
}

/// As [`load`], for a program with algorithms of its own.
///
/// # Errors
/// As [`load`].
pub fn load_with(setup: &Setup, path: &Path) -> Result<TrainedPolicy, RunError> {
    load_which(setup, path, Which::Newest)
}

/// As [`load_with`], with a choice among a run's weights.
///
/// # Errors
/// As [`load`].
pub fn load_which(setup: &Setup, path: &Path, which: Which) -> Result<TrainedPolicy, RunError> {
    let source = Source::of(setup.require_signature.as_deref(), path)?;
    let file = match which {
        Which::Step(step) if path.is_dir() && RunDirectory::at(path).kept_model(step).exists() => {
            RunDirectory::at(path).kept_model(step)
        }
        Which::Step(step) => return load_step(setup, &source, path, step),
        which => weight_file(path, which)?,
    };
    let (mut card, weights) = parse(&file, &source.read(&file)?)?;
    if path.is_dir() {
        let config = RunDirectory::open_from(&source, path)?.1;
        identity::check_card(&file, &card, &config)?;
        // Weight files do not say how this machine starts an environment's process.
        card.env = config.env;
    }
    if let Some(network) = &mut card.network {
        network.bind(setup.algorithms.parts())?;
    }
    let spec = setup.algorithms.get(&card.algorithm)?;
    let policy = spec.policy(&card.agent, card.network.as_ref(), &card.policy_info(), &weights)?;
    let acting = Acting::of(policy, card.statistics.clone(), card.env_steps);
    let seed = streams::evaluation(card.seed);
    Ok(TrainedPolicy { card, acting, mode: ActMode::Deterministic, seed, session: None })
}

/// The policy of a checkpoint: what all of a run's policies have in common is written beside the newest weights.
fn load_step(setup: &Setup, source: &Source, path: &Path, step: u64) -> Result<TrainedPolicy, RunError> {
    let file = weight_file(path, Which::Step(step))?;
    let acting = runtime::acting_at(setup, source, path, step)?;
    let (card, _) = parse(&file, &source.read(&file)?)?;
    let statistics = acting.statistics.clone();
    let (env_steps, mean_return, best_mean_return) = (step, None, None);
    let card = Card { statistics, env_steps, mean_return, best_mean_return, ..card };
    let seed = streams::evaluation(card.seed);
    Ok(TrainedPolicy { card, acting, mode: ActMode::Deterministic, seed, session: None })
}

/// The weight file of a run directory, or the path itself.
pub(crate) fn weight_file(path: &Path, which: Which) -> Result<std::path::PathBuf, RunError> {
    if !path.is_dir() {
        return match which {
            Which::Newest => Ok(path.to_owned()),
            Which::Best | Which::Step(_) => {
                let message = "a weight file has one policy: another one of a run is asked of the run";
                Err(RunError::Directory { path: path.to_owned(), message: message.to_owned() })
            }
        };
    }
    let run = RunDirectory::at(path);
    if !RunDirectory::exists(path) {
        return Err(RunDirectory::none(path));
    }
    let file = match which {
        Which::Best if run.best_model().exists() => run.best_model(),
        _ => run.model(),
    };
    if file.exists() {
        return Ok(file);
    }
    let message = match checkpoint::newest_step(&run.checkpoints())? {
        None => {
            "expected weights (model.safetensors), found none: the run has not reached its first checkpoint"
        }
        Some(_) => "expected weights (model.safetensors), found none: `agon resume` writes them again",
    };
    Err(RunError::Directory { path: path.to_owned(), message: message.to_owned() })
}

/// The content of a weight file, or of a run's newest.
pub(crate) fn read_file(setup: &Setup, path: &Path) -> Result<Vec<u8>, RunError> {
    let source = Source::of(setup.require_signature.as_deref(), path)?;
    source.read(&weight_file(path, Which::Newest)?)
}

impl TrainedPolicy {
    /// What it is: algorithm, environment, spaces, score.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The policy and its statistics, for environments with all wrappers around them.
    pub fn acting(&self) -> &Acting {
        &self.acting
    }

    /// The same policy, which remembers no episodes: for other environments beside those of this one.
    #[must_use]
    pub fn anew(&self) -> Self {
        let Self { card, acting, mode, seed, session: _ } = self;
        Self { card: card.clone(), acting: acting.clone(), mode: *mode, seed: *seed, session: None }
    }

    /// Acts as in training, exploring, instead of with its best actions; samples with a seed.
    #[must_use]
    pub fn stochastic(mut self, seed: u64) -> Self {
        (self.mode, self.seed, self.session) = (ActMode::Explore, seed, None);
        self
    }

    /// The actions for one or several rows of observations, `[N, O]`, in the environment's own terms: indices from zero, or
    /// numbers within the bounds of its action space. All episodes begin at the first call, and when `N` changes.
    ///
    /// # Errors
    /// If the observations are not whole rows of the environment's observation space.
    pub fn act<'a>(&mut self, observations: impl Into<ObsRow<'a>>) -> Result<&ActionBatch, RunError> {
        let observations = observations.into();
        self.act_in(&Observed { observations, action_masks: &[], episode_starts: &[], rewards: &[] })
    }

    /// As [`Self::act`], with action masks, and told where episodes begin.
    ///
    /// # Errors
    /// As [`Self::act`], or if masks or starts are not as many as they must be.
    pub fn act_in(&mut self, observed: &Observed<'_>) -> Result<&ActionBatch, RunError> {
        let session = self.advanced(observed)?;
        let session = self.session.insert(session);
        session.act(&self.acting, self.mode)?;
        Ok(&session.env_actions)
    }

    /// As [`Self::act_in`], with what the policy expects of the rest of each row's episode, `[N]`; none of a policy without such
    /// an estimate.
    ///
    /// # Errors
    /// As [`Self::act_in`].
    pub fn act_and_value(
        &mut self,
        observed: &Observed<'_>,
    ) -> Result<(&ActionBatch, Option<Vec<f32>>), RunError> {
        let session = self.advanced(observed)?;
        let session = self.session.insert(session);
        let values = session.values(&self.acting)?;
        session.act(&self.acting, self.mode)?;
        Ok((&session.env_actions, values))
    }

    /// The environments that the policy acts in, with what is observed now.
    fn advanced(&mut self, observed: &Observed<'_>) -> Result<Session, RunError> {
        let num_envs = feed::num_envs(&self.card.env_spaces, observed)?;
        match self.session.take().filter(|session| session.feed.num_envs() == num_envs) {
            Some(mut session) => {
                session.feed.advance(observed, &mut session.now, &mut session.resets)?;
                session.rewarded = !observed.rewards.is_empty();
                Ok(session)
            }
            None => self.begin(num_envs, observed),
        }
    }

    /// Forgets all episodes: the next call begins new ones.
    pub fn reset(&mut self) {
        self.session = None;
    }

    fn begin(&self, num_envs: usize, observed: &Observed<'_>) -> Result<Session, RunError> {
        let mut feed = Feed::new(&self.card, num_envs)?;
        let mut now = feed.new_batch();
        let rows = now.rewards.len();
        feed.reset(observed, self.seed, &mut now)?;
        let rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(self.seed, &[1]));
        let actions = ActionBatch::zeros(&self.card.spaces.action, rows);
        let env_actions = feed.new_actions();
        let (actor, resets) = (Actor::new(rng), vec![true; rows]);
        let (policy_data, rewarded) = (Vec::new(), !observed.rewards.is_empty());
        Ok(Session { feed, actor, now, actions, policy_data, resets, rewarded, env_actions })
    }
}

impl Session {
    fn values(&self, acting: &Acting) -> Result<Option<Vec<f32>>, RunError> {
        let num_rows = self.resets.len();
        let mut state = self.actor.state.clone();
        state.resize(num_rows * acting.policy.state_len(), 0.0);
        let input = ActInput {
            observations: &self.now.observations,
            num_rows,
            action_masks: &self.now.action_masks,
            resets: &self.resets,
            rewards: if self.rewarded { &self.now.rewards } else { &[] },
            tasks: &[],
            env_steps: acting.env_steps,
            mode: ActMode::Deterministic,
        };
        Ok(acting.policy.values(&input, &state)?)
    }

    fn act(&mut self, acting: &Acting, mode: ActMode) -> Result<(), RunError> {
        let Self { feed, actor, now, actions, policy_data, resets, rewarded, env_actions } = self;
        let num_rows = resets.len();
        policy_data.resize(num_rows * acting.policy.data_width(), 0.0);
        actor.state.resize(num_rows * acting.policy.state_len(), 0.0);
        let input = ActInput {
            observations: &now.observations,
            num_rows,
            action_masks: &now.action_masks,
            resets,
            rewards: if *rewarded { &now.rewards } else { &[] },
            tasks: &[],
            env_steps: acting.env_steps,
            mode,
        };
        acting.policy.act(&input, actor, ActOutput { actions, policy_data })?;
        feed.send(actions, env_actions)
    }
}
