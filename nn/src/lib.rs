//! Runtime-sized, fused neural-network layers on dfdx tensors and tape.
//!
//! dfdx brings tensors and a tape; its dense layers have compile-time sizes and scalar kernels. This crate has the
//! layers that a learning machine on CPUs needs: sizes from a config file, a whole network as one operation on the
//! tape, vector instructions chosen at run time, and results that do not depend on the number of threads. It knows
//! nothing of reinforcement learning.
//!
//! - [`Params`] hold all parameters of a network in one flat buffer; a [`LayoutBuilder`] names them as PyTorch does.
//! - [`Mlp`] and [`Linear`] know where their parameters lie. On a [`Tape`] they are trained, on [`PackedMlp`] they
//!   act.
//! - [`Adam`], [`clip_grad_norm`] and [`check_finite`] work on flat gradients.
//! - [`losses`] has the numerics of output heads, [`kernels`] vectorised functions over slices.
//! - [`weights`] reads and writes safetensors.
//!
//! The main decision: parameters and gradients are flat slices, and the caller brings the gradient of its loss with
//! respect to the outputs. So nothing is allocated in a training step, and nothing is passed over twice.
//!
//! Everything runs on the calling thread, except [`Adam::step_parallel`].

mod device;
mod error;
mod init;
pub mod instruction_set;
pub mod kernels;
pub mod linear;
pub mod losses;
pub mod matrix;
pub mod mlp;
mod operation;
pub mod optim;
pub mod params;
mod stack;
pub mod tape;
pub mod weights;

pub use error::NnError;
pub use init::Init;
pub use instruction_set::InstructionSet;
pub use linear::{Activation, Linear};
pub use matrix::Matrix;
pub use mlp::{Mlp, MlpConfig, PackedMlp, Scratch};
pub use optim::{Adam, AdamConfig, AdamState, check_finite, clip_grad_norm};
pub use params::{Layout, LayoutBuilder, ParamRange, ParamSpec, Params};
pub use tape::{InputGradients, Tape};
