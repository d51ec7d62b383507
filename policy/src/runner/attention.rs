//! A transformer that attends to the last steps of an episode.

mod gradient;

use std::ops::Range;

use crate::arithmetic;

use super::gradient::keep;
use super::layers::{Layer, Pool, run};
use super::maps::Linear;
use super::trace::Kept;

/// The base of the wavelengths of positions.
const BASE: f64 = 10_000.0;

/// How a step knows its place.
#[derive(Debug)]
pub(super) enum Place {
    None,
    /// Rows of a table.
    Learned(Vec<f32>),
    Sinusoidal,
    Rotary,
}

/// A gate in place of a sum.
#[derive(Debug)]
pub(super) struct GateLayer {
    /// To the parts `r z h`.
    pub(super) of_y: Linear,
    /// To `r z`; the bias of `z` is subtracted.
    pub(super) of_x: Linear,
    /// From `r ⊙ x`.
    pub(super) of_kept: Linear,
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) project: Vec<Layer>,
    pub(super) attended: Vec<Layer>,
    pub(super) feed_forward: Vec<Layer>,
    pub(super) gates: Option<[GateLayer; 2]>,
}

/// The blocks, and where their keys and values lie in an episode's memory.
#[derive(Debug)]
pub(super) struct AttentionLayer {
    pub(super) input: Vec<Layer>,
    pub(super) place: Place,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) window: usize,
    pub(super) blocks: Vec<Block>,
    pub(super) output: Vec<Layer>,
    /// Where the number of steps lies; keys of all blocks follow, then values.
    pub(super) state: usize,
}

/// What a step's blocks were given and computed on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Attended {
    pub(super) position: usize,
    pub(super) blocks: Vec<AttendedBlock>,
    /// Of the chains of layers, in the order of [`AttentionLayer::chains`].
    chains: Vec<Vec<Kept>>,
}

/// A block of them. Steps that were attended to are the oldest first, the step's own last.
#[derive(Clone, Debug, Default)]
pub(super) struct AttendedBlock {
    x: Vec<f32>,
    query: Vec<f32>,
    /// `[steps, width]`.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[heads, steps]`.
    pub(super) weights: Vec<f32>,
    attended: Vec<f32>,
    /// Between attention and the feed-forward network.
    middle: Vec<f32>,
    fed: Vec<f32>,
}

impl AttentionLayer {
    pub(super) fn run(&self, x: &mut Vec<f32>, memory: &mut [f32], pool: &mut Pool) {
        self.step(x, memory, pool, &mut None);
    }

    /// As [`Self::run`], with what was computed on the way, and what its chains of layers were given and gave.
    pub(super) fn keep(
        &self,
        x: &mut Vec<f32>,
        memory: &mut [f32],
        pool: &mut Pool,
    ) -> (Attended, Vec<Vec<Kept>>) {
        let mut attended = Some(Attended::default());
        self.step(x, memory, pool, &mut attended);
        let mut attended = attended.unwrap_or_default();
        let chains = std::mem::take(&mut attended.chains);
        (attended, chains)
    }

    /// The chains of layers inside of it, in the order in which they run.
    pub(super) fn chains(&self) -> Vec<&[Layer]> {
        let blocks = self.blocks.iter();
        let blocks =
            blocks.flat_map(|block| [&block.project[..], &block.attended[..], &block.feed_forward[..]]);
        [&self.input[..]].into_iter().chain(blocks).chain([&self.output[..]]).collect()
    }

    fn step(&self, x: &mut Vec<f32>, memory: &mut [f32], pool: &mut Pool, attended: &mut Option<Attended>) {
        let position = memory[self.state] as usize;
        if let Some(attended) = attended {
            attended.position = position;
        }
        chain(&self.input, x, memory, pool, attended);
        match &self.place {
            Place::None | Place::Rotary => {}
            Place::Learned(table) => {
                let row = position.min(table.len() / self.width - 1) * self.width;
                x.iter_mut().zip(&table[row..]).for_each(|(x, encoding)| *x += encoding);
            }
            Place::Sinusoidal => {
                let pairs = self.width.div_ceil(2);
                for (i, pair) in x.chunks_mut(2).enumerate() {
                    let (sine, cosine) = wave(position, i, pairs);
                    pair.iter_mut().zip([sine, cosine]).for_each(|(x, wave)| *x += wave);
                }
            }
        }
        for (index, block) in self.blocks.iter().enumerate() {
            self.block(block, index, position, x, memory, pool, attended);
        }
        memory[self.state] += 1.0;
        chain(&self.output, x, memory, pool, attended);
    }

