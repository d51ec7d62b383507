//! An environment that is no ECS world is trained by every family of algorithms, with metrics of its own.

use std::fs;

use agon::envs::registry::NoArguments;
use agon::envs::vector::{RowSet, VectorEnv, VectorInfo};
use agon::envs::{ActionBatch, ActionSpec, EnvError, EnvSpec, Pcg64, Seed, Space, StepBatch};
use agon::runtime::{self, Setup};
use serde::{Deserialize, Serialize};

use crate::{assert_same, common, train, train_in_two};

/// One walker to a flag on a line; reaching it is a success.
#[derive(Clone, Serialize, Deserialize)]
struct Walker {
    position: i32,
    flag: i32,
    success: bool,
    rng: Pcg64,
}

/// Many walkers in plain columns: no components, no systems.
struct Walkers {
    info: VectorInfo,
    walkers: Vec<Walker>,
    sent: Vec<u32>,
    active: RowSet,
    can_be_saved: bool,
}

impl Walkers {
    fn new(num_envs: usize, can_be_saved: bool) -> Result<Self, EnvError> {
        let action_space = Space::discrete(2)?;
        let info = VectorInfo {
            observation_space: Space::box_uniform(-20.0, 20.0, &[2])?,
            action_spec: ActionSpec::of(&action_space)?,
            action_space,
            mask_len: 0,
            num_envs,
            num_agents: 1,
            teams: Vec::new(),
            frames: None,
            turns: false,
            action_names: Vec::new(),
            metrics: vec!["success".to_owned()],
            groups: Vec::new(),
            tasks: Vec::new(),
            privileged: None,
        };
        let walker = Walker { position: 0, flag: 1, success: false, rng: Pcg64::seed_from(0) };
        let walkers = vec![walker; num_envs];
        Ok(Self { info, walkers, sent: vec![0; num_envs], active: RowSet::all(num_envs), can_be_saved })
    }

    fn begin(&mut self, env: usize, out: &mut StepBatch) {
        let walker = &mut self.walkers[env];
        walker.flag = if walker.rng.random() < 0.5 { -5 } else { 5 };
        (walker.position, walker.success) = (0, false);
        self.observe(env, out);
    }

    fn observe(&self, env: usize, out: &mut StepBatch) {
        let Walker { position, flag, .. } = self.walkers[env];
        let agon::envs::ObsBuffer::F32(values) = &mut out.observations else { unreachable!("numbers") };
        values[2 * env..2 * env + 2].copy_from_slice(&[position as f32, flag as f32]);
    }
}

impl VectorEnv for Walkers {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        for (env, seed) in seeds.iter().enumerate() {
            self.walkers[env].rng = <Pcg64 as agon::envs::random::Generator>::from_seed(seed);
            self.begin(env, out);
        }
        out.rewards.fill(0.0);
        Ok(())
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        envs.iter().for_each(|env| self.begin(env, out));
        Ok(())
    }

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        self.sent.copy_from_slice(actions.indices());
        self.active.copy_from(active);
        Ok(())
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        for env in self.active.clone().iter() {
            let walker = &mut self.walkers[env];
            walker.position += if self.sent[env] == 1 { 1 } else { -1 };
            walker.success = walker.position == walker.flag;
            out.terminated[env] = walker.position.abs() >= 5;
            out.rewards[env] = if walker.success { 1.0 } else { -0.02 };
            self.observe(env, out);
        }
        Ok(())
    }

    fn episode_metrics(&self, row: usize, out: &mut [f64]) {
        out[0] = f64::from(u8::from(self.walkers[row].success));
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        let reason = "its walkers live elsewhere".to_owned();
        if self.can_be_saved { Ok(()) } else { Err(EnvError::NotSnapshotable { reason }) }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.snapshot_support()?;
        Ok(serde_json::to_vec(&self.walkers).unwrap())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.walkers =
            serde_json::from_slice(snapshot).map_err(|error| EnvError::Snapshot(error.to_string()))?;
        Ok(())
    }
}

fn setup() -> Setup {
    let mut setup = Setup::default();
    for (id, can_be_saved) in [("Walkers-v0", true), ("WalkersElsewhere-v0", false)] {
        let spec = EnvSpec::vector(id, move |_: NoArguments, num_envs| Walkers::new(num_envs, can_be_saved));
        setup.registry.register(spec.max_episode_steps(40)).unwrap();
    }
    setup
}

#[test]
fn every_family_trains_on_it_resumes_exactly_and_writes_its_metrics() {
    let setup = setup();
    let walkers = ["env.id=Walkers-v0"];
    let gru =
        ["network.memory={kind='gru', hidden=16}", "agent.sequence_length=16", "agent.share_encoder=true"];
    let r2d2: Vec<&str> = common::cases().into_iter().find(|case| case.algorithm == "r2d2").unwrap().settings;
    for (algorithm, settings) in [
        ("ppo", [&common::PPO[..], &walkers].concat()),
        ("ppo", [&common::PPO[..], &walkers, &gru].concat()),
        ("dqn", [&common::DQN[..], &walkers].concat()),
        ("sac", [&common::CONTINUOUS[..], &walkers].concat()),
        ("r2d2", [&r2d2[..], &walkers].concat()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        train(&setup, algorithm, &settings, 1, &path("one"));
        train(&setup, algorithm, &settings, 4, &path("four"));
        train_in_two(&setup, algorithm, &settings, 5, &path("stopped"));
        assert_same(&path("one"), &path("four"), algorithm);
        assert_same(&path("one"), &path("stopped"), algorithm);
        let read = |name: &str| fs::read_to_string(path("one").join(name)).unwrap();
        assert!(
            read("episodes.csv")
                .starts_with("episode,global_step,env,episodic_return,episodic_length,env/success\n")
        );
        let header = read("metrics.csv").lines().next().unwrap().to_owned();
        let column = header.split(',').position(|name| name == "env/success").unwrap();
        let last = read("metrics.csv")
            .lines()
            .last()
            .unwrap()
            .split(',')
            .nth(column)
            .unwrap()
            .parse::<f64>()
            .unwrap();
        assert!((0.0..=1.0).contains(&last), "{last}");
        if algorithm == "ppo" {
            assert!(last > 0.9, "{algorithm} finds the flag: {last}");
        }
        let series = agon::plot::load_series(&path("one"), agon::plot::XAxis::Steps, "env/success").unwrap();
        assert_eq!(series.last().unwrap().1, last);
    }
}

#[test]
fn one_that_cannot_be_saved_is_marked_and_its_runs_go_on_all_the_same() {
    let setup = setup();
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let settings = [&common::PPO[..], &["env.id=WalkersElsewhere-v0"]].concat();
    train_in_two(&setup, "ppo", &settings, 5, &run);
    let text = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(text.contains("inexact") && text.contains("its walkers live elsewhere"), "{text}");
    let exact = directory.path().join("exact");
    train(&setup, "ppo", &[&common::PPO[..], &["env.id=Walkers-v0"]].concat(), 2, &exact);
    assert!(!fs::read_to_string(exact.join("config.toml")).unwrap().contains("inexact"));
    // Other environments after the stop than before it: what is promised is that it goes on, always in the same way.
    let again = directory.path().join("again");
    train_in_two(&setup, "ppo", &settings, 5, &again);
    assert_same(&run, &again, "two runs stopped at the same place");
    let outcome = runtime::resume(&setup, &run, None, &mut |_| true).unwrap();
    assert!(outcome.finished && outcome.mean_return > 0.5, "{outcome:?}");
}
