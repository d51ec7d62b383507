//! A run's teacher: a trained policy that a student comes nearer to while it learns, and how much that counts.
//!
//! The teacher's weights are copied into the run's directory, so that the run goes on where the teacher is not. It sees what the
//! student sees, or more: where its own wrappers are the innermost ones of the student's, it sees through these alone.

use std::path::{Path, PathBuf};

use agon_agents::guide::Guide;
use agon_agents::{Learner, RunInfo};
use agon_envs::WrapperConfig;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::EnvConfig;
use crate::policy::{self, Card};
use crate::setup::Setup;

/// What a student learns from a trained policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherConfig {
    /// The teacher: a weight file, or a run whose newest weights are meant. Without one there is no teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// Weight of the divergence from what the teacher would do, at first; above 0.
    pub coef: f64,
    /// How the weight falls.
    pub decay: Decay,
    /// Share of the run after which a weight that falls evenly is zero; above 0, at most 1.
    pub fraction: f64,
    /// The teacher's mean return, at which a weight that falls with the student's own is zero; by default what its file says of its
    /// last 100 training episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The mean return up to which such a weight is whole, such as that of random play.
    pub floor: f64,
    /// What values of actions are divided by before they are preferences; above 0.
    pub temperature: f64,
    /// Whether the student learns from rewards too; without them it becomes its teacher (policy distillation).
    pub rewards: bool,
    /// Through how many of the wrappers, those of the registered environment counted first, the teacher sees, where it sees more
    /// than the student or something else; by default as many as its file has, if they are the first of the student's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrappers: Option<usize>,
}

/// How much a teacher counts as a student learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Less, the nearer the student's mean return over 100 episodes is to the teacher's (`QDagger`).
    #[default]
    Score,
    /// Evenly less, until a share of the run.
    Linear,
    /// Always as much.
    Constant,
}

impl Default for TeacherConfig {
    fn default() -> Self {
        Self {
            policy: None,
            coef: 1.0,
            decay: Decay::Score,
            fraction: 0.5,
            score: None,
            floor: 0.0,
            temperature: 0.1,
            rewards: true,
            wrappers: None,
        }
    }
}

impl TeacherConfig {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be checked before the teacher is read.
    ///
    /// # Errors
    /// Naming the field, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), RunError> {
        let wrong = |field: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(RunError::Config(format!("teacher.{field} must be {expected}, got {found}")))
        };
        if self.policy.is_none() {
            return match self.is_default() {
                true => Ok(()),
                false => {
                    wrong("policy", "a run or a weight file where there are other settings of it", &"none")
                }
            };
        }
        for (field, value) in [("coef", self.coef), ("temperature", self.temperature)] {
            if !(value > 0.0 && value.is_finite()) {
                return wrong(field, "above 0", &value);
            }
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return wrong("fraction", "above 0 and at most 1", &self.fraction);
        }
        match self.score {
            Some(score) if score.is_nan() || score <= self.floor => {
                wrong("score", &format!("above teacher.floor = {}", self.floor), &score)
            }
            _ => Ok(()),
        }
    }

    /// The same with the wrappers that the teacher sees through, if it does not see what the student does.
    ///
    /// # Errors
    /// If the file is no policy's, or there is no such environment.
    pub(crate) fn settled(
        &self,
        setup: &Setup,
        (file, bytes): (&Path, &[u8]),
        env: &EnvConfig,
    ) -> Result<Self, RunError> {
        let (card, _) = policy::parse(file, bytes)?;
        let (own, students) = (setup.registry.get(&card.env.id), setup.registry.get(&env.id)?);
        let wrappers = self.wrappers.or_else(|| {
            // A teacher of an environment that is not registered here can still see what the student sees.
            let own = own.ok()?;
            let (id, seen_through) = own.stack(&card.env.wrappers)?;
            let (students_id, all) = students.stack(&env.wrappers)?;
            let others = all.strip_prefix(seen_through.as_slice())?;
            let sees_more = id == students_id && others.iter().any(WrapperConfig::changes_observations);
            sees_more.then_some(seen_through.len())
        });
        Ok(Self { wrappers, ..self.clone() })
    }

    /// The same with the teacher's score, if the weight goes by it.
    fn with_score(&self, file: &Path, card: &Card) -> Result<Self, RunError> {
        let mut settled = self.clone();
        if self.decay == Decay::Score && self.score.is_none() {
            let Some(score) = card.mean_return else {
                let message = format!(
                    "teacher.score must be the teacher's mean return, which {} does not say",
                    file.display()
                );
                return Err(RunError::Config(message));
            };
            settled.score = Some(score);
        }
        settled.validate()?;
        Ok(settled)
    }

    /// How much the teacher counts: after so many environment steps of the run, with the student's mean return, which is not
    /// known before an episode has ended.
    pub(crate) fn weight(&self, env_steps: u64, total_timesteps: u64, mean_return: f64) -> f64 {
        let left = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - env_steps as f64 / (self.fraction * total_timesteps as f64),
            Decay::Score => match self.score {
                Some(score) if mean_return.is_finite() => (score - mean_return) / (score - self.floor),
                _ => 1.0,
            },
        };
        self.coef * left.clamp(0.0, 1.0)
    }

    /// Has a learner follow the teacher; gives the settings with what the teacher's file says.
    ///
    /// # Errors
    /// If the file is no policy's or does not say what is needed, or the teacher sees or does other things than the student.
    pub(crate) fn begin(
        &self,
        setup: &Setup,
        (file, bytes): (&Path, &[u8]),
        env: &EnvConfig,
        info: &RunInfo,
        learner: &mut dyn Learner,
    ) -> Result<Self, RunError> {
        let (card, weights) = policy::parse(file, bytes)?;
        let unsuited = |message: String| {
            RunError::Config(format!(
                "teacher.policy = {:?} does not suit the run: {message}",
                file.display()
            ))
        };
        // A teacher that sees more does so beneath whatever the student's observations are normalised by.
        if info.privileged.is_none() && normalises(env) || normalises(&card.env) {
            let message =
                "observations are normalised, by statistics that differ between teacher and student";
            return Err(unsuited(message.to_owned()));
        }
        let mut seen = info.spaces.clone();
        // What tasks are called is nothing that is seen or done.
        seen.tasks.clone_from(&card.spaces.tasks);
        if let Some(privileged) = &info.privileged {
            (seen.observation, seen.frames) = (privileged.clone(), card.spaces.frames);
        }
        if card.spaces != seen {
            return Err(unsuited(format!(
                "expected one that observes {} and does {:?}, found {} and {:?}",
                seen.observation, seen.action, card.spaces.observation, card.spaces.action
            )));
        }
        let policy = setup.algorithms.get(&card.algorithm)?.policy(
            &card.agent,
            card.network.as_ref(),
            &agon_agents::PolicyInfo { spaces: card.spaces.clone(), total_timesteps: card.total_timesteps },
            &weights,
        )?;
        learner.follow(Guide::new(&*policy, info, self.temperature, self.rewards)?)?;
        self.with_score(file, &card)
    }
}

