use super::*;

use crate::runtime;

/// A run of a few steps.
fn run(path: &Path) {
    let mut config = RunConfig { total_timesteps: 128, num_envs: 2, ..RunConfig::default() };
    config.env.id = "CartPole-v1".to_owned();
    config.agent.insert("num_steps".to_owned(), 32.into());
    runtime::train(&Setup::default(), config, path, &mut |_| true).unwrap();
}

fn card(path: &Path, options: CardOptions) -> Result<String, RunError> {
    ModelCard::of(&Setup::default(), path, CardOptions { episodes: 3, ..options })
        .map(|card| card.to_markdown())
}

#[test]
fn the_front_matter_is_what_hubs_read_of_policies() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let text = card(directory.path(), CardOptions { license: Some("MIT".to_owned()), ..Default::default() })
        .unwrap();
    let (front, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let value = front.lines().find_map(|line| line.strip_prefix("      value: ")).unwrap();
    let (mean, std) = value.trim_matches('"').split_once(" +/- ").unwrap();
    assert!(mean.parse::<f64>().unwrap() >= 1.0 && std.parse::<f64>().unwrap() >= 0.0);
    let expected = format!(
        "library_name: agon\nlicense: mit\npipeline_tag: reinforcement-learning\ntags:\n- CartPole-v1\n- ppo\n\
         - deep-reinforcement-learning\n- reinforcement-learning\n- agon\nmodel-index:\n- name: PPO\n  results:\n  - task:\n      \
         type: reinforcement-learning\n      name: reinforcement-learning\n    dataset:\n      name: CartPole-v1\n      \
         type: CartPole-v1\n    metrics:\n    - type: mean_reward\n      value: {value}\n      name: mean_reward\n      \
         verified: false"
    );
    assert_eq!(front, expected);
    assert!(body.contains(&format!("| {mean} ")), "the table has the same mean: {body}");
    let other =
        card(directory.path(), CardOptions { license: Some("My own: 1".to_owned()), ..Default::default() });
    assert!(other.unwrap().contains("license: other\nlicense_name: \"My own: 1\"\n"));
    assert!(!card(directory.path(), CardOptions::default()).unwrap().contains("license"));
}

#[test]
fn what_was_measured_is_told_apart_from_what_was_not() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let text = card(directory.path(), CardOptions::default()).unwrap();
    for part in [
        "noise of 0.05 standard deviations",
        "the last action taken again with a chance of 0.25",
        "(changed dynamics): not run",
        "Fairness: not run",
        "Privacy: not run",
        "an assumption: a desktop processor",
        "How other seeds of the same training fare is not known here.",
        "| `agent.num_steps`",
        "agon train ppo CartPole-v1 --preset none --config config.toml",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("the weights are the same bit for bit"), "{text}");
    runtime::extend(directory.path(), 256).unwrap();
    let extended = card(directory.path(), CardOptions::default()).unwrap();
    assert!(extended.contains("the run was to have 128 steps at first"), "{extended}");
    let digest = hash::hex(&hash::of_file(&directory.path().join("model.safetensors")).unwrap());
    assert!(text.contains(&format!("`model.safetensors` has SHA-256 `{digest}`")));
    assert!(
        card(directory.path(), CardOptions { watts: Some(30.0), ..Default::default() })
            .unwrap()
            .contains("× 30 W")
    );
    let wrong = card(directory.path(), CardOptions { watts: Some(-1.0), ..Default::default() }).unwrap_err();
    assert_eq!(wrong.to_string(), "watts must be a positive number, got -1");
    let shifts = vec![Shift("no_such_argument=1".to_owned())];
    let wrong = card(directory.path(), CardOptions { shifts, ..Default::default() }).unwrap_err();
    assert!(wrong.to_string().contains("no_such_argument"), "{wrong}");
}

#[test]
fn much_noise_costs_a_policy_that_balances_its_return() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = RunConfig { total_timesteps: 30_000, num_envs: 8, ..RunConfig::default() };
    config.env.id = "CartPole-v1".to_owned();
    runtime::train(&Setup::default(), config, directory.path(), &mut |_| true).unwrap();
    let setup = Setup::default();
    let trained = policy::load(directory.path()).unwrap();
    let (env, options) = (&trained.card().env, EvalOptions { episodes: 20, ..EvalOptions::default() });
    let spread = crate::evaluate::spread(&setup, &trained, env, &options).unwrap().unwrap();
    let under = |scale| {
        crate::evaluate::evaluate_with_noise(&setup, &trained, env, &options, &spread, scale)
            .unwrap()
            .mean_return
    };
    let plain = evaluate_in(&setup, &trained, env, &options).unwrap().mean_return;
    assert_eq!(under(0.0), plain, "no noise is no disturbance");
    assert!(under(20.0) < 0.5 * plain, "{} of {plain}", under(20.0));
}
