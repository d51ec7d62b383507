//! Level-Based Foraging: agents of different levels gather food that some of them can only lift together.
//!
//! # Description
//! Agents and food lie on a square grid, each with a level. Food is loaded, and vanishes, when the levels of the agents
//! that stand beside it and load in the same step add up to at least its own. Ids read
//! `Foraging-{size}x{size}-{agents}p-{food}f[-coop]-v3`.
//!
//! # Action space
//! `Discrete(6)` for each agent: 0 nothing, 1 north, 2 south, 3 west, 4 east, 5 load. A move off the grid or onto food,
//! and a load beside no food, are 0. Agents that want to be in one cell, one that stays in it included, all stay where they
//! are; agents may change places. An agent may walk into the cell of one that wanted to leave it and was held up: then both
//! are in it.
//!
//! # Observation space
//! `3 · (food + agents)` numbers for each agent:
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 3 i, 3 i + 1 | row and column of the `i`-th food in sight, by row and column; −1 if there are not so many | −1 | size − 1 |
//! | 3 i + 2 | its level; 0 if there are not so many | 0 | 2 · min(agents, 3) |
//! | 3 (food + j), + 1 | row and column of agent `j`, oneself first, then the others in sight; −1 if there are not so many | −1 | size − 1 |
//! | 3 (food + j) + 2 | its level; 0 if there are not so many | 0 | 2 |
//!
//! With a `sight` below the size of the grid, rows and columns count from the corner of the part that is seen.
//!
//! # Rewards
//! Each agent that takes part in loading a food gets `level · food level / (levels of those who loaded it · levels of all
//! food)`, so that an episode in which all food is loaded gives the agents 1 in sum. A load that fails costs each agent that
//! tried `penalty`.
//!
//! # Metrics
//! `food_loaded`: the part of all food, by level, that the agents of the arena have loaded.
//!
//! # Starting state
//! Agents in random cells, of level 1 or 2. Food in random cells off the border, no two foods in one 3×3 square or two cells
//! apart in a row or column, of levels from 1 to the sum of the three lowest agents' levels; `-coop`: all of that sum.
//!
//! # Episode end
//! All agents end together: terminated when no food is left, truncated after 50 steps.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `cooperative` | as the id says | all food is of the sum of the three lowest agents' levels |
//! | `sight` | size of the grid | cells that an agent sees in each direction |
//! | `penalty` | 0 | cost of a load that fails |
//! | `normalize_reward` | true | divide rewards as above; else an agent gets `level · food level` |
//! | `shared_reward` | false | every agent gets the sum of all rewards divided by the number of agents |
//!
//! # Version history
//! v3: as in `lbforaging` 3 (the levels of food and agents are drawn one by one).
//!
//! # Source
//! Papoudakis, Christianos, Schäfer and Albrecht, "Benchmarking Multi-Agent Deep Reinforcement Learning Algorithms in
//! Cooperative Tasks" (2021); `semitable/lb-foraging` `lbforaging/foraging/environment.py`, whose draws it repeats in order.
//!
//! # Deviations
//! 1. The time limit truncates; the reference reports it as a termination.
//! 2. From an arena's second episode on, the reference keeps agents that have not been placed yet where the last episode
//!    left them and places nobody there. Here an episode depends on the generator alone.
//! 3. `shared_reward` is not the reference's.

mod picture;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use self::picture::scene;
use super::setting;
use crate::simulator::IN_TABLES;
use crate::simulator::{Actions, EcsEnv, EnvRng, Observations, Outcomes, Scope, SimulatorBuilder};
use crate::{EnvError, Pcg64, Space};

const MAX_AGENTS: usize = 4;
const MAX_FOOD: usize = 4;
const MAX_LEVEL: u8 = 2;
/// Draws for a place after which a food, or an agent, is left out.
const ATTEMPTS: usize = 1000;
const LOAD: u32 = 5;

/// Size of the grid and what is on it, as registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) size: u8,
    pub(super) agents: u8,
    pub(super) food: u8,
    pub(super) cooperative: bool,
}

impl Layout {
    /// The id under which it is registered.
    pub(super) fn id(&self) -> String {
        let Self { size, agents, food, cooperative } = *self;
        let suffix = if cooperative { "-coop" } else { "" };
        format!("Foraging-{size}x{size}-{agents}p-{food}f{suffix}-v3")
    }
}

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForagingArgs {
    /// All food needs the three lowest agents together; as the id says if absent.
    pub cooperative: Option<bool>,
    /// Cells that an agent sees in each direction; all if absent.
    pub sight: Option<u8>,
    /// Cost of a load that fails.
    pub penalty: f64,
    /// Divide rewards so that an episode's food gives 1.
    pub normalize_reward: bool,
    /// Give every agent the mean of all rewards.
    pub shared_reward: bool,
}

