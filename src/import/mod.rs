//! Policies of other programs: an ONNX file that acts in environments of ours.
//!
//! ```no_run
//! # fn main() -> Result<(), agon::RunError> {
//! use agon::{evaluate::EvalOptions, import::OnnxModel, runtime::Setup};
//!
//! let model = OnnxModel::open("policy.onnx")?;
//! let env = model.environment_or(Some("CartPole-v1"))?;
//! let found = model.evaluate(&Setup::default(), &env, &EvalOptions::default())?;
//! println!("{:.1}", found.mean_return);
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
