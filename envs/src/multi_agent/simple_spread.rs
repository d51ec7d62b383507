//! Simple spread: agents cover all landmarks without running into each other.
//!
//! # Description
//! `N` agents and as many landmarks lie in the plane. All agents are to see to it that each landmark has an agent near it.
//! Agents are discs of radius 0.15 that push each other away; they pass over landmarks.
//!
//! # Action space
//! `Discrete(5)` for each agent: 0 nothing, 1 left, 2 right, 3 down, 4 up. With `continuous_actions`: `Box(0, 1, (5,))`, the
//! strength of each of them.
//!
//! # Observation space
//! `4 + 2 N + 4 (N − 1)` numbers for each agent, 18 for three agents, unbounded:
//! | index | meaning |
//! |---|---|
//! | 0, 1 | own velocity |
//! | 2, 3 | own position |
//! | 4 to 3 + 2 N | positions of the landmarks, relative to oneself |
//! | then 2 (N − 1) | positions of the other agents, relative to oneself |
//! | then 2 (N − 1) | what the other agents say: zeros, since they are silent |
//!
//! # Rewards
//! `(1 − local_ratio) · global + local_ratio · local`: the global reward is minus the sum, over landmarks, of the distance to
//! the nearest agent; the local one −1 for each agent that one touches.
//!
//! # Starting state
//! Agents and landmarks uniform in the square from −1 to 1, at rest.
//!
//! # Episode end
//! All agents end together: truncated after 25 steps; with `terminate_on_success` terminated when every landmark has an agent
//! within 0.1.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `N` | 3 | agents, and landmarks; at most 16 |
//! | `local_ratio` | 0.5 | weight of the local reward |
//! | `continuous_actions` | false | strengths of the pushes as actions |
//! | `terminate_on_success` | false | end when all landmarks are covered |
//!
//! # Version history
//! v3: as in MPE2 and PettingZoo.
//!
//! # Source
//! Lowe et al., "Multi-Agent Actor-Critic for Mixed Cooperative-Competitive Environments" (2017); MPE2 1.1
//! `mpe2/simple_spread/simple_spread.py`, whose trajectories it repeats.
//!
//! # Deviations
//! 1. The curriculum and the limits on what is seen (`num_agent_neighbors`, `num_landmark_neighbors`) are left out.
//! 2. Success in the very last step is reported as terminated and truncated; the reference says truncated only.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::particles::{
    Body, Kind, Landmarks, MAX_BODIES, Scene, Vector, difference, distance, write_vectors,
};
use super::setting;
use crate::simulator::IN_TABLES;
use crate::simulator::{EcsEnv, Observations, Outcomes, Scope, SimulatorBuilder};
use crate::{EnvError, Space};

const SIZE: f64 = 0.15;
/// Distance at which a landmark is covered.
const CAPTURE_RADIUS: f64 = 0.1;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Resource, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimpleSpread {
    /// Agents, and landmarks.
    #[serde(rename = "N")]
    pub n: usize,
    /// Weight of the local reward, from 0 to 1.
    pub local_ratio: f64,
    /// Strengths of the pushes as actions.
    pub continuous_actions: bool,
    /// End when all landmarks are covered.
    pub terminate_on_success: bool,
}

impl Default for SimpleSpread {
    fn default() -> Self {
        Self { n: 3, local_ratio: 0.5, continuous_actions: false, terminate_on_success: false }
    }
}

impl SimpleSpread {
    /// Checks the arguments.
    pub(super) fn validated(self) -> Result<Self, EnvError> {
        if self.n == 0 || self.n > MAX_BODIES {
            return Err(setting("N", "between 1 and 16", self.n));
        }
        if !(0.0..=1.0).contains(&self.local_ratio) {
            return Err(setting("local_ratio", "between 0 and 1", self.local_ratio));
        }
        Ok(self)
    }

    fn scene(&self) -> Scene {
        let kind = Kind { size: SIZE, acceleration: 5.0, max_speed: f64::INFINITY, color: [90, 90, 217] };
        Scene {
            kinds: vec![kind; self.n],
            num_landmarks: self.n,
            landmark_size: 0.05,
            solid_landmarks: false,
            landmark_range: 1.0,
            continuous_actions: self.continuous_actions,
        }
    }

