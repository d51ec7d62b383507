//! Experience as it streams from workers to the learner.

mod validate;

use agon_envs::spaces::Dtype;
use agon_envs::wrappers::Moments;
use agon_envs::{ActionBatch, ActionSpec, EpisodeStats, ObsBuffer, StepBatch};
use serde::{Deserialize, Serialize};

/// The sizes of a fragment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FragmentShape {
    /// Ticks, `T`.
    pub num_steps: usize,
    /// Environments of the shard.
    pub num_envs: usize,
    /// Agents that act in each of them, a row each.
    pub num_agents: usize,
    /// Length of an observation row, `O`.
    pub observation_len: usize,
    /// Element type of observations.
    pub dtype: Dtype,
    /// What actions look like; `W` values each.
    pub action_spec: ActionSpec,
    /// Numbers that the policy records with each action, `P`.
    pub policy_data_width: usize,
    /// Numbers that the policy remembers of each row, `S`; zero without a memory.
    pub policy_state_len: usize,
    /// Length of an action mask, `A`; zero without masks.
    pub mask_len: usize,
    /// Numbers that an environment reports of each episode, `M`.
    pub num_metrics: usize,
    /// Tasks that environments play; zero where there is but one, of which nothing is recorded.
    pub num_tasks: usize,
    /// Element type and length of a row of what a teacher sees, `Q`; none where nothing of it is recorded.
    pub privileged: Option<(Dtype, usize)>,
}

impl FragmentShape {
    /// Acting rows of the shard, `N`.
    pub fn num_rows(&self) -> usize {
        self.num_envs * self.num_agents
    }
}

impl FragmentShape {
    /// Bytes of a fragment, final observations and episodes left out; [`u64::MAX`] if they cannot be counted.
    pub fn bytes(&self) -> u64 {
        let element = |dtype| match dtype {
            Dtype::F32 => 4,
            Dtype::U8 => 1,
        };
        let of = |count: usize, bytes: u64| (count as u64).saturating_mul(bytes);
        // Reward, four flags and a version.
        const OUTCOME: u64 = 4 + 4;
        let step = of(self.observation_len, element(self.dtype))
            .saturating_add(self.privileged.map_or(0, |(dtype, len)| of(len, element(dtype))))
            .saturating_add(of(self.action_spec.width(), 4))
            .saturating_add(of(self.policy_data_width, 4))
            .saturating_add(of(self.mask_len, 1))
            .saturating_add(if self.num_tasks > 0 { 4 } else { 0 })
            .saturating_add(OUTCOME);
        let rows = of(self.num_envs, self.num_agents as u64);
        let steps = rows.saturating_mul(of(self.num_steps, step));
        steps.saturating_add(rows.saturating_mul(of(self.policy_state_len, 4)))
    }
}

/// `T` ticks of the `N` acting rows of one shard.
///
/// Step `(t, i)` is row `t * N + i` of every `[T, N]` buffer. `rewards[t]` follows `actions[t]` taken in
/// `observations[t]`; where that step ended an episode, `observations[t + 1]` is the next episode's first observation
/// and the episode's last one is in `final_observations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fragment {
    /// The sizes below.
    pub shape: FragmentShape,
    /// Which shard it comes from.
    pub shard: usize,
    /// Version of the policy that acted.
    pub policy_version: u64,
    /// `[T + 1, N, O]`.
    pub observations: ObsBuffer,
    /// `[T, N, W]`.
    pub actions: ActionBatch,
    /// `[T, N, P]`: what the policy recorded, such as log-probabilities.
    pub policy_data: Vec<f32>,
    /// `[N, S]`: what the policy remembered before the first tick.
    pub policy_state: Vec<f32>,
    /// `[T, N]`: where an episode begins with `observations[t]`, so that the policy forgot what came before.
    pub resets: Vec<bool>,
    /// `[T, N]`: the task that a row's environment played, below `num_tasks`; empty where there is but one.
    pub tasks: Vec<u32>,
    /// `[T, N, Q]`: what a teacher saw where `observations[t]` were seen; empty where nothing of it is recorded.
    pub privileged: ObsBuffer,
    /// `[T, N]`.
    pub rewards: Vec<f32>,
    /// `[T, N]`; the dynamics reached an end: nothing follows.
    pub terminated: Vec<bool>,
    /// `[T, N]`; the episode was cut: bootstrap from its final observation.
    pub truncated: Vec<bool>,
    /// `[T, N]`; false where the row took no part in the tick (its agent had ended before its arena): not a transition.
    pub active: Vec<bool>,
    /// `[T + 1, N, A]`, or empty.
    pub action_masks: Vec<bool>,
    /// Rows `t * N + i` of the steps that ended an episode, increasing.
    pub final_rows: Vec<u32>,
    /// `[final_rows.len(), O]`.
    pub final_observations: ObsBuffer,
    /// Tick and statistics of the episodes that ended, in the order of `final_rows`.
    pub episodes: Vec<(u32, EpisodeStats)>,
    /// `[episodes.len(), M]`: what environments report of them.
    pub episode_metrics: Vec<f64>,
    /// What the shard's running statistics saw in these ticks, for the run to merge.
    pub news: Vec<Moments>,
}

