//! What policies that attend to earlier steps attend to, over an episode.

use serde::Serialize;

use crate::RunError;
use crate::explain::play::Step;
use crate::explain::subject::Subject;
use crate::page::Page;
use crate::plot::{self, Matrix, Shades};
use crate::text::{significant, table};

/// Steps that are drawn, at most, and heads that have a map of their own.
const MOST_COLUMNS: usize = 240;
const MOST_HEADS: usize = 4;

/// A head of a block over an episode.
#[derive(Clone, Debug, Serialize)]
pub struct Attended {
    /// The layer, the block and the head.
    pub name: String,
    /// Weights by how many steps ago, `[ago][step]`; NaN before the episode.
    pub weights: Vec<Vec<f64>>,
    /// The mean of how many steps ago.
    pub mean_ago: f64,
    /// The share of the step itself.
    pub own: f64,
}

/// What all heads attend to at the steps of one episode; empty without attention.
///
/// # Errors
/// If a step is none of the policy's.
pub(in crate::explain) fn attended(subject: &Subject, steps: &[Step]) -> Result<Vec<Attended>, RunError> {
    let mut heads: Vec<(String, Vec<Vec<f32>>)> = Vec::new();
    for step in steps {
        let trace = subject.policy.trace(&step.episode, &step.observation)?;
        let mut index = 0;
        for own in subject.policy.attention_of(&trace) {
            for (head, weights) in own.weights.chunks(own.weights.len() / own.heads).enumerate() {
                if heads.len() <= index {
                    heads.push((format!("{}, head {head}", own.name), Vec::new()));
                }
                heads[index].1.push(weights.to_vec());
                index += 1;
            }
        }
    }
    Ok(heads.into_iter().map(|(name, of_steps)| of_head(name, &of_steps)).collect())
}

fn of_head(name: String, of_steps: &[Vec<f32>]) -> Attended {
    let longest = of_steps.iter().map(Vec::len).max().unwrap_or(0);
    // The newest is the last.
    let weight = |step: &Vec<f32>, ago: usize| {
        let at = step.len().checked_sub(ago + 1);
        at.map_or(f64::NAN, |at| f64::from(step[at]))
    };
    let weights: Vec<Vec<f64>> =
        (0..longest).map(|ago| of_steps.iter().map(|step| weight(step, ago)).collect()).collect();
    let ago = |step: &Vec<f32>| (0..step.len()).map(|ago| ago as f64 * weight(step, ago)).sum::<f64>();
    let mean = |of: &dyn Fn(&Vec<f32>) -> f64| of_steps.iter().map(of).sum::<f64>() / of_steps.len() as f64;
    Attended { mean_ago: mean(&ago), own: mean(&|step| weight(step, 0)), name, weights }
}

/// Writes maps of attention over an episode, if there is any.
pub(super) fn section(subject: &Subject, steps: &[Step], page: &mut Page) -> Result<Vec<Attended>, RunError> {
    let steps = &steps[..steps.len().min(MOST_COLUMNS)];
    let found = attended(subject, steps)?;
    if found.is_empty() {
        return Ok(found);
    }
    page.heading(3, "What it attends to");
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|head| vec![head.name.clone(), significant(head.mean_ago, 3), significant(head.own, 2)])
        .collect();
    page.paragraph(&table(&["head", "steps ago, in the mean", "share of the step itself"], &rows));
    for (index, head) in found.iter().take(MOST_HEADS).enumerate() {
        let told = Matrix {
            title: head.name.clone(),
            x_label: "step of the episode".to_owned(),
            rows: (0..head.weights.len()).map(|ago| format!("{ago} ago")).collect(),
            columns: (0..steps.len()).map(|step| step.to_string()).collect(),
            values: head.weights.clone(),
            shades: Shades::Positive,
            frame: None,
        };
        page.picture(&format!("attention_{index}"), "Attention over an episode", &plot::matrix(&told)?)?;
    }
    if let Some(far) = found.iter().max_by(|a, b| a.mean_ago.total_cmp(&b.mean_ago)) {
        page.finding(format!(
            "The head that looks back furthest ({}) attends to {} steps ago in the mean.",
            far.name,
            significant(far.mean_ago, 3)
        ));
    }
    Ok(found)
}
