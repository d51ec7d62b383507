//! What a learner records its forward passes on.
//!
//! A tape is a list of operations that is run in reverse. The outputs' gradients come from the caller (a loss with a fused
//! gradient); gradients between operations live in pooled buffers that the first writer overwrites; and all parameter
//! gradients go into one flat slice, which is written once and never cleared. What a user writes in dfdx
//! ([`crate::custom`]) is one operation on it, whose gradient dfdx's own tape computes.

use std::fmt;
use std::ops::Range;

use crate::error::NnError;
use crate::kernels::{Pooled, add};
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
    /// In the order of the forward pass; nothing if none are recorded.
    operations: Option<Vec<Operation>>,
}

/// The gradient of one operation.
struct Operation {
    params: ParamsId,
    /// The inputs whose gradient is asked for, with their lengths.
    inputs: Vec<Option<(MatrixId, usize)>>,
    outputs: Vec<MatrixId>,
    backward: Box<dyn FnOnce(Backward<'_>)>,
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
        Self { operations: Some(Vec::new()) }
    }

    /// A tape that records nothing, for forward passes whose gradient nobody wants.
    #[must_use]
    pub fn inference() -> Self {
        Self { operations: None }
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
        let tracked = |x: &&Matrix| x.is_tracked().then(|| (x.id(), x.as_slice().len()));
        operations.push(Operation {
            params: params.id(),
            inputs: inputs.iter().map(tracked).collect(),
            outputs: outputs.iter().map(|x| x.id()).collect(),
            backward: Box::new(backward),
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
        let mut known = Known::default();
        for (output, gradient) in outputs {
            check_length("output gradient", output.as_slice().len(), gradient.len())?;
            let mut seed = Pooled::take(gradient.len());
            seed.copy_from_slice(gradient);
            known.put(output.id(), seed);
        }
        let mut written = Written::default();
        for operation in self.operations.into_iter().flatten().rev() {
            let wanted = operation.params == params.id();
            let values = if wanted { Some(&mut *grad_out) } else { None };
            known.run(operation, values.map(|values| ParamGradients { values, written: &mut written }));
        }
        written.clear_others(grad_out);
        Ok(InputGradients(known.0))
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("operations", &self.operations.as_ref().map(Vec::len)).finish()
    }
}

/// The gradients of the tracked inputs of a tape.
#[derive(Debug)]
pub struct InputGradients(Vec<(MatrixId, Pooled)>);

impl InputGradients {
    /// The gradient of `x`; nothing if `x` is not [tracked](Matrix::tracked) or no output depends on it.
    #[must_use]
    pub fn get(&self, x: &Matrix) -> Option<&[f32]> {
        self.0.iter().find(|(id, _)| *id == x.id()).map(|(_, gradient)| &**gradient)
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
    written: &'a mut Written,
}

impl ParamGradients<'_> {
    /// All values, of which only those of the operation's own parameters may be touched.
    pub(crate) fn values(&mut self) -> &mut [f32] {
        self.values
    }

    /// Whether a parameter holds no gradient yet, so that it must be overwritten; from now on it does.
    pub(crate) fn is_fresh(&mut self, range: &ParamRange) -> bool {
        self.written.add(range.range())
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

/// The ranges of a flat gradient that hold something; the others hold whatever was there before.
#[derive(Default)]
struct Written(Vec<Range<usize>>);

impl Written {
    /// Marks a range; `true` the first time.
    fn add(&mut self, range: Range<usize>) -> bool {
        let first = !self.0.contains(&range);
        if first {
            self.0.push(range);
        }
        first
    }

    /// Sets everything else to zero.
    fn clear_others(mut self, values: &mut [f32]) {
        self.0.sort_unstable_by_key(|range| range.start);
        let mut end = 0;
        for range in self.0 {
            values[end..range.start].fill(0.0);
            end = range.end;
        }
        values[end..].fill(0.0);
    }
}

/// The gradients of inputs and outputs that are known so far: few at a time.
#[derive(Default)]
struct Known(Vec<(MatrixId, Pooled)>);

impl Known {
    /// Runs the gradient of one operation, if a loss depends on it.
    fn run(&mut self, operation: Operation, params: Option<ParamGradients<'_>>) {
        let mut outputs: Vec<Option<Pooled>> = operation.outputs.iter().map(|id| self.take(*id)).collect();
        if outputs.iter().all(Option::is_none) {
            return;
        }
        let mut input_of = |&(id, len): &(MatrixId, usize)| {
            let known = self.take(id);
            let fresh = known.is_none();
            (id, known.unwrap_or_else(|| Pooled::take(len)), fresh)
        };
        let mut inputs: Vec<_> =
            operation.inputs.iter().map(|input| input.as_ref().map(&mut input_of)).collect();
        fn target((_, values, fresh): &mut (MatrixId, Pooled, bool)) -> Target<'_> {
            Target { values, fresh: *fresh }
        }
        (operation.backward)(Backward {
            outputs: outputs.iter_mut().map(Option::as_deref_mut).collect(),
            inputs: inputs.iter_mut().map(|input| input.as_mut().map(target)).collect(),
            params,
        });
        inputs.into_iter().flatten().for_each(|(id, values, _)| self.put(id, values));
    }

    fn take(&mut self, id: MatrixId) -> Option<Pooled> {
        let place = self.0.iter().position(|(known, _)| *known == id)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Adds a gradient.
    fn put(&mut self, id: MatrixId, values: Pooled) {
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, sum)) => add(sum, &values),
            None => self.0.push((id, values)),
        }
    }
}
