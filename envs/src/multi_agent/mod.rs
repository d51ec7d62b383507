//! Several agents in one arena: every agent is a row of the batch.

pub mod foraging;
#[cfg(test)]
mod tests;

pub use foraging::{Foraging, ForagingArgs};

use crate::{EnvError, EnvSpec, Registry};
use foraging::Layout;

/// What a query for columns relies on.
const IN_TABLES: &str = "the components of arenas and agents are stored in tables";

/// Sizes, agents and food of the registered Foraging environments.
const FORAGING: [(u8, u8, u8); 5] = [(5, 2, 1), (8, 2, 2), (8, 3, 2), (10, 3, 3), (15, 4, 3)];

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    for (size, agents, food) in FORAGING {
        for cooperative in [false, true] {
            let layout = Layout { size, agents, food, cooperative };
            let summary = if cooperative {
                "Gather food that the agents can only lift together."
            } else {
                "Gather food, some of it together."
            };
            registry.register(
                EnvSpec::ecs(&layout.id(), move |args: ForagingArgs| Foraging::new(args, layout))
                    .max_episode_steps(50)
                    .summary(summary)
                    .page(include_str!("foraging.rs")),
            )?;
        }
    }
    Ok(())
}

/// The error of an argument out of range.
fn setting(field: &'static str, expected: &'static str, found: impl ToString) -> EnvError {
    EnvError::Setting { field, expected, found: found.to_string() }
}
