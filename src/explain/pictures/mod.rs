//! Explaining a policy by pictures: how much each part of what it saw speaks for what it did, by the slopes of its network and by
//! hiding parts, over rendered frames where an observation is an image and as bars over named values elsewhere; what it attends
//! to; and a check that all of this depends on what was learned.
//!
//! What is attributed is the value of the chosen action, or the logarithm of its probability, or a number of the action, to what
//! the network reads: running statistics, stacks of frames and unit vectors of categories come before that. What is remembered
//! otherwise is a constant.

mod attention;
mod attribution;
mod heat;
mod integrated;
mod point;
mod sanity;
mod section;
mod view;

use agon_envs::random::SeedSequence;
use serde::Serialize;

pub use attention::Attended;
#[cfg(test)]
use attention::attended;
pub(super) use attribution::resized;
pub use attribution::{Attribution, Method, Reference, attribute};
pub(super) use heat::{beside, drawn, overlay};
pub use integrated::{Integrated, TOLERANCE, integrated};
pub use point::{Point, Target};
pub use sanity::Sanity;
use sanity::randomized;
pub(super) use view::Grid;
pub use view::View;

use super::output::spaced;
use super::play::{Step, episodes};
use super::subject::Subject;
use crate::page::Page;
use crate::setup::Setup;
use crate::{RunError, stats};

/// Steps that ranges and means come from, and those that are attributed for bars.
const MOST_STEPS: usize = 2000;
const ATTRIBUTED: usize = 100;
/// Steps of the check with weights that are drawn anew, and how often they are.
const CHECKED: usize = 10;
const DRAWS: u32 = 8;
/// Numbers of an action that are looked at, at most.
const MOST_NUMBERS: usize = 6;

/// What stands for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Zeros of what the network reads: an empty image; with normalised observations the mean.
    #[default]
    Zeros,
    /// The mean of what the network reads in episodes.
    Mean,
}

/// How pictures are made.
#[derive(Clone, Copy, Debug)]
pub struct PictureOptions {
    /// What integrated gradients and occlusion compare with.
    pub baseline: Baseline,
    /// Episodes that steps are taken from; at least 1.
    pub episodes: usize,
    /// Steps of a film, at most; none is written for 0.
    pub film: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl Default for PictureOptions {
    fn default() -> Self {
        Self { baseline: Baseline::default(), episodes: 10, film: 150, seed: 0 }
    }
}

/// How complete integrated gradients are.
#[derive(Clone, Debug, Serialize)]
pub struct Completeness {
    /// Steps.
    pub steps: usize,
    /// Those whose attributions sum to the output's difference within 1 %.
    pub complete: usize,
    /// The largest miss, as a share of the difference.
    pub worst: f64,
    /// Gradients that a step took in the mean, and at most.
    pub gradients: f64,
    /// At most.
    pub most_gradients: usize,
}

/// What a method says of the parts of an observation.
#[derive(Clone, Debug, Serialize)]
pub struct MethodReport {
    /// Which number of an action, zero where actions are choices.
    pub number: usize,
    /// Which method.
    pub method: Method,
    /// Mean size of each part's attribution, in the order of [`super::Features::groups`]; empty for maps without values.
    pub sizes: Vec<f64>,
    /// Half of the width of its 95 % interval over steps.
    pub half_widths: Vec<f64>,
    /// Mean attribution of each part, with its sign.
    pub means: Vec<f64>,
    /// Shares of the frames of a stack, the newest first.
    pub ages: Vec<f64>,
}

/// What was found out by pictures.
#[derive(Clone, Debug, Serialize)]
pub struct PicturesReport {
    /// What stood for nothing.
    pub baseline: Baseline,
    /// Names of parts.
    pub parts: Vec<String>,
    /// Of each method.
    pub methods: Vec<MethodReport>,
    /// Of integrated gradients.
    pub completeness: Completeness,
    /// The layers whose weights were drawn anew, the last first.
    pub layers: Vec<String>,
    /// How explanations change with them.
    pub sanity: Vec<Sanity>,
    /// What is attended to.
    pub attention: Vec<Attended>,
}

/// Steps that are explained, and what they are compared with.
pub(super) struct Scene {
    pub(super) steps: Vec<Step>,
    pub(super) reference: Reference,
    pub(super) view: View,
}

impl Scene {
    /// Of the policy's own episodes.
    pub(super) fn new(
        subject: &Subject,
        steps: Vec<Step>,
        options: &PictureOptions,
    ) -> Result<Self, RunError> {
        let view = View::of(subject);
        let width = subject.policy.origins().len();
        let (mut low, mut high) = (vec![f32::INFINITY; width], vec![f32::NEG_INFINITY; width]);
        let mut sums = vec![0.0_f64; width];
        for step in &steps {
            let inputs =
                Point::new(&subject.policy, step.episode.clone(), &step.observation, Target::Number(0))?
                    .inputs;
            for (i, &value) in inputs.iter().enumerate() {
                (low[i], high[i]) = (low[i].min(value), high[i].max(value));
                sums[i] += f64::from(value);
            }
        }
        let mut ranges: Vec<f32> = low.iter().zip(&high).map(|(low, high)| (high - low).max(0.0)).collect();
        if view.grid.is_some() {
            // Cells are alike: one that nothing has been in may have something in it.
            let widest = ranges.iter().copied().fold(0.0, f32::max);
            ranges.fill(widest);
        }
        let baseline = match options.baseline {
            Baseline::Zeros => vec![0.0; width],
            Baseline::Mean => sums.iter().map(|sum| (sum / steps.len().max(1) as f64) as f32).collect(),
        };
        let seed = SeedSequence::with_spawn_key(options.seed, &[21]).seed();
        Ok(Self { steps, reference: Reference { baseline, ranges, seed }, view })
    }

