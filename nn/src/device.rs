//! The dfdx device that all tensors of this crate live on.

use std::sync::LazyLock;

use dfdx::tensor::{Cache, Cpu};

/// One device with its allocation cache on: a training loop asks for the same sizes again and again, and large
/// blocks fresh from the system cost more in page faults than the arithmetic on them.
pub(crate) fn device() -> &'static Cpu {
    static DEVICE: LazyLock<Cpu> = LazyLock::new(|| {
        let device = Cpu::seed_from_u64(0);
        device.enable_cache();
        device
    });
    &DEVICE
}
