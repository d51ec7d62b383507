//! PLACEHOLDER: to be overwritten by the memory module in the making; it only fixes the interface that `model` uses.

use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::layer::LayerSummary;
use crate::matrix::Matrix;
use crate::params::{LayoutBuilder, Params};
use crate::tape::Tape;

/// What is remembered from step to step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MemoryConfig {
    /// Nothing.
    #[default]
    None,
}

/// A memory.
#[derive(Debug, Clone)]
pub struct Memory;

impl Memory {
    pub fn new(_: &mut LayoutBuilder, _: &str, _: usize, _: &MemoryConfig) -> Result<Option<Self>, NnError> {
        Ok(None)
    }
    pub fn outputs(&self) -> usize {
        0
    }
    pub fn state_len(&self) -> usize {
        0
    }
    pub fn describe(&self) -> Vec<LayerSummary> {
        Vec::new()
    }
    pub fn forward(
        &self,
        _params: &Params,
        x: &Matrix,
        _steps: usize,
        state: &Matrix,
        _resets: &[bool],
        _tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        Ok((x.clone(), state.clone()))
    }
    pub fn step(
        &self,
        _packed: &PackedMemory,
        _x: &[f32],
        _resets: &[bool],
        _state: &mut [f32],
        _out: &mut [f32],
    ) -> Result<(), NnError> {
        Ok(())
    }
}

/// Packed.
#[derive(Debug, Clone)]
pub struct PackedMemory;

impl PackedMemory {
    pub fn new(_: &Memory, _: &Params) -> Result<Self, NnError> {
        Ok(Self)
    }
}
