//! What all policy-gradient learners share: how one is built, learns, and is saved and restored.
//!
//! An algorithm brings its settings and one iteration of a [`PolicyGradient`] core ([`PolicyGradientAlgorithm`]), and whatever
//! networks it has beside the core's; [`PolicyGradientLearner`] is the learner.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_nn::{ModelConfig, Summary};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::codec::{decode, encode};
use crate::guide::Guide;
use crate::learner::{
    GivesUp, LearnReport, Learner, Norms, PolicyInfo, RunInfo, follows_nobody, learns_of_itself,
};
use crate::part::{self, Part};
use crate::policy_gradient::{self, PolicyGradient, Settings};
use crate::slices::awake;
use crate::{AgentError, Fragment, Policy, Weights};

/// An algorithm on the policy-gradient core.
pub trait PolicyGradientAlgorithm: Send + Sized + 'static {
    /// Its settings.
    type Config: Serialize + DeserializeOwned;
    /// What is saved of it beside the core; nothing of most.
    type Saved: Serialize + DeserializeOwned;

    /// Names of the metrics.
    const METRICS: &'static [&'static str];
    /// What makes minibatches larger, for whoever has more threads than they are worth.
    const MORE_ROWS: &'static str = "fewer agent.num_minibatches, more agent.num_steps or num_envs";
    /// What names of weights begin with that only learning needs.
    const LEARNING_ONLY: &'static [&'static str] = &[];
    /// Whether it takes a teacher, whose loss is then among its metrics.
    const FOLLOWS: bool = false;

    /// What the core goes by.
    fn settings(config: &Self::Config) -> Settings;

    /// The same settings with so many gradient slices.
    #[must_use]
    fn with_slices(config: Self::Config, gradient_slices: Option<usize>) -> Self::Config;

    /// Checks the settings that are its own, before the core is built.
    ///
    /// # Errors
    /// If one is out of range.
    fn validate(config: &Self::Config) -> Result<(), AgentError>;

    /// Builds what it has beside the core.
    ///
    /// # Errors
    /// As [`Algorithm::new`].
    fn new(
        config: Self::Config,
        network: &ModelConfig,
        core: &PolicyGradient,
        info: &RunInfo,
    ) -> Result<Self, AgentError>;

    /// One iteration, while the threads that will learn are awake; gives the metrics.
    ///
    /// # Errors
    /// As [`Learner::learn_unless`].
    fn iterate(
        &mut self,
        core: &mut PolicyGradient,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<Vec<f64>, AgentError>;

    /// The networks that it has beside the core's.
    fn parts(&self) -> Vec<&Part> {
        Vec::new()
    }

    /// The same, in the same order.
    fn parts_mut(&mut self) -> Vec<&mut Part> {
        Vec::new()
    }

    /// Makes anew whatever is derived from its networks, which were changed from outside.
    ///
    /// # Errors
    /// If a network cannot be prepared for acting.
    fn refresh(&mut self) -> Result<(), AgentError> {
        Ok(())
    }

    /// As [`Learner::takes_recorded`].
    ///
    /// # Errors
    /// As there.
    fn takes_recorded(&self) -> Result<(), AgentError> {
        Err(learns_of_itself("one that learns from what it does itself"))
    }

    /// As [`Learner::remember`].
    ///
    /// # Errors
    /// As there.
    fn remember(&mut self, _recorded: &Fragment) -> Result<(), AgentError> {
        self.takes_recorded()
    }

    /// As [`Learner::memory_bytes`].
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// Its state.
    ///
    /// # Errors
    /// If it cannot be serialised.
    fn save(&self) -> Result<Self::Saved, AgentError>;

    /// Takes on a saved state.
    ///
    /// # Errors
    /// [`AgentError::Restore`] if it belongs to another configuration.
    fn restore(&mut self, saved: Self::Saved) -> Result<(), AgentError>;
}

/// A learner of the policy-gradient family.
pub struct PolicyGradientLearner<A: PolicyGradientAlgorithm> {
    pub(crate) algorithm: A,
    pub(crate) core: PolicyGradient,
    num_steps: usize,
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved<T> {
    pub(crate) core: policy_gradient::Saved,
    algorithm: T,
}

impl<A: PolicyGradientAlgorithm> PolicyGradientLearner<A> {
    /// All networks, the acting one first.
    fn parts(&self) -> Vec<&Part> {
        std::iter::once(&self.core.part).chain(self.algorithm.parts()).collect()
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        std::iter::once(&mut self.core.part).chain(self.algorithm.parts_mut()).collect()
    }
}

impl<A: PolicyGradientAlgorithm> Algorithm for PolicyGradientLearner<A> {
    type Config = A::Config;

    fn default_network() -> ModelConfig {
        ModelConfig::default()
    }

    fn new(config: A::Config, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        A::validate(&config)?;
        let settings = A::settings(&config);
        let core = PolicyGradient::new(&settings, network, info)?;
        Ok(Self { algorithm: A::new(config, network, &core, info)?, core, num_steps: settings.num_steps })
    }

    fn settled(config: A::Config, network: &ModelConfig, info: &RunInfo) -> A::Config {
        let slices = A::settings(&config).slices(network, info);
        A::with_slices(config, slices)
    }

    fn policy_from(
        config: &A::Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        A::settings(config).policy_from(network, info, weights, A::LEARNING_ONLY)
    }
}

impl<A: PolicyGradientAlgorithm> Learner for PolicyGradientLearner<A> {
    fn num_steps(&self) -> usize {
        self.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        A::METRICS
    }

    fn remarks(&self, threads: usize) -> Vec<String> {
        self.core.remarks(threads, A::MORE_ROWS)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.core.policy()
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let Self { algorithm, core, .. } = self;
        let metrics = awake(core.helpers(), || algorithm.iterate(core, fragments, env_steps, gives_up))?;
        Ok(LearnReport { updates: core.updates, metrics })
    }

    fn remember(&mut self, recorded: &Fragment) -> Result<(), AgentError> {
        self.algorithm.remember(recorded)
    }

    fn takes_recorded(&self) -> Result<(), AgentError> {
        self.algorithm.takes_recorded()
    }

    fn memory_bytes(&self) -> u64 {
        self.algorithm.memory_bytes()
    }

    fn take_norms(&mut self) -> Option<Norms> {
        part::take_norms(&mut [&mut self.core.part])
    }

    fn weights(&self) -> Weights {
        part::weights(&self.parts())
    }

    fn set_learning_rates(&mut self, rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
        part::set_rates(&mut self.parts_mut(), rates)
    }

    fn set_pruned(&mut self, prefixes: &[String]) -> Result<(), AgentError> {
        part::set_pruned(&mut [&mut self.core.part], prefixes)
    }

    fn prune(&mut self, sparsity: f64) -> Result<(), AgentError> {
        part::prune(&mut [&mut self.core.part], sparsity);
        Ok(())
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        part::load_weights(&mut self.parts_mut(), weights)?;
        self.algorithm.refresh()
    }

    fn follow(&mut self, guide: Guide) -> Result<(), AgentError> {
        if A::FOLLOWS { self.core.follow(guide) } else { Err(follows_nobody()) }
    }

    fn set_guidance(&mut self, coef: f64) {
        self.core.set_guidance(coef);
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.core.summary())
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        encode(&Saved { core: self.core.save(), algorithm: self.algorithm.save()? })
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        let saved: Saved<A::Saved> = decode(saved)?;
        self.algorithm.restore(saved.algorithm)?;
        self.core.restore(saved.core)
    }
}
