//! A run on disk: its directory, logs and checkpoints.

pub mod checkpoint;
pub(crate) mod chunks;
pub mod directory;
pub mod log;
pub(crate) mod window;

pub use directory::RunDirectory;
