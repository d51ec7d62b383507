//! An exponential moving average of parameters: target networks, and weights for evaluation.

use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::matrix::check_length;
use crate::params::Params;

/// Settings of an [`Ema`].
///
/// # Source
/// SAC (Haarnoja et al. 2018) has `tau` 0.005 and an interval of 1, DQN (Mnih et al. 2015) `tau` 1 and an interval of
/// 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// The part of the way to the source that an update goes, more than 0 and at most 1 (a copy).
    ///
    /// The decay that averages of weights are usually described by is `1 − tau`.
    #[doc(alias = "decay")]
    pub tau: f64,
    /// Every how many calls of [`Ema::update`] the average moves, at least 1.
    #[doc(alias = "target_network_frequency")]
    pub interval: u64,
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self { tau: 0.005, interval: 1 }
    }
}

impl EmaConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        if !(self.tau > 0.0 && self.tau <= 1.0) {
            let expected = "more than 0 and at most 1";
            return Err(NnError::Config { field: "tau", expected, got: self.tau.to_string() });
        }
        if self.interval == 0 {
            return Err(NnError::Config { field: "interval", expected: "at least 1", got: "0".to_owned() });
        }
        Ok(())
    }
}

/// The state of an [`Ema`], complete: restored, it continues with the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmaState {
    /// Calls of [`Ema::update`].
    pub calls: u64,
    /// The averaged values.
    pub values: Vec<f32>,
}

/// Parameters that follow others: `average ← tau · source + (1 − tau) · average`.
///
/// It starts as a copy of the source, so it needs no correction of a bias towards zero.
#[derive(Debug, Clone)]
pub struct Ema {
    config: EmaConfig,
    calls: u64,
    average: Params,
}

impl Ema {
    /// Starts at the values of `source`.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: EmaConfig, source: &Params) -> Result<Self, NnError> {
        config.validate()?;
        Ok(Self { config, calls: 0, average: source.clone() })
    }

    /// Continues from a saved state; `source` gives the layout.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound, [`NnError::Length`] if the state is of another length.
    pub fn from_state(config: EmaConfig, source: &Params, state: &EmaState) -> Result<Self, NnError> {
        check_length("values", source.len(), state.values.len())?;
        let mut ema = Self::new(config, source)?;
        ema.average.as_mut_slice().copy_from_slice(&state.values);
        ema.calls = state.calls;
        Ok(ema)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &EmaConfig {
        &self.config
    }

    /// A copy of the state, to be saved.
    #[must_use]
    pub fn state(&self) -> EmaState {
        EmaState { calls: self.calls, values: self.average.as_slice().to_vec() }
    }

    /// The averaged parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.average
    }

    /// Counts a call, and every `interval`-th time moves the average towards `source`; says whether it did.
    ///
    /// # Errors
    /// [`NnError::LayoutMismatch`] if `source` has another layout; nothing changes then.
    pub fn update(&mut self, source: &Params) -> Result<bool, NnError> {
        let moves = (self.calls + 1).is_multiple_of(self.config.interval);
        if moves && self.config.tau == 1.0 {
            // Also where the average is not finite.
            self.average.copy_from(source)?;
        } else if moves {
            self.average.lerp_from(source, self.config.tau as f32)?;
        }
        self.calls += 1;
        Ok(moves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::params::LayoutBuilder;

    fn params(value: f32) -> Params {
        let mut builder = LayoutBuilder::new();
        builder.add("w", &[19], Init::Constant(value));
        builder.build(0)
    }

    #[test]
    fn the_average_forgets_its_start_by_one_minus_tau() {
        let mut ema = Ema::new(EmaConfig { tau: 0.25, interval: 1 }, &params(8.0)).unwrap();
        for expected in [6.0, 4.5, 3.375] {
            assert!(ema.update(&params(0.0)).unwrap());
            assert_eq!(ema.params().as_slice(), [expected; 19]);
        }
    }

    #[test]
    fn it_moves_only_at_the_end_of_each_interval() {
        let mut ema = Ema::new(EmaConfig { tau: 1.0, interval: 3 }, &params(1.0)).unwrap();
        let moved: Vec<bool> = (2..8).map(|i| ema.update(&params(i as f32)).unwrap()).collect();
        assert_eq!(moved, [false, false, true, false, false, true]);
        assert_eq!(ema.params().as_slice(), [7.0; 19]);
    }

    #[test]
    fn a_restored_state_continues_with_the_same_bits() {
        let config = EmaConfig { tau: 0.1, interval: 2 };
        let mut straight = Ema::new(config, &params(1.0)).unwrap();
        for i in 0..3 {
            straight.update(&params(i as f32)).unwrap();
        }
        let saved: EmaState =
            serde_json::from_str(&serde_json::to_string(&straight.state()).unwrap()).unwrap();
        let mut resumed = Ema::from_state(config, &params(0.0), &saved).unwrap();
        for i in 3..6 {
            assert_eq!(
                straight.update(&params(i as f32)).unwrap(),
                resumed.update(&params(i as f32)).unwrap()
            );
        }
        assert_eq!(straight.state(), resumed.state());
        assert_eq!(resumed.state().calls, 6);
    }

    #[test]
    fn bad_settings_and_other_layouts_are_refused() {
        for (tau, interval, message) in [
            (0.0, 1, "tau must be more than 0 and at most 1, got 0"),
            (1.5, 1, "tau must be more than 0 and at most 1, got 1.5"),
            (0.5, 0, "interval must be at least 1, got 0"),
        ] {
            let error = Ema::new(EmaConfig { tau, interval }, &params(0.0)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let mut ema = Ema::new(EmaConfig::default(), &params(0.0)).unwrap();
        assert!(ema.update(&LayoutBuilder::new().build(0)).is_err());
        let short = EmaState { calls: 0, values: vec![0.0; 3] };
        assert!(Ema::from_state(EmaConfig::default(), &params(0.0), &short).is_err());
    }
}
