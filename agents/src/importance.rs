//! Importance sampling: what a policy would have been paid, from what others did.
//!
//! # Source
//! Precup, Sutton and Singh (2000), "Eligibility traces for off-policy policy evaluation"; Thomas (2015), "Safe reinforcement
//! learning", section 3.8, for the weighted per-decision estimator (consistent, not unbiased).

/// An episode of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct WeighedEpisode {
    /// `ln π(a|s) − ln μ(a|s)` of each step, of the policy and of who acted, `[T]`; `−∞` where the policy would never have.
    pub log_ratios: Vec<f64>,
    /// `[T]`.
    pub rewards: Vec<f64>,
}

impl WeighedEpisode {
    /// The logarithm of the ratio of all that was done.
    fn log_weight(&self) -> f64 {
        self.log_ratios.iter().sum()
    }

    /// `Σ_t γ^t r_t`.
    pub fn discounted_return(&self, gamma: f64) -> f64 {
        self.rewards.iter().rev().fold(0.0, |rest, reward| reward + gamma * rest)
    }
}

/// Weighted per-decision importance sampling:
///
/// ```text
/// Σ_t γ^t (Σ_i ρ_i,t r_i,t) / (Σ_i ρ_i,t)     ρ_i,t = Π_{k ≤ t} π(a_i,k|s_i,k) / μ(a_i,k|s_i,k)
/// ```
///
/// An episode that has ended keeps its ratio and is paid nothing. None if there comes a step that no episode would have reached.
pub fn weighted_per_decision(episodes: &[&WeighedEpisode], gamma: f64) -> Option<f64> {
    let longest = episodes.iter().map(|episode| episode.rewards.len()).max()?;
    let mut log_weights = vec![0.0; episodes.len()];
    let (mut value, mut discount) = (0.0, 1.0);
    for t in 0..longest {
        for (weight, episode) in log_weights.iter_mut().zip(episodes) {
            *weight += episode.log_ratios.get(t).copied().unwrap_or(0.0);
        }
        let weights = scaled(&log_weights)?;
        let rewards = episodes.iter().map(|episode| episode.rewards.get(t).copied().unwrap_or(0.0));
        let paid: f64 = weights.iter().zip(rewards).map(|(weight, reward)| weight * reward).sum();
        value += discount * paid / weights.iter().sum::<f64>();
        discount *= gamma;
    }
    Some(value)
}

/// How many episodes of the policy's own the data are worth: `(Σ ρ)² / Σ ρ²` of whole episodes; zero if it would have done none.
///
/// # Source
/// Kish (1965), "Survey sampling".
pub fn effective_episodes(episodes: &[WeighedEpisode]) -> f64 {
    let log_weights: Vec<f64> = episodes.iter().map(WeighedEpisode::log_weight).collect();
    scaled(&log_weights).map_or(0.0, |weights| {
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        weights.iter().sum::<f64>().powi(2) / squares
    })
}

/// Weights, of which the largest is one, so that nothing overflows; none if all are zero.
fn scaled(log_weights: &[f64]) -> Option<Vec<f64>> {
    let most = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most.is_finite().then(|| log_weights.iter().map(|weight| (weight - most).exp()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(ratios: &[f64], rewards: &[f64]) -> WeighedEpisode {
        let log_ratios = ratios.iter().map(|ratio| ratio.ln()).collect();
        WeighedEpisode { log_ratios, rewards: rewards.to_vec() }
    }

    #[test]
    fn the_estimate_is_that_of_the_equation() {
        let a = episode(&[2.0, 0.5], &[1.0, 3.0]);
        let b = episode(&[0.5, 2.0, 3.0], &[2.0, -1.0, 4.0]);
        // Ratios so far: 2 and 0.5; 1 and 1; 1, of an episode that has ended, and 3.
        let expected = (2.0 + 1.0) / 2.5 + 0.5 * (3.0 - 1.0) / 2.0 + 0.25 * (3.0 * 4.0) / 4.0;
        let found = weighted_per_decision(&[&a, &b], 0.5).unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        // Whole ratios are 1 and 3.
        assert!((effective_episodes(&[a, b]) - 16.0 / 10.0).abs() < 1e-12);
    }

    #[test]
    fn the_same_policy_is_paid_the_mean_return() {
        let episodes = [episode(&[1.0; 3], &[1.0, 2.0, 3.0]), episode(&[1.0], &[5.0])];
        let all: Vec<&WeighedEpisode> = episodes.iter().collect();
        let mean = (episodes[0].discounted_return(0.9) + episodes[1].discounted_return(0.9)) / 2.0;
        assert!((weighted_per_decision(&all, 0.9).unwrap() - mean).abs() < 1e-12);
        assert!((effective_episodes(&episodes) - 2.0).abs() < 1e-12);
        assert!((episodes[0].discounted_return(0.5) - 2.75).abs() < 1e-12);
    }

    #[test]
    fn ratios_far_from_one_do_not_overflow_and_what_nobody_does_has_no_value() {
        let many = |ratio: f64| episode(&vec![ratio; 5000], &vec![1.0; 5000]);
        let found = weighted_per_decision(&[&many(3.0), &many(0.2)], 1.0).unwrap();
        assert!((found - 5000.0).abs() < 1e-6, "{found}");
        let never = episode(&[1.0, 0.0], &[1.0, 1.0]);
        assert_eq!(weighted_per_decision(&[&never], 1.0), None);
        assert_eq!(effective_episodes(&[never]), 0.0);
        assert_eq!(weighted_per_decision(&[], 1.0), None);
    }
}
