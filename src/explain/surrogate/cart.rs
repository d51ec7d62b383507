//! Regression trees over named features, of which classification trees are those over unit vectors.
//!
//! A tree grows best first: always the leaf is split whose split explains most. The first splits of a tree are thus the tree of
//! fewer leaves, and one growth gives a tree of every size.
//!
//! # Source
//! Breiman, Friedman, Olshen and Stone 1984, *Classification and Regression Trees*; best-first growth as in Shi 2007,
//! *Best-first Decision Tree Learning*. The sum of the variances of unit vectors' entries is the Gini impurity.

use serde::{Deserialize, Serialize};

/// Thresholds of a feature that are tried, at most: its quantiles if it has more values.
const MOST_THRESHOLDS: usize = 511;

/// Examples of a leaf, at least.
const FEWEST_EXAMPLES: u32 = 3;

/// What a tree is grown on.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Features of an example.
    pub num_features: usize,
    /// Numbers of a target.
    pub num_targets: usize,
    /// `[N, F]`.
    pub features: Vec<f32>,
    /// `[N]`: the entries of each target that are not zero.
    pub targets: Vec<Vec<(u32, f32)>>,
    /// `[N]`: how much each counts.
    pub weights: Vec<f32>,
}

impl Examples {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The features of one.
    pub fn row(&self, example: usize) -> &[f32] {
        &self.features[example * self.num_features..(example + 1) * self.num_features]
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Which feature.
    pub feature: usize,
    /// To the left if it is at most this.
    pub threshold: f32,
    /// The node on the left.
    pub left: usize,
    /// The node on the right.
    pub right: usize,
}

/// A node, which is a leaf unless it has a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The mean target.
    pub value: Vec<f32>,
    /// Its share of the weight of all examples.
    pub share: f32,
    /// Its question.
    pub split: Option<Split>,
}

/// A tree. Nodes lie in the order of growth: the two of a split beside each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// The root first.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Grows a tree of up to `leaves` leaves. No examples give one leaf of zeros.
    pub fn grow(examples: &Examples, leaves: usize) -> Self {
        Growth::new(examples).tree(leaves)
    }

    /// How many leaves it has.
    pub fn leaves(&self) -> usize {
        self.nodes.len().div_ceil(2)
    }

    /// The tree as it was when it had so many leaves.
    #[must_use]
    pub fn pruned(&self, leaves: usize) -> Self {
        let keep = (2 * leaves.max(1) - 1).min(self.nodes.len());
        let mut nodes = self.nodes[..keep].to_vec();
        for node in &mut nodes {
            node.split = node.split.filter(|split| split.right < keep);
        }
        Self { nodes }
    }

    /// The leaf of an example.
    pub fn leaf(&self, features: &[f32]) -> &Node {
        let mut node = &self.nodes[0];
        while let Some(split) = node.split {
            let left = features[split.feature] <= split.threshold;
            node = &self.nodes[if left { split.left } else { split.right }];
        }
        node
    }
}

/// Examples with their features in bins.
struct Growth<'a> {
    examples: &'a Examples,
    /// `[F]`: thresholds in ascending order.
    thresholds: Vec<Vec<f32>>,
    /// `[F, N]`: how many thresholds lie below a value.
    bins: Vec<u16>,
    weight: f64,
}

/// A leaf that may be split.
struct Candidate {
    node: usize,
    examples: Vec<u32>,
    best: Option<Best>,
}

/// The best split of a leaf.
#[derive(Clone, Copy)]
struct Best {
    gain: f64,
    feature: usize,
    bin: u16,
}

/// Sums over examples: how many, their weights, and their weighted targets.
#[derive(Clone)]
struct Sums {
    count: u32,
    weight: f64,
    targets: Vec<f64>,
}

impl Sums {
    fn new(num_targets: usize) -> Self {
        Self { count: 0, weight: 0.0, targets: vec![0.0; num_targets] }
    }

    /// The weighted sum of squares of the mean: what a node explains.
    fn explained(&self) -> f64 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        self.targets.iter().map(|sum| sum * sum).sum::<f64>() / self.weight
    }
}

impl<'a> Growth<'a> {
    fn new(examples: &'a Examples) -> Self {
        let (count, width) = (examples.len(), examples.num_features);
        let mut thresholds = Vec::with_capacity(width);
        let mut bins = vec![0; count * width];
        let mut values = Vec::with_capacity(count);
        for feature in 0..width {
            values.clear();
            values.extend((0..count).map(|i| examples.features[i * width + feature]));
            values.sort_unstable_by(f32::total_cmp);
            let own = thresholds_of(&values);
            for (i, bin) in bins[feature * count..(feature + 1) * count].iter_mut().enumerate() {
                let value = examples.features[i * width + feature];
                *bin = own.partition_point(|&threshold| threshold < value) as u16;
            }
            thresholds.push(own);
        }
        let weight = examples.weights.iter().map(|&weight| f64::from(weight)).sum();
        Self { examples, thresholds, bins, weight }
    }

