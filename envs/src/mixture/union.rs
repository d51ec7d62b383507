//! One observation space and one action space for several tasks, and what each task's rows look like in them.

use std::collections::BTreeMap;

use super::config::{ActionUnion, MixtureConfig, ObservationUnion, TaskConfig, refused};
use crate::spaces::{BoxSpace, Dtype};
use crate::vector::VectorInfo;
use crate::{ActionBatch, ActionSpec, EnvError, ObsBuffer, Space};

/// The part of a dict that says which task is played.
pub(super) const TASK: &str = "task";

/// The spaces of a mixture.
pub(super) struct Union {
    pub(super) observation_space: Space,
    pub(super) action_space: Space,
    pub(super) mask_len: usize,
    /// Of each task.
    pub(super) views: Vec<View>,
}

/// What rows of a task look like in the mixture's spaces.
pub(super) struct View {
    show: Show,
    act: Act,
}

/// An observation in the united space.
enum Show {
    /// As it is.
    Whole,
    /// At the front, zeros after it, and a one at `task`.
    Vector { task: Option<usize> },
    /// In the upper left corner of the first planes; the plane `task` is full.
    Image { from: [usize; 3], to: [usize; 3], task: Option<usize> },
    /// From `at` on; the number of the task at `task_at`.
    Part { at: usize, task_at: usize, task: f32 },
}

/// An action of the united space.
enum Act {
    /// As it is.
    Whole,
    /// The choices `first..first + n` are the task's own.
    Choices { first: usize, n: usize },
    /// The first numbers, from −1..1 to these bounds.
    Numbers { low: Vec<f32>, high: Vec<f32>, width: usize },
}

impl Union {
    /// Of tasks whose environments are as `infos` say.
    pub(super) fn of(
        tasks: &[TaskConfig],
        infos: &[&VectorInfo],
        config: &MixtureConfig,
    ) -> Result<Self, EnvError> {
        let (observation_space, shows) = observations(tasks, infos, config)?;
        let (action_space, acts) = actions(tasks, infos, config)?;
        let whole = ActionSpec::of(&action_space)?.mask_len();
        let is_masked = infos.iter().any(|info| info.mask_len > 0)
            || acts.iter().any(|act| matches!(act, Act::Choices { n, .. } if *n < whole));
        let views = shows.into_iter().zip(acts).map(|(show, act)| View { show, act }).collect();
        Ok(Self { observation_space, action_space, mask_len: if is_masked { whole } else { 0 }, views })
    }
}

/// What is told of two spaces that do not go together.
fn unlike(what: &str, tasks: &[TaskConfig], spaces: &[&Space], way_out: &str) -> EnvError {
    let other = spaces.iter().position(|space| *space != spaces[0]).unwrap_or(0);
    let (a, b) = (tasks[0].name(), tasks[other].name());
    let (of_a, of_b) = (spaces[0], spaces[other]);
    refused(&format!("{what} of {a} ({of_a}) and {b} ({of_b}) {way_out}"))
}

fn observations(
    tasks: &[TaskConfig],
    infos: &[&VectorInfo],
    config: &MixtureConfig,
) -> Result<(Space, Vec<Show>), EnvError> {
    let spaces: Vec<&Space> = infos.iter().map(|info| &info.observation_space).collect();
    if config.observations == ObservationUnion::Separate {
        return parts(tasks, &spaces);
    }
    let is_shown = !config.hide_task && tasks.len() > 1;
    if !is_shown && spaces.iter().all(|space| *space == spaces[0]) {
        return Ok((spaces[0].clone(), spaces.iter().map(|_| Show::Whole).collect()));
    }
    let extra = if is_shown { tasks.len() } else { 0 };
    let boxes: Option<Vec<&BoxSpace>> =
        spaces.iter().map(|space| if let Space::Box(bounds) = space { Some(bounds) } else { None }).collect();
    let of_dtype = |dtype| boxes.as_ref().filter(|boxes| boxes.iter().all(|bounds| bounds.dtype() == dtype));
    if let Some(boxes) = of_dtype(Dtype::F32) {
        return vectors(boxes, extra);
    }
    let images: Option<Vec<[usize; 3]>> = of_dtype(Dtype::U8)
        .and_then(|boxes| boxes.iter().map(|bounds| <[usize; 3]>::try_from(bounds.shape()).ok()).collect());
    if let Some(shapes) = images {
        let largest = |axis: usize| shapes.iter().map(|shape| shape[axis]).max().unwrap_or(0);
        let planes = largest(2);
        let to = [largest(0), largest(1), planes + extra];
        let show = |(task, from)| Show::Image { from, to, task: is_shown.then_some(planes + task) };
        return Ok((Space::image_u8(&to)?, shapes.into_iter().enumerate().map(show).collect()));
    }
    let way_out = "cannot be padded, as vectors of numbers or images of bytes can: give each task an input of its own \
                   with env.mixture.observations = \"separate\"";
    Err(unlike("observations", tasks, &spaces, way_out))
}

