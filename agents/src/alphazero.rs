//! `AlphaZero`: a search improves on the network, and the network learns what the search found and what came of it.
//!
//! ```text
//! L = −Σ_a π(a) ln p(a|s) + vf_coef (v(s) − z)²
//! ```
//!
//! with `π` the search's probabilities and `z` the discounted return from `s` on, in a game against oneself ±1 or 0. Learned
//! from are positions of whole episodes, kept in a buffer; `π` of full searches only. Anything that can be forked can be
//! searched: two sides that move in turn ([`VectorInfo::turns`]), or a single agent.
//!
//! # Source
//! Silver et al. (2018), Science 362; Danihelka et al. (2022) for the search by Gumbel noise ([`crate::search`]); Wu (2019),
//! arXiv:1902.10565 (`KataGo`) for cheap searches.
//!
//! # Deviations
//! 1. No batch normalisation, which mixes rows; the tower's blocks begin as the identity instead.
//! 2. The value is a linear output with a squared error; a search clips it to −1 and 1 in a game.
//! 3. Targets of the value may lean on the search's own value (`search_value`), as Leela Chess Zero's do.
//! 4. Acting and learning take turns, so that a run can be repeated; all of them in one process, or its workers.
//! 5. What a search has proven is learned in place of the outcome; games that are given up are played on, with hardly any search.
//!
//! [`VectorInfo::turns`]: agon_envs::VectorInfo::turns

mod config;
mod episodes;
mod policy;
mod positions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::losses::{categorical, mse};
use agon_nn::{
    LayoutBuilder, MemoryState, ModelConfig, ModelScratch, PackedModel, Schedule, Summary, Tape, Unroll,
};
use serde::{Deserialize, Serialize};

pub use config::AlphaZeroConfig;

use crate::actor_critic::{ActorCritic, Values};
use crate::algorithm::Algorithm;
use crate::augmentation::Augmenter;
use crate::chunks::{ChunkStore, MemoryStore};
use crate::codec::{decode, encode};
use crate::division::{self, Minibatch};
use crate::learner::{self, GivesUp, LearnReport, Learner, Norms, PolicyInfo, RunInfo, Spaces, stream};
use crate::part::{self, Part, SavedPart};
use crate::policy::Policy;
use crate::search::{Looks, data_width};
use crate::slices::{Slice, Sums, awake, for_each_slice, slices};
use crate::{AgentError, Fragment, Weights, error, network};
use episodes::{Episodes, Judged, Targets};
use policy::SearchPolicy;
use positions::{Positions, SavedPositions, Shape};

const NAME: &str = "alphazero";

/// The learner.
pub struct AlphaZero {
    config: AlphaZeroConfig,
    network: ActorCritic,
    online: Part,
    episodes: Episodes,
    positions: Positions,
    views: Option<Augmenter>,
    looks: Option<Arc<Looks>>,
    rng: Pcg64,
    learning_rate: Schedule,
    updates: u64,
    /// Positions of minibatches that are owed to those that came in.
    owed: f64,
    /// The positions of a minibatch.
    slots: Vec<u64>,
    slices: Vec<Slice<SliceWork, LossSums>>,
    batch_rows: usize,
}

/// What is saved of a learner beside its full chunks.
#[derive(Serialize, Deserialize)]
struct Saved {
    parts: Vec<SavedPart>,
    episodes: Episodes,
    positions: SavedPositions,
    rng: Pcg64,
    updates: u64,
    owed: f64,
}

/// Working memory of a slice.
#[derive(Debug, Default)]
struct SliceWork {
    log_probs: Vec<f32>,
    policy_grads: Vec<f32>,
    value_grads: Vec<f32>,
}

/// Sums over the positions of minibatches.
#[derive(Clone, Copy, Debug, Default)]
struct LossSums {
    policy: f64,
    divergence: f64,
    value: f64,
    /// Positions whose probabilities are learned.
    full: usize,
    positions: usize,
}

impl Sums for LossSums {
    fn add(&mut self, other: &Self) {
        self.policy += other.policy;
        self.divergence += other.divergence;
        self.value += other.value;
        self.full += other.full;
        self.positions += other.positions;
    }
}

