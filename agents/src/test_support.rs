//! Tiny environments whose answers can be computed, a driver that trains a learner on them, and what every learner
//! must keep.
//!
//! The driver does what a runtime's shard does, without threads and files: the crate must not depend on the runtime.

use std::path::PathBuf;
use std::sync::Arc;

use agon_envs::random::SeedSequence;
use agon_envs::registry::NoArguments;
use agon_envs::spaces::Dtype;
use agon_envs::{Action, ActionBatch, ActionSpec, Env, EnvSpec, MakeOptions, Pcg64, Seed, Space, Step};
use agon_nn::{Activation, ConvConfig, EncoderConfig, ModelConfig};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::guide::Guide;
use crate::learner::Recorded;
use crate::policy::{ActInput, ActMode, ActOutput, Actor};
use crate::{
    AgentError, Algorithms, EnvironmentLoop, Fragment, FragmentShape, LearnReport, Learner, Policy, RunInfo,
    Spaces, Weights,
};

/// Two arms: arm 1 pays 1, arm 0 nothing. Each pull is an episode.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Bandit;

impl Env for Bandit {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0], &[1.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        obs[0] = 1.0;
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        obs[0] = 1.0;
        Step::terminated(action.index() as f64)
    }
}

/// Four states in random order: the action that equals the state pays 1, the others nothing.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Identity {
    state: usize,
}

impl Identity {
    fn draw(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.state = rng.bounded(3) as usize;
        one_hot(self.state, obs);
    }
}

impl Env for Identity {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::MultiBinary { n: 4 }
    }

    fn action_space(&self) -> Space {
        Space::discrete(4).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.draw(rng, obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let reward = if action.index() == self.state { 1.0 } else { 0.0 };
        self.draw(rng, obs);
        Step::running(reward)
    }
}

/// Shows one of two cues at first; three steps later the action must be the cue. A second choice, if `masked`, has one
/// legal option, which another one is at each step.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Recall {
    masked: bool,
    cue: usize,
    taken: usize,
}

impl Recall {
    pub(crate) fn masked() -> Self {
        Self { masked: true, ..Self::default() }
    }
}

impl Env for Recall {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap()
    }

    fn action_space(&self) -> Space {
        if self.masked { Space::multi_discrete(&[2, 3]).unwrap() } else { Space::discrete(2).unwrap() }
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        (self.cue, self.taken) = (rng.bounded(1) as usize, 0);
        one_hot(self.cue, obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.taken += 1;
        obs.copy_from_slice(&[0.0, 0.0, 1.0, if self.taken == 3 { 1.0 } else { 0.0 }]);
        if self.taken < 4 {
            return Step::running(0.0);
        }
        Step::terminated(if action.indices()[0] as usize == self.cue { 1.0 } else { 0.0 })
    }

    fn has_action_mask(&self) -> bool {
        self.masked
    }

    fn action_mask(&self, mask: &mut [bool]) {
        mask.fill(true);
        (0..3).for_each(|option| mask[2 + option] = option == self.taken % 3);
    }
}

/// A corridor of 24 places: action 1 leads on, action 0 back to the start. Only its end pays, 1, and ends the episode: at
/// random, one attempt of 16 million gets there.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Corridor {
    place: usize,
}

impl Corridor {
    const END: usize = 24;

    fn show(&self, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[self.place] = 1.0;
    }
}

impl Env for Corridor {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0; Self::END + 1], &[1.0; Self::END + 1]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        self.place = 0;
        self.show(obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.place = if action.index() == 1 { self.place + 1 } else { 0 };
        self.show(obs);
        if self.place == Self::END { Step::terminated(1.0) } else { Step::running(0.0) }
    }
}

/// Shows a number; the closer the action is to it, the less is lost.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Aim {
    target: f32,
}

impl Aim {
    fn draw(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.target = rng.uniform(-1.0, 1.0) as f32;
        obs[0] = self.target;
    }
}

impl Env for Aim {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[-1.0], &[1.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::box_f32(&[-1.0], &[1.0]).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.draw(rng, obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let miss = f64::from(action.values()[0] - self.target);
        self.draw(rng, obs);
        Step::running(-miss * miss)
    }
}

/// As [`Identity`] with two states, seen as a small image of bytes: its left or its right half is bright.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct BrightHalf {
    right: bool,
}

