//! By what its world model imagines: an episode as it happened, as the model tells it again, and as it goes on without looking.

use std::path::Path;

use agon_agents::world_model::{Dream, Lived};
use agon_envs::render::{Color, contact_sheet};
use agon_envs::spaces::Dtype;
use agon_envs::{Frame, Space};
use serde::Serialize;

use super::features::observation_names;
use crate::RunError;
use crate::page::Page;
use crate::plot::{self, Line, PlotOptions};
use crate::policy::{self, Which};
use crate::record::{Player, Recording};
use crate::setup::Setup;
use crate::text::{significant, table};

/// Numbers of an observation that have a picture of their own.
const PICTURES: usize = 8;
/// Steps of a contact sheet, and frames of a film a second.
const SHEET: usize = 24;
const FPS: u16 = 6;
/// Pixels of the longer side of an image that is told.
const SIDE: u32 = 120;
/// Steps ahead whose errors are listed.
const AHEAD: [usize; 6] = [1, 2, 5, 10, 20, 50];

/// How dreams are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DreamOptions {
    /// Observations that are looked at before the model goes on by itself.
    pub context: usize,
    /// Steps of the episode at most.
    pub steps: usize,
    /// Seed of the environment.
    pub seed: u64,
}

impl Default for DreamOptions {
    fn default() -> Self {
        Self { context: 5, steps: 100, seed: 0 }
    }
}

/// What is told of an episode as numbers.
#[derive(Clone, Debug, Serialize)]
struct Told<'a> {
    context: usize,
    steps: usize,
    rewards: &'a [f64],
    imagined_rewards: &'a [f32],
    continues: &'a [f32],
    /// Mean squared errors over the observation's numbers at each moment: told again, and imagined.
    reconstruction_error: Vec<f64>,
    imagination_error: Vec<f64>,
}

/// Plays an episode and lets the world model go on after some steps of it.
///
/// # Errors
/// If the policy has no world model, the environment fails, or a file cannot be written.
pub(super) fn explain(
    setup: &Setup,
    path: &Path,
    which: Which,
    options: &DreamOptions,
    page: &mut Page,
) -> Result<(), RunError> {
    let trained = policy::load_which(setup, path, which)?;
    let card = trained.card();
    let acting = trained.acting().policy.clone();
    let model = acting.world_model().ok_or_else(|| {
        RunError::Policy(format!("the policy is of {}, which has no world model", card.algorithm))
    })?;
    let mut player = Player::of_policy(setup, &trained, false, Some(options.seed))?;
    let recording = player.recording(options.steps)?;
    let moments = recording.steps() + 1;
    let context = options.context.clamp(1, moments);
    let lived = Lived {
        observations: &recording.observations,
        actions: &recording.actions,
        steps: recording.steps(),
    };
    let dream = model.dream(&lived, context)?;
    let seen = recording.values();
    let width = seen.len() / moments;

    page.heading(2, "What its world model imagines");
    page.paragraph(&format!(
        "An episode of {} steps. The model looks at the first {context} observations; after that it goes on by itself, under the \
         actions that were taken, with the most probable latent variables.",
        recording.steps()
    ));
    let spec = setup.registry.get(&card.env.id)?;
    // What wrappers make of an observation, its page does not name.
    let names = match card.env.wrappers.as_slice() {
        [] => observation_names(&spec, &card.spaces.observation),
        _ => Vec::new(),
    };
    match image_of(&card.spaces.observation) {
        Some(shape) => images(page, shape, &seen, &dream, context)?,
        None => curves(page, &names, &seen, &dream, context)?,
    }
    rewards(page, &recording, &dream, context)?;

    let error = |told: &[f32]| -> Vec<f64> {
        let rows = seen.chunks_exact(width).zip(told.chunks_exact(width));
        let squares = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        rows.map(|(seen, told)| seen.iter().zip(told).map(squares).sum::<f64>() / width as f64).collect()
    };
    let (told_again, imagined) = (error(&dream.reconstructed), error(&dream.imagined));
    let spread = spread(&seen, width);
    let rows: Vec<Vec<String>> = AHEAD
        .iter()
        .filter_map(|ahead| Some((ahead, imagined.get(context - 1 + ahead)?)))
        .map(|(ahead, error)| vec![ahead.to_string(), significant(*error, 3), significant(error / spread, 3)])
        .collect();
    if !rows.is_empty() {
        page.paragraph(&table(
            &["steps ahead", "mean squared error", "as a share of how much observations differ"],
            &rows,
        ));
    }
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    page.finding(format!(
        "Told again, observations of this episode have an error of {} of their variance; imagined from step {context} on, {}.",
        significant(mean(&told_again) / spread, 2),
        significant(mean(&imagined[context.min(imagined.len() - 1)..]) / spread, 2)
    ));
    page.numbers(
        "dreams",
        &Told {
            context,
            steps: recording.steps(),
            rewards: &recording.rewards,
            imagined_rewards: &dream.rewards,
            continues: &dream.continues,
            reconstruction_error: told_again,
            imagination_error: imagined,
        },
    )
}

