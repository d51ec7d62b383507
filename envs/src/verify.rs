//! Replaying trajectories recorded from a reference implementation.
//!
//! A recording is a CSV file, possibly gzipped, with the columns `seed, step, action, reward, terminated, truncated` and then
//! the observation in one of three forms: `obs`, one column an element; `obs_hex`, the bits of a boolean image packed into
//! bytes, most significant bit first; or `direction, mission, image_hex`, a MiniGrid observation. A row with step 0 and no
//! action is what a reset gave: the first one of a seed was seeded with it, later ones let the generator run on.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{ActionBatch, ActionSpec, EnvError, MakeOptions, Registry, Simulator, StepBatch, minigrid};

const COLUMNS: [&str; 6] = ["seed", "step", "action", "reward", "terminated", "truncated"];
/// The MinAtar recordings are named after the games.
const MINATAR_FILES: [(&str, &str); 5] = [
    ("minatar_asterix", "MinAtar/Asterix-v0"),
    ("minatar_breakout", "MinAtar/Breakout-v0"),
    ("minatar_freeway", "MinAtar/Freeway-v0"),
    ("minatar_seaquest", "MinAtar/Seaquest-v0"),
    ("minatar_space_invaders", "MinAtar/SpaceInvaders-v0"),
];

/// The form of a recording's observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Numbers,
    Bits,
    MiniGrid,
}

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
    /// Largest absolute difference of a reward.
    pub max_reward_difference: f64,
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
/// The environment is `env`, or else the file's name up to `.csv`. Where an environment is chaotic
/// ([`EnvSpec::chaotic_after`](crate::EnvSpec::chaotic_after)), later steps of an episode are compared one by one, each taken
/// from the recorded observation.
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
    let stem = name.split(".csv").next().unwrap_or_default();
    let named = MINATAR_FILES.iter().find(|(file, _)| *file == stem).map_or(stem, |(_, id)| id);
    let id = env.unwrap_or(named);
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let input: Box<dyn Read> =
        if name.ends_with(".gz") { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };

    let input = ShortLines { input, length: 0 };
    let mut reader = csv::ReaderBuilder::new().flexible(true).quoting(false).from_reader(input);
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let columns: Vec<&str> = header.iter().collect();
    let form = match columns.strip_prefix(&COLUMNS) {
        Some(["obs"]) => Form::Numbers,
        Some(["obs_hex"]) => Form::Bits,
        Some(["direction", "mission", "image_hex"]) => Form::MiniGrid,
        _ => {
            let expected = "followed by obs, by obs_hex, or by direction,mission,image_hex";
            let message =
                format!("expected the columns {} {expected}, got {}", COLUMNS.join(","), columns.join(","));
            return Err(wrong(message));
        }
    };
    let spec = registry.get(id)?;
    let mut replay = Replay::new(spec.make(&MakeOptions::default())?, id, form);
    replay.chaotic_after = spec.chaos().unwrap_or(u32::MAX);
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        replay.row(&record).map_err(|message| wrong(format!("line {}: {message}", line + 2)))?;
    }
    Ok(replay.report)
}

/// Bytes of a line at most: a few bytes of a compressed file can stand for any number of them.
const LONGEST_LINE: usize = 1 << 20;

/// Reads a text whose lines are not too long to be kept.
struct ShortLines<R> {
    input: R,
    /// Bytes of the line that is being read.
    length: usize,
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let read = &buffer[..count];
        match read.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => self.length = count - end - 1,
            None => self.length += count,
        }
        if self.length > LONGEST_LINE {
            let message = format!("expected lines of at most {LONGEST_LINE} bytes, got a longer one");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}

struct Replay {
    simulator: Simulator,
    form: Form,
    out: StepBatch,
    actions: ActionBatch,
    seed: Option<u64>,
    /// Steps of an episode after which each step begins from the recorded observation.
    chaotic_after: u32,
    /// The observation of the last row of the recording.
    recorded: Vec<f64>,
    /// The simulator's observation.
    replayed: Vec<f32>,
    report: Verification,
}

