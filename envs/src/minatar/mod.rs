//! MinAtar: five miniature Atari games on a 10 by 10 grid.
//!
//! Every game is one file: a small plain struct with its rules ([`Game`]). What they share, the sticky actions, the random
//! stream, the picture and their place in the simulator, is written once in [`MinAtar`]. Arenas hold their game as one
//! component instead of an entity for each thing that moves; the page of [`asterix`] says why, with figures.
//!
//! Invariant: an arena that is not in scope is not touched, so neither its stream nor its last action moves.

pub mod asterix;
pub mod breakout;
pub mod freeway;
pub mod seaquest;
pub mod space_invaders;

mod draw;
mod env;
mod game;
mod list;

pub use asterix::Asterix;
pub use breakout::Breakout;
pub use env::{ActionSet, Arguments, MinAtar};
pub use freeway::Freeway;
pub use game::{CELLS, Channel, Game, GameAction, Image, Outcome, SIDE};
pub use seaquest::Seaquest;
pub use space_invaders::SpaceInvaders;

use crate::{EnvError, EnvSpec, Keys, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    game::<Asterix, 4>(
        registry,
        "Asterix",
        "Collect gold and avoid enemies that cross eight lanes.",
        include_str!("asterix.rs"),
    )?;
    game::<Breakout, 4>(
        registry,
        "Breakout",
        "Keep a ball in play with a paddle and break bricks.",
        include_str!("breakout.rs"),
    )?;
    game::<Freeway, 7>(
        registry,
        "Freeway",
        "Bring a chicken across eight lanes of traffic.",
        include_str!("freeway.rs"),
    )?;
    game::<Seaquest, 10>(
        registry,
        "Seaquest",
        "Shoot fish and submarines, rescue divers and surface for air.",
        include_str!("seaquest.rs"),
    )?;
    game::<SpaceInvaders, 6>(
        registry,
        "SpaceInvaders",
        "Shoot marching aliens before they land.",
        include_str!("space_invaders.rs"),
    )
}

/// Adds a game with all six actions (`-v0`) and with those it knows (`-v1`).
fn game<G: Game<C>, const C: usize>(
    registry: &mut Registry,
    name: &str,
    summary: &str,
    page: &'static str,
) -> Result<(), EnvError> {
    for (version, set) in [("v0", ActionSet::All), ("v1", ActionSet::Minimal)] {
        let id = format!("MinAtar/{name}-{version}");
        let spec = EnvSpec::ecs(&id, move |args: Arguments| MinAtar::<G, C>::new(args, set));
        let spec = spec.summary(summary).page(page).keys(keys(set.actions::<G, C>()));
        registry.register(spec.draws_observation())?;
    }
    Ok(())
}

/// The keys of a game: those it has no action for do nothing.
fn keys(actions: &[GameAction]) -> Keys {
    let number = |wanted| actions.iter().position(|&action| action == wanted).unwrap_or(0) as u32;
    let moves = [GameAction::Left, GameAction::Up, GameAction::Right, GameAction::Down].map(number);
    Keys { moves, buttons: [number(GameAction::Fire), 0], idle: 0, real_time: true }
}

#[cfg(test)]
mod tests;