/// The mean over the observation's numbers of how much each varies over an episode.
fn spread(seen: &[f32], width: usize) -> f64 {
    let rows = seen.len() / width;
    let variance = |index: usize| {
        let values = || seen.iter().skip(index).step_by(width).map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / rows as f64;
        values().map(|value| (value - mean).powi(2)).sum::<f64>() / rows as f64
    };
    ((0..width).map(variance).sum::<f64>() / width as f64).max(f64::MIN_POSITIVE)
}

/// `[height, width, channels]` of observations that are one image of bytes, channels last.
fn image_of(space: &Space) -> Option<[usize; 3]> {
    match space {
        Space::Box(bounds) if bounds.dtype() == Dtype::U8 => match *bounds.shape() {
            [height, width, channels] if channels < height.max(width) => Some([height, width, channels]),
            _ => None,
        },
        _ => None,
    }
}

/// Curves of some numbers: as they were, told again, imagined.
fn curves(
    page: &mut Page,
    names: &[String],
    seen: &[f32],
    dream: &Dream,
    context: usize,
) -> Result<(), RunError> {
    let width = seen.len() / dream.rewards.len();
    for index in 0..width.min(PICTURES) {
        let name = names.get(index).cloned().unwrap_or_else(|| format!("observation[{index}]"));
        let line = |label: &str, values: &[f32], from: usize| {
            let points = values.iter().skip(index).step_by(width).enumerate().skip(from);
            of_moments(label, points.map(|(moment, &value)| (moment, f64::from(value))))
        };
        let lines = [
            line("as it was", seen, 0),
            line("told again", &dream.reconstructed, 0),
            line("imagined", &dream.imagined, context - 1),
        ];
        page.picture(&format!("dream_{index}"), &name, &plot::draw_lines(&lines, &titled(&name, context))?)?;
    }
    if width > PICTURES {
        page.paragraph(&format!("The first {PICTURES} of {width} numbers are shown."));
    }
    Ok(())
}

/// What each step paid, and what was imagined to be paid.
fn rewards(page: &mut Page, recording: &Recording, dream: &Dream, context: usize) -> Result<(), RunError> {
    let paid = recording.rewards.iter().enumerate().map(|(step, &reward)| (step + 1, reward));
    let imagined =
        dream.rewards.iter().enumerate().skip(1).map(|(moment, &reward)| (moment, f64::from(reward)));
    let continues = dream.continues.iter().enumerate().map(|(moment, &share)| (moment, f64::from(share)));
    let lines = [of_moments("as it was", paid), of_moments("imagined", imagined)];
    page.picture("dream_rewards", "rewards", &plot::draw_lines(&lines, &titled("reward", context))?)?;
    let lines = [of_moments("imagined", continues)];
    let title = titled("probability that the episode goes on", context);
    page.picture("dream_continues", "whether it goes on", &plot::draw_lines(&lines, &title)?)
}

fn titled(title: &str, context: usize) -> PlotOptions {
    PlotOptions {
        title: title.to_owned(),
        x_label: "step of the episode".to_owned(),
        y_label: String::new(),
        size: (760, 300),
        notes: vec![format!("nothing is looked at from step {context} on")],
        ..PlotOptions::default()
    }
}

