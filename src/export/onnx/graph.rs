//! A graph that is being built: nodes in order, each value with a name of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{
    Attribute, Dimension, DimensionKind, GraphMessage, Node, Tensor, TensorShape, TensorType, ValueInfo,
    ValueType,
};

/// The first dimension of all inputs and outputs. It has a name, because runtimes do not optimise without one.
const BATCH: &str = "batch";

/// The type of a tensor's elements, with its number in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float = 1,
    Byte = 2,
    SignedByte = 3,
    Integer = 7,
    Bool = 9,
    Double = 11,
}

/// A graph that is being built.
#[derive(Default)]
pub(super) struct Graph {
    message: GraphMessage,
    names: BTreeSet<String>,
    /// How many names begin with a stem.
    numbers: BTreeMap<String, usize>,
    /// Constants by what they hold, so that each is written once.
    constants: BTreeMap<(i32, Vec<i64>, Vec<u8>), String>,
}

impl Graph {
    /// An input of `[batch, …]`.
    pub(super) fn input(&mut self, name: &str, element: Element, row: &[usize], doc: String) -> String {
        self.names.insert(name.to_owned());
        self.message.input.push(value_info(name, element, row, doc));
        name.to_owned()
    }

    /// Gives a value out as `[batch, …]`.
    pub(super) fn output(&mut self, value: &str, name: &str, element: Element, row: &[usize], doc: String) {
        self.names.insert(name.to_owned());
        let (input, output) = (vec![value.to_owned()], vec![name.to_owned()]);
        let (name, op_type) = (name.to_owned(), "Identity".to_owned());
        self.message.output.push(value_info(&name, element, row, doc));
        self.message.node.push(Node { input, output, name, op_type, attribute: Vec::new() });
    }

    /// As [`Self::output`], of rows of any width.
    pub(super) fn output_of_any_width(&mut self, value: &str, name: &str, doc: &str) {
        self.output(value, name, Element::Float, &[], doc.to_owned());
        let kind = self.message.output.last_mut().and_then(|output| output.kind.as_mut());
        if let Some(shape) = kind.and_then(|kind| kind.tensor.as_mut()?.shape.as_mut()) {
            shape.dim.push(Dimension { kind: Some(DimensionKind::Name("parameters".to_owned())) });
        }
    }

    /// What a node makes of values.
    pub(super) fn op(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.op_with(op_type, inputs, Vec::new())
    }

    /// As [`Self::op`], with attributes.
    pub(super) fn op_with(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        self.ops(op_type, inputs, attribute, 1).pop().unwrap_or_default()
    }

    /// As [`Self::op_with`], for a node of several outputs.
    pub(super) fn ops(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attribute: Vec<Attribute>,
        outputs: usize,
    ) -> Vec<String> {
        let output: Vec<String> = (0..outputs).map(|_| self.free_name(&op_type.to_lowercase())).collect();
        let input = inputs.iter().map(|&name| name.to_owned()).collect();
        let name = output.first().cloned().unwrap_or_default();
        self.message.node.push(Node {
            input,
            output: output.clone(),
            name,
            op_type: op_type.to_owned(),
            attribute,
        });
        output
    }

    /// A parameter, under its own name.
    pub(super) fn parameter(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        if self.names.insert(name.to_owned()) {
            self.message.initializer.push(tensor(name, Element::Float, shape, float_bytes(values)));
        }
        name.to_owned()
    }

    /// A parameter of integers of a byte, under its own name.
    pub(super) fn signed_bytes(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        if self.names.insert(name.to_owned()) {
            let bytes = values.iter().map(|&value| (value as i8).cast_unsigned()).collect();
            self.message.initializer.push(tensor(name, Element::SignedByte, shape, bytes));
        }
        name.to_owned()
    }

    /// A constant of numbers.
    pub(super) fn floats(&mut self, shape: &[usize], values: &[f32]) -> String {
        self.constant(Element::Float, shape, float_bytes(values))
    }

