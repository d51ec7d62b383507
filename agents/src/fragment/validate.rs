//! Checks of a fragment that comes from outside: what consumers rely on, said before they do.

use agon_envs::{ActionBatch, ActionSpec};

use super::{Fragment, FragmentShape};
use crate::AgentError;

impl Fragment {
    /// Checks that a fragment is what an environment loop could have filled: sizes and kinds, actions within their bounds
    /// and masks, finite rewards, and the end of every episode with its final observation.
    ///
    /// Rows that took no part in a tick are not looked at: nothing reads what they hold.
    ///
    /// # Errors
    /// [`AgentError::Fragment`] naming the first thing that is wrong, with its tick and row.
    pub fn validate(&self, shape: &FragmentShape, num_shards: usize) -> Result<(), AgentError> {
        self.expect(self.shard < num_shards, "shard", || format!("below {num_shards}"), &self.shard)?;
        self.expect_equal("sizes", shape, &self.shape)?;
        self.validate_lengths()?;
        self.validate_actions()?;
        for (row, reward) in self.rewards.iter().enumerate().filter(|(row, _)| self.active[*row]) {
            let what = || format!("reward of {}", self.place(row));
            self.expect(reward.is_finite(), what, || "finite".to_owned(), reward)?;
        }
        for (row, task) in self.tasks.iter().enumerate() {
            let (what, tasks) = (|| format!("task of {}", self.place(row)), shape.num_tasks);
            self.expect((*task as usize) < tasks, what, || format!("below {tasks}"), task)?;
        }
        self.validate_ends()
    }

    fn validate_lengths(&self) -> Result<(), AgentError> {
        let (shape, rows, num_rows) = (&self.shape, self.rows(), self.shape.num_rows());
        let ends = self.final_rows.len();
        for (what, expected, found) in [
            ("observations", (rows + num_rows) * shape.observation_len, self.observations.len()),
            ("values of actions", rows * shape.action_spec.width(), self.actions.len()),
            ("values of policy_data", rows * shape.policy_data_width, self.policy_data.len()),
            ("values of policy_state", num_rows * shape.policy_state_len, self.policy_state.len()),
            ("resets", rows, self.resets.len()),
            ("tasks", if shape.num_tasks > 0 { rows } else { 0 }, self.tasks.len()),
            ("values of what a teacher sees", rows * self.privileged_len(), self.privileged.len()),
            ("rewards", rows, self.rewards.len()),
            ("terminated flags", rows, self.terminated.len()),
            ("truncated flags", rows, self.truncated.len()),
            ("active flags", rows, self.active.len()),
            ("values of action_masks", (rows + num_rows) * shape.mask_len, self.action_masks.len()),
            ("values of final_observations", ends * shape.observation_len, self.final_observations.len()),
            ("episodes", ends, self.episodes.len()),
            ("values of episode_metrics", ends * shape.num_metrics, self.episode_metrics.len()),
        ] {
            self.expect_equal(format!("number of {what}"), &expected, &found)?;
        }
        self.expect_equal("type of observations", &shape.dtype, &self.observations.dtype())?;
        self.expect_equal("type of final observations", &shape.dtype, &self.final_observations.dtype())?;
        let dtype = shape.privileged.map_or(self.privileged.dtype(), |(dtype, _)| dtype);
        self.expect_equal("type of what a teacher sees", &dtype, &self.privileged.dtype())?;
        let discrete = matches!(self.actions, ActionBatch::Discrete(_));
        let expected = matches!(shape.action_spec, ActionSpec::Discrete { .. });
        self.expect_equal("actions being discrete", &expected, &discrete)
    }

    fn privileged_len(&self) -> usize {
        self.shape.privileged.map_or(0, |(_, len)| len)
    }

