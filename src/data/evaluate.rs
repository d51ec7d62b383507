//! Off-policy evaluation: what a trained policy is worth, from a data set of what others did.
//!
//! Fitted Q evaluation learns the policy's action values; weighted importance sampling weighs the data's rewards by how much
//! likelier the policy would have done what was done. Both give the discounted return of an episode.

use std::path::PathBuf;

use agon_agents::fitted_q::{FittedQ, FittedQConfig};
use agon_agents::importance::{WeighedEpisode, effective_episodes, weighted_per_decision};
use agon_agents::target_policy::TargetPolicy;
use agon_agents::{Fragment, FragmentShape, Learner, Recorded, RunInfo};
use agon_envs::{ActionBatch, ObsBuffer, Pcg64, WrapperConfig};
use agon_nn::{Input, Matrix};
use serde::Serialize;

use super::{DataConfig, RecordedExperience};
use crate::RunError;
use crate::policy::{self, TrainedPolicy, Which};
use crate::setup::Setup;
use crate::stats::{self, Estimate};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;

/// Rows of observations that a policy is asked about at once.
const ROWS: usize = 4096;

/// How a policy is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Fitted Q evaluation.
    FittedQ,
    /// Weighted per-decision importance sampling.
    ImportanceSampling,
}

/// Who made the data, as importance sampling has to know.
#[derive(Clone, Debug, PartialEq)]
pub enum BehaviorPolicy {
    /// Behavioural cloning of the data says.
    Cloned,
    /// Random actions, all alike.
    Random,
    /// A run or a weight file, whose actions were drawn from its probabilities.
    Policy(PathBuf),
}

/// What is evaluated, and how.
#[derive(Clone, Debug)]
pub struct EvaluationOptions {
    /// The data set's id, or its directory.
    pub set: String,
    /// The run, or the weight file.
    pub policy: PathBuf,
    /// How.
    pub method: Method,
    /// Whether the policy acts as in training instead of by its best actions.
    pub stochastic: bool,
    /// Who made the data.
    pub behavior: BehaviorPolicy,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Updates of fitted Q evaluation, and of behavioural cloning.
    pub updates: u64,
    /// Seed of networks, minibatches and resamples.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PolicyValue {
    /// The policy's discounted return, with a bootstrap interval over the data's episodes: of fitted Q evaluation over their first
    /// observations alone, so that it knows nothing of errors of the values.
    pub value: Estimate,
    /// The mean discounted return of the data.
    pub data_return: f64,
    /// Episodes of the data.
    pub episodes: usize,
    /// How many episodes of the policy's own they are worth, of importance sampling.
    pub effective_episodes: Option<f64>,
    /// The mean loss of the last tenth of the updates, of fitted Q evaluation.
    pub loss: Option<f64>,
}

/// Evaluates a policy on a data set.
///
/// # Errors
/// If there is no such policy or data set, they are of different spaces, or the policy cannot be evaluated so.
pub fn evaluate(setup: &Setup, options: &EvaluationOptions) -> Result<PolicyValue, RunError> {
    if !(0.0..=1.0).contains(&options.gamma) {
        let found = options.gamma;
        return Err(RunError::Config(format!("gamma must be between 0 and 1, got {found}")));
    }
    let trained = policy::load_which(setup, &options.policy, Which::Newest)?;
    let data = Data::read(setup, &trained, options)?;
    let target = data.target(&trained, options.stochastic)?;
    match options.method {
        Method::FittedQ => data.fitted_q(target, options),
        Method::ImportanceSampling => data.importance(setup, &target, options),
    }
}

/// Episodes as the policy sees them.
struct Data {
    info: RunInfo,
    episodes: Vec<Fragment>,
}

