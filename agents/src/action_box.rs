//! Continuous actions between −1 and 1, as policies make them, and between their bounds, as environments take them.

use agon_envs::{ActionBatch, ActionSpec};

use crate::AgentError;
use crate::program::Decision;

/// The bounds of an action space.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActionBox {
    low: Vec<f32>,
    high: Vec<f32>,
    center: Vec<f32>,
    half: Vec<f32>,
}

impl ActionBox {
    /// Of an action space whose bounds are finite.
    pub(crate) fn of(algorithm: &'static str, spec: &ActionSpec) -> Result<Self, AgentError> {
        let expected = "actions with finite bounds";
        match spec {
            ActionSpec::Continuous { low, high } if low.iter().chain(high).all(|bound| bound.is_finite()) => {
                // Halved one by one: the sum of two bounds may be out of a float's range.
                let bounds = low.iter().zip(high);
                Ok(Self {
                    center: bounds.clone().map(|(low, high)| 0.5 * low + 0.5 * high).collect(),
                    half: bounds.map(|(low, high)| 0.5 * high - 0.5 * low).collect(),
                    low: low.clone(),
                    high: high.clone(),
                })
            }
            other => Err(AgentError::Unsupported { algorithm, expected, found: format!("{other:?}") }),
        }
    }

    /// Number of dimensions, `D`.
    pub(crate) fn dimensions(&self) -> usize {
        self.center.len()
    }

    /// How an action is read from the outputs of a network that `tanh` follows.
    pub(crate) fn decision(&self) -> Decision {
        Decision::Squashed { low: self.low.clone(), high: self.high.clone() }
    }

    /// From −1..1 to the bounds.
    ///
    /// # Shapes
    /// Both: `[B, D]`.
    pub(crate) fn write(&self, actions: &[f32], to: &mut ActionBatch) {
        if let ActionBatch::Continuous(to) = to {
            let scales = self.center.iter().zip(&self.half);
            let bounds = self.low.iter().zip(&self.high);
            for ((to, action), ((center, half), (low, high))) in
                to.iter_mut().zip(actions).zip(scales.zip(bounds).cycle())
            {
                // Rounding must not leave the bounds, and the middle plus the half is not always one of them.
                *to = (center + half * action).clamp(*low, *high);
            }
        }
    }

    /// From the bounds to −1..1, of one action.
    pub(crate) fn read(&self, action: &[f32], out: &mut [f32]) {
        let scales = self.center.iter().zip(&self.half);
        for ((out, action), (center, half)) in out.iter_mut().zip(action).zip(scales) {
            // A dimension without extent has one action only.
            *out = if *half > 0.0 { (action - center) / half } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_go_to_their_bounds_and_back() {
        let spec = ActionSpec::Continuous { low: vec![-2.0, 0.0], high: vec![2.0, 1.0] };
        let bounds = ActionBox::of("sac", &spec).unwrap();
        let mut env = ActionBatch::zeros(&spec, 2);
        bounds.write(&[-1.0, 1.0, 0.5, 0.0], &mut env);
        assert_eq!(env, ActionBatch::Continuous(vec![-2.0, 1.0, 1.0, 0.5]));
        let mut back = [0.0; 2];
        bounds.read(&[1.0, 0.5], &mut back);
        assert_eq!(back, [0.5, 0.0]);
    }

    proptest::proptest! {
        #[test]
        fn rounding_never_leaves_the_box(a: f32, b: f32, action in -1.0_f32..=1.0) {
            proptest::prop_assume!(a.is_finite() && b.is_finite());
            let (low, high) = (a.min(b), a.max(b));
            let spec = ActionSpec::Continuous { low: vec![low], high: vec![high] };
            let bounds = ActionBox::of("td3", &spec).unwrap();
            let mut env = ActionBatch::zeros(&spec, 1);
            for action in [-1.0, action, 1.0] {
                bounds.write(&[action], &mut env);
                let ActionBatch::Continuous(values) = &env else { panic!("numbers") };
                proptest::prop_assert!((low..=high).contains(&values[0]), "{} in {low} to {high}", values[0]);
            }
        }
    }

    #[test]
    fn the_bounds_of_the_report_are_kept() {
        let spec = ActionSpec::Continuous { low: vec![-5.0], high: vec![0.3] };
        let mut env = ActionBatch::zeros(&spec, 1);
        ActionBox::of("td3", &spec).unwrap().write(&[1.0], &mut env);
        assert_eq!(env, ActionBatch::Continuous(vec![0.3]));
    }

    #[test]
    fn unbounded_and_discrete_actions_are_refused() {
        let unbounded = ActionSpec::Continuous { low: vec![f32::NEG_INFINITY], high: vec![1.0] };
        for spec in [unbounded, ActionSpec::Discrete { nvec: vec![2] }] {
            let error = ActionBox::of("td3", &spec).unwrap_err().to_string();
            assert!(error.starts_with("td3 needs actions with finite bounds, got "), "{error}");
        }
    }
}
