//! Tests of wrappers: what each does.

mod contract;

use serde::{Deserialize, Serialize};

use super::*;
use crate::registry::NoArguments;
use crate::{Action, Env, EnvSpec, MakeOptions, Pcg64, Registry, Simulator, Space, Step, WrapperConfig};

/// Counts steps; observes the count and the action, rewards the count.
#[derive(Clone, Serialize, Deserialize)]
struct Clock {
    count: u32,
}

impl Env for Clock {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0, -2.0], &[100.0, 2.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::box_f32(&[-2.0], &[2.0]).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        self.count = 0;
        obs.fill(0.0);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.count += 1;
        obs.copy_from_slice(&[self.count as f32, action.values()[0]]);
        let reward = f64::from(self.count);
        if self.count == 7 { Step::terminated(reward) } else { Step::running(reward) }
    }
}

/// An image of 4 by 5 pixels of 1 channel whose pixel values tell where they are, brighter each step.
#[derive(Clone, Serialize, Deserialize)]
struct Picture {
    count: u8,
}

impl Picture {
    fn paint(&self, obs: &mut [u8]) {
        obs.iter_mut().zip(0..).for_each(|(pixel, i)| *pixel = 10 * self.count + i);
    }
}

impl Env for Picture {
    type Obs = u8;

    fn observation_space(&self) -> Space {
        Space::image_u8(&[4, 5, 1]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(3).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [u8]) {
        self.count = 0;
        self.paint(obs);
    }

    fn step(&mut self, _action: Action<'_>, _rng: &mut Pcg64, obs: &mut [u8]) -> Step {
        self.count += 1;
        self.paint(obs);
        if self.count == 9 { Step::terminated(1.0) } else { Step::running(0.0) }
    }
}

fn clock() -> EnvSpec {
    EnvSpec::single("Clock-v0", |_: NoArguments| Ok(Clock { count: 0 }))
}

fn picture() -> EnvSpec {
    EnvSpec::single("Picture-v0", |_: NoArguments| Ok(Picture { count: 0 }))
}

fn config(text: &str) -> WrapperConfig {
    toml::from_str(text).unwrap()
}

fn wrapped(spec: &EnvSpec, wrappers: &[&str], num_envs: usize) -> (Simulator, StepBatch) {
    let wrappers = wrappers.iter().map(|text| config(text)).collect();
    let mut simulator = spec.make(&MakeOptions { num_envs, wrappers, ..Default::default() }).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(3, &mut out).unwrap();
    (simulator, out)
}

fn step(simulator: &mut Simulator, out: &mut StepBatch, action: f32) {
    let actions = match simulator.action_spec() {
        crate::ActionSpec::Continuous { .. } => ActionBatch::Continuous(vec![action; simulator.num_rows()]),
        crate::ActionSpec::Discrete { .. } => {
            ActionBatch::Discrete(vec![action as u32; simulator.num_rows()])
        }
    };
    simulator.step(&actions, out).unwrap();
}

#[test]
fn frame_stack_shows_the_newest_last_and_the_final_stack_at_the_end() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'frame_stack'\nnum_stack = 3"], 1);
    assert_eq!(out.observations.as_f32(), [0.0; 6]);
    step(&mut simulator, &mut out, 0.5);
    step(&mut simulator, &mut out, 1.0);
    assert_eq!(out.observations.as_f32(), [0.0, 0.0, 1.0, 0.5, 2.0, 1.0]);
    for _ in 0..5 {
        step(&mut simulator, &mut out, 1.5);
    }
    assert_eq!(out.final_observations.as_f32(), [5.0, 1.5, 6.0, 1.5, 7.0, 1.5]);
    assert_eq!(out.observations.as_f32(), [0.0; 6], "the next episode's stack has nothing of the last");
}

