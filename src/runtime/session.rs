//! A run under way: the loop of its iterations.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agon_agents::{AgentError, Fragment, FragmentShape, LearnReport, Learner, RunInfo};
use agon_envs::wrappers::Moments;

use super::runaway::Runaway;
use super::source::FragmentSource;
use crate::RunError;
use crate::acting::Acting;
use crate::config::{EnvConfig, RunConfig};
use crate::error::AtPath;
use crate::evaluate;
use crate::league::League;
use crate::policy::{self, Card, EnvSpaces};
use crate::run::RunDirectory;
use crate::run::checkpoint::{self, Best, RunState};
use crate::run::chunks::ChunkFiles;
use crate::run::directory::{replace, write_atomically};
use crate::run::recent::Recent;
use crate::run::window::MetricsWindow;
use crate::setup::Setup;
use crate::sinks::{EpisodeRow, Evaluation, MetricsRow, Outcome, Progress, Signal, Sinks, TimingRow};
use crate::teacher::TeacherConfig;

/// Where a run stands.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) iteration: u64,
    pub(super) env_steps: u64,
    pub(super) episodes: u64,
    pub(super) recent: Recent,
    pub(super) best: Option<Best>,
    pub(super) seconds_before: f64,
    /// The mean return of this process's last evaluation.
    pub(super) evaluated: Option<f64>,
}

/// A run under way.
pub(super) struct Session<'a> {
    pub(super) setup: &'a Setup,
    pub(super) config: &'a RunConfig,
    /// The settings that decide the run, as checkpoints keep them.
    pub(super) settings: String,
    pub(super) run: &'a RunDirectory,
    pub(super) info: RunInfo,
    pub(super) env_spaces: EnvSpaces,
    pub(super) env_metrics: Vec<String>,
    pub(super) learner: Box<dyn Learner>,
    pub(super) teacher: Option<TeacherConfig>,
    pub(super) source: Box<dyn FragmentSource>,
    /// The sizes that every fragment must have.
    pub(super) shape: FragmentShape,
    /// What was published last.
    pub(super) acting: Arc<Acting>,
    /// Running statistics, merged over all shards.
    pub(super) statistics: Vec<Moments>,
    pub(super) sinks: Sinks<'a>,
    pub(super) counters: Counters,
    /// Metrics since the last row of them.
    pub(super) window: MetricsWindow,
    /// What looks for losses that run away.
    pub(super) runaway: Runaway,
    /// Past selves that it plays against.
    pub(super) league: League,
    /// What checkpoints keep of a replay buffer.
    pub(super) chunks: ChunkFiles,
    /// The share of weights that this process last pruned to.
    pub(super) sparsity: Option<f64>,
    pub(super) started: Instant,
}

/// What an iteration gave, to be written down.
struct Iteration {
    fragments: Vec<Fragment>,
    env_steps: u64,
    report: LearnReport,
    evaluation: Option<Evaluation>,
    policy_lag: f64,
    waited: f64,
    learned: f64,
}

/// Names of what is written down of a learner's iterations: its own metrics, the norms of the acting network, and how many of its
/// weights are zero if it is pruned.
pub(super) fn metric_names(config: &RunConfig, learner: &dyn Learner) -> Vec<&'static str> {
    let norms = ["charts/gradient_norm", "charts/weight_norm"];
    let sparsity = config.pruning.is_on().then_some("charts/sparsity");
    learner.metric_names().iter().copied().chain(norms).chain(sparsity).collect()
}

/// How long an update, an evaluation or the wait for fragments may take before a wish to stop is heeded amid it, at the cost of what came after the
/// last checkpoint.
const PATIENCE: Duration = Duration::from_secs(5);

