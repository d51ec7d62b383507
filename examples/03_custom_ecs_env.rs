//! An environment of components and systems: a collector walks to coins, which are entities of its arena.
//! `cargo run --release --example 03_custom_ecs_env`: collects 3 of 3 coins within 400,000 steps.
#![allow(clippy::expect_used, clippy::needless_pass_by_value, clippy::print_stdout, clippy::type_complexity)]

use agon::envs::{EnvSpec, Space, registry::NoArguments, simulator::*};
use agon::{config::RunConfig, runtime};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Component, Clone, Default, Serialize, Deserialize)]
struct Collector(i64); // Where an arena's collector stands, -10 to 10.
#[derive(Component, Clone, Serialize, Deserialize)]
struct Coin(i64); // A coin at a place, until it is collected.
type Arenas<'w, 's, D> = Query<'w, 's, (&'static Arena, &'static Row, D)>;
type Coins<'w, 's> = Query<'w, 's, (Entity, &'static MemberOf, &'static Coin)>;

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
        simulator.outcome(play).observe(observe).reset(scatter);
    }
}
fn play(
    (actions, mut out): (Res<Actions>, ResMut<Outcomes>),
    (mut despawn, mut arenas, coins): (Commands, Arenas<&mut Collector>, Coins),
) {
    for (arena, &row, mut collector) in &mut arenas {
        collector.0 = (collector.0 + 2 * actions.row(row).index() as i64 - 1).clamp(-10, 10);
        let mine = || coins.iter().filter(|(_, member, _)| member.0 == *arena);
        for (coin, ..) in mine().filter(|coin| coin.2.0 == collector.0) {
            despawn.entity(coin).despawn();
            out.rewards[row.index()] += 1.0;
        }
        out.terminated[row.index()] = mine().all(|coin| coin.2.0 == collector.0);
    }
}
fn observe(scope: Res<Scope>, mut out: ResMut<Observations>, mut arenas: Arenas<&Collector>, coins: Coins) {
    scope.for_each(&mut arenas, |(arena, &row, collector)| {
        let places = coins.iter().filter(|(_, member, _)| member.0 == *arena).map(|(.., coin)| coin.0);
        out.row_mut(row).copy_from_slice(&[collector.0 as f32, places.min().unwrap_or(0) as f32]);
    });
}
fn scatter(scope: Res<Scope>, mut spawn: Commands, mut arenas: Arenas<(&mut EnvRng, &mut Collector)>) {
    scope.for_each(&mut arenas, |(&arena, _, (mut rng, mut collector))| {
        collector.0 = 0;
        spawn.spawn_batch([(); 3].map(|()| (MemberOf(arena), Coin(rng.0.integers(-9, 10)))));
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
    println!("collected {:.2} of 3 coins", outcome.mean_return);
    Ok(())
}
