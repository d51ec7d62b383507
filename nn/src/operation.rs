//! The fused stack of layers as an operation on dfdx's tape.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use dfdx::shapes::HasShape as _;
use dfdx::tensor::{
    Cpu, CpuError, Gradients, NoneTape, PutTape as _, SplitTape as _, Tape as DfdxTape, Tensor,
    ZerosTensor as _,
};

use crate::device::device;
use crate::error::NnError;
use crate::kernels::{Pooled, view};
use crate::linear::Linear;
use crate::matrix::{Matrix, check_not_empty};
use crate::params::Params;
use crate::stack::{self, Saved, Sink};
use crate::tape::{FlatGradient, Tape};

type Batch<T = NoneTape> = Tensor<(usize, usize), f32, Cpu, T>;

/// Runs a stack on a [`Tape`].
pub(crate) fn forward(
    layers: &Arc<[Linear]>,
    params: &Params,
    x: &Matrix,
    mut tape: Tape,
) -> Result<(Matrix, Tape), NnError> {
    let (out, kept) = run(layers, params, x.tensor(), x.as_slice())?;
    let operation = Operation {
        layers: Arc::clone(layers),
        params: params.clone(),
        x: x.tensor().clone(),
        kept,
        out: out.clone(),
        input_gradient: x.is_tracked(),
        sink: Some(Rc::clone(&tape.sink)),
    };
    tape.operations.add_backward_op(operation.into_closure());
    Ok((Matrix::output(out), tape))
}

/// Runs a stack on whatever tape a tensor carries.
pub(crate) fn forward_tensor<T: DfdxTape<f32, Cpu>>(
    layers: &Arc<[Linear]>,
    params: &Params,
    x: Batch<T>,
) -> Result<Batch<T>, NnError> {
    let (x, mut tape) = x.split_tape();
    let (rows, columns) = *x.shape();
    check_not_empty("input", rows, columns)?;
    let copied;
    let values = match view::matrix(&x) {
        Some(values) => values,
        None => {
            copied = x.as_vec();
            &copied
        }
    };
    let (out, kept) = run(layers, params, &x, values)?;
    if T::OWNS_TAPE {
        let operation = Operation {
            layers: Arc::clone(layers),
            params: params.clone(),
            x,
            kept,
            out: out.clone(),
            input_gradient: true,
            sink: None,
        };
        tape.add_backward_op(operation.into_closure());
    }
    Ok(out.put_tape(tape))
}

/// Checks the shapes and computes the output.
fn run(layers: &[Linear], params: &Params, x: &Batch, values: &[f32]) -> Result<(Batch, Pooled), NnError> {
    let (batch, columns) = *x.shape();
    check_stack(layers, params)?;
    if columns != layers[0].inputs {
        return Err(NnError::Columns { name: "input", expected: layers[0].inputs, got: columns });
    }
    let mut out = device().try_zeros_like(&(batch, layers[layers.len() - 1].outputs))?;
    let target = view::matrix_mut(&mut out).unwrap_or(&mut []);
    let kept = stack::forward_keeping(layers, params.as_slice(), values, batch, target);
    Ok((out, kept))
}

/// The parameters must reach as far as the stack's last layer.
pub(crate) fn check_stack(layers: &[Linear], params: &Params) -> Result<(), NnError> {
    let end =
        layers.iter().map(|layer| layer.weight.range().end.max(layer.bias.range().end)).max().unwrap_or(0);
    if end > params.len() {
        return Err(NnError::Length { name: "parameters", expected: end, got: params.len() });
    }
    Ok(())
}

/// What the gradient of a forward pass needs.
struct Operation {
    layers: Arc<[Linear]>,
    params: Params,
    x: Batch,
    kept: Pooled,
    out: Batch,
    input_gradient: bool,
    /// Where parameter gradients go; without one, among dfdx's own gradients.
    sink: Option<Rc<FlatGradient>>,
}

impl Operation {
    fn into_closure(self) -> impl FnOnce(&mut Gradients<f32, Cpu>) -> Result<(), CpuError> {
        move |gradients| self.backward(gradients)
    }

    /// Moves the gradients out of dfdx's table while they are worked on: it lends one at a time.
    fn backward(self, gradients: &mut Gradients<f32, Cpu>) -> Result<(), CpuError> {
        let mut dout: Vec<f32> = std::mem::take(gradients.get_or_alloc_mut(&self.out)?);
        let mut dx: Option<Vec<f32>> = match self.input_gradient {
            true => Some(std::mem::take(gradients.get_or_alloc_mut(&self.x)?)),
            false => None,
        };
        match &self.sink {
            Some(shared) => shared.borrow(self.params.id(), |values| {
                let mut sink = values.map(|values| FlatSink { values, shared });
                let sink = sink.as_mut().map(|sink| sink as &mut dyn Sink);
                self.run(&mut dout, sink, dx.as_deref_mut());
            }),
            None => {
                let flat = std::mem::take::<Vec<f32>>(gradients.get_or_alloc_mut(self.params.tensor())?);
                let mut sink = DfdxSink(flat);
                self.run(&mut dout, Some(&mut sink), dx.as_deref_mut());
                **gradients.get_or_alloc_mut(self.params.tensor())? = sink.0;
            }
        }
        **gradients.get_or_alloc_mut(&self.out)? = dout;
        if let Some(dx) = dx {
            **gradients.get_or_alloc_mut(&self.x)? = dx;
        }
        Ok(())
    }

    fn run(&self, dout: &mut [f32], sink: Option<&mut dyn Sink>, dx: Option<&mut [f32]>) {
        let copied;
        let x = match view::matrix(&self.x) {
            Some(values) => values,
            None => {
                copied = self.x.as_vec();
                &copied
            }
        };
        let saved = Saved {
            layers: &self.layers,
            params: self.params.as_slice(),
            x,
            kept: &self.kept,
            out: view::matrix(&self.out).unwrap_or(&[]),
        };
        stack::backward(&saved, dout, sink, dx);
    }
}

struct FlatSink<'a> {
    values: &'a mut [f32],
    shared: &'a FlatGradient,
}

impl Sink for FlatSink<'_> {
    fn values(&mut self) -> &mut [f32] {
        self.values
    }

    fn is_first(&mut self, range: Range<usize>) -> bool {
        self.shared.write(range)
    }
}

/// dfdx's gradients start as zeros and are added to.
struct DfdxSink(Vec<f32>);

impl Sink for DfdxSink {
    fn values(&mut self) -> &mut [f32] {
        &mut self.0
    }

    fn is_first(&mut self, _: Range<usize>) -> bool {
        false
    }
}
