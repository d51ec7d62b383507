//! Which task comes next.

use serde::{Deserialize, Serialize};

use super::config::{TaskConfig, TaskSampling};
use crate::random::Generator as _;
use crate::{Pcg64, Seed};

/// Share of the episodes that learning progress leaves to the weights.
const BY_WEIGHT: f64 = 0.2;
/// How much of an average a new return makes: of the fast one and of the slow one.
const RATES: [f64; 2] = [0.1, 0.01];

/// Chooses tasks, and remembers what that depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sampler {
    kind: TaskSampling,
    weights: Vec<f64>,
    /// Of all environments together.
    progress: Vec<Progress>,
    /// Of each environment.
    own: Vec<Own>,
}

/// What the choices of one environment depend on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Own {
    rng: Pcg64,
    /// Steps of each task.
    steps: Vec<u64>,
}

/// How a task's returns change.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Progress {
    episodes: u64,
    /// Averages of returns, fast and slow, and of squared differences from the slow one.
    means: [f64; 2],
    squares: f64,
}

impl Progress {
    fn add(&mut self, episode_return: f64) {
        self.episodes += 1;
        // The averages of few returns are their means.
        let rate = |rate: f64| rate.max(1.0 / self.episodes as f64);
        let before = episode_return - self.means[1];
        for (mean, own) in self.means.iter_mut().zip(RATES) {
            *mean += rate(own) * (episode_return - *mean);
        }
        let square = before * (episode_return - self.means[1]);
        self.squares += rate(RATES[1]) * (square - self.squares);
    }

    /// How far the fast average is from the slow one, in deviations.
    fn rate(&self) -> f64 {
        let deviation = self.squares.sqrt();
        if deviation > 0.0 { (self.means[0] - self.means[1]).abs() / deviation } else { 0.0 }
    }
}

impl Sampler {
    pub(super) fn new(kind: TaskSampling, tasks: &[TaskConfig], num_envs: usize) -> Self {
        let own = Own { rng: Pcg64::seed_from(0), steps: vec![0; tasks.len()] };
        Self {
            kind,
            weights: tasks.iter().map(|task| task.weight).collect(),
            progress: vec![Progress::default(); tasks.len()],
            own: vec![own; num_envs],
        }
    }