impl Default for ForagingArgs {
    fn default() -> Self {
        Self { cooperative: None, sight: None, penalty: 0.0, normalize_reward: true, shared_reward: false }
    }
}

/// Level-Based Foraging; see the [module's page](self).
#[derive(Clone, Copy, Debug, Resource)]
pub struct Foraging {
    size: u8,
    agents: usize,
    food: usize,
    cooperative: bool,
    sight: u8,
    penalty: f64,
    normalize_reward: bool,
    shared_reward: bool,
}

impl Foraging {
    /// Foraging on a registered layout.
    ///
    /// # Errors
    /// If an argument is out of range.
    pub(super) fn new(args: ForagingArgs, layout: Layout) -> Result<Self, EnvError> {
        let sight = args.sight.unwrap_or(layout.size);
        if sight == 0 || sight > layout.size {
            return Err(setting("sight", "between 1 and the size of the grid", sight));
        }
        if !(args.penalty.is_finite() && args.penalty >= 0.0) {
            return Err(setting("penalty", "finite and not negative", args.penalty));
        }
        Ok(Self {
            size: layout.size,
            agents: usize::from(layout.agents).min(MAX_AGENTS),
            food: usize::from(layout.food).min(MAX_FOOD),
            cooperative: args.cooperative.unwrap_or(layout.cooperative),
            sight,
            penalty: args.penalty,
            normalize_reward: args.normalize_reward,
            shared_reward: args.shared_reward,
        })
    }
}

/// Something of a level in a cell; of level 0 if it is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    row: u8,
    column: u8,
    level: u8,
}

impl Item {
    fn at(self, (row, column): (u8, u8)) -> bool {
        (self.level > 0) & (self.row == row) & (self.column == column)
    }

    /// Whether the cells of the two share a side.
    fn beside(self, other: Self) -> bool {
        self.row.abs_diff(other.row) + self.column.abs_diff(other.column) == 1
    }
}

/// An agent.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Forager(Item);

/// The food of an arena, by row and column.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Food {
    items: [Item; MAX_FOOD],
    /// Sum of the levels at the start.
    spawned: u32,
}

impl Food {
    /// The part of all food, by level, that was loaded.
    fn loaded(&self) -> f64 {
        let left: u32 = self.items.iter().map(|item| u32::from(item.level)).sum();
        if self.spawned > 0 { f64::from(self.spawned - left) / f64::from(self.spawned) } else { 0.0 }
    }
}

impl EcsEnv for Foraging {
    #[expect(clippy::expect_used, reason = "the bounds are in order")]
    fn observation_space(&self) -> Space {
        let last = f32::from(self.size - 1);
        let food_level = f32::from(MAX_LEVEL) * self.agents.min(3) as f32;
        let mut high = [last, last, food_level].repeat(self.food);
        high.extend([last, last, f32::from(MAX_LEVEL)].repeat(self.agents));
        let low = [-1.0, -1.0, 0.0].repeat(self.food + self.agents);
        Space::box_f32(&low, &high).expect("bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(6).expect("six is not zero")
    }

    fn num_agents(&self) -> Option<usize> {
        Some(self.agents)
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        let rules = *self;
        simulator
            .constant(rules)
            .arena_component(Food::default())
            .agent_component(Forager::default())
            .outcome(play)
            .observe(observe)
            .reset(spawn)
            .metrics(&["food_loaded"], |world, arena, _, out| {
                out[0] = world.get::<Food>(arena).map_or(0.0, Food::loaded);
            })
            .draw(move |world, arena| scene(world, arena).map(|(food, agents)| rules.draw(&food, &agents)))
            .write(move |world, arena| scene(world, arena).map(|(food, agents)| rules.write(&food, &agents)));
    }
}

/// Moves, loads and rewards. Agents lie in one column by row, arenas in another by number.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn play(
    rules: Res<Foraging>,
    actions: Res<Actions>,
    mut outcomes: ResMut<Outcomes>,
    mut arenas: Query<&mut Food>,
    mut agents: Query<&mut Forager>,
) {
    let n = rules.agents;
    let outcomes = &mut *outcomes;
    let food = arenas.contiguous_iter_mut().expect(IN_TABLES).next();
    let foragers = agents.contiguous_iter_mut().expect(IN_TABLES).next();
    let (Some(mut food), Some(mut foragers)) = (food, foragers) else { return };
    let food = food.bypass_change_detection();
    let foragers = foragers.bypass_change_detection().chunks_exact_mut(n);
    let outs = outcomes.rewards.chunks_exact_mut(n).zip(outcomes.terminated.chunks_exact_mut(n));
    let actions = actions.indices().chunks_exact(n);
    for (((food, foragers), actions), (rewards, terminated)) in
        food.iter_mut().zip(foragers).zip(actions).zip(outs)
    {
        let loading = rules.walk(food, foragers, actions);
        if loading != 0 {
            rules.load(food, foragers, loading, rewards);
        }
        if food.items.iter().all(|item| item.level == 0) {
            terminated.fill(true);
        }
    }
}

