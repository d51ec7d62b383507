//! What a learner records its forward passes on.
//!
//! The tape is dfdx's own. Around it lies only what dfdx has no place for: the outputs' gradients come from the
//! caller (a loss with a fused gradient), and all parameter gradients go into one flat slice, which is written
//! once and never cleared.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;

use dfdx::shapes::Rank0;
use dfdx::tensor::{
    Cpu, Gradients, Merge as _, OwnedTape, PutTape as _, SplitTape as _, Tensor, Trace as _, ZerosTensor as _,
};
use dfdx::tensor_ops::Backward as _;

use crate::device::device;
use crate::error::NnError;
use crate::kernels::Loan;
use crate::matrix::{Matrix, check_length};
use crate::params::{Params, ParamsId};

/// Records the operations of one forward pass; [`Tape::backward`] consumes it.
///
/// # Example
/// ```
/// use agon_nn::{Activation, Init, LayoutBuilder, Matrix, Mlp, MlpConfig, Tape};
///
/// let mut builder = LayoutBuilder::new();
/// let config = MlpConfig { hidden: vec![16], activation: Activation::Tanh };
/// let mlp = Mlp::new(&mut builder, "q", 3, &config, 2, Init::PYTORCH_LINEAR, Init::PYTORCH_LINEAR);
/// let params = builder.build(0);
///
/// let x = Matrix::from_slice(1, 3, &[0.1, 0.2, 0.3])?;
/// let (y, tape) = mlp.forward(&params, &x, Tape::new())?;
/// let mut gradient = vec![0.0; params.len()];
/// tape.backward(&params, &[(&y, &[1.0, 0.0])], &mut gradient)?;
/// # Ok::<(), agon_nn::NnError>(())
/// ```
#[derive(Default)]
pub struct Tape {
    pub(crate) operations: OwnedTape<f32, Cpu>,
    pub(crate) sink: Rc<FlatGradient>,
}

impl Tape {
    /// Without operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the tape backwards from the given output gradients and writes the gradient of `params`.
    ///
    /// `grad_out` is overwritten; parameters that no output depends on get zero. Gradients of several uses of a
    /// parameter, and of an output that is listed twice, are summed. Parameters other than `params` count as
    /// constants, so an actor can be trained through a critic without computing the critic's gradient.
    ///
    /// # Shapes
    /// Each `(output, gradient)`: as many values as the output has. `grad_out`: `params.len()`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a slice has the wrong length.
    pub fn backward(
        self,
        params: &Params,
        outputs: &[(&Matrix, &[f32])],
        grad_out: &mut [f32],
    ) -> Result<InputGradients, NnError> {
        check_length("gradient buffer", params.len(), grad_out.len())?;
        let mut gradients = Gradients::leaky();
        for (output, gradient) in outputs {
            check_length("output gradient", output.as_slice().len(), gradient.len())?;
            let seed: &mut Vec<f32> = gradients.get_or_alloc_mut(output.tensor())?;
            seed.iter_mut().zip(*gradient).for_each(|(sum, x)| *sum += x);
        }
        // dfdx runs a tape from a scalar; this one stands for nothing.
        static ANCHOR: LazyLock<Tensor<Rank0, f32, Cpu>> = LazyLock::new(|| device().zeros());
        let (anchor, seeds) = ANCHOR.clone().traced(gradients).split_tape();
        let anchor = anchor.put_tape(self.operations.merge(seeds));
        self.sink.wanted.set(Some(params.id()));
        let gradients = self.sink.values.lend(grad_out, || anchor.try_backward())?;
        self.sink.clear_unwritten(grad_out);
        Ok(InputGradients(gradients))
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.fmt(f)
    }
}

/// The gradients of the tracked inputs of a tape.
#[derive(Debug)]
pub struct InputGradients(Gradients<f32, Cpu>);

impl InputGradients {
    /// The gradient of `x`, if it is [tracked](Matrix::tracked); zero if no output depends on it.
    ///
    /// # Errors
    /// [`NnError::Device`] if a gradient of zeros cannot be allocated.
    pub fn get(&mut self, x: &Matrix) -> Result<Option<&[f32]>, NnError> {
        if !x.is_tracked() {
            return Ok(None);
        }
        Ok(Some(self.0.get_or_alloc_mut(x.tensor())?))
    }
}

/// The flat parameter gradient while a tape runs.
#[derive(Default)]
pub(crate) struct FlatGradient {
    /// Whose gradient it is.
    wanted: Cell<Option<ParamsId>>,
    values: Loan,
    /// The ranges that hold a gradient; the others hold whatever was there before.
    written: RefCell<Vec<Range<usize>>>,
}

impl FlatGradient {
    /// Runs `body` with the buffer, if the gradient of these parameters is wanted.
    pub(crate) fn borrow<T>(&self, params: ParamsId, body: impl FnOnce(Option<&mut [f32]>) -> T) -> T {
        if self.wanted.get() == Some(params) { self.values.borrow(body) } else { body(None) }
    }

    /// Marks a parameter as written; `true` the first time, when it must be overwritten and not added to.
    pub(crate) fn write(&self, range: Range<usize>) -> bool {
        let mut written = self.written.borrow_mut();
        let first = !written.contains(&range);
        if first {
            written.push(range);
        }
        first
    }

    fn clear_unwritten(&self, grad_out: &mut [f32]) {
        let mut written = self.written.take();
        written.sort_unstable_by_key(|range| range.start);
        let mut end = 0;
        for range in written {
            grad_out[end..range.start].fill(0.0);
            end = range.end;
        }
        grad_out[end..].fill(0.0);
    }
}
