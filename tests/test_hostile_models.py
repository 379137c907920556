"""Models that are damaged or made to do harm: a clean error or a right result, in bounded time and memory."""

from __future__ import annotations

import os
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import hostile_runner
import numpy as np
import onnx
import pytest
from backend import cases
from onnx import helper, numpy_helper, parser

import staticgrad as sg

ENTRIES: dict[str, Callable[[Any], Any]] = {
    "from_onnx": sg.from_onnx,
    "gradient_model": sg.gradient_model,
    "train_step_model": lambda m: sg.train_step_model(m, lambda *y: sum(v.sum() for v in y), sg.optim.sgd(0.1)),
}


@pytest.fixture(autouse=True)
def _bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing takes long, nothing large is made, and no file is written."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # Measuring memory takes more time than all else.
    measured = "random" not in request.node.name
    if measured:
        tracemalloc.start()
    start = time.perf_counter()
    yield
    taken = time.perf_counter() - start
    if measured:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 20 and peak < 600 * 2**20, (taken, peak)
    assert not any(folder.iterdir())


def refused(model: Any, pattern: str) -> None:
    """All three entries refuse a model in one line, whose cause matches."""
    for entry in ENTRIES.values():
        with pytest.raises(sg.StaticgradError, match=pattern) as caught:
            entry(model)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 3000


def text(body: str, inputs: str = "float[3] x", outputs: str = "float[3] y", opset: int = 18) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )


def plain() -> onnx.ModelProto:
    model = text("h = Mul(x, w)  y = Add(h, x)")
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    return model


def changed(change: Callable[[onnx.ModelProto], Any], of: Callable[[], onnx.ModelProto] = plain) -> onnx.ModelProto:
    model = of()
    change(model)
    return model


# - files and bytes -


