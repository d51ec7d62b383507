//! All parameters of a network in one flat buffer, and the names of its parts.
//!
//! One buffer means that an optimizer step, gradient clipping, a target network's update or a gradient sum over
//! workers is one pass over one slice, and that a snapshot for the actors is a reference count: the values are
//! copied only when somebody then changes them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::NnError;
use crate::init::Init;
use crate::kernels::{AlignedBuffer, lerp};
use crate::layer::aligned;

/// Where a parameter lies in the flat buffer.
///
/// A matrix may be *stored transposed*, `[columns, rows]`: that is how a product reads a linear layer's weight. Shapes
/// and files know nothing of it; [`Self::read`] and [`Self::write`] turn it round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamRange {
    range: Range<usize>,
    shape: Vec<usize>,
    transposed: bool,
}

impl ParamRange {
    /// The indices of its values in the flat buffer.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Its shape in PyTorch's layout, row-major: `[out, in]` for a linear layer's weight.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of its values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Its values in a flat buffer of parameters, their gradients or anything else, row-major in its shape.
    ///
    /// # Panics
    /// If the buffer is too short: it belongs to another layout.
    #[must_use]
    pub fn read<T: Copy>(&self, flat: &[T]) -> Vec<T> {
        let values = &flat[self.range.clone()];
        self.stored_places().map(|place| values[place]).collect()
    }

    /// Puts values, row-major in its shape, where they lie in a flat buffer.
    ///
    /// # Panics
    /// If there are not as many values as the shape says, or the buffer is too short.
    pub fn write<T: Copy>(&self, values: &[T], flat: &mut [T]) {
        assert_eq!(values.len(), self.len(), "values of a parameter of shape {:?}", self.shape);
        let target = &mut flat[self.range.clone()];
        self.stored_places().zip(values).for_each(|(place, &value)| target[place] = value);
    }

    /// Where the values lie in the range, in the order of the shape.
    fn stored_places(&self) -> impl Iterator<Item = usize> {
        let (rows, columns) = match self.transposed {
            true => (self.shape[0], self.shape[1..].iter().product()),
            false => (1, self.len()),
        };
        (0..rows).flat_map(move |row| (0..columns).map(move |column| column * rows + row))
    }

    /// Whether it is stored transposed.
    pub(crate) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Its values in a flat buffer, as they are stored.
    #[inline]
    pub(crate) fn of<'a>(&self, flat: &'a [f32]) -> &'a [f32] {
        &flat[self.range.clone()]
    }

    /// Its values in a flat buffer, as they are stored, to change them.
    #[inline]
    pub(crate) fn of_mut<'a>(&self, flat: &'a mut [f32]) -> &'a mut [f32] {
        &mut flat[self.range.clone()]
    }
}

/// One named parameter of a [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// PyTorch's name, as in a state dict: `actor.0.weight`.
    pub name: String,
    /// Shape and place in the flat buffer.
    pub range: ParamRange,
    /// Whether it is learned; else it is a buffer, such as a running mean: saved and copied with the parameters, but
    /// without a gradient and left alone by optimizers.
    pub learned: bool,
}

/// The names, shapes and places of all parameters of a network, in the order of the buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    specs: Vec<ParamSpec>,
    len: usize,
}

impl Layout {
    /// All parameters, in the order of the buffer. Each begins on a cache line of its own; what lies between is zero.
    #[must_use]
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// The parameter of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ParamSpec> {
        self.specs.iter().find(|spec| spec.name == name)
    }

    /// The length of the flat buffer: the parameters' values, and what lies between them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of values of all parameters together.
    #[must_use]
    pub fn values_len(&self) -> usize {
        self.specs.iter().map(|spec| spec.range.len()).sum()
    }

    /// The number of values that are learned.
    #[must_use]
    pub fn learned_len(&self) -> usize {
        self.specs.iter().filter(|spec| spec.learned).map(|spec| spec.range.len()).sum()
    }

    /// The same places under names that begin with `prefix`.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        self.specs.iter_mut().for_each(|spec| spec.name.insert_str(0, prefix));
        self
    }

    /// The buffers: what is not learned.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &ParamRange> {
        self.specs.iter().filter(|spec| !spec.learned).map(|spec| &spec.range)
    }

    /// A short description for error messages.
    pub(crate) fn describe(&self) -> String {
        format!("{} parameters with {} values", self.specs.len(), self.values_len())
    }
}

