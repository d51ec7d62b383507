"""Stable-Baselines3 on the workloads. Adapted from ModuRL's benchmark; see NOTICE.md."""

import stable_baselines3 as sb3
import torch
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

import protocol

PACKAGES = ["stable-baselines3", "torch"]


def policy(w, net_arch, **more):
    optimizer = {"eps": w["adam_eps"], "weight_decay": 0.0}
    return {"net_arch": net_arch, "activation_fn": nn.Tanh, "optimizer_kwargs": optimizer, **more}


def learning(model):
    """A function that goes on learning: the model counts on instead of beginning anew."""
    begun = False

    def run(steps):
        nonlocal begun
        model.learn(steps, reset_num_timesteps=not begun, log_interval=None)
        begun = True

    return run


def ppo(w, make_env):
    model = sb3.PPO(
        "MlpPolicy", DummyVecEnv([make_env] * w["num_envs"]), learning_rate=w["learning_rate"], n_steps=w["num_steps"],
        batch_size=w["minibatch_size"], n_epochs=w["update_epochs"], gamma=w["gamma"], gae_lambda=w["gae_lambda"],
        clip_range=w["clip_coef"], clip_range_vf=None, normalize_advantage=True, ent_coef=w["ent_coef"],
        vf_coef=w["vf_coef"], max_grad_norm=w["max_grad_norm"], seed=w["seed"], device="cpu",
        policy_kwargs=policy(w, {"pi": [64, 64], "vf": [64, 64]}),
    )
    return protocol.Peer(learning(model), protocol.count(model.policy), PACKAGES)


class PlainDqn(sb3.DQN):
    """DQN with the workload's squared error and no clipping, both of which are fixed otherwise."""

    def train(self, gradient_steps, batch_size=100):
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            with torch.no_grad():
                next_q = self.q_net_target(batch.next_observations).max(dim=1).values.reshape(-1, 1)
                target = batch.rewards + (1 - batch.dones) * self.gamma * next_q
            q = torch.gather(self.q_net(batch.observations), 1, batch.actions.long())
            loss = nn.functional.mse_loss(q, target)
            self.policy.optimizer.zero_grad()
            loss.backward()
            self.policy.optimizer.step()
        self._n_updates += gradient_steps


def dqn(w, make_env):
    model = PlainDqn(
        "MlpPolicy", make_env(), learning_rate=w["learning_rate"], buffer_size=w["buffer_size"],
        learning_starts=w["warmup"], batch_size=w["batch_size"], tau=1.0, gamma=w["gamma"],
        train_freq=(w["train_frequency"], "step"), gradient_steps=1,
        target_update_interval=w["target_network_frequency"], exploration_fraction=0.0,
        exploration_initial_eps=w["epsilon"], exploration_final_eps=w["epsilon"], seed=w["seed"], device="cpu",
        policy_kwargs=policy(w, [64, 64]),
    )
    note = "squared error and no clipping in a subclass"
    return protocol.Peer(learning(model), protocol.count(model.q_net), PACKAGES, note=note)


def sac(w, make_env):
    model = sb3.SAC(
        "MlpPolicy", make_env(), learning_rate=w["learning_rate"], buffer_size=w["buffer_size"],
        learning_starts=w["warmup"], batch_size=w["batch_size"], tau=w["tau"], gamma=w["gamma"],
        train_freq=(1, "step"), gradient_steps=1, ent_coef="auto_1.0", target_entropy=w["target_entropy"],
        seed=w["seed"], device="cpu", policy_kwargs=policy(w, [64, 64]),
    )
    return protocol.Peer(learning(model), protocol.count(model.actor, model.critic) + 1, PACKAGES)


if __name__ == "__main__":
    protocol.main("sb3", {"ppo": ppo, "dqn": dqn, "sac": sac})
