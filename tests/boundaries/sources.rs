//! Fragments from somewhere else: made by a user's own loop, sent as bytes, and validated where they come in.

use std::sync::Arc;

use agon::RunError;
use agon::acting::Acting;
use agon::agents::environment_loop::{EnvironmentLoop, SavedLoop};
use agon::agents::{Fragment, FragmentShape, Weights, codec as encoding};
use agon::envs::random::SeedSequence;
use agon::envs::{Pcg64, Seed};
use agon::runtime::{self, FragmentSource, Setup, SourceContext};
use agon::sinks::watch;

use crate::{assert_same, common, train};

/// Acts in its own environments, as another machine would, and sends bytes.
struct Elsewhere {
    loops: Vec<EnvironmentLoop>,
    acting: Arc<Acting>,
    shape: FragmentShape,
    run_envs: u64,
    fragments: u64,
    damage: fn(&mut Fragment),
}

impl Elsewhere {
    fn new(setup: &Setup, context: &SourceContext<'_>, damage: fn(&mut Fragment)) -> Result<Self, RunError> {
        let config = context.config;
        let num_envs = config.shard_envs();
        let make = |shard: usize| -> Result<EnvironmentLoop, RunError> {
            let mut simulator = setup.registry.make(&config.env.id, &config.env.options(num_envs))?;
            let mut now = simulator.new_batch();
            let seed = |env| Seed::derived(config.seed, &[16, (shard * num_envs + env) as u32]);
            simulator.reset_with(&(0..num_envs).map(seed).collect::<Vec<_>>(), &mut now)?;
            let rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(config.seed, &[17, shard as u32]));
            Ok(EnvironmentLoop::new(simulator, now, rng))
        };
        let mut source = Self {
            loops: (0..config.runtime.num_shards).map(make).collect::<Result<_, _>>()?,
            acting: Arc::clone(&context.acting),
            shape: context.shape.clone(),
            run_envs: config.num_envs as u64,
            fragments: 0,
            damage,
        };
        if let Some(saved) = context.saved {
            let (fragments, loops): (u64, Vec<SavedLoop>) = encoding::decode(saved)?;
            source.fragments = fragments;
            for (own, saved) in source.loops.iter_mut().zip(loops) {
                own.restore(saved)?;
            }
        }
        Ok(source)
    }
}

impl FragmentSource for Elsewhere {
    fn begin(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn fragments(&mut self, _gives_up: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Fragment>>, RunError> {
        let before = self.fragments * self.shape.num_steps as u64 * self.run_envs;
        self.fragments += 1;
        let mut received = Vec::new();
        for (shard, acting) in self.loops.iter_mut().enumerate() {
            let mut fragment = Fragment::new(&self.shape);
            (fragment.shard, fragment.policy_version) = (shard, self.acting.version);
            acting.fill(&mut fragment, &*self.acting.policy, before, self.run_envs)?;
            (self.damage)(&mut fragment);
            let bytes = encoding::encode(&fragment)?;
            received.push(encoding::decode(&bytes)?);
        }
        Ok(Some(received))
    }

    fn publish(&mut self, acting: Arc<Acting>, _weights: &dyn Fn() -> Weights) {
        self.acting = acting;
    }

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let loops: Vec<SavedLoop> =
            self.loops.iter_mut().map(EnvironmentLoop::save).collect::<Result<_, _>>()?;
        Ok(encoding::encode(&(self.fragments, loops))?)
    }
}

#[test]
fn fragments_from_elsewhere_train_to_the_same_bits() {
    let setup = Setup::default();
    for (algorithm, settings) in [("ppo", &common::PPO[..]), ("dqn", &common::DQN[..])] {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        train(&setup, algorithm, settings, 2, &path("here"));
        let make = |context: &SourceContext<'_>| {
            Ok(Box::new(Elsewhere::new(&setup, context, |_| {})?) as Box<dyn FragmentSource>)
        };
        let config = common::config_of(algorithm, settings);
        let mut iterations = 0;
        let sink = watch(|_| {
            iterations += 1;
            iterations < 9
        });
        let run = path("elsewhere");
        let stopped =
            runtime::train_from(&setup, config, &run, Box::new(sink), Some(Box::new(make))).unwrap();
        assert!(!stopped.finished);
        let sink = Box::new(watch(|_| true));
        assert!(runtime::resume_from(&setup, &run, None, sink, Some(Box::new(make))).unwrap().finished);
        assert_same(&path("here"), &run, algorithm);
        let text = std::fs::read_to_string(run.join("config.toml")).unwrap();
        assert!(text.contains("its fragments come from elsewhere"), "{text}");
    }
}

#[test]
fn fragments_that_do_not_fit_are_refused_before_anything_is_learned() {
    let setup = Setup::default();
    type Damage = fn(&mut Fragment);
    let damages: [(&str, Damage); 6] = [
        ("rewards", |fragment| fragment.rewards.truncate(3)),
        ("final observation", |fragment| {
            fragment.truncated[0] = true;
        }),
        ("action", |fragment| fragment.actions.indices_mut()[0] = 9),
        ("shard", |fragment| fragment.shard = 77),
        ("reward", |fragment| fragment.rewards[3] = f32::NAN),
        ("observation", |fragment| fragment.observations.resize(1)),
    ];
    for (what, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let make = |context: &SourceContext<'_>| {
            Ok(Box::new(Elsewhere::new(&setup, context, damage)?) as Box<dyn FragmentSource>)
        };
        let config = common::config_of("ppo", &common::PPO);
        let sink = Box::new(watch(|_| panic!("nothing is learned")));
        let error = runtime::train_from(&setup, config, &run, sink, Some(Box::new(make))).unwrap_err();
        assert!(error.to_string().contains(what), "`{what}` in {error}");
    }
}