#[test]
fn frame_stack_puts_images_into_channels() {
    let (mut simulator, mut out) =
        wrapped(&picture(), &["kind = 'frame_stack'\nnum_stack = 2\npadding = 'zero'"], 1);
    assert_eq!(simulator.observation_space().shape(), Some(vec![4, 5, 2]));
    step(&mut simulator, &mut out, 0.0);
    let ObsBuffer::U8(pixels) = &out.observations else { panic!("bytes") };
    assert_eq!(pixels[..6], [0, 10, 1, 11, 2, 12]);
}

#[test]
fn what_is_around_a_stack_leaves_its_older_frames_alone() {
    // Counted steps 0 to 6: each place of the stack has statistics of its own, of what the stack showed there.
    let stack = "kind = 'frame_stack'\nnum_stack = 4";
    let (mut simulator, mut out) = wrapped(
        &clock(),
        &[
            "kind = 'mask_observation'\nindices = [1]\ndrop = true",
            stack,
            "kind = 'clip_reward'",
            "kind = 'normalize_observation'",
        ],
        1,
    );
    (0..6).for_each(|_| step(&mut simulator, &mut out, 0.0));
    let expected = [1.905, 1.716, 1.581, 1.5];
    let found = out.observations.as_f32();
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 5e-4), "{found:?}");

    // Noise on the newest frame alone.
    let noise = "kind = 'observation_noise'\nstd = 0.1\nindices = [6]";
    let (mut simulator, mut out) = wrapped(&clock(), &[stack, noise], 2);
    (0..6).for_each(|_| step(&mut simulator, &mut out, 0.5));
    for row in out.observations.as_f32().chunks(8) {
        assert_eq!(row[..6], [3.0, 0.5, 4.0, 0.5, 5.0, 0.5]);
        assert!(row[6] != 6.0 && row[7] == 0.5, "{row:?}");
    }

    // The frames of a stack are shifted together.
    let pair = "kind = 'frame_stack'\nnum_stack = 2";
    let (mut simulator, mut out) = wrapped(&picture(), &[pair, "kind = 'random_shift'\npad = 2"], 1);
    for _ in 0..8 {
        step(&mut simulator, &mut out, 0.0);
        let ObsBuffer::U8(pixels) = &out.observations else { panic!("bytes") };
        assert!(pixels.chunks(2).all(|frames| frames[0] + 10 == frames[1]), "{pixels:?}");
    }
}

#[test]
fn a_stack_is_known_where_nothing_outside_it_changes_observations() {
    let stack = "kind = 'frame_stack'\nnum_stack = 2";
    for (outside, known) in [
        (vec!["kind = 'clip_reward'", "kind = 'time_limit'\nmax_episode_steps = 9"], true),
        (vec!["kind = 'action_repeat'\nrepeats = 2"], false),
        (vec!["kind = 'observation_noise'\nstd = 0.1"], false),
        (vec!["kind = 'normalize_observation'"], false),
    ] {
        let (simulator, _) = wrapped(&clock(), &[vec![stack], outside].concat(), 1);
        assert_eq!(simulator.info().frames.is_some(), known);
    }
    assert!(wrapped(&clock(), &[], 1).0.info().frames.is_none());
}

#[test]
fn stacks_are_taken_apart_and_put_together() {
    for shape in [vec![4, 4, 1], vec![4, 4, 3], vec![2, 6, 6], vec![5]] {
        let space = Space::box_uniform(0.0, 1.0, &shape).unwrap();
        let frames = Frames::new(3, Padding::Zero, &space).unwrap();
        let len = frames.frame_len();
        assert_eq!(len, space.packed_len());
        let written: Vec<Vec<f32>> =
            (0..3).map(|k| (0..len).map(|i| (k * len + i) as f32).collect()).collect();
        let mut stack = vec![0.0; 3 * len];
        (0..3).for_each(|place| frames.put(&mut stack, place, &written[place]));
        let mut newest = vec![0.0; len];
        frames.newest(&stack, &mut newest);
        assert_eq!(newest, written[2]);
        stack.sort_by(f32::total_cmp);
        assert!(stack == written.concat(), "every place is written once");
    }
}

