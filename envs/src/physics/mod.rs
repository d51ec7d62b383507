//! Tasks of rigid bodies, on rapier.

pub mod bipedal_walker;
pub mod lunar_lander;
mod world;

pub use bipedal_walker::BipedalWalker;
pub use lunar_lander::LunarLander;

use self::bipedal_walker::BipedalWalkerArgs;
use crate::{EnvError, EnvSpec, Keys, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::single("LunarLander-v3", LunarLander::new)
            .max_episode_steps(1000)
            .reward_threshold(200.0)
            .summary("Land a rocket on its pad with three engines that are on or off.")
            .keys(Keys { moves: [1, 2, 3, 0], buttons: [2, 0], idle: 0, real_time: false })
            .page(include_str!("lunar_lander.rs")),
    )?;
    registry.register(
        EnvSpec::single("LunarLanderContinuous-v3", |args| {
            LunarLander::continuous("LunarLanderContinuous-v3", args)
        })
        .max_episode_steps(1000)
        .reward_threshold(200.0)
        .summary("Land a rocket on its pad with engines that can be throttled.")
        .page(include_str!("lunar_lander.rs")),
    )?;
    registry.register(
        EnvSpec::single("BipedalWalker-v3", |args| Ok(BipedalWalker::new(args)))
            .max_episode_steps(1600)
            .reward_threshold(300.0)
            .summary("Walk on two legs with four motors over uneven grass.")
            .page(include_str!("bipedal_walker.rs")),
    )?;
    registry.register(
        EnvSpec::single("BipedalWalkerHardcore-v3", |_: BipedalWalkerArgs| {
            Ok(BipedalWalker::new(BipedalWalkerArgs { hardcore: true }))
        })
        .max_episode_steps(2000)
        .reward_threshold(300.0)
        .summary("Walk on two legs over stumps, stairs and pits.")
        .page(include_str!("bipedal_walker.rs")),
    )
}
