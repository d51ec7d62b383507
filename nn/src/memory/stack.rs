//! Transformer blocks over the last steps of episodes.

use std::cell::RefCell;
use std::rc::Rc;

use agon_policy::{Attention, Operation};

use super::ring::Ring;
use super::{TransformerConfig, check_step};
use crate::attention::{
    AttentionMask, BlockConfig, Encoding, Order, PackedBlock, Projected, Tokens, TransformerBlock,
};
use crate::error::NnError;
use crate::init::Init;
use crate::kernels::Pooled;
use crate::layer::LayerSummary;
use crate::linear::{Activation, Linear};
use crate::matrix::{Matrix, check_length};
use crate::norm::Norm;
use crate::params::{Layout, LayoutBuilder, Params};
use crate::recurrent::Unroll;
use crate::sequential::{Packed, Scratch, Sequential};
use crate::tape::Tape;

/// A transformer that remembers the last steps.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    input: Sequential,
    position: Encoding,
    blocks: Vec<TransformerBlock>,
    norm: Option<Sequential>,
    ring: Ring,
}

/// Where the steps of a batch of sequences stand in their episodes.
struct Places {
    /// Of each row `t · B + b`: the number of steps since the episode began.
    positions: Rc<[u32]>,
    /// `[B]`: the number of steps of the episode that the state has seen.
    counts: Vec<usize>,
    /// `[B]`: the first step of the last episode.
    last_starts: Vec<usize>,
    /// How many carried keys come before those of a sequence.
    carried: usize,
    /// `[B, T]`: the number of episodes that have begun.
    query_segments: Vec<u32>,
    /// `[B, carried + T]`.
    key_segments: Vec<u32>,
}