#[test]
fn action_repeat_adds_rewards_and_stops_at_the_end() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'action_repeat'\nrepeats = 3"], 2);
    step(&mut simulator, &mut out, 1.0);
    assert_eq!(out.rewards, [6.0, 6.0]);
    assert_eq!(out.observations.as_f32()[0], 3.0);
    step(&mut simulator, &mut out, 1.0);
    step(&mut simulator, &mut out, 1.0);
    assert_eq!(out.rewards, [7.0, 7.0], "only the seventh step is left");
    assert_eq!(out.terminated, [true, true]);
    assert_eq!(out.final_observations.as_f32()[0], 7.0);
    assert_eq!(out.episodes[0].episode_length, 7, "statistics count the environment's own steps");
    assert_eq!(out.episodes[0].episode_return, 28.0);
}

#[test]
fn time_limit_counts_where_it_stands() {
    let outside = ["kind = 'action_repeat'\nrepeats = 2", "kind = 'time_limit'\nmax_episode_steps = 2"];
    let (mut simulator, mut out) = wrapped(&clock(), &outside, 1);
    step(&mut simulator, &mut out, 0.0);
    assert!(out.episodes.is_empty());
    step(&mut simulator, &mut out, 0.0);
    assert_eq!((out.terminated[0], out.truncated[0]), (false, true));
    assert_eq!(out.final_observations.as_f32()[0], 4.0);
}

#[test]
fn record_statistics_counts_what_it_sees() {
    let (mut simulator, mut out) =
        wrapped(&clock(), &["kind = 'clip_reward'", "kind = 'record_statistics'"], 1);
    for _ in 0..7 {
        step(&mut simulator, &mut out, 0.0);
        assert!(out.rewards[0] <= 1.0);
    }
    assert_eq!(out.episodes[0].episode_return, 7.0, "seven clipped rewards");
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'clip_reward'"], 1);
    for _ in 0..7 {
        step(&mut simulator, &mut out, 0.0);
    }
    assert_eq!(out.episodes[0].episode_return, 28.0, "without it, the environment's own rewards");
}

#[test]
fn actions_are_clipped_rescaled_and_stick() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'clip_action'"], 1);
    step(&mut simulator, &mut out, 50.0);
    assert_eq!(out.observations.as_f32()[1], 2.0);
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'rescale_action'\nmin = 0\nmax = 1"], 1);
    step(&mut simulator, &mut out, 0.75);
    assert_eq!(out.observations.as_f32()[1], 1.0);
    assert!(simulator.step(&ActionBatch::Continuous(vec![1.5]), &mut out).is_err(), "outside the new bounds");

    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'sticky_action'\nprobability = 1"], 1);
    step(&mut simulator, &mut out, 0.5);
    step(&mut simulator, &mut out, 1.5);
    assert_eq!(out.observations.as_f32()[1], 0.5, "the first action of an episode is taken, then it sticks");
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'sticky_action'\nprobability = 0.3"], 200);
    step(&mut simulator, &mut out, 0.5);
    step(&mut simulator, &mut out, 1.5);
    let stuck = out.observations.as_f32().chunks(2).filter(|row| row[1] == 0.5).count();
    assert!((35..=85).contains(&stuck), "expected about 60 of 200, got {stuck}");
}

#[test]
fn observations_are_hidden_dropped_and_noisy() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'mask_observation'\nindices = [0]"], 1);
    step(&mut simulator, &mut out, 1.0);
    assert_eq!(out.observations.as_f32(), [0.0, 1.0]);
    let (mut simulator, mut out) =
        wrapped(&clock(), &["kind = 'mask_observation'\nindices = [0]\ndrop = true"], 1);
    step(&mut simulator, &mut out, 1.0);
    assert_eq!(out.observations.as_f32(), [1.0]);
    let (mut simulator, mut out) =
        wrapped(&clock(), &["kind = 'observation_noise'\nstd = 0.5\nindices = [0]"], 500);
    step(&mut simulator, &mut out, 1.0);
    let counts: Vec<f64> = out.observations.as_f32().chunks(2).map(|row| f64::from(row[0])).collect();
    assert!(out.observations.as_f32().chunks(2).all(|row| row[1] == 1.0));
    let mean = counts.iter().sum::<f64>() / 500.0;
    let std = (counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 499.0).sqrt();
    assert!((mean - 1.0).abs() < 0.1 && (std - 0.5).abs() < 0.08, "mean {mean}, deviation {std}");
}

