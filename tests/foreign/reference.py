"""What Gymnasium's CartPole does with seeds 7, 8 and 9, reset in the step in which an episode ends; as JSON."""

import json

import gymnasium

envs = [gymnasium.make("CartPole-v1", max_episode_steps=15) for _ in range(3)]
observations = [env.reset(seed=7 + i)[0] for i, env in enumerate(envs)]
steps = []
for t in range(100):
    actions = [0, t % 2, (t // 2) % 2]
    step = {"observations": [float(x) for row in observations for x in row], "actions": actions}
    step |= {"terminated": [], "truncated": [], "final_observations": []}
    for i, env in enumerate(envs):
        observations[i], _, terminated, truncated, _ = env.step(actions[i])
        step["terminated"].append(bool(terminated))
        step["truncated"].append(bool(truncated))
        if terminated or truncated:
            step["final_observations"] += [float(x) for x in observations[i]]
            observations[i] = env.reset()[0]
    steps.append(step)
print(json.dumps(steps))
