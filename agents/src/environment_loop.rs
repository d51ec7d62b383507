//! Acting: some environments, and the actor that acts in them tick by tick.
//!
//! Training, evaluation and films all go through here, so a policy is told the same things in the same way everywhere.

use agon_envs::spaces::Dtype;
use agon_envs::{ActionBatch, ObsBuffer, Pcg64, Seed, Simulator, StepBatch, VectorInfo};
use serde::{Deserialize, Serialize};

use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::rivals::{Rivalry, Rivals, SavedRivalry};
use crate::search::{Lookahead, Search};
use crate::{AgentError, Fragment, FragmentShape, Spaces};

/// Element type and length of a row of what a teacher sees, if that is kept.
pub fn privileged_row(info: &VectorInfo) -> Option<(Dtype, usize)> {
    info.privileged.as_ref().map(|space| (crate::network::dtype(space), space.packed_len()))
}

/// A simulator, an actor, and what was last observed.
pub struct EnvironmentLoop {
    /// The environments.
    pub simulator: Simulator,
    /// The actor's stream and memory.
    pub actor: Actor,
    /// What the last tick gave: the observations that are acted in next.
    pub now: StepBatch,
    /// The actions of the last tick, `[N, W]`.
    pub actions: ActionBatch,
    /// Where an episode begins with the observations of `now`, `[N]`.
    resets: Vec<bool>,
    policy_data: Vec<f32>,
    /// Where a policy that looks ahead does so.
    search: Option<Search>,
    /// Who else plays.
    rivalry: Rivalry,
}

/// What is saved of a loop, except what its simulator's users need of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedLoop {
    simulator: Vec<u8>,
    actor_rng: Pcg64,
    actor_state: Vec<f32>,
    resets: Vec<bool>,
    observations: ObsBuffer,
    action_masks: Vec<bool>,
    rewards: Vec<f64>,
    rivalry: SavedRivalry,
}

impl EnvironmentLoop {
    /// Over environments that have been reset, whose first observations are `now`.
    pub fn new(simulator: Simulator, now: StepBatch, rng: Pcg64) -> Self {
        let rows = simulator.num_rows();
        let actions = ActionBatch::zeros(simulator.action_spec(), rows);
        let resets = vec![true; rows];
        Self {
            simulator,
            actor: Actor::new(rng),
            now,
            actions,
            resets,
            policy_data: Vec::new(),
            search: None,
            rivalry: Rivalry::default(),
        }
    }

    /// The sizes of a fragment of these environments.
    pub fn fragment_shape(&self, num_steps: usize, policy: &dyn Policy) -> FragmentShape {
        FragmentShape {
            num_steps,
            num_envs: self.simulator.num_envs(),
            num_agents: self.simulator.num_agents(),
            observation_len: self.simulator.observation_len(),
            dtype: self.now.observations.dtype(),
            action_spec: self.simulator.action_spec().clone(),
            policy_data_width: policy.data_width(),
            policy_state_len: policy.state_len(),
            mask_len: self.simulator.mask_len(),
            num_metrics: self.simulator.info().metrics.len(),
            num_tasks: self.simulator.info().tasks.len(),
            privileged: privileged_row(self.simulator.info()),
        }
    }

    /// What policies and learners must know of these environments.
    pub fn spaces(&self) -> Spaces {
        Spaces {
            observation: self.simulator.observation_space().clone(),
            frames: self.simulator.info().frames,
            action: self.simulator.action_spec().clone(),
            mask_len: self.simulator.mask_len(),
            tasks: self.simulator.info().tasks.clone(),
        }
    }

    /// One tick: acts in every row and steps the environments. `env_steps` counts the run's steps before it.
    ///
    /// # Errors
    /// If the policy or an environment fails, or observations are not finite.
    pub fn tick(&mut self, policy: &dyn Policy, env_steps: u64, mode: ActMode) -> Result<(), AgentError> {
        self.tick_against(&Rivals::NONE, policy, env_steps, mode)
    }

