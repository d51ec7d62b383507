//! The page: tables, differences, and rates over the steps of an episode.

use serde::Serialize;

use super::FairnessOptions;
use super::measures::{self, Gap, GroupRates, Measured};
use super::play::Played;
use crate::RunError;
use crate::page::Page;
use crate::plot::{Bar, Line, PlotOptions, bars, draw_lines};
use crate::stats::{Estimate, Resampling};
use crate::text::table;

/// Resamples of the bands along an episode.
const BAND_RESAMPLES: usize = 500;

/// What the policy, or a rule, was measured to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActorReport {
    /// `policy`, or the rule's name.
    pub actor: String,
    /// Episodes played.
    pub episodes: usize,
    /// Mean return, with Student's interval.
    pub episode_return: Estimate,
    /// The environment's own metrics at the end of episodes, likewise.
    pub metrics: Vec<(String, Estimate)>,
    /// Rates and differences.
    #[serde(flatten)]
    pub measured: Measured,
    /// Rates along the episode.
    pub over_time: Vec<Course>,
}

/// A group's rates in each part of an episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// The group.
    pub group: String,
    /// The middle of each part, in steps.
    pub steps: Vec<f64>,
    /// The share that was decided for.
    pub favoured: Vec<Estimate>,
    /// Of the qualified, the share that was decided for.
    pub true_positive: Vec<Estimate>,
}

impl ActorReport {
    pub(super) fn of(actor: &str, played: &Played, options: &FairnessOptions) -> Self {
        let FairnessOptions { seed, resamples, .. } = *options;
        let Played { groups, metrics, part_steps, episodes } = played;
        let returns: Vec<f64> = episodes.iter().map(|tally| tally.episode_return).collect();
        let metric = |(i, name): (usize, &String)| {
            let values = episodes.iter().map(|tally| tally.metrics[i]).filter(|value| value.is_finite());
            (name.clone(), measures::mean(&values.collect::<Vec<f64>>()))
        };
        let band = Resampling { resamples: resamples.min(BAND_RESAMPLES), seed };
        let num_parts = episodes.first().map_or(0, |tally| tally.parts.len());
        let course = |(group, name): (usize, &String)| Course {
            group: name.clone(),
            steps: (0..num_parts).map(|part| (part as f64 + 0.5) * f64::from(*part_steps)).collect(),
            favoured: measures::over_time(episodes, group, false, band),
            true_positive: measures::over_time(episodes, group, true, band),
        };
        Self {
            actor: actor.to_owned(),
            episodes: episodes.len(),
            episode_return: measures::mean(&returns),
            metrics: metrics.iter().enumerate().map(metric).collect(),
            measured: measures::measure(groups, episodes, Resampling { resamples, seed }),
            over_time: groups.iter().enumerate().map(course).collect(),
        }
    }
}

/// Writes what was measured.
pub(super) fn write(
    page: &mut Page,
    reports: &[ActorReport],
    options: &FairnessOptions,
) -> Result<(), RunError> {
    let Some(policy) = reports.first() else { return Ok(()) };
    page.paragraph(&format!(
        "Over {} episodes with seed {}; intervals are of 95 %, over episodes.",
        policy.episodes, options.seed
    ));
    findings(page, policy);
    if reports.len() > 1 {
        page.heading(2, "Beside rules");
        page.paragraph(&comparison(reports));
    }
    page.heading(2, "Groups");
    for report in reports {
        page.heading(3, &report.actor);
        page.paragraph(&groups(&report.measured.groups));
        if !report.metrics.is_empty() {
            let row = |(name, value): &(String, Estimate)| vec![name.clone(), told(value)];
            let rows: Vec<Vec<String>> = report.metrics.iter().map(row).collect();
            page.paragraph(&table(&["metric of an episode", "mean"], &rows));
        }
    }
    page.heading(2, "Over an episode");
    courses(page, policy, "favoured", "share decided for", |course| &course.favoured)?;
    courses(page, policy, "qualified", "share of the qualified decided for", |course| &course.true_positive)?;
    differences(page, reports)?;
    page.numbers("reports", &reports)
}

