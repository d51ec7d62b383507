//! MemoryChain: remember bits that are shown once.
//!
//! # Description
//! Some bits are shown at the start of an episode. At its end the agent is asked for one of them.
//!
//! # Action space
//! `Discrete(2)`: the bit; ignored until it is asked for.
//!
//! # Observation space
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 | time left, as a share of the memory's length | 0 | 1 |
//! | 1 | number of the bit asked for, in the last observation before the answer; else 0 | 0 | bits |
//! | 2… | the bits as ±1 at the start; else 0 | −1 | 1 |
//!
//! # Rewards
//! 1 for the right bit, −1 for the wrong one, in the last step; 0 before.
//!
//! # Starting state
//! Random bits and a random question.
//!
//! # Episode end
//! Terminated after `memory_length + 1` steps. As in bsuite, the first step shows the bits again.
//!
//! # Arguments
//! | argument | `bsuite/memory_len-v0` | `bsuite/memory_size-v0` |
//! |---|---|---|
//! | `memory_length` | 1; bsuite runs 1 to 10, 12, 14, 17, 20, 25, 30, 40, … 100 | 2 |
//! | `num_bits` | 1 | 1; bsuite runs 1 to 10, 12, 14, 17, 20, 25, 30, 40 |
//!
//! # Version history
//! v0: as in bsuite.
//!
//! # Source
//! Osband et al. (2020), "Behaviour Suite for Reinforcement Learning"; `bsuite/environments/memory_chain.py`.
//!
//! # Deviations
//! 1. Random draws are of another generator, of the same distribution.

use serde::{Deserialize, Serialize};

use super::out_of_range;
use crate::spaces::{BoxSpace, Dtype};
use crate::{Action, Env, EnvError, Pcg64, Space, Step};

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryChainArgs {
    /// Steps that the bits are remembered over.
    pub memory_length: Option<u32>,
    /// Bits to remember.
    pub num_bits: Option<u32>,
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryChain {
    memory_length: u32,
    bits: Vec<bool>,
    query: usize,
    time: u32,
}

impl MemoryChain {
    /// With the given arguments, and the id's memory length.
    ///
    /// # Errors
    /// If the length or the number of bits is not between 1 and 1000.
    pub fn new(args: MemoryChainArgs, memory_length: u32) -> Result<Self, EnvError> {
        let memory_length = args.memory_length.unwrap_or(memory_length);
        let num_bits = args.num_bits.unwrap_or(1);
        for (field, value) in [("memory_length", memory_length), ("num_bits", num_bits)] {
            if !(1..=1000).contains(&value) {
                return Err(out_of_range(field, "between 1 and 1000", value));
            }
        }
        Ok(Self { memory_length, bits: vec![false; num_bits as usize], query: 0, time: 0 })
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[0] = (1.0 - f64::from(self.time) / f64::from(self.memory_length)) as f32;
        if self.time == self.memory_length - 1 {
            obs[1] = self.query as f32;
        }
        if self.time == 0 {
            obs[2..].iter_mut().zip(&self.bits).for_each(|(out, &bit)| *out = if bit { 1.0 } else { -1.0 });
        }
    }
}

impl Env for MemoryChain {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "bounds in order")]
    fn observation_space(&self) -> Space {
        let bits = self.bits.len();
        let low = [vec![0.0, 0.0], vec![-1.0; bits]].concat();
        let high = [vec![1.0, bits as f32], vec![1.0; bits]].concat();
        Space::Box(BoxSpace::new(low, high, vec![bits + 2], Dtype::F32).expect("bounds are in order"))
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.bits.iter_mut().for_each(|bit| *bit = rng.random() > 0.5);
        self.query = rng.integers(0, self.bits.len() as i64) as usize;
        self.time = 0;
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        // As in bsuite, what a step shows is of the time before it.
        self.observe(obs);
        self.time = (self.time + 1).min(self.memory_length + 1);
        if self.time <= self.memory_length {
            return Step::running(0.0);
        }
        let right = (action.index() == 1) == self.bits[self.query];
        Step::terminated(if right { 1.0 } else { -1.0 })
    }

    fn render(&self) -> Option<crate::Frame> {
        let mut canvas = crate::Canvas::new(400, 120, [245, 245, 240]);
        let shown = if self.time <= 1 {
            self.bits.iter().map(|&bit| if bit { '1' } else { '0' }).collect()
        } else {
            "?".repeat(self.bits.len())
        };
        canvas.text_centered((200.0, 45.0), &shown, 40.0, [40, 60, 120]);
        let caption = format!("bit {} is asked for at step {}", self.query, self.memory_length + 1);
        canvas.text_centered((200.0, 95.0), &format!("step {}: {caption}", self.time), 18.0, [90, 90, 90]);
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let bits: String = self.bits.iter().map(|&bit| if bit { '1' } else { '0' }).collect();
        let shown = if self.time <= 1 { bits } else { "hidden".to_owned() };
        Some(format!("step {} of {}\nbits: {shown}", self.time, self.memory_length + 1))
    }
}
