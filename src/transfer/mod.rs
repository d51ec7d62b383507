//! Beginning with what another run has learned: what is taken over, what begins anew, and what learns how fast.
//!
//! `init_from` says where weights come from, [`TransferConfig`] what becomes of them. The networks need not be of the same
//! environment or algorithm: tensors that fit by name and shape are taken over, the others begin anew. [`taken_over`] says which
//! they were, [`report`] what it brought.

pub mod report;

use std::collections::BTreeMap;

use agon_agents::transfer::{Fate, Transfer, TransferRules};
use agon_agents::{AgentError, Learner, Weights};
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::setup::Setup;
use crate::{RunError, policy, runtime};

/// What becomes of the weights that a run begins with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransferConfig {
    /// Whether all tensors must fit.
    pub mode: TransferMode,
    /// Prefixes of names of tensors that begin anew, such as `["q."]` for a head.
    pub reset: Vec<String>,
    /// What prefixes of names in the file are called in the run, such as `{ "actor." = "" }`.
    pub rename: BTreeMap<String, String>,
    /// Prefixes of names of tensors that stay as they are.
    pub freeze: Vec<String>,
    /// Factors of the step sizes of tensors, by prefixes of their names, such as `{ "encoder." = 0.1 }`.
    pub learning_rates: BTreeMap<String, f64>,
}

/// Which tensors a run can begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// All of a file that has exactly the run's, those that are reset apart.
    #[default]
    Whole,
    /// Those that fit by name and shape; the others begin anew.
    Matching,
}

impl TransferConfig {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be checked before there are networks.
    ///
    /// # Errors
    /// If weights are spoken of that do not come from anywhere, or a prefix is frozen and given a factor.
    pub fn validate(&self, has_weights: bool) -> Result<(), RunError> {
        let speaks_of_weights =
            self.mode == TransferMode::Matching || !self.reset.is_empty() || !self.rename.is_empty();
        if speaks_of_weights && !has_weights {
            let message = "transfer.mode, reset and rename must be left out, or init_from be given: there are no weights to take over";
            return Err(RunError::Config(message.to_owned()));
        }
        match self.freeze.iter().find(|prefix| self.learning_rates.contains_key(*prefix)) {
            None => Ok(()),
            Some(prefix) => Err(RunError::Config(format!(
                "transfer.freeze must be of other prefixes than transfer.learning_rates, got {prefix:?} in both"
            ))),
        }
    }

    /// Has parameters of a learner learn at their own rates.
    ///
    /// # Errors
    /// If a prefix is that of no parameter, or a factor is below zero.
    pub(crate) fn set_rates(&self, learner: &mut dyn Learner) -> Result<(), AgentError> {
        learner.set_learning_rates(&self.rates()).map_err(|error| match error {
            AgentError::Setting { expected, found, .. } if self.freeze.contains(&found) => {
                AgentError::Setting { field: "transfer.freeze".to_owned(), expected, found }
            }
            other => within(other),
        })
    }

    /// Factors of step sizes: zero for what is frozen.
    pub fn rates(&self) -> BTreeMap<String, f64> {
        let frozen = self.freeze.iter().map(|prefix| (prefix.clone(), 0.0));
        self.learning_rates.iter().map(|(prefix, rate)| (prefix.clone(), *rate)).chain(frozen).collect()
    }

    fn rules(&self) -> TransferRules {
        TransferRules { reset: self.reset.clone(), rename: self.rename.clone() }
    }

    /// Has a learner begin with weights.
    ///
    /// # Errors
    /// [`AgentError::Weights`] if they do not fit and must, and if a rule names what is not there.
    pub(crate) fn begin(&self, learner: &mut dyn Learner, weights: &Weights) -> Result<(), AgentError> {
        let rules = self.rules();
        if self.mode == TransferMode::Whole && rules == TransferRules::default() {
            return learner.load_weights(weights);
        }
        let transfer = Transfer::new(&learner.weights(), weights, &rules).map_err(within)?;
        if self.mode == TransferMode::Whole
            && let Some(tensor) =
                transfer.tensors.iter().find(|tensor| !matches!(tensor.fate, Fate::Taken(_) | Fate::Reset))
        {
            let expected = format!(
                "{:?}, or \"matching\" to leave out what does not fit, of weights that have {} of shape {:?}",
                "whole", tensor.name, tensor.shape
            );
            return Err(AgentError::Setting {
                field: "transfer.mode".to_owned(),
                expected,
                found: match &tensor.fate {
                    Fate::OtherShape(shape) => format!("shape {shape:?}"),
                    _ => "none of that name".to_owned(),
                },
            });
        }
        if !transfer.tensors.iter().any(|tensor| matches!(tensor.fate, Fate::Taken(_))) {
            let expected = "\"matching\" with weights of which at least one tensor fits by name and shape";
            let found = "none that does (see `agon transfer show`)".to_owned();
            return Err(AgentError::Setting {
                field: "transfer.mode".to_owned(),
                expected: expected.to_owned(),
                found,
            });
        }
        learner.load_weights(&transfer.weights)
    }
}

/// What a run of this configuration takes over from where its weights come from, without training it.
///
/// # Errors
/// If there are no weights to begin with, they cannot be read, or a rule names what is not there.
pub fn taken_over(setup: &Setup, config: &RunConfig) -> Result<Transfer, RunError> {
    let mut config = config.clone();
    config.resolve(&setup.registry, &setup.algorithms)?;
    let Some(from) = &config.init_from else {
        return Err(RunError::Config("init_from must be a weight file or a run, got none".to_owned()));
    };
    let bytes = policy::read_file(setup, from)?;
    let (_, weights) = policy::parse_tensors(from, &bytes)?;
    let own = runtime::fresh_weights(setup, &config)?;
    let transfer = Transfer::new(&own, &weights, &config.transfer.rules()).map_err(within);
    transfer.map_err(|error| RunError::Weights { path: from.clone(), message: error.to_string() })
}

/// The error of a rule, with the table of settings that it stands in.
fn within(error: AgentError) -> AgentError {
    match error {
        AgentError::Setting { field, expected, found } => {
            AgentError::Setting { field: format!("transfer.{field}"), expected, found }
        }
        other => other,
    }
}
