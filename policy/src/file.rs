//! Policies as files: safetensors, whose metadata has the program.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::error::PolicyError;
use crate::program::{Parameter, Parameters, PolicyProgram};
use crate::runner::PortablePolicy;

/// The version of the format.
const FORMAT: u32 = 1;

/// The key of the metadata that has the program.
const KEY: &str = "agon_policy";

/// What the metadata has under [`KEY`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    /// What is told of the policy, by anybody's keys.
    #[serde(default)]
    about: BTreeMap<String, String>,
    program: PolicyProgram,
}

/// The content of a file: tensors under their names, and in the metadata the program and what is told of the policy.
///
/// # Errors
/// If a parameter's values are not as many as its shape says.
pub fn to_safetensors(
    program: &PolicyProgram,
    parameters: &Parameters,
    about: &BTreeMap<String, String>,
) -> Result<Vec<u8>, PolicyError> {
    let wrong = |error: &dyn std::fmt::Display| PolicyError::File(error.to_string());
    let content = Content { format: FORMAT, about: about.clone(), program: program.clone() };
    let text = serde_json::to_string(&content).map_err(|error| wrong(&error))?;
    let bytes: Vec<(&str, &[usize], Vec<u8>)> = parameters
        .iter()
        .map(|(name, Parameter { shape, values })| {
            (name.as_str(), shape.as_slice(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let mut tensors = Vec::new();
    for (name, shape, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(|error| wrong(&error))?;
        tensors.push((*name, view));
    }
    // One entry: the file's bytes must not depend on the order of a hash map.
    let metadata = HashMap::from([(KEY.to_owned(), text)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|error| wrong(&error))
}

impl PortablePolicy {
    /// The policy of a file, as [`to_safetensors`] makes it.
    ///
    /// # Errors
    /// If it is no such file, or damaged.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, PolicyError> {
        let wrong = |error: &dyn std::fmt::Display| PolicyError::File(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(&error))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let text =
            text.ok_or_else(|| wrong(&format!("expected a file with the metadata key {KEY}, found none")))?;
        let content: Content = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        if content.format != FORMAT {
            return Err(wrong(&format!("expected format {FORMAT}, found {}", content.format)));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| wrong(&error))?;
        let mut parameters = Parameters::new();
        for (name, tensor) in tensors.iter() {
            if tensor.dtype() != Dtype::F32 {
                return Err(wrong(&format!("expected tensors of F32, found {name} of {:?}", tensor.dtype())));
            }
            let values = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let (shape, values) = (tensor.shape().to_vec(), values.collect());
            parameters.insert(name.to_owned(), Parameter { shape, values });
        }
        Self::new(content.program, &parameters)
    }
}
