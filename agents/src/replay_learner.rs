//! What all learners with a replay buffer share: remembering, rounds of updates, weights, saving and restoring.
//!
//! An algorithm brings its networks and one update of them ([`ReplayAlgorithm`]); [`ReplayLearner`] is the learner. Each
//! iteration adds its fragments to the buffer and then takes a round of `gradient_steps` updates.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_nn::{ModelConfig, Summary};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::chunks::{ChunkStore, MemoryStore};
use crate::codec::{decode, encode};
use crate::division;
use crate::experience::{Experience, SavedExperience, Unit};
use crate::guide::Guide;
use crate::learner::{self, GivesUp, LearnReport, Learner, Norms, PolicyInfo, Recorded, RunInfo};
use crate::part::{self, Part, SavedPart};
use crate::replay::{ReplayShape, RowStore, Sampling};
use crate::settings::{self, Replaying, ReplayingSequences};
use crate::slices::{Slice, Sums, awake, slices};
use crate::{AgentError, Fragment, Policy, Weights};

/// The settings that the core goes by.
#[derive(Debug)]
pub struct Plan {
    pub(crate) buffer_size: usize,
    /// What is kept of each step.
    pub(crate) shape: ReplayShape,
    pub(crate) sampling: Sampling,
    pub(crate) unit: Unit,
    /// Environment steps before the first update.
    pub(crate) learning_starts: u64,
    /// Ticks of a fragment.
    pub(crate) num_steps: usize,
    pub(crate) gradient_steps: usize,
    pub(crate) batch_size: usize,
    pub(crate) gradient_slices: usize,
}

/// Updates of an iteration of a run that learns from recorded experience.
const RECORDED_UPDATES: usize = 100;

impl Plan {
    /// Of an algorithm that learns from single steps.
    pub(crate) fn of_steps(settings: Replaying, sampling: Sampling, info: &RunInfo) -> Self {
        let (num_steps, gradient_steps) = settings.rhythm(info.num_envs);
        Self {
            buffer_size: settings.buffer_size,
            shape: ReplayShape::of(info),
            sampling,
            unit: Unit::Step,
            learning_starts: settings.learning_starts,
            num_steps,
            gradient_steps,
            batch_size: settings.batch_size,
            gradient_slices: settings.gradient_slices,
        }
    }

    /// Of a world model of one agent's environment, whose policy remembers so many numbers of each row.
    ///
    /// # Errors
    /// If there are several agents.
    pub(crate) fn of_sequences(
        algorithm: &'static str,
        settings: ReplayingSequences,
        state_len: usize,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        if info.num_agents > 1 {
            let (expected, found) = ("environments of one agent", format!("{} agents", info.num_agents));
            return Err(AgentError::Unsupported { algorithm, expected, found });
        }
        Ok(Self {
            buffer_size: settings.buffer_size,
            shape: ReplayShape { state_len, state_period: settings.num_steps, ..ReplayShape::of(info) },
            sampling: Sampling::Uniform,
            unit: Unit::Sequence(settings.sequence_length),
            learning_starts: settings.learning_starts,
            num_steps: settings.num_steps,
            gradient_steps: settings.gradient_steps,
            batch_size: settings.batch_size,
            gradient_slices: settings.gradient_slices,
        })
    }

    /// Of an algorithm that needs recorded experience, and can act beside it.
    ///
    /// # Errors
    /// If the run has none, or the settings are out of range where it acts.
    pub(crate) fn with_recorded_steps(
        algorithm: &'static str,
        settings: Replaying,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        if info.recorded_beside().is_some() {
            settings.validate(info)?;
            return Ok(Self::of_steps(settings, Sampling::Uniform, info));
        }
        Self::of_recorded_steps(algorithm, settings.batch_size, settings.gradient_slices, info)
    }

