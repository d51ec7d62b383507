//! Decisions about members of groups: what a report on fairness reads of an environment, whatever its task is.
//!
//! An environment *has groups* if it names them ([`VectorInfo::groups`](crate::VectorInfo::groups)). After each step it says,
//! for each of its rows, who was decided about ([`Decision`]): of which group, whether in their favour, and what is true of
//! them, whether the decision brought it to light or not. A row decides about one applicant, about many, or about nobody.
//! Plain structs implement [`Env::groups`](crate::Env::groups) and [`Env::decisions`](crate::Env::decisions), worlds call
//! [`SimulatorBuilder::groups`](crate::SimulatorBuilder::groups), and what else steps many environments
//! [`VectorEnv::decisions`](crate::VectorEnv::decisions); the [`Simulator`](crate::Simulator) collects them in
//! [`StepBatch::decisions`](crate::StepBatch::decisions).
//!
//! # Source
//! D'Amour et al. 2020, "Fairness is not static", section 3: metrics by group over histories of states and actions.

use serde::{Deserialize, Serialize};

use crate::EnvError;

/// What was decided about some members of a group who are alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Number of their group, in the order of the environment's names.
    pub group: u32,
    /// Whether they were given what was decided about: a loan, a place, a treatment, attention.
    pub favourable: bool,
    /// Whether they deserve or need it: would repay, would pass, could fall ill. None where there is no such truth.
    pub qualified: Option<bool>,
    /// How many of them there are.
    pub count: u32,
    /// The part of the step's reward that comes from all of them together.
    pub reward: f64,
}

/// A [`Decision`] and the row that took it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowDecision {
    /// Row of the batch.
    pub row: u32,
    /// What was decided.
    pub decision: Decision,
}

/// Checks that decisions are about groups that there are, with numbers as rewards.
pub(crate) fn check(env: &str, groups: &[String], decisions: &[RowDecision]) -> Result<(), EnvError> {
    for RowDecision { row, decision } in decisions {
        if decision.group as usize >= groups.len() {
            let (group, known) = (decision.group, groups.len());
            return Err(EnvError::Contract {
                id: env.to_owned(),
                message: format!(
                    "row {row} decided about group {group} of {known} groups, counted from zero"
                ),
            });
        }
        if !decision.reward.is_finite() {
            let (env, row, value) = (env.to_owned(), *row as usize, decision.reward);
            return Err(EnvError::NotANumber { env, row, index: None, value });
        }
    }
    Ok(())
}
