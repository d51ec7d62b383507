//! Files of exported policies, each with its recording beside it.

use std::path::{Path, PathBuf};

use super::{Answer, Export, Recording};
use crate::RunError;
use crate::error::AtPath;
use crate::policy::{self, TrainedPolicy};
use crate::setup::Setup;

/// What kind of file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A graph in the Open Neural Network Exchange format, which gives such an answer.
    Onnx(Answer),
    /// Tensors and a program, for the crate `agon-policy`.
    Safetensors,
}

impl Format {
    /// What the ending of a file's name says; actions, of an ONNX file.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "onnx" => Some(Self::Onnx(Answer::Actions)),
            "safetensors" => Some(Self::Safetensors),
            _ => None,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Size of the policy's file.
    pub bytes: usize,
    /// The recording beside it.
    pub recording: PathBuf,
    /// Steps of the recording, in which the policy does what the trained one does.
    pub steps: usize,
}

impl Export {
    /// Writes the policy to a file, and beside it a recording of a few episodes with this seed.
    ///
    /// # Errors
    /// If the environment cannot be made, the export does something else than the trained policy (then nothing is written), or
    /// a file cannot be written.
    pub fn write(
        &self,
        setup: &Setup,
        trained: &TrainedPolicy,
        format: Format,
        seed: u64,
        out: &Path,
    ) -> Result<Written, RunError> {
        make_room(out)?;
        self.write_beside(&self.record(setup, trained, seed)?, format, out)
    }

    /// Writes the policy to a file, and a recording of it beside it.
    ///
    /// # Errors
    /// If [`make_room`] gives one, or a file cannot be written.
    pub fn write_beside(
        &self,
        recording: &Recording,
        format: Format,
        out: &Path,
    ) -> Result<Written, RunError> {
        make_room(out)?;
        let content = match format {
            Format::Onnx(answer) => self.to_onnx(answer)?,
            Format::Safetensors => self.to_safetensors()?,
        };
        let beside = out.with_extension("recording.safetensors");
        std::fs::write(out, &content).at("cannot write", out)?;
        std::fs::write(&beside, recording.to_safetensors()?).at("cannot write", &beside)?;
        Ok(Written { bytes: content.len(), recording: beside, steps: recording.steps })
    }
}

/// Makes the directory that a policy is to be written to, to be asked for before there is one.
///
/// # Errors
/// If the weights of a run are in its place, which no export can take, or the directory cannot be made.
pub fn make_room(out: &Path) -> Result<(), RunError> {
    if out.is_file() && policy::read(out).is_ok() {
        let message = "expected another name for the policy, found a run's weights there".to_owned();
        return Err(RunError::Weights { path: out.to_owned(), message });
    }
    match out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent).at("cannot create", parent),
        None => Ok(()),
    }
}
