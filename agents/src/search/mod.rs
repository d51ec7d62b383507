//! Search: looking ahead in copies of the environments, with a network that says what is worth looking at.
//!
//! The main decision: a node of a tree *is* an environment. A search owns room for so many copies ([`Simulator::copies`]), and
//! a node's number is the number of the copy that is in its state; to expand a node is to fork its copy and step the fork. So
//! any environment can be searched that can be forked, board games against oneself as well as `CartPole`, with its wrappers,
//! and nobody writes a model of it. All trees of a shard take each simulation together: their leaves are one batch for the
//! network.
//!
//! A value is always that of whoever is to move: where the turn passes ([`VectorInfo::turns`]), its sign does too.
//!
//! Trees live between two moves of a fragment at most, so that nothing of them is part of a checkpoint.
//!
//! [`Simulator::copies`]: agon_envs::Simulator::copies
//! [`VectorInfo::turns`]: agon_envs::VectorInfo::turns

mod ahead;
mod cache;
mod found;
mod gumbel;
mod looks;
mod puct;
mod room;
mod settings;
#[cfg(test)]
mod tests;
mod tree;

use agon_envs::{ObsBuffer, Pcg64, Seed, Simulator, StepBatch};
use agon_nn::ModelScratch;
use agon_nn::losses::categorical;

pub use ahead::LookingAhead;
pub use found::{Depth, Found};
pub(crate) use found::{Recorded, data_width};
pub(crate) use looks::Look;
pub use looks::Looks;
pub use settings::{GumbelConfig, OpeningConfig, PuctConfig, ResignationConfig, SearchConfig, SearchKind};
pub use tree::{Node, Outcome, Proof, Tree};

use crate::AgentError;
use crate::policy::ActMode;
use cache::Cache;
use room::{Expansion, Room};

/// What a search asks of a network.
pub trait Evaluator: Sync {
    /// Logits of all actions, and the value for whoever is to move, of each row.
    ///
    /// # Shapes
    /// `observations`: `[N, O]`, `logits`: `[N, A]`, `values`: `[N]`.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    fn evaluate(
        &self,
        observations: &ObsBuffer,
        num_rows: usize,
        scratch: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError>;

    /// The looks of a position under which the game is the same, where they are known.
    fn looks(&self) -> Option<&Looks> {
        None
    }
}

/// How a policy looks ahead.
#[derive(Clone, Copy)]
pub struct Lookahead<'a> {
    /// How to search.
    pub settings: &'a SearchConfig,
    /// Discount of each step.
    pub discount: f32,
    /// The network.
    pub evaluator: &'a dyn Evaluator,
}

/// Every action alike and every position even: a search by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uniform;

impl Evaluator for Uniform {
    fn evaluate(
        &self,
        _: &ObsBuffer,
        _: usize,
        _: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        logits.fill(0.0);
        values.fill(0.0);
        Ok(())
    }
}

/// Searches in all environments of a shard.
pub struct Search {
    settings: SearchConfig,
    room: Room,
    trees: Vec<Tree>,
    /// Noise of each tree's root, `[E, A]`.
    noise: Vec<f32>,
    /// Simulations that each tree takes for the next move.
    budgets: Vec<usize>,
    /// The copy that each tree's root stands in once its move was made; none where it has to be made anew.
    kept: Vec<Option<u32>>,
    depths: Vec<Depth>,
    /// Which environments are searched in.
    asked: Vec<bool>,
    /// Whether it was looked for chance that the settings know nothing of.
    is_checked: bool,
    batch: Batch,
    expansions: Vec<Expansion>,
    /// Which of the expansions have to be evaluated.
    leaves: Vec<usize>,
    found: Vec<Found>,
}

/// A batch for the network.
#[derive(Default)]
struct Batch {
    observations: Option<ObsBuffer>,
    logits: Vec<f32>,
    values: Vec<f32>,
    scratch: ModelScratch,
    cache: Cache,
    /// Where in the cache what is asked about is, or will be.
    places: Vec<usize>,
}

