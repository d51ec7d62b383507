//! Weights that are set to zero, and weights that are rounded to integers.

use std::cmp::Ordering;

use agon_nn::{ParamRange, Params, ToldChain};

use crate::AgentError;

/// How the spread of a noisy layer's weights is called, at the end.
const SIGMA: &str = "_sigma";

/// Which parameters of a network stay; biases and norms always do.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Of each parameter one if it stays, else zero.
    kept: Vec<f32>,
    /// The weights of maps.
    weights: Vec<ParamRange>,
}

impl Mask {
    /// Of a chain of which all stay.
    #[must_use]
    pub fn of(chain: &ToldChain) -> Self {
        Self { kept: vec![1.0; chain.params.len()], weights: weights(chain) }
    }

    /// Of a network of which all stay; only weights whose names are chosen can be pruned.
    ///
    /// # Errors
    /// If one of them is of a noisy layer: what is drawn anew at every step cannot be zero.
    pub(crate) fn of_weights(params: &Params, chosen: impl Fn(&str) -> bool) -> Result<Self, AgentError> {
        let mut weights = Vec::new();
        for spec in params.layout().specs().iter().filter(|spec| spec.range.shape().len() > 1) {
            if !chosen(&spec.name) {
                continue;
            }
            if !spec.learned || spec.name.ends_with(SIGMA) {
                let (expected, found) = ("layers without noise", spec.name.clone());
                return Err(AgentError::Unsupported { algorithm: "pruning", expected, found });
            }
            weights.push(spec.range.clone());
        }
        Ok(Self { kept: vec![1.0; params.len()], weights })
    }

    /// Of each parameter whether it stays.
    pub(crate) fn flags(&self) -> Vec<bool> {
        self.kept.iter().map(|kept| *kept != 0.0).collect()
    }

    /// Takes on which parameters stay.
    ///
    /// # Errors
    /// If they are of another network, or say that something is pruned that cannot be.
    pub(crate) fn with_flags(&self, flags: &[bool]) -> Result<Self, AgentError> {
        let mut can_go = vec![false; self.kept.len()];
        self.weights.iter().for_each(|range| can_go[range.range()].fill(true));
        if flags.len() != can_go.len() || flags.iter().zip(&can_go).any(|(kept, can_go)| !kept && !can_go) {
            return Err(AgentError::Restore("expected other weights that are pruned".to_owned()));
        }
        let kept = flags.iter().map(|kept| f32::from(u8::from(*kept))).collect();
        Ok(Self { kept, weights: self.weights.clone() })
    }

    /// Whether there are weights that can be pruned.
    pub(crate) fn has_weights(&self) -> bool {
        !self.weights.is_empty()
    }

    /// Sets to zero what is pruned.
    ///
    /// # Panics
    /// If the values are of another chain.
    pub fn apply(&self, values: &mut [f32]) {
        assert_eq!(values.len(), self.kept.len(), "a value for each parameter");
        values.iter_mut().zip(&self.kept).for_each(|(value, kept)| *value *= kept);
    }

    /// Takes weights that are zero for pruned.
    pub fn keep_zeros(&mut self, params: &Params) {
        for place in self.weights.iter().flat_map(ParamRange::range) {
            if params.as_slice()[place] == 0.0 {
                self.kept[place] = 0.0;
            }
        }
    }

    /// The share of weights that is pruned.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        let of_weights = || self.weights.iter().flat_map(|range| &self.kept[range.range()]);
        let pruned = of_weights().filter(|kept| **kept == 0.0).count();
        pruned as f64 / of_weights().count().max(1) as f64
    }

    /// Prunes weights until so many of all are, those that matter least first; what is pruned stays so. Asked for the same share
    /// again, it changes nothing.
    ///
    /// Weights of different layers are compared by `w² / Σ u²` over the weights `u` of their layer that are as large or
    /// larger, so that no layer is cut off.
    ///
    /// # Source
    /// Lee et al. 2021, arXiv:2010.07611 (LAMP).
    pub fn prune(&mut self, params: &mut Params, sparsity: f64) {
        let values = params.as_slice();
        let mut scores: Vec<(f32, usize)> = Vec::new();
        for range in &self.weights {
            let mut places: Vec<usize> = range.range().collect();
            let size = |place: &usize| (values[*place] * self.kept[*place]).abs();
            places.sort_by(|a, b| size(b).partial_cmp(&size(a)).unwrap_or(Ordering::Equal).then(a.cmp(b)));
            let mut larger = 0.0_f64;
            for place in places {
                let square = f64::from(size(&place)).powi(2);
                larger += square;
                let score = (square / larger.max(f64::MIN_POSITIVE)) as f32;
                // One that is pruned goes before one that happens to be zero.
                scores.push((if self.kept[place] == 0.0 { -1.0 } else { score }, place));
            }
        }
        let count = (scores.len() as f64 * sparsity.clamp(0.0, 1.0)).round() as usize;
        scores.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1)));
        scores.iter().take(count).for_each(|(_, place)| self.kept[*place] = 0.0);
        self.apply(params.as_mut_slice());
    }
}

