//! One recorded episode.

use std::collections::BTreeMap;

use crate::{Column, DataError, Space, Spaces, Value};

/// What was seen, done and gained from a reset to the end, `T` steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The seed of the reset.
    pub seed: Option<i64>,
    /// The options of the reset, an object.
    pub options: Option<Value>,
    /// `T + 1` rows: before the first action, and after each.
    pub observations: Column,
    /// `T` rows.
    pub actions: Column,
    /// `T` numbers, each what followed the action of the same row.
    pub rewards: Vec<f64>,
    /// `T` truth values: the environment came to its end by itself.
    #[doc(alias = "terminated")]
    pub terminations: Vec<bool>,
    /// `T` truth values: the episode was cut off.
    #[doc(alias = "truncated")]
    pub truncations: Vec<bool>,
    /// `T + 1` rows of what else the environment told, as [`Column::Dict`] with its parts sorted by name.
    ///
    /// Parts named `0`, `1`, … in an Arrow file and `_index_0`, `_index_1`, … in an HDF5 file are what Minari makes of a
    /// tuple, and so are read as one.
    pub infos: Option<Column>,
    /// What else is kept of the episode, such as `rewards_mean`.
    ///
    /// HDF5 keeps neither truth values, which come back as integers, nor `null`, nor lists of lists.
    pub attributes: BTreeMap<String, Value>,
}

/// Names that [`Episode::attributes`] cannot have.
const OWN_ATTRIBUTES: [&str; 4] = ["id", "total_steps", "seed", "options"];

impl Episode {
    /// `T`, the number of steps.
    #[must_use]
    pub fn total_steps(&self) -> usize {
        self.rewards.len()
    }

    /// Checks lengths, shapes and kinds, as they must be to be written.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] names the first place that does not fit, with the parts of a space as `observations.name`.
    pub fn validate(&self, spaces: &Spaces) -> Result<(), DataError> {
        let steps = self.total_steps();
        if steps == 0 {
            return Err(DataError::mismatch("rewards", "of at least 1 step", 0));
        }
        self.observations.check(&spaces.observation, steps + 1, "observations")?;
        self.actions.check(&spaces.action, steps, "actions")?;
        for (place, rows) in
            [("terminations", self.terminations.len()), ("truncations", self.truncations.len())]
        {
            if rows != steps {
                return Err(DataError::mismatch(place, format!("of {steps} rows"), rows));
            }
        }
        if let Some(infos) = &self.infos {
            if !matches!(infos, Column::Dict(parts) if !parts.is_empty()) {
                return Err(DataError::mismatch("infos", "named parts", infos.kind()));
            }
            infos.check_rows(steps + 1, "infos")?;
            check_infos(infos, "infos")?;
        }
        if let Some(options) = &self.options
            && options.as_object().is_none()
        {
            return Err(DataError::mismatch("options", "an object", options.kind()));
        }
        match self.attributes.keys().find(|name| OWN_ATTRIBUTES.contains(&name.as_str())) {
            Some(name) => Err(DataError::mismatch("attributes", format!("none of {OWN_ATTRIBUTES:?}"), name)),
            None => Ok(()),
        }
    }

    /// Checks what was read. The kinds of numbers are left as the file has them, since environments are often recorded with
    /// others than their space says, and so are infos of `T` rows, which Minari's functions for buffers write.
    pub(crate) fn check_read(&self, spaces: &Spaces) -> Result<(), DataError> {
        let steps = self.total_steps();
        check_shapes(&self.observations, &spaces.observation, "observations")?;
        check_shapes(&self.actions, &spaces.action, "actions")?;
        self.observations.check_rows(steps + 1, "observations")?;
        self.actions.check_rows(steps, "actions")?;
        for (place, rows) in
            [("terminations", self.terminations.len()), ("truncations", self.truncations.len())]
        {
            if rows != steps {
                return Err(DataError::mismatch(place, format!("of {steps} rows"), rows));
            }
        }
        match &self.infos {
            Some(infos) if infos.check_rows(steps, "infos").is_err() => infos.check_rows(steps + 1, "infos"),
            _ => Ok(()),
        }
    }

    /// Bytes of all rows, about.
    pub(crate) fn size(&self) -> usize {
        let infos = self.infos.as_ref().map_or(0, Column::size);
        self.observations.size() + self.actions.size() + infos + self.rewards.len() * 10
    }
}

/// What the readers of all formats find, before it is put together.
pub(crate) struct Parts {
    pub(crate) observations: Column,
    pub(crate) actions: Column,
    pub(crate) rewards: Vec<f64>,
    pub(crate) terminations: Vec<bool>,
    pub(crate) truncations: Vec<bool>,
    pub(crate) infos: Option<Column>,
}

