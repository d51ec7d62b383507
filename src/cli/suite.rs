//! `suite`.

use super::args::SuiteArgs;
use super::progress::{self, Display};
use super::{Ending, complain, say};
use crate::RunError;
use crate::config::available_threads;
use crate::jobs::Job;
use crate::runtime::Setup;
use crate::stats;
use crate::suite::{Standing, Suite};

pub(super) fn suite(setup: &Setup, args: &SuiteArgs) -> Result<Ending, RunError> {
    let suite = Suite::load(setup, &args.file)?;
    let mut failed = Some(Vec::new());
    if !args.table {
        progress::handle_interrupts()?;
        let (runs, env_steps) = suite.plan(setup, args.only.as_deref())?;
        let display = Display::of_many(false).with_total(runs, env_steps);
        let observe = |job: &Job| display.of_run(job.name.clone(), job.goal());
        failed = suite.run(setup, args.only.as_deref(), available_threads(args.threads), &observe)?;
        drop(display);
    }
    suite.report(setup)?;
    for standing in suite.standings(setup)? {
        say(line(&standing))?;
    }
    say(format_args!("table: {}", suite.document().display()))?;
    if let Some(failed) = failed {
        for (name, failure) in &failed {
            complain(format_args!("{name}: failed after {} steps: {}", failure.env_steps, failure.reason));
        }
        return Ok(if failed.is_empty() { Ending::Success } else { Ending::Failure });
    }
    say(format_args!("stopped; continue with: agon suite {}", args.file.display()))?;
    Ok(Ending::Interrupted)
}

fn line(standing: &Standing<'_>) -> String {
    let entry = standing.entry;
    let text = match &standing.reference {
        None => "not run".to_owned(),
        Some(_) if !standing.is_current => "recorded with other settings than the file's".to_owned(),
        Some(reference) => {
            let scores = reference.scores();
            match entry.wanted {
                None => format!("mean {:.2} over {} seeds", stats::mean(&scores), scores.len()),
                Some(wanted) => {
                    let reached = wanted.is_reached(&scores);
                    format!("{}: {}", wanted.label(), if reached { "reached" } else { "MISSED" })
                }
            }
        }
    };
    format!("{}: {text}", entry.name)
}
