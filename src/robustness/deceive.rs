//! Observations that a policy decides otherwise on, within a radius.
//!
//! # Source
//! Goodfellow et al. 2015, arXiv:1412.6572 (FGSM: one step along the signs of the gradient); Madry et al. 2018,
//! arXiv:1706.06083 (PGD: several, each back into the radius); Huang et al. 2017, arXiv:1702.02284, for policies.

use agon_policy::Episode;

use crate::RunError;
use crate::explain::Subject;
use crate::explain::play::Seen;

/// How long PGD's steps are, as a multiple of the radius over their number.
const STRIDE: f64 = 2.5;

/// Someone who knows the policy.
pub(super) struct Deceiver<'a> {
    subject: &'a Subject,
    /// `[O]`: what each number's move is measured in.
    deviations: &'a [f64],
    /// `[O]`: what the space allows.
    bounds: Vec<(f32, f32)>,
}

impl<'a> Deceiver<'a> {
    pub(super) fn new(subject: &'a Subject, deviations: &'a [f64]) -> Self {
        let inputs = &subject.program().inputs;
        let bounds = inputs.iter().flat_map(|input| {
            let bound =
                |side: &[Option<f32>], i: usize, open: f32| side.get(i).copied().flatten().unwrap_or(open);
            (0..input.len())
                .map(move |i| (bound(&input.low, i, f32::NEG_INFINITY), bound(&input.high, i, f32::INFINITY)))
        });
        Self { subject, deviations, bounds: bounds.collect() }
    }

    /// An observation whose numbers are moved by so many deviations each, within the space.
    pub(super) fn moved(&self, observation: &[f32], mut by: impl FnMut(usize) -> f64) -> Vec<f32> {
        let place = |(i, &value): (usize, &f32)| {
            let moved = (f64::from(value) + by(i) * self.deviations[i]) as f32;
            let (low, high) = self.bounds[i];
            // What lies outside already is not pushed further.
            moved.clamp(low.min(value), high.max(value))
        };
        observation.iter().enumerate().map(place).collect()
    }

    /// The observation within the radius that speaks least for what the policy would do, as far as so many steps along the
    /// gradient find it; the first one that changes a decision ends the search.
    pub(super) fn deceive(
        &self,
        episode: &Episode,
        seen: &Seen<'_>,
        radius: f64,
        steps: usize,
    ) -> Result<Vec<f32>, RunError> {
        let policy = &self.subject.policy;
        let honest = policy.trace(episode, seen.observation)?;
        let rivals = Rivals::of(self.subject, &honest.logits, seen.mask);
        let stride = if steps == 1 { radius } else { STRIDE * radius / steps as f64 };
        let mut offsets = vec![0.0; seen.observation.len()];
        let mut best = (rivals.margin(&honest.logits), seen.observation.to_vec());
        let mut now = honest;
        for _ in 0..steps {
            let gradient = policy.gradient(&now, &rivals.weights(&now.logits))?;
            for (offset, slope) in offsets.iter_mut().zip(&gradient.observation) {
                // A slope of nothing moves nothing.
                let sign = if *slope > 0.0 {
                    1.0
                } else if *slope < 0.0 {
                    -1.0
                } else {
                    0.0
                };
                *offset = (*offset + sign * stride).clamp(-radius, radius);
            }
            let shown = self.moved(seen.observation, |i| offsets[i]);
            now = policy.trace(episode, &shown)?;
            let margin = rivals.margin(&now.logits);
            // One step is taken whether it helps or not.
            if steps == 1 || margin < best.0 {
                best = (margin, shown);
            }
            if best.0 < 0.0 {
                break;
            }
        }
        Ok(best.1)
    }
}

/// What a decision is for and against.
enum Rivals {
    /// Of each choice its first logit, its options, and the one that is chosen; and which are legal.
    Choices { choices: Vec<(usize, usize, usize)>, mask: Vec<bool> },
    /// Of each number of an action whether it is pushed up.
    Numbers { up: Vec<bool>, values: Vec<f32> },
}

