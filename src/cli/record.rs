//! `record`: episodes as a film or a contact sheet.

use std::path::Path;

use agon_envs::render;

use super::args::RecordArgs;
use super::{Ending, say};
use crate::RunError;
use crate::config;
use crate::policy::Which;
use crate::record::Player;
use crate::runtime::Setup;

/// Pictures of a contact sheet, and how large each may be.
const SHEET_FRAMES: usize = 24;
const SHEET_COLUMNS: usize = 6;
const SHEET_SIDE: u32 = 240;

pub(super) fn record(setup: &Setup, args: &RecordArgs) -> Result<Ending, RunError> {
    let kind = args.out.extension().and_then(|kind| kind.to_str()).map(str::to_ascii_lowercase);
    let film = match kind.as_deref() {
        Some("gif") => true,
        Some("png") => false,
        _ => {
            let message = format!("expected a file that ends in .gif or .png, got {}", args.out.display());
            return Err(RunError::Config(message));
        }
    };
    let path = Path::new(&args.source);
    let known = setup.registry.get(&args.source).is_ok();
    let which = Which::chosen(args.checkpoint, args.best);
    let mut player =
        if path.is_dir() || (path.exists() && !known) || path.extension().is_some_and(|e| e == "safetensors")
        {
            if !args.arg.is_empty() {
                let message =
                    "--arg is for an environment's id: a run and a weight file have their own arguments"
                        .to_owned();
                return Err(RunError::Config(message));
            }
            Player::of_run(setup, path, which, args.stochastic, args.seed)?
        } else {
            Player::random(setup, &args.source, arguments(&args.arg)?, args.seed.unwrap_or(0))?
        };
    let mut frames = Vec::new();
    for number in 1..=args.episodes {
        let episode = player.episode(args.max_frames as usize)?;
        say(format_args!(
            "episode {number}: return {:.2}, {} steps, {} frames",
            episode.episode_return,
            episode.length,
            episode.frames.len()
        ))?;
        frames.extend(episode.frames);
    }
    if film {
        render::write_gif(&args.out, &frames, args.fps)?;
    } else {
        let step = frames.len().div_ceil(SHEET_FRAMES).max(1);
        let chosen: Vec<_> = frames.iter().step_by(step).map(|frame| frame.shrunk(SHEET_SIDE)).collect();
        render::write_png(&args.out, &render::contact_sheet(&chosen, SHEET_COLUMNS))?;
    }
    say(format_args!("wrote {}", args.out.display()))
}

/// Arguments of an environment from `KEY=VALUE` texts.
pub(super) fn arguments(assignments: &[String]) -> Result<toml::Table, RunError> {
    let mut table = toml::Table::new();
    for assignment in assignments {
        config::set(&mut table, assignment)?;
    }
    Ok(table)
}
