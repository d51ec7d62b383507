//! Simple tag: slower adversaries hunt a faster agent among obstacles.
//!
//! # Description
//! Adversaries (discs of radius 0.075, at most 1.0 fast) come first among the agents of an arena, then the good agents
//! (radius 0.05, at most 1.3 fast). Both push each other away and bounce off the obstacles (radius 0.2).
//!
//! # Action space
//! `Discrete(5)` for each agent: 0 nothing, 1 left, 2 right, 3 down, 4 up. With `continuous_actions`: `Box(0, 1, (5,))`, the
//! strength of each of them.
//!
//! # Observation space
//! An adversary's numbers, 16 by default, unbounded:
//! | numbers | meaning |
//! |---|---|
//! | 2 | own velocity |
//! | 2 | own position |
//! | 2 a landmark | positions of the obstacles, relative to oneself |
//! | 2 another agent | positions of the other agents, relative to oneself |
//! | 2 a good agent other than oneself | their velocities |
//!
//! A good agent sees one velocity less. All rows of a batch are of one length: its row ends with two zeros.
//!
//! # Rewards
//! Every adversary gets 10 for each touch between an adversary and a good agent. A good agent gets −10 for each adversary it
//! touches, and for each coordinate `x` loses `10 (|x| − 0.9)` beyond 0.9 and `min(exp(2 |x| − 2), 10)` beyond 1.
//!
//! # Starting state
//! Agents uniform in the square from −1 to 1, obstacles in that from −0.9 to 0.9, at rest.
//!
//! # Episode end
//! All agents end together: truncated after 25 steps; with `terminate_on_success` terminated when every good agent is
//! touched.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `num_good` | 1 | good agents |
//! | `num_adversaries` | 3 | adversaries; at most 16 with the good agents |
//! | `num_obstacles` | 2 | obstacles; at most 16 |
//! | `continuous_actions` | false | strengths of the pushes as actions |
//! | `terminate_on_success` | false | end when every good agent is touched |
//!
//! # Version history
//! v3: as in MPE2 and PettingZoo.
//!
//! # Source
//! Lowe et al., "Multi-Agent Actor-Critic for Mixed Cooperative-Competitive Environments" (2017); MPE2 1.1
//! `mpe2/simple_tag/simple_tag.py`, whose trajectories it repeats.
//!
//! # Deviations
//! 1. A good agent's observation is padded with zeros to an adversary's length.
//! 2. The curriculum and the limits on what is seen (`num_agent_neighbors`, `num_landmark_neighbors`) are left out.
//! 3. Success in the very last step is reported as terminated and truncated; the reference says truncated only.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::particles::{Body, Kind, Landmarks, MAX_BODIES, Scene, difference, distance, write_vectors};
use super::setting;
use crate::simulator::IN_TABLES;
use crate::simulator::{EcsEnv, Observations, Outcomes, Scope, SimulatorBuilder};
use crate::{EnvError, Space};

const ADVERSARY: Kind = Kind { size: 0.075, acceleration: 3.0, max_speed: 1.0, color: [217, 90, 90] };
const GOOD: Kind = Kind { size: 0.05, acceleration: 4.0, max_speed: 1.3, color: [90, 217, 90] };
const CATCH: f64 = 10.0;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Resource, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimpleTag {
    /// Good agents.
    pub num_good: usize,
    /// Adversaries.
    pub num_adversaries: usize,
    /// Obstacles.
    pub num_obstacles: usize,
    /// Strengths of the pushes as actions.
    pub continuous_actions: bool,
    /// End when every good agent is touched.
    pub terminate_on_success: bool,
}

impl Default for SimpleTag {
    fn default() -> Self {
        Self {
            num_good: 1,
            num_adversaries: 3,
            num_obstacles: 2,
            continuous_actions: false,
            terminate_on_success: false,
        }
    }
}

impl SimpleTag {
    /// Checks the arguments.
    pub(super) fn validated(self) -> Result<Self, EnvError> {
        if !(1..MAX_BODIES).contains(&self.num_good) {
            return Err(setting("num_good", "between 1 and 15", self.num_good));
        }
        if !(1..=MAX_BODIES - self.num_good).contains(&self.num_adversaries) {
            return Err(setting(
                "num_adversaries",
                "at least 1, and at most 16 with num_good",
                self.num_adversaries,
            ));
        }
        if self.num_obstacles > MAX_BODIES {
            return Err(setting("num_obstacles", "at most 16", self.num_obstacles));
        }
        Ok(self)
    }

    fn agents(&self) -> usize {
        self.num_adversaries + self.num_good
    }

    fn scene(&self) -> Scene {
        let mut kinds = vec![ADVERSARY; self.num_adversaries];
        kinds.resize(self.agents(), GOOD);
        Scene {
            kinds,
            num_landmarks: self.num_obstacles,
            landmark_size: 0.2,
            solid_landmarks: true,
            landmark_range: 0.9,
            continuous_actions: self.continuous_actions,
        }
    }

