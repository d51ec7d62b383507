//! Wrappers of observations: flat rows, hidden parts, noise.

use rand_distr::{Distribution, StandardNormal};

use super::actions::{reseed_rows, row_streams};
use super::{Context, Wrapper, refused};
use crate::batch::{ObsBuffer, ObsElement};
use crate::columns::Column;
use crate::spaces::{BoxSpace, Dtype};
use crate::vector::VectorInfo;
use crate::{EnvError, Pcg64, Seed, Space, StepBatch};

/// Values of a byte.
const MOST_CATEGORIES: usize = 256;

/// Shows observations of any space as one vector of numbers: choices become one-hot, entries of a dictionary follow each
/// other in the order of their names, bytes become numbers. Images whose channels are categories can become one-hot too.
pub struct FlattenObservation {
    flat: Flat,
    packed: Vec<f32>,
}

/// How a space becomes numbers.
struct Flat {
    space: Space,
    /// Categories of each channel of an image; images stay numbers if there are none.
    categories: Vec<usize>,
    len: usize,
}

impl FlattenObservation {
    /// Flattens the environment's observations. Images of bytes, `[height, width, channels]`, become one-hot if
    /// `categories` has the number of values of each of their channels, as `MiniGrid`'s `OneHotPartialObsWrapper`.
    ///
    /// # Errors
    /// If there are `categories`, but no image with as many channels, or one of them is 0.
    pub fn new(categories: &[usize], info: &VectorInfo) -> Result<Self, EnvError> {
        let mut flat =
            Flat { space: info.observation_space.clone(), categories: categories.to_vec(), len: 0 };
        let fits =
            flat.has_image(&flat.space) && categories.iter().all(|n| (1..=MOST_CATEGORIES).contains(n));
        if !(categories.is_empty() || fits) {
            let expected = "numbers from 1 to 256 for the channels of an image of bytes";
            let message = format!("categories must be {expected}, got {categories:?} for {}", flat.space);
            return Err(refused("flatten_observation", message));
        }
        let (mut low, mut high) = (Vec::new(), Vec::new());
        flat.bounds(&flat.space, &mut low, &mut high);
        flat.len = low.len();
        Ok(Self { flat, packed: vec![0.0; info.observation_len()] })
    }
}

impl Wrapper for FlattenObservation {
    fn name(&self) -> &'static str {
        "flatten_observation"
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let (mut low, mut high) = (Vec::new(), Vec::new());
        self.flat.bounds(&inner.observation_space, &mut low, &mut high);
        let shape = vec![low.len()];
        let observation_space = Space::Box(BoxSpace::new(low, high, shape, Dtype::F32)?);
        Ok(VectorInfo { observation_space, ..inner.clone() })
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        // Without an inner buffer the observations are flat already.
        let (Some(inner), Some(flat)) = (context.inner, f32::slice_mut(&mut out.observations)) else {
            return Ok(());
        };
        let (from, to) = (self.packed.len(), self.flat.len);
        for row in context.rows.iter() {
            inner.view(row * from, from).write_f32(&mut self.packed);
            let mut packed = self.packed.as_slice();
            let mut flat = &mut flat[row * to..(row + 1) * to];
            self.flat.write(&self.flat.space, &mut packed, &mut flat);
        }
        Ok(())
    }
}

impl Flat {
    fn is_image(&self, bounds: &BoxSpace) -> bool {
        let channels = bounds.shape().get(2);
        bounds.dtype() == Dtype::U8 && bounds.shape().len() == 3 && channels == Some(&self.categories.len())
    }

    fn has_image(&self, space: &Space) -> bool {
        match space {
            Space::Box(bounds) => self.is_image(bounds),
            Space::Dict(entries) => entries.values().any(|space| self.has_image(space)),
            Space::Tuple(entries) => entries.iter().any(|space| self.has_image(space)),
            Space::Discrete { .. } | Space::MultiDiscrete { .. } | Space::MultiBinary { .. } => false,
        }
    }

