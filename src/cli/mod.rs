//! The command line.
//!
//! [`main`] takes the known environments and algorithms, so a program with its own ones gets the whole command line in
//! one line. This module alone writes to the terminal and turns errors into text and exit codes: 0 for success, 1 for a
//! failure, 2 for wrong usage, 130 for a run that was interrupted.

mod arena;
mod args;
mod bench;
mod card;
mod compare;
mod compress;
mod contexts;
mod data;
mod docs;
mod engine;
mod envs;
mod eval;
mod explain;
mod export;
mod fairness;
mod new;
mod play;
mod plot;
mod positions;
mod presets;
mod privacy;
mod progress;
mod provenance;
mod record;
mod robustness;
mod runs;
mod serve;
mod settings;
mod sign;
mod suite;
mod sweep;
mod transfer;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Component, Path};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, Parser};

use crate::RunError;
use crate::arena::Thinking;
use crate::runtime::Setup;
use crate::text::broken;
pub(crate) use crate::text::table;
use args::{Cli, Command, EnvsCommand};
pub use engine::{Connect, EngineOptions, Spread};

/// How a command ended without an error.
pub(crate) enum Ending {
    /// It did what it was asked to.
    Success,
    /// It did, and found what it looked for to be wrong.
    Failure,
    /// It was interrupted and can be continued.
    Interrupted,
}

/// Runs the program with the process's arguments.
pub fn main(setup: &Setup) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(main_with(setup, &arguments, None))
}

/// Runs the program with arguments, the first of which is its name, and gives its exit code. Where a command asks for an engine,
/// `connect` connects it; without, the command is handed over to a Python interpreter, which can.
pub fn main_with(setup: &Setup, arguments: &[OsString], connect: Option<&Connect<'_>>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" too, and go to standard output with code 0.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let ended = match engine::asked(setup, &cli.command) {
        Ok(None) => run(setup, cli),
        Ok(Some(options)) => match connect {
            Some(connect) => connect(&options, setup.clone()).and_then(|setup| run(&setup, cli)),
            None => match engine::hand_over(&options, arguments) {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
        },
        Err(error) => Err(error),
    };
    match ended {
        Ok(Ending::Success) => 0,
        Ok(Ending::Failure) => 1,
        Ok(Ending::Interrupted) => 130,
        // A reader that went away, such as `head`, is no failure.
        Err(RunError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            let code = if matches!(error, RunError::Config(_)) { 2 } else { 1 };
            let _ = writeln!(io::stderr(), "error: {}", error.chain());
            code
        }
    }
}

/// How agents that search think, of what was typed.
fn thinking(simulations: Option<u64>, changes: &[String]) -> Thinking {
    Thinking { simulations: simulations.map(|count| count as usize), changes: changes.to_vec() }
}

