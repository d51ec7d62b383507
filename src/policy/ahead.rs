//! A search before each action, for policies that learned with one and for those that did not.

use std::sync::Arc;

use agon_agents::search::{GumbelConfig, LookingAhead, SearchConfig, SearchKind};

use super::TrainedPolicy;
use crate::RunError;
use crate::acting::Acting;
use crate::config;

/// The settings of a search, of which some are changed: each change is written `simulations=16`.
///
/// # Errors
/// If a change names no setting, or a value is none of its.
pub fn changed_search(settings: &SearchConfig, changes: &[String]) -> Result<SearchConfig, RunError> {
    let mut table = toml::Table::try_from(settings).map_err(|error| RunError::Config(error.to_string()))?;
    for change in changes {
        config::set_by("--search", &mut table, change)?;
    }
    config::from_table(table)
}

impl TrainedPolicy {
    /// How it searches before an action; where it learned without a search, how one is best begun with: 16 simulations by Gumbel
    /// noise with the weight of values that is for a single agent.
    pub fn search_settings(&self) -> SearchConfig {
        match self.acting.policy.lookahead() {
            Some(own) => own.settings.clone(),
            None => SearchConfig {
                simulations: 16,
                kind: SearchKind::Gumbel(GumbelConfig { c_scale: 0.1, ..GumbelConfig::default() }),
                ..SearchConfig::default()
            },
        }
    }

    /// The same policy with a search before each action, in copies of the environments that it acts in: what it says of actions
    /// and states is what the search begins from. For evaluations and films; called by hand there is nothing to be copied.
    ///
    /// # Errors
    /// If the policy gives no values, remembers something or chooses more than one action, if a setting is out of range, or its
    /// training had no discount (`agent.gamma`).
    pub fn looking_ahead(self, settings: SearchConfig) -> Result<Self, RunError> {
        let discount = self.card.agent.get("gamma").and_then(toml::Value::as_float).ok_or_else(|| {
            RunError::Policy(format!(
                "{} has no setting gamma, the discount of a search",
                self.card.algorithm
            ))
        })?;
        let policy = LookingAhead::new(Arc::clone(&self.acting.policy), settings, discount as f32)?;
        let acting = Acting { policy: Arc::new(policy), ..self.acting };
        Ok(Self { acting, session: None, ..self })
    }
}
