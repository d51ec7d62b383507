//! What `metadata.json` says of a data set.

use std::path::Path;

use crate::{DataError, DataSetId, Format, Space, Spaces, Value};

/// The version of Minari whose layout is written, as the metadata name it. Minari refuses versions that it does not know.
pub const MINARI_VERSION: &str = "0.5.4";

/// Versions that are read: those that Minari 0.5.4 supports begin so.
const VERSIONS_READ: [&str; 2] = ["0.4.", "0.5."];

const FILE: &str = "metadata.json";

/// No `metadata.json` is longer: bounds of an image space are a number a pixel.
const MAXIMUM_FILE_SIZE: u64 = 256 << 20;

/// What is known of a data set as a whole. [`new`](Metadata::new) makes one to be filled in and written.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// The identifier.
    pub dataset_id: DataSetId,
    /// What observations and actions may be.
    pub spaces: Spaces,
    /// How the environment is made, a JSON text of Gymnasium.
    pub env_spec: Option<String>,
    /// How another environment for evaluation is made.
    pub eval_env_spec: Option<String>,
    /// The kind of files.
    pub data_format: Format,
    /// Whether the frames of image spaces are JPEG files. Data sets of before Minari 0.5.4 do not say, and are.
    pub jpeg_encoding: bool,
    /// How many episodes. A writer counts them.
    pub total_episodes: u64,
    /// How many steps in all episodes. A writer counts them.
    pub total_steps: u64,
    /// Size of all files in megabytes, rounded to a tenth. A writer counts it.
    pub dataset_size: Option<f64>,
    /// What is in it and how it came to be.
    pub description: Option<String>,
    /// What acted.
    pub algorithm_name: Option<String>,
    /// Who recorded it.
    pub author: Vec<String>,
    /// How to reach them.
    pub author_email: Vec<String>,
    /// Where the code is that recorded it.
    pub code_permalink: Option<String>,
    /// The version of Minari whose layout it has.
    pub minari_version: String,
    /// Packages that the environment needs, in the form of pip.
    pub requirements: Vec<String>,
    /// The mean return of a policy that acts at random.
    pub ref_min_score: Option<f64>,
    /// The mean return of an expert.
    pub ref_max_score: Option<f64>,
    /// Over how many episodes the two are means.
    pub num_episodes_average_score: Option<u64>,
    /// The identifiers of those that it was put together from.
    pub combined_datasets: Vec<String>,
    /// All other entries, in order.
    pub other: Vec<(String, Value)>,
}

impl Metadata {
    /// Metadata of a data set that has no episode yet, with raw pixels and nothing told beyond what must be.
    #[must_use]
    pub fn new(dataset_id: DataSetId, spaces: Spaces, data_format: Format) -> Self {
        Self {
            dataset_id,
            spaces,
            env_spec: None,
            eval_env_spec: None,
            data_format,
            jpeg_encoding: false,
            total_episodes: 0,
            total_steps: 0,
            dataset_size: None,
            description: None,
            algorithm_name: None,
            author: Vec::new(),
            author_email: Vec::new(),
            code_permalink: None,
            minari_version: MINARI_VERSION.to_owned(),
            requirements: Vec::new(),
            ref_min_score: None,
            ref_max_score: None,
            num_episodes_average_score: None,
            combined_datasets: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Reads the text of a `metadata.json`.
    ///
    /// # Errors
    /// [`DataError`] names the entry that is missing or not as it should be.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let Value::Object(entries) = Value::parse(text)? else {
            return Err(DataError::mismatch(FILE, "an object", "something else"));
        };
        let mut entries = Entries(entries);
        let id = entries.required("dataset_id", Entries::text)?;
        let data_format = entries.required("data_format", Entries::text)?;
        let data_format = Format::from_name(&data_format)
            .ok_or_else(|| DataError::unsupported("data_format", format!("files of kind {data_format}")))?;
        let minari_version = entries.required("minari_version", Entries::text)?;
        if !VERSIONS_READ.iter().any(|version| minari_version.starts_with(version)) {
            return Err(DataError::unsupported(
                "minari_version",
                format!("version {minari_version}, only 0.4 and 0.5 are"),
            ));
        }
        let space = |text: String, name: &str| Space::parse(&text).map_err(DataError::within(name));
        let spaces = Spaces {
            observation: space(entries.required("observation_space", Entries::text)?, "observation_space")?,
            action: space(entries.required("action_space", Entries::text)?, "action_space")?,
        };
        Ok(Self {
            dataset_id: id.parse()?,
            spaces,
            env_spec: entries.text("env_spec")?,
            eval_env_spec: entries.text("eval_env_spec")?,
            data_format,
            jpeg_encoding: entries.flag("jpeg_encoding")?.unwrap_or(true),
            total_episodes: entries.required("total_episodes", Entries::count)?,
            total_steps: entries.required("total_steps", Entries::count)?,
            dataset_size: entries.number("dataset_size")?,
            description: entries.text("description")?,
            algorithm_name: entries.text("algorithm_name")?,
            author: entries.texts("author")?,
            author_email: entries.texts("author_email")?,
            code_permalink: entries.text("code_permalink")?,
            minari_version,
            requirements: entries.texts("requirements")?,
            ref_min_score: entries.number("ref_min_score")?,
            ref_max_score: entries.number("ref_max_score")?,
            num_episodes_average_score: entries.count("num_episodes_average_score")?,
            combined_datasets: entries.texts("combined_datasets")?,
            other: entries.0,
        })
    }