    /// Of an algorithm that learns from recorded experience only.
    ///
    /// # Errors
    /// If the run has none.
    pub(crate) fn of_recorded_steps(
        algorithm: &'static str,
        batch_size: usize,
        gradient_slices: usize,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        let (expected, found) = match info.recorded {
            Some(_) => ("recorded data alone (data.acts = false)", "a run that acts too"),
            None => ("recorded data (--data ID)", "none"),
        };
        let unsupported = AgentError::Unsupported { algorithm, expected, found: found.to_owned() };
        let steps = info.recorded_alone().ok_or(unsupported)?;
        let plan = Self {
            buffer_size: 1,
            shape: ReplayShape::of(info),
            sampling: Sampling::Uniform,
            unit: Unit::Step,
            learning_starts: 0,
            num_steps: 1,
            gradient_steps: 1,
            batch_size,
            gradient_slices,
        };
        plan.of_recorded(steps)
    }

    /// The steps of recorded experience, if they can be learned from and have room beside so many of the run's own.
    fn recorded_steps(&self, steps: u64, own: usize) -> Result<usize, AgentError> {
        let (algorithm, expected) =
            ("learning from recorded data", "algorithms that learn from single steps");
        let found = match usize::try_from(steps) {
            Ok(steps) if self.unit == Unit::Step => {
                settings::addressable(steps.saturating_add(own))?;
                return Ok(steps);
            }
            Ok(_) => "one that learns from sequences",
            Err(_) => "more steps than memory",
        };
        Err(AgentError::Unsupported { algorithm, expected, found: found.to_owned() })
    }

    /// Refuses to learn from recorded experience beside the run's own where that cannot be.
    fn beside_recorded(self, recorded: Recorded) -> Result<Self, AgentError> {
        self.recorded_steps(recorded.steps, self.buffer_size)?;
        if self.sampling == Sampling::Uniform {
            return Ok(self);
        }
        let expected = "\"uniform\" where a run acts and learns from recorded data";
        Err(AgentError::setting("replay.kind", expected, "\"prioritized\""))
    }

    /// Of a run that learns from recorded experience: all of it is kept, and a step is an update.
    fn of_recorded(self, steps: u64) -> Result<Self, AgentError> {
        let buffer_size = self.recorded_steps(steps, 0)?;
        Ok(Self {
            buffer_size,
            learning_starts: 0,
            num_steps: RECORDED_UPDATES,
            gradient_steps: RECORDED_UPDATES,
            ..self
        })
    }
}

