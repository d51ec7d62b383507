//! The types that cross the simulator's border: actions in, observations and outcomes out.
//!
//! Everything is a flat, row-major buffer owned by the caller, a row an acting agent: `N` rows are `E` environments times
//! the agents of each, which is one in most. A row of observations is the *packed* form of the observation space
//! ([`Space::packed_len`]): numbers one after the other, a discrete value as one number. Images stay bytes.

use serde::{Deserialize, Serialize};

use crate::groups::RowDecision;
use crate::spaces::{Dtype, saved};
use crate::vector::RowSet;
use crate::{EnvError, Space};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
}

/// An element type of observation rows: `f32` or `u8`.
pub trait ObsElement: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// Which buffer holds it.
    const DTYPE: Dtype;

    /// The buffer's elements, if they are of this type.
    fn slice(buffer: &ObsBuffer) -> Option<&[Self]>;

    /// The buffer's elements, if they are of this type.
    fn slice_mut(buffer: &mut ObsBuffer) -> Option<&mut [Self]>;
}

impl ObsElement for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn slice(buffer: &ObsBuffer) -> Option<&[Self]> {
        if let ObsBuffer::F32(values) = buffer { Some(values) } else { None }
    }

    fn slice_mut(buffer: &mut ObsBuffer) -> Option<&mut [Self]> {
        if let ObsBuffer::F32(values) = buffer { Some(values) } else { None }
    }
}

impl ObsElement for u8 {
    const DTYPE: Dtype = Dtype::U8;

    fn slice(buffer: &ObsBuffer) -> Option<&[Self]> {
        if let ObsBuffer::U8(values) = buffer { Some(values) } else { None }
    }

    fn slice_mut(buffer: &mut ObsBuffer) -> Option<&mut [Self]> {
        if let ObsBuffer::U8(values) = buffer { Some(values) } else { None }
    }
}

/// The element type of a space's packed rows: bytes for a box of bytes, numbers for everything else.
pub fn row_dtype(space: &Space) -> Dtype {
    match space {
        Space::Box(bounds) => bounds.dtype(),
        _ => Dtype::F32,
    }
}

/// Rows of observations: `[rows, O]`, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ObsBuffer {
    /// Numbers.
    F32(Vec<f32>),
    /// Bytes (images).
    U8(Vec<u8>),
}

impl ObsBuffer {
    /// A buffer of zeros.
    pub fn zeros(dtype: Dtype, len: usize) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(vec![0.0; len]),
            Dtype::U8 => Self::U8(vec![0; len]),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U8(_) => Dtype::U8,
        }
    }

    /// Number of elements (rows times row length).
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the buffer `len` elements long; new ones are zero. Keeps its memory.
    pub fn resize(&mut self, len: usize) {
        match self {
            Self::F32(values) => values.resize(len, 0.0),
            Self::U8(values) => values.resize(len, 0),
        }
    }

    /// Copies `count` elements of `source` from `from` to `at` of this buffer.
    ///
    /// # Panics
    /// If a range is out of bounds or the element types differ: both are bugs of the caller.
    pub fn copy_range(&mut self, at: usize, source: &Self, from: usize, count: usize) {
        match (self, source) {
            (Self::F32(to), Self::F32(source)) => {
                to[at..at + count].copy_from_slice(&source[from..from + count]);
            }
            (Self::U8(to), Self::U8(source)) => {
                to[at..at + count].copy_from_slice(&source[from..from + count]);
            }
            (to, source) => panic!("observation buffers differ: {:?} and {:?}", to.dtype(), source.dtype()),
        }
    }

    /// Copies `count` elements from `from` to `at` within this buffer.
    ///
    /// # Panics
    /// If a range is out of bounds.
    pub fn copy_within(&mut self, from: usize, at: usize, count: usize) {
        match self {
            Self::F32(values) => values.copy_within(from..from + count, at),
            Self::U8(values) => values.copy_within(from..from + count, at),
        }
    }

    /// Appends `count` elements of `source` from `from`.
    ///
    /// # Panics
    /// As [`ObsBuffer::copy_range`].
    pub fn extend_from(&mut self, source: &Self, from: usize, count: usize) {
        match (self, source) {
            (Self::F32(to), Self::F32(source)) => to.extend_from_slice(&source[from..from + count]),
            (Self::U8(to), Self::U8(source)) => to.extend_from_slice(&source[from..from + count]),
            (to, source) => panic!("observation buffers differ: {:?} and {:?}", to.dtype(), source.dtype()),
        }
    }

    /// A view of `count` elements from `from`.
    ///
    /// # Panics
    /// If the range is out of bounds.
    pub fn view(&self, from: usize, count: usize) -> ObsRow<'_> {
        match self {
            Self::F32(values) => ObsRow::F32(&values[from..from + count]),
            Self::U8(values) => ObsRow::U8(&values[from..from + count]),
        }
    }

    /// The elements as numbers; empty for bytes.
    pub fn as_f32(&self) -> &[f32] {
        f32::slice(self).unwrap_or(&[])
    }
}