fn of_moments(label: &str, points: impl Iterator<Item = (usize, f64)>) -> Line {
    let points = points.map(|(moment, value)| (moment as f64, value)).collect();
    Line { label: label.to_owned(), num_runs: 1, points, band: Vec::new(), joined: true }
}

/// Images below each other: as they were, told again, imagined.
fn images(
    page: &mut Page,
    [height, width, channels]: [usize; 3],
    seen: &[f32],
    dream: &Dream,
    context: usize,
) -> Result<(), RunError> {
    let len = height * width * channels;
    let picture = |values: &[f32], moment: usize| {
        let frame = Frame {
            width: width as u32,
            height: height as u32,
            rgb: colored(&values[moment * len..(moment + 1) * len], channels),
        };
        frame.enlarged(SIDE / height.max(width).max(1) as u32)
    };
    let frames: Vec<(String, Frame)> = (0..dream.rewards.len())
        .map(|moment| {
            let parts = [seen, &dream.reconstructed, &dream.imagined].map(|values| picture(values, moment));
            let text =
                if moment < context { format!("step {moment}") } else { format!("step {moment}, blind") };
            (text, below(&parts))
        })
        .collect();
    page.paragraph("From above: as it was, told again, imagined.");
    // Of a long episode not the beginning, but steps from all of it.
    let shown: Vec<(String, Frame)> = frames.iter().step_by(frames.len().div_ceil(SHEET)).cloned().collect();
    page.frame("dream", "an episode and a dream of it", &contact_sheet(&shown, 8))?;
    let film: Vec<Frame> = frames.into_iter().map(|(_, frame)| frame).collect();
    page.film("dream_film", "the same as a film", &film, FPS)
}

/// Frames below each other.
fn below(frames: &[Frame]) -> Frame {
    const GAP: u32 = 4;
    let width = frames.iter().map(|frame| frame.width).max().unwrap_or(1);
    let height = frames.iter().map(|frame| frame.height + GAP).sum::<u32>().max(1);
    let mut all = Frame::filled(width, height, [255; 3]);
    let mut y = 0;
    for frame in frames {
        all.paste(frame, 0, y);
        y += frame.height + GAP;
    }
    all
}

/// Colours of the channels of an image whose channels are not red, green and blue: Okabe and Ito's.
const CHANNELS: [Color; 7] = [
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x00, 0x9e, 0x73],
    [0xf0, 0xe4, 0x42],
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0xcc, 0x79, 0xa7],
];

/// Pixels of an image's values, 0 to 255: as they are, grey, or a colour for each channel.
fn colored(values: &[f32], channels: usize) -> Vec<u8> {
    let byte = |value: f32| value.clamp(0.0, 255.0) as u8;
    let pixel = |cell: &[f32]| -> Color {
        match *cell {
            [grey] => [byte(grey); 3],
            [red, green, blue] => [byte(red), byte(green), byte(blue)],
            _ => {
                let mut sum = [0.0; 3];
                for (channel, value) in cell.iter().enumerate() {
                    let color = CHANNELS[channel % CHANNELS.len()];
                    sum.iter_mut().zip(color).for_each(|(sum, part)| *sum += value / 255.0 * f32::from(part));
                }
                sum.map(byte)
            }
        }
    };
    values.chunks_exact(channels).flat_map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_colours_and_few_of_them_are_colours() {
        assert_eq!(colored(&[10.0, 300.0], 1), [10, 10, 10, 255, 255, 255]);
        assert_eq!(colored(&[1.0, 2.0, 3.0], 3), [1, 2, 3]);
        assert_eq!(colored(&[0.0, 255.0, 0.0, 0.0], 4), CHANNELS[1]);
    }

    #[test]
    fn frames_lie_below_each_other() {
        let all = below(&[Frame::filled(2, 1, [0; 3]), Frame::filled(3, 2, [9; 3])]);
        assert_eq!((all.width, all.height), (3, 1 + 2 + 8));
        assert_eq!(all.rgb[5 * 3 * 3], 9);
    }

    #[test]
    fn the_spread_is_a_mean_of_variances() {
        assert_eq!(spread(&[0.0, 1.0, 2.0, 1.0], 2), 0.5);
    }
}
