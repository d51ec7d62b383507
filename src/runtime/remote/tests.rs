use std::collections::VecDeque;
use std::fs;

use agon_agents::FragmentShape;

use super::*;
use crate::config::{self, RunConfig};
use crate::runtime::{Parts, Setup, resume_with, train_with};
use crate::sinks::{Signal, Sink, watch};

fn config_of(algorithm: &str, env: &str, settings: &[&str]) -> RunConfig {
    let setup = Setup::default();
    let mut table = toml::Table::new();
    config::set_subject(&mut table, algorithm, env).unwrap();
    settings.iter().for_each(|setting| config::set(&mut table, setting).unwrap());
    let mut config = RunConfig::from_table(&setup.algorithms, table).unwrap();
    config.resolve(&setup.registry, &setup.algorithms).unwrap();
    config
}

/// What the source of such a run is made for.
pub(super) fn context_of(
    algorithm: &str,
    env: &str,
    settings: &[&str],
    look: impl FnOnce(&SourceContext<'_>),
) {
    let setup = Setup::default();
    let config = config_of(algorithm, env, settings);
    let Parts { probe, info, statistics, learner, .. } = Parts::new(&setup, &config).unwrap();
    let policy = learner.policy().unwrap();
    let shape: FragmentShape = probe.fragment_shape(&config, learner.num_steps(), &*policy);
    let acting = Arc::new(Acting::of(policy, statistics, 0));
    let weights = learner.weights();
    let (config, info, shape) = (&config, &info, &shape);
    look(&SourceContext { config, info, shape, acting, weights: &weights, saved: None });
}

/// Workers in this process that are asked through bytes, each of which dies now and then.
#[derive(Default)]
pub(super) struct Here {
    assignment: Vec<u8>,
    policy: Vec<u8>,
    workers: Vec<RemoteWorker>,
    numbers: Vec<u64>,
    /// Shards in the order in which they are asked.
    asked: VecDeque<usize>,
    /// Fragments between two deaths; none if nobody dies.
    dies_after: Option<u64>,
    collected: u64,
    damage: Option<fn(&mut Delivery)>,
}

impl Here {
    pub(super) fn of(context: &SourceContext<'_>) -> Self {
        let mut here = Self::default();
        here.begin(Assignment::of(context).unwrap().pack().unwrap(), &[0, 0]).unwrap();
        let Acting { version, env_steps, ref statistics, .. } = *context.acting;
        let policy = SentPolicy::new(version, env_steps, statistics, context.weights);
        here.publish(version, policy.pack().unwrap()).unwrap();
        here
    }

    pub(super) fn collect(&mut self, shard: usize, number: u64) -> Vec<u8> {
        let worker = &mut self.workers[shard];
        worker.take_policy(&self.policy).unwrap();
        worker.collect(shard, number).unwrap()
    }
}

impl Workers for Here {
    fn begin(&mut self, assignment: Vec<u8>, numbers: &[u64]) -> Result<(), RunError> {
        let new = |_: &u64| RemoteWorker::new(&Setup::default(), &assignment);
        self.workers = numbers.iter().map(new).collect::<Result<_, _>>()?;
        self.assignment = assignment;
        self.numbers = numbers.to_vec();
        self.asked = (0..numbers.len()).collect();
        Ok(())
    }

    fn publish(&mut self, _version: u64, policy: Vec<u8>) -> Result<(), RunError> {
        self.policy = policy;
        Ok(())
    }

    fn next(&mut self, _wait: Duration) -> Result<Option<Delivery>, RunError> {
        let shard = self.asked.pop_front().unwrap();
        self.asked.push_back(shard);
        self.collected += 1;
        if self.dies_after.is_some_and(|every| self.collected.is_multiple_of(every)) {
            self.workers[shard] = RemoteWorker::new(&Setup::default(), &self.assignment)?;
        }
        let number = self.numbers[shard];
        self.numbers[shard] += 1;
        let fragment = self.collect(shard, number);
        let mut delivery = Delivery { fragment, shard, number, idle_s: 0.25 };
        if let Some(damage) = self.damage {
            damage(&mut delivery);
        }
        Ok(Some(delivery))
    }
}

/// Workers of whom nothing comes any more.
struct Lost;

impl Workers for Lost {
    fn begin(&mut self, _assignment: Vec<u8>, _numbers: &[u64]) -> Result<(), RunError> {
        Ok(())
    }

    fn publish(&mut self, _version: u64, _policy: Vec<u8>) -> Result<(), RunError> {
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Delivery>, RunError> {
        std::thread::sleep(wait);
        Ok(None)
    }
}

/// Wants to stop from the beginning.
struct Impatient;

impl Sink for Impatient {
    fn name(&self) -> &str {
        "impatient"
    }

    fn poll(&mut self) -> Signal {
        Signal::Stop
    }
}

#[test]
fn a_wish_to_stop_is_heeded_while_nobody_sends_anything() {
    let directory = tempfile::tempdir().unwrap();
    let make = |context: &SourceContext<'_>| source(context, Box::new(Lost));
    let setup = Setup { source: Some(Arc::new(make)), ..Setup::default() };
    let config = config_of("appo", "CartPole-v1", &RUN);
    let outcome = train_with(&setup, config, &directory.path().join("lost"), Box::new(Impatient)).unwrap();
    assert_eq!((outcome.finished, outcome.env_steps), (false, 0));
}

const RUN: [&str; 6] = [
    "total_timesteps=4096",
    "num_envs=4",
    "runtime.num_shards=2",
    "network.encoder.hidden=[8]",
    "runtime.mode='async'",
    "agent.num_steps=16",
];

fn setup_with(dies_after: Option<u64>, damage: Option<fn(&mut Delivery)>) -> Setup {
    let make = move |context: &SourceContext<'_>| {
        source(context, Box::new(Here { dies_after, damage, ..Here::default() }))
    };
    Setup { source: Some(Arc::new(make)), ..Setup::default() }
}

#[test]
fn a_run_learns_from_workers_elsewhere_though_they_die_and_goes_on_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let wrappers = "env.wrappers=[{kind='normalize_observation'}]";
    for algorithm in ["appo", "impala"] {
        let run = directory.path().join(algorithm);
        let config = config_of(algorithm, "CartPole-v1", &[&RUN[..], &[wrappers]].concat());
        let setup = setup_with(Some(7), None);
        let stop = Box::new(watch(|progress| progress.env_steps < 1000));
        assert!(!train_with(&setup, config, &run, stop).unwrap().finished);
        let outcome = resume_with(&setup, &run, None, Box::new(watch(|_| true))).unwrap();
        assert!(outcome.finished && outcome.env_steps == 4096, "{outcome:?}");
        // Without those workers too, and the other way round.
        crate::runtime::extend(&run, 5000).unwrap();
        assert!(resume_with(&Setup::default(), &run, None, Box::new(watch(|_| true))).unwrap().finished);
        crate::runtime::extend(&run, 6000).unwrap();
        assert!(resume_with(&setup, &run, None, Box::new(watch(|_| true))).unwrap().finished);
        let text = fs::read_to_string(run.join("config.toml")).unwrap();
        assert!(text.contains("asynchronous workers on other machines are not reproducible"), "{text}");
        let timing = fs::read_to_string(run.join("timing.csv")).unwrap();
        // Each of the 128 fragments up to step 4096 came with a quarter of a second, whichever row it fell into.
        let blocked = |row: &str| row.split(',').nth(6).unwrap().parse::<f64>().unwrap();
        let sum: f64 = timing.lines().skip(1).take(64).map(blocked).sum();
        assert!(sum >= 32.0, "{sum}: {timing}");
    }
}

