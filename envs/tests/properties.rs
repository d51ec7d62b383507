//! What holds for every registered environment: any seed, any legal actions, any autoreset mode.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use agon_envs::check::random_actions;
use agon_envs::{ActionBatch, Autoreset, MakeOptions, Pcg64, Registry};
use proptest::prelude::*;

#[test]
fn every_environment_can_be_drawn_and_drawing_changes_nothing() {
    for spec in Registry::builtin().iter() {
        let mut simulator = spec.make(&MakeOptions { num_envs: 2, ..Default::default() }).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(3, &mut out).unwrap();
        let before = simulator.snapshot().unwrap();
        let frame = simulator.render(1).unwrap_or_else(|| panic!("{} gives no frame", spec.id()));
        assert_eq!(frame.rgb.len(), (frame.width * frame.height * 3) as usize, "{}", spec.id());
        assert!(frame.rgb.iter().any(|&value| value != frame.rgb[0]), "{} draws nothing", spec.id());
        if let Some(text) = simulator.render_text(1) {
            assert!(!text.trim().is_empty(), "{} writes nothing", spec.id());
        }
        assert!(simulator.render(2).is_none(), "there are two environments");
        assert_eq!(simulator.snapshot().unwrap(), before, "drawing changed {}", spec.id());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn rows_stay_consistent_and_a_snapshot_has_the_same_future(
        pick in any::<prop::sample::Index>(),
        seed in any::<u32>(),
        next_step in any::<bool>(),
        cut in 0..60_usize,
    ) {
        let registry = Registry::builtin();
        let specs: Vec<_> = registry.iter().collect();
        let spec = specs[pick.index(specs.len())];
        let autoreset = if next_step { Autoreset::NextStep } else { Autoreset::SameStep };
        let options = MakeOptions { num_envs: 3, autoreset, ..Default::default() };
        let mut simulator = spec.make(&options).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(u64::from(seed), &mut out).unwrap();
        let mut rng = Pcg64::seed_from(u64::from(seed) + 1);
        let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
        let mut copy = None;
        for tick in 0..100 {
            random_actions(&simulator, &out, &mut rng, &mut actions).unwrap();
            simulator.step(&actions, &mut out).unwrap();
            for row in 0..simulator.num_rows() {
                let ended = out.terminated[row] || out.truncated[row];
                let listed = out.episodes.iter().any(|episode| episode.row as usize == row);
                prop_assert_eq!(ended, listed, "{} row {}", spec.id(), row);
                prop_assert!(out.active[row] || (out.rewards[row] == 0.0 && !ended), "{} row {}", spec.id(), row);
            }
            if let Some((other, other_out)) = &mut copy {
                let other: &mut agon_envs::Simulator = other;
                other.step(&actions, other_out).unwrap();
                prop_assert_eq!(&out, &*other_out, "{} tick {}", spec.id(), tick);
            } else if tick == cut {
                let mut other = spec.make(&options).unwrap();
                other.restore(&simulator.snapshot().unwrap()).unwrap();
                copy = Some((other, out.clone()));
            }
        }
    }
}
