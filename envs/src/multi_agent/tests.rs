//! Tests of what the environments share.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::registry::NoArguments;
use crate::simulator::{
    ActionMasks, Actions, Agent, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder,
};
use crate::{ActionBatch, Autoreset, EcsEnv, MakeOptions, Simulator, Space, StepBatch, check_env};

#[test]
fn every_environment_of_several_agents_keeps_the_contract() {
    let mut registry = Registry::empty();
    register(&mut registry).unwrap();
    for spec in registry.iter() {
        let report = check_env(spec).unwrap();
        assert!(report.episodes > 0 && report.seeds_differ, "{}: {report:?}", spec.id());
    }
}

#[test]
fn unknown_arguments_are_refused_and_wrong_ones_named() {
    let registry = Registry::builtin();
    for spec in
        registry.iter().filter(|spec| ["Foraging", "Simple"].iter().any(|name| spec.id().starts_with(name)))
    {
        let mut options = MakeOptions::default();
        options.args.insert("food".into(), toml::Value::Integer(1));
        assert!(spec.make(&options).unwrap_err().to_string().contains("food"), "{}", spec.id());
    }
    let mut options = MakeOptions::default();
    options.args.insert("sight".into(), toml::Value::Integer(0));
    let error = registry.make("Foraging-8x8-2p-2f-v3", &options).unwrap_err().to_string();
    assert_eq!(error, "sight must be between 1 and the size of the grid, got 0");
}

/// Three candles that burn down one after the other: each ends its episode when it goes out. They observe what is left of
/// them and how often the clock of their arena has struck, and are paid their action.
struct Candles {
    /// Whether a candle that is out may do nothing at all.
    masked: bool,
}

const CANDLES: Candles = Candles { masked: false };

#[derive(Component, Clone, Default, Serialize, Deserialize)]
struct Wick(u32);

#[derive(Component, Clone, Default, Serialize, Deserialize)]
struct Clock {
    strokes: u32,
    /// What the longest candle starts with above the others.
    extra: u32,
}

impl EcsEnv for Candles {
    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0, 0.0], &[20.0, 20.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(4).unwrap()
    }

    fn num_agents(&self) -> Option<usize> {
        Some(3)
    }

    fn has_action_mask(&self) -> bool {
        self.masked
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        if self.masked {
            simulator.observe(|mut masks: ResMut<ActionMasks>, wicks: Query<(&Row, &Wick)>| {
                wicks.iter().for_each(|(&row, wick)| masks.row_mut(row).fill(wick.0 > 0));
            });
        }
        simulator
            .arena_component(Clock::default())
            .agent_component(Wick::default())
            .dynamics(|mut clocks: Query<&mut Clock>, mut wicks: Query<&mut Wick>| {
                clocks.iter_mut().for_each(|mut clock| clock.strokes += 1);
                wicks.iter_mut().for_each(|mut wick| wick.0 = wick.0.saturating_sub(1));
            })
            .outcome(|actions: Res<Actions>, mut outcomes: ResMut<Outcomes>, wicks: Query<(&Row, &Wick)>| {
                for (&row, wick) in &wicks {
                    // Also for candles that are out: the simulator is to ignore it.
                    outcomes.rewards[row.index()] = actions.row(row).index() as f64;
                    outcomes.terminated[row.index()] = wick.0 == 0;
                }
            })
            .observe(look)
            .reset((strike, light).chain());
    }
}

fn look(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    clocks: Query<&Clock>,
    mut wicks: Query<(&Row, &Agent, &Wick)>,
) {
    let clocks: Vec<u32> = clocks.iter().map(|clock| clock.strokes).collect();
    scope.for_each_agent(&mut wicks, |(&row, agent, wick)| {
        let seen = [wick.0 as f32, clocks[agent.arena.index()] as f32];
        observations.row_mut(row).copy_from_slice(&seen);
    });
}

fn strike(scope: Res<Scope>, mut clocks: Query<(&mut Clock, &mut EnvRng)>) {
    scope.for_each(&mut clocks, |(mut clock, mut rng)| {
        *clock = Clock { strokes: 0, extra: rng.0.integers(0, 4) as u32 };
    });
}

/// They burn for 2, 4 and, with the extra, 6 to 9 steps.
fn light(scope: Res<Scope>, clocks: Query<&Clock>, mut wicks: Query<(&Agent, &mut Wick)>) {
    let extra: Vec<u32> = clocks.iter().map(|clock| clock.extra).collect();
    scope.for_each_agent(&mut wicks, |(agent, mut wick)| {
        let more = if agent.index == 2 { extra[agent.arena.index()] } else { 0 };
        wick.0 = 2 * (agent.index + 1) + more;
    });
}

