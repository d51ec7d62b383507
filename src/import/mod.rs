//! Policies of other programs: an ONNX file that acts in environments of ours.
//!
//! ```no_run
//! # fn main() -> Result<(), agon::RunError> {
//! use std::sync::Arc;
//! use agon::{config::EnvConfig, evaluate, import::OnnxModel, runtime::Setup};
//!
//! let setup = Setup::default();
//! let env = EnvConfig { id: "CartPole-v1".to_owned(), ..EnvConfig::default() };
//! let simulator = setup.registry.make(&env.id, &env.options(1))?;
//! let policy = OnnxModel::open("policy.onnx")?.policy(simulator.info())?;
//! let options = evaluate::EvalOptions { episodes: 20, ..Default::default() };
//! let found = evaluate::evaluate_policy(&setup, Arc::new(policy), &env, &options)?;
//! # Ok(())
//! # }
//! ```
//!
//! What an input or output is for is read from its name and its sizes, by the conventions of `agon export`, rsl_rl,
//! Stable-Baselines3 and CleanRL; whatever fits none of them is refused with its name. See `docs/export.md`.

mod answer;
mod feed;
mod model;
mod plan;
mod policy;

pub use model::OnnxModel;
pub use policy::OnnxPolicy;
