//! PocMemoryEnv: remember which end of a corridor is good.
//!
//! # Description
//! A one-dimensional corridor with a goal at each end, one rewarding, one punishing. Which is which is shown during the
//! first two steps and hidden afterwards. The smallest task that shows whether a recurrent policy works.
//!
//! # Action space
//! `Discrete(2)`: 0 left, 1 right.
//!
//! # Observation space
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 | the left goal: 1 good, −1 bad, 0 hidden | −1 | 1 |
//! | 1 | position | −1 | 1 |
//! | 2 | the right goal: 1 good, −1 bad, 0 hidden | −1 | 1 |
//!
//! # Rewards
//! −0.1 a step; at a goal ±(1 + 0.1 m) instead, where m is the least number of steps across half the corridor, plus one.
//!
//! # Starting state
//! A random position near the middle (anywhere if `glob`), and a random good end.
//!
//! # Episode end
//! Terminated at either end; truncated after 128 steps.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `step_size` | 0.2 | length of a step |
//! | `glob` | false | start anywhere |
//! | `freeze` | false | do not move while the goals are shown |
//!
//! # Version history
//! v0: as in the reference.
//!
//! # Source
//! MarcoMeter, `recurrent-ppo-truncated-bptt`, `environments/poc_memory_env.py`.
//!
//! # Deviations
//! 1. The reference has no time limit; a policy that walks to and fro would never end there.
//! 2. Random numbers are the arena's own instead of a global generator's.

use serde::{Deserialize, Serialize};

use crate::{Action, Canvas, Env, EnvError, Frame, Pcg64, Space, Step};

const TIME_PENALTY: f64 = 0.1;
/// Steps during which the goals are shown.
const SHOWN: u32 = 2;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PocMemoryArgs {
    /// Length of a step.
    pub step_size: f64,
    /// Start anywhere.
    pub glob: bool,
    /// Do not move while the goals are shown.
    pub freeze: bool,
}

impl Default for PocMemoryArgs {
    fn default() -> Self {
        Self { step_size: 0.2, glob: false, freeze: false }
    }
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PocMemory {
    args: PocMemoryArgs,
    starts: Vec<f64>,
    position: f64,
    good_is_right: bool,
    steps: u32,
}

impl PocMemory {
    /// With the given arguments.
    ///
    /// # Errors
    /// If a step is not longer than 0.01 or longer than 0.5.
    pub fn new(args: PocMemoryArgs) -> Result<Self, EnvError> {
        let step = args.step_size;
        if !(0.01..=0.5).contains(&step) {
            let (field, found) = ("step_size", step.to_string());
            return Err(EnvError::Setting { field, expected: "between 0.01 and 0.5", found });
        }
        let near = (0.4 / step).floor();
        let (lower, upper) = if args.glob {
            (-1.0 + step, 1.0)
        } else {
            ((-2.0 * step).min(-near * step), (3.0 * step).max((near + 1.0) * step))
        };
        let count = ((upper - lower) / step).ceil() as usize;
        let starts = (0..count).map(|i| round((lower + i as f64 * step).clamp(-1.0 + step, 1.0 - step)));
        Ok(Self { args, starts: starts.collect(), position: 0.0, good_is_right: false, steps: 0 })
    }

    fn observe(&self, shown: bool, obs: &mut [f32]) {
        let goal = if self.good_is_right { 1.0 } else { -1.0 };
        let (left, right) = if shown { (-goal, goal) } else { (0.0, 0.0) };
        obs.copy_from_slice(&[left, self.position as f32, right]);
    }
}

/// Two decimals, as the reference keeps positions.
fn round(position: f64) -> f64 {
    (position * 100.0).round_ties_even() / 100.0
}

impl Env for PocMemory {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_uniform(-1.0, 1.0, &[3]).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.position = self.starts[rng.integers(0, self.starts.len() as i64) as usize];
        self.good_is_right = rng.integers(0, 2) == 1;
        self.steps = 0;
        self.observe(true, obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let shown = self.steps < SHOWN;
        self.steps += 1;
        if shown && self.args.freeze {
            self.observe(true, obs);
            return Step::running(0.0);
        }
        let step = if action.index() == 1 { self.args.step_size } else { -self.args.step_size };
        self.position = round((self.position + step).clamp(-1.0, 1.0));
        self.observe(shown, obs);
        if self.position.abs() < 1.0 {
            return Step::running(-TIME_PENALTY);
        }
        let prize = 1.0 + ((1.0 / self.args.step_size) as i64 + 1) as f64 * TIME_PENALTY;
        let good = (self.position > 0.0) == self.good_is_right;
        Step::terminated(if good { prize } else { -prize })
    }

    fn render(&self) -> Option<Frame> {
        let mut canvas = Canvas::new(500, 120, [245, 245, 240]);
        let x = |position: f64| 250.0 + 220.0 * position as f32;
        canvas.line((x(-1.0), 70.0), (x(1.0), 70.0), 3.0, [120, 120, 120]);
        for (end, good) in [(-1.0, !self.good_is_right), (1.0, self.good_is_right)] {
            let color = match (self.steps < SHOWN, good) {
                (false, _) => [170, 170, 170],
                (true, true) => [60, 160, 80],
                (true, false) => [210, 70, 60],
            };
            canvas.circle((x(end), 70.0), 16.0, color);
        }
        canvas.circle((x(self.position), 70.0), 10.0, [40, 90, 200]);
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let sign = |good: bool| {
            if self.steps >= SHOWN {
                '?'
            } else if good {
                '+'
            } else {
                '-'
            }
        };
        let cells = 21;
        let at = ((self.position + 1.0) / 2.0 * (cells - 1) as f64).round() as usize;
        let mut line: Vec<char> = vec!['.'; cells];
        (line[0], line[cells - 1]) = (sign(!self.good_is_right), sign(self.good_is_right));
        line[at] = 'a';
        Some(line.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn the_good_end_pays_and_the_signs_are_hidden_after_two_steps() {
        for seed in 0..20 {
            let mut env = PocMemory::new(PocMemoryArgs::default()).unwrap();
            let (mut rng, mut obs) = (Pcg64::seed_from(seed), [0.0; 3]);
            env.reset(&mut rng, &mut obs);
            assert!(obs[0] == -obs[2] && obs[0].abs() == 1.0 && obs[1].abs() <= 0.4);
            let to_the_right = u32::from(obs[2] == 1.0);
            let start = f64::from(obs[1]).abs();
            let (mut total, mut steps) = (0.0, 0);
            loop {
                let step = env.step(Action::Discrete(&[to_the_right]), &mut rng, &mut obs);
                steps += 1;
                total += step.reward;
                assert_eq!(obs[0] != 0.0, steps <= 2, "shown for two steps");
                if step.outcome == Outcome::Terminated {
                    break;
                }
            }
            assert!((3..=7).contains(&steps) && start <= 0.41);
            assert!((total - (1.6 - 0.1 * f64::from(steps - 1))).abs() < 1e-9, "{total} in {steps}");
        }
    }

    #[test]
    fn a_step_that_cannot_be_is_refused() {
        let args = PocMemoryArgs { step_size: 0.0, ..Default::default() };
        assert_eq!(
            PocMemory::new(args).unwrap_err().to_string(),
            "step_size must be between 0.01 and 0.5, got 0"
        );
    }
}
