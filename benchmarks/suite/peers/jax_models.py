"""The workloads' models as JAX functions: of parameters by name and an input, images as NHWC, to outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.suite.program import Weights
from benchmarks.suite.workloads import MOBILENET, RESNET

Array = Any
Arrays = dict[str, Any]
Sizes = dict[str, int]

POOL = "window"
DEPTH = "conv"
POINT = "dot"
UNROLL = 1
ATT = "einsum"


def linear(p: Arrays, name: str, x: Array) -> Array:
    """x W + b, W stored as (inputs, outputs)."""
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def conv(p: Arrays, name: str, x: Array, stride: int = 1, padding: int | None = None, groups: int = 1) -> Array:
    """A convolution of NHWC by HWIO, with its bias where it has one; "same" padding for odd kernels unless given."""
    w = p[f"{name}.weight"]
    size = w.shape[0]
    padding = size // 2 if padding is None else padding
    if size == 1 and POINT == "dot":
        y = x[:, ::stride, ::stride] @ w[0, 0]
    elif groups > 1 and DEPTH == "shift":
        n, h, width, c = x.shape
        padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        oh, ow = (h - 1) // stride + 1, (width - 1) // stride + 1
        y = sum(
            padded[:, i : i + (oh - 1) * stride + 1 : stride, j : j + (ow - 1) * stride + 1 : stride] * w[i, j, 0]
            for i in range(size)
            for j in range(size)
        )
    else:
        y = lax.conv_general_dilated(
            x,
            w,
            (stride, stride),
            ((padding, padding), (padding, padding)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
    bias = p.get(f"{name}.bias")
    return y if bias is None else y + bias


def max_pool(x: Array) -> Array:
    """The largest of every 2x2."""
    if POOL == "window":
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    n, h, w, c = x.shape
    if POOL == "reshape":
        return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    x = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(x[:, :, ::2], x[:, :, 1::2])


def batch_norm(p: Arrays, moved: Arrays, name: str, x: Array) -> Array:
    """Normalized by the mean and variance of the batch; the running ones, moved a tenth, are put into `moved`."""
    mean = x.mean((0, 1, 2))
    variance = jnp.square(x).mean((0, 1, 2)) - jnp.square(mean)
    count = x.size // x.shape[-1]
    of_batch = {"running_mean": mean, "running_var": variance * (count / (count - 1))}
    for key, value in of_batch.items():
        moved[f"{name}.{key}"] = 0.9 * p[f"{name}.{key}"] + 0.1 * lax.stop_gradient(value)
    scale = lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"]
    return x * scale + (p[f"{name}.bias"] - mean * scale)


def layer_norm(p: Arrays, name: str, x: Array) -> Array:
    """Normalized over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    scale = lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)
    return centred * scale * p[f"{name}.weight"] + p[f"{name}.bias"]


