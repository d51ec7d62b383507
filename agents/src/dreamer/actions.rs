//! What a policy can do: one of some choices, or numbers between bounds.

use agon_envs::Pcg64;
use agon_nn::Head;
use agon_nn::losses::mixed_categorical::{MixedCategorical, MixedProbs, most_probable};
use rand_distr::{Distribution as _, StandardNormal};

use super::config::DreamerConfig;
use crate::AgentError;
use crate::learner::Spaces;
use crate::world_model::acts::{Acts, uniform};

/// Standard deviations of continuous actions lie between these.
const STD: (f32, f32) = (0.1, 1.0);

/// `ln √(2π)`.
const LN_SQRT_2PI: f32 = 0.918_938_5;

/// What a policy can do, and how its outputs are read.
///
/// Choices are partly uniform; numbers are normally distributed, and cut to −1..1 where they are done.
#[derive(Clone, Debug)]
pub(super) struct Actions {
    pub(super) acts: Acts,
    uniform: f32,
}

/// What a batch of decisions weighs, and gives.
pub(super) struct PolicyGradient<'a> {
    /// `[B]`: factors of the gradients of `−ln π(a|s)`.
    pub(super) weights: &'a [f32],
    /// `[B]`: factors of those of the negative entropy.
    pub(super) entropy_weights: &'a [f32],
}

impl Actions {
    pub(super) fn new(config: &DreamerConfig, spaces: &Spaces) -> Result<Self, AgentError> {
        Ok(Self { acts: Acts::new("dreamer", spaces)?, uniform: config.uniform as f32 })
    }

    /// Values of an action as the model sees it, `A`.
    pub(super) fn len(&self) -> usize {
        self.acts.len()
    }

    /// What a policy puts out.
    pub(super) fn head(&self) -> Head {
        match &self.acts {
            Acts::Discrete(choices) => Head::Categorical { actions: *choices },
            Acts::Continuous(bounds) => Head::SquashedGaussian { dimensions: bounds.dimensions() },
        }
    }

    /// Draws actions, or gives the best ones without a generator.
    ///
    /// # Shapes
    /// `outputs`: `[B, P]`, `out`: `[B, A]`.
    pub(super) fn choose(
        &self,
        outputs: &[f32],
        mut rng: Option<&mut Pcg64>,
        probs: &mut MixedProbs,
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        match &self.acts {
            Acts::Discrete(choices) => {
                MixedCategorical::new(*choices, self.uniform)?.probs(outputs, probs)?;
                out.fill(0.0);
                let rows = probs.as_slice().chunks_exact(*choices);
                for (probs, out) in rows.zip(out.chunks_exact_mut(*choices)) {
                    let chosen = match &mut rng {
                        Some(rng) => MixedCategorical::draw(probs, uniform(rng)),
                        None => most_probable(probs),
                    };
                    out[chosen] = 1.0;
                }
            }
            Acts::Continuous(bounds) => {
                let dimensions = bounds.dimensions();
                let rows = outputs.chunks_exact(2 * dimensions).zip(out.chunks_exact_mut(dimensions));
                for (outputs, out) in rows {
                    let (means, stds) = outputs.split_at(dimensions);
                    for ((out, mean), std) in out.iter_mut().zip(means).zip(stds) {
                        let noise: f32 = rng.as_mut().map_or(0.0, |rng| StandardNormal.sample(*rng));
                        *out = mean.tanh() + deviation(*std).0 * noise;
                    }
                }
            }
        }
        Ok(())
    }

    /// Drawn actions as they are done, which is also what the model sees of them.
    pub(super) fn done(&self, actions: &mut [f32]) {
        if let Acts::Continuous(_) = self.acts {
            actions.iter_mut().for_each(|action| *action = action.clamp(-1.0, 1.0));
        }
    }

    /// The gradient of `Σ_b −weights[b] · ln π(a_b|s_b) − entropy_weights[b] · H(π(·|s_b))`, which it overwrites; gives the sum of
    /// the entropies in nats.
    ///
    /// # Shapes
    /// `outputs`, `gradient`: `[B, P]`, `drawn`: `[B, A]`.
    pub(super) fn gradient(
        &self,
        outputs: &[f32],
        drawn: &[f32],
        factors: &PolicyGradient<'_>,
        probs: &mut MixedProbs,
        gradient: &mut [f32],
    ) -> Result<f64, AgentError> {
        let factors = factors.weights.iter().zip(factors.entropy_weights);
        let mut entropies = 0.0;
        match &self.acts {
            &Acts::Discrete(classes) => {
                let mixed = MixedCategorical::new(classes, self.uniform)?;
                mixed.probs(outputs, probs)?;
                let rows = probs.as_slice().chunks_exact(classes).zip(drawn.chunks_exact(classes));
                for (((probs, drawn), (weight, entropy_weight)), gradient) in
                    rows.zip(factors).zip(gradient.chunks_exact_mut(classes))
                {
                    for ((prob, drawn), slope) in probs.iter().zip(drawn).zip(gradient) {
                        let log_prob = prob.max(f32::MIN_POSITIVE).ln();
                        entropies -= f64::from(prob * log_prob);
                        *slope =
                            entropy_weight * (log_prob + 1.0) - weight * drawn / prob.max(f32::MIN_POSITIVE);
                    }
                }
                mixed.differentiate(probs, gradient)?;
            }
            Acts::Continuous(bounds) => {
                let dimensions = bounds.dimensions();
                let rows = outputs.chunks_exact(2 * dimensions).zip(drawn.chunks_exact(dimensions));
                for (((outputs, drawn), (weight, entropy_weight)), gradient) in
                    rows.zip(factors).zip(gradient.chunks_exact_mut(2 * dimensions))
                {
                    for dimension in 0..dimensions {
                        let mean = outputs[dimension].tanh();
                        let (std, of_std) = deviation(outputs[dimensions + dimension]);
                        let z = (drawn[dimension] - mean) / std;
                        entropies += f64::from(std.ln() + 0.5 + LN_SQRT_2PI);
                        gradient[dimension] = -weight * z / std * (1.0 - mean * mean);
                        gradient[dimensions + dimension] =
                            -(weight * (z * z - 1.0) + entropy_weight) / std * of_std;
                    }
                }
            }
        }
        Ok(entropies)
    }
}

