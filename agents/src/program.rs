//! A policy as a program that can be run elsewhere: what its network computes, and how an action is read from that.

use agon_nn::Params;
pub use agon_policy::Decision;
use agon_policy::Operation;
use serde::Serialize;

/// A network and how its outputs are read; the same actions as the policy's best ones.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// The network, from the observations that the policy sees.
    pub operations: Vec<Operation>,
    /// The network's parameters, under the names that the operations have for them; perhaps others too.
    #[serde(skip)]
    pub params: Params,
    /// How an action is read from a row of its outputs.
    pub decision: Decision,
}
