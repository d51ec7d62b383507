//! A stack of wrappers around an environment that is somewhere else: observations are fed in, actions come out.
//!
//! A trained policy acts outside its run's wrappers. Here they stand around [`Outside`], which is told what the caller
//! observed and keeps what it is to do, so that stacks of frames, statistics and rescaled actions are the very code, and the
//! very bits, of training.

use std::sync::{Arc, Mutex, PoisonError};

use agon_envs::batch::row_dtype;
use agon_envs::statistics::RunningStatistics;
use agon_envs::vector::{RowSet, VectorEnv, VectorInfo};
use agon_envs::{ActionBatch, ActionSpec, EnvError, ObsBuffer, ObsRow, Seed, StepBatch, WrapperConfig};

use super::file::{Card, EnvSpaces};
use crate::RunError;
use crate::acting::check_widths;

/// What a policy is told of one tick.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// `[N, O]`: a row for each agent of each environment.
    pub observations: ObsRow<'a>,
    /// `[N, A]`: which actions are legal; empty where all are.
    pub action_masks: &'a [bool],
    /// `[E]`: the environments whose episode begins with this observation; empty where none does. All do at the first call.
    pub episode_starts: &'a [bool],
    /// `[N]`: what the last action of each row was paid by the environment itself, of no meaning where an episode begins; empty
    /// where nobody says. For policies that aim at a return, which act as if there had been no rewards where they are not told.
    pub rewards: &'a [f64],
}

/// What passes between the caller and the innermost environment.
struct Border {
    observations: ObsBuffer,
    action_masks: Vec<bool>,
    rewards: Vec<f64>,
    actions: ActionBatch,
}

/// Both sides of it.
type SharedBorder = Arc<Mutex<Border>>;

/// The wrappers of a run around [`Outside`].
pub(super) struct Feed {
    env: Box<dyn VectorEnv>,
    border: Arc<Mutex<Border>>,
    all: RowSet,
    starting: RowSet,
    num_agents: usize,
}

/// How many environments the caller observed.
pub(super) fn num_envs(spaces: &EnvSpaces, observed: &Observed<'_>) -> Result<usize, RunError> {
    let width = spaces.observation.packed_len() * spaces.num_agents;
    let found = observed.observations.len();
    if found == 0 || !found.is_multiple_of(width) {
        return Err(wrong(format!("observations must be whole rows of {width} values, got {found} values")));
    }
    let (expected, found) = (row_dtype(&spaces.observation), observed.observations.dtype());
    if expected != found {
        return Err(wrong(format!("observations must be {expected:?}, got {found:?}")));
    }
    let num_envs = observed.observations.len() / width;
    let masks = num_envs * spaces.num_agents * spaces.mask_len;
    for (what, expected, found) in [
        ("action masks", masks, observed.action_masks.len()),
        ("episode starts", num_envs, observed.episode_starts.len()),
        ("rewards", num_envs * spaces.num_agents, observed.rewards.len()),
    ] {
        if found != 0 && found != expected {
            return Err(wrong(format!("{what} must be {expected}, or none, got {found}")));
        }
    }
    Ok(num_envs)
}

fn wrong(message: String) -> RunError {
    RunError::Policy(message)
}

impl Feed {
    pub(super) fn new(card: &Card, num_envs: usize) -> Result<Self, RunError> {
        let spaces = &card.env_spaces;
        let (mut env, border) = outside(spaces, num_envs)?;
        let rows = env.info().num_rows();
        for (depth, wrapper) in wrappers(card) {
            env = wrapper.wrap(env, depth)?;
        }
        let mut widths = Vec::new();
        env.visit_statistics(&mut |own: &mut RunningStatistics| widths.push(own.moments().mean.len()));
        check_widths(&widths, card.statistics.get(spaces.statistics..).unwrap_or(&[]))?;
        let mut statistics = card.statistics.iter().skip(spaces.statistics);
        env.visit_statistics(&mut |own: &mut RunningStatistics| {
            own.freeze(true);
            if let Some(moments) = statistics.next() {
                own.set_moments(moments);
            }
        });
        let (all, starting) = (RowSet::all(rows), RowSet::none(num_envs));
        Ok(Self { env, border, all, starting, num_agents: spaces.num_agents })
    }

