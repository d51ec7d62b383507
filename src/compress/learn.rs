//! Students that learn from the policy that is compressed, on states that they visit themselves.
//!
//! # Source
//! Ross, Gordon and Bagnell 2011, arXiv:1011.0686 (DAgger): the teacher acts at first, then the student, and the teacher answers
//! on all states.

use agon_agents::distillation::{DistillationConfig, DistillationLoss, Distiller};
use agon_agents::pruning;
use agon_envs::Pcg64;
use agon_nn::{ToldChain, ToldNetwork, ToldScratch};
use agon_policy::{Decision, Operation, Parameter, Parameters};

use super::states::Player;
use crate::RunError;

/// States that are kept, the newest.
const MOST_STATES: usize = 50_000;
/// States of the teacher's before the student acts.
const FIRST_STATES: usize = 8_192;
/// Steps of all environments between two rounds of updates.
const TICKS: usize = 8;
/// Updates of a round.
const UPDATES: u64 = 32;
/// The share of the updates in which weights are pruned; the others are for what is left.
const PRUNED_BY: f64 = 0.7;

/// What a student learns besides its teacher's answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Course {
    /// Weights are pruned meanwhile, until so many are.
    pub(super) gradual: Option<f64>,
    /// What is zero at first stays so.
    pub(super) keeps_zeros: bool,
    /// Weights are rounded to integers.
    pub(super) rounds: bool,
}

/// The loss of what an action is read from.
pub(super) fn loss_of(decision: &Decision, temperature: f64, answers: &[f32]) -> DistillationLoss {
    match decision {
        Decision::Categorical { nvec } => DistillationLoss::choices(nvec, temperature, None),
        Decision::Values { actions } => DistillationLoss::choices(&[*actions], temperature, Some(answers)),
        _ => DistillationLoss::Numbers,
    }
}

/// Parameters under the names that a chain's operations have for them.
pub(crate) fn parameters_of(chain: &ToldChain) -> Parameters {
    let layout = chain.params.layout();
    let found = chain.names.iter().filter_map(|(own, theirs)| {
        let spec = layout.find(own)?;
        let (shape, values) = (spec.range.shape().to_vec(), spec.range.read(chain.params.as_slice()));
        Some((theirs.clone(), Parameter { shape, values }))
    });
    found.collect()
}

/// A student and where it learns.
pub(super) struct Lesson<'a> {
    pub(super) player: &'a mut Player,
    pub(super) teacher: &'a ToldNetwork,
    pub(super) decision: &'a Decision,
    pub(super) config: DistillationConfig,
    pub(super) seed: u64,
}

impl Lesson<'_> {
    /// Teaches a network of operations; gives its parameters.
    pub(super) fn teach(
        self,
        operations: &[Operation],
        student: ToldChain,
        course: Course,
    ) -> Result<Parameters, RunError> {
        let Self { player, teacher, decision, config, seed } = self;
        let (inputs, outputs) = (teacher.inputs(), teacher.outputs());
        let (mut scratch, mut answers, mut of_rows) = (ToldScratch::default(), Vec::new(), Vec::new());
        let mut states = player.states(teacher, FIRST_STATES)?;
        teacher.run(&states, &mut scratch, &mut answers)?;
        let loss = loss_of(decision, config.temperature, &answers);
        let mut distiller = Distiller::new(student, config, loss)?;
        if course.keeps_zeros {
            distiller.keep_zeros();
        }
        if course.rounds {
            distiller.round_weights();
        }
        let mut rng = Pcg64::seed_from(seed);
        let (mut x, mut targets, mut place) = (Vec::new(), Vec::new(), 0);
        while distiller.updates() < config.updates {
            if let Some(sparsity) = course.gradual {
                let share = (distiller.updates() + UPDATES) as f64 / (PRUNED_BY * config.updates as f64);
                distiller.prune(pruning::cubic(sparsity, share));
            }
            for _ in 0..UPDATES.min(config.updates - distiller.updates()) {
                x.clear();
                targets.clear();
                for _ in 0..config.batch_size {
                    let row = rng.bounded((states.len() / inputs - 1) as u64) as usize;
                    x.extend_from_slice(&states[row * inputs..(row + 1) * inputs]);
                    targets.extend_from_slice(&answers[row * outputs..(row + 1) * outputs]);
                }
                distiller.update(&x, &targets)?;
            }
            let acting = ToldNetwork::new(operations, &parameters_of(distiller.student()), inputs)?;
            let mut new = Vec::new();
            for _ in 0..TICKS {
                player.tick(&acting, &mut new)?;
            }
            teacher.run(&new, &mut scratch, &mut of_rows)?;
            for (state, answer) in new.chunks_exact(inputs).zip(of_rows.chunks_exact(outputs)) {
                if states.len() < MOST_STATES * inputs {
                    states.extend_from_slice(state);
                    answers.extend_from_slice(answer);
                } else {
                    states[place * inputs..(place + 1) * inputs].copy_from_slice(state);
                    answers[place * outputs..(place + 1) * outputs].copy_from_slice(answer);
                    place = (place + 1) % MOST_STATES;
                }
            }
        }
        Ok(parameters_of(distiller.student()))
    }
}
