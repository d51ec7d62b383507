//! UmbrellaChain: a choice that matters much later.
//!
//! # Description
//! The forecast says whether an umbrella will be needed. Only the first action can take it; whether that was right shows at
//! the end of the chain, with random rewards and distracting observations on the way.
//!
//! # Action space
//! `Discrete(2)`: in the first step, whether to take the umbrella; ignored afterwards.
//!
//! # Observation space
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 | whether an umbrella is needed | 0 | 1 |
//! | 1 | whether there is one | 0 | 1 |
//! | 2 | time left, as a share of the chain | 0 | 1 |
//! | 3… | random bits | 0 | 1 |
//!
//! # Rewards
//! 1 or −1 at the end, for the right or wrong choice; 1 or −1 at random in every step before.
//!
//! # Starting state
//! Need and possession at random.
//!
//! # Episode end
//! Terminated after `chain_length` steps.
//!
//! # Arguments
//! `chain_length` (1): bsuite runs 1 to 10, 12, 14, 17, 20, 25, 30, 40, … 100; `n_distractor` (20): random bits.
//!
//! # Version history
//! v0: as in bsuite.
//!
//! # Source
//! Osband et al. (2020), "Behaviour Suite for Reinforcement Learning"; `bsuite/environments/umbrella_chain.py`.
//!
//! # Deviations
//! 1. Random draws are of another generator, of the same distribution.

use serde::{Deserialize, Serialize};

use super::out_of_range;
use crate::{Action, Canvas, Env, EnvError, Frame, Pcg64, Space, Step};

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UmbrellaChainArgs {
    /// Steps of an episode.
    pub chain_length: u32,
    /// Random bits of an observation.
    pub n_distractor: usize,
}

impl Default for UmbrellaChainArgs {
    fn default() -> Self {
        Self { chain_length: 1, n_distractor: 20 }
    }
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UmbrellaChain {
    args: UmbrellaChainArgs,
    needed: bool,
    taken: bool,
    time: u32,
}

impl UmbrellaChain {
    /// With the given arguments.
    ///
    /// # Errors
    /// If the chain is not 1 to 1000 steps long or there are over 1000 distractors.
    pub fn new(args: UmbrellaChainArgs) -> Result<Self, EnvError> {
        if !(1..=1000).contains(&args.chain_length) {
            return Err(out_of_range("chain_length", "between 1 and 1000", args.chain_length));
        }
        if args.n_distractor > 1000 {
            return Err(out_of_range("n_distractor", "at most 1000", args.n_distractor));
        }
        Ok(Self { args, needed: false, taken: false, time: 0 })
    }

    fn observe(&self, rng: &mut Pcg64, obs: &mut [f32]) {
        obs[0] = f32::from(u8::from(self.needed));
        obs[1] = f32::from(u8::from(self.taken));
        obs[2] = (1.0 - f64::from(self.time) / f64::from(self.args.chain_length)) as f32;
        obs[3..].iter_mut().for_each(|bit| *bit = f32::from(u8::from(rng.random() > 0.5)));
    }
}

impl Env for UmbrellaChain {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_uniform(0.0, 1.0, &[3 + self.args.n_distractor]).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.time = 0;
        self.needed = rng.random() > 0.5;
        self.taken = rng.random() > 0.5;
        self.observe(rng, obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.time = (self.time + 1).min(self.args.chain_length);
        if self.time == 1 {
            self.taken = action.index() == 1;
        }
        if self.time == self.args.chain_length {
            self.observe(rng, obs);
            return Step::terminated(if self.taken == self.needed { 1.0 } else { -1.0 });
        }
        let reward = if rng.random() > 0.5 { 1.0 } else { -1.0 };
        self.observe(rng, obs);
        Step::running(reward)
    }

    fn render(&self) -> Option<Frame> {
        let mut canvas = Canvas::new(400, 140, [235, 240, 245]);
        let sky = if self.needed { "rain is forecast" } else { "sun is forecast" };
        let hand = if self.taken { "with an umbrella" } else { "without an umbrella" };
        canvas.text_centered((200.0, 40.0), sky, 28.0, [50, 70, 120]);
        canvas.text_centered((200.0, 80.0), hand, 28.0, [120, 70, 50]);
        let share = self.time as f32 / self.args.chain_length as f32;
        canvas.rect(20.0, 112.0, 360.0, 10.0, [205, 210, 215]);
        canvas.rect(20.0, 112.0, (360.0 * share).max(0.5), 10.0, [90, 140, 90]);
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let (needed, taken) =
            (if self.needed { "rain" } else { "sun" }, if self.taken { "yes" } else { "no" });
        Some(format!(
            "forecast: {needed}\numbrella: {taken}\nstep {} of {}",
            self.time, self.args.chain_length
        ))
    }
}
