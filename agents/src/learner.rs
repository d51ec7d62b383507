//! What learns: consumes fragments, publishes policies, saves itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_envs::random::SeedSequence;
use agon_envs::wrappers::Frames;
use agon_envs::{ActionSpec, Space};
use agon_nn::Summary;
use serde::{Deserialize, Serialize};

use crate::chunks::ChunkStore;
use crate::guide::Guide;
use crate::replay::RowStore;
use crate::{AgentError, Fragment, Policy, Weights};

/// What is observed and done in an environment, a row an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spaces {
    /// Space of one row's observations.
    pub observation: Space,
    /// How observations repeat earlier ones of their episode, if they are stacks of frames.
    pub frames: Option<Frames>,
    /// Batch form of the action space.
    pub action: ActionSpec,
    /// Length of an action mask, `A`; zero without masks.
    pub mask_len: usize,
    /// Names of the tasks that environments play; empty where there is but one.
    #[serde(default)]
    pub tasks: Vec<String>,
}

/// What an algorithm knows of its run when a learner is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// What is observed and done.
    pub spaces: Spaces,
    /// Environments of the whole run.
    pub num_envs: usize,
    /// Agents that act in each environment, a row each.
    pub num_agents: usize,
    /// Shards that the environments are divided into; each iteration brings one fragment from each.
    pub num_shards: usize,
    /// Environment steps after which the run ends: what schedules go by.
    pub total_timesteps: u64,
    /// The run's seed.
    pub seed: u64,
    /// Space of what a teacher sees of one row, where it sees more than the policy.
    pub privileged: Option<Space>,
    /// Recorded experience that the run learns from; none where it learns from what it does itself alone.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

/// Recorded experience that a run learns from: one stream of steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its steps.
    pub steps: u64,
    /// Whether the run acts too. One that does not counts updates as its steps.
    pub acts: bool,
    /// Share of a minibatch that is drawn from it, of a run that acts and replays its own steps too; above 0, below 1.
    pub share: f64,
}

impl RunInfo {
    /// Acting rows of the whole run: its environments, times the agents of each.
    pub fn num_rows(&self) -> usize {
        self.num_envs * self.num_agents
    }

    /// Steps of recorded experience of a run that does not act; none of one that does.
    pub fn recorded_alone(&self) -> Option<u64> {
        self.recorded.filter(|recorded| !recorded.acts).map(|recorded| recorded.steps)
    }

    /// Recorded experience of a run that acts too.
    pub fn recorded_beside(&self) -> Option<Recorded> {
        self.recorded.filter(|recorded| recorded.acts)
    }

    /// Acting rows of each shard.
    pub fn shard_rows(&self) -> usize {
        self.num_rows() / self.num_shards
    }

    /// What a policy must know of the run.
    pub fn policy_info(&self) -> PolicyInfo {
        PolicyInfo { spaces: self.spaces.clone(), total_timesteps: self.total_timesteps }
    }
}

/// What an algorithm must know to make a policy from weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyInfo {
    /// What is observed and done.
    pub spaces: Spaces,
    /// Environment steps of the run that the policy is of: what exploration schedules go by.
    pub total_timesteps: u64,
}

/// What one call of [`Learner::learn`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearnReport {
    /// Gradient updates taken since the run began.
    pub updates: u64,
    /// Values in the order of [`Learner::metric_names`]; NaN where there is none this time.
    pub metrics: Vec<f64>,
}

/// How large an acting network and its gradients are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norms {
    /// Mean of `‖∇‖` over updates, before clipping; NaN if there was none.
    pub gradient: f64,
    /// `‖θ‖`.
    pub weights: f64,
}

/// Whether a round of updates is to be given up; see [`Learner::learn_unless`].
pub type GivesUp<'a> = dyn FnMut() -> bool + 'a;

/// Goes on with a round of updates, unless it is to be given up.
///
/// # Errors
/// [`AgentError::GivenUp`].
pub(crate) fn go_on(gives_up: &mut GivesUp<'_>) -> Result<(), AgentError> {
    if gives_up() { Err(AgentError::GivenUp) } else { Ok(()) }
}

