//! Classic control: small mechanical systems with Gymnasium's own dynamics.

pub mod cartpole;

pub use cartpole::CartPole;

use crate::{EnvError, EnvSpec, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::ecs("CartPole-v1", |args: CartPole| Ok(args))
            .max_episode_steps(500)
            .reward_threshold(475.0)
            .summary("Balance a pole on a cart by pushing the cart left or right."),
    )
}
