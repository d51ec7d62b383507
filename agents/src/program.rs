//! A policy as a program that can be run elsewhere: what its network computes, and how an action is read from that.

use agon_nn::{Operation, Params};
use serde::Serialize;

/// A network and how its outputs are read; the same actions as the policy's best ones.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// The network, from the observations that the policy sees.
    pub operations: Vec<Operation>,
    /// The network's parameters, under the names that the operations have for them; perhaps others too.
    #[serde(skip)]
    pub params: Params,
    /// How an action is read from a row of its outputs.
    pub decision: Decision,
}

/// How the best action is read from a row of a network's outputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decision {
    /// The largest logit of each choice, of those that are legal.
    Categorical {
        /// Options of each choice.
        nvec: Vec<usize>,
    },
    /// The means, which come first, within the bounds; logarithms of standard deviations follow.
    Gaussian {
        /// Lower bounds.
        low: Vec<f32>,
        /// Upper bounds.
        high: Vec<f32>,
    },
    /// `tanh` of the means, which come first, from −1..1 to the bounds.
    Squashed {
        /// Lower bounds.
        low: Vec<f32>,
        /// Upper bounds.
        high: Vec<f32>,
    },
    /// The legal action of the highest value.
    Values {
        /// Actions.
        actions: usize,
    },
    /// As `Values`, of logits `[A, Z]` over evenly spaced returns.
    Categories {
        /// Actions.
        actions: usize,
        /// The returns.
        support: Vec<f32>,
    },
    /// As `Values`, of quantiles `[A, Z]`.
    Quantiles {
        /// Actions.
        actions: usize,
        /// Quantiles of each.
        quantiles: usize,
    },
}