impl Search {
    /// With room for the trees of all environments of a simulator.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if actions are no single choice, or several agents act at the same time, and if
    /// environments cannot be copied.
    pub fn new(simulator: &Simulator, settings: &SearchConfig) -> Result<Self, AgentError> {
        settings.validate()?;
        let room = Room::new(simulator, settings.most_simulations() + 1)?;
        let envs = simulator.num_envs();
        let tree = Tree::new(room.actions(), settings.most_simulations() + 1);
        Ok(Self {
            noise: vec![0.0; envs * room.actions()],
            budgets: vec![0; envs],
            kept: vec![None; envs],
            depths: vec![Depth::None; envs],
            asked: vec![true; envs],
            is_checked: false,
            trees: vec![tree; envs],
            batch: Batch::default(),
            expansions: Vec::new(),
            leaves: Vec::new(),
            found: vec![Found::default(); envs],
            settings: settings.clone(),
            room,
        })
    }

    /// How it searches.
    pub fn settings(&self) -> &SearchConfig {
        &self.settings
    }

    /// Forgets all trees, as when the network has changed.
    pub fn forget(&mut self) {
        self.kept.fill(None);
        self.batch.cache.clear();
        self.is_checked = false;
    }

    /// The trees, one an environment, as the last search left them.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Searches in every environment, given what the last step left in `now`. The settings are those that it was made with.
    ///
    /// # Errors
    /// If an environment or the network fails.
    pub fn search(
        &mut self,
        simulator: &mut Simulator,
        now: &StepBatch,
        lookahead: &Lookahead<'_>,
        rng: &mut Pcg64,
        mode: ActMode,
    ) -> Result<&[Found], AgentError> {
        self.asked.fill(true);
        self.search_asked(simulator, now, lookahead, rng, mode)
    }

    /// As [`Self::search`], in the given environments only; what was found in others stays.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// If there is no such environment.
    pub fn search_in(
        &mut self,
        envs: &[usize],
        simulator: &mut Simulator,
        now: &StepBatch,
        lookahead: &Lookahead<'_>,
        rng: &mut Pcg64,
        mode: ActMode,
    ) -> Result<&[Found], AgentError> {
        self.asked.fill(false);
        envs.iter().for_each(|&env| self.asked[env] = true);
        self.search_asked(simulator, now, lookahead, rng, mode)
    }

    fn search_asked(
        &mut self,
        simulator: &mut Simulator,
        now: &StepBatch,
        lookahead: &Lookahead<'_>,
        rng: &mut Pcg64,
        mode: ActMode,
    ) -> Result<&[Found], AgentError> {
        self.plant(simulator, now, rng, mode)?;
        self.judge_roots(lookahead)?;
        self.check_chance()?;
        self.resign(mode);
        self.draw_noise(rng, mode);
        let most = self.budgets.iter().copied().max().unwrap_or(0);
        for simulation in 0..most {
            self.descend(simulation, lookahead.discount, rng)?;
            self.room.expand(&self.expansions)?;
            self.judge(lookahead)?;
        }
        self.decide(simulator, lookahead.discount, rng, mode);
        Ok(&self.found)
    }

    /// Gives every tree its root, and says how many simulations each may take.
    fn plant(
        &mut self,
        simulator: &mut Simulator,
        now: &StepBatch,
        rng: &mut Pcg64,
        mode: ActMode,
    ) -> Result<(), AgentError> {
        let settings = &self.settings;
        self.room.prepare(simulator)?;
        for env in 0..self.trees.len() {
            if !self.asked[env] {
                (self.budgets[env], self.kept[env]) = (0, None);
                continue;
            }
            let explores = mode == ActMode::Explore;
            let depth = if explores && settings.is_random(env, self.trees.len(), simulator, rng) {
                Depth::Random
            } else if explores && settings.full_probability < 1.0 && rng.random() >= settings.full_probability
            {
                Depth::Cheap
            } else {
                Depth::Full
            };
            self.depths[env] = depth;
            let wanted = match depth {
                Depth::Full => settings.simulations,
                Depth::Cheap => settings.cheap_simulations,
                Depth::None | Depth::Random | Depth::Resigned => 0,
            };
            let kept = match self.kept[env].take() {
                Some(node) if self.room.is_state_of(simulator, env, node)? => Some(node),
                _ => None,
            };
            let tree = &mut self.trees[env];
            match kept {
                Some(node) => tree.move_root(node),
                None => {
                    let root = tree.clear(simulator.turn(env));
                    self.room.load(simulator, now, env, root)?;
                }
            }
            // Visits that are kept count, so that trees never outgrow their room.
            self.budgets[env] = wanted.saturating_sub(self.trees[env].simulations());
        }
        Ok(())
    }

