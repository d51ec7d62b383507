//! The state of the vector registers.

/// Clears the upper halves of the vector registers.
///
/// A foreign kernel of 256-bit or 512-bit instructions may leave them in use; then the 128-bit instructions of everything else
/// in the thread take several times as long. To be called after it.
pub fn clear_upper_halves() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instruction, and no value of ours lives in the upper half of a register across a call.
        unsafe { std::arch::x86_64::_mm256_zeroupper() };
    }
}
