//! Compression of trained policies: students, pruned weights, integers.
//!
//! ```no_run
//! # fn main() -> Result<(), agon::RunError> {
//! use agon::compress::{Compression, compress};
//! use agon::{export::Export, setup::Setup};
//!
//! let setup = Setup::default();
//! let export = Export::of(&agon::policy::load("results/dqn_CartPole-v1_1")?)?;
//! let options = Compression { int8: true, ..Compression::default() };
//! let steps = compress(&setup, export, &options)?;
//! for step in &steps {
//!     println!("{}: {:.1}, {} bytes", step.report.name, step.report.mean_return.value, step.report.bytes);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything is done to the policy as a program ([`Export`]), whatever algorithm it is of, so that what comes out is a program,
//! too: smaller as a file and faster in every runner. Each step of the chain is evaluated in the same episodes and timed.

mod calibrate;
mod encode;
mod learn;
mod speed;
mod states;

use agon_agents::distillation::DistillationConfig;
use agon_agents::program;
use agon_agents::pruning::Mask;
use agon_nn::{
    Head, HeadSpec, ImageShape, Init, LayoutBuilder, Model, ModelConfig, Observation, ToldChain, ToldNetwork,
};
use agon_policy::{Decision, Operation, Parameters, PolicyProgram};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::EnvConfig;
use crate::evaluate::EvalOptions;
use crate::export::Export;
use crate::setup::Setup;
use crate::stats::{Estimate, Resamples, Resampling};
use crate::streams;

pub use calibrate::Calibration;
pub(crate) use learn::parameters_of;
pub use speed::Speed;

use learn::{Course, Lesson};
use states::Player;

/// States that inputs are calibrated on and decisions timed on.
const STATES: usize = 32_768;

/// When weights are pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pruning {
    /// All at once; what is left stays as it is.
    Magnitude,
    /// Little by little, while the policy learns from what it was.
    Gradual,
}

/// What is done to a policy, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Compression {
    /// A student with this network takes its place.
    pub student: Option<ModelConfig>,
    /// Weights are set to zero, a share of all of them between 0 and 1.
    pub prune: Option<(Pruning, f64)>,
    /// Units that give nothing are taken out.
    pub shrink: bool,
    /// Weights and inputs become integers of a byte.
    pub int8: bool,
    /// Before that, the policy learns with weights that are rounded.
    pub aware: bool,
    /// How the range of inputs is chosen.
    pub calibration: Calibration,
    /// How students and pruned or rounded policies learn.
    pub distillation: DistillationConfig,
    /// Episodes of the evaluation of each step.
    pub episodes: usize,
    /// Of states, students and minibatches.
    pub seed: u64,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            student: None,
            prune: None,
            shrink: false,
            int8: false,
            aware: false,
            calibration: Calibration::default(),
            distillation: DistillationConfig::default(),
            episodes: 100,
            seed: 0,
        }
    }
}

/// The policy after a step of the chain.
#[derive(Clone, Debug)]
pub struct Step {
    /// The policy.
    pub export: Export,
    /// What it does and costs.
    pub report: Report,
}

/// What is said of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was done.
    pub name: String,
    /// Mean return over episodes, with its bootstrapped 95 % interval.
    pub mean_return: Estimate,
    /// Of the file.
    pub bytes: usize,
    /// Of the parameters alone.
    pub parameter_bytes: usize,
    /// The share of weights that is zero.
    pub sparsity: f64,
    /// What a decision takes.
    pub speed: Speed,
}

