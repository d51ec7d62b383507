//! Step 1024 CartPoles with random actions: the batch interface in a few lines.
//!
//! `cargo run --release --example 01_random_agent`
#![allow(clippy::print_stdout)]

use agon::envs::check::random_actions;
use agon::envs::{ActionBatch, MakeOptions, Pcg64, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = MakeOptions { num_envs: 1024, ..Default::default() };
    let mut simulator = Registry::builtin().make("CartPole-v1", &options)?;
    let mut out = simulator.new_batch();
    simulator.reset(42, &mut out)?;

    let mut rng = Pcg64::seed_from(0);
    let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_envs());
    let (mut episodes, mut total_return) = (0, 0.0);
    for _ in 0..1000 {
        random_actions(&simulator, &out, &mut rng, &mut actions)?;
        simulator.step(&actions, &mut out)?;
        episodes += out.episodes.len();
        total_return += out.episodes.iter().map(|episode| episode.episode_return).sum::<f64>();
    }
    println!("{episodes} episodes, mean return {:.1}", total_return / episodes as f64);
    Ok(())
}
