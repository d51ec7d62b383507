//! `compare`.

use super::args::CompareArgs;
use super::{Ending, say, say_json, say_sentence, table};
use crate::RunError;
use crate::compare::{
    CompareOptions, Comparison, Contestant, LeftOut, Normalization, compare as compare_runs,
};
use crate::plot::{self, PlotOptions};
use crate::runtime::Setup;
use crate::score::Measure;
use crate::stats::{Estimate, Resampling};

pub(super) fn compare(setup: &Setup, args: &CompareArgs) -> Result<Ending, RunError> {
    let contestants: Vec<Contestant> = args.runs.iter().map(|text| Contestant::parse(text)).collect();
    let options = CompareOptions {
        measure: Measure::named(&args.score),
        normalize: args.normalize.iter().map(|text| Normalization::parse(text)).collect::<Result<_, _>>()?,
        resampling: Resampling { resamples: args.resamples, seed: args.seed },
    };
    let resampling = options.resampling;
    let comparison = compare_runs(setup, &contestants, &options)?;
    if let Some(out) = &args.out {
        let score = if comparison.is_normalised() { "normalised score" } else { "score" };
        let title = match &comparison.environments[..] {
            [env] => env.id.clone(),
            all => format!("{} environments", all.len()),
        };
        let options = PlotOptions {
            title,
            x_label: format!("{score} τ"),
            y_label: "share of runs with a score above τ".to_owned(),
            notes: vec!["band: 95 % interval, bootstrapped over runs".to_owned()],
            ..Default::default()
        };
        plot::save_lines(&comparison.profiles(resampling), &options, out)?;
    }
    if args.json {
        return say_json(&comparison);
    }
    print(&comparison)?;
    if !comparison.left_out.is_empty() {
        say("")?;
    }
    for LeftOut { path, reason } in &comparison.left_out {
        say_sentence(&format!("left out {}: {reason}", path.display()))?;
    }
    match &args.out {
        Some(out) => say(format_args!("\nperformance profiles: {}", out.display())),
        None => Ok(Ending::Success),
    }
}

fn print(comparison: &Comparison) -> Result<Ending, RunError> {
    say(format_args!("score: {}, with bootstrapped 95 % intervals\n", comparison.measure.label()))?;
    let names = comparison.environments.iter().map(|env| match env.references {
        Some((low, high)) => format!("{} ({low:.1} is 0, {high:.1} is 1)", env.id),
        None => env.id.clone(),
    });
    for name in names {
        say(format_args!("environment: {name}"))?;
    }
    let digits = digits(comparison);
    let mut header = vec!["algorithm", "runs", "interquartile mean", "mean", "median"];
    if comparison.is_normalised() {
        header.push("optimality gap");
    }
    let rows: Vec<Vec<String>> = comparison
        .algorithms
        .iter()
        .map(|row| {
            let estimates = [Some(row.iqm), Some(row.mean), Some(row.median), row.optimality_gap];
            let cells = estimates.into_iter().flatten().map(|estimate| with_interval(estimate, digits));
            [row.label.clone(), row.runs.to_string()].into_iter().chain(cells).collect()
        })
        .collect();
    say(format_args!("\n{}", table(&header, &rows)))?;
    if comparison.improvements.is_empty() {
        return Ok(Ending::Success);
    }
    let rows: Vec<Vec<String>> = comparison
        .improvements
        .iter()
        .map(|pair| vec![pair.label.clone(), pair.over.clone(), with_interval(pair.probability, 2)])
        .collect();
    say(format_args!("\n{}", table(&["X", "Y", "probability that a run of X is better"], &rows)))
}

/// Decimals that show differences between scores.
fn digits(comparison: &Comparison) -> usize {
    let largest = comparison.algorithms.iter().fold(0.0, |most: f64, row| most.max(row.mean.value.abs()));
    match largest {
        0.0..10.0 => 3,
        10.0..100.0 => 2,
        _ => 1,
    }
}

fn with_interval(estimate: Estimate, digits: usize) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}
