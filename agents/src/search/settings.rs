//! How to search.

use agon_envs::{ObsBuffer, Pcg64, Simulator};
use agon_nn::ModelScratch;
use serde::{Deserialize, Serialize};

use super::Evaluator;
use crate::AgentError;
use crate::error::ensure;
use crate::settings::{above_zero, at_least_zero, shares, shares_above_zero};

/// Most simulations of a move: a node takes memory.
const MOST_SIMULATIONS: usize = 100_000;

/// A search before each move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Simulations of a move, each of which adds a node to the tree; at least 1. Training learns from these searches only.
    pub simulations: usize,
    /// Share of moves that get all simulations; the others get `cheap_simulations`, and only what their games come to is
    /// learned (`KataGo`'s playout cap randomisation; Wu 2019, arXiv:1902.10565).
    pub full_probability: f64,
    /// Simulations of the other moves; at least 1.
    pub cheap_simulations: usize,
    /// Outcomes of an action that are tried at most, in environments where chance has a say: each is a future of its own, and a
    /// value is their mean. 0 for environments in which nothing is random, whose copies then keep the environment's own random
    /// stream; anywhere else a search with 0 would see the future.
    pub outcomes: usize,
    /// Looks of a position (mirrored, turned) that the network is asked about, and whose mean it is judged by: 1 for the position
    /// as it is, more where symmetries are known (`agent.symmetries`), at most all of them. So many times the work.
    pub looks: usize,
    /// Random moves at the beginning of episodes, so that games differ; none by default.
    pub openings: OpeningConfig,
    /// When a side gives a game up; never by default.
    pub resignation: ResignationConfig,
    /// Which actions are tried, and what is made of it.
    pub kind: SearchKind,
}

/// Random moves at the beginning of episodes. What is found before one is learned by the search's values alone, because the
/// episode comes to something else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpeningConfig {
    /// Moves of an episode among which there are random ones; 0 for none.
    pub moves: usize,
    /// Probability that such a move is random.
    pub probability: f64,
    /// Share of environments whose episodes begin so.
    pub share: f64,
}

/// When a side gives a game up, in games of two sides. Games that were given up are played on all the same, with hardly any
/// search: what they come to shows how often it was wrong (`charts/resignation_errors`), and is what is learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResignationConfig {
    /// What the network's value of a position must be beyond, for or against the side to move, 0 to 1; 1 for never.
    pub value: f64,
    /// Simulations of the moves that are played on; at least 1.
    pub simulations: usize,
}

/// How a search chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchKind {
    /// Gumbel `AlphaZero`: sequential halving at the root, completed values everywhere; it improves on the network with as few
    /// as 2 simulations (Danihelka et al. 2022).
    Gumbel(GumbelConfig),
    /// `AlphaZero`'s upper confidence bounds, noise and visit counts (Silver et al. 2018).
    Puct(PuctConfig),
}

/// Settings of [`SearchKind::Gumbel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GumbelConfig {
    /// Actions of the root that are considered at most; at least 1.
    pub max_considered: usize,
    /// What is added to the greatest number of visits in the weight of values; at least 0.
    pub c_visit: f64,
    /// Weight of values beside logits; above 0. Values are between 0 and 1. The paper's for games; it has 0.1 for a single agent,
    /// whose values are put there by what the tree has seen.
    pub c_scale: f64,
}

/// Settings of [`SearchKind::Puct`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PuctConfig {
    /// Weight of the bound beside values between 0 and 1; above 0.
    pub c_puct: f64,
    /// How much less than its parent an action is worth that has not been tried; at least 0.
    pub fpu_reduction: f64,
    /// Concentration of the root's Dirichlet noise, times the number of legal actions; above 0.
    pub dirichlet_alpha: f64,
    /// Share of the noise in the root's probabilities.
    pub dirichlet_fraction: f64,
    /// Temperature of the visit counts that moves are drawn by; above 0, at most 1.
    pub temperature: f64,
    /// Moves of an episode that are drawn; after them the most visited action is taken.
    pub temperature_moves: usize,
    /// `k` of forced playouts: an action of the root that has been tried gets at least `√(k p Σ N)` visits, which are taken off
    /// again from what is learned (Wu 2019); 0 for none.
    pub forced_playouts: f64,
    /// Whether what was found below the action that was taken is kept for the next move, where the environment is in the
    /// state that was foreseen.
    pub reuse: bool,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            simulations: 32,
            full_probability: 1.0,
            cheap_simulations: 8,
            outcomes: 1,
            looks: 1,
            openings: OpeningConfig::default(),
            resignation: ResignationConfig::default(),
            kind: SearchKind::Gumbel(GumbelConfig::default()),
        }
    }
}

impl Default for OpeningConfig {
    fn default() -> Self {
        Self { moves: 0, probability: 0.5, share: 0.5 }
    }
}