    /// The text of a `metadata.json`, with the entries in the order in which Minari makes them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut entries = Vec::new();
        let mut add =
            |name: &str, value: Option<Value>| entries.extend(value.map(|value| (name.to_owned(), value)));
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        let texts = |texts: &[String]| {
            let list = texts.iter().cloned().map(Value::Text).collect();
            (!texts.is_empty()).then_some(Value::List(list))
        };
        let count = |count: u64| Value::Integer(count.into());
        add("total_episodes", Some(count(self.total_episodes)));
        add("total_steps", Some(count(self.total_steps)));
        add("data_format", Some(Value::Text(self.data_format.name().to_owned())));
        add("jpeg_encoding", Some(Value::Boolean(self.jpeg_encoding)));
        add("observation_space", Some(Value::Text(self.spaces.observation.to_json())));
        add("action_space", Some(Value::Text(self.spaces.action.to_json())));
        add("env_spec", text(&self.env_spec));
        add("dataset_size", self.dataset_size.map(Value::Number));
        add("dataset_id", Some(Value::Text(self.dataset_id.as_str().to_owned())));
        add("code_permalink", text(&self.code_permalink));
        add("author", texts(&self.author));
        add("author_email", texts(&self.author_email));
        add("algorithm_name", text(&self.algorithm_name));
        add("description", text(&self.description));
        add("minari_version", Some(Value::Text(self.minari_version.clone())));
        add("eval_env_spec", text(&self.eval_env_spec));
        add("ref_max_score", self.ref_max_score.map(Value::Number));
        add("ref_min_score", self.ref_min_score.map(Value::Number));
        add("num_episodes_average_score", self.num_episodes_average_score.map(count));
        add("requirements", texts(&self.requirements));
        add("combined_datasets", texts(&self.combined_datasets));
        entries.extend(self.other.iter().cloned());
        Value::Object(entries).to_json()
    }

    pub(crate) fn read(data: &Path) -> Result<Self, DataError> {
        let path = data.join(FILE);
        let text = read_text(&path, MAXIMUM_FILE_SIZE)?;
        Self::parse(&text).map_err(DataError::within(path.display().to_string()))
    }

    pub(crate) fn write(&self, data: &Path) -> Result<(), DataError> {
        let path = data.join(FILE);
        std::fs::write(&path, self.to_json()).map_err(DataError::io("write", &path))
    }
}