def test_what_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.onnx", "does not exist")
    refused(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is no file")
    refused("/dev/zero", "is no file")
    refused("a\0b", "cannot read|is no file|does not exist")
    refused("x" * 5000, "cannot read|does not exist")
    refused(3, "is no model")
    refused(None, "is no model")


def test_what_is_no_model(tmp_path: Path) -> None:
    data = plain().SerializeToString()
    for name, content in {
        "empty": b"",
        "text": b"hello",
        "noise": bytes(range(256)),
        "half": data[: len(data) // 2],
    }.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        refused(path, "is no ONNX model|cannot be read as an ONNX model")
        refused(content, "is no ONNX model|cannot be read as an ONNX model")
    with open(tmp_path / "large.onnx", "wb") as stream:
        stream.truncate(2**31)
    refused(tmp_path / "large.onnx", "2 GiB or more")


def test_every_beginning_of_a_model() -> None:
    data = plain().SerializeToString()
    for length in range(len(data)):
        try:
            sg.from_onnx(data[:length])
        except sg.StaticgradError:
            pass


@pytest.mark.parametrize(
    ("field", "value", "pattern"),
    [
        ("ir_version", 0, "no IR version"),
        ("ir_version", 2, "IR version 2"),
        ("ir_version", 9999, "IR version 9999"),
        ("ir_version", -1, "IR version -1"),
    ],
)
def test_versions_of_the_format(field: str, value: int, pattern: str) -> None:
    refused(changed(lambda m: setattr(m, field, value)), pattern)


def _opsets(*versions: tuple[str, int]) -> onnx.ModelProto:
    def change(m: onnx.ModelProto) -> None:
        del m.opset_import[:]
        m.opset_import.extend(helper.make_opsetid(d, v) for d, v in versions)

    return changed(change)


def test_versions_of_operators() -> None:
    refused(_opsets(), "names no version of ONNX's own operators")
    refused(_opsets(("", 99)), "opset 99")
    refused(_opsets(("", 0)), "version 0 of the domain ''")
    refused(_opsets(("", 1)), "its form in opsets below 7 is not known")
    refused(_opsets(("", 2**40)), "version 1099511627776")
    refused(_opsets(("", 18), ("own", 0)), "version 0 of the domain")
    refused(_opsets(("", 18), ("ai.onnx", 17)), "two versions of the domain")
    sg.from_onnx(_opsets(("", 18), ("ai.onnx", 18)))


# - names and nodes -

_HOSTILE = {
    "an input without a name": (lambda m: setattr(m.graph.input[0], "name", ""), "an input has no name"),
    "inputs of one name": (lambda m: m.graph.input.append(m.graph.input[0]), "an input, 'x', is there twice"),
    "outputs of one name": (lambda m: m.graph.output.append(m.graph.output[0]), "output 'y' is there twice"),
    "no outputs": (lambda m: m.graph.ClearField("output"), "has no outputs"),
    "initializers of one name": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "'w', is there twice"),
    "an initializer without a name": (lambda m: m.graph.initializer[0].ClearField("name"), "initializer has no name"),
    "results of one name": (lambda m: m.graph.node.append(m.graph.node[0]), "'h' is given twice; node"),
    "a result called as an input": (lambda m: m.graph.node[0].output.append("x"), "'x' is given twice; node"),
    "a value that nobody gives": (lambda m: m.graph.node[0].input.__setitem__(0, "q"), "'q' is used.*node 'h'"),
    "an output that nobody gives": (lambda m: setattr(m.graph.output[0], "name", "q"), "'q' is used"),
    "a circle": (lambda m: m.graph.node[0].input.__setitem__(0, "y"), "depends on its own result"),
    "a zero byte": (lambda m: m.graph.node[0].input.__setitem__(0, "literal\x001"), "zero byte"),
    "too many inputs": (lambda m: m.graph.node[0].input.append("x"), "it has 3 inputs, 2 are expected; node 'h'"),
    "no inputs": (lambda m: m.graph.node[0].ClearField("input"), "it has 0 inputs, 2 are expected"),
    "too many outputs": (lambda m: m.graph.node[0].output.append("z"), "it has 2 outputs, 1 are expected"),
    "an unknown operator": (lambda m: setattr(m.graph.node[0], "op_type", "Nothing"), "no operator 'Nothing'"),
    "an operator of two lines": (lambda m: setattr(m.graph.node[0], "op_type", "a\nb"), "no operator"),
    "an unknown domain": (lambda m: setattr(m.graph.node[0], "domain", "q"), "no version of the domain 'q'; node"),
    "an unknown attribute": (
        lambda m: m.graph.node[0].attribute.append(helper.make_attribute("axis", 1)),
        "has no attribute 'axis'; node 'h'",
    ),
    "an input without a type": (lambda m: m.graph.input[0].ClearField("type"), "a type is missing"),
    "an unknown element type": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 99), "type 99"),
    "an unknown element type of a tensor": (lambda m: setattr(m.graph.initializer[0], "data_type", 99), "type 99"),
    "a tensor in segments": (lambda m: setattr(m.graph.initializer[0].segment, "begin", 0), "segments"),
    "a negative size": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -3), "negative size"),
    "a short tensor": (lambda m: setattr(m.graph.initializer[0], "raw_data", b"1234"), "does not hold the numbers"),
    "another element type": (lambda m: setattr(m.graph.initializer[0], "data_type", 11), "does not hold the numbers"),
    "strings in place of numbers": (
        lambda m: m.graph.initializer[0].CopyFrom(helper.make_tensor("w", 8, [3], ["a", "b", "c"])),
        "node 'h'",
    ),
    "a huge size": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 10**12), "does not hold the numbers"),
    "huge sizes": (lambda m: m.graph.initializer[0].dims.extend([2**62, 2**62, 2**62]), "does not hold the numbers"),
    "a huge size without data": (
        lambda m: m.graph.initializer[0].CopyFrom(onnx.TensorProto(name="w", data_type=1, dims=[10**12])),
        "does not hold the numbers",
    ),
    "a million axes": (lambda m: m.graph.initializer[0].dims.extend([1] * 10**6), "axes, at most"),
    "a million axes of an input": (
        lambda m: m.graph.input[0].type.CopyFrom(helper.make_tensor_type_proto(1, [10**12] * 100_000)),
        "axes, at most",
    ),
}


@pytest.mark.parametrize("case", _HOSTILE)
def test_a_model_that_is_no_model(case: str) -> None:
    change, pattern = _HOSTILE[case]
    refused(changed(change), pattern)


