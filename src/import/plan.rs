//! The graph, made ready for a number of rows at a time.

use std::sync::{Arc, Mutex, PoisonError};

use agon_agents::AgentError;
use agon_nn::kernels::clear_upper_halves;
use tract_onnx::prelude::*;

/// An input's element type and sizes, and which of these is the number of rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) element: DatumType,
    /// Those of one row, where the batch is.
    pub(super) shape: Vec<usize>,
    /// None if one row has no dimension of its own.
    pub(super) batch: Option<usize>,
}

impl Form {
    /// The sizes with so many rows.
    pub(super) fn with_rows(&self, rows: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(batch) = self.batch {
            shape[batch] = rows;
        }
        shape
    }

    /// Values of a row.
    pub(super) fn row_len(&self) -> usize {
        self.with_rows(1).iter().product()
    }

    /// Rows `[N, row_len]` as the tensor that the graph takes.
    pub(super) fn tensor(&self, rows: &[f32], num_rows: usize) -> TractResult<Tensor> {
        let shape = self.with_rows(num_rows);
        let inner = self.batch.map_or(1, |batch| self.shape[batch + 1..].iter().product());
        let arranged = if self.batch.is_none_or(|batch| self.shape[..batch].iter().all(|&size| size == 1)) {
            Tensor::from_shape(&shape, rows)?
        } else {
            let mut values = Vec::with_capacity(rows.len());
            let row_len = self.row_len();
            for outer in 0..row_len / inner.max(1) {
                for row in 0..num_rows {
                    values.extend_from_slice(&rows[row * row_len + outer * inner..][..inner]);
                }
            }
            Tensor::from_shape(&shape, &values)?
        };
        if self.element == DatumType::Bool {
            let flags: Vec<bool> = arranged.to_plain_array_view::<f32>()?.iter().map(|&x| x != 0.0).collect();
            return Tensor::from_shape(&shape, &flags);
        }
        Ok(arranged.cast_to_dt(self.element)?.into_owned())
    }

    /// The rows `[N, row_len]` of a tensor that the graph gave.
    pub(super) fn rows(&self, tensor: &Tensor, num_rows: usize) -> TractResult<Vec<f32>> {
        let expected = self.with_rows(num_rows);
        if tensor.shape() != expected {
            return Err(TractError::msg(format!(
                "expected a state of shape {expected:?}, got {:?}",
                tensor.shape()
            )));
        }
        let numbers = tensor.cast_to::<f32>()?;
        let view = numbers.to_plain_array_view::<f32>()?;
        let values: Vec<f32> = view.iter().copied().collect();
        let Some(batch) = self.batch else { return Ok(values) };
        let inner: usize = self.shape[batch + 1..].iter().product();
        let row_len = self.row_len();
        let mut rows = vec![0.0; values.len()];
        for (at, chunk) in values.chunks_exact(inner.max(1)).enumerate() {
            let (outer, row) = (at / num_rows, at % num_rows);
            rows[row * row_len + outer * inner..][..inner].copy_from_slice(chunk);
        }
        Ok(rows)
    }
}

/// A graph with the forms of its inputs.
pub(super) struct Plans {
    graph: InferenceModel,
    forms: Vec<Form>,
    /// The plan for the number of rows that was asked for last.
    last: Mutex<Option<(usize, Arc<TypedRunnableModel>)>>,
}

impl Plans {
    pub(super) fn new(graph: InferenceModel, forms: Vec<Form>) -> Self {
        Self { graph, forms, last: Mutex::new(None) }
    }

    /// What the graph gives for so many rows.
    pub(super) fn run(&self, inputs: TVec<TValue>, num_rows: usize) -> Result<TVec<TValue>, AgentError> {
        let outputs = self.plan(num_rows).and_then(|plan| plan.run(inputs));
        // tract's kernels do not, and the environments would be several times slower.
        clear_upper_halves();
        outputs.map_err(|error| AgentError::Policy(format!("the graph cannot be run: {error:#}")))
    }

    fn plan(&self, num_rows: usize) -> TractResult<Arc<TypedRunnableModel>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((rows, plan)) = &*last
            && *rows == num_rows
        {
            return Ok(Arc::clone(plan));
        }
        let mut graph = self.graph.clone();
        for (index, form) in self.forms.iter().enumerate() {
            graph.set_input_fact(index, form.element.fact(form.with_rows(num_rows)).into())?;
        }
        let plan = graph.into_optimized()?.into_runnable()?;
        *last = Some((num_rows, Arc::clone(&plan)));
        Ok(plan)
    }
}
