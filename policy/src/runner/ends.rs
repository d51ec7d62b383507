//! What stands before and after the network: preparing an observation, and reading an action.

use crate::arithmetic;
use crate::error::PolicyError;
use crate::program::{ActionSpace, Adjustment, Decision, Padding, PolicyProgram, Preparation};

use super::build::{product, same};
use super::layers::Pool;
use super::trace::Origin;

/// A step between an observation and the network, and where what it remembers lies.
#[derive(Debug)]
pub(super) struct Preparer {
    step: Preparation,
    state: usize,
    outputs: usize,
}

/// Values of an observation.
pub(super) fn observation_len(program: &PolicyProgram) -> Result<usize, PolicyError> {
    let mut sum = 0;
    for part in &program.inputs {
        sum = product(&part.name, &[sum + product(&part.name, &part.shape)?])?;
    }
    product("an observation", &[sum])
}

/// The steps before the network, and the width of what comes out.
pub(super) fn preparers(
    program: &PolicyProgram,
    mut width: usize,
) -> Result<(Vec<Preparer>, usize), PolicyError> {
    let (mut preparers, mut state) = (Vec::new(), 0);
    for step in &program.preparation {
        let outputs = outputs(step, width)?;
        let preparer = Preparer { step: step.clone(), state, outputs };
        state += preparer.state_len();
        preparers.push(preparer);
        width = outputs;
    }
    Ok((preparers, width))
}

/// The width of what a step gives of a row.
fn outputs(step: &Preparation, width: usize) -> Result<usize, PolicyError> {
    let check = |what: &str, len: usize| same(what, width, len);
    match step {
        Preparation::Stack { frames, groups, group_len, .. } => {
            check("a frame", product("a frame", &[*groups, *group_len])?)?;
            product("a stack of frames", &[*frames, *groups, *group_len])
        }
        Preparation::Normalize { mean, scale, clip } => {
            check("means", mean.len())?;
            check("scales", scale.len())?;
            bounds(&[-clip], &[*clip]).map(|()| width)
        }
        Preparation::OneHot { categories, first } => {
            check("categories", categories.len())?;
            check("first categories", first.len())?;
            let sizes = categories.iter().map(|&n| n.max(1));
            let sum = sizes.fold(0_usize, usize::saturating_add);
            product("unit vectors", &[sum])
        }
        Preparation::Hide { shown } => check("flags", shown.len()).map(|()| width),
        Preparation::Select { indices } => match indices.iter().find(|&&index| index >= width) {
            Some(index) => {
                let (what, found) = ("an index".to_owned(), index.to_string());
                Err(PolicyError::Size { what, expected: format!("less than {width}"), found })
            }
            None => product("selected values", &[indices.len()]),
        },
        Preparation::Scale { .. } => Ok(width),
    }
}

impl Preparer {
    pub(super) fn state_len(&self) -> usize {
        match self.step {
            Preparation::Stack { frames, groups, group_len, .. } => groups * (frames - 1) * group_len,
            _ => 0,
        }
    }