def test_bad_text() -> None:
    model = plain()
    model.doc_string = "doc_string_here"
    model.metadata_props.add(key="key_here", value="value_here")
    data = model.SerializeToString()
    for word in (b"doc_string_here", b"key_here", b"value_here", b"Mul", b"\x01h", b"\x01w", b"\x01x", b"\x01y"):
        bad = data.replace(word, word[:-1] + b"\xff")
        assert bad != data
        refused(bad, "UTF-8|cannot be read as an ONNX model")


def test_an_attribute_of_another_kind() -> None:
    for value in ("a", 1.5, [1, 2], [1.5], ["a"], np.zeros(2, np.float32)):
        model = text("y = Softmax<axis = 0>(x)")
        given = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        model.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("axis", given))
        refused(model, "'axis' is of kind .*, INT is expected; node 'y'")
    model = text("y = Softmax<axis = 0>(x)")
    model.graph.node[0].attribute.append(model.graph.node[0].attribute[0])
    refused(model, "an attribute is there twice; node 'y'")
    model = text("y = Softmax<axis = 0>(x)")
    model.graph.node[0].attribute[0].ref_attr_name = "axis"
    refused(model, "outside of any; node 'y'")
    refused(text("y = Cast(x)"), "'to' is missing; node 'y'")


def test_a_default_that_is_none_for_its_input() -> None:
    for array in (np.zeros(2, np.float32), np.zeros(3, np.int64), np.zeros((3, 1), np.float32)):
        model = plain()
        model.graph.initializer.append(numpy_helper.from_array(array, "x"))
        refused(model, r"the input 'x' is f32\[3\], its initializer")


# - sizes -


def literal(name: str, numbers: list[int]) -> str:
    return f"{name} = Constant<value = int64[{len(numbers)}] {{{', '.join(map(str, numbers))}}}>()"