    /// Has the network judge those roots that are new.
    fn judge_roots(&mut self, lookahead: &Lookahead<'_>) -> Result<(), AgentError> {
        self.expansions.clear();
        self.leaves.clear();
        for (env, tree) in self.trees.iter().enumerate() {
            if self.asked[env] && !tree.is_judged(tree.root()) {
                self.leaves.push(self.expansions.len());
                let node = tree.root();
                self.expansions.push(Expansion { env, from: node, to: node, action: 0, seed: None });
            }
        }
        self.judge_leaves(lookahead)
    }

    /// Where chance has a say, a search of one future would see what comes.
    fn check_chance(&mut self) -> Result<(), AgentError> {
        if self.settings.outcomes > 0 || self.is_checked {
            return Ok(());
        }
        self.is_checked = true;
        // Trees that were kept have nodes in the room that this needs.
        let is_new = |tree: &Tree| tree.root() == 0 && tree.simulations() == 0;
        let fresh = |env: &usize| self.asked[*env] && is_new(&self.trees[*env]);
        let envs: Vec<usize> = (0..self.trees.len()).filter(fresh).collect();
        let allowed = |env: usize| {
            let logits = self.trees[env].logits(self.trees[env].root());
            logits.iter().position(|logit| logit.is_finite()).unwrap_or(0)
        };
        let steps: Vec<(usize, usize)> = envs.into_iter().map(|env| (env, allowed(env))).collect();
        if self.room.has_chance(&steps)? {
            let expected = "at least 1, because chance has a say in the environment".to_owned();
            return Err(AgentError::setting("search.outcomes", expected, 0));
        }
        Ok(())
    }

    /// Games that a side gives up get few simulations from here on.
    fn resign(&mut self, mode: ActMode) {
        let ResignationConfig { value, simulations } = self.settings.resignation;
        if !self.settings.resigns() || mode != ActMode::Explore || self.room.scale() != Scale::Game {
            return;
        }
        for (env, tree) in self.trees.iter().enumerate() {
            let is_searched = self.asked[env] && matches!(self.depths[env], Depth::Cheap | Depth::Full);
            if is_searched && f64::from(tree.node(tree.root()).value.abs()) >= value {
                self.depths[env] = Depth::Resigned;
                self.budgets[env] = simulations.saturating_sub(tree.simulations());
            }
        }
    }

    fn draw_noise(&mut self, rng: &mut Pcg64, mode: ActMode) {
        let actions = self.room.actions();
        let trees = self.trees.iter().zip(self.noise.chunks_exact_mut(actions)).zip(&self.asked);
        for ((tree, noise), _) in trees.filter(|(_, asked)| **asked) {
            match (&self.settings.kind, mode) {
                (_, ActMode::Deterministic) => noise.fill(0.0),
                (SearchKind::Gumbel(_), ActMode::Explore) => gumbel::draw(rng, noise),
                (SearchKind::Puct(puct), ActMode::Explore) => {
                    puct::draw(puct, rng, tree.logits(tree.root()), noise);
                }
            }
        }
    }