impl Default for ResignationConfig {
    fn default() -> Self {
        Self { value: 1.0, simulations: 2 }
    }
}

impl Default for GumbelConfig {
    /// The paper's.
    fn default() -> Self {
        Self { max_considered: 16, c_visit: 50.0, c_scale: 1.0 }
    }
}

impl Default for PuctConfig {
    fn default() -> Self {
        Self {
            c_puct: 1.25,
            fpu_reduction: 0.1,
            dirichlet_alpha: 10.0,
            dirichlet_fraction: 0.25,
            temperature: 1.0,
            temperature_moves: 20,
            forced_playouts: 0.0,
            reuse: true,
        }
    }
}

impl SearchConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// [`AgentError::Setting`].
    pub fn validate(&self) -> Result<(), AgentError> {
        for (field, simulations) in [
            ("search.simulations", self.simulations),
            ("search.cheap_simulations", self.cheap_simulations),
            ("search.resignation.simulations", self.resignation.simulations),
        ] {
            let expected = "between 1 and 100000";
            ensure((1..=MOST_SIMULATIONS).contains(&simulations), field, expected, simulations)?;
        }
        shares_above_zero(&[("search.full_probability", self.full_probability)])?;
        ensure(self.outcomes <= MOST_SIMULATIONS, "search.outcomes", "at most 100000", self.outcomes)?;
        ensure(self.looks > 0, "search.looks", "at least 1", self.looks)?;
        shares(&[
            ("search.openings.probability", self.openings.probability),
            ("search.openings.share", self.openings.share),
            ("search.resignation.value", self.resignation.value),
        ])?;
        match &self.kind {
            SearchKind::Gumbel(gumbel) => {
                let considered = gumbel.max_considered;
                ensure(considered > 0, "search.kind.gumbel.max_considered", "at least 1", considered)?;
                at_least_zero(&[("search.kind.gumbel.c_visit", gumbel.c_visit)])?;
                above_zero(&[("search.kind.gumbel.c_scale", gumbel.c_scale)])
            }
            SearchKind::Puct(puct) => {
                above_zero(&[
                    ("search.kind.puct.c_puct", puct.c_puct),
                    ("search.kind.puct.dirichlet_alpha", puct.dirichlet_alpha),
                ])?;
                at_least_zero(&[
                    ("search.kind.puct.fpu_reduction", puct.fpu_reduction),
                    ("search.kind.puct.forced_playouts", puct.forced_playouts),
                ])?;
                shares(&[("search.kind.puct.dirichlet_fraction", puct.dirichlet_fraction)])?;
                shares_above_zero(&[("search.kind.puct.temperature", puct.temperature)])
            }
        }
    }

    /// Checks that there are looks to be asked about.
    ///
    /// # Errors
    /// [`AgentError::Setting`] if there should be several, and no symmetries are known.
    pub fn check_looks(&self, are_known: bool) -> Result<(), AgentError> {
        let expected = "1, where no symmetries of the game are known (agent.symmetries of alphazero)";
        ensure(self.looks == 1 || are_known, "search.looks", expected, self.looks)
    }

    /// What a network says of positions, by as many looks as are set.
    pub(super) fn judge(
        &self,
        evaluator: &dyn Evaluator,
        asked: (&ObsBuffer, usize),
        scratch: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        self.check_looks(evaluator.looks().is_some())?;
        match evaluator.looks() {
            Some(looks) if self.looks > 1 => {
                looks.evaluate(self.looks, evaluator, asked, scratch, logits, values)
            }
            _ => evaluator.evaluate(asked.0, asked.1, scratch, logits, values),
        }
    }

    /// Nodes that a tree can have beside its root.
    pub(crate) fn most_simulations(&self) -> usize {
        let cheap = if self.full_probability < 1.0 { self.cheap_simulations } else { 0 };
        let decided = if self.resigns() { self.resignation.simulations } else { 0 };
        self.simulations.max(cheap).max(decided)
    }

    /// Whether games are ever given up.
    pub(super) fn resigns(&self) -> bool {
        self.resignation.value < 1.0
    }

    /// Whether the next move of one of `envs` environments is a random one of an opening.
    pub(super) fn is_random(&self, env: usize, envs: usize, simulator: &Simulator, rng: &mut Pcg64) -> bool {
        let OpeningConfig { moves, probability, share } = self.openings;
        (env as f64) < share * envs as f64
            && (simulator.episode_length(env) as usize) < moves
            && rng.random() < probability
    }

    /// Whether trees go on from move to move: only where the future is what was foreseen.
    pub(super) fn keeps_trees(&self) -> bool {
        self.outcomes == 0 && matches!(&self.kind, SearchKind::Puct(puct) if puct.reuse)
    }
}
