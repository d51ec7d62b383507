#!/usr/bin/env python3
"""Load weights of `agon-nn` into PyTorch, compare outputs, and give PyTorch's weights back.

Usage: python tests/pytorch_roundtrip.py FOLDER
Needs: torch (CPU), safetensors. Run by `cargo test -p agon-nn --test pytorch`, which writes the folder.

For each case the folder holds `<case>.weights.safetensors`, to be loaded as a state dict with no name missing or left
over, and `<case>.io.safetensors` with input `x` and output `y`. The script writes `<case>.back.safetensors`, weights
that PyTorch drew, and `<case>.back_io.safetensors` with PyTorch's output for the same input.
"""
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class Residual(nn.Module):
    """A residual block of IMPALA, named as in CleanRL."""

    def __init__(self, channels):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv1(torch.relu(self.conv0(torch.relu(x))))


class Stage(nn.Module):
    """A stage of IMPALA, named as in CleanRL."""

    def __init__(self, inputs, channels):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1)
        self.res_block0 = Residual(channels)
        self.res_block1 = Residual(channels)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv(x), 3, 2, 1)
        return self.res_block1(self.res_block0(x))


class SelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


def first(module):
    """Only the outputs of a recurrent layer."""

    class First(type(module)):
        def forward(self, x):
            return super().forward(x)[0]

    module.__class__ = First
    return module


CASES = {
    "mlp": lambda: nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3)),
    "nature_cnn": lambda: nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
    ),
    "minatar_cnn": lambda: nn.Sequential(
        nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU()
    ),
    "impala": lambda: nn.Sequential(
        Stage(3, 4), Stage(4, 6), nn.Flatten(), nn.ReLU(), nn.Linear(6 * 4 * 3, 16), nn.ReLU()
    ),
    "embedding": lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(8, 6), nn.Tanh()),
    "layer_norm": lambda: nn.LayerNorm(9),
    "rms_norm": lambda: nn.RMSNorm(9, eps=1e-6),
    "batch_norm": lambda: nn.BatchNorm2d(3).eval(),
    "conv_transpose": lambda: nn.ConvTranspose2d(3, 5, 4, 2, 1, output_padding=1),
    "spectral_norm": lambda: nn.Sequential(
        spectral_norm(nn.Conv2d(2, 6, 3)), nn.ReLU(), nn.Flatten(), spectral_norm(nn.Linear(36, 4)), nn.Tanh()
    ).eval(),
    "rnn": lambda: first(nn.RNN(5, 7)),
    "gru": lambda: first(nn.GRU(5, 7)),
    "lstm": lambda: first(nn.LSTM(5, 7)),
    "attention": lambda: SelfAttention(12, 3, batch_first=True),
    "transformer": lambda: nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).train(),
}


class Holder(nn.Module):
    """Names begin with `net.` on both sides."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(0)
    found = {path.name.split(".")[0] for path in folder.glob("*.weights.safetensors")}
    assert found == set(CASES), f"expected the cases {sorted(CASES)}, found {sorted(found)}"
    for name, make in CASES.items():
        holder = Holder(make())
        holder.load_state_dict(load_file(folder / f"{name}.weights.safetensors"), strict=True)
        io = load_file(folder / f"{name}.io.safetensors")
        x = io["x"].long() if name == "embedding" else io["x"]
        with torch.no_grad():
            y = holder(x)
            torch.testing.assert_close(
                y.reshape(io["y"].shape), io["y"], rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}: {text}"
            )
            holder = Holder(make())
            for parameter in holder.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
            for buffer_name, buffer in holder.named_buffers():
                if buffer_name.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0)
            if name == "spectral_norm":
                # In training a forward pass moves the singular vectors, which no longer fit the new weights.
                for _ in range(15):
                    holder.train()(x)
                holder.eval()
            y = holder(x)
        state = {key: value.contiguous() for key, value in holder.state_dict().items() if value.is_floating_point()}
        save_file(state, folder / f"{name}.back.safetensors")
        save_file({"y": y.contiguous()}, folder / f"{name}.back_io.safetensors")
    print(f"{len(CASES)} cases agree with PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
