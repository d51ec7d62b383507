//! Videos of episodes, recorded while a run trains.

use std::path::PathBuf;

use super::{Context, Moment, Wrapper, refused};
use crate::columns::{from_bytes, to_bytes};
use crate::render::{self, Frame};
use crate::vector::VectorInfo;
use crate::{EnvError, StepBatch};

/// Frames a second of the files.
const FPS: u16 = 30;
/// Frames kept of one episode: a long one is cut, not held in memory for ever.
const MAX_FRAMES: usize = 2000;

/// Records episodes of the first environment as `episode-N.gif`.
///
/// The files of a run that was killed and resumed are whole ones only: a recording that was cut by the kill begins with the
/// next episode that is due. A state that is given to the first environment amid a recording shows there as a jump.
pub struct RecordVideo {
    directory: PathBuf,
    every: u64,
    /// Episodes of the first environment that began.
    episodes: u64,
    frames: Vec<Frame>,
    agents: usize,
}

impl RecordVideo {
    /// Records every `every`-th episode, the first one included, into `directory`.
    ///
    /// # Errors
    /// If `every` is zero.
    pub fn new(directory: PathBuf, every: u64, info: &VectorInfo) -> Result<Self, EnvError> {
        if every == 0 {
            return Err(refused("record_video", "every must be at least 1, got 0"));
        }
        Ok(Self { directory, every, episodes: 0, frames: Vec::new(), agents: info.num_agents })
    }

    fn is_due(&self) -> bool {
        self.episodes > 0 && (self.episodes - 1).is_multiple_of(self.every)
    }
}

impl Wrapper for RecordVideo {
    fn name(&self) -> &'static str {
        "record_video"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        if !context.rows.contains(0) {
            return Ok(());
        }
        let begins = context.moment == Moment::Reset;
        if begins {
            self.episodes += 1;
            self.frames.clear();
        }
        if !self.is_due() || (!begins && self.frames.is_empty()) {
            return Ok(());
        }
        if self.frames.len() < MAX_FRAMES {
            let frame = context.env.render(0);
            self.frames
                .push(frame.ok_or_else(|| refused("record_video", "the environment cannot be drawn"))?);
        }
        let over = (0..self.agents).all(|row| out.terminated[row] || out.truncated[row]);
        if !begins && over {
            let path = self.directory.join(format!("episode-{}.gif", self.episodes - 1));
            let failed =
                |error: std::io::Error| EnvError::Picture { path: path.clone(), message: error.to_string() };
            std::fs::create_dir_all(&self.directory).map_err(failed)?;
            render::write_gif(&path, &self.frames, FPS)?;
            self.frames.clear();
        }
        Ok(())
    }

    fn save_shared(&self) -> Result<Vec<u8>, EnvError> {
        to_bytes(&self.episodes)
    }

    fn load_shared(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        self.episodes = from_bytes(bytes)?;
        self.frames.clear();
        Ok(())
    }
}
