//! Room for trees: copies of environments, one for each node.

use agon_envs::{
    ActionBatch, ActionSpec, ObsBuffer, RowSet, Seed, Simulator, StepBatch, VectorEnv, VectorInfo,
};

use super::tree::{Outcome, Stepped};
use super::{Scale, cache};
use crate::AgentError;

/// Copies of a shard at most: some gigabytes of a small game.
const MOST_COPIES: usize = 1 << 21;

/// A step from one node to a new one.
#[derive(Clone, Debug)]
pub(super) struct Expansion {
    pub(super) env: usize,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) action: usize,
    /// What the new copy's generator is seeded with, if it is to have a future of its own.
    pub(super) seed: Option<Seed>,
}

/// Copies of the environments of a simulator: node `n` of environment `e` is copy `e * nodes + n`.
pub(super) struct Room {
    env: Box<dyn VectorEnv>,
    info: VectorInfo,
    batch: StepBatch,
    nodes: usize,
    actions: usize,
    chosen: ActionBatch,
    active: RowSet,
    is_ready: bool,
    scale: Scale,
}

impl Room {
    pub(super) fn new(simulator: &Simulator, nodes: usize) -> Result<Self, AgentError> {
        let info = simulator.info();
        let unsupported =
            |expected, found| Err(AgentError::Unsupported { algorithm: "a search", expected, found });
        let actions = match &info.action_spec {
            ActionSpec::Discrete { nvec } if nvec.len() == 1 => nvec[0] as usize,
            other => return unsupported("a Discrete action space", format!("{other:?}")),
        };
        let in_turn = info.num_agents == 2 && info.turns;
        if info.num_agents != 1 && !in_turn {
            let found = format!("{} that act at the same time", info.num_agents);
            return unsupported("one agent, or two that move in turn", found);
        }
        let copies = simulator.num_envs().saturating_mul(nodes);
        if copies > MOST_COPIES {
            let expected = format!(
                "below {}, for {} environments that are searched in together",
                MOST_COPIES / simulator.num_envs(),
                simulator.num_envs()
            );
            return Err(AgentError::setting("search.simulations", expected, nodes - 1));
        }
        let env = simulator.copies(copies)?;
        let info = env.info().clone();
        Ok(Self {
            batch: info.new_batch(),
            chosen: ActionBatch::zeros(&info.action_spec, info.num_rows()),
            active: RowSet::none(info.num_rows()),
            scale: if in_turn { Scale::Game } else { Scale::Seen },
            is_ready: false,
            env,
            info,
            nodes,
            actions,
        })
    }

    pub(super) fn actions(&self) -> usize {
        self.actions
    }

    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    pub(super) fn no_observations(&self) -> ObsBuffer {
        ObsBuffer::zeros(self.info.dtype(), 0)
    }

    fn copy(&self, env: usize, node: u32) -> usize {
        env * self.nodes + node as usize
    }

    fn row(&self, env: usize, node: u32, agent: usize) -> usize {
        self.copy(env, node) * self.info.num_agents + agent
    }

    /// Makes the copies' running statistics those of the simulator, and keeps them so.
    pub(super) fn prepare(&mut self, simulator: &mut Simulator) -> Result<(), AgentError> {
        if !self.is_ready {
            // Whatever they begin with: each gets its state from elsewhere.
            self.env.reset(&vec![Seed::Integer(0); self.info.num_envs], &mut self.batch)?;
            self.is_ready = true;
        }
        let mut moments = Vec::new();
        simulator.visit_statistics(&mut |statistics| moments.push(statistics.moments().clone()));
        let mut moments = moments.iter();
        self.env.visit_statistics(&mut |statistics| {
            statistics.freeze(true);
            if let Some(moments) = moments.next() {
                statistics.set_moments(moments);
            }
        });
        Ok(())
    }

