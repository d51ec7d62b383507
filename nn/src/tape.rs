//! What a learner records its forward passes on.
//!
//! The tape is dfdx's own: a list of closures that it runs in reverse. Around it lies what dfdx has no place for: the
//! outputs' gradients come from the caller (a loss with a fused gradient); gradients between operations live in
//! pooled buffers that the first writer overwrites; and all parameter gradients go into one flat slice, which is
//! written once and never cleared.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;

use dfdx::shapes::Rank0;
use dfdx::tensor::{
    Cpu, Gradients, Merge as _, OwnedTape, PutTape as _, SplitTape as _, Tape as _, Tensor, Trace as _,
    ZerosTensor as _,
};
use dfdx::tensor_ops::Backward as _;

use crate::device::device;
use crate::error::NnError;
use crate::kernels::{Loan, Pooled, add};
use crate::matrix::{Matrix, MatrixId, check_length};
use crate::params::{ParamRange, Params, ParamsId};

/// Records the operations of one forward pass; [`Tape::backward`] consumes it.
///
/// # Example
/// ```
/// use agon_nn::{Activation, Init, LayoutBuilder, Matrix, MlpConfig, Tape};
///
/// let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
/// let config = MlpConfig { hidden: vec![16], activation: Activation::Tanh };
/// let mlp = config.build(&mut builder, "q", 3, 2, init, init)?;
/// let params = builder.build(0);
///
/// let x = Matrix::from_slice(1, 3, &[0.1, 0.2, 0.3])?;
/// let mut tape = Tape::new();
/// let y = mlp.forward(&params, &x, &mut tape)?;
/// let mut gradient = vec![0.0; params.len()];
/// tape.backward(&params, &[(&y, &[1.0, 0.0])], &mut gradient)?;
/// # Ok::<(), agon_nn::NnError>(())
/// ```
pub struct Tape {
    operations: Option<OwnedTape<f32, Cpu>>,
    shared: Rc<Shared>,
}

impl Default for Tape {
    fn default() -> Self {
        Self::new()
    }
}

impl Tape {
    /// Without operations, recording.
    #[must_use]
    pub fn new() -> Self {
        Self { operations: Some(OwnedTape::default()), shared: Rc::default() }
    }

    /// A tape that records nothing, for forward passes whose gradient nobody wants.
    #[must_use]
    pub fn inference() -> Self {
        Self { operations: None, shared: Rc::default() }
    }

    /// Whether operations are recorded; else what only the gradient needs must not be kept.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.operations.is_some()
    }

    /// Adds an operation from `inputs` and `params` to `outputs`.
    ///
    /// `backward` runs only if some loss depends on one of the outputs.
    pub(crate) fn record(
        &mut self,
        params: &Params,
        inputs: &[&Matrix],
        outputs: &[&Matrix],
        backward: impl FnOnce(Backward<'_>) + 'static,
    ) {
        let Some(operations) = &mut self.operations else { return };
        let shared = Rc::clone(&self.shared);
        let params = params.id();
        let inputs: Vec<_> =
            inputs.iter().map(|x| x.is_tracked().then(|| (x.id(), x.as_slice().len()))).collect();
        let outputs: Vec<_> = outputs.iter().map(|x| x.id()).collect();
        operations.add_backward_op(move |_| {
            shared.run(params, &inputs, &outputs, backward);
            Ok(())
        });
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
        for (output, gradient) in outputs {
            check_length("output gradient", output.as_slice().len(), gradient.len())?;
            let mut seed = Pooled::take(gradient.len());
            seed.copy_from_slice(gradient);
            self.shared.put(output.id(), seed);
        }
        self.shared.wanted.set(Some(params.id()));
        if let Some(operations) = self.operations {
            // dfdx runs a tape from a scalar; this one stands for nothing.
            static ANCHOR: LazyLock<Tensor<Rank0, f32, Cpu>> = LazyLock::new(|| device().zeros());
            let (anchor, none) = ANCHOR.clone().traced(Gradients::leaky()).split_tape();
            let anchor = anchor.put_tape(operations.merge(none));
            self.shared.params.lend(grad_out, || anchor.try_backward())?;
        }
        self.shared.clear_unwritten(grad_out);
        Ok(InputGradients(self.shared.table.take()))
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.fmt(f)
    }
}

/// The gradients of the tracked inputs of a tape.
#[derive(Debug)]
pub struct InputGradients(HashMap<MatrixId, Pooled>);

impl InputGradients {
    /// The gradient of `x`; nothing if `x` is not [tracked](Matrix::tracked) or no output depends on it.
    #[must_use]
    pub fn get(&self, x: &Matrix) -> Option<&[f32]> {
        self.0.get(&x.id()).map(|gradient| &**gradient)
    }
}

