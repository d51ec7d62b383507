//! The `agon` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Keeps large blocks instead of giving them back to the system: tensors of every step are of the same few sizes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    agon::cli::main(&agon::runtime::Setup::default())
}
