//! Data augmentation in the learner: sampled observations are seen changed, as if from another place or side.
//!
//! The main decision: a *view* of a batch has the observations, changed row by row, and what became of the rows' actions. A
//! row's change is decided by a seed and its number in the batch, so it depends on no thread and no slice.
//!
//! Learners with replay average targets over `K` views of what steps led to, and losses over `M` views of where they were taken
//! (`DrQ`). Policy gradients keep the loss of what was seen, and ask policy and values to say the same of a view (`DrAC`), because
//! the probability that a changed action had when it was taken is not known.
//!
//! # Source
//! Laskin et al. (2020), arXiv:2004.14990 (RAD); Kostrikov, Yarats and Fergus (2021), arXiv:2004.13649 (`DrQ`), equations 2
//! and 3; Raileanu et al. (2021), arXiv:2006.12862 (`DrAC`), equations 4 to 6.

mod action_maps;
mod step;
mod symmetry;
mod transformation;

use std::borrow::Cow;

use agon_envs::spaces::ImageLayout;
use agon_envs::{Pcg64, Space};
use agon_nn::{BitMatrix, Input, Matrix, Rows};
use serde::{Deserialize, Serialize};

pub(crate) use action_maps::ActionMaps;
pub use transformation::{Edge, Moves, Symmetries, Transformation};

use crate::bits::{BITS, pack, unpacked};
use crate::error::ensure;
use crate::learner::{Spaces, stream};
use crate::search::{Look, Looks};
use crate::settings::above_zero;
use crate::{AgentError, network};
use step::{Number, Step, Subject};

/// Looks of a row at most; the symmetries of a square are 8.
const MOST_LOOKS: usize = 64;
/// Views of an update at most.
const MOST_VIEWS: usize = 64;

/// Augmentation of replayed steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayAugmentation {
    /// What happens to an observation, one after the other.
    pub transformations: Vec<Transformation>,
    /// Views of what a step led to, whose targets are averaged: `DrQ`'s K; 1 to 64.
    #[serde(default = "one")]
    pub target_views: usize,
    /// Views of an observation, whose losses are averaged: `DrQ`'s M; 1 to 64.
    #[serde(default = "one")]
    pub views: usize,
}

/// Augmentation of what a policy gradient learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyAugmentation {
    /// What happens to an observation, one after the other.
    pub transformations: Vec<Transformation>,
    /// Weight of the divergence of the policy's actions, and of half the squared difference of values; above 0.
    #[serde(default = "tenth")]
    pub coef: f64,
}

fn one() -> usize {
    1
}

fn tenth() -> f64 {
    0.1
}

impl ReplayAugmentation {
    /// Checks the settings, and fits the transformations to what is observed and done.
    pub(crate) fn views(&self, spaces: &Spaces) -> Result<ReplayViews, AgentError> {
        for (field, views) in [("target_views", self.target_views), ("views", self.views)] {
            ensure((1..=MOST_VIEWS).contains(&views), field, "between 1 and 64", views).map_err(within)?;
        }
        let augmenter = Augmenter::new(&self.transformations, spaces)?;
        Ok(ReplayViews {
            augmenter: Some(augmenter),
            of_targets: self.target_views,
            of_observations: self.views,
        })
    }
}

impl PolicyAugmentation {
    /// Checks the settings, and fits the transformations to what is observed and done.
    pub(crate) fn augmenter(&self, spaces: &Spaces) -> Result<Augmenter, AgentError> {
        above_zero(&[("coef", self.coef)]).map_err(within)?;
        Augmenter::new(&self.transformations, spaces)
    }
}

/// The error of a setting, with the table that it stands in.
fn within(error: AgentError) -> AgentError {
    match error {
        AgentError::Setting { field, expected, found } => {
            AgentError::Setting { field: format!("augmentation.{field}"), expected, found }
        }
        other => other,
    }
}

/// The views that a learner with replay has of its minibatches: of each one, as it is, without augmentation.
#[derive(Clone, Debug)]
pub(crate) struct ReplayViews {
    augmenter: Option<Augmenter>,
    /// `K`.
    pub(crate) of_targets: usize,
    /// `M`.
    pub(crate) of_observations: usize,
}

impl ReplayViews {
    /// Of settings, or none.
    pub(crate) fn of(settings: Option<&ReplayAugmentation>, spaces: &Spaces) -> Result<Self, AgentError> {
        match settings {
            Some(settings) => settings.views(spaces),
            None => Ok(Self { augmenter: None, of_targets: 1, of_observations: 1 }),
        }
    }

    /// The seed of an update's views; drawn only where there are some.
    pub(crate) fn seed(&self, rng: &mut Pcg64) -> u64 {
        self.augmenter.as_ref().map_or(0, |_| rng.next_u64())
    }

    /// All views of what steps led to: `x` has the steps of a slice once for each view, `first` is the place of its first step in
    /// the minibatch.
    pub(crate) fn targets(&self, seed: u64, first: usize, x: Input) -> Result<View, AgentError> {
        self.view(stream(seed, 0), first, x.rows() / self.of_targets, x)
    }

    /// All views of where steps were taken, as [`Self::targets`].
    pub(crate) fn observations(&self, seed: u64, first: usize, x: Input) -> Result<View, AgentError> {
        self.view(stream(seed, 1), first, x.rows() / self.of_observations, x)
    }