HUGE = 10**12
_SIZES = [
    text(f"{literal('s', [HUGE])}  f = ConstantOfShape(s)  m = ReduceMean<keepdims = 0>(f)  y = Mul(x, m)"),
    text(f"{literal('s', [HUGE, 3])}  f = Expand(x, s)  y = ReduceMean<keepdims = 0>(f, a)  {literal('a', [0])}"),
    text(f"{literal('s', [HUGE])}  f = Tile(x, s)  m = ReduceMean<keepdims = 0>(f)  y = Mul(x, m)"),
    text(
        "a = Constant<value = int64 {0}>()  b = Constant<value = int64 {1000000000000}>()"
        "c = Constant<value = int64 {1}>()  r = Range(a, b, c)  f = Cast<to = 1>(r)"
        "m = ReduceMean<keepdims = 0>(f)  y = Mul(x, m)"
    ),
    text(
        f"d = Constant<value = int64 {{{HUGE}}}>()  i = Cast<to = 7>(x)  v = Constant<value = float[2] {{0, 1}}>()"
        f"f = OneHot(i, d, v)  m = ReduceMean<keepdims = 0>(f)  y = Mul(x, m)"
    ),
    text(f"{literal('p', [HUGE, HUGE])}  f = Pad(x, p)  m = ReduceMean<keepdims = 0>(f)  y = Mul(x, m)"),
    text(
        f"{literal('s', [1, 1, 1, HUGE, 3])}  e = Expand(x, s)  c = Constant<value = float[5] {{1, 1, 1, 2, 1}}>()"
        f'r = Resize<mode = "linear">(e, , c)  m = ReduceMean<keepdims = 0>(r)  y = Mul(x, m)'
    ),
    text(
        f"y = Mul(x, x)  z = AveragePool<kernel_shape = [{HUGE}], pads = [{HUGE - 1}, 0]>(v)",
        "float[3] x, float[1, 1, 9] v",
        "float[3] y, float[1, 1, 9] z",
    ),
    text(
        "z = MaxPool<kernel_shape = [100000], dilations = [2], pads = [9, 0]>(v)",
        f"float[1, 1, {HUGE}] v",
        "float[1, 1, B] z",
    ),
    text(f"z = MaxPool<kernel_shape = [2, {HUGE}]>(v)", f"float[1, 1, 9, {HUGE}] v", "float[1, 1, B, C] z"),
    text(f"z = LpPool<kernel_shape = [{HUGE}]>(v)", f"float[1, 1, {2 * HUGE}] v", "float[1, 1, B] z"),
    text("z = MaxPool<kernel_shape = [3], strides = [2147483647]>(v)", "float[1, 1, N] v", "float[1, 1, B] z"),
    text(f"z = LRN<size = {HUGE + 1}>(v)", f"float[1, {HUGE}, 1] v", f"float[1, {HUGE}, 1] z"),
    text("z = Det(v)", f"float[{HUGE}, {HUGE}] v", "float z"),
    text("z = Det(v)", "float[2000, 2000] v", "float z"),
    text(f"z = CumSum(v, a)  {literal('b', [0])}  a = Squeeze(b)", f"float[{HUGE}] v", f"float[{HUGE}] z"),
    text(
        f"l = Constant<value = int64 {{{HUGE}}}>()  z = DFT(v, l)", f"float[1, {HUGE}, 2] v", f"float[1, {HUGE}, 2] z"
    ),
    text(f"z = DepthToSpace<blocksize = {HUGE}>(v)", f"float[1, {HUGE}, 1, 1] v", "float[A, B, C, D] z"),
    text(f"z, w = Split<num_outputs = {HUGE}>(v)", f"float[{HUGE}] v", "float[A] z, float[B] w"),
    text("z = GatherElements<axis = 0>(v, i)", f"float[{HUGE}] v, int64[{HUGE}] i", f"float[{HUGE}] z"),
    text(
        f"z = Conv<kernel_shape = [{HUGE}]>(v, w)", f"float[1, 1, {HUGE}] v, float[1, 1, {HUGE}] w", "float[1, 1, B] z"
    ),
    text(
        f"z = ConvTranspose<strides = [{HUGE}]>(v, w)", f"float[1, 1, {HUGE}] v, float[1, 1, 3] w", "float[1, 1, B] z"
    ),
    text("z = TopK(v, k)  ", f"float[{HUGE}] v, int64[1] k", "float[B] z"),
    text(
        f"{literal('s', [-1])}  a = Mul(v, w)  b = Reshape(a, s)  z = ReduceMean<keepdims = 0>(b)",
        f"float[{2**40}, 1] v, float[1, {2**40}] w",
        "float z",
    ),
]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("model", _SIZES, ids=lambda m: m.graph.node[-1].op_type + "-" + m.graph.node[0].op_type)
def test_huge_sizes_are_types_only(model: onnx.ModelProto, entry: str) -> None:
    start = time.perf_counter()
    try:
        ENTRIES[entry](model)
    except sg.StaticgradError as error:
        assert "\n" not in str(error)
    assert time.perf_counter() - start < 8


def test_sizes_of_many_terms_are_given_up() -> None:
    """Products of sums of named sizes would have twice as many terms for each factor."""
    names = [f"a{i}" for i in range(40)]
    body, last = [literal("s", [-1]), literal("c", [-1, 1]), literal("r", [1, -1])], "v0"
    for i in range(0, 40, 2):
        body.append(f"j{i} = Concat<axis = 0>({names[i]}, {names[i + 1]})")
        if i:
            body.append(
                f"c{i} = Reshape({last}, c)  r{i} = Reshape(j{i}, r)  p{i} = Mul(c{i}, r{i})  v{i} = Reshape(p{i}, s)"
            )
            last = f"v{i}"
        else:
            body.append("v0 = Identity(j0)")
    body.append(f"y = ReduceMean<keepdims = 0>({last})")
    model = text("\n".join(body), ", ".join(f"float[N{i}] {n}" for i, n in enumerate(names)), "float y")
    start = time.perf_counter()
    sg.gradient_model(model)
    assert time.perf_counter() - start < 5


def test_names_of_sizes_that_are_hard_to_tell_apart() -> None:
    names = [chr(0x4E00 + i) for i in range(3000)]
    inputs = [helper.make_tensor_value_info(f"x{i}", 1, [n]) for i, n in enumerate(names)]
    nodes = [helper.make_node("Concat", [i.name for i in inputs], ["y"], axis=0)]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", 1, ["Y"])])
    start = time.perf_counter()
    sg.from_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    assert time.perf_counter() - start < 5


