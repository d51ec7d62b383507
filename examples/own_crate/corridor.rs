//! The environment: a plain struct. Its state is saved with the run because it is `Serialize` and `Deserialize`.

use agon::envs::{Action, Env, EnvError, Pcg64, Space, Step};
use serde::{Deserialize, Serialize};

/// Arguments, set with `--set env.args.length=20`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Steps from the middle to each end; at least 2.
    length: i64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { length: 10 }
    }
}

impl Arguments {
    pub(crate) fn make(self) -> Result<Corridor, EnvError> {
        if (2..=1000).contains(&self.length) {
            return Ok(Corridor { length: self.length, position: 0, flag: 0 });
        }
        let (field, expected) = ("length", "between 2 and 1000");
        Err(EnvError::Setting { field, expected, found: self.length.to_string() })
    }
}

/// Someone in a corridor, who looks for a flag that is put somewhere else each time.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Corridor {
    length: i64,
    position: i64,
    flag: i64,
}

impl Corridor {
    fn observe(&self, obs: &mut [f32]) {
        obs.copy_from_slice(&[self.position as f32, self.flag as f32]);
    }
}

impl Env for Corridor {
    type Obs = f32;

    /// Where one is and where the flag is.
    fn observation_space(&self) -> Space {
        let bound = self.length as f32;
        Space::box_uniform(-bound, bound, &[2]).unwrap_or(Space::MultiBinary { n: 2 })
    }

    /// 0 left, 1 stay, 2 right.
    fn action_space(&self) -> Space {
        Space::Discrete { n: 3, start: 0 }
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.position = 0;
        self.flag = rng.integers(1, self.length) * (2 * rng.integers(0, 2) - 1);
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.position = (self.position + action.index() as i64 - 1).clamp(-self.length, self.length);
        self.observe(obs);
        if self.position == self.flag { Step::terminated(1.0) } else { Step::running(-0.05) }
    }
}