    fn tree(&self, leaves: usize) -> Tree {
        let all: Vec<u32> = (0..self.examples.len() as u32).collect();
        let mut tree = Tree { nodes: vec![self.node(&all)] };
        let mut open = vec![self.candidate(0, all)];
        while tree.leaves() < leaves {
            let gains = open.iter().enumerate().filter_map(|(i, leaf)| Some((i, leaf.best?.gain)));
            // The first of the best: nothing is left to chance.
            let best = gains.reduce(|best, next| if next.1 > best.1 { next } else { best });
            let Some((index, _)) = best else { break };
            let leaf = open.remove(index);
            let Some(Best { feature, bin, .. }) = leaf.best else { break };
            let count = self.examples.len();
            let of_feature = &self.bins[feature * count..(feature + 1) * count];
            let (left, right): (Vec<u32>, Vec<u32>) =
                leaf.examples.iter().partition(|&&example| of_feature[example as usize] <= bin);
            let threshold = self.thresholds[feature][usize::from(bin)];
            let first = tree.nodes.len();
            tree.nodes[leaf.node].split = Some(Split { feature, threshold, left: first, right: first + 1 });
            for (node, examples) in [(first, left), (first + 1, right)] {
                tree.nodes.push(self.node(&examples));
                open.push(self.candidate(node, examples));
            }
        }
        tree
    }

    fn sums(&self, examples: &[u32]) -> Sums {
        let mut sums = Sums::new(self.examples.num_targets);
        for &example in examples {
            self.add(example as usize, &mut sums);
        }
        sums
    }

    fn add(&self, example: usize, sums: &mut Sums) {
        let weight = f64::from(self.examples.weights[example]);
        sums.count += 1;
        sums.weight += weight;
        for &(target, value) in &self.examples.targets[example] {
            sums.targets[target as usize] += weight * f64::from(value);
        }
    }

    fn node(&self, examples: &[u32]) -> Node {
        let sums = self.sums(examples);
        let mean = |sum: &f64| if sums.weight > 0.0 { (sum / sums.weight) as f32 } else { 0.0 };
        let share = if self.weight > 0.0 { (sums.weight / self.weight) as f32 } else { 1.0 };
        Node { value: sums.targets.iter().map(mean).collect(), share, split: None }
    }

    fn candidate(&self, node: usize, examples: Vec<u32>) -> Candidate {
        let whole = self.sums(&examples);
        let mut best: Option<Best> = None;
        if whole.count >= 2 * FEWEST_EXAMPLES {
            for feature in 0..self.examples.num_features {
                let found = self.best_of(feature, &examples, &whole);
                if let Some(found) = found
                    && best.is_none_or(|best| found.gain > best.gain)
                {
                    best = Some(found);
                }
            }
        }
        Candidate { node, examples, best }
    }

    /// The best split of some examples by one feature.
    fn best_of(&self, feature: usize, examples: &[u32], whole: &Sums) -> Option<Best> {
        let (count, targets) = (self.examples.len(), self.examples.num_targets);
        let places = self.thresholds[feature].len() + 1;
        if places < 2 {
            return None;
        }
        let bins = &self.bins[feature * count..(feature + 1) * count];
        // Of each bin: count and weight, then targets.
        let mut histogram = vec![0.0_f64; places * (targets + 2)];
        for &example in examples {
            let example = example as usize;
            let weight = f64::from(self.examples.weights[example]);
            let own = &mut histogram[usize::from(bins[example]) * (targets + 2)..][..targets + 2];
            own[0] += 1.0;
            own[1] += weight;
            for &(target, value) in &self.examples.targets[example] {
                own[target as usize + 2] += weight * f64::from(value);
            }
        }
        let before = whole.explained();
        let (mut left, mut right) = (Sums::new(targets), whole.clone());
        let mut best: Option<Best> = None;
        for (bin, own) in histogram.chunks_exact(targets + 2).take(places - 1).enumerate() {
            if own[0] == 0.0 {
                continue;
            }
            left.count += own[0] as u32;
            right.count -= own[0] as u32;
            left.weight += own[1];
            right.weight -= own[1];
            let both = left.targets.iter_mut().zip(&mut right.targets);
            for ((left, right), add) in both.zip(&own[2..]) {
                *left += add;
                *right -= add;
            }
            if left.count < FEWEST_EXAMPLES || right.count < FEWEST_EXAMPLES {
                continue;
            }
            let gain = left.explained() + right.explained() - before;
            // Rounding is no gain.
            if gain > 1e-9 * self.weight && best.is_none_or(|best| gain > best.gain) {
                best = Some(Best { gain, feature, bin: bin as u16 });
            }
        }
        best
    }
}

