//! The two ways in which worlds draw choices.

use super::cell::Color;
use crate::Pcg64;

/// A uniform integer in `low..high`.
pub(super) fn between(rng: &mut Pcg64, low: i32, high: i32) -> i32 {
    rng.integers(i64::from(low), i64::from(high)) as i32
}

/// A uniform element; a list of one draws nothing.
///
/// # Panics
/// If there is no element.
pub(super) fn pick<T: Copy>(rng: &mut Pcg64, choices: &[T]) -> T {
    choices[rng.integers(0, choices.len() as i64) as usize]
}

/// A uniform colour.
pub(super) fn pick_color(rng: &mut Pcg64) -> Color {
    pick(rng, &Color::BY_NAME)
}