impl Replay {
    fn new(simulator: Simulator, id: &str, form: Form) -> Self {
        let report = Verification {
            env: id.to_owned(),
            steps: 0,
            episodes: 0,
            max_difference: 0.0,
            max_reward_difference: 0.0,
            place: String::new(),
            flag_mismatches: 0,
            first_flag_mismatch: None,
        };
        let (out, actions) = (simulator.new_batch(), ActionBatch::zeros(simulator.action_spec(), 1));
        let replayed = vec![0.0; simulator.observation_len()];
        let (seed, recorded) = (None, Vec::new());
        Self { simulator, form, out, actions, seed, chaotic_after: u32::MAX, recorded, replayed, report }
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
            if step > self.chaotic_after {
                let observation: Vec<f32> = self.recorded.iter().map(|&value| value as f32).collect();
                if !self.simulator.assume(0, &observation) {
                    return Err("the environment cannot take on a recorded observation".to_owned());
                }
            }
            self.act(field(2)?)?;
            self.simulator.step(&self.actions, &mut self.out).map_err(|error| error.to_string())?;
            self.report.steps += 1;
            self.report.episodes += self.out.episodes.len();
            let reward: f64 = parse(field(3)?)?;
            let difference = (self.out.rewards[0] - reward).abs();
            self.report.max_reward_difference = self.report.max_reward_difference.max(difference);
            self.difference(difference, || format!("{place}, reward"));
            let flags = (field(4)? == "1", field(5)? == "1");
            if flags != (self.out.terminated[0], self.out.truncated[0]) {
                self.report.flag_mismatches += 1;
                self.report.first_flag_mismatch.get_or_insert(place.clone());
            }
        }
        self.read_observation(record)?;
        // A step that ended its episode recorded the final observation; the next row is the reset's.
        let ended = step != 0 && !self.out.episodes.is_empty();
        let source = if ended { &self.out.final_observations } else { &self.out.observations };
        let len = self.simulator.observation_len();
        source.view(0, len).write_f32(&mut self.replayed);
        if self.form == Form::Bits {
            self.replayed.iter_mut().for_each(|value| *value = f32::from(*value != 0.0));
        }
        if self.recorded.len() != len {
            return Err(format!("expected an observation of {len} numbers, got {}", self.recorded.len()));
        }
        for i in 0..len {
            let difference = (f64::from(self.replayed[i]) - self.recorded[i]).abs();
            self.difference(difference, || format!("{place}, observation[{i}]"));
        }
        Ok(())
    }

    /// The recorded observation, as numbers in the order of a packed row.
    fn read_observation(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        self.recorded.clear();
        let from = COLUMNS.len();
        match self.form {
            Form::Numbers => {
                for text in record.iter().skip(from) {
                    self.recorded.push(parse(text)?);
                }
            }
            Form::Bits => {
                let bytes = bytes_of(record.get(from).unwrap_or_default())?;
                let bits =
                    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| f64::from(byte >> bit & 1)));
                self.recorded.extend(bits.take(self.simulator.observation_len()));
            }
            Form::MiniGrid => {
                self.recorded.push(parse(record.get(from).unwrap_or_default())?);
                let image = bytes_of(record.get(from + 2).unwrap_or_default())?;
                self.recorded.extend(image.into_iter().map(f64::from));
                let text = record.get(from + 1).unwrap_or_default();
                let missions = (0..).map_while(|index| minigrid::mission_text(&self.report.env, index));
                let mission = missions.zip(0..).find(|(mission, _)| mission == text);
                let (_, index) = mission.ok_or_else(|| format!("the mission `{text}` is unknown"))?;
                self.recorded.push(f64::from(index));
            }
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

/// The bytes that a hexadecimal text stands for.
fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    let byte = |i: usize| text.get(i..i + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    bytes.ok_or_else(|| format!("expected hexadecimal digits, got `{}`", text.get(..20).unwrap_or(text)))
}