impl Stack {
    pub(super) fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
        config: &TransformerConfig,
        gated: bool,
    ) -> Result<Self, NnError> {
        let &TransformerConfig { layers, heads, width, feed_forward, window, position } = config;
        for (field, value) in [("layers", layers), ("heads", heads), ("width", width), ("window", window)] {
            if value == 0 {
                return Err(NnError::Config { field, expected: "at least 1", got: "0".to_owned() });
            }
        }
        let init = Init::PYTORCH_LINEAR;
        let input =
            Linear::new(builder, &format!("{prefix}.input"), inputs, width, Activation::Identity, init);
        let position = Encoding::new(builder, &format!("{prefix}.position"), position, (width, heads))?;
        let activation = if gated { Activation::Relu } else { Activation::Gelu };
        let block_config = BlockConfig { width, heads, feed_forward, activation };
        let block = if gated { TransformerBlock::gated } else { TransformerBlock::pre_norm };
        let blocks =
            (0..layers).map(|layer| block(builder, &format!("{prefix}.layers.{layer}"), &block_config));
        let blocks = blocks.collect::<Result<_, _>>()?;
        let norm = if gated {
            None
        } else {
            let norm = Norm::layer(builder, &format!("{prefix}.norm"), width, Norm::LAYER_EPS);
            Some(Sequential::new(vec![norm.into()])?)
        };
        let ring = Ring { window, width, heads };
        Ok(Self { input: Sequential::new(vec![input.into()])?, position, blocks, norm, ring })
    }

    pub(super) fn inputs(&self) -> usize {
        self.input.inputs()
    }

    pub(super) fn width(&self) -> usize {
        self.ring.width
    }

    pub(super) fn state_len(&self) -> usize {
        1 + self.blocks.len() * self.ring.len()
    }

    pub(super) fn describe(&self) -> Vec<LayerSummary> {
        let mut lines = self.input.summary();
        lines.extend(self.position.describe());
        lines.extend(self.blocks.iter().map(|block| block.describe(self.ring.window)));
        lines.extend(self.norm.iter().flat_map(Sequential::summary));
        lines
    }

    /// What the blocks compute of a step.
    pub(super) fn operation(&self, layout: &Layout) -> Operation {
        let Ring { window, width, heads } = self.ring;
        Operation::Attention(Box::new(Attention {
            input: self.input.operations(layout),
            position: self.position.told(layout),
            width,
            heads,
            window,
            blocks: self.blocks.iter().map(|block| block.operation(layout)).collect(),
            output: self.norm.as_ref().map_or_else(Vec::new, |norm| norm.operations(layout)),
        }))
    }

    pub(super) fn forward(
        &self,
        params: &Params,
        x: &Matrix,
        state: &Matrix,
        unroll: &Unroll<'_>,
        tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        let (batch, steps) = (state.rows(), unroll.steps);
        if state.columns() != self.state_len() {
            let (expected, got) = (self.state_len(), state.columns());
            return Err(NnError::Columns { name: "state", expected, got });
        }
        unroll.check(x.rows(), batch)?;
        if let Some(every) = unroll.truncate_every {
            let expected = "absent: the states of a transformer carry no gradient";
            return Err(NnError::Config { field: "truncate_every", expected, got: every.to_string() });
        }
        let places = self.places(state.as_slice(), batch, steps, unroll.resets);
        let mut last = Matrix::from_slice(batch, self.state_len(), state.as_slice())?;
        for (sequence, row) in last.as_mut_slice().chunks_exact_mut(self.state_len()).enumerate() {
            if places.query_segments[(sequence + 1) * steps - 1] > 0 {
                row.fill(0.0);
            }
            row[0] = (places.positions[(steps - 1) * batch + sequence] + 1) as f32;
        }
        let mask = AttentionMask::none()
            .causal()
            .window(self.ring.window)
            .segments_of(&places.query_segments, &places.key_segments);
        let mut h = self.input.forward(params, x, tape)?;
        h = self.position.encode(params, h, &places.positions, tape)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let qkv = block.project(params, &h, tape)?;
            let tokens = Tokens {
                shape: block.shape(batch, steps, places.carried + steps),
                order: Order::StepFirst,
                rotary: match &self.position {
                    Encoding::Rotary(angles) => Some((angles.clone(), Rc::clone(&places.positions))),
                    _ => None,
                },
                carried: places.carried,
            };
            let projected = Projected::Joint(&qkv);
            let mut rows = tokens.gather(projected);
            self.read_carried(index, &places, state.as_slice(), &mut rows.keys, &mut rows.values);
            self.write_last(index, &places, &rows.keys, &rows.values, last.as_mut_slice());
            let context = tokens.attend(params, projected, rows, &mask, None, tape)?;
            h = block.finish(params, &h, &context, tape)?;
        }
        if let Some(norm) = &self.norm {
            h = norm.forward(params, &h, tape)?;
        }
        Ok((h, last))
    }

    fn places(&self, state: &[f32], batch: usize, steps: usize, resets: &[bool]) -> Places {
        let counts: Vec<usize> =
            state.iter().step_by(self.state_len()).map(|&count| count as usize).collect();
        let is_reset = |step: usize, sequence: usize| resets.get(step * batch + sequence) == Some(&true);
        let visible = |sequence: usize| if is_reset(0, sequence) { 0 } else { counts[sequence] };
        let carried = (0..batch).map(visible).max().unwrap_or(0).min(self.ring.window - 1);
        let mut positions = vec![0; steps * batch];
        let (mut query_segments, mut key_segments) = (Vec::new(), Vec::new());
        let mut last_starts = vec![0; batch];
        for (sequence, &count) in counts.iter().enumerate() {
            // Places of the ring that no step has filled belong to no episode.
            key_segments.extend((0..carried).map(|key| if carried - key <= count { 0 } else { u32::MAX }));
            let (mut position, mut segment) = (count, 0);
            for step in 0..steps {
                if is_reset(step, sequence) {
                    (position, segment, last_starts[sequence]) = (0, segment + 1, step);
                }
                positions[step * batch + sequence] = position as u32;
                query_segments.push(segment);
                key_segments.push(segment);
                position += 1;
            }
        }
        Places { positions: positions.into(), counts, last_starts, carried, query_segments, key_segments }
    }

    /// Copies the carried keys and values of a block before those of the sequences.
    fn read_carried(
        &self,
        block: usize,
        places: &Places,
        state: &[f32],
        keys: &mut [f32],
        values: &mut [f32],
    ) {
        let (width, carried) = (self.ring.width, places.carried);
        let sequence_len = keys.len() / places.counts.len();
        let rows = keys.chunks_exact_mut(sequence_len).zip(values.chunks_exact_mut(sequence_len));
        for ((keys, values), (state, &count)) in
            rows.zip(state.chunks_exact(self.state_len()).zip(&places.counts))
        {
            let ring = self.ring_of(block, state);
            let rows = keys.chunks_exact_mut(width).zip(values.chunks_exact_mut(width)).take(carried);
            for (index, (key, value)) in rows.enumerate() {
                // What no step has filled is masked, but must be a number.
                match (count + index).checked_sub(carried) {
                    Some(position) => self.ring.read(ring, position, key, value),
                    None => [key, value].into_iter().for_each(|row| row.fill(0.0)),
                }
            }
        }
    }

    /// Puts the keys and values of the last episode's steps into the last state.
    fn write_last(&self, block: usize, places: &Places, keys: &[f32], values: &[f32], last: &mut [f32]) {
        let (width, batch) = (self.ring.width, places.counts.len());
        let (len, steps) = (keys.len() / batch / width, places.positions.len() / batch);
        for (sequence, state) in last.chunks_exact_mut(self.state_len()).enumerate() {
            let start = 1 + block * self.ring.len();
            let ring = &mut state[start..start + self.ring.len()];
            for step in places.last_starts[sequence].max(steps.saturating_sub(self.ring.window))..steps {
                let row = (sequence * len + places.carried + step) * width;
                let position = places.positions[step * batch + sequence] as usize;
                self.ring.write(ring, position, &keys[row..row + width], &values[row..row + width]);
            }
        }
    }

    fn ring_of<'a>(&self, block: usize, state: &'a [f32]) -> &'a [f32] {
        let start = 1 + block * self.ring.len();
        &state[start..start + self.ring.len()]
    }

    pub(super) fn step(
        &self,
        packed: &PackedStack,
        x: &[f32],
        batch: usize,
        resets: &[bool],
        state: &mut [f32],
        out: &mut [f32],
    ) -> Result<(), NnError> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
        }
        let (width, state_len) = (self.ring.width, self.state_len());
        check_step((batch, self.inputs(), width, state_len), x, resets, state, out)?;
        check_length("packed blocks", self.blocks.len(), packed.blocks.len())?;
        check_length("packed positions", self.position.table_len(), packed.table.len())?;
        for (state, _) in state.chunks_exact_mut(state_len).zip(resets).filter(|(_, reset)| **reset) {
            state.fill(0.0);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut memory = Pooled::take(5 * batch * width);
            let (h, rest) = memory.split_at_mut(batch * width);
            let (context, qkv) = rest.split_at_mut(batch * width);
            self.input.infer(&packed.input, x, batch, scratch, h)?;
            for (row, state) in h.chunks_exact_mut(width).zip(state.chunks_exact(state_len)) {
                self.position.add_to(&packed.table, state[0] as usize, row);
            }
            for (index, (block, packed)) in self.blocks.iter().zip(&packed.blocks).enumerate() {
                block.infer_project(packed, h, scratch, qkv)?;
                let rows = qkv.chunks_exact_mut(3 * width).zip(context.chunks_exact_mut(width));
                for ((qkv, context), state) in rows.zip(state.chunks_exact_mut(state_len)) {
                    self.attend_step(index, qkv, state, context);
                }
                block.infer_finish(packed, h, context, scratch)?;
            }
            for state in state.chunks_exact_mut(state_len) {
                state[0] += 1.0;
            }
            match (&self.norm, &packed.norm) {
                (Some(norm), Some(packed)) => norm.infer(packed, &*h, batch, scratch, out),
                _ => {
                    out.copy_from_slice(h);
                    Ok(())
                }
            }
        })
    }

    /// One block's attention of one environment.
    fn attend_step(&self, block: usize, qkv: &mut [f32], state: &mut [f32], context: &mut [f32]) {
        let width = self.ring.width;
        let (position, start) = (state[0] as usize, 1 + block * self.ring.len());
        let (query, key_value) = qkv.split_at_mut(width);
        let (key, value) = key_value.split_at_mut(width);
        if let Encoding::Rotary(angles) = &self.position {
            angles.rotate(position, false, query);
            angles.rotate(position, false, key);
        }
        let ring = &mut state[start..start + self.ring.len()];
        self.ring.write(ring, position, key, value);
        self.ring.attend(ring, position, query, context);
    }
}

