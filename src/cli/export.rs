//! `export`: a policy for other programs, and a recording beside it.

use std::path::{Path, PathBuf};

use super::args::{ExportArgs, ExportFormat};
use super::{Ending, say};
use crate::RunError;
use crate::error::AtPath;
use crate::export::{Answer, Export};
use crate::policy::{self, Which};
use crate::runtime::Setup;

pub(super) fn export(setup: &Setup, args: &ExportArgs) -> Result<Ending, RunError> {
    let format = format(args)?;
    let which = Which::chosen(args.checkpoint, args.best);
    let trained = policy::load_which(setup, &args.source, which)?;
    let mut export = Export::of(&trained)?;
    if let Some(license) = &args.license {
        export.about.insert("license".to_owned(), license.clone());
    }
    // Before anything is written: it is wrong if the recording says so.
    let recording = export.record(setup, &trained, args.seed)?;
    let content = match format {
        ExportFormat::Onnx if args.logits => export.to_onnx(Answer::Logits)?,
        ExportFormat::Onnx => export.to_onnx(Answer::Actions)?,
        ExportFormat::Safetensors => export.to_safetensors()?,
    };
    let out = args.out.clone().unwrap_or_else(|| default_path(&args.source, format));
    let beside = out.with_extension("recording.safetensors");
    std::fs::write(&out, &content).at("cannot write", &out)?;
    std::fs::write(&beside, recording.to_safetensors()?).at("cannot write", &beside)?;
    let card = trained.card();
    say(format!(
        "{}: {} in {} after {} steps, {} kB",
        out.display(),
        card.algorithm,
        card.env.id,
        card.env_steps,
        content.len().div_ceil(1000)
    ))?;
    say(format!(
        "{}: {} steps of it, whose actions are the trained policy's",
        beside.display(),
        recording.steps
    ))
}

/// What is written: as asked for, or as the file's name ends.
fn format(args: &ExportArgs) -> Result<ExportFormat, RunError> {
    let ending = args.out.as_ref().and_then(|out| out.extension()).and_then(|ending| ending.to_str());
    let named = match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("onnx") => Some(ExportFormat::Onnx),
        Some("safetensors") => Some(ExportFormat::Safetensors),
        _ => None,
    };
    let format = match (args.format, named, &args.out) {
        (Some(format), _, _) | (None, Some(format), _) => format,
        (None, None, None) => ExportFormat::Onnx,
        (None, None, Some(out)) => {
            let message = format!(
                "expected a file that ends in .onnx or .safetensors, or --format, got {}",
                out.display()
            );
            return Err(RunError::Config(message));
        }
    };
    if args.logits && format == ExportFormat::Safetensors {
        return Err(RunError::Config("--logits is for ONNX files: agon-policy gives both".to_owned()));
    }
    Ok(format)
}

fn default_path(source: &Path, format: ExportFormat) -> PathBuf {
    let name = match format {
        ExportFormat::Onnx => "policy.onnx",
        ExportFormat::Safetensors => "policy.safetensors",
    };
    let directory = if source.is_dir() { Some(source) } else { source.parent() };
    directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name))
}
