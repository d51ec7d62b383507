//! Which vector instructions the kernels use.
//!
//! The choice is made at run time and holds for the whole process: a plain build runs at full speed on every
//! machine, and a run can pin a set so that another machine repeats its results bit for bit.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::NnError;

/// A set of vector instructions; later ones are faster.
///
/// Results are reproducible per set: two sets may differ in the last places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstructionSet {
    /// Portable code, one value at a time.
    Scalar,
    /// 256-bit vectors with fused multiply-add (x86-64-v3).
    Avx2,
    /// 512-bit vectors (x86-64-v4).
    Avx512,
}

/// The process-wide choice: 0 while nothing was chosen, else 1 + the set.
static CURRENT: AtomicU8 = AtomicU8::new(0);

impl InstructionSet {
    /// All sets, slowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The fastest set that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        if Self::Avx512.is_available() {
            Self::Avx512
        } else if Self::Avx2.is_available() {
            Self::Avx2
        } else {
            Self::Scalar
        }
    }

    /// Whether this processor has the set.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// Makes every kernel of this process use `set` from now on.
    ///
    /// # Errors
    /// [`NnError::UnavailableInstructionSet`] if this processor lacks it; nothing changes then.
    pub fn select(set: Self) -> Result<(), NnError> {
        if !set.is_available() {
            return Err(NnError::UnavailableInstructionSet {
                requested: set.to_string(),
                best: Self::detect().to_string(),
            });
        }
        CURRENT.store(set.code(), Ordering::Relaxed);
        Ok(())
    }

    /// The set that the kernels use: the selected one, else the detected one.
    #[must_use]
    #[inline]
    pub fn current() -> Self {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Self::Scalar,
            2 => Self::Avx2,
            3 => Self::Avx512,
            _ => Self::initialize(),
        }
    }

    #[cold]
    fn initialize() -> Self {
        let detected = Self::detect();
        // A concurrent `select` wins over detection.
        match CURRENT.compare_exchange(0, detected.code(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => detected,
            Err(_) => Self::current(),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Scalar => 1,
            Self::Avx2 => 2,
            Self::Avx512 => 3,
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

impl FromStr for InstructionSet {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|set| set.to_string() == text)
            .ok_or_else(|| NnError::UnknownInstructionSet(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_names_list_the_choices() {
        for set in InstructionSet::ALL {
            assert_eq!(set.to_string().parse::<InstructionSet>().unwrap(), set);
            assert_eq!(serde_json::to_string(&set).unwrap(), format!("\"{set}\""));
        }
        let error = "sse9".parse::<InstructionSet>().unwrap_err();
        assert_eq!(error.to_string(), "instruction set must be one of scalar, avx2, avx512, got \"sse9\"");
    }

    #[test]
    fn the_detected_set_is_available() {
        assert!(InstructionSet::detect().is_available());
        assert!(InstructionSet::Scalar.is_available());
    }
}
