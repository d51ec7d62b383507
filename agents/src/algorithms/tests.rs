//! What holds for every registered algorithm: documentation, policies and warm starts from weights, refusals.

use std::path::Path;

use agon_envs::EnvSpec;
use agon_nn::{Activation, MemoryConfig, Position, RecurrentInit, TransformerConfig};

use super::*;
use crate::policy::ActMode;
use crate::test_support::{
    Aim, Boxed, Identity, Random, Recall, Trial, TrialConfig, info_of_four_numbers, mlp, play, spec_of,
    untrained_teacher,
};

/// Those that learn from recorded data and do not act, if nobody says otherwise.
const RECORDED_ALONE: [&str; 9] = ["awac", "bc", "cal-ql", "cql", "cql-sac", "dt", "iql", "rebrac", "td3-bc"];

/// A small run of an algorithm.
struct Case {
    name: &'static str,
    settings: &'static str,
    network: ModelConfig,
    env: EnvSpec,
}

/// Small runs of all algorithms, with every kind of action, memory and noise that they have.
fn cases() -> Vec<Case> {
    const ROLLOUT: &str = "num_steps = 8";
    const REMEMBERS: &str = "num_steps = 8\nshare_encoder = true";
    const REPLAY: &str = "buffer_size = 200\nlearning_starts = 16\ntrain_frequency = 8\nbatch_size = 8";
    const SEQUENCES: &str = "buffer_size = 400\nlearning_starts = 16\nnum_steps = 4\nburn_in = 4\nlearn_steps = 4\nbatch_size = 4";
    let plain = mlp(&[8], Activation::Tanh);
    let (mut noisy, mut remembering) = (plain.clone(), plain.clone());
    noisy.head.noisy = true;
    remembering.memory = MemoryConfig::Gru { hidden: 8, init: RecurrentInit::default() };
    let identity = || spec_of(Identity::default()).max_episode_steps(5);
    let aim = || spec_of(Aim::default()).max_episode_steps(5);
    let recall = || spec_of(Recall::default());
    let mut cases = Vec::new();
    for name in ["ppo", "a2c", "impala", "appo"] {
        cases.push(Case { name, settings: ROLLOUT, network: plain.clone(), env: identity() });
        cases.push(Case { name, settings: ROLLOUT, network: plain.clone(), env: aim() });
        cases.push(Case { name, settings: REMEMBERS, network: remembering.clone(), env: recall() });
    }
    let curious = "num_steps = 8\nrnd = { features = 4 }";
    cases.push(Case { name: "ppo", settings: curious, network: plain.clone(), env: identity() });
    for name in ["dqn", "c51", "qr-dqn", "iqn", "rainbow"] {
        cases.push(Case { name, settings: REPLAY, network: plain.clone(), env: identity() });
        cases.push(Case { name, settings: REPLAY, network: noisy.clone(), env: identity() });
    }
    cases.push(Case { name: "bootstrapped-dqn", settings: REPLAY, network: plain.clone(), env: identity() });
    cases.push(Case { name: "pqn", settings: ROLLOUT, network: plain.clone(), env: identity() });
    const SEARCH: &str = "num_steps = 8\nbuffer_size = 400\nlearning_starts = 16\nbatch_size = 8\ngamma = 0.9\ntd_steps = 3\nsearch = { simulations = 4 }";
    cases.push(Case { name: "alphazero", settings: SEARCH, network: plain.clone(), env: identity() });
    cases.push(Case { name: "r2d2", settings: SEQUENCES, network: remembering.clone(), env: recall() });
    const DREAMS: &str = "buffer_size = 400\nlearning_starts = 16\nnum_steps = 4\nsequence_length = 8\nbatch_size = 4\nhorizon = 3\ndeterministic = 8\nlatents = 2\nclasses = 3\nhidden = 8\nbins = 11";
    for env in [identity(), aim(), recall()] {
        cases.push(Case { name: "dreamer", settings: DREAMS, network: plain.clone(), env });
    }
    const VMC: &str = "buffer_size = 400\nlearning_starts = 16\nnum_steps = 4\nsequence_length = 8\nbatch_size = 4\nhorizon = 3\nlatents = 3\ncomponents = 2\nhidden = 8\nbins = 11\ndreams = 2\npopulation = 4\nevolution_starts = 1";
    for env in [identity(), aim(), recall()] {
        cases.push(Case { name: "vmc", settings: VMC, network: remembering.clone(), env });
    }
    cases.push(Case { name: "sac", settings: REPLAY, network: plain.clone(), env: identity() });
    cases.push(Case { name: "sac", settings: REPLAY, network: plain.clone(), env: aim() });
    cases.push(Case { name: "td3", settings: REPLAY, network: plain.clone(), env: aim() });
    const RECORDED: &str = "batch_size = 8";
    for name in ["awac", "bc", "iql"] {
        cases.push(Case { name, settings: RECORDED, network: plain.clone(), env: identity() });
        cases.push(Case { name, settings: RECORDED, network: plain.clone(), env: aim() });
    }
    let sequences = "batch_size = 16\nsequence_length = 3";
    cases.push(Case { name: "bc", settings: sequences, network: remembering.clone(), env: recall() });
    let mut transformer = plain.clone();
    transformer.memory = MemoryConfig::Transformer(TransformerConfig {
        layers: 2,
        heads: 2,
        width: 8,
        feed_forward: 8,
        window: 3,
        position: Position::Learned { positions: 4 },
    });
    for env in [identity(), aim()] {
        cases.push(Case { name: "dt", settings: RECORDED, network: transformer.clone(), env });
    }
    for name in ["gail", "airl"] {
        cases.push(Case { name, settings: ROLLOUT, network: plain.clone(), env: identity() });
        cases.push(Case { name, settings: ROLLOUT, network: plain.clone(), env: aim() });
    }
    for env in [identity(), aim()] {
        cases.push(Case { name: "dagger", settings: REPLAY, network: plain.clone(), env });
    }
    cases.push(Case { name: "cql", settings: RECORDED, network: plain.clone(), env: identity() });
    for name in ["cal-ql", "cql-sac", "td3-bc", "rebrac"] {
        cases.push(Case { name, settings: RECORDED, network: plain.clone(), env: aim() });
    }
    cases
}

