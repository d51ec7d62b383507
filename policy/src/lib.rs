//! What a trained policy computes, from what its environment shows to what it takes: told as data.
//!
//! A [`PolicyProgram`] is a list of steps that any program can take again: another library, a file of a graph, a robot.
//! It names the parameters, which lie beside it under the same names. A [`PortablePolicy`] takes the steps here: a crate
//! small enough for a program that only acts, without simulator, learner, threads or unsafe code.

#![forbid(unsafe_code)]

mod activation;
mod arithmetic;
mod compressed;
mod error;
mod file;
mod operation;
mod program;
mod runner;
mod state;

pub use activation::{Activation, LEAKY_RELU_SLOPE};
pub use compressed::{Quantization, StoredMap};
pub use error::PolicyError;
pub use file::{Contents, METADATA_KEY, from_safetensors, to_safetensors};
pub use operation::{
    Attention, AttentionBlock, AttentionPosition, Gate, Operation, OperationBranch, RecurrentKind,
};
pub use program::{
    ActionSpace, Adjustment, Decision, InputKind, InputPart, Padding, Parameter, Parameters, PolicyProgram,
    Preparation,
};
pub use runner::{
    Action, AttentionTrace, Episode, Gradient, LayerTrace, Observation, Origin, PortablePolicy, Trace,
};
pub use state::StateTensor;

/// The sources that define settings, whose doc comments are made into a page of all settings.
pub const SETTINGS_SOURCES: &[&str] = &[include_str!("activation.rs")];
