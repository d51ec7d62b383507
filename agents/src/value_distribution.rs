//! What a Q network learns of the returns of an action: their mean, or their distribution in one of several forms.

use agon_nn::NnError;
use agon_nn::losses::distributional::Support;
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::error::DISTRIBUTION;
use crate::settings::samples;

/// What is learned of the returns of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Distribution {
    /// Their mean.
    #[default]
    None,
    /// Probabilities of fixed returns.
    C51(C51Config),
    /// Quantiles at fixed places.
    Qr(QrConfig),
    /// Quantiles at any place.
    Iqn(IqnConfig),
}

/// Settings of [`Distribution::C51`].
///
/// # Source
/// Bellemare et al. (2017), arXiv:1707.06887, section 5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct C51Config {
    /// The least return; below `v_max`.
    pub v_min: f64,
    /// The greatest return.
    pub v_max: f64,
    /// Number of returns; at least 2.
    pub atoms: usize,
}

impl Default for C51Config {
    fn default() -> Self {
        Self { v_min: -10.0, v_max: 10.0, atoms: 51 }
    }
}

impl C51Config {
    pub(crate) fn support(&self) -> Result<Support, NnError> {
        Support::new(self.v_min as f32, self.v_max as f32, self.atoms)
    }
}

/// Settings of [`Distribution::Qr`].
///
/// # Source
/// Dabney et al. (2018a), arXiv:1710.10044, section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QrConfig {
    /// Number of quantiles; at least 1.
    pub quantiles: usize,
}

impl Default for QrConfig {
    fn default() -> Self {
        Self { quantiles: 200 }
    }
}

/// Settings of [`Distribution::Iqn`].
///
/// # Source
/// Dabney et al. (2018b), arXiv:1806.06923, section 4: 64 cosines, 64 samples, 32 to choose actions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IqnConfig {
    /// Quantiles that a loss is taken over, `N`; at least 1.
    pub samples: usize,
    /// Quantiles of its target, `N'`; at least 1.
    pub target_samples: usize,
    /// Quantiles whose mean an action is chosen by, `K`; at least 1.
    pub acting_samples: usize,
    /// Cosines that a place is seen as; at least 1.
    pub cosines: usize,
}

impl Default for IqnConfig {
    fn default() -> Self {
        Self { samples: 64, target_samples: 64, acting_samples: 32, cosines: 64 }
    }
}

impl Distribution {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), AgentError> {
        match self {
            Self::None => Ok(()),
            Self::C51(c51) => {
                samples(&[("distribution.atoms", c51.atoms as u64)])?;
                Ok(c51.support().map(drop).map_err(|error| error.within(DISTRIBUTION))?)
            }
            Self::Qr(QrConfig { quantiles }) => samples(&[("distribution.quantiles", *quantiles as u64)]),
            Self::Iqn(iqn) => samples(&[
                ("distribution.samples", iqn.samples as u64),
                ("distribution.target_samples", iqn.target_samples as u64),
                ("distribution.acting_samples", iqn.acting_samples as u64),
                ("distribution.cosines", iqn.cosines as u64),
            ]),
        }
    }
}
