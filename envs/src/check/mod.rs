//! The contract that every environment keeps, as a check anyone can run on theirs.

mod halves;
mod saving;

use crate::simulator::{Autoreset, Simulator};
use crate::{ActionBatch, ActionSpec, EnvError, EnvSpec, MakeOptions, ObsRow, Pcg64, StepBatch};

/// Steps of each trajectory that the check walks.
const STEPS: usize = 1200;
/// Environments in the batch.
const NUM_ENVS: usize = 5;

/// What a passed check saw.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    /// Environment steps taken.
    pub steps: usize,
    /// Episodes that ended.
    pub episodes: usize,
    /// Whether trajectories of two seeds differ. An environment without randomness is no error.
    pub seeds_differ: bool,
    /// Whether its state can be saved. An environment that says it cannot is no error.
    pub snapshots: bool,
}

/// Checks that an environment keeps the contract: observations in their space, the same seed and actions give the same
/// trajectory whatever else is in the batch, episodes end by the rules of each autoreset mode, a wrong action and a step
/// after the end are refused, both halves of a step are a step, and a restored snapshot, a forked environment and one that
/// was saved and loaded have the same future.
///
/// Running statistics of wrappers are frozen: what they share between rows is the exception to the contract.
///
/// # Errors
/// [`EnvError::Contract`] naming the broken rule, or what the environment itself reports.
pub fn check_env(spec: &EnvSpec) -> Result<CheckReport, EnvError> {
    let check = Check { spec };
    let report = check.same_step()?;
    check.next_step()?;
    check.disabled()?;
    check.rows_are_independent()?;
    check.wrong_actions_are_refused()?;
    check.halves_are_a_step()?;
    check.halves_come_in_turn()?;
    let snapshots = check.saving()?;
    Ok(CheckReport { snapshots, ..report })
}

struct Check<'a> {
    spec: &'a EnvSpec,
}

/// One tick, as far as trajectories are compared.
type Trace = Vec<(StepBatch, ActionBatch)>;

