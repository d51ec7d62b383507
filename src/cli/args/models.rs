//! What the commands that give a model away or answer for it accept.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[derive(Debug, Args)]
#[command(
    after_help = "It ends with exit code 1 if a hash does not hold: settings that were changed, an input that is not what the run began with, or one that is gone.\n\nExamples:\n  agon provenance results/ppo_CartPole-v1_1\n  agon provenance results/ppo --json"
)]
pub(in crate::cli) struct ProvenanceArgs {
    /// The directory of a run or an experiment.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(in crate::cli) run: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The format is that of OpenSSF's model signing (v1.0), whose tool verifies it too: `model_signing verify key RUN --signature RUN/model.sig --public_key key.pub`.\nA run's lock and what belongs to git are not signed.\n\nA pair of keys:\n  openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out key.pem\n  openssl pkey -in key.pem -pubout -out key.pub\n\nExamples:\n  agon sign results/ppo_CartPole-v1_1 --key key.pem\n  agon sign results/ppo_CartPole-v1_1/policy.onnx --key key.pem\n  agon sign results/ppo --key key.pem --ignore results/ppo/notes"
)]
pub(in crate::cli) struct SignArgs {
    /// The directory of a run, or any other one, or a file.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) path: PathBuf,
    /// The private key: a PEM file of the curve P-256, P-384 or P-521.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) key: PathBuf,
    /// The signature; by default model.sig in the directory, or the file's name with .sig at its end.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) signature: Option<PathBuf>,
    /// A file or directory in the directory that is not signed; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) ignore: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "It ends with exit code 1 if a file was changed, added or removed since it was signed, or if the signature is not the key's.\nSignatures that OpenSSF's tool has made with a key hold as well.\n\nExamples:\n  agon verify results/ppo_CartPole-v1_1 --key key.pub\n  agon verify policy.onnx --key key.pub --signature policy.onnx.sig"
)]
pub(in crate::cli) struct VerifyModelArgs {
    /// What was signed: a directory or a file.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) path: PathBuf,
    /// The public key: a PEM file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) key: PathBuf,
    /// The signature, if it is not at its usual place.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) signature: Option<PathBuf>,
    /// Let there be other files, which were not signed.
    #[arg(long)]
    pub(in crate::cli) ignore_unsigned: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Writing it takes evaluations: of the policy as it is, with noise on what it sees, and with actions that stick.\n\nExamples:\n  agon card results/ppo_CartPole-v1_1 --license MIT\n  agon card results/ppo_LunarLander-v3_1 --best --shift gravity=-8.0 --shift enable_wind=true --watts 90\n  agon card results/ppo_CartPole-v1_1 --out -"
)]
pub(in crate::cli) struct CardArgs {
    /// The directory of a run.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(in crate::cli) run: PathBuf,
    /// The file; by default README.md in the run. `-` prints it.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Replace the file.
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// The licence of the weights, such as `MIT`; without, the card states none.
    #[arg(long, visible_alias = "licence", value_name = "TEXT")]
    pub(in crate::cli) license: Option<String>,
    /// Episodes of each evaluation.
    #[arg(long, default_value_t = 100)]
    pub(in crate::cli) episodes: usize,
    /// Take the best weights instead of the newest.
    #[arg(long)]
    pub(in crate::cli) best: bool,
    /// Watts that the machine drew while it trained; without, the card assumes 65.
    #[arg(long)]
    pub(in crate::cli) watts: Option<f64>,
    /// Another argument of the environment that the policy is tried with too, such as `gravity=-8.0`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) shift: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "An ONNX file is one graph from the environment's observation to its action: running statistics, stacked frames, memory and action masks are in it.\nA safetensors file is what the crate agon-policy acts with.\nBeside either comes a recording of a few episodes, to check another runtime by.\n\nExamples:\n  agon export results/ppo_CartPole-v1_1\n  agon export results/ppo_CartPole-v1_1 --best --license MIT --out cartpole.onnx\n  agon export model.safetensors --format safetensors --out policy.safetensors\n  agon export results/ppo_CartPole-v1_1 --logits"
)]
pub(in crate::cli) struct ExportArgs {
    /// A run directory, or a weight file.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// What is written; by default what the ending of --out says, else onnx.
    #[arg(long)]
    pub(in crate::cli) format: Option<ExportFormat>,
    /// The best actions; this is the default.
    #[arg(long, conflicts_with = "logits")]
    pub(in crate::cli) deterministic: bool,
    /// What actions are chosen by instead of actions: logits, values, or parameters of a distribution. Of ONNX files.
    #[arg(long)]
    pub(in crate::cli) logits: bool,
    /// Of a run, the best weights instead of the newest.
    #[arg(long, conflicts_with = "checkpoint")]
    pub(in crate::cli) best: bool,
    /// Of a run, the weights of the checkpoint after this many environment steps.
    #[arg(long, value_name = "STEP", value_parser = crate::text::steps)]
    pub(in crate::cli) checkpoint: Option<u64>,
    /// The licence that the file names, such as `MIT`.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) license: Option<String>,
    /// Seed of the recorded episodes.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// The file; by default policy.onnx or policy.safetensors in the run, or beside the weight file.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ExportFormat {
    /// A graph in the Open Neural Network Exchange format.
    Onnx,
    /// Tensors and a program, for the crate agon-policy.
    Safetensors,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Steps are taken in this order: a student, pruning, shrinking, integers. After each, the policy plays the same episodes and decides on the same states; times are of this machine, and of the network alone.\n\nExamples:\n  agon compress results/dqn_CartPole-v1_1 --quantize int8\n  agon compress results/ppo_CartPole-v1_1 --prune gradual --sparsity 0.9 --quantize int8 --out small.safetensors\n  agon compress results/ppo_CartPole-v1_1 --distill --set network.encoder.hidden=[16,16] --set distillation.updates=20000\n  agon compress results/dqn_CartPole-v1_1 --quantize int8 --aware --out policy.onnx"
)]
pub(in crate::cli) struct CompressArgs {
    /// The directory of a run, a weight file, or a file of `agon export`.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// The file, whose ending says what is written: .safetensors or .onnx. By default compressed.safetensors beside the source.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Teach a student whose network `--set network.…` describes, by default one like the run's.
    #[arg(long)]
    pub(in crate::cli) distill: bool,
    /// Set the weights to zero that matter least: at once, or gradually while the policy learns from what it was.
    #[arg(long, value_name = "HOW")]
    pub(in crate::cli) prune: Option<PruneArg>,
    /// The share of weights that is pruned.
    #[arg(long, default_value_t = 0.9)]
    pub(in crate::cli) sparsity: f64,
    /// Take out units that give nothing on any state.
    #[arg(long)]
    pub(in crate::cli) shrink: bool,
    /// Make weights integers of a byte, and the inputs of layers as well.
    #[arg(long, value_name = "TO")]
    pub(in crate::cli) quantize: Option<QuantizeArg>,
    /// Before that, let the policy learn with rounded weights.
    #[arg(long)]
    pub(in crate::cli) aware: bool,
    /// By what the range of a layer's inputs is chosen.
    #[arg(long, value_name = "HOW", default_value = "mse")]
    pub(in crate::cli) calibration: CalibrationArg,
    /// A setting of the student's network or of how it learns, such as `distillation.updates=20000`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) set: Vec<String>,
    /// Episodes that are played after each step.
    #[arg(long, default_value_t = 100)]
    pub(in crate::cli) episodes: usize,
    /// Of the states that are learned from, and of students; by default the run's.
    #[arg(long)]
    pub(in crate::cli) seed: Option<u64>,
    /// Of a run, the best weights instead of the newest.
    #[arg(long, conflicts_with = "checkpoint")]
    pub(in crate::cli) best: bool,
    /// Of a run, the weights of the checkpoint after this many environment steps.
    #[arg(long, value_name = "STEP", value_parser = crate::text::steps)]
    pub(in crate::cli) checkpoint: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// When `compress` prunes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PruneArg {
    /// All at once.
    Magnitude,
    /// Little by little, while the policy learns.
    Gradual,
}

/// What `compress` makes weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum QuantizeArg {
    /// Integers of one byte.
    Int8,
}

/// How `compress` chooses ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum CalibrationArg {
    /// The least and the greatest value.
    Minmax,
    /// All but one value in ten thousand.
    Percentile,
    /// The range of the least squared error.
    Mse,
}