    pub(super) fn num_envs(&self) -> usize {
        self.env.info().num_envs
    }

    pub(super) fn new_batch(&self) -> StepBatch {
        self.env.info().new_batch()
    }

    /// Actions in the environment's own terms.
    pub(super) fn new_actions(&self) -> ActionBatch {
        lock(&self.border).actions.clone()
    }

    /// All episodes begin.
    pub(super) fn reset(
        &mut self,
        observed: &Observed<'_>,
        seed: u64,
        now: &mut StepBatch,
    ) -> Result<(), RunError> {
        self.observe(observed);
        let seeds: Vec<Seed> =
            (0..self.num_envs() as u64).map(|env| Seed::Integer(seed.wrapping_add(env))).collect();
        Ok(self.env.reset(&seeds, now)?)
    }

    /// What the last actions led to, and which episodes begin with it.
    pub(super) fn advance(
        &mut self,
        observed: &Observed<'_>,
        now: &mut StepBatch,
        resets: &mut [bool],
    ) -> Result<(), RunError> {
        self.observe(observed);
        self.env.receive(now)?;
        resets.fill(false);
        self.starting.clear();
        for (env, _) in observed.episode_starts.iter().enumerate().filter(|(_, starts)| **starts) {
            self.starting.insert(env);
            resets[env * self.num_agents..(env + 1) * self.num_agents].fill(true);
        }
        if !self.starting.is_empty() {
            self.env.reset_envs(&self.starting, now)?;
        }
        Ok(())
    }

    /// Hands over the policy's actions, and gives them in the environment's own terms.
    pub(super) fn send(&mut self, actions: &ActionBatch, out: &mut ActionBatch) -> Result<(), RunError> {
        self.env.send(actions, &self.all)?;
        out.clone_from(&lock(&self.border).actions);
        Ok(())
    }

    fn observe(&self, observed: &Observed<'_>) {
        let border = &mut *lock(&self.border);
        match (&mut border.observations, observed.observations) {
            (ObsBuffer::F32(to), ObsRow::F32(from)) => {
                to.clear();
                to.extend_from_slice(from);
            }
            (ObsBuffer::U8(to), ObsRow::U8(from)) => {
                to.clear();
                to.extend_from_slice(from);
            }
            _ => unreachable!("element types were compared"),
        }
        border.action_masks.clear();
        border.action_masks.extend_from_slice(observed.action_masks);
        border.rewards.clear();
        border.rewards.extend_from_slice(observed.rewards);
    }
}

/// A caller's environments, which no wrapper stands around yet.
fn outside(spaces: &EnvSpaces, num_envs: usize) -> Result<(Box<dyn VectorEnv>, SharedBorder), RunError> {
    let action_spec = ActionSpec::of(&spaces.action)?;
    let info = VectorInfo {
        observation_space: spaces.observation.clone(),
        action_space: spaces.action.clone(),
        action_spec: action_spec.clone(),
        mask_len: spaces.mask_len,
        num_envs,
        num_agents: spaces.num_agents,
        teams: Vec::new(),
        frames: None,
        turns: false,
        action_names: Vec::new(),
        metrics: Vec::new(),
        groups: spaces.groups.clone(),
        tasks: Vec::new(),
        privileged: None,
    };
    let border = Arc::new(Mutex::new(Border {
        observations: ObsBuffer::zeros(info.dtype(), 0),
        action_masks: Vec::new(),
        rewards: Vec::new(),
        actions: ActionBatch::zeros(&action_spec, info.num_rows()),
    }));
    let outside = Outside { info, border: Arc::clone(&border) };
    Ok((Box::new(outside), border))
}

/// The wrappers that are part of a policy, the innermost first, with their places in the stack.
fn wrappers(card: &Card) -> impl Iterator<Item = (u32, &WrapperConfig)> {
    let placed = card.env.wrappers.iter().enumerate().skip(drawn(&card.env.wrappers).len());
    let placed = placed.map(|(depth, wrapper)| ((card.env_spaces.wrappers + depth) as u32, wrapper));
    placed.filter(|(_, wrapper)| !changes_the_world(wrapper))
}

