//! Whether what a run will need of the machine's memory is there.

use std::fmt::Write as _;

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

/// Refuses `runs` runs side by side that will need `each` bytes and more than is available.
///
/// # Errors
/// [`RunError::Memory`].
pub fn ensure_fits(each: u64, runs: usize) -> Result<(), RunError> {
    ensure_within(each, runs, if each == 0 { 0 } else { available() })
}

fn ensure_within(each: u64, runs: usize, available: u64) -> Result<(), RunError> {
    let needed = each.saturating_mul(runs as u64);
    if needed <= available {
        return Ok(());
    }
    let mut needed = bytes(needed);
    if runs > 1 {
        let _ = write!(needed, " ({runs} runs of {} side by side)", bytes(each));
    }
    Err(RunError::Memory { needed, available: bytes(available) })
}

/// A number of bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
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

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert!(ensure_within(1 << 30, 4, 4 << 30).is_ok());
        assert!(ensure_within(0, 1, 0).is_ok());
        let message = ensure_within(3 << 30, 1, 2 << 30).unwrap_err().to_string();
        let expected = "a full replay buffer takes 3.0 GiB, but only 2.0 GiB of memory are available: \
                        lower agent.buffer_size";
        assert_eq!(message, expected);
        let message = ensure_within(1 << 20, 3, 2 << 20).unwrap_err().to_string();
        assert!(message.contains("takes 3.0 MiB (3 runs of 1.0 MiB side by side)"), "{message}");
        assert!(ensure_within(u64::MAX, 2, u64::MAX - 1).is_err());
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available() > 1 << 20);
    }
}
