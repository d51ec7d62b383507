//! A run on disk: its directory and checkpoints.

pub mod checkpoint;
mod chunk_file;
pub(crate) mod chunks;
pub mod directory;
mod failure;
pub(crate) mod framed;
pub(crate) mod identity;
pub(crate) mod recent;
pub(crate) mod window;
pub(crate) mod written;

pub use directory::RunDirectory;
pub use failure::Failure;
