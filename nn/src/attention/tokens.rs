//! Attention as one operation on a tape: gathers the rows of projected tokens, attends, and scatters the gradient.

use std::rc::Rc;

use super::heads::{Gathered, GatheredGradient, Order, Shape, attend, attend_backward};
use super::mask::AttentionMask;
use super::position::Angles;
use crate::error::NnError;
use crate::kernels::Pooled;
use crate::matrix::Matrix;
use crate::params::Params;
use crate::tape::{Backward, Tape, Target};

/// The projections of tokens: where queries, keys and values stand.
#[derive(Clone, Copy)]
pub(crate) enum Projected<'a> {
    /// Rows `[q, k, v]`.
    Joint(&'a Matrix),
    /// Rows `[q]`, and rows `[k, v]`.
    Split(&'a Matrix, &'a Matrix),
}

/// What is done to tokens before and after attention.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) shape: Shape,
    pub(crate) order: Order,
    /// Rotates queries and keys by the position of each row.
    pub(crate) rotary: Option<(Angles, Rc<[u32]>)>,
    /// How many of the keys are not among the projected rows: they come first, and are constants.
    pub(crate) carried: usize,
}

/// Queries, keys and values in the order of sequences.
pub(crate) struct Rows {
    queries: Pooled,
    pub(crate) keys: Pooled,
    pub(crate) values: Pooled,
}

/// Columns of a matrix.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    stride: usize,
}

impl Tokens {
    /// Copies the rows together; the carried keys and values, `[B, carried, E]`, are the caller's to fill in.
    pub(crate) fn gather(&self, projected: Projected<'_>) -> Rows {
        let Shape { batch, queries, keys, width, .. } = self.shape;
        let mut rows = Rows {
            queries: Pooled::take(batch * queries * width),
            keys: Pooled::take(batch * keys * width),
            values: Pooled::take(batch * keys * width),
        };
        let (of_queries, of_keys, places) = match projected {
            Projected::Joint(qkv) => (qkv, qkv, self.joint()),
            Projected::Split(q, kv) => (q, kv, self.split()),
        };
        let (of_queries, of_keys) = (of_queries.as_slice(), of_keys.as_slice());
        let carried = self.carried;
        self.each_row(queries, 0, places[0], |from, to| {
            rows.queries[to..to + width].copy_from_slice(&of_queries[from..from + width]);
        });
        self.each_row(keys - carried, carried, places[1], |from, to| {
            rows.keys[to..to + width].copy_from_slice(&of_keys[from..from + width]);
        });
        self.each_row(keys - carried, carried, places[2], |from, to| {
            rows.values[to..to + width].copy_from_slice(&of_keys[from..from + width]);
        });
        self.rotate(false, &mut rows.queries, &mut rows.keys);
        rows
    }

    fn joint(&self) -> [Columns; 3] {
        let width = self.shape.width;
        [0, 1, 2].map(|part| Columns { first: part * width, stride: 3 * width })
    }

    fn split(&self) -> [Columns; 3] {
        let width = self.shape.width;
        [(0, 1), (0, 2), (1, 2)].map(|(part, parts)| Columns { first: part * width, stride: parts * width })
    }

    /// Visits the rows of all sequences: where they start in a matrix and where among the gathered rows, of which
    /// `before` of each sequence come first.
    fn each_row(&self, len: usize, before: usize, columns: Columns, mut visit: impl FnMut(usize, usize)) {
        for sequence in 0..self.shape.batch {
            let (first, distance) = self.order.rows(self.shape.batch, len, sequence);
            for step in 0..len {
                let from = (first + step * distance) * columns.stride + columns.first;
                visit(from, (sequence * (before + len) + before + step) * self.shape.width);
            }
        }
    }

    /// Rotates gathered queries and keys, or their gradients backwards.
    fn rotate(&self, inverse: bool, queries: &mut [f32], keys: &mut [f32]) {
        let Some((angles, positions)) = &self.rotary else { return };
        let width = self.shape.width;
        let rows = Columns { first: 0, stride: 1 };
        for (len, before, values) in
            [(self.shape.queries, 0, queries), (self.shape.keys - self.carried, self.carried, keys)]
        {
            self.each_row(len, before, rows, |row, to| {
                angles.rotate(positions[row] as usize, inverse, &mut values[to..to + width]);
            });
        }
    }