impl Rivals {
    fn of(subject: &Subject, logits: &[f32], mask: &[bool]) -> Self {
        let nvec = subject.choices();
        if nvec.is_empty() {
            let count = match &subject.action_spec {
                agon_envs::ActionSpec::Continuous { low, .. } => low.len(),
                agon_envs::ActionSpec::Discrete { .. } => 0,
            };
            let values: Vec<f32> = logits.iter().take(count).copied().collect();
            return Self::Numbers { up: values.iter().map(|value| *value < 0.0).collect(), values };
        }
        let mask = if subject.program().mask_len == 0 { Vec::new() } else { mask.to_vec() };
        let mut first = 0;
        let mut choices = Vec::with_capacity(nvec.len());
        for options in nvec {
            let chosen = strongest(logits, (first, options), &mask, None).unwrap_or(0);
            choices.push((first, options, chosen));
            first += options;
        }
        Self::Choices { choices, mask }
    }

    /// How much speaks for the decision; below zero where it is another one.
    fn margin(&self, logits: &[f32]) -> f32 {
        match self {
            Self::Choices { choices, mask } => {
                let margin = |&(first, options, chosen): &(usize, usize, usize)| {
                    let rival = strongest(logits, (first, options), mask, Some(chosen));
                    rival.map_or(f32::INFINITY, |rival| logits[first + chosen] - logits[first + rival])
                };
                choices.iter().map(margin).fold(f32::INFINITY, f32::min)
            }
            // Nothing of it is a decision for something else: the furthest counts.
            Self::Numbers { values, .. } => {
                1.0 / (1e-6 + values.iter().zip(logits).map(|(from, to)| (from - to).abs()).sum::<f32>())
            }
        }
    }

    /// Weights of logits whose sum rises as less speaks for the decision.
    fn weights(&self, logits: &[f32]) -> Vec<f32> {
        let mut weights = vec![0.0; logits.len()];
        match self {
            Self::Choices { choices, mask } => {
                for &(first, options, chosen) in choices {
                    if let Some(rival) = strongest(logits, (first, options), mask, Some(chosen)) {
                        weights[first + rival] = 1.0;
                        weights[first + chosen] = -1.0;
                    }
                }
            }
            Self::Numbers { up, .. } => {
                for (weight, up) in weights.iter_mut().zip(up) {
                    *weight = if *up { 1.0 } else { -1.0 };
                }
            }
        }
        weights
    }
}

/// The strongest legal option of a choice, but for one; none if there is no other.
fn strongest(
    logits: &[f32],
    (first, options): (usize, usize),
    mask: &[bool],
    but: Option<usize>,
) -> Option<usize> {
    let legal = |option: &usize| mask.get(first + option).copied().unwrap_or(true) && Some(*option) != but;
    let mut best: Option<usize> = None;
    for option in (0..options).filter(legal) {
        if best.is_none_or(|best| logits[first + option] > logits[first + best]) {
            best = Some(option);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_and_weights_are_about_the_strongest_legal_rival() {
        let rivals = Rivals::Choices { choices: vec![(0, 3, 1), (3, 2, 0)], mask: Vec::new() };
        let logits = [0.5, 2.0, 1.0, 3.0, -1.0];
        assert_eq!(rivals.margin(&logits), 1.0);
        assert_eq!(rivals.weights(&logits), [0.0, -1.0, 1.0, -1.0, 1.0]);
        let masked = Rivals::Choices { choices: vec![(0, 3, 1)], mask: vec![true, true, false] };
        assert_eq!(masked.margin(&logits), 1.5);
        let alone = Rivals::Choices { choices: vec![(0, 3, 1)], mask: vec![false, true, false] };
        assert!(alone.margin(&logits).is_infinite() && alone.weights(&logits).iter().all(|w| *w == 0.0));
        assert!(rivals.margin(&[0.0, 1.0, 2.0, 3.0, -1.0]) < 0.0);
    }

    #[test]
    fn numbers_are_pushed_to_the_other_side() {
        let rivals = Rivals::Numbers { up: vec![true, false], values: vec![-0.5, 0.5] };
        assert_eq!(rivals.weights(&[0.0, 0.0, 7.0]), [1.0, -1.0, 0.0]);
        assert!(rivals.margin(&[0.5, -0.5]) < rivals.margin(&[-0.4, 0.4]));
    }
}
