//! The source of a run that learns from recorded experience: the learner has all of it already.

use std::sync::Arc;

use agon_agents::{Fragment, Weights};

use crate::RunError;
use crate::acting::Acting;
use crate::runtime::FragmentSource;

/// A source without fragments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NothingNew;

impl FragmentSource for NothingNew {
    fn begin(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn fragments(&mut self, _gives_up: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Fragment>>, RunError> {
        Ok(Some(Vec::new()))
    }

    fn publish(&mut self, _acting: Arc<Acting>, _weights: &dyn Fn() -> Weights) {}

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        Ok(Vec::new())
    }

    fn is_outside(&self) -> bool {
        false
    }
}
