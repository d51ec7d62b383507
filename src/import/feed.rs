//! What each input of a graph is given: parts of an observation, masks, where episodes begin, and states.

use agon_envs::batch::row_dtype;
use agon_envs::spaces::Dtype;
use agon_envs::{ObsBuffer, VectorInfo};
use agon_policy::{InputKind, InputPart};

use super::model::{OnnxModel, Port, Size};
use super::plan::Form;
use crate::RunError;
use crate::policy::parts_of;

/// An input: its form, and where its values come from.
pub(super) struct Input {
    pub(super) form: Form,
    pub(super) source: Source,
}

/// Where an input's values come from.
pub(super) enum Source {
    /// A run of a packed observation.
    Observation { from: usize, len: usize, order: Order },
    /// The action mask.
    Mask,
    /// Whether an episode begins.
    Start,
    /// What the policy remembers: a run of its state, and the output that gives the next one.
    State { from: usize, output: usize },
}

/// How an observation's values are put.
pub(super) enum Order {
    /// As they are.
    Same,
    /// Height, width, channels as channels, height, width.
    ChannelsFirst { pixels: usize, channels: usize },
    /// A category as a unit vector.
    OneHot { low: f32 },
}

/// Values of a state or a mask, at most.
const MOST_VALUES: usize = 1 << 24;

/// How many rows a graph takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    Any,
    One,
}

/// Inputs in the graph's order, values of a row's state, and how many rows go in at once.
pub(super) struct Feeding {
    pub(super) inputs: Vec<Input>,
    pub(super) state_len: usize,
    pub(super) batch: Batch,
}

impl Feeding {
    /// Finds out what each input of a model is for.
    pub(super) fn of(model: &OnnxModel, info: &VectorInfo) -> Result<Self, RunError> {
        let mut finder = Finder { model, info, batch: None, state_len: 0 };
        let (with_names, rest): (Vec<_>, Vec<_>) =
            model.inputs.iter().partition(|port| finder.is_by_name(port));
        let parts = parts_of(&info.observation_space);
        let observed = finder.observations(&rest, &parts)?;
        // The observation decides how many rows there are: it comes first.
        let batch = finder.batch.unwrap_or(Batch::One);
        let mut by_name: Vec<(&str, Input)> = Vec::new();
        for (port, input) in observed {
            by_name.push((&port.name, input));
        }
        for port in with_names {
            by_name.push((&port.name, finder.named(port, batch)?));
        }
        let state_len = finder.state_len;
        let place = |input: &(&str, Input)| model.inputs.iter().position(|port| port.name == input.0);
        by_name.sort_by_key(place);
        Ok(Self { inputs: by_name.into_iter().map(|(_, input)| input).collect(), state_len, batch })
    }
}

struct Finder<'a> {
    model: &'a OnnxModel,
    info: &'a VectorInfo,
    batch: Option<Batch>,
    state_len: usize,
}

