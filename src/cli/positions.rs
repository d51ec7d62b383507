//! `positions`: what an agent does where the outcome of every move is known; `solve`: such positions.

use super::args::{PositionsArgs, SolveArgs};
use super::{Ending, say, table, thinking};
use crate::RunError;
use crate::arena::{self, SolvedOptions, SolvingOptions, ladder, solved};
use crate::config::{self, EnvConfig};
use crate::policy::Which;
use crate::runtime::Setup;

pub(super) fn positions(setup: &Setup, args: &PositionsArgs) -> Result<Ending, RunError> {
    let options = SolvedOptions {
        source: args.source.clone(),
        positions: args.positions.clone(),
        which: Which::chosen(args.step, args.best),
        thinking: thinking(args.simulations, &args.search),
    };
    if args.all {
        return climb(setup, args, &options);
    }
    let rows = solved::judge(setup, &options)?;
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.set.clone(),
                row.count.to_string(),
                share(row.outcome_errors, row.count),
                share(row.perfect, row.count),
                format!("{:.3}", row.value_error),
            ]
        })
        .collect();
    say(table(&["set", "positions", "outcome errors", "perfect moves", "value error"], &lines))
}

/// A part of a whole, in percent.
fn share(part: usize, of: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / of as f64)
}

/// Outcome errors of every checkpoint.
fn climb(setup: &Setup, args: &PositionsArgs, options: &SolvedOptions) -> Result<Ending, RunError> {
    let rungs = ladder::climb(setup, options, &mut |rung| {
        let errors: Vec<String> = rung
            .rows
            .iter()
            .map(|row| format!("{} {}", row.set, share(row.outcome_errors, row.count)))
            .collect();
        let hours = rung.hours.map_or(String::new(), |hours| format!(", {hours:.2} hours"));
        say(format_args!("run {}, {} steps{hours}: {}", rung.run + 1, rung.env_steps, errors.join(", ")))
            .map(|_| ())
    })?;
    if let Some(out) = &args.out {
        ladder::errors_picture(&rungs)?.save(out)?;
        return say(format_args!("plot: {}", out.display()));
    }
    Ok(Ending::Success)
}

pub(super) fn solve(setup: &Setup, args: &SolveArgs) -> Result<Ending, RunError> {
    if args.set.is_empty() || args.set.contains(char::is_whitespace) || args.set.starts_with('#') {
        let message =
            format!("--set {}: expected a name without blanks that does not begin with #", args.set);
        return Err(RunError::Config(message));
    }
    let mut env = EnvConfig { id: args.env.clone(), ..EnvConfig::default() };
    for argument in &args.args {
        config::set_by("--arg", &mut env.args, argument)?;
    }
    let options = SolvingOptions {
        env,
        moves: args.moves as usize,
        count: args.count as usize,
        most: args.most,
        seed: args.seed,
        set: args.set.clone(),
    };
    let passed = arena::solve(setup, &options, &mut |line| say(line).map(|_| ()))?;
    say(format_args!("# passed over: {passed} positions that take more than {} to solve", args.most))
}
