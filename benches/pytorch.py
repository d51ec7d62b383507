#!/usr/bin/env python3
"""PyTorch's column of the table that `agon bench nn` prints: the same networks, on one thread.

Usage: python benches/pytorch.py [--seconds 1] [--compile] [--json] [word ...]
Needs: torch (CPU). Words select networks by name, as in `agon bench nn`.

A step is forward, backward and a step of fused Adam, each at its best: eager, and with --compile also compiled. Forward
passes run under `torch.no_grad`. The median of many repetitions is reported.
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn


def mlp():
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))


def minatar():
    return nn.Sequential(
        nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 6)
    )


def nature():
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6),
    )


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv1(torch.relu(self.conv0(torch.relu(x))))


def tower(planes, channels, blocks):
    return lambda: nn.Sequential(
        nn.Conv2d(planes, channels, 3, padding=1), *(Block(channels) for _ in range(blocks)), nn.ReLU(),
        nn.Conv2d(channels, 8, 1), nn.ReLU(), nn.Flatten(),
    )


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(64, 128)

    def forward(self, x):
        return self.lstm(x)[0]


def transformer():
    return nn.TransformerEncoderLayer(
        64, 4, 256, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).train()


# Name, network, shape of the input for a batch, batches of forward passes, batches of steps.
CASES = [
    ("MLP 4-64-64-2 tanh", mlp, lambda b: (b, 4), [1, 8, 64, 1024], [64, 256, 2048]),
    ("MinAtar CNN", minatar, lambda b: (b, 4, 10, 10), [1, 64], [32, 128, 1024]),
    ("Nature CNN", nature, lambda b: (b, 4, 84, 84), [8, 64], [32, 256]),
    ("residual tower 4x32, Connect Four", tower(3, 32, 4), lambda b: (b, 3, 6, 7), [1, 128], [256]),
    ("residual tower 4x32, Go 9x9", tower(4, 32, 4), lambda b: (b, 4, 9, 9), [1, 128], [256]),
    ("residual tower 5x64, Connect Four", tower(3, 64, 5), lambda b: (b, 3, 6, 7), [1, 128], [256]),
    ("residual tower 5x64, Go 9x9", tower(4, 64, 5), lambda b: (b, 4, 9, 9), [1, 128], [256]),
    ("LSTM 64-128, 16 steps", Lstm, lambda b: (16, b, 64), [], [64]),
    ("transformer block 64, 4 heads, 32 tokens", transformer, lambda b: (b, 32, 64), [], [64]),
]


def microseconds(run, seconds):
    """The median time of `run`, repeated for about `seconds`."""
    for _ in range(3):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 9:
        start = time.perf_counter()
        run()
        times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times)


def forward(network, x):
    def run():
        with torch.no_grad():
            network(x)

    return run


def step(network, x):
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    gradient = 1e-3 * torch.randn_like(network(x))

    def run():
        optimizer.zero_grad()
        network(x).backward(gradient)
        optimizer.step()

    return run


def measure(work, make, x, options):
    forms = [("eager", make())]
    if options.compile:
        # Every case is compiled anew: PyTorch gives up on functions that it has compiled too often.
        torch.compiler.reset()
        forms.append(("compiled", torch.compile(make())))
    times = {form: microseconds(work(network, x), options.seconds) for form, network in forms}
    best = min(times, key=times.get)
    return times[best], best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for name, make, shape, forwards, steps in CASES:
        if options.words and not any(word in name for word in options.words):
            continue
        for label, work, batches in [("forward", forward, forwards), ("step", step, steps)]:
            for batch in batches:
                time_taken, form = measure(work, make, torch.randn(shape(batch)), options)
                rows.append({"network": name, "work": label, "batch": batch, "microseconds": time_taken, "form": form})
    if options.json:
        print(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2))
        return
    print(f"PyTorch {torch.__version__}, 1 thread")
    print("| network | work | batch | µs (median) | form |\n|---|---|---|---|---|")
    for row in rows:
        print("| {network} | {work} | {batch} | {microseconds:.1f} | {form} |".format(**row))


if __name__ == "__main__":
    main()
