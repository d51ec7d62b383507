"""CleanRL's files `ppo.py`, `dqn.py`, `sac_continuous_action.py` (e421c2e5) on the workloads, without logging.

Adapted from ModuRL's benchmark; see NOTICE.md. CleanRL's package on PyPI is of 2021 and does not run with Gymnasium.
"""

import random

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions.categorical import Categorical
from torch.distributions.normal import Normal

import protocol


def layer_init(layer, gain):
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class PpoAgent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic, self.actor = (
            nn.Sequential(
                layer_init(nn.Linear(4, 64), 2**0.5), nn.Tanh(), layer_init(nn.Linear(64, 64), 2**0.5), nn.Tanh(),
                layer_init(nn.Linear(64, outputs), gain),
            )
            for outputs, gain in [(1, 1.0), (2, 0.01)]
        )

    def action_and_value(self, obs, action=None):
        distribution = Categorical(logits=self.actor(obs))
        if action is None:
            action = distribution.sample()
        return action, distribution.log_prob(action), distribution.entropy(), self.critic(obs)


def ppo(w, make_env):
    envs = gym.vector.SyncVectorEnv(
        [make_env] * w["num_envs"], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    agent = PpoAgent()
    optimizer = torch.optim.Adam(agent.parameters(), lr=w["learning_rate"], eps=w["adam_eps"])
    shape = (w["num_steps"], w["num_envs"])
    obs, actions = torch.zeros((*shape, 4)), torch.zeros(shape)
    logprobs, rewards, dones, values = (torch.zeros(shape) for _ in range(4))
    next_obs = torch.as_tensor(envs.reset(seed=w["seed"])[0])
    next_done = torch.zeros(w["num_envs"])

    def collect():
        nonlocal next_obs, next_done
        for step in range(w["num_steps"]):
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprob, _, value = agent.action_and_value(next_obs)
            values[step], actions[step], logprobs[step] = value.flatten(), action, logprob
            seen, reward, terminated, truncated, infos = envs.step(action.numpy())
            if truncated.any():
                # What CleanRL leaves out and the workload has: time limits are no ends.
                cut = np.flatnonzero(truncated)
                last = torch.as_tensor(np.stack([infos["final_obs"][i] for i in cut]).astype(np.float32))
                with torch.no_grad():
                    reward[cut] += w["gamma"] * agent.critic(last).flatten().numpy()
            rewards[step] = torch.as_tensor(reward, dtype=torch.float32)
            next_obs = torch.as_tensor(seen, dtype=torch.float32)
            next_done = torch.as_tensor(terminated | truncated, dtype=torch.float32)

    def advantages_of():
        with torch.no_grad():
            next_value = agent.critic(next_obs).flatten()
        advantages, last = torch.zeros(shape), torch.zeros(w["num_envs"])
        for t in reversed(range(w["num_steps"])):
            final = t == w["num_steps"] - 1
            goes_on = 1.0 - (next_done if final else dones[t + 1])
            delta = rewards[t] + w["gamma"] * (next_value if final else values[t + 1]) * goes_on - values[t]
            last = delta + w["gamma"] * w["gae_lambda"] * goes_on * last
            advantages[t] = last
        return advantages

    def learn(advantages):
        flat_obs, flat_actions, flat_logprobs = obs.reshape(-1, 4), actions.reshape(-1).long(), logprobs.reshape(-1)
        flat_advantages, returns = advantages.reshape(-1), (advantages + values).reshape(-1)
        indices = np.arange(len(returns))
        for _ in range(w["update_epochs"]):
            np.random.shuffle(indices)
            for start in range(0, len(indices), w["minibatch_size"]):
                rows = indices[start : start + w["minibatch_size"]]
                _, logprob, entropy, value = agent.action_and_value(flat_obs[rows], flat_actions[rows])
                ratio = (logprob - flat_logprobs[rows]).exp()
                advantage = flat_advantages[rows]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = torch.clamp(ratio, 1 - w["clip_coef"], 1 + w["clip_coef"])
                policy_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
                # Without CleanRL's factor of a half, so that `vf_coef` means the same to all.
                value_loss = ((value.view(-1) - returns[rows]) ** 2).mean()
                loss = policy_loss - w["ent_coef"] * entropy.mean() + w["vf_coef"] * value_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), w["max_grad_norm"])
                optimizer.step()

    def run(steps):
        for _ in range(steps // (w["num_steps"] * w["num_envs"])):
            collect()
            learn(advantages_of())

    return protocol.Peer(run, protocol.count(agent), ["torch"], note="e421c2e5 without logging")


class Replay:
    def __init__(self, size, obs_size, action_type):
        rows = [(obs_size, np.float32), (1, action_type), (1, np.float32), (obs_size, np.float32), (1, np.float32)]
        self.columns = [np.empty((size, width), dtype=kind) for width, kind in rows]
        self.size, self.added = size, 0

    def add(self, *transition):
        for column, value in zip(self.columns, transition):
            column[self.added % self.size] = value
        self.added += 1

    def sample(self, batch_size):
        rows = np.random.randint(0, min(self.added, self.size), size=batch_size)
        return [torch.as_tensor(column[rows]) for column in self.columns]


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), *([nn.Linear(64, outputs)] if outputs else [])
    )


