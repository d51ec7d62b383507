//! A transformation that is fitted to what is observed and done, at work on a row.

use agon_envs::batch::ObsElement;
use agon_envs::spaces::{Dtype, ImageLayout};
use agon_envs::{ActionSpec, Pcg64};
use rand_distr::{Distribution as _, StandardNormal};

use super::action_maps::ActionMap;
use super::symmetry::{self, Element, Given};
use super::transformation::{Edge, Moves, Symmetries, Transformation};
use crate::AgentError;
use crate::search::Look;
use crate::settings::above_zero;

/// What is observed and done.
pub(super) struct Subject<'a> {
    /// None if observations are no images.
    pub(super) layout: Option<ImageLayout>,
    /// Numbers of an observation.
    pub(super) len: usize,
    pub(super) dtype: Dtype,
    pub(super) action: &'a ActionSpec,
}

/// A number of an observation.
pub(super) trait Number: ObsElement {
    /// With noise, in units of a byte's 255 or of the number itself.
    fn plus(self, noise: f32) -> Self;
    fn times(self, factor: f32) -> Self;
}

impl Number for f32 {
    fn plus(self, noise: f32) -> Self {
        self + noise
    }

    fn times(self, factor: f32) -> Self {
        self * factor
    }
}

impl Number for u8 {
    fn plus(self, noise: f32) -> Self {
        // The cast keeps it within 0 and 255.
        (f32::from(self) + 255.0 * noise).round() as Self
    }

    fn times(self, factor: f32) -> Self {
        (f32::from(self) * factor).round() as Self
    }
}

/// A transformation and what it needs to know.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Shift { layout: ImageLayout, pad: usize, edge: Edge },
    Crop { layout: ImageLayout, scale: f64 },
    Cutout { layout: ImageLayout, least: f64, most: f64 },
    Noise { std: f32, indices: Vec<usize> },
    Scale { low: f64, high: f64, indices: Vec<usize> },
    Channels { layout: ImageLayout, channels: Vec<usize> },
    Parts { parts: Vec<Vec<usize>>, actions: Vec<Vec<usize>> },
    Symmetry { layout: ImageLayout, elements: Vec<Element> },
    Negate { indices: Vec<usize>, action: Negated },
}

/// What a negated observation does to the action.
#[derive(Clone, Debug)]
pub(super) enum Negated {
    /// The option that each becomes.
    Options(Vec<usize>),
    /// The dimensions that change their sign.
    Dimensions(Vec<usize>),
}

impl Step {
    /// # Errors
    /// [`AgentError::Setting`] if a number is out of range, or what is observed or done does not suit it.
    pub(super) fn new(transformation: &Transformation, subject: &Subject<'_>) -> Result<Self, AgentError> {
        Ok(match transformation {
            Transformation::Shift { pad, edge } => {
                let layout = subject.image()?;
                let most = layout.height.min(layout.width) - 1;
                if !(1..=most).contains(pad) {
                    return Err(AgentError::setting("pad", format!("between 1 and {most}"), pad));
                }
                Self::Shift { layout, pad: *pad, edge: *edge }
            }
            Transformation::Crop { scale } => {
                share("scale", *scale, 1.0)?;
                Self::Crop { layout: subject.image()?, scale: *scale }
            }
            Transformation::Cutout { least, most } => {
                share("most", *most, 1.0)?;
                share("least", *least, *most)?;
                Self::Cutout { layout: subject.image()?, least: *least, most: *most }
            }
            Transformation::Noise { std, indices } => {
                above_zero(&[("std", *std)])?;
                Self::Noise { std: *std as f32, indices: subject.indices("indices", indices)? }
            }
            Transformation::Scale { low, high, indices } => {
                above_zero(&[("low", *low), ("high", *high)])?;
                if low > high {
                    return Err(AgentError::setting("low", format!("at most high = {high}"), low));
                }
                Self::Scale { low: *low, high: *high, indices: subject.indices("indices", indices)? }
            }
            Transformation::Channels { channels } => {
                let layout = subject.image()?;
                Self::Channels { layout, channels: all_or("channels", channels, layout.channels)? }
            }
            Transformation::Parts { parts, actions } => {
                equal_parts("parts", parts, subject.len)?;
                if !actions.is_empty() {
                    equal_parts("actions", actions, subject.options("actions")?)?;
                    if actions.len() != parts.len() {
                        let expected = format!("none, or {} as `parts`", parts.len());
                        return Err(AgentError::setting("actions", expected, actions.len()));
                    }
                }
                Self::Parts { parts: parts.clone(), actions: actions.clone() }
            }
            Transformation::Symmetry { group, actions, mirrored, flipped, turned } => {
                let given = Given { mirrored, flipped, turned };
                subject.symmetry(*group, *actions, &given)?
            }
            Transformation::Negate { indices, actions } => {
                if subject.dtype == Dtype::U8 {
                    return Err(AgentError::setting("kind", "one for bytes", "negate"));
                }
                let action = subject.negated(actions)?;
                Self::Negate { indices: subject.indices("indices", indices)?, action }
            }
        })
    }

