//! A constraint on decisions about groups, as a part of the reward.

use serde::{Deserialize, Serialize};

use super::normalize::load_statistics;
use super::{Context, Moment, Wrapper, refused};
use crate::columns::to_bytes;
use crate::groups::Decision;
use crate::statistics::{Moments, RunningStatistics};
use crate::vector::VectorInfo;
use crate::{EnvError, StepBatch};

/// Which rates of the groups must be alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// How often decisions are in a member's favour.
    #[default]
    Demographic,
    /// How often they are for members who are qualified.
    Opportunity,
}

impl Parity {
    fn is_about(self, decision: &Decision) -> bool {
        self == Self::Demographic || decision.qualified == Some(true)
    }
}

/// Takes from the reward what a decision does to a constraint: each group's rate of favourable decisions must be the overall
/// rate, give or take a limit.
///
/// `L = E[r] − Σ_h λ⁺_h (R_h − R − limit) − Σ_h λ⁻_h (R − R_h − limit)`, whose derivative by one favourable decision about group
/// `g` is `−(μ_g / P_g − Σ_h μ_h)` with `μ = λ⁺ − λ⁻` and the groups' shares `P`: that is added to the reward. The multipliers
/// are those of dual averaging, `λ = clamp(η Σ_t violation_t, 0, max)`, the sum over all decisions so far, which is the number
/// of decisions times the violation of their overall rates. So the running counts decide everything: they are merged between
/// iterations and saved like other running statistics, and frozen in evaluations.
///
/// # Source
/// Nesterov 2009, "Primal-dual subgradient methods for convex problems", equation 2.14; the Lagrangian of constrained policies
/// is that of Altman 1999 and Tessler et al. 2019, arXiv:1805.11074.
pub struct FairnessPenalty {
    parity: Parity,
    limit: f64,
    learning_rate: f64,
    max_multiplier: f64,
    groups: usize,
    /// Of each step of a row: for each group the members decided about, then those of them decided for.
    statistics: RunningStatistics,
    decisions: Vec<Decision>,
    counts: Vec<f32>,
}

impl FairnessPenalty {
    /// Constrains the decisions of an environment with groups.
    ///
    /// # Errors
    /// If it has fewer than two groups, or a setting is out of range.
    pub fn new(
        parity: Parity,
        limit: f64,
        learning_rate: f64,
        max_multiplier: f64,
        info: &VectorInfo,
    ) -> Result<Self, EnvError> {
        let groups = info.groups.len();
        if groups < 2 {
            let message = format!(
                "expected an environment that decides about at least two groups, this one has {groups}"
            );
            return Err(refused("fairness_penalty", message));
        }
        if !(0.0..=1.0).contains(&limit) {
            return Err(refused("fairness_penalty", format!("limit must be between 0 and 1, got {limit}")));
        }
        for (field, value) in [("learning_rate", learning_rate), ("max_multiplier", max_multiplier)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(refused("fairness_penalty", format!("{field} must be at least 0, got {value}")));
            }
        }
        let statistics = RunningStatistics::new(2 * groups);
        let (decisions, counts) = (Vec::new(), Vec::new());
        Ok(Self { parity, limit, learning_rate, max_multiplier, groups, statistics, decisions, counts })
    }

    /// What one favourable decision about each group costs.
    fn prices(&self) -> Vec<f64> {
        let Moments { count, mean, .. } = self.statistics.moments();
        let (members, favoured) = mean.split_at(self.groups);
        let all: f64 = members.iter().sum();
        if all <= 0.0 {
            return vec![0.0; self.groups];
        }
        let overall = favoured.iter().sum::<f64>() / all;
        let clamp = |violation: f64| {
            (self.learning_rate * count * all * (violation - self.limit)).clamp(0.0, self.max_multiplier)
        };
        let multiplier = |(members, favoured): (&f64, &f64)| {
            let gap = if *members > 0.0 { favoured / members - overall } else { 0.0 };
            clamp(gap) - clamp(-gap)
        };
        let multipliers: Vec<f64> = members.iter().zip(favoured).map(multiplier).collect();
        let sum: f64 = multipliers.iter().sum();
        let price = |(multiplier, members): (&f64, &f64)| {
            if *members > 0.0 { multiplier * all / members - sum } else { 0.0 }
        };
        multipliers.iter().zip(members).map(price).collect()
    }
}

