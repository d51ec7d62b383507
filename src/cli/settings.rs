//! `settings`: every setting, as a page.

use std::fs;

use super::args::SettingsArgs;
use super::{Ending, say};
use crate::RunError;
use crate::error::AtPath;
use crate::runtime::Setup;
use crate::settings;

pub(super) fn settings(setup: &Setup, args: &SettingsArgs) -> Result<Ending, RunError> {
    let page = settings::page(setup, args.word.as_deref())?;
    let Some(out) = &args.out else { return say(page.trim_end()) };
    if !args.check {
        fs::write(out, &page).at("cannot write", out)?;
        return say(format_args!("settings: {}", out.display()));
    }
    if fs::read_to_string(out).is_ok_and(|found| found == page) {
        return say(format_args!("{} is up to date", out.display()));
    }
    say(format_args!("{} differs: run `agon settings --out {}`", out.display(), out.display()))?;
    Ok(Ending::Failure)
}
