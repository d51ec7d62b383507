//! `transfer`: what a run takes over from another one, and what that brought.

use agon_agents::transfer::{Fate, Transfer};

use super::args::{ReportArgs, TrainArgs, TransferCommand};
use super::{Ending, runs, say, say_json, table};
use crate::RunError;
use crate::runtime::Setup;
use crate::score::Measure;
use crate::transfer::report::{self, Report};
use crate::transfer::taken_over;

pub(super) fn transfer(setup: &Setup, command: &TransferCommand) -> Result<Ending, RunError> {
    match command {
        TransferCommand::Show(args) => show(setup, args),
        TransferCommand::Report(args) => report(args),
    }
}

fn show(setup: &Setup, args: &TrainArgs) -> Result<Ending, RunError> {
    let config = runs::configure(setup, args)?;
    let transfer = taken_over(setup, &config)?;
    let rates = config.transfer.rates();
    let rate = |name: &str| {
        let found = rates.iter().filter(|(prefix, _)| name.starts_with(&***prefix));
        found.max_by_key(|(prefix, _)| prefix.len()).map_or(1.0, |(_, rate)| *rate)
    };
    let Transfer { tensors, unused, .. } = &transfer;
    let rows: Vec<Vec<String>> = tensors
        .iter()
        .map(|tensor| {
            let fate = match &tensor.fate {
                Fate::Taken(from) if *from == tensor.name => "taken over".to_owned(),
                Fate::Taken(from) => format!("taken over from {from}"),
                Fate::Reset => "anew: reset".to_owned(),
                Fate::Missing => "anew: not in the file".to_owned(),
                Fate::OtherShape(shape) => format!("anew: {shape:?} in the file"),
            };
            let learns = match rate(&tensor.name) {
                0.0 => "frozen".to_owned(),
                1.0 => "as all".to_owned(),
                rate => format!("× {rate}"),
            };
            vec![tensor.name.clone(), format!("{:?}", tensor.shape), fate, learns]
        })
        .collect();
    say(table(&["tensor", "shape", "begins", "learns"], &rows).trim_end())?;
    let (taken, all) = transfer.taken();
    say(format_args!("\n{taken} of {all} numbers are taken over"))?;
    if !unused.is_empty() {
        say(format_args!("not used of the file: {}", unused.join(", ")))?;
    }
    Ok(Ending::Success)
}

fn report(args: &ReportArgs) -> Result<Ending, RunError> {
    let measure = Measure::named(&args.score);
    let report = report::compare(&args.scratch, &args.transferred, measure, args.threshold)?;
    if args.json {
        return say_json(&report);
    }
    say(format_args!("score: {}; threshold {:.4}\n", report.measure, report.threshold))?;
    let rows: Vec<Vec<String>> = report
        .differences
        .iter()
        .map(|found| {
            let interval = &found.difference;
            vec![
                found.figure.to_owned(),
                format!("{:.2}", found.scratch),
                format!("{:.2}", found.transferred),
                match interval.low.is_nan() {
                    true => format!("{:+.2}, of single runs", interval.value),
                    false => format!("{:+.2} [{:+.2}, {:+.2}]", interval.value, interval.low, interval.high),
                },
            ]
        })
        .collect();
    say(table(&["", "anew", "transferred", "difference, 95 % interval"], &rows).trim_end())?;
    say(format_args!("\n{}", steps(&report)))?;
    if report.is_negative() {
        say("negative transfer: what was taken over did harm")?;
    }
    Ok(Ending::Success)
}

/// How long it took to get to the threshold.
fn steps(report: &Report) -> String {
    let reached = |runs: &[report::RunFigures]| {
        let reached = runs.iter().filter(|run| run.steps_to_threshold.is_some()).count();
        format!("{reached} of {}", runs.len())
    };
    let (anew, transferred) = (reached(&report.scratch), reached(&report.transferred));
    let median = |steps: Option<f64>| steps.map_or("none".to_owned(), |steps| format!("{steps:.0}"));
    let [of_anew, of_transferred] = report.median_steps.map(median);
    let share = report.share_of_steps().map_or(String::new(), |share| format!(": {:.0} %", 100.0 * share));
    format!(
        "the threshold is reached by {anew} anew, median step {of_anew}, and by {transferred} transferred, median step \
         {of_transferred}{share}"
    )
}