/// A borrowed run of observations: one row, or several one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ObsRow<'a> {
    /// Numbers.
    F32(&'a [f32]),
    /// Bytes (images).
    U8(&'a [u8]),
}

impl<'a> From<&'a [f32]> for ObsRow<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a [u8]> for ObsRow<'a> {
    fn from(values: &'a [u8]) -> Self {
        Self::U8(values)
    }
}

impl<'a> From<&'a ObsBuffer> for ObsRow<'a> {
    fn from(buffer: &'a ObsBuffer) -> Self {
        buffer.view(0, buffer.len())
    }
}

impl ObsRow<'_> {
    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U8(_) => Dtype::U8,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the elements as numbers (bytes unscaled).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn write_f32(&self, out: &mut [f32]) {
        match self {
            Self::F32(values) => out.copy_from_slice(values),
            Self::U8(values) => {
                assert_eq!(out.len(), values.len(), "observation row length");
                for (to, &from) in out.iter_mut().zip(*values) {
                    *to = f32::from(from);
                }
            }
        }
    }
}

/// What the action of a row looks like in a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionSpec {
    /// One index a branch: `nvec[k]` choices in branch `k`. An index counts from zero, whatever the space's `start`.
    Discrete {
        /// Choices of each branch.
        nvec: Vec<u32>,
    },
    /// `low.len()` numbers, each within its bounds.
    Continuous {
        /// Lower bounds, possibly minus infinity.
        #[serde(serialize_with = "saved::write_open", deserialize_with = "saved::read_lower")]
        low: Vec<f32>,
        /// Upper bounds, possibly infinity.
        #[serde(serialize_with = "saved::write_open", deserialize_with = "saved::read_upper")]
        high: Vec<f32>,
    },
}

impl ActionSpec {
    /// The batch form of an action space.
    ///
    /// That of a `Dict` or `Tuple` is its parts' one after the other, those of a `Dict` in the order of their names.
    ///
    /// # Errors
    /// [`EnvError::ActionSpace`] if the space mixes choices with numbers, or holds bytes.
    pub fn of(space: &Space) -> Result<Self, EnvError> {
        let choices = |n: usize| u32::try_from(n).map_err(|_| EnvError::ActionSpace(space.to_string()));
        match space {
            Space::Discrete { n, .. } => Ok(Self::Discrete { nvec: vec![choices(*n)?] }),
            Space::MultiDiscrete { nvec } => {
                Ok(Self::Discrete { nvec: nvec.iter().map(|&n| choices(n)).collect::<Result<_, _>>()? })
            }
            Space::MultiBinary { n } => Ok(Self::Discrete { nvec: vec![2; *n] }),
            Space::Box(bounds) if bounds.dtype() == Dtype::F32 => {
                Ok(Self::Continuous { low: bounds.low().to_vec(), high: bounds.high().to_vec() })
            }
            Space::Box(_) => Err(EnvError::ActionSpace(space.to_string())),
            Space::Dict(parts) => Self::joined(space, parts.values()),
            Space::Tuple(parts) => Self::joined(space, parts.iter()),
        }
    }

    /// The batch form of a space of several parts.
    fn joined<'a>(whole: &Space, parts: impl Iterator<Item = &'a Space>) -> Result<Self, EnvError> {
        let refused = || EnvError::ActionSpace(whole.to_string());
        let joined = parts.map(Self::of).reduce(|joined, part| match (joined?, part?) {
            (Self::Discrete { mut nvec }, Self::Discrete { nvec: more }) => {
                nvec.extend(more);
                Ok(Self::Discrete { nvec })
            }
            (Self::Continuous { mut low, mut high }, Self::Continuous { low: more_low, high: more_high }) => {
                low.extend(more_low);
                high.extend(more_high);
                Ok(Self::Continuous { low, high })
            }
            _ => Err(refused()),
        });
        joined.unwrap_or_else(|| Err(refused()))
    }

    /// Values of an action: branches, or numbers.
    pub fn width(&self) -> usize {
        match self {
            Self::Discrete { nvec } => nvec.len(),
            Self::Continuous { low, .. } => low.len(),
        }
    }

    /// Length of one action mask: choices over all branches, zero for continuous actions.
    pub fn mask_len(&self) -> usize {
        match self {
            Self::Discrete { nvec } => nvec.iter().map(|&n| n as usize).sum(),
            Self::Continuous { .. } => 0,
        }
    }
}

