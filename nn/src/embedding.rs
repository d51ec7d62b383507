//! A table of vectors, one for each category.

use std::sync::Arc;

use crate::init::Init;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::params::{LayoutBuilder, ParamRange};

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
    categories: usize,
    width: usize,
    indices: usize,
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
        Self { weight, categories, width, indices }
    }

    /// Where the vector of a category lies in the table.
    fn range(&self, x: f32) -> Option<std::ops::Range<usize>> {
        let index = x as usize;
        let is_category = x >= 0.0 && index as f32 == x && index < self.categories;
        is_category.then(|| index * self.width..(index + 1) * self.width)
    }
}

impl Layer for Embedding {
    fn inputs(&self) -> usize {
        self.indices
    }

    fn outputs(&self) -> usize {
        self.indices * self.width
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
        let table =
            if weights.packed.is_empty() { self.weight.of(weights.params) } else { weights.packed };
        for (&x, out) in x.iter().zip(out.chunks_exact_mut(self.width)) {
            match self.range(x) {
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
            for (&x, delta) in saved.x.iter().zip(delta.chunks_exact(self.width)) {
                if let Some(range) = self.range(x) {
                    table[range].iter_mut().zip(delta).for_each(|(sum, delta)| *sum += delta);
                }
            }
        }
        if let Some(dx) = dx {
            dx.fill(0.0);
        }
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("Embedding({}, {})", self.categories, self.width),
            output_shape: if self.indices == 1 { vec![self.width] } else { vec![self.indices, self.width] },
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