/// Compresses a policy; gives it after each step, the first as it was.
///
/// # Errors
/// If the policy's environment is not told or cannot be made, its network remembers or has parts that cannot learn, or settings
/// are out of bounds.
pub fn compress(setup: &Setup, mut export: Export, options: &Compression) -> Result<Vec<Step>, RunError> {
    if let Some((_, sparsity)) = options.prune
        && !(0.0..1.0).contains(&sparsity)
    {
        return Err(RunError::Config(format!("sparsity must be at least 0 and below 1, got {sparsity}")));
    }
    options.distillation.validate()?;
    // Deviations of a normal distribution follow its means; a best action has none.
    if let (Decision::Gaussian { .. }, Some(Operation::Append { .. })) =
        (&export.program.decision, export.program.operations.last())
    {
        export.program.operations.pop();
    }
    let Some(env) = export.environment()? else {
        return Err(RunError::Config(
            "expected a policy that names its environment, found one that does not".to_owned(),
        ));
    };
    let policy = export.policy()?;
    let width = policy.network_inputs();
    let teacher = ToldNetwork::new(&export.program.operations, &export.parameters, width)?;
    let mut player = Player::new(setup, &env, policy, streams::compression(options.seed))?;
    let states = player.states(&teacher, STATES)?;
    let mut work = Work { setup, env, options, width, teacher, player, states, steps: Vec::new() };
    work.done("as trained", &export)?;
    if let Some(network) = &options.student {
        export = work.student(export, network)?;
        work.done("distilled", &export)?;
    }
    if let Some((pruning, sparsity)) = options.prune {
        export = work.pruned(export, pruning, sparsity)?;
        let name = match pruning {
            Pruning::Magnitude => "pruned at once",
            Pruning::Gradual => "pruned gradually",
        };
        work.done(name, &stored(&export)?)?;
    }
    if options.shrink {
        let operations =
            encode::shrunk(&export.program.operations, &mut export.parameters, (&work.states, width))?;
        export.program.operations = operations;
        work.done("shrunk", &stored(&export)?)?;
    }
    if options.int8 {
        if options.aware {
            let course = Course { rounds: true, keeps_zeros: true, gradual: None };
            export = work.taught(export, course)?;
        }
        let operations = encode::sparse(&export.program.operations, &mut export.parameters)?;
        let states = (work.states.as_slice(), width);
        export.program.operations =
            encode::integers(&operations, &mut export.parameters, states, options.calibration)?;
        work.done(if options.aware { "int8, aware" } else { "int8" }, &export)?;
    }
    Ok(work.steps)
}

/// A compression under way.
struct Work<'a> {
    setup: &'a Setup,
    env: EnvConfig,
    options: &'a Compression,
    /// Values that the network reads.
    width: usize,
    teacher: ToldNetwork,
    player: Player,
    states: Vec<f32>,
    steps: Vec<Step>,
}

impl Work<'_> {
    /// Evaluates and times the policy after a step.
    fn done(&mut self, name: &str, export: &Export) -> Result<(), RunError> {
        let mut export = export.clone();
        export.about.insert("parameters_sha256".to_owned(), crate::export::hash(&export.parameters));
        if let Some(before) = self.steps.last() {
            let so_far =
                before.export.about.get("compression").map_or(String::new(), |steps| format!("{steps}, "));
            export.about.insert("compression".to_owned(), format!("{so_far}{name}"));
            export.about.remove("mean_return");
            export.about.remove("mean_return_of");
        }
        let options = EvalOptions { episodes: self.options.episodes, ..EvalOptions::default() };
        let returns = export.evaluate(self.setup, &self.env, &options)?.returns;
        let bytes = export.to_safetensors()?;
        let report = Report {
            name: name.to_owned(),
            mean_return: Resamples::new(returns.len(), Resampling::default()).mean(&returns),
            parameter_bytes: bytes.len() - 8 - header_len(&bytes),
            bytes: bytes.len(),
            sparsity: sparsity(&export.program, &export.parameters)?,
            speed: speed::speed(&export, (&self.states, self.width))?,
        };
        self.steps.push(Step { export, report });
        Ok(())
    }

    /// A student of another network in the place of a policy.
    fn student(&mut self, mut export: Export, network: &ModelConfig) -> Result<Export, RunError> {
        let sizes = (self.width, self.teacher.outputs());
        let seed = streams::student(self.options.seed);
        (export.program.operations, export.parameters) = student(&export.program, sizes, network, seed)?;
        self.taught(export, Course::default())
    }

    fn pruned(&mut self, mut export: Export, pruning: Pruning, sparsity: f64) -> Result<Export, RunError> {
        match pruning {
            Pruning::Gradual => self.taught(export, Course { gradual: Some(sparsity), ..Course::default() }),
            Pruning::Magnitude => {
                let mut chain = ToldChain::new(&export.program.operations, &export.parameters, self.width)?;
                let mut mask = Mask::of(&chain);
                mask.prune(&mut chain.params, sparsity);
                export.parameters = learn::parameters_of(&chain);
                Ok(export)
            }
        }
    }

    /// The policy after it has learned from the one that is compressed.
    fn taught(&mut self, mut export: Export, course: Course) -> Result<Export, RunError> {
        let operations = &export.program.operations;
        let chain = ToldChain::new(operations, &export.parameters, self.width)?;
        let lesson = Lesson {
            player: &mut self.player,
            teacher: &self.teacher,
            decision: &export.program.decision,
            config: self.options.distillation,
            seed: streams::student(self.options.seed),
        };
        export.parameters = lesson.teach(operations, chain, course)?;
        Ok(export)
    }
}

