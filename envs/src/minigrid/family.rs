//! What a family of MiniGrid environments is: a world's layout, how it is drawn, what counts as success.
//!
//! # Adding a family
//! 1. Write its file: a struct with the sizes that its ids differ in, and [`Family`] for it.
//! 2. Name the struct in the list of `Task` (`task.rs`).
//! 3. Add its ids to the table in the parent module.

use super::world::{GridAction, Outcome, World};
use crate::Pcg64;

/// Size and limits of a family's worlds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) width: i32,
    pub(super) height: i32,
    /// Steps after which an episode is truncated, unless an argument says otherwise.
    pub(super) max_steps: u32,
    /// Whether nothing hides anything in the agent's window.
    pub(super) see_through_walls: bool,
}

/// A family of environments. Its struct holds the sizes of one id and what it must remember of an episode.
pub(super) trait Family {
    /// The source file whose module documentation is the family's page.
    fn page(&self) -> &'static str;

    /// One sentence for listings.
    fn summary(&self) -> &'static str;

    fn layout(&self) -> Layout;

    /// The first so many of [`GridAction::ALL`] are the family's actions.
    fn num_actions(&self) -> usize {
        GridAction::ALL.len()
    }

    /// How many missions there are.
    fn num_missions(&self) -> usize {
        1
    }

    /// The text of a mission; `index` is below [`Family::num_missions`].
    fn mission(&self, index: usize) -> String;

    /// Draws a world into a bare one and gives the episode's mission; none if the draw has to be given up.
    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize>;

    /// Lets the agent act and judges what came of it.
    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        world.act(action)
    }
}
