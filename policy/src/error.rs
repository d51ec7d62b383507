//! What can be wrong with a policy or with what it is asked.

/// Why a policy cannot be loaded or cannot act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A file is no safetensors file with a policy's program, or it is damaged.
    #[error("{0}")]
    File(String),
    /// A program names a parameter that is not there.
    #[error("expected a parameter {0}, found none")]
    Parameter(String),
    /// A parameter or a list of a program has another size than its place.
    #[error("expected {what} of {expected}, found {found}")]
    Size {
        /// What.
        what: String,
        /// As its place has it.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A program has a layer that cannot be run here.
    #[error("expected layers that can be run without the program that made them, found {0}")]
    Opaque(String),
    /// An observation or action mask of another size.
    #[error("expected {what} of {expected} values, got {found}")]
    Length {
        /// What.
        what: &'static str,
        /// As the program has it.
        expected: usize,
        /// As it was given.
        found: usize,
    },
    /// An observation of bytes where numbers are expected, or the other way round.
    #[error("expected an observation of {expected}, got one of {found}")]
    Kind {
        /// As the program has it.
        expected: &'static str,
        /// As it was given.
        found: &'static str,
    },
    /// A number that is none.
    #[error("expected finite numbers, found {value} at index {index} of {what}")]
    NotFinite {
        /// Of what.
        what: &'static str,
        /// Where.
        index: usize,
        /// Which.
        value: f32,
    },
    /// A choice without a legal option.
    #[error("expected a legal option of choice {0}, got none")]
    NothingLegal(usize),
    /// A layer whose gradient is not computed here.
    #[error(
        "expected layers with a gradient, found {0}: explain this policy by what it does (permutation, occlusion) instead"
    )]
    NoGradient(&'static str),
}
