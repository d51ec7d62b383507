//! Environments of Gymnasium in worker processes. `AGON_TEST_PYTHON` names an interpreter that has Gymnasium; without it these
//! tests pass and say that they saw nothing.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it sees nothing"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use agon::config::RunConfig;
use agon::envs::{
    ActionBatch, ActionSpec, EnvError, MakeOptions, ObsBuffer, Simulator, StepBatch, WorkerOptions,
};
use agon::evaluate::{EvalOptions, evaluate};
use agon::runtime::{self, Setup};
use serde_json::Value;

const MODULE: &str = include_str!("foreign/environments.py");
const REFERENCE: &str = include_str!("foreign/reference.py");

/// An interpreter with Gymnasium, and a folder with a module of environments.
struct Python {
    interpreter: String,
    folder: tempfile::TempDir,
}

impl Python {
    fn find() -> Option<Self> {
        let Ok(interpreter) = std::env::var("AGON_TEST_PYTHON") else {
            eprintln!("skipped: AGON_TEST_PYTHON names no interpreter with gymnasium");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("environments.py"), MODULE).unwrap();
        Some(Self { interpreter, folder })
    }

    fn module(&self) -> String {
        self.folder.path().join("environments.py").to_str().unwrap().to_owned()
    }

    fn make(&self, id: &str, num_envs: usize, args: &str) -> Result<(Simulator, StepBatch), EnvError> {
        let worker = WorkerOptions {
            timeout_s: Some(if args.contains("hang") { 2 } else { 120 }),
            ..WorkerOptions::default()
        };
        self.make_with(id, num_envs, args, worker)
    }

    fn make_with(
        &self,
        id: &str,
        num_envs: usize,
        args: &str,
        worker: WorkerOptions,
    ) -> Result<(Simulator, StepBatch), EnvError> {
        let worker =
            WorkerOptions { python: Some(self.interpreter.clone()), module: Some(self.module()), ..worker };
        let options =
            MakeOptions { num_envs, args: toml::from_str(args).unwrap(), worker, ..Default::default() };
        let simulator = Setup::default().registry.make(&format!("gymnasium:{id}"), &options)?;
        let out = simulator.new_batch();
        Ok((simulator, out))
    }

