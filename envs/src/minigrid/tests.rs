use std::fs::File;
use std::path::{Path, PathBuf};

use super::*;
use crate::{ActionBatch, Autoreset, Env, MakeOptions, Pcg64, Simulator, StepBatch, check_env};

/// Episodes recorded from MiniGrid 3.2.0 with a random agent.
const RECORDED: [&str; 19] = [
    "MiniGrid-DoorKey-5x5-v0",
    "MiniGrid-DoorKey-8x8-v0",
    "MiniGrid-Dynamic-Obstacles-6x6-v0",
    "MiniGrid-Empty-8x8-v0",
    "MiniGrid-Empty-Random-6x6-v0",
    "MiniGrid-Fetch-5x5-N2-v0",
    "MiniGrid-FourRooms-v0",
    "MiniGrid-GoToDoor-6x6-v0",
    "MiniGrid-KeyCorridorS3R2-v0",
    "MiniGrid-LavaCrossingS9N1-v0",
    "MiniGrid-LavaGapS7-v0",
    "MiniGrid-MemoryS11-v0",
    "MiniGrid-MemoryS7-v0",
    "MiniGrid-MultiRoom-N2-S4-v0",
    "MiniGrid-PutNear-6x6-N2-v0",
    "MiniGrid-RedBlueDoors-6x6-v0",
    "MiniGrid-SimpleCrossingS9N2-v0",
    "MiniGrid-Unlock-v0",
    "MiniGrid-UnlockPickup-v0",
];

/// A recording's file in a folder of the recorded environments.
fn recording(folder: &str, id: &str) -> PathBuf {
    let recordings = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/env/");
    Path::new(recordings).join(folder).join(format!("{id}.csv.gz"))
}

const REWARD_TOLERANCE: f64 = 1e-12;

/// A simulator that follows a recording, resetting where the recording does.
struct Replay {
    id: String,
    simulator: Simulator,
    out: StepBatch,
    seed: Option<u64>,
    steps: usize,
    /// Steps that were rewarded.
    successes: usize,
}

impl Replay {
    fn new(id: &str) -> Self {
        let options = MakeOptions { autoreset: Autoreset::Disabled, ..Default::default() };
        let simulator = Registry::builtin().make(id, &options).unwrap();
        let out = simulator.new_batch();
        Self { id: id.to_owned(), simulator, out, seed: None, steps: 0, successes: 0 }
    }

    /// Plays a whole recording and compares everything.
    fn play(mut self, path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
        for record in reader.records() {
            let record = record.unwrap();
            let place = format!("{} seed {} step {}", self.id, &record[0], &record[1]);
            self.advance(&record, &place);
            self.compare_observation(&record, &place);
        }
        self
    }

    fn advance(&mut self, record: &csv::StringRecord, place: &str) {
        let seed = record[0].parse().unwrap();
        if &record[1] != "0" {
            let action = ActionBatch::Discrete(vec![record[2].parse().unwrap()]);
            self.simulator.step(&action, &mut self.out).unwrap();
            let reward: f64 = record[3].parse().unwrap();
            assert!((self.out.rewards[0] - reward).abs() <= REWARD_TOLERANCE, "{place}: reward");
            assert_eq!(self.out.terminated[0], &record[4] == "1", "{place}: terminated");
            assert_eq!(self.out.truncated[0], &record[5] == "1", "{place}: truncated");
            self.steps += 1;
            self.successes += usize::from(reward > 0.0);
        } else if self.seed == Some(seed) {
            self.simulator.reset_envs(&[0], &mut self.out).unwrap();
        } else {
            self.seed = Some(seed);
            self.simulator.reset(seed, &mut self.out).unwrap();
        }
    }

    fn compare_observation(&self, record: &csv::StringRecord, place: &str) {
        let row = self.out.observations.as_f32();
        assert_eq!(row[0], record[6].parse::<f32>().unwrap(), "{place}: direction");
        let mission = mission_text(&self.id, row[148] as usize);
        assert_eq!(mission.as_deref(), Some(&record[7]), "{place}: mission");
        let image: String = row[1..148].iter().map(|&number| format!("{:02x}", number as u8)).collect();
        assert_eq!(image, record[8], "{place}: image");
    }
}

#[test]
fn recorded_episodes_are_repeated_exactly() {
    for id in RECORDED {
        let replay = Replay::new(id).play(&recording("", id));
        assert!(replay.steps >= 800, "{id}: {} steps", replay.steps);
    }
}

#[test]
fn planned_episodes_of_every_id_are_repeated_exactly() {
    for (id, _) in tasks() {
        let replay = Replay::new(id).play(&recording("minigrid_planned", id));
        assert!(replay.successes > 0, "{id}: no recorded episode reaches its end");
    }
}

#[test]
fn every_id_keeps_the_contract() {
    let registry = Registry::builtin();
    for (id, _) in tasks() {
        check_env(&registry.get(id).unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_id_has_a_page() {
    for (id, _) in tasks() {
        let page = Registry::builtin().get(id).unwrap().page_text();
        for heading in [
            "Description",
            "Action space",
            "Observation space",
            "Rewards",
            "Starting state",
            "Episode end",
            "Arguments",
            "Version history",
            "Source",
            "Deviations",
        ] {
            assert!(page.contains(&format!("# {heading}\n")), "{id} lacks {heading}");
        }
    }
}

fn make_with(id: &str, key: &str, value: i64) -> Result<Simulator, EnvError> {
    let mut options = MakeOptions::default();
    options.args.insert(key.to_owned(), toml::Value::Integer(value));
    Registry::builtin().make(id, &options)
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let error = make_with("MiniGrid-Empty-8x8-v0", "size", 9).err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("unknown field `size`")), "{error:?}");
    let error = make_with("MiniGrid-Empty-8x8-v0", "max_steps", 0).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("max_steps must be at least 1, got 0"));
}

