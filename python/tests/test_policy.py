"""Trained policies: one observation or many, memory, masks, and the same numbers in PyTorch."""

from pathlib import Path

import numpy as np
import pytest

import agon

TRANSFORMER = {"kind": "transformer", "width": 8, "heads": 2, "layers": 2, "window": 6, "feed_forward": 16}

#: Algorithm, environment, steps, settings.
KINDS = {
    "mlp": ("ppo", "CartPole-v1", 512, {}),
    "planes": ("ppo", "MinAtar/Breakout-v0", 8_192, {"network.encoder": {"kind": "minatar_cnn", "hidden": 16}}),
    "impala": ("ppo", "MinAtar/Breakout-v0", 8_192, {"network.encoder": {"kind": "impala", "channels": [4, 6], "hidden": 12}}),
    "gaussian": ("ppo", "Pendulum-v1", 2_048, {}),
    "clipped": ("ppo", "Pendulum-v1", 2_048, {"env.wrappers": [{"kind": "clip_action"}]}),
    "rescaled": ("ppo", "Pendulum-v1", 2_048, {"env.wrappers": [{"kind": "rescale_action"}, {"kind": "clip_action"}]}),
    "squashed": ("sac", "Pendulum-v1", 400, {}),
    "deterministic": ("td3", "Pendulum-v1", 400, {}),
    "lstm": ("ppo", "CartPoleNoVel-v1", 2_048, {}),
    "gru": ("r2d2", "CartPoleNoVel-v1", 1_200, {"network.memory": {"kind": "gru", "hidden": 8}}),
    "rnn": ("ppo", "CartPoleNoVel-v1", 2_048, {"network.memory": {"kind": "rnn", "hidden": 8}}),
    "transformer": ("ppo", "CartPoleNoVel-v1", 2_048, {"network.memory": TRANSFORMER | {"position": "sinusoidal"}}),
    "learned places": ("ppo", "CartPoleNoVel-v1", 2_048, {"network.memory": TRANSFORMER | {"position": {"learned": {"positions": 16}}}}),
    "rotary": ("ppo", "CartPoleNoVel-v1", 2_048, {"network.memory": TRANSFORMER | {"position": "rotary"}}),
    "gtrxl": ("ppo", "CartPoleNoVel-v1", 2_048, {"network.memory": TRANSFORMER | {"kind": "gtrxl"}}),
    "stacked": (
        "ppo",
        "CartPoleNoVel-v1",
        2_048,
        {"env.wrappers": [{"kind": "frame_stack", "num_stack": 3}, {"kind": "normalize_observation"}]},
    ),
    "stacked on zeros": (
        "ppo",
        "CartPoleNoVel-v1",
        2_048,
        {"env.wrappers": [{"kind": "frame_stack", "num_stack": 3, "padding": "zero"}]},
    ),
    "stacked planes": (
        "ppo",
        "MinAtar/Breakout-v0",
        8_192,
        {
            "env.wrappers": [{"kind": "frame_stack", "num_stack": 2}],
            "network.encoder": {"kind": "minatar_cnn", "hidden": 16},
        },
    ),
    "ensemble": ("bootstrapped-dqn", "CartPole-v1", 1_200, {}),
    "masks": ("ppo", "TicTacToe-v0", 2_048, {}),
    "categories": ("ppo", "Taxi-v4", 1_024, {"network.encoder": {"kind": "embedding", "width": 4, "hidden": [8]}}),
    "parts": ("ppo", "Blackjack-v1", 1_024, {}),
    "dueling": ("dqn", "CartPole-v1", 1_200, {"agent.dueling": True, "network.head": {"noisy": True, "hidden": [8]}}),
    "c51": ("dqn", "CartPole-v1", 1_200, {"agent.distribution": {"kind": "c51"}}),
    "quantiles": ("dqn", "CartPole-v1", 1_200, {"agent.distribution": {"kind": "qr"}}),
    "implicit": ("dqn", "CartPole-v1", 1_200, {"agent.distribution": {"kind": "iqn"}}),
    "flattened": (
        "ppo",
        "MiniGrid-DoorKey-5x5-v0",
        2_048,
        {"env.wrappers": [{"kind": "flatten_observation", "categories": [11, 6, 3]}]},
    ),
    "hidden": (
        "ppo",
        "CartPole-v1",
        1_024,
        {"env.wrappers": [{"kind": "mask_observation", "indices": [1]}, {"kind": "mask_observation", "indices": [3], "drop": True}]},
    ),
    "normalised": (
        "ppo",
        "CartPole-v1",
        1_024,
        {
            "env.wrappers": [{"kind": "normalize_observation"}],
            "network.encoder": {"kind": "mlp", "hidden": [8, 8], "activation": "gelu", "layer_norm": True},
        },
    ),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    out, runs = tmp_path_factory.mktemp("policies"), {}

    def run(kind: str) -> agon.TrainedRun:
        if kind not in runs:
            algorithm, env, steps, settings = KINDS[kind]
            runs[kind] = agon.train(
                algorithm, env, total_timesteps=steps, settings=settings, out=out, name=kind, progress=False
            )
        return runs[kind]

    return run


def played(policy: agon.Policy, steps: int, num_envs: int = 4):
    """Observations, masks and starts that the policy's own actions lead to, and these actions."""
    env = agon.make_vec(policy.card["env"]["id"], num_envs, autoreset_mode="SameStep")
    observation, info = env.reset(seed=5)
    masked = policy.card["env_spaces"]["mask_len"] > 0
    state = None
    starts = np.ones(num_envs, dtype=bool)
    for _ in range(steps):
        mask = info["action_mask"] if masked else None
        actions, state = policy(observation, state, action_mask=mask, episode_start=starts)
        yield observation, mask, starts, actions
        observation, _, terminated, truncated, info = env.step(actions)
        starts = terminated | truncated


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_at_a_time_acts_as_many_do(trained, kind: str) -> None:
    policy = trained(kind).policy()
    states: list = [None] * 4
    for observation, mask, starts, actions in played(policy, 40):
        for row in range(4):
            own = row_of(policy.observation_space, observation, row)
            state = None if starts[row] else states[row]
            action, states[row] = policy(own, state, action_mask=None if mask is None else mask[row])
            assert policy.action_space.contains(action)
            np.testing.assert_array_equal(action, actions[row])


def row_of(space, batch, row: int):
    if isinstance(batch, dict):
        return {key: row_of(space[key], part, row) for key, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(row_of(part_space, part, row) for part_space, part in zip(space.spaces, batch))
    return batch[row]


@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_has_the_same_actions(trained, kind: str) -> None:
    torch = pytest.importorskip("torch")
    policy = trained(kind).policy()
    module = policy.to_torch()
    state = None
    for observation, mask, starts, actions in played(policy, 60):
        rows = torch.from_numpy(agon.policy.packed(policy.observation_space, observation))
        allowed = None if mask is None else torch.from_numpy(np.asarray(mask))
        found, state = module.act(rows, state, allowed, torch.from_numpy(starts))
        np.testing.assert_allclose(found.numpy(), actions, rtol=0, atol=2e-6)


def test_the_names_of_pytorch_are_those_of_the_weight_file(trained) -> None:
    pytest.importorskip("torch")
    run = trained("lstm")
    tensors = agon._agon.tensors(run.path / "model.safetensors")
    state = run.policy().to_torch().state_dict()
    own = {name for name in state if not name.startswith("observation_")}
    assert own <= set(tensors) and "memory.weight_ih_l0" in own
    for name in own:
        np.testing.assert_array_equal(state[name].numpy(), tensors[name])


def test_compressed_maps_are_unpacked() -> None:
    torch = pytest.importorskip("torch")
    from agon.torch.memory import Memory
    from agon.torch.operations import Operations

    linear = {"kind": "linear", "weight": "0.weight", "bias": "0.bias", "inputs": 3, "outputs": 2}
    parameters = {
        "0.weight": np.array([5.0, -127.0], dtype=np.float32),
        "0.bias": np.array([1.0, 2.0], dtype=np.float32),
        "0.places": np.array([0b010_100], dtype=np.float32),
        "0.scale": np.array([0.5, 2.0], dtype=np.float32),
    }
    sparse = {"kind": "sparse", "map": linear, "places": "0.places"}
    x = torch.tensor([[1.0, 0.26, 0.5]])

    def result(operation: dict) -> list[float]:
        module = torch.nn.Module()
        y = Operations(module, parameters).chain([operation])(x, Memory(None, 1, x))
        assert list(module.state_dict()) == ["0.weight", "0.bias"]
        return y[0].tolist()

    # Stored are the third value of the first row and the second of the second.
    assert result(sparse) == pytest.approx([1 + 5 * 0.5, 2 - 127 * 0.26])
    whole = {"kind": "quantized", "map": sparse, "scale": "0.scale", "input": None}
    assert result(whole) == pytest.approx([1 + 2.5 * 0.5, 2 - 254 * 0.26])
    parameters["0.weight"] = np.array([[1, 2, 3], [-127, 0, 127]], dtype=np.float32)
    # Bytes of steps of a quarter, from −1 to 62.75: 4, 1 and 2 steps.
    coded = {"kind": "quantized", "map": linear, "scale": "0.scale", "input": {"scale": 0.25, "zero_point": 4}}
    assert result(coded) == pytest.approx([1 + 0.125 * (4 + 2 + 6), 2 + 0.5 * (-508 + 254)])
    x = torch.tensor([[-5.0, 1000.0, 0.0]])
    assert result(coded) == pytest.approx([1 + 0.125 * (-4 + 2 * 251), 2 + 0.5 * 508])


def test_what_has_no_form_in_pytorch_is_named() -> None:
    pytest.importorskip("torch")
    from agon.torch import TorchPolicy

    program = {"preparation": [], "operations": [{"kind": "opaque", "layer": "my_layer"}]}
    with pytest.raises(ValueError, match="PyTorch has no part for my_layer"):
        TorchPolicy(program, {})


def test_wrong_observations_are_refused(trained) -> None:
    policy = trained("mlp").policy()
    for wrong in (np.zeros(5), np.zeros((2, 5)), np.zeros((0, 4)), "text", None, [[1.0], [2.0, 3.0]]):
        with pytest.raises((ValueError, TypeError)):
            policy(wrong)
    with pytest.raises(ValueError, match="has no action masks"):
        policy(np.zeros(4), action_mask=np.ones(2))
    with pytest.raises(ValueError, match="uint8"):
        trained("planes").policy()(np.zeros((10, 10, 4)))
    with pytest.raises(ValueError, match="action masks must be 18"):
        masked = trained("masks").policy()
        masked(np.zeros((2, *masked.observation_space.shape), dtype=np.uint8), action_mask=np.ones(3))


def test_drawn_actions_follow_their_seed(trained) -> None:
    policy = trained("mlp").policy()
    observations = np.zeros((50, 4), dtype=np.float32)

    def drawn(seed: int | None) -> list[int]:
        return policy(observations, policy.episodes(seed=seed))[0].tolist()

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(None))) == 1 < len(set(drawn(1)))
    assert policy.predict(observations)[0].tolist() == drawn(None)