impl BrightHalf {
    fn draw(&mut self, rng: &mut Pcg64, obs: &mut [u8]) {
        self.right = rng.bounded(1) == 1;
        // Four lines of four pixels, a dim and a bright channel each.
        for (index, pixel) in obs.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *pixel = [20, if (index % 4 >= 2) == self.right { 250 } else { 30 }];
        }
    }
}

impl Env for BrightHalf {
    type Obs = u8;

    fn observation_space(&self) -> Space {
        Space::image_u8(&[4, 4, 2]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [u8]) {
        self.draw(rng, obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [u8]) -> Step {
        let reward = if (action.index() == 1) == self.right { 1.0 } else { 0.0 };
        self.draw(rng, obs);
        Step::running(reward)
    }
}

/// A network for [`BrightHalf`].
pub(crate) fn small_cnn() -> ModelConfig {
    let encoder = EncoderConfig::Cnn {
        convs: vec![ConvConfig::new(8, 3)],
        hidden: vec![32],
        activation: Activation::Relu,
        layer_norm: false,
    };
    ModelConfig { encoder, ..ModelConfig::default() }
}

/// A network of linear layers.
pub(crate) fn mlp(hidden: &[usize], activation: Activation) -> ModelConfig {
    ModelConfig { encoder: EncoderConfig::mlp(hidden, activation), ..ModelConfig::default() }
}

/// A ring of four states that turns by one each step whatever is done, and starts anywhere; leaving state `s` pays
/// `rewards[s]`. It never ends by itself.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Wheel {
    pub(crate) rewards: [f64; 4],
    pub(crate) state: usize,
}

impl Wheel {
    /// `V(s) = (Σ_{k<4} γ^k rewards[s + k]) / (1 − γ⁴)`: the value of never stopping.
    pub(crate) fn values(&self, gamma: f64) -> [f64; 4] {
        [0, 1, 2, 3].map(|state| {
            let turn = (0..4).map(|k| gamma.powi(k as i32) * self.rewards[(state + k) % 4]).sum::<f64>();
            turn / (1.0 - gamma.powi(4))
        })
    }
}

impl Env for Wheel {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.state = rng.bounded(3) as usize;
        one_hot(self.state, obs);
    }

    fn step(&mut self, _action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let reward = self.rewards[self.state];
        self.state = (self.state + 1) % 4;
        one_hot(self.state, obs);
        Step::running(reward)
    }
}

/// Pays 1 a step and terminates at the fourth. The final observation looks like the first one, so that a bootstrap from
/// it would be seen.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct FourSteps {
    taken: usize,
}

impl Env for FourSteps {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        self.taken = 0;
        one_hot(0, obs);
    }

    fn step(&mut self, _action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.taken += 1;
        one_hot(self.taken % 4, obs);
        if self.taken == 4 { Step::terminated(1.0) } else { Step::running(1.0) }
    }
}

fn one_hot(state: usize, obs: &mut [f32]) {
    obs.fill(0.0);
    obs[state] = 1.0;
}

/// The four one-hot states, `[4, 4]`.
pub(crate) const FOUR_STATES: [f32; 16] =
    [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];

/// A plain struct as a registry entry, without a time limit.
pub(crate) fn spec_of(env: impl Env) -> EnvSpec {
    EnvSpec::single("Test-v0", move |_: NoArguments| Ok(env.clone()))
}

/// What is known of a run with a box of four numbers and two actions.
pub(crate) fn info_of_four_numbers(num_envs: usize) -> RunInfo {
    let spaces = Spaces {
        observation: Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap(),
        frames: None,
        action: ActionSpec::Discrete { nvec: vec![2] },
        mask_len: 0,
        tasks: Vec::new(),
    };
    RunInfo {
        spaces,
        num_envs,
        num_agents: 1,
        num_shards: 1,
        total_timesteps: 1000,
        seed: 0,
        privileged: None,
        recorded: None,
    }
}

/// The sizes of `num_steps` ticks of one environment of such a run, by a policy that records nothing.
pub(crate) fn shape_of_four_numbers(num_steps: usize) -> FragmentShape {
    FragmentShape {
        num_steps,
        num_envs: 1,
        num_agents: 1,
        observation_len: 4,
        dtype: Dtype::F32,
        action_spec: ActionSpec::Discrete { nvec: vec![2] },
        policy_data_width: 0,
        policy_state_len: 0,
        mask_len: 0,
        num_metrics: 0,
        num_tasks: 0,
        privileged: None,
    }
}