    /// As [`Self::tick`], with rivals in some rows.
    fn tick_against(
        &mut self,
        rivals: &Rivals<'_>,
        policy: &dyn Policy,
        env_steps: u64,
        mode: ActMode,
    ) -> Result<(), AgentError> {
        let rows = self.simulator.num_rows();
        self.policy_data.resize(rows * policy.data_width(), 0.0);
        self.actor.state.resize(rows * policy.state_len(), 0.0);
        match policy.lookahead() {
            Some(lookahead) => self.look_ahead(&lookahead, mode)?,
            None => self.act(policy, env_steps, mode)?,
        }
        let seen = (self.simulator.info(), &self.now, self.resets.as_slice());
        self.rivalry.act(rivals, seen, &mut self.actor.rng, env_steps, &mut self.actions)?;
        self.simulator.step(&self.actions, &mut self.now)?;
        self.simulator.check_observations(&self.now)?;
        let outcomes = self.now.terminated.iter().zip(&self.now.truncated).zip(&self.now.active);
        for (reset, ((terminated, truncated), active)) in self.resets.iter_mut().zip(outcomes) {
            // A row whose agent has ended waits for its arena: whenever that begins anew, the row does too.
            *reset = *terminated || *truncated || !*active;
        }
        Ok(())
    }

    /// Acts on what is observed.
    fn act(&mut self, policy: &dyn Policy, env_steps: u64, mode: ActMode) -> Result<(), AgentError> {
        let input = ActInput {
            observations: &self.now.observations,
            num_rows: self.simulator.num_rows(),
            action_masks: &self.now.action_masks,
            resets: &self.resets,
            rewards: &self.now.rewards,
            tasks: &self.tasks(),
            env_steps,
            mode,
        };
        let output = ActOutput { actions: &mut self.actions, policy_data: &mut self.policy_data };
        policy.act(&input, &mut self.actor, output)
    }

    /// Acts on what a search finds. Rows that are not to move do nothing.
    fn look_ahead(&mut self, lookahead: &Lookahead<'_>, mode: ActMode) -> Result<(), AgentError> {
        let search = match &mut self.search {
            Some(search) if search.settings() == lookahead.settings => search,
            other => other.insert(Search::new(&self.simulator, lookahead.settings)?),
        };
        let found = search.search(&mut self.simulator, &self.now, lookahead, &mut self.actor.rng, mode)?;
        let (agents, width) = (self.simulator.num_agents(), self.policy_data.len() / self.resets.len());
        self.policy_data.fill(0.0);
        let actions = self.actions.indices_mut();
        actions.fill(0);
        for (env, found) in found.iter().enumerate() {
            let row = env * agents + self.simulator.turn(env);
            actions[row] = found.action as u32;
            if width > 0 {
                found.write(&mut self.policy_data[row * width..(row + 1) * width]);
            }
        }
        Ok(())
    }

    /// Forgets what a search would go on from.
    fn forget(&mut self) {
        if let Some(search) = &mut self.search {
            search.forget();
        }
    }

    /// The task that each row plays now, `[N]`; empty where there is but one.
    fn tasks(&self) -> Vec<u32> {
        if self.simulator.info().tasks.is_empty() {
            return Vec::new();
        }
        let agents = self.simulator.num_agents();
        (0..self.simulator.num_rows()).map(|row| self.simulator.task(row / agents) as u32).collect()
    }

    /// What a policy expects of each row from here on, `[N]`; none if it has no such estimate. Changes nothing.
    ///
    /// # Errors
    /// If the policy fails.
    pub fn values(&self, policy: &dyn Policy, env_steps: u64) -> Result<Option<Vec<f32>>, AgentError> {
        let num_rows = self.simulator.num_rows();
        let mut state = self.actor.state.clone();
        state.resize(num_rows * policy.state_len(), 0.0);
        let input = ActInput {
            observations: &self.now.observations,
            num_rows,
            action_masks: &self.now.action_masks,
            resets: &self.resets,
            rewards: &self.now.rewards,
            tasks: &self.tasks(),
            env_steps,
            mode: ActMode::Deterministic,
        };
        policy.values(&input, &state)
    }

    /// Starts a new episode in every environment.
    ///
    /// # Errors
    /// If an environment fails.
    pub fn restart(&mut self) -> Result<(), AgentError> {
        let envs: Vec<u32> = (0..self.simulator.num_envs() as u32).collect();
        self.simulator.reset_envs(&envs, &mut self.now)?;
        self.forget();
        self.resets.fill(true);
        Ok(())
    }

