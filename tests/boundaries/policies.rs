//! A policy from a weight file, or from a run directory, does what `agon eval` does, bit for bit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agon::agents::Weights;
use agon::envs::mixture::TaskSampling;
use agon::envs::{ActionBatch, MakeOptions, ObsRow, StepBatch};
use agon::evaluate::{EvalOptions, evaluate};
use agon::policy::{self, Observed, TrainedPolicy};
use agon::runtime::Setup;

use crate::{common, train};

const EPISODES: usize = 6;
const SEED: u64 = 3;

/// Returns of episodes that a user's own loop plays, in the way in which an evaluation divides them among environments.
fn played(setup: &Setup, mut policy: TrainedPolicy) -> Vec<f64> {
    let card = policy.card().clone();
    let mut options = MakeOptions { wrappers: Vec::new(), ..card.env.options(EPISODES) };
    // Evaluations play tasks in turn, whatever training does.
    options.mixture.sampling = TaskSampling::RoundRobin;
    let mut simulator = setup.registry.make(&card.env.id, &options).unwrap();
    let mut now = simulator.new_batch();
    simulator.reset(SEED, &mut now).unwrap();
    let agents = simulator.num_agents();
    let mut ended_in: Vec<Vec<f64>> = vec![Vec::new(); EPISODES];
    let mut starts = vec![true; EPISODES];
    let mut returns = Vec::new();
    while returns.len() < EPISODES {
        let actions = policy.act_in(&observed(&now, &starts)).unwrap();
        simulator.step(actions, &mut now).unwrap();
        let over = |row: usize| now.terminated[row] || now.truncated[row] || !now.active[row];
        starts = (0..EPISODES).map(|env| (env * agents..(env + 1) * agents).all(over)).collect();
        for ended in &now.episodes {
            let of_agents = &mut ended_in[ended.row as usize / agents];
            of_agents.push(ended.episode_return);
            // The first episode of each environment: that of all its agents.
            if of_agents.len() == agents {
                returns.push(of_agents.iter().sum::<f64>() / agents as f64);
            }
        }
    }
    returns
}

fn observed<'a>(now: &'a StepBatch, starts: &'a [bool]) -> Observed<'a> {
    Observed {
        observations: ObsRow::from(&now.observations),
        action_masks: &now.action_masks,
        episode_starts: starts,
        rewards: &now.rewards,
    }
}

#[test]
fn policies_of_every_algorithm_do_what_their_evaluation_does() {
    let setup = Setup::default();
    let mut cases: Vec<(&str, Vec<&str>)> =
        common::cases().into_iter().map(|case| (case.algorithm, case.settings)).collect();
    // What wrappers change of observations and actions is part of a policy.
    let wrapped = "env.wrappers=[{kind='frame_stack', num_stack=3}, {kind='normalize_observation'}]";
    cases.push(("ppo", [&common::PPO[..], &[wrapped]].concat()));
    cases.push((
        "sac",
        [&common::CONTINUOUS[..], &["env.wrappers=[{kind='rescale_action', min=-3, max=1}]"]].concat(),
    ));
    cases.push(("ppo", [&common::PPO[..], &["env.id=TicTacToe-v0"]].concat()));
    for (algorithm, settings) in cases {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        train(&setup, algorithm, &settings, 2, &run);
        // One file is enough: the directory that it came from is gone.
        let file = directory.path().join("elsewhere.safetensors");
        fs::copy(run.join("model.safetensors"), &file).unwrap();
        for stochastic in [false, true] {
            let options =
                EvalOptions { episodes: EPISODES, seed: Some(SEED), stochastic, ..EvalOptions::default() };
            let expected = evaluate(&setup, &run, &options).unwrap().returns;
            let what = format!("{algorithm} {settings:?}, stochastic: {stochastic}");
            assert_eq!(evaluate(&setup, &file, &options).unwrap().returns, expected, "{what}");
            // A policy that is called has no environment to look ahead in.
            for path in [&run, &file].into_iter().filter(|_| algorithm != "alphazero") {
                let policy = policy::load(path).unwrap();
                let policy = if stochastic { policy.stochastic(SEED) } else { policy };
                assert_eq!(played(&setup, policy), expected, "{what}");
            }
        }
    }
}

#[test]
fn one_row_alone_acts_as_it_does_among_others() {
    let setup = Setup::default();
    let lstm =
        ["network.memory={kind='lstm', hidden=16}", "agent.sequence_length=16", "agent.share_encoder=true"];
    let normalised = ["env.wrappers=[{kind='normalize_observation'}]", "env.id=CartPoleNoVel-v1"];
    let directory = tempfile::tempdir().unwrap();
    train(&setup, "ppo", &[&common::PPO[..], &lstm, &normalised].concat(), 2, directory.path());
    let load = || policy::load(directory.path()).unwrap();
    let (mut many, mut alone) = (load(), [load(), load(), load()]);
    let mut simulator = setup
        .registry
        .make("CartPoleNoVel-v1", &MakeOptions { num_envs: 3, ..MakeOptions::default() })
        .unwrap();
    let mut now = simulator.new_batch();
    simulator.reset(1, &mut now).unwrap();
    let width = simulator.observation_len();
    let mut starts = [false; 3];
    for _ in 0..300 {
        let actions = many.act_in(&observed(&now, &starts)).unwrap().clone();
        for (row, policy) in alone.iter_mut().enumerate() {
            let observations = now.observations.view(row * width, width);
            let starts = &starts[row..=row];
            let one = Observed { observations, action_masks: &[], episode_starts: starts, rewards: &[] };
            assert_eq!(policy.act_in(&one).unwrap().indices(), &actions.indices()[row..=row]);
        }
        simulator.step(&actions, &mut now).unwrap();
        starts = std::array::from_fn(|row| now.terminated[row] || now.truncated[row]);
    }
}