#[test]
fn flattened_observations_are_the_spaces_own_flat_values() {
    let registry = Registry::builtin();
    for id in ["Taxi-v4", "Blackjack-v1", "MiniGrid-DoorKey-5x5-v0"] {
        let spec = registry.get(id).unwrap();
        let (mut flat, mut flat_out) = wrapped(&spec, &["kind = 'flatten_observation'"], 3);
        let (mut plain, mut plain_out) = wrapped(&spec, &[], 3);
        for _ in 0..50 {
            step(&mut flat, &mut flat_out, 1.0);
            step(&mut plain, &mut plain_out, 1.0);
            let (from, to) = (plain.observation_len(), flat.observation_len());
            for row in 0..3 {
                let packed = &plain_out.observations.as_f32()[row * from..(row + 1) * from];
                let space = plain.observation_space();
                let expected = space.flatten(&space.unpack(packed).unwrap()).unwrap();
                assert_eq!(flat_out.observations.as_f32()[row * to..(row + 1) * to], expected, "{id}");
            }
        }
    }
}

#[test]
fn images_of_categories_become_one_hot() {
    let registry = Registry::builtin();
    let spec = registry.get("MiniGrid-DoorKey-5x5-v0").unwrap();
    let text = "kind = 'flatten_observation'\ncategories = [11, 6, 3]";
    let (mut hot, mut hot_out) = wrapped(&spec, &[text], 3);
    let (mut plain, mut plain_out) = wrapped(&spec, &["kind = 'flatten_observation'"], 3);
    let (from, to) = (plain.observation_len(), hot.observation_len());
    assert_eq!(to - from, 7 * 7 * (11 + 6 + 3) - 7 * 7 * 3);
    for _ in 0..50 {
        step(&mut hot, &mut hot_out, 1.0);
        step(&mut plain, &mut plain_out, 1.0);
        let rows = hot_out.observations.as_f32().chunks(to).zip(plain_out.observations.as_f32().chunks(from));
        for (hot, plain) in rows {
            // The four directions come first and the mission last.
            assert_eq!(hot[..4], plain[..4]);
            assert_eq!(hot[4 + 49 * 20..], plain[4 + 49 * 3..]);
            for (hot, plain) in hot[4..].chunks_exact(20).zip(plain[4..].chunks_exact(3)).take(49) {
                let found = [&hot[..11], &hot[11..17], &hot[17..]].map(|part| {
                    assert_eq!(part.iter().sum::<f32>(), 1.0);
                    part.iter().position(|&value| value == 1.0).unwrap() as f32
                });
                assert_eq!(found, plain);
            }
        }
    }
}

#[test]
fn normalised_observations_have_mean_zero_and_deviation_one() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'normalize_observation'"], 4);
    let mut values = Vec::new();
    for tick in 0..700 {
        step(&mut simulator, &mut out, 0.0);
        if tick > 300 {
            values.push(f64::from(out.observations.as_f32()[0]));
            // The last observation of an episode was seen and counted too.
            values.extend(
                out.final_observations.as_f32().iter().step_by(2).take(1).map(|&last| f64::from(last)),
            );
        }
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    assert!(mean.abs() < 0.15 && (variance - 1.0).abs() < 0.15, "mean {mean}, variance {variance}");
}

#[test]
fn normalised_rewards_follow_the_discounted_return() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'normalize_reward'\ngamma = 0.0"], 1);
    let mut rewards = Vec::new();
    for _ in 0..700 {
        step(&mut simulator, &mut out, 0.0);
        rewards.push(out.rewards[0]);
    }
    // With gamma = 0 the return is the reward: 1 to 7, of variance 4.
    let last = &rewards[693..];
    for (reward, expected) in last.iter().zip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) {
        assert!((reward - expected / 2.0).abs() < 0.01, "{last:?}");
    }
}

