//! Where it matters what is done: the spread of what options are worth, and a check of it by acting at random.

use agon_envs::random::SeedSequence;
use agon_envs::{Frame, Pcg64};
use serde::Serialize;

use super::{ImportanceOptions, SHEET, sheet};
use crate::explain::play::{Step, Teacher, Until, play};
use crate::explain::subject::Subject;
use crate::explain::surrogate::spread;
use crate::page::Page;
use crate::plot::{self, Line, PlotOptions};
use crate::setup::Setup;
use crate::text::significant;
use crate::{RunError, stats};

/// The share of steps that counts as the most and the least critical ones.
const SHARE: f64 = 0.1;

/// How much it matters where a state is critical.
#[derive(Clone, Debug, Serialize)]
pub struct Criticality {
    /// The spread above which a step is among the most critical tenth.
    pub above: f64,
    /// The spread below which it is among the least critical tenth.
    pub below: f64,
    /// Mean return of the policy.
    pub policy_return: f64,
    /// Mean return if it acts at random at the most critical steps.
    pub random_at_most: f64,
    /// The share of steps that these were.
    pub share_of_most: f64,
    /// Mean return if it acts at random at the least critical ones.
    pub random_at_least: f64,
    /// The share of steps that these were.
    pub share_of_least: f64,
}

/// Writes about the critical steps of an episode, `first`, by how `steps` spread.
pub(super) fn explain(
    setup: &Setup,
    subject: &Subject,
    first: &[Step],
    steps: &[Step],
    frames: &[Frame],
    options: &ImportanceOptions,
    page: &mut Page,
) -> Result<Criticality, RunError> {
    page.heading(3, "Where it matters");
    let of_step = |step: &Step| f64::from(spread(subject, &step.opinion.logits, &step.mask));
    let mut spreads: Vec<f64> = steps.iter().map(of_step).collect();
    spreads.sort_by(f64::total_cmp);
    let (above, below) = (stats::quantile(&spreads, 1.0 - SHARE), stats::quantile(&spreads, SHARE));
    let points: Vec<(f64, f64)> = first.iter().map(|step| (step.step as f64, of_step(step))).collect();
    let (label, num_runs, band) = (String::new(), 1, Vec::new());
    let line = Line { label, num_runs, points: points.clone(), band, joined: true };
    let what = match subject.has_values() {
        true => "best less worst value",
        false => "best less worst logarithm of a probability",
    };
    let plot = PlotOptions {
        title: "How much the choice matters".to_owned(),
        x_label: "step of the episode".to_owned(),
        y_label: what.to_owned(),
        threshold: Some((above, "the most critical tenth".to_owned())),
        ..PlotOptions::default()
    };
    page.picture("criticality", "Criticality along an episode", &plot::draw_lines(&[line], &plot)?)?;
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[b].1.total_cmp(&points[a].1));
    let told = |index: &usize| {
        let words = subject.action_words(&first[*index].opinion.action);
        (*index, format!("step {}: {words}", first[*index].step))
    };
    let most: Vec<(usize, String)> = order.iter().take(SHEET).map(told).collect();
    let least: Vec<(usize, String)> = order.iter().rev().take(SHEET).map(told).collect();
    for (name, alt, chosen) in
        [("critical", "The most critical steps", most), ("uncritical", "The least critical steps", least)]
    {
        if let Some(sheet) = sheet(frames, &chosen) {
            page.paragraph(&format!("{alt}:"));
            page.frame(name, alt, &sheet)?;
        }
    }
    let (policy_return, _) = at_random(setup, subject, options, &|_| false)?;
    let (random_at_most, share_of_most) = at_random(setup, subject, options, &|spread| spread >= above)?;
    let (random_at_least, share_of_least) = at_random(setup, subject, options, &|spread| spread <= below)?;
    page.finding(format!(
        "Acting at random at the most critical tenth of steps takes the return from {} to {}, at the least critical tenth to {}.",
        significant(policy_return, 4),
        significant(random_at_most, 4),
        significant(random_at_least, 4)
    ));
    Ok(Criticality {
        above,
        below,
        policy_return,
        random_at_most,
        share_of_most,
        random_at_least,
        share_of_least,
    })
}

/// The mean return if the policy acts at random wherever the spread says so, and how often that was.
fn at_random(
    setup: &Setup,
    subject: &Subject,
    options: &ImportanceOptions,
    is_random: &dyn Fn(f64) -> bool,
) -> Result<(f64, f64), RunError> {
    let seed = SeedSequence::with_spawn_key(options.seed, &[14]).seed();
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[15]));
    let mut teacher = Teacher::new(subject);
    let choices = subject.choices();
    let (mut steps, mut random) = (0_u64, 0_u64);
    let returns = play(setup, subject, seed, Until::Episodes(options.episodes), &mut |seen| {
        let opinion = teacher.opinion(seen)?;
        steps += 1;
        if !is_random(f64::from(spread(subject, &opinion.logits, seen.mask))) {
            return Ok(opinion.action);
        }
        random += 1;
        let mut first = 0;
        let drawn = choices.iter().map(|&options| {
            let legal = |i: &usize| seen.mask.is_empty() || seen.mask[first + i];
            let legal: Vec<usize> = (0..options).filter(legal).collect();
            first += options;
            let last = legal.len().saturating_sub(1);
            legal.get(rng.bounded(last as u64) as usize).copied().unwrap_or(0) as f32
        });
        Ok(drawn.collect())
    })?;
    Ok((stats::mean(&returns), random as f64 / steps.max(1) as f64))
}