    #[expect(clippy::too_many_arguments, reason = "a block, where it stands, and what a step has")]
    fn block(
        &self,
        block: &Block,
        index: usize,
        position: usize,
        x: &mut [f32],
        memory: &mut [f32],
        pool: &mut Pool,
        attended: &mut Option<Attended>,
    ) {
        let width = self.width;
        let mut own = attended.is_some().then(|| AttendedBlock { x: x.to_vec(), ..AttendedBlock::default() });
        let mut qkv = pool.take(width);
        qkv.copy_from_slice(x);
        chain(&block.project, &mut qkv, memory, pool, attended);
        if matches!(self.place, Place::Rotary) {
            rotate(&mut qkv[..2 * width], width / self.heads, position);
        }
        let ring = self.window * width;
        let keys = self.state + 1 + index * ring;
        let values = keys + self.blocks.len() * ring;
        for (start, new) in [(keys, &qkv[width..2 * width]), (values, &qkv[2 * width..])] {
            let rows = &mut memory[start..start + ring];
            rows.copy_within(width.., 0);
            rows[ring - width..].copy_from_slice(new);
        }
        let mut context = pool.take(width);
        let oldest = self.window - self.window.min(position + 1);
        let (keys, values) = (&memory[keys..keys + ring], &memory[values..values + ring]);
        let weights = own.as_mut().map(|own| &mut own.weights);
        self.attend(&qkv[..width], keys, values, oldest, &mut context, pool, weights);
        if let Some(own) = &mut own {
            own.query.extend_from_slice(&qkv[..width]);
            own.keys.extend_from_slice(&keys[oldest * width..]);
            own.values.extend_from_slice(&values[oldest * width..]);
        }
        pool.put(qkv);
        chain(&block.attended, &mut context, memory, pool, attended);
        if let Some(own) = &mut own {
            own.attended.extend_from_slice(&context);
        }
        join(block.gates.as_ref().map(|gates| &gates[0]), x, &context, pool);
        context.copy_from_slice(x);
        chain(&block.feed_forward, &mut context, memory, pool, attended);
        if let Some(mut own) = own {
            own.middle.extend_from_slice(x);
            own.fed.extend_from_slice(&context);
            attended.iter_mut().for_each(|attended| attended.blocks.push(std::mem::take(&mut own)));
        }
        join(block.gates.as_ref().map(|gates| &gates[1]), x, &context, pool);
        pool.put(context);
    }

    #[expect(clippy::too_many_arguments, reason = "what attention reads and writes")]
    fn attend(
        &self,
        query: &[f32],
        keys: &[f32],
        values: &[f32],
        oldest: usize,
        context: &mut [f32],
        pool: &mut Pool,
        mut kept: Option<&mut Vec<f32>>,
    ) {
        let head_width = self.width / self.heads;
        let scale = 1.0 / libm::sqrtf(head_width as f32);
        let mut weights = pool.take(self.window - oldest);
        for head in 0..self.heads {
            let columns: Range<usize> = head * head_width..(head + 1) * head_width;
            let rows = |rows: &'_ [f32], place: usize| place * self.width + columns.start..rows.len();
            for (place, weight) in weights.iter_mut().enumerate() {
                let key = &keys[rows(keys, oldest + place)];
                *weight = scale * query[columns.clone()].iter().zip(key).map(|(q, k)| q * k).sum::<f32>();
            }
            arithmetic::softmax(&mut weights);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(&weights);
            }
            let context = &mut context[columns.clone()];
            context.fill(0.0);
            for (place, weight) in weights.iter().enumerate() {
                let value = &values[rows(values, oldest + place)];
                context.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        pool.put(weights);
    }
}

/// Runs a chain of layers, and keeps what they were given and gave if anything is kept.
fn chain(
    layers: &[Layer],
    x: &mut Vec<f32>,
    memory: &mut [f32],
    pool: &mut Pool,
    attended: &mut Option<Attended>,
) {
    match attended {
        Some(attended) => attended.chains.push(keep(layers, x, memory, pool)),
        None => run(layers, x, memory, pool),
    }
}

/// `x + y`, or what a gate makes of them, in `x`.
fn join(gate: Option<&GateLayer>, x: &mut [f32], y: &[f32], pool: &mut Pool) {
    let Some(gate) = gate else {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
        return;
    };
    let width = x.len();
    let (mut of_y, mut of_x) = (pool.take(3 * width), pool.take(2 * width));
    gate.of_y.run(y, &mut of_y, pool);
    gate.of_x.run(x, &mut of_x, pool);
    let (mut kept, mut candidate) = (pool.take(width), pool.take(width));
    for (j, kept) in kept.iter_mut().enumerate() {
        *kept = arithmetic::sigmoid(of_y[j] + of_x[j]) * x[j];
    }
    gate.of_kept.run(&kept, &mut candidate, pool);
    for (j, x) in x.iter_mut().enumerate() {
        let update = arithmetic::sigmoid(of_y[width + j] + of_x[width + j]);
        let candidate = arithmetic::tanh(of_y[2 * width + j] + candidate[j]);
        *x += update * (candidate - *x);
    }
    [of_y, of_x, kept, candidate].into_iter().for_each(|row| pool.put(row));
}

/// Rotates heads of `width` columns.
fn rotate(heads: &mut [f32], width: usize, position: usize) {
    for head in heads.chunks_exact_mut(width) {
        let (left, right) = head.split_at_mut(width / 2);
        for (i, (x, y)) in left.iter_mut().zip(right).enumerate() {
            let (sine, cosine) = wave(position, i, width / 2);
            (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
        }
    }
}

/// Sine and cosine of `position / 10000^(i / count)`.
fn wave(position: usize, i: usize, count: usize) -> (f32, f32) {
    let angle = position as f64 * libm::pow(BASE, -(i as f64) / count as f64);
    (libm::sin(angle) as f32, libm::cos(angle) as f32)
}
