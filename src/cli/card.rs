//! `card`: a run's model card.

use std::path::Path;

use super::args::CardArgs;
use super::{Ending, say};
use crate::RunError;
use crate::error::AtPath;
use crate::model_card::{CardOptions, ModelCard, Shift};
use crate::runtime::Setup;

pub(super) fn card(setup: &Setup, args: &CardArgs) -> Result<Ending, RunError> {
    let out = args.out.clone().unwrap_or_else(|| args.run.join("README.md"));
    let prints = out == Path::new("-");
    if out.exists() && !args.force && !prints {
        let message = "exists already, perhaps with somebody's own words: choose another --out, or --force";
        return Err(RunError::Directory { path: out, message: message.to_owned() });
    }
    let options = CardOptions {
        license: args.license.clone(),
        episodes: args.episodes,
        best: args.best,
        watts: args.watts,
        shifts: args.shift.iter().cloned().map(Shift).collect(),
    };
    let text = ModelCard::of(setup, &args.run, options)?.to_markdown();
    if prints {
        return say(text.trim_end());
    }
    std::fs::write(&out, text).at("cannot write", &out)?;
    say(format_args!("wrote {}; sign the run after this, not before", out.display()))
}