def test_the_best_and_a_step_can_be_asked_for(trained, tmp_path: Path) -> None:
    run = agon.train("ppo", "CartPole-v1", total_timesteps=6_000, out=tmp_path, name="run", progress=False)
    steps = run.policy().card["env_steps"]
    assert run.policy(step=steps).card["env_steps"] == steps
    assert run.policy(best=True).card["env_steps"] <= steps
    with pytest.raises(agon.AgonError, match="17"):
        run.policy(step=17)
    with pytest.raises(ValueError, match="either best or step"):
        run.policy(best=True, step=steps)


def test_a_policy_is_exported_with_a_recording_beside_it(trained, tmp_path: Path) -> None:
    policy = agon.load(trained("normalised").path)
    recording = policy.export(tmp_path / "policy.onnx", license="MIT")
    assert recording == tmp_path / "policy.recording.safetensors" and recording.exists()
    assert b"MIT" in (tmp_path / "policy.onnx").read_bytes()
    policy.export(tmp_path / "policy.safetensors")
    for wrong in ({"out": tmp_path / "policy.pt"}, {"out": tmp_path / "policy.safetensors", "logits": True}):
        with pytest.raises(ValueError, match="expected a file that ends in|logits are for ONNX"):
            policy.export(**wrong)


def test_a_policy_that_remembers_refuses_another_number_of_episodes(trained) -> None:
    for kind in ("lstm", "stacked"):
        policy = trained(kind).policy()
        rows = np.zeros((5, *policy.observation_space.shape), dtype=np.float32)
        _, state = policy(rows)
        with pytest.raises(ValueError, match="expected 5 observations, as many as before, got 3"):
            policy(rows[:3], state)
        policy(rows, state)
        policy(rows[:3], state, episode_start=np.ones(3, dtype=bool))
    policy = trained("mlp").policy()
    _, state = policy(np.zeros((5, 4), dtype=np.float32))
    policy(np.zeros((3, 4), dtype=np.float32), state)


def test_calls_that_draw_and_begin_anew_do_not_draw_the_same(trained) -> None:
    policy, observation = trained("mlp").policy(), np.zeros(4, dtype=np.float32)
    drawn = [int(policy.predict(observation, deterministic=False)[0]) for _ in range(40)]
    assert 0 < sum(drawn) < 40
    again = trained("mlp").policy()
    assert drawn == [int(again.predict(observation, deterministic=False)[0]) for _ in range(40)]
