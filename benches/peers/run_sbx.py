"""SBX, Stable-Baselines3 in JAX, on the workloads."""

import jax
import optax
import sbx
from flax import linen as nn
from stable_baselines3.common.vec_env import DummyVecEnv

import protocol
from run_sb3 import learning

PACKAGES = ["sbx-rl", "stable-baselines3", "jax", "jaxlib", "flax", "optax"]
# Transitions after the warm-up, so that programs of the first updates are compiled before the clock starts.
COMPILE_STEPS = 64


def count(*trees):
    return sum(leaf.size for tree in trees for leaf in jax.tree.leaves(tree))


def policy(w, **more):
    return {"net_arch": [64, 64], "activation_fn": nn.tanh, "optimizer_kwargs": {"eps": w["adam_eps"]}, **more}


def ppo(w, make_env):
    model = sbx.PPO(
        "MlpPolicy", DummyVecEnv([make_env] * w["num_envs"]), learning_rate=w["learning_rate"], n_steps=w["num_steps"],
        batch_size=w["minibatch_size"], n_epochs=w["update_epochs"], gamma=w["gamma"], gae_lambda=w["gae_lambda"],
        clip_range=w["clip_coef"], normalize_advantage=True, ent_coef=w["ent_coef"], vf_coef=w["vf_coef"],
        max_grad_norm=w["max_grad_norm"], seed=w["seed"], policy_kwargs=policy(w),
    )
    parameters = count(model.policy.actor_state.params, model.policy.vf_state.params)
    return protocol.Peer(learning(model), parameters, PACKAGES, note="actor and critic clipped each on its own")


def dqn(w, make_env):
    # The workload's loss: SBX calls this function, which is fixed otherwise.
    optax.huber_loss = optax.squared_error
    model = sbx.DQN(
        "MlpPolicy", make_env(), learning_rate=w["learning_rate"], buffer_size=w["buffer_size"],
        learning_starts=w["warmup"], batch_size=w["batch_size"], tau=1.0, gamma=w["gamma"],
        train_freq=(w["train_frequency"], "step"), gradient_steps=1,
        target_update_interval=w["target_network_frequency"], exploration_fraction=0.0,
        exploration_initial_eps=w["epsilon"], exploration_final_eps=w["epsilon"], seed=w["seed"],
        policy_kwargs=policy(w),
    )
    parameters = count(model.policy.qf_state.params)
    note = "squared error in place of the Huber loss"
    return protocol.Peer(learning(model), parameters, PACKAGES, COMPILE_STEPS, note=note)


def sac(w, make_env):
    model = sbx.SAC(
        "MlpPolicy", make_env(), learning_rate=w["learning_rate"], buffer_size=w["buffer_size"],
        learning_starts=w["warmup"], batch_size=w["batch_size"], tau=w["tau"], gamma=w["gamma"],
        train_freq=(1, "step"), gradient_steps=1, ent_coef="auto_1.0", target_entropy=w["target_entropy"],
        seed=w["seed"], policy_kwargs=policy(w),
    )
    parameters = count(model.policy.actor_state.params, model.policy.qf_state.params, model.ent_coef_state.params)
    note = "Adam of the temperature with SBX's own epsilon"
    return protocol.Peer(learning(model), parameters, PACKAGES, COMPILE_STEPS, note=note)


if __name__ == "__main__":
    protocol.main("sbx", {"ppo": ppo, "dqn": dqn, "sac": sac})
