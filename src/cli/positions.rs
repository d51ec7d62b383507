//! `positions`: what an agent does where the outcome of every move is known.

use super::args::PositionsArgs;
use super::{Ending, say, table};
use crate::RunError;
use crate::arena::{SolvedOptions, solved};
use crate::policy::Which;
use crate::runtime::Setup;

pub(super) fn positions(setup: &Setup, args: &PositionsArgs) -> Result<Ending, RunError> {
    let options = SolvedOptions {
        source: args.source.clone(),
        positions: args.positions.clone(),
        which: Which::chosen(args.step, args.best),
        simulations: args.simulations.map(|simulations| simulations as usize),
    };
    let rows = solved::judge(setup, &options)?;
    let share = |part: usize, of: usize| format!("{:.1} %", 100.0 * part as f64 / of as f64);
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
