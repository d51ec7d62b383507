//! Agon: reinforcement learning environments and agents in one native process.
//!
//! A user's own crate needs this crate alone: it re-exports what an environment ([`envs`]), an algorithm ([`agents`]) and a
//! network ([`nn`]) are written with. [`runtime`] trains and resumes, [`experiment`] runs several seeds under one curve,
//! [`evaluate`], [`compare`] and [`plot`] look at what came out, and [`cli`] is the `agon` program, to which a registry with
//! environments and algorithms of one's own can be given.
//!
//! ```no_run
//! use agon::{config::RunConfig, runtime::{self, Setup}};
//!
//! # fn main() -> Result<(), agon::RunError> {
//! let mut config = RunConfig::default();
//! config.env.id = "CartPole-v1".to_owned();
//! let outcome = runtime::train(&Setup::default(), config, "results/mine".as_ref(), &mut |progress| {
//!     progress.mean_return.is_nan() || progress.mean_return < 475.0 // stop once solved
//! })?;
//! println!("{:.1} after {} steps", outcome.mean_return, outcome.env_steps);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub use agon_agents as agents;
pub use agon_envs as envs;
pub use agon_nn as nn;

pub mod acting;
pub mod arena;
pub mod bench;
pub mod cli;
pub mod compare;
pub mod compress;
pub mod config;
pub mod contexts;
pub mod curves;
pub mod data;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod experiment;
pub mod explain;
pub mod export;
pub mod fairness;
#[cfg(unix)]
mod foreign;
mod hash;
#[cfg(feature = "onnx")]
pub mod import;
pub mod jobs;
pub mod league;
pub mod memory;
pub mod model_card;
pub mod page;
pub mod plot;
pub mod policy;
pub mod presets;
pub mod privacy;
pub mod provenance;
pub mod pruning;
pub mod record;
pub mod request;
pub mod robustness;
pub mod run;
pub mod runtime;
pub mod score;
pub mod serve;
pub mod settings;
pub mod setup;
pub mod signing;
pub mod sinks;
pub mod stats;
mod streams;
pub mod suite;
pub mod sweep;
pub mod teacher;
pub mod tensorboard;
mod text;
pub mod transfer;

pub use error::RunError;

/// The Rust code of README and pages, as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/policies.md")]
    struct Policies;
    #[doc = include_str!("../docs/extending.md")]
    struct Extending;
}