/// What the gradient of one operation reads and writes.
pub(crate) struct Backward<'a> {
    /// The gradients of the outputs, which may be used up; nothing for an output that no loss depends on.
    pub(crate) outputs: Vec<Option<&'a mut [f32]>>,
    /// Where the gradients of the inputs go; nothing for an input that does not ask.
    pub(crate) inputs: Vec<Option<Target<'a>>>,
    /// Where the gradients of the parameters go, if they are wanted.
    pub(crate) params: Option<ParamGradients<'a>>,
}

/// Where a gradient goes.
pub(crate) struct Target<'a> {
    pub(crate) values: &'a mut [f32],
    /// Whether the values are to be overwritten, and not added to.
    pub(crate) fresh: bool,
}

impl Target<'_> {
    /// Lets `write` overwrite the gradient, and adds what was there before.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut [f32])) {
        if self.fresh {
            return write(self.values);
        }
        let mut more = Pooled::take(self.values.len());
        write(&mut more);
        add(self.values, &more);
    }
}

/// The flat gradient of the parameters while an operation runs.
pub(crate) struct ParamGradients<'a> {
    values: &'a mut [f32],
    shared: Option<&'a Shared>,
}

impl<'a> ParamGradients<'a> {
    /// Over a buffer that starts as zeros and is only added to.
    pub(crate) fn zeroed(values: &'a mut [f32]) -> Self {
        Self { values, shared: None }
    }

    /// All values, of which only those of the operation's own parameters may be touched.
    pub(crate) fn values(&mut self) -> &mut [f32] {
        self.values
    }

    /// Whether a parameter holds no gradient yet, so that it must be overwritten; from now on it does.
    pub(crate) fn is_fresh(&mut self, range: &ParamRange) -> bool {
        self.shared.is_some_and(|shared| shared.write(range.range()))
    }

    /// Where one parameter's gradient goes.
    pub(crate) fn target(&mut self, range: &ParamRange) -> Target<'_> {
        let fresh = self.is_fresh(range);
        Target { values: range.of_mut(self.values), fresh }
    }

    /// One parameter's gradient, set to zero if it is the first, to be added to.
    pub(crate) fn sum_of(&mut self, range: &ParamRange) -> &mut [f32] {
        let target = self.target(range);
        if target.fresh {
            target.values.fill(0.0);
        }
        target.values
    }
}

/// What the operations of a tape share while it runs.
#[derive(Default)]
struct Shared {
    /// Whose gradient is wanted.
    wanted: Cell<Option<ParamsId>>,
    params: Loan,
    /// The ranges that hold a gradient; the others hold whatever was there before.
    written: RefCell<Vec<Range<usize>>>,
    /// The gradients of inputs and outputs that are known so far.
    table: RefCell<HashMap<MatrixId, Pooled>>,
}

impl Shared {
    /// Runs the gradient of one operation, if a loss depends on it.
    fn run(
        &self,
        params: ParamsId,
        inputs: &[Option<(MatrixId, usize)>],
        outputs: &[MatrixId],
        backward: impl FnOnce(Backward<'_>),
    ) {
        let mut output_buffers: Vec<Option<Pooled>> =
            outputs.iter().map(|id| self.table.borrow_mut().remove(id)).collect();
        if output_buffers.iter().all(Option::is_none) {
            return;
        }
        let mut input_buffers: Vec<Option<(Pooled, bool)>> = inputs
            .iter()
            .map(|input| {
                let (id, len) = (*input)?;
                let known = self.table.borrow_mut().remove(&id);
                let fresh = known.is_none();
                Some((known.unwrap_or_else(|| Pooled::take(len)), fresh))
            })
            .collect();
        self.borrow(params, |values| {
            backward(Backward {
                outputs: output_buffers.iter_mut().map(|buffer| buffer.as_deref_mut()).collect(),
                inputs: input_buffers
                    .iter_mut()
                    .map(|buffer| {
                        buffer.as_mut().map(|(values, fresh)| Target { values: &mut *values, fresh: *fresh })
                    })
                    .collect(),
                params: values.map(|values| ParamGradients { values, shared: Some(self) }),
            });
        });
        for (input, buffer) in inputs.iter().zip(input_buffers) {
            if let (Some((id, _)), Some((values, _))) = (input, buffer) {
                self.put(*id, values);
            }
        }
    }

    /// Adds a gradient to the table.
    fn put(&self, id: MatrixId, values: Pooled) {
        match self.table.borrow_mut().entry(id) {
            std::collections::hash_map::Entry::Occupied(mut entry) => add(entry.get_mut(), &values),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(values);
            }
        }
    }

    /// Runs `body` with the flat gradient, if that of these parameters is wanted.
    fn borrow<T>(&self, params: ParamsId, body: impl FnOnce(Option<&mut [f32]>) -> T) -> T {
        if self.wanted.get() == Some(params) { self.params.borrow(body) } else { body(None) }
    }

    /// Marks a parameter as written; `true` the first time.
    fn write(&self, range: Range<usize>) -> bool {
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
