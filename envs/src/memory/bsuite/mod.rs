//! Tasks of bsuite: memory, exploration and credit assignment, each at several sizes, with bsuite's scores.
//!
//! Rules, sizes and scores are bsuite's own. Random draws come from the arena's generator instead of NumPy's legacy one, so
//! a seed gives another trajectory of the same distribution; DeepSea's action mapping, which is part of the task, is drawn
//! exactly as bsuite draws it. A registered score is that of one experiment; the umbrella task has none, because its
//! returns are noisy ([`Score`] takes what is needed instead).

pub mod catch;
pub mod deep_sea;
pub mod discounting_chain;
pub mod memory_chain;
mod scores;
pub mod umbrella_chain;

pub use catch::Catch;
pub use deep_sea::{DeepSea, DeepSeaArgs};
pub use discounting_chain::{DiscountingChain, DiscountingChainArgs};
pub use memory_chain::{MemoryChain, MemoryChainArgs};
pub use scores::{Score, settings};
pub use umbrella_chain::{UmbrellaChain, UmbrellaChainArgs};

use crate::registry::NoArguments;
use crate::{EnvError, EnvSpec, Registry};

/// Adds bsuite's tasks.
pub(super) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::single("bsuite/catch-v0", |_: NoArguments| Ok(Catch::default()))
            .summary("Catch a falling ball with a paddle.")
            .page(include_str!("catch.rs"))
            .score(|_: toml::Table, returns| Score::Catch.of(&[(0, returns.to_vec())])),
    )?;
    registry.register(
        EnvSpec::single("bsuite/memory_len-v0", |args| MemoryChain::new(args, 1))
            .summary("Remember one bit over a number of steps.")
            .page(include_str!("memory_chain.rs"))
            .score(|_: toml::Table, returns| Score::Memory.of(&[(0, returns.to_vec())])),
    )?;
    registry.register(
        EnvSpec::single("bsuite/memory_size-v0", |args| MemoryChain::new(args, 2))
            .summary("Remember several bits and name the one that is asked for.")
            .page(include_str!("memory_chain.rs"))
            .score(|_: toml::Table, returns| Score::Memory.of(&[(0, returns.to_vec())])),
    )?;
    for (id, stochastic) in [("bsuite/deep_sea-v0", false), ("bsuite/deep_sea_stochastic-v0", true)] {
        let spec = EnvSpec::single(id, move |args| DeepSea::new(args, stochastic))
            .summary("Dive through a grid to a treasure that only one sequence of actions finds.")
            .page(include_str!("deep_sea.rs"));
        // The stochastic one's returns are too noisy to tell bad episodes.
        registry.register(if stochastic { spec } else { spec.score(deep_sea_score) })?;
    }
    registry.register(
        EnvSpec::single("bsuite/umbrella_length-v0", UmbrellaChain::new)
            .summary("Take an umbrella now if it rains much later.")
            .page(include_str!("umbrella_chain.rs")),
    )?;
    registry.register(
        EnvSpec::single("bsuite/discounting_chain-v0", DiscountingChain::new)
            .summary("Choose between a reward soon and a slightly better one later.")
            .page(include_str!("discounting_chain.rs"))
            .score(|_: toml::Table, returns| Score::DiscountingChain.of(&[(0, returns.to_vec())])),
    )
}

fn deep_sea_score(args: DeepSeaArgs, returns: &[f64]) -> f64 {
    Score::DeepSea.of(&[(args.size as i64, returns.to_vec())])
}

/// A setting that is out of range.
fn out_of_range(field: &'static str, expected: &'static str, found: impl ToString) -> EnvError {
    EnvError::Setting { field, expected, found: found.to_string() }
}

#[cfg(test)]
mod tests;
