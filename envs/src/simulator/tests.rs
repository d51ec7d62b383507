//! Tests of the tick: outcomes, autoreset modes, snapshots, both ways in.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{Action, Env, EnvSpec, MakeOptions, Pcg64, Registry, Step, check_env};

/// Counts up to `ends_at`, then terminates; observes the count and draws a number a step.
#[derive(Clone, Serialize, Deserialize)]
struct Counter {
    count: u32,
    ends_at: u32,
}

impl Env for Counter {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0, 0.0], &[1e6, 1.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(3).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.count = 0;
        obs.copy_from_slice(&[0.0, rng.random() as f32]);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        assert!(self.count < self.ends_at, "stepped after the end");
        self.count += 1;
        obs.copy_from_slice(&[self.count as f32, rng.random() as f32]);
        let reward = action.index() as f64;
        if self.count == self.ends_at { Step::terminated(reward) } else { Step::running(reward) }
    }
}

fn counter(ends_at: u32) -> EnvSpec {
    EnvSpec::single("Counter-v0", move |_: crate::registry::NoArguments| Ok(Counter { count: 0, ends_at }))
        .max_episode_steps(4)
}

fn make(spec: &EnvSpec, num_envs: usize, autoreset: Autoreset) -> (Simulator, StepBatch) {
    let mut simulator = spec.make(&MakeOptions { num_envs, autoreset, ..Default::default() }).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(7, &mut out).unwrap();
    (simulator, out)
}

#[test]
fn same_step_keeps_the_final_observation_apart() {
    let (mut simulator, mut out) = make(&counter(3), 2, Autoreset::SameStep);
    let actions = ActionBatch::Discrete(vec![1, 2]);
    for _ in 0..2 {
        simulator.step(&actions, &mut out).unwrap();
        assert!(out.episodes.is_empty());
    }
    simulator.step(&actions, &mut out).unwrap();
    assert_eq!(out.terminated, [true, true]);
    assert_eq!(out.truncated, [false, false]);
    assert_eq!(out.final_observations.as_f32()[0], 3.0);
    assert_eq!(out.observations.as_f32()[0], 0.0);
    let returns: Vec<f64> = out.episodes.iter().map(|episode| episode.episode_return).collect();
    assert_eq!(returns, [3.0, 6.0]);
}

#[test]
fn time_limit_truncates_and_does_not_terminate() {
    let (mut simulator, mut out) = make(&counter(100), 1, Autoreset::SameStep);
    for _ in 0..4 {
        simulator.step(&ActionBatch::Discrete(vec![1]), &mut out).unwrap();
    }
    assert_eq!((out.terminated[0], out.truncated[0]), (false, true));
    assert_eq!(out.final_observations.as_f32()[0], 4.0);
    assert_eq!(out.episodes[0].episode_length, 4);
}

#[test]
fn next_step_ignores_the_action_and_draws_nothing_for_it() {
    let (mut next, mut next_out) = make(&counter(3), 1, Autoreset::NextStep);
    let (mut same, mut same_out) = make(&counter(3), 1, Autoreset::SameStep);
    let action = ActionBatch::Discrete(vec![2]);
    for _ in 0..3 {
        next.step(&action, &mut next_out).unwrap();
        same.step(&action, &mut same_out).unwrap();
    }
    assert!(next_out.terminated[0]);
    assert_eq!(next_out.observations.as_f32()[0], 3.0);
    next.step(&action, &mut next_out).unwrap();
    assert_eq!((next_out.rewards[0], next_out.terminated[0]), (0.0, false));
    assert_eq!(next_out.observations, same_out.observations);
}

#[test]
fn disabled_refuses_a_step_after_the_end() {
    let (mut simulator, mut out) = make(&counter(1), 2, Autoreset::Disabled);
    let actions = ActionBatch::Discrete(vec![0, 0]);
    simulator.step(&actions, &mut out).unwrap();
    assert!(matches!(simulator.step(&actions, &mut out), Err(EnvError::StepAfterEnd { row: 0 })));
    simulator.reset_envs(&[0], &mut out).unwrap();
    assert!(matches!(simulator.step(&actions, &mut out), Err(EnvError::StepAfterEnd { row: 1 })));
}

#[test]
fn a_wrong_action_steps_nothing() {
    let (mut simulator, mut out) = make(&counter(3), 2, Autoreset::SameStep);
    let before = simulator.snapshot().unwrap();
    let error = simulator.step(&ActionBatch::Discrete(vec![0, 3]), &mut out).unwrap_err();
    assert_eq!(error.to_string(), "action of row 1 is not in Discrete(3): got 3");
    assert_eq!(simulator.snapshot().unwrap(), before);
}

