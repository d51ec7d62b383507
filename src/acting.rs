//! What environments are acted in with: a policy, and the statistics that its observations are normalised by.

use std::fmt;
use std::sync::Arc;

use agon_agents::Policy;
use agon_envs::Simulator;
use agon_envs::wrappers::Moments;

/// A policy as it is at one point of its training.
#[derive(Clone)]
pub struct Acting {
    /// Chooses actions.
    pub policy: Arc<dyn Policy>,
    /// The run's running statistics, the innermost wrapper's first.
    pub statistics: Vec<Moments>,
    /// Policies that the run published before.
    pub version: u64,
    /// Environment steps of training: what exploration goes by where it is not training that acts.
    pub env_steps: u64,
}

impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acting")
            .field("version", &self.version)
            .field("env_steps", &self.env_steps)
            .finish_non_exhaustive()
    }
}

/// Has a simulator's running statistics go on from the given moments, or stay as they are for an evaluation.
pub(crate) fn set_statistics(simulator: &mut Simulator, moments: &[Moments], frozen: bool) {
    let mut moments = moments.iter();
    simulator.visit_statistics(&mut |statistics| {
        statistics.freeze(frozen);
        if let Some(moments) = moments.next() {
            statistics.set_moments(moments);
        }
    });
}