impl Wrapper for FairnessPenalty {
    fn name(&self) -> &'static str {
        "fairness_penalty"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        if context.moment == Moment::Reset {
            return Ok(());
        }
        let (prices, width) = (self.prices(), 2 * self.groups);
        self.counts.clear();
        for row in context.rows.iter() {
            self.decisions.clear();
            context.env.decisions(row, &mut self.decisions);
            let at = self.counts.len();
            self.counts.resize(at + width, 0.0);
            for decision in self.decisions.iter().filter(|decision| self.parity.is_about(decision)) {
                let (group, count) = (decision.group as usize, decision.count);
                let Some(price) = prices.get(group) else { continue };
                self.counts[at + group] += count as f32;
                if decision.favourable {
                    self.counts[at + self.groups + group] += count as f32;
                    out.rewards[row] -= price * f64::from(count);
                }
            }
        }
        self.statistics.update(self.counts.chunks_exact(width));
        Ok(())
    }

    fn statistics(&mut self) -> Option<&mut RunningStatistics> {
        Some(&mut self.statistics)
    }

    fn save_shared(&self) -> Result<Vec<u8>, EnvError> {
        to_bytes(&self.statistics)
    }

    fn load_shared(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        load_statistics(&mut self.statistics, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActionBatch, MakeOptions, Registry, WrapperConfig};

    fn penalty(parity: Parity, limit: f64) -> FairnessPenalty {
        let info = Registry::builtin().make("Fairness/Lending-v0", &MakeOptions::default()).unwrap();
        FairnessPenalty::new(parity, limit, 0.01, 10.0, info.info()).unwrap()
    }

    #[test]
    fn prices_are_the_derivative_of_the_lagrangian() {
        // Of 100 decisions 60 are about the first group, 45 of them in favour, and 10 of the other 40.
        let mut penalty = penalty(Parity::Demographic, 0.05);
        let row = |a: f32, b: f32, c: f32, d: f32| [a, b, c, d];
        let rows: Vec<[f32; 4]> = std::iter::repeat_n(row(1.0, 0.0, 1.0, 0.0), 45)
            .chain(std::iter::repeat_n(row(1.0, 0.0, 0.0, 0.0), 15))
            .chain(std::iter::repeat_n(row(0.0, 1.0, 0.0, 1.0), 10))
            .chain(std::iter::repeat_n(row(0.0, 1.0, 0.0, 0.0), 30))
            .collect();
        penalty.statistics.update(rows.iter().map(<[f32; 4]>::as_slice));
        // Rates 0.75 and 0.25, overall 0.55: violations 0.2 and −0.3, less the limit 0.15 and 0.25; times 0.01 and 100.
        let multipliers = [0.15, -0.25];
        let sum: f64 = multipliers.iter().sum();
        let expected = [multipliers[0] / 0.6 - sum, multipliers[1] / 0.4 - sum];
        for (price, expected) in penalty.prices().iter().zip(expected) {
            assert!((price - expected).abs() < 1e-5, "{price} {expected}");
        }
        // One decision more in favour of the first group moves the constraints as much: by finite differences.
        let lagrangian = |favoured: [f64; 2]| {
            let rates = [favoured[0] / 60.0, favoured[1] / 40.0];
            let overall = (favoured[0] + favoured[1]) / 100.0;
            100.0 * (multipliers[0] * (rates[0] - overall) + multipliers[1] * (rates[1] - overall))
        };
        let slope = lagrangian([46.0, 10.0]) - lagrangian([45.0, 10.0]);
        assert!((slope - expected[0]).abs() < 1e-9, "{slope} {expected:?}");
    }

    #[test]
    fn rates_within_the_limit_cost_nothing() {
        let mut penalty = penalty(Parity::Demographic, 0.5);
        assert_eq!(penalty.prices(), [0.0, 0.0]);
        let rows = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0_f32]];
        penalty.statistics.update(rows.iter().map(<[f32; 4]>::as_slice));
        assert_eq!(penalty.prices(), [0.0, 0.0]);
    }

    #[test]
    fn the_reward_falls_for_a_favoured_group_and_opportunity_looks_at_the_qualified_alone() {
        let registry = Registry::builtin();
        let wrapper = |text: &str| -> WrapperConfig {
            toml::from_str(&format!("kind = \"fairness_penalty\"\nlearning_rate = 0.1\n{text}")).unwrap()
        };
        // Lends to one group alone: the observation names it.
        let play = |text: &str, favours: usize| {
            let options = MakeOptions { wrappers: vec![wrapper(text)], num_envs: 4, ..Default::default() };
            let mut simulator = registry.make("Fairness/Lending-v0", &options).unwrap();
            let mut out = simulator.new_batch();
            simulator.reset(3, &mut out).unwrap();
            let mut paid = 0.0;
            for _ in 0..50 {
                let obs = out.observations.as_f32();
                let lends = obs.chunks(10).map(|obs| u32::from(obs[7 + favours] > 0.5)).collect();
                simulator.step(&ActionBatch::Discrete(lends), &mut out).unwrap();
                let own: f64 = out.decisions.iter().map(|told| told.decision.reward).sum();
                paid += own - out.rewards.iter().sum::<f64>();
            }
            paid
        };
        for favours in [0, 1] {
            let (all, qualified) = (play("", favours), play("parity = \"opportunity\"", favours));
            assert!(all > qualified && qualified > 1.0, "{all} {qualified}");
        }
        assert_eq!(play("limit = 1.0", 0), 0.0);
    }

    #[test]
    fn environments_without_groups_and_settings_out_of_range_are_refused() {
        let registry = Registry::builtin();
        let refused = |id: &str, text: &str| {
            let wrapper = toml::from_str(&format!("kind = \"fairness_penalty\"\n{text}")).unwrap();
            let options = MakeOptions { wrappers: vec![wrapper], ..Default::default() };
            registry.make(id, &options).unwrap_err().to_string()
        };
        assert!(refused("CartPole-v1", "").contains("at least two groups"));
        assert!(refused("Fairness/Lending-v0", "limit = 2.0").contains("limit"));
        assert!(refused("Fairness/Lending-v0", "learning_rate = -1.0").contains("learning_rate"));
    }
}
