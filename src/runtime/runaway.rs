//! Losses and temperatures that run away: numbers that grow without bound long before they are infinite.

/// Share of the old value in a smoothed one.
const SMOOTHING: f64 = 0.9;
/// How far a loss grows above its lowest, and how large it is, before it is said to run away: what learns is seldom beyond
/// a hundred times.
const LOSS: Limits = Limits { growth: 1e4, size: 1e3 };
/// The same of a temperature, which is of the size of an advantage.
const TEMPERATURE: Limits = Limits { growth: 1e3, size: 1e2 };

struct Limits {
    growth: f64,
    size: f64,
}

/// Looks at the learner's metrics, and warns of each at most once.
#[derive(Debug, Default)]
pub(super) struct Runaway {
    watched: Vec<Watched>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    smoothed: Option<f64>,
    lowest: Option<f64>,
    warned: bool,
}

impl Runaway {
    /// Takes on the metrics of an iteration; gives what is to be said of them.
    pub(super) fn look(&mut self, names: &[&str], metrics: &[f64], env_steps: u64) -> Vec<String> {
        self.watched.resize(names.len(), Watched::default());
        let looked = self.watched.iter_mut().zip(names).zip(metrics);
        looked.filter_map(|((watched, name), &value)| watched.look(name, value.abs(), env_steps)).collect()
    }
}

impl Watched {
    fn look(&mut self, name: &str, size: f64, env_steps: u64) -> Option<String> {
        let limits = match name.strip_prefix("losses/")? {
            "alpha" => TEMPERATURE,
            loss if loss.ends_with("_loss") => LOSS,
            _ => return None,
        };
        if self.warned || !size.is_finite() {
            return None;
        }
        let smoothed = self.smoothed.map_or(size, |old| SMOOTHING * old + (1.0 - SMOOTHING) * size);
        let lowest = self.lowest.map_or(smoothed, |lowest| lowest.min(smoothed));
        (self.smoothed, self.lowest) = (Some(smoothed), Some(lowest));
        self.warned = smoothed > limits.size && smoothed > limits.growth * lowest;
        self.warned.then(|| {
            format!(
                "warning: {name} runs away: {smoothed:.3e} after {env_steps} steps, from {lowest:.3e}; {}",
                advice(name)
            )
        })
    }
}

fn advice(name: &str) -> &'static str {
    if name == "losses/alpha" {
        "the policy cannot reach agent.target_entropy: lower it, or fix agent.ent_coef"
    } else {
        "lower agent.learning_rate, or scale rewards (env.wrappers: normalize_reward)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(name: &str, values: impl Iterator<Item = f64>) -> Vec<String> {
        let mut runaway = Runaway::default();
        values.enumerate().flat_map(|(i, value)| runaway.look(&[name], &[value], i as u64)).collect()
    }

    #[test]
    fn exponential_growth_is_said_once_and_noise_is_not() {
        let grows = (0..200).map(|i| 0.1 * f64::from(i).mul_add(0.1, 0.0).exp());
        let said = warnings("losses/qf_loss", grows);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("losses/qf_loss runs away") && said[0].contains("learning_rate"),
            "{said:?}"
        );
        let said = warnings("losses/alpha", (0..200).map(|i| (f64::from(i) * 0.06).exp()));
        assert!(said.len() == 1 && said[0].contains("target_entropy"), "{said:?}");
        // A loss that has its phases, and one that is large from the start.
        assert!(warnings("losses/qf_loss", (0..500).map(|i| 1.0 + 90.0 * f64::from(i % 50))).is_empty());
        assert!(warnings("losses/value_loss", (0..500).map(|i| 1e6 + f64::from(i))).is_empty());
        assert!(warnings("losses/q_values", (0..200).map(|i| f64::from(i).exp())).is_empty());
    }
}