    /// A single number.
    pub(super) fn number(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    /// A vector of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(Element::Integer, &[values.len()], bytes)
    }

    /// A constant of bytes: numbers, or with [`Element::Bool`] flags.
    pub(super) fn bytes(&mut self, element: Element, shape: &[usize], values: Vec<u8>) -> String {
        self.constant(element, shape, values)
    }

    /// The value as rows of other sizes; the first dimension stays.
    pub(super) fn reshape(&mut self, value: &str, row: &[usize]) -> String {
        let shape: Vec<i64> = [0].into_iter().chain(row.iter().map(|&size| size as i64)).collect();
        let shape = self.integers(&shape);
        self.op("Reshape", &[value, &shape])
    }

    /// Elements `from..to` along an axis.
    pub(super) fn slice(&mut self, value: &str, axis: i64, from: usize, to: usize) -> String {
        let [from, to, axis] = [from as i64, to as i64, axis].map(|number| self.integers(&[number]));
        self.op("Slice", &[value, &from, &to, &axis])
    }

    /// The value in parts of these sizes along an axis.
    pub(super) fn split(&mut self, value: &str, axis: i64, sizes: &[usize]) -> Vec<String> {
        if sizes.len() == 1 {
            return vec![value.to_owned()];
        }
        let parts: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
        let parts = self.integers(&parts);
        self.ops("Split", &[value, &parts], vec![int("axis", axis)], sizes.len())
    }

    /// Values one after the other along an axis.
    pub(super) fn concat(&mut self, values: &[String], axis: i64) -> String {
        match values {
            [value] => value.clone(),
            _ => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                self.op_with("Concat", &values, vec![int("axis", axis)])
            }
        }
    }

    /// The value with other elements.
    pub(super) fn cast(&mut self, value: &str, to: Element) -> String {
        self.op_with("Cast", &[value], vec![int("to", to as i64)])
    }

    /// The value with further axes of size one.
    pub(super) fn unsqueeze(&mut self, value: &str, axes: &[i64]) -> String {
        let axes = self.integers(axes);
        self.op("Unsqueeze", &[value, &axes])
    }

    /// What was built.
    pub(super) fn finish(mut self, name: &str) -> GraphMessage {
        name.clone_into(&mut self.message.name);
        self.message
    }

    fn constant(&mut self, element: Element, shape: &[usize], bytes: Vec<u8>) -> String {
        let dims: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let key = (element as i32, dims, bytes);
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.free_name("constant");
        self.message.initializer.push(tensor(&name, element, shape, key.2.clone()));
        self.constants.insert(key, name.clone());
        name
    }

    fn free_name(&mut self, stem: &str) -> String {
        let number = self.numbers.entry(stem.to_owned()).or_default();
        loop {
            *number += 1;
            let name = format!("{stem}_{number}");
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// An attribute that is an integer.
pub(super) fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i, kind: 2, ..Attribute::default() }
}

/// An attribute that is a number.
pub(super) fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.to_owned(), f, kind: 1, ..Attribute::default() }
}

/// An attribute that is a list of integers.
pub(super) fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&value| value as i64).collect();
    Attribute { name: name.to_owned(), ints, kind: 7, ..Attribute::default() }
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn tensor(name: &str, element: Element, shape: &[usize], raw_data: Vec<u8>) -> Tensor {
    let dims = shape.iter().map(|&size| size as i64).collect();
    Tensor { dims, data_type: element as i32, name: name.to_owned(), raw_data }
}

fn value_info(name: &str, element: Element, row: &[usize], doc_string: String) -> ValueInfo {
    let batch = Dimension { kind: Some(DimensionKind::Name(BATCH.to_owned())) };
    let row = row.iter().map(|&size| Dimension { kind: Some(DimensionKind::Value(size as i64)) });
    let shape = Some(TensorShape { dim: [batch].into_iter().chain(row).collect() });
    let tensor = Some(TensorType { elem_type: element as i32, shape });
    ValueInfo { name: name.to_owned(), kind: Some(ValueType { tensor }), doc_string }
}
