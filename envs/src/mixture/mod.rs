//! A mixture of tasks: environments of several kinds as those of one, so that one agent learns them all.
//!
//! Every environment plays one task until its episode ends, and then perhaps another. The main decision: a task is a vector
//! environment of its own, with as many environments as the mixture, of which only those are stepped that play it now; the
//! others are held, which every vector environment allows. So any registered environment can be a task, with its own
//! arguments, wrappers, time limit and monitor, and the trajectory of a row depends on its own past alone.
//!
//! Returns, lengths and metrics of a task are metrics of the mixture, `NAME/return`, `NAME/length` and `NAME/METRIC`, which the
//! episodes of other tasks do not have (they are not numbers there).

mod config;
mod rows;
mod sampling;
mod union;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use config::{ActionUnion, MixtureConfig, ObservationUnion, TaskConfig, TaskSampling};
pub use rows::TaskRows;

use crate::batch::EpisodeStats;
use crate::columns::{from_bytes, to_bytes};
use crate::registry::{EnvSpec, MakeOptions, Registry};
use crate::statistics::RunningStatistics;
use crate::vector::{Origin, RowSet, VectorEnv, VectorInfo};
use crate::{ActionBatch, ActionSpec, EnvError, Frame, ObsBuffer, Seed, StepBatch, WrapperConfig};
use config::refused;
use sampling::{Own, Sampler};
use union::{Union, View};

/// The id of all mixtures.
pub const ID: &str = "mixture";

/// Environments that play several tasks.
pub struct MixtureEnv {
    info: VectorInfo,
    tasks: Vec<Task>,
    /// The task of each environment.
    playing: Vec<u32>,
    sampler: Sampler,
    origin: Option<Origin>,
}

/// One task.
struct Task {
    env: Box<dyn VectorEnv>,
    view: View,
    /// What its environment writes and takes.
    batch: StepBatch,
    actions: ActionBatch,
    /// The environments of a step that was sent, or of a reset.
    rows: RowSet,
    /// The returns that count as 0 and as 1.
    returns: Option<[f64; 2]>,
    /// Where its metrics begin, and how many its environment has.
    metrics_at: usize,
    num_metrics: usize,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    playing: Vec<u32>,
    sampler: Sampler,
    tasks: Vec<SavedTask>,
}

/// What is saved of one environment.
#[derive(Serialize, Deserialize)]
struct SavedEnv {
    playing: u32,
    own: Own,
    tasks: Vec<SavedTask>,
}

#[derive(Serialize, Deserialize)]
struct SavedTask {
    env: Vec<u8>,
    /// What its environment wrote last, where it goes on from that.
    observations: Option<ObsBuffer>,
}

/// The mixture as an environment that a registry makes.
pub(crate) fn spec(registry: Registry) -> EnvSpec {
    EnvSpec::mixture(ID, move |options| MixtureEnv::new(&registry, options))
        .summary("Several tasks for one agent.")
}

impl MixtureEnv {
    /// Of the tasks that the options name. Their time limit caps those of the tasks.
    ///
    /// # Errors
    /// If there are no tasks, one cannot be made, or their spaces do not go together.
    pub fn new(registry: &Registry, options: &MakeOptions) -> Result<Self, EnvError> {
        let (configs, config) = (&options.tasks, &options.mixture);
        config::check(configs)?;
        if !options.args.is_empty() {
            return Err(refused("arguments are those of tasks: env.tasks = [{ id = \"…\", args = { … } }]"));
        }
        let mut envs = Vec::new();
        for task in configs {
            let spec = registry.get(&task.id)?;
            let env = spec.make_vector(&made(task, options, spec.time_limit()))?;
            if env.info().num_agents > 1 {
                let message = format!("{} has {} agents: tasks have one", task.name(), env.info().num_agents);
                return Err(refused(&message));
            }
            envs.push(env);
        }
        let infos: Vec<&VectorInfo> = envs.iter().map(|env| env.info()).collect();
        let Union { observation_space, action_space, mask_len, views } = Union::of(configs, &infos, config)?;
        let mut metrics = Vec::new();
        let mut tasks = Vec::new();
        for ((env, view), task) in envs.into_iter().zip(views).zip(configs) {
            let info = env.info();
            let (metrics_at, name) = (metrics.len(), task.name());
            let own = ["return", "length"].into_iter().chain(info.metrics.iter().map(String::as_str));
            metrics.extend(own.map(|metric| format!("{name}/{metric}")));
            tasks.push(Task {
                batch: info.new_batch(),
                actions: ActionBatch::zeros(&info.action_spec, options.num_envs),
                rows: RowSet::none(options.num_envs),
                returns: task.returns,
                metrics_at,
                num_metrics: info.metrics.len(),
                env,
                view,
            });
        }
        let info = VectorInfo {
            observation_space,
            action_spec: ActionSpec::of(&action_space)?,
            action_space,
            mask_len,
            num_envs: options.num_envs,
            num_agents: 1,
            teams: Vec::new(),
            frames: None,
            turns: false,
            action_names: Vec::new(),
            metrics,
            groups: Vec::new(),
            tasks: configs.iter().map(|task| task.name().to_owned()).collect(),
            privileged: None,
        };
        let sampler = Sampler::new(config.sampling, configs, options.num_envs);
        let origin = origin_of(&tasks);
        Ok(Self { info, tasks, playing: vec![0; options.num_envs], sampler, origin })
    }