#[test]
fn frozen_statistics_stay_and_news_are_told() {
    let (mut simulator, mut out) = wrapped(&clock(), &["kind = 'normalize_observation'"], 1);
    step(&mut simulator, &mut out, 0.0);
    let mut news = Vec::new();
    simulator.visit_statistics(&mut |statistics| news.push(statistics.take_news()));
    assert_eq!(news[0].count, 2.0, "the reset's observation and the step's");
    simulator.visit_statistics(&mut |statistics| statistics.freeze(true));
    step(&mut simulator, &mut out, 0.0);
    simulator.visit_statistics(&mut |statistics| assert_eq!(statistics.take_news().count, 0.0));
}

#[test]
fn shifts_and_crops_move_the_picture() {
    let (mut simulator, mut out) = wrapped(&picture(), &["kind = 'random_shift'\npad = 1"], 64);
    step(&mut simulator, &mut out, 0.0);
    let ObsBuffer::U8(pixels) = &out.observations else { panic!("bytes") };
    // The pixel in row 1, column 1 came from one of its nine neighbours.
    let corners: std::collections::BTreeSet<u8> = pixels.chunks(20).map(|image| image[6] - 10).collect();
    assert_eq!(corners, [0, 1, 2, 5, 6, 7, 10, 11, 12].into());
    let (mut simulator, mut out) = wrapped(&picture(), &["kind = 'random_crop'\nheight = 3\nwidth = 3"], 64);
    assert_eq!(simulator.observation_space().shape(), Some(vec![3, 3, 1]));
    step(&mut simulator, &mut out, 0.0);
    let ObsBuffer::U8(pixels) = &out.observations else { panic!("bytes") };
    let corners: std::collections::BTreeSet<u8> = pixels.chunks(9).map(|image| image[0] - 10).collect();
    assert_eq!(corners, [0, 1, 2, 5, 6, 7].into());
}

#[test]
fn videos_are_written_when_due() {
    let directory = std::env::temp_dir().join(format!("agon-video-{}", std::process::id()));
    let text = format!("kind = 'record_video'\ndirectory = '{}'\nevery = 2", directory.display());
    let registry = Registry::builtin();
    let (mut simulator, mut out) = wrapped(&registry.get("CartPole-v1").unwrap(), &[&text], 2);
    let mut episodes = 0;
    while episodes < 4 {
        step(&mut simulator, &mut out, 1.0);
        episodes += out.episodes.iter().filter(|episode| episode.row == 0).count();
    }
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["episode-0.gif", "episode-2.gif"]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn wrappers_that_do_not_fit_say_why() {
    let registry = Registry::builtin();
    for (id, text, parts) in [
        ("CartPole-v1", "kind = 'clip_action'", vec!["clip_action", "continuous", "Discrete(2)"]),
        ("CartPole-v1", "kind = 'random_shift'", vec!["random_shift", "images"]),
        ("CartPole-v1", "kind = 'frame_stack'\nnum_stack = 0", vec!["num_stack", "at least 1", "0"]),
        ("CartPole-v1", "kind = 'mask_observation'\nindices = [4]", vec!["below 4", "4"]),
        ("CartPole-v1", "kind = 'sticky_action'\nprobability = 2.0", vec!["between 0 and 1", "2"]),
        ("CartPole-v1", "kind = 'clip_reward'\nmin = 1.0\nmax = 1.0", vec!["less than max"]),
        ("CartPole-v1", "kind = 'clip_reward'\nmax = inf", vec!["both finite", "inf"]),
        ("Taxi-v4", "kind = 'normalize_observation'", vec!["Box of float32", "Discrete(500)", "flatten"]),
        (
            "CartPole-v1",
            "kind = 'flatten_observation'\ncategories = [11, 6, 3]",
            vec!["image of bytes", "[11, 6, 3]"],
        ),
        ("Taxi-v4", "kind = 'frame_stack'", vec!["expected a Box", "flatten"]),
    ] {
        let options = MakeOptions { wrappers: vec![config(text)], ..Default::default() };
        let message = registry.make(id, &options).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{id} {text}: expected `{part}` in `{message}`");
        }
    }
    let unknown = toml::from_str::<WrapperConfig>("kind = 'frame_stack'\nstack = 2").unwrap_err().to_string();
    assert!(unknown.contains("stack") && unknown.contains("num_stack"), "{unknown}");
}

