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
