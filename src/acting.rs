//! What environments are acted in with: a policy, and the statistics that its observations are normalised by.

use std::fmt;
use std::sync::Arc;

use agon_agents::rivals::PastSelf;
use agon_agents::{Policy, Spaces};
use agon_envs::Simulator;
use agon_envs::wrappers::Moments;

use crate::RunError;

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
    /// Past selves that play some sides in training.
    pub past: Arc<[PastSelf]>,
}

impl Acting {
    /// A policy on its own, as it is after training.
    pub fn of(policy: Arc<dyn Policy>, statistics: Vec<Moments>, env_steps: u64) -> Self {
        Self { policy, statistics, version: 0, env_steps, past: Arc::new([]) }
    }
}

impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acting")
            .field("version", &self.version)
            .field("env_steps", &self.env_steps)
            .finish_non_exhaustive()
    }
}

/// Prepares environments for a policy that others have trained: they must show what it has seen, and its statistics must be
/// theirs.
pub(crate) fn fit(
    simulator: &mut Simulator,
    spaces: &Spaces,
    statistics: &[Moments],
) -> Result<(), RunError> {
    let (expected, found) = (&spaces.observation, simulator.observation_space());
    if expected != found {
        return Err(RunError::Policy(format!(
            "the policy observes {expected}, the environment shows {found}"
        )));
    }
    if spaces.action != *simulator.action_spec() {
        let found = simulator.action_space();
        return Err(RunError::Policy(format!(
            "the environment takes {found}, the policy does something else"
        )));
    }
    let mut widths = Vec::new();
    simulator.visit_statistics(&mut |statistics| widths.push(statistics.moments().mean.len()));
    check_widths(&widths, statistics)?;
    set_statistics(simulator, statistics, true);
    Ok(())
}

/// Refuses statistics that are not of the wrappers they are for.
pub(crate) fn check_widths(expected: &[usize], statistics: &[Moments]) -> Result<(), RunError> {
    let found: Vec<usize> = statistics.iter().map(|moments| moments.mean.len()).collect();
    if expected == found {
        return Ok(());
    }
    Err(RunError::Policy(format!(
        "the wrappers have statistics of {expected:?} numbers, the policy of {found:?}"
    )))
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