    /// Whether it changes what actions mean.
    pub(super) fn moves_actions(&self) -> bool {
        match self {
            Self::Parts { actions, .. } => !actions.is_empty(),
            Self::Symmetry { elements, .. } => elements.iter().any(|element| {
                element.options.iter().enumerate().any(|(option, &becomes)| option != becomes)
            }),
            Self::Negate { .. } => true,
            _ => false,
        }
    }

    /// What it makes of a look, by each of its elements; none if it is no group of symmetries.
    pub(super) fn looks(&self, look: &Look) -> Option<Vec<Look>> {
        let Self::Symmetry { layout, elements } = self else { return None };
        let looks = elements.iter().map(|element| {
            let mut look = look.clone();
            let mut row: Vec<f32> = (0..look.sources.len()).map(|index| index as f32).collect();
            read_pixels(layout, &mut row, &mut Vec::new(), |y, x| {
                let source = element.sources[y * layout.width + x];
                Some((source / layout.width, source % layout.width))
            });
            look.sources = row.iter().map(|&source| look.sources[source as usize]).collect();
            if !element.options.is_empty() {
                look.actions.iter_mut().for_each(|action| *action = element.options[*action]);
            }
            look
        });
        Some(looks.collect())
    }

    /// Changes a row, and how its action is read.
    pub(super) fn apply<T: Number>(
        &self,
        row: &mut [T],
        scratch: &mut Vec<T>,
        action: Option<&mut ActionMap<'_>>,
        rng: &mut Pcg64,
    ) {
        match self {
            Self::Shift { layout, pad, edge } => {
                let pad = *pad as i64;
                let [top, left] = [(); 2].map(|()| rng.integers(-pad, pad + 1));
                match edge {
                    Edge::Repeat => layout.shift(row, top, left),
                    Edge::Zero => read_pixels(layout, row, scratch, |y, x| {
                        let (y, x) = (y as i64 + top, x as i64 + left);
                        let inside =
                            (0..layout.height as i64).contains(&y) && (0..layout.width as i64).contains(&x);
                        inside.then_some((y as usize, x as usize))
                    }),
                }
            }
            Self::Crop { layout, scale } => {
                let share = rng.uniform(*scale, 1.0);
                let [(height, top), (width, left)] =
                    [layout.height, layout.width].map(|side| window(side, share, rng));
                read_pixels(layout, row, scratch, |y, x| {
                    Some((top + y * height / layout.height, left + x * width / layout.width))
                });
            }
            Self::Cutout { layout, least, most } => {
                let [(height, top), (width, left)] = [layout.height, layout.width].map(|side| {
                    let share = rng.uniform(*least, *most);
                    window(side, share, rng)
                });
                read_pixels(layout, row, scratch, |y, x| {
                    let inside = (top..top + height).contains(&y) && (left..left + width).contains(&x);
                    (!inside).then_some((y, x))
                });
            }
            Self::Noise { std, indices } => {
                let mut noise = || -> f32 { StandardNormal.sample(&mut *rng) };
                indices.iter().for_each(|&index| row[index] = row[index].plus(std * noise()));
            }
            Self::Scale { low, high, indices } => {
                let factor = rng.uniform(*low, *high) as f32;
                indices.iter().for_each(|&index| row[index] = row[index].times(factor));
            }
            Self::Channels { layout, channels } => {
                let order = rng.permutation(channels.len());
                let mut sources: Vec<usize> = (0..layout.channels).collect();
                channels.iter().zip(order).for_each(|(&channel, from)| sources[channel] = channels[from]);
                copy(row, scratch);
                for (channel, &source) in sources.iter().enumerate().filter(|(to, from)| to != *from) {
                    for pixel in 0..layout.height * layout.width {
                        row[element(layout, pixel, channel)] = scratch[element(layout, pixel, source)];
                    }
                }
            }
            Self::Parts { parts, actions } => {
                let order = rng.permutation(parts.len());
                copy(row, scratch);
                for (part, &from) in parts.iter().zip(&order) {
                    part.iter().zip(&parts[from]).for_each(|(&to, &from)| row[to] = scratch[from]);
                }
                if let (Some(action), false) = (action, actions.is_empty()) {
                    let mut to: Vec<usize> = (0..action.places.len()).collect();
                    for (part, &from) in actions.iter().zip(&order) {
                        part.iter().zip(&actions[from]).for_each(|(&place, &option)| to[option] = place);
                    }
                    action.permute(&to);
                }
            }
            Self::Symmetry { layout, elements } => {
                let element = &elements[rng.bounded(elements.len() as u64 - 1) as usize];
                read_pixels(layout, row, scratch, |y, x| {
                    let source = element.sources[y * layout.width + x];
                    Some((source / layout.width, source % layout.width))
                });
                // Without options it leaves actions as they are.
                let moved = action.filter(|_| !element.options.is_empty());
                moved.into_iter().for_each(|action| action.permute(&element.options));
            }
            Self::Negate { indices, action: change } => {
                if rng.random() < 0.5 {
                    return;
                }
                indices.iter().for_each(|&index| row[index] = row[index].times(-1.0));
                if let Some(action) = action {
                    match change {
                        Negated::Options(options) => action.permute(options),
                        Negated::Dimensions(dimensions) => action.negate(dimensions),
                    }
                }
            }
        }
    }
}

