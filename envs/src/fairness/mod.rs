//! Decisions about people who belong to groups, over many steps, after the papers behind ml-fairness-gym.
//!
//! Each is a small plain struct that says after every step who was decided about ([`crate::groups`]), so that a report on
//! fairness reads all of them alike. What a decision changes for those who come later is the point: a rule that treats
//! groups alike in one step need not do so over a hundred.

pub mod attention_allocation;
pub mod college_admission;
mod draws;
pub mod infectious_disease;
mod karate;
pub mod lending;

pub use attention_allocation::{AttentionAllocation, AttentionAllocationArgs};
pub use college_admission::{CollegeAdmission, CollegeAdmissionArgs};
pub use infectious_disease::{InfectiousDisease, InfectiousDiseaseArgs};
pub use lending::{Lending, LendingArgs, LendingRule};

use crate::{EnvError, EnvSpec, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::single(lending::ID, Lending::new)
            .max_episode_steps(500)
            .summary(
                "Lend to applicants of two groups whose credit scores move with what becomes of their loans.",
            )
            .page(include_str!("lending.rs")),
    )?;
    registry.register(
        EnvSpec::single("Fairness/CollegeAdmission-v0", CollegeAdmission::new)
            .max_episode_steps(50)
            .summary("Set the score that admits to a college while applicants of two groups raise theirs at a cost.")
            .page(include_str!("college_admission.rs")),
    )?;
    registry.register(
        EnvSpec::single("Fairness/AttentionAllocation-v0", AttentionAllocation::new)
            .max_episode_steps(200)
            .summary("Send inspectors to sites whose incidents are only known where somebody looks.")
            .page(include_str!("attention_allocation.rs")),
    )?;
    registry.register(
        EnvSpec::single("Fairness/InfectiousDisease-v0", InfectiousDisease::new)
            .max_episode_steps(100)
            .summary("Vaccinate people of two communities while a disease spreads over their contacts.")
            .page(include_str!("infectious_disease.rs")),
    )
}

/// A setting that is out of range.
fn out_of_range(field: &'static str, expected: &'static str, found: impl ToString) -> EnvError {
    EnvError::Setting { field, expected, found: found.to_string() }
}

/// That a setting is a share.
fn share(field: &'static str, value: f64) -> Result<(), EnvError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(out_of_range(field, "between 0 and 1", value)) }
}

/// That a setting is at least zero, and at most so much.
fn within(field: &'static str, expected: &'static str, most: f64, value: f64) -> Result<(), EnvError> {
    if (0.0..=most).contains(&value) { Ok(()) } else { Err(out_of_range(field, expected, value)) }
}

/// That a setting is a list of so many shares with sum one.
fn distribution(field: &'static str, len: usize, values: &[f64]) -> Result<(), EnvError> {
    let sum: f64 = values.iter().sum();
    if values.len() == len && values.iter().all(|value| *value >= 0.0) && (sum - 1.0).abs() <= 1e-6 {
        return Ok(());
    }
    let expected = "shares of at least 0 that sum to 1, one for each place";
    Err(out_of_range(field, expected, format!("{values:?}")))
}

#[cfg(test)]
mod tests;
