//! `compress`: a policy made smaller and faster, step by step, and what each step costs.

use std::path::{Path, PathBuf};

use agon_agents::distillation::DistillationConfig;
use agon_nn::ModelConfig;
use serde::{Deserialize, Serialize};

use super::args::{CalibrationArg, CompressArgs, PruneArg, QuantizeArg};
use super::{Ending, say, say_json, table};
use crate::RunError;
use crate::compress::{Calibration, Compression, Pruning, Report, Step, compress as run};
use crate::config;
use crate::export::{Export, Format, Written, make_room};
use crate::policy::{self, Which};
use crate::runtime::Setup;
use crate::signing::Source;

/// The settings that a compression has.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<ModelConfig>,
    distillation: DistillationConfig,
}

pub(super) fn compress(setup: &Setup, args: &CompressArgs) -> Result<Ending, RunError> {
    let out = args.out.clone().unwrap_or_else(|| default_path(&args.source));
    let Some(format) = Format::of(&out) else {
        let message = format!("expected a file that ends in .onnx or .safetensors, got {}", out.display());
        return Err(RunError::Config(message));
    };
    check(args)?;
    make_room(&out)?;
    let (export, network, seed) = source(setup, args)?;
    let options = options(args, network, seed)?;
    let steps = run(setup, export, &options)?;
    let Some(Step { export, .. }) = steps.last() else { return Ok(Ending::Success) };
    let written = export.write_beside(&export.record_itself(setup, options.seed)?, format, &out)?;
    let reports: Vec<&Report> = steps.iter().map(|step| &step.report).collect();
    if args.json {
        return say_json(&reports);
    }
    say(rows(&reports))?;
    say(format!("{}: {} bytes", out.display(), written.bytes))?;
    let Written { recording, steps, .. } = written;
    say(format!("{}: {steps} steps of it, to check other runtimes by", recording.display()))
}

/// The policy, its network's settings where these are known, and the seed of its run.
fn source(setup: &Setup, args: &CompressArgs) -> Result<(Export, Option<ModelConfig>, u64), RunError> {
    let path = &args.source;
    if path.is_file() {
        let content = Source::of(setup.require_signature.as_deref(), path)?.read(path)?;
        let wrong = |error: RunError| RunError::Weights { path: path.clone(), message: error.to_string() };
        if let Some(export) = Export::from_safetensors(&content).map_err(wrong)? {
            let seed = export.about.get("seed").and_then(|seed| seed.parse().ok()).unwrap_or(0);
            return Ok((export, None, seed));
        }
    }
    let trained = policy::load_which(setup, path, Which::chosen(args.checkpoint, args.best))?;
    let card = trained.card();
    Ok((Export::of(&trained)?, card.network.clone(), card.seed))
}

/// Refuses arguments that nothing would come of.
fn check(args: &CompressArgs) -> Result<(), RunError> {
    let is_asked = |start: &str| args.set.iter().any(|setting| setting.trim_start().starts_with(start));
    let learns = args.distill || args.aware || matches!(args.prune, Some(PruneArg::Gradual));
    for (start, is_of_use, way) in [
        ("network", args.distill, "--distill"),
        ("distillation", learns, "--distill, --prune gradual or --aware"),
    ] {
        if is_asked(start) && !is_of_use {
            return Err(RunError::Config(format!("--set {start}… is for {way}: expected both")));
        }
    }
    if !(args.distill || args.prune.is_some() || args.shrink || args.quantize.is_some()) {
        let message = "expected something to be done: --distill, --prune, --shrink or --quantize";
        return Err(RunError::Config(message.to_owned()));
    }
    if args.aware && args.quantize.is_none() {
        return Err(RunError::Config("--aware is for --quantize int8: expected both".to_owned()));
    }
    Ok(())
}

fn options(args: &CompressArgs, network: Option<ModelConfig>, seed: u64) -> Result<Compression, RunError> {
    let settings = Settings { network, distillation: DistillationConfig::default() };
    let mut table = toml::Table::try_from(settings).map_err(|error| RunError::Config(error.to_string()))?;
    for setting in &args.set {
        config::set(&mut table, setting)?;
    }
    let Settings { network, distillation } = config::from_table(table)?;
    let prune = args.prune.map(|prune| match prune {
        PruneArg::Magnitude => (Pruning::Magnitude, args.sparsity),
        PruneArg::Gradual => (Pruning::Gradual, args.sparsity),
    });
    let calibration = match args.calibration {
        CalibrationArg::Minmax => Calibration::MinMax,
        CalibrationArg::Percentile => Calibration::Percentile,
        CalibrationArg::Mse => Calibration::Mse,
    };
    let untold = || {
        let message =
            "the file does not say what its network is made of: expected --set network.… for the student";
        RunError::Config(message.to_owned())
    };
    Ok(Compression {
        student: args.distill.then(|| network.ok_or_else(untold)).transpose()?,
        prune,
        shrink: args.shrink,
        int8: matches!(args.quantize, Some(QuantizeArg::Int8)),
        aware: args.aware,
        calibration,
        distillation,
        episodes: args.episodes,
        seed: args.seed.unwrap_or(seed),
    })
}

/// A line for each step.
fn rows(reports: &[&Report]) -> String {
    let header = [
        "step",
        "mean return",
        "95 % interval",
        "bytes",
        "zeros",
        "µs, portable",
        "µs, one row",
        "µs, of 64 rows",
    ];
    let row = |report: &&Report| {
        let Report { name, mean_return, bytes, sparsity, speed, .. } = report;
        vec![
            name.clone(),
            format!("{:.2}", mean_return.value),
            format!("{:.2} to {:.2}", mean_return.low, mean_return.high),
            bytes.to_string(),
            format!("{:.1} %", 100.0 * sparsity),
            format!("{:.3}", speed.portable_us),
            format!("{:.3}", speed.single_us),
            format!("{:.4}", speed.batch_us),
        ]
    };
    table(&header, &reports.iter().map(row).collect::<Vec<_>>())
}

fn default_path(source: &Path) -> PathBuf {
    let directory = if source.is_dir() { Some(source) } else { source.parent() };
    directory.map_or_else(
        || PathBuf::from("compressed.safetensors"),
        |directory| directory.join("compressed.safetensors"),
    )
}
