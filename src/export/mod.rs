//! Policies for other programs: ONNX files, files that [`agon_policy`] reads, and recordings to check either by.
//!
//! ```no_run
//! # fn main() -> Result<(), agon::RunError> {
//! use agon::export::{Answer, Export};
//!
//! let policy = agon::policy::load("results/ppo_CartPole-v1_1")?;
//! let export = Export::of(&policy)?.with_meaning(&agon::setup::Setup::default().registry)?;
//! let onnx = export.to_onnx(Answer::Actions)?;
//! let safetensors = export.to_safetensors()?;
//! # Ok(())
//! # }
//! ```

mod about;
mod evaluate;
mod file;
pub mod onnx;
mod recording;

use std::collections::BTreeMap;

use agon_envs::Registry;
use agon_policy::{Parameters, PolicyProgram, PortablePolicy};

use crate::RunError;
use crate::policy::TrainedPolicy;

pub(crate) use about::hash;
#[cfg(feature = "onnx")]
pub(crate) use evaluate::environment;
pub use file::{Format, Written, make_room};
pub use onnx::Answer;
pub use recording::Recording;

/// A policy as data, and what is told of it.
#[derive(Clone, Debug)]
pub struct Export {
    /// What it computes.
    pub program: PolicyProgram,
    /// What the program names.
    pub parameters: Parameters,
    /// What it is, for people: environment, training, score, licence.
    pub about: BTreeMap<String, String>,
}

impl Export {
    /// Of a trained policy's best actions.
    ///
    /// # Errors
    /// If a part of it cannot be told, see [`TrainedPolicy::portable`].
    pub fn of(policy: &TrainedPolicy) -> Result<Self, RunError> {
        let (program, parameters) = policy.portable()?;
        let about = about::about(policy.card(), &program, &parameters);
        Ok(Self { program, parameters, about })
    }

    /// The same, with what the environment's page says of the meaning and the units of observations and actions.
    ///
    /// # Errors
    /// If the registry does not have the environment.
    pub fn with_meaning(mut self, registry: &Registry) -> Result<Self, RunError> {
        if let Some(id) = self.about.get("environment") {
            let spec = registry.get(id)?;
            let meaning: Vec<_> = about::meaning(spec.as_ref()).collect();
            self.about.extend(meaning);
        }
        Ok(self)
    }

    /// The content of an ONNX file.
    ///
    /// # Errors
    /// If there are no parameters of the names that the program has.
    pub fn to_onnx(&self, answer: Answer) -> Result<Vec<u8>, RunError> {
        onnx::to_onnx(&self.program, &self.parameters, answer, &self.about)
    }

    /// The content of a safetensors file, which [`PortablePolicy::from_safetensors`] reads.
    ///
    /// # Errors
    /// If a parameter's values are not as many as its shape says.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, RunError> {
        Ok(agon_policy::to_safetensors(&self.program, &self.parameters, &self.about)?)
    }

    /// The policy, ready to act without anything else.
    ///
    /// # Errors
    /// If sizes do not fit each other.
    pub fn policy(&self) -> Result<PortablePolicy, RunError> {
        Ok(PortablePolicy::new(self.program.clone(), &self.parameters)?)
    }
}