/// What a learner says that takes no recorded experience.
pub(crate) fn learns_of_itself(found: &str) -> AgentError {
    AgentError::Unsupported {
        algorithm: "learning from recorded data",
        expected: "gail, airl, or an algorithm with a replay buffer such as bc, iql or dqn",
        found: found.to_owned(),
    }
}

/// What a learner says that takes no teacher.
pub(crate) fn follows_nobody() -> AgentError {
    let (expected, found) = ("ppo, dqn or another learner that can", "one that cannot".to_owned());
    AgentError::Unsupported { algorithm: "learning from a teacher", expected, found }
}

/// Trains a policy from streamed experience.
///
/// # Design discussion
///
/// * `learn` always gets one fragment from each shard: in shard order in lockstep mode, in order of arrival in
///   asynchronous mode. A learner that needs more keeps what it got.
/// * A learner may use rayon; the runtime calls it inside a pool of the run's threads. Results must not depend on how
///   many there are.
/// * `save` and `restore` carry *everything* that decides what comes next: weights, optimizer, counters, replay,
///   generators. A learner built from the same configuration and restored continues bit for bit.
pub trait Learner: Send {
    /// Ticks of a fragment, `T`.
    fn num_steps(&self) -> usize;

    /// Names of the metrics, CleanRL's where it has them (`losses/value_loss`).
    fn metric_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// What whoever watches a run of so many threads should know before it begins: that few of them can learn, and why.
    fn remarks(&self, _threads: usize) -> Vec<String> {
        Vec::new()
    }

    /// A snapshot of the current policy.
    ///
    /// # Errors
    /// If the network cannot be prepared for acting.
    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError>;

    /// Learns from one fragment of each shard. `env_steps` counts the steps of the run up to and with these fragments.
    ///
    /// A round of updates can take long: between them it should be asked whether anybody waits for its end. A learner that
    /// never asks cannot be stopped within a round.
    ///
    /// # Errors
    /// If a loss or gradient is not finite, and [`AgentError::GivenUp`]. The learner's state is then undefined.
    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError>;

