//! `export`: a policy for other programs, and a recording beside it.

use std::path::{Path, PathBuf};

use super::args::{ExportArgs, ExportFormat};
use super::{Ending, say};
use crate::RunError;
use crate::export::{Answer, Export, Format};
use crate::policy::{self, Which};
use crate::runtime::Setup;

pub(super) fn export(setup: &Setup, args: &ExportArgs) -> Result<Ending, RunError> {
    let format = format(args)?;
    let which = Which::chosen(args.checkpoint, args.best);
    let trained = policy::load_which(setup, &args.source, which)?;
    let mut export = Export::of(&trained)?.with_meaning(&setup.registry)?;
    if let Some(license) = &args.license {
        export.about.insert("license".to_owned(), license.clone());
    }
    let out = args.out.clone().unwrap_or_else(|| default_path(&args.source, format));
    let written = export.write(setup, &trained, format, args.seed, &out)?;
    let card = trained.card();
    say(format!(
        "{}: {} in {} after {} steps, {} kB",
        out.display(),
        card.algorithm,
        card.env.id,
        card.env_steps,
        written.bytes.div_ceil(1000)
    ))?;
    say(format!(
        "{}: {} steps of it, whose actions are the trained policy's",
        written.recording.display(),
        written.steps
    ))
}

/// What is written: as asked for, or as the file's name ends.
fn format(args: &ExportArgs) -> Result<Format, RunError> {
    let answer = if args.logits { Answer::Logits } else { Answer::Actions };
    let named = args.out.as_deref().and_then(Format::of);
    let format = match (args.format, named, &args.out) {
        (Some(ExportFormat::Onnx), ..) | (None, Some(Format::Onnx(_)), _) | (None, None, None) => {
            Format::Onnx(answer)
        }
        (Some(ExportFormat::Safetensors), ..) | (None, Some(Format::Safetensors), _) => Format::Safetensors,
        (None, None, Some(out)) => {
            let message = format!(
                "expected a file that ends in .onnx or .safetensors, or --format, got {}",
                out.display()
            );
            return Err(RunError::Config(message));
        }
    };
    if args.logits && format == Format::Safetensors {
        return Err(RunError::Config("--logits is for ONNX files: agon-policy gives both".to_owned()));
    }
    Ok(format)
}

fn default_path(source: &Path, format: Format) -> PathBuf {
    let name = match format {
        Format::Onnx(_) => "policy.onnx",
        Format::Safetensors => "policy.safetensors",
    };
    let directory = if source.is_dir() { Some(source) } else { source.parent() };
    directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name))
}