/// The standard deviation that an output stands for, and its derivative.
fn deviation(output: f32) -> (f32, f32) {
    let share = 1.0 / (1.0 + (-(output + 2.0)).exp());
    (STD.0 + (STD.1 - STD.0) * share, (STD.1 - STD.0) * share * (1.0 - share))
}

#[cfg(test)]
mod tests {
    use agon_envs::ActionSpec;

    use super::*;
    use crate::action_box::ActionBox;

    fn kinds() -> [(Actions, Vec<f32>, Vec<f32>); 2] {
        let of = |acts| Actions { acts, uniform: 0.05 };
        let spec = ActionSpec::Continuous { low: vec![-2.0, 0.0], high: vec![2.0, 1.0] };
        [
            (of(Acts::Discrete(3)), vec![0.2, -0.5, 1.1], vec![0.0, 1.0, 0.0]),
            (
                of(Acts::Continuous(ActionBox::of("dreamer", &spec).unwrap())),
                vec![0.3, -0.8, -1.5, 0.4],
                vec![0.9, -1.4],
            ),
        ]
    }

    /// `ln π(a|s)` and the entropy, by their definitions.
    fn by_hand(actions: &Actions, outputs: &[f32], drawn: &[f32]) -> (f32, f32) {
        match actions.acts {
            Acts::Discrete(choices) => {
                let mut probs = MixedProbs::default();
                MixedCategorical::new(choices, 0.05).unwrap().probs(outputs, &mut probs).unwrap();
                let chosen = probs.as_slice()[most_probable(drawn)];
                (chosen.ln(), -probs.as_slice().iter().map(|prob| prob * prob.ln()).sum::<f32>())
            }
            Acts::Continuous(_) => {
                let (means, stds) = outputs.split_at(2);
                let each = means.iter().zip(stds).zip(drawn).map(|((mean, std), drawn)| {
                    let (mean, std) = (mean.tanh(), deviation(*std).0);
                    let z = (drawn - mean) / std;
                    (-0.5 * z * z - std.ln() - LN_SQRT_2PI, std.ln() + 0.5 + LN_SQRT_2PI)
                });
                each.fold((0.0, 0.0), |(log_prob, entropy), (a, b)| (log_prob + a, entropy + b))
            }
        }
    }

    #[test]
    fn gradients_are_those_of_log_probabilities_and_entropies() {
        for (actions, outputs, drawn) in kinds() {
            let factors = PolicyGradient { weights: &[0.7], entropy_weights: &[0.3] };
            let mut gradient = vec![f32::NAN; outputs.len()];
            let mut probs = MixedProbs::default();
            let entropy = actions.gradient(&outputs, &drawn, &factors, &mut probs, &mut gradient).unwrap();
            assert!((entropy as f32 - by_hand(&actions, &outputs, &drawn).1).abs() < 1e-5);
            let loss = |outputs: &[f32]| {
                let (log_prob, entropy) = by_hand(&actions, outputs, &drawn);
                -0.7 * log_prob - 0.3 * entropy
            };
            for (index, got) in gradient.iter().enumerate() {
                let (mut up, mut down) = (outputs.clone(), outputs.clone());
                up[index] += 1e-2;
                down[index] -= 1e-2;
                let expected = (loss(&up) - loss(&down)) / 2e-2;
                assert!((got - expected).abs() < 2e-3, "{index}: {got} and {expected}");
            }
        }
    }

    #[test]
    fn actions_are_drawn_around_the_best_one() {
        for (actions, outputs, _) in kinds() {
            let (mut rng, mut probs) = (Pcg64::seed_from(1), MixedProbs::default());
            let (mut best, mut drawn) = (vec![0.0; actions.len()], vec![0.0; actions.len()]);
            actions.choose(&outputs, None, &mut probs, &mut best).unwrap();
            let mut mean = vec![0.0; actions.len()];
            for _ in 0..4000 {
                actions.choose(&outputs, Some(&mut rng), &mut probs, &mut drawn).unwrap();
                mean.iter_mut().zip(&drawn).for_each(|(mean, drawn)| *mean += drawn / 4000.0);
            }
            let expected = match &actions.acts {
                Acts::Discrete(_) => probs.as_slice().to_vec(),
                Acts::Continuous(_) => best.clone(),
            };
            for (mean, expected) in mean.iter().zip(expected) {
                assert!((mean - expected).abs() < 0.05, "{mean} and {expected}");
            }
        }
    }
}
