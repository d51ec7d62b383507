//! What is explained: a policy as a program of its own, and the environment as it shows itself.

use std::path::Path;

use agon_envs::ActionSpec;
use agon_policy::{Decision, PolicyProgram, PortablePolicy};

use super::features::{Features, action_names};
use crate::RunError;
use crate::config::EnvConfig;
use crate::export::Export;
use crate::policy::{self, TrainedPolicy, Which, of_the_world};
use crate::setup::Setup;

/// A policy, and words for what it sees and does.
pub struct Subject {
    /// As it was trained: it knows values.
    pub trained: TrainedPolicy,
    /// As a program and its parameters.
    pub export: Export,
    /// The program, ready to act.
    pub policy: PortablePolicy,
    /// What it sees.
    pub features: Features,
    /// What it does: names of the options of each choice, or of the numbers of an action.
    pub actions: Vec<Vec<String>>,
    /// Its environment, without the wrappers that are part of the policy.
    pub env: EnvConfig,
    /// What the environment takes.
    pub action_spec: ActionSpec,
}

impl Subject {
    /// The policy of a run or of a weight file.
    ///
    /// # Errors
    /// If it cannot be loaded or told as one network, or its environment has several agents.
    pub fn load(setup: &Setup, path: &Path, which: Which) -> Result<Self, RunError> {
        Self::of(setup, policy::load_which(setup, path, which)?)
    }

    /// A policy that is loaded.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of(setup: &Setup, trained: TrainedPolicy) -> Result<Self, RunError> {
        let export = Export::of(&trained)?;
        let card = trained.card();
        if card.env_spaces.num_agents > 1 {
            let found = card.env_spaces.num_agents;
            let message = format!(
                "expected an environment of one agent, {} has {found}: no way to explain it yet",
                card.env.id
            );
            return Err(RunError::Policy(message));
        }
        let spec = setup.registry.get(&card.env.id)?;
        let features = Features::of(spec.as_ref(), &export.program.inputs);
        let action_spec = ActionSpec::of(&card.env_spaces.action)?;
        let actions = match &action_spec {
            ActionSpec::Discrete { nvec } if nvec.len() == 1 => {
                vec![action_names(spec.as_ref(), nvec[0] as usize)]
            }
            ActionSpec::Discrete { nvec } => {
                let names = |(choice, &n): (usize, &u32)| {
                    (0..n).map(move |i| format!("choice {choice}: {i}")).collect()
                };
                nvec.iter().enumerate().map(names).collect()
            }
            ActionSpec::Continuous { low, .. } => {
                vec![(0..low.len()).map(|i| format!("action[{i}]")).collect()]
            }
        };
        let mut env = card.env.clone();
        env.wrappers = of_the_world(&env.wrappers);
        let policy = export.policy()?;
        Ok(Self { policy, export, features, actions, env, action_spec, trained })
    }

    /// What the policy computes.
    pub fn program(&self) -> &PolicyProgram {
        self.policy.program()
    }

    /// Whether its actions are numbers.
    pub fn is_continuous(&self) -> bool {
        matches!(self.action_spec, ActionSpec::Continuous { .. })
    }

    /// Whether what it chooses by are values of actions, and not logits.
    pub fn has_values(&self) -> bool {
        matches!(
            self.program().decision,
            Decision::Values { .. } | Decision::Categories { .. } | Decision::Quantiles { .. }
        )
    }

    /// Whether what it sees are numbers, neither bytes nor categories.
    pub fn features_are_numbers(&self) -> bool {
        self.program().inputs.iter().all(|input| input.kind == agon_policy::InputKind::Float)
    }

    /// Options of each choice; none where actions are numbers.
    pub fn choices(&self) -> Vec<usize> {
        match &self.action_spec {
            ActionSpec::Discrete { nvec } => nvec.iter().map(|&n| n as usize).collect(),
            ActionSpec::Continuous { .. } => Vec::new(),
        }
    }

    /// An action in words.
    pub fn action_words(&self, action: &[f32]) -> String {
        let words = |(i, &value): (usize, &f32)| match &self.action_spec {
            ActionSpec::Discrete { .. } => self.actions[i][value as usize].clone(),
            ActionSpec::Continuous { .. } => format!("{} = {value:.3}", self.actions[0][i]),
        };
        action.iter().enumerate().map(words).collect::<Vec<_>>().join(", ")
    }
}

/// The best option of each choice, of those that are legal: the first of the largest numbers.
pub(super) fn best(choices: &[usize], numbers: &[f32], mask: &[bool]) -> Vec<usize> {
    let mut first = 0;
    let mut chosen = Vec::with_capacity(choices.len());
    for &options in choices {
        let legal = |option: usize| mask.is_empty() || mask[first + option];
        let mut best: Option<usize> = None;
        for option in (0..options).filter(|&option| legal(option)) {
            if best.is_none_or(|best| numbers[first + option] > numbers[first + best]) {
                best = Some(option);
            }
        }
        chosen.push(best.unwrap_or(0));
        first += options;
    }
    chosen
}

/// Probabilities of the options of each choice by their logits, those of illegal ones zero.
pub(super) fn probabilities(choices: &[usize], logits: &[f32]) -> Vec<f32> {
    let mut shares = Vec::with_capacity(logits.len());
    let mut first = 0;
    for &options in choices {
        let own = &logits[first..first + options];
        let largest = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = own.iter().map(|logit| (logit - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        shares.extend(powers.iter().map(|power| power / sum));
        first += options;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_the_largest_that_are_legal() {
        assert_eq!(best(&[3, 2], &[1.0, 5.0, 5.0, 0.0, 2.0], &[]), [1, 1]);
        assert_eq!(best(&[3, 2], &[1.0, 5.0, 5.0, 0.0, 2.0], &[true, false, true, true, false]), [2, 0]);
    }

    #[test]
    fn probabilities_sum_to_one_in_each_choice() {
        let shares = probabilities(&[2, 3], &[0.0, 3.0_f32.ln(), 1.0, 1.0, f32::MIN]);
        assert!((shares[1] - 0.75).abs() < 1e-6);
        assert_eq!(shares[2..], [0.5, 0.5, 0.0]);
    }
}
