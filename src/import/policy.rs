//! A graph as a policy.

use agon_agents::AgentError;
use agon_agents::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use agon_envs::batch::row_dtype;
use agon_envs::random::SeedSequence;
use agon_envs::{ActionBatch, ObsBuffer, Pcg64, VectorInfo};
use tract_onnx::prelude::*;

use super::answer::Answer;
use super::feed::{self, Batch, Feeding, Input, Source};
use super::model::OnnxModel;
use super::plan::Plans;
use crate::RunError;

/// The policy of an ONNX file. It takes its best actions; what it remembers begins as zeros with each episode.
pub struct OnnxPolicy {
    plans: Plans,
    inputs: Vec<Input>,
    state_len: usize,
    batch: Batch,
    answer: Answer,
    row_len: usize,
}

impl OnnxPolicy {
    pub(super) fn new(mut model: OnnxModel, info: &VectorInfo) -> Result<Self, RunError> {
        let Feeding { inputs, state_len, batch } = Feeding::of(&model, info)?;
        let is_state = |output: usize| {
            inputs
                .iter()
                .any(|input| matches!(input.source, Source::State { output: next, .. } if next == output))
        };
        let Some(answer) = Answer::of(&model, is_state, info) else {
            return Err(model.wrong("expected an output with actions, found none".to_owned()));
        };
        let forms = inputs.iter().map(|input| input.form.clone()).collect();
        let plans = Plans::new(std::mem::take(&mut model.graph), forms);
        let row_len = info.observation_len();
        let policy = Self { plans, inputs, state_len, batch, answer, row_len };
        policy.try_out(info).map_err(|error| model.wrong(error.to_string()))?;
        Ok(policy)
    }

    /// Acts once, so that what does not fit is known before an episode begins.
    fn try_out(&self, info: &VectorInfo) -> Result<(), AgentError> {
        let mut actor = Actor::new(Pcg64::from_sequence(&SeedSequence::new(0)));
        actor.state = vec![0.0; self.state_len];
        let observations = ObsBuffer::zeros(row_dtype(&info.observation_space), self.row_len);
        let mut actions = ActionBatch::zeros(&info.action_spec, 1);
        let input = ActInput {
            observations: &observations,
            num_rows: 1,
            action_masks: &vec![true; info.mask_len],
            resets: &[true],
            rewards: &[],
            tasks: &[],
            env_steps: 0,
            mode: ActMode::Deterministic,
        };
        self.act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] })
    }

    /// Acts in the rows from `first` on.
    fn act_in(
        &self,
        input: &ActInput<'_>,
        (first, num_rows): (usize, usize),
        state: &mut [f32],
        output: &mut ActOutput<'_>,
    ) -> Result<(), AgentError> {
        let (mut tensors, mut values, mut row) = (TVec::new(), Vec::new(), Vec::new());
        let mask_len = input.action_masks.len() / input.num_rows;
        for Input { form, source } in &self.inputs {
            values.clear();
            for at in first..first + num_rows {
                match source {
                    Source::Observation { from, len, order } => {
                        feed::numbers(input.observations, at * self.row_len + from, *len, &mut row);
                        order.append(&row, form.row_len(), &mut values);
                    }
                    Source::Mask => {
                        let mask = &input.action_masks[at * mask_len..(at + 1) * mask_len];
                        values.extend(mask.iter().map(|&legal| f32::from(u8::from(legal))));
                    }
                    Source::Start => values.push(f32::from(u8::from(input.resets[at]))),
                    Source::State { from, .. } => {
                        let from = at * self.state_len + from;
                        values.extend_from_slice(&state[from..from + form.row_len()]);
                    }
                }
            }
            let tensor = form.tensor(&values, num_rows);
            tensors.push(tensor.map_err(|error| AgentError::Policy(format!("{error:#}")))?.into_tvalue());
        }
        let outputs = self.plans.run(tensors, num_rows)?;
        for Input { form, source } in &self.inputs {
            let Source::State { from, output } = source else { continue };
            let rows = form.rows(&outputs[*output], num_rows);
            let rows = rows.map_err(|error| AgentError::Policy(format!("{error:#}")))?;
            for (at, row) in rows.chunks_exact(form.row_len()).enumerate() {
                let from = (first + at) * self.state_len + from;
                state[from..from + row.len()].copy_from_slice(row);
            }
        }
        self.answer.write(&outputs[self.answer.output], first, num_rows, input.action_masks, output)
    }
}

impl Policy for OnnxPolicy {
    fn state_len(&self) -> usize {
        self.state_len
    }

    fn act(
        &self,
        input: &ActInput<'_>,
        actor: &mut Actor,
        mut output: ActOutput<'_>,
    ) -> Result<(), AgentError> {
        if self.state_len > 0 {
            let states = actor.state.chunks_exact_mut(self.state_len);
            states.zip(input.resets).filter(|(_, reset)| **reset).for_each(|(state, _)| state.fill(0.0));
        }
        match self.batch {
            Batch::Any => self.act_in(input, (0, input.num_rows), &mut actor.state, &mut output),
            Batch::One => (0..input.num_rows)
                .try_for_each(|row| self.act_in(input, (row, 1), &mut actor.state, &mut output)),
        }
    }
}