def test_names_of_sizes_cannot_pose_as_sizes_known_to_be_equal() -> None:
    """Names within a program are text as well: `?7` is a size that nobody named."""
    from staticgrad.types import unknown

    following = int(unknown()[1:])
    for guess in (f"?{following + k}" for k in range(40)):
        model = text("z = NonZero(x)  f = Cast<to = 1>(z)  y = Add(f, v)", "float[3] x, float[1, N] v", "float[1, K] y")
        model.graph.input[1].type.tensor_type.shape.dim[1].dim_param = guess
        read = sg.from_onnx(model)
        assert read.inputs["v"].type.shape[1] != guess


# - what expands -


def functions(count: int, each: int, start: str = "f0") -> onnx.ModelProto:
    texts = [
        f'<ir_version: 10, opset_import: ["" : 18, "own" : 1]> g (float[3] x) => (float[3] y) {{ y = own.{start}(x) }}'
    ]
    for i in range(count):
        calls = "  ".join(f"v{k + 1} = own.f{i + 1}(v{k})" for k in range(each))
        texts.append(f'<domain: "own", opset_import: ["" : 18, "own" : 1]> f{i} (v0) => (v{each}) {{ {calls} }}')
    texts.append(f'<domain: "own", opset_import: ["" : 18]> f{count} (v) => (w) {{ w = Tanh(v) }}')
    return parser.parse_model("\n".join(texts))


def test_functions_without_end() -> None:
    refused(functions(60, 2), "more than .* nodes with its functions expanded")
    refused(functions(20, 2), "more than .* nodes with its functions expanded")
    refused(functions(3000, 1), "deeper than 100")
    sg.from_onnx(functions(90, 1))
    direct = functions(0, 1)
    direct.functions[0].node[0].CopyFrom(helper.make_node("f0", ["v"], ["w"], domain="own"))
    refused(direct, "'f0' calls itself")
    mutual = functions(2, 1)
    mutual.functions[2].node[0].CopyFrom(helper.make_node("f0", ["v"], ["w"], domain="own"))
    refused(mutual, "calls itself")
    doubled = functions(1, 1)
    doubled.functions.append(doubled.functions[0])
    refused(doubled, "is there twice")
    narrow = functions(1, 1)
    narrow.graph.node[0].input.append("x")
    refused(narrow, "fewer inputs or outputs than it is called with; node 'y'")
    future = functions(0, 1)
    future.functions[0].opset_import[0].version = 999
    refused(future, "'f0' has opset 999.*node 'y'")


def nested(depth: int) -> onnx.ModelProto:
    """`If`s within `If`s; protobuf itself neither reads nor writes them so deep."""
    model = text(
        "y = If<then_branch = a () => (float[3] r) { r = Mul(x, x) },"
        " else_branch = b () => (float[3] q) { q = Exp(x) }>(c)",
        "bool c, float[3] x",
    )
    node = model.graph.node[0]
    for _ in range(depth):
        inner = node.attribute[0].g
        made = onnx.NodeProto(op_type="If", input=["c"], output=["r"])
        for name in ("then_branch", "else_branch"):
            attribute = made.attribute.add(name=name, type=onnx.AttributeProto.GRAPH)
            attribute.g.name = name
            attribute.g.output.add(name="s")
            attribute.g.node.add(op_type="Exp", input=["x"], output=["s"])
        del inner.node[:]
        inner.node.append(made)
        node = inner.node[0]
        inner.output[0].name = "r"
    return model


def test_bodies_without_end() -> None:
    sg.gradient_model(nested(10))
    sg.gradient_model(nested(29)).SerializeToString()
    refused(nested(1000), "nested deeper than 30")
    refused(nested(10_000), "nested deeper than 30")


