//! `record`: episodes as a film or a contact sheet.

use std::path::Path;

use agon_envs::{Frame, render};

use super::args::RecordArgs;
use super::{Ending, say};
use crate::RunError;
use crate::config;
use crate::error::AtPath;
use crate::policy::Which;
use crate::record::Player;
use crate::runtime::Setup;

/// Pictures of a contact sheet, and how large each may be.
const SHEET_FRAMES: usize = 24;
const SHEET_COLUMNS: usize = 6;
const SHEET_SIDE: u32 = 240;
/// Frames of fewer pixels a side are enlarged, by a whole factor, to at most as many.
const SMALLEST_SIDE: u32 = 240;

/// What a file is, by the ending of its name.
#[derive(Clone, Copy)]
enum Kind {
    Gif,
    WebP,
    Sheet,
}

impl Kind {
    fn of(path: &Path) -> Result<Self, RunError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("gif") => Ok(Self::Gif),
            Some("webp") => Ok(Self::WebP),
            Some("png") => Ok(Self::Sheet),
            _ => {
                let message =
                    format!("expected a file that ends in .gif, .webp or .png, got {}", path.display());
                Err(RunError::Config(message))
            }
        }
    }
}

pub(super) fn record(setup: &Setup, args: &RecordArgs) -> Result<Ending, RunError> {
    let kind = Kind::of(&args.out)?;
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
    // What each frame is called on a sheet, and the frame.
    let mut frames: Vec<(String, Frame)> = Vec::new();
    for number in 1..=args.episodes {
        let episode = player.episode(args.max_frames as usize)?;
        say(format_args!(
            "episode {number}: return {:.2}, {} steps, {} frames",
            episode.episode_return,
            episode.length,
            episode.frames.len()
        ))?;
        let of_episode = if args.episodes > 1 { format!("episode {number}, ") } else { String::new() };
        let named = |(step, frame): (usize, Frame)| (format!("{of_episode}step {step}"), enlarged(&frame));
        frames.extend(episode.frames.into_iter().enumerate().map(named));
    }
    if let Some(folder) = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).at("cannot create", folder)?;
    }
    let film = || frames.iter().map(|(_, frame)| frame.clone()).collect::<Vec<_>>();
    match kind {
        Kind::Gif => render::write_gif(&args.out, &film(), args.fps)?,
        Kind::WebP => render::write_webp(&args.out, &film(), args.fps)?,
        Kind::Sheet => render::write_png(&args.out, &render::contact_sheet(&chosen(&frames), SHEET_COLUMNS))?,
    }
    say(format_args!("wrote {}", args.out.display()))
}

/// A frame that is large enough to be seen.
fn enlarged(frame: &Frame) -> Frame {
    frame.enlarged(SMALLEST_SIDE / frame.width.max(frame.height).max(1))
}

/// Some frames of a film, as far apart as can be, the first and the last among them.
fn chosen(frames: &[(String, Frame)]) -> Vec<(String, Frame)> {
    let count = frames.len().min(SHEET_FRAMES);
    let last = frames.len().saturating_sub(1);
    let indices = (0..count).map(|i| if count > 1 { i * last / (count - 1) } else { 0 });
    indices.map(|i| (frames[i].0.clone(), frames[i].1.shrunk(SHEET_SIDE))).collect()
}

/// Arguments of an environment from `KEY=VALUE` texts.
pub(super) fn arguments(assignments: &[String]) -> Result<toml::Table, RunError> {
    let mut table = toml::Table::new();
    for assignment in assignments {
        config::set_by("--arg", &mut table, assignment)?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_the_first_and_the_last_frame() {
        let frames: Vec<_> = (0..101).map(|i| (format!("step {i}"), Frame::filled(1, 1, [0; 3]))).collect();
        let names: Vec<String> = chosen(&frames).into_iter().map(|(name, _)| name).collect();
        assert_eq!((names.len(), names[0].as_str(), names[23].as_str()), (24, "step 0", "step 100"));
        assert_eq!(chosen(&frames[..1]).len(), 1);
        assert!(chosen(&[]).is_empty());
    }

    #[test]
    fn small_frames_are_enlarged_by_a_whole_factor() {
        let side = |width, height| enlarged(&Frame::filled(width, height, [0; 3])).width;
        assert_eq!([side(10, 10), side(160, 160), side(600, 400), side(70, 100)], [240, 160, 600, 140]);
    }
}
