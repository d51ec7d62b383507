use std::fs::File;
use std::path::{Path, PathBuf};

use super::*;
use crate::{ActionBatch, Autoreset, MakeOptions, Simulator, StepBatch, check_env};

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

fn recording(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/golden/env/{id}.csv.gz"))
}

/// A simulator that follows a recording, resetting where the recording does.
struct Replay {
    id: String,
    simulator: Simulator,
    out: StepBatch,
    seed: Option<u64>,
    steps: usize,
    ended: usize,
    rewarded: usize,
}

impl Replay {
    fn new(id: &str) -> Self {
        let options = MakeOptions { autoreset: Autoreset::Disabled, ..Default::default() };
        let simulator = Registry::builtin().make(id, &options).unwrap();
        let out = simulator.new_batch();
        Self { id: id.to_owned(), simulator, out, seed: None, steps: 0, ended: 0, rewarded: 0 }
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
            self.ended += usize::from(self.out.terminated[0] || self.out.truncated[0]);
            self.rewarded += usize::from(reward > 0.0);
        } else if self.seed == Some(seed) {
            self.simulator.reset_rows(&[0], &mut self.out).unwrap();
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

const REWARD_TOLERANCE: f64 = 1e-12;

#[test]
fn recorded_episodes_are_repeated_exactly() {
    for id in RECORDED {
        let replay = Replay::new(id).play(&recording(id));
        assert!(replay.steps >= 800, "{id}: {} steps", replay.steps);
    }
}
