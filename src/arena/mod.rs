//! The arena: agents measured against what is known of a game, and against each other.

pub mod solved;

pub use solved::{Solved, SolvedOptions, SolvedRow};