    /// As [`Self::learn_unless`], to the end.
    ///
    /// # Errors
    /// As there.
    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.learn_unless(fragments, env_steps, &mut || false)
    }

    /// Takes over some of the recorded experience that the run learns from: one stream of consecutive steps, in its order and
    /// all of it before anything is learned or restored.
    ///
    /// # Errors
    /// As [`Self::takes_recorded`].
    fn remember(&mut self, _recorded: &Fragment) -> Result<(), AgentError> {
        self.takes_recorded()
    }

    /// Refuses recorded experience, before any is read, if the learner can make nothing of it.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if the learner learns from what its own policy does only.
    fn takes_recorded(&self) -> Result<(), AgentError> {
        Err(learns_of_itself("one that learns from what it does itself"))
    }

    /// Keeps what was observed in recorded experience in a store instead of memory: asked for before any is remembered. Results
    /// are the same bit for bit.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if the learner holds it in memory only.
    fn keep_recorded_in(&mut self, _store: Arc<dyn RowStore>) -> Result<(), AgentError> {
        let (expected, found) = ("a learner with a replay buffer", "one without".to_owned());
        Err(AgentError::Unsupported { algorithm: "recorded data on disk (data.storage)", expected, found })
    }

    /// Refuses to begin without what it cannot learn without, such as a teacher: asked when all that a run has was handed over.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] with what is missing.
    fn ensure_ready(&self) -> Result<(), AgentError> {
        Ok(())
    }

    /// Norms of the acting network, and of the gradients of its updates since the last call; none if the learner has no network.
    fn take_norms(&mut self) -> Option<Norms> {
        None
    }

    /// Bytes of memory that the learner's replay takes when it is full; zero without.
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// The current weights of all networks, the acting one's under their own names; none if the learner has no network.
    fn weights(&self) -> Weights {
        Weights::new()
    }

    /// Begins with given weights instead of random ones, in all networks that the learner has; optimizers stay as they are.
    ///
    /// # Errors
    /// [`AgentError::Weights`] with every name and shape that does not fit; the learner is unchanged then.
    /// [`AgentError::Unsupported`] if the learner has no networks.
    fn load_weights(&mut self, _weights: &Weights) -> Result<(), AgentError> {
        let (expected, found) = ("networks to begin with given weights", "none".to_owned());
        Err(AgentError::Unsupported { algorithm: "the algorithm", expected, found })
    }

    /// Multiplies the steps of all parameters whose names among the weights begin with a prefix by a factor, from now on: zero
    /// leaves them as they are. The longest prefix of a name counts.
    ///
    /// # Errors
    /// [`AgentError::Setting`] if no name begins so or a factor is below zero, [`AgentError::Unsupported`] if the learner has no
    /// networks.
    fn set_learning_rates(&mut self, rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
        if rates.is_empty() {
            return Ok(());
        }
        let (expected, found) = ("networks whose parameters learn at other rates", "none".to_owned());
        Err(AgentError::Unsupported { algorithm: "the algorithm", expected, found })
    }

    /// Says which weights [`Self::prune`] is about: those whose names begin with one of some prefixes, or all of the acting network.
    /// Part of the configuration, said before anything is learned or restored.
    ///
    /// # Errors
    /// [`AgentError::Setting`] if no name begins so, [`AgentError::Unsupported`] if the learner has no networks, or noisy ones.
    fn set_pruned(&mut self, _prefixes: &[String]) -> Result<(), AgentError> {
        let (expected, found) = ("networks whose weights can be pruned", "none".to_owned());
        Err(AgentError::Unsupported { algorithm: "the algorithm", expected, found })
    }

    /// Sets those weights that matter least to zero, and keeps them so, until a share of all is. What was pruned before stays so;
    /// asked for the same share again, it changes nothing.
    ///
    /// # Errors
    /// If a network cannot be prepared for acting.
    fn prune(&mut self, _sparsity: f64) -> Result<(), AgentError> {
        Ok(())
    }

    /// Learns from a teacher too, from now on, as much as [`Self::set_guidance`] says.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if the learner cannot learn from this one, or from any.
    fn follow(&mut self, _guide: Guide) -> Result<(), AgentError> {
        Err(follows_nobody())
    }

    /// How much the teacher counts: the weight of the divergence from what it would do.
    fn set_guidance(&mut self, _coef: f64) {}

    /// The networks' layers, for a table; none if the learner has no network.
    fn summary(&self) -> Option<Summary> {
        None
    }

    /// The whole state.
    ///
    /// # Errors
    /// If it cannot be serialised.
    fn save(&self) -> Result<Vec<u8>, AgentError>;

    /// Takes on a state saved by a learner of the same configuration.
    ///
    /// # Errors
    /// [`AgentError::Restore`] if it belongs to another configuration or is damaged.
    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError>;

    /// As [`Self::save`], with the parts that do not change any more handed to a store: what checkpoints use.
    ///
    /// # Errors
    /// As [`Self::save`], and if a chunk cannot be kept.
    fn save_with(&self, _chunks: &mut dyn ChunkStore) -> Result<Vec<u8>, AgentError> {
        self.save()
    }

    /// Takes on a state saved by [`Self::save_with`].
    ///
    /// # Errors
    /// As [`Self::restore`], and [`AgentError::Chunk`] if a chunk is missing or damaged.
    fn restore_with(&mut self, saved: &[u8], _chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        self.restore(saved)
    }
}

/// An independent seed for one purpose of a run: `key` names the purpose.
pub fn stream(seed: u64, key: u32) -> u64 {
    SeedSequence::with_spawn_key(seed, &[key]).seed()
}

/// The number of choices of an action space that is one `Discrete`.
pub(crate) fn single_discrete(algorithm: &'static str, spec: &ActionSpec) -> Result<usize, AgentError> {
    match spec {
        ActionSpec::Discrete { nvec } if nvec.len() == 1 => Ok(nvec[0] as usize),
        other => {
            let found = format!("{other:?}");
            Err(AgentError::Unsupported { algorithm, expected: "a Discrete action space", found })
        }
    }
}