#[test]
fn stepping_before_a_reset_is_an_error() {
    let mut simulator = counter(3).make(&MakeOptions::default()).unwrap();
    let mut out = simulator.new_batch();
    let error = simulator.step(&ActionBatch::Discrete(vec![0]), &mut out).unwrap_err();
    assert!(matches!(error, EnvError::StepBeforeReset));
}

#[test]
fn snapshots_of_another_size_or_kind_are_refused() {
    let (mut two, _) = make(&counter(3), 2, Autoreset::SameStep);
    let (mut three, _) = make(&counter(3), 3, Autoreset::SameStep);
    let (mut cart, _) = make(&Registry::builtin().get("CartPole-v1").unwrap(), 2, Autoreset::SameStep);
    let snapshot = two.snapshot().unwrap();
    let error = three.restore(&snapshot).unwrap_err().to_string();
    assert_eq!(error, "snapshot cannot be restored: expected 3 environments, found 2");
    assert!(cart.restore(&snapshot).unwrap_err().to_string().contains("expected components"));
    assert!(two.restore(&snapshot[..20]).is_err());
}

#[test]
fn every_builtin_and_both_ways_in_keep_the_contract() {
    for spec in Registry::builtin().iter() {
        check_env(spec).unwrap();
    }
    check_env(&counter(3)).unwrap();
    check_env(&EnvSpec::ecs("Swarm-v0", |_: crate::registry::NoArguments| Ok(Swarm)).max_episode_steps(30))
        .unwrap();
}

/// An arena that owns a random number of drifting members: it observes how many are left and the foremost.
struct Swarm;

#[derive(Component, Clone, Serialize, Deserialize)]
struct Drifter {
    at: f64,
    speed: f64,
}

#[derive(Component, Clone, Default, Serialize, Deserialize)]
struct Wind(f64);

impl EcsEnv for Swarm {
    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0, -1e6], &[20.0, 1e6]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::box_f32(&[-1.0], &[1.0]).unwrap()
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .arena_component(Wind::default())
            .member_component::<Drifter>()
            .despawn_members_at_reset()
            .act(|actions: Res<Actions>, mut arenas: Query<(&Row, &mut Wind)>| {
                for (&row, mut wind) in &mut arenas {
                    wind.0 = f64::from(actions.row(row).values()[0]);
                }
            })
            .dynamics(drift)
            .outcome(judge)
            .observe(observe)
            .reset(spawn);
    }
}

/// Moves the members; those that leave are gone.
fn drift(
    mut commands: Commands,
    winds: Query<(&Arena, &Wind)>,
    mut drifters: Query<(Entity, &MemberOf, &mut Drifter)>,
) {
    let wind: std::collections::BTreeMap<Arena, f64> =
        winds.iter().map(|(&arena, wind)| (arena, wind.0)).collect();
    for (entity, member, mut drifter) in &mut drifters {
        drifter.at += drifter.speed + wind[&member.0];
        if drifter.at.abs() > 5.0 {
            commands.entity(entity).despawn();
        }
    }
}

fn judge(
    mut outcomes: ResMut<Outcomes>,
    arenas: Query<(&Arena, &Row)>,
    drifters: Query<(&MemberOf, &Drifter)>,
) {
    for (&arena, &row) in &arenas {
        let left = drifters.iter().filter(|(member, _)| member.0 == arena).count();
        outcomes.rewards[row.index()] = left as f64;
        outcomes.terminated[row.index()] = left == 0;
    }
}

fn observe(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    mut arenas: Query<(&Arena, &Row)>,
    drifters: Query<(&MemberOf, &Drifter)>,
) {
    scope.for_each(&mut arenas, |(&arena, &row)| {
        let members = || drifters.iter().filter(|(member, _)| member.0 == arena);
        // Not a sum: the order of members may depend on what else is in the world.
        let first = members().map(|(_, drifter)| drifter.at).fold(0.0, f64::max);
        observations.row_mut(row).copy_from_slice(&[members().count() as f32, first as f32]);
    });
}

fn spawn(scope: Res<Scope>, mut commands: Commands, mut arenas: Query<(&Arena, &mut EnvRng)>) {
    scope.for_each(&mut arenas, |(&arena, mut rng)| {
        for _ in 0..rng.0.integers(3, 8) {
            let drifter = Drifter { at: rng.0.uniform(-1.0, 1.0), speed: rng.0.uniform(-0.5, 0.5) };
            commands.spawn((MemberOf(arena), drifter));
        }
    });
}
