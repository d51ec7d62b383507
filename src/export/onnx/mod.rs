//! Policies as ONNX files: one graph from an environment's observation to its action.
//!
//! Inputs and outputs have a first dimension `batch`. Inputs are the parts of an observation (`obs`, or `obs.camera` and so
//! on), `action_mask` where the environment has masks, and of a policy that remembers `episode_start` and the states
//! (`h_in`, …); outputs are the states after the step (`h_out`, …), and `actions`, or what they are chosen by. Everything
//! that training put around the network is in the graph: running statistics, stacks of frames, unit vectors of categories,
//! bounds of actions.

mod attention;
mod ends;
mod graph;
mod network;
mod proto;
mod states;

use std::collections::BTreeMap;

use agon_policy::{Decision, Parameters, PolicyProgram};
use prost::Message as _;

use self::graph::{Element, Graph};
use self::network::Network;
use self::proto::{Entry, Model, OperatorSet};
use self::states::States;
use crate::RunError;

/// The version of the operators that graphs are written in.
const OPSET: i64 = 18;

/// The version of the file's own format that goes with [`OPSET`].
const IR_VERSION: i64 = 8;

/// What a graph gives out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// `actions`: the policy's best ones, as the environment takes them.
    #[default]
    Actions,
    /// What actions are chosen by: `logits` of options or `values` of actions, those of illegal ones at the least number of
    /// the type, or the `parameters` of a normal distribution.
    Logits,
}

impl Answer {
    /// What the graph's output is called.
    pub(super) fn name(self, decision: &Decision) -> &'static str {
        match (self, decision) {
            (Self::Actions, _) => "actions",
            (Self::Logits, Decision::Categorical { .. }) => "logits",
            (Self::Logits, Decision::Gaussian { .. } | Decision::Squashed { .. }) => "parameters",
            (Self::Logits, _) => "values",
        }
    }
}

/// The content of an ONNX file, with what is told of the policy in its metadata.
///
/// # Errors
/// If there are no parameters of the names that the program has.
pub fn to_onnx(
    program: &PolicyProgram,
    parameters: &Parameters,
    answer: Answer,
    about: &BTreeMap<String, String>,
) -> Result<Vec<u8>, RunError> {
    let metadata = about.iter().map(|(key, value)| Entry { key: key.clone(), value: value.clone() });
    Ok(file(graph_of(program, parameters, answer)?, metadata.collect()))
}

/// A policy's graph.
fn graph_of(
    program: &PolicyProgram,
    parameters: &Parameters,
    answer: Answer,
) -> Result<proto::GraphMessage, RunError> {
    let mut graph = Graph::default();
    let parts = ends::add_inputs(&mut graph, program);
    let mask = (program.mask_len > 0).then(|| {
        let doc = "true where an action is legal; one at least of each choice".to_owned();
        graph.input("action_mask", Element::Bool, &[program.mask_len], doc)
    });
    let mut states = States::new(&mut graph, program.states());
    let rows = ends::prepare(&mut graph, program, &parts, &mut states)?;
    let mut network = Network { graph: &mut graph, parameters, states: &mut states };
    let outputs = network.run(&program.operations, &rows)?;
    ends::answer(&mut graph, program, &outputs, mask.as_deref(), answer);
    states.finish(&mut graph);
    Ok(graph.finish("policy"))
}

fn file(graph: proto::GraphMessage, metadata: Vec<Entry>) -> Vec<u8> {
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "agon".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "A policy of reinforcement learning, from an observation to an action".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata,
    };
    model.encode_to_vec()
}