#[test]
fn learners_with_replay_have_workers_elsewhere_too() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        "total_timesteps=1024",
        "num_envs=4",
        "runtime.num_shards=2",
        "runtime.mode='async'",
        "network.encoder.hidden=[8]",
        "agent.learning_starts=64",
        "agent.buffer_size=512",
        "agent.train_frequency=16",
    ];
    for (algorithm, env) in [("dqn", "CartPole-v1"), ("sac", "Pendulum-v1")] {
        let config = config_of(algorithm, env, &settings);
        let run = directory.path().join(algorithm);
        let outcome = train_with(&setup_with(None, None), config, &run, Box::new(watch(|_| true))).unwrap();
        assert!(outcome.finished, "{algorithm}");
    }
}

#[test]
fn what_a_worker_sends_is_checked_before_it_is_learned_from() {
    type Case = (fn(&mut Delivery), &'static str);
    let cases: [Case; 5] = [
        (|delivery| delivery.fragment.truncate(40), "bytes of content"),
        (|delivery| delivery.fragment[60] ^= 4, "expected checksum"),
        (|delivery| delivery.shard = 1 - delivery.shard, "was asked for, got one of"),
        (
            |delivery| {
                let mut fragment = wire::unpack_fragment(&delivery.fragment, u64::MAX).unwrap();
                fragment.rewards[1] = f32::NAN;
                delivery.fragment = wire::pack_fragment(&fragment).unwrap();
            },
            "must be finite, got NaN",
        ),
        (
            |delivery| {
                let mut fragment = wire::unpack_fragment(&delivery.fragment, u64::MAX).unwrap();
                fragment.news.push(agon_envs::wrappers::Moments::empty(1));
                delivery.fragment = wire::pack_fragment(&fragment).unwrap();
            },
            "expected news of [] statistics",
        ),
    ];
    for (damage, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let config = config_of("appo", "CartPole-v1", &RUN);
        let sink = Box::new(watch(|_| panic!("nothing is learned")));
        let error = train_with(&setup_with(None, Some(damage)), config, &directory.path().join("run"), sink);
        let message = error.unwrap_err().to_string();
        assert!(message.contains(expected), "expected `{expected}` in `{message}`");
    }
}

#[test]
fn a_worker_acts_as_a_shard_here_does_and_begins_anew_where_it_is_asked_to() {
    context_of("appo", "CartPole-v1", &RUN, |context| {
        let fragment =
            |here: &mut Here, number| wire::unpack_fragment(&here.collect(1, number), u64::MAX).unwrap();
        let (mut one, mut other) = (Here::of(context), Here::of(context));
        let spec = Setup::default().registry.get("CartPole-v1").unwrap().into_owned();
        let mut shard = crate::runtime::shard::Shard::new(1, &spec, context.config).unwrap();
        let mut expected = Fragment::new(context.shape);
        for number in 0..3 {
            shard.collect(&context.acting, &mut expected).unwrap();
            assert!(fragment(&mut one, number) == expected, "{number}");
        }
        // Lost after three: others episodes, the same ones whenever it is lost there.
        let anew = fragment(&mut other, 3);
        assert!(anew != fragment(&mut one, 3));
        assert!(anew == fragment(&mut Here::of(context), 3));
        // Calls that come in another order are answered too.
        fragment(&mut other, 1).validate(context.shape, 2).unwrap();
    });
}

#[test]
fn a_worker_refuses_what_is_not_of_its_run() {
    context_of("appo", "CartPole-v1", &RUN, |context| {
        let mut here = Here::of(context);
        let worker = &mut here.workers[0];
        assert_eq!(worker.version(), None);
        let message = worker.collect(0, 0).unwrap_err().to_string();
        assert!(message.contains("before it had a policy"), "{message}");
        worker.take_policy(&here.policy).unwrap();
        assert_eq!(worker.version(), Some(0));
        let message = worker.collect(2, 0).unwrap_err().to_string();
        assert!(message.contains("expected a shard below 2, got 2"), "{message}");
        context_of("appo", "Acrobot-v1", &RUN, |other| {
            let policy = SentPolicy::new(1, 0, &[], other.weights).pack().unwrap();
            assert!(worker.take_policy(&policy).is_err());
        });
        let statistics = [agon_envs::wrappers::Moments::empty(4)];
        let policy = SentPolicy::new(1, 0, &statistics, context.weights).pack().unwrap();
        assert!(worker.take_policy(&policy).is_err());
        assert_eq!(worker.version(), Some(0));
        for length in 0..here.assignment.len() {
            assert!(RemoteWorker::new(&Setup::default(), &here.assignment[..length]).is_err());
        }
    });
}

#[test]
fn what_fails_elsewhere_ends_the_run() {
    struct Failing;
    impl Workers for Failing {
        fn begin(&mut self, _: Vec<u8>, _: &[u64]) -> Result<(), RunError> {
            Ok(())
        }
        fn publish(&mut self, version: u64, _: Vec<u8>) -> Result<(), RunError> {
            assert_eq!(version, 0);
            Ok(())
        }
        fn next(&mut self, _: Duration) -> Result<Option<Delivery>, RunError> {
            Err(RunError::Engine("worker 3: on fire".to_owned()))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let make = |context: &SourceContext<'_>| source(context, Box::new(Failing));
    let setup = Setup { source: Some(Arc::new(make)), ..Setup::default() };
    let config = config_of("impala", "CartPole-v1", &RUN);
    let error = train_with(&setup, config, &directory.path().join("run"), Box::new(watch(|_| true)));
    assert_eq!(error.unwrap_err().to_string(), "worker 3: on fire");
}
