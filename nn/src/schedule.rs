//! How a number, such as the learning rate, changes over a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::NnError;

/// A number as a function of the steps of a run.
///
/// ```text
/// warm-up (step < W):   start · step / W
/// after it:             t = min(1, (step − W) / (duration − W))
/// constant              value
/// linear                start + (end − start) · t
/// cosine                end + (start − end) · (1 + cos πt) / 2
/// ```
///
/// Steps and `duration` have one unit of the caller's choice: updates, or environment steps. The end is reached at
/// `duration` and kept; without steps after the warm-up it is reached at once.
///
/// # Source
/// `get_{constant,linear,cosine}_schedule_with_warmup` of Hugging Face transformers 4; Loshchilov and Hutter 2017,
/// arXiv:1608.03983, equation 5. Linear to 0 without warm-up is the annealing of CleanRL's PPO.
///
/// # Example
/// ```
/// use agon_nn::Schedule;
///
/// let schedule = Schedule::linear(3e-4, 0.0, 100.0);
/// assert_eq!(schedule.at(25), 0.75 * 3e-4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// The same number throughout.
    Constant {
        /// The number.
        value: f64,
        /// Steps over which it rises from zero; 0 is without.
        #[serde(default)]
        warmup_steps: u64,
    },
    /// A straight line.
    Linear {
        /// The number after the warm-up.
        start: f64,
        /// The number at the end.
        end: f64,
        /// Steps from the beginning, the warm-up included, to the end.
        duration: f64,
        /// Steps over which it rises from zero to `start`; 0 is without.
        #[serde(default)]
        warmup_steps: u64,
    },
    /// Half a wave of a cosine: flat at both ends.
    Cosine {
        /// The number after the warm-up.
        start: f64,
        /// The number at the end.
        end: f64,
        /// Steps from the beginning, the warm-up included, to the end.
        duration: f64,
        /// Steps over which it rises from zero to `start`; 0 is without.
        #[serde(default)]
        warmup_steps: u64,
    },
}

impl Schedule {
    /// The same number throughout, without warm-up.
    #[must_use]
    pub fn constant(value: f64) -> Self {
        Self::Constant { value, warmup_steps: 0 }
    }

    /// A straight line over some steps, without warm-up.
    #[must_use]
    pub fn linear(start: f64, end: f64, duration: f64) -> Self {
        Self::Linear { start, end, duration, warmup_steps: 0 }
    }

    /// A straight line from a number to zero if it is annealed, else that number throughout.
    #[must_use]
    pub fn annealed(start: f64, anneal: bool, duration: u64) -> Self {
        if anneal { Self::linear(start, 0.0, duration as f64) } else { Self::constant(start) }
    }

    /// Checks that its numbers are finite.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that is not.
    pub fn validate(&self) -> Result<(), NnError> {
        let fields = match *self {
            Self::Constant { value, .. } => vec![("value", value)],
            Self::Linear { start, end, duration, .. } | Self::Cosine { start, end, duration, .. } => {
                vec![("start", start), ("end", end), ("duration", duration)]
            }
        };
        for (field, number) in fields {
            if !number.is_finite() {
                return Err(NnError::Config { field, expected: "finite", got: number.to_string() });
            }
        }
        Ok(())
    }