impl Fragment {
    /// A fragment of zeros.
    pub fn new(shape: &FragmentShape) -> Self {
        let num_rows = shape.num_rows();
        let rows = shape.num_steps * num_rows;
        Self {
            shard: 0,
            policy_version: 0,
            observations: ObsBuffer::zeros(shape.dtype, (rows + num_rows) * shape.observation_len),
            actions: ActionBatch::zeros(&shape.action_spec, rows),
            policy_data: vec![0.0; rows * shape.policy_data_width],
            policy_state: vec![0.0; num_rows * shape.policy_state_len],
            resets: vec![false; rows],
            tasks: vec![0; if shape.num_tasks > 0 { rows } else { 0 }],
            privileged: match shape.privileged {
                Some((dtype, len)) => ObsBuffer::zeros(dtype, rows * len),
                None => ObsBuffer::zeros(Dtype::F32, 0),
            },
            rewards: vec![0.0; rows],
            terminated: vec![false; rows],
            truncated: vec![false; rows],
            active: vec![true; rows],
            action_masks: vec![true; (rows + num_rows) * shape.mask_len],
            final_rows: Vec::new(),
            final_observations: ObsBuffer::zeros(shape.dtype, 0),
            episodes: Vec::new(),
            episode_metrics: Vec::new(),
            news: Vec::new(),
            shape: shape.clone(),
        }
    }

    /// Steps of all rows, `T * N`.
    pub fn rows(&self) -> usize {
        self.shape.num_steps * self.shape.num_rows()
    }

    /// Environment steps: those of an environment count once, however many agents act in it.
    pub fn env_steps(&self) -> usize {
        self.shape.num_steps * self.shape.num_envs
    }

    /// Begins a new fragment with the observations that are acted in next, and what the policy remembers.
    pub fn begin(&mut self, now: &StepBatch, policy_state: &[f32]) {
        self.policy_state.copy_from_slice(policy_state);
        self.final_rows.clear();
        self.final_observations.resize(0);
        self.episodes.clear();
        self.episode_metrics.clear();
        self.copy_observations(0, now);
    }

    /// Records where episodes begin with the observations of tick `t`.
    pub fn record_resets(&mut self, t: usize, resets: &[bool]) {
        let num_rows = self.shape.num_rows();
        self.resets[t * num_rows..(t + 1) * num_rows].copy_from_slice(resets);
    }

    /// Records the tasks that rows play in tick `t`; nothing where there is but one.
    pub fn record_tasks(&mut self, t: usize, tasks: &[u32]) {
        self.tasks[t * tasks.len()..(t + 1) * tasks.len()].copy_from_slice(tasks);
    }

    /// Records what a teacher sees in tick `t`; nothing where none does.
    pub fn record_privileged(&mut self, t: usize, seen: Option<&ObsBuffer>) {
        if let Some(seen) = seen {
            self.privileged.copy_range(t * seen.len(), seen, 0, seen.len());
        }
    }

