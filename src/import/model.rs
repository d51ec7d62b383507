//! An ONNX file: its inputs, outputs and metadata.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agon_envs::VectorInfo;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};
use tract_onnx::prelude::*;

use super::policy::OnnxPolicy;
use crate::RunError;
use crate::config::EnvConfig;
use crate::evaluate::{self, EvalOptions, Evaluation};
use crate::setup::Setup;
use crate::signing::Source;
use crate::streams;

/// An ONNX file that was read.
pub struct OnnxModel {
    path: PathBuf,
    pub(super) graph: InferenceModel,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    metadata: BTreeMap<String, String>,
}

/// An input or output, as the file describes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) element: DatumType,
    /// None if nothing is said.
    pub(super) sizes: Option<Vec<Size>>,
}

/// One of a tensor's sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Fixed(usize),
    /// Decided by whoever runs it; it may have a name.
    Open(String),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        let Some(sizes) = &self.sizes else { return Ok(()) };
        let size = |size: &Size| match size {
            Size::Fixed(size) => size.to_string(),
            Size::Open(name) if name.is_empty() => "?".to_owned(),
            Size::Open(name) => name.clone(),
        };
        write!(f, " [{}]", sizes.iter().map(size).collect::<Vec<_>>().join(", "))
    }
}

impl OnnxModel {
    /// Reads a file; weights may be in a second one beside it.
    ///
    /// # Errors
    /// If it is no ONNX file, or has an operator that tract does not know, naming it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RunError> {
        Self::open_with(&Setup::default(), path.as_ref())
    }

    /// As [`OnnxModel::open`], for a program that may demand signatures: then all weights must be in the file itself.
    ///
    /// # Errors
    /// As [`OnnxModel::open`], or if a signature is demanded and there is none or it does not hold.
    pub fn open_with(setup: &Setup, path: &Path) -> Result<Self, RunError> {
        let wrong = |message: String| RunError::Weights { path: path.to_owned(), message };
        let content = Source::of(setup.require_signature.as_deref(), path)?.read(path)?;
        let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
        let proto = onnx.proto_model_for_read(&mut &*content).map_err(|error| {
            wrong(format!("expected an ONNX file, found something else ({})", error.root_cause()))
        })?;
        let Some(described) = &proto.graph else {
            return Err(wrong("expected an ONNX file with a graph, found none".to_owned()));
        };
        // Files of an old version list parameters among the inputs.
        let parameters: HashSet<&str> =
            described.initializer.iter().map(|parameter| parameter.name.as_str()).collect();
        let inputs = described.input.iter().filter(|input| !parameters.contains(input.name.as_str()));
        let port = |value: &ValueInfoProto| port_of(value).map_err(wrong);
        let inputs = inputs.map(port).collect::<Result<Vec<_>, _>>()?;
        let outputs = described.output.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        let metadata = metadata_of(&proto);
        let is_outside =
            |parameter: &TensorProto| parameter.data_location == Some(DataLocation::External as i32);
        if setup.require_signature.is_some() && described.initializer.iter().any(is_outside) {
            let message =
                "a signature is required: expected all weights in the file, found some in another one";
            return Err(wrong(message.to_owned()));
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new(".")).to_str();
        let parsed = onnx.parse(&proto, directory).map_err(|error| wrong(format!("{error:#}")))?;
        if !parsed.unresolved_inputs.is_empty() {
            return Err(wrong(format!(
                "expected a whole graph, nothing makes {:?}",
                parsed.unresolved_inputs
            )));
        }
        Ok(Self { path: path.to_owned(), graph: parsed.model, inputs, outputs, metadata })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says of itself, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The environment that `agon export` wrote down: id, arguments, and those of its wrappers that change the world and not
    /// what is in the graph already. None in files of others.
    ///
    /// # Errors
    /// If it is written down and cannot be read.
    pub fn environment(&self) -> Result<Option<EnvConfig>, RunError> {
        crate::export::environment(&self.metadata).map_err(|message| self.wrong(message))
    }

    /// The environment that is asked for, else the one that is written down; if that has the same id, with the arguments and
    /// wrappers written down.
    ///
    /// # Errors
    /// If there is neither.
    pub fn environment_or(&self, id: Option<&str>) -> Result<EnvConfig, RunError> {
        match (id, self.environment()?) {
            (None, Some(env)) => Ok(env),
            (Some(id), Some(env)) if id == env.id => Ok(env),
            (Some(id), _) => Ok(EnvConfig { id: id.to_owned(), ..EnvConfig::default() }),
            (None, None) => {
                let file = self.path.display();
                let message = format!(
                    "{file} names no environment: expected one, as in `agon eval {file} CartPole-v1`"
                );
                Err(RunError::Config(message))
            }
        }
    }

    /// Evaluates the policy, by default in the episodes of an evaluation of the run that it was exported from.
    ///
    /// # Errors
    /// As [`OnnxModel::policy`], and if the environment cannot be made or fails.
    pub fn evaluate(
        self,
        setup: &Setup,
        env: &EnvConfig,
        options: &EvalOptions,
    ) -> Result<Evaluation, RunError> {
        let number = |key: &str| self.metadata.get(key).and_then(|text| text.parse::<u64>().ok());
        let (seed, env_steps) = (number("seed").map(streams::evaluation), number("env_steps").unwrap_or(0));
        let options = EvalOptions { seed: options.seed.or(seed), ..*options };
        let probe = setup.registry.make(&env.id, &env.options(1))?;
        let policy = self.policy(probe.info())?;
        let found = evaluate::evaluate_policy(setup, Arc::new(policy), env, &options)?;
        Ok(Evaluation { env_steps, ..found })
    }

    /// The policy, for environments such as these.
    ///
    /// # Errors
    /// If an input or output does not fit what the environments show and take, naming both.
    pub fn policy(self, info: &VectorInfo) -> Result<OnnxPolicy, RunError> {
        OnnxPolicy::new(self, info)
    }

    pub(super) fn wrong(&self, message: String) -> RunError {
        RunError::Weights { path: self.path.clone(), message }
    }
}

fn port_of(value: &ValueInfoProto) -> Result<Port, String> {
    let Some(type_proto::Value::TensorType(tensor)) =
        value.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Err(format!("expected tensors, `{}` is none", value.name));
    };
    let element = tensor.elem_type();
    let element = DatumType::try_from(element)
        .map_err(|_| format!("expected numbers, `{}` has elements of kind {element:?}", value.name))?;
    let sizes = tensor.shape.as_ref().map(|shape| {
        let size = |dim: &tract_onnx::pb::tensor_shape_proto::Dimension| match &dim.value {
            Some(dimension::Value::DimValue(size)) if *size >= 0 => Size::Fixed(*size as usize),
            Some(dimension::Value::DimParam(name)) => Size::Open(name.clone()),
            _ => Size::Open(String::new()),
        };
        shape.dim.iter().map(size).collect()
    });
    Ok(Port { name: value.name.clone(), element, sizes })
}

fn metadata_of(proto: &ModelProto) -> BTreeMap<String, String> {
    proto.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}
