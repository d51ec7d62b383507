//! The machine that a process ran on, and the program that it was.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::hash;

/// A machine, as far as results and speed can depend on it. It has no name: whose it is says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, as it gives it.
    pub cpu: String,
    /// Cores that the process could use.
    pub cores: usize,
    /// Memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// The operating system and its version.
    pub os: String,
    /// The kernel's version.
    pub kernel: String,
    /// The architecture that the program was built for, such as `x86_64`.
    pub arch: String,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(kinds);
        let unknown = || "unknown".to_owned();
        Self {
            cpu: system.cpus().first().map_or_else(unknown, |cpu| cpu.brand().trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: system.total_memory(),
            os: System::long_os_version().unwrap_or_else(unknown),
            kernel: System::kernel_version().unwrap_or_else(unknown),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }
}

/// The program that worked on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Agon's version.
    pub version: String,
    /// The commit that Agon was built from, if whoever built it said so in `AGON_BUILD_COMMIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_commit: Option<String>,
    /// SHA-256 of the program's file: of the interpreter, where Python was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Program {
    /// This one.
    pub(super) fn this() -> Self {
        // The file does not change while it runs.
        static SHA256: OnceLock<Option<String>> = OnceLock::new();
        let sha256 = SHA256.get_or_init(|| {
            let path = std::env::current_exe().ok()?;
            hash::of_file(&path).ok().map(|digest| hash::hex(&digest))
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build_commit: option_env!("AGON_BUILD_COMMIT").map(str::to_owned),
            sha256: sha256.clone(),
        }
    }
}