/// The wrappers that are part of a policy, the innermost first, each with what it stands around and what it shows.
pub(super) fn layers(card: &Card) -> Result<Vec<(&WrapperConfig, VectorInfo, VectorInfo)>, RunError> {
    let (mut env, _) = outside(&card.env_spaces, 1)?;
    let mut layers = Vec::new();
    for (depth, wrapper) in wrappers(card) {
        let inside = env.info().clone();
        env = wrapper.wrap(env, depth)?;
        layers.push((wrapper, inside, env.info().clone()));
    }
    Ok(layers)
}

/// The wrappers up to the last that draws what is seen. A picture can only be drawn where the world is: to a policy it is what
/// the environment shows.
pub(crate) fn drawn(wrappers: &[WrapperConfig]) -> &[WrapperConfig] {
    let draws = |wrapper: &WrapperConfig| matches!(wrapper, WrapperConfig::RenderObservation { .. });
    &wrappers[..wrappers.iter().rposition(draws).map_or(0, |last| last + 1)]
}

/// The wrappers that are the world's, and so the caller's: those that draw what is seen, and those that change what happens, and
/// not what is seen or done.
pub(crate) fn of_the_world(wrappers: &[WrapperConfig]) -> Vec<WrapperConfig> {
    let drawn = drawn(wrappers);
    let others = wrappers[drawn.len()..].iter().filter(|wrapper| changes_the_world(wrapper));
    drawn.iter().chain(others).cloned().collect()
}

fn changes_the_world(wrapper: &WrapperConfig) -> bool {
    matches!(
        wrapper,
        WrapperConfig::TimeLimit { .. }
            | WrapperConfig::StickyAction { .. }
            | WrapperConfig::ActionRepeat { .. }
            | WrapperConfig::ObservationNoise { .. }
            | WrapperConfig::RecordVideo { .. }
    )
}

/// Nothing is held while it is locked that could be left half done.
fn lock(border: &Mutex<Border>) -> std::sync::MutexGuard<'_, Border> {
    border.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Environments that are stepped by the caller.
struct Outside {
    info: VectorInfo,
    border: Arc<Mutex<Border>>,
}

impl Outside {
    fn write(&self, rows: impl Iterator<Item = usize>, out: &mut StepBatch) {
        let border = lock(&self.border);
        let (len, mask_len) = (self.info.observation_len(), self.info.mask_len);
        for row in rows {
            out.observations.copy_range(row * len, &border.observations, row * len, len);
            // What is not said is nothing to wrappers, and the policy is told that nobody says.
            out.rewards[row] = border.rewards.get(row).copied().unwrap_or(0.0);
            let masks = row * mask_len..(row + 1) * mask_len;
            match border.action_masks.get(masks.clone()) {
                Some(given) => out.action_masks[masks].copy_from_slice(given),
                None => out.action_masks[masks].fill(true),
            }
        }
    }
}

impl VectorEnv for Outside {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn reset(&mut self, _seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        self.write(0..self.info.num_rows(), out);
        Ok(())
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.write(self.info.rows_of(envs), out);
        Ok(())
    }

    fn send(&mut self, actions: &ActionBatch, _active: &RowSet) -> Result<(), EnvError> {
        lock(&self.border).actions.clone_from(actions);
        Ok(())
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        self.write(0..self.info.num_rows(), out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_draws_and_what_is_inside_of_it_is_the_worlds() {
        let hidden = WrapperConfig::MaskObservation { indices: vec![0], drop: true };
        let shown = WrapperConfig::RenderObservation { height: 8, width: 8, grayscale: true };
        let stacked = WrapperConfig::RandomShift { pad: 1 };
        let sticky = WrapperConfig::StickyAction { probability: 0.5 };
        let all = [hidden.clone(), shown.clone(), stacked.clone(), sticky.clone()];
        assert_eq!(drawn(&all), [hidden.clone(), shown.clone()]);
        assert_eq!(of_the_world(&all), [hidden.clone(), shown, sticky.clone()]);
        let without = [hidden, sticky.clone(), stacked];
        assert!(drawn(&without).is_empty());
        assert_eq!(of_the_world(&without), [sticky]);
    }
}