/// Actions of all rows of a simulator: `[N, width]`, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionBatch {
    /// Indices of choices.
    Discrete(Vec<u32>),
    /// Numbers.
    Continuous(Vec<f32>),
}

impl ActionBatch {
    /// A batch of zeros.
    pub fn zeros(spec: &ActionSpec, rows: usize) -> Self {
        match spec {
            ActionSpec::Discrete { nvec } => Self::Discrete(vec![0; rows * nvec.len()]),
            ActionSpec::Continuous { low, .. } => Self::Continuous(vec![0.0; rows * low.len()]),
        }
    }

    /// Number of values (rows times width).
    pub fn len(&self) -> usize {
        match self {
            Self::Discrete(values) => values.len(),
            Self::Continuous(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The action of one row.
    ///
    /// # Panics
    /// If the row is out of bounds.
    #[inline]
    pub fn row(&self, row: usize, width: usize) -> Action<'_> {
        match self {
            Self::Discrete(values) => Action::Discrete(&values[row * width..(row + 1) * width]),
            Self::Continuous(values) => Action::Continuous(&values[row * width..(row + 1) * width]),
        }
    }

    /// Copies `count` values of `source` to `at` of this batch.
    ///
    /// # Panics
    /// If a range is out of bounds or the kinds differ: both are bugs of the caller.
    pub fn copy_range(&mut self, at: usize, source: &Self, from: usize, count: usize) {
        match (self, source) {
            (Self::Discrete(to), Self::Discrete(source)) => {
                to[at..at + count].copy_from_slice(&source[from..from + count]);
            }
            (Self::Continuous(to), Self::Continuous(source)) => {
                to[at..at + count].copy_from_slice(&source[from..from + count]);
            }
            _ => panic!("action batches are of different kinds"),
        }
    }

    /// Copies the actions of the given rows, `width` values each.
    ///
    /// # Panics
    /// If the batches differ in size or kind, or have not these rows: both are bugs of the caller.
    pub(crate) fn copy_rows(&mut self, source: &Self, rows: &RowSet, width: usize) {
        match (self, source) {
            (Self::Discrete(to), Self::Discrete(source)) => rows.copy_rows(to, source, width),
            (Self::Continuous(to), Self::Continuous(source)) => rows.copy_rows(to, source, width),
            _ => panic!("action batches are of different kinds"),
        }
    }

    /// The indices; empty for continuous actions.
    pub fn indices(&self) -> &[u32] {
        if let Self::Discrete(values) = self { values } else { &[] }
    }

    /// The indices, to be written; empty for continuous actions.
    pub fn indices_mut(&mut self) -> &mut [u32] {
        if let Self::Discrete(values) = self { values } else { &mut [] }
    }

    /// Checks kind and length, and the range of every action of the `active` ones among `rows` rows.
    ///
    /// # Errors
    /// [`EnvError::ActionShape`] or [`EnvError::InvalidAction`].
    pub fn validate(
        &self,
        spec: &ActionSpec,
        space: &Space,
        rows: usize,
        active: &RowSet,
    ) -> Result<(), EnvError> {
        let expected = rows * spec.width();
        let shape_error = || EnvError::ActionShape {
            expected: format!(
                "{expected} {}",
                if matches!(spec, ActionSpec::Discrete { .. }) { "discrete" } else { "continuous" }
            ),
            found: match self {
                Self::Discrete(values) => format!("{} discrete", values.len()),
                Self::Continuous(values) => format!("{} continuous", values.len()),
            },
        };
        if self.len() != expected {
            return Err(shape_error());
        }
        let bad = match (self, spec) {
            (Self::Discrete(values), ActionSpec::Discrete { nvec }) => match nvec.as_slice() {
                // One branch is the common case, and this loop vectorises.
                [n] if values.iter().fold(true, |ok, v| ok & (v < n)) => None,
                _ => values
                    .iter()
                    .enumerate()
                    .find(|(i, v)| **v >= nvec[i % nvec.len()] && active.contains(i / nvec.len()))
                    .map(|(i, v)| (i / nvec.len(), v.to_string())),
            },
            (Self::Continuous(values), ActionSpec::Continuous { low, high }) => values
                .iter()
                .enumerate()
                .find(|(i, v)| {
                    !(low[i % low.len()]..=high[i % low.len()]).contains(v) && active.contains(i / low.len())
                })
                .map(|(i, v)| (i / low.len(), v.to_string())),
            _ => return Err(shape_error()),
        };
        match bad {
            None => Ok(()),
            Some((row, found)) => Err(EnvError::InvalidAction { row, space: space.to_string(), found }),
        }
    }

    /// Checks that every action of the active rows is one that its mask allows.
    ///
    /// # Shapes
    /// `masks`: `[rows, A]`, over all branches one after the other.
    ///
    /// # Errors
    /// [`EnvError::MaskedAction`].
    pub fn validate_masks(&self, spec: &ActionSpec, masks: &[bool], active: &RowSet) -> Result<(), EnvError> {
        let ActionSpec::Discrete { nvec } = spec else { return Ok(()) };
        let rows = self.indices().chunks(nvec.len()).zip(masks.chunks(spec.mask_len()));
        for (row, (actions, mask)) in rows.enumerate().filter(|&(row, _)| active.contains(row)) {
            let mut start = 0;
            for (branch, (&action, &n)) in actions.iter().zip(nvec).enumerate() {
                if !mask[start + action as usize] {
                    let allowed = (0..n).filter(|&i| mask[start + i as usize]).collect();
                    return Err(EnvError::MaskedAction { row, branch, action, allowed });
                }
                start += n as usize;
            }
        }
        Ok(())
    }
}

/// The action of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// One index a branch, from zero.
    Discrete(&'a [u32]),
    /// Numbers.
    Continuous(&'a [f32]),
}

impl<'a> Action<'a> {
    /// The index of a space with one discrete branch.
    ///
    /// # Panics
    /// If the action is continuous: the simulator has checked it against the action space.
    #[inline]
    pub fn index(&self) -> usize {
        match self {
            Self::Discrete(values) => values[0] as usize,
            Self::Continuous(_) => panic!("expected a discrete action, got a continuous one"),
        }
    }

    /// The indices, a branch each; empty for continuous actions.
    pub fn indices(&self) -> &'a [u32] {
        if let Self::Discrete(values) = self { values } else { &[] }
    }

    /// The numbers of a continuous action; empty for discrete ones.
    pub fn values(&self) -> &'a [f32] {
        if let Self::Continuous(values) = self { values } else { &[] }
    }
}

/// Return and length of an episode that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeStats {
    /// Row of the batch.
    pub row: u32,
    /// Undiscounted sum of rewards.
    pub episode_return: f64,
    /// Number of steps.
    pub episode_length: u32,
}