def test_loops_that_widen_loops() -> None:
    """Each body is read until its sizes are as wide as they become, but not again and again for those around it."""
    body = "g = Identity(go)  k = Concat<axis = 0>(h, x)"
    for i in range(20):
        body = (
            f"g = Identity(go)  k = Loop(n, t, h) <body = b{i} (int64 i, bool go, float[K] h) => (bool g, float[L] k)"
            f" {{ {body} }}>"
        )
    model = text(
        "t = Constant<value = bool {1}>()  y = Loop(n, t, x) <body = b (int64 i, bool go, float[K] h) => "
        f"(bool g, float[L] k) {{ {body} }}>",
        "int64 n, float[3] x",
        "float[N] y",
    )
    start = time.perf_counter()
    sg.gradient_model(model)
    assert time.perf_counter() - start < 15


def test_bodies_that_fit_nothing() -> None:
    loop = "t = Constant<value = bool {1}>()  y = Loop(n, t, x) <body = b (%s) => (%s) { %s }>"
    inputs = "int64 n, float[3] x"
    refused(text(loop % ("int64 i, bool go", "bool go", ""), inputs), "node 'y'")
    refused(
        text(
            loop % ("int64 i, bool go, float[3] h, float[3] q", "bool g, float[3] k", "g = Identity(go) k = Exp(h)"),
            inputs,
        ),
        "4 inputs, 3 are handed",
    )
    refused(text(loop % ("int64 i, bool go, float[3] h", "bool g", "g = Identity(go)"), inputs), "node 'y'")
    refused(
        text(loop % ("int64 i, bool go, float[3] go", "bool g", "g = Identity(go)"), inputs),
        "'go', is there twice; node 'y'",
    )
    refused(
        text(loop % ("int64 i, bool go, float[3] h", "bool g, float[3] k", "g = Identity(go) k = Mul(h, q)"), inputs),
        "'q' is used",
    )
    refused(
        text(
            loop % ("int64 i, bool go, float[3] h", "bool g, int64[3] k", "g = Identity(go) k = Cast<to = 7>(h)"),
            inputs,
        ),
        "hands on i64",
    )
    # A rank that changes is a rank that nobody knows.
    changing = text(
        loop
        % (
            "int64 i, bool go, float[A] h",
            "bool g, float[B] k",
            "g = Identity(go) a = Constant<value = int64[1] {0}>() k = Unsqueeze(h, a)",
        ),
        inputs,
    )
    try:
        sg.gradient_model(changing)
    except sg.StaticgradError:
        pass
    for count in (-1, 5, 2**62):
        scan = text(f"y = Scan<num_scan_inputs = {count}, body = b (float[3] h) => (float[3] k) {{ k = Exp(h) }}>(x)")
        refused(scan, "num_scan_inputs|node 'y'")


# - external data -


def external(folder: Path, location: str = "w.data", **entries: Any) -> Path:
    model = plain()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_stays_in_its_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        (folder / "w.data").write_bytes(np.full(3, 2, np.float32).tobytes())
    for location in (
        "",
        ".",
        "./",
        "/",
        str(outside / "w.data"),
        str(inside / "w.data"),
        "../outside/w.data",
        "a/../w.data",
    ):
        refused(external(inside, location), "outside the folder")
    (inside / "link").symlink_to(outside / "w.data")
    refused(external(inside, "link"), "outside the folder")
    (inside / "linked").symlink_to(outside)
    refused(external(inside, "linked/w.data"), "outside the folder")
    (inside / "circle").symlink_to(inside / "circle")
    refused(external(inside, "circle"), "no file")
    (inside / "near").symlink_to("w.data")
    sg.from_onnx(external(inside, "near"))
    os.mkfifo(inside / "pipe")
    for location in ("absent", "pipe", "x" * 5000, "w.data/x"):
        refused(external(inside, location), "no file beside the model")
    refused(external(inside, "a\0b").read_bytes(), "give the path")
    refused(external(inside, "a\0b"), "outside the folder")