#[test]
fn a_policy_forgets_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        "env.id=CartPoleNoVel-v1",
        "network.memory={kind='gru', hidden=16}",
        "agent.sequence_length=16",
        "agent.share_encoder=true",
    ];
    train(&Setup::default(), "ppo", &[&common::PPO[..], &settings].concat(), 2, directory.path());
    let mut policy = policy::load(directory.path()).unwrap().stochastic(1);
    let x = [0.01_f32, 0.0, -0.02, 0.0];
    let mut sequence = || (0..50).map(|_| policy.act(&x[..]).unwrap().indices()[0]).collect::<Vec<_>>();
    let first = sequence();
    let going_on = sequence();
    policy.reset();
    let again: Vec<u32> = (0..50).map(|_| policy.act(&x[..]).unwrap().indices()[0]).collect();
    assert_eq!(first, again);
    assert_ne!(first, going_on, "stream and memory move on");
}

#[test]
fn wrong_observations_are_refused_and_leave_the_policy_usable() {
    let directory = tempfile::tempdir().unwrap();
    train(&Setup::default(), "ppo", &common::PPO, 2, directory.path());
    let mut policy = policy::load(directory.path()).unwrap();
    let message = policy.act(&[0.0_f32; 5][..]).unwrap_err().to_string();
    assert!(message.contains("whole rows of 4 values, got 5"), "{message}");
    let message = policy.act(&[0_u8; 4][..]).unwrap_err().to_string();
    assert!(message.contains("F32") && message.contains("U8"), "{message}");
    let message = policy.act(&[][..] as &[f32]).unwrap_err().to_string();
    assert!(message.contains("got 0 values"), "{message}");
    let starts = [true; 2];
    let observations = ObsRow::F32(&[0.0; 4]);
    let one = Observed { observations, action_masks: &[], episode_starts: &starts, rewards: &[] };
    let message = policy.act_in(&one).unwrap_err().to_string();
    assert!(message.contains("episode starts must be 1"), "{message}");
    let one = Observed { episode_starts: &[], rewards: &[0.0; 2], ..one };
    let message = policy.act_in(&one).unwrap_err().to_string();
    assert!(message.contains("rewards must be 1, or none, got 2"), "{message}");
    assert!(
        matches!(policy.act(&[0.0_f32; 8][..]).unwrap(), ActionBatch::Discrete(actions) if actions.len() == 2)
    );
}

