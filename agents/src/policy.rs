//! What acts: an immutable snapshot of a network, and the state that each actor keeps for it.

use std::sync::Arc;

use agon_envs::{ActionBatch, ObsBuffer, Pcg64};
use agon_nn::losses::choices::Choices;
use agon_nn::{ModelScratch, RssmScratch, Scratch};

use crate::AgentError;
use crate::program::Program;
use crate::search::{Evaluator, Lookahead};
use crate::world_model::WorldModel;

/// How a policy chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActMode {
    /// As in training: sampled, with exploration.
    Explore,
    /// The policy's best action.
    Deterministic,
}

/// What a policy sees of one tick.
#[derive(Clone, Copy, Debug)]
pub struct ActInput<'a> {
    /// `[N, O]`.
    pub observations: &'a ObsBuffer,
    /// Rows, `N`.
    pub num_rows: usize,
    /// `[N, A]`, or empty.
    pub action_masks: &'a [bool],
    /// `[N]`: where an episode begins with this observation, so that what came before is to be forgotten.
    pub resets: &'a [bool],
    /// `[N]`: what the last action of each row was paid, as the environment with its wrappers pays it; of no meaning where an
    /// episode begins. Empty where nobody says: a policy that goes by rewards acts as if there had been none.
    pub rewards: &'a [f64],
    /// `[N]`: the task that each row plays; empty where there is but one, or nobody says. A policy that goes by it acts as in the
    /// first one then.
    pub tasks: &'a [u32],
    /// Environment steps that the whole run has taken before this tick: what exploration schedules go by.
    pub env_steps: u64,
    /// How to choose.
    pub mode: ActMode,
}

/// Where a policy writes.
#[derive(Debug)]
pub struct ActOutput<'a> {
    /// `[N, W]`.
    pub actions: &'a mut ActionBatch,
    /// `[N, P]`: what the learner will need of this decision.
    pub policy_data: &'a mut [f32],
}

/// The state of one actor: its random stream, what it remembers, and memory that is reused from tick to tick.
///
/// The stream and the state are all that has to be saved.
#[derive(Debug)]
pub struct Actor {
    /// The stream that actions are sampled from.
    pub rng: Pcg64,
    /// `[N, S]`: what the policy remembers of each row; zeros before an episode.
    pub state: Vec<f32>,
    /// Working memory of networks that are one chain of layers.
    pub scratch: Scratch,
    /// Working memory of networks with several parts.
    pub model_scratch: ModelScratch,
    /// Working memory of world models.
    pub rssm_scratch: RssmScratch,
    /// Networks' outputs.
    pub outputs: Vec<f32>,
    /// Probabilities of discrete actions.
    pub choices: Choices,
    /// Anything else of a row's size.
    pub buffer: Vec<f32>,
}

impl Actor {
    /// An actor with its own stream.
    pub fn new(rng: Pcg64) -> Self {
        Self {
            rng,
            state: Vec::new(),
            scratch: Scratch::default(),
            model_scratch: ModelScratch::default(),
            rssm_scratch: RssmScratch::default(),
            outputs: Vec::new(),
            choices: Choices::default(),
            buffer: Vec::new(),
        }
    }
}

/// Acts for a batch of environments. A snapshot: immutable, shared by all workers.
pub trait Policy: Send + Sync {
    /// Numbers recorded with each action, `P`.
    fn data_width(&self) -> usize {
        0
    }

    /// Numbers remembered of each row from tick to tick, `S`.
    fn state_len(&self) -> usize {
        0
    }

    /// What it computes, to be run elsewhere; none if it cannot be told.
    fn program(&self) -> Option<Program> {
        None
    }

    /// What it expects of each row from here on, `[N]`: the value of its observation, before `state`, `[N, S]`, moves on. None
    /// if it has no such estimate. For whoever looks at a policy; acting does not ask.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    fn values(&self, _input: &ActInput<'_>, _state: &[f32]) -> Result<Option<Vec<f32>>, AgentError> {
        Ok(None)
    }

    /// What a search can ask of it: logits of a single discrete action, and values, by observation alone. None if it has no such
    /// thing. See [`LookingAhead`](crate::search::LookingAhead).
    fn evaluator(&self) -> Option<&dyn Evaluator> {
        None
    }

    /// Its model of the world, for whoever looks at it; none if it has no such thing.
    fn world_model(&self) -> Option<&dyn WorldModel> {
        None
    }

    /// How it looks ahead in copies of the environments where there are some, as in training; none if it acts on what it
    /// observes alone. [`Policy::act`] is what it does without.
    fn lookahead(&self) -> Option<Lookahead<'_>> {
        None
    }

    /// The same policy, aiming at another return of an episode, undiscounted; none if it aims at none. What it remembers of
    /// episodes that have begun stays as it is.
    fn aiming_at(&self, _target_return: f64) -> Option<Arc<dyn Policy>> {
        None
    }

    /// Chooses an action for each row, and moves `actor.state`, `[N, S]`, on.
    ///
    /// The result may depend on `actor.rng`, `actor.state` and the input, and on nothing else.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError>;
}