impl Check<'_> {
    fn make(&self, num_envs: usize, autoreset: Autoreset) -> Result<Simulator, EnvError> {
        let mut simulator = self.spec.make(&MakeOptions { num_envs, autoreset, ..Default::default() })?;
        simulator.visit_statistics(&mut |statistics| statistics.freeze(true));
        Ok(simulator)
    }

    fn broken(&self, message: String) -> EnvError {
        EnvError::Contract { id: self.spec.id().to_owned(), message }
    }

    fn ensure(&self, holds: bool, message: impl FnOnce() -> String) -> Result<(), EnvError> {
        if holds { Ok(()) } else { Err(self.broken(message())) }
    }

    /// Walks a trajectory with random legal actions and hands every tick to `visit`.
    fn walk(
        &self,
        simulator: &mut Simulator,
        seed: u64,
        steps: usize,
        mut visit: impl FnMut(&StepBatch, &ActionBatch) -> Result<(), EnvError>,
    ) -> Result<StepBatch, EnvError> {
        let mut out = simulator.new_batch();
        simulator.reset(seed, &mut out)?;
        let mut rng = Pcg64::seed_from(seed ^ 0x5eed);
        let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
        for _ in 0..steps {
            random_actions(simulator, &out, &mut rng, &mut actions)?;
            simulator.step(&actions, &mut out)?;
            visit(&out, &actions)?;
        }
        Ok(out)
    }

    fn trace(&self, num_envs: usize, seed: u64, steps: usize) -> Result<Trace, EnvError> {
        let mut simulator = self.make(num_envs, Autoreset::SameStep)?;
        let mut trace = Trace::new();
        self.walk(&mut simulator, seed, steps, |out, actions| {
            trace.push((out.clone(), actions.clone()));
            Ok(())
        })?;
        Ok(trace)
    }

    fn observation_in_space(
        &self,
        simulator: &Simulator,
        row: ObsRow<'_>,
        what: &str,
    ) -> Result<(), EnvError> {
        let mut packed = vec![0.0; row.len()];
        row.write_f32(&mut packed);
        simulator
            .observation_space()
            .contains_packed(&packed)
            .map_err(|error| self.broken(format!("{what} is not in the observation space: {error}")))
    }

    /// Same-step autoreset: bounds, outcome rules, determinism and difference across seeds.
    fn same_step(&self) -> Result<CheckReport, EnvError> {
        let mut simulator = self.make(NUM_ENVS, Autoreset::SameStep)?;
        let shape = simulator.observation_len();
        let probe = self.make(NUM_ENVS, Autoreset::SameStep)?;
        let mut lengths = vec![0u32; simulator.num_rows()];
        let mut episodes = 0;
        let num_metrics = simulator.info().metrics.len();
        self.walk(&mut simulator, 1, STEPS, |out, _| {
            let metrics = &out.episode_metrics;
            let complete = metrics.len() == out.episodes.len() * num_metrics;
            self.ensure(complete && metrics.iter().all(|value| !value.is_infinite()), || {
                format!("{num_metrics} metrics of {} episodes: got {metrics:?}", out.episodes.len())
            })?;
            for (row, length) in lengths.iter_mut().enumerate() {
                self.observation_in_space(
                    &probe,
                    out.observations.view(row * shape, shape),
                    "an observation",
                )?;
                if !out.active[row] {
                    self.idle_row(out, row)?;
                    continue;
                }
                *length += 1;
                let limited = self.spec.time_limit().is_some_and(|limit| *length >= limit);
                let ended = out.terminated[row] || out.truncated[row];
                self.ensure(!limited || out.truncated[row], || {
                    format!("row {row} ran past its limit of {length} steps")
                })?;
                let listed = out.episodes.iter().position(|episode| episode.row as usize == row);
                self.ensure(listed.is_some() == ended, || {
                    format!("row {row}: ended is {ended}, listed as ended {}", listed.is_some())
                })?;
                if let Some(i) = listed {
                    self.ensure(out.episodes[i].episode_length == *length, || {
                        format!("episode length: expected {}, got {}", length, out.episodes[i].episode_length)
                    })?;
                    let last = out.final_observations.view(i * shape, shape);
                    self.observation_in_space(&probe, last, "a final observation")?;
                    *length = 0;
                    episodes += 1;
                }
            }
            Ok(())
        })?;
        let (first, again, other) = (self.trace(1, 3, 200)?, self.trace(1, 3, 200)?, self.trace(1, 4, 200)?);
        self.ensure(first == again, || "the same seed and actions gave two trajectories".to_owned())?;
        let seeds_differ = first.iter().zip(&other).any(|(a, b)| a.0.observations != b.0.observations);
        Ok(CheckReport { steps: STEPS * simulator.num_envs(), episodes, seeds_differ, snapshots: false })
    }

    /// A row that takes no part in a tick, because its episode is over, has no outcome.
    fn idle_row(&self, out: &StepBatch, row: usize) -> Result<(), EnvError> {
        let ends = out.terminated[row] || out.truncated[row];
        self.ensure(out.rewards[row] == 0.0 && !ends, || {
            format!("row {row} gave reward {} and end {ends} in a tick after its end", out.rewards[row])
        })
    }

    /// Next-step autoreset: the tick after an end gives reward zero, no flags, and ignores the action.
    fn next_step(&self) -> Result<(), EnvError> {
        let mut simulator = self.make(NUM_ENVS, Autoreset::NextStep)?;
        let mut ended = vec![false; simulator.num_rows()];
        self.walk(&mut simulator, 2, STEPS, |out, _| {
            for (row, ended) in ended.iter_mut().enumerate() {
                self.ensure(!(*ended && out.active[row]), || {
                    format!("row {row} acted in the tick after its end")
                })?;
                if !out.active[row] {
                    self.idle_row(out, row)?;
                }
                *ended = out.terminated[row] || out.truncated[row];
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Autoreset disabled: a step after the end is refused, and a reset row goes on.
    fn disabled(&self) -> Result<(), EnvError> {
        let mut simulator = self.make(1, Autoreset::Disabled)?;
        let mut out = simulator.new_batch();
        simulator.reset(5, &mut out)?;
        let mut rng = Pcg64::seed_from(6);
        let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
        let mut running = simulator.num_rows();
        let limit = self.spec.time_limit().map_or(STEPS, |limit| limit as usize + 1);
        for _ in 0..limit {
            random_actions(&simulator, &out, &mut rng, &mut actions)?;
            simulator.step(&actions, &mut out)?;
            running -= out.episodes.len();
            if running == 0 {
                let refused =
                    matches!(simulator.step(&actions, &mut out), Err(EnvError::StepAfterEnd { row: 0 }));
                self.ensure(refused, || "a step after the end was not refused".to_owned())?;
                simulator.reset_envs(&[0], &mut out)?;
                random_actions(&simulator, &out, &mut rng, &mut actions)?;
                return simulator.step(&actions, &mut out);
            }
        }
        self.ensure(self.spec.time_limit().is_none(), || format!("no episode ended in {limit} steps"))
    }

    /// An environment's trajectory depends on its own seed and actions only.
    fn rows_are_independent(&self) -> Result<(), EnvError> {
        let batch = self.trace(NUM_ENVS, 11, 200)?;
        for env in 0..NUM_ENVS {
            let mut alone = self.make(1, Autoreset::SameStep)?;
            let (width, len) = (alone.action_spec().width(), alone.observation_len());
            let agents = alone.num_agents();
            let first = env * agents;
            let mut out = alone.new_batch();
            alone.reset(11 + env as u64, &mut out)?;
            let mut action = ActionBatch::zeros(alone.action_spec(), agents);
            for (tick, (expected, actions)) in batch.iter().enumerate() {
                action.copy_range(0, actions, first * width, agents * width);
                alone.step(&action, &mut out)?;
                let same = (0..agents).all(|agent| {
                    let row = first + agent;
                    out.observations.view(agent * len, len) == expected.observations.view(row * len, len)
                        && out.rewards[agent].to_bits() == expected.rewards[row].to_bits()
                        && out.terminated[agent] == expected.terminated[row]
                        && out.truncated[agent] == expected.truncated[row]
                });
                self.ensure(same, || {
                    format!("tick {tick}: environment {env} of {NUM_ENVS} differs from the same one alone")
                })?;
            }
        }
        Ok(())
    }

    fn wrong_actions_are_refused(&self) -> Result<(), EnvError> {
        let mut simulator = self.make(2, Autoreset::SameStep)?;
        let mut out = simulator.new_batch();
        simulator.reset(0, &mut out)?;
        let (width, rows) = (simulator.action_spec().width(), simulator.num_rows());
        let wrong = match simulator.action_spec() {
            ActionSpec::Discrete { nvec } => vec![
                ActionBatch::Discrete(nvec.repeat(rows)),
                ActionBatch::Discrete(vec![0; (rows - 1) * width]),
                ActionBatch::Continuous(vec![0.0; rows * width]),
            ],
            ActionSpec::Continuous { .. } => vec![
                ActionBatch::Continuous(vec![f32::NAN; rows * width]),
                ActionBatch::Continuous(vec![0.0; (rows - 1) * width]),
                ActionBatch::Discrete(vec![0; rows * width]),
            ],
        };
        for actions in wrong {
            let refused = simulator.step(&actions, &mut out).is_err();
            self.ensure(refused, || format!("the action {actions:?} was not refused"))?;
        }
        Ok(())
    }
}

/// Fills `actions` with random actions that the masks allow.
///
/// # Errors
/// If the space cannot be sampled.
pub fn random_actions(
    simulator: &Simulator,
    last: &StepBatch,
    rng: &mut Pcg64,
    actions: &mut ActionBatch,
) -> Result<(), EnvError> {
    let (space, width, mask_len) =
        (simulator.action_space(), simulator.action_spec().width(), simulator.mask_len());
    for row in 0..simulator.num_rows() {
        match (&mut *actions, simulator.action_spec()) {
            (ActionBatch::Discrete(values), ActionSpec::Discrete { nvec }) => {
                let mut mask = &last.action_masks[row * mask_len..(row + 1) * mask_len];
                for (branch, &n) in nvec.iter().enumerate() {
                    let (of_branch, rest) = mask.split_at(mask.len().min(n as usize));
                    mask = rest;
                    let allowed = |action: u32| of_branch.get(action as usize).copied().unwrap_or(true);
                    let legal = (0..n).filter(|&action| allowed(action)).count() as i64;
                    let pick = rng.integers(0, legal.max(1)) as usize;
                    values[row * width + branch] = (0..n).filter(|&a| allowed(a)).nth(pick).unwrap_or(0);
                }
            }
            (ActionBatch::Continuous(values), _) => {
                space.pack(&space.sample(rng), &mut values[row * width..(row + 1) * width])?;
            }
            (ActionBatch::Discrete(_), ActionSpec::Continuous { .. }) => {
                return Err(EnvError::ActionSpace(space.to_string()));
            }
        }
    }
    Ok(())
}
