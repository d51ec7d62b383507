//! Many environments, split over threads: simulators of some environments each, stepped together.
//!
//! Which simulator an environment is in changes nothing in its trajectory, so the number of threads does not show. A step is
//! taken by all of them or, if an action is wrong, by none.

use agon::{RunError, memory};
use agon_envs::{ActionBatch, EnvError, MakeOptions, Registry, Seed, Simulator, StepBatch, VectorInfo};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::spaces::{Column, Layout};

/// The simulators of a vector of environments.
pub(crate) struct Shards {
    shards: Vec<Shard>,
    /// None where one simulator is stepped on the caller's thread.
    pool: Option<ThreadPool>,
    /// How the environments were made, for the one that is seeded alone.
    id: String,
    options: MakeOptions,
    pub(crate) layout: Layout,
    pub(crate) num_envs: usize,
    started: bool,
}

/// A simulator, its buffers, and what became of its last step.
struct Shard {
    simulator: Simulator,
    batch: StepBatch,
    actions: ActionBatch,
    first_env: usize,
    stepped: Result<(), EnvError>,
}

/// What is handed to the user, over all environments: `N` rows.
pub(crate) struct Outcome {
    pub(crate) observations: Vec<Column>,
    /// `[N]`.
    pub(crate) rewards: Vec<f64>,
    /// `[N]`.
    pub(crate) terminated: Vec<bool>,
    /// `[N]`.
    pub(crate) truncated: Vec<bool>,
    /// `[N, A]`, empty without masks.
    pub(crate) masks: Vec<i8>,
    /// Nothing if no episode ended.
    pub(crate) ended: Option<Ended>,
}

/// The `K` episodes that ended in a step, in row order.
pub(crate) struct Ended {
    /// `[K]`.
    pub(crate) rows: Vec<i64>,
    /// Columns of `K` rows.
    pub(crate) observations: Vec<Column>,
    /// `[K]`.
    pub(crate) returns: Vec<f64>,
    /// `[K]`, in steps.
    pub(crate) lengths: Vec<i64>,
    /// `[K, M]`.
    pub(crate) metrics: Vec<f64>,
}

impl Shards {
    /// `options.num_envs` environments on `num_threads` threads at most.
    pub(crate) fn new(id: &str, options: MakeOptions, num_threads: usize) -> Result<Self, RunError> {
        let num_envs = options.num_envs;
        for (field, value) in [("num_envs", num_envs), ("num_threads", num_threads)] {
            if value == 0 {
                return Err(EnvError::Setting { field, expected: "at least 1", found: "0".to_owned() }.into());
            }
        }
        let registry = Registry::builtin();
        memory::ensure_environments_fit(&*registry.get(id)?, &options)?;
        let count = num_threads.min(num_envs);
        let mut shards = Vec::with_capacity(count);
        let mut first_env = 0;
        for shard in 0..count {
            let share = num_envs / count + usize::from(shard < num_envs % count);
            let mut simulator = registry.make(id, &MakeOptions { num_envs: share, ..options.clone() })?;
            if count > 1 {
                has_no_statistics(&mut simulator, num_threads)?;
            }
            let (batch, rows) = (simulator.new_batch(), simulator.num_rows());
            let actions = ActionBatch::zeros(simulator.action_spec(), rows);
            shards.push(Shard { simulator, batch, actions, first_env, stepped: Ok(()) });
            first_env += share;
        }
        let pool = (count > 1).then(|| rayon::ThreadPoolBuilder::new().num_threads(count).build());
        let pool = pool.transpose().map_err(|error| EnvError::Setting {
            field: "num_threads",
            expected: "as many threads as can be started",
            found: format!("{num_threads}: {error}"),
        })?;
        let layout = Layout::of(shards[0].simulator.observation_space());
        Ok(Self { shards, pool, id: id.to_owned(), options, layout, num_envs, started: false })
    }

    /// Sizes and spaces, those of the first simulator.
    pub(crate) fn info(&self) -> &VectorInfo {
        self.shards[0].simulator.info()
    }

    /// Rows of all environments.
    pub(crate) fn num_rows(&self) -> usize {
        self.num_envs * self.info().num_agents
    }

    /// Whether threads of its own step it.
    pub(crate) fn has_threads(&self) -> bool {
        self.pool.is_some()
    }

    /// Whether there was a reset.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// The action buffers, a simulator each, in row order.
    pub(crate) fn actions_mut(&mut self) -> impl Iterator<Item = &mut ActionBatch> {
        self.shards.iter_mut().map(|shard| &mut shard.actions)
    }

    /// Starts an episode in every environment, environment `i` with the random stream of `seeds[i]`.
    pub(crate) fn reset(&mut self, seeds: &[u64]) -> Result<Outcome, EnvError> {
        for shard in &mut self.shards {
            let seeds = &seeds[shard.first_env..shard.first_env + shard.simulator.num_envs()];
            let seeds: Vec<Seed> = seeds.iter().map(|&seed| Seed::Integer(seed)).collect();
            shard.simulator.reset_with(&seeds, &mut shard.batch)?;
        }
        self.started = true;
        Ok(self.gather())
    }

