//! A trained policy in a program of its own: loaded from one file, called with what the environment shows.
//!
//! `cargo run --release --example 07_use_policy [RUN|FILE]`; without one it trains a small policy first.
#![allow(clippy::print_stdout)]

use agon::envs::{MakeOptions, ObsRow};
use agon::policy::{self, Observed};
use agon::runtime::{self, Setup};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setup = Setup::default();
    let path = std::env::args().nth(1).map_or_else(|| train(&setup), |path| Ok(path.into()))?;

    let mut policy = policy::load(&path)?;
    let card = policy.card().clone();
    println!("{} after {} steps on {}", card.algorithm, card.env_steps, card.env.id);
    let options = MakeOptions { num_envs: 4, args: card.env.args.clone(), ..MakeOptions::default() };
    let mut simulator = setup.registry.make(&card.env.id, &options)?;
    let mut now = simulator.new_batch();
    simulator.reset(7, &mut now)?;
    let mut starts = vec![true; 4];
    let mut returns = Vec::new();
    while returns.len() < 8 {
        let observations = ObsRow::from(&now.observations);
        let observed = Observed {
            observations,
            action_masks: &now.action_masks,
            episode_starts: &starts,
            rewards: &now.rewards,
        };
        let actions = policy.act_in(&observed)?;
        simulator.step(actions, &mut now)?;
        starts = now.terminated.iter().zip(&now.truncated).map(|(a, b)| *a || *b).collect();
        returns.extend(now.episodes.iter().map(|episode| episode.episode_return));
    }
    println!("returns: {returns:?}");
    Ok(())
}

/// A small run to have a policy; gives its weight file, which needs nothing else.
fn train(setup: &Setup) -> Result<std::path::PathBuf, agon::RunError> {
    let mut config = agon::config::RunConfig { total_timesteps: 40_000, ..Default::default() };
    config.env.id = "CartPole-v1".to_owned();
    let path = std::env::temp_dir().join(format!("agon-policy-{}", std::process::id()));
    runtime::train(setup, config, &path, &mut |_| true)?;
    Ok(path.join("model.safetensors"))
}
