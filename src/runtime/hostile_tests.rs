//! Checkpoints whose checksum is right and whose content is not: whatever they hold, a run goes on or says what is wrong.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use agon_agents::Algorithms;
use agon_envs::Pcg64;

use super::*;
use crate::config;
use crate::run::framed;

/// Memory beyond that of the run itself that reading a file of some kilobytes may take.
const MOST_BYTES: u64 = 100 << 20;

fn config_of(algorithm: &str, settings: &[&str]) -> RunConfig {
    let mut table = toml::Table::new();
    config::set_subject(&mut table, algorithm, "CartPole-v1").unwrap();
    settings.iter().for_each(|setting| config::set(&mut table, setting).unwrap());
    RunConfig::from_table(&Algorithms::builtin(), table).unwrap()
}

/// Most memory that this process has had, where the system tells.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// One of many ways to change a few bytes of something.
fn change(content: &mut Vec<u8>, rng: &mut Pcg64) {
    for _ in 0..rng.integers(1, 4) {
        let at = rng.integers(0, content.len() as i64) as usize;
        match rng.integers(0, 5) {
            0 => content[at] ^= 1 << rng.integers(0, 8),
            1 => content[at] = rng.integers(0, 256) as u8,
            // The largest numbers that there are.
            2 => drop(content.splice(at..at, [255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
            3 => content.truncate(at + 1),
            _ => drop(content.splice(at..at, vec![0; rng.integers(1, 9) as usize])),
        }
    }
}

/// Resumes a small run from its last checkpoint, whose content was changed, as often as asked.
fn resume_changed(algorithm: &str, settings: &[&str], times: usize, alone: bool) {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let stop = &mut |progress: &Progress<'_>| progress.env_steps < 40;
    let config = config_of(algorithm, settings);
    assert!(!train(&setup, config, &run, stop).unwrap().finished);
    let mut files = Vec::new();
    for parent in [run.clone(), run.join("checkpoints")] {
        let paths = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())));
    }
    let path = checkpoint::list(&run.join("checkpoints")).unwrap().remove(0);
    let whole = fs::read(&path).unwrap();
    let (content, _) = framed::content(&path, checkpoint::MAGIC, &whole).unwrap();
    let mut rng = Pcg64::seed_from(2026);
    let before = peak_memory();
    for time in 0..times {
        files.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
        let mut changed = content.to_vec();
        change(&mut changed, &mut rng);
        fs::write(&path, framed::framed(checkpoint::MAGIC, &changed).0).unwrap();
        let kept = directory.path().join("changed.ckpt");
        fs::copy(&path, &kept).unwrap();
        let mut iterations = 0;
        let resumed = catch_unwind(AssertUnwindSafe(|| {
            resume(&setup, &run, Some(1), &mut |_| {
                iterations += 1;
                iterations < 20
            })
        }));
        assert!(resumed.is_ok(), "{algorithm}: change {time} panicked");
        let more = peak_memory().saturating_sub(before);
        // Other tests of the same process take memory too.
        assert!(!alone || more < MOST_BYTES, "{algorithm}: change {time} took {more} bytes");
    }
    assert!(Path::new(&path).exists());
}

const DQN: [&str; 7] = [
    "total_timesteps=128",
    "agent.buffer_size=64",
    "agent.train_frequency=4",
    "agent.learning_starts=8",
    "agent.batch_size=4",
    "network.encoder.hidden=[4]",
    "env.max_episode_steps=8",
];
const PPO: [&str; 7] = [
    "num_envs=2",
    "total_timesteps=128",
    "agent.num_steps=8",
    "agent.num_minibatches=2",
    "network.encoder.hidden=[4]",
    "env.max_episode_steps=8",
    "env.wrappers=[{kind='normalize_observation'}, {kind='normalize_reward'}]",
];

fn resume_all_changed(times: usize, alone: bool) {
    resume_changed("dqn", &DQN, times, alone);
    resume_changed("rainbow", &DQN, times, alone);
    resume_changed("ppo", &PPO, times, alone);
    resume_changed("ppo", &[&PPO[..], &["agent.rnd={features=4}"]].concat(), times, alone);
}

#[test]
fn checkpoints_with_any_content_are_read_or_refused() {
    resume_all_changed(100, false);
}

#[test]
#[ignore = "slow: minutes; measures memory, so it runs alone"]
fn checkpoints_with_any_content_take_little_memory() {
    resume_all_changed(5000, true);
}
