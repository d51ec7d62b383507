//! States that policies visit: what their networks read, recorded while they act.

use agon_envs::{ActionBatch, Simulator, StepBatch};
use agon_nn::{ToldNetwork, ToldScratch};
use agon_policy::{Episode, PortablePolicy};

use crate::RunError;
use crate::config::{EVALUATION_LIMIT, EnvConfig};
use crate::policy::{row_of, write_action};
use crate::setup::Setup;

/// Environments that are acted in at once.
const NUM_ENVS: usize = 64;
/// Steps that states are recorded over.
const TICKS: usize = 1024;

/// Environments, and what stands around the networks that act in them.
pub(super) struct Player {
    simulator: Simulator,
    now: StepBatch,
    actions: ActionBatch,
    policy: PortablePolicy,
    episodes: Vec<Episode>,
    starts: Vec<bool>,
    scratch: ToldScratch,
    outputs: Vec<f32>,
    rows: Vec<f32>,
}

impl Player {
    pub(super) fn new(
        setup: &Setup,
        env: &EnvConfig,
        policy: PortablePolicy,
        seed: u64,
    ) -> Result<Self, RunError> {
        let spec = setup.registry.get(&env.id)?;
        let (options, _) = env.options_with_limit(NUM_ENVS, &spec, EVALUATION_LIMIT);
        let mut simulator = spec.make(&options)?;
        let mut now = simulator.new_batch();
        simulator.reset(seed, &mut now)?;
        let rows = simulator.num_rows();
        let actions = ActionBatch::zeros(simulator.action_spec(), rows);
        let (episodes, starts) = (vec![policy.begin(); rows], vec![true; rows]);
        let (scratch, outputs) = (ToldScratch::default(), Vec::new());
        Ok(Self { simulator, now, actions, policy, episodes, starts, scratch, outputs, rows: Vec::new() })
    }

    /// One step in all environments, acted in by a network; what it reads is appended to `states`, `[rows, inputs]`.
    pub(super) fn tick(&mut self, network: &ToldNetwork, states: &mut Vec<f32>) -> Result<(), RunError> {
        let rows = self.simulator.num_rows();
        self.rows.clear();
        for (row, episode) in self.episodes.iter_mut().enumerate() {
            if self.starts[row] {
                episode.begin_again();
            }
            self.policy.prepare(episode, row_of(&self.now.observations, row, rows), &mut self.rows)?;
        }
        network.run(&self.rows, &mut self.scratch, &mut self.outputs)?;
        let mask_len = self.policy.program().mask_len;
        for (row, outputs) in self.outputs.chunks_exact(network.outputs()).enumerate() {
            let mask = &self.now.action_masks[row * mask_len..(row + 1) * mask_len];
            let action = self.policy.decide(&mut self.episodes[row], outputs, mask)?;
            write_action(&action, &self.policy.program().action, (row, rows), &mut self.actions)?;
        }
        states.extend_from_slice(&self.rows);
        self.simulator.step(&self.actions, &mut self.now)?;
        for (row, start) in self.starts.iter_mut().enumerate() {
            *start = self.now.terminated[row] || self.now.truncated[row] || !self.now.active[row];
        }
        Ok(())
    }

    /// `count` states or a few more, of so long a time that most of what happens in episodes is among them.
    pub(super) fn states(&mut self, network: &ToldNetwork, count: usize) -> Result<Vec<f32>, RunError> {
        let (mut states, mut of_tick) = (Vec::new(), Vec::new());
        let (inputs, rows) = (network.inputs(), self.simulator.num_rows());
        let kept = count.div_ceil(TICKS).min(rows);
        let mut tick = 0;
        while states.len() < count * inputs {
            of_tick.clear();
            self.tick(network, &mut of_tick)?;
            for index in 0..kept {
                let row = (tick * kept + index) % rows;
                states.extend_from_slice(&of_tick[row * inputs..(row + 1) * inputs]);
            }
            tick += 1;
        }
        Ok(states)
    }
}
