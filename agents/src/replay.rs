//! Experience replay: a ring of transitions, column by column.

use agon_envs::{ObsBuffer, Pcg64};
use agon_nn::Input;
use serde::{Deserialize, Serialize};

use crate::{AgentError, Fragment, network};

/// The newest `capacity` transitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayBuffer {
    capacity: usize,
    observation_len: usize,
    /// Transitions ever added.
    added: u64,
    /// `[capacity, O]`.
    observations: ObsBuffer,
    /// `[capacity, O]`: what truly followed; the final observation where an episode ended.
    next_observations: ObsBuffer,
    /// `[capacity]`.
    actions: Vec<u32>,
    /// `[capacity]`.
    rewards: Vec<f32>,
    /// `[capacity]`; nothing follows. Truncated transitions bootstrap like any other.
    terminated: Vec<bool>,
}

impl ReplayBuffer {
    /// An empty buffer. Its memory grows with its contents.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn new(capacity: usize, observation_len: usize, dtype: agon_envs::spaces::Dtype) -> Self {
        assert!(capacity > 0, "a replay buffer holds at least one transition");
        Self {
            capacity,
            observation_len,
            added: 0,
            observations: ObsBuffer::zeros(dtype, 0),
            next_observations: ObsBuffer::zeros(dtype, 0),
            actions: Vec::new(),
            rewards: Vec::new(),
            terminated: Vec::new(),
        }
    }

    /// Whether another buffer has this one's sizes, and its columns agree.
    pub fn is_like(&self, other: &Self) -> bool {
        let rows = self.actions.len();
        let columns = [self.rewards.len(), self.terminated.len()];
        let observations = [&self.observations, &self.next_observations];
        self.capacity == other.capacity
            && self.observation_len == other.observation_len
            && rows as u64 == self.added.min(self.capacity as u64)
            && columns.iter().all(|&len| len == rows)
            && observations.iter().all(|buffer| {
                buffer.len() == rows * self.observation_len && buffer.dtype() == other.observations.dtype()
            })
    }

    /// Transitions held.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Adds the transitions of fragments in the order of time: tick, then shard, then row. Rows that took no part in a tick
    /// are passed over.
    pub fn extend(&mut self, fragments: &[Fragment]) {
        let ticks = fragments.first().map_or(0, |fragment| fragment.shape.num_steps);
        for t in 0..ticks {
            for fragment in fragments {
                for i in 0..fragment.shape.num_envs {
                    let row = t * fragment.shape.num_envs + i;
                    if fragment.active[row] {
                        self.push(fragment, row);
                    }
                }
            }
        }
    }

    fn push(&mut self, fragment: &Fragment, row: usize) {
        let len = self.observation_len;
        let slot = (self.added % self.capacity as u64) as usize;
        self.added += 1;
        let (next, next_at) = fragment.next_observation(row);
        let action = fragment.actions.indices()[row];
        let (reward, terminated) = (fragment.rewards[row], fragment.terminated[row]);
        if slot == self.actions.len() {
            self.observations.extend_from(&fragment.observations, row * len, len);
            self.next_observations.extend_from(next, next_at, len);
            self.actions.push(action);
            self.rewards.push(reward);
            self.terminated.push(terminated);
        } else {
            self.observations.copy_range(slot * len, &fragment.observations, row * len, len);
            self.next_observations.copy_range(slot * len, next, next_at, len);
            self.actions[slot] = action;
            self.rewards[slot] = reward;
            self.terminated[slot] = terminated;
        }
    }

    /// Draws `count` transitions uniformly, with replacement.
    ///
    /// # Panics
    /// If the buffer is empty.
    pub fn sample(&self, count: usize, rng: &mut Pcg64, slots: &mut Vec<u32>) {
        assert!(!self.is_empty(), "cannot sample from an empty replay buffer");
        let last = self.len() as u64 - 1;
        slots.extend((0..count).map(|_| rng.bounded(last) as u32));
    }

    /// The observations of the given transitions, as a network reads them: `[slots.len(), O]`.
    ///
    /// # Errors
    /// If there are no slots.
    pub fn observations(&self, slots: &[u32]) -> Result<Input, AgentError> {
        network::gather(&self.observations, self.observation_len, slots)
    }

    /// The following observations of the given transitions, as a network reads them: `[slots.len(), O]`.
    ///
    /// # Errors
    /// If there are no slots.
    pub fn next_observations(&self, slots: &[u32]) -> Result<Input, AgentError> {
        network::gather(&self.next_observations, self.observation_len, slots)
    }

    /// The action of a transition.
    pub fn action(&self, slot: u32) -> u32 {
        self.actions[slot as usize]
    }

    /// The reward of a transition.
    pub fn reward(&self, slot: u32) -> f32 {
        self.rewards[slot as usize]
    }

    /// Whether nothing follows a transition.
    pub fn terminated(&self, slot: u32) -> bool {
        self.terminated[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use agon_envs::spaces::Dtype;
    use agon_envs::{ActionSpec, EpisodeStats, StepBatch};

    use super::*;
    use crate::FragmentShape;

    /// Two ticks of two environments; environment 1 is cut at the first tick.
    fn fragment() -> Fragment {
        let shape = FragmentShape {
            num_steps: 2,
            num_envs: 2,
            observation_len: 1,
            dtype: Dtype::F32,
            action_spec: ActionSpec::Discrete { nvec: vec![9] },
            policy_data_width: 0,
            policy_state_len: 0,
            mask_len: 0,
        };
        let tick = |obs: [f32; 2]| StepBatch {
            observations: ObsBuffer::F32(obs.to_vec()),
            rewards: vec![1.0, 2.0],
            terminated: vec![false; 2],
            truncated: vec![false; 2],
            active: vec![true; 2],
            action_masks: vec![],
            episodes: vec![],
            final_observations: ObsBuffer::F32(vec![]),
        };
        let mut fragment = Fragment::new(&shape);
        fragment.begin(&tick([0.0, 10.0]), &[]);
        let mut cut = tick([1.0, 20.0]);
        cut.truncated[1] = true;
        cut.episodes.push(EpisodeStats { row: 1, episode_return: 2.0, episode_length: 1 });
        cut.final_observations = ObsBuffer::F32(vec![11.0]);
        fragment.record(0, &agon_envs::ActionBatch::Discrete(vec![3, 4]), &[], &cut);
        fragment.record(1, &agon_envs::ActionBatch::Discrete(vec![5, 6]), &[], &tick([2.0, 21.0]));
        fragment
    }

    #[test]
    fn a_truncated_transition_keeps_its_final_observation() {
        let mut buffer = ReplayBuffer::new(10, 1, Dtype::F32);
        buffer.extend(&[fragment()]);
        let floats = |input: Result<Input, AgentError>| match input.unwrap() {
            Input::Floats(matrix) => matrix.as_slice().to_vec(),
            Input::Bytes(_) => panic!("observations are floats"),
        };
        assert_eq!(floats(buffer.observations(&[0, 1, 2, 3])), [0.0, 10.0, 1.0, 20.0]);
        assert_eq!(floats(buffer.next_observations(&[0, 1, 2, 3])), [1.0, 11.0, 2.0, 21.0]);
        assert!(!buffer.terminated(1));
        assert_eq!([0, 1, 2, 3].map(|slot| buffer.action(slot)), [3, 4, 5, 6]);
    }

    #[test]
    fn the_oldest_transitions_go_first() {
        let mut buffer = ReplayBuffer::new(3, 1, Dtype::F32);
        buffer.extend(&[fragment()]);
        assert_eq!(buffer.len(), 3);
        assert_eq!([0, 1, 2].map(|slot| buffer.action(slot)), [6, 4, 5]);
    }

    #[test]
    fn sampling_reaches_every_transition() {
        let mut buffer = ReplayBuffer::new(10, 1, Dtype::F32);
        buffer.extend(&[fragment()]);
        let mut slots = Vec::new();
        buffer.sample(200, &mut Pcg64::seed_from(0), &mut slots);
        assert!((0..4).all(|slot| slots.contains(&slot)) && slots.iter().all(|&slot| slot < 4));
    }
}