#[test]
fn max_steps_scales_the_reward_and_ends_the_episode() {
    let walk = |max_steps, actions: &[u32]| {
        let mut simulator = make_with("MiniGrid-Empty-5x5-v0", "max_steps", max_steps).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(0, &mut out).unwrap();
        for &action in actions {
            simulator.step(&ActionBatch::Discrete(vec![action]), &mut out).unwrap();
        }
        (out.rewards[0], out.terminated[0], out.truncated[0])
    };
    assert_eq!(walk(10, &[2, 2, 1, 2, 2]), (1.0 - 0.9 * (5.0 / 10.0), true, false));
    assert_eq!(
        walk(5, &[2, 2, 1, 2, 2]),
        (1.0 - 0.9, true, false),
        "an episode that ended is not cut as well"
    );
    assert_eq!(walk(4, &[2, 2, 1, 2]), (0.0, false, true));
}

#[test]
fn success_is_an_episode_that_ended_with_a_reward() {
    let walk = |id: &str, max_steps, actions: &[u32]| {
        let mut simulator = make_with(id, "max_steps", max_steps).unwrap();
        assert_eq!(simulator.info().metrics, ["success"]);
        let mut out = simulator.new_batch();
        simulator.reset(0, &mut out).unwrap();
        for &action in actions {
            simulator.step(&ActionBatch::Discrete(vec![action]), &mut out).unwrap();
        }
        out.episode_metrics
    };
    assert_eq!(walk("MiniGrid-Empty-5x5-v0", 10, &[2, 2, 1, 2, 2]), [1.0]);
    assert_eq!(walk("MiniGrid-Empty-5x5-v0", 4, &[2, 2, 1, 2]), [0.0], "time is up");
    assert!(walk("MiniGrid-Empty-5x5-v0", 10, &[2, 2]).is_empty(), "no episode has ended");
    // Done where there is no door ends the episode without a reward.
    assert_eq!(walk("MiniGrid-GoToDoor-5x5-v0", 10, &[6]), [0.0]);
}

#[test]
fn missions_have_texts_as_far_as_the_space_goes() {
    let last = |id| (0..).map_while(|index| mission_text(id, index)).last();
    assert_eq!(mission_text("MiniGrid-Fetch-5x5-N2-v0", 0).as_deref(), Some("get a blue key"));
    assert_eq!(last("MiniGrid-Fetch-5x5-N2-v0").as_deref(), Some("you must fetch a yellow ball"));
    assert_eq!(last("MiniGrid-PutNear-6x6-N2-v0").as_deref(), Some("put the yellow box near the yellow box"));
    assert_eq!(mission_text("MiniGrid-PutNear-6x6-N2-v0", 324), None);
    assert_eq!(mission_text("CartPole-v1", 0), None);
}

/// An environment after a reset.
fn world_of(id: &str, seed: u64) -> (MiniGrid, Pcg64) {
    let task = tasks().into_iter().find(|(known, _)| *known == id).unwrap().1;
    let mut env = MiniGrid::new(task, MiniGridArguments::default()).unwrap();
    let mut rng = Pcg64::seed_from(seed);
    let mut obs = [0.0; 149];
    env.reset(&mut rng, &mut obs);
    (env, rng)
}

#[test]
fn worlds_are_written_as_the_reference_writes_them() {
    let (env, _) = world_of("MiniGrid-DoorKey-5x5-v0", 0);
    assert_eq!(env.render_text().unwrap(), "WGWGWGWGWG\nWG  LY  WG\nWGKYWG  WG\nWG<<WGGGWG\nWGWGWGWGWG");
    let (env, _) = world_of("MiniGrid-LavaGapS5-v0", 1);
    assert_eq!(env.render_text().unwrap(), "WGWGWGWGWG\nWG>>VR  WG\nWG      WG\nWG  VRGGWG\nWGWGWGWGWG");
}

#[test]
fn pictures_show_the_whole_grid_with_the_view_lit_up() {
    let (env, _) = world_of("MiniGrid-Empty-16x16-v0", 0);
    let frame = env.render().unwrap();
    assert_eq!((frame.width, frame.height), (512, 512));
    let pixel = |x: usize, y: usize| &frame.rgb[(y * 512 + x) * 3..][..3];
    let middle = |x: usize, y: usize| pixel(x * 32 + 16, y * 32 + 16);
    assert_eq!(middle(1, 1), [255, 76, 76], "the agent, in its own view");
    assert_eq!(middle(7, 4), [76, 76, 76], "an empty cell in view");
    assert_eq!(middle(8, 4), [0, 0, 0], "an empty cell out of view");
    assert_eq!(middle(0, 9), [100, 100, 100], "a wall out of view");
    assert_eq!(middle(14, 14), [0, 255, 0], "the goal");
}