/// What one tick of a simulator gave: `N` rows, one for each acting agent of each environment.
///
/// Under [`Autoreset::SameStep`](crate::Autoreset::SameStep) the observation of a row whose episode ended is already the
/// next episode's first one; the final one is in `final_observations`. Under the other modes it is the final one.
///
/// Equal batches have the same metrics bit for bit: one that an episode does not have, not a number, equals itself.
#[derive(Clone, Debug)]
pub struct StepBatch {
    /// `[N, O]`.
    pub observations: ObsBuffer,
    /// `[N]`.
    pub rewards: Vec<f64>,
    /// `[N]`; the dynamics reached an end.
    pub terminated: Vec<bool>,
    /// `[N]`; the episode was cut by a time limit or by the environment. Both flags can be set.
    pub truncated: Vec<bool>,
    /// `[N, A]`, or empty where the environment has no action masks.
    pub action_masks: Vec<bool>,
    /// `[N]`; whether the row took part in this tick. False for a row that was only reset in it (next-step autoreset), and
    /// for an agent whose episode ended before its arena's: there is nothing to learn from such a step.
    pub active: Vec<bool>,
    /// Episodes that ended in this tick, in row order.
    pub episodes: Vec<EpisodeStats>,
    /// `[episodes.len(), M]`: the environment's own metrics of each of them, as
    /// [`VectorInfo::metrics`](crate::VectorInfo::metrics) names them, not a number where an episode has none of that name;
    /// empty where there are none.
    pub episode_metrics: Vec<f64>,
    /// `[episodes.len(), O]`: the last observation of each of them.
    pub final_observations: ObsBuffer,
    /// What the active rows decided about members of groups in this tick, in row order; empty where the environment has no
    /// groups ([`VectorInfo::groups`](crate::VectorInfo::groups)).
    pub decisions: Vec<RowDecision>,
}

impl PartialEq for StepBatch {
    fn eq(&self, other: &Self) -> bool {
        let bits =
            |batch: &Self| batch.episode_metrics.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        self.observations == other.observations
            && self.rewards == other.rewards
            && self.terminated == other.terminated
            && self.truncated == other.truncated
            && self.action_masks == other.action_masks
            && self.active == other.active
            && self.episodes == other.episodes
            && self.final_observations == other.final_observations
            && self.decisions == other.decisions
            && bits(self) == bits(other)
    }
}

#[cfg(test)]
mod tests;