def tutorial(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    return jnp.maximum(x @ p["w1"], 0) @ p["w2"]


def mlp(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    return linear(p, "layer3", jax.nn.relu(linear(p, "layer2", jax.nn.relu(linear(p, "layer1", x)))))


def lenet(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    x = max_pool(jax.nn.relu(conv(p, "conv1", x)))
    x = max_pool(jax.nn.relu(conv(p, "conv2", x, padding=0)))
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    return linear(p, "fc3", jax.nn.relu(linear(p, "fc2", jax.nn.relu(linear(p, "fc1", x)))))


def resnet(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    def normalized(name: str, number: str, x: Array, stride: int = 1) -> Array:
        return batch_norm(p, moved, f"{name}bn{number}", conv(p, f"{name}conv{number}", x, stride))

    x = jax.nn.relu(normalized("", "1", x))
    for stage, (_, stride) in enumerate(RESNET):
        for block, step in enumerate((stride, 1)):
            name = f"stage{stage}.{block}."
            y = normalized(name, "2", jax.nn.relu(normalized(name, "1", x, step)))
            short = normalized(name, "s", x, step) if f"{name}convs.weight" in p else x
            x = jax.nn.relu(y + short)
    return linear(p, "fc", x.mean((1, 2)))


def mobilenet(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    def normalized(name: str, number: int, x: Array, stride: int = 1, groups: int = 1) -> Array:
        return batch_norm(p, moved, f"{name}bn{number}", conv(p, f"{name}conv{number}", x, stride, groups=groups))

    x = jax.nn.relu6(normalized("", 1, x))
    for stage, (_, _, blocks, stride) in enumerate(MOBILENET):
        for block in range(blocks):
            name, step = f"stage{stage}.{block}.", 1 if block else stride
            y = jax.nn.relu6(normalized(name, 1, x))
            y = jax.nn.relu6(normalized(name, 2, y, step, y.shape[-1]))
            y = normalized(name, 3, y)
            x = x + y if step == 1 and x.shape == y.shape else y
    return linear(p, "fc", jax.nn.relu6(normalized("", 2, x)).mean((1, 2)))


def _attention(p: Arrays, name: str, x: Array, heads: int) -> Array:
    batch, length, width = x.shape
    qkv = linear(p, f"{name}.qkv", x).reshape(batch, length, 3, heads, width // heads)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    if ATT == "einsum":
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (width // heads) ** -0.5
        weights = jax.nn.softmax(jnp.where(jnp.tri(length, dtype=bool), scores, -jnp.inf))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
    else:
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return linear(p, f"{name}.out", mixed.reshape(batch, length, width))


def gpt(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    x = p["tokens"][x] + p["positions"]
    for layer in range(s["layers"]):
        name = f"block{layer}"
        x = x + _attention(p, name, layer_norm(p, f"{name}.norm1", x), s["heads"])
        y = linear(p, f"{name}.widen", layer_norm(p, f"{name}.norm2", x))
        x = x + linear(p, f"{name}.narrow", jax.nn.gelu(y, approximate=True))
    return linear(p, "head", layer_norm(p, "norm", x))


def lstm(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    for layer in range(s["layers"]):
        w, r, b = (p[f"lstm{layer}.{key}"][0] for key in "wrb")
        of_inputs = x @ w.T + b.reshape(2, -1).sum(0)

        def step(state: tuple[Array, Array], of_input: Array, r: Array = r) -> tuple[tuple[Array, Array], Array]:
            h, c = state
            i, o, f, g = jnp.split(of_input + h @ r.T, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((x.shape[1], s["hidden"]), x.dtype)
        (last, _), x = lax.scan(step, (start, start), of_inputs, unroll=UNROLL)
    return linear(p, "fc", last)


def embedding(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    return linear(p, "layer2", jax.nn.relu(linear(p, "layer1", x)))


def unet(p: Arrays, x: Array, s: Sizes, moved: Arrays) -> Array:
    def pair(name: str, x: Array) -> Array:
        return jax.nn.relu(conv(p, f"{name}.conv2", jax.nn.relu(conv(p, f"{name}.conv1", x))))

    kept = []
    for level in range(3):
        x = pair(f"down{level}", x)
        kept.append(x)
        x = max_pool(x)
    x = pair("middle", x)
    for level in reversed(range(3)):
        n, h, w, _ = x.shape
        # A kernel of 2x2 by strides of 2 does not overlap: a product, and pixels put side by side.
        x = jnp.einsum("nhwc,cdij->nhiwjd", x, p[f"up{level}.up.weight"]).reshape(n, 2 * h, 2 * w, -1)
        x = pair(f"up{level}", jnp.concatenate([kept[level], x + p[f"up{level}.up.bias"]], -1))
    return conv(p, "head", x)


def of_pytorch(weights: Weights) -> Arrays:
    """The weights in the layouts used here: (inputs, outputs) and HWIO, where PyTorch has them the other way round."""
    result = {}
    for name, array in weights.items():
        if name.endswith(".weight") and not name.startswith("table."):
            if array.ndim == 2:
                array = array.T
            elif array.ndim == 4 and not name.endswith("up.weight"):
                array = array.transpose(2, 3, 1, 0)
        result[name] = jnp.array(array)
    return result


def sum_of_squares(output: Array, y: Array) -> Array:
    """sum (output - y)^2"""
    return jnp.square(output - y).sum()


def cross_entropy(output: Array, y: Array) -> Array:
    """The mean over all labels."""
    return -jnp.take_along_axis(jax.nn.log_softmax(output), y[..., None], -1).mean()


def sigmoid_cross_entropy(output: Array, y: Array) -> Array:
    """Mean of the binary cross-entropy with logits."""
    return (jax.nn.softplus(output) - output * y).mean()


MODELS: dict[str, Callable[[Arrays, Array, Sizes, Arrays], Array]] = {
    f.__name__: f for f in (tutorial, mlp, lenet, resnet, mobilenet, gpt, lstm, embedding, unet)
}

LOSSES = {"tutorial": sum_of_squares, "unet": sigmoid_cross_entropy}
"""By the name of a model; `cross_entropy` where none is given."""
