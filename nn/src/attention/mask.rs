//! Which keys a query may attend to.

use crate::error::NnError;
use crate::matrix::check_length;

/// Which keys a query may attend to: those that all parts of the mask allow.
///
/// A query that may attend to nothing gets zeros: no NaN, and no gradient.
///
/// # Example
/// ```
/// use agon_nn::AttentionMask;
///
/// // Two sequences of three tokens; in the second one an episode begins at the last token.
/// let episodes = [0, 0, 0, 0, 0, 1];
/// let mask = AttentionMask::none().causal().segments(&episodes);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttentionMask<'a> {
    causal: bool,
    window: Option<usize>,
    key_padding: &'a [bool],
    query_segments: &'a [u32],
    key_segments: &'a [u32],
}

impl<'a> AttentionMask<'a> {
    /// Everything is allowed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Allows no keys after the query; the last query and the last key stand at the same place.
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// Allows only the last `steps` keys up to the query's place, itself included; says nothing of later ones.
    #[must_use]
    pub fn window(mut self, steps: usize) -> Self {
        self.window = Some(steps);
        self
    }

    /// Forbids the flagged keys, as PyTorch's `key_padding_mask`.
    ///
    /// # Shapes
    /// `[B, keys]`.
    #[must_use]
    pub fn key_padding(mut self, padding: &'a [bool]) -> Self {
        self.key_padding = padding;
        self
    }

    /// Allows only keys of the query's own segment: its episode.
    ///
    /// # Shapes
    /// `[B, L]`, for queries and keys alike.
    #[must_use]
    pub fn segments(self, segments: &'a [u32]) -> Self {
        self.segments_of(segments, segments)
    }

    /// As [`Self::segments`], with the keys' own.
    pub(crate) fn segments_of(mut self, queries: &'a [u32], keys: &'a [u32]) -> Self {
        (self.query_segments, self.key_segments) = (queries, keys);
        self
    }

    /// Checks the lengths for `batch` sequences.
    pub(crate) fn check(&self, batch: usize, queries: usize, keys: usize) -> Result<(), NnError> {
        for (name, expected, got) in [
            ("key_padding", batch * keys, self.key_padding.len()),
            ("segments", batch * queries, self.query_segments.len()),
            ("segments", batch * keys, self.key_segments.len()),
        ] {
            if got > 0 {
                check_length(name, expected, got)?;
            }
        }
        Ok(())
    }

    /// Whether everything is allowed.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// Whether all sequences have the same mask.
    pub(crate) fn is_shared(&self) -> bool {
        self.key_padding.is_empty() && self.query_segments.is_empty()
    }

    /// Writes one sequence's mask: zero where a key is allowed, else minus infinity.
    pub(crate) fn write(&self, sequence: usize, queries: usize, keys: usize, mask: &mut [f32]) {
        const FORBIDDEN: f32 = f32::NEG_INFINITY;
        for (query, row) in mask.chunks_exact_mut(keys).take(queries).enumerate() {
            row.fill(0.0);
            // The number of keys up to the query's place.
            let end = (query + keys + 1).saturating_sub(queries).min(keys);
            if self.causal {
                row[end..].fill(FORBIDDEN);
            }
            if let Some(window) = self.window {
                row[..end.saturating_sub(window)].fill(FORBIDDEN);
            }
            if let Some(padding) = self.key_padding.get(sequence * keys..(sequence + 1) * keys) {
                for (value, _) in row.iter_mut().zip(padding).filter(|(_, padding)| **padding) {
                    *value = FORBIDDEN;
                }
            }
            if let Some(segments) = self.key_segments.get(sequence * keys..(sequence + 1) * keys) {
                let own = self.query_segments[sequence * queries + query];
                for (value, &segment) in row.iter_mut().zip(segments) {
                    *value = if segment == own { *value } else { FORBIDDEN };
                }
            }
        }
    }
}
