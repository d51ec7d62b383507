//! `suite`.

use super::args::SuiteArgs;
use super::progress::{self, Display};
use super::{Ending, say};
use crate::RunError;
use crate::config::available_threads;
use crate::jobs::Job;
use crate::runtime::Setup;
use crate::suite::{Standing, Suite};

pub(super) fn suite(setup: &Setup, args: &SuiteArgs) -> Result<Ending, RunError> {
    let suite = Suite::load(setup, &args.file)?;
    let mut complete = true;
    if !args.table {
        progress::handle_interrupts()?;
        let display = Display::of_many(false);
        let observe = |job: &Job| display.of_run(job.name.clone());
        complete = suite.run(setup, args.only.as_deref(), available_threads(args.threads), &observe)?;
    }
    suite.report(setup)?;
    for standing in suite.standings(setup)? {
        say(line(&standing))?;
    }
    say(format_args!("table: {}", suite.document().display()))?;
    if complete {
        return Ok(Ending::Success);
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
            let reached = entry.wanted.is_reached(&reference.scores());
            format!("{}: {}", entry.wanted.label(), if reached { "reached" } else { "MISSED" })
        }
    };
    format!("{}: {text}", entry.name)
}