/// Vectors of numbers, with zeros at their ends and a unit vector of the task.
fn vectors(boxes: &[&BoxSpace], extra: usize) -> Result<(Space, Vec<Show>), EnvError> {
    let len = boxes.iter().map(|bounds| bounds.len()).max().unwrap_or(0);
    // Where a vector has no value there is a zero.
    let bound = |side: fn(&BoxSpace) -> &[f32], i: usize, of: fn(f32, f32) -> f32| {
        boxes.iter().map(|bounds| side(bounds).get(i).copied().unwrap_or(0.0)).reduce(of).unwrap_or(0.0)
    };
    let mut low: Vec<f32> = (0..len).map(|i| bound(BoxSpace::low, i, f32::min)).collect();
    let mut high: Vec<f32> = (0..len).map(|i| bound(BoxSpace::high, i, f32::max)).collect();
    low.resize(len + extra, 0.0);
    high.resize(len + extra, 1.0);
    let show = |task: usize| Show::Vector { task: (extra > 0).then_some(len + task) };
    Ok((Space::box_f32(&low, &high)?, (0..boxes.len()).map(show).collect()))
}

/// A dict with a part for each task and one that says which it is.
fn parts(tasks: &[TaskConfig], spaces: &[&Space]) -> Result<(Space, Vec<Show>), EnvError> {
    let named = tasks.iter().zip(spaces).map(|(task, space)| (task.name().to_owned(), (*space).clone()));
    let entries: BTreeMap<String, Space> =
        named.chain([(TASK.to_owned(), Space::discrete(tasks.len())?)]).collect();
    let at = |name: &str| -> usize {
        entries.iter().take_while(|(other, _)| *other != name).map(|(_, space)| space.packed_len()).sum()
    };
    let task_at = at(TASK);
    let show = |(i, task): (usize, &TaskConfig)| Show::Part { at: at(task.name()), task_at, task: i as f32 };
    let shows = tasks.iter().enumerate().map(show).collect();
    Ok((Space::dict(entries)?, shows))
}

fn actions(
    tasks: &[TaskConfig],
    infos: &[&VectorInfo],
    config: &MixtureConfig,
) -> Result<(Space, Vec<Act>), EnvError> {
    let spaces: Vec<&Space> = infos.iter().map(|info| &info.action_space).collect();
    let is_separate = config.actions == ActionUnion::Separate;
    if !is_separate && spaces.iter().all(|space| *space == spaces[0]) {
        return Ok((spaces[0].clone(), spaces.iter().map(|_| Act::Whole).collect()));
    }
    let choices: Option<Vec<usize>> = spaces
        .iter()
        .map(|space| if let Space::Discrete { n, .. } = space { Some(*n) } else { None })
        .collect();
    if let Some(choices) = choices {
        let mut first = 0;
        let mut acts = Vec::new();
        for &n in &choices {
            acts.push(Act::Choices { first, n });
            first += if is_separate { n } else { 0 };
        }
        let all = if is_separate { first } else { choices.iter().copied().max().unwrap_or(1) };
        return Ok((Space::discrete(all)?, acts));
    }
    let boxes: Option<Vec<&BoxSpace>> = spaces
        .iter()
        .map(|space| match space {
            Space::Box(bounds) if bounds.dtype() == Dtype::F32 && bounds.is_bounded() => Some(bounds),
            _ => None,
        })
        .collect();
    match boxes {
        Some(boxes) if !is_separate => {
            let width = boxes.iter().map(|bounds| bounds.len()).max().unwrap_or(0);
            let act = |bounds: &&BoxSpace| Act::Numbers {
                low: bounds.low().to_vec(),
                high: bounds.high().to_vec(),
                width,
            };
            Ok((Space::box_uniform(-1.0, 1.0, &[width])?, boxes.iter().map(act).collect()))
        }
        _ => {
            let way_out = if is_separate {
                "cannot be separate: single choices can (Discrete)"
            } else {
                "do not go together: expected the same space, single choices (Discrete), or numbers within bounds"
            };
            Err(unlike("actions", tasks, &spaces, way_out))
        }
    }
}

