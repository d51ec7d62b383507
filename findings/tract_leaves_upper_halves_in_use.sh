#!/usr/bin/env bash
# tract: after a graph has run, other code of the same thread is several times slower, until something clears the registers.
#
# What one would guess: a library that runs a network costs the time of its own calls. Kernels with 256-bit and 512-bit
# instructions clear the upper halves of the vector registers before they return, as compilers do at the end of every function.
#
# What happens (tract-core 0.23.9, its hand-written AVX-512 kernels, seen on AMD Zen 5): they return without clearing them. A
# program built for every x86-64, which is Rust's default, then does its 128-bit arithmetic in registers whose upper halves are
# in use: a loop of multiplications and additions takes 9 times as long after one run of a 64 by 64 product (12 ns, then
# 116 ns), for good, until the instruction `vzeroupper` is executed by anybody.
#
# Why it matters: who acts with a policy and steps a simulator in one thread sees a slow simulator; who times a small network of
# their own beside tract in one process measures the wrong thing (ours seemed 4 times slower than it is). Clear the registers
# after each run, build for the machine at hand, or run graphs in a thread of their own.
set -euo pipefail
grep -q avx512f /proc/cpuinfo || { echo "not seen: this processor has no AVX-512"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "upper"
version = "0.0.0"
edition = "2024"
[dependencies]
tract-core = "=0.23.9"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use std::hint::black_box;
use std::time::Instant;
use tract_core::ops::einsum::EinSum;
use tract_core::prelude::*;

/// Arithmetic that becomes 128-bit instructions; the time of a round in nanoseconds.
fn nanoseconds() -> f64 {
    let mut values = [0.5_f32; 64];
    let began = Instant::now();
    for _ in 0..20_000 {
        for value in black_box(&mut values).iter_mut() {
            let x = value.clamp(-2.0, 2.0);
            *value = x * (1.0 + x * (0.5 + x * (0.1 + x * 0.01))) * 0.3;
        }
    }
    began.elapsed().as_nanos() as f64 / 20_000.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> TractResult<()> {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([1, 64]))?;
    let w = model.add_const("w", Tensor::from_shape(&[64, 64], &vec![0.01_f32; 64 * 64])?)?;
    let y = model.wire_node("y", EinSum::new("mk,kn->mn".parse()?, f32::datum_type()), &[x, w])?;
    model.select_output_outlets(&y)?;
    let plan = model.into_optimized()?.into_runnable()?;
    let before = median((0..15).map(|_| nanoseconds()).collect());
    let (mut after, mut cleared) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        plan.run(tvec!(Tensor::from_shape(&[1, 64], &[0.1_f32; 64])?.into_tvalue()))?;
        after.push(nanoseconds());
        // SAFETY: clears the upper halves of the vector registers, which hold nothing here.
        unsafe { std::arch::asm!("vzeroupper", clobber_abi("C")) };
        cleared.push(nanoseconds());
    }
    let (after, cleared) = (median(after), median(cleared));
    println!("before {before:.1} ns, after a run {after:.1} ns, after vzeroupper {cleared:.1} ns");
    std::process::exit(i32::from(after < 2.0 * before || cleared > 1.5 * before));
}
RUST
echo "tract-core 0.23.9"
cargo run --quiet --release --manifest-path "$folder/Cargo.toml"
