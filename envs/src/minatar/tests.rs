//! The games against figures of minatar 1.0.15.

use std::path::Path;

use super::*;
use crate::random::Mt19937;
use crate::verify::verify_recording;
use crate::{MakeOptions, check_env};

mod digests;
mod figures;

const GAMES: [&str; 5] = ["Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"];

/// A game with its shell, as the original is used: without the simulator.
#[derive(Clone)]
struct Played<G, const C: usize> {
    game: G,
    last: GameAction,
    rng: Mt19937,
    sticky: f64,
}

impl<G: Game<C>, const C: usize> Played<G, C> {
    fn new(seed: u32, sticky: f64) -> Self {
        let mut rng = Mt19937::seed_from(seed);
        let mut game = G::default();
        game.reset(&mut rng);
        Self { game, last: GameAction::Noop, rng, sticky }
    }

    fn act(&mut self, action: usize) -> Outcome {
        if self.rng.random_sample() >= self.sticky {
            self.last = GameAction::ALL[action];
        }
        self.game.step(self.last, true, &mut self.rng)
    }

    fn reset(&mut self) {
        self.game.reset(&mut self.rng);
    }

    fn image(&self) -> Image<C> {
        let mut image = [[0; C]; CELLS];
        self.game.observe(&mut image);
        image
    }
}

#[test]
fn all_ids_keep_the_contract() {
    let registry = Registry::builtin();
    for game in GAMES {
        for version in ["v0", "v1"] {
            let id = format!("MinAtar/{game}-{version}");
            let report = check_env(&registry.get(&id).unwrap()).unwrap();
            assert!(report.seeds_differ, "{id}");
        }
    }
}

#[test]
fn recorded_trajectories_are_repeated() {
    let registry = Registry::builtin();
    for file in ["asterix", "breakout", "freeway", "seaquest", "space_invaders"] {
        let path = format!("{}/../tests/golden/env/minatar_{file}.csv.gz", env!("CARGO_MANIFEST_DIR"));
        let verification = verify_recording(&registry, Path::new(&path), None).unwrap();
        assert!(verification.passes(0.0) && verification.steps > 0, "{file}: {verification:?}");
    }
}

#[test]
fn arguments_are_checked() {
    let registry = Registry::builtin();
    let refusal = |name: &str, value: toml::Value| {
        let mut options = MakeOptions::default();
        options.args.insert(name.to_owned(), value);
        registry.make("MinAtar/Breakout-v1", &options).unwrap_err().to_string()
    };
    assert!(refusal("stickiness", 0.5.into()).contains("sticky_action_prob"));
    assert!(refusal("sticky_action_prob", 1.5.into()).contains("between 0 and 1, got 1.5"));
    assert!(refusal("sticky_action_prob", f64::NAN.into()).contains("between 0 and 1"));
    assert!(refusal("difficulty_ramping", 3.into()).contains("difficulty_ramping"));
}

#[test]
fn a_seed_gives_one_trajectory_also_in_a_used_simulator() {
    let spec_id = "MinAtar/Freeway-v1";
    let registry = Registry::builtin();
    let mut options = MakeOptions::default();
    options.args.insert("sticky_action_prob".to_owned(), 1.0.into());
    let mut simulator = registry.make(spec_id, &options).unwrap();
    let mut out = simulator.new_batch();
    let mut run = |warm_up: bool| {
        simulator.reset(3, &mut out).unwrap();
        let action = crate::ActionBatch::Discrete(vec![u32::from(warm_up)]);
        for _ in 0..40 {
            simulator.step(&action, &mut out).unwrap();
        }
        out.observations.clone()
    };
    // All actions stick to the first one, which is none after seeding.
    assert_eq!(run(true), run(false));
}
