//! `sweep`.

use super::args::SweepArgs;
use super::progress::{self, Display};
use super::{Ending, say, say_json};
use crate::RunError;
use crate::config::available_threads;
use crate::jobs::Job;
use crate::runtime::Setup;
use crate::sweep::{self, SweepFile};

pub(super) fn sweep(setup: &Setup, args: &SweepArgs) -> Result<Ending, RunError> {
    let file = SweepFile::load(&args.file)?;
    let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let path = args.out.join(args.name.clone().or(stem).unwrap_or_default());
    progress::handle_interrupts()?;
    let (runs, env_steps) = sweep::plan(setup, &file, &path)?;
    let display = Display::of_many(args.json).with_total(runs, env_steps);
    let observe = |job: &Job| display.of_run(job.name.clone(), job.goal());
    let threads = available_threads(args.threads);
    let report = sweep::run(setup, &file, &path, threads, &observe)?;
    drop(display);
    let Some(report) = report else {
        if !args.json {
            say(format_args!("stopped; continue with: agon sweep {}", args.file.display()))?;
        }
        return Ok(Ending::Interrupted);
    };
    // Some trials of a search may fail; only one that found nothing has failed itself.
    let ending = if report.succeeded().next().is_some() { Ending::Success } else { Ending::Failure };
    if args.json {
        say_json(&report)?;
        return Ok(ending);
    }
    say(format_args!("score: {}\n\n{}\n", report.metric.label(), report.table()))?;
    say(format_args!("sweep: {} (trials.csv, table.md, best.svg, score_over_*.svg)", path.display()))?;
    if let Some(command) = sweep::train_command(&file, &report) {
        say(format_args!("\nthe best trial again:\n  {command}"))?;
    }
    Ok(ending)
}
