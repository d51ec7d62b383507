//! Transformers that attend to the last steps of an episode, a step at a time.

use std::f64::consts::TAU;

use agon_policy::{Attention, AttentionBlock, AttentionPosition, Gate};

use super::graph::{Element, Graph, int, ints};
use super::network::Network;
use crate::RunError;

/// The base of the wavelengths of positions.
const BASE: f64 = 10_000.0;

/// What the blocks of one step share.
struct Step {
    /// `[batch, 1, 1, window]`: whether a step of the episode has filled the place.
    is_filled: String,
    /// Sines and cosines of a head's rotation, `[batch, 1, d / 2]`.
    rotation: Option<[String; 2]>,
    /// `[batch, blocks, window, width]`, before this step.
    keys: String,
    values: String,
}

impl Network<'_> {
    pub(super) fn attention(&mut self, x: &str, attention: &Attention) -> Result<String, RunError> {
        let Attention { width, heads, window, blocks, .. } = attention;
        let position = self.states.take(self.graph, "steps")?;
        let mut h = self.run(&attention.input, x)?;
        let graph = &mut *self.graph;
        let mut rotation = None;
        match &attention.position {
            AttentionPosition::None => {}
            AttentionPosition::Learned { table, positions } => {
                let table = self.parameter(table)?;
                let graph = &mut *self.graph;
                let last = graph.integers(&[*positions as i64 - 1]);
                let row = graph.op("Min", &[&position, &last]);
                let encoding = graph.op("Gather", &[&table, &row]);
                h = graph.op("Add", &[&h, &encoding]);
            }
            AttentionPosition::Sinusoidal => {
                let pairs = width.div_ceil(2);
                let waves = waves(graph, &position, pairs).map(|wave| graph.unsqueeze(&wave, &[2]));
                let waves = graph.concat(&waves, 2);
                let waves = graph.reshape(&waves, &[2 * pairs]);
                let waves = graph.slice(&waves, 1, 0, *width);
                h = graph.op("Add", &[&h, &waves]);
            }
            AttentionPosition::Rotary => {
                let waves = waves(graph, &position, width / heads / 2);
                rotation = Some(waves.map(|wave| graph.unsqueeze(&wave, &[1])));
            }
        }
        let graph = &mut *self.graph;
        let ages: Vec<i64> = (0..*window as i64).rev().collect();
        let (ages, of_rows) = (graph.integers(&ages), graph.unsqueeze(&position, &[1]));
        let is_filled = graph.op("LessOrEqual", &[&ages, &of_rows]);
        let is_filled = graph.unsqueeze(&is_filled, &[1, 2]);
        let keys = self.states.take(self.graph, "keys")?;
        let values = self.states.take(self.graph, "values")?;
        let step = Step { is_filled, rotation, keys, values };
        let (mut all_keys, mut all_values) = (Vec::new(), Vec::new());
        for (index, block) in blocks.iter().enumerate() {
            let (next, keys, values) = self.block(&h, block, index, attention, &step)?;
            h = next;
            all_keys.push(keys);
            all_values.push(values);
        }
        let (keys, values) = (self.graph.concat(&all_keys, 1), self.graph.concat(&all_values, 1));
        self.states.give("keys", keys);
        self.states.give("values", values);
        let one = self.graph.integers(&[1]);
        let steps = self.graph.op("Add", &[&position, &one]);
        self.states.give("steps", steps);
        self.run(&attention.output, &h)
    }

    /// The tokens after a block, and its keys and values, `[batch, 1, window, width]`.
    fn block(
        &mut self,
        x: &str,
        block: &AttentionBlock,
        index: usize,
        attention: &Attention,
        step: &Step,
    ) -> Result<(String, String, String), RunError> {
        let &Attention { width, heads, window, .. } = attention;
        let head_width = width / heads;
        let projected = self.run(&block.project, x)?;
        let graph = &mut *self.graph;
        let mut parts = graph.split(&projected, 1, &[width; 3]);
        if let Some(rotation) = &step.rotation {
            for part in &mut parts[..2] {
                *part = rotate(graph, part, rotation, heads, head_width);
            }
        }
        let mut remember = |new: &str, old: &str| {
            let new = graph.reshape(new, &[1, 1, width]);
            if window == 1 {
                return new;
            }
            let old = graph.slice(old, 1, index, index + 1);
            let old = graph.slice(&old, 2, 1, window);
            graph.concat(&[old, new], 2)
        };
        let (keys, values) = (remember(&parts[1], &step.keys), remember(&parts[2], &step.values));
        let query = graph.reshape(&parts[0], &[heads, 1, head_width]);
        // [batch, window, heads, d], and from there what the products take.
        let mut of_heads = |rows: &str, order: &[usize]| {
            let rows = graph.reshape(rows, &[window, heads, head_width]);
            graph.op_with("Transpose", &[&rows], vec![ints("perm", order)])
        };
        let (of_keys, of_values) = (of_heads(&keys, &[0, 2, 3, 1]), of_heads(&values, &[0, 2, 1, 3]));
        let scores = graph.op("MatMul", &[&query, &of_keys]);
        let scale = graph.number(1.0 / (head_width as f32).sqrt());
        let scores = graph.op("Mul", &[&scores, &scale]);
        // The step itself is always there, so no row is all −inf, of which runtimes make different things.
        let never = graph.number(f32::NEG_INFINITY);
        let scores = graph.op("Where", &[&step.is_filled, &scores, &never]);
        let weights = graph.op_with("Softmax", &[&scores], vec![int("axis", -1)]);
        let context = graph.op("MatMul", &[&weights, &of_values]);
        let context = graph.reshape(&context, &[width]);
        let attended = self.run(&block.attended, &context)?;
        let y = self.join(x, &attended, block.gates.as_ref().map(|gates| &gates[0]))?;
        let fed = self.run(&block.feed_forward, &y)?;
        let next = self.join(&y, &fed, block.gates.as_ref().map(|gates| &gates[1]))?;
        Ok((next, keys, values))
    }

    /// `x + y`, or what a gate makes of them.
    fn join(&mut self, x: &str, y: &str, gate: Option<&Gate>) -> Result<String, RunError> {
        let Some(Gate { weight_y, weight_x, bias, width }) = gate else {
            return Ok(self.graph.op("Add", &[x, y]));
        };
        let width = *width;
        let [weight_y, weight_x, bias] =
            [self.parameter(weight_y)?, self.parameter(weight_x)?, self.parameter(bias)?];
        let graph = &mut *self.graph;
        let product = |graph: &mut Graph, x: &str, weight: &str| {
            graph.op_with("Gemm", &[x, weight], vec![int("transB", 1)])
        };
        let of_gates = graph.slice(&weight_x, 0, 0, 2 * width);
        let of_candidate = graph.slice(&weight_x, 0, 2 * width, 3 * width);
        let of_y = product(graph, y, &weight_y);
        let of_y = graph.split(&of_y, 1, &[width; 3]);
        let of_x = product(graph, x, &of_gates);
        let of_x = graph.split(&of_x, 1, &[width; 2]);
        let reset = graph.op("Add", &[&of_y[0], &of_x[0]]);
        let reset = graph.op("Sigmoid", &[&reset]);
        let update = graph.op("Add", &[&of_y[1], &of_x[1]]);
        let update = graph.op("Sub", &[&update, &bias]);
        let update = graph.op("Sigmoid", &[&update]);
        let kept = graph.op("Mul", &[&reset, x]);
        let candidate = product(graph, &kept, &of_candidate);
        let candidate = graph.op("Add", &[&of_y[2], &candidate]);
        let candidate = graph.op("Tanh", &[&candidate]);
        let change = graph.op("Sub", &[&candidate, x]);
        let change = graph.op("Mul", &[&update, &change]);
        Ok(graph.op("Add", &[x, &change]))
    }
}