impl Subject<'_> {
    fn image(&self) -> Result<ImageLayout, AgentError> {
        let found = || format!("{} numbers", self.len);
        self.layout
            .ok_or_else(|| AgentError::setting("kind", "one for observations that are no images", found()))
    }

    /// Options of the one choice, or dimensions, of the action.
    fn options(&self, field: &'static str) -> Result<usize, AgentError> {
        match self.action {
            ActionSpec::Discrete { nvec } => match nvec[..] {
                [options] => Ok(options as usize),
                _ => Err(AgentError::setting(field, "none where an action is several choices", "some")),
            },
            ActionSpec::Continuous { low, .. } => Ok(low.len()),
        }
    }

    fn indices(&self, field: &'static str, indices: &[usize]) -> Result<Vec<usize>, AgentError> {
        all_or(field, indices, self.len)
    }

    fn symmetry(&self, group: Symmetries, moves: Moves, given: &Given<'_>) -> Result<Step, AgentError> {
        let layout = self.image()?;
        let square = matches!(group, Symmetries::Turns | Symmetries::Square);
        let ImageLayout { height, width, .. } = layout;
        if square && height != width {
            return Err(AgentError::setting(
                "group",
                "one of an image that is not square",
                format!("{group:?}"),
            ));
        }
        let moved = [("mirrored", given.mirrored), ("flipped", given.flipped), ("turned", given.turned)];
        let needs_options = moves != Moves::Same || moved.iter().any(|(_, given)| !given.is_empty());
        let options = if needs_options { self.options("actions")? } else { 0 };
        if needs_options && matches!(self.action, ActionSpec::Continuous { .. }) {
            return Err(AgentError::setting(
                "actions",
                "\"same\" where actions are numbers",
                format!("{moves:?}"),
            ));
        }
        for (field, given) in moved {
            if !given.is_empty() {
                permutation(field, given, options)?;
            }
        }
        match moves {
            Moves::Cells if options < height * width => {
                let expected = format!("of at least {height} x {width} options for \"cells\"");
                return Err(AgentError::setting("actions", expected, options));
            }
            Moves::Columns if square || options != width => {
                let expected = format!("of {width} options for \"columns\", which are not turned");
                return Err(AgentError::setting("actions", expected, options));
            }
            _ => {}
        }
        Ok(Step::Symmetry { layout, elements: symmetry::elements(group, &layout, moves, options, given) })
    }

    fn negated(&self, actions: &[usize]) -> Result<Negated, AgentError> {
        let options = self.options("actions")?;
        match self.action {
            ActionSpec::Discrete { .. } => {
                permutation("actions", actions, options)?;
                Ok(Negated::Options(actions.to_vec()))
            }
            ActionSpec::Continuous { low, high } => {
                let dimensions = all_or("actions", actions, options)?;
                if let Some(&odd) = dimensions.iter().find(|&&at| low[at] != -high[at]) {
                    let found = format!("{odd}, between {} and {}", low[odd], high[odd]);
                    return Err(AgentError::setting(
                        "actions",
                        "dimensions that lie evenly around zero",
                        found,
                    ));
                }
                Ok(Negated::Dimensions(dimensions))
            }
        }
    }
}