impl Parts {
    /// Checks everything against each other, the metadata of the episode and the spaces.
    pub(crate) fn into_episode(
        self,
        index: u64,
        mut attributes: BTreeMap<String, Value>,
        spaces: &Spaces,
    ) -> Result<Episode, DataError> {
        let mut integer = |name: &str| match attributes.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64() {
                Some(integer) => Ok(Some(integer)),
                None => Err(DataError::mismatch(name, "an integer of 64 bits", value.to_json())),
            },
        };
        let (id, total_steps, seed) = (integer("id")?, integer("total_steps")?, integer("seed")?);
        let steps = self.rewards.len();
        for (name, expected, found) in [("id", index, id), ("total_steps", steps as u64, total_steps)] {
            if found.is_some_and(|found| u64::try_from(found) != Ok(expected)) {
                return Err(DataError::mismatch(name, expected.to_string(), found.unwrap_or_default()));
            }
        }
        let options = attributes.remove("options").filter(|options| *options != Value::Null);
        let Self { observations, actions, rewards, terminations, truncations, infos } = self;
        let episode = Episode {
            seed,
            options,
            observations,
            actions,
            rewards,
            terminations,
            truncations,
            infos,
            attributes,
        };
        episode.check_read(spaces)?;
        Ok(episode)
    }

    /// Parts of infos, sorted by name, or those of a tuple, whose names are a prefix and a position.
    pub(crate) fn infos(
        mut parts: Vec<(String, Column)>,
        prefix: &str,
        is_outermost: bool,
    ) -> Option<Column> {
        let position = |name: &str| name.strip_prefix(prefix).and_then(|digits| digits.parse::<usize>().ok());
        let is_tuple = !is_outermost
            && (0..parts.len())
                .all(|index| parts.iter().any(|(name, _)| *name == format!("{prefix}{index}")));
        if parts.is_empty() {
            return None;
        }
        if is_tuple {
            parts.sort_by_key(|(name, _)| position(name));
            return Some(Column::Tuple(parts.into_iter().map(|(_, part)| part).collect()));
        }
        parts.sort_by(|(one, _), (other, _)| one.cmp(other));
        Some(Column::Dict(parts))
    }
}

fn check_shapes(column: &Column, space: &Space, place: &str) -> Result<(), DataError> {
    match (column, space) {
        (Column::Dict(parts), Space::Dict(spaces)) => {
            let mut pairs = parts.iter().zip(spaces);
            pairs.try_for_each(|((name, part), (_, space))| {
                check_shapes(part, space, &format!("{place}.{name}"))
            })
        }
        (Column::Tuple(parts), Space::Tuple(spaces)) => {
            let mut pairs = parts.iter().zip(spaces).enumerate();
            pairs
                .try_for_each(|(index, (part, space))| check_shapes(part, space, &format!("{place}.{index}")))
        }
        (Column::Array(array), _) => match space.array_kind() {
            Some((_, shape)) if array.shape() == shape => Ok(()),
            Some((_, shape)) => {
                Err(DataError::mismatch(place, format!("of shape {shape:?}"), format!("{:?}", array.shape())))
            }
            None => Err(DataError::mismatch(place, format!("what {} holds", space.kind()), "an array")),
        },
        // The readers make texts and frames only where the space says so.
        _ => Ok(()),
    }
}

/// Infos have no space: what cannot come back as it was is refused.
fn check_infos(infos: &Column, place: &str) -> Result<(), DataError> {
    match infos {
        Column::Jpeg(_) => Err(DataError::mismatch(place, "arrays or texts", infos.kind())),
        Column::Array(_) | Column::Text(_) => Ok(()),
        Column::Dict(parts) => {
            if parts.is_empty() || !parts.is_sorted_by(|one, other| one.0 < other.0) {
                let names: Vec<_> = parts.iter().map(|(name, _)| name).collect();
                return Err(DataError::mismatch(
                    place,
                    "parts sorted by name, each once",
                    format!("{names:?}"),
                ));
            }
            if let Some((name, _)) =
                parts.iter().find(|(name, _)| name.is_empty() || name == "." || name.contains('/'))
            {
                return Err(DataError::mismatch(
                    place,
                    "named without / and not . or nothing",
                    format!("{name:?}"),
                ));
            }
            parts.iter().try_for_each(|(name, part)| check_infos(part, &format!("{place}.{name}")))
        }
        Column::Tuple(parts) if parts.is_empty() => {
            Err(DataError::mismatch(place, "at least one part", "none"))
        }
        Column::Tuple(parts) => {
            let mut parts = parts.iter().enumerate();
            parts.try_for_each(|(index, part)| check_infos(part, &format!("{place}.{index}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;

    fn spaces() -> Spaces {
        let discrete = || Space::Discrete { start: 0, n: 4 };
        Spaces { observation: discrete(), action: discrete() }
    }

    fn episode() -> Episode {
        Episode {
            seed: None,
            options: None,
            observations: Column::Array(Array::from_i64(&[0, 1, 2])),
            actions: Column::Array(Array::from_i64(&[3, 3])),
            rewards: vec![0.0, 1.0],
            terminations: vec![false, true],
            truncations: vec![false, false],
            infos: None,
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn there_is_one_observation_more_than_actions() {
        episode().validate(&spaces()).expect("right");
        let observations = Column::Array(Array::from_i64(&[0, 1]));
        let error = Episode { observations, ..episode() }.validate(&spaces()).expect_err("two").to_string();
        assert_eq!(error, "observations must be of 3 rows, got 2");
        let error =
            Episode { truncations: vec![], ..episode() }.validate(&spaces()).expect_err("none").to_string();
        assert_eq!(error, "truncations must be of 2 rows, got 0");
    }

    #[test]
    fn infos_are_named_parts_in_order() {
        let part = |name: &str| (name.to_owned(), Column::Array(Array::from_f64(&[0.0; 3])));
        let validate = |parts| Episode { infos: Some(Column::Dict(parts)), ..episode() }.validate(&spaces());
        validate(vec![part("a"), part("b")]).expect("right");
        validate(vec![part("b"), part("a")]).expect_err("not sorted");
        validate(vec![part("a"), part("a")]).expect_err("twice");
        validate(vec![part("a/b")]).expect_err("a path");
    }

    #[test]
    fn attributes_cannot_take_the_names_of_fields() {
        let attributes = BTreeMap::from([("seed".to_owned(), Value::Integer(1))]);
        Episode { attributes, ..episode() }.validate(&spaces()).expect_err("a second seed");
    }
}