impl Session<'_> {
    /// Iterates until the run's end, or until a sink says to stop.
    pub(super) fn run(&mut self) -> Result<Outcome, RunError> {
        let total = self.config.total_timesteps;
        let steps_before = self.counters.env_steps;
        let mut next_checkpoint = next_multiple(self.counters.env_steps, self.config.checkpoint_every());
        // A wish is heeded where nothing is in flight: at the end of the next iteration, if that has begun.
        let mut wish = Signal::Continue;
        let mut begun = false;
        while self.counters.env_steps < total {
            if !begun {
                self.source.begin()?;
            }
            // Stopped amid an evaluation or a long update, the run goes on from its last checkpoint.
            let Some(mut iteration) = self.iterate()? else { break };
            let env_steps = iteration.env_steps;
            let improved =
                iteration.evaluation.as_ref().is_some_and(|found| self.improves(found.mean_return));
            let regular = env_steps >= total || env_steps >= next_checkpoint;
            let due = regular || improved || wish > Signal::Continue;
            // While this iteration is written down, the next one is acted in already.
            begun = !due;
            if begun {
                self.source.begin()?;
            }
            let progress = self.record(&mut iteration, steps_before)?;
            wish = wish.max(progress);
            self.source.recycle(iteration.fragments);
            if due {
                self.checkpoint(regular)?;
                next_checkpoint = next_multiple(env_steps, self.config.checkpoint_every());
                if wish == Signal::Stop {
                    break;
                }
                wish = Signal::Continue;
            }
        }
        let outcome = Outcome {
            finished: self.counters.env_steps >= total,
            env_steps: self.counters.env_steps,
            mean_return: self.mean_return(),
            seconds: self.seconds(),
        };
        self.sinks.end(&outcome)?;
        Ok(outcome)
    }

    /// Learns from the fragments that were begun, publishes what the next ones are acted with, and evaluates it if that is
    /// due. Nothing of an evaluation reaches the training. Nothing comes of it if a sink says to stop after one of these has
    /// taken long.
    fn iterate(&mut self) -> Result<Option<Iteration>, RunError> {
        let waiting = Instant::now();
        let gives_up = &mut || waiting.elapsed() >= PATIENCE && self.sinks.is_stopped();
        let Some(fragments) = self.source.fragments(gives_up)? else { return Ok(None) };
        let waited = waiting.elapsed().as_secs_f64();
        if self.source.is_outside() {
            self.validate(&fragments)?;
        }
        let learning = Instant::now();
        let steps: usize = match self.info.recorded_alone() {
            Some(_) => self.learner.num_steps(),
            None => fragments.iter().map(Fragment::env_steps).sum(),
        };
        let env_steps = self.counters.env_steps + steps as u64;
        if let Some(teacher) = &self.teacher {
            let mean_return = self.counters.recent.mean_return();
            let total = self.config.total_timesteps;
            self.learner.set_guidance(teacher.weight(self.counters.env_steps, total, mean_return));
        }
        self.prune(env_steps)?;
        let gives_up = &mut || learning.elapsed() >= PATIENCE && self.sinks.is_stopped();
        let mut report = match self.learner.learn_unless(&fragments, env_steps, gives_up) {
            // The learner is of no use any more; the last checkpoint stands.
            Err(AgentError::GivenUp) => return Ok(None),
            report => report?,
        };
        let norms = self.learner.take_norms().map_or([f64::NAN; 2], |norms| [norms.gradient, norms.weights]);
        report.metrics.extend(norms);
        report.metrics.extend(self.sparsity);
        for fragment in &fragments {
            self.statistics.iter_mut().zip(&fragment.news).for_each(|(all, news)| all.merge(news));
        }
        let acted: u64 = fragments
            .iter()
            .map(|fragment| self.acting.version.saturating_sub(fragment.policy_version))
            .sum();
        let policy_lag = acted as f64 / fragments.len().max(1) as f64;
        let policy = self.learner.policy()?;
        self.league.grow(self.counters.env_steps, env_steps, &policy, || self.learner.weights());
        self.acting = Arc::new(Acting {
            policy,
            statistics: self.statistics.clone(),
            version: self.acting.version + 1,
            env_steps,
            past: self.league.past(),
        });
        self.source.publish(Arc::clone(&self.acting), &|| self.learner.weights());
        let learned = learning.elapsed().as_secs_f64();
        let config = self.config;
        let due = config.eval.is_due(self.counters.env_steps, env_steps, config.total_timesteps);
        let mut evaluation = None;
        if due {
            let evaluating = Instant::now();
            let is_stopped = &mut || evaluating.elapsed() >= PATIENCE && self.sinks.is_stopped();
            evaluation = evaluate::during_training(&self.setup.registry, config, &self.acting, is_stopped)?;
            if evaluation.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Iteration { fragments, env_steps, report, evaluation, policy_lag, waited, learned }))
    }

    /// Has the learner prune its weights, if more of them go after so many steps.
    fn prune(&mut self, env_steps: u64) -> Result<(), RunError> {
        let pruning = &self.config.pruning;
        if !pruning.is_on() {
            return Ok(());
        }
        let sparsity = pruning.sparsity_at(env_steps, self.config.total_timesteps);
        if self.sparsity != Some(sparsity) {
            self.learner.prune(sparsity)?;
            self.sparsity = Some(sparsity);
        }
        Ok(())
    }

    /// Refuses fragments from outside that do not fit the run.
    fn validate(&self, fragments: &[Fragment]) -> Result<(), RunError> {
        let expected = self.info.num_shards;
        if fragments.len() != expected {
            let message = format!("expected {expected} fragments an iteration, got {}", fragments.len());
            return Err(RunError::Source(message));
        }
        let widths: Vec<usize> = self.statistics.iter().map(|moments| moments.mean.len()).collect();
        fragments.iter().try_for_each(|fragment| {
            fragment.validate(&self.shape, expected)?;
            let found = fragment.news.iter().map(|moments| moments.mean.len());
            if found.eq(widths.iter().copied()) && fragment.news.iter().all(Moments::is_whole) {
                return Ok(());
            }
            let shard = fragment.shard;
            let message = format!("expected news of {widths:?} statistics from shard {shard}, found others");
            Err(RunError::Source(message))
        })
    }

    /// Counts an iteration's episodes and tells the sinks; gives their strongest wish.
    fn record(&mut self, iteration: &mut Iteration, steps_before: u64) -> Result<Signal, RunError> {
        let before = self.counters.env_steps;
        self.record_episodes(&iteration.fragments)?;
        let report = &iteration.report;
        self.counters.iteration += 1;
        self.counters.env_steps = iteration.env_steps;
        self.window.add(&report.metrics);
        let names = metric_names(self.config, &*self.learner);
        for warning in self.runaway.look(&names, &report.metrics, iteration.env_steps) {
            self.sinks.warning(&warning);
        }
        let every = self.config.log_every();
        let now = iteration.env_steps;
        if now / every != before / every || now >= self.config.total_timesteps {
            self.record_metrics(iteration)?;
        }
        if let Some(evaluation) = iteration.evaluation.take() {
            let Evaluation { env_steps, mean_return, .. } = evaluation;
            if self.improves(mean_return) {
                self.counters.best = Some(Best { env_steps, mean_return });
            }
            self.counters.evaluated = Some(mean_return);
            self.sinks.evaluation(self.counters.iteration, &evaluation)?;
        }
        let metrics: Vec<(&str, f64)> =
            names.into_iter().zip(iteration.report.metrics.iter().copied()).collect();
        self.sinks.iteration(&Progress {
            env_steps: now,
            total_timesteps: self.config.total_timesteps,
            updates: iteration.report.updates,
            mean_return: self.mean_return(),
            seconds: self.counters.seconds_before + self.started.elapsed().as_secs_f64(),
            steps_per_second: (now - steps_before) as f64 / self.started.elapsed().as_secs_f64(),
            metrics: &metrics,
        })
    }

    fn record_episodes(&mut self, fragments: &[Fragment]) -> Result<(), RunError> {
        let (num_envs, num_agents) = (self.info.num_envs as u64, self.info.num_agents);
        let num_metrics = self.env_metrics.len();
        let mut ended = Vec::new();
        for fragment in fragments {
            let first = fragment.shard * fragment.shape.num_rows();
            for (i, &(tick, stats)) in fragment.episodes.iter().enumerate() {
                let env_metrics = &fragment.episode_metrics[i * num_metrics..(i + 1) * num_metrics];
                ended.push((tick, first + stats.row as usize, stats, env_metrics));
            }
        }
        ended.sort_by_key(|&(tick, row, ..)| (tick, row));
        let before = self.counters.env_steps;
        for (tick, row, stats, env_metrics) in ended {
            self.counters.episodes += 1;
            self.counters.recent.push(&stats, env_metrics);
            self.sinks.episode(&EpisodeRow {
                episode: self.counters.episodes,
                env_steps: before + (u64::from(tick) + 1) * num_envs,
                env: row / num_agents,
                agent: row % num_agents,
                stats,
                env_metrics,
            })?;
        }
        Ok(())
    }

    fn record_metrics(&mut self, iteration: &Iteration) -> Result<(), RunError> {
        let counters = &self.counters;
        let seconds = self.seconds();
        let learner = self.window.take_means();
        let row = MetricsRow {
            iteration: counters.iteration,
            env_steps: counters.env_steps,
            updates: iteration.report.updates,
            episodes: counters.episodes,
            mean_return: counters.recent.mean_return(),
            mean_length: counters.recent.mean_length(),
            env_metrics: &counters.recent.env_metrics(self.env_metrics.len()),
            learner: &learner,
        };
        let timing = TimingRow {
            seconds,
            steps_per_second: counters.env_steps as f64 / seconds,
            policy_lag: iteration.policy_lag,
            learner_wait_s: iteration.waited,
            worker_blocked_s: self.source.take_blocked_s(),
            learn_s: iteration.learned,
        };
        self.sinks.metrics(&row, &timing)
    }

    /// What to show of how good the policy is: the mean return of the last training episodes, or where nobody acts that of the last
    /// evaluation.
    fn mean_return(&self) -> f64 {
        match (self.info.recorded_alone(), self.counters.evaluated) {
            (Some(_), Some(evaluated)) => evaluated,
            _ => self.counters.recent.mean_return(),
        }
    }

    /// Whether a mean return is the highest so far.
    fn improves(&self, mean_return: f64) -> bool {
        !mean_return.is_nan() && self.counters.best.is_none_or(|best| mean_return > best.mean_return)
    }

    fn seconds(&self) -> f64 {
        self.counters.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Saves the whole state, and the weights. The source waits meanwhile, and goes on only when told to.
    ///
    /// Without evaluations the best is one of the regular checkpoints: those that somebody asks for would make it depend on
    /// when they did.
    fn checkpoint(&mut self, regular: bool) -> Result<(), RunError> {
        let source = self.source.save()?;
        let env_steps = self.counters.env_steps;
        let mean_return = self.counters.recent.mean_return();
        // With evaluations on, they alone say what is best.
        if regular && !self.config.eval.is_on() && self.improves(mean_return) {
            self.counters.best = Some(Best { env_steps, mean_return });
        }
        if self.config.runtime.histograms {
            // Before sinks are saved: what they write after that is written again on resume.
            self.sinks.weights(env_steps, &self.learner.weights())?;
        }
        let league = self.league.save(&mut self.chunks)?;
        let state = RunState {
            settings: self.settings.clone(),
            total_timesteps: self.config.total_timesteps,
            iteration: self.counters.iteration,
            env_steps,
            episodes: self.counters.episodes,
            recent: self.counters.recent.clone(),
            learner: self.learner.save_with(&mut self.chunks)?,
            chunks: self.chunks.take_used(),
            league,
            source,
            statistics: self.statistics.clone(),
            window: self.window.clone(),
            sinks: self.sinks.save()?,
            seconds: self.seconds(),
            best: self.counters.best,
        };
        checkpoint::save(&self.run.checkpoints(), &state)?;
        self.chunks.keep(env_steps, &state.chunks)?;
        self.write_weights()?;
        if regular && self.config.runtime.keep_models {
            self.keep_weights(env_steps)?;
        }
        Ok(())
    }

    /// Keeps the weights that were just written, for good.
    fn keep_weights(&self, env_steps: u64) -> Result<(), RunError> {
        let from = self.run.model();
        // An algorithm without networks has none.
        if !from.exists() {
            return Ok(());
        }
        let to = self.run.kept_model(env_steps);
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).at("cannot create", directory)?;
        }
        write_atomically(&to, &fs::read(&from).at("cannot read", &from)?)
    }

    /// Writes the weights as they are, and again as the best if they are.
    pub(super) fn write_weights(&self) -> Result<(), RunError> {
        let weights = self.learner.weights();
        if weights.is_empty() {
            return Ok(());
        }
        let Counters { env_steps, best, recent, .. } = &self.counters;
        let config = self.config;
        let card = Card {
            format: policy::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            algorithm: config.algorithm.clone(),
            agent: config.agent.clone(),
            network: config.network.clone(),
            // Where an interpreter lies is the machine's business; code does not belong in a file that is handed on.
            env: EnvConfig { python: None, pickle: None, ..config.env.clone() },
            spaces: self.info.spaces.clone(),
            env_spaces: self.env_spaces.clone(),
            statistics: self.statistics.clone(),
            total_timesteps: config.total_timesteps,
            env_steps: *env_steps,
            seed: config.seed,
            mean_return: Some(recent.mean_return()).filter(|mean| !mean.is_nan()),
            best_mean_return: None,
            instruction_set: config.instruction_set()?.to_string(),
            checksum: 0,
        };
        // On the way a checkpoint has the same weights, and writes them again if they are lost.
        let write = if *env_steps < config.total_timesteps { replace } else { write_atomically };
        write(&self.run.model(), &policy::content(&card, &weights)?)?;
        match best {
            Some(best) if best.env_steps == *env_steps => {
                let card = Card { best_mean_return: Some(best.mean_return), ..card };
                write(&self.run.best_model(), &policy::content(&card, &weights)?)
            }
            _ => Ok(()),
        }
    }
}

/// The first multiple of `every` above `steps`.
fn next_multiple(steps: u64, every: u64) -> u64 {
    (steps / every + 1).saturating_mul(every)
}
