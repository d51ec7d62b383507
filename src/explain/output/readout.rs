//! What is read of a policy at a step when parts of what it sees are changed.

use super::super::play::{Opinion, Step, opinion};
use super::super::subject::{Subject, probabilities};
use crate::RunError;

/// A step whose observation is changed at will.
pub(in crate::explain) struct Probe<'a> {
    pub(in crate::explain) subject: &'a Subject,
    pub(in crate::explain) step: &'a Step,
}

impl<'a> Probe<'a> {
    pub(in crate::explain) fn new(subject: &'a Subject, step: &'a Step) -> Self {
        Self { subject, step }
    }

    /// What the policy makes of another observation in this place.
    pub(in crate::explain) fn opinion(&self, observation: &[f32]) -> Result<Opinion, RunError> {
        let Self { subject, step } = self;
        opinion(subject, &mut step.episode.clone(), observation, &step.mask, &mut Vec::new())
    }

    /// How much is in favour of what the policy did here: the values of the options that it chose, or their probabilities; of
    /// actions that are numbers these themselves.
    pub(in crate::explain) fn scores(&self, opinion: &Opinion) -> Vec<f32> {
        let choices = self.subject.choices();
        if choices.is_empty() {
            return opinion.action.clone();
        }
        let numbers = match self.subject.has_values() {
            true => opinion.logits.clone(),
            false => probabilities(&choices, &opinion.logits),
        };
        let mut first = 0;
        let chosen = choices.iter().zip(&self.step.opinion.action).map(|(options, &index)| {
            let own = numbers[first + index as usize];
            first += options;
            own
        });
        chosen.collect()
    }
}

/// What [`Probe::scores`] are, in words.
pub(in crate::explain) fn scores_words(subject: &Subject) -> &'static str {
    match (subject.is_continuous(), subject.has_values()) {
        (true, _) => "the action",
        (false, true) => "the value of the chosen action",
        (false, false) => "the probability of the chosen action",
    }
}