    /// Takes a space's numbers off the front of a packed row and puts its flat ones at the front of `flat`.
    fn write(&self, space: &Space, packed: &mut &[f32], flat: &mut &mut [f32]) {
        let mut one_hot = |n: usize, start: i64| {
            let Some((&value, rest)) = packed.split_first() else { return };
            *packed = rest;
            let (hot, rest) = std::mem::take(flat).split_at_mut(n);
            hot.fill(0.0);
            if let Some(slot) = hot.get_mut((value as i64 - start) as usize) {
                *slot = 1.0;
            }
            *flat = rest;
        };
        match space {
            Space::Discrete { n, start } => one_hot(*n, *start),
            Space::MultiDiscrete { nvec } => nvec.iter().for_each(|&n| one_hot(n, 0)),
            Space::Box(bounds) if self.is_image(bounds) => {
                let channels = self.categories.iter().cycle();
                channels.take(bounds.len()).for_each(|&n| one_hot(n, 0));
            }
            Space::Box(_) | Space::MultiBinary { .. } => {
                let (numbers, rest) = packed.split_at(space.packed_len());
                *packed = rest;
                let (slots, rest) = std::mem::take(flat).split_at_mut(numbers.len());
                slots.copy_from_slice(numbers);
                *flat = rest;
            }
            Space::Dict(entries) => entries.values().for_each(|space| self.write(space, packed, flat)),
            Space::Tuple(entries) => entries.iter().for_each(|space| self.write(space, packed, flat)),
        }
    }

    /// Appends the bounds of a space's flat values.
    fn bounds(&self, space: &Space, low: &mut Vec<f32>, high: &mut Vec<f32>) {
        let mut choices = |len: usize| {
            low.resize(low.len() + len, 0.0);
            high.resize(high.len() + len, 1.0);
        };
        match space {
            Space::Box(bounds) if self.is_image(bounds) => {
                choices(bounds.len() / self.categories.len() * self.categories.iter().sum::<usize>());
            }
            Space::Box(bounds) => {
                low.extend_from_slice(bounds.low());
                high.extend_from_slice(bounds.high());
            }
            Space::Dict(entries) => entries.values().for_each(|space| self.bounds(space, low, high)),
            Space::Tuple(entries) => entries.iter().for_each(|space| self.bounds(space, low, high)),
            Space::Discrete { .. } | Space::MultiDiscrete { .. } | Space::MultiBinary { .. } => {
                choices(space.flat_len());
            }
        }
    }
}

/// Hides numbers of the observation: a task becomes one that needs a memory.
pub struct MaskObservation {
    /// Indices of a row that are hidden.
    hidden: Vec<usize>,
    /// Indices that stay, if the hidden ones are left out instead of zeroed.
    kept: Option<Vec<usize>>,
    len: usize,
}

impl MaskObservation {
    /// Hides the numbers at `indices`: as zeros, or left out if `drop`.
    ///
    /// # Errors
    /// If an index is out of range, none is left, or observations are no box of numbers.
    pub fn new(indices: &[usize], drop: bool, info: &VectorInfo) -> Result<Self, EnvError> {
        let Space::Box(bounds) = &info.observation_space else {
            let message = format!("expected a Box, got {}; flatten it first", info.observation_space);
            return Err(refused("mask_observation", message));
        };
        let len = bounds.len();
        if let Some(index) = indices.iter().find(|&&index| index >= len) {
            return Err(refused("mask_observation", format!("indices must be below {len}, got {index}")));
        }
        let kept: Vec<usize> = (0..len).filter(|index| !indices.contains(index)).collect();
        if kept.is_empty() || indices.is_empty() {
            let message = format!("indices must hide some of {len} numbers and not all, got {indices:?}");
            return Err(refused("mask_observation", message));
        }
        Ok(Self { hidden: indices.to_vec(), kept: drop.then_some(kept), len })
    }

    fn apply<T: ObsElement>(&self, context: &Context<'_>, from: &[T], to: &mut [T]) {
        let width = self.kept.as_ref().map_or(self.len, Vec::len);
        for row in context.rows.iter() {
            let source = &from[row * self.len..(row + 1) * self.len];
            let target = &mut to[row * width..(row + 1) * width];
            match &self.kept {
                Some(kept) => target.iter_mut().zip(kept).for_each(|(to, &index)| *to = source[index]),
                None => {
                    target.copy_from_slice(source);
                    self.hidden.iter().for_each(|&index| target[index] = T::default());
                }
            }
        }
    }
}

