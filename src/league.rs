//! A league: past selves that a policy plays against while it learns, beside its newest.
//!
//! In games that an agent plays against itself the newest self alone is an opponent that changes with every update, and what
//! beat an older one is forgotten. So a self is kept every so many steps, and a share of episodes has one of them on one side.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_agents::chunks::ChunkStore;
use agon_agents::rivals::{PastSelf, sides};
use agon_agents::{AgentError, Policy, Weights};
use agon_envs::VectorInfo;
use serde::{Deserialize, Serialize};

use crate::RunError;

/// Most selves that may be kept.
const MOST_SELVES: usize = 1000;

/// Past selves that play one side of some episodes. For environments of two teams or more, and policies that remember nothing
/// and do not search.
///
/// # Source
/// Bansal et al. 2018, arXiv:1710.03748, opponents drawn uniformly from the past; Vinyals et al. 2019 for the name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeagueConfig {
    /// Share of episodes that are played against a past self, 0 to 1; 0 for none.
    pub share: f64,
    /// Environment steps after which the self of then is kept; at least 1.
    #[serde(deserialize_with = "crate::config::read_steps")]
    pub every: u64,
    /// Selves that are kept, the newest; at least 1.
    pub size: usize,
}

impl Default for LeagueConfig {
    fn default() -> Self {
        Self { share: 0.0, every: 100_000, size: 20 }
    }
}

impl LeagueConfig {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether there is a league.
    pub fn is_on(&self) -> bool {
        self.share > 0.0
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// Naming the field, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), RunError> {
        let wrong = |field: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(RunError::Config(format!("league.{field} must be {expected}, got {found}")))
        };
        if !(0.0..=1.0).contains(&self.share) {
            return wrong("share", "between 0 and 1", &self.share);
        }
        if !self.is_on() && !self.is_default() {
            return wrong("share", "above 0 where there are other settings of it", &self.share);
        }
        if self.every == 0 {
            return wrong("every", "at least 1", &self.every);
        }
        if !(1..=MOST_SELVES).contains(&self.size) {
            return wrong("size", &format!("from 1 to {MOST_SELVES}"), &self.size);
        }
        Ok(())
    }

    /// Refuses environments without sides and policies that cannot be met again.
    ///
    /// # Errors
    /// Saying what a league needs and what was found.
    pub(crate) fn check(&self, info: &VectorInfo, policy: &dyn Policy) -> Result<(), RunError> {
        if !self.is_on() {
            return Ok(());
        }
        let count = sides(info).into_iter().max().map_or(1, |last| last + 1);
        if count < 2 {
            return Err(RunError::Config(format!(
                "league.share: a league needs an environment of two teams or more, as a board game with env.args.opponent=\"self\", \
                 got {count}"
            )));
        }
        let message = if policy.state_len() > 0 {
            "a network without a memory, got one that remembers"
        } else if policy.lookahead().is_some() {
            "an algorithm that does not search, got one that does: it plays against itself by searching"
        } else {
            return Ok(());
        };
        Err(RunError::Config(format!("league.share: a league needs {message}")))
    }
}

/// Makes the policy of a self from its weights.
pub(crate) type MakePolicy<'a> = dyn Fn(&Weights) -> Result<Arc<dyn Policy>, AgentError> + 'a;

/// The selves of a run.
pub(crate) struct League {
    config: LeagueConfig,
    /// The oldest first, with the weights that they are made of.
    selves: Vec<(PastSelf, Arc<Weights>)>,
}

impl League {
    pub(crate) fn new(config: &LeagueConfig) -> Self {
        Self { config: config.clone(), selves: Vec::new() }
    }

    /// Those that rivals are drawn from.
    pub(crate) fn past(&self) -> Arc<[PastSelf]> {
        self.selves.iter().map(|(past, _)| past.clone()).collect()
    }

    /// Keeps a self if one is due between two counts of steps; its number is the count.
    pub(crate) fn grow(
        &mut self,
        before: u64,
        now: u64,
        policy: &Arc<dyn Policy>,
        weights: impl FnOnce() -> Weights,
    ) {
        if !self.config.is_on() || now / self.config.every == before / self.config.every {
            return;
        }
        let past = PastSelf { number: now, policy: Arc::clone(policy) };
        self.selves.push((past, Arc::new(weights())));
        let surplus = self.selves.len().saturating_sub(self.config.size);
        self.selves.drain(..surplus);
    }

    /// The numbers of all selves, whose weights are put into the store.
    pub(crate) fn save(&self, store: &mut dyn ChunkStore) -> Result<Vec<u64>, AgentError> {
        for (past, weights) in &self.selves {
            store.put(&key(past.number), &mut || weights.to_safetensors(&BTreeMap::new()))?;
        }
        Ok(self.selves.iter().map(|(past, _)| past.number).collect())
    }

    /// Takes on saved selves. `most` bounds the bytes of one, `make` makes its policy.
    pub(crate) fn restore(
        &mut self,
        numbers: &[u64],
        store: &dyn ChunkStore,
        most: u64,
        make: &MakePolicy<'_>,
    ) -> Result<(), AgentError> {
        if numbers.len() > self.config.size || !numbers.is_sorted() {
            let message = format!("expected up to {} past selves in their order", self.config.size);
            return Err(AgentError::Restore(format!("{message}, found {}", numbers.len())));
        }
        for &number in numbers {
            let weights = Weights::from_safetensors(&store.get(&key(number), most)?)?;
            let policy = make(&weights)?;
            self.selves.push((PastSelf { number, policy }, Arc::new(weights)));
        }
        Ok(())
    }
}

/// The key of a self's weights.
fn key(number: u64) -> String {
    format!("self-{number:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let on = LeagueConfig { share: 0.5, ..LeagueConfig::default() };
        assert!(on.validate().is_ok() && LeagueConfig::default().validate().is_ok());
        for (league, part) in [
            (LeagueConfig { share: 1.5, ..on.clone() }, "league.share must be between 0 and 1"),
            (LeagueConfig { share: 0.0, size: 3, ..on.clone() }, "league.share must be above 0"),
            (LeagueConfig { every: 0, ..on.clone() }, "league.every must be at least 1"),
            (LeagueConfig { size: 0, ..on.clone() }, "league.size must be from 1 to 1000"),
        ] {
            let message = league.validate().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
