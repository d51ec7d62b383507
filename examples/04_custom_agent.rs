//! A learner of your own in the same runtime, with its checkpoints, logs and curves: hill climbing on a linear policy.
//!
//! `cargo run --release --example 04_custom_agent`
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use agon::agents::{
    ActInput, ActOutput, Actor, AgentError, AlgorithmSpec, Fragment, LearnReport, Learner, Policy, codec,
};
use agon::config::RunConfig;
use agon::envs::Pcg64;
use agon::runtime::{self, Setup};
use serde::{Deserialize, Serialize};

/// Pushes to the side that the weighted observation points to.
struct Linear([f32; 4]);

impl Policy for Linear {
    fn act(&self, input: &ActInput<'_>, _: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let rows = input.observations.as_f32().chunks_exact(4);
        for (obs, action) in rows.zip(output.actions.indices_mut()) {
            *action = u32::from(obs.iter().zip(self.0).map(|(x, w)| x * w).sum::<f32>() > 0.0);
        }
        Ok(())
    }
}

/// Tries a neighbour of the best weights in each iteration.
#[derive(Clone, Serialize, Deserialize)]
struct HillClimbing {
    best: [f32; 4],
    steps_per_episode: f32,
    candidate: [f32; 4],
    rng: Pcg64,
}

impl Learner for HillClimbing {
    fn num_steps(&self) -> usize {
        500
    }
    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Linear(self.candidate)))
    }
    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        _env_steps: u64,
        _gives_up: &mut agon::agents::GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let score = fragments[0].rows() as f32 / (1 + fragments[0].episodes.len()) as f32;
        if score >= self.steps_per_episode {
            (self.best, self.steps_per_episode) = (self.candidate, score);
        }
        self.candidate = self.best.map(|weight| weight + self.rng.uniform(-0.3, 0.3) as f32);
        Ok(LearnReport { updates: 0, metrics: vec![] })
    }
    fn save(&self) -> Result<Vec<u8>, AgentError> {
        codec::encode(self)
    }
    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        *self = codec::decode(saved)?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut setup = Setup::default();
    let spec = AlgorithmSpec::new(
        "hill-climbing",
        "Random neighbours of the best policy.",
        |_: toml::Table, info| {
            Ok(HillClimbing {
                best: [0.0; 4],
                steps_per_episode: 0.0,
                candidate: [0.0; 4],
                rng: Pcg64::seed_from(info.seed),
            })
        },
    );
    setup.algorithms.register(spec)?;
    let mut config = RunConfig { algorithm: "hill-climbing".to_owned(), num_envs: 4, ..Default::default() };
    config.env.id = "CartPole-v1".to_owned();
    let path = std::env::temp_dir().join(format!("agon-hill-climbing-{}", std::process::id()));
    let outcome = runtime::train(&setup, config, &path, &mut |_| true)?;
    println!("mean return {:.1} after {} steps", outcome.mean_return, outcome.env_steps);
    Ok(())
}
