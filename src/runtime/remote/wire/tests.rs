use agon_envs::Pcg64;

use super::*;
use crate::runtime::remote::tests::{Here, context_of};

/// A fragment of a run of an algorithm in an environment, as a worker packs it; and how large it may be.
fn packed(algorithm: &str, env: &str, settings: &[&str]) -> (Vec<u8>, Fragment, u64) {
    let mut found = None;
    context_of(algorithm, env, settings, |context| {
        let mut here = Here::of(context);
        let bytes = here.collect(0, 0);
        let most = most_bytes(context.shape, &context.acting.statistics);
        let fragment = unpack_fragment(&bytes, most).unwrap();
        fragment.validate(context.shape, context.config.runtime.num_shards).unwrap();
        assert_eq!(fragment.shape.policy_data_width, context.acting.policy.data_width());
        found = Some((bytes, fragment, most));
    });
    found.unwrap()
}

const SMALL: [&str; 4] =
    ["num_envs=4", "runtime.num_shards=2", "network.encoder.hidden=[4]", "runtime.mode='async'"];

fn small(more: &[&str]) -> Vec<String> {
    SMALL.iter().chain(more).map(|&setting| setting.to_owned()).collect()
}

fn fragments() -> Vec<(Vec<u8>, Fragment, u64)> {
    let normalised = "env.wrappers=[{kind='normalize_observation'}, {kind='normalize_reward'}]";
    let of = |algorithm: &str, env: &str, more: &[&str]| {
        let settings = small(more);
        packed(algorithm, env, &settings.iter().map(String::as_str).collect::<Vec<_>>())
    };
    vec![
        of("appo", "CartPole-v1", &["env.max_episode_steps=3"]),
        of("ppo", "CartPole-v1", &[normalised]),
        of("impala", "MinAtar/Breakout-v0", &[]),
        of("appo", "Foraging-8x8-2p-2f-v3", &["env.max_episode_steps=2"]),
        of("sac", "Pendulum-v1", &["env.max_episode_steps=1"]),
    ]
}

#[test]
fn fragments_come_back_as_they_were_sent_and_within_their_bound() {
    for (bytes, fragment, most) in fragments() {
        let again = pack_fragment(&fragment).unwrap();
        assert!(bytes == again);
        let length = encode(&fragment).unwrap().len() as u64;
        assert!(length <= most && most < 8 * length + 2048, "{length} of {most}");
    }
}

#[test]
fn every_damage_is_refused() {
    let (bytes, ..) = packed("appo", "CartPole-v1", &SMALL);
    for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        assert!(unpack_fragment(&bytes[..length], u64::MAX).is_err(), "{length} bytes");
    }
    for bit in (0..bytes.len() * 8).step_by(61) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let message = unpack_fragment(&damaged, u64::MAX).unwrap_err().to_string();
        assert!(message.starts_with("source of fragments: a fragment that was sent: expected"), "{message}");
    }
    let policy = SentPolicy::new(1, 2, &[], &Weights::new()).pack().unwrap();
    let message = unpack_fragment(&policy, u64::MAX).unwrap_err().to_string();
    assert!(message.contains("(AGONFRG1)"), "{message}");
}

#[test]
fn a_length_is_not_believed() {
    let compressed = lz4_flex::block::compress(&[0; 4096]);
    for (length, expected) in
        [(u64::MAX, "at most"), (1 << 40, "at most"), (1025, "at most 1024 bytes, found 1025")]
    {
        let packed = [&length.to_le_bytes()[..], &compressed].concat();
        let message = unpack_fragment(&framed::framed(FRAGMENT, &packed).0, 1024).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // Nothing but the largest of lengths, which the lists within have.
    let content = [0xff; 512];
    let packed = [&512_u64.to_le_bytes()[..], &lz4_flex::block::compress(&content)].concat();
    assert!(unpack_fragment(&framed::framed(FRAGMENT, &packed).0, 1024).is_err());
}

/// Most memory that this process has had, where the system tells.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Changes what a fragment's bytes hold, and has the checksum be right: reads, and validates what can be read.
fn read_changed(times: usize, alone: bool) {
    const MOST_BYTES: u64 = 32 << 20;
    let mut rng = Pcg64::seed_from(2026);
    let before = peak_memory();
    for (_, fragment, most) in fragments() {
        let whole = encode(&fragment).unwrap();
        let mut read = 0;
        for time in 0..times {
            let mut content = whole.clone();
            for _ in 0..rng.integers(1, 4) {
                let at = rng.integers(0, content.len() as i64) as usize;
                match rng.integers(0, 4) {
                    0 => content[at] ^= 1 << rng.integers(0, 8),
                    1 => content[at] = rng.integers(0, 256) as u8,
                    2 => drop(content.splice(at..at, [255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
                    _ => content.truncate(at + 1),
                }
            }
            let packed =
                [&(content.len() as u64).to_le_bytes()[..], &lz4_flex::block::compress(&content)].concat();
            if let Ok(changed) = unpack_fragment(&framed::framed(FRAGMENT, &packed).0, most) {
                read += 1;
                // Valid or not: looking must not panic.
                let _ = changed.validate(&fragment.shape, 2);
            }
            let more = peak_memory().saturating_sub(before);
            assert!(!alone || more < MOST_BYTES, "change {time} took {more} bytes");
        }
        assert!(read > 0 && read < times, "{read} of {times}");
    }
}

#[test]
fn fragments_with_any_content_are_read_or_refused() {
    read_changed(200, false);
}

#[test]
#[ignore = "slow: measures memory, so it runs alone"]
fn fragments_with_any_content_take_little_memory() {
    read_changed(5000, true);
}

#[test]
fn policies_that_are_damaged_or_not_finite_are_refused() {
    let weights = |value| {
        Weights::from_tensors([("a.weight".to_owned(), vec![2, 2], vec![0.5, 1.0, value, -2.0])]).unwrap()
    };
    let statistics = [Moments::empty(3)];
    let sent = SentPolicy::new(7, 99, &statistics, &weights(3.0));
    let bytes = sent.pack().unwrap();
    let found = SentPolicy::unpack(&bytes).unwrap();
    assert_eq!(found, sent);
    assert_eq!(found.weights().unwrap(), weights(3.0));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(SentPolicy::unpack(&damaged).is_err(), "bit {bit}");
    }
    let refused = |sent: &SentPolicy| SentPolicy::unpack(&sent.pack().unwrap()).unwrap_err().to_string();
    let message = refused(&SentPolicy::new(7, 99, &statistics, &weights(f32::NAN)));
    assert!(message.contains("expected finite weights"), "{message}");
    let broken = [Moments { count: -1.0, ..Moments::empty(3) }];
    let message = refused(&SentPolicy::new(7, 99, &broken, &weights(3.0)));
    assert!(message.contains("expected statistics"), "{message}");
    let tensors = vec![("a".to_owned(), vec![3], vec![1.0])];
    assert!(SentPolicy { tensors, ..SentPolicy::new(0, 0, &[], &Weights::new()) }.weights().is_err());
}