/// A run's information with other spaces.
pub(crate) fn with_spaces(info: &RunInfo, change: impl FnOnce(&mut Spaces)) -> RunInfo {
    let mut info = info.clone();
    change(&mut info.spaces);
    info
}

/// The sizes of a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrialConfig {
    /// Environments of all shards together.
    pub(crate) num_envs: usize,
    pub(crate) num_shards: usize,
    pub(crate) total_timesteps: u64,
    pub(crate) seed: u64,
}

/// A learner in training on some shards of one environment.
pub(crate) struct Trial<L> {
    pub(crate) learner: L,
    pub(crate) info: RunInfo,
    /// Steps taken so far.
    pub(crate) env_steps: u64,
    /// Returns of the training episodes that ended, in order.
    pub(crate) episode_returns: Vec<f64>,
    /// What was recorded before.
    pub(crate) recorded: Option<Fragment>,
    spec: EnvSpec,
    shards: Vec<EnvironmentLoop>,
}

fn new_loop(spec: &EnvSpec, num_envs: usize, seed: u64, index: u32) -> EnvironmentLoop {
    let mut simulator = spec.make(&MakeOptions { num_envs, ..Default::default() }).unwrap();
    let mut now = simulator.new_batch();
    let rng = |key: &[u32]| Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, key));
    let seeds: Vec<Seed> = (0..num_envs as u32).map(|row| Seed::derived(seed, &[16, index, row])).collect();
    simulator.reset_with(&seeds, &mut now).unwrap();
    EnvironmentLoop::new(simulator, now, rng(&[17, index]))
}

impl<L: Learner> Trial<L> {
    pub(crate) fn new(
        spec: &EnvSpec,
        config: TrialConfig,
        build: impl FnOnce(&RunInfo) -> Result<L, AgentError>,
    ) -> Self {
        let TrialConfig { num_envs, num_shards, total_timesteps, seed } = config;
        let shard = |index| new_loop(spec, num_envs / num_shards, seed, index as u32);
        let shards: Vec<EnvironmentLoop> = (0..num_shards).map(shard).collect();
        let info = RunInfo {
            spaces: shards[0].spaces(),
            num_envs,
            num_agents: shards[0].simulator.num_agents(),
            num_shards,
            total_timesteps,
            seed,
            privileged: None,
            recorded: None,
        };
        let learner = build(&info).unwrap();
        let (recorded, episode_returns) = (None, Vec::new());
        Self { learner, info, env_steps: 0, episode_returns, recorded, spec: spec.clone(), shards }
    }

    /// A learner of what somebody did in one environment, which acts too or not.
    pub(crate) fn recorded(
        spec: &EnvSpec,
        config: TrialConfig,
        (recorder, steps, acts): (&dyn Policy, usize, bool),
        build: impl FnOnce(&RunInfo) -> Result<L, AgentError>,
    ) -> Self {
        let mut shard = new_loop(spec, 1, config.seed, 0);
        let mut recorded = Fragment::new(&shard.fragment_shape(steps, recorder));
        shard.fill(&mut recorded, recorder, 0, 1).unwrap();
        let told = Some(Recorded { steps: steps as u64, acts, share: 0.5 });
        let config = if acts { config } else { TrialConfig { num_envs: 1, num_shards: 1, ..config } };
        let mut trial = Self::new(spec, config, |info| {
            let mut learner = build(&RunInfo { recorded: told, ..info.clone() })?;
            learner.remember(&recorded)?;
            Ok(learner)
        });
        trial.info.recorded = told;
        trial.recorded = Some(recorded);
        if !acts {
            trial.shards.clear();
        }
        trial
    }

