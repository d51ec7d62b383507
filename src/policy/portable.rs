//! A trained policy told as data: its wrappers as steps before and after the network.

use std::collections::BTreeSet;

use agon_agents::program::Program;
use agon_envs::spaces::Dtype;
use agon_envs::{ActionSpec, Space, VectorInfo, WrapperConfig};
use agon_policy::{
    ActionSpace, Adjustment, InputKind, InputPart, Padding, Parameters, PolicyProgram, Preparation,
};

use super::TrainedPolicy;
use super::feed::layers;
use crate::RunError;

impl TrainedPolicy {
    /// What the policy computes for its best actions, to be done elsewhere, and the parameters that this names.
    ///
    /// # Errors
    /// If a part cannot be told, naming it: a wrapper that draws random numbers, a program's own layer.
    pub fn portable(&self) -> Result<(PolicyProgram, Parameters), RunError> {
        let card = self.card();
        let Some(Program { operations, mut parameters, decision }) = self.acting().policy.program() else {
            let message =
                format!("a policy of {} with these settings cannot be told as one network", card.algorithm);
            return Err(RunError::Policy(message));
        };
        if let Some(layer) = operations.iter().find_map(agon_policy::Operation::opaque) {
            let message = format!("expected layers that other programs have, found {layer}");
            return Err(RunError::Policy(message));
        }
        // Networks that do not act, such as a critic, stay behind.
        let named = operations.iter().flat_map(agon_policy::Operation::flat);
        let named: BTreeSet<&str> = named.flat_map(agon_policy::Operation::parameters).collect();
        parameters.retain(|name, _| named.contains(name.as_str()));
        let mut statistics = card.statistics[card.env_spaces.statistics..].iter();
        let (mut preparation, mut adjustments) = (Vec::new(), Vec::new());
        let inputs = parts_of(&card.env_spaces.observation);
        for (wrapper, inside, shown) in layers(card)? {
            preparation.extend(prepare(wrapper, &inside, &shown, &mut statistics)?);
            // Actions go through the outermost wrapper first.
            adjustments.splice(0..0, adjust(wrapper, &inside));
        }
        if matches!(&card.spaces.observation, Space::Box(bounds) if bounds.dtype() == Dtype::U8) {
            preparation.push(Preparation::Scale { by: 1.0 / 255.0 });
        }
        let program = PolicyProgram {
            inputs,
            preparation,
            operations,
            decision,
            adjustments,
            action: action_space(&card.env_spaces.action)?,
            mask_len: card.env_spaces.mask_len,
        };
        Ok((program, parameters))
    }
}

/// What a wrapper does to observations.
fn prepare<'a>(
    wrapper: &WrapperConfig,
    inside: &VectorInfo,
    shown: &VectorInfo,
    statistics: &mut impl Iterator<Item = &'a agon_envs::wrappers::Moments>,
) -> Result<Option<Preparation>, RunError> {
    Ok(match wrapper {
        WrapperConfig::FrameStack { num_stack: num_stack @ 2.., padding } => {
            let (groups, group_len) =
                shown.frames.map_or((1, inside.observation_len()), |frames| frames.groups());
            let padding = match padding {
                agon_envs::frames::Padding::Reset => Padding::Reset,
                agon_envs::frames::Padding::Zero => Padding::Zero,
            };
            Some(Preparation::Stack { frames: *num_stack, groups, group_len, padding })
        }
        WrapperConfig::NormalizeObservation { epsilon, clip } => {
            let Some(moments) = statistics.next() else {
                return Err(RunError::Policy("the running statistics of a wrapper are missing".to_owned()));
            };
            let scale = |i: usize| 1.0 / (moments.variance(i) + epsilon).sqrt();
            let scale = (0..moments.mean.len()).map(scale).collect();
            Some(Preparation::Normalize { mean: moments.mean.clone(), scale, clip: *clip as f32 })
        }
        WrapperConfig::NormalizeReward { .. } | WrapperConfig::FairnessPenalty { .. } => {
            statistics.next();
            None
        }
        WrapperConfig::FlattenObservation { categories } => {
            let mut columns = Vec::new();
            add_columns(&inside.observation_space, categories, &mut columns);
            let (categories, first) = columns.into_iter().unzip();
            Some(Preparation::OneHot { categories, first })
        }
        WrapperConfig::MaskObservation { indices, drop: false } => {
            let shown = (0..inside.observation_len()).map(|index| !indices.contains(&index));
            Some(Preparation::Hide { shown: shown.collect() })
        }
        WrapperConfig::MaskObservation { indices, drop: true } => {
            let kept = (0..inside.observation_len()).filter(|index| !indices.contains(index));
            Some(Preparation::Select { indices: kept.collect() })
        }
        WrapperConfig::RandomShift { .. } | WrapperConfig::RandomCrop { .. } => {
            let message =
                "a policy that sees random windows of its images cannot be told without the random numbers";
            return Err(RunError::Policy(message.to_owned()));
        }
        WrapperConfig::FrameStack { .. }
        | WrapperConfig::RenderObservation { .. }
        | WrapperConfig::TimeLimit { .. }
        | WrapperConfig::StickyAction { .. }
        | WrapperConfig::ActionRepeat { .. }
        | WrapperConfig::ClipReward { .. }
        | WrapperConfig::ClipAction {}
        | WrapperConfig::RescaleAction { .. }
        | WrapperConfig::ObservationNoise { .. }
        | WrapperConfig::RecordStatistics {}
        | WrapperConfig::RecordVideo { .. } => None,
    })
}