fn candles(num_envs: usize, autoreset: Autoreset) -> (Simulator, StepBatch) {
    let spec = EnvSpec::ecs("Candles-v0", |_: NoArguments| Ok(CANDLES));
    let mut simulator = spec.make(&MakeOptions { num_envs, autoreset, ..Default::default() }).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out).unwrap();
    (simulator, out)
}

#[test]
fn agents_that_end_at_different_times_keep_the_contract() {
    let report = check_env(&EnvSpec::ecs("Candles-v0", |_: NoArguments| Ok(CANDLES))).unwrap();
    assert!(report.episodes > 1000 && report.seeds_differ, "{report:?}");
    check_env(&EnvSpec::ecs("Candles-v0", |_: NoArguments| Ok(CANDLES)).max_episode_steps(5)).unwrap();
}

#[test]
fn an_agent_that_ended_is_idle_until_its_arena_starts_anew() {
    for autoreset in [Autoreset::SameStep, Autoreset::NextStep, Autoreset::Disabled] {
        let (mut simulator, mut out) = candles(1, autoreset);
        let longest = out.observations.as_f32()[4] as u32;
        let actions = ActionBatch::Discrete(vec![1, 2, 3]);
        let mut ended = Vec::new();
        for step in 1..=longest {
            simulator.step(&actions, &mut out).unwrap();
            let running = [step <= 2, step <= 4, true];
            assert_eq!(out.active, running, "step {step}");
            let paid = |row: usize| if running[row] { (row + 1) as f64 } else { 0.0 };
            assert_eq!(out.rewards, [paid(0), paid(1), paid(2)], "step {step}");
            assert_eq!(out.terminated, [step == 2, step == 4, step == longest], "step {step}");
            for (i, episode) in out.episodes.iter().enumerate() {
                let last = &out.final_observations.as_f32()[2 * i..2 * i + 2];
                assert_eq!(last, [0.0, step as f32]);
                ended.push((episode.row, episode.episode_length, episode.episode_return));
            }
            if step == 3 {
                // The first candle's observation is its last one, though the clock goes on.
                assert_eq!(out.observations.as_f32()[..2], [0.0, 2.0]);
            }
        }
        let length = f64::from(longest);
        assert_eq!(ended, [(0, 2, 2.0), (1, 4, 8.0), (2, longest, 3.0 * length)], "{autoreset:?}");
        let first = |out: &StepBatch| out.observations.as_f32()[..4] == [2.0, 0.0, 4.0, 0.0];
        match autoreset {
            Autoreset::SameStep => assert!(first(&out)),
            Autoreset::NextStep => {
                assert!(!first(&out));
                simulator.step(&actions, &mut out).unwrap();
                assert!(first(&out) && out.episodes.is_empty());
                assert_eq!((&out.rewards[..], &out.active[..]), (&[0.0; 3][..], &[false; 3][..]));
            }
            Autoreset::Disabled => {
                assert!(simulator.step(&actions, &mut out).is_err());
                simulator.reset_envs(&[0], &mut out).unwrap();
                assert!(first(&out));
            }
        }
        simulator.step(&actions, &mut out).unwrap();
        assert_eq!((&out.rewards[..], &out.active[..]), (&[1.0, 2.0, 3.0][..], &[true; 3][..]));
    }
}

#[test]
fn a_snapshot_between_two_ends_has_the_same_future() {
    for autoreset in [Autoreset::SameStep, Autoreset::NextStep] {
        let (mut original, mut out) = candles(4, autoreset);
        let actions = ActionBatch::Discrete([1, 2, 3].repeat(4));
        for _ in 0..3 {
            original.step(&actions, &mut out).unwrap();
        }
        assert!(!out.active[0] && out.active[1]);
        let snapshot = original.snapshot().unwrap();
        let (mut restored, _) = candles(4, autoreset);
        restored.restore(&snapshot).unwrap();
        let mut restored_out = out.clone();
        for _ in 0..40 {
            original.step(&actions, &mut out).unwrap();
            restored.step(&actions, &mut restored_out).unwrap();
            assert_eq!(out, restored_out);
        }
    }
}

#[test]
fn a_row_that_takes_no_part_is_not_checked() {
    let spec = EnvSpec::ecs("Candles-v0", |_: NoArguments| Ok(Candles { masked: true }));
    check_env(&spec).unwrap();
    for autoreset in [Autoreset::SameStep, Autoreset::NextStep] {
        let mut simulator = spec.make(&MakeOptions { autoreset, ..Default::default() }).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(0, &mut out).unwrap();
        for _ in 0..40 {
            // Who acts does so in every row: there must be something to choose from.
            assert!(out.action_masks.chunks(4).all(|mask| mask.contains(&true)), "{:?}", out.action_masks);
            let burns = out.observations.as_f32().chunks(2).map(|candle| candle[0] > 0.0);
            let actions = burns.map(|burns| if burns { 1 } else { 99 }).collect();
            simulator.step(&ActionBatch::Discrete(actions), &mut out).unwrap();
        }
    }
}