impl AlphaZero {
    /// Policy and value on one tower, and their parameters to be.
    fn layout(network: &ModelConfig, spaces: &Spaces) -> Result<(ActorCritic, LayoutBuilder), AgentError> {
        network::check_no_memory(NAME, network)?;
        learner::single_discrete(NAME, &spaces.action)?;
        ActorCritic::layout(NAME, network, true, Values::One, spaces)
    }

    fn minibatch(config: &AlphaZeroConfig, network: &ActorCritic, info: &RunInfo) -> Minibatch {
        Minibatch::new(network.summary(), &info.spaces, config.batch_size, 1)
    }

    /// The values of observations, for episodes that were cut.
    fn values(&self, observations: &agon_envs::ObsBuffer, rows: usize) -> Result<Vec<f32>, AgentError> {
        let critic = &self.network.critic;
        let packed = PackedModel::new(critic, &self.online.params)?;
        let mut values = vec![0.0; rows];
        let memory = &mut MemoryState { state: &mut [], resets: &[] };
        let x = network::rows(observations);
        critic.infer(&packed, x, rows, memory, &mut ModelScratch::default(), &mut [&mut values])?;
        Ok(values)
    }

    /// Takes in what was played, and counts the positions that came of it.
    fn take_in(&mut self, fragments: &[Fragment]) -> Result<Judged, AgentError> {
        let mut judged = Judged::default();
        for fragment in fragments {
            let cut = fragment.truncated.contains(&true);
            let finals = if cut && !fragment.final_rows.is_empty() {
                self.values(&fragment.final_observations, fragment.final_rows.len())?
            } else {
                vec![0.0; fragment.final_rows.len()]
            };
            let targets = Targets {
                gamma: self.config.gamma as f32,
                search_value: self.config.search_value as f32,
                td_steps: self.config.td_steps,
            };
            judged.add(self.episodes.take_in(fragment, &finals, targets, &mut self.positions));
        }
        Ok(judged)
    }