def dqn(w, make_env):
    env = make_env()
    obs, _ = env.reset(seed=w["seed"])
    env.action_space.seed(w["seed"])
    q_network, target_network = mlp(4, 2), mlp(4, 2)
    target_network.load_state_dict(q_network.state_dict())
    optimizer = torch.optim.Adam(q_network.parameters(), lr=w["learning_rate"], eps=w["adam_eps"])
    replay = Replay(w["buffer_size"], 4, np.int64)
    total = 0

    def learn():
        seen, actions, rewards, next_obs, ends = replay.sample(w["batch_size"])
        with torch.no_grad():
            best = target_network(next_obs).max(dim=1, keepdim=True).values
            target = rewards + (1 - ends) * w["gamma"] * best
        loss = nn.functional.mse_loss(q_network(seen).gather(1, actions), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def run(steps):
        nonlocal obs, total
        for _ in range(steps):
            total += 1
            if random.random() < w["epsilon"]:
                action = env.action_space.sample()
            else:
                with torch.no_grad():
                    action = int(q_network(torch.as_tensor(obs).unsqueeze(0)).argmax(dim=1).item())
            next_obs, reward, terminated, truncated, _ = env.step(action)
            replay.add(obs, action, reward, next_obs, terminated)
            obs = env.reset()[0] if terminated or truncated else next_obs
            if total > w["warmup"] and total % w["train_frequency"] == 0:
                learn()
            if total % w["target_network_frequency"] == 0:
                target_network.load_state_dict(q_network.state_dict())

    return protocol.Peer(run, protocol.count(q_network), ["torch"], note="e421c2e5 without logging and schedules")


class SacActor(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.mean, self.log_std = mlp(3, None), nn.Linear(64, 1), nn.Linear(64, 1)

    def sample(self, obs):
        hidden = self.trunk(obs)
        normal = Normal(self.mean(hidden), self.log_std(hidden).clamp(-20.0, 2.0).exp())
        latent = normal.rsample()
        squashed = torch.tanh(latent)
        logprob = normal.log_prob(latent) - torch.log(1 - squashed.pow(2) + torch.finfo(torch.float32).eps)
        return squashed * 2.0, logprob.sum(dim=1, keepdim=True)


class SacCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = mlp(4, 1)

    def forward(self, obs, actions):
        return self.network(torch.cat([obs, actions], dim=1))


def sac(w, make_env):
    env = make_env()
    obs, _ = env.reset(seed=w["seed"])
    env.action_space.seed(w["seed"])
    actor = SacActor()
    qf1, qf2, qf1_target, qf2_target = (SacCritic() for _ in range(4))
    qf1_target.load_state_dict(qf1.state_dict())
    qf2_target.load_state_dict(qf2.state_dict())
    log_alpha = torch.zeros(1, requires_grad=True)

    def adam(parameters):
        return torch.optim.Adam(parameters, lr=w["learning_rate"], eps=w["adam_eps"])

    q_optimizer, actor_optimizer = adam([*qf1.parameters(), *qf2.parameters()]), adam(actor.parameters())
    alpha_optimizer = adam([log_alpha])
    replay = Replay(w["buffer_size"], 3, np.float32)
    total = 0

    def take(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def learn():
        seen, actions, rewards, next_obs, ends = replay.sample(w["batch_size"])
        with torch.no_grad():
            next_actions, next_logprob = actor.sample(next_obs)
            next_q = torch.min(qf1_target(next_obs, next_actions), qf2_target(next_obs, next_actions))
            target = rewards + (1 - ends) * w["gamma"] * (next_q - log_alpha.exp() * next_logprob)
        losses = [nn.functional.mse_loss(qf(seen, actions), target) for qf in (qf1, qf2)]
        take(q_optimizer, losses[0] + losses[1])
        chosen, logprob = actor.sample(seen)
        q = torch.min(qf1(seen, chosen), qf2(seen, chosen))
        take(actor_optimizer, (log_alpha.exp().detach() * logprob - q).mean())
        take(alpha_optimizer, -(log_alpha * (logprob.detach() + w["target_entropy"])).mean())
        with torch.no_grad():
            for network, moved in [(qf1, qf1_target), (qf2, qf2_target)]:
                for source, target_parameter in zip(network.parameters(), moved.parameters()):
                    target_parameter.mul_(1 - w["tau"]).add_(source, alpha=w["tau"])

    def run(steps):
        nonlocal obs, total
        for _ in range(steps):
            total += 1
            if total <= w["warmup"]:
                action = env.action_space.sample()
            else:
                with torch.no_grad():
                    action = actor.sample(torch.as_tensor(obs).unsqueeze(0))[0].numpy()[0]
            next_obs, reward, terminated, truncated, _ = env.step(action)
            replay.add(obs, action, reward, next_obs, terminated)
            obs = env.reset()[0] if terminated or truncated else next_obs
            if total > w["warmup"]:
                learn()

    note = "e421c2e5 without logging, an update of the actor a step"
    return protocol.Peer(run, protocol.count(actor, qf1, qf2) + 1, ["torch"], note=note)


if __name__ == "__main__":
    protocol.main("cleanrl", {"ppo": ppo, "dqn": dqn, "sac": sac})