    /// A step as a point; of actions that are numbers one of them.
    pub(super) fn point<'a>(
        &self,
        subject: &'a Subject,
        step: &Step,
        number: usize,
    ) -> Result<Point<'a>, RunError> {
        let target = Target::of(subject, step, number);
        Point::new(&subject.policy, step.episode.clone(), &step.observation, target)
    }
}

/// Numbers of an action that are looked at: one stands for all where actions are choices.
fn numbers(subject: &Subject) -> usize {
    if subject.is_continuous() { subject.actions[0].len().min(MOST_NUMBERS) } else { 1 }
}

/// Writes the section of pictures.
///
/// # Errors
/// If the environment fails, a layer has no gradient, or a file cannot be written.
pub fn explain(
    setup: &Setup,
    subject: &Subject,
    options: &PictureOptions,
    page: &mut Page,
) -> Result<PicturesReport, RunError> {
    let mut frames = Vec::new();
    let first = episodes(setup, subject, options.seed, 1, MOST_STEPS, Some(&mut |frame| frames.push(frame)))?;
    let others = SeedSequence::with_spawn_key(options.seed, &[13]).seed();
    let steps = episodes(setup, subject, others, options.episodes, MOST_STEPS, None)?;
    let scene = Scene::new(subject, steps, options)?;
    page.heading(2, "Pictures");
    section::words(subject, options, page);
    section::film(setup, subject, &scene, &first, &frames, options, page)?;
    let (methods, completeness) = measure(subject, &scene)?;
    section::bars(subject, &methods, &completeness, page)?;
    section::over_time(subject, &scene, &first, page)?;
    let attention = attention::section(subject, &first, page)?;
    let (layers, sanity) = check(subject, &scene, options.seed)?;
    section::sanity(&layers, &sanity, page)?;
    let parts = subject.features.groups.iter().map(|group| group.name.clone()).collect();
    let baseline = options.baseline;
    let report = PicturesReport { baseline, parts, methods, completeness, layers, sanity, attention };
    page.numbers("pictures", &report)?;
    Ok(report)
}

/// What each method says of each part over steps, and whether integrated gradients are complete.
fn measure(subject: &Subject, scene: &Scene) -> Result<(Vec<MethodReport>, Completeness), RunError> {
    let (mut reports, mut errors, mut gradients) = (Vec::new(), Vec::new(), Vec::new());
    let indices = spaced(scene.steps.len(), ATTRIBUTED);
    for number in 0..numbers(subject) {
        for method in Method::ALL {
            let (mut of_groups, mut ages) = (Vec::new(), Vec::new());
            for &index in &indices {
                let point = scene.point(subject, &scene.steps[index], number)?;
                let found = attribute(method, &point, &scene.reference, &scene.view)?;
                let Some(found) = found else { break };
                of_groups.extend(found.of_values.map(|values| scene.view.of_groups(&values)));
                ages.push(found.of_ages);
                if let Some(integrated) = found.integrated {
                    errors.push(integrated.error);
                    gradients.push(integrated.gradients);
                }
            }
            // Hiding a cell hides all of its channels: what each is worth is not told.
            let is_of_cells = method == Method::Occlusion && scene.view.grid.is_some();
            if of_groups.is_empty() || is_of_cells {
                continue;
            }
            reports.push(of_method(number, method, &of_groups, &ages));
        }
    }
    let completeness = Completeness {
        steps: errors.len(),
        complete: errors.iter().filter(|error| **error <= TOLERANCE).count(),
        worst: errors.iter().copied().fold(0.0, f64::max),
        gradients: gradients.iter().sum::<usize>() as f64 / gradients.len().max(1) as f64,
        most_gradients: gradients.iter().copied().max().unwrap_or(0),
    };
    Ok((reports, completeness))
}

fn of_method(number: usize, method: Method, of_groups: &[Vec<f64>], ages: &[Vec<f64>]) -> MethodReport {
    let column = |group: usize, of: fn(f64) -> f64| -> Vec<f64> {
        of_groups.iter().map(|step| of(step[group])).collect()
    };
    let groups = 0..of_groups[0].len();
    let sizes: Vec<Vec<f64>> = groups.clone().map(|group| column(group, f64::abs)).collect();
    let half_width = |values: &Vec<f64>| if values.len() > 1 { stats::ci95_half_width(values) } else { 0.0 };
    let frames = ages.first().map_or(0, Vec::len);
    let of_age = |age: usize| ages.iter().map(|step| step[age]).sum::<f64>() / ages.len() as f64;
    MethodReport {
        number,
        method,
        half_widths: sizes.iter().map(half_width).collect(),
        sizes: sizes.iter().map(|values| stats::mean(values)).collect(),
        means: groups.map(|group| stats::mean(&column(group, |value| value))).collect(),
        ages: (0..frames).map(of_age).collect(),
    }
}

/// The check with weights that are drawn anew.
fn check(subject: &Subject, scene: &Scene, seed: u64) -> Result<(Vec<String>, Vec<Sanity>), RunError> {
    let draws = (0..DRAWS).map(|draw| randomized(subject, seed, draw)).collect::<Result<Vec<_>, _>>()?;
    let indices = spaced(scene.steps.len(), CHECKED).into_iter();
    let points = indices.map(|index| scene.point(subject, &scene.steps[index], 0));
    let points = points.collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for method in Method::ALL {
        found.extend(sanity::check(method, &points, &draws, &scene.reference, &scene.view)?);
    }
    Ok((sanity::layers(subject), found))
}

#[cfg(test)]
mod tests;