/// A policy as it is stored: without the zeros of its weights.
fn stored(export: &Export) -> Result<Export, RunError> {
    let mut stored = export.clone();
    stored.program.operations = encode::sparse(&stored.program.operations, &mut stored.parameters)?;
    Ok(stored)
}

/// Operations and first parameters of a student in the place of a program, which reads and gives so many values.
pub(crate) fn student(
    program: &PolicyProgram,
    (width, outputs): (usize, usize),
    network: &ModelConfig,
    seed: u64,
) -> Result<(Vec<Operation>, Parameters), RunError> {
    let observation = observation(program, width);
    let mut builder = LayoutBuilder::new();
    let init = Init::PYTORCH_LINEAR;
    let head = HeadSpec { name: "head".to_owned(), head: Head::Q { actions: outputs }, init };
    let model = Model::new(&mut builder, "", &observation, network, &[head], init)?;
    if model.state_len() > 0 {
        let message = "a student remembers nothing: expected network.memory.kind = \"none\"";
        return Err(RunError::Config(message.to_owned()));
    }
    let params = builder.build(seed);
    Ok((model.operations(0, params.layout()), program::told(&params, "")))
}

/// What a student's network sees: an image where the program shows one as it is, else a vector.
fn observation(program: &PolicyProgram, width: usize) -> Observation {
    match program.inputs.as_slice() {
        [input] if input.len() == width => match *input.shape.as_slice() {
            [a, b, c] if a < b && a < c => {
                Observation::Image { shape: ImageShape::new(a, b, c), channels_last: false }
            }
            [height, width, channels] => {
                let shape = ImageShape::new(channels, height, width);
                Observation::Image { shape, channels_last: true }
            }
            _ => Observation::Vector(width),
        },
        _ => Observation::Vector(width),
    }
}

/// The share of the weights of maps that is zero.
fn sparsity(program: &PolicyProgram, parameters: &Parameters) -> Result<f64, RunError> {
    let (mut zeros, mut all) = (0, 0);
    for operation in program.operations.iter().flat_map(Operation::flat) {
        let Some(stored) = agon_policy::StoredMap::of(operation)? else { continue };
        let weight = stored.stored(parameters)?;
        zeros += weight.iter().filter(|value| **value == 0.0).count();
        all += weight.len();
    }
    Ok(zeros as f64 / all.max(1) as f64)
}

/// Bytes of the header of a safetensors file.
fn header_len(bytes: &[u8]) -> usize {
    bytes.first_chunk::<8>().map_or(0, |len| u64::from_le_bytes(*len) as usize)
}
