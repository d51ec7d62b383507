//! A binary tree of sums: drawing an item in proportion to its priority takes a walk from the root.

/// Priorities of `len` items, and the sums of their ranges.
///
/// Every inner node is the sum of its two children, computed anew whenever one of them changes: the tree is a function
/// of the priorities alone, and not of the order in which they came.
#[derive(Clone, Debug, PartialEq)]
pub struct SumTree {
    /// The root is node 1, the children of node `k` are `2k` and `2k + 1`, the leaves begin at `leaves`. There are none before
    /// the first priority is set: a tree that would be too large can be made and asked for its size.
    nodes: Vec<f64>,
    leaves: usize,
    len: usize,
}

impl SumTree {
    /// Priorities of zero.
    ///
    /// # Panics
    /// If there are no items.
    pub fn new(len: usize) -> Self {
        assert!(len > 0, "a sum tree has at least one item");
        let leaves = len.next_power_of_two();
        Self { nodes: Vec::new(), leaves, len }
    }

    /// A tree of the given priorities.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(priorities: &[f64]) -> Self {
        let mut tree = Self::new(priorities.len());
        tree.nodes = vec![0.0; 2 * tree.leaves];
        tree.nodes[tree.leaves..tree.leaves + priorities.len()].copy_from_slice(priorities);
        for node in (1..tree.leaves).rev() {
            tree.nodes[node] = tree.nodes[2 * node] + tree.nodes[2 * node + 1];
        }
        tree
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items: never.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The priorities of all items; none before the first one is set.
    pub fn priorities(&self) -> &[f64] {
        self.nodes.get(self.leaves..self.leaves + self.len).unwrap_or(&[])
    }

    /// The sum of all priorities.
    pub fn total(&self) -> f64 {
        self.nodes.get(1).copied().unwrap_or(0.0)
    }

    /// An item's priority.
    pub fn get(&self, item: usize) -> f64 {
        self.priorities().get(item).copied().unwrap_or(0.0)
    }

    /// Sets an item's priority, at least zero.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn set(&mut self, item: usize, priority: f64) {
        assert!(item < self.len, "expected an item below {}, got {item}", self.len);
        if self.nodes.is_empty() {
            self.nodes = vec![0.0; 2 * self.leaves];
        }
        let mut node = self.leaves + item;
        self.nodes[node] = priority;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// The item in whose share of the total `mass` lies, the shares being laid one after the other.
    ///
    /// An item of priority zero is never found unless all are zero, whatever rounding does to `mass`.
    pub fn find(&self, mut mass: f64) -> usize {
        let mut node = 1;
        while node < self.leaves {
            let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            if right <= 0.0 || (mass < left && left > 0.0) {
                node *= 2;
            } else {
                mass -= left;
                node = 2 * node + 1;
            }
        }
        (node - self.leaves).min(self.len - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masses_find_the_shares_they_lie_in() {
        let tree = SumTree::of(&[1.0, 0.0, 3.0, 2.0, 0.0]);
        assert_eq!(tree.total(), 6.0);
        let found = [0.0, 0.99, 1.0, 3.99, 4.0, 5.99, 6.0, 100.0].map(|mass| tree.find(mass));
        assert_eq!(found, [0, 0, 2, 2, 3, 3, 3, 3]);
    }

    proptest! {
        #[test]
        fn sums_depend_on_priorities_and_not_on_their_history(
            last in proptest::collection::vec(0.0..10.0_f64, 1..70),
            history in proptest::collection::vec((0..70_usize, 0.0..1e6_f64), 0..100),
        ) {
            let mut tree = SumTree::new(last.len());
            history.iter().filter(|(item, _)| *item < last.len()).for_each(|&(item, p)| tree.set(item, p));
            last.iter().enumerate().rev().for_each(|(item, &p)| tree.set(item, p));
            prop_assert_eq!(&tree, &SumTree::of(&last));
            let sum: f64 = last.iter().sum();
            prop_assert!((tree.total() - sum).abs() <= 1e-9 * sum.max(1.0));
            prop_assert_eq!(tree.priorities(), last.as_slice());
        }

        #[test]
        fn an_item_is_found_by_the_masses_of_its_share(
            priorities in proptest::collection::vec(prop_oneof![Just(0.0), 0.1..10.0_f64], 1..70),
            share in 0.0..1.0_f64,
        ) {
            let tree = SumTree::of(&priorities);
            prop_assume!(tree.total() > 0.0);
            let mass = share * tree.total();
            let item = tree.find(mass);
            let before: f64 = priorities[..item].iter().sum();
            prop_assert!(priorities[item] > 0.0);
            prop_assert!(before <= mass + 1e-9 && mass <= before + priorities[item] + 1e-9);
        }
    }
}
