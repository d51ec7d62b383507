//! Signatures of models: who vouches for the files of a run, or for a single file, and whether they are still those.
//!
//! The format is that of OpenSSF's model signing, version 1.0: a `model.sig` beside the files is a bundle of Sigstore's in JSON,
//! with a DSSE envelope around an in-toto statement that has the SHA-256 of every file. Its official tool verifies what is
//! signed here with a key, and what it signs with one is verified here, as long as it hashes whole files with SHA-256, which is
//! its default. Keys are PEM files of the curves P-256, P-384 and P-521.
//!
//! [`sign`] and [`verify`] look at all files. A program that only loads a policy demands a signature of what it reads, see
//! [`Setup::require_signature`](crate::setup::Setup::require_signature).

mod bundle;
mod demand;
mod files;
mod keys;
mod statement;

use std::path::{Path, PathBuf};

use crate::RunError;
use crate::error::AtPath;
use crate::run::RunDirectory;
use crate::run::directory::{LOCK, write_atomically};
pub use demand::REQUIRE_SIGNATURE;
pub(crate) use demand::Source;
pub use files::Differences;
pub use keys::{PrivateKey, PublicKey};
use statement::Statement;

/// The file of a directory's signature.
pub const SIGNATURE: &str = "model.sig";

/// How the signature of a single file is called: after the file, with this at its end.
const ENDING: &str = "sig";

/// Files of a directory that are not signed: the signature, the lock of a run, and what belongs to git and not to the model.
const IGNORED: [&str; 6] = [SIGNATURE, LOCK, ".git", ".gitattributes", ".github", ".gitignore"];

/// A signature is no larger.
const MOST_BYTES: u64 = 256 << 20;

/// What was signed, or verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signature's file.
    pub signature: PathBuf,
    /// Files that it is of.
    pub files: usize,
    /// Paths whose files were left out, relative to the directory.
    pub ignored: Vec<String>,
}

/// The signature of a directory or file, if nobody says another place: `model.sig` in the directory, or the file's name with
/// `.sig` at its end.
pub fn default_signature(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join(SIGNATURE);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ENDING);
    path.with_file_name(name)
}

/// Signs all files of a directory but those below `ignored` paths, or a single file, and writes the signature.
///
/// # Errors
/// If a process is working on it as a run; if there is a link, or a file whose name is no text; if an ignored path lies outside;
/// or if a file cannot be read or written.
pub fn sign(
    path: &Path,
    key: &PrivateKey,
    signature: &Path,
    ignored: &[PathBuf],
) -> Result<Signed, RunError> {
    // What is being written cannot be vouched for.
    let _lock = if RunDirectory::exists(path) { Some(RunDirectory::open(path)?.0.lock()?) } else { None };
    let mut left_out: Vec<String> = Vec::new();
    if path.is_dir() {
        left_out.extend(IGNORED.map(str::to_owned));
        for file in ignored {
            left_out.push(files::inside(path, file)?);
        }
        // It may lie outside.
        left_out.extend(files::inside(path, signature).ok());
        left_out.sort();
        left_out.dedup();
    }
    let statement = Statement {
        name: files::name(path)?,
        resources: files::digests(path, &left_out)?,
        ignored: left_out.clone(),
    };
    let text = bundle::seal(&statement.to_json()?, key)?;
    write_atomically(signature, text.as_bytes())?;
    Ok(Signed { signature: signature.to_owned(), files: statement.resources.len(), ignored: left_out })
}

/// Checks that a signature is the key's and that the files are those that were signed, all of them and, unless `ignore_unsigned`
/// says that others may be there, no other ones.
///
/// # Errors
/// If the signature is missing, damaged, or another key's, or naming the files that were changed, added or removed.
pub fn verify(
    path: &Path,
    key: &PublicKey,
    signature: &Path,
    ignore_unsigned: bool,
) -> Result<Signed, RunError> {
    let statement = read(signature, key)?;
    let mut ignored = statement.ignored.clone();
    // It may be called by another name than when it was written.
    ignored.extend(files::inside(path, signature).ok());
    let differences = if ignore_unsigned {
        files::differences_of_signed(path, &statement.resources)?
    } else {
        files::differences(&files::digests(path, &ignored)?, &statement.resources)
    };
    if !differences.is_none() {
        return Err(wrong(path, format!("it is not as it was signed: {differences}")));
    }
    Ok(Signed {
        signature: signature.to_owned(),
        files: statement.resources.len(),
        ignored: statement.ignored,
    })
}

/// What a signature says, which is the key's.
fn read(signature: &Path, key: &PublicKey) -> Result<Statement, RunError> {
    if !signature.is_file() {
        return Err(wrong(signature, "expected a signature, found none".to_owned()));
    }
    let length = signature.metadata().at("cannot read", signature)?.len();
    if length > MOST_BYTES {
        return Err(wrong(signature, format!("expected at most {MOST_BYTES} bytes, found {length}")));
    }
    let text = std::fs::read(signature).at("cannot read", signature)?;
    let named = |message: String| wrong(signature, message);
    let statement = bundle::open(&text, key).map_err(named)?;
    Statement::from_json(&statement).map_err(named)
}

/// What is wrong with a signature, a key or what they are of.
fn wrong(path: &Path, message: String) -> RunError {
    RunError::Signature { path: path.to_owned(), message }
}

#[cfg(test)]
mod tests;
