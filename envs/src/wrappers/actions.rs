//! Wrappers of actions: repeat, stickiness, clipping, another range.

use super::{Context, Moment, Wrapper, refused};
use crate::columns::{ActionColumn, Column};
use crate::random::Generator;
use crate::vector::{RowSet, VectorInfo};
use crate::{ActionBatch, ActionSpec, EnvError, Pcg64, Seed, Space, StepBatch};

/// Times that an action is taken at most.
const MOST_REPEATS: u32 = 10_000;

/// Takes every action several times and adds up the rewards; an episode's end stops the repetition.
#[doc(alias = "frame_skip")]
#[derive(Clone, Debug)]
pub struct ActionRepeat(u32);

impl ActionRepeat {
    /// Takes each action `repeats` times.
    ///
    /// # Errors
    /// If `repeats` is zero or above 10,000.
    pub fn new(repeats: u32) -> Result<Self, EnvError> {
        if repeats == 0 {
            return Err(refused("action_repeat", "repeats must be at least 1, got 0"));
        }
        if repeats > MOST_REPEATS {
            return Err(refused(
                "action_repeat",
                format!("repeats must be at most {MOST_REPEATS}, got {repeats}"),
            ));
        }
        Ok(Self(repeats))
    }
}

impl Wrapper for ActionRepeat {
    fn name(&self) -> &'static str {
        "action_repeat"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn repeats(&self) -> u32 {
        self.0
    }
}

/// With some probability takes the last action again instead of the one given.
///
/// # Source
/// Machado et al. (2018), "Revisiting the Arcade Learning Environment": the last action is the one really taken, and an
/// episode's first one is never replaced.
pub struct StickyAction {
    probability: f64,
    /// Place in the stack.
    depth: u32,
    rngs: Vec<Pcg64>,
    /// What was really done last.
    last: ActionColumn,
    /// Rows that have acted in their episode.
    acted: Vec<bool>,
}

impl StickyAction {
    /// Repeats with the given probability; `depth` is the wrapper's place in the stack.
    ///
    /// # Errors
    /// If it is no probability.
    pub fn new(probability: f64, depth: u32, info: &VectorInfo) -> Result<Self, EnvError> {
        if !(0.0..=1.0).contains(&probability) {
            let message = format!("probability must be between 0 and 1, got {probability}");
            return Err(refused("sticky_action", message));
        }
        let rows = info.num_rows();
        let rngs = vec![Pcg64::seed_from(0); rows];
        let batch = ActionBatch::zeros(&info.action_spec, rows);
        let last = ActionColumn { batch, width: info.action_spec.width() };
        Ok(Self { probability, depth, rngs, last, acted: vec![false; rows] })
    }
}

impl Wrapper for StickyAction {
    fn name(&self) -> &'static str {
        "sticky_action"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn changes_actions(&self) -> bool {
        true
    }

    fn seed(&mut self, seeds: &[Seed], info: &VectorInfo) {
        self.rngs = row_streams(seeds, self.depth, info);
    }

    fn reseed(&mut self, env: usize, seed: &Seed, info: &VectorInfo) {
        reseed_rows(&mut self.rngs, env, seed, self.depth, info);
    }

    fn actions(&mut self, actions: &mut ActionBatch, active: &RowSet) {
        let ActionColumn { batch: last, width } = &mut self.last;
        for row in active.iter() {
            let sticks = self.rngs[row].random() < self.probability;
            if sticks && self.acted[row] {
                actions.copy_range(row * *width, last, row * *width, *width);
            } else {
                last.copy_range(row * *width, actions, row * *width, *width);
            }
            self.acted[row] = true;
        }
    }

    fn after(&mut self, context: Context<'_>, _out: &mut StepBatch) -> Result<(), EnvError> {
        if context.moment == Moment::Reset {
            context.rows.iter().for_each(|row| self.acted[row] = false);
        }
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.rngs);
        visit(&mut self.acted);
        visit(&mut self.last);
    }
}

/// Takes any number as an action and clips it to the environment's bounds.
#[derive(Clone, Debug, Default)]
pub struct ClipAction {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl ClipAction {
    /// Clips to the bounds of the environment's actions.
    ///
    /// # Errors
    /// If its actions are not continuous.
    pub fn new(info: &VectorInfo) -> Result<Self, EnvError> {
        let (low, high) = bounds("clip_action", info)?;
        Ok(Self { low, high })
    }
}

impl Wrapper for ClipAction {
    fn name(&self) -> &'static str {
        "clip_action"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let open = vec![f32::INFINITY; self.low.len()];
        with_actions(inner, open.iter().map(|bound| -bound).collect(), open)
    }

