"""Small models of many kinds, and ways to break them: bytes and parts of a ModelProto at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

TEXTS = {
    "conv": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[N, 2, 6, 6] x, int64[N] label) => (float loss, float[N, 3] logits)
        <float[3] b = {0.1, 0.2, 0.3}, float[2] scale = {1.0, 2.0}, float[2] shift = {0.0, 0.5},
         float[2] mean = {0.1, 0.2}, float[2] variance = {1.0, 2.0}> {
            n = BatchNormalization(x, scale, shift, mean, variance)
            c = Conv<pads = [1, 1, 1, 1]>(n, w)
            r = Relu(c)
            p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
            g = GlobalAveragePool(p)
            f = Flatten(g)
            logits = Gemm<transB = 1>(f, v, b)
            loss = SoftmaxCrossEntropyLoss(logits, label)
        }""",
    "shapes": """<ir_version: 4, opset_import: ["" : 11]>
        shapes (float[N, M, 4] x) => (float[A] y, int64[B] s) {
            s = Shape(x)
            zero = Constant<value = int64[1] {0}>()
            one = Constant<value = int64[1] {1}>()
            n = Slice(s, zero, one)
            minus = Constant<value = int64[1] {-1}>()
            target = Concat<axis = 0>(n, minus)
            r = Reshape(x, target)
            t = Transpose<perm = [1, 0]>(r)
            u = Unsqueeze<axes = [0]>(t)
            q = ReduceMean<axes = [1], keepdims = 0>(u)
            e = Expand(q, s2)
            z = Squeeze<axes = [0]>(e)
            y = Clip(z, low, high)
        }""",
    "branch": """<ir_version: 8, opset_import: ["" : 18]>
        branch (bool c, float[3] x) => (float[3] y) {
            d = Mul(x, x)
            y = If (c) <
                then_branch = a () => (float[3] r) { r = Mul(d, x) },
                else_branch = b () => (float[3] r) { h = Exp(x)  r = Add(h, d) }
            >
        }""",
    "loop": """<ir_version: 8, opset_import: ["" : 18]>
        loop (int64 n, float[2] x) => (float[2] y, float[K, 2] all) {
            t = Constant<value = bool {1}>()
            y, all = Loop (n, t, x) <
                body = step (int64 i, bool go, float[2] h) => (bool g, float[2] k, float[2] o) {
                    g = Identity(go)
                    m = Mul(h, x)
                    k = Tanh(m)
                    o = Sin(k)
                }
            >
        }""",
    "scan": """<ir_version: 8, opset_import: ["" : 18]>
        scan (float[2] s, float[4, 2] x) => (float[2] y, float[4, 2] all) {
            y, all = Scan <num_scan_inputs = 1,
                body = step (float[2] h, float[2] e) => (float[2] k, float[2] o) {
                    k = Add(h, e)
                    o = Mul(k, e)
                }
            > (s, x)
        }""",
    "functions": """<ir_version: 10, opset_import: ["" : 18, "own" : 1]>
        calls (float[3, 2] x, float[3, 2] z) => (float[3, 2] y, float[3, 2] w) {
            a = own.twice<slope = 0.3>(x)
            y = own.outer(a)
            w = own.twice(z)
        }
        <domain: "own", opset_import: ["" : 18]>
        twice <slope: float = 0.2> (x) => (y) { b = LeakyRelu<alpha: float = @slope>(x)  y = Add(b, b) }
        <domain: "own", opset_import: ["" : 18, "own" : 1]>
        outer (x) => (y) { b = own.twice(x)  c = Sigmoid(b)  y = Mul(c, x) }""",
    "quantized": """<ir_version: 10, opset_import: ["" : 21]>
        quantized (float[2, 3] x) => (float[2, 4] y)
        <float s = {0.1}, uint8 z = {3}, int8[3, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -2, -3},
         float[4] ws = {0.1, 0.2, 0.3, 0.4}> {
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            v = DequantizeLinear<axis = 1>(w, ws)
            y = MatMul(d, v)
        }""",
    "sequence": """<ir_version: 8, opset_import: ["" : 17]>
        sequence (float[4, 2] x) => (float[B, 2] y, int64 n) {
            s = SplitToSequence<axis = 0>(x)
            i = Constant<value = int64 {1}>()
            e = SequenceAt(s, i)
            t = SequenceInsert(s, e)
            n = SequenceLength(t)
            y = ConcatFromSequence<axis = 0>(t)
        }""",
    "attention": """<ir_version: 8, opset_import: ["" : 17]>
        attention (float[B, T, 4] x, int64[B, T] ids) => (float[B, T, 4] y) <float[4] g = {1, 1, 1, 2}> {
            e = Gather(table, ids)
            h = Add(x, e)
            n = LayerNormalization<axis = -1>(h, g)
            k = Transpose<perm = [0, 2, 1]>(n)
            s = MatMul(n, k)
            p = Softmax<axis = -1>(s)
            a = MatMul(p, n)
            t = Erf(a)
            y = Where(m, t, a)
        }""",
    "foreign": """<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
        foreign (float[3] x, float[3] u) => (float[3] y, float[3] z) {
            y = Tanh(x)
            z = com.example.Thing<alpha = 2, text = "a">(u)
        }""",
    "old": """<ir_version: 3, opset_import: ["" : 9]>
        old (float[1, 1, 4, 4] x, float[1] k) => (float[1, 1, 8, 8] y, float[1, 16] f)
        <float[4] scales = {1, 1, 2, 2}> {
            y = Upsample<mode = "linear">(x, scales)
            p = Pad<pads = [0, 0, 0, 0, 0, 0, 0, 0]>(x)
            d = Dropout<ratio = 0.1>(p)
            f = Flatten(d)
        }""",
}
_ADDED = {
    "conv": {
        "w": np.linspace(-1, 1, 36, dtype=np.float32).reshape(2, 2, 3, 3),
        "v": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2),
    },
    "shapes": {"s2": np.array([1, 1]), "low": np.array(-1, np.float32), "high": np.array(2, np.float32)},
    "attention": {"table": np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 4), "m": np.array([True, False] * 2)},
}