impl Foraging {
    /// Moves the agents and says, as a set of bits, which of them load.
    #[inline]
    fn walk(&self, food: &Food, foragers: &mut [Forager], actions: &[u32]) -> u32 {
        let mut targets = [(0, 0); MAX_AGENTS];
        let mut loading = 0;
        for (i, ((target, forager), &action)) in targets.iter_mut().zip(&*foragers).zip(actions).enumerate() {
            let Item { row, column, .. } = forager.0;
            // Off the upper or left border wraps to 255, which is off the grid too.
            let wanted = match action {
                1 => (row.wrapping_sub(1), column),
                2 => (row + 1, column),
                3 => (row, column.wrapping_sub(1)),
                4 => (row, column + 1),
                _ => (row, column),
            };
            let free = (wanted.0 < self.size)
                & (wanted.1 < self.size)
                & !food.items.iter().fold(false, |any, item| any | item.at(wanted));
            *target = if free { wanted } else { (row, column) };
            loading |= u32::from(action == LOAD) << i;
        }
        let targets = &targets[..foragers.len()];
        for (i, forager) in foragers.iter_mut().enumerate() {
            let contested = targets.iter().filter(|&&other| other == targets[i]).count() > 1;
            if !contested {
                (forager.0.row, forager.0.column) = targets[i];
            }
        }
        loading
    }

