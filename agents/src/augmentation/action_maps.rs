//! What became of the actions of rows whose observations were changed.

use std::borrow::Cow;

use agon_envs::ActionSpec;

/// How the actions of an augmented batch are read: each row has its own change, or none has any.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ActionMaps {
    /// The number of each option, or dimension, after the change, `[B, A]`; empty without changes.
    places: Vec<u32>,
    /// What each dimension is multiplied by, in the order before the change, `[B, D]`; empty without changes.
    signs: Vec<f32>,
    /// Options of a choice, or dimensions: `A`, `D`.
    width: usize,
}

/// The change of one row's action, to be filled in.
pub(super) struct ActionMap<'a> {
    pub(super) places: &'a mut [u32],
    pub(super) signs: &'a mut [f32],
}

impl ActionMap<'_> {
    /// Has every option become another one.
    pub(super) fn permute(&mut self, to: &[usize]) {
        self.places.iter_mut().for_each(|place| *place = to[*place as usize] as u32);
    }

    /// Changes the signs of dimensions, named as they are by now.
    pub(super) fn negate(&mut self, dimensions: &[usize]) {
        let changed = self.places.iter().zip(&mut *self.signs);
        changed
            .filter(|(place, _)| dimensions.contains(&(**place as usize)))
            .for_each(|(_, sign)| *sign = -*sign);
    }
}

impl ActionMaps {
    /// Of rows whose actions may change.
    pub(super) fn of(spec: &ActionSpec, rows: usize) -> Self {
        let (width, signed) = match spec {
            ActionSpec::Discrete { nvec } => (nvec.iter().sum::<u32>() as usize, false),
            ActionSpec::Continuous { low, .. } => (low.len(), true),
        };
        let places = (0..rows).flat_map(|_| 0..width as u32).collect();
        Self { places, signs: if signed { vec![1.0; rows * width] } else { Vec::new() }, width }
    }

    pub(super) fn row(&mut self, row: usize) -> ActionMap<'_> {
        let range = row * self.width..(row + 1) * self.width;
        let signs = if self.signs.is_empty() { &mut [][..] } else { &mut self.signs[range.clone()] };
        ActionMap { places: &mut self.places[range], signs }
    }

    /// Whether actions stay as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn places(&self, row: usize) -> Option<&[u32]> {
        (!self.is_empty()).then(|| &self.places[row * self.width..(row + 1) * self.width])
    }

    /// What a row's choice became.
    pub(crate) fn choice(&self, row: usize, action: usize) -> usize {
        self.places(row).map_or(action, |places| places[action] as usize)
    }

    /// What a row's action of numbers became, for those that lie evenly around zero.
    pub(crate) fn values(&self, row: usize, action: &mut [f32]) {
        let Some(places) = self.places(row) else { return };
        let signs = &self.signs[row * self.width..(row + 1) * self.width];
        let before: Vec<f32> = action.iter().zip(signs).map(|(value, sign)| value * sign).collect();
        places.iter().zip(before).for_each(|(&place, value)| action[place as usize] = value);
    }

    /// What a row's mask, logits or other numbers of options became.
    pub(crate) fn options<'a, T: Copy>(&self, row: usize, options: &'a [T]) -> Cow<'a, [T]> {
        let Some(places) = self.places(row) else { return Cow::Borrowed(options) };
        let mut changed = options.to_vec();
        places.iter().zip(options).for_each(|(&place, &option)| changed[place as usize] = option);
        Cow::Owned(changed)
    }
}
