//! The single-environment contract: a plain struct with `reset` and `step`.
//!
//! # Design discussion
//!
//! * An environment never resets itself, never counts its steps and never enforces a time limit: what is above it does.
//!   So [`Step::truncated`] is only for ends that are the task's own but not its dynamics' (leaving the region a model is
//!   valid in, say); a time limit belongs into the registry entry ([`crate::EnvSpec::max_episode_steps`]).
//! * Observations are written into a row that the caller owns. `step` writes the observation *after* the step whatever
//!   the outcome, so a truncated step cannot lack the final observation that a learner must bootstrap from.
//! * All randomness comes from the generator that is handed in. The simulator owns it, seeds it and saves it.

use serde::{Serialize, de::DeserializeOwned};

use crate::batch::{Action, ObsElement};
use crate::groups::Decision;
use crate::{Frame, Pcg64, Space};

/// One environment as a plain struct: all of its state is in its (serialisable) fields.
///
/// ```
/// use agon_envs::{Action, Env, Pcg64, Space, Step};
/// use serde::{Deserialize, Serialize};
///
/// /// Walk right to the tenth cell.
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Corridor { cell: u32 }
///
/// impl Env for Corridor {
///     type Obs = f32;
///     fn observation_space(&self) -> Space { Space::box_f32(&[0.0], &[10.0]).expect("valid bounds") }
///     fn action_space(&self) -> Space { Space::discrete(2).expect("two actions") }
///     fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
///         self.cell = 0;
///         obs[0] = 0.0;
///     }
///     fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
///         self.cell = if action.index() == 1 { self.cell + 1 } else { self.cell.saturating_sub(1) };
///         obs[0] = self.cell as f32;
///         if self.cell == 10 { Step::terminated(1.0) } else { Step::running(-0.01) }
///     }
/// }
/// ```
pub trait Env: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// Element of an observation row: `f32`, or `u8` for images.
    type Obs: ObsElement;

    /// Space of the observations; constant over the environment's life.
    fn observation_space(&self) -> Space;

    /// Space of the actions; constant over the environment's life.
    fn action_space(&self) -> Space;

    /// Starts an episode and writes its first observation.
    ///
    /// # Shapes
    /// `obs`: `[O]`, the packed row of the observation space ([`Space::packed_len`]).
    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [Self::Obs]);

    /// Takes one step and writes the observation that follows it, also when the episode ends.
    ///
    /// `action` has been checked against [`Env::action_space`].
    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [Self::Obs]) -> Step;

    /// Writes which actions are legal in the current state: `mask[i]` says whether action `i` of a discrete space may be
    /// taken. Called only when [`Env::has_action_mask`] is true.
    ///
    /// # Shapes
    /// `mask`: `[A]`, over all branches of the action space one after the other.
    fn action_mask(&self, mask: &mut [bool]) {
        mask.fill(true);
    }

    /// Whether some actions can be illegal in some states.
    fn has_action_mask(&self) -> bool {
        false
    }

    /// Names of the environment's own metrics of an episode, such as `success`; constant over its life.
    fn metric_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Writes the metrics of the episode so far. Called in the state that ended the episode, before the reset, and only if
    /// there are any.
    ///
    /// # Shapes
    /// `out`: `[M]`, as [`Env::metric_names`] names them; zeros.
    fn metrics(&self, _out: &mut [f64]) {}

    /// Names of the groups whose members are decided about; constant over its life. See [`crate::groups`].
    fn groups(&self) -> Vec<String> {
        Vec::new()
    }

    /// Appends what the last step decided about members of groups. Called after a step and before the reset, and only if
    /// there are groups.
    fn decisions(&self, _out: &mut Vec<Decision>) {}

    /// A picture of the current state.
    fn render(&self) -> Option<Frame> {
        None
    }

    /// The current state as text for a terminal, lines separated by `\n`.
    fn render_text(&self) -> Option<String> {
        None
    }
}

/// What one step gave, beside the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Reward of the action just taken.
    pub reward: f64,
    /// Whether the episode goes on.
    pub outcome: Outcome,
}

/// Whether an episode goes on after a step. It cannot end in both ways: what the dynamics end is not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The episode goes on.
    Running,
    /// The dynamics reached an end: the value of what follows is zero.
    Terminated,
    /// The episode was cut although the task goes on: a learner bootstraps from the observation just written.
    Truncated,
}

impl Step {
    /// The episode goes on.
    pub fn running(reward: f64) -> Self {
        Self { reward, outcome: Outcome::Running }
    }

    /// The dynamics reached an end.
    pub fn terminated(reward: f64) -> Self {
        Self { reward, outcome: Outcome::Terminated }
    }

    /// The episode was cut; see the module's design discussion.
    pub fn truncated(reward: f64) -> Self {
        Self { reward, outcome: Outcome::Truncated }
    }
}
