//! Adding patches to the places of an image that they came from.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, first_lanes, load, store};

/// Elements of a patch that lie next to each other in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Offset of the first one from the patch's position.
    pub(crate) start: u32,
    /// How many there are.
    pub(crate) len: u32,
}

/// `image[positions[p] + run] += patches[p, run]` for all patches in order; the runs follow each other in a patch.
pub(crate) fn scatter_add(positions: &[u32], runs: &[Run], patches: &[f32], image: &mut [f32]) {
    let elements: usize = runs.iter().map(|run| run.len as usize).sum();
    assert!(patches.len() >= positions.len() * elements, "[{}, {elements}]", positions.len());
    let end = runs.iter().map(|run| run.start as usize + run.len as usize).max().unwrap_or(0);
    if let Some(&position) = positions.iter().max() {
        assert!(position as usize + end <= image.len(), "patches lie inside the image");
    }
    dispatch(ScatterAdd { positions, runs, patches, image });
}

struct ScatterAdd<'a> {
    positions: &'a [u32],
    runs: &'a [Run],
    patches: &'a [f32],
    image: &'a mut [f32],
}

impl WithSimd for ScatterAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut from = self.patches.as_ptr();
        for &position in self.positions {
            for run in self.runs {
                let len = run.len as usize;
                // SAFETY: the run lies inside the image, and the patches have its elements (`scatter_add`).
                unsafe {
                    let to = self.image.as_mut_ptr().add((position + run.start) as usize);
                    let mut at = 0;
                    while at + S::F32_LANES <= len {
                        let sum = simd.add_f32s(load::<S>(to.add(at)), load::<S>(from.add(at)));
                        store::<S>(to.add(at), sum);
                        at += S::F32_LANES;
                    }
                    if at < len {
                        let mask = first_lanes(simd, len - at);
                        let old = simd.mask_load_ptr_f32s(mask, to.add(at).cast_const());
                        let sum = simd.add_f32s(old, simd.mask_load_ptr_f32s(mask, from.add(at)));
                        simd.mask_store_ptr_f32s(mask, to.add(at), sum);
                    }
                    from = from.add(len);
                }
            }
        }
    }
}
