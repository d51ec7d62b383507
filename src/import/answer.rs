//! What a graph's output says: actions themselves, or what they are chosen by.

use agon_agents::AgentError;
use agon_agents::policy::ActOutput;
use agon_envs::{ActionBatch, ActionSpec, Space, VectorInfo};
use tract_onnx::prelude::*;

use super::model::{OnnxModel, Port};

/// Names of outputs that decide, the best known first; of a graph that has none of them, the first output does.
const NAMES: [&str; 7] = ["actions", "action", "logits", "q_values", "values", "output", "mu"];

/// The output that decides, and what the environment takes.
pub(super) struct Answer {
    pub(super) output: usize,
    name: String,
    spec: ActionSpec,
    space: Space,
    mask_len: usize,
}

impl Answer {
    /// Of a model; none if it only gives states.
    pub(super) fn of(model: &OnnxModel, is_state: impl Fn(usize) -> bool, info: &VectorInfo) -> Option<Self> {
        let decides: Vec<(usize, &Port)> =
            model.outputs.iter().enumerate().filter(|&(at, _)| !is_state(at)).collect();
        let known = NAMES.iter().find_map(|name| decides.iter().find(|(_, port)| port.name == *name));
        let &(output, port) = known.or(decides.first())?;
        Some(Self {
            output,
            name: port.name.clone(),
            spec: info.action_spec.clone(),
            space: info.action_space.clone(),
            mask_len: info.mask_len,
        })
    }

    /// Writes the actions of `num_rows` rows from row `first` on.
    pub(super) fn write(
        &self,
        tensor: &Tensor,
        first: usize,
        num_rows: usize,
        masks: &[bool],
        output: &mut ActOutput<'_>,
    ) -> Result<(), AgentError> {
        let numbers = tensor.cast_to::<f32>().and_then(|numbers| {
            Ok(numbers.to_plain_array_view::<f32>()?.iter().copied().collect::<Vec<f32>>())
        });
        let numbers = numbers.map_err(|error| self.wrong(&format!("expected numbers ({error})")))?;
        let width = numbers.len() / num_rows;
        if width * num_rows != numbers.len() {
            return Err(self.wrong(&format!("expected {num_rows} rows, got shape {:?}", tensor.shape())));
        }
        let options = match &self.spec {
            ActionSpec::Discrete { nvec } => nvec.iter().map(|&n| n as usize).sum(),
            ActionSpec::Continuous { .. } => 0,
        };
        let are_logits = tensor.datum_type().is_float() && width == options;
        // Masks are minus infinity in some programs' logits.
        let is_number = |number: f32| number.is_finite() || are_logits && number == f32::NEG_INFINITY;
        if let Some(at) = numbers.iter().position(|&number| !is_number(number)) {
            return Err(self.wrong(&format!("row {} has {}", first + at / width, numbers[at])));
        }
        match (&self.spec, &mut *output.actions) {
            (ActionSpec::Discrete { nvec }, ActionBatch::Discrete(actions)) => {
                let actions = &mut actions[first * nvec.len()..(first + num_rows) * nvec.len()];
                if are_logits {
                    let masks = if self.mask_len == 0 { masks } else { &masks[first * options..] };
                    return self.choose(&numbers, nvec, options, masks, actions);
                }
                self.expect(width, nvec.len(), &format!(" or {options} logits"))?;
                self.indices(&numbers, nvec, actions)
            }
            (ActionSpec::Continuous { low, high }, ActionBatch::Continuous(actions)) => {
                self.expect(width, low.len(), "")?;
                let actions = &mut actions[first * width..(first + num_rows) * width];
                for (at, (action, number)) in actions.iter_mut().zip(numbers).enumerate() {
                    *action = number.clamp(low[at % width], high[at % width]);
                }
                Ok(())
            }
            _ => Err(self.wrong(&format!("the environment takes {}", self.space))),
        }
    }

    /// The best legal option of each choice.
    fn choose(
        &self,
        logits: &[f32],
        nvec: &[u32],
        options: usize,
        masks: &[bool],
        actions: &mut [u32],
    ) -> Result<(), AgentError> {
        let mut actions = actions.iter_mut();
        for (row, logits) in logits.chunks_exact(options).enumerate() {
            let mut from = 0;
            for (&n, action) in nvec.iter().zip(actions.by_ref()) {
                let range = from..from + n as usize;
                let is_legal = |at: &usize| self.mask_len == 0 || masks[row * options + at];
                let best = range
                    .filter(is_legal)
                    .reduce(|best, at| if logits[at] > logits[best] { at } else { best });
                let best = best.ok_or_else(|| self.wrong(&format!("no action is legal in row {row}")))?;
                *action = (best - from) as u32;
                from += n as usize;
            }
        }
        Ok(())
    }

    /// Actions that are named by their numbers.
    fn indices(&self, numbers: &[f32], nvec: &[u32], actions: &mut [u32]) -> Result<(), AgentError> {
        let start = if let Space::Discrete { start, .. } = &self.space { *start } else { 0 };
        for (at, (action, &number)) in actions.iter_mut().zip(numbers).enumerate() {
            let index = number as i64 - start;
            let n = nvec[at % nvec.len()];
            if number.fract() != 0.0 || !(0..i64::from(n)).contains(&index) {
                let row = at / nvec.len();
                return Err(
                    self.wrong(&format!("expected an action of {} in row {row}, got {number}", self.space))
                );
            }
            *action = index as u32;
        }
        Ok(())
    }

    fn expect(&self, width: usize, expected: usize, or: &str) -> Result<(), AgentError> {
        if width == expected {
            return Ok(());
        }
        Err(self.wrong(&format!("expected {expected} numbers{or} a row for {}, got {width}", self.space)))
    }

    fn wrong(&self, message: &str) -> AgentError {
        AgentError::Policy(format!("output `{}`: {message}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(logits: &[f32], masks: &[bool]) -> Result<Vec<u32>, String> {
        let answer = Answer {
            output: 0,
            name: "logits".to_owned(),
            spec: ActionSpec::Discrete { nvec: vec![3] },
            space: Space::Discrete { n: 3, start: 0 },
            mask_len: masks.len(),
        };
        let mut actions = ActionBatch::Discrete(vec![7]);
        let mut output = ActOutput { actions: &mut actions, policy_data: &mut [] };
        let tensor = Tensor::from_shape(&[1, logits.len()], logits).unwrap();
        answer.write(&tensor, 0, 1, masks, &mut output).map_err(|error| error.to_string())?;
        Ok(actions.indices().to_vec())
    }

    #[test]
    fn the_largest_legal_logit_is_chosen_and_what_is_no_number_refused() {
        let low = f32::NEG_INFINITY;
        assert_eq!(answered(&[low, 1.0, 2.0], &[]), Ok(vec![2]));
        assert_eq!(answered(&[low, 1.0, 2.0], &[true, true, false]), Ok(vec![1]));
        assert_eq!(answered(&[low, f32::NAN, 2.0], &[]), Err("output `logits`: row 0 has NaN".to_owned()));
        assert_eq!(
            answered(&[f32::INFINITY, 0.0, 0.0], &[]),
            Err("output `logits`: row 0 has inf".to_owned())
        );
        assert!(answered(&[1.0], &[]).is_ok_and(|actions| actions == [1]), "a whole number names an action");
        assert!(
            answered(&[low], &[]).is_err()
                && answered(&[1.5], &[]).is_err()
                && answered(&[3.0], &[]).is_err()
        );
    }
}