    /// The first view of where steps were taken.
    pub(crate) fn first_observations(&self, seed: u64, first: usize, x: Input) -> Result<View, AgentError> {
        self.view(stream(seed, 1), first, x.rows(), x)
    }

    fn view(&self, seed: u64, first: usize, steps: usize, x: Input) -> Result<View, AgentError> {
        let Some(augmenter) = &self.augmenter else {
            return Ok(View { input: x, actions: ActionMaps::default() });
        };
        augmenter.view(&x, seed, |row| ((row / steps) as u64) << 32 | (first + row % steps) as u64)
    }
}

/// Something of each step, once for each view.
pub(crate) fn repeated<T: Copy>(of_steps: &[T], views: usize) -> Cow<'_, [T]> {
    if views == 1 { Cow::Borrowed(of_steps) } else { Cow::Owned(of_steps.repeat(views)) }
}

/// A batch as it is seen changed.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) input: Input,
    pub(crate) actions: ActionMaps,
}

/// Transformations, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Augmenter {
    steps: Vec<Step>,
    /// Numbers of an observation.
    len: usize,
    action: agon_envs::ActionSpec,
    moves_actions: bool,
}

impl Augmenter {
    pub(crate) fn new(transformations: &[Transformation], spaces: &Spaces) -> Result<Self, AgentError> {
        ensure(!transformations.is_empty(), "augmentation.transformations", "at least one", "none")?;
        let layout = match &spaces.observation {
            Space::Box(bounds) => ImageLayout::of(bounds),
            Space::MultiBinary { .. } => None,
            other => {
                let (expected, found) = ("observations that are a Box or a MultiBinary", other.to_string());
                return Err(AgentError::Unsupported { algorithm: "augmentation", expected, found });
            }
        };
        let subject = Subject {
            layout,
            len: spaces.observation.packed_len(),
            dtype: network::dtype(&spaces.observation),
            action: &spaces.action,
        };
        let steps = transformations.iter().enumerate().map(|(index, transformation)| {
            Step::new(transformation, &subject).map_err(|error| match error {
                AgentError::Setting { field, expected, found } => AgentError::Setting {
                    field: format!("augmentation.transformations[{index}].{field}"),
                    expected,
                    found,
                },
                other => other,
            })
        });
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let moves_actions = steps.iter().any(Step::moves_actions);
        Ok(Self { steps, len: subject.len, action: spaces.action.clone(), moves_actions })
    }

    /// Everything that the transformations make of a row, each once and the row as it is first, if that is a few symmetries and
    /// nothing random. For actions that are one choice.
    pub(crate) fn looks(&self) -> Option<Looks> {
        let agon_envs::ActionSpec::Discrete { nvec } = &self.action else { return None };
        let [options] = nvec[..] else { return None };
        let mut looks = vec![Look::of(self.len, options as usize)];
        for step in &self.steps {
            for look in std::mem::take(&mut looks) {
                // Two ways to the same look are one.
                for other in step.looks(&look)? {
                    if !looks.contains(&other) {
                        looks.push(other);
                    }
                }
                if looks.len() > MOST_LOOKS {
                    return None;
                }
            }
        }
        Some(Looks(looks))
    }

    /// A view of rows, whose numbers decide with the seed what is done to each.
    pub(crate) fn view(
        &self,
        x: &Input,
        seed: u64,
        number: impl Fn(usize) -> u64,
    ) -> Result<View, AgentError> {
        let (rows, width) = (x.rows(), x.columns());
        let mut actions =
            if self.moves_actions { ActionMaps::of(&self.action, rows) } else { ActionMaps::default() };
        let input = match Rows::from(x) {
            Rows::F32(values) => {
                let mut values = values.to_vec();
                self.change(&mut values, width, &mut actions, seed, number);
                Input::Floats(Matrix::from_slice(rows, width, &values)?)
            }
            Rows::U8 { values, .. } => {
                let mut values = values.to_vec();
                self.change(&mut values, width, &mut actions, seed, number);
                network::bytes(rows, width, values)?
            }
            Rows::Bits { bits, columns, value } => {
                let mut values = unpacked(bits, columns);
                self.change(&mut values, width, &mut actions, seed, number);
                let stride = width.div_ceil(BITS);
                let mut packed = vec![0; rows * stride];
                let mut pairs = values.chunks_exact(width).zip(packed.chunks_exact_mut(stride));
                if pairs.all(|(row, to)| pack(row, to)) {
                    BitMatrix::new(rows, width, packed, value)?.into()
                } else {
                    network::bytes(rows, width, values)?
                }
            }
        };
        Ok(View { input, actions })
    }

    fn change<T: Number>(
        &self,
        values: &mut [T],
        width: usize,
        actions: &mut ActionMaps,
        seed: u64,
        number: impl Fn(usize) -> u64,
    ) {
        let mut scratch = Vec::new();
        for (index, row) in values.chunks_exact_mut(width).enumerate() {
            // An odd factor: different numbers, different seeds.
            let mut rng = Pcg64::seed_from(seed ^ number(index).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut action = self.moves_actions.then(|| actions.row(index));
            self.steps.iter().for_each(|step| step.apply(row, &mut scratch, action.as_mut(), &mut rng));
        }
    }
}

#[cfg(test)]
mod tests;
