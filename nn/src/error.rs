//! The one error type of this crate.

/// What can go wrong when a network is built, run, saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    /// A buffer has the wrong number of values.
    #[error("{name} must hold {expected} values, got {got}")]
    Length {
        /// Which argument.
        name: &'static str,
        /// How many values it must hold.
        expected: usize,
        /// How many values it holds.
        got: usize,
    },
    /// A matrix has the wrong number of columns for the layer that reads it.
    #[error("{name} must have {expected} columns, got {got}")]
    Columns {
        /// Which argument.
        name: &'static str,
        /// How many columns it must have.
        expected: usize,
        /// How many columns it has.
        got: usize,
    },
    /// A matrix has the wrong number of rows.
    #[error("{name} must have {expected} rows, got {got}")]
    Rows {
        /// Which argument.
        name: &'static str,
        /// How many rows it must have.
        expected: usize,
        /// How many rows it has.
        got: usize,
    },
    /// A batch has no rows, or a matrix no columns.
    #[error("{name} must not be empty, got shape [{rows}, {columns}]")]
    Empty {
        /// Which argument.
        name: &'static str,
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
    },
    /// A value of a configuration is out of its bounds.
    #[error("{field} must be {expected}, got {got}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// The bound it must keep.
        expected: &'static str,
        /// Its value, as text.
        got: String,
    },
    /// A value of a part's configuration is out of its bounds.
    #[error("{part}.{source}")]
    Within {
        /// The part, as settings name it.
        part: &'static str,
        /// What is wrong, beginning with a field of the part.
        source: Box<NnError>,
    },
    /// A network that is told as operations is not one.
    #[error(transparent)]
    Told(#[from] agon_policy::PolicyError),
    /// A name is not one of the instruction sets.
    #[error("instruction set must be one of scalar, avx2, avx512, got \"{0}\"")]
    UnknownInstructionSet(String),
    /// An instruction set that this processor lacks was asked for.
    #[error("instruction set {requested} is not available on this processor, the best is {best}")]
    UnavailableInstructionSet {
        /// What was asked for.
        requested: String,
        /// The best that this processor has.
        best: String,
    },
    /// A gradient holds NaN or an infinity.
    #[error("the gradient of {name} must be finite, got {value} at index {index}")]
    NotFinite {
        /// The parameter's name.
        name: String,
        /// Flat index inside the parameter.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// Every action of a row is masked.
    #[error("mask must allow at least one action in each row, got none in row {row}")]
    AllActionsMasked {
        /// The row.
        row: usize,
    },
    /// Two parameter buffers that must share a layout do not.
    #[error("parameters must have the same layout, expected {expected}, got {got}")]
    LayoutMismatch {
        /// The layout that was expected, as text.
        expected: String,
        /// The layout that was found, as text.
        got: String,
    },
    /// A weight file lacks a parameter.
    #[error("weight file lacks tensor {name} of shape {expected:?}")]
    MissingTensor {
        /// The parameter's name.
        name: String,
        /// The parameter's shape.
        expected: Vec<usize>,
    },
    /// A weight file holds a tensor that is no parameter of the network.
    #[error("weight file holds tensor {name} of shape {got:?}, which the network does not have")]
    UnexpectedTensor {
        /// The tensor's name in the file.
        name: String,
        /// The tensor's shape in the file.
        got: Vec<usize>,
    },
    /// A tensor of a weight file has another shape than the parameter.
    #[error("tensor {name} must have shape {expected:?}, got {got:?}")]
    TensorShape {
        /// The parameter's name.
        name: String,
        /// The parameter's shape.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// A tensor of a weight file is not `f32`.
    #[error("tensor {name} must have dtype F32, got {got}")]
    TensorDtype {
        /// The parameter's name.
        name: String,
        /// The dtype in the file.
        got: String,
    },
    /// A weight file cannot be read or written as safetensors.
    #[error("weight file is not valid safetensors")]
    Safetensors(#[from] safetensors::SafeTensorError),
}

impl NnError {
    /// The same error of a part's configuration, whose fields are then named with their path; other errors stay.
    #[must_use]
    pub fn within(self, part: &'static str) -> Self {
        match self {
            Self::Config { .. } | Self::Within { .. } => Self::Within { part, source: Box::new(self) },
            other => other,
        }
    }
}
