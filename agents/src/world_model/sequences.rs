//! Replayed sequences as a world model reads them: moments, each with what was done before it and what that paid.

use super::acts::Acts;
use crate::replay::{Moment, ReplayBuffer};

/// `T` moments of `B` sequences, row `t · B + b`.
///
/// A moment is an observation. What ended an episode is a moment of its own, between the step that led to it and the first
/// observation of the next episode, so that the model learns what ends look like.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    /// `[T, B]`: what was observed.
    pub(crate) moments: Vec<Moment>,
    /// `[T, B, A]`: what was done before; zeros where an episode begins.
    pub(crate) actions: Vec<f32>,
    /// `[T, B]`: what that paid.
    pub(crate) rewards: Vec<f32>,
    /// `[T, B]`: whether that is known: it is not where a sequence begins within an episode.
    pub(crate) paid: Vec<bool>,
    /// `[T, B]`: where episodes begin.
    pub(crate) resets: Vec<bool>,
    /// `[T, B]`: whether anything follows.
    pub(crate) continues: Vec<bool>,
}

impl Sequences {
    /// The sequences of `steps` moments that begin at some slots; `befores` has what was done before each, `[B, A]`.
    pub(crate) fn read(
        &mut self,
        replay: &ReplayBuffer,
        acts: &Acts,
        starts: &[u32],
        befores: &[f32],
        steps: usize,
    ) {
        let (rows, width) = (starts.len(), acts.len());
        self.moments.clear();
        self.moments.resize(steps * rows, Moment::Before(0));
        self.actions.clear();
        self.actions.resize(steps * rows * width, 0.0);
        self.rewards.clear();
        self.rewards.resize(steps * rows, 0.0);
        [&mut self.paid, &mut self.resets, &mut self.continues].into_iter().for_each(|flags| {
            flags.clear();
            flags.resize(steps * rows, true);
        });
        for (row, &start) in starts.iter().enumerate() {
            let (mut step, mut tick) = (0, 0);
            while step < steps {
                let slot = replay.following(start, tick);
                let reset = replay.reset(slot);
                let at = step * rows + row;
                let done = &mut self.actions[at * width..(at + 1) * width];
                self.moments[at] = Moment::Before(slot);
                self.resets[at] = reset;
                if !reset && tick > 0 {
                    let before = replay.following(start, tick - 1);
                    acts.read(replay.action(before), done);
                    self.rewards[at] = replay.reward(before);
                } else if !reset {
                    done.copy_from_slice(&befores[row * width..(row + 1) * width]);
                    self.paid[at] = false;
                }
                step += 1;
                if replay.ended(slot) && step < steps {
                    let at = step * rows + row;
                    self.moments[at] = Moment::After(slot);
                    acts.read(replay.action(slot), &mut self.actions[at * width..(at + 1) * width]);
                    self.rewards[at] = replay.reward(slot);
                    self.resets[at] = false;
                    self.continues[at] = !replay.terminated(slot);
                    step += 1;
                }
                tick += 1;
            }
        }
    }
}
