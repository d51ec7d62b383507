//! Adversarial imitation: a discriminator tells what an agent does from what experts did, and that is the agent's reward.
//!
//! It reads an observation and the action that was taken in it. All of its weights are spectrally normalised, so that its slope
//! is bounded and the reward does not turn into a cliff.
//!
//! # Source
//! Ho and Ermon (2016), arXiv:1606.03476, for GAIL; Fu, Luo and Levine (2018), arXiv:1710.11248, for AIRL's reward; Kostrikov et
//! al. (2019), arXiv:1809.02925, for what ends of episodes tell.
//!
//! # Deviations
//! 1. Spectral normalisation in place of a gradient penalty or of an entropy bonus for the discriminator.
//! 2. AIRL's discriminator is `σ(f(s, a))` without the policy's probability and without shaping by a potential.
//! 3. With `hide_ends` an episode that ended is valued as if it stayed in its last step's observation for ever; absorbing states of
//!    Kostrikov et al. are judged themselves.
//! 4. Rewards lose the mean and deviation of the last iterations' (`normalize`); those of the library `imitation` (Gleave et al.,
//!    2022, arXiv:2211.11972) of all iterations'.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use agon_envs::{Action, ActionSpec, ObsBuffer, Pcg64, Space};
use agon_nn::{
    Activation, AdamConfig, Init, Input, Layer, LayoutBuilder, Matrix, OptimizerConfig, Sequential,
    SpectralNorm, Tape,
};
use serde::{Deserialize, Serialize};

use crate::learner::{RunInfo, Spaces, stream};
use crate::part::{self, Part, SavedPart};
use crate::settings::{above_zero, rows, samples, updates};
use crate::slices::{Slice, Sums, for_each_slice, slices};
use crate::{AgentError, Fragment, network};

/// What the discriminator's tensors are called, before their own names.
pub(crate) const PREFIX: &str = "discriminator.";

/// Normalised numbers are cut to ± this.
const CLIP: f32 = 10.0;
/// Numbers that vary less than this are divided by it.
const LEAST_DEVIATION: f64 = 1e-3;
/// How far the statistics of rewards move towards an iteration's.
const PACE: f64 = 0.05;

/// The reward that a discriminator's logit `f` stands for, `D = σ(f)` the belief that an expert did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdversaryReward {
    /// `−ln(1 − D)`: never negative.
    #[default]
    Gail,
    /// `ln D − ln(1 − D) = f`.
    Airl,
}

/// Settings of adversarial imitation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImitationConfig {
    /// What the agent is paid.
    pub reward: AdversaryReward,
    /// Whether an episode that ended is valued as if it stayed in its last step's observation, so that rewards do not tell how long
    /// one lasts.
    pub hide_ends: bool,
    /// Whether rewards have the mean and deviation of the last iterations' taken out, so that they are worth the same to the agent
    /// however far the discriminator has come.
    pub normalize: bool,
    /// Widths of the discriminator's hidden layers.
    pub hidden: Vec<usize>,
    /// The discriminator's step size; above 0.
    pub learning_rate: f64,
    /// Its updates in an iteration; at least 1.
    pub updates: usize,
    /// Steps of the agent, and as many of experts, in each; at least 1.
    pub batch_size: usize,
}

impl Default for ImitationConfig {
    fn default() -> Self {
        Self {
            reward: AdversaryReward::Gail,
            hide_ends: true,
            normalize: true,
            hidden: vec![64, 64],
            learning_rate: 1e-3,
            updates: 8,
            batch_size: 256,
        }
    }
}

impl ImitationConfig {
    fn validate(&self) -> Result<(), AgentError> {
        above_zero(&[("imitation.learning_rate", self.learning_rate)])?;
        updates(&[("imitation.updates", self.updates as u64)])?;
        let widths = self.hidden.iter().map(|&width| ("imitation.hidden", width as u64));
        samples(&widths.collect::<Vec<_>>())?;
        rows(&[("imitation.batch_size", self.batch_size as u64)])
    }
}

/// A discriminator, and what experts did.
pub(crate) struct Adversary {
    config: ImitationConfig,
    reads: Reads,
    chain: Sequential,
    norms: Vec<SpectralNorm>,
    part: Part,
    rng: Pcg64,
    /// Steps of experts that there will be.
    expected: u64,
    /// `[E, F]`, normalised once the first iteration begins.
    experts: Vec<f32>,
    /// Mean and one over the deviation of each number that is normalised, over the experts.
    scales: Vec<(f64, f64)>,
    paid: Paid,
    slices: Vec<Slice<(), Verdicts>>,
}