impl View {
    /// Writes row `row` of the task's observations as one of the mixture's, whose rows have `len` values.
    pub(super) fn show(&self, from: &ObsBuffer, row: usize, from_len: usize, to: &mut ObsBuffer, len: usize) {
        let (source, target) = (row * from_len..(row + 1) * from_len, row * len..(row + 1) * len);
        match (&self.show, to) {
            (Show::Whole, to) => to.copy_range(target.start, from, source.start, len),
            (Show::Vector { task }, ObsBuffer::F32(to)) => {
                let to = &mut to[target];
                from.view(source.start, from_len).write_f32(&mut to[..from_len]);
                to[from_len..].fill(0.0);
                if let Some(task) = task {
                    to[*task] = 1.0;
                }
            }
            (Show::Part { at, task_at, task }, ObsBuffer::F32(to)) => {
                let to = &mut to[target];
                to.fill(0.0);
                from.view(source.start, from_len).write_f32(&mut to[*at..at + from_len]);
                to[*task_at] = *task;
            }
            (Show::Image { from: shape, to: whole, task }, ObsBuffer::U8(to)) => {
                let ObsBuffer::U8(from) = from else { return };
                paint(&from[source], *shape, &mut to[target], *whole, *task);
            }
            // The union has decided on the kind of buffer.
            (Show::Vector { .. } | Show::Part { .. } | Show::Image { .. }, _) => {}
        }
    }

    /// Writes which of the mixture's actions are legal, given the task's own mask (empty where all are).
    pub(super) fn mask(&self, own: &[bool], to: &mut [bool]) {
        let (first, n) = match self.act {
            Act::Choices { first, n } => (first, n),
            Act::Whole | Act::Numbers { .. } => (0, to.len()),
        };
        to.fill(false);
        match own {
            [] => to[first..first + n].fill(true),
            own => to[first..first + n].copy_from_slice(own),
        }
    }

    /// Writes the action of a row of the task as one of the mixture's: the inverse of [`Self::act`].
    pub(super) fn unite(&self, own: &ActionBatch, row: usize, own_width: usize, to: &mut ActionBatch) {
        match (&self.act, own, to) {
            (Act::Whole, own, to) => to.copy_range(row * own_width, own, row * own_width, own_width),
            (Act::Choices { first, .. }, ActionBatch::Discrete(from), ActionBatch::Discrete(to)) => {
                to[row] = from[row] + *first as u32;
            }
            (
                Act::Numbers { low, high, width },
                ActionBatch::Continuous(from),
                ActionBatch::Continuous(to),
            ) => {
                let own = &from[row * own_width..(row + 1) * own_width];
                let to = &mut to[row * width..row * width + own_width];
                for (((to, &x), &low), &high) in to.iter_mut().zip(own).zip(low).zip(high) {
                    *to = if high > low { 2.0 * (x - low) / (high - low) - 1.0 } else { 0.0 };
                }
            }
            (Act::Choices { .. } | Act::Numbers { .. }, _, _) => {}
        }
    }

    /// Writes the action of a row as one of the task's.
    pub(super) fn act(&self, actions: &ActionBatch, row: usize, own_width: usize, to: &mut ActionBatch) {
        match (&self.act, actions, to) {
            (Act::Whole, actions, to) => to.copy_range(row * own_width, actions, row * own_width, own_width),
            (Act::Choices { first, .. }, ActionBatch::Discrete(from), ActionBatch::Discrete(to)) => {
                to[row] = from[row] - *first as u32;
            }
            (
                Act::Numbers { low, high, width },
                ActionBatch::Continuous(from),
                ActionBatch::Continuous(to),
            ) => {
                let own = &from[row * width..row * width + own_width];
                let to = &mut to[row * own_width..(row + 1) * own_width];
                for (((to, &x), &low), &high) in to.iter_mut().zip(own).zip(low).zip(high) {
                    *to = (low + (high - low) * ((x + 1.0) * 0.5)).clamp(low, high);
                }
            }
            (Act::Choices { .. } | Act::Numbers { .. }, _, _) => {}
        }
    }
}

/// Writes an image `[H, W, C]` into the upper left corner of a larger one, whose other pixels are zero.
fn paint(from: &[u8], shape: [usize; 3], to: &mut [u8], whole: [usize; 3], full: Option<usize>) {
    let [_, columns, planes] = shape;
    let [_, all_columns, all_planes] = whole;
    to.fill(0);
    for (from, to) in from.chunks_exact(columns * planes).zip(to.chunks_exact_mut(all_columns * all_planes)) {
        for (from, to) in from.chunks_exact(planes).zip(to.chunks_exact_mut(all_planes)) {
            to[..planes].copy_from_slice(from);
        }
    }
    if let Some(full) = full {
        to.iter_mut().skip(full).step_by(all_planes).for_each(|pixel| *pixel = u8::MAX);
    }
}
