//! The network: what tokens are made of, and what is known of the data beside it.

use agon_envs::ActionBatch;
use agon_nn::{
    Gpt, HeadSpec, Init, LayoutBuilder, Matrix, MemoryConfig, ModelConfig, Observation, ParamRange, Params,
    TokenKind,
};

use crate::behavior::Regressed;
use crate::distribution::{Distribution, other_actions};
use crate::learner::Spaces;
use crate::{AgentError, network};

/// The kinds of tokens of a step, in their order.
pub(super) const RETURN: usize = 0;
pub(super) const OBSERVATION: usize = 1;
pub(super) const ACTION: usize = 2;

/// A transformer over returns-to-go, observations and actions, and how actions are read from it.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) gpt: Gpt,
    pub(super) regressed: Regressed,
    /// `[2]`, or `[K, 2]` of `K` tasks: see [`Returns`].
    returns: ParamRange,
    /// Values of an action's token, before its embedding.
    action_len: usize,
}

/// What a policy knows of the returns in the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Returns {
    /// The greatest return of an episode.
    pub(super) best: f32,
    /// What returns are divided by; above zero.
    pub(super) scale: f32,
}

impl Network {
    /// The network, `embed_return.*`, `embed_observation.*`, `embed_action.*`, `position.*`, `norm_in.*`, `layers.*`, `norm.*` and
    /// `head.*`, and the buffer `returns`; and its parameters to be.
    pub(super) fn layout(config: &ModelConfig, spaces: &Spaces) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_not_noisy("dt", config)?;
        let MemoryConfig::Transformer(transformer) = &config.memory else {
            let (algorithm, expected) = ("dt", "network.memory.kind = \"transformer\"");
            let found = format!("{:?}", config.memory);
            return Err(AgentError::Unsupported { algorithm, expected, found });
        };
        let regressed = Regressed::of("dt", &spaces.action)?;
        let action_len = match &regressed {
            Regressed::Choices(distribution) => distribution.outputs(),
            Regressed::Numbers(bounds) => bounds.dimensions(),
        };
        let kind = |name: &str, observation, encoder: &_| TokenKind {
            name: name.to_owned(),
            observation,
            encoder: Clone::clone(encoder),
        };
        let identity = agon_nn::EncoderConfig::Identity;
        let kinds = [
            kind("embed_return", Observation::Vector(1), &identity),
            kind("embed_observation", network::observation("dt", &spaces.observation)?, &config.encoder),
            kind("embed_action", Observation::Vector(action_len), &identity),
        ];
        let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
        let head = HeadSpec { name: "head".to_owned(), head: regressed.head(), init };
        let head = (OBSERVATION, &head, &config.head);
        let gpt = Gpt::new(&mut builder, "", &kinds, transformer, head, init)?;
        let shape = [&[spaces.tasks.len()][..], &[2]].concat();
        let shape = if spaces.tasks.is_empty() { &shape[1..] } else { &shape[..] };
        let returns = builder.add_buffer("returns", shape, Init::Constant(1.0));
        Ok((Self { gpt, regressed, returns, action_len }, builder))
    }

    /// What the parameters know of the returns in the data, of each task.
    pub(super) fn returns(&self, params: &Params) -> Vec<Returns> {
        let all = self.returns.read(params.as_slice());
        let read = |pair: &[f32]| match *pair {
            // A file may say anything.
            [best, scale] if scale > 0.0 && scale.is_finite() && best.is_finite() => Returns { best, scale },
            _ => Returns { best: 0.0, scale: 1.0 },
        };
        all.chunks_exact(2).map(read).collect()
    }

    /// Writes down what is known of the returns in the data, of each task.
    pub(super) fn set_returns(&self, params: &mut Params, returns: &[Returns]) {
        let values: Vec<f32> = returns.iter().flat_map(|&Returns { best, scale }| [best, scale]).collect();
        self.returns.write(&values, params.as_mut_slice());
    }

    /// Values of an action's token, before its embedding.
    pub(super) fn action_len(&self) -> usize {
        self.action_len
    }

    /// Rows of so many values.
    ///
    /// # Errors
    /// If there are none.
    pub(super) fn matrix(values: &[f32], width: usize) -> Result<Matrix, AgentError> {
        Ok(Matrix::from_slice(values.len() / width, width, values)?)
    }

    /// What the tokens of actions are made of, `[B, action_len]`, see [`Self::write_actions`].
    ///
    /// # Errors
    /// If actions are of another kind, or there are none.
    pub(super) fn actions(&self, actions: &ActionBatch) -> Result<Matrix, AgentError> {
        let rows = actions.len()
            / match &self.regressed {
                Regressed::Choices(Distribution::Categorical { nvec }) => nvec.len(),
                _ => self.action_len,
            };
        let mut values = vec![0.0; rows * self.action_len];
        self.write_actions(actions, values.chunks_exact_mut(self.action_len))?;
        Self::matrix(&values, self.action_len)
    }

    /// Writes what the tokens of actions are made of: unit vectors of choices, numbers between −1 and 1.
    ///
    /// # Errors
    /// If actions are of another kind.
    pub(super) fn write_actions<'a>(
        &self,
        actions: &ActionBatch,
        rows: impl Iterator<Item = &'a mut [f32]>,
    ) -> Result<(), AgentError> {
        match (&self.regressed, actions) {
            (Regressed::Choices(Distribution::Categorical { nvec }), ActionBatch::Discrete(indices)) => {
                for (row, indices) in rows.zip(indices.chunks_exact(nvec.len())) {
                    row.fill(0.0);
                    let mut first = 0;
                    for (&index, &choices) in indices.iter().zip(nvec) {
                        if let Some(place) = row[first..first + choices].get_mut(index as usize) {
                            *place = 1.0;
                        }
                        first += choices;
                    }
                }
                Ok(())
            }
            (Regressed::Numbers(bounds), ActionBatch::Continuous(numbers)) => {
                for (row, numbers) in rows.zip(numbers.chunks_exact(self.action_len)) {
                    bounds.read(numbers, row);
                }
                Ok(())
            }
            _ => Err(other_actions()),
        }
    }
}
