//! Reading only what is signed.
//!
//! A file's bytes are read once: what is hashed is what is used, whatever happens to the file meanwhile. Nothing is parsed
//! before its hash is known to be one that the demanded key has signed.

use std::path::{Path, PathBuf};

use super::files::{self, Digests, Parts};
use super::{ENDING, PublicKey, SIGNATURE, default_signature, wrong};
use crate::RunError;
use crate::error::AtPath;
use crate::hash;

/// The variable of the environment that demands signatures: the file of a public key.
pub const REQUIRE_SIGNATURE: &str = "AGON_REQUIRE_SIGNATURE";

/// A run's directory or a file, of which only signed files are read if somebody demands that.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    /// None where nothing is demanded.
    signed: Option<Signed>,
}

#[derive(Clone, Debug)]
struct Signed {
    signature: PathBuf,
    digests: Digests,
    /// The path itself, as the signature names it.
    at: Parts,
}

impl Source {
    /// Of what is known to be one's own.
    pub(crate) fn trusted(path: &Path) -> Self {
        Self { path: path.to_owned(), signed: None }
    }

    /// Of a run's directory or a file that must be signed with this key, if one is demanded.
    ///
    /// The signature of a directory is the `model.sig` in it, else the one in the directory that it lies in, as that of an
    /// experiment; of a file, the one with its name and `.sig`, else the `model.sig` beside it.
    ///
    /// # Errors
    /// If there is none, or it is not the key's.
    pub(crate) fn of(key: Option<&Path>, path: &Path) -> Result<Self, RunError> {
        let Some(key) = key else { return Ok(Self::trusted(path)) };
        let key = PublicKey::load(key)?;
        let whole = path.canonicalize().at("cannot read", path)?;
        let beside = whole.parent().map(|parent| parent.join(SIGNATURE));
        let own = default_signature(&whole);
        let (signature, is_own) = match beside {
            _ if own.is_file() => (own, true),
            Some(beside) if beside.is_file() => (beside, false),
            _ => {
                let expected =
                    if path.is_dir() { SIGNATURE.to_owned() } else { format!("….{ENDING} or {SIGNATURE}") };
                return Err(wrong(
                    path,
                    format!("a signature is required, expected one ({expected}), found none"),
                ));
            }
        };
        let statement = super::read(&signature, &key)?;
        let digests = statement.resources;
        // A single file's signature may be called `model.sig` too.
        let is_alone = whole.is_file() && digests.len() == 1 && digests.contains_key(&Parts::new());
        let at = if is_own || is_alone { Parts::new() } else { vec![files::name(&whole)?] };
        Ok(Self { path: path.to_owned(), signed: Some(Signed { signature, digests, at }) })
    }

    /// The content of a file of it, which is what was signed if that is demanded.
    ///
    /// # Errors
    /// If it cannot be read, was not signed, or was changed since.
    pub(crate) fn read(&self, file: &Path) -> Result<Vec<u8>, RunError> {
        let bytes = std::fs::read(file).at("cannot read", file)?;
        let Some(Signed { signature, digests, at }) = &self.signed else { return Ok(bytes) };
        let below = file.strip_prefix(&self.path).ok().and_then(Path::to_str);
        let below = below.map(|below| below.split(std::path::MAIN_SEPARATOR).filter(|part| !part.is_empty()));
        let name: Option<Parts> =
            below.map(|below| at.iter().cloned().chain(below.map(str::to_owned)).collect());
        let Some(expected) = name.and_then(|name| digests.get(&name)) else {
            let message = format!("a signature is required, and {} is not of this file", signature.display());
            return Err(wrong(file, message));
        };
        let found = hash::of_bytes(&bytes);
        if found == *expected {
            return Ok(bytes);
        }
        let (expected, found) = (hash::hex(expected), hash::hex(&found));
        let message =
            format!("it was changed after it was signed: expected sha256 {expected}, found {found}");
        Err(wrong(file, message))
    }
}
