//! Categories as vectors: learned ones, and unit vectors.

use std::ops::Range;
use std::sync::Arc;

use agon_policy::Operation;

use crate::init::Init;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::operation::name_of;
use crate::params::{Layout, LayoutBuilder, ParamRange};

/// Looks vectors up: `y[b, i] = weight[x[b, i]]`.
///
/// An input that is not one of `0, 1, …, categories − 1` gives a vector of NaN and has no gradient: a row cannot fail
/// by itself, and what is wrong must not pass for a category.
///
/// # Shapes
/// `x`: `[B, indices]`, whole numbers as floats (exact up to 2²⁴); `weight`: `[categories, width]`, `y`:
/// `[B, indices·width]`.
///
/// # Source
/// `torch.nn.Embedding` (PyTorch 2.9).
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    weight: ParamRange,
    width: usize,
    /// For each index, where its categories begin in the table, and where they end.
    categories: Vec<Range<usize>>,
}

impl Embedding {
    /// Adds the table `<name>.weight` to a layout; PyTorch's initialisation is [`Init::Normal`] with deviation one.
    ///
    /// # Panics
    /// If a size is zero or the name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        categories: usize,
        width: usize,
        indices: usize,
        init: Init,
    ) -> Self {
        assert!(categories > 0 && width > 0 && indices > 0, "got {categories}, {width} and {indices}");
        let weight = builder.add(&format!("{name}.weight"), &[categories, width], init);
        Self { weight, width, categories: vec![0..categories; indices] }
    }

    /// Adds a table with own vectors for each index to a layout: the first index has the first `nvec[0]`, and so on.
    ///
    /// # Panics
    /// If a size is zero or the name is taken.
    pub fn of_each(
        builder: &mut LayoutBuilder,
        name: &str,
        nvec: &[usize],
        width: usize,
        init: Init,
    ) -> Self {
        assert!(width > 0 && !nvec.is_empty() && !nvec.contains(&0), "got {nvec:?} and {width}");
        let categories = consecutive(nvec);
        let weight = builder.add(&format!("{name}.weight"), &[nvec.iter().sum(), width], init);
        Self { weight, width, categories }
    }

    /// Where the vector of the index at `position` lies in the table.
    fn range(&self, position: usize, x: f32) -> Option<Range<usize>> {
        let categories = &self.categories[position % self.categories.len()];
        let row = categories.start + category(x, categories.len())?;
        Some(row * self.width..(row + 1) * self.width)
    }
}

/// Ranges of the given lengths, one after the other.
fn consecutive(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut end = 0;
    let ranges = lengths.iter().map(|len| {
        let start = end;
        end += len;
        start..end
    });
    ranges.collect()
}

/// The category that a number names, if it is one of `count`.
fn category(x: f32, count: usize) -> Option<usize> {
    let index = x as usize;
    (x >= 0.0 && index as f32 == x && index < count).then_some(index)
}

impl Layer for Embedding {
    fn inputs(&self) -> usize {
        self.categories.len()
    }

    fn outputs(&self) -> usize {
        self.categories.len() * self.width
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight]
    }

    fn packed_len(&self) -> usize {
        aligned(self.weight.len())
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        packed[..self.weight.len()].copy_from_slice(self.weight.of(params));
    }

    fn packs_for(&self, _: usize) -> bool {
        false
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        let table = if weights.packed.is_empty() { self.weight.of(weights.params) } else { weights.packed };
        for (position, (&x, out)) in x.iter().zip(out.chunks_exact_mut(self.width)).enumerate() {
            match self.range(position, x) {
                Some(range) => out.copy_from_slice(&table[range]),
                None => out.fill(f32::NAN),
            }
        }
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        if let Some(gradient) = gradient {
            let table = self.weight.of_mut(gradient.flat);
            if gradient.first && gradient.fresh[0] {
                table.fill(0.0);
            }
            for (position, (&x, delta)) in saved.x.iter().zip(delta.chunks_exact(self.width)).enumerate() {
                if let Some(range) = self.range(position, x) {
                    table[range].iter_mut().zip(delta).for_each(|(sum, delta)| *sum += delta);
                }
            }
        }
        if let Some(dx) = dx {
            dx.fill(0.0);
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let first = self.categories.iter().map(|categories| categories.start).collect();
        vec![Operation::Embedding { weight: name_of(layout, &self.weight), width: self.width, first }]
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("Embedding({}, {})", self.weight.shape()[0], self.width),
            output_shape: match self.categories.len() {
                1 => vec![self.width],
                indices => vec![indices, self.width],
            },
            parameters: self.weight.len(),
            flops: 0,
        }
    }
}

impl From<Embedding> for Arc<dyn Layer> {
    fn from(layer: Embedding) -> Self {
        Arc::new(layer)
    }
}

/// A unit vector for each category: `y[b, start of i + x[b, i]] = 1`, zero elsewhere.
///
/// An input that is no category gives a vector of NaN, as in [`Embedding`].
///
/// # Shapes
/// `x`: `[B, indices]`, whole numbers as floats; `y`: `[B, Σ nvec]`.
#[derive(Debug, Clone, PartialEq)]
pub struct OneHot {
    categories: Vec<Range<usize>>,
}

impl OneHot {
    /// With `nvec[i]` categories of index `i`.
    #[must_use]
    pub fn new(nvec: &[usize]) -> Self {
        Self { categories: consecutive(nvec) }
    }
}

impl Layer for OneHot {
    fn inputs(&self) -> usize {
        self.categories.len()
    }

    fn outputs(&self) -> usize {
        self.categories.last().map_or(0, |range| range.end)
    }

    fn forward(&self, _: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        for (x, out) in x.chunks_exact(self.inputs()).zip(out.chunks_exact_mut(self.outputs())) {
            for (&x, range) in x.iter().zip(&self.categories) {
                let out = &mut out[range.clone()];
                match category(x, range.len()) {
                    Some(index) => {
                        out.fill(0.0);
                        out[index] = 1.0;
                    }
                    None => out.fill(f32::NAN),
                }
            }
        }
    }

    fn backward(&self, _: &Saved<'_>, _: &mut [f32], _: Option<Gradient<'_>>, dx: Option<&mut [f32]>) {
        if let Some(dx) = dx {
            dx.fill(0.0);
        }
    }

    fn operations(&self, _: &Layout) -> Vec<Operation> {
        let categories = self.categories.iter().map(ExactSizeIterator::len).collect();
        vec![Operation::OneHot { categories }]
    }

    fn describe(&self) -> LayerSummary {
        let layer = format!("OneHot({})", self.outputs());
        LayerSummary { layer, output_shape: vec![self.outputs()], parameters: 0, flops: 0 }
    }
}

impl From<OneHot> for Arc<dyn Layer> {
    fn from(layer: OneHot) -> Self {
        Arc::new(layer)
    }
}