fn run(setup: &Setup, cli: Cli) -> Result<Ending, RunError> {
    let demanding;
    let setup = match cli.require_signature {
        None => setup,
        Some(_) if matches!(cli.command, Command::Resume(_)) => {
            let message = "--require-signature is for policies that are loaded: a run that goes on changes, so that no signature of \
                           it holds; check it with `agon verify` before";
            return Err(RunError::Config(message.to_owned()));
        }
        key @ Some(_) => {
            demanding = Setup { require_signature: key, ..setup.clone() };
            &demanding
        }
    };
    match cli.command {
        Command::Train(args) => runs::train(setup, &args),
        Command::Resume(args) => runs::resume(setup, &args),
        Command::Eval(args) => eval::eval(setup, &args),
        Command::Explain(args) => explain::explain(setup, &args),
        Command::Privacy(args) => privacy::privacy(setup, &args),
        Command::Contexts(args) => contexts::contexts(setup, &args),
        Command::Arena(args) => arena::arena(setup, &args),
        Command::Gtp(args) => arena::gtp(setup, &args),
        Command::Positions(args) => positions::positions(setup, &args),
        Command::Solve(args) => positions::solve(setup, &args),
        Command::Robustness(args) => robustness::robustness(setup, &args),
        Command::Fairness(args) => fairness::fairness(setup, &args),
        Command::Export(args) => export::export(setup, &args),
        Command::Compress(args) => compress::compress(setup, &args),
        Command::Provenance(args) => provenance::provenance(&args),
        Command::Card(args) => card::card(setup, &args),
        Command::Sign(args) => sign::sign(&args),
        Command::Verify(args) => sign::verify(&args),
        Command::Plot(args) => plot::plot(&args),
        Command::Suite(args) => suite::suite(setup, &args),
        Command::Sweep(args) => sweep::sweep(setup, &args),
        Command::Compare(args) => compare::compare(setup, &args),
        Command::Envs(EnvsCommand::List { filter, json }) => envs::list(setup, filter.as_deref(), json),
        Command::Envs(EnvsCommand::Info { id, json }) => envs::info(setup, &id, json),
        Command::Envs(EnvsCommand::Check { ids }) => envs::check(setup, &ids),
        Command::Envs(EnvsCommand::Verify(args)) => envs::verify(setup, &args),
        Command::Envs(EnvsCommand::Play(args)) => play::play(setup, &args),
        Command::Envs(EnvsCommand::Docs { out, check }) => docs::docs(setup, &out, check),
        Command::Serve(args) => serve::serve(setup, &args),
        Command::Record(args) => record::record(setup, &args),
        Command::Transfer(command) => transfer::transfer(setup, &command),
        Command::Data(command) => data::data(setup, &command),
        Command::Network(args) => runs::network(setup, &args),
        Command::Presets(args) => presets::presets(&args),
        Command::New(args) => new::new(&args),
        Command::Settings(args) => settings::settings(setup, &args),
        Command::Bench(command) => bench::bench(setup, &command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut completed(setup)?, "agon", &mut script);
            say(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

/// The command line with the names there are, for completion scripts; parsing leaves them to errors that say more.
fn completed(setup: &Setup) -> Result<clap::Command, RunError> {
    let algorithms: Vec<String> = setup.algorithms.iter().map(|spec| spec.name().to_owned()).collect();
    let envs: Vec<String> = setup.registry.iter().map(|spec| spec.id().to_owned()).collect();
    let mut presets: Vec<String> =
        crate::presets::all()?.into_iter().map(|preset| preset.name.to_owned()).collect();
    presets.push("none".to_owned());
    let one_of = |names: &[String]| PossibleValuesParser::new(names.to_vec());
    let of_training = |command: clap::Command| {
        command
            .mut_arg("algorithm", |arg| arg.value_parser(one_of(&algorithms)))
            .mut_arg("env", |arg| arg.value_parser(one_of(&envs)))
            .mut_arg("preset", |arg| arg.value_parser(one_of(&presets)))
    };
    Ok(Cli::command()
        .mut_subcommand("train", of_training)
        .mut_subcommand("network", of_training)
        .mut_subcommand("transfer", |command| command.mut_subcommand("show", of_training)))
}

/// Says on standard error what failed of several things, while the others did what they were asked to.
pub(crate) fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "error: {text}");
}

/// Checks the name of a directory: one part of a path, and none that means another directory.
pub(crate) fn directory_name(name: &str) -> Result<String, String> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(name.to_owned()),
        _ => Err(format!("expected the name of a directory, got `{name}`; --out says where it is put")),
    }
}

/// Prints to standard output.
pub(crate) fn say(text: impl std::fmt::Display) -> Result<Ending, RunError> {
    writeln!(io::stdout(), "{text}").map_err(|source| RunError::Io {
        action: "cannot write",
        path: "standard output".into(),
        source,
    })?;
    Ok(Ending::Success)
}

/// Prints a sentence to standard output, on a terminal in lines that are broken between words.
pub(crate) fn say_sentence(text: &str) -> Result<Ending, RunError> {
    match crossterm::terminal::size() {
        Ok((columns, _)) if io::stdout().is_terminal() => say(broken(text, usize::from(columns))),
        _ => say(text),
    }
}

/// Prints a value as JSON.
pub(crate) fn say_json(value: &impl serde::Serialize) -> Result<Ending, RunError> {
    say(serde_json::to_string_pretty(value).map_err(|error| RunError::Config(error.to_string()))?)
}