/// The sparsity after a share of a course that ends at `sparsity`: `s (1 − (1 − t)³)`.
///
/// # Source
/// Zhu and Gupta 2017, arXiv:1710.01878, equation 1, from zero.
#[must_use]
pub fn cubic(sparsity: f64, share: f64) -> f64 {
    sparsity * (1.0 - (1.0 - share.clamp(0.0, 1.0)).powi(3))
}

/// The weights of a chain's maps.
fn weights(chain: &ToldChain) -> Vec<ParamRange> {
    let layout = chain.params.layout();
    let specs = chain.names.iter().filter_map(|(own, _)| layout.find(own));
    specs.map(|spec| spec.range.clone()).filter(|range| range.shape().len() > 1).collect()
}

/// The scale of a row of weights as integers: the largest becomes 127.
#[must_use]
pub fn row_scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 { 1.0 } else { largest / 127.0 }
}

/// The parameters of a chain, with weights that are integers times the scale of their row.
pub(crate) fn rounded(chain: &ToldChain) -> Params {
    let mut params = chain.params.clone();
    for range in weights(chain) {
        let mut values = range.read(params.as_slice());
        let rows = range.shape()[0];
        for row in values.chunks_mut(range.len() / rows.max(1)) {
            let scale = row_scale(row);
            row.iter_mut().for_each(|value| *value = (*value / scale).round() * scale);
        }
        range.write(&values, params.as_mut_slice());
    }
    params
}

#[cfg(test)]
mod tests {
    use agon_policy::{Operation, Parameter, Parameters};

    use super::*;

    #[test]
    fn the_schedule_ends_where_it_should() {
        assert_eq!([cubic(0.9, 0.0), cubic(0.9, 1.0), cubic(0.9, 2.0)], [0.0, 0.9, 0.9]);
        assert!((cubic(0.8, 0.5) - 0.7).abs() < 1e-12);
    }

    #[test]
    fn the_least_weights_of_each_layer_go_and_what_is_pruned_stays_so() {
        let name = |name: &str| name.to_owned();
        let linear = |layer: &str| Operation::Linear {
            weight: format!("{layer}.w"),
            bias: format!("{layer}.b"),
            inputs: 2,
            outputs: 2,
        };
        let parameter =
            |shape: &[usize], values: &[f32]| Parameter { shape: shape.to_vec(), values: values.to_vec() };
        // The second layer's weights are small, but not compared with each other.
        let parameters = Parameters::from([
            (name("a.w"), parameter(&[2, 2], &[4.0, 0.1, -3.0, 0.2])),
            (name("a.b"), parameter(&[2], &[0.5, 0.5])),
            (name("b.w"), parameter(&[2, 2], &[0.04, -0.001, 0.03, 0.002])),
            (name("b.b"), parameter(&[2], &[0.5, 0.5])),
        ]);
        let mut chain = ToldChain::new(&[linear("a"), linear("b")], &parameters, 2).unwrap();
        let mut mask = Mask::of(&chain);
        mask.prune(&mut chain.params, 0.5);
        assert_eq!(mask.sparsity(), 0.5);
        assert_eq!(chain.params.get("0.weight").unwrap(), [4.0, 0.0, -3.0, 0.0]);
        assert_eq!(chain.params.get("2.weight").unwrap(), [0.04, 0.0, 0.03, 0.0]);
        assert_eq!(chain.params.get("0.bias").unwrap(), [0.5, 0.5]);
        chain.params.as_mut_slice().fill(1.0);
        mask.prune(&mut chain.params, 0.25);
        assert_eq!(mask.sparsity(), 0.5);
        assert_eq!(chain.params.get("0.weight").unwrap(), [1.0, 0.0, 1.0, 0.0]);
    }
}
