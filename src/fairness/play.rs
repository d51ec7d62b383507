//! Playing episodes and counting what is decided in them.

use agon_agents::EnvironmentLoop;
use agon_envs::random::SeedSequence;
use agon_envs::{Decision, Pcg64};

use super::actors::Actor;
use crate::RunError;
use crate::acting::set_statistics;
use crate::config::EVALUATION_LIMIT;
use crate::setup::Setup;

/// Environments that episodes are spread over.
const MAX_ENVS: usize = 32;
/// Parts that the steps of an episode are counted in.
const MOST_PARTS: u32 = 20;

/// What was decided about members of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// `[against, in favour][not qualified, qualified, unknown]`.
    members: [[u64; 3]; 2],
    /// The part of the return that comes from them.
    pub(super) reward: f64,
}

impl Counts {
    pub(super) fn add(&mut self, decision: &Decision) {
        let truth = decision.qualified.map_or(2, usize::from);
        self.members[usize::from(decision.favourable)][truth] += u64::from(decision.count);
        self.reward += decision.reward;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (own, other) in self.members.iter_mut().flatten().zip(other.members.iter().flatten()) {
            *own += other;
        }
        self.reward += other.reward;
    }

    /// Everybody decided about.
    pub(super) fn all(&self) -> f64 {
        self.members.iter().flatten().sum::<u64>() as f64
    }

    /// Those decided for.
    pub(super) fn favoured(&self) -> f64 {
        self.members[1].iter().sum::<u64>() as f64
    }

    /// Those of a truth, qualified or not.
    pub(super) fn of_truth(&self, qualified: bool) -> f64 {
        let truth = usize::from(qualified);
        (self.members[0][truth] + self.members[1][truth]) as f64
    }

    /// Those of a truth who were decided for.
    pub(super) fn favoured_of_truth(&self, qualified: bool) -> f64 {
        self.members[1][usize::from(qualified)] as f64
    }
}

/// One episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) episode_return: f64,
    /// `[M]`: the environment's own metrics.
    pub(super) metrics: Vec<f64>,
    /// `[parts][groups]`: in each part of the episode's longest duration.
    pub(super) parts: Vec<Vec<Counts>>,
}

impl Tally {
    /// `[groups]`: over the whole episode.
    pub(super) fn groups(&self) -> Vec<Counts> {
        let mut sums = vec![Counts::default(); self.parts.first().map_or(0, Vec::len)];
        for part in &self.parts {
            sums.iter_mut().zip(part).for_each(|(sum, counts)| sum.merge(counts));
        }
        sums
    }
}

/// Episodes that have been played.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Played {
    pub(super) groups: Vec<String>,
    pub(super) metrics: Vec<String>,
    /// Steps of each part of an episode.
    pub(super) part_steps: u32,
    pub(super) episodes: Vec<Tally>,
}

/// Plays episodes in fresh environments, each environment a fixed number of them: taking whichever end first would favour short
/// ones.
pub(super) fn play(
    setup: &Setup,
    actor: &mut Actor<'_>,
    count: usize,
    seed: u64,
) -> Result<Played, RunError> {
    let num_envs = count.min(MAX_ENVS);
    let spec = setup.registry.get(&actor.env.id)?;
    let (options, _) = actor.env.options_with_limit(num_envs, &spec, EVALUATION_LIMIT);
    let limit = options.max_episode_steps.unwrap_or(spec.time_limit()).unwrap_or(EVALUATION_LIMIT);
    let part_steps = limit.div_ceil(MOST_PARTS).max(1);
    let num_parts = limit.div_ceil(part_steps).max(1) as usize;
    let mut simulator = spec.make(&options)?;
    set_statistics(&mut simulator, &actor.statistics, true);
    let mut now = simulator.new_batch();
    simulator.reset(seed, &mut now)?;
    let (groups, metrics) = (simulator.info().groups.clone(), simulator.info().metrics.clone());
    let empty = Tally { parts: vec![vec![Counts::default(); groups.len()]; num_parts], ..Tally::default() };
    let mut tallies = vec![empty.clone(); num_envs];
    let mut steps = vec![0_u32; num_envs];
    let mut quotas: Vec<usize> =
        (0..num_envs).map(|env| count.saturating_sub(env).div_ceil(num_envs)).collect();
    let rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[1]));
    let mut environments = EnvironmentLoop::new(simulator, now, rng);
    let mut episodes = Vec::with_capacity(count);
    while episodes.len() < count {
        (actor.tick)(&mut environments)?;
        let now = &environments.now;
        for told in &now.decisions {
            let row = told.row as usize;
            let part = (steps[row] / part_steps).min(num_parts as u32 - 1) as usize;
            tallies[row].parts[part][told.decision.group as usize].add(&told.decision);
        }
        steps.iter_mut().for_each(|steps| *steps += 1);
        for (i, ended) in now.episodes.iter().enumerate() {
            let row = ended.row as usize;
            steps[row] = 0;
            let mut tally = std::mem::replace(&mut tallies[row], empty.clone());
            if quotas[row] == 0 {
                continue;
            }
            quotas[row] -= 1;
            tally.episode_return = ended.episode_return;
            tally.metrics = now.episode_metrics[i * metrics.len()..(i + 1) * metrics.len()].to_vec();
            episodes.push(tally);
        }
    }
    Ok(Played { groups, metrics, part_steps, episodes })
}
