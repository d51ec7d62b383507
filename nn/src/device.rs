//! The dfdx device that all tensors of this crate live on.

use std::sync::LazyLock;

use dfdx::tensor::Cpu;

/// One device, without dfdx's allocation cache: `TensorCache::try_pop` of dfdx 0.13 looks for a block under a read lock and
/// takes it under a write lock, so two threads that want the last block of a size panic. Large blocks are kept by the
/// layers' own pools and by the program's allocator instead.
pub(crate) fn device() -> &'static Cpu {
    static DEVICE: LazyLock<Cpu> = LazyLock::new(|| Cpu::seed_from_u64(0));
    &DEVICE
}