    /// Length of an adversary's observation.
    fn observation_len(&self) -> usize {
        4 + 2 * (self.num_obstacles + self.agents() - 1 + self.num_good)
    }
}

impl EcsEnv for SimpleTag {
    fn observation_space(&self) -> Space {
        self.scene().observation_space(self.observation_len())
    }

    fn action_space(&self) -> Space {
        self.scene().action_space()
    }

    fn teams(&self) -> Vec<String> {
        let team = |name: &str, size| vec![name.to_owned(); size];
        [team("adversary", self.num_adversaries), team("good", self.num_good)].concat()
    }

    fn num_agents(&self) -> Option<usize> {
        Some(self.agents())
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        self.scene().build(simulator);
        simulator.constant(*self).outcome(judge).observe(observe);
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn judge(rules: Res<SimpleTag>, mut outcomes: ResMut<Outcomes>, agents: Query<&Body>) {
    let n = rules.agents();
    let outcomes = &mut *outcomes;
    let Some(bodies) = agents.contiguous_iter().expect(IN_TABLES).next() else { return };
    let outs = outcomes.rewards.chunks_exact_mut(n).zip(outcomes.terminated.chunks_exact_mut(n));
    for (bodies, (rewards, terminated)) in bodies.chunks_exact(n).zip(outs) {
        let caught = rules.reward(bodies, rewards);
        terminated.fill(rules.terminate_on_success && caught);
    }
}

/// What a good agent loses at a coordinate near the border or beyond it.
fn out_of_bounds(x: f64) -> f64 {
    match x.abs() {
        x if x < 0.9 => 0.0,
        x if x < 1.0 => (x - 0.9) * 10.0,
        x => (2.0 * x - 2.0).exp().min(10.0),
    }
}

impl SimpleTag {
    /// Writes the agents' rewards and says whether every good agent is touched.
    fn reward(&self, bodies: &[Body], rewards: &mut [f64]) -> bool {
        let (adversaries, good) = bodies.split_at(self.num_adversaries);
        let (of_adversaries, of_good) = rewards.split_at_mut(self.num_adversaries);
        let mut total = 0.0;
        let mut all_caught = true;
        for (body, reward) in good.iter().zip(of_good) {
            let touches =
                |adversary: &&Body| distance(adversary.position, body.position) < ADVERSARY.size + GOOD.size;
            let touched = adversaries.iter().filter(touches).count() as f64;
            total += CATCH * touched;
            all_caught &= touched > 0.0;
            let [x, y] = body.position.map(out_of_bounds);
            *reward = -CATCH * touched - x - y;
        }
        of_adversaries.fill(total);
        all_caught
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe(
    rules: Res<SimpleTag>,
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    arenas: Query<&Landmarks>,
    agents: Query<&Body>,
) {
    let (n, len) = (rules.agents(), rules.observation_len());
    let landmarks = arenas.contiguous_iter().expect(IN_TABLES).next();
    let bodies = agents.contiguous_iter().expect(IN_TABLES).next();
    let (Some(landmarks), Some(bodies)) = (landmarks, bodies) else { return };
    let out = observations.rows_mut::<f32>();
    for env in scope.iter() {
        let bodies = &bodies[env * n..(env + 1) * n];
        let rows = out[env * n * len..(env + 1) * n * len].chunks_exact_mut(len);
        for (i, (row, own)) in rows.zip(bodies).enumerate() {
            let marks = landmarks[env].0[..rules.num_obstacles].iter();
            let marks = marks.map(|&mark| difference(mark, own.position));
            let others = || bodies.iter().enumerate().filter(|&(j, _)| j != i);
            let places = others().map(|(_, other)| difference(other.position, own.position));
            let speeds = others().filter(|&(j, _)| j >= rules.num_adversaries);
            let speeds = speeds.map(|(_, other)| other.velocity);
            let seen = [own.velocity, own.position].into_iter().chain(marks).chain(places).chain(speeds);
            write_vectors(row, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversaries_share_the_touches_and_the_prey_pays_for_leaving() {
        let at = |x: f64, y: f64| Body { position: [x, y], velocity: [0.0; 2] };
        let bodies = [at(0.95, 0.1), at(0.95, -0.1), at(0.0, 0.0), at(0.95, 0.0)];
        let mut rewards = [0.0; 4];
        assert!(SimpleTag::default().reward(&bodies, &mut rewards));
        assert_eq!(rewards[..3], [20.0; 3]);
        assert!((rewards[3] - (-20.0 - 0.5)).abs() < 1e-12, "{rewards:?}");
        assert_eq!((out_of_bounds(-0.5), out_of_bounds(-1.0), out_of_bounds(9.0)), (0.0, 1.0, 10.0));
    }
}