    /// Shows what the chosen environments of a task see now.
    fn show(&mut self, task: usize, out: &mut StepBatch) {
        let (len, mask_len) = (self.info.observation_len(), self.info.mask_len);
        let Task { env, view, batch, rows, .. } = &self.tasks[task];
        let (own_len, own_mask) = (env.info().observation_len(), env.info().mask_len);
        for row in rows.iter() {
            view.show(&batch.observations, row, own_len, &mut out.observations, len);
            if mask_len > 0 {
                let own = &batch.action_masks[row * own_mask..(row + 1) * own_mask];
                view.mask(own, &mut out.action_masks[row * mask_len..(row + 1) * mask_len]);
            }
        }
    }

    /// What is told of a row's episode so far, in the task's own units.
    fn raw_episode(&self, row: usize) -> Option<(&Task, EpisodeStats)> {
        let task = &self.tasks[self.playing[row] as usize];
        Some((task, task.env.episode(row)?))
    }
}

/// How the environments of a task are made.
fn made(task: &TaskConfig, options: &MakeOptions, registered: Option<u32>) -> MakeOptions {
    let own = task.max_episode_steps.map_or(registered, |limit| (limit > 0).then_some(limit));
    let limit = match options.max_episode_steps {
        None => own,
        Some(cap) => cap.map(|cap| own.map_or(cap, |own| own.min(cap))),
    };
    let mut wrappers = task.wrappers.clone();
    if options.mixture.normalize_rewards {
        wrappers.push(WrapperConfig::normalize_reward());
    }
    MakeOptions {
        num_envs: options.num_envs,
        args: task.args.clone(),
        max_episode_steps: Some(limit),
        wrappers,
        worker: options.worker.clone(),
        ..MakeOptions::default()
    }
}

/// What the tasks are made of that are other programs'.
fn origin_of(tasks: &[Task]) -> Option<Origin> {
    let origins: Vec<&Origin> = tasks.iter().filter_map(|task| task.env.origin()).collect();
    let versions: BTreeMap<_, _> = origins.iter().flat_map(|origin| origin.versions.clone()).collect();
    let remarks = origins.iter().flat_map(|origin| origin.remarks.clone()).collect();
    (!origins.is_empty()).then_some(Origin { versions, remarks })
}