    /// Whether a state is of as many tasks and environments.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let sizes = |sampler: &Self| (sampler.weights.len(), sampler.progress.len(), sampler.own.len());
        sizes(self) == sizes(other) && other.own.iter().all(|own| own.steps.len() == self.weights.len())
    }

    /// Begins anew: every environment gets a stream of its own, and its first task.
    ///
    /// Where tasks take turns, that is the seed's place among them: environments of consecutive seeds share the tasks evenly.
    pub(super) fn reset(&mut self, seeds: &[Seed]) -> Vec<usize> {
        self.progress.fill(Progress::default());
        for (own, seed) in self.own.iter_mut().zip(seeds) {
            own.rng = Pcg64::from_seed(&seed.child(&[0]));
            own.steps.fill(0);
        }
        let turn = |seed: &Seed| match seed {
            Seed::Integer(seed) => *seed,
            Seed::Sequence(sequence) => sequence.seed(),
        };
        let first = |(env, seed): (usize, &Seed)| match self.kind {
            TaskSampling::RoundRobin | TaskSampling::Steps => {
                (turn(seed) % self.weights.len() as u64) as usize
            }
            TaskSampling::Random | TaskSampling::LearningProgress => self.draw(env),
        };
        seeds.iter().enumerate().map(first).collect()
    }

    /// The state of one environment.
    pub(super) fn own(&self, env: usize) -> &Own {
        &self.own[env]
    }

    /// Takes on the state of one environment; whether it is of as many tasks.
    pub(super) fn set_own(&mut self, env: usize, own: Own) -> bool {
        let fits = own.steps.len() == self.weights.len();
        if fits {
            self.own[env] = own;
        }
        fits
    }

    /// Counts a step.
    pub(super) fn count(&mut self, env: usize, task: usize) {
        self.own[env].steps[task] += 1;
    }

    /// Takes in the return of an episode.
    pub(super) fn ended(&mut self, task: usize, episode_return: f64) {
        self.progress[task].add(episode_return);
    }

    /// The task after an episode of `last`.
    pub(super) fn next(&mut self, env: usize, last: usize) -> usize {
        let tasks = self.weights.len();
        match self.kind {
            TaskSampling::RoundRobin => (last + 1) % tasks,
            TaskSampling::Steps => {
                let share = |task: usize| self.own[env].steps[task] as f64 / self.weights[task];
                let following = (1..=tasks).map(|after| (last + after) % tasks);
                following.min_by(|&a, &b| share(a).total_cmp(&share(b))).unwrap_or(last)
            }
            TaskSampling::Random | TaskSampling::LearningProgress => self.draw(env),
        }
    }

    fn draw(&mut self, env: usize) -> usize {
        let chances = self.chances();
        self.own[env].rng.categorical_sample(&chances)
    }

    /// The chance of each task, where they are drawn.
    fn chances(&self) -> Vec<f64> {
        let whole: f64 = self.weights.iter().sum();
        let by_weight = self.weights.iter().map(|weight| weight / whole);
        if self.kind != TaskSampling::LearningProgress {
            return by_weight.collect();
        }
        let rates: Vec<f64> = self
            .weights
            .iter()
            .zip(&self.progress)
            .map(|(weight, progress)| weight * progress.rate())
            .collect();
        let total: f64 = rates.iter().sum();
        if total <= 0.0 {
            return by_weight.collect();
        }
        let by_rate = rates.iter().map(|rate| (1.0 - BY_WEIGHT) * rate / total);
        by_weight.zip(by_rate).map(|(weight, rate)| BY_WEIGHT * weight + rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(kind: TaskSampling, weights: &[f64]) -> Sampler {
        let task = |(i, &weight): (usize, &f64)| TaskConfig { weight, ..TaskConfig::of(&format!("{i}")) };
        let tasks: Vec<_> = weights.iter().enumerate().map(task).collect();
        Sampler::new(kind, &tasks, 1)
    }

    /// Steps of each task after episodes of these lengths.
    fn shares(mut sampler: Sampler, lengths: &[u64], episodes: usize) -> Vec<u64> {
        let mut task = sampler.reset(&[Seed::derived(1, &[])])[0];
        for _ in 0..episodes {
            (0..lengths[task]).for_each(|_| sampler.count(0, task));
            task = sampler.next(0, task);
        }
        sampler.own[0].steps.clone()
    }

    #[test]
    fn steps_are_shared_by_weight_whatever_the_lengths_of_episodes() {
        let steps = shares(sampler(TaskSampling::Steps, &[1.0, 2.0]), &[10, 1], 10_000);
        let share = steps[0] as f64 / (steps[0] + steps[1]) as f64;
        assert!((share - 1.0 / 3.0).abs() < 0.01, "{steps:?}");
    }

    #[test]
    fn consecutive_seeds_begin_with_consecutive_tasks() {
        let mut sampler = Sampler {
            own: vec![sampler(TaskSampling::Steps, &[1.0; 3]).own[0].clone(); 4],
            ..sampler(TaskSampling::Steps, &[1.0; 3])
        };
        let seeds: Vec<Seed> = (4..8).map(Seed::Integer).collect();
        assert_eq!(sampler.reset(&seeds), [1, 2, 0, 1]);
    }

    #[test]
    fn episodes_go_round_or_are_drawn_by_weight() {
        assert_eq!(shares(sampler(TaskSampling::RoundRobin, &[1.0, 9.0]), &[1, 1], 100), [50, 50]);
        let steps = shares(sampler(TaskSampling::Random, &[1.0, 3.0]), &[1, 1], 10_000);
        assert!((steps[1] as f64 / 10_000.0 - 0.75).abs() < 0.02, "{steps:?}");
    }

    #[test]
    fn a_task_whose_returns_change_is_chosen_more_often() {
        let mut sampler = sampler(TaskSampling::LearningProgress, &[1.0, 1.0, 1.0]);
        for episode in 0..100 {
            let noise = f64::from(episode % 2);
            sampler.ended(0, noise);
            sampler.ended(1, f64::from(episode) + noise);
            // The unit of a return does not count.
            sampler.ended(2, 1000.0 * (f64::from(episode) + noise));
        }
        let chances = sampler.chances();
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(chances[1] > 4.0 * chances[0] && chances[0] > BY_WEIGHT / 3.0, "{chances:?}");
        assert!((chances[1] - chances[2]).abs() < 0.02, "{chances:?}");
    }
}
