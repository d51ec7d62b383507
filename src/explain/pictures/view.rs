//! Where a network's inputs lie in what the environment shows: values with names, cells of an image.

use agon_policy::{InputPart, Origin, PortablePolicy};

use crate::explain::features::Group;
use crate::explain::subject::Subject;

/// Shortest side of an image.
const SHORTEST: usize = 3;

/// An image among the values of an observation, `[height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The first of its values.
    pub first: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values of a cell.
    pub channels: usize,
}

impl Grid {
    /// The first image of an observation.
    pub fn of(parts: &[InputPart]) -> Option<Self> {
        let mut first = 0;
        for part in parts {
            if let &[height, width, channels] = part.shape.as_slice()
                && height.min(width) >= SHORTEST
            {
                return Some(Self { first, height, width, channels });
            }
            first += part.len();
        }
        None
    }

    /// Cells.
    pub fn cells(&self) -> usize {
        self.height * self.width
    }

    /// The cell that a value of an observation lies in.
    pub fn cell(&self, value: usize) -> Option<usize> {
        let cell = value.checked_sub(self.first)? / self.channels;
        (cell < self.cells()).then_some(cell)
    }
}

/// How attributions of a network's inputs come together.
#[derive(Clone, Debug)]
pub struct View {
    origins: Vec<Option<Origin>>,
    values: usize,
    /// The image, if there is one.
    pub grid: Option<Grid>,
    /// Values that are shown as one.
    pub groups: Vec<Group>,
    /// What is hidden at once: a patch of the image, or a value.
    pub regions: Vec<Region>,
}

/// Inputs of a network that are hidden together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Values of an observation.
    pub values: Vec<usize>,
    /// The network's inputs.
    pub inputs: Vec<usize>,
}

/// Patches along an image's longer side, at most.
const PATCHES: usize = 16;

impl View {
    /// Of what a policy reads.
    pub fn of(subject: &Subject) -> Self {
        Self::new(&subject.policy, subject.features.groups.clone())
    }

    /// Of what a policy reads, with values that are shown as one.
    pub fn new(policy: &PortablePolicy, groups: Vec<Group>) -> Self {
        let inputs = &policy.program().inputs;
        let (origins, grid) = (policy.origins(), Grid::of(inputs));
        let values = inputs.iter().map(InputPart::len).sum();
        let patch = grid.map_or(1, |grid| grid.height.max(grid.width).div_ceil(PATCHES));
        // The place of each value: its patch, or itself.
        let place = |value: usize| match grid.and_then(|grid| grid.cell(value).map(|cell| (grid, cell))) {
            Some((grid, cell)) => {
                let across = grid.width.div_ceil(patch);
                (0, cell / grid.width / patch * across + cell % grid.width / patch)
            }
            None => (1, value),
        };
        let mut regions = std::collections::BTreeMap::<_, Region>::new();
        (0..values).for_each(|value| regions.entry(place(value)).or_default().values.push(value));
        for (input, origin) in origins.iter().enumerate() {
            let region = origin.and_then(|origin| regions.get_mut(&place(origin.value)));
            region.into_iter().for_each(|region| region.inputs.push(input));
        }
        let regions = regions.into_values().collect();
        Self { origins, values, grid, groups, regions }
    }

    /// Sums over all inputs that come from a value, `[O]`.
    pub fn of_values(&self, of_inputs: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.values];
        for (origin, share) in self.origins.iter().zip(of_inputs) {
            origin.iter().for_each(|origin| sums[origin.value] += share);
        }
        sums
    }

    /// Sums over the values of each cell of the image; none without one.
    pub fn of_cells(&self, of_values: &[f64]) -> Option<Vec<f64>> {
        let grid = self.grid?;
        let own = &of_values[grid.first..grid.first + grid.cells() * grid.channels];
        Some(own.chunks_exact(grid.channels).map(|values| values.iter().sum()).collect())
    }

    /// Sums over each group.
    pub fn of_groups(&self, of_values: &[f64]) -> Vec<f64> {
        self.groups.iter().map(|group| group.values.iter().map(|&value| of_values[value]).sum()).collect()
    }

    /// Absolute shares of the frames of a stack, the newest first, which sum to one; empty without a stack.
    pub fn of_ages(&self, of_inputs: &[f64]) -> Vec<f64> {
        let oldest = self.origins.iter().flatten().map(|origin| origin.age).max().unwrap_or(0);
        if oldest == 0 {
            return Vec::new();
        }
        let mut sums = vec![0.0; oldest + 1];
        for (origin, share) in self.origins.iter().zip(of_inputs) {
            origin.iter().for_each(|origin| sums[origin.age] += share.abs());
        }
        let total: f64 = sums.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        sums.iter().map(|sum| sum / total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_where_their_values_lie() {
        let grid = Grid { first: 2, height: 3, width: 4, channels: 2 };
        assert_eq!(grid.cell(1), None);
        assert_eq!(grid.cell(2), Some(0));
        assert_eq!(grid.cell(2 + 2 * 5 + 1), Some(5));
        assert_eq!(grid.cell(2 + 24), None);
    }

    #[test]
    fn what_comes_together_is_summed() {
        let origin = |value, age| Some(Origin { value, age });
        let view = View {
            // A stack of two frames of two values, of which one is hidden in the older frame.
            origins: vec![origin(0, 1), None, origin(0, 0), origin(1, 0)],
            values: 2,
            grid: None,
            groups: vec![Group { name: "both".to_owned(), values: vec![0, 1] }],
            regions: Vec::new(),
        };
        let values = view.of_values(&[1.0, 100.0, 2.0, -4.0]);
        assert_eq!(values, [3.0, -4.0]);
        assert_eq!(view.of_groups(&values), [-1.0]);
        assert_eq!(view.of_ages(&[1.0, 100.0, 2.0, -5.0]), [0.875, 0.125]);
        assert_eq!(view.of_cells(&values), None);
    }
}
