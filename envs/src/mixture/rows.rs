//! Rows of a task's own environment as rows of a mixture: what was recorded of a task is learned from among others.

use super::MixtureEnv;
use super::union::View;
use crate::registry::{MakeOptions, Registry};
use crate::vector::VectorInfo;
use crate::{ActionBatch, EnvError, ObsBuffer, Space};

/// A task, and what its rows look like in the mixture's spaces.
pub struct TaskRows {
    id: String,
    name: String,
    own: VectorInfo,
    view: View,
    /// The mixture's spaces.
    mixture: VectorInfo,
}

impl TaskRows {
    /// Of all tasks of a mixture, in their order.
    ///
    /// # Errors
    /// As [`MixtureEnv::new`].
    pub fn of(registry: &Registry, options: &MakeOptions) -> Result<Vec<Self>, EnvError> {
        let MixtureEnv { info, tasks, .. } =
            MixtureEnv::new(registry, &MakeOptions { num_envs: 1, ..options.clone() })?;
        let rows = tasks.into_iter().zip(&options.tasks).map(|(task, config)| Self {
            id: config.id.clone(),
            name: config.name().to_owned(),
            own: task.env.info().clone(),
            view: task.view,
            mixture: info.clone(),
        });
        Ok(rows.collect())
    }

    /// The id of the task's environment.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What logs call the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The space of the task's own observations.
    pub fn observation_space(&self) -> &Space {
        &self.own.observation_space
    }

    /// The space of the task's own actions.
    pub fn action_space(&self) -> &Space {
        &self.own.action_space
    }

    /// Length of the task's own action masks; zero without.
    pub fn mask_len(&self) -> usize {
        self.own.mask_len
    }

    /// The space of the mixture's observations.
    pub fn shown_space(&self) -> &Space {
        &self.mixture.observation_space
    }

    /// Observations, `[B, own length]`, as the mixture shows them.
    pub fn observations(&self, own: &ObsBuffer) -> ObsBuffer {
        let (own_len, len) = (self.own.observation_len(), self.mixture.observation_len());
        let rows = own.len() / own_len.max(1);
        let mut shown = ObsBuffer::zeros(self.mixture.dtype(), rows * len);
        (0..rows).for_each(|row| self.view.show(own, row, own_len, &mut shown, len));
        shown
    }

    /// Actions, `[B, own width]`, as the mixture takes them.
    pub fn actions(&self, own: &ActionBatch) -> ActionBatch {
        let width = self.own.action_spec.width();
        let rows = own.len() / width.max(1);
        let mut united = ActionBatch::zeros(&self.mixture.action_spec, rows);
        (0..rows).for_each(|row| self.view.unite(own, row, width, &mut united));
        united
    }

    /// Action masks, `[B, own length]`, of so many rows, as the mixture has them: empty if it has none.
    pub fn masks(&self, own: &[bool], rows: usize) -> Vec<bool> {
        let (own_len, len) = (self.own.mask_len, self.mixture.mask_len);
        let mut masks = vec![true; rows * len];
        if len > 0 {
            for (row, mask) in masks.chunks_exact_mut(len).enumerate() {
                self.view.mask(&own[row * own_len..(row + 1) * own_len], mask);
            }
        }
        masks
    }
}
