//! Control without velocities: balance, swing or land knowing places only.
//!
//! # Description
//! CartPole, Pendulum and LunarLander with every velocity of the observation shown as zero. A policy without a memory
//! cannot tell which way things move; one with a memory can.
//!
//! # Action space
//! That of the environment with velocities.
//!
//! # Observation space
//! That of the environment with velocities; always zero are
//!
//! | id | indices |
//! |---|---|
//! | `CartPoleNoVel-v1` | 1 and 3: velocities of the cart and of the pole |
//! | `PendulumNoVel-v1` | 2: angular velocity |
//! | `LunarLanderNoVel-v3`, `LunarLanderContinuousNoVel-v3` | 2, 3 and 5: both velocities, angular velocity |
//!
//! # Rewards
//! Those of the environment with velocities.
//!
//! # Starting state
//! That of the environment with velocities.
//!
//! # Episode end
//! As with velocities, time limits included.
//!
//! # Arguments
//! Those of the environment with velocities.
//!
//! # Version history
//! The version of the environment with velocities.
//!
//! # Source
//! rl-baselines3-zoo's `CartPoleNoVel-v1` and its neighbours (`MaskVelocityWrapper`).
//!
//! # Deviations
//! None.

use crate::{EnvError, Registry, WrapperConfig};

/// Adds the environments of this page.
pub(super) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    const TASKS: [(&str, &str, &[usize], &str); 4] = [
        ("CartPole-v1", "CartPoleNoVel-v1", &[1, 3], "Balance a pole on a cart without seeing velocities."),
        ("Pendulum-v1", "PendulumNoVel-v1", &[2], "Swing a pole up without seeing its velocity."),
        ("LunarLander-v3", "LunarLanderNoVel-v3", &[2, 3, 5], "Land a rocket without seeing velocities."),
        (
            "LunarLanderContinuous-v3",
            "LunarLanderContinuousNoVel-v3",
            &[2, 3, 5],
            "Land a rocket with a throttle without seeing velocities.",
        ),
    ];
    for (whole, id, velocities, summary) in TASKS {
        let hidden = WrapperConfig::MaskObservation { indices: velocities.to_vec(), drop: false };
        let spec = registry.get(whole)?.into_owned().renamed(id).wrapper(hidden);
        registry.register(spec.summary(summary).page(include_str!("no_velocity.rs")))?;
    }
    Ok(())
}
