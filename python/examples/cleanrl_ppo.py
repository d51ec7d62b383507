"""PPO as CleanRL's `ppo.py` writes it, on Agon's CartPole: `pip install torch`, then `python cleanrl_ppo.py [SEED]`.

Settings, networks and losses are CleanRL's; the vector is `agon.make_vec` in the same-step mode, and an episode that the
time limit cuts is bootstrapped from its last observation.
"""

import sys
import time
from collections import deque

import numpy as np
import torch
from torch import nn
from torch.distributions.categorical import Categorical

import agon

NUM_ENVS, NUM_STEPS, TOTAL_TIMESTEPS = 4, 128, 500_000
GAMMA, GAE_LAMBDA, CLIP_COEF, ENT_COEF, VF_COEF, MAX_GRAD_NORM = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5
UPDATE_EPOCHS, NUM_MINIBATCHES, LEARNING_RATE = 4, 4, 2.5e-4


def layer(inputs: int, outputs: int, std: float = 2**0.5) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, std)
    nn.init.constant_(linear.bias, 0.0)
    return linear


class Agent(nn.Module):
    def __init__(self, obs_len: int, num_actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            layer(obs_len, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0)
        )
        self.actor = nn.Sequential(
            layer(obs_len, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, num_actions, 0.01)
        )

    def value(self, obs: torch.Tensor) -> torch.Tensor:
        return self.critic(obs).squeeze(-1)


def main(seed: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    envs = agon.make_vec("CartPole-v1", NUM_ENVS, autoreset_mode="SameStep", episode_statistics=True)
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=LEARNING_RATE, eps=1e-5)
    shape = (NUM_STEPS, NUM_ENVS)
    obs = torch.zeros(shape + envs.single_observation_space.shape)
    actions, logprobs, rewards, values = (torch.zeros(shape) for _ in range(4))
    over = torch.zeros(shape)
    returns_100: deque[float] = deque(maxlen=100)
    next_obs = torch.from_numpy(envs.reset(seed=seed)[0])
    start, num_updates = time.perf_counter(), TOTAL_TIMESTEPS // (NUM_ENVS * NUM_STEPS)
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - update / num_updates)
        for step in range(NUM_STEPS):
            obs[step] = next_obs
            with torch.no_grad():
                policy = Categorical(logits=agent.actor(next_obs))
                action = policy.sample()
                values[step] = agent.value(next_obs)
            actions[step], logprobs[step] = action, policy.log_prob(action)
            observation, reward, terminated, truncated, info = envs.step(action.numpy())
            rewards[step] = torch.from_numpy(reward)
            over[step] = torch.from_numpy(terminated | truncated)
            next_obs = torch.from_numpy(observation)
            if "episode" in info:
                returns_100.extend(info["episode"]["r"][info["_episode"]].tolist())
            for env in np.flatnonzero(truncated & ~terminated):
                with torch.no_grad():
                    rewards[step, env] += GAMMA * agent.value(torch.from_numpy(info["final_obs"][env]))
        with torch.no_grad():
            advantages, carried, following = torch.zeros(shape), torch.zeros(NUM_ENVS), agent.value(next_obs)
            for step in reversed(range(NUM_STEPS)):
                goes_on = 1.0 - over[step]
                delta = rewards[step] + GAMMA * following * goes_on - values[step]
                carried = advantages[step] = delta + GAMMA * GAE_LAMBDA * goes_on * carried
                following = values[step]
            targets = advantages + values
        batch = [tensor.flatten(0, 1) for tensor in (obs, actions, logprobs, advantages, targets, values)]
        for _ in range(UPDATE_EPOCHS):
            for rows in np.array_split(rng.permutation(NUM_STEPS * NUM_ENVS), NUM_MINIBATCHES):
                b_obs, b_actions, b_logprobs, b_advantages, b_targets, b_values = (
                    tensor[rows] for tensor in batch
                )
                policy = Categorical(logits=agent.actor(b_obs))
                ratio = (policy.log_prob(b_actions) - b_logprobs).exp()
                b_advantages = (b_advantages - b_advantages.mean()) / (b_advantages.std() + 1e-8)
                pg_loss = torch.max(
                    -b_advantages * ratio, -b_advantages * ratio.clamp(1 - CLIP_COEF, 1 + CLIP_COEF)
                ).mean()
                value = agent.value(b_obs)
                clipped = b_values + (value - b_values).clamp(-CLIP_COEF, CLIP_COEF)
                v_loss = 0.5 * torch.max((value - b_targets) ** 2, (clipped - b_targets) ** 2).mean()
                loss = pg_loss - ENT_COEF * policy.entropy().mean() + VF_COEF * v_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), MAX_GRAD_NORM)
                optimizer.step()
    seconds = time.perf_counter() - start
    print(f"mean return of the last {len(returns_100)} episodes {np.mean(returns_100):.1f}, {seconds:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