/// Places between values that lie in ascending order.
fn thresholds_of(values: &[f32]) -> Vec<f32> {
    let mut distinct = values.to_vec();
    distinct.dedup();
    let between = |a: f32, b: f32| {
        let middle = a + (b - a) / 2.0;
        if middle < b { middle } else { a }
    };
    if distinct.len() <= MOST_THRESHOLDS + 1 {
        return distinct.windows(2).map(|pair| between(pair[0], pair[1])).collect();
    }
    let mut thresholds = Vec::with_capacity(MOST_THRESHOLDS);
    for i in 1..=MOST_THRESHOLDS {
        let at = i * values.len() / (MOST_THRESHOLDS + 1);
        let (a, b) = (values[at - 1], values[at]);
        if a < b {
            thresholds.push(between(a, b));
        } else if let Some(next) = values[at..].iter().find(|&&value| value > a) {
            thresholds.push(between(a, *next));
        }
    }
    thresholds.dedup();
    thresholds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of one choice: features, option, weight.
    fn examples(rows: &[(&[f32], u32, f32)], options: usize) -> Examples {
        let mut examples =
            Examples { num_features: rows[0].0.len(), num_targets: options, ..Examples::default() };
        for (features, option, weight) in rows {
            examples.features.extend_from_slice(features);
            examples.targets.push(vec![(*option, 1.0)]);
            examples.weights.push(*weight);
        }
        examples
    }

    /// A grid on which the answer is an exclusive or of two thresholds, the second one unevenly placed.
    fn grid() -> Examples {
        let mut rows = Vec::new();
        for x in 0..20 {
            for y in 0..20 {
                let (x, y) = (x as f32, y as f32);
                rows.push(([x, y, 7.0], u32::from((x > 8.0) != (y > 12.0))));
            }
        }
        let rows: Vec<(&[f32], u32, f32)> = rows.iter().map(|(x, y)| (&x[..], *y, 1.0)).collect();
        examples(&rows, 2)
    }

    #[test]
    fn a_tree_of_four_leaves_learns_an_exclusive_or() {
        let examples = grid();
        let tree = Tree::grow(&examples, 4);
        assert_eq!(tree.leaves(), 4);
        for i in 0..examples.len() {
            let value = &tree.leaf(examples.row(i)).value;
            assert_eq!(value[examples.targets[i][0].0 as usize], 1.0, "{:?}", examples.row(i));
        }
        assert_eq!(Tree::grow(&examples, 100), tree, "what is pure is not split");
    }

    #[test]
    fn the_first_splits_are_the_smaller_tree() {
        let examples = grid();
        let tree = Tree::grow(&examples, 4);
        for leaves in 1..4 {
            assert_eq!(tree.pruned(leaves), Tree::grow(&examples, leaves), "{leaves}");
        }
        assert_eq!(tree.pruned(1).leaf(&[0.0; 3]).value.iter().sum::<f32>(), 1.0);
    }

    #[test]
    fn weights_decide_what_is_asked_first() {
        // Two features that each tell half of the truth; the second half weighs more.
        let rows: Vec<([f32; 2], u32, f32)> = (0..40)
            .map(|i| {
                let (a, b) = ((i % 2) as f32, (i / 2 % 2) as f32);
                if i < 20 { ([a, 0.0], a as u32, 1.0) } else { ([0.0, b], b as u32, 9.0) }
            })
            .collect();
        let rows: Vec<(&[f32], u32, f32)> = rows.iter().map(|(x, y, w)| (&x[..], *y, *w)).collect();
        let first =
            |rows: &[(&[f32], u32, f32)]| Tree::grow(&examples(rows, 2), 2).nodes[0].split.unwrap().feature;
        assert_eq!(first(&rows), 1);
        let turned: Vec<_> = rows.iter().map(|&(x, y, w)| (x, y, 10.0 - w)).collect();
        assert_eq!(first(&turned), 0);
    }

    #[test]
    fn numbers_are_approximated_by_means() {
        let mut examples = Examples { num_features: 1, num_targets: 2, ..Examples::default() };
        for i in 0..100 {
            examples.features.push(i as f32);
            examples.targets.push(vec![(0, if i < 30 { 1.0 } else { 3.0 }), (1, -2.0)]);
            examples.weights.push(1.0);
        }
        let tree = Tree::grow(&examples, 2);
        assert_eq!(tree.nodes[0].split.unwrap().threshold, 29.5);
        assert_eq!(tree.leaf(&[0.0]).value, [1.0, -2.0]);
        assert_eq!(tree.leaf(&[99.0]).value, [3.0, -2.0]);
    }

    #[test]
    fn thresholds_lie_between_values_and_are_few() {
        assert_eq!(thresholds_of(&[0.0, 0.0, 1.0, 4.0]), [0.5, 2.5]);
        assert!(thresholds_of(&[1.0, 1.0]).is_empty());
        let many: Vec<f32> = (0..10_000).map(|i| (i / 3) as f32).collect();
        let thresholds = thresholds_of(&many);
        assert!(thresholds.len() <= MOST_THRESHOLDS && thresholds.len() > MOST_THRESHOLDS / 2);
        assert!(thresholds.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn no_examples_give_one_leaf() {
        let tree = Tree::grow(&Examples { num_features: 2, num_targets: 3, ..Examples::default() }, 5);
        assert_eq!((tree.leaves(), tree.nodes[0].value.as_slice()), (1, &[0.0; 3][..]));
    }
}
