//! Pictures of the lander.
use super::LunarLander;
use crate::{Canvas, Frame};

impl LunarLander {
    pub(super) fn picture(&self) -> Frame {
        Canvas::new(600, 400, [0, 0, 0]).into_frame()
    }
}
