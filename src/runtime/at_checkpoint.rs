//! What a run acted with at one of its checkpoints.

use std::path::Path;

use super::{Parts, check_settings, check_sizes, not_of_run};
use crate::RunError;
use crate::acting::Acting;
use crate::run::chunks::ChunkFiles;
use crate::run::{RunDirectory, checkpoint};
use crate::setup::Setup;
use crate::signing::Source;

/// The policy and the statistics of a run as they were when it had taken so many environment steps.
///
/// # Errors
/// If the run keeps no checkpoint of that step; the error lists those it keeps. Or if it is damaged, or not signed
/// where that is demanded.
pub(crate) fn acting_at(
    setup: &Setup,
    source: &Source,
    path: &Path,
    env_steps: u64,
) -> Result<Acting, RunError> {
    let (run, mut config) = RunDirectory::open_from(source, path)?;
    config.resolve(&setup.registry, &setup.algorithms)?;
    let file = checkpoint::path_of(&run.checkpoints(), env_steps);
    if !file.exists() {
        let steps = checkpoint::steps(&run.checkpoints())?;
        let kept = steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let kept = if kept.is_empty() { "none".to_owned() } else { kept };
        let message = format!("expected a step that a checkpoint is kept of ({kept}), got {env_steps}");
        return Err(RunError::Directory { path: path.to_owned(), message });
    }
    let state = checkpoint::load_from(source, &file)?;
    check_settings(&file, &state, &config)?;
    let Parts { probe, statistics, mut learner, .. } = Parts::new(setup, &config)?;
    check_sizes(&file, &state, &statistics, probe.env_metrics().len())?;
    let chunks = ChunkFiles::new(run.checkpoints(), &state.chunks).read_from(source);
    learner.restore_with(&state.learner, &chunks).map_err(|error| not_of_run(&file, error))?;
    Ok(Acting::of(learner.policy()?, state.statistics, state.env_steps))
}