    pub(super) fn apply(&self, x: &mut Vec<f32>, memory: &mut [f32], is_fresh: bool, pool: &mut Pool) {
        match &self.step {
            Preparation::Stack { frames, group_len, padding, .. } => {
                let older = &mut memory[self.state..self.state + self.state_len()];
                let mut out = pool.take(self.outputs);
                let of_group = (frames - 1) * group_len;
                let groups = x.chunks_exact(*group_len).zip(out.chunks_exact_mut(frames * group_len));
                for (group, (frame, out)) in groups.enumerate() {
                    let older = &mut older[group * of_group..(group + 1) * of_group];
                    if is_fresh && *padding == Padding::Reset {
                        older.chunks_exact_mut(*group_len).for_each(|old| old.copy_from_slice(frame));
                    }
                    out[..of_group].copy_from_slice(older);
                    out[of_group..].copy_from_slice(frame);
                    older.copy_from_slice(&out[*group_len..]);
                }
                pool.put(std::mem::replace(x, out));
            }
            Preparation::Normalize { mean, scale, clip } => {
                for (value, (mean, scale)) in x.iter_mut().zip(mean.iter().zip(scale)) {
                    *value = (((f64::from(*value) - mean) * scale) as f32).clamp(-clip, *clip);
                }
            }
            Preparation::OneHot { categories, first } => {
                let mut out = pool.take(self.outputs);
                out.fill(0.0);
                let mut start = 0;
                for (&value, (&n, &first)) in x.iter().zip(categories.iter().zip(first)) {
                    if n == 0 {
                        out[start] = value;
                    } else if let Some(slot) = out[start..start + n].get_mut((value as i64 - first) as usize)
                    {
                        *slot = 1.0;
                    }
                    start += n.max(1);
                }
                pool.put(std::mem::replace(x, out));
            }
            Preparation::Select { indices } => {
                let mut out = pool.take(indices.len());
                out.iter_mut().zip(indices).for_each(|(out, &index)| *out = x[index]);
                pool.put(std::mem::replace(x, out));
            }
            Preparation::Hide { shown } => {
                let hidden = x.iter_mut().zip(shown).filter(|(_, shown)| !**shown);
                hidden.for_each(|(value, _)| *value = 0.0);
            }
            Preparation::Scale { by } => x.iter_mut().for_each(|value| *value *= by),
        }
    }
}

impl Preparer {
    /// From the gradient with respect to what [`Self::apply`] gave to that with respect to `input`. Older frames are constants,
    /// unless they are copies of this one.
    pub(super) fn reverse(&self, input: &[f32], is_fresh: bool, grad: &mut Vec<f32>) {
        match &self.step {
            Preparation::Stack { frames, group_len, padding, .. } => {
                let own = if is_fresh && *padding == Padding::Reset { 0 } else { frames - 1 };
                let of_group = |stacked: &[f32]| -> Vec<f32> {
                    let frames = || stacked.chunks_exact(*group_len).skip(own);
                    (0..*group_len).map(|i| frames().map(|frame| frame[i]).sum()).collect()
                };
                *grad = grad.chunks_exact(frames * group_len).flat_map(of_group).collect();
            }
            Preparation::Normalize { mean, scale, clip } => {
                for (i, grad) in grad.iter_mut().enumerate() {
                    let value = ((f64::from(input[i]) - mean[i]) * scale[i]) as f32;
                    *grad = if value.abs() < *clip { *grad * scale[i] as f32 } else { 0.0 };
                }
            }
            Preparation::OneHot { categories, .. } => {
                let mut start = 0;
                let of_value = categories.iter().map(|&n| {
                    let own = if n == 0 { grad[start] } else { 0.0 };
                    start += n.max(1);
                    own
                });
                *grad = of_value.collect();
            }
            Preparation::Select { indices } => {
                let mut all = vec![0.0; input.len()];
                indices.iter().zip(&*grad).for_each(|(&index, grad)| all[index] += grad);
                *grad = all;
            }
            Preparation::Hide { shown } => {
                let hidden = grad.iter_mut().zip(shown).filter(|(_, shown)| !**shown);
                hidden.for_each(|(grad, _)| *grad = 0.0);
            }
            Preparation::Scale { by } => grad.iter_mut().for_each(|grad| *grad *= by),
        }
    }

