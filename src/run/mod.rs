//! A run on disk: its directory, logs and checkpoints.

pub mod checkpoint;
pub mod directory;
pub mod log;
pub(crate) mod window;

pub use directory::RunDirectory;