impl Data {
    fn read(setup: &Setup, trained: &TrainedPolicy, options: &EvaluationOptions) -> Result<Self, RunError> {
        let card = trained.card();
        let env = setup.registry.make(&card.env.id, &card.env.options(1))?;
        let config = DataConfig { sets: vec![options.set.clone()], ..DataConfig::default() };
        let mut recorded = RecordedExperience::read(&config, &card.env.wrappers, env.info(), Vec::new())?;
        if let [moments] = card.statistics.as_slice() {
            recorded = recorded.normalized_by(moments.clone());
        }
        let is_paid_otherwise =
            |wrapper: &WrapperConfig| matches!(wrapper, WrapperConfig::NormalizeReward { .. });
        if card.env.wrappers.iter().any(is_paid_otherwise) {
            let message =
                "--policy: expected a run whose rewards are the environment's, found normalize_reward";
            return Err(RunError::Config(message.to_owned()));
        }
        let spaces = card.spaces.clone();
        let shape = FragmentShape {
            num_steps: 1,
            num_envs: 1,
            num_agents: 1,
            observation_len: spaces.observation.packed_len(),
            dtype: env.new_batch().observations.dtype(),
            action_spec: spaces.action.clone(),
            policy_data_width: 0,
            policy_state_len: 0,
            mask_len: spaces.mask_len,
            num_metrics: 0,
            num_tasks: 0,
            privileged: None,
        };
        let mut episodes = Vec::new();
        recorded.each(&shape, &mut |episode| {
            episodes.push(episode.clone());
            Ok(())
        })?;
        let told = Recorded { steps: recorded.steps(), acts: false, share: 0.5 };
        let info = RunInfo {
            spaces,
            num_envs: 1,
            num_agents: 1,
            num_shards: 1,
            total_timesteps: options.updates,
            seed: options.seed,
            privileged: None,
            recorded: Some(told),
        };
        Ok(Self { info, episodes })
    }

    /// A policy in the spaces of the data.
    fn target(&self, trained: &TrainedPolicy, sampled: bool) -> Result<TargetPolicy, RunError> {
        Ok(TargetPolicy::new(&*trained.acting().policy, &self.info.spaces, sampled)?)
    }

    fn data_return(&self, gamma: f64) -> f64 {
        let returns = self.episodes.iter().map(|episode| {
            episode.rewards.iter().rev().fold(0.0, |rest, &reward| f64::from(reward) + gamma * rest)
        });
        stats::mean(&returns.collect::<Vec<_>>())
    }

    fn fitted_q(&self, target: TargetPolicy, options: &EvaluationOptions) -> Result<PolicyValue, RunError> {
        let config = FittedQConfig { gamma: options.gamma, ..FittedQConfig::default() };
        let mut values = FittedQ::new(config, None, &self.info, target)?;
        self.episodes.iter().try_for_each(|episode| values.remember(episode))?;
        let mut last = Vec::new();
        for update in 0..options.updates {
            let loss = values.update()?;
            if update >= options.updates - options.updates.div_ceil(10) {
                last.push(loss);
            }
        }
        let mut first = Vec::new();
        for episode in &self.episodes {
            first.push(f64::from(values.values(&self.observations(episode, 0, 1)?)?[0]));
        }
        let value = resampled(first.len(), options.seed, |drawn| {
            Some(drawn.iter().map(|&index| first[index]).sum::<f64>() / drawn.len() as f64)
        });
        Ok(PolicyValue {
            value,
            data_return: self.data_return(options.gamma),
            episodes: self.episodes.len(),
            effective_episodes: None,
            loss: Some(stats::mean(&last)),
        })
    }

