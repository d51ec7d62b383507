//! Acts with an exported policy: a whole program for a robot or a server.
//!
//! ```sh
//! agon export results/ppo_CartPole-v1_1 --format safetensors --out policy.safetensors
//! echo "0.01 0.0 -0.02 0.0" | cargo run --release -p agon-policy --example act policy.safetensors
//! ```
//!
//! Reads an observation a line, numbers apart by blanks, and writes an action a line. An empty line begins an episode.

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};

use agon_policy::{Action, PortablePolicy};

fn main() -> Result<(), Box<dyn Error>> {
    let path =
        std::env::args().nth(1).ok_or("expected the file of a policy, as in `act policy.safetensors`")?;
    let policy = PortablePolicy::from_safetensors(&std::fs::read(path)?)?;
    let mut episode = policy.begin();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            episode = policy.begin();
            continue;
        }
        let observation = line.split_whitespace().map(str::parse).collect::<Result<Vec<f32>, _>>()?;
        match policy.act(&mut episode, &observation[..], &[])? {
            Action::Discrete(choices) => writeln!(out, "{choices:?}")?,
            Action::Continuous(numbers) => writeln!(out, "{numbers:?}")?,
        }
    }
    Ok(())
}
