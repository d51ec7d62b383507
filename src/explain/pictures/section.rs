//! The section of pictures: sheets, films, bars and tables.

use agon_envs::Frame;

use super::attribution::{Method, attribute};
use super::heat::{beside, drawn, overlay};
use super::{Baseline, Completeness, MethodReport, PictureOptions, Sanity, Scene, numbers};
use crate::RunError;
use crate::explain::features::Feature;
use crate::explain::output::spaced;
use crate::explain::play::Step;
use crate::explain::subject::Subject;
use crate::explain::surrogate::spread;
use crate::page::Page;
use crate::plot::{self, Bar, Line, Matrix, PlotOptions, Shades};
use crate::setup::Setup;
use crate::text::{significant, table};

/// Steps of a sheet, and sides of pictures of sheets and films.
const SHEET: usize = 6;
const SHEET_SIDE: u32 = 160;
const FILM_SIDE: u32 = 160;
const FPS: u16 = 8;
/// Parts that are drawn, at most, and steps of an episode.
const MOST_PARTS: usize = 24;
const MOST_COLUMNS: usize = 240;

/// What is attributed, in words.
fn target_words(subject: &Subject) -> &'static str {
    match (subject.is_continuous(), subject.has_values()) {
        (true, _) => "a number of the action",
        (false, true) => "the value of the chosen action",
        (false, false) => "the logarithm of the chosen action's probability",
    }
}

/// Says how to read what follows.
pub(super) fn words(subject: &Subject, options: &PictureOptions, page: &mut Page) {
    let baseline = match options.baseline {
        Baseline::Zeros => "zeros",
        Baseline::Mean => "the mean of what was seen",
    };
    page.paragraph(&format!(
        "What is attributed is {}. A gradient says how much that would change if a part moved as far as it ranges; SmoothGrad is \
         the mean of gradients under noise. Integrated gradients share out the difference to {baseline}: their sum is that \
         difference. Grad-CAM shows where the last convolution found what speaks for the action; occlusion, what is lost when a \
         part is as in {baseline}.",
        target_words(subject)
    ));
}

/// A sheet of some steps and a film of an episode, if an observation is an image.
pub(super) fn film(
    setup: &Setup,
    subject: &Subject,
    scene: &Scene,
    steps: &[Step],
    frames: &[Frame],
    options: &PictureOptions,
    page: &mut Page,
) -> Result<(), RunError> {
    if scene.view.grid.is_none() || steps.is_empty() {
        return Ok(());
    }
    page.heading(3, "Over frames");
    let is_drawn = setup.registry.get(&subject.env.id)?.frames_are_observations();
    let frame = |index: usize| frames.get(index).filter(|_| is_drawn);
    let mut cells = Vec::new();
    let chosen = spaced(steps.len(), SHEET);
    let mut columns = 0;
    for &index in &chosen {
        let step = &steps[index];
        let text = format!("step {}: {}", step.step, subject.action_words(&step.opinion.action));
        let row = maps(subject, scene, step, frame(index), text, &Method::ALL)?;
        columns = row.len();
        cells.extend(row);
    }
    let words = "Orange speaks for what it did, blue against it, yellow is a size; full colour is the largest of each map.";
    page.paragraph(words);
    page.frame("heat", "Attributions over frames", &beside(&cells, columns, SHEET_SIDE))?;
    let methods = [Method::Gradient, Method::IntegratedGradients, Method::GradCam];
    let film = steps.iter().take(options.film).enumerate().map(|(index, step)| -> Result<Frame, RunError> {
        let text = format!("{}: {}", step.step, subject.action_words(&step.opinion.action));
        let row = maps(subject, scene, step, frame(index), text, &methods)?;
        Ok(beside(&row, row.len(), FILM_SIDE))
    });
    let film = film.collect::<Result<Vec<_>, _>>()?;
    if film.is_empty() { Ok(()) } else { page.film("heat", "Attributions over an episode", &film, FPS) }
}

