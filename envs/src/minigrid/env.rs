//! The environment: a task, its world, and how both are observed.

use serde::{Deserialize, Serialize};

use super::draw;
use super::family::Layout;
use super::task::Task;
use super::view::{IMAGE_LEN, SIZE, View};
use super::world::{GridAction, Outcome, World};
use crate::batch::Action;
use crate::{Env, EnvError, Frame, Pcg64, Space, Step};

/// Arguments of every MiniGrid environment.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MiniGridArguments {
    /// Steps after which an episode is truncated and over which the reward of success falls from 1 to 0.1. Default: the
    /// id's own. The registered time limit holds as well, so a larger number needs a larger limit too.
    pub max_steps: Option<u32>,
}

/// One MiniGrid environment of any family.
///
/// Unlike other environments it counts its own steps, because the reward falls with them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MiniGrid {
    task: Task,
    world: World,
    see_through_walls: bool,
    /// Number of the episode's mission.
    mission: u32,
    /// Whether the mission was fulfilled.
    success: bool,
}

impl MiniGrid {
    /// # Errors
    /// If `max_steps` is 0.
    pub(super) fn new(task: Task, arguments: MiniGridArguments) -> Result<Self, EnvError> {
        let Layout { width, height, max_steps, see_through_walls } = task.family().layout();
        let max_steps = arguments.max_steps.unwrap_or(max_steps);
        if max_steps == 0 {
            return Err(EnvError::Setting {
                field: "max_steps",
                expected: "at least 1",
                found: "0".to_owned(),
            });
        }
        Ok(Self {
            task,
            world: World::new(width, height, max_steps),
            see_through_walls,
            mission: 0,
            success: false,
        })
    }

    /// The words of the episode's mission.
    pub fn mission(&self) -> String {
        self.task.family().mission(self.mission as usize)
    }

    /// Writes `direction`, `image` and `mission`, the order of their names.
    #[inline]
    #[expect(clippy::expect_used, reason = "rows are as long as the observation space says")]
    fn observe(&self, obs: &mut [f32]) {
        obs[0] = f32::from(self.world.direction());
        let image = obs[1..].first_chunk_mut().expect("a row of an image and a mission");
        View::new(&self.world, self.see_through_walls).write(image);
        // The image's surplus number is the mission's place.
        image[IMAGE_LEN] = self.mission as f32;
    }
}

impl Env for MiniGrid {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant shapes, and every family has a mission")]
    fn observation_space(&self) -> Space {
        let space = || {
            Space::dict([
                ("direction", Space::discrete(4)?),
                ("image", Space::image_u8(&[SIZE, SIZE, 3])?),
                ("mission", Space::discrete(self.task.family().num_missions())?),
            ])
        };
        space().expect("constant shapes and at least one mission")
    }

    #[expect(clippy::expect_used, reason = "every family has actions")]
    fn action_space(&self) -> Space {
        Space::discrete(self.task.family().num_actions()).expect("at least one action")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        let mission = loop {
            self.world.clear();
            if let Some(mission) = self.task.family_mut().generate(&mut self.world, rng) {
                break mission;
            }
        };
        self.mission = mission as u32;
        self.success = false;
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let action = GridAction::ALL[action.index()];
        let outcome = self.task.family_mut().act(&mut self.world, action, rng);
        self.success = outcome.terminated && outcome.reward > 0.0;
        self.observe(obs);
        match outcome {
            Outcome { reward, terminated: true } => Step::terminated(reward),
            Outcome { reward, .. } if self.world.is_out_of_steps() => Step::truncated(reward),
            Outcome { reward, .. } => Step::running(reward),
        }
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn metrics(&self, out: &mut [f64]) {
        out[0] = if self.success { 1.0 } else { 0.0 };
    }

    fn render(&self) -> Option<Frame> {
        Some(draw::frame(&self.world, self.see_through_walls))
    }

    fn render_text(&self) -> Option<String> {
        Some(draw::text(&self.world))
    }
}