    /// Losses of some positions of a minibatch, and the gradient of their mean over all of it.
    fn backward(
        &self,
        slots: &[u64],
        first: usize,
        batch: usize,
        seed: u64,
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<LossSums, AgentError> {
        let actions = self.network.actor.outputs(0);
        let mut drawn = self.positions.gather(slots)?;
        if let Some(views) = &self.views {
            let view = views.view(&drawn.observations, seed, |row| (first + row) as u64)?;
            for row in 0..slots.len() {
                let range = row * actions..(row + 1) * actions;
                let policy = view.actions.options(row, &drawn.policies[range.clone()]).into_owned();
                drawn.policies[range.clone()].copy_from_slice(&policy);
                let mask = view.actions.options(row, &drawn.masks[range.clone()]).into_owned();
                drawn.masks[range].copy_from_slice(&mask);
            }
            drawn.observations = view.input;
        }
        let mut tape = Tape::new();
        let unroll = Unroll::new(1);
        let [logits, values] =
            self.network.forward(&self.online.params, &drawn.observations, None, &unroll, &mut tape)?;
        let SliceWork { log_probs, policy_grads, value_grads } = work;
        log_probs.resize(logits.as_slice().len(), 0.0);
        categorical::masked_log_softmax_rows(logits.as_slice(), &drawn.masks, actions, log_probs)?;
        policy_grads.clear();
        policy_grads.resize(log_probs.len(), 0.0);
        value_grads.clear();
        let scale = 1.0 / batch as f32;
        let value_scale = self.config.vf_coef as f32 * scale;
        let mut sums = LossSums { positions: slots.len(), ..LossSums::default() };
        for row in 0..slots.len() {
            let (loss, slope) = mse(values.as_slice()[row] - drawn.values[row]);
            sums.value += f64::from(loss);
            value_grads.push(value_scale * slope);
            if !drawn.full[row] {
                continue;
            }
            sums.full += 1;
            let range = row * actions..(row + 1) * actions;
            let target = &drawn.policies[range.clone()];
            let options = policy_grads[range.clone()].iter_mut().zip(&log_probs[range]).zip(target);
            for ((grad, &log_prob), &target) in options.filter(|((_, log_prob), _)| log_prob.is_finite()) {
                *grad = scale * (libm::expf(log_prob) - target);
                if target > 0.0 {
                    sums.policy -= f64::from(target * log_prob);
                    sums.divergence += f64::from(target * (libm::logf(target) - log_prob));
                }
            }
        }
        let heads = [(&logits, policy_grads.as_slice()), (&values, value_grads.as_slice())];
        tape.backward(&self.online.params, &heads, grads)?;
        Ok(sums)
    }

    /// One gradient step on positions that are drawn.
    fn update(
        &mut self,
        slices: &mut [Slice<SliceWork, LossSums>],
        learning_rate: f64,
    ) -> Result<LossSums, AgentError> {
        self.positions.draw(self.config.batch_size, &mut self.rng, &mut self.slots);
        let seed = if self.views.is_some() { self.rng.next_u64() } else { 0 };
        let slots = std::mem::take(&mut self.slots);
        let len = self.online.params.len();
        let sums = for_each_slice(slices, slots.len(), len, |range, work, grads| {
            self.backward(&slots[range.clone()], range.start, slots.len(), seed, work, grads)
        });
        self.slots = slots;
        let sums = sums?;
        error::ensure_finite("policy loss", sums.policy, self.updates)?;
        error::ensure_finite("value loss", sums.value, self.updates)?;
        self.online.descend(slices, self.config.max_grad_norm, learning_rate)?;
        self.updates += 1;
        Ok(sums)
    }

    /// One iteration, while the threads that will learn are awake.
    fn iterate(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let new = self.take_in(fragments)?;
        let rate = self.learning_rate.at(env_steps);
        let mut sums = LossSums::default();
        if self.positions.len() >= self.config.learning_starts {
            self.owed += new.positions as f64 * self.config.replay_ratio;
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = (|| {
                while self.owed >= self.config.batch_size as f64 {
                    learner::go_on(gives_up)?;
                    self.owed -= self.config.batch_size as f64;
                    sums.add(&self.update(&mut slices, rate)?);
                }
                Ok::<_, AgentError>(())
            })();
            self.slices = slices;
            outcome?;
        }
        let (full, all) = (sums.full as f64, sums.positions as f64);
        let metrics = vec![
            rate,
            sums.policy / full,
            sums.divergence / full,
            sums.value / all,
            self.positions.len() as f64,
            new.positions as f64,
            new.resigned as f64 / new.positions as f64,
            new.resigned_wrongly as f64 / new.resigned as f64,
        ];
        Ok(LearnReport { updates: self.updates, metrics })
    }

    fn views(config: &AlphaZeroConfig, spaces: &Spaces) -> Result<Option<Augmenter>, AgentError> {
        let symmetries = &config.symmetries;
        if symmetries.is_empty() { Ok(None) } else { Augmenter::new(symmetries, spaces).map(Some) }
    }

    fn policy_of(
        config: &AlphaZeroConfig,
        network: &ActorCritic,
        params: &agon_nn::Params,
        looks: Option<Arc<Looks>>,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let search = config.search.clone();
        Ok(Arc::new(SearchPolicy::new(network, params, search, looks, config.gamma as f32)?))
    }
}

impl Algorithm for AlphaZero {
    type Config = AlphaZeroConfig;

    fn default_network() -> ModelConfig {
        AlphaZeroConfig::default_network()
    }

    fn new(config: AlphaZeroConfig, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info)?;
        let (network, builder) = Self::layout(network, &info.spaces)?;
        let params = builder.build(stream(info.seed, 0));
        let actions = network.actor.outputs(0);
        let shape = Shape {
            dtype: network::dtype(&info.spaces.observation),
            observation_len: info.spaces.observation.packed_len(),
            actions,
        };
        let minibatch = Self::minibatch(&config, &network, info);
        let views = Self::views(&config, &info.spaces)?;
        Ok(Self {
            batch_rows: minibatch.units,
            slices: slices(config.gradient_slices.unwrap_or_else(|| minibatch.slices())),
            online: Part::trained("", params, config.optimizer)?,
            looks: views.as_ref().and_then(Augmenter::looks).map(Arc::new),
            episodes: Episodes::new(info.num_rows()),
            positions: Positions::new(config.buffer_size, shape),
            views,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            learning_rate: config.learning_rate.annealed(config.anneal_lr, info.total_timesteps),
            updates: 0,
            owed: 0.0,
            slots: Vec::new(),
            network,
            config,
        })
    }