/// Networks that learn from replayed experience.
pub trait ReplayAlgorithm: Send + Sized + 'static {
    /// Its settings.
    type Config: Serialize + DeserializeOwned;
    /// Working memory of a gradient slice.
    type Work: Default + Send;
    /// What is summed over the rows of a minibatch and the updates of a round.
    type Sums: Sums;

    /// Names of the metrics.
    const METRICS: &'static [&'static str];
    /// Whether it reads what steps led to.
    const READS_NEXT: bool = true;

    /// The shape of its networks where none is given.
    fn default_network() -> ModelConfig;

    /// Checks the settings and builds the networks, initialised from the run's seed.
    ///
    /// # Errors
    /// As [`Algorithm::new`].
    fn new(config: Self::Config, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError>;

    /// As [`Algorithm::policy_from`].
    ///
    /// # Errors
    /// As there.
    fn policy_from(
        config: &Self::Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError>;

    /// A snapshot of the current policy.
    ///
    /// # Errors
    /// If the network cannot be prepared for acting.
    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError>;

    /// The networks' layers.
    fn summary(&self) -> Summary;

    /// All networks, the acting one first.
    fn parts(&self) -> Vec<&Part>;

    /// All networks, in the same order.
    fn parts_mut(&mut self) -> Vec<&mut Part>;

    /// Makes anew whatever is derived from the networks, which were changed from outside.
    ///
    /// # Errors
    /// If a network cannot be prepared for acting.
    fn refresh(&mut self) -> Result<(), AgentError> {
        Ok(())
    }

    /// As [`Learner::ensure_ready`].
    ///
    /// # Errors
    /// As there.
    fn ensure_ready(&self) -> Result<(), AgentError> {
        Ok(())
    }

    /// Called with each part of the recorded experience of a run that does not act, before it is in the buffer.
    fn hears(&mut self, _recorded: &Fragment) {}

    /// Called when all of the recorded experience of a run that does not act is there.
    ///
    /// # Errors
    /// If it cannot be learned from.
    fn recorded(&mut self, _experience: &Experience) -> Result<(), AgentError> {
        Ok(())
    }

    /// Called once before anything else that draws.
    fn begin(&mut self, _experience: &mut Experience) {}

    /// Called in each iteration, before the updates; the run went on from `before` to `now` environment steps.
    ///
    /// # Errors
    /// If a network cannot be prepared for acting.
    fn before_round(&mut self, _before: u64, _now: u64) -> Result<(), AgentError> {
        Ok(())
    }

    /// One update, with a minibatch that was drawn; gives its sums. The core counts it.
    ///
    /// # Errors
    /// If a loss or gradient is not finite.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<Self::Work, Self::Sums>],
        env_steps: u64,
    ) -> Result<Self::Sums, AgentError>;

    /// Called after the updates of a round.
    fn after_round(&mut self, _experience: &mut Experience) {}

    /// The metrics of an iteration, with the sums of its round if there was one.
    fn metrics(&self, sums: Option<&Self::Sums>, experience: &Experience, env_steps: u64) -> Vec<f64>;

    /// As [`Learner::follow`].
    ///
    /// # Errors
    /// If it cannot learn from this teacher, or from any.
    fn follow(&mut self, _guide: Guide) -> Result<(), AgentError> {
        Err(learner::follows_nobody())
    }

    /// As [`Learner::set_guidance`].
    fn set_guidance(&mut self, _coef: f64) {}

    /// A seed that decides more than the networks and is saved; the others leave it at zero.
    fn own_seed(&self) -> u64 {
        0
    }

    /// Takes on a saved seed.
    fn set_own_seed(&mut self, _seed: u64) {}
}

/// A learner with a replay buffer.
pub struct ReplayLearner<A: ReplayAlgorithm> {
    pub(crate) algorithm: A,
    pub(crate) experience: Experience,
    plan: Plan,
    /// Whether all that it ever learns from was recorded before.
    recorded: bool,
    slices: Vec<Slice<A::Work, A::Sums>>,
}

/// What is saved of a learner beside its full chunks.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) parts: Vec<SavedPart>,
    own_seed: u64,
    experience: SavedExperience,
}

impl<A: ReplayAlgorithm> ReplayLearner<A> {
    /// A round of updates; gives their sums.
    fn round(&mut self, env_steps: u64, gives_up: &mut GivesUp<'_>) -> Result<Option<A::Sums>, AgentError> {
        let Self { algorithm, experience, plan, slices, .. } = self;
        let mut total: Option<A::Sums> = None;
        for _ in 0..plan.gradient_steps {
            learner::go_on(gives_up)?;
            experience.draw(plan.batch_size, env_steps);
            let sums = algorithm.update(experience, slices, env_steps)?;
            experience.updates += 1;
            match &mut total {
                Some(total) => total.add(&sums),
                None => total = Some(sums),
            }
        }
        algorithm.after_round(experience);
        Ok(total)
    }
}

impl<A: ReplayAlgorithm> Algorithm for ReplayLearner<A> {
    type Config = A::Config;

    fn default_network() -> ModelConfig {
        A::default_network()
    }

    fn new(config: A::Config, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        let (mut algorithm, plan) = A::new(config, network, info)?;
        let plan = match info.recorded {
            Some(recorded) if recorded.acts => plan.beside_recorded(recorded)?,
            Some(recorded) => plan.of_recorded(recorded.steps)?,
            None => plan,
        };
        let mut experience =
            Experience::new(plan.buffer_size, plan.shape.clone(), plan.sampling, plan.unit, info);
        experience.reads_next = A::READS_NEXT;
        algorithm.begin(&mut experience);
        let recorded = info.recorded_alone().is_some();
        Ok(Self { algorithm, experience, slices: slices(plan.gradient_slices), plan, recorded })
    }

