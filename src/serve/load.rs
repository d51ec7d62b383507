//! How busy the machine is.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::types::Load;

/// Looks at the machine; its processors are measured from one look to the next.
#[derive(Debug)]
pub(super) struct Meter {
    system: System,
}

impl Meter {
    pub(super) fn new() -> Self {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Self { system: System::new_with_specifics(kinds) }
    }

    pub(super) fn look(&mut self) -> Load {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        // Steps of a percent and of 16 MiB: what is said changes when something does.
        let rounded = |bytes: u64| bytes >> 24 << 24;
        Load {
            processors: (f64::from(self.system.global_cpu_usage())).round() / 100.0,
            cores: self.system.cpus().len(),
            memory_used: rounded(self.system.used_memory()),
            memory_total: self.system.total_memory(),
            load_average: (System::load_average().one * 10.0).round() / 10.0,
        }
    }
}
