//! What can be wrong with a space or a value.

/// Why a space could not be built, or a value or row does not belong to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// A space that holds nothing, or whose definition contradicts itself.
    #[error("invalid {kind} space: {problem}")]
    InvalidSpace {
        /// The kind of space, as in Gymnasium.
        kind: &'static str,
        /// What is wrong, with what was given.
        problem: String,
    },
    /// A value, row or mask that does not fit the space.
    #[error("{}: expected {expected}, got {found}", shown(path))]
    Mismatch {
        /// Where, for example `position[2]`; empty for the value as a whole.
        path: String,
        /// What would have been right there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A space that masks do not apply to.
    #[error("{}: a {kind} space cannot be sampled with a mask", shown(path))]
    NotMaskable {
        /// Where, as in [`SpaceError::Mismatch`].
        path: String,
        /// The kind of space, as in Gymnasium.
        kind: &'static str,
    },
}

impl SpaceError {
    /// The same error, seen from the container that holds the value as `name`: `[2]` becomes `name[2]`, `x` becomes
    /// `name.x`.
    ///
    /// ```
    /// # use agon_envs::spaces::{Space, Value};
    /// # fn main() -> Result<(), agon_envs::spaces::SpaceError> {
    /// let space = Space::dict([("position", Space::box_uniform(-1.0, 1.0, &[3])?)])?;
    /// let value = Value::dict([("position", Value::Box(vec![0.0, 0.0, 7.0]))]);
    /// let error = space.contains(&value).unwrap_err().within("observation");
    /// assert_eq!(error.to_string(), "observation.position[2]: expected a number in [-1, 1], got 7");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        match &mut self {
            Self::InvalidSpace { .. } => {}
            Self::Mismatch { path, .. } | Self::NotMaskable { path, .. } => {
                let separator = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                *path = format!("{name}{separator}{path}");
            }
        }
        self
    }

    pub(super) fn invalid(kind: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidSpace { kind, problem: problem.into() }
    }

    /// A mismatch of the value as a whole.
    pub(super) fn mismatch(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Mismatch { path: String::new(), expected: expected.into(), found: found.into() }
    }

    /// The same error, seen from the sequence that holds the value at `index`.
    pub(super) fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "value" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_code() {
        let error = SpaceError::mismatch("a bit", "2");
        assert_eq!(error.to_string(), "value: expected a bit, got 2");
        assert_eq!(
            error.at(2).within("x").at(1).within("action").to_string(),
            "action[1].x[2]: expected a bit, got 2"
        );
    }
}