    /// Walks down every tree that may take another simulation, to an action that has not been tried or to an end.
    fn descend(&mut self, simulation: usize, discount: f32, rng: &mut Pcg64) -> Result<(), AgentError> {
        let actions = self.room.actions();
        self.expansions.clear();
        let scale = self.room.scale();
        for (env, tree) in self.trees.iter_mut().enumerate() {
            // Where the root is proven there is nothing more to be found.
            if simulation >= self.budgets[env] || tree.node(tree.root()).proven.is_some() {
                continue;
            }
            let noise = &self.noise[env * actions..(env + 1) * actions];
            let of_root = Rest { simulation, budget: self.budgets[env], noise, scale };
            let mut node = tree.root();
            loop {
                let action = match &self.settings.kind {
                    SearchKind::Gumbel(settings) => gumbel::select(settings, tree, node, &of_root, discount),
                    SearchKind::Puct(settings) => puct::select(settings, tree, node, &of_root, discount),
                };
                let child = tree.outcome_to_follow(node, action, self.settings.outcomes);
                match child {
                    Some(child) if tree.is_open(child) => node = child,
                    Some(end) => {
                        // An end is judged once and for all.
                        let node = tree.node(end);
                        let value = node.proven.map_or(node.value, |proof| proof.value);
                        tree.back_up(end, value, discount);
                        break;
                    }
                    None => {
                        let to = tree.add(node, action).ok_or_else(|| {
                            AgentError::Restore("a search outgrew its room, which is a bug".to_owned())
                        })?;
                        let seed = (self.settings.outcomes > 0).then(|| Seed::Integer(rng.next_u64()));
                        self.expansions.push(Expansion { env, from: node, to, action, seed });
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes over what the steps gave, has the network judge where they lead to, and tells all nodes above.
    fn judge(&mut self, lookahead: &Lookahead<'_>) -> Result<(), AgentError> {
        self.leaves.clear();
        for (index, expansion) in self.expansions.iter().enumerate() {
            let tree = &mut self.trees[expansion.env];
            let outcome = self.room.outcome(expansion, tree.node(expansion.from).agent);
            tree.settle(expansion.to, &outcome);
            if outcome.outcome != Outcome::Terminated {
                self.leaves.push(index);
            } else if self.settings.outcomes == 0 && self.room.scale() == Scale::Game {
                tree.prove(expansion.to, lookahead.discount);
            }
        }
        self.judge_leaves(lookahead)?;
        for expansion in &self.expansions {
            let tree = &mut self.trees[expansion.env];
            let value = tree.node(expansion.to).value;
            tree.back_up(expansion.to, value, lookahead.discount);
        }
        Ok(())
    }

    fn judge_leaves(&mut self, lookahead: &Lookahead<'_>) -> Result<(), AgentError> {
        let Self { settings, batch, room, trees, expansions, leaves, .. } = self;
        if leaves.is_empty() {
            return Ok(());
        }
        let actions = room.actions();
        let Batch { observations, logits, values, scratch, cache, places } = batch;
        let observations = observations.get_or_insert_with(|| room.no_observations());
        observations.resize(0);
        cache.make_room(leaves.len());
        places.clear();
        let mut count = 0;
        for &leaf in leaves.iter() {
            let Expansion { env, to, .. } = expansions[leaf];
            let agent = trees[env].node(to).agent;
            let (place, is_new) = cache.place(room.key(env, to, agent));
            if is_new {
                room.append_observation(env, to, agent, observations);
                count += 1;
            }
            places.push(place);
        }
        if count > 0 {
            logits.resize(count * actions, 0.0);
            values.resize(count, 0.0);
            let (evaluator, asked) = (lookahead.evaluator, (&*observations, count));
            settings.judge(evaluator, asked, scratch, logits, values)?;
            cache.extend(logits, values);
        }
        for (&leaf, &place) in leaves.iter().zip(&*places) {
            let Expansion { env, to, .. } = expansions[leaf];
            let tree = &mut trees[env];
            let mask = room.mask(env, to, tree.node(to).agent);
            let (logits, value) = cache.get(place, actions);
            tree.judge(to, logits, mask, room.scale().bounded(value));
        }
        Ok(())
    }

    fn decide(&mut self, simulator: &Simulator, discount: f32, rng: &mut Pcg64, mode: ActMode) {
        let actions = self.room.actions();
        let scale = self.room.scale();
        for (env, found) in self.found.iter_mut().enumerate().filter(|(env, _)| self.asked[*env]) {
            let tree = &self.trees[env];
            let noise = &self.noise[env * actions..(env + 1) * actions];
            found.policy.resize(actions, 0.0);
            found.depth = self.depths[env];
            if found.depth == Depth::Random {
                found.action = random_move(tree.logits(tree.root()), rng);
                found.policy.fill(0.0);
                (found.value, found.proven) = (0.0, false);
                continue;
            }
            let rest = Rest { simulation: 0, budget: self.budgets[env], noise, scale };
            (found.action, found.value) = match &self.settings.kind {
                SearchKind::Gumbel(settings) => {
                    gumbel::decide(settings, tree, &rest, discount, &mut found.policy)
                }
                SearchKind::Puct(settings) => {
                    let moves = simulator.episode_length(env) as usize;
                    let explores = mode == ActMode::Explore && moves < settings.temperature_moves;
                    let u = if explores { Some(rng.random() as f32) } else { None };
                    let action = puct::decide(settings, tree, noise, discount, u, &mut found.policy);
                    (action, tree.mean(tree.root()))
                }
            };
            let proven = tree.node(tree.root()).proven;
            found.proven = proven.is_some();
            if let Some(proof) = proven {
                found.value = proof.value;
                found.action = best_proven(tree, proof, discount, &mut found.policy);
            }
            let next = tree.only_outcome(tree.root(), found.action);
            self.kept[env] = next.filter(|_| self.settings.keeps_trees());
        }
    }
}

/// What a choice goes by beside the tree.
struct Rest<'a> {
    simulation: usize,
    budget: usize,
    noise: &'a [f32],
    scale: Scale,
}

/// How values are put between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Of a game of two sides: they lie between −1 and 1.
    Game,
    /// By the least and the greatest that the tree has seen.
    Seen,
}

impl Scale {
    fn bounded(self, value: f32) -> f32 {
        match self {
            Self::Game => value.clamp(-1.0, 1.0),
            Self::Seen => value,
        }
    }

    fn unit(self, tree: &Tree, value: f32) -> f32 {
        match self {
            Self::Game => 0.5 * (value + 1.0),
            Self::Seen => {
                let [low, high] = tree.range();
                if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
            }
        }
    }
}

/// The action that a proven root comes to its end by: of several the most probable. All others lose their probability; where
/// none has any, the one that is taken gets all.
fn best_proven(tree: &Tree, proof: Proof, discount: f32, policy: &mut [f32]) -> usize {
    let root = tree.root();
    let mut best: Option<usize> = None;
    for action in 0..tree.actions() {
        if tree.proven_after(root, action, discount) != Some(proof) {
            policy[action] = 0.0;
        } else if best.is_none_or(|best| policy[action] > policy[best]) {
            best = Some(action);
        }
    }
    let best = best.unwrap_or(0);
    let sum: f32 = policy.iter().sum();
    if sum > 0.0 {
        policy.iter_mut().for_each(|share| *share /= sum);
    } else {
        policy[best] = 1.0;
    }
    best
}

/// A move of those that are allowed.
fn random_move(logits: &[f32], rng: &mut Pcg64) -> usize {
    let allowed = || logits.iter().enumerate().filter(|(_, logit)| logit.is_finite());
    let pick = rng.integers(0, allowed().count().max(1) as i64) as usize;
    allowed().nth(pick).map_or(0, |(action, _)| action)
}

/// Probabilities of logits of which some are −∞.
fn softmax(logits: &[f32], out: &mut [f32]) {
    // Logits are finite where an action is allowed, and some action is: a row cannot fail.
    let done = categorical::softmax_rows(logits, logits.len(), out);
    debug_assert!(done.is_ok());
}
