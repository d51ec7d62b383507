//! What is signed: an in-toto statement with the SHA-256 of every file.

use serde::{Deserialize, Serialize};

use super::files::{self, Digests};
use crate::RunError;
use crate::hash;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";
const METHOD: &str = "files";
const HASH: &str = "sha256";

/// What was signed of a model.
#[derive(Debug, PartialEq)]
pub(super) struct Statement {
    /// The name of its directory or file, which says nothing to a verifier.
    pub(super) name: String,
    /// SHA-256 of each file, by its path's parts.
    pub(super) resources: Digests,
    /// Paths that were left out, relative to the directory.
    pub(super) ignored: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
struct SubjectDigest {
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore_paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

impl Statement {
    /// Its JSON.
    pub(super) fn to_json(&self) -> Result<String, RunError> {
        let resource = |(path, digest): (&files::Parts, &hash::Sha)| Resource {
            name: files::joined(path),
            algorithm: HASH.to_owned(),
            digest: hash::hex(digest),
        };
        let all: Vec<u8> = self.resources.values().flatten().copied().collect();
        let json = Json {
            kind: STATEMENT.to_owned(),
            subject: vec![Subject {
                name: self.name.clone(),
                digest: SubjectDigest { sha256: hash::hex(&hash::of_bytes(&all)) },
            }],
            predicate_type: PREDICATE.to_owned(),
            predicate: Predicate {
                serialization: Serialization {
                    method: METHOD.to_owned(),
                    hash_type: HASH.to_owned(),
                    allow_symlinks: false,
                    ignore_paths: self.ignored.clone(),
                },
                resources: self.resources.iter().map(resource).collect(),
            },
        };
        serde_json::to_string_pretty(&json).map_err(|error| RunError::Config(error.to_string()))
    }

    /// Reads one, or says what is wrong with it.
    pub(super) fn from_json(text: &[u8]) -> Result<Self, String> {
        /// The one field that all versions have.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            #[serde(rename = "_type")]
            kind: String,
            predicate_type: String,
        }
        let named = |error: serde_json::Error| format!("expected a statement: {error}");
        let Kind { kind, predicate_type } = serde_json::from_slice(text).map_err(named)?;
        for (expected, found) in [(STATEMENT, kind), (PREDICATE, predicate_type)] {
            if found != expected {
                return Err(format!("expected a statement of {expected}, found {found}"));
            }
        }
        let Json { subject, predicate: Predicate { serialization, resources }, .. } =
            serde_json::from_slice(text).map_err(named)?;
        let Serialization { method, hash_type, allow_symlinks, ignore_paths } = serialization;
        if (method.as_str(), hash_type.as_str(), allow_symlinks) != (METHOD, HASH, false) {
            let links = if allow_symlinks { ", following links" } else { "" };
            return Err(format!(
                "expected whole files hashed with {HASH} and no links, found {method} with {hash_type}{links}"
            ));
        }
        let [subject] = subject.as_slice() else {
            return Err(format!("expected one subject, found {}", subject.len()));
        };
        let (mut all, mut found) = (Vec::new(), Digests::new());
        for Resource { name, algorithm, digest } in resources {
            if algorithm != HASH {
                return Err(format!("expected {HASH} of {name}, found {algorithm}"));
            }
            let Some(digest) = hash::parse(&digest) else {
                return Err(format!("expected 64 hexadecimal digits of {name}, found {digest}"));
            };
            let Some(path) = files::parts(&name) else {
                return Err(format!("expected a path within the model, found {name}"));
            };
            all.extend(digest);
            if found.insert(path, digest).is_some() {
                return Err(format!("expected each file once, found {name} again"));
            }
        }
        let digest = hash::hex(&hash::of_bytes(&all));
        if digest != subject.digest.sha256 {
            let expected = &subject.digest.sha256;
            return Err(format!("expected files whose hashes have SHA-256 {expected}, found {digest}"));
        }
        Ok(Self { name: subject.name.clone(), resources: found, ignored: ignore_paths })
    }
}
