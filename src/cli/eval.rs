//! `eval`.

use super::args::EvalArgs;
use super::{Ending, say, say_json, say_sentence};
use crate::RunError;
use crate::evaluate::{EvalOptions, evaluate};
use crate::runtime::Setup;

pub(super) fn eval(setup: &Setup, args: &EvalArgs) -> Result<Ending, RunError> {
    let options = EvalOptions {
        episodes: args.episodes,
        seed: args.seed,
        stochastic: args.stochastic,
        best: args.best,
        ..EvalOptions::default()
    };
    let evaluation = evaluate(setup, &args.run, &options)?;
    if args.json {
        return say_json(&evaluation);
    }
    say_sentence(&format!(
        "{} episodes after {} steps of training: mean return {:.2}, standard deviation {:.2}, minimum {:.2}, maximum {:.2}",
        evaluation.episodes,
        evaluation.env_steps,
        evaluation.mean_return,
        evaluation.std_return,
        evaluation.min_return,
        evaluation.max_return
    ))?;
    for (name, mean) in &evaluation.env_metrics {
        say(format_args!("mean {name}: {mean:.3}"))?;
    }
    Ok(Ending::Success)
}