    /// One fragment of each shard, acted by the current policy; none of a learner that does not act.
    pub(crate) fn collect(&mut self) -> Vec<Fragment> {
        if self.shards.is_empty() {
            self.env_steps += self.learner.num_steps() as u64;
            return Vec::new();
        }
        let policy = self.learner.policy().unwrap();
        let (num_steps, run_envs) = (self.learner.num_steps(), self.info.num_envs as u64);
        let mut fragments = Vec::new();
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let mut fragment = Fragment::new(&shard.fragment_shape(num_steps, &*policy));
            fragment.shard = index;
            shard.fill(&mut fragment, &*policy, self.env_steps, run_envs).unwrap();
            self.episode_returns.extend(fragment.episodes.iter().map(|(_, stats)| stats.episode_return));
            fragments.push(fragment);
        }
        self.env_steps += num_steps as u64 * run_envs;
        fragments
    }

    /// One iteration: acts, then learns.
    pub(crate) fn iterate(&mut self) -> Result<LearnReport, AgentError> {
        let fragments = self.collect();
        self.learner.learn(&fragments, self.env_steps)
    }

    /// Trains to the end of the run.
    pub(crate) fn run(&mut self) {
        while self.env_steps < self.info.total_timesteps {
            self.iterate().unwrap();
        }
    }

    /// Mean reward of `num_steps` steps of the deterministic policy in environments of its own.
    pub(crate) fn evaluate(&self, num_steps: usize) -> f64 {
        let policy = self.learner.policy().unwrap();
        let mut shard = new_loop(&self.spec, 1, self.info.seed, u32::MAX);
        let mut total = 0.0;
        for _ in 0..num_steps {
            shard.tick(&*policy, self.env_steps, ActMode::Deterministic).unwrap();
            total += shard.now.rewards[0];
        }
        total / num_steps as f64
    }
}

/// Random actions of a kind.
pub(crate) struct Random(pub(crate) ActionSpec);

impl Policy for Random {
    fn act(&self, _input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        match (&self.0, output.actions) {
            (ActionSpec::Discrete { nvec }, ActionBatch::Discrete(indices)) => {
                let draw = |n: &u32| actor.rng.bounded(u64::from(n - 1)) as u32;
                indices
                    .iter_mut()
                    .zip(nvec.iter().cycle().map(draw))
                    .for_each(|(index, drawn)| *index = drawn);
            }
            (ActionSpec::Continuous { low, high }, ActionBatch::Continuous(numbers)) => {
                for (number, (low, high)) in numbers.iter_mut().zip(low.iter().zip(high).cycle()) {
                    *number = actor.rng.uniform(f64::from(*low), f64::from(*high)) as f32;
                }
            }
            _ => unreachable!("actions are of the environment's kind"),
        }
        Ok(())
    }
}

/// A teacher that knows nothing, but always says the same.
pub(crate) fn untrained_teacher(info: &RunInfo) -> Guide {
    let ppo = Algorithms::builtin().get("ppo").unwrap().clone();
    let network = mlp(&[8], Activation::Tanh);
    let teacher =
        ppo.build(&toml::Table::new(), Some(&network), &RunInfo { seed: 5, ..info.clone() }).unwrap();
    Guide::new(&*teacher.policy().unwrap(), info, 1.0, false).unwrap()
}

/// A learner of any kind.
pub(crate) struct Boxed(pub(crate) Box<dyn Learner>);

impl Learner for Boxed {
    fn num_steps(&self) -> usize {
        self.0.num_steps()
    }

    fn metric_names(&self) -> &'static [&'static str] {
        self.0.metric_names()
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.0.policy()
    }

    fn remember(&mut self, recorded: &Fragment) -> Result<(), AgentError> {
        self.0.remember(recorded)
    }

    fn follow(&mut self, guide: Guide) -> Result<(), AgentError> {
        self.0.follow(guide)
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        _gives_up: &mut crate::learner::GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        self.0.learn(fragments, env_steps)
    }

    fn weights(&self) -> Weights {
        self.0.weights()
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        self.0.save()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        self.0.restore(saved)
    }
}

/// Some ticks of a policy in environments of their own: actions, states and generator after each.
pub(crate) fn play(
    spec: &EnvSpec,
    policy: &dyn Policy,
    mode: ActMode,
    env_steps: u64,
) -> Vec<(ActionBatch, Vec<f32>, Pcg64)> {
    let mut acting = new_loop(spec, 3, 7, 0);
    let ticks = (0..12).map(|tick| {
        acting.tick(policy, env_steps + tick, mode).unwrap();
        (acting.actions.clone(), acting.actor.state.clone(), acting.actor.rng.clone())
    });
    ticks.collect()
}

