"""Tianshou on the workloads. Adapted from ModuRL's benchmark; see NOTICE.md."""

from tianshou import algorithm as algorithms
from tianshou.algorithm.algorithm_base import policy_within_training_step
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.modelfree.sac import AutoAlpha, SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, CollectStats, ReplayBuffer, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch import nn
from torch.distributions.categorical import Categorical

import protocol

PACKAGES = ["tianshou", "torch"]


def net(env, **more):
    return Net(state_shape=env.observation_space.shape, hidden_sizes=[64, 64], activation=nn.Tanh, **more)


def adam(w):
    return AdamOptimizerFactory(lr=w["learning_rate"], eps=w["adam_eps"], weight_decay=0.0)


def vector(w, make_env):
    envs = DummyVectorEnv([make_env] * w["num_envs"])
    envs.seed(w["seed"])
    return envs


def collect(collector, steps, **more):
    collected = collector.collect(n_step=steps, **more).n_collected_steps
    if collected != steps:
        raise SystemExit(f"collected {collected} transitions, expected {steps}")


def ppo(w, make_env):
    env = make_env()
    actor = DiscreteActor(preprocess_net=net(env), action_shape=env.action_space.n)
    critic = DiscreteCritic(preprocess_net=net(env))
    for module, last_gain in [(actor, 0.01), (critic, 1.0)]:
        layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, last_gain if layer is layers[-1] else 2.0**0.5)
            nn.init.zeros_(layer.bias)
    policy = DiscreteActorPolicy(
        actor=actor, dist_fn=Categorical, action_space=env.action_space, deterministic_eval=False
    )
    learner = algorithms.PPO(
        policy=policy, critic=critic, optim=adam(w), gamma=w["gamma"], gae_lambda=w["gae_lambda"],
        max_grad_norm=w["max_grad_norm"], vf_coef=w["vf_coef"], ent_coef=w["ent_coef"], return_scaling=False,
        eps_clip=w["clip_coef"], value_clip=False, dual_clip=None, advantage_normalization=True,
        recompute_advantage=False,
    )
    rollout = w["num_envs"] * w["num_steps"]
    buffer = VectorReplayBuffer(rollout, w["num_envs"])
    collector = Collector[CollectStats](learner, vector(w, make_env), buffer)
    collector.reset()

    def run(steps):
        for _ in range(steps // rollout):
            collect(collector, rollout)
            with policy_within_training_step(learner.policy):
                learner.update(buffer=buffer, batch_size=w["minibatch_size"], repeat=w["update_epochs"])
            collector.reset_buffer(keep_statistics=True)

    return protocol.Peer(run, protocol.count(actor, critic), PACKAGES)


class StepDqn(algorithms.DQN):
    """DQN whose target follows environment steps, as the workload says, and not updates."""

    def _periodically_update_lagged_network_weights(self):
        self._iter += 1

    def update_target(self):
        self._update_lagged_network_weights()


def dqn(w, make_env):
    env = make_env()
    network = net(env, action_shape=env.action_space.n)
    policy = DiscreteQLearningPolicy(
        model=network, action_space=env.action_space, observation_space=env.observation_space,
        eps_training=w["epsilon"], eps_inference=w["epsilon"],
    )
    learner = StepDqn(
        policy=policy, optim=adam(w), gamma=w["gamma"], n_step_return_horizon=1, target_update_freq=1,
        is_double=False, huber_loss_delta=None,
    )
    buffer = ReplayBuffer(w["buffer_size"])
    collector = Collector[CollectStats](learner, vector(w, make_env), buffer, exploration_noise=True)
    collector.reset()
    total = 0

    def run(steps):
        nonlocal total
        if total < w["warmup"]:
            collect(collector, steps)
            total += steps
            return
        for _ in range(steps // w["train_frequency"]):
            collect(collector, w["train_frequency"])
            total += w["train_frequency"]
            with policy_within_training_step(learner.policy):
                learner.update(buffer=buffer, sample_size=w["batch_size"])
            if total % w["target_network_frequency"] == 0:
                learner.update_target()

    note = "targets copied by environment steps in a subclass"
    return protocol.Peer(run, protocol.count(network), PACKAGES, note=note)


def sac(w, make_env):
    env = make_env()
    shape = env.action_space.shape
    actor = ContinuousActorProbabilistic(
        preprocess_net=net(env), action_shape=shape, unbounded=True, conditioned_sigma=True
    )
    critics = [ContinuousCritic(preprocess_net=net(env, action_shape=shape, concat=True)) for _ in range(2)]
    policy = SACPolicy(
        actor=actor, action_space=env.action_space, observation_space=env.observation_space,
        deterministic_eval=False, action_scaling=True,
    )
    learner = algorithms.SAC(
        policy=policy, policy_optim=adam(w), critic=critics[0], critic_optim=adam(w), critic2=critics[1],
        critic2_optim=adam(w), tau=w["tau"], gamma=w["gamma"], n_step_return_horizon=1, deterministic_eval=False,
        alpha=AutoAlpha(target_entropy=w["target_entropy"], log_alpha=0.0, optim=adam(w)),
    )
    buffer = ReplayBuffer(w["buffer_size"])
    collector = Collector[CollectStats](learner, vector(w, make_env), buffer, exploration_noise=True)
    collector.reset()
    total = 0

    def run(steps):
        nonlocal total
        if total < w["warmup"]:
            collect(collector, steps, random=True)
            total += steps
            return
        for _ in range(steps):
            collect(collector, 1)
            total += 1
            with policy_within_training_step(learner.policy):
                learner.update(buffer=buffer, sample_size=w["batch_size"])

    return protocol.Peer(run, protocol.count(actor, *critics) + 1, PACKAGES)


if __name__ == "__main__":
    protocol.main("tianshou", {"ppo": ppo, "dqn": dqn, "sac": sac})