    fn config(&self, id: &str) -> RunConfig {
        let mut config = RunConfig { total_timesteps: 2048, num_envs: 4, ..RunConfig::default() };
        config.env.id = format!("gymnasium:{id}");
        config.env.python = Some(self.interpreter.clone());
        config.env.module = Some(self.module());
        config.agent = toml::from_str("num_steps = 32").unwrap();
        config.runtime.num_shards = 2;
        config
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn is_alive(pid: u32) -> bool {
    Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

fn wait_for(what: impl Fn() -> bool) -> bool {
    (0..600).any(|_| {
        what() || {
            thread::sleep(Duration::from_millis(50));
            false
        }
    })
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn a_trajectory_is_gymnasiums_own_with_final_observations() {
    let Some(python) = Python::find() else { return };
    let script = python.run("reference.py");
    fs::write(&script, REFERENCE).unwrap();
    let output = Command::new(&python.interpreter).arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let (mut simulator, mut out) = python.make("CartPole-v1", 3, "max_episode_steps = 15").unwrap();
    simulator.reset(7, &mut out).unwrap();
    let (mut terminated, mut truncated) = (0, 0);
    for (t, step) in steps.iter().enumerate() {
        assert_eq!(out.observations.as_f32(), numbers(&step["observations"]), "step {t}");
        let actions = step["actions"].as_array().unwrap();
        let actions = actions.iter().map(|action| action.as_u64().unwrap() as u32).collect();
        simulator.step(&ActionBatch::Discrete(actions), &mut out).unwrap();
        let flags = |name: &str| -> Vec<bool> { serde_json::from_value(step[name].clone()).unwrap() };
        assert_eq!(
            (&out.terminated, &out.truncated),
            (&flags("terminated"), &flags("truncated")),
            "step {t}"
        );
        assert_eq!(out.final_observations.as_f32(), numbers(&step["final_observations"]), "step {t}");
        assert_eq!(out.rewards, [1.0; 3]);
        terminated += out.terminated.iter().filter(|&&flag| flag).count();
        truncated += out.truncated.iter().filter(|&&flag| flag).count();
    }
    assert!(terminated > 0 && truncated > 0, "{terminated} {truncated}");
}

#[test]
fn every_space_crosses_in_both_directions() {
    let Some(python) = Python::find() else { return };
    let (mut simulator, mut out) = python.make("Mixed-v0", 2, "").unwrap();
    assert_eq!(
        simulator.observation_space().to_string(),
        "Dict('bits': MultiBinary(3), 'last': Tuple(Discrete(5, start=-2), MultiDiscrete([3 4])), 'pair': \
         Box(-1.0, 1.0, (2,), float32))"
    );
    assert_eq!(simulator.action_space().to_string(), "MultiDiscrete([3 4])");
    simulator.reset(3, &mut out).unwrap();
    simulator.step(&ActionBatch::Discrete(vec![2, 3, 0, 1]), &mut out).unwrap();
    let row = |first: f32, second: f32| [1.0, 0.0, 1.0, first - 2.0, first, second, 0.25, -0.5];
    assert_eq!(out.observations.as_f32(), [row(2.0, 3.0), row(0.0, 1.0)].concat());
    // An image stays bytes; an action of double precision lies within its bounds.
    let (mut simulator, mut out) = python.make("Picture-v0", 1, "").unwrap();
    simulator.reset(3, &mut out).unwrap();
    simulator.step(&ActionBatch::Continuous(vec![0.1, -0.1]), &mut out).unwrap();
    assert_eq!(out.observations, ObsBuffer::U8((0..24).collect()));
    assert_eq!(out.rewards, [1.0]);
    let error = python.make("Text-v0", 1, "").unwrap_err().to_string();
    let expected =
        "observation space.word: expected Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple, got Text";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn parts_of_an_action_are_chosen_together_and_handed_over_as_the_space_has_them() {
    let Some(python) = Python::find() else { return };
    let (mut simulator, mut out) = python.make("Parts-v0", 1, "kind = 'choices'").unwrap();
    let space = "Dict('aim': Tuple(MultiBinary(1), MultiDiscrete([4 5])), 'move': Discrete(3, start=-1))";
    assert_eq!(simulator.action_space().to_string(), space);
    assert_eq!(*simulator.action_spec(), ActionSpec::Discrete { nvec: vec![2, 4, 5, 3] });
    simulator.reset(0, &mut out).unwrap();
    simulator.step(&ActionBatch::Discrete(vec![1, 3, 4, 0]), &mut out).unwrap();
    assert_eq!(out.observations.as_f32(), [-1.0, 1.0, 1.0, 9.0, 0.0]);
    let (mut simulator, mut out) = python.make("Parts-v0", 2, "kind = 'numbers'").unwrap();
    simulator.reset(0, &mut out).unwrap();
    let row = |b: f32| [0.1, -0.1, 0.05, 0.0, b];
    simulator.step(&ActionBatch::Continuous([row(2.0), row(-1.0)].concat()), &mut out).unwrap();
    assert_eq!(out.observations.as_f32(), [row(2.0), row(-1.0)].concat());
    for (kind, expected) in [
        ("mixed", "got action space.move: Discrete(3) and action space.push: Box(-1.0, 1.0, (1,), float32)"),
        (
            "wide",
            "action space.x: expected a Box of float, or of integers with bounds and at most 1024 values",
        ),
    ] {
        let error = python.make("Parts-v0", 1, &format!("kind = '{kind}'")).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn action_masks_come_from_infos_or_from_the_method_and_metrics_from_infos() {
    let Some(python) = Python::find() else { return };
    let worker = WorkerOptions { metrics: Some(vec!["first".to_owned()]), ..Default::default() };
    let (mut simulator, mut out) = python.make_with("Masked-v0", 1, "", worker).unwrap();
    simulator.reset(0, &mut out).unwrap();
    for t in 0..8 {
        let from = t % 4;
        assert_eq!(out.action_masks, (0..4).map(|action| action >= from).collect::<Vec<bool>>(), "step {t}");
        let illegal = (from > 0).then(|| simulator.step(&ActionBatch::Discrete(vec![from - 1]), &mut out));
        assert!(illegal.is_none_or(|result| matches!(result, Err(EnvError::MaskedAction { row: 0, .. }))));
        simulator
            .step(&ActionBatch::Discrete(vec![3 - u32::from(t == 4)]), &mut out)
            .unwrap_or_else(|e| panic!("{e}"));
        let metrics: &[f64] = if from == 3 { &[if t == 3 { 3.0 } else { 2.0 }] } else { &[] };
        assert_eq!(out.episode_metrics, metrics);
    }
    let (mut simulator, mut out) = python.make("Method-v0", 2, "").unwrap();
    simulator.reset(0, &mut out).unwrap();
    for t in 0..4_u32 {
        let mask = [true, false, t % 3 == 0, t % 3 == 1, t % 3 == 2];
        assert_eq!(out.action_masks, [mask, mask].concat());
        simulator.step(&ActionBatch::Discrete(vec![0, t % 3, 0, t % 3]), &mut out).unwrap();
    }
    let off = WorkerOptions { action_masks: Some(false), ..Default::default() };
    assert_eq!(python.make_with("Masked-v0", 1, "", off).unwrap().0.mask_len(), 0);
    let on = WorkerOptions { action_masks: Some(true), ..Default::default() };
    let error = python.make_with("Picture-v0", 1, "", on).unwrap_err().to_string();
    assert!(error.contains("env.action_masks: expected an action space of choices, got Box"), "{error}");
}

#[test]
fn a_wrong_mask_or_metric_is_named_with_environment_and_row() {
    let Some(python) = Python::find() else { return };
    for (fault, expected) in [
        ("shape", "info['action_mask']: expected a mask of shape (4,), got one of shape (3,)"),
        ("dtype", "expected zeros and ones of integers, or booleans, got one of shape (4,) and kind float64"),
        ("missing", "info: expected an 'action_mask' as in the first one (env.action_masks), got []"),
        ("metric", "info['first']: expected a finite number (env.metrics), got 'three'"),
        ("nothing", "allows no action in row 0"),
    ] {
        let worker = WorkerOptions { metrics: Some(vec!["first".to_owned()]), ..Default::default() };
        let (mut simulator, mut out) =
            python.make_with("Masked-v0", 1, &format!("fault = '{fault}'"), worker).unwrap();
        simulator.reset(0, &mut out).unwrap();
        let error = simulator.step(&ActionBatch::Discrete(vec![3]), &mut out).unwrap_err().to_string();
        assert!(error.contains("`gymnasium:Masked-v0`") && error.contains("row 0"), "{error}");
        assert!(error.contains(expected), "{fault}: {error}");
    }
}

#[test]
fn a_metric_that_no_episode_has_is_named_after_a_while() {
    let Some(python) = Python::find() else { return };
    let out = python.folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agon"));
    command.args(["train", "ppo", "gymnasium:Masked-v0", "--total-timesteps", "2048", "--name", "unseen"]);
    command.args(["--set", "env.metrics=['success', 'succes']", "--set", "num_envs=2"]);
    command.arg("--out").arg(out).args(["--set", &format!("env.module={}", python.module())]);
    command.args(["--set", &format!("env.python={}", python.interpreter)]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let expected = "warning: env.metrics: no info of 100 episodes has had 'succes', which counts as 0 then; the last one has";
    assert_eq!(text.matches(expected).count(), 1, "{text}");
    assert!(!text.contains("had 'success'"), "{text}");
}

#[test]
fn masked_training_and_evaluation_take_no_illegal_action_and_record_success() {
    let Some(python) = Python::find() else { return };
    let run = python.run("masked");
    // The environment raises an error at an illegal action.
    runtime::train(&Setup::default(), python.config("Masked-v0"), &run, &mut |_| true).unwrap();
    let episodes = fs::read_to_string(run.join("episodes.csv")).unwrap();
    assert!(episodes.lines().next().unwrap().ends_with("env/success"), "{episodes}");
    let options = EvalOptions { episodes: 10, stochastic: true, ..EvalOptions::default() };
    let evaluation = evaluate(&Setup::default(), &run, &options).unwrap();
    let success = evaluation.env_metrics["success"];
    assert_eq!(evaluation.mean_return, 4.0 * success);
}

#[test]
fn a_class_is_named_and_nothing_else_is_called() {
    let Some(python) = Python::find() else { return };
    let make = |id: &str, args: &str| {
        let worker = WorkerOptions { python: Some(python.interpreter.clone()), ..Default::default() };
        let options = MakeOptions { args: toml::from_str(args).unwrap(), worker, ..Default::default() };
        Setup::default().registry.make(id, &options)
    };
    let file = python.module();
    let simulator = make(&format!("python:{file}:Parts"), "kind = 'choices'").unwrap();
    assert_eq!(simulator.action_spec().width(), 4);
    for (id, args, expected) in [
        (format!("python:{file}:Part"), "", "expected a class Part in"),
        (
            format!("python:{file}:Parts"),
            "",
            "Parts.__init__() missing 1 required positional argument: 'kind'",
        ),
        (
            "python:os:system".to_owned(),
            "command = 'false'",
            "expected a class of gymnasium.Env, got <built-in",
        ),
        ("python:no_such_module:Env".to_owned(), "", "the class is of the module no_such_module, which"),
        ("python:lambda".to_owned(), "", "hand it over again"),
    ] {
        let error = make(&id, args).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_goes_wrong_is_named_with_environment_row_and_traceback() {
    let Some(python) = Python::find() else { return };
    let after = |fault: &str| {
        let (mut simulator, mut out) = python.make("Faulty-v0", 2, &format!("fault = '{fault}'")).unwrap();
        simulator.reset(0, &mut out).unwrap();
        let result = simulator.step(&ActionBatch::Discrete(vec![1, 1]), &mut out);
        result.and_then(|()| simulator.check_observations(&out)).unwrap_err().to_string()
    };
    for (fault, expected) in [
        (
            "raise",
            &[
                "`gymnasium:Faulty-v0` failed in row 1: ValueError: the lever is stuck",
                "in step",
                "environments.py",
            ][..],
        ),
        ("shape", &["failed in row 1: observation: expected shape (2,), got (3,)"]),
        ("dtype", &["failed in row 1: observation: expected numbers of kind float32, got complex128"]),
        ("nan", &["produced NaN as number 1 of the observation of row 1"]),
        ("reward", &["produced NaN as the reward of row 1"]),
        ("text", &["failed in row 1: reward: expected a number, got 'much'"]),
        ("four", &["failed in row 1: expected five values from step", "got 4"]),
        ("leave", &["failed in row 1: SystemExit: 4"]),
        ("exit", &["the worker process of `gymnasium:Faulty-v0` (rows 0 to 1) ended with exit code 3"]),
        ("kill", &["the worker process of `gymnasium:Faulty-v0` (rows 0 to 1) was killed by signal 9"]),
        ("hang", &["(rows 0 to 1) did not answer within 2 seconds (env.timeout_s) and was ended"]),
    ] {
        let error = after(fault);
        expected.iter().for_each(|part| assert!(error.contains(part), "{fault}: {error}"));
    }
    for (id, args, expected) in [
        ("CartPol-v1", "", "Environment `CartPol` doesn't exist. Did you mean: `CartPole`?"),
        ("CartPole-v1", "gravitas = 1", "gravitas"),
        ("Faulty-v0", "fault = 'make'", "RuntimeError: no lever"),
    ] {
        let error = python.make(id, 1, args).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn after_an_exception_a_reset_goes_on_and_after_a_death_every_call_says_so() {
    let Some(python) = Python::find() else { return };
    let (mut simulator, mut out) = python.make("Faulty-v0", 2, "fault = 'raise'").unwrap();
    simulator.reset(0, &mut out).unwrap();
    assert!(simulator.step(&ActionBatch::Discrete(vec![1, 1]), &mut out).is_err());
    simulator.reset(0, &mut out).unwrap();
    simulator.step(&ActionBatch::Discrete(vec![0, 0]), &mut out).unwrap();
    let (mut simulator, mut out) = python.make("Faulty-v0", 2, "fault = 'kill'").unwrap();
    simulator.reset(0, &mut out).unwrap();
    let mut step = |simulator: &mut Simulator| {
        simulator.step(&ActionBatch::Discrete(vec![1, 1]), &mut out).unwrap_err().to_string()
    };
    assert_eq!(step(&mut simulator), step(&mut simulator));
}

#[test]
fn a_process_ends_with_its_simulator_and_leaves_no_file() {
    let Some(python) = Python::find() else { return };
    let (mut simulator, mut out) = python.make("Pid-v0", 1, "").unwrap();
    simulator.reset(0, &mut out).unwrap();
    let pid = out.observations.as_f32()[0] as u32;
    assert!(is_alive(pid));
    drop(simulator);
    assert!(!is_alive(pid));
    let ours = format!("agon-{}-", std::process::id());
    // Other tests of this process may be between making a file and opening it.
    let left = || {
        fs::read_dir("/dev/shm").is_ok_and(|mut files| {
            files.any(|file| file.unwrap().file_name().to_string_lossy().starts_with(&ours))
        })
    };
    assert!(wait_for(|| !left()));
}

#[test]
fn threads_change_no_bit() {
    let Some(python) = Python::find() else { return };
    let trained = |threads: usize| {
        let mut config = python.config("CartPole-v1");
        config.runtime.threads = threads;
        let run = python.run(&format!("threads-{threads}"));
        runtime::train(&Setup::default(), config, &run, &mut |_| true).unwrap();
        ["model.safetensors", "metrics.csv", "episodes.csv"].map(|file| fs::read(run.join(file)).unwrap())
    };
    assert!(trained(1) == trained(2));
}

#[test]
fn a_run_is_marked_as_inexact_and_resumes_with_the_versions_that_it_began_with_only() {
    let Some(python) = Python::find() else { return };
    let run = python.run("versions");
    let mut config = python.config("CartPole-v1");
    config.runtime.checkpoint_every = 512;
    let half = runtime::train(&Setup::default(), config, &run, &mut |progress| progress.env_steps < 1024);
    assert!(!half.unwrap().finished);
    let written = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(written.contains("inexact = ") && written.contains("[made_by.env_versions]"), "{written}");
    let version = written.lines().find(|line| line.starts_with("gymnasium = ")).unwrap();
    fs::write(run.join("config.toml"), written.replace(version, "gymnasium = \"0.0.1\"")).unwrap();
    let resume = || runtime::resume(&Setup::default(), &run, None, &mut |_| true);
    let error = resume().unwrap_err().to_string();
    let now = version.trim_start_matches("gymnasium = ").trim_matches('"');
    assert!(error.contains(&format!("gymnasium 0.0.1 and not {now}")), "{error}");
    fs::write(run.join("config.toml"), written).unwrap();
    let outcome = resume().unwrap();
    assert_eq!((outcome.finished, outcome.env_steps), (true, 2048));
}

#[test]
fn a_killed_run_leaves_no_process_and_resumes() {
    let Some(python) = Python::find() else { return };
    let out = python.folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agon"));
    command.args(["train", "ppo", "gymnasium:Pid-v0", "--total-timesteps", "100000", "--name", "killed"]);
    command.args([
        "--set",
        "num_envs=2",
        "--set",
        "agent.num_steps=64",
        "--set",
        "runtime.checkpoint_every=256",
    ]);
    command.arg("--out").arg(out).args(["--set", &format!("env.module={}", python.module())]);
    command.args(["--set", &format!("env.python={}", python.interpreter)]);
    command.args(["--set", &format!("env.args.folder={}", out.display())]);
    let mut agon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let checkpoints = out.join("killed/checkpoints");
    let is_saved = || fs::read_dir(&checkpoints).is_ok_and(|files| files.count() > 1);
    assert!(wait_for(is_saved), "no checkpoint");
    agon.kill().unwrap();
    agon.wait().unwrap();
    let pids = || pids_in(out);
    assert!(!pids().is_empty() && wait_for(|| pids().into_iter().all(|pid| !is_alive(pid))), "{:?}", pids());
    let outcome = runtime::resume(&Setup::default(), &out.join("killed"), None, &mut |progress| {
        progress.env_steps < 3000
    });
    assert!(outcome.unwrap().env_steps >= 3000);
}

#[test]
fn a_process_group_that_is_asked_to_end_stops_at_a_checkpoint() {
    use std::os::unix::process::CommandExt;
    let Some(python) = Python::find() else { return };
    let out = python.folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agon"));
    command.args(["train", "ppo", "gymnasium:Pid-v0", "--total-timesteps", "10000000", "--name", "asked"]);
    command.args(["--set", "num_envs=2", "--set", "agent.num_steps=64"]);
    command.arg("--out").arg(out).args(["--set", &format!("env.module={}", python.module())]);
    command.args(["--set", &format!("env.python={}", python.interpreter)]);
    let agon = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait_for(
        || fs::read_to_string(out.join("asked/metrics.csv")).is_ok_and(|it| it.lines().count() > 2)
    ));
    let group = format!("-{}", agon.id());
    assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
    let output = agon.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("error"), "{text}");
    let outcome = runtime::resume(&Setup::default(), &out.join("asked"), None, &mut |_| false);
    assert!(outcome.unwrap().env_steps > 128);
}

/// The processes that left a file with their number.
fn pids_in(folder: &Path) -> Vec<u32> {
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_prefix("pid-").map(|pid| pid.parse().unwrap())).collect()
}
