//! Whether what a run will need of the machine's memory is there.
//!
//! The estimate is by part and rounded down: it refuses what cannot be had before anything is begun, and is no promise that
//! the rest fits.

use std::fmt::{self, Write as _};

use agon_envs::spaces::Dtype;
use agon_envs::{EnvSpec, MakeOptions, Simulator};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::RunError;

/// Bytes that a program may still take: those of the machine, or of the container it runs in.
pub fn available() -> u64 {
    let system = System::new_with_specifics(
        RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(container)
}

/// Bytes that a run will need at least, by part. Its text names the parts, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What needs them, with the settings that decide how many, and the bytes.
    parts: Vec<(&'static str, u64)>,
}

impl Needs {
    /// Adds a part, unless it needs nothing.
    pub(crate) fn add(&mut self, part: &'static str, bytes: u64) {
        if bytes > 0 {
            self.parts.push((part, bytes));
            self.parts.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        }
    }

    /// Bytes of all parts.
    pub fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, &(_, bytes)| sum.saturating_add(bytes))
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (part, count)) in self.parts.iter().enumerate() {
            write!(f, "{}{} {part}", if i > 0 { ", " } else { "" }, bytes(*count))?;
        }
        Ok(())
    }
}

/// What needs memory for each environment.
pub(crate) const ENVIRONMENTS: &str = "of environments (num_envs)";

/// Bytes that one more environment takes at least: its state, its rows of a batch, its entity.
pub fn of_environment(simulator: &mut Simulator) -> u64 {
    const ENTITY: u64 = 256;
    let element = match simulator.info().dtype() {
        Dtype::F32 => 4,
        Dtype::U8 => 1,
    };
    let row = (simulator.observation_len() as u64).saturating_mul(element);
    let rows = row.saturating_mul(simulator.num_agents() as u64);
    let state = simulator.snapshot().map_or(0, |state| state.len() as u64);
    ENTITY.saturating_add(state).saturating_add(rows)
}

/// Refuses more environments than there is memory for, as far as one of them tells.
///
/// # Errors
/// If none can be made, or [`RunError::Memory`].
pub fn ensure_environments_fit(spec: &EnvSpec, options: &MakeOptions) -> Result<(), RunError> {
    let mut one = spec.make(&MakeOptions { num_envs: 1, ..options.clone() })?;
    let mut needs = Needs::default();
    needs.add(ENVIRONMENTS, of_environment(&mut one).saturating_mul(options.num_envs as u64));
    ensure_fits(&needs, 1)
}

/// Refuses `runs` runs side by side that will each need more than is available for all of them.
///
/// # Errors
/// [`RunError::Memory`].
pub fn ensure_fits(each: &Needs, runs: usize) -> Result<(), RunError> {
    ensure_within(each, runs, available())
}

fn ensure_within(each: &Needs, runs: usize, available: u64) -> Result<(), RunError> {
    let needed = each.total().saturating_mul(runs as u64);
    if needed <= available {
        return Ok(());
    }
    let mut needed = bytes(needed);
    if runs > 1 {
        let _ = write!(needed, " ({runs} runs of {} side by side)", bytes(each.total()));
    }
    Err(RunError::Memory { needed, parts: each.to_string(), available: bytes(available) })
}

/// A number of bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(bytes: u64) -> Needs {
        let mut needs = Needs::default();
        needs.add("of fragments", bytes / 4);
        needs.add("of replay", bytes - bytes / 4);
        needs.add("of nothing", 0);
        needs
    }

    #[test]
    fn what_does_not_fit_is_refused_with_all_numbers() {
        assert!(ensure_within(&needs(1 << 30), 4, 4 << 30).is_ok());
        assert!(ensure_within(&needs(0), 1, 0).is_ok());
        let message = ensure_within(&needs(4 << 30), 1, 2 << 30).unwrap_err().to_string();
        let expected = "at least 4.0 GiB of memory are needed, of which 3.0 GiB of replay, 1.0 GiB of fragments, but \
                        only 2.0 GiB are available";
        assert_eq!(message, expected);
        let message = ensure_within(&needs(1 << 20), 3, 2 << 20).unwrap_err().to_string();
        assert!(message.contains("at least 3.0 MiB (3 runs of 1.0 MiB side by side)"), "{message}");
        assert!(ensure_within(&needs(u64::MAX), 2, u64::MAX - 1).is_err());
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn more_environments_than_memory_are_refused() {
        let registry = agon_envs::Registry::builtin();
        let spec = registry.get("CartPole-v1").unwrap();
        let of = |num_envs| MakeOptions { num_envs, ..MakeOptions::default() };
        ensure_environments_fit(&spec, &of(1000)).unwrap();
        let message = ensure_environments_fit(&spec, &of(1 << 50)).unwrap_err().to_string();
        assert!(message.contains("PiB of environments (num_envs), but only"), "{message}");
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available() > 1 << 20);
    }
}
