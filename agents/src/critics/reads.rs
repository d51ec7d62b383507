//! How critics read steps and a policy's actions: of choices a value for each, of numbers with the observation.

use agon_envs::ActionSpec;
use agon_nn::{Head, Input, Observation};

use super::concatenated;
use crate::action_box::ActionBox;
use crate::learner::{Spaces, single_discrete};
use crate::replay::ReplayBuffer;
use crate::{AgentError, network};

/// How critics read a step.
#[derive(Clone, Debug)]
pub(crate) enum Reads {
    /// Its observation; they put out a value for each choice.
    Choices,
    /// Its observation and its action.
    Numbers(ActionBox),
}

impl Reads {
    /// How critics read steps of some spaces, what that is, and their head.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if the spaces are of other kinds.
    pub(crate) fn of(
        algorithm: &'static str,
        spaces: &Spaces,
    ) -> Result<(Self, Observation, Head), AgentError> {
        let observation = network::observation(algorithm, &spaces.observation)?;
        match (&spaces.action, observation) {
            (ActionSpec::Discrete { .. }, observation) => {
                let actions = single_discrete(algorithm, &spaces.action)?;
                Ok((Self::Choices, observation, Head::Q { actions }))
            }
            (ActionSpec::Continuous { .. }, Observation::Vector(width)) => {
                let bounds = ActionBox::of(algorithm, &spaces.action)?;
                let read = Observation::Vector(width + bounds.dimensions());
                Ok((Self::Numbers(bounds), read, Head::Value))
            }
            (ActionSpec::Continuous { .. }, _) => {
                let (expected, found) = ("a vector of numbers", spaces.observation.to_string());
                Err(AgentError::Unsupported { algorithm, expected, found })
            }
        }
    }

    /// What critics read of some steps, and which of their outputs is the taken action's.
    pub(crate) fn steps(
        &self,
        replay: &ReplayBuffer,
        slots: &[u32],
        observations: &Input,
    ) -> Result<(Input, Vec<usize>), AgentError> {
        match self {
            Self::Choices => {
                let chosen = slots.iter().map(|&slot| replay.action(slot).index()).collect();
                Ok((observations.clone(), chosen))
            }
            Self::Numbers(bounds) => {
                let dimensions = bounds.dimensions();
                let mut taken = vec![0.0; slots.len() * dimensions];
                for (&slot, taken) in slots.iter().zip(taken.chunks_exact_mut(dimensions)) {
                    bounds.read(replay.action(slot).values(), taken);
                }
                let x = concatenated(observations, &taken, dimensions)?;
                Ok((Input::Floats(x), vec![0; slots.len()]))
            }
        }
    }

    /// The values of the taken actions among critics' outputs, `[B]`.
    pub(crate) fn of_chosen(outputs: &[f32], chosen: &[usize]) -> Vec<f32> {
        let rows = outputs.chunks_exact(outputs.len() / chosen.len().max(1));
        rows.zip(chosen).map(|(row, &chosen)| row[chosen]).collect()
    }

    /// The expected values of what a policy does, `[B]`: its probabilities of choices, `[B, A]`, or its numbers, `[B, D]`.
    pub(crate) fn expected(
        &self,
        observations: &Input,
        doing: &[f32],
        values: impl FnOnce(&Input) -> Result<Vec<f32>, AgentError>,
    ) -> Result<Vec<f32>, AgentError> {
        match self {
            Self::Choices => {
                let (values, choices) = (values(observations)?, doing.len() / observations.rows());
                let rows = values.chunks_exact(choices).zip(doing.chunks_exact(choices));
                let expected = |(values, probs): (&[f32], &[f32])| {
                    values.iter().zip(probs).map(|(value, prob)| value * prob).sum()
                };
                Ok(rows.map(expected).collect())
            }
            Self::Numbers(bounds) => {
                values(&Input::Floats(concatenated(observations, doing, bounds.dimensions())?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use agon_nn::Matrix;

    use super::*;

    #[test]
    fn the_values_of_what_was_done_and_of_what_a_policy_does() {
        let outputs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(Reads::of_chosen(&outputs, &[2, 0]), [3.0, 4.0]);
        let observations = Input::Floats(Matrix::zeros(2, 1).unwrap());
        let doing = [0.5, 0.5, 0.0, 0.0, 0.25, 0.75];
        let expected = Reads::Choices.expected(&observations, &doing, |_| Ok(outputs.to_vec())).unwrap();
        assert_eq!(expected, [1.5, 5.75]);
    }
}