/// A stack's weights in the order in which acting reads them.
#[derive(Clone)]
pub(super) struct PackedStack {
    input: Packed,
    /// The learned encodings of positions.
    table: Vec<f32>,
    blocks: Vec<PackedBlock>,
    norm: Option<Packed>,
}

impl PackedStack {
    pub(super) fn new(stack: &Stack, params: &Params) -> Result<Self, NnError> {
        let blocks = stack.blocks.iter().map(|block| PackedBlock::new(block, params));
        Ok(Self {
            input: Packed::new(&stack.input, params)?,
            table: Vec::new(),
            blocks: blocks.collect::<Result<_, _>>()?,
            norm: stack.norm.as_ref().map(|norm| Packed::new(norm, params)).transpose()?,
        })
    }

    pub(super) fn update(&mut self, stack: &Stack, params: &Params) -> Result<(), NnError> {
        check_length("packed blocks", stack.blocks.len(), self.blocks.len())?;
        self.input.update(&stack.input, params)?;
        for (packed, block) in self.blocks.iter_mut().zip(&stack.blocks) {
            packed.update(block, params)?;
        }
        self.table.clear();
        self.table.extend_from_slice(stack.position.table(params)?);
        match (&mut self.norm, &stack.norm) {
            (Some(packed), Some(norm)) => packed.update(norm, params),
            _ => Ok(()),
        }
    }
}
