"""The workloads' models as PyTorch modules, named so that their state dict has the names of the suite's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.suite.program import Weights
from benchmarks.suite.workloads import MOBILENET, RESNET

Sizes = dict[str, int]


class Tutorial(nn.Module):
    """x W1, clamped at 0, W2."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(s["inputs"], s["hidden"]))
        self.w2 = nn.Parameter(torch.empty(s["hidden"], s["outputs"]))

    def forward(self, x: Tensor) -> Tensor:
        return x.mm(self.w1).clamp(min=0).mm(self.w2)


class Perceptron(nn.Module):
    """Three linear layers with relu between."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.layer1 = nn.Linear(s["inputs"], s["hidden"])
        self.layer2 = nn.Linear(s["hidden"], s["hidden"])
        self.layer3 = nn.Linear(s["hidden"], s["classes"])

    def forward(self, x: Tensor) -> Tensor:
        return self.layer3(F.relu(self.layer2(F.relu(self.layer1(x)))))


class LeNet(nn.Module):
    """Two convolutions with relu and max pool, three linear layers."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(s["channels"], 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, s["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def _conv(columns: int, rows: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(columns, rows, kernel, stride, kernel // 2, groups=groups, bias=False)


class _Residual(nn.Module):
    def __init__(self, columns: int, rows: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(columns, rows, 3, stride), nn.BatchNorm2d(rows)
        self.conv2, self.bn2 = _conv(rows, rows, 3), nn.BatchNorm2d(rows)
        self.projects = stride != 1 or columns != rows
        if self.projects:
            self.convs, self.bns = _conv(columns, rows, 1, stride), nn.BatchNorm2d(rows)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y.add_(self.bns(self.convs(x)) if self.projects else x), inplace=True)


class ResNet(nn.Module):
    """ResNet-18 for small images."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(s["channels"], 64, 3), nn.BatchNorm2d(64)
        width = 64
        for stage, (rows, stride) in enumerate(RESNET):
            self.add_module(f"stage{stage}", nn.Sequential(_Residual(width, rows, stride), _Residual(rows, rows, 1)))
            width = rows
        self.fc = nn.Linear(width, s["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        for stage in range(len(RESNET)):
            x = getattr(self, f"stage{stage}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class _Inverted(nn.Module):
    def __init__(self, columns: int, widening: int, rows: int, stride: int) -> None:
        super().__init__()
        wide = widening * columns
        self.conv1, self.bn1 = _conv(columns, wide, 1), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = _conv(wide, wide, 3, stride, groups=wide), nn.BatchNorm2d(wide)
        self.conv3, self.bn3 = _conv(wide, rows, 1), nn.BatchNorm2d(rows)
        self.adds = stride == 1 and columns == rows

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu6(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return y.add_(x) if self.adds else y


class MobileNet(nn.Module):
    """MobileNetV2 for small images."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(s["channels"], 32, 3), nn.BatchNorm2d(32)
        width = 32
        for stage, (widening, rows, count, stride) in enumerate(MOBILENET):
            blocks = [_Inverted(width, widening, rows, stride)]
            blocks += [_Inverted(rows, widening, rows, 1) for _ in range(count - 1)]
            self.add_module(f"stage{stage}", nn.Sequential(*blocks))
            width = rows
        self.conv2, self.bn2 = _conv(width, 1280, 1), nn.BatchNorm2d(1280)
        self.fc = nn.Linear(1280, s["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bn1(self.conv1(x)), inplace=True)
        for stage in range(len(MOBILENET)):
            x = getattr(self, f"stage{stage}")(x)
        x = F.relu6(self.bn2(self.conv2(x)), inplace=True)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """Blocks of causal attention and a perceptron, normalized in front."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        width = s["width"]
        self.layers = s["layers"]
        self.tokens = nn.Parameter(torch.empty(s["vocabulary"], width))
        self.positions = nn.Parameter(torch.empty(s["length"], width))
        for layer in range(s["layers"]):
            self.add_module(f"block{layer}", _Block(width, s["heads"]))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, s["vocabulary"])

    def forward(self, x: Tensor) -> Tensor:
        x = F.embedding(x, self.tokens) + self.positions
        for layer in range(self.layers):
            x = getattr(self, f"block{layer}")(x)
        return self.head(self.norm(x)).flatten(0, 1)


class Lstm(nn.Module):
    """Layers of LSTM over (length, batch, inputs), and a linear one over the last state."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.lstm = nn.LSTM(s["inputs"], s["hidden"], s["layers"])
        self.fc = nn.Linear(s["hidden"], s["classes"])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.lstm(x)[0][-1])


class Embedding(nn.Module):
    """A row of a large table, whose gradient is sparse, and two linear layers."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.table = nn.Embedding(s["rows"], s["width"], sparse=True, _weight=torch.empty(s["rows"], s["width"]))
        self.layer1, self.layer2 = nn.Linear(s["width"], s["width"]), nn.Linear(s["width"], s["classes"])

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(F.relu(self.layer1(self.table(x))))


class _Pair(nn.Module):
    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(columns, rows, 3, padding=1)
        self.conv2 = nn.Conv2d(rows, rows, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)), inplace=True)


class _Up(_Pair):
    def __init__(self, rows: int) -> None:
        super().__init__(2 * rows, rows)
        self.up = nn.ConvTranspose2d(2 * rows, rows, 2, stride=2)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([kept, self.up(x)], 1))


class UNet(nn.Module):
    """Three levels down by max pools and up by transposed convolutions, joined across."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        width = s["width"]
        for level in range(3):
            self.add_module(f"down{level}", _Pair(width << (level - 1) if level else 3, width << level))
            self.add_module(f"up{level}", _Up(width << level))
        self.middle = _Pair(width << 2, width << 3)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level in range(3):
            x = getattr(self, f"down{level}")(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for level in reversed(range(3)):
            x = getattr(self, f"up{level}")(x, kept[level])
        return self.head(x)


def of_onnx(weights: Weights) -> Weights:
    """The weights with every `lstm0.w`, `.r` and `.b`, gates i, o, f, c, as PyTorch's of `lstm`, gates i, f, c, o."""
    renamed = {"w": ("weight_ih",), "r": ("weight_hh",), "b": ("bias_ih", "bias_hh")}
    result = {}
    for name, array in weights.items():
        head, _, key = name.rpartition(".")
        if not head.startswith("lstm"):
            result[name] = torch.from_numpy(array)
            continue
        for part, new in zip(torch.from_numpy(array)[0].chunk(len(renamed[key])), renamed[key], strict=True):
            i, o, f, c = part.chunk(4)
            result[f"lstm.{new}_l{head.removeprefix('lstm')}"] = torch.cat([i, f, c, o])
    return result


def sum_of_squares(output: Tensor, y: Tensor) -> Tensor:
    """sum (output - y)^2"""
    return (output - y).pow(2).sum()


def cross_entropy(output: Tensor, y: Tensor) -> Tensor:
    """The mean over all labels."""
    return F.cross_entropy(output, y.flatten())


MODELS: dict[str, tuple[Callable[[Sizes], nn.Module], Callable[[Tensor, Tensor], Tensor]]] = {
    "tutorial": (Tutorial, sum_of_squares),
    "mlp": (Perceptron, cross_entropy),
    "lenet": (LeNet, cross_entropy),
    "resnet": (ResNet, cross_entropy),
    "mobilenet": (MobileNet, cross_entropy),
    "gpt": (Gpt, cross_entropy),
    "lstm": (Lstm, cross_entropy),
    "embedding": (Embedding, cross_entropy),
    "unet": (UNet, F.binary_cross_entropy_with_logits),
}
"""By the name of a model: its module of the sizes, and its loss of output and `y`."""
