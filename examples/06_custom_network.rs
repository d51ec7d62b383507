//! A network part of your own, written in dfdx's tensor operations: Fourier features, inside PPO and DQN.
//!
//! `cargo run --release --example 06_custom_network`
#![allow(clippy::print_stdout)]

use agon::config::{self, RunConfig};
use agon::nn::Init;
use agon::nn::custom::{CustomPart, PartParameter, PartWeights, Traced, check_part};
use agon::nn::dfdx::prelude::*;
use agon::runtime::{self, Setup};

/// `[sin(x W), cos(x W)]`, with frequencies `W` that are learned.
#[derive(Clone, Debug)]
struct Fourier {
    frequencies: usize,
}

impl CustomPart for Fourier {
    fn outputs(&self, _inputs: usize) -> usize {
        2 * self.frequencies
    }

    fn parameters(&self, inputs: usize) -> Vec<PartParameter> {
        vec![PartParameter::new("frequencies", (inputs, self.frequencies), Init::Normal { std: 1.0 })]
    }

    fn forward(&self, weights: &PartWeights, x: Traced) -> Traced {
        let angles = x.matmul(weights.get(0));
        (angles.retaped::<OwnedTape<f32, Cpu>>().sin(), angles.cos()).concat_along(Axis::<1>)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Rows are independent, gradients are those of finite differences: the test of a part.
    check_part(&Fourier { frequencies: 8 }, 4)?;
    let mut setup = Setup::default();
    setup.algorithms.parts_mut().register("fourier", |arguments| {
        let frequencies = arguments.get("frequencies").copied().unwrap_or(16.0);
        if frequencies >= 1.0 {
            Ok(Fourier { frequencies: frequencies as usize })
        } else {
            Err("at least 1".into())
        }
    });
    for (algorithm, steps) in [("ppo", "60000"), ("dqn", "4000")] {
        let mut table = toml::Table::new();
        for setting in [
            &format!("algorithm={algorithm}"),
            "env.id=CartPole-v1",
            &format!("total_timesteps={steps}"),
            "network.encoder={kind='custom', part='fourier', arguments={frequencies=32}, hidden=[64]}",
        ] {
            config::set(&mut table, setting)?;
        }
        let config = RunConfig::from_table(&setup.algorithms, table)?;
        let path = std::env::temp_dir().join(format!("agon-fourier-{algorithm}-{}", std::process::id()));
        let outcome = runtime::train(&setup, config, &path, &mut |_| true)?;
        println!("{algorithm}: mean return {:.1} after {} steps", outcome.mean_return, outcome.env_steps);
    }
    Ok(())
}