    /// Starts an episode in some environments; those without a seed go on with their random streams.
    pub(crate) fn reset_some(&mut self, envs: &[(usize, Option<u64>)]) -> Result<Outcome, EnvError> {
        for shard in &mut self.shards {
            let here = shard.first_env..shard.first_env + shard.simulator.num_envs();
            let here = envs.iter().filter(|(env, _)| here.contains(env));
            let local = |env: usize| env - shard.first_env;
            let listed: Vec<u32> = here.clone().map(|&(env, _)| local(env) as u32).collect();
            if !listed.is_empty() {
                shard.simulator.reset_envs(&listed, &mut shard.batch)?;
            }
            for (env, seed) in here.filter_map(|&(env, seed)| Some((local(env), seed?))) {
                // An environment made for it alone is seeded, and its state takes the place of the other's.
                let options = MakeOptions { num_envs: 1, ..self.options.clone() };
                let mut alone = Registry::builtin().make(&self.id, &options)?;
                let mut batch = alone.new_batch();
                alone.reset_with(&[Seed::Integer(seed)], &mut batch)?;
                shard.simulator.load_env(env, &alone.save_env(0)?)?;
                shard.batch.copy_env_from(&batch, 0, env, alone.info());
            }
        }
        Ok(self.gather())
    }

    /// Steps every environment with the actions in [`Shards::actions_mut`].
    pub(crate) fn step(&mut self) -> Result<Outcome, EnvError> {
        let agents = self.info().num_agents;
        match &self.pool {
            None => {
                for shard in &mut self.shards {
                    shard.simulator.step(&shard.actions, &mut shard.batch)?;
                }
            }
            Some(pool) => {
                for shard in &mut self.shards {
                    let checked = shard.simulator.check_actions(&shard.actions, &shard.batch);
                    checked.map_err(|error| error.offset(shard.first_env * agents))?;
                }
                let shards = &mut self.shards;
                pool.install(|| shards.par_iter_mut().for_each(Shard::step));
                for shard in shards {
                    let stepped = std::mem::replace(&mut shard.stepped, Ok(()));
                    stepped.map_err(|error| error.offset(shard.first_env * agents))?;
                }
            }
        }
        Ok(self.gather())
    }

    /// The simulator that holds an environment, and its number there.
    pub(crate) fn holder(&mut self, env: usize) -> Option<(&mut Simulator, usize)> {
        let shard = self.shards.iter_mut().rev().find(|shard| shard.first_env <= env)?;
        (env < self.num_envs).then_some((&mut shard.simulator, env - shard.first_env))
    }

    /// Puts the simulators' batches one after the other.
    fn gather(&self) -> Outcome {
        let (rows, info) = (self.num_rows(), self.info());
        let mut outcome = Outcome {
            observations: self.layout.columns(rows),
            rewards: Vec::with_capacity(rows),
            terminated: Vec::with_capacity(rows),
            truncated: Vec::with_capacity(rows),
            masks: Vec::with_capacity(rows * info.mask_len),
            ended: None,
        };
        let ended = self.shards.iter().map(|shard| shard.batch.episodes.len()).sum();
        if ended > 0 {
            outcome.ended = Some(Ended {
                rows: Vec::with_capacity(ended),
                observations: self.layout.columns(ended),
                returns: Vec::with_capacity(ended),
                lengths: Vec::with_capacity(ended),
                metrics: Vec::with_capacity(ended * info.metrics.len()),
            });
        }
        for shard in &self.shards {
            let batch = &shard.batch;
            self.layout.append(&batch.observations, &mut outcome.observations);
            outcome.rewards.extend_from_slice(&batch.rewards);
            outcome.terminated.extend_from_slice(&batch.terminated);
            outcome.truncated.extend_from_slice(&batch.truncated);
            outcome.masks.extend(batch.action_masks.iter().map(|&allowed| i8::from(allowed)));
            if let Some(ended) = &mut outcome.ended {
                let first = (shard.first_env * info.num_agents) as i64;
                ended.rows.extend(batch.episodes.iter().map(|episode| first + i64::from(episode.row)));
                self.layout.append(&batch.final_observations, &mut ended.observations);
                ended.returns.extend(batch.episodes.iter().map(|episode| episode.episode_return));
                ended.lengths.extend(batch.episodes.iter().map(|episode| i64::from(episode.episode_length)));
                ended.metrics.extend_from_slice(&batch.episode_metrics);
            }
        }
        outcome
    }
}

impl Shard {
    fn step(&mut self) {
        self.stepped = self.simulator.step(&self.actions, &mut self.batch);
    }
}

/// Running statistics are of all environments together: simulators that know of some only would show the number of threads.
fn has_no_statistics(simulator: &mut Simulator, num_threads: usize) -> Result<(), EnvError> {
    let mut count = 0;
    simulator.visit_statistics(&mut |_| count += 1);
    if count == 0 {
        return Ok(());
    }
    let expected = "1 with a wrapper that normalizes, whose statistics are of all environments";
    Err(EnvError::Setting { field: "num_threads", expected, found: num_threads.to_string() })
}