    /// Where each value that it gives comes from, by where each that it is given does.
    pub(super) fn origins(&self, given: &[Option<Origin>]) -> Vec<Option<Origin>> {
        match &self.step {
            Preparation::Stack { frames, group_len, .. } => {
                let frame = |group: &[Option<Origin>], older: usize| -> Vec<Option<Origin>> {
                    let aged = |origin: Origin| Origin { age: origin.age + older, ..origin };
                    group.iter().map(|origin| origin.map(aged)).collect()
                };
                let of_group = |group: &'_ [Option<Origin>]| -> Vec<Option<Origin>> {
                    (0..*frames).rev().flat_map(|older| frame(group, older)).collect()
                };
                given.chunks_exact(*group_len).flat_map(of_group).collect()
            }
            Preparation::OneHot { categories, .. } => {
                let sizes = categories.iter().map(|&n| n.max(1));
                given.iter().zip(sizes).flat_map(|(&origin, n)| std::iter::repeat_n(origin, n)).collect()
            }
            Preparation::Select { indices } => indices.iter().map(|&index| given[index]).collect(),
            Preparation::Hide { shown } => {
                given.iter().zip(shown).map(|(origin, shown)| origin.filter(|_| *shown)).collect()
            }
            Preparation::Normalize { .. } | Preparation::Scale { .. } => given.to_vec(),
        }
    }
}

/// Options of each choice; none where actions are numbers.
pub(super) fn choices(decision: &Decision) -> &[usize] {
    match decision {
        Decision::Categorical { nvec } => nvec,
        Decision::Values { actions }
        | Decision::Categories { actions, .. }
        | Decision::Quantiles { actions, .. } => std::slice::from_ref(actions),
        Decision::Gaussian { .. } | Decision::Squashed { .. } => &[],
    }
}

/// Checks that an action can be read from as many outputs, and that the environment takes it.
pub(super) fn check(program: &PolicyProgram, outputs: usize) -> Result<(), PolicyError> {
    let sum = |nvec: &[usize]| nvec.iter().fold(0_usize, |sum, &n| sum.saturating_add(n));
    let choices = choices(&program.decision);
    let expected = match &program.decision {
        Decision::Categorical { nvec } => sum(nvec),
        Decision::Values { actions } => *actions,
        Decision::Categories { actions, support } => product("logits", &[*actions, support.len()])?,
        Decision::Quantiles { actions, quantiles } => product("quantiles", &[*actions, *quantiles])?,
        Decision::Gaussian { low, high } | Decision::Squashed { low, high } => {
            bounds(low, high)?;
            if outputs == low.len() { low.len() } else { 2 * low.len() }
        }
    };
    same("the network's outputs", expected, outputs)?;
    if program.mask_len != 0 {
        same("an action mask", sum(choices), program.mask_len)?;
    }
    let (of_decision, of_space) = match (&program.decision, &program.action) {
        (
            Decision::Gaussian { low, .. } | Decision::Squashed { low, .. },
            ActionSpace::Box { low: own, high, .. },
        ) => {
            bounds(own, high)?;
            (low.len(), own.len())
        }
        // Numbers where the environment takes none, or the other way round.
        (Decision::Gaussian { .. } | Decision::Squashed { .. }, _) | (_, ActionSpace::Box { .. }) => (1, 0),
        (_, ActionSpace::Discrete { n, .. }) => (sum(choices), *n),
        (_, ActionSpace::MultiDiscrete { nvec }) => (sum(choices), sum(nvec)),
        (_, ActionSpace::MultiBinary { n }) => (sum(choices), 2 * n),
    };
    same("the environment's actions", of_decision, of_space)?;
    for adjustment in &program.adjustments {
        let (Adjustment::Rescale { low, high, .. } | Adjustment::Clip { low, high }) = adjustment;
        same("bounds", of_space, low.len())?;
        bounds(low, high)?;
    }
    Ok(())
}

/// An error unless each lower bound has an upper one that is not less.
fn bounds(low: &[f32], high: &[f32]) -> Result<(), PolicyError> {
    same("upper bounds", low.len(), high.len())?;
    match low.iter().zip(high).find(|(low, high)| low.partial_cmp(high).is_none_or(|order| order.is_gt())) {
        Some((low, high)) => {
            let (what, expected) = ("an upper bound".to_owned(), format!("at least {low}"));
            Err(PolicyError::Size { what, expected, found: high.to_string() })
        }
        None => Ok(()),
    }
}