/// What was seen at a step, and the maps of the methods that there are.
fn maps(
    subject: &Subject,
    scene: &Scene,
    step: &Step,
    frame: Option<&Frame>,
    text: String,
    methods: &[Method],
) -> Result<Vec<(String, Frame)>, RunError> {
    let Some(grid) = scene.view.grid else { return Ok(Vec::new()) };
    let below = frame.cloned().unwrap_or_else(|| drawn(grid, &step.observation));
    let point = scene.point(subject, step, 0)?;
    let mut row = vec![(text, below.clone())];
    for &method in methods {
        let found = attribute(method, &point, &scene.reference, &scene.view)?;
        let Some(cells) = found.and_then(|found| found.of_cells) else { continue };
        row.push((method.name().to_owned(), overlay(&below, grid, &cells, method.is_signed())));
    }
    Ok(row)
}

/// How much each part speaks, over steps.
pub(super) fn bars(
    subject: &Subject,
    methods: &[MethodReport],
    completeness: &Completeness,
    page: &mut Page,
) -> Result<(), RunError> {
    page.heading(3, "By part");
    let groups = &subject.features.groups;
    for number in 0..numbers(subject) {
        let own: Vec<&MethodReport> = methods.iter().filter(|report| report.number == number).collect();
        let Some(first) = own.iter().find(|report| report.method == Method::IntegratedGradients) else {
            continue;
        };
        let of_what = match subject.is_continuous() {
            true => subject.actions[0][number].clone(),
            false => target_words(subject).to_owned(),
        };
        // Those that matter most, in their own order.
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by(|&a, &b| first.sizes[b].total_cmp(&first.sizes[a]));
        order.truncate(MOST_PARTS);
        if let (Some(&most), 0) = (order.first(), number) {
            page.finding(format!(
                "By integrated gradients {} speaks most: {} of {of_what} in the mean.",
                groups[most].name,
                significant(first.sizes[most], 3)
            ));
        }
        order.sort_unstable();
        let cell = |report: &&MethodReport, group: usize| {
            let sizes = [report.sizes[group], report.half_widths[group]];
            let size = format!("{} ± {}", significant(sizes[0], 3), significant(sizes[1], 2));
            match report.method.is_signed() {
                true => format!("{size}, {}", significant(report.means[group], 3)),
                false => size,
            }
        };
        let rows: Vec<Vec<String>> = order
            .iter()
            .map(|&group| {
                let name = std::iter::once(groups[group].name.clone());
                name.chain(own.iter().map(|report| cell(report, group))).collect()
            })
            .collect();
        let names = own.iter().map(|report| report.method.name());
        let header: Vec<&str> = std::iter::once("part").chain(names).collect();
        page.paragraph(&format!("Mean sizes of attributions of {of_what}; after a comma with their signs."));
        page.paragraph(&table(&header, &rows));
        for report in own {
            let bars: Vec<Bar> = order
                .iter()
                .map(|&group| Bar {
                    label: groups[group].name.clone(),
                    value: report.sizes[group],
                    half_width: report.half_widths[group],
                })
                .collect();
            let (name, title) = (report.method.name(), format!("{}: {of_what}", report.method.name()));
            let file = format!("{}_{number}", name.replace(' ', "_").to_lowercase());
            page.picture(&file, &title, &plot::bars(&title, "mean size, with its 95 % interval", &bars)?)?;
            if !report.ages.is_empty() {
                let shares = report
                    .ages
                    .iter()
                    .enumerate()
                    .map(|(age, share)| format!("{} % {age} steps ago", significant(100.0 * share, 2)));
                page.paragraph(&format!("Of {name}: {}.", shares.collect::<Vec<_>>().join(", ")));
            }
        }
    }
    page.finding(format!(
        "Integrated gradients sum to the output's difference within 1 % at {} of {} steps (the largest miss is {} %), with {} gradients a step in the mean, {} at most.",
        completeness.complete,
        completeness.steps,
        significant(100.0 * completeness.worst, 2),
        significant(completeness.gradients, 3),
        completeness.most_gradients
    ));
    Ok(())
}