impl Wrapper for MaskObservation {
    fn name(&self) -> &'static str {
        "mask_observation"
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let Space::Box(bounds) = &inner.observation_space else { return Ok(inner.clone()) };
        let pick = |bound: &[f32], kept: &[usize]| kept.iter().map(|&index| bound[index]).collect::<Vec<_>>();
        let (low, high, shape) = match &self.kept {
            Some(kept) => (pick(bounds.low(), kept), pick(bounds.high(), kept), vec![kept.len()]),
            None => {
                let zeroed = |bound: &[f32]| {
                    let mut bound = bound.to_vec();
                    self.hidden.iter().for_each(|&index| bound[index] = 0.0);
                    bound
                };
                (zeroed(bounds.low()), zeroed(bounds.high()), bounds.shape().to_vec())
            }
        };
        let observation_space = Space::Box(BoxSpace::new(low, high, shape, bounds.dtype())?);
        Ok(VectorInfo { observation_space, ..inner.clone() })
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        match (context.inner, &mut out.observations) {
            (Some(ObsBuffer::F32(from)), ObsBuffer::F32(to)) => self.apply(&context, from, to),
            (Some(ObsBuffer::U8(from)), ObsBuffer::U8(to)) => self.apply(&context, from, to),
            // A space that hiding does not change is one whose hidden numbers are always zero.
            _ => {}
        }
        Ok(())
    }
}

/// Adds normal noise to numbers of the observation, within its bounds.
pub struct ObservationNoise {
    std: f32,
    indices: Vec<usize>,
    bounds: BoxSpace,
    depth: u32,
    rngs: Vec<Pcg64>,
}

impl ObservationNoise {
    /// Noise of standard deviation `std` on the numbers at `indices`, on all if there are none; `depth` is the wrapper's
    /// place in the stack.
    ///
    /// # Errors
    /// If `std` is not positive, an index is out of range, or observations are no box of float32.
    pub fn new(std: f32, indices: &[usize], depth: u32, info: &VectorInfo) -> Result<Self, EnvError> {
        let bounds = match &info.observation_space {
            Space::Box(bounds) if bounds.dtype() == Dtype::F32 => bounds.clone(),
            other => {
                return Err(refused("observation_noise", format!("expected a Box of float32, got {other}")));
            }
        };
        if !(std > 0.0 && std.is_finite()) {
            return Err(refused("observation_noise", format!("std must be positive, got {std}")));
        }
        if let Some(index) = indices.iter().find(|&&index| index >= bounds.len()) {
            let message = format!("indices must be below {}, got {index}", bounds.len());
            return Err(refused("observation_noise", message));
        }
        let indices = if indices.is_empty() { (0..bounds.len()).collect() } else { indices.to_vec() };
        Ok(Self { std, indices, bounds, depth, rngs: vec![Pcg64::seed_from(0); info.num_rows()] })
    }
}

impl Wrapper for ObservationNoise {
    fn name(&self) -> &'static str {
        "observation_noise"
    }

    fn seed(&mut self, seeds: &[Seed], info: &VectorInfo) {
        self.rngs = row_streams(seeds, self.depth, info);
    }

    fn reseed(&mut self, env: usize, seed: &Seed, info: &VectorInfo) {
        reseed_rows(&mut self.rngs, env, seed, self.depth, info);
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        let Some(observations) = f32::slice_mut(&mut out.observations) else { return Ok(()) };
        let len = self.bounds.len();
        for row in context.rows.iter() {
            for &index in &self.indices {
                let noise: f32 = StandardNormal.sample(&mut self.rngs[row]);
                let value = &mut observations[row * len + index];
                *value =
                    (*value + self.std * noise).clamp(self.bounds.low()[index], self.bounds.high()[index]);
            }
        }
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.rngs);
    }
}
