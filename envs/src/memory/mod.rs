//! Tasks of memory and exploration: what is seen is not all that matters, or what pays is far away.

pub mod autoencode;
pub mod bsuite;
mod cards;
pub mod no_velocity;
pub mod poc_memory;
pub mod repeat_previous;

pub use autoencode::Autoencode;
pub use poc_memory::{PocMemory, PocMemoryArgs};
pub use repeat_previous::RepeatPrevious;

use crate::registry::NoArguments;
use crate::{Canvas, EnvError, EnvSpec, Frame, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    no_velocity::register(registry)?;
    for (id, decks, k) in [
        ("RepeatPreviousEasy-v0", 1, 4),
        ("RepeatPreviousMedium-v0", 2, 32),
        ("RepeatPreviousHard-v0", 3, 64),
    ] {
        registry.register(
            EnvSpec::single(id, move |_: NoArguments| Ok(RepeatPrevious::new(decks, k)))
                .summary("Name the suit of the card that was shown some steps ago.")
                .page(include_str!("repeat_previous.rs")),
        )?;
    }
    for (id, decks) in [("AutoencodeEasy-v0", 1), ("AutoencodeMedium-v0", 2), ("AutoencodeHard-v0", 3)] {
        registry.register(
            EnvSpec::single(id, move |_: NoArguments| Ok(Autoencode::new(decks)))
                .summary("Watch a deck of cards, then name all suits in reverse order.")
                .page(include_str!("autoencode.rs")),
        )?;
    }
    registry.register(
        EnvSpec::single("PocMemoryEnv-v0", PocMemory::new)
            .max_episode_steps(128)
            .summary("Remember which end of a corridor is good.")
            .page(include_str!("poc_memory.rs")),
    )?;
    bsuite::register(registry)
}

/// A card of a suit, or its back.
fn draw_suit(suit: Option<u8>, caption: &str) -> Frame {
    let mut canvas = Canvas::new(240, 280, [24, 92, 60]);
    match suit {
        Some(suit) => {
            let suit = usize::from(suit) % cards::SUITS;
            canvas.rect(50.0, 30.0, 140.0, 190.0, [250, 250, 245]);
            let ink = if suit % 2 == 1 { [200, 30, 40] } else { [20, 20, 20] };
            let symbol = ["\u{2660}", "\u{2666}", "\u{2663}", "\u{2665}"][suit];
            canvas.text_centered((120.0, 120.0), symbol, 130.0, ink);
        }
        None => {
            canvas.rect(50.0, 30.0, 140.0, 190.0, [150, 40, 50]);
            canvas.rect_outline(60.0, 40.0, 120.0, 170.0, 3.0, [230, 200, 150]);
        }
    }
    canvas.text_centered((120.0, 250.0), caption, 18.0, [235, 235, 220]);
    canvas.into_frame()
}
