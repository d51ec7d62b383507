//! A policy as a program that can be run elsewhere: what its network computes, and how an action is read from that.

use agon_nn::Params;
use agon_policy::{Operation, Parameter, Parameters};

pub use agon_policy::Decision;

/// A network and how its outputs are read; the same actions as the policy's best ones.
#[derive(Clone, Debug)]
pub struct Program {
    /// The network, from the observations that the policy sees.
    pub operations: Vec<Operation>,
    /// The network's parameters, under the names that the operations have for them; perhaps others too.
    pub parameters: Parameters,
    /// How an action is read from a row of its outputs.
    pub decision: Decision,
}

impl Program {
    /// Of operations on these parameters.
    pub(crate) fn of(operations: Vec<Operation>, params: &Params, decision: Decision) -> Self {
        Self { operations, parameters: told(params, ""), decision }
    }
}

/// What is learned of these parameters, in their shapes, under names that begin with `prefix`.
#[must_use]
pub fn told(params: &Params, prefix: &str) -> Parameters {
    let learned = params.layout().specs().iter().filter(|spec| spec.learned);
    let parameter = |spec: &agon_nn::ParamSpec| {
        let (shape, values) = (spec.range.shape().to_vec(), spec.range.read(params.as_slice()));
        (format!("{prefix}{}", spec.name), Parameter { shape, values })
    };
    learned.map(parameter).collect()
}