#[test]
fn files_that_are_no_policies_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    train(&Setup::default(), "ppo", &common::PPO, 2, &run);
    let whole = fs::read(run.join("model.safetensors")).unwrap();
    let refusal = |content: &[u8]| {
        let file = directory.path().join("broken.safetensors");
        fs::write(&file, content).unwrap();
        let message = policy::load(&file).err().unwrap().to_string();
        assert!(message.contains("broken.safetensors"), "{message}");
        message
    };
    refusal(b"rubbish");
    refusal(&whole[..whole.len() / 2]);
    refusal(&[]);
    let text = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let start = whole.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = whole.clone();
        changed[start..start + to.len()].copy_from_slice(to.as_bytes());
        changed
    };
    let message = refusal(&text(r#"\"format\":2"#, r#"\"format\":7"#));
    assert!(message.contains("expected format 2, found 7"), "{message}");
    let message = refusal(&text(r#"{"agon""#, r#"{"nona""#));
    assert!(message.contains("agon"), "{message}");
    let message = policy::load(Path::new("nowhere")).err().unwrap().to_string();
    assert!(message.contains("nowhere"), "{message}");
    fs::remove_file(run.join("model.safetensors")).unwrap();
    let message = policy::load(&run).err().unwrap().to_string();
    assert!(message.contains("`agon resume` writes them again"), "{message}");
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let message = policy::load(&run).err().unwrap().to_string();
    assert!(message.contains("has not reached its first checkpoint"), "{message}");
}

/// A weight file with the checksum that its content has: as one who means harm would make it.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let weights = Weights::from_safetensors(bytes).unwrap();
    let mut metadata: BTreeMap<String, String> = Weights::metadata(bytes).unwrap().into_iter().collect();
    let text = metadata.get_mut("agon").unwrap();
    text.truncate(text.rfind(':').unwrap() + 1);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(text.as_bytes());
    let mut tensors: Vec<_> = weights.iter().collect();
    tensors.sort_unstable_by_key(|(name, ..)| *name);
    for (name, shape, values) in tensors {
        hasher.update(name.as_bytes());
        shape.iter().for_each(|&length| hasher.update(&(length as u64).to_le_bytes()));
        values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
    }
    text.push_str(&format!("{}}}", hasher.finalize()));
    weights.to_safetensors(&metadata).unwrap()
}

#[test]
fn damaged_numbers_are_found_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [&common::PPO[..], &["env.wrappers=[{kind='normalize_observation'}]"]].concat();
    train(&Setup::default(), "ppo", &settings, 2, directory.path());
    let whole = fs::read(directory.path().join("model.safetensors")).unwrap();
    let file = directory.path().join("damaged.safetensors");
    let refusal = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let loaded = policy::load(&file).and_then(|mut policy| policy.act(&[0.0_f32; 4][..]).map(drop));
        let evaluated =
            evaluate(&Setup::default(), &file, &EvalOptions { episodes: 1, ..EvalOptions::default() });
        let message = loaded.unwrap_err().to_string();
        assert!(evaluated.is_err(), "{message}");
        message
    };
    // One bit of one weight.
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(refusal(&flipped).contains("checksum"));
    // Statistics of other wrappers, or of none, by a text of the same length.
    let header = usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let text = String::from_utf8(whole[8..8 + header].to_vec()).unwrap();
    let edited = |edit: &dyn Fn(&str) -> String| {
        let text = edit(&text);
        sealed(&[&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &whole[8 + header..]].concat())
    };
    let start = text.find(r#"\"statistics\":["#).unwrap() + r#"\"statistics\":["#.len();
    let end = start + text[start..].find("}]").unwrap() + 1;
    let without = edited(&|text| format!("{}{}", &text[..start], &text[end..]));
    assert!(refusal(&without).contains("statistics"), "{}", refusal(&without));
    let twice = edited(&|text| format!("{},{}{}", &text[..end], &text[start..end], &text[end..]));
    assert!(refusal(&twice).contains("statistics"));
    let negative = edited(&|text| text.replacen(r#"\"count\":"#, r#"\"count\":-"#, 1));
    assert!(refusal(&negative).contains("statistics 0"));
    // Networks far larger than the file: refused by shape, before memory is asked for.
    let large =
        edited(&|text| text.replacen(r#"\"hidden\":[32,32]"#, r#"\"hidden\":[64000000,64000000]"#, 1));
    assert!(refusal(&large).contains("must have shape"));
    let other = edited(&|text| text.replacen(r#"\"id\":\"CartPole-v1\""#, r#"\"id\":\"Acrobot-v1\""#, 1));
    fs::write(&file, other).unwrap();
    let evaluated =
        evaluate(&Setup::default(), &file, &EvalOptions { episodes: 1, ..EvalOptions::default() });
    assert!(evaluated.unwrap_err().to_string().contains("the environment shows"));
}

#[test]
fn a_policy_that_acts_by_a_return_aims_at_another_one() {
    let (setup, directory) = (Setup::default(), tempfile::tempdir().unwrap());
    let dt = common::cases().into_iter().find(|case| case.algorithm == "dt").unwrap();
    let run = directory.path().join("dt");
    train(&setup, "dt", &dt.settings, 2, &run);
    let settled = || policy::load(&run).unwrap();
    let other = || settled().aiming_at(-3.0).unwrap();
    // What it does differs with the return, and with what it is told of rewards.
    let actions = |mut policy: TrainedPolicy, reward: Option<f64>| -> Vec<u32> {
        let (width, envs) = (4, 8);
        let observations: Vec<f32> =
            (0..width * envs).map(|i| ((i * 37 % 23) as f32 - 11.0) / 60.0).collect();
        let rewards = vec![reward.unwrap_or(0.0); if reward.is_some() { envs } else { 0 }];
        let mut steps = || {
            let observations = ObsRow::F32(&observations);
            let now = Observed { observations, action_masks: &[], episode_starts: &[], rewards: &rewards };
            policy.act_in(&now).unwrap().indices().to_vec()
        };
        (0..12).flat_map(|_| steps()).collect()
    };
    assert_eq!(actions(settled(), Some(1.0)), actions(settled(), Some(1.0)));
    assert_eq!(actions(settled(), Some(0.0)), actions(settled(), None), "as if there had been none");
    let card = settled().card().clone();
    assert_eq!(card, other().card().clone(), "it is the same run's");
    let far = settled().aiming_at(1e6).unwrap();
    assert_ne!(actions(far, None), actions(settled().aiming_at(-1e6).unwrap(), None));

    let message = settled().aiming_at(f64::NAN).err().unwrap().to_string();
    assert!(message.contains("must be finite, got NaN"), "{message}");
    let ppo = directory.path().join("ppo");
    train(&setup, "ppo", &common::PPO, 2, &ppo);
    let message = policy::load(&ppo).unwrap().aiming_at(1.0).err().unwrap().to_string();
    assert!(message.contains("expected none, got 1 for ppo"), "{message}");
}
