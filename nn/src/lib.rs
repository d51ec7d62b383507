//! Runtime-sized, fused neural-network layers, and parts of one's own in dfdx.
//!
//! This crate has the layers that a learning machine on CPUs needs: sizes from a config file, a whole network as one
//! operation on the tape, vector instructions chosen at run time, and results that do not depend on the number of threads.
//! A part that it lacks is written in dfdx's tensor operations and takes its place among them ([`custom`]). It knows nothing
//! of reinforcement learning.
//!
//! - [`Params`] hold all parameters of a network in one flat buffer; a [`LayoutBuilder`] names them as PyTorch does.
//! - A [`Layer`] knows where its parameters lie. A [`Sequential`] of layers is trained on a [`Tape`], and acts on
//!   [`Packed`] weights.
//! - [`Recurrent`] layers and [`attention`] mix the rows of a sequence; a [`Memory`] is either of them behind one
//!   interface.
//! - A [`Model`] is an encoder, a memory and heads, built from a [`ModelConfig`]; a [`Gpt`] runs on steps of several tokens.
//! - [`Adam`], any other [`Optimizer`], [`clip_grad_norm`] and [`check_finite`] work on flat gradients; a
//!   [`Schedule`] gives learning rates, an [`Ema`] follows the parameters.
//! - [`generative`] has variational autoencoders and generative adversarial networks; [`rssm`] is a recurrent state-space model.
//! - [`losses`] has the numerics of output heads, [`kernels`] vectorised functions over slices.
//! - [`weights`] reads and writes safetensors.
//!
//! The main decision: parameters and gradients are flat slices, and the caller brings the gradient of its loss with
//! respect to the outputs. So nothing is allocated in a training step, and nothing is passed over twice.
//!
//! Everything runs on the calling thread, except what a [`team`] is gathered for: the optimizers' `step_shared`.

pub mod attention;
pub mod batch_norm;
mod beside;
mod chain;
pub mod conv;
pub mod custom;
pub mod dropout;
pub mod ema;
pub mod embedding;
mod error;
#[cfg(test)]
mod finite_differences;
pub mod generative;
pub mod gpt;
pub mod image;
mod init;
pub mod input;
pub mod instruction_set;
pub mod kernels;
pub mod layer;
pub mod linear;
pub mod losses;
pub mod matrix;
pub mod memory;
pub mod mlp;
pub mod model;
pub mod noisy;
pub mod norm;
mod operation;
pub mod optim;
pub mod parallel;
pub mod params;
pub mod pool;
pub mod recurrent;
pub mod residual;
pub mod rssm;
pub mod schedule;
pub mod sequential;
pub mod spectral_norm;
pub mod stock;
pub mod tape;
pub mod team;
pub mod told;
pub mod weights;

/// The language of a program's own parts.
pub use dfdx;

pub use agon_policy::{Operation, OperationBranch, RecurrentKind};
pub use attention::{
    AttentionMask, BlockConfig, CrossAttention, GruGate, Position, SelfAttention, TransformerBlock,
};
pub use batch_norm::{BatchNorm2d, BatchStatistics};
pub use beside::beside;
pub use conv::{Conv2d, ConvConfig, ConvTranspose2d, ConvTransposeConfig};
pub use custom::{CustomPart, CustomParts};
pub use dropout::Dropout;
pub use ema::{Ema, EmaConfig, EmaState};
pub use embedding::{Embedding, OneHot};
pub use error::NnError;
pub use gpt::{Gpt, GptInput, GptTokens, PackedGpt, TokenKind};
pub use image::{ChannelsFirst, ImageShape};
pub use init::Init;
pub use input::{BitMatrix, ByteMatrix, Input, Rows};
pub use instruction_set::InstructionSet;
pub use layer::{Layer, LayerSummary};
pub use linear::{Activation, Linear};
pub use matrix::Matrix;
pub use memory::{Memory, MemoryConfig, PackedMemory, TransformerConfig};
pub use mlp::MlpConfig;
pub use model::{
    EncoderConfig, Head, HeadConfig, HeadSpec, MemoryState, Model, ModelConfig, ModelScratch, Observation,
    PackedModel, Summary,
};
pub use noisy::NoisyLinear;
pub use norm::Norm;
pub use optim::{
    Adam, AdamConfig, AdamState, AdamW, AdamWConfig, Optimizer, OptimizerConfig, OptimizerState, RmsProp,
    RmsPropConfig, RmsPropForm, RmsPropState, Sgd, SgdConfig, SgdState, check_finite, clip_coefficient,
    clip_grad_norm, sum_grads,
};
pub use parallel::{Parallel, ParallelBranch};
pub use params::{Layout, LayoutBuilder, ParamRange, ParamSpec, Params};
pub use pool::{Pool2d, PoolConfig};
pub use recurrent::{Cell, Recurrent, RecurrentInit, Unroll};
pub use residual::{Activate, Residual};
pub use rssm::{PackedRssm, Rssm, RssmConfig, RssmScratch};
pub use schedule::Schedule;
pub use sequential::{Packed, Scratch, Sequential};
pub use spectral_norm::SpectralNorm;
pub use tape::{InputGradients, Tape};
pub use told::{ToldChain, ToldNetwork, ToldScratch};

/// The sources that define settings, whose doc comments are made into a page of all settings.
pub const SETTINGS_SOURCES: &[&str] = &[
    include_str!("model/mod.rs"),
    include_str!("model/encoder.rs"),
    include_str!("model/head.rs"),
    include_str!("conv/mod.rs"),
    include_str!("memory/mod.rs"),
    include_str!("recurrent/mod.rs"),
    include_str!("optim/optimizer.rs"),
    include_str!("optim/adam.rs"),
    include_str!("optim/adamw.rs"),
    include_str!("optim/rmsprop.rs"),
    include_str!("optim/sgd.rs"),
];
