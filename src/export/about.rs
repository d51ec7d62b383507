//! What an exported file says of a policy, for people and for programs that sort models.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use agon_envs::EnvSpec;
use agon_policy::{Parameters, PolicyProgram};
use sha2::{Digest, Sha256};

use crate::policy::Card;

/// Keys and values of a policy.
pub(super) fn about(
    card: &Card,
    program: &PolicyProgram,
    parameters: &Parameters,
) -> BTreeMap<String, String> {
    let mut about = BTreeMap::from([
        ("agon_version", card.version.clone()),
        ("algorithm", card.algorithm.clone()),
        ("environment", card.env.id.clone()),
        ("environment_arguments", json(&card.env.args)),
        ("environment_wrappers", json(&card.env.wrappers)),
        ("observation_space", card.env_spaces.observation.to_string()),
        ("action_space", card.env_spaces.action.to_string()),
        ("seed", card.seed.to_string()),
        ("env_steps", card.env_steps.to_string()),
        ("instruction_set", card.instruction_set.clone()),
        ("license", "not stated".to_owned()),
        ("parameters_sha256", hash(parameters)),
    ]);
    if !card.env.tasks.is_empty() {
        about.insert("environment_tasks", json(&card.env.tasks));
        about.insert("environment_mixture", json(&card.env.mixture));
    }
    if let Some(steps) = card.env.max_episode_steps {
        about.insert("environment_max_episode_steps", steps.to_string());
    }
    if let Some(score) = card.mean_return {
        about.insert("mean_return", score.to_string());
        about.insert(
            "mean_return_of",
            "the last 100 training episodes, actions drawn as in training".to_owned(),
        );
    }
    if !program.states().is_empty() {
        let reset = "rows in which episode_start is true begin an episode: their states are not looked at";
        about.insert("state_reset", reset.to_owned());
    }
    about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What an environment's page says of its spaces: tables of what is where, in which unit.
pub(super) fn meaning(spec: &EnvSpec) -> impl Iterator<Item = (String, String)> {
    [("observation_meaning", "Observation space"), ("action_meaning", "Action space")]
        .into_iter()
        .filter_map(|(key, title)| Some((key.to_owned(), spec.page_section(title)?)))
}

/// A setting as text.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// SHA-256 of all parameters in the order of their names: name, sizes, values.
pub(crate) fn hash(parameters: &Parameters) -> String {
    let mut hasher = Sha256::new();
    for (name, parameter) in parameters {
        hasher.update(name.as_bytes());
        parameter.shape.iter().for_each(|&size| hasher.update((size as u64).to_le_bytes()));
        parameter.values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
