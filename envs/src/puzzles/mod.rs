//! Puzzles for one player, without time limits or hidden state.

pub mod game_2048;

pub use game_2048::Game2048;

use crate::{EnvError, EnvSpec, Keys, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::single("Game2048-v0", |_: crate::registry::NoArguments| Ok(Game2048::default()))
            .summary("Slide and merge tiles of equal numbers while new ones fill the board.")
            .page(include_str!("game_2048.rs"))
            .keys(Keys { moves: [3, 0, 1, 2], buttons: [0, 0], idle: 0, real_time: false }),
    )
}
