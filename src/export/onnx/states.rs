//! What a graph remembers: tensors that come in, are set back where an episode begins, and go out.

use std::collections::BTreeMap;

use agon_policy::{InputKind, StateTensor};

use super::graph::{Element, Graph};
use crate::RunError;

/// The states of a policy.
pub(super) struct States {
    tensors: Vec<StateTensor>,
    /// Flags `[batch]`; none without states.
    starts: Option<String>,
    given: BTreeMap<String, String>,
}

/// The type of a tensor's elements.
pub(super) fn element(kind: InputKind) -> Element {
    match kind {
        InputKind::Float => Element::Float,
        InputKind::Byte => Element::Byte,
        InputKind::Integer => Element::Integer,
    }
}

impl States {
    /// Adds the inputs of states, `episode_start` before them.
    pub(super) fn new(graph: &mut Graph, tensors: Vec<StateTensor>) -> Self {
        let starts = (!tensors.is_empty()).then(|| {
            let doc = "true in the rows whose episode begins with this observation: what a state holds there is not looked at";
            graph.input("episode_start", Element::Bool, &[], doc.to_owned())
        });
        for tensor in &tensors {
            let doc = format!("what `{}_out` gave at the step before", tensor.name);
            graph.input(&input_name(&tensor.name), element(tensor.kind), &tensor.shape, doc);
        }
        Self { tensors, starts, given: BTreeMap::new() }
    }

    /// What came in, with zeros where an episode begins.
    pub(super) fn take(&self, graph: &mut Graph, name: &str) -> Result<String, RunError> {
        let zero = match self.tensor(name)?.kind {
            InputKind::Float => graph.number(0.0),
            InputKind::Byte => graph.bytes(Element::Byte, &[], vec![0]),
            InputKind::Integer => graph.bytes(Element::Integer, &[], vec![0; 8]),
        };
        self.take_or(graph, name, &zero)
    }

    /// What came in, with another value where an episode begins.
    pub(super) fn take_or(&self, graph: &mut Graph, name: &str, first: &str) -> Result<String, RunError> {
        let axes: Vec<i64> = (1..=self.tensor(name)?.shape.len() as i64).collect();
        let starts = self.starts.clone().unwrap_or_default();
        let starts = if axes.is_empty() { starts } else { graph.unsqueeze(&starts, &axes) };
        Ok(graph.op("Where", &[&starts, first, &input_name(name)]))
    }

    /// The name of the first state of a kind that has not gone out yet.
    pub(super) fn next(&self, stem: &str) -> String {
        let of_kind = self.tensors.iter().filter(|tensor| tensor.name.starts_with(stem));
        let next = of_kind.map(|tensor| &tensor.name).find(|name| !self.given.contains_key(*name));
        next.cloned().unwrap_or_else(|| stem.to_owned())
    }

    /// What goes out.
    pub(super) fn give(&mut self, name: &str, value: String) {
        self.given.insert(name.to_owned(), value);
    }

    /// Adds the outputs of states.
    pub(super) fn finish(self, graph: &mut Graph) {
        for tensor in &self.tensors {
            if let Some(value) = self.given.get(&tensor.name) {
                let doc = format!("what `{}_in` takes at the next step", tensor.name);
                graph.output(
                    value,
                    &format!("{}_out", tensor.name),
                    element(tensor.kind),
                    &tensor.shape,
                    doc,
                );
            }
        }
    }

    fn tensor(&self, name: &str) -> Result<&StateTensor, RunError> {
        let found = self.tensors.iter().find(|tensor| tensor.name == name);
        found.ok_or_else(|| RunError::Policy(format!("expected a state {name}, found none")))
    }
}

fn input_name(name: &str) -> String {
    format!("{name}_in")
}