/// Everything that a learner knows is the same after a few iterations in pools of 1, 2 and 4 threads.
pub(crate) fn assert_threads_do_not_matter<L: Learner>(make: impl Fn(u64) -> Trial<L> + Sync) {
    let train = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trial = make(seed);
            let updates = (0..4).map(|_| trial.iterate().unwrap().updates).last();
            assert!(updates > Some(0));
            trial.learner.save().unwrap()
        })
    };
    let one = train(1, 3);
    assert!(one == train(2, 3), "2 threads differ from 1");
    assert!(one == train(4, 3), "4 threads differ from 1");
    assert!(one != train(1, 4), "the seed makes no difference");
}

/// A learner that is saved, built again, restored and continued ends like one that was never interrupted.
pub(crate) fn assert_continues_after_restore<L: Learner>(
    mut trial: Trial<L>,
    rebuild: impl Fn(&RunInfo) -> Result<L, AgentError>,
) {
    (0..3).for_each(|_| drop(trial.iterate().unwrap()));
    let saved = trial.learner.save().unwrap();
    // Another seed: whatever is not restored will show.
    let mut resumed = rebuild(&RunInfo { seed: trial.info.seed + 1, ..trial.info.clone() }).unwrap();
    assert!(resumed.weights() != trial.learner.weights());
    if let Some(recorded) = &trial.recorded {
        resumed.remember(recorded).unwrap();
    }
    resumed.restore(&saved).unwrap();
    assert!(resumed.save().unwrap() == saved, "what is restored is saved again");
    for _ in 0..3 {
        let fragments = trial.collect();
        let expected = trial.learner.learn(&fragments, trial.env_steps).unwrap();
        let got = resumed.learn(&fragments, trial.env_steps).unwrap();
        let bits = |report: &LearnReport| report.metrics.iter().map(|m| m.to_bits()).collect::<Vec<_>>();
        assert_eq!((got.updates, bits(&got)), (expected.updates, bits(&expected)));
    }
    assert!(resumed.weights() == trial.learner.weights(), "weights differ");
    assert!(resumed.save().unwrap() == trial.learner.save().unwrap(), "states differ");
}

/// Neither a part of a state nor noise is taken for a state.
pub(crate) fn assert_refuses_damage<L: Learner>(learner: &mut L) {
    let saved = learner.save().unwrap();
    for len in [0, 1, saved.len() / 2, saved.len() - 1] {
        let error = learner.restore(&saved[..len]).unwrap_err();
        assert!(matches!(error, AgentError::Restore(_)), "{len} bytes: {error}");
        assert!(error.to_string().starts_with("saved learner cannot be restored: "), "{error}");
    }
    let mut rng = Pcg64::seed_from(5);
    let noise: Vec<u8> = (0..saved.len()).map(|_| rng.bounded(255) as u8).collect();
    assert!(matches!(learner.restore(&noise), Err(AgentError::Restore(_))));
}

/// A reward that is no number, or too large for `f32`, stops learning with an error that names what was lost.
pub(crate) fn assert_stops_at_a_lost_reward<L: Learner>(make: impl Fn() -> Trial<L>) {
    for reward in [f32::NAN, f32::INFINITY] {
        let mut trial = make();
        let mut fragments = trial.collect();
        fragments.iter_mut().for_each(|fragment| fragment.rewards[1] = reward);
        let error = trial.learner.learn(&fragments, trial.env_steps).unwrap_err();
        let named = matches!(
            error,
            AgentError::NotFinite { .. } | AgentError::Network(agon_nn::NnError::NotFinite { .. })
        );
        assert!(named, "a reward of {reward} gave: {error}");
    }
}

/// One recording of the reference (`tests/golden/generate_nn.py`).
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn load(name: &str) -> Self {
        let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/nn");
        let folder = std::env::var_os("AGON_GOLDEN_NN").map_or(default, PathBuf::from);
        Self(std::fs::read(folder.join(name)).unwrap())
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.values(name, f32::from_le_bytes)
    }

    pub(crate) fn indices(&self, name: &str) -> Vec<u32> {
        self.values(name, |bytes| u32::try_from(i64::from_le_bytes(bytes)).unwrap())
    }

    pub(crate) fn flags(&self, name: &str) -> Vec<bool> {
        self.values(name, |[byte]| byte != 0)
    }

    fn values<const BYTES: usize, T>(&self, name: &str, read: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let data = tensors.tensor(name).unwrap().data();
        data.chunks_exact(BYTES).map(|chunk| read(chunk.try_into().unwrap())).collect()
    }
}