impl VectorEnv for MixtureEnv {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        for (task, key) in self.tasks.iter_mut().zip(1..) {
            let own: Vec<Seed> = seeds.iter().map(|seed| seed.child(&[key])).collect();
            task.env.reset(&own, &mut task.batch)?;
            task.rows.clear();
        }
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        for (env, task) in self.sampler.reset(seeds).into_iter().enumerate() {
            self.playing[env] = task as u32;
            self.tasks[task].rows.insert(env);
        }
        (0..self.tasks.len()).for_each(|task| self.show(task, out));
        Ok(())
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.tasks.iter_mut().for_each(|task| task.rows.clear());
        for env in envs.iter() {
            if let Some((_, stats)) = self.raw_episode(env)
                && stats.episode_length > 0
            {
                self.sampler.ended(self.task(env), stats.episode_return);
            }
            let task = self.sampler.next(env, self.task(env));
            self.playing[env] = task as u32;
            self.tasks[task].rows.insert(env);
        }
        for task in 0..self.tasks.len() {
            let Task { env, batch, rows, .. } = &mut self.tasks[task];
            if !rows.is_empty() {
                env.reset_envs(rows, batch)?;
                self.show(task, out);
            }
        }
        Ok(())
    }

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.tasks.iter_mut().for_each(|task| task.rows.clear());
        for row in active.iter() {
            let task = &mut self.tasks[self.playing[row] as usize];
            task.rows.insert(row);
            let width = task.env.info().action_spec.width();
            task.view.act(actions, row, width, &mut task.actions);
        }
        self.tasks
            .iter_mut()
            .filter(|task| !task.rows.is_empty())
            .try_for_each(|task| task.env.send(&task.actions, &task.rows))
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        for index in 0..self.tasks.len() {
            let Task { env, batch, rows, .. } = &mut self.tasks[index];
            if rows.is_empty() {
                continue;
            }
            env.receive(batch)?;
            for row in rows.iter() {
                out.rewards[row] = batch.rewards[row];
                out.terminated[row] = batch.terminated[row];
                out.truncated[row] = batch.truncated[row];
                self.sampler.count(row, index);
            }
            self.show(index, out);
        }
        Ok(())
    }

    fn episode(&self, row: usize) -> Option<EpisodeStats> {
        let (task, stats) = self.raw_episode(row)?;
        let place = |[low, high]: [f64; 2]| (stats.episode_return - low) / (high - low);
        Some(EpisodeStats { episode_return: task.returns.map_or(stats.episode_return, place), ..stats })
    }

    fn episode_metrics(&self, row: usize, out: &mut [f64]) {
        out.fill(f64::NAN);
        if let Some((task, stats)) = self.raw_episode(row) {
            let own = &mut out[task.metrics_at..task.metrics_at + 2 + task.num_metrics];
            own.fill(0.0);
            (own[0], own[1]) = (stats.episode_return, f64::from(stats.episode_length));
            task.env.episode_metrics(row, &mut own[2..]);
        }
    }

    fn task(&self, env: usize) -> usize {
        self.playing[env] as usize
    }

    fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        self.tasks.iter().try_for_each(|task| task.env.snapshot_support())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let saved = |task: &mut Task| {
            let observations = task.env.reads_back().then(|| task.batch.observations.clone());
            Ok(SavedTask { env: task.env.snapshot()?, observations })
        };
        let tasks = self.tasks.iter_mut().map(saved).collect::<Result<_, EnvError>>()?;
        to_bytes(&Saved { playing: self.playing.clone(), sampler: self.sampler.clone(), tasks })
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let saved: Saved = from_bytes(snapshot)?;
        let is_task = |&task: &u32| (task as usize) < self.tasks.len();
        let fits = saved.playing.len() == self.playing.len()
            && saved.playing.iter().all(is_task)
            && self.sampler.fits(&saved.sampler)
            && saved.tasks.len() == self.tasks.len();
        if !fits {
            return Err(self.of_other_tasks());
        }
        for (task, saved) in self.tasks.iter_mut().zip(saved.tasks) {
            task.env.restore(&saved.env)?;
            task.look_back(0, saved.observations.as_ref(), self.info.num_envs)?;
        }
        (self.playing, self.sampler) = (saved.playing, saved.sampler);
        Ok(())
    }

    fn save_env(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        let saved = |task: &mut Task| {
            let len = task.env.info().observation_len();
            let observations = task.env.reads_back().then(|| {
                let mut own = ObsBuffer::zeros(task.batch.observations.dtype(), 0);
                own.extend_from(&task.batch.observations, env * len, len);
                own
            });
            Ok(SavedTask { env: task.env.save_env(env)?, observations })
        };
        let tasks = self.tasks.iter_mut().map(saved).collect::<Result<_, EnvError>>()?;
        to_bytes(&SavedEnv { playing: self.playing[env], own: self.sampler.own(env).clone(), tasks })
    }

    fn load_env(&mut self, env: usize, saved: &[u8]) -> Result<(), EnvError> {
        let saved: SavedEnv = from_bytes(saved)?;
        let fits = (saved.playing as usize) < self.tasks.len() && saved.tasks.len() == self.tasks.len();
        if !fits || !self.sampler.set_own(env, saved.own) {
            return Err(self.of_other_tasks());
        }
        for (task, saved) in self.tasks.iter_mut().zip(saved.tasks) {
            task.env.load_env(env, &saved.env)?;
            task.look_back(env, saved.observations.as_ref(), 1)?;
        }
        self.playing[env] = saved.playing;
        Ok(())
    }

    fn fork(&mut self, from: usize, to: usize) -> Result<(), EnvError> {
        for task in &mut self.tasks {
            task.env.fork(from, to)?;
            task.batch.copy_env(from, to, task.env.info());
        }
        let own = self.sampler.own(from).clone();
        self.sampler.set_own(to, own);
        self.playing[to] = self.playing[from];
        Ok(())
    }

    fn reseed(&mut self, env: usize, seed: &Seed) -> Result<(), EnvError> {
        self.tasks.iter_mut().try_for_each(|task| task.env.reseed(env, seed))
    }

    fn render(&mut self, env: usize) -> Option<Frame> {
        let task = self.task(env);
        self.tasks[task].env.render(env)
    }

    fn render_text(&mut self, env: usize) -> Option<String> {
        let task = self.task(env);
        self.tasks[task].env.render_text(env)
    }

    fn visit_statistics(&mut self, visit: &mut dyn FnMut(&mut RunningStatistics)) {
        self.tasks.iter_mut().for_each(|task| task.env.visit_statistics(visit));
    }
}

impl MixtureEnv {
    fn of_other_tasks(&self) -> EnvError {
        let (tasks, envs) = (self.tasks.len(), self.info.num_envs);
        EnvError::Snapshot(format!(
            "expected a mixture of {tasks} tasks in {envs} environments, found another one"
        ))
    }
}

impl Task {
    /// Has the environment go on from what it wrote last, of `count` environments from `first` on.
    fn look_back(&mut self, first: usize, saved: Option<&ObsBuffer>, count: usize) -> Result<(), EnvError> {
        let len = self.env.info().observation_len();
        let expected = self.env.reads_back().then(|| (self.batch.observations.dtype(), count * len));
        if saved.map(|buffer| (buffer.dtype(), buffer.len())) != expected {
            return Err(EnvError::Snapshot("what a task showed last is of another size".to_owned()));
        }
        if let Some(saved) = saved {
            self.batch.observations.copy_range(first * len, saved, 0, saved.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