    /// Loads the food beside the agents of `loading`. No cell has two foods beside it, so the order does not matter.
    fn load(&self, food: &mut Food, foragers: &[Forager], loading: u32, rewards: &mut [f64]) {
        let spawned = food.spawned;
        for item in food.items.iter_mut().filter(|item| item.level > 0) {
            let takes_part = |i: usize| loading >> i & 1 == 1 && foragers[i].0.beside(*item);
            let levels: u32 =
                (0..foragers.len()).filter(|&i| takes_part(i)).map(|i| u32::from(foragers[i].0.level)).sum();
            if levels == 0 {
                continue;
            }
            let loaded = levels >= u32::from(item.level);
            for (i, reward) in rewards.iter_mut().enumerate().filter(|(i, _)| takes_part(*i)) {
                let worth = f64::from(u32::from(foragers[i].0.level) * u32::from(item.level));
                *reward = match (loaded, self.normalize_reward) {
                    (false, _) => -self.penalty,
                    (true, false) => worth,
                    (true, true) => worth / f64::from(levels * spawned),
                };
            }
            if loaded {
                item.level = 0;
            }
        }
        if self.shared_reward {
            let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
            rewards.fill(mean);
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe(
    rules: Res<Foraging>,
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    arenas: Query<&Food>,
    agents: Query<&Forager>,
) {
    let (n, len) = (rules.agents, 3 * (rules.food + rules.agents));
    let food = arenas.contiguous_iter().expect(IN_TABLES).next();
    let foragers = agents.contiguous_iter().expect(IN_TABLES).next();
    let (Some(food), Some(foragers)) = (food, foragers) else { return };
    let out = observations.rows_mut::<f32>();
    for env in scope.iter() {
        let foragers = &foragers[env * n..(env + 1) * n];
        let rows = out[env * n * len..(env + 1) * n * len].chunks_exact_mut(len);
        for (own, row) in rows.enumerate() {
            rules.see(&food[env], foragers, own, row);
        }
    }
}

impl Foraging {
    /// Writes what agent `own` observes.
    #[inline]
    fn see(&self, food: &Food, foragers: &[Forager], own: usize, out: &mut [f32]) {
        let center = foragers[own].0;
        let corner = (center.row.saturating_sub(self.sight), center.column.saturating_sub(self.sight));
        let number = |item: Item| [item.row - corner.0, item.column - corner.1, item.level].map(f32::from);
        let (out, _) = out.as_chunks_mut::<3>();
        let (seen_food, seen_agents) = out.split_at_mut(self.food);
        let mut slots = seen_food.iter_mut();
        let in_sight = |item: Item| {
            (item.row.abs_diff(center.row) <= self.sight)
                & (item.column.abs_diff(center.column) <= self.sight)
        };
        for &item in food.items.iter().filter(|&&item| item.level > 0 && in_sight(item)) {
            if let Some(slot) = slots.next() {
                *slot = number(item);
            }
        }
        slots.for_each(|slot| *slot = [-1.0, -1.0, 0.0]);
        // Near the upper and left borders the reference sees agents, but not food, as far as twice the sight.
        let reach = 2 * self.sight;
        let near = |item: Item| {
            (item.row >= corner.0)
                & (item.column >= corner.1)
                & (item.row.wrapping_sub(corner.0) <= reach)
                & (item.column.wrapping_sub(corner.1) <= reach)
        };
        let mut slots = seen_agents.iter_mut();
        let others = foragers.iter().enumerate().filter(|&(i, other)| i != own && near(other.0));
        for item in std::iter::once(center).chain(others.map(|(_, other)| other.0)) {
            if let Some(slot) = slots.next() {
                *slot = number(item);
            }
        }
        slots.for_each(|slot| *slot = [-1.0, -1.0, 0.0]);
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn spawn(
    rules: Res<Foraging>,
    scope: Res<Scope>,
    mut arenas: Query<(&mut Food, &mut EnvRng)>,
    mut agents: Query<&mut Forager>,
) {
    let n = rules.agents;
    let arenas = arenas.contiguous_iter_mut().expect(IN_TABLES).next();
    let foragers = agents.contiguous_iter_mut().expect(IN_TABLES).next();
    let (Some((mut food, mut rngs)), Some(mut foragers)) = (arenas, foragers) else { return };
    let (food, rngs) = (food.bypass_change_detection(), rngs.bypass_change_detection());
    let foragers = foragers.bypass_change_detection();
    for env in scope.iter() {
        let (rng, foragers) = (&mut rngs[env].0, &mut foragers[env * n..(env + 1) * n]);
        rules.place_agents(foragers, rng);
        food[env] = rules.place_food(foragers, rng);
    }
}

impl Foraging {
    fn place_agents(&self, foragers: &mut [Forager], rng: &mut Pcg64) {
        // The reference permutes the bounds of the levels, which are all the same here.
        rng.shuffle(&mut [(); MAX_AGENTS][..self.agents]);
        foragers.fill(Forager::default());
        for i in 0..foragers.len() {
            for _ in 0..ATTEMPTS {
                let cell = (draw_cell(rng, 0, self.size), draw_cell(rng, 0, self.size));
                if !foragers.iter().any(|forager| forager.0.at(cell)) {
                    let level = draw_cell(rng, 1, MAX_LEVEL + 1);
                    foragers[i].0 = Item { row: cell.0, column: cell.1, level };
                    break;
                }
            }
        }
    }

    fn place_food(&self, foragers: &[Forager], rng: &mut Pcg64) -> Food {
        let mut levels = [u8::MAX; MAX_AGENTS];
        for (level, forager) in levels.iter_mut().zip(foragers) {
            *level = forager.0.level;
        }
        levels.sort_unstable();
        let highest = levels.iter().take(self.agents.min(3)).sum();
        rng.shuffle(&mut [(); MAX_FOOD][..self.food]);
        let mut food = Food::default();
        let mut count = 0;
        for _ in 0..ATTEMPTS {
            if count == self.food {
                break;
            }
            let cell = (draw_cell(rng, 1, self.size - 1), draw_cell(rng, 1, self.size - 1));
            let crowded = food.items[..count].iter().any(|item| {
                let (rows, columns) = (item.row.abs_diff(cell.0), item.column.abs_diff(cell.1));
                rows.max(columns) <= 1 || rows + columns == 2 && rows * columns == 0
            });
            if crowded || foragers.iter().any(|forager| forager.0.at(cell)) {
                continue;
            }
            let level =
                if self.cooperative || highest == 1 { highest } else { draw_cell(rng, 1, highest + 1) };
            food.items[count] = Item { row: cell.0, column: cell.1, level };
            count += 1;
        }
        food.items[..count].sort_unstable_by_key(|item| (item.row, item.column));
        food.spawned = food.items.iter().map(|item| u32::from(item.level)).sum();
        food
    }
}

/// A number from `low` to `high - 1`.
fn draw_cell(rng: &mut Pcg64, low: u8, high: u8) -> u8 {
    rng.integers(i64::from(low), i64::from(high)) as u8
}

#[cfg(test)]
mod tests;