/// How a step becomes a row of numbers, `F` of them: the observation, and numbers or one-hot choices.
#[derive(Clone, Debug)]
struct Reads {
    observation_len: usize,
    action: ActionSpec,
}

/// What a discriminator said of some steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts {
    loss: f64,
    right: usize,
    rows: usize,
}

impl Sums for Verdicts {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.right += other.right;
        self.rows += other.rows;
    }
}

/// What an iteration is learned from, and how the discriminator did.
pub(crate) struct Judged {
    /// The fragments with other rewards.
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) loss: f64,
    /// Share of steps that it told apart.
    pub(crate) accuracy: f64,
}

/// Mean and variance of the rewards that were paid, of which the last iterations count the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Paid {
    iterations: u64,
    mean: f64,
    variance: f64,
}

/// What is saved of one. The experts' steps are read again.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    part: SavedPart,
    rng: Pcg64,
    paid: Paid,
}

impl Adversary {
    /// A random discriminator, without experts yet.
    pub(crate) fn new(
        config: ImitationConfig,
        gradient_slices: usize,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        config.validate()?;
        let Some(recorded) = info.recorded else {
            let (expected, found) = ("recorded data of experts (--data ID)", "none".to_owned());
            return Err(AgentError::Unsupported { algorithm: "imitation", expected, found });
        };
        let Spaces { observation, action, .. } = &info.spaces;
        if !matches!(observation, Space::Box(_) | Space::MultiBinary { .. }) {
            let (expected, found) = ("observations that are numbers", observation.to_string());
            return Err(AgentError::Unsupported { algorithm: "imitation", expected, found });
        }
        let reads = Reads { observation_len: observation.packed_len(), action: action.clone() };
        let (mut builder, mut norms, mut width) = (LayoutBuilder::new(), Vec::new(), reads.width());
        let hidden = config.hidden.iter().map(|&width| (width, Activation::LeakyRelu));
        for (index, (outputs, activation)) in hidden.chain([(1, Activation::Identity)]).enumerate() {
            let name = (2 * index).to_string();
            let init = Init::PYTORCH_LINEAR;
            norms.push(SpectralNorm::linear(&mut builder, &name, width, outputs, activation, init));
            width = outputs;
        }
        let layers: Vec<Arc<dyn Layer>> = norms.iter().map(|norm| norm.clone().into()).collect();
        let mut params = builder.build(stream(info.seed, 11));
        norms
            .iter()
            .try_for_each(|norm| norm.power_iteration(&mut params, SpectralNorm::FIRST_ITERATIONS))?;
        Ok(Self {
            reads,
            chain: Sequential::new(layers)?,
            norms,
            part: Part::trained(PREFIX, params, OptimizerConfig::Adam(AdamConfig::default()))?,
            rng: Pcg64::seed_from(stream(info.seed, 12)),
            expected: recorded.steps,
            experts: Vec::new(),
            scales: Vec::new(),
            paid: Paid::default(),
            slices: slices(gradient_slices),
            config,
        })
    }

    /// Adds what an expert did.
    pub(crate) fn remember(&mut self, recorded: &Fragment) {
        let rows: Vec<usize> = (0..recorded.rows()).filter(|&row| recorded.active[row]).collect();
        self.reads.write(recorded, &rows, &mut self.experts);
    }

