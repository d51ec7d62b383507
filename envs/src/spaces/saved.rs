//! The form in which spaces are written: checked on reading, bounds kept short.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BoxSpace, Dtype, Space, SpaceError};

/// The fields of a [`Space`], in whatever state they were read.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Space", deny_unknown_fields)]
pub(super) enum SavedSpace {
    Discrete { n: usize, start: i64 },
    Box { low: Bounds, high: Bounds, shape: Vec<usize>, dtype: Dtype },
    MultiDiscrete { nvec: Vec<usize> },
    MultiBinary { n: usize },
    Dict(BTreeMap<String, Space>),
    Tuple(Vec<Space>),
}

/// Bounds of all elements; a single one stands for all if they are the same.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bounds(Vec<Bound>);

/// A bound. Infinities are written as `None` (`null` in JSON, which has no infinite numbers); which infinity it is follows
/// from the side.
type Bound = Option<f32>;

impl From<Space> for SavedSpace {
    fn from(space: Space) -> Self {
        match space {
            Space::Discrete { n, start } => Self::Discrete { n, start },
            Space::Box(space) => Self::Box {
                low: Bounds::of(space.low()),
                high: Bounds::of(space.high()),
                shape: space.shape().to_vec(),
                dtype: space.dtype(),
            },
            Space::MultiDiscrete { nvec } => Self::MultiDiscrete { nvec },
            Space::MultiBinary { n } => Self::MultiBinary { n },
            Space::Dict(spaces) => Self::Dict(spaces),
            Space::Tuple(spaces) => Self::Tuple(spaces),
        }
    }
}

impl TryFrom<SavedSpace> for Space {
    type Error = SpaceError;

    fn try_from(saved: SavedSpace) -> Result<Self, SpaceError> {
        match saved {
            SavedSpace::Discrete { n, start } => Self::discrete_from(start, n),
            SavedSpace::Box { low, high, shape, dtype } => {
                let len = shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)).unwrap_or(0);
                let low = low.expand(len, f32::NEG_INFINITY);
                let high = high.expand(len, f32::INFINITY);
                BoxSpace::new(low, high, shape, dtype).map(Self::Box)
            }
            SavedSpace::MultiDiscrete { nvec } => Self::multi_discrete(&nvec),
            SavedSpace::MultiBinary { n } => Self::multi_binary(n),
            SavedSpace::Dict(spaces) => Self::dict(spaces),
            SavedSpace::Tuple(spaces) => Self::tuple(spaces),
        }
    }
}

impl Bounds {
    fn of(bounds: &[f32]) -> Self {
        let distinct = if bounds.iter().all(|bound| *bound == bounds[0]) { &bounds[..1] } else { bounds };
        Self(distinct.iter().map(|&bound| bound.is_finite().then_some(bound)).collect())
    }

    fn expand(self, len: usize, infinity: f32) -> Vec<f32> {
        let bounds = self.0.into_iter().map(|bound| bound.unwrap_or(infinity));
        if bounds.len() == 1 { bounds.cycle().take(len).collect() } else { bounds.collect() }
    }
}

/// Writes bounds of which some may be infinite.
pub(crate) fn write_open<S: Serializer>(bounds: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(bounds.iter().map(|&bound| bound.is_finite().then_some(bound)))
}

/// Reads lower bounds that [`write_open`] has written.
pub(crate) fn read_lower<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    read_open(deserializer, f32::NEG_INFINITY)
}

/// Reads upper bounds that [`write_open`] has written.
pub(crate) fn read_upper<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    read_open(deserializer, f32::INFINITY)
}

fn read_open<'de, D: Deserializer<'de>>(deserializer: D, infinity: f32) -> Result<Vec<f32>, D::Error> {
    let bounds = Vec::<Bound>::deserialize(deserializer)?;
    Ok(bounds.into_iter().map(|bound| bound.unwrap_or(infinity)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ActionSpec;

    fn spaces() -> Vec<Space> {
        let inf = f32::INFINITY;
        vec![
            Space::discrete_from(-1, 4).unwrap(),
            Space::box_f32(&[-4.8, -inf], &[inf, 0.1]).unwrap(),
            Space::image_u8(&[84, 84, 3]).unwrap(),
            Space::dict([
                ("a", Space::multi_discrete(&[3, 2]).unwrap()),
                ("b", Space::tuple([Space::multi_binary(4).unwrap()]).unwrap()),
            ])
            .unwrap(),
        ]
    }

    #[test]
    fn spaces_survive_text_and_binary_formats() {
        for space in spaces() {
            let binary = postcard::to_allocvec(&space).unwrap();
            assert_eq!(postcard::from_bytes::<Space>(&binary).unwrap(), space);
            let json = serde_json::to_string(&space).unwrap();
            assert_eq!(serde_json::from_str::<Space>(&json).unwrap(), space, "{json}");
        }
    }

    #[test]
    fn actions_without_bounds_survive_text_and_binary_formats() {
        let inf = f32::INFINITY;
        let spec = ActionSpec::Continuous { low: vec![-inf, -1.0], high: vec![2.0, inf] };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(json, r#"{"Continuous":{"low":[null,-1.0],"high":[2.0,null]}}"#);
        assert_eq!(serde_json::from_str::<ActionSpec>(&json).unwrap(), spec);
        let binary = postcard::to_allocvec(&spec).unwrap();
        assert_eq!(postcard::from_bytes::<ActionSpec>(&binary).unwrap(), spec);
    }

    #[test]
    fn equal_bounds_are_written_once() {
        let json = serde_json::to_string(&Space::image_u8(&[84, 84, 3]).unwrap()).unwrap();
        assert_eq!(json, r#"{"Box":{"low":[0.0],"high":[255.0],"shape":[84,84,3],"dtype":"u8"}}"#);
    }

    #[test]
    fn impossible_spaces_are_not_read() {
        let error = serde_json::from_str::<Space>(r#"{"Discrete":{"n":0,"start":0}}"#).unwrap_err();
        assert!(
            error.to_string().starts_with("invalid Discrete space: n must be at least 1, got 0"),
            "{error}"
        );
        let json = r#"{"Tuple":[{"Box":{"low":[2.0],"high":[1.0],"shape":[2],"dtype":"f32"}}]}"#;
        let error = serde_json::from_str::<Space>(json).unwrap_err();
        assert!(error.to_string().contains("low must not exceed high"), "{error}");
    }
}
