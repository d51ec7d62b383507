//! Toy text: small tabular worlds and a card game, with Gymnasium's own dynamics.

pub mod blackjack;
pub mod cliff_walking;
pub mod frozen_lake;
mod tabular;
pub mod taxi;

pub use blackjack::Blackjack;
pub use cliff_walking::CliffWalking;
pub use frozen_lake::{FrozenLake, FrozenLakeArgs};
pub use taxi::Taxi;

use crate::{EnvError, EnvSpec, Keys, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    for (id, map, steps, threshold) in
        [("FrozenLake-v1", "4x4", 100, 0.70), ("FrozenLake8x8-v1", "8x8", 200, 0.85)]
    {
        registry.register(
            EnvSpec::ecs(id, move |args: FrozenLakeArgs| FrozenLake::new(args, map))
                .max_episode_steps(steps)
                .reward_threshold(threshold)
                .summary("Cross a slippery frozen lake without falling into a hole.")
                .page(include_str!("frozen_lake.rs"))
                .keys(Keys { moves: [0, 3, 2, 1], buttons: [0, 0], idle: 0, real_time: false }),
        )?;
    }
    for (id, slippery) in [("CliffWalking-v1", false), ("CliffWalkingSlippery-v1", true)] {
        registry.register(
            EnvSpec::ecs(id, move |args: CliffWalking| Ok(args.or(slippery)))
                .summary("Walk along a cliff without stepping over its edge.")
                .page(include_str!("cliff_walking.rs"))
                .keys(Keys { moves: [3, 0, 1, 2], buttons: [0, 0], idle: 0, real_time: false }),
        )?;
    }
    registry.register(
        EnvSpec::ecs("Taxi-v4", Taxi::validated)
            .max_episode_steps(200)
            .reward_threshold(8.0)
            .summary("Pick up a passenger and bring them to a hotel.")
            .page(include_str!("taxi.rs"))
            .keys(Keys { moves: [3, 1, 2, 0], buttons: [4, 5], idle: 0, real_time: false }),
    )?;
    registry.register(
        EnvSpec::ecs("Blackjack-v1", Blackjack::validated)
            .summary("Come closer to 21 than the dealer.")
            .page(include_str!("blackjack.rs")),
    )
}
