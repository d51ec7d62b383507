//! What a policy is measured under beside what it was trained in.

use agon_envs::WrapperConfig;

use crate::RunError;
use crate::config::{self, EnvConfig};
use crate::evaluate::{EvalOptions, Evaluation, evaluate_in, evaluate_with_noise, spread};
use crate::policy::TrainedPolicy;
use crate::setup::Setup;

/// Standard deviations of noise, in those of what the policy sees.
const NOISE: [f64; 3] = [0.01, 0.05, 0.1];

/// Chances that the last action is taken again.
const STICKY: [f64; 2] = [0.1, 0.25];

/// An argument of the environment and another value of it, as `gravity=-8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift(pub String);

/// A disturbance, and what the policy did under it.
#[derive(Clone, Debug)]
pub struct Limit {
    /// What was different from training.
    pub disturbance: String,
    /// What was measured, or why nothing was.
    pub found: Result<Evaluation, String>,
}

/// Evaluates a policy under every disturbance that its environment allows.
pub(super) fn measure(
    setup: &Setup,
    trained: &TrainedPolicy,
    options: &EvalOptions,
    shifts: &[Shift],
) -> Result<Vec<Limit>, RunError> {
    let env = &trained.card().env;
    let mut limits = Vec::new();
    let spread = spread(setup, trained, env, options)?;
    for scale in NOISE {
        let disturbance =
            format!("noise of {scale} standard deviations on every number that the policy sees");
        let found = match &spread {
            Some(spread) => evaluate_with_noise(setup, trained, env, options, spread, scale)
                .map_err(|error| error.chain()),
            None => Err("it sees bytes or categories".to_owned()),
        };
        limits.push(Limit { disturbance, found });
    }
    for probability in STICKY {
        let disturbance = format!("the last action taken again with a chance of {probability}");
        let found = with_sticky_actions(env, probability)
            .and_then(|env| evaluate_in(setup, trained, &env, options).map_err(|error| error.chain()));
        limits.push(Limit { disturbance, found });
    }
    for Shift(argument) in shifts {
        let mut env = env.clone();
        // What was asked for is wrong if the environment does not know it.
        config::set_by("--shift", &mut env.args, argument)?;
        let found = Ok(evaluate_in(setup, trained, &env, options)?);
        limits.push(Limit { disturbance: format!("dynamics: {argument}"), found });
    }
    Ok(limits)
}

/// The environment with actions that stick, below all other wrappers.
fn with_sticky_actions(env: &EnvConfig, probability: f64) -> Result<EnvConfig, String> {
    if env.wrappers.iter().any(|wrapper| matches!(wrapper, WrapperConfig::StickyAction { .. })) {
        return Err("it was trained so".to_owned());
    }
    let mut env = env.clone();
    env.wrappers.insert(0, WrapperConfig::StickyAction { probability });
    Ok(env)
}