/// Collects the parameters of a network's layers; [`LayoutBuilder::build`] then makes and initialises the buffer.
///
/// # Example
/// ```
/// use agon_nn::{Init, LayoutBuilder};
///
/// let mut builder = LayoutBuilder::new();
/// let weight = builder.add("head.weight", &[2, 4], Init::Orthogonal { gain: 0.01 });
/// let params = builder.build(1);
/// assert_eq!(params.get("head.weight"), Some(weight.read(params.as_slice())));
/// ```
#[derive(Debug, Clone, Default)]
pub struct LayoutBuilder {
    layout: Layout,
    inits: Vec<Init>,
}

impl LayoutBuilder {
    /// Without parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a parameter and says where it will lie.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add(&mut self, name: &str, shape: &[usize], init: Init) -> ParamRange {
        self.push(name, shape, init, true, false)
    }

    /// Appends a matrix that is stored transposed; shape and initialisation are those of the matrix.
    ///
    /// # Panics
    /// If the name is taken, or there are not two dimensions or more.
    pub(crate) fn add_transposed(&mut self, name: &str, shape: &[usize], init: Init) -> ParamRange {
        assert!(shape.len() >= 2, "a matrix has two dimensions, got {shape:?}");
        self.push(name, shape, init, true, true)
    }

    /// Appends a buffer: values that are saved with the parameters but not learned.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add_buffer(&mut self, name: &str, shape: &[usize], init: Init) -> ParamRange {
        self.push(name, shape, init, false, false)
    }

    fn push(
        &mut self,
        name: &str,
        shape: &[usize],
        init: Init,
        learned: bool,
        transposed: bool,
    ) -> ParamRange {
        assert!(self.layout.find(name).is_none(), "parameter names must be unique, got {name} twice");
        let start = self.layout.len.checked_next_multiple_of(aligned(1)).unwrap_or(usize::MAX);
        // A size beyond all memory is found when the buffer is asked for, if it was not refused before.
        let end = start.saturating_add(shape.iter().fold(1, |len: usize, &dim| len.saturating_mul(dim)));
        let range = ParamRange { range: start..end, shape: shape.to_vec(), transposed };
        self.layout.specs.push(ParamSpec { name: name.to_owned(), range: range.clone(), learned });
        self.layout.len = end;
        self.inits.push(init);
        range
    }

    /// What has been added so far.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes the buffer with zeros, to be filled with given values.
    #[must_use]
    pub fn zeros(self) -> Params {
        let values = AlignedBuffer::zeros(self.layout.len);
        Params::from_values(Arc::new(self.layout), values)
    }

    /// Makes the buffer, every parameter initialised from its own random stream of `seed`.
    ///
    /// The values depend on the seed, and on a parameter's position, shape and [`Init`]; not on the machine.
    #[must_use]
    pub fn build(self, seed: u64) -> Params {
        let mut values = AlignedBuffer::zeros(self.layout.len);
        for (index, (spec, init)) in self.layout.specs.iter().zip(&self.inits).enumerate() {
            let mut own = vec![0.0; spec.range.len()];
            init.fill(seed, index as u64, spec.range.shape(), &mut own);
            spec.range.write(&own, &mut values);
        }
        Params::from_values(Arc::new(self.layout), values)
    }
}

/// Identity of a leaf of the tape; clones of [`Params`] share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParamsId(u64);

/// The parameters of a network: one flat buffer with named parts.
///
/// A clone is cheap and shares the values until one of the two is changed (copy-on-write), which makes it a
/// snapshot. On a tape a clone stands for the same leaf as its original.
#[derive(Clone)]
pub struct Params {
    values: Arc<AlignedBuffer>,
    layout: Arc<Layout>,
    id: ParamsId,
}

impl Params {
    fn from_values(layout: Arc<Layout>, values: AlignedBuffer) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { values: Arc::new(values), layout, id: ParamsId(NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Names, shapes and places of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All values.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// All values, to change them; copied first if a clone shares them.
    #[must_use]
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        Arc::<AlignedBuffer>::make_mut(&mut self.values)
    }

    /// The values of the parameter of that name, row-major in its shape.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Vec<f32>> {
        self.layout.find(name).map(|spec| spec.range.read(self.as_slice()))
    }

    /// The length of the flat buffer, see [`Layout::len`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.len
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    pub(crate) fn id(&self) -> ParamsId {
        self.id
    }