/// A share above zero and at most `most`.
fn share(field: &'static str, value: f64, most: f64) -> Result<(), AgentError> {
    if value > 0.0 && value <= most {
        return Ok(());
    }
    Err(AgentError::setting(field, format!("above 0 and at most {most}"), value))
}

/// Different indices below `len`; all of them if none are given.
fn all_or(field: &'static str, indices: &[usize], len: usize) -> Result<Vec<usize>, AgentError> {
    if indices.is_empty() {
        return Ok((0..len).collect());
    }
    let distinct: std::collections::BTreeSet<_> = indices.iter().collect();
    if distinct.len() != indices.len() || indices.iter().any(|&index| index >= len) {
        return Err(AgentError::setting(
            field,
            format!("different numbers below {len}"),
            format!("{indices:?}"),
        ));
    }
    Ok(indices.to_vec())
}

fn permutation(field: &'static str, to: &[usize], len: usize) -> Result<(), AgentError> {
    if to.len() != len || all_or(field, to, len).is_err() {
        let expected = format!("each number below {len} once");
        return Err(AgentError::setting(field, expected, format!("{to:?}")));
    }
    Ok(())
}

/// At least two parts of as many different indices below `len`.
fn equal_parts(field: &'static str, parts: &[Vec<usize>], len: usize) -> Result<(), AgentError> {
    let size = parts.first().map_or(0, Vec::len);
    if parts.len() < 2 || size == 0 || parts.iter().any(|part| part.len() != size) {
        let expected = "at least two lists of as many numbers";
        return Err(AgentError::setting(field, expected, format!("{parts:?}")));
    }
    all_or(field, &parts.concat(), len).map(|_| ())
}

/// A window of a share of a side, at a random place: its length, and where it begins.
fn window(side: usize, share: f64, rng: &mut Pcg64) -> (usize, usize) {
    let len = ((side as f64 * share).round() as usize).clamp(1, side);
    (len, rng.bounded((side - len) as u64) as usize)
}

fn element(layout: &ImageLayout, pixel: usize, channel: usize) -> usize {
    if layout.channels_last {
        pixel * layout.channels + channel
    } else {
        channel * layout.height * layout.width + pixel
    }
}

fn copy<T: Copy>(row: &[T], scratch: &mut Vec<T>) {
    scratch.clear();
    scratch.extend_from_slice(row);
}

/// Has every pixel read from another place, or be zero.
fn read_pixels<T: Number>(
    layout: &ImageLayout,
    row: &mut [T],
    scratch: &mut Vec<T>,
    source: impl Fn(usize, usize) -> Option<(usize, usize)>,
) {
    copy(row, scratch);
    for y in 0..layout.height {
        for x in 0..layout.width {
            let (pixel, from) = (y * layout.width + x, source(y, x));
            for channel in 0..layout.channels {
                let read = |(y, x): (usize, usize)| scratch[element(layout, y * layout.width + x, channel)];
                row[element(layout, pixel, channel)] = from.map_or(T::default(), read);
            }
        }
    }
}