def test_external_data_has_the_length_that_is_needed(tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(np.full(4, 2, np.float32).tobytes())
    sg.from_onnx(external(tmp_path, offset=4, length=12))
    for entries in (
        {"offset": -4},
        {"offset": 8},
        {"offset": 2**70},
        {"length": 8},
        {"length": -1},
        {"length": 10**30},
        {"offset": "a"},
        {"offset": "9" * 5000},
        {"length": ""},
    ):
        refused(external(tmp_path, **entries), "'w'")
    path = external(tmp_path)
    model = onnx.ModelProto.FromString(path.read_bytes())
    model.graph.initializer[0].dims[0] = 10**12
    path.write_bytes(model.SerializeToString())
    refused(path, "needs 4000000000000 bytes")


# - sparse tensors -


@pytest.mark.parametrize(
    ("indices", "values", "dims"),
    [
        ([5], [1.0], [3]),
        ([-1], [1.0], [3]),
        ([0, 1], [1.0], [3]),
        ([[0, 3]], [1.0], [3, 3]),
        ([[0]], [1.0], [3, 3]),
        ([9], [1.0], [3, 3]),
        ([0], [1.0], []),
        ([0], [1.0], [-1]),
        ([0], [1.0], [HUGE]),
        ([0], [1.0], [2**32, 2**32, 2**32]),
        ([0.0], [1.0], [3]),
    ],
)
def test_sparse_initializers_that_fit_nothing(indices: Any, values: Any, dims: list[int]) -> None:
    model = plain()
    del model.graph.initializer[:]
    held = numpy_helper.from_array(np.array(values, np.float32), "w")
    at = numpy_helper.from_array(np.array(indices), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(held, at, dims))
    refused(model, "sparse tensor 'w'")


# - at random -


def tried(
    bases: dict[str, onnx.ModelProto], breaks: Callable[[onnx.ModelProto, random.Random], Any], seed: int, count: int
) -> list[tuple[bytes, bytes]]:
    """Broken models that have a gradient model, with it; all others are refused in one line, in a moment."""
    names = sorted(bases)
    found = []
    for number in range(seed, seed + count):
        draw = random.Random(number)
        name = draw.choice(names)
        model = breaks(bases[name], draw)
        start = time.perf_counter()
        try:
            sg.from_onnx(model)
            made = sg.gradient_model(model)
        except sg.StaticgradError as error:
            assert "\n" not in str(error), (name, number)
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {error!r}") from error
        else:
            proto = onnx.ModelProto.FromString(model) if isinstance(model, bytes) else model
            try:
                onnx.checker.check_model(made)
            except onnx.checker.ValidationError:
                # It asks for shapes of inputs and outputs, which runtimes do without.
                assert any("shape" in str(e) for e in _complaints(proto)), (name, number)
            found.append((proto.SerializeToString(), made.SerializeToString()))
        assert time.perf_counter() - start < 5, (name, number)
    return found


def _complaints(model: onnx.ModelProto) -> list[Exception]:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        return [error]
    return []


def in_bytes(model: onnx.ModelProto, draw: random.Random) -> bytes:
    return hostile.broken_bytes(model.SerializeToString(), draw)


@pytest.mark.parametrize(
    ("own", "breaks", "seed", "count", "sample"),
    [
        (True, in_bytes, 100_000, 600, 3),
        (True, hostile.broken_proto, 200_000, 900, 5),
        (False, in_bytes, 300_000, 600, 3),
        (False, hostile.broken_proto, 400_000, 900, 3),
    ],
    ids=["own-bytes", "own-parts", "onnx-bytes", "onnx-parts"],
)
def test_models_broken_at_random(
    own: bool, breaks: Callable[..., Any], seed: int, count: int, sample: int, tmp_path: Path
) -> None:
    bases = hostile.models() if own else {case.name: case.model for case in cases()[::9]}
    found = tried(bases, breaks, seed, count)
    assert len(found) > count / 60
    verdicts = hostile_runner.judged(found[::sample], tmp_path)
    assert not [v for v in verdicts if v not in ("same", "invalid", "no kernel")]
    assert verdicts.count("same") > len(verdicts) / 4


def test_models_that_are_whole_have_gradient_models_that_run(tmp_path: Path) -> None:
    pairs = []
    for name, model in hostile.models().items():
        if name not in ("sequence", "foreign"):
            pairs.append((model.SerializeToString(), sg.gradient_model(model).SerializeToString()))
    assert set(hostile_runner.judged(pairs, tmp_path)) == {"same"}
