//! Trained policies: how long one takes to load, and to decide.

use std::path::Path;
use std::time::Instant;

use agon_envs::ObsBuffer;
use agon_envs::batch::row_dtype;
use serde::Serialize;

use super::REPETITIONS;
use crate::RunError;
use crate::policy;
use crate::runtime::Setup;
use crate::stats::median;

/// Environments that are decided for at once.
const BATCHES: [usize; 3] = [1, 8, 64];
/// Decisions that one time is taken over.
const DECISIONS: u32 = 2000;

/// What was measured of a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyRow {
    /// Milliseconds from a path to a policy that can act, the median.
    pub load_ms: f64,
    /// Environments decided for at once, and microseconds of a decision for all of them: wrappers and memory included, its best
    /// action, the median.
    pub decision_us: Vec<(usize, f64)>,
}

/// Measures the policy of a run directory or a weight file, on observations of zeros.
///
/// # Errors
/// If there is none.
pub fn policy(setup: &Setup, path: &Path) -> Result<PolicyRow, RunError> {
    let mut loads = Vec::new();
    for _ in 0..3 * REPETITIONS {
        let started = Instant::now();
        let mut loaded = policy::load_with(setup, path)?;
        let spaces = &loaded.card().env_spaces;
        let zeros = ObsBuffer::zeros(
            row_dtype(&spaces.observation),
            spaces.num_agents * spaces.observation.packed_len(),
        );
        loaded.act(&zeros)?;
        loads.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let mut loaded = policy::load_with(setup, path)?;
    let spaces = loaded.card().env_spaces.clone();
    let width = spaces.num_agents * spaces.observation.packed_len();
    let mut decision_us = Vec::new();
    for batch in BATCHES {
        let zeros = ObsBuffer::zeros(row_dtype(&spaces.observation), batch * width);
        let mut times = Vec::new();
        for _ in 0..REPETITIONS {
            let started = Instant::now();
            for _ in 0..DECISIONS {
                loaded.act(&zeros)?;
            }
            times.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS));
        }
        decision_us.push((batch, median(&times)));
    }
    Ok(PolicyRow { load_ms: median(&loads), decision_us })
}
