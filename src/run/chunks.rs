//! Chunks of replay buffers as files beside the checkpoints that refer to them.
//!
//! A buffer's full chunks never change, so each is written once, by the first checkpoint that needs it, and removed with the
//! last one that refers to it. A file is named by its chunk and the checksum of its content: a run that was resumed from an
//! older checkpoint, and in asynchronous mode takes another way, cannot mix up its chunks with those of before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use agon_agents::AgentError;
use agon_agents::chunks::ChunkStore;

use super::checkpoint;
use super::chunk_file::ChunkFile;
use crate::RunError;
use crate::error::AtPath;
use crate::signing::Source;

/// The chunk files of a run.
#[derive(Debug)]
pub(crate) struct ChunkFiles {
    directory: PathBuf,
    /// What the files are read from.
    source: Source,
    /// The files of this run's chunks, by key.
    known: BTreeMap<String, ChunkFile>,
    /// Chunks that the checkpoint in the making refers to.
    used: Vec<ChunkFile>,
    /// Names of the files that each checkpoint refers to, by its step.
    references: BTreeMap<u64, BTreeSet<String>>,
}

impl ChunkFiles {
    /// Beside the checkpoints of `directory`, with the chunks that a run goes on from.
    pub(crate) fn new(directory: PathBuf, chunks: &[ChunkFile]) -> Self {
        let known = chunks.iter().map(|chunk| (chunk.key().to_owned(), chunk.clone())).collect();
        let source = Source::trusted(&directory);
        Self { directory, source, known, used: Vec::new(), references: BTreeMap::new() }
    }

    /// Reads them from a run whose files may have to be signed.
    pub(crate) fn read_from(mut self, source: &Source) -> Self {
        self.source = source.clone();
        self
    }

    /// The chunks that were asked for since the last call: those that a checkpoint refers to.
    pub(crate) fn take_used(&mut self) -> Vec<ChunkFile> {
        std::mem::take(&mut self.used)
    }

    /// A checkpoint was written that refers to these chunks: removes the files that none refers to.
    pub(crate) fn keep(&mut self, env_steps: u64, chunks: &[ChunkFile]) -> Result<(), RunError> {
        self.references.insert(env_steps, chunks.iter().map(ChunkFile::name).collect());
        let kept = checkpoint::steps(&self.directory)?;
        self.references.retain(|step, _| kept.contains(step));
        let mut files = self.files()?;
        if files.is_empty() {
            return Ok(());
        }
        for &step in &kept {
            if !self.references.contains_key(&step) {
                // From before a resume. A checkpoint that is damaged keeps nothing.
                let path = checkpoint::path_of(&self.directory, step);
                let chunks = checkpoint::read(&path).map(|state| state.chunks).unwrap_or_default();
                self.references.insert(step, chunks.iter().map(ChunkFile::name).collect());
            }
        }
        files.retain(|name| !self.references.values().any(|names| names.contains(name)));
        for name in files {
            let path = self.directory.join(name);
            fs::remove_file(&path).at("cannot remove", &path)?;
        }
        let newest = &self.references[&env_steps];
        self.known.retain(|_, chunk| newest.contains(&chunk.name()));
        Ok(())
    }

    /// Names of all chunk files.
    fn files(&self) -> Result<Vec<String>, RunError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).at("cannot read", &self.directory)? {
            let name = entry.at("cannot read", &self.directory)?.file_name();
            names.extend(name.to_str().filter(|name| name.ends_with(".chunk")).map(str::to_owned));
        }
        Ok(names)
    }
}

impl ChunkStore for ChunkFiles {
    fn put(
        &mut self,
        key: &str,
        content: &mut dyn FnMut() -> Result<Vec<u8>, AgentError>,
    ) -> Result<(), AgentError> {
        let file = match self.known.get(key) {
            Some(file) => file.clone(),
            None => {
                ChunkFile::write(&self.directory, key, &content()?).map_err(|error| failed(key, &error))?
            }
        };
        self.known.insert(key.to_owned(), file.clone());
        self.used.push(file);
        Ok(())
    }

    fn get(&self, key: &str, most: u64) -> Result<Vec<u8>, AgentError> {
        let missing = || AgentError::Chunk { key: key.to_owned(), message: "there is none".to_owned() };
        let file = self.known.get(key).ok_or_else(missing)?;
        file.read(&self.source, &self.directory, most).map_err(|error| failed(key, &error))
    }
}

fn failed(key: &str, error: &RunError) -> AgentError {
    AgentError::Chunk { key: key.to_owned(), message: error.chain() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(files: &mut ChunkFiles, key: &str, content: &[u8]) -> bool {
        let mut asked = false;
        files
            .put(key, &mut || {
                asked = true;
                Ok(content.to_vec())
            })
            .unwrap();
        asked
    }

    #[test]
    fn a_chunk_is_written_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = ChunkFiles::new(directory.path().to_owned(), &[]);
        assert!(put(&mut files, "replay-0-00000000", &[7; 5000]));
        assert!(!put(&mut files, "replay-0-00000000", &[7; 5000]), "the content is not asked for again");
        let used = files.take_used();
        assert!(used.len() == 2 && files.take_used().is_empty());
        let resumed = ChunkFiles::new(directory.path().to_owned(), &used);
        assert_eq!(resumed.get("replay-0-00000000", 5000).unwrap(), [7; 5000]);
        let error = resumed.get("replay-0-00000001", 5000).unwrap_err().to_string();
        assert_eq!(error, "chunk replay-0-00000001 of the replay buffer: there is none");
        let path = directory.path().join(used[0].name());
        assert!(fs::metadata(&path).unwrap().len() < 100, "it is compressed");
    }
}
