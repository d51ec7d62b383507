//! Spaces, the environment contract, the ECS simulator and Agon's built-in environments.
//!
//! The main decision: environments live as entities of a [`bevy_ecs`] world, many to a world, and a whole world is
//! stepped at once by a fixed, single-threaded schedule ([`simulator`]). What an agent sees of it is one batch
//! interface, [`Simulator`], that fills buffers owned by the caller ([`StepBatch`]); what an environment author
//! writes is a plain struct ([`Env`]), components and systems ([`EcsEnv`]), or something else that steps many
//! environments at once ([`VectorEnv`]). Autoreset, time limits, episode statistics, wrappers and validation are put above
//! it, so that all kinds share them.
//!
//! This crate knows nothing of networks or learning. It is the only one that names `bevy_ecs`.
#![forbid(unsafe_code)]
#![allow(clippy::needless_pass_by_value, clippy::type_complexity, reason = "systems take queries, by value")]

pub mod batch;
pub mod board;
mod builtin;
pub mod check;
pub mod classic;
pub mod columns;
pub mod context;
pub mod contract;
pub mod error;
pub mod fairness;
pub mod frames;
pub mod groups;
mod math;
pub mod memory;
pub mod minatar;
pub mod minigrid;
pub mod mixture;
pub mod monitor;
pub mod multi_agent;
pub mod physics;
pub mod puzzles;
pub mod random;
pub mod registry;
pub mod render;
pub mod simulator;
pub mod spaces;
pub mod statistics;
pub mod toy_text;
pub mod vector;
pub mod verify;
pub mod wrappers;

pub use batch::{Action, ActionBatch, ActionSpec, EpisodeStats, ObsBuffer, ObsRow, StepBatch};
pub use check::check_env;
pub use contract::{Env, Outcome, Step};
pub use error::EnvError;
pub use groups::{Decision, RowDecision};
pub use mixture::{MixtureConfig, TaskConfig};
pub use monitor::Monitor;
pub use random::{Pcg64, Seed};
pub use registry::{EnvSpec, Keys, MakeOptions, Registry, WorkerOptions};
pub use render::{Canvas, Frame};
pub use simulator::{Autoreset, EcsEnv, Simulator, SimulatorBuilder};
pub use spaces::{Space, SpaceError, Value};
pub use vector::{Origin, RowSet, VectorEnv, VectorInfo};
pub use wrappers::WrapperConfig;

/// The sources that define settings of wrappers, whose doc comments are made into a page of all settings.
pub const SETTINGS_SOURCES: &[&str] = &[
    include_str!("wrappers/config.rs"),
    include_str!("wrappers/fairness.rs"),
    include_str!("frames.rs"),
    include_str!("mixture/config.rs"),
];