    /// A matrix for the attention weights, `[B, heads, queries, keys]`.
    pub(crate) fn weights(&self) -> Result<Matrix, NnError> {
        let Shape { batch, queries, keys, heads, .. } = self.shape;
        Ok(Matrix::zeros(batch * heads * queries, keys)?.tracked())
    }

    /// Attends, as one operation on the tape; returns the outputs, in the tokens' own order, and fills in the weights
    /// if there is a matrix for them.
    pub(crate) fn attend(
        self,
        params: &Params,
        projected: Projected<'_>,
        rows: Rows,
        mask: &AttentionMask<'_>,
        mut weights: Option<&mut Matrix>,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        let shape = self.shape;
        let mut probabilities = Pooled::take(shape.weights_len());
        let out = Matrix::output(shape.batch * shape.queries, shape.width, |out| {
            attend(shape, rows.as_gathered(), mask, &mut probabilities, self.order, out);
        })?;
        if let Some(weights) = &mut weights {
            weights.copy_from_slice(&probabilities)?;
        }
        if tape.is_recording() {
            let inputs = match projected {
                Projected::Joint(qkv) => vec![qkv],
                Projected::Split(q, kv) => vec![q, kv],
            };
            let outputs: Vec<&Matrix> = [Some(&out), weights.as_deref()].into_iter().flatten().collect();
            tape.record(params, &inputs, &outputs, move |flow| self.backward(&rows, &probabilities, flow));
        }
        Ok(out)
    }

    fn backward(&self, rows: &Rows, probabilities: &[f32], flow: Backward<'_>) {
        let Backward { outputs, inputs, .. } = flow;
        let mut outputs = outputs.into_iter();
        let [of_out, of_weights] = [outputs.next(), outputs.next()].map(Option::flatten);
        let mut gradient = Rows {
            queries: Pooled::take(rows.queries.len()),
            keys: Pooled::take(rows.keys.len()),
            values: Pooled::take(rows.values.len()),
        };
        let Rows { queries, keys, values } = &mut gradient;
        let mut target = GatheredGradient { queries, keys, values };
        let (of_out, of_weights) = (of_out.as_deref(), of_weights.as_deref());
        attend_backward(
            self.shape,
            rows.as_gathered(),
            probabilities,
            self.order,
            of_out,
            of_weights,
            &mut target,
        );
        self.rotate(true, target.queries, target.keys);
        let places = if inputs.len() == 1 { self.joint() } else { self.split() };
        for (index, input) in inputs.into_iter().enumerate() {
            let Some(input) = input else { continue };
            let parts = match (places[0].stride == self.shape.width, index) {
                (false, _) => 0..3,
                (true, 0) => 0..1,
                (true, _) => 1..3,
            };
            self.scatter(&gradient, parts, &places, input);
        }
    }

    /// Puts the gradients of queries (0), keys (1) and values (2) where they came from.
    fn scatter(
        &self,
        gradient: &Rows,
        parts: std::ops::Range<usize>,
        places: &[Columns; 3],
        mut target: Target<'_>,
    ) {
        let Shape { queries, keys, width, .. } = self.shape;
        target.fill(|target| {
            for part in parts {
                let (source, len, before) = match part {
                    0 => (&gradient.queries, queries, 0),
                    1 => (&gradient.keys, keys - self.carried, self.carried),
                    _ => (&gradient.values, keys - self.carried, self.carried),
                };
                self.each_row(len, before, places[part], |to, from| {
                    target[to..to + width].copy_from_slice(&source[from..from + width]);
                });
            }
        });
    }
}

impl Rows {
    fn as_gathered(&self) -> Gathered<'_> {
        Gathered { queries: &self.queries, keys: &self.keys, values: &self.values }
    }
}
