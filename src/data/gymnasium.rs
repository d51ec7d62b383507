//! What a data set says of its environment, for Minari's `recover_environment`.

use serde_json::{Map, Value, json};

use crate::config::EnvConfig;

/// Environments whose dynamics are Gymnasium's own, step for step, and where that has them.
const GYMNASIUM: [(&str, &str); 5] = [
    ("Acrobot-v1", "gymnasium.envs.classic_control.acrobot:AcrobotEnv"),
    ("CartPole-v1", "gymnasium.envs.classic_control.cartpole:CartPoleEnv"),
    ("MountainCar-v0", "gymnasium.envs.classic_control.mountain_car:MountainCarEnv"),
    (
        "MountainCarContinuous-v0",
        "gymnasium.envs.classic_control.continuous_mountain_car:Continuous_MountainCarEnv",
    ),
    ("Pendulum-v1", "gymnasium.envs.classic_control.pendulum:PendulumEnv"),
];

/// The text of Gymnasium's `EnvSpec`: Gymnasium's own environment where ours is the same, else ours by the Python package.
pub(super) fn spec(env: &EnvConfig, time_limit: Option<u32>) -> String {
    let own = GYMNASIUM.iter().find(|(id, _)| *id == env.id);
    let (id, entry_point, kwargs) = match own {
        Some((id, entry_point)) if env.args.is_empty() && env.wrappers.is_empty() => {
            ((*id).to_owned(), *entry_point, Map::new())
        }
        _ => {
            let mut kwargs = Map::new();
            kwargs.insert("agon_id".to_owned(), Value::from(env.id.clone()));
            for (name, value) in &env.args {
                kwargs.insert(name.clone(), serde_json::to_value(value).unwrap_or(Value::Null));
            }
            (format!("agon/{}", env.id.replace('/', "-")), "agon.single:made_for_gymnasium", kwargs)
        }
    };
    json!({
        "id": id,
        "entry_point": entry_point,
        "reward_threshold": null,
        "nondeterministic": false,
        "max_episode_steps": time_limit,
        "order_enforce": true,
        "disable_env_checker": false,
        "kwargs": kwargs,
        "additional_wrappers": [],
        "vector_entry_point": null,
    })
    .to_string()
}

/// The id of the environment that the text of an `EnvSpec` is of: ours, where it is one of ours.
pub(super) fn env_of(spec: &str) -> Option<String> {
    let spec: Value = serde_json::from_str(spec).ok()?;
    let own = spec.get("kwargs").and_then(|kwargs| kwargs.get("agon_id"));
    Some(own.or_else(|| spec.get("id"))?.as_str()?.to_owned())
}
