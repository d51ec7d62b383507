//! Returns, replay, policies and learners: one file an algorithm.
//!
//! The main decision: an algorithm is two things. A [`Policy`] acts; it is an immutable snapshot that worker threads
//! share. A [`Learner`] consumes the experience that workers stream to it ([`Fragment`]), and publishes new policies. On-policy
//! and off-policy algorithms fit the same two traits: replay belongs to the learner. Neither knows of threads, files or
//! environments' insides, and the runtime that drives them knows no algorithm.
//!
//! Invariant: nothing here reads a clock or a global generator, and every sum over a minibatch runs over a fixed number
//! of slices in a fixed order, so a learner's results do not depend on the number of threads.
#![forbid(unsafe_code)]

pub mod a2c;
mod action_box;
mod actor_critic;
pub mod adversary;
pub mod algorithm;
pub mod algorithms;
pub mod alphazero;
pub mod augmentation;
pub mod awac;
pub mod bc;
mod behavior;
mod bits;
pub mod bootstrapped_dqn;
pub mod chunks;
pub mod codec;
mod coefficient;
mod critics;
pub mod dagger;
pub mod distillation;
mod distribution;
mod divergence;
mod division;
pub mod dqn;
pub mod dreamer;
pub mod dt;
pub mod environment_loop;
pub mod error;
mod estimator;
mod experience;
mod exploration;
pub mod fitted_q;
pub mod fragment;
pub mod guide;
pub mod impala;
pub mod importance;
pub mod iql;
pub mod learner;
mod minibatch;
mod network;
mod observations;
#[cfg(test)]
mod off_policy_tests;
#[cfg(test)]
mod offline_tests;
mod part;
mod permutation;
pub mod policy;
mod policy_data;
mod policy_gradient;
mod policy_gradient_learner;
mod policy_loss;
pub mod popart;
pub mod ppo;
pub mod pqn;
pub mod private;
pub mod private_gradient;
pub mod program;
pub mod pruning;
mod q_network;
mod q_policy;
pub mod r2d2;
pub mod replay;
mod replay_learner;
pub mod returns;
pub mod rivals;
pub mod rnd;
mod rollout;
pub mod sac;
pub mod search;
mod settings;
mod slices;
pub mod target_policy;
pub mod td3;
mod td_sums;
#[cfg(test)]
mod test_support;
pub mod transfer;
pub mod value_distribution;
mod view_loss;
pub mod vmc;
pub mod weights;
pub mod world_model;

pub use algorithm::Algorithm;
pub use algorithms::{AlgorithmSpec, Algorithms};
pub use coefficient::{Coefficient, Course};
pub use environment_loop::EnvironmentLoop;
pub use error::AgentError;
pub use fragment::{Fragment, FragmentShape};
pub use learner::{GivesUp, LearnReport, Learner, Norms, PolicyInfo, Recorded, RunInfo, Spaces};
pub use policy::{ActInput, ActMode, ActOutput, Actor, Policy};
pub use weights::Weights;

/// The sources that define settings, whose doc comments are made into the page of all settings.
pub const SETTINGS_SOURCES: &[&str] = &[
    include_str!("coefficient.rs"),
    include_str!("augmentation/mod.rs"),
    include_str!("augmentation/transformation.rs"),
    include_str!("ppo.rs"),
    include_str!("a2c.rs"),
    include_str!("impala.rs"),
    include_str!("pqn/config.rs"),
    include_str!("alphazero/config.rs"),
    include_str!("search/settings.rs"),
    include_str!("dqn/config.rs"),
    include_str!("bootstrapped_dqn/config.rs"),
    include_str!("r2d2/config.rs"),
    include_str!("dreamer/config.rs"),
    include_str!("vmc/config.rs"),
    include_str!("critics/config.rs"),
    include_str!("sac/config.rs"),
    include_str!("td3/config.rs"),
    include_str!("awac/config.rs"),
    include_str!("bc.rs"),
    include_str!("dagger.rs"),
    include_str!("dt/config.rs"),
    include_str!("iql/config.rs"),
    include_str!("popart.rs"),
    include_str!("private_gradient.rs"),
    include_str!("rnd.rs"),
    include_str!("adversary.rs"),
    include_str!("value_distribution.rs"),
    include_str!("replay/prioritized.rs"),
];
