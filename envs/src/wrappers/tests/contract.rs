//! Tests that every wrapper, and any stack of them, keeps the contract of environments.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;

use super::{clock, config, picture};
use crate::{ActionBatch, Autoreset, EnvSpec, MakeOptions, Registry, WrapperConfig, check_env};

/// Every kind of wrapper, around an environment that it fits.
fn contract_cases() -> Vec<(WrapperConfig, EnvSpec)> {
    let clock_wrappers = [
        "kind = 'time_limit'\nmax_episode_steps = 5",
        "kind = 'frame_stack'\nnum_stack = 3",
        "kind = 'sticky_action'",
        "kind = 'action_repeat'\nrepeats = 2",
        "kind = 'normalize_observation'",
        "kind = 'normalize_reward'",
        "kind = 'clip_reward'",
        "kind = 'clip_action'",
        "kind = 'rescale_action'",
        "kind = 'flatten_observation'",
        "kind = 'mask_observation'\nindices = [0]",
        "kind = 'mask_observation'\nindices = [1]\ndrop = true",
        "kind = 'observation_noise'\nstd = 0.1",
        "kind = 'record_statistics'",
    ];
    let picture_wrappers = [
        "kind = 'random_shift'\npad = 2",
        "kind = 'random_crop'\nheight = 2\nwidth = 3",
        "kind = 'frame_stack'\nnum_stack = 2",
    ];
    let video = WrapperConfig::RecordVideo { directory: video_directory(), every: 1_000_000 };
    let drawn = Registry::builtin().get("TicTacToe-v0").unwrap().into_owned();
    // Statistics outside, so that they count the steps that the check counts.
    let counted = WrapperConfig::RecordStatistics {};
    let clocks =
        clock_wrappers.map(|text| (config(text), clock().wrapper(config(text)).wrapper(counted.clone())));
    let pictures = picture_wrappers.map(|text| (config(text), picture().wrapper(config(text))));
    let shown = config("kind = 'render_observation'\nheight = 6\nwidth = 8\ngrayscale = true");
    let of_pictures = [(video.clone(), drawn.clone().wrapper(video)), (shown.clone(), drawn.wrapper(shown))];
    let grouped = Registry::builtin().get("Fairness/Lending-v0").unwrap().into_owned();
    let fair = config("kind = 'fairness_penalty'");
    let of_groups = [(fair.clone(), grouped.wrapper(fair))];
    clocks.into_iter().chain(pictures).chain(of_pictures).chain(of_groups).collect()
}

fn video_directory() -> PathBuf {
    std::env::temp_dir().join(format!("agon-contract-{}", std::process::id()))
}

#[test]
fn every_wrapper_keeps_the_contract() {
    for (wrapper, spec) in contract_cases() {
        let report = check_env(&spec).unwrap_or_else(|error| panic!("{wrapper:?}: {error}"));
        assert!(report.snapshots);
    }
    std::fs::remove_dir_all(video_directory()).unwrap();
}

/// The kinds that can be configured, from the error about one that cannot.
fn known_kinds() -> BTreeSet<String> {
    let error = toml::from_str::<WrapperConfig>("kind = 'none_such'").unwrap_err().to_string();
    let (_, known) = error.split_once("expected one of").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn no_kind_of_wrapper_is_forgotten_here() {
    let kind = |wrapper: &WrapperConfig| toml::Table::try_from(wrapper).unwrap()["kind"].to_string();
    let tested: BTreeSet<String> =
        contract_cases().iter().map(|(wrapper, _)| kind(wrapper).replace('"', "")).collect();
    assert!(tested.len() > 10);
    assert_eq!(tested, known_kinds());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any stack of wrappers, any autoreset mode: the batch stays consistent and a snapshot has the same future.
    #[test]
    fn stacks_of_wrappers_keep_their_promises(
        chosen in proptest::collection::vec(0..9_usize, 0..4),
        seed in 0..1000_u64,
        mode in 0..2_usize,
        actions in proptest::collection::vec(-2.0..=2.0_f32, 60),
    ) {
        let texts = [
            "kind = 'time_limit'\nmax_episode_steps = 5", "kind = 'frame_stack'\nnum_stack = 2",
            "kind = 'sticky_action'", "kind = 'action_repeat'\nrepeats = 2", "kind = 'clip_reward'",
            "kind = 'observation_noise'\nstd = 0.1", "kind = 'normalize_observation'",
            "kind = 'normalize_reward'", "kind = 'record_statistics'",
        ];
        let autoreset = [Autoreset::SameStep, Autoreset::NextStep][mode];
        let wrappers: Vec<WrapperConfig> = chosen.iter().map(|&i| config(texts[i])).collect();
        let options = MakeOptions { num_envs: 3, wrappers, autoreset, ..Default::default() };
        let mut simulator = clock().make(&options).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(seed, &mut out).unwrap();
        let mut copy = None;
        for (tick, &action) in actions.iter().enumerate() {
            let batch = ActionBatch::Continuous(vec![action; 3]);
            simulator.step(&batch, &mut out).unwrap();
            prop_assert!(out.rewards.iter().all(|reward| reward.is_finite()));
            prop_assert!(out.observations.as_f32().iter().all(|value| value.is_finite()));
            for row in 0..3_u32 {
                let ended = out.terminated[row as usize] || out.truncated[row as usize];
                prop_assert_eq!(ended, out.episodes.iter().any(|episode| episode.row == row));
            }
            prop_assert_eq!(out.final_observations.len(), out.episodes.len() * simulator.observation_len());
            if tick == 20 {
                let mut other = clock().make(&options).unwrap();
                other.restore(&simulator.snapshot().unwrap()).unwrap();
                copy = Some((other, out.clone()));
            } else if let Some((other, other_out)) = &mut copy {
                other.step(&batch, other_out).unwrap();
                prop_assert_eq!(&out, &*other_out);
            }
        }
    }
}
