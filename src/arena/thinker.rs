//! A trained policy that moves in games: by searching, or by its network alone.

use std::sync::Arc;

use agon_agents::policy::{ActInput, ActMode, ActOutput, Actor};
use agon_agents::search::{Lookahead, Search, SearchConfig};
use agon_agents::{AgentError, Policy};
use agon_envs::{ActionBatch, Pcg64};

use super::Games;
use crate::RunError;
use crate::policy;

/// A move, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Thought {
    /// The move.
    pub action: usize,
    /// The value for whoever makes it, −1 to 1; none if the policy has no such estimate.
    pub value: Option<f32>,
    /// Probabilities of all moves that the search came to; empty without one.
    pub policy: Vec<f32>,
}

/// How agents that search think before a move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    /// Simulations; none for as many as in training, 0 for the network alone.
    pub simulations: Option<usize>,
    /// Other changes of what the search was in training, each written `looks=8`.
    pub changes: Vec<String>,
}

impl Thinking {
    /// The settings of a search that is asked for, of those of training.
    ///
    /// # Errors
    /// If a change names no setting, or a setting is out of range.
    pub fn settings(&self, own: &Lookahead<'_>) -> Result<SearchConfig, RunError> {
        let trained = SearchConfig { full_probability: 1.0, ..own.settings.clone() };
        let changed = policy::changed_search(&trained, &self.changes)?;
        let simulations = self.simulations.unwrap_or(changed.simulations);
        let settings = SearchConfig { simulations, ..changed };
        settings.validate()?;
        settings.check_looks(own.evaluator.looks().is_some())?;
        Ok(settings)
    }
}

/// A policy, and where it thinks.
pub struct Thinker {
    policy: Arc<dyn Policy>,
    settings: Option<SearchConfig>,
    search: Option<Search>,
    rng: Pcg64,
}

impl Thinker {
    /// Thinks as it is told to.
    ///
    /// # Errors
    /// If simulations or other settings of a search are asked of a policy that does not search, or are out of range.
    pub fn new(policy: Arc<dyn Policy>, thinking: &Thinking, seed: u64) -> Result<Self, RunError> {
        let Thinking { simulations, changes } = thinking;
        let settings = match (policy.lookahead(), simulations) {
            (_, Some(0)) | (None, None) if changes.is_empty() => None,
            (_, Some(0)) => {
                let message = "0 simulations are no search: expected no settings of one beside them";
                return Err(RunError::Config(message.to_owned()));
            }
            (Some(lookahead), _) => Some(thinking.settings(&lookahead)?),
            (None, _) => {
                let message =
                    "only a policy that searches takes settings of a search, and this one does not search";
                return Err(RunError::Config(message.to_owned()));
            }
        };
        Ok(Self { policy, settings, search: None, rng: Pcg64::seed_from(seed) })
    }

    /// Simulations before each move; 0 without a search.
    pub fn simulations(&self) -> usize {
        self.settings.as_ref().map_or(0, |settings| settings.simulations)
    }

    /// Has it take other simulations from now on, if it searches.
    pub fn set_simulations(&mut self, simulations: usize) {
        if let Some(settings) = &mut self.settings {
            settings.simulations = simulations.max(1);
        }
    }

    /// Its moves in some of the games, in their order.
    ///
    /// # Errors
    /// If the policy does not fit the game, or fails.
    pub fn think(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Thought>, RunError> {
        if which.is_empty() {
            return Ok(Vec::new());
        }
        match &self.settings {
            Some(_) => self.look_ahead(games, which),
            None => self.glance(games, which),
        }
    }

    fn look_ahead(&mut self, games: &mut Games, which: &[usize]) -> Result<Vec<Thought>, RunError> {
        let Some(settings) = &self.settings else { return Ok(Vec::new()) };
        let own = self.policy.lookahead().ok_or_else(|| {
            AgentError::Restore("a policy that searched does so no more, which is a bug".to_owned())
        })?;
        let lookahead = Lookahead { settings, ..own };
        let fits = |search: &Search| search.settings() == settings && search.trees().len() == games.len();
        let search = match &mut self.search {
            Some(search) if fits(search) => search,
            other => other.insert(Search::new(&games.simulator, settings)?),
        };
        let (simulator, now) = (&mut games.simulator, &games.now);
        let mode = ActMode::Deterministic;
        let found = search.search_in(which, simulator, now, &lookahead, &mut self.rng, mode)?;
        let thought = |&game: &usize| {
            let found = &found[game];
            Thought { action: found.action, value: Some(found.value), policy: found.policy.clone() }
        };
        Ok(which.iter().map(thought).collect())
    }

    fn glance(&mut self, games: &Games, which: &[usize]) -> Result<Vec<Thought>, RunError> {
        let rows = games.simulator.num_rows();
        let resets = vec![true; rows];
        let input = ActInput {
            observations: &games.now.observations,
            num_rows: rows,
            action_masks: &games.now.action_masks,
            resets: &resets,
            rewards: &[],
            tasks: &[],
            env_steps: 0,
            mode: ActMode::Deterministic,
        };
        let mut actor = Actor::new(self.rng.clone());
        actor.state.resize(rows * self.policy.state_len(), 0.0);
        let values = self.policy.values(&input, &actor.state)?;
        let mut actions = ActionBatch::zeros(games.simulator.action_spec(), rows);
        let mut data = vec![0.0; rows * self.policy.data_width()];
        let output = ActOutput { actions: &mut actions, policy_data: &mut data };
        self.policy.act(&input, &mut actor, output)?;
        let thought = |&game: &usize| {
            let row = 2 * game + games.turn(game);
            let value = values.as_ref().map(|values| values[row]);
            Thought { action: actions.indices()[row] as usize, value, policy: Vec::new() }
        };
        Ok(which.iter().map(thought).collect())
    }
}
