"""The workloads' models in staticgrad; parameters are named as in all peers, with `/` for their last dot."""

from __future__ import annotations

from collections.abc import Callable

import staticgrad as sg
from benchmarks.suite.workloads import MOBILENET, RESNET, Workload
from staticgrad.nn import functional as F


def declare(workload: Workload) -> sg.TrainStep:
    """The training step of a workload."""
    return sg.train_step(MODELS[workload.model](workload.sizes), optimizer_of(workload))


def optimizer_of(workload: Workload) -> sg.optim.GradientTransformation:
    """The optimizer of a workload."""
    rate = workload.rate
    return {
        "sgd": lambda: sg.optim.sgd(rate),
        "momentum": lambda: sg.optim.sgd(rate, momentum=0.9),
        "adam": lambda: sg.optim.adam(rate),
        "adamw": lambda: sg.optim.adamw(rate, weight_decay=workload.weight_decay),
        "adagrad": lambda: sg.optim.adagrad(rate),
    }[workload.optimizer]()


def _classified(logits: sg.Value, *shape: int) -> sg.Value:
    return F.cross_entropy(logits, sg.input("y", shape, dtype="int64"))


def tutorial(s: dict[str, int]) -> sg.Value:
    """x W1, clamped at 0, W2; the sum of squared errors."""
    x, y = sg.input("x", (s["batch"], s["inputs"])), sg.input("y", (s["batch"], s["outputs"]))
    w1 = sg.parameter("w1", sg.init.normal((s["inputs"], s["hidden"]), seed=1))
    w2 = sg.parameter("w2", sg.init.normal((s["hidden"], s["outputs"]), seed=2))
    return (x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum()


def mlp(s: dict[str, int]) -> sg.Value:
    """Three linear layers with relu between; cross-entropy."""
    x = sg.input("x", (s["batch"], s["inputs"]))
    net = sg.nn.Sequential(
        sg.nn.Linear(s["inputs"], s["hidden"], name="layer1", seed=1),
        sg.relu,
        sg.nn.Linear(s["hidden"], s["hidden"], name="layer2", seed=2),
        sg.relu,
        sg.nn.Linear(s["hidden"], s["classes"], name="layer3", seed=3),
    )
    return _classified(net(x), s["batch"])


def lenet(s: dict[str, int]) -> sg.Value:
    """Two convolutions of 5x5 with relu and a max pool of 2x2 each, three linear layers (LeCun et al. 1998)."""
    x = sg.input("x", (s["batch"], s["channels"], s["size"], s["size"]))
    net = sg.nn.Sequential(
        sg.nn.Conv2d(s["channels"], 6, 5, padding=2, name="conv1", seed=1),
        sg.relu,
        sg.nn.MaxPool2d(2),
        sg.nn.Conv2d(6, 16, 5, name="conv2", seed=2),
        sg.relu,
        sg.nn.MaxPool2d(2),
        sg.nn.Flatten(),
        sg.nn.Linear(400, 120, name="fc1", seed=3),
        sg.relu,
        sg.nn.Linear(120, 84, name="fc2", seed=4),
        sg.relu,
        sg.nn.Linear(84, s["classes"], name="fc3", seed=5),
    )
    return _classified(net(x), s["batch"])


def _conv_bn(
    name: str, columns: int, rows: int, kernel: int, stride: int = 1, groups: int = 1, norm: str = "bn"
) -> Callable[[sg.Value], sg.Value]:
    conv = sg.nn.Conv2d(
        columns, rows, kernel, stride, kernel // 2, groups=groups, bias=False, name=name, seed=columns + rows
    )
    head, _, last = name.rpartition(".")
    normalize = sg.nn.BatchNorm2d(rows, name=f"{head}.{last.replace('conv', norm)}".lstrip("."))
    return lambda x: normalize(conv(x))


def resnet(s: dict[str, int]) -> sg.Value:
    """ResNet-18 for small images: a convolution of 3x3 in front, no pool (He et al. 2015)."""
    x = sg.input("x", (s["batch"], s["channels"], s["size"], s["size"]))
    x = _conv_bn("conv1", s["channels"], 64, 3)(x).relu()
    width = 64
    for stage, (rows, stride) in enumerate(RESNET):
        for block, step in enumerate((stride, 1)):
            name = f"stage{stage}.{block}"
            y = _conv_bn(f"{name}.conv1", width, rows, 3, step)(x).relu()
            y = _conv_bn(f"{name}.conv2", rows, rows, 3)(y)
            if step != 1 or width != rows:
                x = _conv_bn(f"{name}.convs", width, rows, 1, step)(x)
            x, width = (x + y).relu(), rows
    pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
    return _classified(sg.nn.Linear(width, s["classes"], name="fc")(pooled), s["batch"])


def mobilenet(s: dict[str, int]) -> sg.Value:
    """MobileNetV2 for small images: blocks that widen, convolve each channel, and narrow (Sandler et al. 2018)."""
    x = sg.input("x", (s["batch"], s["channels"], s["size"], s["size"]))
    x = F.relu6(_conv_bn("conv1", s["channels"], 32, 3)(x))
    width = 32
    for stage, (widening, rows, blocks, stride) in enumerate(MOBILENET):
        for block in range(blocks):
            name, step = f"stage{stage}.{block}", stride if block == 0 else 1
            wide = widening * width
            y = F.relu6(_conv_bn(f"{name}.conv1", width, wide, 1)(x))
            y = F.relu6(_conv_bn(f"{name}.conv2", wide, wide, 3, step, groups=wide)(y))
            y = _conv_bn(f"{name}.conv3", wide, rows, 1)(y)
            x, width = (x + y if step == 1 and width == rows else y), rows
    x = F.relu6(_conv_bn("conv2", width, 1280, 1)(x))
    pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
    return _classified(sg.nn.Linear(1280, s["classes"], name="fc")(pooled), s["batch"])


def _attention(name: str, x: sg.Value, s: dict[str, int]) -> sg.Value:
    width, heads = s["width"], s["heads"]
    qkv = sg.nn.Linear(width, 3 * width, name=f"{name}.qkv", seed=1)(x)
    q, k, v = qkv.unflatten(-1, (3, heads, width // heads)).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return sg.nn.Linear(width, width, name=f"{name}.out", seed=2)(mixed.transpose(1, 2).flatten(2))


def gpt(s: dict[str, int]) -> sg.Value:
    """Blocks of causal attention and a perceptron with gelu, normalized in front (Radford et al. 2019)."""
    width = s["width"]
    x = sg.input("x", (s["batch"], s["length"]), dtype="int64")
    tokens = sg.parameter("tokens", sg.init.normal((s["vocabulary"], width), std=0.02, seed=1))
    positions = sg.parameter("positions", sg.init.normal((s["length"], width), std=0.02, seed=2))
    x = F.embedding(x, tokens) + positions
    for i in range(s["layers"]):
        name = f"block{i}"
        x = x + _attention(name, sg.nn.LayerNorm(width, name=f"{name}.norm1")(x), s)
        y = sg.nn.Linear(width, 4 * width, name=f"{name}.widen", seed=3)(
            sg.nn.LayerNorm(width, name=f"{name}.norm2")(x)
        )
        x = x + sg.nn.Linear(4 * width, width, name=f"{name}.narrow", seed=4)(F.gelu(y, approximate="tanh"))
    logits = sg.nn.Linear(width, s["vocabulary"], name="head", seed=5)(sg.nn.LayerNorm(width, name="norm")(x))
    y = sg.input("y", (s["batch"], s["length"]), dtype="int64")
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def lstm(s: dict[str, int]) -> sg.Value:
    """Layers of LSTM over (length, batch, inputs), and a linear one over the last state."""
    x = sg.input("x", (s["length"], s["batch"], s["inputs"]))
    hidden, columns = s["hidden"], s["inputs"]
    bound = hidden**-0.5
    for layer in range(s["layers"]):
        shapes = {"w": (1, 4 * hidden, columns), "r": (1, 4 * hidden, hidden), "b": (1, 8 * hidden)}
        w, r, b = (
            sg.parameter(f"lstm{layer}/{key}", sg.init.uniform(shape, -bound, bound, seed=layer))
            for key, shape in shapes.items()
        )
        x = sg.ops.lstm(x, w, r, b, hidden_size=hidden)[0].squeeze(1)
        columns = hidden
    return _classified(sg.nn.Linear(hidden, s["classes"], name="fc")(x[-1]), s["batch"])


def embedding(s: dict[str, int]) -> sg.Value:
    """A row of a large table, and two linear layers."""
    x = sg.input("x", (s["batch"],), dtype="int64")
    table = sg.nn.Embedding(s["rows"], s["width"], name="table", seed=1)
    hidden = sg.nn.Linear(s["width"], s["width"], name="layer1", seed=2)(table(x)).relu()
    return _classified(sg.nn.Linear(s["width"], s["classes"], name="layer2", seed=3)(hidden), s["batch"])


def unet(s: dict[str, int]) -> sg.Value:
    """Three levels down by max pools and up by transposed convolutions, joined across (Ronneberger et al. 2015)."""
    width = s["width"]

    def pair(name: str, columns: int, rows: int, x: sg.Value) -> sg.Value:
        x = sg.nn.Conv2d(columns, rows, 3, padding=1, name=f"{name}.conv1", seed=1)(x).relu()
        return sg.nn.Conv2d(rows, rows, 3, padding=1, name=f"{name}.conv2", seed=2)(x).relu()

    x = sg.input("x", (s["batch"], 3, s["size"], s["size"]))
    kept, columns = [], 3
    for level in range(3):
        x = pair(f"down{level}", columns, width << level, x)
        columns = width << level
        kept.append(x)
        x = F.max_pool2d(x, 2)
    x = pair("middle", columns, width << 3, x)
    for level in reversed(range(3)):
        rows = width << level
        x = sg.nn.ConvTranspose2d(2 * rows, rows, 2, stride=2, name=f"up{level}.up", seed=3)(x)
        x = pair(f"up{level}", 2 * rows, rows, sg.cat([kept[level], x], 1))
    logits = sg.nn.Conv2d(width, 1, 1, name="head", seed=4)(x)
    y = sg.input("y", (s["batch"], 1, s["size"], s["size"]))
    return F.binary_cross_entropy_with_logits(logits, y)


MODELS: dict[str, Callable[[dict[str, int]], sg.Value]] = {
    f.__name__: f for f in (tutorial, mlp, lenet, resnet, mobilenet, gpt, lstm, embedding, unet)
}
