//! What an algorithm with networks is to the registry.

use std::sync::Arc;

use agon_nn::ModelConfig;
use serde::{Serialize, de::DeserializeOwned};

use crate::learner::{Learner, PolicyInfo, RunInfo};
use crate::{AgentError, Policy, Weights};

/// A learner with networks: how it is built, and how its policy is made from weights alone.
pub trait Algorithm: Learner + Sized + 'static {
    /// Its settings. Use `#[serde(deny_unknown_fields)]`; missing keys come from the registered defaults.
    type Config: Serialize + DeserializeOwned;

    /// The shape of its networks where none is given.
    fn default_network() -> ModelConfig;

    /// Builds the learner, with networks initialised from the run's seed.
    ///
    /// # Errors
    /// If a setting is out of range, or settings or environment do not suit the algorithm.
    fn new(config: Self::Config, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError>;

    /// The settings with those numbers filled in that were left to the algorithm and decide results: what a run records, so
    /// that it keeps them.
    #[must_use]
    fn settled(config: Self::Config, _network: &ModelConfig, _info: &RunInfo) -> Self::Config {
        config
    }

    /// The policy that a learner with these weights publishes, without the learner.
    ///
    /// # Errors
    /// As [`Self::new`], and [`AgentError::Weights`] if the weights are of other networks.
    fn policy_from(
        config: &Self::Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError>;
}
