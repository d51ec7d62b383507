#!/usr/bin/env bash
# dfdx 0.13.0, the published crate: matrix products without its `cpu` feature are wrong.
#
# What one would guess: the feature `cpu` brings the `gemm` crate, so leaving it out (`default-features = false`, to compile
# less) makes products slower and otherwise the same; the crate's own description of the feature speaks of speed.
#
# What happens in 0.13.0, the newest published version: the plain loops that stand in for `gemm` overwrite the result with each
# term of the sum instead of adding to it, so that a forward product holds the last term alone: [1 2 3] · [1 1 1]ᵀ is 3, not 6.
# Gradients, which are accumulated, are right, so a network trains, badly and without an error.
#
# Why it matters here: dfdx is the language in which users write parts of networks, and leaving out `gemm` looks like an
# easy way to compile less.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/src"
cat > "$folder/src/main.rs" <<'RUST'
use dfdx::prelude::*;

fn main() {
    let device = Cpu::default();
    let x = device.tensor([[1.0f32, 2.0, 3.0]]);
    let w = device.tensor([[1.0f32], [1.0], [1.0]]);
    let y = x.leaky_trace().matmul(w.clone());
    let value = y.array()[0][0];
    let slope = y.sum::<Rank0, _>().backward().get(&w).array();
    println!("{value} {slope:?}");
}
RUST
run() {
    cat > "$folder/Cargo.toml" <<TOML
[package]
name = "product"
version = "0.1.0"
edition = "2021"
[dependencies]
dfdx = { version = "=0.13.0", default-features = false, features = [$1] }
TOML
    (cd "$folder" && cargo run --quiet)
}
without=$(run '"std"')
with=$(run '"std", "cpu"')
echo "dfdx 0.13.0, [1 2 3] · [1 1 1]ᵀ and its gradient"
echo "  without cpu: $without"
echo "  with cpu:    $with"
[ "$without" = "3 [[1.0], [2.0], [3.0]]" ] && [ "$with" = "6 [[1.0], [2.0], [3.0]]" ]