#[test]
fn running_statistics_survive_a_snapshot() {
    for text in ["kind = 'normalize_observation'", "kind = 'normalize_reward'"] {
        let (mut original, mut out) = wrapped(&clock(), &[text], 3);
        (0..20).for_each(|_| step(&mut original, &mut out, 0.3));
        let snapshot = original.snapshot().unwrap();
        let (mut restored, _) = wrapped(&clock(), &[text], 3);
        restored.restore(&snapshot).unwrap();
        let mut restored_out = out.clone();
        for _ in 0..30 {
            step(&mut original, &mut out, 0.7);
            step(&mut restored, &mut restored_out, 0.7);
            assert_eq!(out, restored_out, "{text}");
        }
        let (mut other, _) = wrapped(&clock(), &["kind = 'clip_reward'"], 3);
        assert!(
            other.restore(&snapshot).unwrap_err().to_string().contains("expected the wrapper clip_reward")
        );
    }
}

#[test]
fn what_a_teacher_sees_is_what_the_wrappers_beneath_it_show() {
    let hidden = "kind = 'mask_observation'\nindices = [1]\ndrop = true";
    let wrappers = ["kind = 'frame_stack'\nnum_stack = 2", hidden].map(config);
    let of = |wrappers: &[WrapperConfig], privileged| {
        let options =
            MakeOptions { num_envs: 3, wrappers: wrappers.to_vec(), privileged, ..MakeOptions::default() };
        clock().make(&options)
    };
    let stacked = [WrapperConfig::FlattenObservation { categories: Vec::new() }];
    for (around, after) in [(&wrappers[1..], 0), (&wrappers[1..], 1), (&stacked[..], 1)] {
        let mut whole = of(&around[..after], None).unwrap();
        let (mut student, mut alone) = (of(around, Some(after)).unwrap(), of(around, None).unwrap());
        let mut batches = [whole.new_batch(), student.new_batch(), alone.new_batch()];
        for (simulator, batch) in [&mut whole, &mut student, &mut alone].into_iter().zip(&mut batches) {
            simulator.reset(4, batch).unwrap();
        }
        assert_eq!(student.info().privileged.as_ref(), Some(whole.observation_space()));
        assert!(alone.info().privileged.is_none() && alone.privileged().is_none());
        let mut saved = None;
        for step in 0..20 {
            assert_eq!(student.privileged(), Some(&batches[0].observations), "step {step} after {after}");
            assert_eq!(batches[1].observations, batches[2].observations, "it changes nothing");
            if step == 9 {
                saved = Some((student.snapshot().unwrap(), batches.clone()));
            }
            let actions = ActionBatch::Continuous(vec![0.5, -1.5, step as f32 / 10.0]);
            for (simulator, batch) in [&mut whole, &mut student, &mut alone].into_iter().zip(&mut batches) {
                simulator.step(&actions, batch).unwrap();
            }
        }
        let (saved, before) = saved.unwrap();
        student.restore(&saved).unwrap();
        assert_eq!(student.privileged(), Some(&before[0].observations));
        student.fork(0, 2).unwrap();
        let width = whole.observation_len();
        let (first, third) = (student.privileged().unwrap().view(0, width), student.privileged().unwrap());
        assert_eq!(first, third.view(2 * width, width));
    }
    let error = of(&wrappers, Some(3)).err().unwrap().to_string();
    assert!(error.contains("privileged must be at most the number of wrappers, got 3 of 2"), "{error}");
}