    /// Gives a node the state of an environment.
    pub(super) fn load(
        &mut self,
        simulator: &mut Simulator,
        now: &StepBatch,
        env: usize,
        node: u32,
    ) -> Result<(), AgentError> {
        let copy = self.copy(env, node);
        self.env.load_env(copy, &simulator.state_of(env)?)?;
        self.batch.copy_env_from(now, env, copy, &self.info);
        Ok(())
    }

    /// Whether a node is in the state that an environment is in.
    pub(super) fn is_state_of(
        &mut self,
        simulator: &mut Simulator,
        env: usize,
        node: u32,
    ) -> Result<bool, AgentError> {
        let copy = self.copy(env, node);
        Ok(self.env.save_env(copy)? == simulator.state_of(env)?)
    }

    /// Takes all steps, each in a fork of the node that it begins from.
    pub(super) fn expand(&mut self, expansions: &[Expansion]) -> Result<(), AgentError> {
        if expansions.is_empty() {
            return Ok(());
        }
        self.active.clear();
        let agents = self.info.num_agents;
        for Expansion { env, from, to, action, seed } in expansions {
            let (from, to) = (self.copy(*env, *from), self.copy(*env, *to));
            self.env.fork(from, to)?;
            self.batch.copy_env(from, to, &self.info);
            if let Some(seed) = seed {
                self.env.reseed(to, seed)?;
            }
            for row in to * agents..(to + 1) * agents {
                self.active.insert(row);
            }
            let turn = to * agents + self.env.turn(to);
            let chosen = self.chosen.indices_mut();
            chosen[to * agents..(to + 1) * agents].fill(0);
            chosen[turn] = *action as u32;
        }
        self.env.step(&self.chosen, &self.active, &mut self.batch)?;
        Ok(())
    }

    /// Whether a step from some environment's root, by the given action, draws from a random stream. The second copy of each is
    /// used.
    pub(super) fn has_chance(&mut self, steps: &[(usize, usize)]) -> Result<bool, AgentError> {
        const ROOT: u32 = 0;
        const OTHER: u32 = 1;
        let seed = Seed::Integer(0);
        let expansion = |&(env, action): &(usize, usize)| {
            let seed = Some(seed.clone());
            Expansion { env, from: ROOT, to: OTHER, action, seed }
        };
        let expansions: Vec<Expansion> = steps.iter().map(expansion).collect();
        self.expand(&expansions)?;
        for &(env, _) in steps {
            let copy = self.copy(env, OTHER);
            let stepped = self.env.save_env(copy)?;
            // Streams that nobody drew from are as they begin.
            self.env.reseed(copy, &seed)?;
            if self.env.save_env(copy)? != stepped {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a step gave, to the agent that took it.
    pub(super) fn outcome(&self, expansion: &Expansion, mover: u32) -> Stepped {
        let Expansion { env, to, .. } = *expansion;
        let row = self.row(env, to, mover as usize);
        let outcome = if self.batch.terminated[row] {
            Outcome::Terminated
        } else if self.batch.truncated[row] {
            Outcome::Truncated
        } else {
            Outcome::Running
        };
        let agent = self.env.turn(self.copy(env, to));
        Stepped { agent, reward: self.batch.rewards[row] as f32, outcome }
    }

    /// Appends what whoever is to move at a node observes.
    pub(super) fn append_observation(&self, env: usize, node: u32, agent: u32, to: &mut ObsBuffer) {
        let len = self.info.observation_len();
        to.extend_from(&self.batch.observations, self.row(env, node, agent as usize) * len, len);
    }

    /// The key of what whoever is to move at a node observes.
    pub(super) fn key(&self, env: usize, node: u32, agent: u32) -> u128 {
        let len = self.info.observation_len();
        cache::key(&self.batch.observations, self.row(env, node, agent as usize) * len, len)
    }

    /// What whoever is to move at a node may do; none if all is allowed.
    pub(super) fn mask(&self, env: usize, node: u32, agent: u32) -> Option<&[bool]> {
        let len = self.info.mask_len;
        let row = self.row(env, node, agent as usize);
        (len > 0).then(|| &self.batch.action_masks[row * len..(row + 1) * len])
    }
}