/// Whether a wrapper of an environment, or of one of its tasks, normalises observations.
fn normalises(env: &EnvConfig) -> bool {
    let of_tasks = env.tasks.iter().flat_map(|task| &task.wrappers);
    let mut all = env.wrappers.iter().chain(of_tasks);
    all.any(|wrapper| matches!(wrapper, WrapperConfig::NormalizeObservation { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(decay: Decay) -> TeacherConfig {
        TeacherConfig { policy: Some("x".into()), coef: 2.0, decay, ..TeacherConfig::default() }
    }

    #[test]
    fn the_weight_falls_as_the_student_reaches_its_teacher() {
        let by_score = TeacherConfig { score: Some(-100.0), floor: -500.0, ..config(Decay::Score) };
        for (mean_return, weight) in
            [(f64::NAN, 2.0), (-500.0, 2.0), (-600.0, 2.0), (-200.0, 0.5), (-100.0, 0.0), (-50.0, 0.0)]
        {
            assert_eq!(by_score.weight(7, 100, mean_return), weight, "{mean_return}");
        }
        let linear = config(Decay::Linear);
        assert_eq!([0, 25, 50, 100].map(|step| linear.weight(step, 100, 0.0)), [2.0, 1.0, 0.0, 0.0]);
        assert_eq!(config(Decay::Constant).weight(100, 100, 1e9), 2.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let without = TeacherConfig { coef: 2.0, ..TeacherConfig::default() };
        let scored = TeacherConfig { score: Some(-1.0), ..config(Decay::Score) };
        for (config, part) in [
            (without, "teacher.policy must be a run"),
            (TeacherConfig { coef: 0.0, ..config(Decay::Linear) }, "teacher.coef must be above 0, got 0"),
            (
                TeacherConfig { fraction: 1.5, ..config(Decay::Linear) },
                "teacher.fraction must be above 0 and at most 1",
            ),
            (
                TeacherConfig { temperature: f64::NAN, ..config(Decay::Linear) },
                "teacher.temperature must be above 0, got NaN",
            ),
            (scored, "teacher.score must be above teacher.floor = 0, got -1"),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(TeacherConfig::default().validate().is_ok());
    }
}