    /// Takes over the values of `source`.
    ///
    /// # Errors
    /// [`NnError::LayoutMismatch`] if the two have different layouts.
    pub fn copy_from(&mut self, source: &Self) -> Result<(), NnError> {
        self.check_layout(source)?;
        self.as_mut_slice().copy_from_slice(source.as_slice());
        Ok(())
    }

    /// Moves towards `source`: `self = tau · source + (1 − tau) · self` (Polyak averaging).
    ///
    /// # Errors
    /// [`NnError::LayoutMismatch`] if the two have different layouts.
    pub fn lerp_from(&mut self, source: &Self, tau: f32) -> Result<(), NnError> {
        self.check_layout(source)?;
        lerp(self.as_mut_slice(), source.as_slice(), tau);
        Ok(())
    }

    fn check_layout(&self, other: &Self) -> Result<(), NnError> {
        if Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout {
            return Ok(());
        }
        Err(NnError::LayoutMismatch { expected: self.layout.describe(), got: other.layout.describe() })
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for spec in self.layout.specs() {
            map.entry(&spec.name, &spec.range.shape());
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(seed: u64) -> Params {
        let mut builder = LayoutBuilder::new();
        builder.add("a", &[3, 2], Init::Normal { std: 1.0 });
        builder.add("b", &[3], Init::Constant(0.5));
        builder.build(seed)
    }

    #[test]
    fn a_clone_is_a_snapshot() {
        let mut original = params(1);
        let snapshot = original.clone();
        assert!(std::ptr::eq(original.as_slice(), snapshot.as_slice()));
        original.as_mut_slice()[0] = 9.0;
        assert_eq!(original.as_slice()[0], 9.0);
        assert_ne!(snapshot.as_slice()[0], 9.0);
        assert_eq!(original.as_slice()[1..], snapshot.as_slice()[1..]);
    }

    #[test]
    fn the_seed_decides_the_values() {
        assert_eq!(params(3).as_slice(), params(3).as_slice());
        assert_ne!(params(3).as_slice(), params(4).as_slice());
        assert_eq!(params(3).get("b"), Some(vec![0.5; 3]));
        assert_eq!(params(3).get("c"), None);
    }

    #[test]
    fn lerp_moves_by_tau() {
        let (mut target, source) = (params(1), params(2));
        let before = target.clone();
        target.lerp_from(&source, 0.25).unwrap();
        for ((now, old), new) in target.as_slice().iter().zip(before.as_slice()).zip(source.as_slice()) {
            assert!((now - (0.25 * new + 0.75 * old)).abs() < 1e-6);
        }
        target.copy_from(&source).unwrap();
        assert_eq!(target.as_slice(), source.as_slice());
    }

    #[test]
    fn parameters_begin_on_cache_lines_and_a_transposed_one_has_the_same_values() {
        let build = |transposed: bool| {
            let mut builder = LayoutBuilder::new();
            builder.add("a", &[3], Init::Normal { std: 1.0 });
            let (shape, init) = ([5, 7], Init::Normal { std: 1.0 });
            let b = if transposed {
                builder.add_transposed("b", &shape, init)
            } else {
                builder.add("b", &shape, init)
            };
            (builder.build(4), b)
        };
        let ((plain, at), (turned, turned_at)) = (build(false), build(true));
        assert_eq!(plain.as_slice().as_ptr() as usize % 64, 0);
        assert_eq!((at.range(), turned_at.range()), (16..51, 16..51));
        assert_eq!(plain.as_slice()[3..16], [0.0; 13]);
        assert_eq!((plain.len(), plain.layout().values_len()), (51, 38));
        assert_eq!(plain.get("b"), turned.get("b"));
        assert_eq!(turned.as_slice()[16..21], [0, 1, 2, 3, 4].map(|row| plain.as_slice()[16 + 7 * row]));
        let mut copy = turned.clone();
        copy.as_mut_slice()[16..].fill(0.0);
        turned_at.write(&turned.get("b").unwrap(), copy.as_mut_slice());
        assert_eq!(copy.as_slice(), turned.as_slice());
    }

    #[test]
    fn other_layouts_are_refused() {
        let mut builder = LayoutBuilder::new();
        builder.add("a", &[3, 2], Init::Zeros);
        let error = builder.build(0).copy_from(&params(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameters must have the same layout, expected 1 parameters with 6 values, got 2 parameters with 9 values"
        );
    }

    #[test]
    fn parameters_can_be_shared_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Params>();
    }
}