/// What a wrapper does to actions, on their way to what it stands around.
fn adjust(wrapper: &WrapperConfig, inside: &VectorInfo) -> Option<Adjustment> {
    let ActionSpec::Continuous { low, high } = &inside.action_spec else { return None };
    let (low, high) = (low.clone(), high.clone());
    match wrapper {
        WrapperConfig::ClipAction {} => Some(Adjustment::Clip { low, high }),
        WrapperConfig::RescaleAction { min, max } => {
            Some(Adjustment::Rescale { min: *min as f32, max: *max as f32, low, high })
        }
        _ => None,
    }
}

/// The parts of an observation, in the order of its packed form.
pub(crate) fn parts_of(space: &Space) -> Vec<InputPart> {
    let mut parts = Vec::new();
    add_inputs("obs".to_owned(), space, &mut parts);
    parts
}

fn add_inputs(name: String, space: &Space, inputs: &mut Vec<InputPart>) {
    let mut integers = |shape: Vec<usize>, ranges: Vec<(i64, usize)>| {
        let low = ranges.iter().map(|(start, _)| Some(*start as f32)).collect();
        let high = ranges.iter().map(|(start, n)| Some((start + *n as i64 - 1) as f32)).collect();
        inputs.push(InputPart { name: name.clone(), shape, kind: InputKind::Integer, low, high });
    };
    match space {
        Space::Discrete { n, start } => integers(Vec::new(), vec![(*start, *n)]),
        Space::MultiDiscrete { nvec } => integers(vec![nvec.len()], nvec.iter().map(|&n| (0, n)).collect()),
        Space::MultiBinary { n } => integers(vec![*n], vec![(0, 2); *n]),
        Space::Box(bounds) => {
            let kind = if bounds.dtype() == Dtype::U8 { InputKind::Byte } else { InputKind::Float };
            let open =
                |bounds: &[f32]| bounds.iter().map(|bound| bound.is_finite().then_some(*bound)).collect();
            let (low, high) = match kind {
                // All bytes are.
                InputKind::Byte => (Vec::new(), Vec::new()),
                _ => (open(bounds.low()), open(bounds.high())),
            };
            inputs.push(InputPart { name, shape: bounds.shape().to_vec(), kind, low, high });
        }
        Space::Dict(entries) => {
            entries.iter().for_each(|(key, space)| add_inputs(format!("{name}.{key}"), space, inputs));
        }
        Space::Tuple(entries) => {
            let entries = entries.iter().enumerate();
            entries.for_each(|(index, space)| add_inputs(format!("{name}.{index}"), space, inputs));
        }
    }
}

/// For each value of a packed row the number of its categories, zero for a number, and the first of them.
fn add_columns(space: &Space, image: &[usize], columns: &mut Vec<(usize, i64)>) {
    match space {
        Space::Discrete { n, start } => columns.push((*n, *start)),
        Space::MultiDiscrete { nvec } => columns.extend(nvec.iter().map(|&n| (n, 0))),
        Space::MultiBinary { n } => columns.extend(vec![(0, 0); *n]),
        Space::Box(bounds) => {
            let is_image = !image.is_empty()
                && bounds.dtype() == Dtype::U8
                && bounds.shape().len() == 3
                && bounds.shape().get(2) == Some(&image.len());
            let categories = if is_image { image } else { &[0] };
            columns.extend(categories.iter().cycle().take(bounds.len()).map(|&n| (n, 0)));
        }
        Space::Dict(entries) => entries.values().for_each(|space| add_columns(space, image, columns)),
        Space::Tuple(entries) => entries.iter().for_each(|space| add_columns(space, image, columns)),
    }
}

fn action_space(space: &Space) -> Result<ActionSpace, RunError> {
    Ok(match space {
        Space::Discrete { n, start } => ActionSpace::Discrete { n: *n, start: *start },
        Space::MultiDiscrete { nvec } => ActionSpace::MultiDiscrete { nvec: nvec.clone() },
        Space::MultiBinary { n } => ActionSpace::MultiBinary { n: *n },
        Space::Box(bounds) => {
            let (low, high) = (bounds.low().to_vec(), bounds.high().to_vec());
            ActionSpace::Box { shape: bounds.shape().to_vec(), low, high }
        }
        // Parts are joined, as the policy has them.
        Space::Dict(_) | Space::Tuple(_) => match ActionSpec::of(space)? {
            ActionSpec::Discrete { nvec } => {
                ActionSpace::MultiDiscrete { nvec: nvec.into_iter().map(|n| n as usize).collect() }
            }
            ActionSpec::Continuous { low, high } => ActionSpace::Box { shape: vec![low.len()], low, high },
        },
    })
}
