"""What a model may be made of, read and written again: the same outputs on onnxruntime, and right gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from evaluation import SETTINGS, Array
from onnx import helper, numpy_helper, parser
from staticgrad.exporters import to_model

import staticgrad as sg
from staticgrad.graph import Leaf

X = np.array([0.3, -0.7, 1.1], np.float32)


def text(body: str, inputs: str = "float[3] x", outputs: str = "float[3] y", opset: int = 18, more: str = "") -> Any:
    return parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}, "own" : 1]> g ({inputs}) => ({outputs}) {{ {body} }} {more}'
    )


def run(model: onnx.ModelProto | Path, feeds: dict[str, Array]) -> list[Any]:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, SETTINGS, ["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}
    found: list[Any] = session.run(None, {n: a for n, a in feeds.items() if n in names})
    return found


def rewritten(model: onnx.ModelProto | Path) -> onnx.ModelProto:
    read = sg.from_onnx(model)
    arrays = {n: p.node.initial for n, p in read.parameters.items() if isinstance(p.node, Leaf)}
    made = to_model(read.graph, {}, {n: a for n, a in arrays.items() if a is not None})
    onnx.checker.check_model(made)
    return made


def check(model: onnx.ModelProto | Path, gradient: bool = True, forward: bool = True, **feeds: Array) -> list[Any]:
    """Read and written a model gives the same, and the gradient of the sum of its outputs is right."""
    expected = run(model, feeds) if forward else run(rewritten(model), feeds)
    for a, b in zip(expected, run(rewritten(model), feeds), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-5)
    if gradient:
        name = next(n for n, a in feeds.items() if a.dtype == np.float32)
        derived = sg.gradient_model(model, wrt=name)
        onnx.checker.check_model(derived)
        names = [o.name for o in derived.graph.output]
        values = dict(zip(names, expected, strict=False))
        seeds = {
            i.name: np.ones_like(values[i.name.removeprefix("cotangent.")])
            for i in derived.graph.input
            if i.name.startswith("cotangent.")
        }
        found = run(derived, {**feeds, **seeds})
        for a, b in zip(expected, found, strict=False):
            np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-5)
        slope = dict(zip(names, found, strict=True))[f"grad.{name}"]
        floats = [k for k, y in enumerate(expected) if y.dtype.kind == "f"]

        def total(x: Array) -> float:
            results = run(model if forward else rewritten(model), {**feeds, name: np.asarray(x)})
            return sum(float(results[k].astype(np.float64).sum()) for k in floats)

        numeric, step = np.zeros(feeds[name].shape), 1e-2
        for at in np.ndindex(numeric.shape):
            moved = np.zeros_like(feeds[name])
            moved[at] = step
            numeric[at] = (total(feeds[name] + moved) - total(feeds[name] - moved)) / (2 * step)
        np.testing.assert_allclose(slope, numeric, rtol=5e-2, atol=5e-3)
    return expected


@pytest.mark.parametrize("opset", range(7, 29))
def test_opsets(opset: int) -> None:
    """Those that onnxruntime does not know are read into ones that it does."""
    model = text("a = Tanh(x)  b = Mul(a, x)  y = Relu(b)", opset=opset)
    check(model, forward=opset <= 26, x=X)


@pytest.mark.parametrize("ir", [3, 4, 7, 8, 9, 10, 11, 12, 13])
def test_formats(ir: int) -> None:
    model = text("y = Mul(x, w)", opset=9)
    del model.opset_import[1]
    model.ir_version = ir
    model.graph.initializer.append(numpy_helper.from_array(X + 1, "w"))
    if ir == 3:
        model.graph.input.append(helper.make_tensor_value_info("w", 1, [3]))
    assert list(sg.from_onnx(model).parameters) == ["w"]
    check(model, forward=ir <= 11, x=X)
    if ir > 3:
        # From then on an initializer with an input of its name is a default.
        model.graph.input.append(helper.make_tensor_value_info("w", 1, [3]))
        read = sg.from_onnx(model)
        assert list(read.inputs) == ["x", "w"] and not read.parameters
        derived = sg.gradient_model(model, wrt=["x", "w"])
        y, of_x, of_w = run(derived, {"x": X, "cotangent.y": np.ones(3, np.float32)}) if ir <= 11 else (None, X + 1, X)
        np.testing.assert_array_equal(of_x, X + 1)
        np.testing.assert_array_equal(of_w, X)
        assert y is None or np.array_equal(y, X * (X + 1))


_SPARSE = helper.make_sparse_tensor(
    numpy_helper.from_array(np.array([2, 5], np.float32), "w"), numpy_helper.from_array(np.array([0, 2]), "i"), [3]
)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("value", numpy_helper.from_array(X)),
        ("value_float", 2.5),
        ("value_floats", [1.5, 2.5, -1.0]),
        ("value_int", 3),
        ("value_ints", [3, 4, 5]),
        ("sparse_value", _SPARSE),
    ],
)
def test_constants(attribute: str, value: Any) -> None:
    model = text("d = Cast<to = 1>(c)  y = Mul(x, d)")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], **{attribute: value}))
    check(model, x=X)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_sparse_initializers(shape: tuple[int, ...]) -> None:
    dense = np.zeros(shape, np.float32)
    dense[..., 1] = 2
    flat = np.flatnonzero(dense)
    for indices in (flat, np.argwhere(dense)):
        model = text("y = Mul(x, w)", outputs="float[A, 3] y" if len(shape) == 2 else "float[3] y")
        values = numpy_helper.from_array(dense.ravel()[flat], "w")
        model.graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, numpy_helper.from_array(np.ascontiguousarray(indices), "i"), shape)
        )
        read = sg.from_onnx(model)
        np.testing.assert_array_equal(read.parameters["w"].node.initial, dense)  # type: ignore[attr-defined]
        y = run(rewritten(model), {"x": X})[0]
        np.testing.assert_array_equal(y, X * dense)


def test_external_data(tmp_path: Path) -> None:
    model = text("a = Mul(x, w)  y = Add(a, v)")
    arrays = {"w": X + 1, "v": X * 3}
    data = bytearray(b"\1" * 10)
    for name, array in arrays.items():
        tensor = model.graph.initializer.add(name=name, data_type=1, dims=[3], data_location=1)
        entries = {"location": "data.bin", "offset": len(data), "length": array.nbytes, "checksum": "none"}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        data += array.tobytes() + b"\2" * 6
    (tmp_path / "data.bin").write_bytes(data)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    y = check(path, x=X)[0]
    np.testing.assert_allclose(y, X * arrays["w"] + arrays["v"], rtol=1e-6)


FUNCTIONS = """
    <domain: "own", opset_import: ["" : 18]>
    leaky <slope: float = 0.25, shift: int = 1> (x) => (y) {
        a = LeakyRelu<alpha: float = @slope>(x)
        s = Constant<value_int: int = @shift>()  t = Cast<to = 1>(s)  y = Add(a, t)
    }
    <domain: "own", opset_import: ["" : 18, "own" : 1]>
    outer <slope> (x) => (y) { b = own.leaky<slope: float = @slope>(x)  y = Mul(b, x) }
    <domain: "own", opset_import: ["" : 18]>
    branched <slope: float = 0.5> (x) => (y) {
        z = Constant<value = float {0}>()  s = ReduceSum<keepdims = 0>(x)  c = Greater(s, z)
        y = If (c) <then_branch = a () => (r) { r = LeakyRelu<alpha: float = @slope>(x) },
                    else_branch = b () => (q) { q = Mul(x, x) }>
    }"""


@pytest.mark.parametrize(
    "body",
    [
        "y = own.leaky(x)",
        "y = own.leaky<slope = 0.7, shift = 3>(x)",
        "y = own.outer<slope = 0.7>(x)",
        "y = own.outer(x)",
        "a = own.leaky(x)  y = own.branched<slope = 0.1>(a)",
    ],
)
def test_functions(body: str) -> None:
    check(text(body, more=FUNCTIONS), x=X)


def test_functions_off_the_path_stay_functions() -> None:
    model = text(
        "y = Tanh(x)  w = own.outer<slope = 0.7>(z)",
        "float[3] x, float[3] z",
        "float[3] y, float[3] w",
        more=FUNCTIONS,
    )
    derived = sg.gradient_model(model, of="y", wrt="x")
    onnx.checker.check_model(derived, full_check=True)
    assert {f.name for f in derived.functions} == {"leaky", "outer"}
    feeds = {"x": X, "z": X * 2, "cotangent.y": np.ones(3, np.float32)}
    expected = [*run(model, feeds), 1 - np.tanh(X) ** 2]
    for a, b in zip(expected, run(derived, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 18, 21, 23])
@pytest.mark.parametrize("body", ["y = Softmax(x)", "y = Sigmoid(x)", "a = ReduceMax<keepdims = 1>(x)  y = Sub(x, a)"])
def test_functions_of_other_opsets(body: str, opset: int) -> None:
    """A function keeps its own operators or is expanded: runtimes read it in the opset of the model."""
    function = f'<domain: "own", opset_import: ["" : {opset}]> f (x) => (y) {{ {body} }}'
    model = text(
        "y = Tanh(x)  w = own.f(z)", "float[3] x, float[2, 3, 2] z", "float[3] y, float[2, 3, 2] w", opset, function
    )
    derived = sg.gradient_model(model, of="y", wrt="x")
    onnx.checker.check_model(derived, full_check=True)
    feeds = {"x": X, "z": np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2), "cotangent.y": X}
    expected = [*run(model, feeds), X * (1 - np.tanh(X) ** 2)]
    for a, b in zip(expected, run(derived, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert bool(derived.functions) == (opset >= 13)


def test_overloads_of_functions() -> None:
    bodies = {"": "Tanh", "b": "Exp"}
    for called, operator in bodies.items():
        model = text("w = own.f(z)  y = Sin(x)", "float[3] x, float[3] z", "float[3] y, float[3] w")
        model.graph.node[0].overload = called
        for overload, inner in bodies.items():
            model.functions.append(
                helper.make_function(
                    "own",
                    "f",
                    ["x"],
                    ["y"],
                    [helper.make_node(inner, ["x"], ["y"])],
                    [helper.make_opsetid("", 18)],
                    overload=overload,
                )
            )
        function = np.tanh if operator == "Tanh" else np.exp
        feeds = {"x": X, "z": X * 2, "cotangent.y": X}
        for made in (rewritten(model), sg.gradient_model(model, of="y", wrt="x")):
            np.testing.assert_allclose(run(made, feeds)[1], function(X * 2), rtol=1e-5)
        _, w, slope = run(sg.gradient_model(model, of="w", wrt="z"), {**feeds, "cotangent.w": X})
        np.testing.assert_allclose(slope, X * (1 - w**2 if operator == "Tanh" else w), rtol=1e-5)


def test_inputs_and_outputs_left_out() -> None:
    # A bound in the middle, and outputs at the end and in front.
    check(text("h = Constant<value = float {0.5}>()  y = Clip(x, , h)"), x=X)
    lstm = helper.make_node("LSTM", ["x", "w", "r", "", "", "", "", ""], ["", "h"], hidden_size=2)
    graph = helper.make_graph(
        [lstm],
        "g",
        [helper.make_tensor_value_info("x", 1, ["T", 1, 2])],
        [helper.make_tensor_value_info("h", 1, [1, 1, 2])],
        [numpy_helper.from_array(np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 8, 2), n) for n in "wr"],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    check(model, x=np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 1, 2))


def test_captures_from_two_levels_out_and_shadowed_names() -> None:
    model = text(
        """d = Mul(x, x)
        y = If (c) <
            then_branch = a () => (float[3] r) {
                e = Exp(x)
                r = If (k) <
                    then_branch = b () => (float[3] s) { t = Mul(d, e)  s = Mul(t, x) },
                    else_branch = f () => (float[3] u) { u = Add(d, e) }
                >
            },
            else_branch = h () => (float[3] v) { v = Neg(d) }
        >""",
        "bool c, bool k, float[3] x",
    )
    for c in (True, False):
        for k in (True, False):
            check(model, c=np.array(c), k=np.array(k), x=X)
    # Two bodies may use one name, each for itself.
    model = text(
        """y = If (c) <
            then_branch = a () => (float[3] r) { t = Exp(x)  r = Mul(t, x) },
            else_branch = b () => (float[3] r) { t = Sin(x)  r = Add(t, x) }
        >""",
        "bool c, float[3] x",
    )
    for c in (True, False):
        check(model, c=np.array(c), x=X)


def test_sizes_that_are_named_unknown_or_one() -> None:
    model = text("a = Add(x, z)  y = Mul(a, x)", "float[N, M] x, float[K, M] z", "float[A, B] y")
    for first, second in (((2, 3), (2, 3)), ((1, 3), (2, 3)), ((2, 1), (1, 1)), ((1, 1), (1, 1)), ((0, 3), (1, 3))):
        check(model, x=np.ones(first, np.float32) / 2, z=np.ones(second, np.float32))
    mixed = text("s = ReduceSum<keepdims = 0>(x)  y = Mul(x, s)", "float[2, N, K] x", "float[2, N, B] y")
    for dim in (1, 2):
        mixed.graph.input[0].type.tensor_type.shape.dim[dim].ClearField("dim_param")
    check(mixed, x=np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2))


def test_a_rank_that_is_not_known() -> None:
    model = text("f = NonZero(z)  y = Tanh(x)  w = Squeeze(z)", "float[3] x, float[1, N] z", "float[3] y, float w")
    model.graph.output[1].type.tensor_type.ClearField("shape")
    read = sg.from_onnx(model)
    assert str(read.outputs["w"].type) == "f32[...]"
    feeds = {"x": X, "z": X[None], "cotangent.y": X}
    y, w, slope = run(sg.gradient_model(model, of="y", wrt="x"), feeds)
    np.testing.assert_array_equal(w, X)
    np.testing.assert_allclose(slope, X * (1 - y**2), rtol=1e-5)


def test_tensors_of_one_number_and_of_none() -> None:
    check(text("y = Mul(x, x)", "float x", "float y"), x=np.array(0.5, np.float32))
    check(text("y = Mul(x, x)", "float[0, 2] x", "float[0, 2] y"), x=np.zeros((0, 2), np.float32))
    model = text("y = Concat<axis = 0>(x, w)", outputs="float[3] y")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), "w"))
    check(model, x=X)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "kind", ["FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE", "INT8", "UINT16", "INT32", "INT64", "BOOL", "UINT64"]
)
def test_initializers(kind: str, raw: bool) -> None:
    numbers = [1, 0, 1] if kind == "BOOL" else [1, 2, 5]
    code = onnx.TensorProto.DataType.Value(kind)
    model = text("c = Cast<to = 1>(w)  y = Mul(x, c)")
    array = np.array(numbers, helper.tensor_dtype_to_np_dtype(code))
    model.graph.initializer.append(helper.make_tensor("w", code, [3], array.tobytes() if raw else numbers, raw=raw))
    y = check(model, x=X)[0]
    np.testing.assert_allclose(y, X * numbers, rtol=1e-6)


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2", "INT8"])
def test_quantized_initializers(kind: str) -> None:
    code = onnx.TensorProto.DataType.Value(kind)
    model = text("d = DequantizeLinear(w, s)  y = Mul(x, d)", opset=21)
    model.graph.initializer.append(helper.make_tensor("w", code, [3], [1, 2, 4]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "s"))
    y = check(model, x=X)[0]
    np.testing.assert_allclose(y, X * np.array([0.5, 1, 2]), rtol=1e-6)


def test_strings() -> None:
    model = text("e = Equal(t, w)  f = Cast<to = 1>(e)  y = Mul(x, f)", "float[3] x, string[3] t", opset=19)
    model.graph.initializer.append(
        helper.make_tensor("w", onnx.TensorProto.STRING, [3], [b"a", "\u00e9".encode(), b""])
    )
    feeds = {"x": X, "t": np.array(["a", "\u00e9", "b"], object)}
    np.testing.assert_array_equal(run(rewritten(model), feeds)[0], X * [1, 1, 0])
    slope = run(sg.gradient_model(model), {**feeds, "cotangent.y": np.ones(3, np.float32)})[1]
    np.testing.assert_array_equal(slope, [1, 1, 0])


def test_an_input_that_is_an_output() -> None:
    model = text("y = Tanh(x)", outputs="float[3] y, float[3] x")
    y, x, slope = run(sg.gradient_model(model), {"x": X, "cotangent.y": X, "cotangent.x": np.ones(3, np.float32)})
    np.testing.assert_array_equal(x, X)
    np.testing.assert_allclose(slope, 1 + X * (1 - y**2), rtol=1e-5)