    /// Records tick `t`: what was done, and what it gave.
    pub fn record(&mut self, t: usize, actions: &ActionBatch, policy_data: &[f32], out: &StepBatch) {
        let num_rows = self.shape.num_rows();
        let rows = t * num_rows..(t + 1) * num_rows;
        let width = self.shape.action_spec.width();
        self.actions.copy_range(rows.start * width, actions, 0, num_rows * width);
        let data = self.shape.policy_data_width;
        self.policy_data[rows.start * data..rows.end * data].copy_from_slice(policy_data);
        for (to, &from) in self.rewards[rows.clone()].iter_mut().zip(&out.rewards) {
            *to = from as f32;
        }
        self.terminated[rows.clone()].copy_from_slice(&out.terminated);
        self.truncated[rows.clone()].copy_from_slice(&out.truncated);
        self.active[rows.clone()].copy_from_slice(&out.active);
        self.final_rows.extend(out.episodes.iter().map(|episode| rows.start as u32 + episode.row));
        self.final_observations.extend_from(&out.final_observations, 0, out.final_observations.len());
        self.episodes.extend(out.episodes.iter().map(|episode| (t as u32, *episode)));
        self.episode_metrics.extend_from_slice(&out.episode_metrics);
        self.copy_observations(t + 1, out);
    }

    /// Takes some rows out of tick `t`, the last that was recorded: what they did is no transition, and their episodes do not count.
    ///
    /// # Shapes
    /// `rows`: `[N]`.
    pub fn leave_out(&mut self, t: usize, rows: &[bool]) {
        let num_rows = self.shape.num_rows();
        for (active, left_out) in self.active[t * num_rows..(t + 1) * num_rows].iter_mut().zip(rows) {
            *active &= !left_out;
        }
        let first = self.episodes.partition_point(|(tick, _)| (*tick as usize) < t);
        let (len, metrics) = (self.shape.observation_len, self.shape.num_metrics);
        let mut kept = first;
        for i in first..self.episodes.len() {
            if rows[self.episodes[i].1.row as usize] {
                continue;
            }
            self.episodes[kept] = self.episodes[i];
            self.final_rows[kept] = self.final_rows[i];
            self.final_observations.copy_within(i * len, kept * len, len);
            self.episode_metrics.copy_within(i * metrics..(i + 1) * metrics, kept * metrics);
            kept += 1;
        }
        self.episodes.truncate(kept);
        self.final_rows.truncate(kept);
        self.final_observations.resize(kept * len);
        self.episode_metrics.truncate(kept * metrics);
    }

    /// Whether a row took part in step `row` and its episode ended with it.
    pub fn ended(&self, row: usize) -> bool {
        self.active[row] && (self.terminated[row] || self.truncated[row])
    }

    /// Which of the final observations step `row` led to; none if it ended no episode.
    ///
    /// # Panics
    /// If the step ended an episode and has none: [`Self::validate`] refuses such a fragment.
    pub fn final_index(&self, row: usize) -> Option<usize> {
        if !self.ended(row) {
            return None;
        }
        let index = self.final_rows.binary_search(&(row as u32));
        assert!(index.is_ok(), "step {row} ended an episode and has no final observation");
        index.ok()
    }

    /// Where the observation that truly followed step `row` is: in `final_observations` or in `observations`.
    ///
    /// # Panics
    /// As [`Self::final_index`].
    pub fn next_observation(&self, row: usize) -> (&ObsBuffer, usize) {
        let len = self.shape.observation_len;
        match self.final_index(row) {
            Some(index) => (&self.final_observations, index * len),
            None => (&self.observations, (row + self.shape.num_rows()) * len),
        }
    }

    fn copy_observations(&mut self, t: usize, out: &StepBatch) {
        let len = self.shape.num_rows() * self.shape.observation_len;
        self.observations.copy_range(t * len, &out.observations, 0, len);
        let masks = self.shape.num_rows() * self.shape.mask_len;
        self.action_masks[t * masks..(t + 1) * masks].copy_from_slice(&out.action_masks);
    }
}
