//! Work on a minibatch in a fixed number of slices.

use std::ops::Range;

use rayon::prelude::*;

/// Runs `work` on each slice with its own workspace, on as many threads as the current rayon pool has.
///
/// Slices share nothing they write, so results do not depend on the threads.
pub(crate) fn for_each_slice<W: Send, E: Send>(
    workspaces: &mut [W],
    work: impl Fn(usize, &mut W) -> Result<(), E> + Sync,
) -> Result<(), E> {
    if let [only] = workspaces {
        return work(0, only);
    }
    workspaces
        .par_iter_mut()
        .enumerate()
        .with_max_len(1)
        .try_for_each(|(slice, workspace)| work(slice, workspace))
}

/// The rows of one of `slices` nearly equal parts of `rows`.
pub(crate) fn slice_range(rows: usize, slices: usize, slice: usize) -> Range<usize> {
    rows * slice / slices..rows * (slice + 1) / slices
}

/// Adds the gradients of slices 1.. to that of slice 0, in order.
pub(crate) fn sum_in_order<'a>(total: &mut [f32], others: impl Iterator<Item = &'a [f32]>) {
    for other in others {
        for (sum, value) in total.iter_mut().zip(other) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_rows_once() {
        for (rows, slices) in [(10, 3), (2, 4), (256, 2), (1, 1)] {
            let covered: Vec<usize> =
                (0..slices).flat_map(|slice| slice_range(rows, slices, slice)).collect();
            assert_eq!(covered, (0..rows).collect::<Vec<_>>());
        }
    }
}