/// What the policy does, in sentences.
fn findings(page: &mut Page, policy: &ActorReport) {
    page.finding(format!("The return is {}.", told(&policy.episode_return)));
    let mut gap = |what: &str, gap: &Option<Gap>| {
        if let Some(Gap { highest, lowest, value }) = gap {
            let clear = if value.low > 0.0 { "" } else { "; the interval includes none" };
            page.finding(format!("{what} between {highest} and {lowest} is {}{clear}.", told(value)));
        }
    };
    gap("The demographic parity difference", &policy.measured.demographic_parity);
    gap("The equal opportunity difference", &policy.measured.equal_opportunity);
    if let Some(Gap { highest, lowest, value }) = &policy.measured.disparate_impact {
        let verdict = match value {
            Estimate { high, .. } if *high < 0.8 => "below four fifths",
            Estimate { low, .. } if *low >= 0.8 => "not below four fifths",
            _ => "not clearly on one side of four fifths",
        };
        let value = told(value);
        page.finding(format!(
            "For one decision in favour of {highest} there are {value} of {lowest}: {verdict}."
        ));
    }
}

fn comparison(reports: &[ActorReport]) -> String {
    let gap = |gap: &Option<Gap>| gap.as_ref().map_or("–".to_owned(), |gap| told(&gap.value));
    let row = |report: &ActorReport| {
        vec![
            report.actor.clone(),
            told(&report.episode_return),
            gap(&report.measured.demographic_parity),
            gap(&report.measured.equal_opportunity),
            gap(&report.measured.disparate_impact),
        ]
    };
    let header = ["", "return", "demographic parity", "equal opportunity", "disparate impact"];
    table(&header, &reports.iter().map(row).collect::<Vec<_>>())
}

fn groups(groups: &[GroupRates]) -> String {
    let row = |rates: &GroupRates| {
        vec![
            rates.group.clone(),
            format!("{:.1}", rates.members),
            told(&rates.favoured),
            told(&rates.qualified),
            told(&rates.true_positive),
            told(&rates.false_positive),
            told(&rates.reward),
        ]
    };
    let header = [
        "group",
        "members",
        "decided for",
        "qualified",
        "of the qualified",
        "of the others",
        "part of the return",
    ];
    table(&header, &groups.iter().map(row).collect::<Vec<_>>())
}

/// A picture of a rate of every group along the episode.
fn courses(
    page: &mut Page,
    report: &ActorReport,
    name: &str,
    y_label: &str,
    rates: impl Fn(&super::report::Course) -> &[Estimate],
) -> Result<(), RunError> {
    let line = |course: &Course| {
        let rates = rates(course);
        let known = |i: &usize| rates[*i].value.is_finite();
        let kept: Vec<usize> = (0..rates.len()).filter(known).collect();
        Line {
            label: course.group.clone(),
            num_runs: 1,
            points: kept.iter().map(|&i| (course.steps[i], rates[i].value)).collect(),
            band: kept.iter().map(|&i| (rates[i].low, rates[i].high)).collect(),
            joined: true,
        }
    };
    let lines: Vec<Line> = report.over_time.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let options = PlotOptions {
        title: format!("{} by group", y_label),
        x_label: "step of the episode".to_owned(),
        y_label: y_label.to_owned(),
        notes: vec!["band: 95 % interval, bootstrapped over episodes".to_owned()],
        ..PlotOptions::default()
    };
    page.picture(name, y_label, &draw_lines(&lines, &options)?)
}

/// A picture of the differences of the policy and the rules.
fn differences(page: &mut Page, reports: &[ActorReport]) -> Result<(), RunError> {
    let bar = |report: &ActorReport, what: &str, gap: &Option<Gap>| {
        let value = gap.as_ref().map(|gap| gap.value).filter(|value| value.value.is_finite())?;
        let half_width = ((value.high - value.low) / 2.0).max(0.0);
        let label = format!("{}: {what}", report.actor);
        Some(Bar {
            label,
            value: value.value,
            half_width: if half_width.is_finite() { half_width } else { 0.0 },
        })
    };
    let all: Vec<Bar> = reports
        .iter()
        .flat_map(|report| {
            let Measured { demographic_parity, equal_opportunity, .. } = &report.measured;
            [bar(report, "parity", demographic_parity), bar(report, "opportunity", equal_opportunity)]
        })
        .flatten()
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let picture = bars("Differences between groups", "difference of rates, 95 % intervals", &all)?;
    page.picture("differences", "differences between groups", &picture)
}

/// A number with its interval.
fn told(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    if value.is_nan() {
        return "–".to_owned();
    }
    let digits = if value.abs() < 10.0 { 3 } else { 1 };
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}
