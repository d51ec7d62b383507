//! Agon: reinforcement learning environments and agents in one native process.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod plot;
pub mod run;
pub mod runtime;
pub mod stats;
pub mod tensorboard;

pub use error::RunError;