impl Finder<'_> {
    /// Whether an input's name says what it is for.
    fn is_by_name(&self, port: &Port) -> bool {
        is_mask(&port.name) || is_start(&port.name) || self.next_state(&port.name).is_some()
    }

    /// The output with a state's next value.
    fn next_state(&self, name: &str) -> Option<usize> {
        let next = format!("{}_out", name.strip_suffix("_in")?);
        self.model.outputs.iter().position(|output| output.name == next)
    }

    /// The parts of an observation among the inputs that have no other purpose.
    fn observations<'p>(
        &mut self,
        ports: &[&'p Port],
        parts: &[InputPart],
    ) -> Result<Vec<(&'p Port, Input)>, RunError> {
        let shown = &self.info.observation_space;
        let names = || ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if let ([port], [part]) = (ports, parts) {
            return Ok(vec![(*port, self.observation(port, part, 0)?)]);
        }
        if let [port] = ports {
            let whole = InputPart {
                name: "obs".to_owned(),
                shape: vec![shown.packed_len()],
                kind: InputKind::Float,
                low: Vec::new(),
                high: Vec::new(),
            };
            return Ok(vec![(*port, self.observation(port, &whole, 0)?)]);
        }
        let (mut found, mut from) = (Vec::new(), 0);
        for part in parts {
            let is_it =
                |port: &&&Port| port.name == part.name || Some(&*port.name) == part.name.strip_prefix("obs.");
            let Some(port) = ports.iter().find(is_it) else {
                let message = format!("expected an input `{}` of {shown}, found {}", part.name, names());
                return Err(self.model.wrong(message));
            };
            found.push((*port, self.observation(port, part, from)?));
            from += part.len();
        }
        if found.len() < ports.len() {
            let expected = parts.iter().map(|part| format!("`{}`", part.name)).collect::<Vec<_>>().join(", ");
            let message = format!("expected inputs {expected} for {shown}, found {}", names());
            return Err(self.model.wrong(message));
        }
        Ok(found)
    }

    /// One part of an observation, whose values begin at `from` of the packed row.
    fn observation(&mut self, port: &Port, part: &InputPart, from: usize) -> Result<Input, RunError> {
        let len = part.len();
        let misfit = || {
            let shape = &part.shape;
            let message = format!(
                "expected an input for rows of shape {shape:?}, with a batch of any size or of 1, found {port}; the environment \
                 shows {}",
                self.info.observation_space
            );
            self.model.wrong(message)
        };
        if row_dtype(&self.info.observation_space) == Dtype::F32
            && part.kind == InputKind::Float
            && !port.element.is_float()
        {
            let message =
                format!("expected an input of floating point numbers, found {port} of {:?}", port.element);
            return Err(self.model.wrong(message));
        }
        let Some(sizes) = &port.sizes else {
            self.agree(Batch::Any).map_err(|()| misfit())?;
            let shape = [&[1], &part.shape[..]].concat();
            let form = Form { element: port.element, shape, batch: Some(0) };
            return Ok(Input { form, source: Source::Observation { from, len, order: Order::Same } });
        };
        let with_batch = sizes.split_first().and_then(|(first, rest)| {
            let batch = match first {
                Size::Open(_) => Batch::Any,
                Size::Fixed(1) => Batch::One,
                Size::Fixed(_) => return None,
            };
            Some((batch, rest, order_of(rest, part)?))
        });
        let (batch, rest, order) = match (with_batch, order_of(sizes, part)) {
            (Some(found), _) => found,
            (None, Some(order)) => (Batch::One, &sizes[..], order),
            (None, None) => return Err(misfit()),
        };
        self.agree(batch).map_err(|()| misfit())?;
        let own = shape_of(rest, part, &order);
        let has_batch = rest.len() < sizes.len();
        let shape = if has_batch { [&[1], &own[..]].concat() } else { own };
        let form = Form { element: port.element, shape, batch: has_batch.then_some(0) };
        Ok(Input { form, source: Source::Observation { from, len, order } })
    }

    /// All parts must take as many rows.
    fn agree(&mut self, batch: Batch) -> Result<(), ()> {
        let agreed = *self.batch.get_or_insert(batch);
        if agreed == batch { Ok(()) } else { Err(()) }
    }

    /// An input whose name says what it is for.
    fn named(&mut self, port: &Port, batch: Batch) -> Result<Input, RunError> {
        let known = |size: &Size| if let Size::Fixed(size) = size { Some(*size) } else { None };
        let Some(sizes) = &port.sizes else {
            return Err(self.model.wrong(format!("expected an input {port} with sizes, found none")));
        };
        let open: Vec<usize> = (0..sizes.len()).filter(|&at| known(&sizes[at]).is_none()).collect();
        let place = match (batch, &open[..]) {
            (_, [place]) => Some(*place),
            // A single row needs no place of its own.
            (Batch::One, []) => None,
            _ => {
                let message =
                    format!("expected an input {port} with one open size, the batch, as the observation has");
                return Err(self.model.wrong(message));
            }
        };
        let shape: Vec<usize> = sizes.iter().map(|size| known(size).unwrap_or(1)).collect();
        let values = shape.iter().try_fold(1_usize, |values, &size| values.checked_mul(size));
        if !values.is_some_and(|values| (1..=MOST_VALUES).contains(&values)) {
            let message = format!("expected an input {port} of 1 to {MOST_VALUES} values a row");
            return Err(self.model.wrong(message));
        }
        let form = Form { element: port.element, shape, batch: place };
        let row_len = form.row_len();
        let exactly = |expected: usize, of_what: &str| {
            if row_len == expected {
                return Ok(());
            }
            let message =
                format!("expected an input {port} of {expected} values a row, {of_what}, found {row_len}");
            Err(self.model.wrong(message))
        };
        let source = if is_mask(&port.name) {
            exactly(self.info.mask_len, "the environment's action mask")?;
            Source::Mask
        } else if is_start(&port.name) {
            exactly(1, "whether an episode begins")?;
            Source::Start
        } else {
            let from = self.state_len;
            self.state_len += row_len;
            let output = self.next_state(&port.name).unwrap_or_default();
            Source::State { from, output }
        };
        Ok(Input { form, source })
    }
}