/// One decision in detail, and integrated gradients of the parts over an episode.
pub(super) fn over_time(
    subject: &Subject,
    scene: &Scene,
    steps: &[Step],
    page: &mut Page,
) -> Result<(), RunError> {
    let groups = &subject.features.groups;
    if groups.len() > MOST_PARTS || steps.is_empty() {
        return Ok(());
    }
    page.heading(3, "Over an episode");
    let chosen = spaced(steps.len(), MOST_COLUMNS);
    let method = Method::IntegratedGradients;
    let mut values = vec![Vec::new(); groups.len()];
    for &index in &chosen {
        let point = scene.point(subject, &steps[index], 0)?;
        let found = attribute(method, &point, &scene.reference, &scene.view)?;
        let Some(of_values) = found.and_then(|found| found.of_values) else { return Ok(()) };
        values.iter_mut().zip(scene.view.of_groups(&of_values)).for_each(|(row, value)| row.push(value));
    }
    let critical = (0..chosen.len()).max_by(|&a, &b| {
        let of = |place: usize| {
            let step = &steps[chosen[place]];
            spread(subject, &step.opinion.logits, &step.mask)
        };
        of(a).total_cmp(&of(b))
    });
    if let Some(place) = critical {
        let step = &steps[chosen[place]];
        let label = |group: usize| match groups[group].values.as_slice() {
            &[value] => valued(&subject.features.all[value], step.observation[value]),
            _ => groups[group].name.clone(),
        };
        let bars: Vec<Bar> = (0..groups.len())
            .map(|group| Bar { label: label(group), value: values[group][place], half_width: 0.0 })
            .collect();
        let title = format!("Step {}: {}", step.step, subject.action_words(&step.opinion.action));
        let picture = plot::bars(&title, "integrated gradients: for and against it", &bars)?;
        page.paragraph("The most critical step of an episode:");
        page.picture("decision", &title, &picture)?;
    }
    let told = Matrix {
        title: "Integrated gradients over an episode".to_owned(),
        x_label: "step of the episode".to_owned(),
        rows: groups.iter().map(|group| group.name.clone()).collect(),
        columns: chosen.iter().map(|&index| steps[index].step.to_string()).collect(),
        values,
        shades: Shades::Signed,
        frame: None,
    };
    page.picture("attributions", "Integrated gradients over an episode", &plot::matrix(&told)?)
}

/// A value with its name and unit.
fn valued(feature: &Feature, value: f32) -> String {
    format!("{} = {} {}", feature.name, significant(f64::from(value), 3), feature.unit).trim_end().to_owned()
}

/// Whether explanations depend on what was learned.
pub(super) fn sanity(layers: &[String], found: &[Sanity], page: &mut Page) -> Result<(), RunError> {
    if found.is_empty() {
        return Ok(());
    }
    page.heading(3, "Do they depend on what was learned?");
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|sanity| {
            let numbers = sanity.correlations.iter().map(|correlation| format!("{correlation:.2}"));
            std::iter::once(sanity.method.name().to_owned()).chain(numbers).collect()
        })
        .collect();
    let header: Vec<&str> =
        std::iter::once("weights anew up to").chain(layers.iter().map(String::as_str)).collect();
    page.paragraph(
        "Mean rank correlations with explanations of the same steps when weights are drawn anew, from the last layer to the first. \
         Explanations of a network that has learned nothing must not look like those of the policy.",
    );
    page.paragraph(&table(&header, &rows));
    let line = |sanity: &Sanity| Line {
        label: sanity.method.name().to_owned(),
        num_runs: 1,
        points: std::iter::once(1.0)
            .chain(sanity.correlations.iter().copied())
            .enumerate()
            .map(|(layers, correlation)| (layers as f64, correlation))
            .collect(),
        band: Vec::new(),
        joined: true,
    };
    let lines: Vec<Line> = found.iter().map(line).collect();
    let options = PlotOptions {
        title: "Explanations of networks that forget layer by layer".to_owned(),
        x_label: "last layers whose weights are drawn anew".to_owned(),
        y_label: "rank correlation".to_owned(),
        threshold: Some((0.0, "nothing in common".to_owned())),
        ..PlotOptions::default()
    };
    page.picture("sanity", "Rank correlations with drawn weights", &plot::draw_lines(&lines, &options)?)?;
    let last = |sanity: &Sanity| {
        let last = sanity.correlations.last().copied().unwrap_or(f64::NAN);
        format!("{} {last:.2}", sanity.method.name())
    };
    page.finding(format!(
        "With all weights drawn anew explanations correlate with the real ones by: {}.",
        found.iter().map(last).collect::<Vec<_>>().join(", ")
    ));
    Ok(())
}
