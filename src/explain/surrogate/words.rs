//! A surrogate in words: rules with the names of what is seen and done.

use std::fmt::Write as _;

use super::cart::{Split, Tree};
use super::{Linear, Surrogate};
use crate::explain::features::{Feature, FeatureKind};
use crate::explain::subject::{Subject, best};
use crate::text::significant;

/// A split as a question whose answer is yes on the left.
pub fn question(feature: &Feature, threshold: f32) -> String {
    condition(feature, threshold, true)
}

/// What holds on one side of a split.
fn condition(feature: &Feature, threshold: f32, left: bool) -> String {
    let Feature { name, unit, kind } = feature;
    if let FeatureKind::Cell(_) = kind {
        return format!("{}{name}", if left { "no " } else { "" });
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let sign = if left { "≤" } else { ">" };
    format!("{name} {sign} {}{unit}", significant(f64::from(threshold), 4))
}

/// What a leaf's numbers mean: the best option of each choice with its share of the leaf, or numbers.
pub(super) fn leaf_words(subject: &Subject, value: &[f32]) -> String {
    let choices = subject.choices();
    if choices.is_empty() {
        return subject.action_words(value);
    }
    let action: Vec<f32> = best(&choices, value, &[]).into_iter().map(|index| index as f32).collect();
    subject.action_words(&action)
}

/// The rules of a surrogate, one a line: of a tree one for each leaf, the one that applies most first.
pub fn rules(subject: &Subject, surrogate: &Surrogate) -> Vec<String> {
    match surrogate {
        Surrogate::Tree(tree) => tree_rules(subject, tree),
        Surrogate::Linear(linear) => linear_rules(subject, linear),
    }
}

/// Conditions on the way to a node; of several on one feature only what matters.
type Path = Vec<(Split, bool)>;

fn tree_rules(subject: &Subject, tree: &Tree) -> Vec<String> {
    let mut leaves: Vec<(f32, String)> = Vec::new();
    let mut open: Vec<(usize, Path)> = vec![(0, Vec::new())];
    while let Some((node, path)) = open.pop() {
        let own = &tree.nodes[node];
        match own.split {
            Some(split) => {
                for (child, left) in [(split.right, false), (split.left, true)] {
                    let mut path = path.clone();
                    path.retain(|(other, side)| other.feature != split.feature || *side != left);
                    path.push((split, left));
                    open.push((child, path));
                }
            }
            None => {
                let conditions: Vec<String> = path
                    .iter()
                    .map(|(split, left)| {
                        condition(&subject.features.all[split.feature], split.threshold, *left)
                    })
                    .collect();
                let conditions = match conditions.is_empty() {
                    true => "always".to_owned(),
                    false => format!("if {}", conditions.join(" and ")),
                };
                let words = leaf_words(subject, &own.value);
                let share = significant(100.0 * f64::from(own.share), 2);
                leaves.push((own.share, format!("{conditions}: **{words}** ({share} % of what matters)")));
            }
        }
    }
    leaves.sort_by(|a, b| b.0.total_cmp(&a.0));
    leaves.into_iter().map(|(_, rule)| rule).collect()
}

fn linear_rules(subject: &Subject, linear: &Linear) -> Vec<String> {
    let names = subject.actions.first().map(Vec::as_slice).unwrap_or_default();
    let rows = linear.weights.iter().zip(&linear.offsets).zip(names);
    rows.map(|((weights, offset), name)| {
        let mut text = format!("{name} = {}", significant(f64::from(*offset), 3));
        for (weight, feature) in weights.iter().zip(&subject.features.all) {
            if *weight != 0.0 {
                let sign = if *weight < 0.0 { '−' } else { '+' };
                let _ =
                    write!(text, " {sign} {} · {}", significant(f64::from(weight.abs()), 3), feature.name);
            }
        }
        format!("{text}, within its bounds")
    })
    .collect()
}