fn is_mask(name: &str) -> bool {
    matches!(name, "action_mask" | "action_masks")
}

fn is_start(name: &str) -> bool {
    matches!(name, "episode_start" | "episode_starts")
}

/// How a part's values are put into an input of these sizes; none if they do not fit.
fn order_of(sizes: &[Size], part: &InputPart) -> Option<Order> {
    let fits = |shape: &[usize]| {
        sizes.len() == shape.len()
            && sizes.iter().zip(shape).all(|(size, &of_part)| *size == Size::Fixed(of_part) || is_open(size))
    };
    if fits(&part.shape) || fits(&[part.len()]) || (part.len() == 1 && sizes.is_empty()) {
        return Some(Order::Same);
    }
    if let &[height, width, channels] = &part.shape[..]
        && fits(&[channels, height, width])
    {
        return Some(Order::ChannelsFirst { pixels: height * width, channels });
    }
    match (part.kind, &part.low[..], &part.high[..]) {
        (InputKind::Integer, &[Some(low)], &[Some(high)]) if fits(&[(high - low) as usize + 1]) => {
            Some(Order::OneHot { low })
        }
        _ => None,
    }
}

fn is_open(size: &Size) -> bool {
    matches!(size, Size::Open(_))
}

/// The sizes of a row, none of them open any more.
fn shape_of(sizes: &[Size], part: &InputPart, order: &Order) -> Vec<usize> {
    let natural = match order {
        Order::ChannelsFirst { channels, .. } => vec![*channels, part.shape[0], part.shape[1]],
        _ if sizes.len() == part.shape.len() => part.shape.clone(),
        _ => vec![part.len()],
    };
    let size = |(at, size): (usize, &Size)| match size {
        Size::Fixed(size) => *size,
        Size::Open(_) => natural.get(at).copied().unwrap_or(1),
    };
    sizes.iter().enumerate().map(size).collect()
}

impl Order {
    /// Appends a row's values `[len]` as the input has them, `row_len` of them.
    pub(super) fn append(&self, row: &[f32], row_len: usize, out: &mut Vec<f32>) {
        match *self {
            Self::Same => out.extend_from_slice(row),
            Self::ChannelsFirst { pixels, channels } => {
                for channel in 0..channels {
                    out.extend((0..pixels).map(|pixel| row[pixel * channels + channel]));
                }
            }
            Self::OneHot { low } => {
                let category = (row[0] - low) as usize;
                out.extend((0..row_len).map(|at| f32::from(u8::from(at == category))));
            }
        }
    }
}

/// Some values of a row, as numbers.
pub(super) fn numbers(observations: &ObsBuffer, from: usize, len: usize, out: &mut Vec<f32>) {
    out.resize(len, 0.0);
    observations.view(from, len).write_f32(out);
}