    fn observation_len(&self) -> usize {
        4 + 2 * self.n + 4 * (self.n - 1)
    }
}

impl EcsEnv for SimpleSpread {
    fn observation_space(&self) -> Space {
        self.scene().observation_space(self.observation_len())
    }

    fn action_space(&self) -> Space {
        self.scene().action_space()
    }

    fn num_agents(&self) -> Option<usize> {
        Some(self.n)
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        self.scene().build(simulator);
        simulator.constant(*self).outcome(judge).observe(observe);
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn judge(
    rules: Res<SimpleSpread>,
    mut outcomes: ResMut<Outcomes>,
    arenas: Query<&Landmarks>,
    agents: Query<&Body>,
) {
    let n = rules.n;
    let outcomes = &mut *outcomes;
    let landmarks = arenas.contiguous_iter().expect(IN_TABLES).next();
    let bodies = agents.contiguous_iter().expect(IN_TABLES).next();
    let (Some(landmarks), Some(bodies)) = (landmarks, bodies) else { return };
    let outs = outcomes.rewards.chunks_exact_mut(n).zip(outcomes.terminated.chunks_exact_mut(n));
    for ((landmarks, bodies), (rewards, terminated)) in landmarks.iter().zip(bodies.chunks_exact(n)).zip(outs)
    {
        let covered = rules.reward(&landmarks.0[..n], bodies, rewards);
        terminated.fill(rules.terminate_on_success && covered);
    }
}

impl SimpleSpread {
    /// Writes the agents' rewards and says whether all landmarks are covered.
    fn reward(&self, landmarks: &[Vector], bodies: &[Body], rewards: &mut [f64]) -> bool {
        let mut global = 0.0;
        let mut covered = true;
        for &landmark in landmarks {
            let distances = bodies.iter().map(|body| distance(body.position, landmark));
            let nearest = distances.fold(f64::INFINITY, f64::min);
            global -= nearest;
            covered &= nearest < CAPTURE_RADIUS;
        }
        for (i, (body, reward)) in bodies.iter().zip(rewards).enumerate() {
            let touches =
                |&(j, other): &(usize, &Body)| j != i && distance(other.position, body.position) < 2.0 * SIZE;
            let local = -(bodies.iter().enumerate().filter(touches).count() as f64);
            *reward = global * (1.0 - self.local_ratio) + local * self.local_ratio;
        }
        covered
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe(
    rules: Res<SimpleSpread>,
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    arenas: Query<&Landmarks>,
    agents: Query<&Body>,
) {
    let (n, len) = (rules.n, rules.observation_len());
    let landmarks = arenas.contiguous_iter().expect(IN_TABLES).next();
    let bodies = agents.contiguous_iter().expect(IN_TABLES).next();
    let (Some(landmarks), Some(bodies)) = (landmarks, bodies) else { return };
    let out = observations.rows_mut::<f32>();
    for env in scope.iter() {
        let bodies = &bodies[env * n..(env + 1) * n];
        let rows = out[env * n * len..(env + 1) * n * len].chunks_exact_mut(len);
        for (i, (row, own)) in rows.zip(bodies).enumerate() {
            let marks = landmarks[env].0[..n].iter().map(|&mark| difference(mark, own.position));
            let others = bodies.iter().enumerate().filter(|&(j, _)| j != i);
            let others = others.map(|(_, other)| difference(other.position, own.position));
            write_vectors(row, [own.velocity, own.position].into_iter().chain(marks).chain(others));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_mix_the_distances_of_all_with_ones_own_collisions() {
        let at = |x: f64| Body { position: [x, 0.0], velocity: [0.0; 2] };
        // The first two touch; the landmarks are 0.0, 0.25 and 1.0 from the nearest agent.
        let (bodies, landmarks) = ([at(0.0), at(0.25), at(2.0)], [[0.0, 0.0], [0.5, 0.0], [2.0, 1.0]]);
        let mut rewards = [0.0; 3];
        let rules = SimpleSpread { local_ratio: 0.25, ..Default::default() };
        assert!(!rules.reward(&landmarks, &bodies, &mut rewards));
        assert_eq!(rewards, [-1.25 * 0.75 - 0.25, -1.25 * 0.75 - 0.25, -1.25 * 0.75]);
        assert!(rules.reward(&[[0.0, 0.05]; 3], &bodies, &mut rewards));
    }
}