impl Case {
    fn spec(&self) -> AlgorithmSpec {
        Algorithms::builtin().get(self.name).unwrap().clone()
    }

    fn settings(&self) -> toml::Table {
        self.settings.parse().unwrap()
    }

    /// The run after some updates.
    fn trained(&self) -> Trial<Boxed> {
        let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps: 1000, seed: 3 };
        let build = |info: &RunInfo| {
            let mut learner = self.spec().build(&self.settings(), Some(&self.network), info)?;
            if self.name == "dagger" {
                learner.follow(untrained_teacher(info))?;
            }
            Ok(learner)
        };
        let acts = self.spec().takes_demonstrations();
        let mut trial = if acts || RECORDED_ALONE.contains(&self.name) {
            let action = self.env.make(&Default::default()).unwrap().action_spec().clone();
            let recorder: (&dyn Policy, usize, bool) = (&Random(action), 200, acts);
            Trial::recorded(&self.env, sizes, recorder, |info| build(info).map(Boxed))
        } else {
            Trial::new(&self.env, sizes, |info| build(info).map(Boxed))
        };
        let updates = (0..6).map(|_| trial.iterate().unwrap().updates).last();
        assert!(updates > Some(0), "{}", self.name);
        trial
    }

    /// Asserts that two policies do the very same, at several steps of the run.
    fn assert_alike(&self, a: &dyn Policy, b: &dyn Policy) {
        for mode in [ActMode::Explore, ActMode::Deterministic] {
            for env_steps in [0, 15, 400, 1000] {
                let [a, b] = [a, b].map(|policy| play(&self.env, policy, mode, env_steps));
                assert_eq!(a, b, "{} with {}, {mode:?} at {env_steps}", self.name, self.settings);
            }
        }
    }
}

#[test]
fn every_algorithm_is_among_the_cases_and_has_a_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/algorithms");
    let pages =
        std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()));
    let pages = pages.collect::<Result<String, _>>().unwrap();
    let cases = cases();
    for spec in Algorithms::builtin().iter() {
        assert!(pages.contains(&format!("agon train {} ", spec.name())), "{} has no page", spec.name());
        assert!(cases.iter().any(|case| case.name == spec.name()), "{} has no case", spec.name());
    }
}

#[test]
fn a_policy_from_weights_does_what_the_learners_own_does() {
    for case in cases() {
        let trial = case.trained();
        let bytes = trial.learner.weights().to_safetensors(&BTreeMap::new()).unwrap();
        let weights = Weights::from_safetensors(&bytes).unwrap();
        let info = trial.info.policy_info();
        let policy = case.spec().policy(&case.settings(), Some(&case.network), &info, &weights).unwrap();
        case.assert_alike(&*policy, &*trial.learner.policy().unwrap());
    }
}

#[test]
fn every_learner_tells_the_norms_of_its_acting_network() {
    for case in cases() {
        let mut trial = case.trained();
        let norms = trial.learner.0.take_norms().unwrap();
        let all = trial.learner.weights();
        let squares: f64 =
            all.iter().flat_map(|(_, _, values)| values).map(|&value| f64::from(value).powi(2)).sum();
        assert!(norms.gradient > 0.0 && norms.gradient.is_finite(), "{}: {norms:?}", case.name);
        assert!(norms.weights > 0.0 && norms.weights <= squares.sqrt() + 1e-6, "{}: {norms:?}", case.name);
        assert!(trial.learner.0.take_norms().unwrap().gradient.is_nan(), "{}", case.name);
    }
}

