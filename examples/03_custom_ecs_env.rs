//! An environment of components and systems: a collector walks to coins, which are entities of its arena.
//!
//! `cargo run --release --example 03_custom_ecs_env`
#![allow(clippy::expect_used, clippy::needless_pass_by_value, clippy::print_stdout)]

use agon::envs::simulator::*;
use agon::envs::{EnvSpec, Space, registry::NoArguments};
use agon::{config::RunConfig, runtime};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

/// Where an arena's collector stands, -10 to 10.
#[derive(Component, Clone, Default, Serialize, Deserialize)]
struct Collector(i64);
/// A coin at a place, until it is collected.
#[derive(Component, Clone, Serialize, Deserialize)]
struct Coin(i64);

struct Collect;
impl EcsEnv for Collect {
    fn observation_space(&self) -> Space {
        Space::box_uniform(-10.0, 10.0, &[2]).expect("the collector's place, the leftmost coin's place")
    }
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("left, right")
    }
    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator.arena_component(Collector(0)).member_component::<Coin>().despawn_members_at_reset();
        simulator.dynamics(walk).outcome(collect).observe(observe).reset(scatter);
    }
}

fn walk(actions: Res<Actions>, mut arenas: Query<(&Row, &mut Collector)>) {
    for (&row, mut collector) in &mut arenas {
        collector.0 = (collector.0 + 2 * actions.row(row).index() as i64 - 1).clamp(-10, 10);
    }
}
type Coins<'w, 's> = Query<'w, 's, (Entity, &'static MemberOf, &'static Coin)>;
fn collect(
    mut commands: Commands,
    mut out: ResMut<Outcomes>,
    arenas: Query<(&Row, &Collector)>,
    coins: Coins,
) {
    for (&row, collector) in &arenas {
        let mine = || coins.iter().filter(|(_, member, _)| member.0 == row);
        for (coin, ..) in mine().filter(|(.., coin)| coin.0 == collector.0) {
            commands.entity(coin).despawn();
            out.rewards[row.index()] += 1.0;
        }
        out.terminated[row.index()] = mine().all(|(.., coin)| coin.0 == collector.0);
    }
}
fn observe(
    scope: Res<Scope>,
    mut out: ResMut<Observations>,
    mut arenas: Query<(&Row, &Collector)>,
    coins: Coins,
) {
    scope.for_each(&mut arenas, |(&row, collector)| {
        let places = coins.iter().filter(|(_, member, _)| member.0 == row).map(|(.., coin)| coin.0);
        out.row_mut(row).copy_from_slice(&[collector.0 as f32, places.min().unwrap_or(0) as f32]);
    });
}
fn scatter(
    scope: Res<Scope>,
    mut commands: Commands,
    mut arenas: Query<(&Row, &mut EnvRng, &mut Collector)>,
) {
    scope.for_each(&mut arenas, |(&row, mut rng, mut collector)| {
        collector.0 = 0;
        commands.spawn_batch([(); 3].map(|()| (MemberOf(row), Coin(rng.0.integers(-9, 10)))));
    });
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut setup = runtime::Setup::default();
    let spec = EnvSpec::ecs("Collect-v0", |_: NoArguments| Ok(Collect)).max_episode_steps(60);
    setup.registry.register(spec)?;
    let mut config = RunConfig { total_timesteps: 400_000, num_envs: 64, ..Default::default() };
    config.env.id = "Collect-v0".to_owned();
    let path = std::env::temp_dir().join(format!("agon-collect-{}", std::process::id()));
    let outcome = runtime::train(&setup, config, &path, &mut |_| true)?;
    println!("collected {:.2} of 3 coins after {} steps", outcome.mean_return, outcome.env_steps);
    Ok(())
}
