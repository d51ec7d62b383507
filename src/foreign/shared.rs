//! The file in memory through which actions and outcomes go.
//!
//! ```text
//! this program writes   | actions [N, W]: u32 or f32 | active [N]: u8 |
//! the process writes    | rewards [N]: f64 | terminated [N]: u8 | truncated [N]: u8 | metrics [N, M]: f64 |
//!                       | masks [N, A]: u8 | observations [N, O]: f32 or u8 |
//! ```
//!
//! The process maps it; this program reads and writes it, each side of a step in one go, which needs no `unsafe`. It has a
//! name only until both have opened it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use agon_envs::spaces::Dtype;
use agon_envs::{ActionBatch, ObsBuffer, RowSet, StepBatch, VectorInfo};
use serde::Serialize;

/// Parts begin at multiples of so many bytes.
const ALIGNMENT: usize = 64;
/// Where files are in memory.
const MEMORY: &str = "/dev/shm";

/// Where the parts of the file begin, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Layout {
    num_envs: usize,
    actions: usize,
    active: usize,
    rewards: usize,
    terminated: usize,
    truncated: usize,
    metrics: usize,
    masks: usize,
    observations: usize,
    size: usize,
}

impl Layout {
    fn new(info: &VectorInfo) -> Self {
        let rows = info.num_rows();
        let mut end = 0;
        let mut part = |bytes: usize| {
            let start = usize::next_multiple_of(end, ALIGNMENT);
            end = start + bytes;
            start
        };
        let element = match info.dtype() {
            Dtype::F32 => 4,
            Dtype::U8 => 1,
        };
        let [actions, active] = [4 * rows * info.action_spec.width(), rows].map(&mut part);
        let [rewards, terminated, truncated] = [8 * rows, rows, rows].map(&mut part);
        let [metrics, masks] = [8 * rows * info.metrics.len(), rows * info.mask_len].map(&mut part);
        let observations = part(element * rows * info.observation_len());
        let size = end;
        let num_envs = info.num_envs;
        Self { num_envs, actions, active, rewards, terminated, truncated, metrics, masks, observations, size }
    }
}

/// This program's side of the file.
pub(super) struct Shared {
    file: File,
    /// Its name, which is removed in the end if nobody has done so.
    path: PathBuf,
    layout: Layout,
    /// What is written or was read, as it lies in the file.
    bytes: Vec<u8>,
}

/// What the process needs to open it.
#[derive(Serialize)]
pub(super) struct Address<'a> {
    path: &'a Path,
    #[serde(flatten)]
    layout: Layout,
}

impl Shared {
    /// A file for a vector environment: in memory if there is room.
    pub(super) fn new(info: &VectorInfo) -> io::Result<Self> {
        let layout = Layout::new(info);
        let create = |folder: &Path| {
            let path = folder.join(unused_name());
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            let shared = Self { file, path, layout, bytes: Vec::new() };
            // Written in full: a page that there is no room for would kill whoever touches it first.
            shared.file.write_all_at(&vec![0; layout.size], 0)?;
            Ok::<_, io::Error>(shared)
        };
        create(Path::new(MEMORY)).or_else(|_| create(&std::env::temp_dir()))
    }

    pub(super) fn address(&self) -> Address<'_> {
        Address { path: &self.path, layout: self.layout }
    }

    /// Writes actions, and which rows they are for.
    pub(super) fn write_actions(&mut self, actions: &ActionBatch, active: &RowSet) -> io::Result<()> {
        let Self { file, layout, bytes, .. } = self;
        bytes.clear();
        match actions {
            ActionBatch::Discrete(values) => {
                bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
            }
            ActionBatch::Continuous(values) => {
                bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
            }
        }
        bytes.resize(layout.active, 0);
        push_flags(bytes, active, layout.num_envs);
        file.write_all_at(bytes, layout.actions as u64)
    }

    /// Writes which rows a request is about.
    pub(super) fn write_active(&mut self, active: &RowSet) -> io::Result<()> {
        self.bytes.clear();
        push_flags(&mut self.bytes, active, self.layout.num_envs);
        self.file.write_all_at(&self.bytes, self.layout.active as u64)
    }

    /// Reads what a step gave to the given rows, and what is said of their episodes so far, `[N, M]`. Others get reward zero
    /// and no flags.
    pub(super) fn read_outcomes(
        &mut self,
        active: &RowSet,
        out: &mut StepBatch,
        episodes: &mut [f64],
    ) -> io::Result<()> {
        self.read_from(self.layout.rewards)?;
        let Layout { num_envs, rewards, terminated, truncated, metrics, .. } = self.layout;
        let at = |part: usize| &self.bytes[part - rewards..];
        for (row, (reward, bytes)) in out.rewards.iter_mut().zip(at(rewards).as_chunks().0).enumerate() {
            *reward = if active.contains(row) { f64::from_ne_bytes(*bytes) } else { 0.0 };
        }
        for (flags, part) in [(&mut out.terminated, terminated), (&mut out.truncated, truncated)] {
            for (row, (flag, byte)) in flags.iter_mut().zip(&at(part)[..num_envs]).enumerate() {
                *flag = *byte != 0 && active.contains(row);
            }
        }
        take_rows(active, episodes, at(metrics).as_chunks().0, num_envs, |bytes| f64::from_ne_bytes(*bytes));
        self.take_situations(rewards, active, out);
        Ok(())
    }

    /// Reads the observations and action masks of the given rows.
    pub(super) fn read_situations(&mut self, rows: &RowSet, out: &mut StepBatch) -> io::Result<()> {
        self.read_from(self.layout.masks)?;
        self.take_situations(self.layout.masks, rows, out);
        Ok(())
    }

    /// Reads the file from there to its end.
    fn read_from(&mut self, start: usize) -> io::Result<()> {
        self.bytes.resize(self.layout.size - start, 0);
        self.file.read_exact_at(&mut self.bytes, start as u64)
    }

    /// Takes observations and action masks out of what was read from `start` on.
    fn take_situations(&self, start: usize, rows: &RowSet, out: &mut StepBatch) {
        let envs = self.layout.num_envs;
        take_rows(rows, &mut out.action_masks, &self.bytes[self.layout.masks - start..], envs, |byte| {
            *byte != 0
        });
        let bytes = &self.bytes[self.layout.observations - start..];
        match &mut out.observations {
            ObsBuffer::F32(values) => {
                let (numbers, _) = bytes.as_chunks();
                take_rows(rows, values, numbers, envs, |bytes| f32::from_ne_bytes(*bytes));
            }
            ObsBuffer::U8(values) => take_rows(rows, values, bytes, envs, |byte| *byte),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The process removes the name as soon as it has opened the file; then there is nothing left to do.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn take_rows<F, T>(rows: &RowSet, to: &mut [T], from: &[F], num_envs: usize, of: impl Fn(&F) -> T) {
    let len = to.len() / num_envs.max(1);
    if rows.is_all() {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = of(from));
        return;
    }
    for range in rows.iter().map(|row| row * len..(row + 1) * len) {
        to[range.clone()].iter_mut().zip(&from[range]).for_each(|(to, from)| *to = of(from));
    }
}

fn push_flags(bytes: &mut Vec<u8>, rows: &RowSet, num_envs: usize) {
    bytes.extend((0..num_envs).map(|row| u8::from(rows.contains(row))));
}

/// A name that no other file of this machine has.
fn unused_name() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("agon-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}
