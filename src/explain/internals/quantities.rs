//! Named quantities of states, which may be found inside of a network.

use crate::explain::features::{FeatureKind, Features};
use crate::explain::play::Step;

/// Quantities without a choice, at most.
const MOST: usize = 24;

/// A number of each state with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// Such as `pole angle`, `change of pole angle`, `steps to come`.
    pub name: String,
    /// Of each state.
    pub values: Vec<f64>,
}

/// The quantities of the states of these indices that change: what is observed and, of images, counted and located; how that
/// changed since the step before; and what is to come. `wanted` chooses by parts of names.
pub(in crate::explain) fn quantities(
    features: &Features,
    steps: &[Step],
    indices: &[usize],
    wanted: &[String],
) -> (Vec<Quantity>, Vec<String>) {
    let rows: Vec<Vec<f32>> = steps.iter().map(|step| features.extract(&step.observation)).collect();
    let mut all = Vec::new();
    for (i, feature) in features.all.iter().enumerate() {
        if matches!(feature.kind, FeatureKind::Cell(_)) {
            continue;
        }
        let own = |state: &usize| f64::from(rows[*state][i]);
        let change = |state: &usize| match steps[*state].step {
            0 => 0.0,
            _ => f64::from(rows[*state][i]) - f64::from(rows[*state - 1][i]),
        };
        let values = |of: &dyn Fn(&usize) -> f64| indices.iter().map(of).collect::<Vec<f64>>();
        all.push(Quantity { name: feature.name.clone(), values: values(&own) });
        all.push(Quantity { name: format!("change of {}", feature.name), values: values(&change) });
    }
    let (returns, left) = to_come(steps);
    let of = |numbers: &[f64]| indices.iter().map(|&state| numbers[state]).collect();
    all.push(Quantity { name: "return to come".to_owned(), values: of(&returns) });
    all.push(Quantity { name: "steps to come".to_owned(), values: of(&left) });
    all.retain(|quantity| quantity.values.windows(2).any(|pair| pair[0] != pair[1]));
    let names: Vec<String> = all.iter().map(|quantity| quantity.name.clone()).collect();
    if !wanted.is_empty() {
        all.retain(|quantity| wanted.iter().any(|part| quantity.name.contains(part.as_str())));
    } else if all.len() > MOST {
        // What is to come stays; of the others the first.
        let last = all.split_off(all.len() - 2);
        all.truncate(MOST - 2);
        all.extend(last);
    }
    (all, names)
}

/// Of each step the sum of the rewards of the rest of its episode, and how many steps that has.
fn to_come(steps: &[Step]) -> (Vec<f64>, Vec<f64>) {
    let (mut returns, mut left) = (vec![0.0; steps.len()], vec![0.0; steps.len()]);
    for i in (0..steps.len()).rev() {
        let goes_on = steps.get(i + 1).is_some_and(|next| next.number == steps[i].number);
        let (later, count) = if goes_on { (returns[i + 1], left[i + 1]) } else { (0.0, 0.0) };
        (returns[i], left[i]) = (later + steps[i].reward, count + 1.0);
    }
    (returns, left)
}