    fn validate_actions(&self) -> Result<(), AgentError> {
        let FragmentShape { action_spec, mask_len, .. } = &self.shape;
        for row in (0..self.rows()).filter(|&row| self.active[row]) {
            let action = self.actions.row(row, action_spec.width());
            let mask = self.action_masks.get(row * mask_len..(row + 1) * mask_len);
            let mask = mask.filter(|mask| !mask.is_empty());
            match action_spec {
                ActionSpec::Discrete { nvec } => {
                    let mut first = 0;
                    for (&n, &chosen) in nvec.iter().zip(action.indices()) {
                        let what = || format!("action of {}", self.place(row));
                        self.expect(chosen < n, what, || format!("below {n}"), &chosen)?;
                        let allowed = mask.is_none_or(|mask| mask[first + chosen as usize]);
                        self.expect(allowed, what, || "allowed by its mask".to_owned(), &chosen)?;
                        first += n as usize;
                    }
                }
                ActionSpec::Continuous { low, high } => {
                    for ((value, low), high) in action.values().iter().zip(low).zip(high) {
                        let what = || format!("action of {}", self.place(row));
                        let inside = (low..=high).contains(&value);
                        self.expect(inside, what, || format!("between {low} and {high}"), value)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The steps that ended an episode, and no others, have a final observation and an episode.
    fn validate_ends(&self) -> Result<(), AgentError> {
        let num_rows = self.shape.num_rows();
        let mut finals = self.final_rows.iter().map(|&row| row as usize).enumerate().peekable();
        for row in (0..self.rows()).filter(|&row| self.ended(row)) {
            let found = finals.peek().map(|&(_, found)| found);
            let what = || format!("final observation of {}", self.place(row));
            self.expect(found == Some(row), what, || "there".to_owned(), &"none at its place")?;
            if let Some((index, _)) = finals.next() {
                let (tick, stats) = &self.episodes[index];
                let what = || format!("tick and row of the episode that ended at {}", self.place(row));
                let expected = ((row / num_rows) as u32, (row % num_rows) as u32);
                self.expect_equal(what(), &expected, &(*tick, stats.row))?;
            }
            if let Some(reset) = self.resets.get(row + num_rows) {
                let what = || format!("reset after the end of {}", self.place(row));
                self.expect(*reset, what, || "true".to_owned(), reset)?;
            }
        }
        match finals.next() {
            None => Ok(()),
            Some((_, row)) => {
                let expected = || "of a step that ended an episode, in increasing order".to_owned();
                self.expect(false, "row of a final observation", expected, &row)
            }
        }
    }

    fn place(&self, row: usize) -> String {
        let num_rows = self.shape.num_rows();
        format!("row {} in tick {}", row % num_rows, row / num_rows)
    }

    fn expect_equal<T: PartialEq + std::fmt::Debug>(
        &self,
        what: impl What,
        expected: &T,
        found: &T,
    ) -> Result<(), AgentError> {
        self.expect(expected == found, what, || format!("{expected:?}"), &format!("{found:?}"))
    }

    fn expect(
        &self,
        holds: bool,
        what: impl What,
        expected: impl Fn() -> String,
        found: &dyn ToString,
    ) -> Result<(), AgentError> {
        if holds {
            return Ok(());
        }
        let (what, expected, found) = (what.text(), expected(), found.to_string());
        Err(AgentError::Fragment { shard: self.shard, what, expected, found })
    }
}

/// What was looked at: text, or what makes it where it costs something.
trait What {
    fn text(self) -> String;
}

impl What for &str {
    fn text(self) -> String {
        self.to_owned()
    }
}

impl What for String {
    fn text(self) -> String {
        self
    }
}

impl<F: Fn() -> String> What for F {
    fn text(self) -> String {
        self()
    }
}

#[cfg(test)]
mod tests {
    use agon_envs::ObsBuffer;
    use agon_envs::Registry;

    use super::*;
    use crate::ppo::{Ppo, PpoConfig};
    use crate::test_support::{Aim, FourSteps, Recall, Trial, TrialConfig, mlp, spec_of};
    use crate::{Algorithm, Fragment};

    fn fragments(spec: &agon_envs::EnvSpec) -> Vec<Fragment> {
        let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps: 1000, seed: 1 };
        let network = mlp(&[4], agon_nn::Activation::Tanh);
        let config = PpoConfig { num_steps: 8, ..PpoConfig::default() };
        Trial::new(spec, sizes, |info| Ppo::new(config, &network, info)).collect()
    }

    #[test]
    fn what_a_loop_fills_is_valid_and_survives_being_sent() {
        let registry = Registry::builtin();
        let specs = [
            spec_of(FourSteps::default()),
            spec_of(FourSteps::default()).max_episode_steps(3),
            spec_of(Recall::masked()),
            spec_of(Aim::default()).max_episode_steps(5),
            registry.get("Foraging-8x8-2p-2f-v3").unwrap().into_owned(),
        ];
        for spec in specs {
            for fragment in fragments(&spec) {
                fragment.validate(&fragment.shape, 2).unwrap();
                let sent = crate::codec::encode(&fragment).unwrap();
                assert_eq!(crate::codec::decode::<Fragment>(&sent).unwrap(), fragment);
            }
        }
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        type Case = (fn(&mut Fragment), &'static str);
        let cases: [Case; 16] = [
            (|f| f.shard = 2, "shard must be below 2, got 2"),
            (|f| f.shape.num_steps = 3, "sizes must be FragmentShape { num_steps: 8"),
            (|f| f.privileged.resize(3), "number of values of what a teacher sees must be 0, got 3"),
            (|f| f.rewards.truncate(15), "number of rewards must be 16, got 15"),
            (|f| f.observations.resize(3), "number of observations must be 72, got 3"),
            (
                |f| f.final_observations = ObsBuffer::U8(vec![0; 16]),
                "type of final observations must be F32, got U8",
            ),
            (
                |f| f.actions = ActionBatch::Continuous(vec![0.0; 16]),
                "actions being discrete must be true, got false",
            ),
            (|f| f.actions.indices_mut()[3] = 2, "action of row 1 in tick 1 must be below 2, got 2"),
            (|f| f.rewards[5] = f32::NAN, "reward of row 1 in tick 2 must be finite, got NaN"),
            (
                |f| {
                    f.final_rows.remove(1);
                    f.episodes.remove(1);
                    f.final_observations.resize(12);
                },
                "final observation of row 1 in tick 3 must be there, got none at its place",
            ),
            (
                |f| f.terminated[0] = true,
                "final observation of row 0 in tick 0 must be there, got none at its place",
            ),
            (
                |f| f.terminated[15] = false,
                "row of a final observation must be of a step that ended an episode, in increasing order, got 15",
            ),
            (
                |f| f.final_rows.swap(0, 1),
                "final observation of row 0 in tick 3 must be there, got none at its place",
            ),
            (
                |f| f.episodes[2].1.row = 1,
                "tick and row of the episode that ended at row 0 in tick 7 must be (7, 0), got (7, 1)",
            ),
            (|f| f.resets[8] = false, "reset after the end of row 0 in tick 3 must be true, got false"),
            (|f| f.episode_metrics.push(0.0), "number of values of episode_metrics must be 0, got 1"),
        ];
        for (spoil, expected) in cases {
            let mut fragment = fragments(&spec_of(FourSteps::default())).swap_remove(0);
            let shape = fragment.shape.clone();
            spoil(&mut fragment);
            let error = fragment.validate(&shape, 2).unwrap_err().to_string();
            let shard = fragment.shard;
            assert!(
                error.starts_with(&format!("fragment of shard {shard}: {expected}")),
                "{expected}: {error}"
            );
        }
    }

    #[test]
    fn masks_and_bounds_hold_for_actions() {
        let mut fragment = fragments(&spec_of(Recall::masked())).swap_remove(0);
        let shape = fragment.shape.clone();
        let chosen = fragment.actions.indices()[1] as usize;
        fragment.action_masks[2 + chosen] = false;
        let error = fragment.validate(&shape, 2).unwrap_err().to_string();
        assert!(error.contains("action of row 0 in tick 0 must be allowed by its mask"), "{error}");
        let mut fragment = fragments(&spec_of(Aim::default())).swap_remove(0);
        let ActionBatch::Continuous(values) = &mut fragment.actions else { panic!("aims are continuous") };
        values[2] = 1.5;
        let shape = fragment.shape.clone();
        let error = fragment.validate(&shape, 2).unwrap_err().to_string();
        assert!(error.ends_with("action of row 0 in tick 1 must be between -1 and 1, got 1.5"), "{error}");
    }

    #[test]
    fn a_row_that_took_no_part_is_not_looked_at() {
        let mut fragment = fragments(&spec_of(FourSteps::default())).swap_remove(0);
        let shape = fragment.shape.clone();
        fragment.active[0] = false;
        fragment.rewards[0] = f32::NAN;
        fragment.terminated[0] = true;
        fragment.actions.indices_mut()[0] = 99;
        fragment.validate(&shape, 2).unwrap();
    }
}
