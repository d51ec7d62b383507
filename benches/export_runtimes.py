"""Exports policies of every kind and compares onnxruntime with their recordings: writes `results/export/README.md`'s table.

    pip install onnxruntime==1.32.0 safetensors numpy
    python benches/export_runtimes.py --agon target/release/agon

Policies are trained for a few hundred to a few thousand steps: what they have learned does not matter here.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "export"))
from check import differences

ON_POLICY = {"total_timesteps": "2048", "num_envs": "4", "runtime.num_shards": "1", "agent.num_steps": "64"}
REMEMBERING = {"agent.share_encoder": "true", "agent.num_minibatches": "2"}
REPLAY = {
    "total_timesteps": "256",
    "num_envs": "1",
    "runtime.num_shards": "1",
    "agent.learning_starts": "32",
    "agent.batch_size": "8",
    "network.encoder.hidden": "[16]",
}


def transformer(kind: str, position: str) -> dict[str, str]:
    sizes = "layers=2, heads=2, width=12, feed_forward=16, window=5"
    return REMEMBERING | {"network.memory": f"{{kind='{kind}', {sizes}, position={position}}}"}


def recurrent(kind: str) -> dict[str, str]:
    return REMEMBERING | {"network.memory": f"{{kind='{kind}', hidden=12}}"}


HIDDEN = "CartPoleNoVel-v1"
#: Name, algorithm, environment, settings.
KINDS = [
    ("MLP, statistics, 3 frames", "ppo", "CartPole-v1",
     {"env.wrappers": "[{kind='normalize_observation'}, {kind='frame_stack', num_stack=3}]"}),
    ("RNN", "ppo", HIDDEN, recurrent("rnn")),
    ("GRU", "ppo", HIDDEN, recurrent("gru")),
    ("LSTM", "ppo", HIDDEN, recurrent("lstm")),
    ("transformer, no positions", "ppo", HIDDEN, transformer("transformer", "'none'")),
    ("transformer, learned positions", "ppo", HIDDEN, transformer("transformer", "{learned={positions=8}}")),
    ("transformer, sinusoidal", "ppo", HIDDEN, transformer("transformer", "'sinusoidal'")),
    ("transformer, rotary", "ppo", HIDDEN, transformer("transformer", "'rotary'")),
    ("gated transformer", "ppo", HIDDEN, transformer("gtrxl", "'rotary'")),
    ("IMPALA's encoder, 2 frames of bytes", "ppo", "MinAtar/Breakout-v0",
     {"network.encoder": "{kind='impala', channels=[4,8], hidden=16}",
      "env.wrappers": "[{kind='frame_stack', num_stack=2, padding='zero'}]"}),
    ("one-hot images", "ppo", "MiniGrid-DoorKey-5x5-v0",
     {"env.wrappers": "[{kind='flatten_observation', categories=[11,6,3]}]"}),
    ("embedding", "ppo", "FrozenLake-v1", {"network.encoder": "{kind='embedding'}"}),
    ("action masks", "ppo", "TicTacToe-v0", {}),
    ("normal actions, rescaled", "ppo", "Pendulum-v1", {"env.wrappers": "[{kind='rescale_action', min=-3.0, max=1.0}]"}),
    ("values", "dqn", "CartPole-v1", None),
    ("quantiles", "qr-dqn", "CartPole-v1", None),
    ("implicit quantiles", "iqn", "CartPole-v1", None),
    ("C51, dueling, noisy", "rainbow", "CartPole-v1", None),
    ("squashed", "sac", "Pendulum-v1", None),
    ("deterministic", "td3", "Pendulum-v1", None),
]


def run(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {ended.stderr}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agon", default="target/release/agon", help="the program")
    agon, worst = parser.parse_args().agon, 0.0
    print("| policy | algorithm, environment | actions | logits | states |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as out:
        for index, (name, algorithm, env, settings) in enumerate(KINDS):
            settings = REPLAY if settings is None else ON_POLICY | settings
            sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
            run(agon, "train", algorithm, env, "--preset", "none", *sets, "--out", out, "--name", str(index), "--json")
            found = {}
            for answer in ("--deterministic", "--logits"):
                file = Path(out) / f"{index}{answer}.onnx"
                run(agon, "export", Path(out) / str(index), answer, "--out", file)
                found |= differences(file)
            states = [value for output, value in found.items() if output.endswith("_out")]
            logits = max(found.get(output, 0.0) for output in ("logits", "values", "parameters"))
            numbers = [found["actions"], logits, max(states, default=None) if states else None]
            worst = max([worst, *found.values()])
            cells = ["–" if number is None else "the same" if number == 0 else f"{number:.1e}" for number in numbers]
            print(f"| {name} | {algorithm}, {env} | {' | '.join(cells)} |", flush=True)
    print(f"\nLargest: {worst:.1e}.")
    return int(worst > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
