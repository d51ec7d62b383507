//! Episodes that are being played: what was searched in them waits here for what comes of it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::positions::{Position, Positions};
use crate::Fragment;
use crate::search::{Depth, Recorded};

/// Ticks of an episode that are waited for at most: positions of longer ones learn the search's value instead.
const MOST_TICKS: usize = 10_000;

/// What values learn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    pub(super) gamma: f32,
    /// Share of the search's own value.
    pub(super) search_value: f32,
    /// Ticks after which the search's value stands for what follows; 0 for the episode's end.
    pub(super) td_steps: usize,
}

/// What came of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Positions whose targets are known.
    pub(super) positions: usize,
    /// Of these, those in which a side had given the game up.
    pub(super) resigned: usize,
    /// Of these, those whose game came to something else.
    pub(super) resigned_wrongly: usize,
}

impl Judged {
    pub(super) fn add(&mut self, other: Self) {
        self.positions += other.positions;
        self.resigned += other.resigned;
        self.resigned_wrongly += other.resigned_wrongly;
    }

    /// Counts a position that came to a return.
    fn count(&mut self, position: &Position, returns: f32) {
        self.positions += 1;
        if position.was_resigned && !position.was_left {
            self.resigned += 1;
            self.resigned_wrongly += usize::from(position.value * returns <= 0.0);
        }
    }
}

/// A tick of one row's episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tick {
    reward: f32,
    /// Nothing if the row had nothing to choose.
    position: Option<Position>,
}

/// The ticks of one row's episode, as far as their positions still wait.
type Episode = VecDeque<Tick>;

/// The episodes of all rows of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Episodes(Vec<Episode>);

impl Episodes {
    pub(super) fn new(rows: usize) -> Self {
        Self(vec![Episode::new(); rows])
    }

    /// Whether they are of a run of the same size.
    pub(super) fn fits(&self, other: &Self, positions: &Positions) -> bool {
        let whole = |tick: &Tick| tick.position.as_ref().is_none_or(|position| positions.fits(position));
        self.0.len() == other.0.len()
            && self.0.iter().all(|episode| episode.len() <= MOST_TICKS && episode.iter().all(whole))
    }

    /// Adds a fragment's ticks, hands on the positions whose targets are known and counts them. `finals` are the values of its
    /// final observations.
    pub(super) fn take_in(
        &mut self,
        fragment: &Fragment,
        finals: &[f32],
        targets: Targets,
        positions: &mut Positions,
    ) -> Judged {
        let (rows, width) = (fragment.shape.num_rows(), fragment.shape.policy_data_width);
        let (first, agents) = (fragment.shard * rows, fragment.shape.num_agents);
        let mut judged = Judged::default();
        for step in 0..fragment.rows() {
            if !fragment.active[step] {
                continue;
            }
            let row = first + step % rows;
            let data = &fragment.policy_data[step * width..(step + 1) * width];
            let recorded = Recorded::read(data);
            if recorded.depth == Depth::Random {
                self.leave(row - row % agents..row - row % agents + agents);
            }
            let is_searched = matches!(recorded.depth, Depth::Cheap | Depth::Full | Depth::Resigned);
            let position = is_searched.then(|| positions.position(fragment, step, &recorded));
            let episode = &mut self.0[row];
            episode.push_back(Tick { reward: fragment.rewards[step], position });
            if let Some(index) = fragment.final_index(step) {
                let after = if fragment.terminated[step] { 0.0 } else { finals[index] };
                finish(episode, after, targets, positions, &mut judged);
            }
            let most = if targets.td_steps > 0 { targets.td_steps.min(MOST_TICKS) } else { MOST_TICKS - 1 };
            while episode.len() > most {
                release(episode, most, targets, positions, &mut judged);
            }
        }
        judged
    }
}

impl Episodes {
    /// A random move was made: what comes is not what the positions before it would have come to, for any agent.
    fn leave(&mut self, rows: std::ops::Range<usize>) {
        let ticks = self.0[rows].iter_mut().flatten();
        ticks.filter_map(|tick| tick.position.as_mut()).for_each(|position| position.was_left = true);
    }
}

/// Hands on all positions of an episode that is over, whose last tick led to something of value `after`.
fn finish(
    episode: &mut Episode,
    after: f32,
    targets: Targets,
    positions: &mut Positions,
    judged: &mut Judged,
) {
    let mut returns = after;
    let mut ended = Vec::new();
    while let Some(tick) = episode.pop_back() {
        returns = tick.reward + targets.gamma * returns;
        ended.extend(tick.position.map(|position| (position, returns)));
    }
    for (position, returns) in ended.into_iter().rev() {
        judged.count(&position, returns);
        positions.push(&position, returns, targets.search_value);
    }
}

/// Hands on the oldest position of an episode that goes on, with the search's value after `steps` ticks, or the next one.
fn release(
    episode: &mut Episode,
    steps: usize,
    targets: Targets,
    positions: &mut Positions,
    judged: &mut Judged,
) {
    let searched = |tick: &Tick| tick.position.is_some();
    let last = (steps..episode.len()).find(|&at| searched(&episode[at]));
    let last = last.or_else(|| (1..episode.len()).rev().find(|&at| searched(&episode[at])));
    let mut returns =
        last.and_then(|at| episode[at].position.as_ref()).map_or(0.0, |position| position.value);
    for tick in episode.iter().take(last.unwrap_or(1)).rev() {
        returns = tick.reward + targets.gamma * returns;
    }
    if let Some(position) = episode.pop_front().and_then(|tick| tick.position) {
        judged.count(&position, returns);
        positions.push(&position, returns, targets.search_value);
    }
}