    /// Bytes that the experts' steps take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.expected.saturating_mul(4 * self.reads.width() as u64)
    }

    /// Normalises experts' steps by their own statistics, once all are there.
    fn settle(&mut self) {
        if !self.scales.is_empty() {
            return;
        }
        let (width, numbers) = (self.reads.width(), self.reads.numbers());
        let count = (self.experts.len() / width) as f64;
        let column = |index: usize| self.experts.iter().skip(index).step_by(width).map(|&x| f64::from(x));
        let scale = |index: usize| {
            let mean = column(index).sum::<f64>() / count;
            let variance = column(index).map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            (mean, 1.0 / variance.sqrt().max(LEAST_DEVIATION))
        };
        self.scales = (0..numbers).map(scale).collect();
        normalize(&self.scales, &mut self.experts, width);
    }

    /// Learns to tell an iteration's steps from the experts', and pays for those that it cannot.
    ///
    /// # Errors
    /// If there are no experts, or a loss is not finite.
    pub(crate) fn judge(&mut self, fragments: &[Fragment], updates: u64) -> Result<Judged, AgentError> {
        let width = self.reads.width();
        if self.experts.len() < width {
            let (expected, found) = ("recorded steps of experts", "none".to_owned());
            return Err(AgentError::Unsupported { algorithm: "imitation", expected, found });
        }
        self.settle();
        let mut own = Vec::new();
        let mut places = Vec::new();
        for (index, fragment) in fragments.iter().enumerate() {
            let rows: Vec<usize> = (0..fragment.rows()).filter(|&row| fragment.active[row]).collect();
            self.reads.write(fragment, &rows, &mut own);
            places.extend(rows.into_iter().map(|row| (index, row)));
        }
        if places.is_empty() {
            // Nobody took part in any tick: there is nothing to judge.
            return Ok(Judged { fragments: fragments.to_vec(), loss: f64::NAN, accuracy: f64::NAN });
        }
        normalize(&self.scales, &mut own, width);
        let verdicts = self.learn(&own)?;
        crate::error::ensure_finite("discriminator loss", verdicts.loss, updates)?;
        let mut fragments = fragments.to_vec();
        let x = Input::Floats(Matrix::from_slice(places.len(), width, &own)?);
        let logits = self.chain.forward_input(&self.part.params, &x, &mut Tape::inference())?;
        let mut rewards: Vec<f32> = match self.config.reward {
            AdversaryReward::Gail => logits.as_slice().iter().map(|&logit| softplus(logit)).collect(),
            AdversaryReward::Airl => logits.as_slice().to_vec(),
        };
        if self.config.normalize {
            self.paid.follow(&rewards);
            self.paid.normalize(&mut rewards);
        }
        for ((index, row), reward) in places.into_iter().zip(rewards) {
            fragments[index].rewards[row] = reward;
        }
        if self.config.hide_ends {
            fragments.iter_mut().for_each(hide_ends);
        }
        let rows = verdicts.rows as f64;
        Ok(Judged { fragments, loss: verdicts.loss / rows, accuracy: verdicts.right as f64 / rows })
    }

    /// Updates on steps that are drawn, as many of the agent's as of experts.
    fn learn(&mut self, own: &[f32]) -> Result<Verdicts, AgentError> {
        let (width, batch) = (self.reads.width(), self.config.batch_size);
        let mut total = Verdicts::default();
        for _ in 0..self.config.updates {
            let mut draw = |from: &[f32]| {
                let last = (from.len() / width - 1) as u64;
                (0..batch).map(|_| self.rng.bounded(last) as usize).collect::<Vec<_>>()
            };
            let (expert_rows, own_rows) = (draw(&self.experts), draw(own));
            self.norms.iter().try_for_each(|norm| norm.power_iteration(&mut self.part.params, 1))?;
            // Taken out, so that slices can be written while they all read the rest.
            let mut slices = std::mem::take(&mut self.slices);
            let len = self.part.params.len();
            let outcome = for_each_slice(&mut slices, batch, len, |range, (), grads| {
                self.backward([(&self.experts, &expert_rows), (own, &own_rows)], range, grads)
            });
            self.slices = slices;
            total.add(&outcome?);
            self.part.descend(&mut self.slices, f64::INFINITY, self.config.learning_rate)?;
        }
        Ok(total)
    }

    /// The gradient of the mean of `softplus(−f)` of experts' steps and of `softplus(f)` of the agent's.
    fn backward(
        &self,
        sides: [(&[f32], &Vec<usize>); 2],
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<Verdicts, AgentError> {
        let (width, scale) = (self.reads.width(), 1.0 / self.config.batch_size as f32);
        let (mut tape, mut verdicts) = (Tape::new(), Verdicts::default());
        let mut told = Vec::new();
        for ((rows, drawn), sign) in sides.into_iter().zip([-1.0, 1.0]) {
            let chosen: Vec<f32> = drawn[range.clone()]
                .iter()
                .flat_map(|&row| &rows[row * width..(row + 1) * width])
                .copied()
                .collect();
            let x = Input::Floats(Matrix::from_slice(range.len(), width, &chosen)?);
            let logits = self.chain.forward_input(&self.part.params, &x, &mut tape)?;
            let gradient: Vec<f32> = logits
                .as_slice()
                .iter()
                .map(|&logit| {
                    let wrong = sign * logit;
                    verdicts.loss += f64::from(softplus(wrong));
                    verdicts.right += usize::from(wrong < 0.0);
                    scale * sign / (1.0 + (-wrong).exp())
                })
                .collect();
            verdicts.rows += range.len();
            told.push((logits, gradient));
        }
        let outputs: Vec<(&Matrix, &[f32])> =
            told.iter().map(|(logits, gradient)| (logits, gradient.as_slice())).collect();
        tape.backward(&self.part.params, &outputs, grads)?;
        Ok(verdicts)
    }

    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    pub(crate) fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }

    pub(crate) fn save(&self) -> Result<Saved, AgentError> {
        let missing = || AgentError::Restore("expected a discriminator".to_owned());
        let part = part::save(&[&self.part]).pop().ok_or_else(missing)?;
        Ok(Saved { part, rng: self.rng.clone(), paid: self.paid })
    }

    /// Takes on a saved state, after everything has been checked.
    pub(crate) fn restore(&mut self, saved: Saved) -> Result<(), AgentError> {
        if !saved.paid.is_whole() {
            let found = saved.paid;
            return Err(AgentError::Restore(format!(
                "expected statistics of learned rewards, got {found:?}"
            )));
        }
        part::restored(&[&self.part], vec![saved.part])?.put(&mut [&mut self.part]);
        self.rng = saved.rng;
        self.paid = saved.paid;
        Ok(())
    }
}