    /// Starts a new episode in every environment, each with the stream of its seed, and gives the actor another stream.
    ///
    /// # Errors
    /// If there is not one seed an environment, or an environment fails.
    pub fn begin_anew(&mut self, seeds: &[Seed], rng: Pcg64) -> Result<(), AgentError> {
        self.simulator.reset_with(seeds, &mut self.now)?;
        self.actor = Actor::new(rng);
        self.rivalry = Rivalry::default();
        self.forget();
        self.resets.fill(true);
        Ok(())
    }

    /// Fills a fragment. Its first tick comes after `env_steps` of the run's steps, and each one adds `run_envs`: the
    /// environments of the whole run.
    ///
    /// # Errors
    /// As [`Self::tick`].
    pub fn fill(
        &mut self,
        fragment: &mut Fragment,
        policy: &dyn Policy,
        env_steps: u64,
        run_envs: u64,
    ) -> Result<(), AgentError> {
        self.fill_against(&Rivals::NONE, fragment, policy, env_steps, run_envs)
    }

    /// As [`Self::fill`], with rivals in some rows.
    ///
    /// # Errors
    /// As [`Self::tick`].
    pub fn fill_against(
        &mut self,
        rivals: &Rivals<'_>,
        fragment: &mut Fragment,
        policy: &dyn Policy,
        env_steps: u64,
        run_envs: u64,
    ) -> Result<(), AgentError> {
        self.actor.state.resize(self.simulator.num_rows() * policy.state_len(), 0.0);
        fragment.begin(&self.now, &self.actor.state);
        // A checkpoint may lie between two fragments, and the policy has changed.
        self.forget();
        for t in 0..fragment.shape.num_steps {
            fragment.record_resets(t, &self.resets);
            fragment.record_tasks(t, &self.tasks());
            fragment.record_privileged(t, self.simulator.privileged());
            self.tick_against(rivals, policy, env_steps + t as u64 * run_envs, ActMode::Explore)?;
            fragment.record(t, &self.actions, &self.policy_data, &self.now);
            if let Some(rows) = self.rivalry.rows() {
                fragment.leave_out(t, rows);
            }
        }
        Ok(())
    }

    /// The whole state.
    ///
    /// # Errors
    /// If an environment cannot be saved.
    pub fn save(&mut self) -> Result<SavedLoop, AgentError> {
        Ok(SavedLoop {
            simulator: self.simulator.snapshot()?,
            actor_rng: self.actor.rng.clone(),
            actor_state: self.actor.state.clone(),
            resets: self.resets.clone(),
            observations: self.now.observations.clone(),
            action_masks: self.now.action_masks.clone(),
            rewards: self.now.rewards.clone(),
            rivalry: self.rivalry.save(),
        })
    }

    /// Takes on a saved state.
    ///
    /// # Errors
    /// [`AgentError::Restore`] if it belongs to other environments.
    pub fn restore(&mut self, saved: SavedLoop) -> Result<(), AgentError> {
        let sizes = [
            ("observations", self.now.observations.len(), saved.observations.len()),
            ("action masks", self.now.action_masks.len(), saved.action_masks.len()),
            ("rows", self.resets.len(), saved.resets.len()),
            ("rewards", self.now.rewards.len(), saved.rewards.len()),
        ];
        for (what, expected, found) in sizes {
            if expected != found {
                return Err(AgentError::Restore(format!("expected {expected} {what}, found {found}")));
            }
        }
        let (expected, found) = (self.now.observations.dtype(), saved.observations.dtype());
        if expected != found {
            return Err(AgentError::Restore(format!(
                "expected observations of {expected:?}, found {found:?}"
            )));
        }
        let rivalry = Rivalry::restore(saved.rivalry, self.simulator.num_envs())?;
        self.simulator.restore(&saved.simulator)?;
        self.forget();
        self.rivalry = rivalry;
        self.actor.rng = saved.actor_rng;
        self.actor.state = saved.actor_state;
        self.resets = saved.resets;
        self.now.observations = saved.observations;
        self.now.action_masks = saved.action_masks;
        self.now.rewards = saved.rewards;
        Ok(())
    }
}
