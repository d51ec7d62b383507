//! Where data sets lie: identifiers `(namespace/)name-vN` are paths below one root folder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{DataError, Value};

const NAMESPACE_FILE: &str = "namespace_metadata.json";

/// The identifier of a data set, such as `cartpole/expert-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataSetId {
    namespace: Option<String>,
    name: String,
    version: u64,
    text: String,
}

impl DataSetId {
    /// The folders above it, where there are any.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name without namespace and version.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number after `-v`.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The whole identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folder of the data set.
    #[must_use]
    pub fn folder(&self, root: &Path) -> PathBuf {
        root.join(&self.text)
    }

    /// Makes the folders above the data set, each with the file by which Minari knows a namespace.
    pub(crate) fn make_namespace(&self, root: &Path) -> Result<(), DataError> {
        std::fs::create_dir_all(root).map_err(DataError::io("make", root))?;
        let mut folder = root.to_path_buf();
        for part in self.namespace.iter().flat_map(|namespace| namespace.split('/')) {
            folder.push(part);
            std::fs::create_dir_all(&folder).map_err(DataError::io("make", &folder))?;
            let file = folder.join(NAMESPACE_FILE);
            if !file.exists() {
                std::fs::write(&file, Value::Object(Vec::new()).to_json())
                    .map_err(DataError::io("write", &file))?;
            }
        }
        Ok(())
    }
}

impl FromStr for DataSetId {
    type Err = DataError;

    /// Reads an identifier by Minari's rules: letters, digits, `-` and `_`, a namespace of at least two characters. The
    /// version must be there, as Minari cannot load data sets without one.
    fn from_str(text: &str) -> Result<Self, DataError> {
        let malformed = || DataError::Id { id: text.to_owned() };
        let is_word = |part: &str| {
            !part.is_empty()
                && part.chars().all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-')
        };
        let (namespace, rest) = match text.rsplit_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, text),
        };
        let (name, version) = rest.rsplit_once("-v").ok_or_else(malformed)?;
        let is_number = !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_digit());
        let is_namespace =
            |namespace: &str| namespace.chars().count() >= 2 && namespace.split('/').all(is_word);
        if !is_word(name) || !is_number || !namespace.is_none_or(is_namespace) {
            return Err(malformed());
        }
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            version: version.parse().map_err(|_| malformed())?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for DataSetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The folder where Minari looks for data sets: `MINARI_DATASETS_PATH`, or `.minari/datasets` in the home folder, where one
/// of them is set.
#[must_use]
pub fn root() -> Option<PathBuf> {
    match std::env::var_os("MINARI_DATASETS_PATH") {
        Some(path) => Some(path.into()),
        None => std::env::home_dir().map(|home| home.join(".minari").join("datasets")),
    }
}

/// The data sets below a root, sorted by namespace, name and version. What is not named like a data set is left out.
///
/// # Errors
/// [`DataError::Io`] for a folder that cannot be read.
pub fn list(root: &Path) -> Result<Vec<DataSetId>, DataError> {
    let mut ids = Vec::new();
    let mut folders = vec![(root.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(DataError::io("list", &folder))? {
            let entry = entry.map_err(DataError::io("list", &folder))?;
            // A link may lead back up, so none is followed.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if !is_folder || name.starts_with('.') {
                continue;
            }
            let (path, text) = (entry.path(), format!("{prefix}{name}"));
            if path.join("data").is_dir() {
                ids.extend(text.parse::<DataSetId>());
            } else {
                folders.push((path, format!("{text}/")));
            }
        }
    }
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_those_that_minari_can_load() {
        for (text, namespace, name, version) in [
            ("test-v0", None, "test", 0),
            ("a/b/test-v1-v12", Some("a/b"), "test-v1", 12),
            ("D4RL/door/human-v2", Some("D4RL/door"), "human", 2),
            ("ns/é_-v3", Some("ns"), "é_", 3),
        ] {
            let id: DataSetId = text.parse().expect(text);
            assert_eq!((id.namespace(), id.name(), id.version()), (namespace, name, version));
        }
        for text in [
            "",
            "test",
            "-v0",
            "a/test-v0",
            "ns//test-v0",
            "/test-v0",
            "ns/test-v",
            "../x-v0",
            "ns/../x-v0",
            "x.y-v0",
            "x-v+1",
            "x y-v0",
        ] {
            text.parse::<DataSetId>().expect_err(text);
        }
    }

    #[test]
    fn listing_finds_data_sets_in_namespaces_only() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in [
            "b-v0/data",
            "ns/deep/a-v10/data",
            "ns/deep/a-v9/data",
            "ns/.hidden-v0/data",
            "ns/noversion/data",
            "empty",
        ] {
            std::fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        let ids = list(root.path()).expect("a list");
        let ids: Vec<_> = ids.iter().map(DataSetId::as_str).collect();
        assert_eq!(ids, ["b-v0", "ns/deep/a-v9", "ns/deep/a-v10"]);
    }
}