impl Paid {
    fn is_whole(&self) -> bool {
        self.mean.is_finite() && self.variance.is_finite() && self.variance >= 0.0
    }

    /// Moves towards an iteration's rewards, all the way at the first.
    fn follow(&mut self, rewards: &[f32]) {
        let count = rewards.len() as f64;
        let mean = rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>() / count;
        let variance = rewards.iter().map(|&reward| (f64::from(reward) - mean).powi(2)).sum::<f64>() / count;
        self.iterations += 1;
        let step = PACE.max(1.0 / self.iterations as f64);
        let moved = mean - self.mean;
        self.mean += step * moved;
        self.variance += step * (variance - self.variance) + step * (1.0 - step) * moved * moved;
    }

    fn normalize(&self, rewards: &mut [f32]) {
        let deviation = self.variance.sqrt().max(LEAST_DEVIATION);
        for reward in rewards {
            *reward = ((f64::from(*reward) - self.mean) / deviation) as f32;
        }
    }
}

/// Has episodes that ended go on in their last step's observation: it is one that values learn, as what follows the end is not.
fn hide_ends(fragment: &mut Fragment) {
    let len = fragment.shape.observation_len;
    for row in 0..fragment.rows() {
        if !fragment.terminated[row] {
            continue;
        }
        if let Some(last) = fragment.final_index(row) {
            fragment.final_observations.copy_range(last * len, &fragment.observations, row * len, len);
        }
        fragment.terminated[row] = false;
        fragment.truncated[row] = true;
    }
}

impl Reads {
    /// Numbers that are normalised: not those of choices.
    fn numbers(&self) -> usize {
        match &self.action {
            ActionSpec::Discrete { .. } => self.observation_len,
            ActionSpec::Continuous { low, .. } => self.observation_len + low.len(),
        }
    }

    /// Numbers of a row, `F`.
    fn width(&self) -> usize {
        match &self.action {
            ActionSpec::Discrete { nvec } => {
                self.observation_len + nvec.iter().map(|&n| n as usize).sum::<usize>()
            }
            ActionSpec::Continuous { .. } => self.numbers(),
        }
    }

    /// Appends steps of a fragment.
    fn write(&self, fragment: &Fragment, rows: &[usize], out: &mut Vec<f32>) {
        let (len, action_width) = (self.observation_len, self.action.width());
        for &row in rows {
            match &fragment.observations {
                ObsBuffer::F32(values) => out.extend_from_slice(&values[row * len..(row + 1) * len]),
                ObsBuffer::U8(values) => {
                    let bytes = values[row * len..(row + 1) * len].iter();
                    out.extend(bytes.map(|&byte| f32::from(byte) * network::BYTE_SCALE));
                }
            }
            match (fragment.actions.row(row, action_width), &self.action) {
                (Action::Continuous(numbers), _) => out.extend_from_slice(numbers),
                (Action::Discrete(indices), ActionSpec::Discrete { nvec }) => {
                    for (&index, &n) in indices.iter().zip(nvec) {
                        out.extend((0..n).map(|choice| if choice == index { 1.0 } else { 0.0 }));
                    }
                }
                (Action::Discrete(_), ActionSpec::Continuous { .. }) => {}
            }
        }
    }
}

fn normalize(scales: &[(f64, f64)], rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        for (value, (mean, scale)) in row.iter_mut().zip(scales) {
            *value = (((f64::from(*value) - mean) * scale) as f32).clamp(-CLIP, CLIP);
        }
    }
}

/// `ln(1 + eˣ)`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
