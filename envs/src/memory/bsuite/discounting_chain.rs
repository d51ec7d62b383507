//! DiscountingChain: a reward soon, or a slightly better one later.
//!
//! # Description
//! The first action chooses one of five chains, which pay after 1, 3, 10, 30 or 100 steps. One of them pays 10 % more.
//!
//! # Action space
//! `Discrete(5)`: the chain; ignored after the first step.
//!
//! # Observation space
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 | the chosen chain, −1 before the choice | −1 | 4 |
//! | 1 | time, as a share of the episode | 0 | 1 |
//!
//! # Rewards
//! 1 at the chain's time, 1.1 on the better chain.
//!
//! # Starting state
//! Nothing chosen.
//!
//! # Episode end
//! Terminated after 100 steps.
//!
//! # Arguments
//! `mapping_seed` (0): the better chain, modulo 5; bsuite runs 0 to 19.
//!
//! # Version history
//! v0: as in bsuite.
//!
//! # Source
//! Osband et al. (2020), "Behaviour Suite for Reinforcement Learning"; `bsuite/environments/discounting_chain.py`.
//!
//! # Deviations
//! 1. Random draws are of another generator, of the same distribution.

use serde::{Deserialize, Serialize};

use crate::{Action, Canvas, Env, EnvError, Frame, Pcg64, Space, Step};

const EPISODE: u32 = 100;
/// When each chain pays.
const TIMES: [u32; 5] = [1, 3, 10, 30, 100];

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscountingChainArgs {
    /// The better chain, modulo 5.
    pub mapping_seed: u32,
}

/// The environment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DiscountingChain {
    better: usize,
    chosen: Option<usize>,
    time: u32,
}

impl DiscountingChain {
    /// With the given arguments.
    ///
    /// # Errors
    /// None.
    pub fn new(args: DiscountingChainArgs) -> Result<Self, EnvError> {
        Ok(Self { better: args.mapping_seed as usize % TIMES.len(), chosen: None, time: 0 })
    }

    fn observe(self, obs: &mut [f32]) {
        obs[0] = self.chosen.map_or(-1.0, |chain| chain as f32);
        obs[1] = self.time as f32 / EPISODE as f32;
    }
}

impl Env for DiscountingChain {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_f32(&[-1.0, 0.0], &[4.0, 1.0]).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(TIMES.len()).expect("five is not zero")
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        (self.chosen, self.time) = (None, 0);
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let chain = *self.chosen.get_or_insert(action.index());
        self.time = (self.time + 1).min(EPISODE);
        let pay = if chain == self.better { 1.1 } else { 1.0 };
        let reward = if self.time == TIMES[chain] { pay } else { 0.0 };
        self.observe(obs);
        if self.time == EPISODE { Step::terminated(reward) } else { Step::running(reward) }
    }

    fn render(&self) -> Option<Frame> {
        let mut canvas = Canvas::new(420, 200, [245, 245, 240]);
        for (chain, time) in TIMES.into_iter().enumerate() {
            let y = 24.0 + 36.0 * chain as f32;
            let ink = if self.chosen == Some(chain) { [40, 90, 200] } else { [160, 160, 160] };
            canvas.line((20.0, y), (20.0 + 3.6 * time as f32, y), 3.0, ink);
            canvas.circle((20.0 + 3.6 * time as f32, y), 7.0, [230, 190, 60]);
        }
        let x = 20.0 + 3.6 * self.time as f32;
        canvas.line((x, 8.0), (x, 192.0), 1.5, [200, 70, 60]);
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let chain =
            self.chosen.map_or("none".to_owned(), |chain| format!("{chain}, pays at {}", TIMES[chain]));
        Some(format!("step {} of {EPISODE}\nchain: {chain}", self.time))
    }
}
