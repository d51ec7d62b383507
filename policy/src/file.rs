//! Policies as files: safetensors, whose metadata has the program.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::compressed::StoredMap;
use crate::error::PolicyError;
use crate::operation::Operation;
use crate::program::{Parameter, Parameters, PolicyProgram};
use crate::runner::PortablePolicy;

/// The version of the format.
const FORMAT: u32 = 1;

/// The key of the metadata that has the program.
pub const METADATA_KEY: &str = "agon_policy";

/// What the metadata has under [`METADATA_KEY`].
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
    let integers = integers_of(program)?;
    let bytes: Vec<(&str, &[usize], Dtype, Vec<u8>)> = parameters
        .iter()
        .map(|(name, Parameter { shape, values })| {
            let dtype = integers.get(name.as_str()).copied().unwrap_or(Dtype::F32);
            let bytes = match dtype {
                Dtype::I8 => values.iter().map(|&value| (value as i8).cast_unsigned()).collect(),
                Dtype::U8 => values.iter().map(|&value| value as u8).collect(),
                _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            };
            (name.as_str(), shape.as_slice(), dtype, bytes)
        })
        .collect();
    let mut tensors = Vec::new();
    for (name, shape, dtype, bytes) in &bytes {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes).map_err(|error| wrong(&error))?;
        tensors.push((*name, view));
    }
    // One entry: the file's bytes must not depend on the order of a hash map.
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), text)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|error| wrong(&error))
}

/// The parameters that are stored as integers of one byte, by name.
fn integers_of(program: &PolicyProgram) -> Result<BTreeMap<&str, Dtype>, PolicyError> {
    let mut found = BTreeMap::new();
    for operation in program.operations.iter().flat_map(Operation::flat) {
        let Some(stored) = StoredMap::of(operation)? else { continue };
        found.extend(stored.scale.map(|_| (stored.weight, Dtype::I8)));
        found.extend(stored.places.map(|places| (places, Dtype::U8)));
    }
    Ok(found)
}

/// The values of a tensor as numbers.
fn numbers(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, PolicyError> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::I8 => Ok(data.iter().map(|byte| f32::from(byte.cast_signed())).collect()),
        Dtype::U8 => Ok(data.iter().map(|&byte| f32::from(byte)).collect()),
        other => {
            Err(PolicyError::File(format!("expected tensors of F32, I8 or U8, found {name} of {other:?}")))
        }
    }
}

/// A file's program, its parameters, and what it tells of the policy.
pub type Contents = (PolicyProgram, Parameters, BTreeMap<String, String>);

/// What a file has, as [`to_safetensors`] makes it; none if it is a safetensors file of something else.
///
/// # Errors
/// If it is damaged.
pub fn from_safetensors(bytes: &[u8]) -> Result<Option<Contents>, PolicyError> {
    let wrong = |error: &dyn std::fmt::Display| PolicyError::File(error.to_string());
    let other = |error| {
        wrong(&format!("expected a safetensors file, found something else or a damaged one ({error})"))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(other)?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let Some(text) = text else { return Ok(None) };
    let content: Content = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    if content.format != FORMAT {
        return Err(wrong(&format!("expected format {FORMAT}, found {}", content.format)));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(other)?;
    let mut parameters = Parameters::new();
    for (name, tensor) in tensors.iter() {
        let (shape, values) = (tensor.shape().to_vec(), numbers(name, &tensor)?);
        parameters.insert(name.to_owned(), Parameter { shape, values });
    }
    Ok(Some((content.program, parameters, content.about)))
}

impl PortablePolicy {
    /// The policy of a file, as [`to_safetensors`] makes it.
    ///
    /// # Errors
    /// If it is no such file, or damaged.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, PolicyError> {
        let Some((program, parameters, _)) = from_safetensors(bytes)? else {
            return Err(PolicyError::File(format!(
                "expected a file with the metadata key {METADATA_KEY}, found none"
            )));
        };
        Self::new(program, &parameters)
    }
}
