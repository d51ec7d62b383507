//! A reward wrapper: hooks around any environment.

use agon::envs::wrappers::{Column, Context, Moment, Wrapper};
use agon::envs::{EnvError, StepBatch};

/// Takes a little more off the reward with every step of an episode.
pub(crate) struct Haste {
    /// Steps so far, of each row.
    steps: Vec<u32>,
}

impl Haste {
    pub(crate) fn new(rows: usize) -> Self {
        Self { steps: vec![0; rows] }
    }
}

impl Wrapper for Haste {
    fn name(&self) -> &'static str {
        "haste"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        for row in context.rows.iter() {
            match context.moment {
                Moment::Reset => self.steps[row] = 0,
                Moment::Step => {
                    self.steps[row] += 1;
                    out.rewards[row] -= 0.001 * f64::from(self.steps[row]);
                }
            }
        }
        Ok(())
    }

    /// What is listed here is part of checkpoints: runs go on exactly.
    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.steps);
    }
}
