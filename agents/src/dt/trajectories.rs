//! What followed each recorded step, and when in its episode it was.

use super::network::Returns;
use crate::replay::ReplayBuffer;
use crate::{AgentError, error};

/// Returns-to-go and timesteps of all steps of a buffer, by their slots.
#[derive(Debug, PartialEq)]
pub(super) struct Trajectories {
    /// `R̂_t = Σ_{k ≥ t} r_k`, undiscounted, to the end of the episode, or of the data.
    returns_to_go: Vec<f32>,
    /// Steps of the episode before this one.
    timesteps: Vec<u32>,
    /// The task that was played.
    tasks: Vec<u32>,
    /// Of each task.
    extremes: Vec<Extremes>,
}

/// Returns that are known of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extremes {
    /// The greatest of a whole episode.
    best: f64,
    /// The greatest return-to-go in size.
    largest: f64,
}

impl Trajectories {
    /// Of a buffer that nothing is added to any more, and the task of each step, below `num_tasks`.
    ///
    /// # Errors
    /// [`AgentError::NotFinite`] if a return is no number of 32 bits.
    pub(super) fn of(replay: &ReplayBuffer, tasks: Vec<u32>, num_tasks: usize) -> Result<Self, AgentError> {
        let steps = replay.slots();
        let (mut returns_to_go, mut timesteps) = (vec![0.0; steps], vec![0; steps]);
        let mut extremes = vec![Extremes { best: f64::NEG_INFINITY, largest: 0.0 }; num_tasks];
        for history in 0..replay.histories() {
            // From the end on, in twice the precision: the sum is that of the rewards, rounded once.
            let mut sum = 0.0;
            for slot in replay.history(history).rev() {
                if replay.ended(slot) {
                    sum = 0.0;
                }
                sum += f64::from(replay.reward(slot));
                returns_to_go[slot as usize] = sum as f32;
                error::ensure_finite("return of an episode", f64::from(sum as f32), 0)?;
                let of_task = &mut extremes[tasks[slot as usize] as usize];
                of_task.largest = of_task.largest.max(sum.abs());
                if replay.reset(slot) {
                    of_task.best = of_task.best.max(sum);
                }
            }
            let mut timestep = 0;
            for slot in replay.history(history) {
                timestep = if replay.reset(slot) { 0 } else { timestep };
                timesteps[slot as usize] = timestep;
                timestep += 1;
            }
        }
        Ok(Self { returns_to_go, timesteps, tasks, extremes })
    }

    /// What a policy must know of each task: the best return of an episode, and the greatest return-to-go as the scale.
    pub(super) fn returns(&self) -> Vec<Returns> {
        let of = |&Extremes { best, largest }: &Extremes| Returns {
            best: if best.is_finite() { best as f32 } else { 0.0 },
            scale: if largest > 0.0 { largest as f32 } else { 1.0 },
        };
        self.extremes.iter().map(of).collect()
    }

    /// The task that was played in a step.
    pub(super) fn task(&self, slot: u32) -> usize {
        self.tasks[slot as usize] as usize
    }

    pub(super) fn return_to_go(&self, slot: u32) -> f32 {
        self.returns_to_go[slot as usize]
    }

    pub(super) fn timestep(&self, slot: u32) -> u32 {
        self.timesteps[slot as usize]
    }
}