    fn policy_from(
        config: &A::Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        A::policy_from(config, network, info, weights)
    }
}

impl<A: ReplayAlgorithm> Learner for ReplayLearner<A> {
    fn num_steps(&self) -> usize {
        self.plan.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        A::METRICS
    }

    fn remarks(&self, threads: usize) -> Vec<String> {
        division::remark_of_set(self.plan.batch_size, self.slices.len(), threads).into_iter().collect()
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.algorithm.policy()
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        self.experience.remember(fragments);
        let acted: usize = fragments.iter().map(Fragment::env_steps).sum();
        let steps = if self.recorded { self.plan.num_steps } else { acted };
        self.algorithm.before_round(env_steps - steps as u64, env_steps)?;
        let learns = env_steps > self.plan.learning_starts && self.experience.held() > 0;
        let sums =
            if learns { awake(self.slices.len() - 1, || self.round(env_steps, gives_up))? } else { None };
        let metrics = self.algorithm.metrics(sums.as_ref(), &self.experience, env_steps);
        Ok(LearnReport { updates: self.experience.updates, metrics })
    }

    fn remember(&mut self, recorded: &Fragment) -> Result<(), AgentError> {
        if self.recorded {
            self.algorithm.hears(recorded);
        }
        self.experience.remember_recorded(recorded)?;
        let is_whole = self.recorded && self.experience.replay.is_full();
        if is_whole { self.algorithm.recorded(&self.experience) } else { Ok(()) }
    }

    fn takes_recorded(&self) -> Result<(), AgentError> {
        Ok(())
    }

    fn keep_recorded_in(&mut self, store: Arc<dyn RowStore>) -> Result<(), AgentError> {
        self.experience.keep_recorded_in(store);
        Ok(())
    }

    fn ensure_ready(&self) -> Result<(), AgentError> {
        self.algorithm.ensure_ready()
    }

    fn memory_bytes(&self) -> u64 {
        self.experience.memory_bytes()
    }

    fn take_norms(&mut self) -> Option<Norms> {
        part::take_norms(&mut self.algorithm.parts_mut())
    }

    fn weights(&self) -> Weights {
        part::weights(&self.algorithm.parts())
    }

    fn set_learning_rates(&mut self, rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
        part::set_rates(&mut self.algorithm.parts_mut(), rates)
    }

    fn set_pruned(&mut self, prefixes: &[String]) -> Result<(), AgentError> {
        part::set_pruned(&mut self.algorithm.parts_mut(), prefixes)
    }

    fn prune(&mut self, sparsity: f64) -> Result<(), AgentError> {
        part::prune(&mut self.algorithm.parts_mut(), sparsity);
        self.algorithm.refresh()
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        part::load_weights(&mut self.algorithm.parts_mut(), weights)?;
        self.algorithm.refresh()
    }

    fn follow(&mut self, guide: Guide) -> Result<(), AgentError> {
        self.algorithm.follow(guide)
    }

    fn set_guidance(&mut self, coef: f64) {
        self.algorithm.set_guidance(coef);
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.algorithm.summary())
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
            parts: part::save(&self.algorithm.parts()),
            own_seed: self.algorithm.own_seed(),
            experience: self.experience.save(chunks)?,
        })
    }

    fn restore_with(&mut self, saved: &[u8], chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on.
        let parts = part::restored(&self.algorithm.parts(), saved.parts)?;
        self.experience = self.experience.restored(saved.experience, chunks)?;
        parts.put(&mut self.algorithm.parts_mut());
        self.algorithm.set_own_seed(saved.own_seed);
        self.algorithm.refresh()
    }
}