    fn importance(
        &self,
        setup: &Setup,
        target: &TargetPolicy,
        options: &EvaluationOptions,
    ) -> Result<PolicyValue, RunError> {
        let Some(choices) = target.options() else {
            let message =
                "--method wis: expected a policy of one choice, found numbers: `--method fqe` is for both";
            return Err(RunError::Config(message.to_owned()));
        };
        let behavior = match &options.behavior {
            BehaviorPolicy::Random => None,
            BehaviorPolicy::Cloned => Some(self.cloned(setup, options)?),
            BehaviorPolicy::Policy(path) => {
                Some(self.target(&policy::load_which(setup, path, Which::Newest)?, true)?)
            }
        };
        let mut episodes = Vec::new();
        for episode in &self.episodes {
            let actions = match &episode.actions {
                ActionBatch::Discrete(actions) => actions.as_slice(),
                ActionBatch::Continuous(_) => &[],
            };
            let of = |policy: &TargetPolicy| self.log_probs(policy, episode, choices, actions);
            let wanted = of(target)?;
            let done = match &behavior {
                Some(behavior) => of(behavior)?,
                None => vec![-(choices as f64).ln(); wanted.len()],
            };
            let log_ratios = wanted.iter().zip(done).map(|(wanted, done)| wanted - done).collect();
            let rewards = episode.rewards.iter().map(|&reward| f64::from(reward)).collect();
            episodes.push(WeighedEpisode { log_ratios, rewards });
        }
        if weighted_per_decision(&episodes.iter().collect::<Vec<_>>(), options.gamma).is_none() {
            let message = "--method wis: expected data in which some episode does what the policy would do to its end, found \
                           none: `--stochastic` weighs what is unlikely too, `--method fqe` weighs nothing";
            return Err(RunError::Config(message.to_owned()));
        }
        let value = resampled(episodes.len(), options.seed, |drawn| {
            let drawn: Vec<&WeighedEpisode> = drawn.iter().map(|&index| &episodes[index]).collect();
            weighted_per_decision(&drawn, options.gamma)
        });
        Ok(PolicyValue {
            value,
            data_return: self.data_return(options.gamma),
            episodes: episodes.len(),
            effective_episodes: Some(effective_episodes(&episodes)),
            loss: None,
        })
    }

    /// Logarithms of a policy's probabilities of what was done in an episode, `[T]`.
    fn log_probs(
        &self,
        policy: &TargetPolicy,
        episode: &Fragment,
        choices: usize,
        actions: &[u32],
    ) -> Result<Vec<f64>, RunError> {
        let mut log_probs = Vec::with_capacity(actions.len());
        for (block, actions) in actions.chunks(ROWS).enumerate() {
            let x = self.observations(episode, block * ROWS, actions.len())?;
            let probs = policy.doing(&x)?;
            let rows = probs.chunks_exact(choices).zip(actions);
            log_probs.extend(rows.map(|(probs, &action)| f64::from(probs[action as usize]).ln()));
        }
        Ok(log_probs)
    }

    /// A policy that was cloned from the data.
    fn cloned(&self, setup: &Setup, options: &EvaluationOptions) -> Result<TargetPolicy, RunError> {
        let bc = setup.algorithms.get("bc")?;
        let mut learner: Box<dyn Learner> = bc.build(&toml::Table::new(), None, &self.info)?;
        self.episodes.iter().try_for_each(|episode| learner.remember(episode))?;
        let mut updates = 0;
        while updates < options.updates {
            updates += learner.num_steps() as u64;
            learner.learn(&[], updates)?;
        }
        Ok(TargetPolicy::new(&*learner.policy()?, &self.info.spaces, true)?)
    }

    /// Some of an episode's observations, as a network reads them.
    fn observations(&self, episode: &Fragment, first: usize, count: usize) -> Result<Input, RunError> {
        let width = self.info.spaces.observation.packed_len();
        let range = first * width..(first + count) * width;
        match &episode.observations {
            ObsBuffer::F32(values) => {
                let matrix = Matrix::from_slice(count, width, &values[range])
                    .map_err(|error| RunError::Config(error.to_string()))?;
                Ok(Input::Floats(matrix))
            }
            ObsBuffer::U8(_) => {
                let message = "--policy: expected one that sees numbers, found bytes";
                Err(RunError::Config(message.to_owned()))
            }
        }
    }
}

/// A statistic of some episodes with its 95 % interval, by the percentile bootstrap; resamples that it is not defined for are left
/// out.
fn resampled(episodes: usize, seed: u64, statistic: impl Fn(&[usize]) -> Option<f64>) -> Estimate {
    let all: Vec<usize> = (0..episodes).collect();
    let value = statistic(&all).unwrap_or(f64::NAN);
    let mut rng = Pcg64::seed_from(seed);
    let mut drawn: Vec<f64> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let resample: Vec<usize> =
            all.iter().map(|_| rng.bounded(episodes.saturating_sub(1) as u64) as usize).collect();
        drawn.extend(statistic(&resample));
    }
    drawn.sort_by(f64::total_cmp);
    let end = |q| if drawn.is_empty() { f64::NAN } else { stats::quantile(&drawn, q) };
    Estimate { value, low: end(0.025), high: end(0.975) }
}
