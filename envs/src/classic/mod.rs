//! Classic control: small mechanical systems with Gymnasium's own dynamics.

pub mod acrobot;
pub mod cartpole;
pub mod mountain_car;
pub mod mountain_car_continuous;
pub mod pendulum;

pub use acrobot::Acrobot;
pub use cartpole::CartPole;
pub use mountain_car::MountainCar;
pub use mountain_car_continuous::MountainCarContinuous;
pub use pendulum::Pendulum;

use crate::{EnvError, EnvSpec, Keys, Registry};

/// Keys of a push to the left, none, and one to the right.
const THREE_PUSHES: Keys = Keys { moves: [0, 2, 2, 0], buttons: [1, 1], idle: 1, real_time: false };

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    let cart_pole = |id: &str| {
        EnvSpec::ecs(id, CartPole::validated)
            .summary("Balance a pole on a cart by pushing the cart left or right.")
            .page(include_str!("cartpole.rs"))
            .keys(Keys { moves: [0, 0, 1, 1], buttons: [0, 1], idle: 0, real_time: false })
    };
    registry.register(cart_pole("CartPole-v0").max_episode_steps(200).reward_threshold(195.0))?;
    registry.register(cart_pole("CartPole-v1").max_episode_steps(500).reward_threshold(475.0))?;
    registry.register(
        EnvSpec::ecs("MountainCar-v0", MountainCar::validated)
            .max_episode_steps(200)
            .reward_threshold(-110.0)
            .summary("Drive an underpowered car out of a valley.")
            .page(include_str!("mountain_car.rs"))
            .keys(THREE_PUSHES),
    )?;
    registry.register(
        EnvSpec::ecs("MountainCarContinuous-v0", MountainCarContinuous::validated)
            .max_episode_steps(999)
            .reward_threshold(90.0)
            .summary("Drive an underpowered car out of a valley with a throttle, saving fuel.")
            .page(include_str!("mountain_car_continuous.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("Acrobot-v1", Acrobot::validated)
            .max_episode_steps(500)
            .reward_threshold(-100.0)
            .chaotic_after(60)
            .summary("Swing the free end of a double pendulum above a line.")
            .page(include_str!("acrobot.rs"))
            .keys(THREE_PUSHES),
    )?;
    registry.register(
        EnvSpec::ecs("Pendulum-v1", Pendulum::validated)
            .max_episode_steps(200)
            .summary("Swing a pole up with a weak motor and hold it there.")
            .page(include_str!("pendulum.rs")),
    )
}
