//! Replaying trajectories recorded from a reference implementation.
//!
//! A recording is a CSV file, possibly gzipped, with the columns `seed, step, action, reward, terminated, truncated` and
//! one column an observation element. A row with step 0 and no action is what a reset gave: the first one of a seed was
//! seeded with it, later ones let the generator run on.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{ActionBatch, ActionSpec, EnvError, MakeOptions, Registry, Simulator, StepBatch};

const OBS_COLUMN: usize = 6;

/// How far a replayed trajectory is from its recording.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Verification {
    /// The environment replayed.
    pub env: String,
    /// Steps compared, resets not counted.
    pub steps: usize,
    /// Episodes that ended.
    pub episodes: usize,
    /// Largest absolute difference of an observation element or a reward.
    pub max_difference: f64,
    /// Where it is: seed, step in the episode and what differs. Empty if there is none.
    pub place: String,
    /// Steps whose terminated or truncated flag differs, and the first of them.
    pub flag_mismatches: usize,
    /// The first step whose flags differ.
    pub first_flag_mismatch: Option<String>,
}

impl Verification {
    /// Whether every difference is at most `tolerance` and all flags agree.
    pub fn passes(&self, tolerance: f64) -> bool {
        self.max_difference <= tolerance && self.flag_mismatches == 0
    }
}

/// Replays a recording and compares observations, rewards and flags.
///
/// The environment is `env`, or else the file's name up to `.csv`.
///
/// # Errors
/// If the file cannot be read, has another format or belongs to no known environment.
pub fn verify_recording(
    registry: &Registry,
    path: &Path,
    env: Option<&str>,
) -> Result<Verification, EnvError> {
    let wrong = |message: String| EnvError::Recording { path: path.display().to_string(), message };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = env.unwrap_or_else(|| name.split(".csv").next().unwrap_or_default());
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let input: Box<dyn Read> =
        if name.ends_with(".gz") { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };

    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let columns: Vec<&str> = header.iter().collect();
    let expected = ["seed", "step", "action", "reward", "terminated", "truncated", "obs"];
    if columns != expected {
        return Err(wrong(format!("expected the columns {}, got {}", expected.join(","), columns.join(","))));
    }
    let mut replay = Replay::new(registry.make(id, &MakeOptions::default())?, id);
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        replay.row(&record).map_err(|message| wrong(format!("line {}: {message}", line + 2)))?;
    }
    Ok(replay.report)
}

struct Replay {
    simulator: Simulator,
    out: StepBatch,
    actions: ActionBatch,
    seed: Option<u64>,
    report: Verification,
}

impl Replay {
    fn new(simulator: Simulator, id: &str) -> Self {
        let report = Verification {
            env: id.to_owned(),
            steps: 0,
            episodes: 0,
            max_difference: 0.0,
            place: String::new(),
            flag_mismatches: 0,
            first_flag_mismatch: None,
        };
        let (out, actions) = (simulator.new_batch(), ActionBatch::zeros(simulator.action_spec(), 1));
        Self { simulator, out, actions, seed: None, report }
    }

    fn row(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        let field = |column: usize| record.get(column).ok_or_else(|| format!("no column {}", column + 1));
        let seed: u64 = parse(field(0)?)?;
        let step: u32 = parse(field(1)?)?;
        let place = format!("seed {seed}, step {step}");
        if step == 0 {
            if self.seed != Some(seed) {
                self.seed = Some(seed);
                self.simulator.reset(seed, &mut self.out).map_err(|error| error.to_string())?;
            }
        } else {
            self.act(field(2)?)?;
            self.simulator.step(&self.actions, &mut self.out).map_err(|error| error.to_string())?;
            self.report.steps += 1;
            self.report.episodes += self.out.episodes.len();
            let reward: f64 = parse(field(3)?)?;
            self.difference((self.out.rewards[0] - reward).abs(), || format!("{place}, reward"));
            let flags = (field(4)? == "1", field(5)? == "1");
            if flags != (self.out.terminated[0], self.out.truncated[0]) {
                self.report.flag_mismatches += 1;
                self.report.first_flag_mismatch.get_or_insert(place.clone());
            }
        }
        // A step that ended its episode recorded the final observation; the next row is the reset's.
        let ended = step != 0 && !self.out.episodes.is_empty();
        let source = if ended { &self.out.final_observations } else { &self.out.observations };
        let len = self.simulator.observation_len();
        if record.len() != OBS_COLUMN + len {
            return Err(format!(
                "expected {len} observation columns, got {}",
                record.len().saturating_sub(OBS_COLUMN)
            ));
        }
        let mut observation = vec![0.0; len];
        source.view(0, len).write_f32(&mut observation);
        for (i, &value) in observation.iter().enumerate() {
            let expected: f64 = parse(field(OBS_COLUMN + i)?)?;
            self.difference((f64::from(value) - expected).abs(), || format!("{place}, observation[{i}]"));
        }
        Ok(())
    }

    fn act(&mut self, text: &str) -> Result<(), String> {
        let values: Vec<&str> = text.split(' ').collect();
        let width = self.simulator.action_spec().width();
        if values.len() != width {
            return Err(format!("expected {width} action values, got {}", values.len()));
        }
        self.actions = match self.simulator.action_spec() {
            ActionSpec::Discrete { .. } => {
                ActionBatch::Discrete(values.iter().map(|v| parse(v)).collect::<Result<_, _>>()?)
            }
            ActionSpec::Continuous { .. } => {
                ActionBatch::Continuous(values.iter().map(|v| parse(v)).collect::<Result<_, _>>()?)
            }
        };
        Ok(())
    }

    fn difference(&mut self, difference: f64, place: impl Fn() -> String) {
        // A difference that is not a number is the largest there is.
        let difference = if difference.is_nan() { f64::INFINITY } else { difference };
        if difference > self.report.max_difference {
            self.report.max_difference = difference;
            self.report.place = place();
        }
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected a number, got `{text}`"))
}
