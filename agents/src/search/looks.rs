//! The looks of a position: what it is when the board is mirrored or turned, where the game stays the same.
//!
//! A network that learned from all looks says something else of each all the same; the mean of what it says errs less, as that of
//! several networks would (Silver et al. 2016, Nature 529, who ask about all eight of a Go board).

use agon_envs::ObsBuffer;
use agon_nn::ModelScratch;

use super::Evaluator;
use crate::AgentError;

/// One look.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    /// The number of an observation that each of the look's is, `[O]`.
    pub(crate) sources: Vec<usize>,
    /// The action that each becomes, `[A]`.
    pub(crate) actions: Vec<usize>,
}

impl Look {
    /// A position of `len` numbers and so many actions, as it is.
    pub(crate) fn of(len: usize, actions: usize) -> Self {
        Self { sources: (0..len).collect(), actions: (0..actions).collect() }
    }
}

/// All looks of a position, of which the first is the position as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Looks(pub(crate) Vec<Look>);

impl Looks {
    /// What a network says of positions, as the mean over their first `count` looks: of logits and of values.
    ///
    /// # Shapes
    /// As [`Evaluator::evaluate`].
    pub(super) fn evaluate(
        &self,
        count: usize,
        evaluator: &dyn Evaluator,
        asked: (&ObsBuffer, usize),
        scratch: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        let (observations, rows) = asked;
        let looks = &self.0[..count.min(self.0.len())];
        let seen = match observations {
            ObsBuffer::F32(all) => ObsBuffer::F32(seen(looks, all)),
            ObsBuffer::U8(all) => ObsBuffer::U8(seen(looks, all)),
        };
        let mut of_looks = vec![0.0; looks.len() * logits.len()];
        let mut values_of_looks = vec![0.0; looks.len() * rows];
        evaluator.evaluate(&seen, looks.len() * rows, scratch, &mut of_looks, &mut values_of_looks)?;
        mean(looks, (&of_looks, &values_of_looks), (logits, values));
        Ok(())
    }
}

/// All looks of each row, `[N, L, O]`.
fn seen<T: Copy>(looks: &[Look], rows: &[T]) -> Vec<T> {
    let width = looks[0].sources.len();
    let mut seen = Vec::with_capacity(looks.len() * rows.len());
    for row in rows.chunks_exact(width) {
        looks.iter().for_each(|look| seen.extend(look.sources.iter().map(|&source| row[source])));
    }
    seen
}

/// The mean over looks of logits, as the actions of the position as it is, and of values.
fn mean(looks: &[Look], of_looks: (&[f32], &[f32]), to: (&mut [f32], &mut [f32])) {
    let actions = looks[0].actions.len();
    let share = 1.0 / looks.len() as f32;
    let of_rows = of_looks.0.chunks_exact(looks.len() * actions).zip(to.0.chunks_exact_mut(actions));
    for (of_looks, mean) in of_rows {
        mean.fill(0.0);
        for (look, logits) in looks.iter().zip(of_looks.chunks_exact(actions)) {
            let places = mean.iter_mut().zip(&look.actions);
            places.for_each(|(mean, &place)| *mean += share * logits[place]);
        }
    }
    let of_rows = of_looks.1.chunks_exact(looks.len()).zip(to.1);
    of_rows.for_each(|(values, mean)| *mean = share * values.iter().sum::<f32>());
}
