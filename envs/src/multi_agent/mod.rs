//! Several agents in one arena: every agent is a row of the batch.

pub mod foraging;
mod particles;
pub mod simple_spread;
pub mod simple_tag;
#[cfg(test)]
mod tests;

pub use foraging::{Foraging, ForagingArgs};
pub use simple_spread::SimpleSpread;
pub use simple_tag::SimpleTag;

use crate::{EnvError, EnvSpec, Registry};
use foraging::Layout;

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
    registry.register(
        EnvSpec::ecs("SimpleSpread-v3", SimpleSpread::validated)
            .max_episode_steps(25)
            .summary("Cover all landmarks without running into each other.")
            .page(include_str!("simple_spread.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("SimpleTag-v3", SimpleTag::validated)
            .max_episode_steps(25)
            .summary("Slower adversaries hunt a faster agent among obstacles.")
            .page(include_str!("simple_tag.rs")),
    )
}

/// The error of an argument out of range.
fn setting(field: &'static str, expected: &'static str, found: impl ToString) -> EnvError {
    EnvError::Setting { field, expected, found: found.to_string() }
}