def recurrent() -> onnx.ModelProto:
    """An LSTM with a sequence length, an output left out, and a Dropout behind it."""
    made = np.random.default_rng(1)
    weights = {"w": (1, 12, 2), "r": (1, 12, 3), "b": (1, 24)}
    graph = helper.make_graph(
        [
            helper.make_node("LSTM", ["x", "w", "r", "b", "lengths"], ["y", "", "c"], "lstm", hidden_size=3),
            helper.make_node("Squeeze", ["y", "one"], ["z"]),
            helper.make_node("Dropout", ["z"], ["d"]),
        ],
        "recurrent",
        [
            helper.make_tensor_value_info("x", 1, ["T", 2, 2]),
            helper.make_tensor_value_info("lengths", 6, [2]),
        ],
        [helper.make_tensor_value_info("d", 1, None), helper.make_tensor_value_info("c", 1, [1, 2, 3])],
        [
            *(numpy_helper.from_array(made.normal(size=s).astype(np.float32), n) for n, s in weights.items()),
            numpy_helper.from_array(np.array([1]), "one"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)


def models() -> dict[str, onnx.ModelProto]:
    """The models that are broken here, by name."""
    found = {name: parser.parse_model(text) for name, text in TEXTS.items()}
    for name, arrays in _ADDED.items():
        found[name].graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    # What the text has no word for: names that onnx invents need none of their own.
    return {**found, "recurrent": recurrent()}


# - bytes -


def broken_bytes(data: bytes, draw: random.Random) -> bytes:
    """Serialized bytes with some flipped, cut out, repeated or put in."""
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if not made:
            break
        at = draw.randrange(len(made))
        until = at + draw.choice((1, 1, 2, 5, 20))
        way = draw.randrange(6)
        if way == 0:
            made[at] ^= 1 << draw.randrange(8)
        elif way == 1:
            made[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        elif way == 2:
            del made[at:until]
        elif way == 3:
            made[at:at] = made[at:until]
        elif way == 4:
            made[at:at] = draw.randbytes(until - at)
        else:
            del made[at:]
    return bytes(made)


# - parts of a ModelProto -

_INTS = (0, 1, -1, 2, 3, 7, -2, 100, 1000, 10**6, 2**31 - 1, 2**31, 10**12, 2**62, 2**63 - 1, -(2**63))
_FLOATS = (0.0, 1.0, -1.0, 0.5, 1e-30, 1e38, float("inf"), float("nan"))
_TEXTS = (
    "",
    "a",
    "x",
    "\n",
    "\0",
    "é",
    "linear",
    "nearest",
    "ai.onnx",
    "sum",
    "reflect",
    "bij,bjk->bik",
    "?1",
    "x" * 999,
)


def _messages(message: Any) -> Iterator[Any]:
    """All messages in a message."""
    stack = [message]
    while stack:
        current = stack.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                stack.extend(value if field.is_repeated else [value])


def _other(field: Any, value: Any, draw: random.Random, words: list[str]) -> Any:
    """Another value for a field that holds no message."""
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING and field.type == field.TYPE_BYTES:
        return broken_bytes(value, draw) if value and draw.random() < 0.7 else draw.choice(_TEXTS).encode()
    if kind == field.CPPTYPE_STRING:
        return draw.choice(words) if draw.random() < 0.7 else draw.choice(_TEXTS)
    if kind == field.CPPTYPE_ENUM:
        return draw.choice(field.enum_type.values).number
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return draw.choice(_FLOATS)
    number = draw.choice((*_INTS, value + 1, value - 1, value * 2, draw.randrange(30)))
    bits = 63 if kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64) else 31
    lowest = 0 if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64) else -(2**bits)
    return min(max(number, lowest), 2**bits - 1)


def broken_proto(model: onnx.ModelProto, draw: random.Random) -> onnx.ModelProto:
    """A copy in which some fields have other values, are gone, doubled, exchanged or come from elsewhere."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        messages = list(_messages(made))
        words = [n for m in messages if isinstance(m, onnx.NodeProto) for n in (*m.input, *m.output, m.op_type)]
        words += [i.name for m in messages if isinstance(m, onnx.GraphProto) for i in (*m.input, *m.initializer)]
        message = draw.choice(messages)
        fields = message.ListFields()
        if not fields:
            continue
        field, value = draw.choice(fields)
        if field.is_repeated:
            _broken_list(message, field, value, draw, words, messages)
        elif field.message_type is None and draw.random() < 0.8:
            setattr(message, field.name, _other(field, value, draw, words or ["x"]))
        else:
            message.ClearField(field.name)
    return made


def _broken_list(
    message: Any, field: Any, value: Any, draw: random.Random, words: list[str], messages: list[Any]
) -> None:
    items = list(value)
    at = draw.randrange(len(items))
    way = draw.randrange(6)
    kept: list[Any] = []
    for item in items:
        copy = item
        if field.message_type is not None:
            copy = type(item)()
            copy.CopyFrom(item)
        kept.append(copy)
    if way == 0:
        del kept[at]
    elif way == 1:
        kept.insert(at, kept[at])
    elif way == 2:
        draw.shuffle(kept)
    elif way == 3 and field.message_type is not None:
        elsewhere = [m for m in messages if type(m) is type(kept[at])]
        copy = type(kept[at])()
        copy.CopyFrom(draw.choice(elsewhere))
        kept[at] = copy
    elif field.message_type is None:
        kept[at] = _other(field, kept[at], draw, words or ["x"])
        if way == 4:
            kept = kept[: at + 1]
    message.ClearField(field.name)
    getattr(message, field.name).extend(kept)