    /// The number after so many steps.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        let (Self::Constant { value: start, warmup_steps }
        | Self::Linear { start, warmup_steps, .. }
        | Self::Cosine { start, warmup_steps, .. }) = *self;
        if step < warmup_steps {
            return start * (step as f64 / warmup_steps as f64);
        }
        let passed = (step - warmup_steps) as f64;
        match *self {
            Self::Constant { value, .. } => value,
            Self::Linear { end, duration, .. } | Self::Cosine { end, duration, .. }
                if duration <= warmup_steps as f64 =>
            {
                end
            }
            Self::Linear { start, end, duration, .. } => {
                start + (end - start) * (passed / (duration - warmup_steps as f64)).min(1.0)
            }
            Self::Cosine { start, end, duration, .. } => {
                let progress = (passed / (duration - warmup_steps as f64)).min(1.0);
                // The end is given back exactly, not by way of the cosine.
                let wave = (start - end) * 0.5 * (1.0 + libm::cos(PI * progress));
                if progress == 1.0 { end } else { end + wave }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const N: usize>(schedule: Schedule, steps: [u64; N]) -> [f64; N] {
        steps.map(|step| schedule.at(step))
    }

    #[test]
    fn a_constant_stays_and_may_warm_up() {
        assert_eq!(values(Schedule::constant(0.5), [0, 7, 10, 20]), [0.5; 4]);
        let warm = Schedule::Constant { value: 0.5, warmup_steps: 4 };
        assert_eq!(values(warm, [0, 1, 3, 4, 9]), [0.0, 0.125, 0.375, 0.5, 0.5]);
    }

    #[test]
    fn a_line_reaches_its_end_and_stays() {
        let line = Schedule::linear(1.0, 0.5, 10.0);
        assert_eq!(values(line, [0, 2, 5, 10, 11]), [1.0, 0.9, 0.75, 0.5, 0.5]);
        let warm = Schedule::Linear { start: 1.0, end: 0.0, duration: 10.0, warmup_steps: 2 };
        assert_eq!(values(warm, [0, 1, 2, 4, 6, 10]), [0.0, 0.5, 1.0, 0.75, 0.5, 0.0]);
    }

    #[test]
    fn a_cosine_is_half_way_in_the_middle_and_flat_at_the_ends() {
        let wave = |duration| Schedule::Cosine { start: 3.0, end: 1.0, duration, warmup_steps: 0 };
        let third = wave(6.0).at(2);
        assert!((third - 2.5).abs() < 1e-12, "{third}");
        assert!((wave(6.0).at(3) - 2.0).abs() < 1e-12);
        assert!((wave(1000.0).at(1) - 3.0).abs() < 1e-5 && (wave(1000.0).at(999) - 1.0).abs() < 1e-5);
        assert_eq!(values(wave(6.0), [0, 6, 7]), [3.0, 1.0, 1.0]);
        let warm = Schedule::Cosine { start: 3.0, end: 1.0, duration: 9.0, warmup_steps: 3 };
        assert_eq!(values(warm, [0, 1, 3, 9]), [0.0, 1.0, 3.0, 1.0]);
        assert!((warm.at(6) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn runs_without_steps_after_the_warm_up_have_values_too() {
        let line = Schedule::Linear { start: 1.0, end: 0.25, duration: 3.0, warmup_steps: 4 };
        assert_eq!(values(line, [0, 2, 4, 5]), [0.0, 0.5, 0.25, 0.25]);
        assert_eq!(Schedule::linear(1.0, 0.25, 0.0).at(0), 0.25);
    }

    #[test]
    fn schedules_are_read_from_text() {
        let parse = |text: &str| serde_json::from_str::<Schedule>(text);
        assert_eq!(parse(r#"{"kind":"constant","value":2.0}"#).unwrap(), Schedule::constant(2.0));
        assert_eq!(
            parse(r#"{"kind":"cosine","start":1.0,"end":0.0,"duration":9.0,"warmup_steps":5}"#).unwrap(),
            Schedule::Cosine { start: 1.0, end: 0.0, duration: 9.0, warmup_steps: 5 }
        );
        for wrong in [r#"{"kind":"step","value":1.0}"#, r#"{"kind":"constant","value":1.0,"end":0.0}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let schedule = Schedule::linear(1.0, f64::NAN, 9.0);
        assert_eq!(schedule.validate().unwrap_err().to_string(), "end must be finite, got NaN");
        assert!(Schedule::constant(f64::INFINITY).validate().is_err());
        assert!(Schedule::constant(1.0).validate().is_ok());
    }
}
