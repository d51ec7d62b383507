//! Numerics of the usual output heads: values together with their gradients.

pub mod categorical;
mod regression;

pub use regression::{huber, mse};
