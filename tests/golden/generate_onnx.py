"""Write ONNX files as other programs do, with what PyTorch answers to some observations.

Usage: python generate_onnx.py OUT_DIR
Needs: torch==2.15, onnx==1.22, onnxscript==0.7, stable-baselines3==2.9 (CPU), numpy, safetensors, gymnasium.

Beside each `NAME.onnx` lies `NAME.safetensors`: `observations` [T, N, ...], `starts` [T, N] (1 where an episode begins), and
`actions` [T, N, ...] float32.
"""
import pathlib
import sys

import numpy as np
import torch
import torch.nn as nn
from safetensors.numpy import save_file

OUT = pathlib.Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
rng = np.random.default_rng(0)
T, N = 6, 3


def save(name, observations, actions, starts=None):
    starts = np.zeros((T, N), np.float32) if starts is None else starts
    starts[0] = 1
    tensors = {"observations": observations, "starts": starts, "actions": np.asarray(actions, np.float32)}
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, OUT / f"{name}.safetensors")


def per_step(observations, act):
    with torch.no_grad():
        return np.stack([act(torch.as_tensor(step)).numpy() for step in observations])


def sb3_ppo():
    """As the documentation of Stable-Baselines3 does, with PyTorch's exporter of today: weights in a second file, a batch of 1."""
    import stable_baselines3 as sb3

    # Otherwise the exporter meets the check of a distribution's arguments, which it has no operator for.
    torch.distributions.Distribution.set_default_validate_args(False)

    class Onnxable(nn.Module):
        def __init__(self, policy):
            super().__init__()
            self.policy = policy

        def forward(self, observation):
            return self.policy(observation, deterministic=True)

    model = sb3.PPO("MlpPolicy", "CartPole-v1", seed=1, device="cpu", n_steps=512)
    model.learn(20_000)
    policy = Onnxable(model.policy)
    torch.onnx.export(policy, (torch.randn(1, 4),), OUT / "sb3_ppo.onnx", opset_version=17, input_names=["input"])
    observations = rng.normal(size=(T, N, 4)).astype(np.float32)
    save("sb3_ppo", observations, per_step(observations, lambda obs: policy(obs)[0]))


def sb3_sac():
    """An actor of SAC as that documentation exports it: the action before it is scaled to the box."""
    import stable_baselines3 as sb3

    model = sb3.SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [16]}, seed=1, device="cpu")
    actor = nn.Sequential(model.actor.latent_pi, model.actor.mu, nn.Tanh())
    torch.onnx.export(
        actor, (torch.randn(1, 3),), OUT / "sb3_sac.onnx", opset_version=17, input_names=["input"], dynamo=False
    )
    observations = rng.normal(size=(T, N, 3)).astype(np.float32)
    save("sb3_sac", observations, per_step(observations, actor))


def q_network():
    """CleanRL's network of values, a batch of any size."""
    network = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 2))
    path = OUT / "q_network.onnx"
    torch.onnx.export(
        network, (torch.randn(2, 4),), path, input_names=["x"], dynamic_axes={"x": {0: "batch"}}, dynamo=False
    )
    observations = rng.normal(size=(T, N, 4)).astype(np.float32)
    save("q_network", observations, per_step(observations, lambda obs: network(obs).argmax(dim=1)))


def convolution():
    """Channels first, from bytes of channels last."""
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 6))
    path = OUT / "convolution.onnx"
    axes = {"obs": {0: "batch"}, "logits": {0: "batch"}}
    names = {"input_names": ["obs"], "output_names": ["logits"]}
    torch.onnx.export(network, (torch.randn(2, 4, 10, 10),), path, **names, dynamic_axes=axes, dynamo=False)
    observations = rng.integers(0, 2, size=(T, N, 10, 10, 4)).astype(np.uint8)
    channels_first = observations.transpose(0, 1, 4, 2, 3).astype(np.float32)
    save("convolution", observations, per_step(channels_first, lambda obs: network(obs).argmax(dim=1)))


def categories():
    """A unit vector of the state of FrozenLake."""
    network = nn.Linear(16, 4)
    path = OUT / "categories.onnx"
    torch.onnx.export(
        network, (torch.randn(2, 16),), path, input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False
    )
    observations = rng.integers(0, 16, size=(T, N, 1)).astype(np.float32)
    unit = np.eye(16, dtype=np.float32)[observations[..., 0].astype(int)]
    save("categories", observations, per_step(unit, lambda obs: network(obs).argmax(dim=1)))


def recurrent(name, cell, states):
    """As rsl_rl exports a recurrent actor: one row, layers first in the states."""

    class Exported(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = cell(3, 8, num_layers=2)
            self.actor = nn.Sequential(nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 1))

        def forward(self, obs, *state):
            given = state if len(state) > 1 else state[0]
            x, after = self.rnn(obs.unsqueeze(0), given)
            return self.actor(x.squeeze(0)), *(after if len(state) > 1 else (after,))

    network = Exported()
    zeros = [torch.zeros(2, 1, 8) for _ in states]
    torch.onnx.export(
        network, (torch.zeros(1, 3), *zeros), OUT / f"{name}.onnx", opset_version=18, dynamo=False,
        input_names=["obs", *(f"{state}_in" for state in states)],
        output_names=["actions", *(f"{state}_out" for state in states)],
    )
    observations = rng.normal(size=(T, N, 3)).astype(np.float32)
    starts = np.zeros((T, N), np.float32)
    starts[0], starts[3, 1] = 1, 1
    state, actions = [torch.zeros(2, N, 8) for _ in states], []
    with torch.no_grad():
        for step in range(T):
            for row in np.flatnonzero(starts[step]):
                for part in state:
                    part[:, row] = 0
            action, *state = network(torch.as_tensor(observations[step]), *state)
            actions.append(action.numpy())
    save(name, observations, np.stack(actions), starts)


sb3_ppo()
sb3_sac()
q_network()
convolution()
categories()
recurrent("rsl_rl_lstm", nn.LSTM, ["h", "c"])
recurrent("rsl_rl_gru", nn.GRU, ["h"])