/// Reads a text file that may not be longer than that.
pub(crate) fn read_text(path: &Path, maximum: u64) -> Result<String, DataError> {
    let size = std::fs::metadata(path).map_err(DataError::io("read", path))?.len();
    if size > maximum {
        return Err(DataError::mismatch(
            path.display().to_string(),
            format!("of at most {maximum} bytes"),
            size,
        ));
    }
    std::fs::read_to_string(path).map_err(DataError::io("read", path))
}

/// Entries that were not taken yet.
struct Entries(Vec<(String, Value)>);

impl Entries {
    fn required<Taken>(
        &mut self,
        name: &str,
        take: fn(&mut Self, &str) -> Result<Option<Taken>, DataError>,
    ) -> Result<Taken, DataError> {
        take(self, name)?.ok_or_else(|| DataError::mismatch(name, "given", "nothing"))
    }

    /// Takes an entry out; `null` counts as none.
    fn take(&mut self, name: &str) -> Option<Value> {
        let mut taken = None;
        while let Some(index) = self.0.iter().position(|(other, _)| other == name) {
            taken = Some(self.0.remove(index).1);
        }
        taken.filter(|value| *value != Value::Null)
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, DataError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(DataError::mismatch(name, "a text", other.kind())),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, DataError> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Text(text)) => return Ok(vec![text]),
            Some(Value::List(items)) => items,
            Some(other) => return Err(DataError::mismatch(name, "a list of texts", other.kind())),
        };
        let text = |item| match item {
            Value::Text(text) => Ok(text),
            other => Err(DataError::mismatch(name, "a list of texts", other.kind())),
        };
        items.into_iter().map(text).collect()
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, DataError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(other) => Err(DataError::mismatch(name, "a truth value", other.kind())),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, DataError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(DataError::mismatch(name, "a number", value.kind())),
        }
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>, DataError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match &value {
            Value::Integer(count) => {
                u64::try_from(*count).map(Some).map_err(|_| DataError::mismatch(name, "a count", count))
            }
            // NumPy makes floats of counts here and there.
            Value::Number(number) if number.fract() == 0.0 && (0.0..9e15).contains(number) => {
                Ok(Some(*number as u64))
            }
            _ => Err(DataError::mismatch(name, "a count", value.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let discrete = || Space::Discrete { start: 0, n: 4 };
        let id = "ns/test-v0".parse().expect("an id");
        Metadata::new(id, Spaces { observation: discrete(), action: discrete() }, Format::Arrow)
    }

    #[test]
    fn every_entry_comes_back_as_it_was_written() {
        let full = Metadata {
            env_spec: Some("{\"id\": \"CartPole-v1\"}".to_owned()),
            dataset_size: Some(0.1),
            author: vec!["A".to_owned(), "B".to_owned()],
            ref_min_score: Some(f64::NEG_INFINITY),
            num_episodes_average_score: Some(100),
            other: vec![("our_key".to_owned(), Value::List(vec![Value::Integer(1), Value::Null]))],
            ..metadata()
        };
        for metadata in [metadata(), full] {
            assert_eq!(Metadata::parse(&metadata.to_json()).expect("own text"), metadata);
        }
    }

    #[test]
    fn a_data_set_that_does_not_say_has_jpeg_frames() {
        let text = metadata().to_json().replace(r#""jpeg_encoding": false, "#, "");
        assert!(Metadata::parse(&text).expect("right").jpeg_encoding);
    }

    #[test]
    fn missing_and_unknown_entries_are_named() {
        let text = metadata().to_json();
        for (from, to, message) in [
            ("\"dataset_id\"", "\"id\"", "dataset_id must be given, got nothing"),
            ("\"total_steps\": 0", "\"total_steps\": -1", "total_steps must be a count, got -1"),
            ("0.5.4", "0.6.0", "minari_version is not supported: version 0.6.0, only 0.4 and 0.5 are"),
            ("\"arrow\"", "\"lance\"", "data_format is not supported: files of kind lance"),
        ] {
            let error = Metadata::parse(&text.replace(from, to)).expect_err(message).to_string();
            assert_eq!(error, message);
        }
    }
}