/// Sines and cosines of `p / 10000^(i / count)`, `[batch, count]`.
///
/// Angles are brought within a turn in double precision: those of far positions have no digits left in single precision.
fn waves(graph: &mut Graph, position: &str, count: usize) -> [String; 2] {
    let turns: Vec<u8> =
        (0..count).flat_map(|i| (BASE.powf(-(i as f64) / count as f64) / TAU).to_le_bytes()).collect();
    let turns = graph.bytes(Element::Double, &[1, count], turns);
    let position = graph.cast(position, Element::Double);
    let position = graph.unsqueeze(&position, &[1]);
    let turns = graph.op("Mul", &[&position, &turns]);
    let whole = graph.op("Floor", &[&turns]);
    let share = graph.op("Sub", &[&turns, &whole]);
    let share = graph.cast(&share, Element::Float);
    let turn = graph.number(TAU as f32);
    let angle = graph.op("Mul", &[&share, &turn]);
    ["Sin", "Cos"].map(|wave| graph.op(wave, &[&angle]))
}

/// The heads of rows, rotated.
fn rotate(graph: &mut Graph, rows: &str, [sine, cosine]: &[String; 2], heads: usize, width: usize) -> String {
    let halves = graph.reshape(rows, &[heads, width]);
    let halves = graph.split(&halves, 2, &[width / 2; 2]);
    let mut product = |half: usize, wave: &str| graph.op("Mul", &[&halves[half], wave]);
    let (left, right) = (product(0, cosine), product(1, sine));
    let (below, above) = (product(1, cosine), product(0, sine));
    let (left, right) = (graph.op("Sub", &[&left, &right]), graph.op("Add", &[&below, &above]));
    let rotated = graph.concat(&[left, right], 2);
    graph.reshape(&rotated, &[heads * width])
}
