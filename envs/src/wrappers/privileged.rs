//! What a teacher sees.

use std::ops::Range;

use super::{Context, Wrapper};
use crate::batch::ObsBuffer;
use crate::columns::{Column, from_bytes, to_bytes};
use crate::vector::VectorInfo;
use crate::{EnvError, StepBatch};

/// Keeps a copy of the observations where it stands in the stack, for a teacher that sees more of an environment than the wrappers
/// around it show. It changes nothing.
pub(crate) struct Privileged {
    observations: ObsBuffer,
    width: usize,
}

impl Privileged {
    pub(crate) fn new(info: &VectorInfo) -> Self {
        let width = info.observation_len();
        Self { observations: ObsBuffer::zeros(info.dtype(), info.num_rows() * width), width }
    }
}

impl Wrapper for Privileged {
    fn name(&self) -> &'static str {
        "privileged"
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        Ok(VectorInfo { privileged: Some(inner.observation_space.clone()), ..inner.clone() })
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        if context.rows.is_all() {
            self.observations.copy_range(0, &out.observations, 0, self.observations.len());
        } else {
            for row in context.rows.iter() {
                let at = row * self.width;
                self.observations.copy_range(at, &out.observations, at, self.width);
            }
        }
        Ok(())
    }

    fn privileged(&self) -> Option<&ObsBuffer> {
        Some(&self.observations)
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(self);
    }
}

impl Column for Privileged {
    fn copy(&mut self, from: Range<usize>, to: usize) {
        let (range, at) = (from.start * self.width..from.end * self.width, to * self.width);
        match &mut self.observations {
            ObsBuffer::F32(values) => values.copy_within(range, at),
            ObsBuffer::U8(values) => values.copy_within(range, at),
        }
    }

    fn save(&self, rows: Range<usize>) -> Result<Vec<u8>, EnvError> {
        let mut saved = ObsBuffer::zeros(self.observations.dtype(), 0);
        saved.extend_from(&self.observations, rows.start * self.width, rows.len() * self.width);
        to_bytes(&saved)
    }

    fn load(&mut self, rows: Range<usize>, bytes: &[u8]) -> Result<(), EnvError> {
        let saved: ObsBuffer = from_bytes(bytes)?;
        let (expected, found) =
            ((self.observations.dtype(), rows.len() * self.width), (saved.dtype(), saved.len()));
        if expected != found {
            let message = format!("expected what a teacher sees as {expected:?}, found {found:?}");
            return Err(EnvError::Snapshot(message));
        }
        self.observations.copy_range(rows.start * self.width, &saved, 0, saved.len());
        Ok(())
    }
}
