//! Vector environments that are no ECS worlds, through the public interface alone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use agon_envs::batch::ActionSpec;
use agon_envs::random::Generator;
use agon_envs::registry::NoArguments;
use agon_envs::{
    ActionBatch, Autoreset, EnvError, EnvSpec, MakeOptions, ObsBuffer, Pcg64, Registry, RowSet, Seed,
    Simulator, Space, StepBatch, VectorEnv, VectorInfo, WorkerOptions, WrapperConfig, check_env,
};

/// Two walkers an environment on a line with a random goal; each ends when it reaches it, or fails at the border.
struct Walkers {
    info: VectorInfo,
    rngs: Vec<Pcg64>,
    /// `[E]`.
    goals: Vec<i64>,
    /// `[N]`.
    places: Vec<i64>,
    sent: Option<(ActionBatch, RowSet)>,
    can_be_saved: bool,
}

const BORDER: i64 = 8;

impl Walkers {
    fn new(num_envs: usize, can_be_saved: bool) -> Result<Self, EnvError> {
        let action_space = Space::discrete(3)?;
        let info = VectorInfo {
            observation_space: Space::box_uniform(-16.0, 16.0, &[2])?,
            action_spec: ActionSpec::of(&action_space)?,
            action_space,
            mask_len: 3,
            num_envs,
            num_agents: 2,
            teams: Vec::new(),
            frames: None,
            turns: false,
            action_names: Vec::new(),
            metrics: vec!["reached".to_owned()],
            groups: Vec::new(),
            tasks: Vec::new(),
            privileged: None,
        };
        let rows = info.num_rows();
        Ok(Self {
            rngs: vec![Pcg64::seed_from(0); num_envs],
            goals: vec![0; num_envs],
            places: vec![0; rows],
            sent: None,
            can_be_saved,
            info,
        })
    }

    fn start(&mut self, env: usize, out: &mut StepBatch) {
        self.goals[env] = self.rngs[env].integers(1, 5) * (2 * self.rngs[env].integers(0, 2) - 1);
        for row in self.info.rows_of_env(env) {
            self.places[row] = 0;
            self.observe(row, out);
        }
    }

    fn observe(&self, row: usize, out: &mut StepBatch) {
        let ObsBuffer::F32(values) = &mut out.observations else { panic!("numbers") };
        let place = self.places[row];
        values[2 * row..2 * row + 2].copy_from_slice(&[place as f32, (self.goals[row / 2] - place) as f32]);
        // Staying is legal away from the start only.
        out.action_masks[3 * row..3 * row + 3].copy_from_slice(&[true, place != 0, true]);
    }

    fn over(&self, row: usize) -> bool {
        self.places[row] == self.goals[row / 2] || self.places[row].abs() == BORDER
    }
}

type Saved = (Pcg64, i64, Vec<i64>);

impl VectorEnv for Walkers {
    fn info(&self) -> &VectorInfo {
        &self.info
    }

    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError> {
        self.rngs = seeds.iter().map(Pcg64::from_seed).collect();
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        (0..seeds.len()).for_each(|env| self.start(env, out));
        Ok(())
    }

    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        envs.iter().for_each(|env| self.start(env, out));
        Ok(())
    }

    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError> {
        assert!(self.sent.replace((actions.clone(), active.clone())).is_none(), "halves come in turn");
        Ok(())
    }

    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError> {
        let (actions, active) = self.sent.take().expect("halves come in turn");
        out.rewards.fill(0.0);
        out.terminated.fill(false);
        out.truncated.fill(false);
        for row in active.iter() {
            self.places[row] += i64::from(actions.indices()[row]) - 1;
            let reached = self.places[row] == self.goals[row / 2];
            out.rewards[row] = if reached { 1.0 } else { -0.1 };
            out.terminated[row] = self.over(row);
            self.observe(row, out);
        }
        Ok(())
    }

    fn episode_metrics(&self, row: usize, out: &mut [f64]) {
        out[0] = f64::from(u8::from(self.places[row] == self.goals[row / 2]));
    }

    fn snapshot_support(&self) -> Result<(), EnvError> {
        if self.can_be_saved {
            return Ok(());
        }
        Err(EnvError::NotSnapshotable { reason: "the walkers live elsewhere".to_owned() })
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let envs: Result<Vec<_>, _> = (0..self.info.num_envs).map(|env| self.save_env(env)).collect();
        Ok(serde_json::to_vec(&envs?).unwrap())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let damaged = |error: serde_json::Error| EnvError::Snapshot(error.to_string());
        let envs: Vec<Vec<u8>> = serde_json::from_slice(snapshot).map_err(damaged)?;
        envs.iter().enumerate().try_for_each(|(env, saved)| self.load_env(env, saved))
    }

    fn save_env(&mut self, env: usize) -> Result<Vec<u8>, EnvError> {
        let saved: Saved = (self.rngs[env].clone(), self.goals[env], self.places[2 * env..][..2].to_vec());
        Ok(serde_json::to_vec(&saved).unwrap())
    }

    fn load_env(&mut self, env: usize, saved: &[u8]) -> Result<(), EnvError> {
        let damaged = |error: serde_json::Error| EnvError::Snapshot(error.to_string());
        let (rng, goal, places): Saved = serde_json::from_slice(saved).map_err(damaged)?;
        (self.rngs[env], self.goals[env]) = (rng, goal);
        self.places[2 * env..][..2].copy_from_slice(&places);
        Ok(())
    }

    fn fork(&mut self, from: usize, to: usize) -> Result<(), EnvError> {
        let saved = self.save_env(from)?;
        self.load_env(to, &saved)
    }
}

