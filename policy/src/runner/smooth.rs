//! Networks from where they have slopes on: categories that they read first are vectors there.

use super::gradient::{keep, keep_layer};
use super::layers::{Layer, Pool, run};
use super::trace::{Kept, Origin};

/// What a chain reads, with categories as the vectors that its first layers make of them.
pub(super) fn inputs(layers: &[Layer], x: &[f32]) -> Vec<f32> {
    match layers.first() {
        Some(first @ (Layer::OneHot(_) | Layer::Embedding { .. })) => {
            let mut row = x.to_vec();
            run(std::slice::from_ref(first), &mut row, &mut [], &mut Pool::default());
            row
        }
        Some(Layer::Parallel(branches)) => {
            branches.iter().flat_map(|(columns, layers)| inputs(layers, &x[columns.clone()])).collect()
        }
        _ => x.to_vec(),
    }
}

/// Values of [`inputs`] of a row of so many.
pub(super) fn width(layers: &[Layer], inputs: usize) -> usize {
    match layers.first() {
        Some(Layer::OneHot(categories)) => categories.iter().sum(),
        Some(Layer::Embedding { width, first, .. }) => width * first.len(),
        Some(Layer::Parallel(branches)) => {
            branches.iter().map(|(columns, layers)| width(layers, columns.len())).sum()
        }
        _ => inputs,
    }
}

/// Where each of [`inputs`] comes from, by where what the chain reads does.
pub(super) fn origins(layers: &[Layer], given: &[Option<Origin>]) -> Vec<Option<Origin>> {
    let repeated = |count: &dyn Fn(usize) -> usize| {
        let each = |(i, origin): (usize, &Option<Origin>)| std::iter::repeat_n(*origin, count(i));
        given.iter().enumerate().flat_map(each).collect()
    };
    match layers.first() {
        Some(Layer::OneHot(categories)) => repeated(&|i| categories[i]),
        Some(Layer::Embedding { width, .. }) => repeated(&|_| *width),
        Some(Layer::Parallel(branches)) => {
            branches.iter().flat_map(|(columns, layers)| origins(layers, &given[columns.clone()])).collect()
        }
        _ => given.to_vec(),
    }
}

/// As [`keep`], from [`inputs`] on.
pub(super) fn keep_smooth(
    layers: &[Layer],
    x: &mut Vec<f32>,
    memory: &mut [f32],
    pool: &mut Pool,
) -> Vec<Kept> {
    let Some((first, rest)) = layers.split_first() else { return Vec::new() };
    let input = x.clone();
    let head = match first {
        Layer::OneHot(_) | Layer::Embedding { .. } => {
            Kept { output: input.clone(), input, is_smooth: true, ..Kept::default() }
        }
        Layer::Parallel(branches) => {
            let (mut parts, mut out, mut start) = (Vec::new(), Vec::new(), 0);
            for (columns, layers) in branches {
                let end = start + width(layers, columns.len());
                let mut part = x[start..end].to_vec();
                parts.push(keep_smooth(layers, &mut part, memory, pool));
                out.extend_from_slice(&part);
                start = end;
            }
            x.clone_from(&out);
            Kept { input, output: out, is_smooth: true, parts, ..Kept::default() }
        }
        _ => keep_layer(first, x, memory, pool),
    };
    let rest = keep(rest, x, memory, pool);
    std::iter::once(head).chain(rest).collect()
}