    fn changes_actions(&self) -> bool {
        true
    }

    fn actions(&mut self, actions: &mut ActionBatch, _active: &RowSet) {
        let ActionBatch::Continuous(values) = actions else { return };
        for row in values.chunks_mut(self.low.len()) {
            for (value, (&low, &high)) in row.iter_mut().zip(self.low.iter().zip(&self.high)) {
                *value = value.clamp(low, high);
            }
        }
    }
}

/// Takes actions in a range of one's choice and maps it linearly onto the environment's bounds.
#[derive(Clone, Debug)]
pub struct RescaleAction {
    range: (f32, f32),
    low: Vec<f32>,
    high: Vec<f32>,
}

impl RescaleAction {
    /// Actions from `min` to `max`.
    ///
    /// # Errors
    /// If the range is empty, or the environment's actions are not continuous or not bounded.
    pub fn new(min: f32, max: f32, info: &VectorInfo) -> Result<Self, EnvError> {
        let (low, high) = bounds("rescale_action", info)?;
        if !(min < max && min.is_finite() && max.is_finite()) {
            let message = format!("min must be less than max, got {min} and {max}");
            return Err(refused("rescale_action", message));
        }
        if low.iter().chain(&high).any(|bound| !bound.is_finite()) {
            let message = format!("expected bounded actions, got {}", info.action_space);
            return Err(refused("rescale_action", message));
        }
        let widths = low.iter().zip(&high).map(|(low, high)| high - low).chain([max - min]);
        if let Some(width) = widths.into_iter().find(|width| !width.is_finite()) {
            let message = format!("expected ranges whose width is a float32, got {width}");
            return Err(refused("rescale_action", message));
        }
        Ok(Self { range: (min, max), low, high })
    }
}

impl Wrapper for RescaleAction {
    fn name(&self) -> &'static str {
        "rescale_action"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let (min, max) = self.range;
        with_actions(inner, vec![min; self.low.len()], vec![max; self.low.len()])
    }

    fn changes_actions(&self) -> bool {
        true
    }

    fn actions(&mut self, actions: &mut ActionBatch, _active: &RowSet) {
        let ActionBatch::Continuous(values) = actions else { return };
        let (min, max) = self.range;
        for row in values.chunks_mut(self.low.len()) {
            for (value, (&low, &high)) in row.iter_mut().zip(self.low.iter().zip(&self.high)) {
                // The clamp undoes a rounding past the bound.
                *value = (low + (high - low) * ((*value - min) / (max - min))).clamp(low, high);
            }
        }
    }
}

/// A stream for each row, grown from its environment's seed.
pub(super) fn row_streams(seeds: &[Seed], depth: u32, info: &VectorInfo) -> Vec<Pcg64> {
    let agents = info.num_agents as u32;
    let streams = seeds.iter().flat_map(|seed| (0..agents).map(move |agent| seed.child(&[depth, agent])));
    streams.map(|seed| Pcg64::from_seed(&seed)).collect()
}

/// Gives the rows of one environment the streams that it would have grown from another seed.
pub(super) fn reseed_rows(rngs: &mut [Pcg64], env: usize, seed: &Seed, depth: u32, info: &VectorInfo) {
    let streams = row_streams(std::slice::from_ref(seed), depth, info);
    // Before the first reset there are none.
    rngs.iter_mut().skip(env * info.num_agents).zip(streams).for_each(|(rng, stream)| *rng = stream);
}

/// The bounds of continuous actions.
fn bounds(wrapper: &'static str, info: &VectorInfo) -> Result<(Vec<f32>, Vec<f32>), EnvError> {
    match &info.action_spec {
        ActionSpec::Continuous { low, high } => Ok((low.clone(), high.clone())),
        ActionSpec::Discrete { .. } => {
            Err(refused(wrapper, format!("expected continuous actions, got {}", info.action_space)))
        }
    }
}

/// `inner` with other bounds of its actions.
fn with_actions(inner: &VectorInfo, low: Vec<f32>, high: Vec<f32>) -> Result<VectorInfo, EnvError> {
    let action_space = Space::box_f32(&low, &high)?;
    Ok(VectorInfo { action_space, action_spec: ActionSpec::Continuous { low, high }, ..inner.clone() })
}