    fn settled(config: AlphaZeroConfig, network: &ModelConfig, info: &RunInfo) -> AlphaZeroConfig {
        let layout = || Self::layout(network, &info.spaces).ok();
        let suitable = || Some(Self::minibatch(&config, &layout()?.0, info).slices());
        AlphaZeroConfig { gradient_slices: config.gradient_slices.or_else(suitable), ..config }
    }

    fn policy_from(
        config: &AlphaZeroConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (network, builder) = Self::layout(network, &info.spaces)?;
        let params = weights.params(builder, &[])?;
        let looks = Self::views(config, &info.spaces)?.as_ref().and_then(Augmenter::looks);
        Self::policy_of(config, &network, &params, looks.map(Arc::new))
    }
}

impl Learner for AlphaZero {
    fn num_steps(&self) -> usize {
        self.config.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &[
            "charts/learning_rate",
            "losses/policy_loss",
            "losses/policy_divergence",
            "losses/value_loss",
            "charts/positions",
            "charts/new_positions",
            "charts/resigned",
            "charts/resignation_errors",
        ]
    }

    fn remarks(&self, threads: usize) -> Vec<String> {
        let settings = "a larger agent.batch_size";
        division::remark(self.batch_rows, self.slices.len(), threads, settings).into_iter().collect()
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Self::policy_of(&self.config, &self.network, &self.online.params, self.looks.clone())
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let width = data_width(self.network.actor.outputs(0));
        if let Some(other) = fragments.iter().find(|fragment| fragment.shape.policy_data_width != width) {
            let message = format!(
                "expected fragments with {width} numbers of a search in each step, got {}",
                other.shape.policy_data_width
            );
            return Err(AgentError::Restore(message));
        }
        awake(self.slices.len() - 1, || self.iterate(fragments, env_steps, gives_up))
    }

    fn memory_bytes(&self) -> u64 {
        self.positions.memory_bytes()
    }

    fn take_norms(&mut self) -> Option<Norms> {
        part::take_norms(&mut [&mut self.online])
    }

    fn weights(&self) -> Weights {
        part::weights(&[&self.online])
    }

    fn set_learning_rates(&mut self, rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
        part::set_rates(&mut [&mut self.online], rates)
    }

    fn set_pruned(&mut self, prefixes: &[String]) -> Result<(), AgentError> {
        part::set_pruned(&mut [&mut self.online], prefixes)
    }

    fn prune(&mut self, sparsity: f64) -> Result<(), AgentError> {
        part::prune(&mut [&mut self.online], sparsity);
        Ok(())
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        part::load_weights(&mut [&mut self.online], weights)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.network.summary().clone())
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        let mut store = MemoryStore::default();
        let rest = self.save_with(&mut store)?;
        encode(&(rest, store))
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        let (rest, store): (Vec<u8>, MemoryStore) = decode(saved)?;
        self.restore_with(&rest, &store).map_err(|error| match error {
            // Within one state, a chunk that is missing is damage.
            AgentError::Chunk { key, message } => AgentError::Restore(format!("chunk {key}: {message}")),
            error => error,
        })
    }

    fn save_with(&self, chunks: &mut dyn ChunkStore) -> Result<Vec<u8>, AgentError> {
        encode(&Saved {
            parts: part::save(&[&self.online]),
            episodes: self.episodes.clone(),
            positions: self.positions.save(chunks)?,
            rng: self.rng.clone(),
            updates: self.updates,
            owed: self.owed,
        })
    }

    fn restore_with(&mut self, saved: &[u8], chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on.
        let parts = part::restored(&[&self.online], saved.parts)?;
        let positions = self.positions.restored(saved.positions, chunks)?;
        if !saved.episodes.fits(&self.episodes, &positions) || !(0.0..f64::MAX).contains(&saved.owed) {
            return Err(AgentError::Restore("its episodes are of another run".to_owned()));
        }
        parts.put(&mut [&mut self.online]);
        self.positions = positions;
        self.episodes = saved.episodes;
        (self.rng, self.updates, self.owed) = (saved.rng, saved.updates, saved.owed);
        Ok(())
    }
}