#[test]
fn a_learner_begins_with_given_weights_or_stays_as_it_was() {
    for case in cases() {
        let trial = case.trained();
        let weights = trial.learner.weights();
        let info = RunInfo { seed: 99, ..trial.info.clone() };
        let mut other = case.spec().build(&case.settings(), Some(&case.network), &info).unwrap();
        let before = other.weights();
        assert_ne!(before, weights);
        let lacking = Weights::from_tensors(
            weights
                .iter()
                .skip(2)
                .map(|(name, shape, values)| (name.to_owned(), shape.to_vec(), values.to_vec())),
        );
        let error = other.load_weights(&lacking.unwrap()).unwrap_err().to_string();
        let missing: Vec<&str> = weights.iter().take(2).map(|(name, _, _)| name).collect();
        assert!(missing.iter().all(|name| error.contains(name)), "{error}");
        assert_eq!(other.weights(), before);
        other.load_weights(&weights).unwrap();
        assert_eq!(other.weights(), weights);
        case.assert_alike(&*other.policy().unwrap(), &*trial.learner.policy().unwrap());
    }
}

#[test]
fn weights_of_another_network_make_no_policy() {
    for case in cases() {
        let trial = case.trained();
        let deeper = ModelConfig { encoder: mlp(&[8, 8], Activation::Tanh).encoder, ..case.network.clone() };
        let (settings, info) = (case.settings(), trial.info.policy_info());
        // Both ways: layers that are missing, and layers that nobody reads.
        let error = case.spec().policy(&settings, Some(&deeper), &info, &trial.learner.weights());
        assert!(matches!(error, Err(AgentError::Weights(_))), "{}", case.name);
        let learner = case.spec().build(&settings, Some(&deeper), &trial.info).unwrap();
        let error = case.spec().policy(&settings, Some(&case.network), &info, &learner.weights());
        assert!(matches!(error, Err(AgentError::Weights(_))), "{}", case.name);
    }
}

#[test]
fn settings_of_networks_are_laid_over_the_default_and_errors_name_their_path() {
    let algorithms = Algorithms::builtin();
    let dqn = algorithms.get("dqn").unwrap();
    let resolved = |text: &str| dqn.resolve_network(&text.parse().unwrap());
    let network = resolved("encoder.hidden = [7]").unwrap().unwrap();
    assert_eq!(network.encoder, mlp(&[7], Activation::Relu).encoder, "the activation is the default's");
    assert!(algorithms.get("rainbow").unwrap().default_network().unwrap().head.noisy);
    for (text, expected) in [
        ("encoder.hiden = [7]", "network.encoder.hiden: "),
        ("hidden = [7]", "network.hidden: unknown field `hidden`"),
        ("encoder.hidden = \"wide\"", "network.encoder.hidden: "),
    ] {
        let error = resolved(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = dqn.resolve(&"gama = 1".parse().unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("agent.gama: unknown field `gama`"), "{error}");
}

#[test]
fn an_algorithm_without_networks_says_so() {
    let spec = AlgorithmSpec::new("none", "Does nothing.", |_: toml::Table, _| -> Result<Boxed, _> {
        Err(AgentError::Config("never built".to_owned()))
    });
    assert!(spec.default_network().is_none());
    assert_eq!(spec.resolve_network(&toml::Table::new()).unwrap(), None);
    let error = spec.resolve_network(&"encoder.hidden = [7]".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "algorithm `none` has no networks");
    let info = info_of_four_numbers(1).policy_info();
    let error = spec.policy(&toml::Table::new(), None, &info, &Weights::new());
    assert!(matches!(error, Err(AgentError::NoNetworks(_))));
}

#[test]
fn unknown_and_taken_names_are_refused() {
    let mut algorithms = Algorithms::builtin();
    let error = algorithms.get("pp").unwrap_err().to_string();
    assert!(error.contains("`pp`") && error.contains("ppo"), "{error}");
    let spec = algorithms.get("ppo").unwrap().clone();
    assert!(matches!(algorithms.register(spec), Err(AgentError::DuplicateAlgorithm(_))));
}

#[test]
fn every_algorithm_gives_a_round_up_when_asked_to() {
    for case in &cases() {
        let mut trial = case.trained();
        let fragments = trial.collect();
        let mut asked = 0;
        let mut gives_up = || {
            asked += 1;
            true
        };
        let outcome = trial.learner.0.learn_unless(&fragments, 400, &mut gives_up);
        assert!(matches!(outcome, Err(AgentError::GivenUp)), "{}: {outcome:?}", case.name);
        assert_eq!(asked, 1, "{}", case.name);
    }
}