/// Brings logits over returns, or quantiles, down to the mean return of each action.
pub(super) fn mean_returns(decision: &Decision, outputs: &mut Vec<f32>) {
    let (atoms, actions) = match decision {
        Decision::Categories { actions, support } => (support.len(), *actions),
        Decision::Quantiles { actions, quantiles } => (*quantiles, *actions),
        _ => return,
    };
    for action in 0..actions {
        let numbers = &mut outputs[action * atoms..(action + 1) * atoms];
        let mean = match decision {
            Decision::Categories { support, .. } => {
                arithmetic::softmax(numbers);
                numbers.iter().zip(support).map(|(share, value)| share * value).sum()
            }
            _ => numbers.iter().sum::<f32>() / atoms as f32,
        };
        outputs[action] = mean;
    }
    outputs.truncate(actions);
}

/// From the gradient with respect to what [`mean_returns`] gives to that with respect to a network's outputs.
pub(super) fn mean_returns_gradient(decision: &Decision, outputs: &[f32], grad: &[f32]) -> Vec<f32> {
    let of_action = |atoms: usize| outputs.chunks_exact(atoms).zip(grad);
    match decision {
        Decision::Categories { support, .. } => {
            let of_logits = |(logits, grad): (&[f32], &f32)| {
                let mut shares = logits.to_vec();
                arithmetic::softmax(&mut shares);
                let mean: f32 = shares.iter().zip(support).map(|(share, value)| share * value).sum();
                let pairs = shares.into_iter().zip(support);
                pairs.map(|(share, value)| grad * share * (value - mean)).collect::<Vec<f32>>()
            };
            of_action(support.len()).flat_map(of_logits).collect()
        }
        Decision::Quantiles { quantiles, .. } => of_action(*quantiles)
            .flat_map(|(_, grad)| std::iter::repeat_n(grad / *quantiles as f32, *quantiles))
            .collect(),
        _ => grad.to_vec(),
    }
}

/// Reads the best action from a network's outputs.
pub(super) fn decide(
    program: &PolicyProgram,
    outputs: &mut Vec<f32>,
    mask: &[bool],
    indices: &mut Vec<i64>,
    numbers: &mut Vec<f32>,
) {
    indices.clear();
    numbers.clear();
    match &program.decision {
        Decision::Gaussian { low, high } | Decision::Squashed { low, high } => {
            let squashed = matches!(program.decision, Decision::Squashed { .. });
            for (&output, (&low, &high)) in outputs.iter().zip(low.iter().zip(high)) {
                let (center, half) = (0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low);
                let action = if squashed { center + half * arithmetic::tanh(output) } else { output };
                numbers.push(action.clamp(low, high));
            }
            program.adjustments.iter().for_each(|adjustment| adjust(adjustment, numbers));
        }
        decision => {
            mean_returns(decision, outputs);
            let start = if let ActionSpace::Discrete { start, .. } = program.action { start } else { 0 };
            let mut first = 0;
            for &options in choices(decision) {
                let legal = |option: usize| mask.is_empty() || mask[first + option];
                let values = (0..options).map(|option| {
                    // Less than any value that is one.
                    if legal(option) { outputs[first + option].max(f32::MIN) } else { f32::NEG_INFINITY }
                });
                indices.push(arithmetic::arg_max(values) as i64 + start);
                first += options;
            }
        }
    }
}

fn adjust(adjustment: &Adjustment, numbers: &mut [f32]) {
    match adjustment {
        Adjustment::Clip { low, high } => {
            let bounds = low.iter().zip(high);
            numbers
                .iter_mut()
                .zip(bounds)
                .for_each(|(number, (low, high))| *number = number.clamp(*low, *high));
        }
        Adjustment::Rescale { min, max, low, high } => {
            for (number, (&low, &high)) in numbers.iter_mut().zip(low.iter().zip(high)) {
                *number = (low + (high - low) * ((*number - min) / (max - min))).clamp(low, high);
            }
        }
    }
}