fn walkers() -> EnvSpec {
    EnvSpec::vector("Walkers-v0", |_: NoArguments, num_envs| Walkers::new(num_envs, true))
        .max_episode_steps(30)
}

fn made(spec: &EnvSpec, num_envs: usize) -> (Simulator, StepBatch) {
    let mut simulator = spec.make(&MakeOptions { num_envs, ..Default::default() }).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(1, &mut out).unwrap();
    (simulator, out)
}

#[test]
fn any_vector_environment_keeps_the_contract_under_any_wrapper() {
    let report = check_env(&walkers()).unwrap();
    assert!(report.snapshots && report.seeds_differ && report.episodes > 100, "{report:?}");
    for text in [
        "kind = 'frame_stack'\nnum_stack = 3",
        "kind = 'sticky_action'",
        "kind = 'observation_noise'\nstd = 0.1",
        "kind = 'mask_observation'\nindices = [1]\ndrop = true",
        "kind = 'flatten_observation'",
        "kind = 'normalize_observation'",
        "kind = 'clip_reward'\nmin = -0.05",
    ] {
        let wrapper: WrapperConfig = toml::from_str(text).unwrap();
        check_env(&walkers().wrapper(wrapper)).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn monitor_counts_and_limits_any_vector_environment() {
    let options = MakeOptions {
        num_envs: 1,
        max_episode_steps: Some(Some(3)),
        autoreset: Autoreset::NextStep,
        ..Default::default()
    };
    let mut simulator = walkers().make(&options).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(1, &mut out).unwrap();
    let away = if out.observations.as_f32()[1] > 0.0 { 0 } else { 2 };
    for _ in 0..3 {
        simulator.step(&ActionBatch::Discrete(vec![away; 2]), &mut out).unwrap();
    }
    assert_eq!((&out.terminated[..], &out.truncated[..]), (&[false; 2][..], &[true; 2][..]));
    assert_eq!(out.episodes.iter().map(|episode| episode.episode_length).collect::<Vec<_>>(), [3, 3]);
    assert!((out.episodes[0].episode_return + 0.3).abs() < 1e-12);
    assert_eq!(out.episode_metrics, [0.0, 0.0], "nobody reached the goal");
}

#[test]
fn an_environment_that_cannot_be_saved_says_so_through_all_layers() {
    let spec = EnvSpec::vector("Elsewhere-v0", |_: NoArguments, num_envs| Walkers::new(num_envs, false))
        .max_episode_steps(30)
        .wrapper(toml::from_str("kind = 'frame_stack'\nnum_stack = 2").unwrap());
    assert!(!check_env(&spec).unwrap().snapshots);
    let (mut simulator, _) = made(&spec, 2);
    let expected = "the environment cannot be saved: the walkers live elsewhere";
    assert_eq!(simulator.snapshot_support().unwrap_err().to_string(), expected);
    assert_eq!(simulator.snapshot().unwrap_err().to_string(), expected);
    assert_eq!(simulator.fork(0, 1).unwrap_err().to_string(), expected);
}

#[test]
fn environments_that_do_not_exist_are_neither_forked_nor_saved() {
    let (mut simulator, _) = made(&walkers(), 2);
    for error in [
        simulator.fork(0, 2).unwrap_err(),
        simulator.fork(2, 0).unwrap_err(),
        simulator.save_env(2).unwrap_err(),
        simulator.load_env(2, &[]).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "environment must be below the number of environments, got 2");
    }
    let mut fresh = walkers().make(&MakeOptions { num_envs: 2, ..Default::default() }).unwrap();
    assert!(matches!(fresh.fork(0, 1), Err(EnvError::StepBeforeReset)));
}

#[test]
fn a_family_makes_what_nobody_can_list() {
    let registry = Registry::empty().with_family("walk:", |id| walkers().renamed(id));
    assert_eq!(registry.get("walk:far").unwrap().id(), "walk:far");
    assert!(registry.iter().next().is_none());
    assert!(matches!(registry.get("run:far"), Err(EnvError::UnknownId { .. })));
}

#[test]
fn settings_of_a_worker_process_are_refused_where_there_is_none() {
    let worker = WorkerOptions { module: Some("walks".to_owned()), ..Default::default() };
    let error = walkers().make(&MakeOptions { worker, ..Default::default() }).unwrap_err();
    assert!(error.to_string().contains("for environments of Python, which this is not"), "{error}");
}
