//! `--engine`: who has runs trained.
//!
//! Ray speaks Python, so the program hands such a command over to an interpreter, as it is: there the package `agon-rl` runs the
//! same command line with a connection to Ray.

use std::ffi::OsString;
use std::process::{Command as Process, Stdio};

use clap::{Args, ValueEnum};

use super::args::Command;
use super::runs;
use crate::RunError;
use crate::config::{Mode, RunConfig};
use crate::experiment;
use crate::run::RunDirectory;
use crate::runtime::Setup;
use crate::sweep::SweepFile;

/// The environment variable that names the interpreter where `env.python` does not, and the interpreter where neither does.
const PYTHON: (&str, &str) = ("AGON_PYTHON", "python3");
/// Ends with what an interpreter lacks.
const CHECK: &str = "\
import importlib.util, sys
lacks = [p for m, p in (('agon', 'agon-rl'), ('ray', 'ray')) if importlib.util.find_spec(m) is None]
if lacks: sys.exit('it has no ' + ' and no '.join(lacks))
from agon._agon import __version__ as found
if found != sys.argv[1]: sys.exit(f'it has agon-rl {found}, and this is Agon {sys.argv[1]}')";

/// Where runs are trained.
#[derive(Clone, Debug, Args)]
pub(super) struct EngineArgs {
    /// Where runs are trained. On a Ray cluster each run is a task, with the bits of this machine, in a directory that all nodes
    /// share; of one asynchronous run it is the workers that are spread. Needs Python with the packages agon-rl and ray.
    #[arg(long, value_enum, default_value = "local")]
    engine: EngineArg,
    /// The address of a Ray cluster, such as `10.0.0.1:6379`; without one, the cluster that this machine is a node of, or Ray on
    /// this machine alone.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
}

/// Who has runs trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    /// This process, on this machine's cores.
    #[default]
    Local,
    /// Ray, on a cluster.
    Ray,
}

/// What of a command is spread over a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Whole runs.
    Runs,
    /// The workers of one asynchronous run.
    Workers,
}

/// What a user asks of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// The cluster's address, if one was named.
    pub address: Option<String>,
    /// What is spread.
    pub spread: Spread,
    /// Threads of each run that is spread.
    pub threads: usize,
    /// The interpreter of the command's environments, if they name one.
    python: Option<String>,
}

/// Gives a setup whose runs, or whose runs' workers, are an engine's.
pub type Connect<'a> = dyn Fn(&EngineOptions, Setup) -> Result<Setup, RunError> + 'a;

/// What a command asks of an engine, if it does.
pub(super) fn asked(setup: &Setup, command: &Command) -> Result<Option<EngineOptions>, RunError> {
    let (args, threads) = match command {
        Command::Train(args) => (&args.engine, args.threads),
        Command::Resume(args) => (&args.engine, args.threads),
        Command::Suite(args) if !args.table => (&args.engine, Some(args.threads)),
        Command::Sweep(args) => (&args.engine, Some(args.threads)),
        _ => return Ok(None),
    };
    if args.engine == EngineArg::Local {
        return match &args.address {
            None => Ok(None),
            Some(address) => Err(RunError::Config(format!(
                "--address {address} is that of a cluster: say --engine ray too"
            ))),
        };
    }
    let of_one = |config: &RunConfig| match config.runtime.mode {
        Mode::Async => Spread::Workers,
        Mode::Lockstep => Spread::Runs,
    };
    let (spread, python) = match command {
        Command::Train(args) => {
            let config = runs::configure(setup, args)?;
            let spread = if args.seeds.unwrap_or(1) > 1 { Spread::Runs } else { of_one(&config) };
            (spread, config.env.python)
        }
        Command::Resume(args) if experiment::is_experiment(&args.run) => (Spread::Runs, None),
        Command::Resume(args) => {
            let (_, config) = RunDirectory::open(&args.run)?;
            (of_one(&config), config.env.python)
        }
        Command::Sweep(args) => (Spread::Runs, SweepFile::load(&args.file)?.python()),
        _ => (Spread::Runs, None),
    };
    let threads = threads.unwrap_or(0).max(1);
    Ok(Some(EngineOptions { address: args.address.clone(), spread, threads, python }))
}

/// Has an interpreter run the command line, which this process then is no more.
///
/// # Errors
/// If there is no interpreter, or it lacks a package.
pub(super) fn hand_over(options: &EngineOptions, arguments: &[OsString]) -> Result<u8, RunError> {
    let (variable, default) = PYTHON;
    let python = options.python.clone().or_else(|| std::env::var(variable).ok());
    let python = python.as_deref().unwrap_or(default);
    let lacks = |what: &str| {
        RunError::Config(format!(
            "--engine ray needs Python with the packages agon-rl and ray, expected in {python} (env.python, {variable}): \
             {what}; install them with `{python} -m pip install ./python ray` in Agon's sources"
        ))
    };
    let checked = Process::new(python)
        .args(["-c", CHECK, env!("CARGO_PKG_VERSION")])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| lacks(&error.to_string()))?;
    if !checked.status.success() {
        let said = String::from_utf8_lossy(&checked.stderr);
        return Err(lacks(said.trim().lines().last().unwrap_or("it does not run")));
    }
    let mut process = Process::new(python);
    process.args(["-m", "agon.ray"]).args(arguments.get(1..).unwrap_or_default());
    become_of(process).map_err(|error| lacks(&error.to_string()))
}

/// Replaces this process, so that Ctrl-C reaches one alone.
#[cfg(unix)]
fn become_of(mut process: Process) -> std::io::Result<u8> {
    use std::os::unix::process::CommandExt as _;
    Err(process.exec())
}

#[cfg(not(unix))]
fn become_of(mut process: Process) -> std::io::Result<u8> {
    let code = process.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1))
}
