//! `provenance`: where a run comes from, with every hash checked.

use super::args::ProvenanceArgs;
use super::{Ending, say, say_json};
use crate::RunError;
use crate::experiment;
use crate::memory;
use crate::provenance::{Chain, Found, Record};

/// Digits of a hash that are shown.
const SHOWN: usize = 16;

pub(super) fn provenance(args: &ProvenanceArgs) -> Result<Ending, RunError> {
    let runs = experiment::find_runs(&args.run)?;
    let chains = runs.iter().map(|run| Chain::of(run)).collect::<Result<Vec<_>, _>>()?;
    if args.json {
        say_json(&chains)?;
    } else {
        chains.iter().try_for_each(|chain| show(chain, 0))?;
    }
    let holds = chains.iter().all(Chain::holds);
    Ok(if holds { Ending::Success } else { Ending::Failure })
}

/// Shows a run, and below it those that it came from.
fn show(chain: &Chain, depth: usize) -> Result<(), RunError> {
    let line = |text: String| say(format_args!("{:indent$}{text}", "", indent = 2 * depth)).map(drop);
    let word = if depth == 0 { "" } else { "from " };
    line(format!("{word}{}: {} on {}", chain.run.display(), chain.algorithm, chain.env))?;
    if chain.records.is_empty() {
        line("  no records: it was made before there were any".to_owned())?;
    }
    for record in &chain.records {
        told(record).into_iter().try_for_each(&line)?;
    }
    for check in &chain.checks {
        let expected = &check.expected[..check.expected.len().min(SHOWN)];
        line(match &check.found {
            Found::Same => format!("  holds    {}  sha256 {expected}…", check.what),
            Found::Nothing => format!("  MISSING  {}  expected sha256 {expected}…", check.what),
            Found::Other(found) => {
                let found = if found.len() == 64 { format!("{}…", &found[..SHOWN]) } else { found.clone() };
                format!("  CHANGED  {}  expected sha256 {expected}…, found {found}", check.what)
            }
        })?;
    }
    chain.parents.iter().try_for_each(|parent| show(parent, depth + 1))
}

/// What a record says, in lines.
fn told(record: &Record) -> Vec<String> {
    let Record { program, machine, .. } = record;
    let word = if record.env_steps == 0 { "began" } else { "resumed" };
    let steps = format!("step {} of {}", record.env_steps, record.total_timesteps);
    let built = program.build_commit.as_ref().map(|commit| format!(", built from {commit}"));
    let repository = match &record.repository {
        None => "none".to_owned(),
        Some(found) if found.dirty => format!("{}, with changes that were not committed", found.commit),
        Some(found) => found.commit.clone(),
    };
    vec![
        format!("  {word} {} at {steps}, seed {}: {}", record.at, record.seed, record.command),
        format!("    agon {}{}, {}", program.version, built.unwrap_or_default(), record.instruction_set),
        format!("    commit of the repository that it was started in: {repository}"),
        format!(
            "    {}, {} cores, {}, {} ({})",
            machine.cpu,
            machine.cores,
            memory::bytes(machine.memory_bytes),
            machine.os,
            machine.arch
        ),
    ]
}
