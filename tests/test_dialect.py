"""Operators of older opsets in opset 26: the same numbers before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from evaluation import SETTINGS
from operator_rows.row import Fixed

from staticgrad.errors import UnsupportedOperatorError
from staticgrad.onnx_reader.dialect import UPGRADES, upgraded

Array = np.ndarray[Any, Any]
DIALECT = 26


@dataclass
class Known:
    """What is known of the inputs of one node; nothing but constants where the model does not tell shapes."""

    arrays: dict[str, Array]
    constants: dict[str, Array]
    tells: bool = True
    literals: dict[str, Array] = field(default_factory=dict)
    count: int = 0

    def rank(self, name: str) -> int | None:
        return self.arrays[name].ndim if self.tells else None

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        return self.arrays[name].shape if self.tells or name in self.constants else None

    def constant(self, name: str) -> Array | None:
        return self.constants.get(name, self.literals.get(name))

    def element_type(self, name: str) -> int | None:
        return onnx.helper.np_dtype_to_tensor_dtype(self.arrays[name].dtype) if self.tells else None

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def literal(self, array: Array) -> str:
        name = self.fresh("literal")
        self.literals[name] = array
        return name


class Case:
    """A node of an older opset and its inputs."""

    def __init__(
        self,
        operator: str,
        opset: int,
        *inputs: Any,
        outputs: int = 1,
        reference: bool = False,
        reference_before: bool = False,
        **attributes: Any,
    ) -> None:
        self.opset = opset
        self.reference = reference
        self.reference_before = reference_before
        self.text = f"{operator}-{opset}-" + ",".join(f"{k}={v}" for k, v in attributes.items())
        names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
        given = {n: x for n, x in zip(names, inputs, strict=True) if n}
        self.constants = {n: x.array for n, x in given.items() if isinstance(x, Fixed)}
        self.arrays = {n: np.asarray(x) for n, x in given.items() if n not in self.constants} | self.constants
        self.node = onnx.helper.make_node(operator, names, [f"y{i}" for i in range(outputs)], **attributes)

    def __str__(self) -> str:
        return self.text[:90]

    def before(self) -> list[Array]:
        """What the node gives in its own opset, on onnxruntime where that has a kernel."""
        graph = self._graph([self.node], [onnx.helper.make_empty_tensor_value_info(n) for n in self.node.output], {})
        return self._run(onnx.shape_inference.infer_shapes(_model(graph, self.opset)), self.reference_before)

    def after(self, nodes: list[onnx.NodeProto] | None, literals: dict[str, Array], like: list[Array]) -> list[Array]:
        """What the nodes that stand for it give in the dialect; in Python where onnxruntime has no kernel."""
        outputs = [
            onnx.helper.make_tensor_value_info(n, _element_type(y), y.shape)
            for n, y in zip(self.node.output, like, strict=True)
        ]
        model = _model(self._graph(nodes or [self.node], outputs, literals), DIALECT)
        # onnx cannot infer the functions of some operators.
        onnx.checker.check_model(model, full_check=nodes is not None)
        return self._run(model, self.reference)

    def _graph(self, nodes: Sequence[onnx.NodeProto], outputs: Any, literals: dict[str, Array]) -> onnx.GraphProto:
        inputs = [
            onnx.helper.make_tensor_value_info(n, _element_type(a), a.shape)
            for n, a in self.arrays.items()
            if n not in self.constants
        ]
        held = [onnx.numpy_helper.from_array(a, n) for n, a in (self.constants | literals).items()]
        return onnx.helper.make_graph(nodes, "g", inputs, outputs, held)

    def _run(self, model: onnx.ModelProto, reference: bool) -> list[Array]:
        feeds = {n: a for n, a in self.arrays.items() if n not in self.constants}
        if reference:
            found = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
        else:
            session = onnxruntime.InferenceSession(model.SerializeToString(), SETTINGS, ["CPUExecutionProvider"])
            found = session.run(None, feeds)
        return [np.asarray(y) for y in found]


def _model(graph: onnx.GraphProto, opset: int) -> onnx.ModelProto:
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)


def _element_type(array: Array) -> int:
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def draw(*shape: int) -> Array:
    return np.random.default_rng(shape).uniform(-2, 2, shape).astype(np.float32)


X = draw(2, 3, 4)
IMAGE = draw(1, 2, 4, 5)
PIXELS = draw(1, 1, 4, 6)
CHANNELS = [draw(3), draw(3) + 1, draw(3) / 2, np.abs(draw(3)) + 0.5]
EACH = [draw(3, 4), draw(3, 4) + 1, draw(3, 4) / 2, np.abs(draw(3, 4)) + 0.5]
BOXES = (np.array([[0.3, 0.2, 2.7, 3.1], [1.0, 0.0, 3.4, 2.6]], np.float32), np.array([0, 0]))
REDUCTIONS = [f"Reduce{n}" for n in "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()]


def floats(*numbers: float) -> Fixed:
    return Fixed(list(numbers), dtype="float32")


CHANGED = [
    *(
        Case(name, opset, np.abs(X) + 0.1, **attributes)
        for name in REDUCTIONS
        for opset in (7, 11, 12, 13, 17)
        if opset < (13 if name == "ReduceSum" else 18)
        for attributes in ({"axes": [0, 2]}, {"axes": [1], "keepdims": 0}, {})
    ),
    *(Case(name, 11, np.abs(X) + 0.1, axes=[-2], keepdims=0) for name in REDUCTIONS),
    Case("Squeeze", 7, draw(1, 2, 1, 3), axes=[0, 2]),
    Case("Squeeze", 11, draw(1, 2, 1, 3), axes=[-2]),
    Case("Squeeze", 7, draw(1, 2, 1, 3)),
    Case("Unsqueeze", 7, X, axes=[0, 4]),
    Case("Unsqueeze", 12, X, axes=[-1, 1]),
    *(
        Case(name, opset, X, **attributes)
        for name in ("Softmax", "LogSoftmax", "Hardmax")
        for opset in (7, 11, 12)
        for attributes in ({}, {"axis": 0}, {"axis": 1}, {"axis": 2})
    ),
    *(Case(name, 11, X, axis=a) for name in ("Softmax", "LogSoftmax", "Hardmax") for a in (-1, -2, -3)),
    Case("Softmax", 9, draw(2, 3)),
    Case("Clip", 7, X),
    Case("Clip", 7, X, min=-0.5),
    Case("Clip", 10, X, max=0.25),
    Case("Clip", 10, X, min=-1.0, max=0.5),
    Case("Clip", 10, X, min=-3.4028234663852886e38, max=0.5),
    Case("Pad", 7, X, pads=[0, 1, 2, 0, 0, 1]),
    Case("Pad", 10, X, pads=[0, 1, 2, 0, 0, 1], value=1.5),
    Case("Pad", 10, X, pads=[0, -1, 2, 0, 0, -1], mode="constant"),
    Case("Pad", 7, X, pads=[0, 1, 2, 0, 0, 1], mode="reflect"),
    Case("Pad", 7, X, pads=[0, 1, 2, 0, 0, 1], mode="edge", value=3.0),
    Case("Slice", 7, X, starts=[1, -3], ends=[3, 1000]),
    Case("Slice", 9, X, starts=[1], ends=[-1], axes=[2]),
    Case("TopK", 7, X, outputs=2, k=2),
    Case("TopK", 9, X, outputs=2, k=2, axis=1),
    *(Case("Split", opset, X, outputs=2, axis=2) for opset in (7, 11, 13, 17)),
    Case("Split", 7, X, outputs=2, axis=1, split=[1, 2]),
    Case("Split", 12, X, outputs=3, axis=-1, split=[1, 2, 1]),
    Case("Split", 13, X, Fixed([1, 3]), outputs=2, axis=-1),
    *(Case("Dropout", opset, X, ratio=0.3) for opset in (7, 10, 11)),
    Case("DFT", 17, draw(2, 5, 3, 1)),
    Case("DFT", 17, draw(2, 5, 3, 1), axis=2, onesided=1),
    Case("DFT", 17, draw(2, 5, 3, 2), np.array(4), axis=1, inverse=1),
    *(
        Case("RoiAlign", 10, IMAGE, *BOXES, output_height=2, output_width=2, sampling_ratio=2, reference=True, mode=m)
        for m in ("avg", "max")
    ),
    Case("RoiAlign", 16, IMAGE, *BOXES, output_height=2, output_width=2, sampling_ratio=2, reference=True),
    *(
        Case("GridSample", 16, IMAGE, draw(1, 3, 2, 2) / 2, **attributes)
        for attributes in ({}, {"mode": "bilinear"}, {"mode": "bicubic"}, {"mode": "nearest", "align_corners": 1})
    ),
    *(Case("BatchNormalization", opset, X, *CHANNELS, epsilon=0.01) for opset in (7, 9, 13, 14)),
    Case("BatchNormalization", 7, X, *CHANNELS, spatial=1, epsilon=0.01),
    Case("BatchNormalization", 7, X, *EACH, spatial=0, epsilon=0.01),
    *(
        Case(
            "GroupNormalization",
            opset,
            draw(2, 6, 3),
            draw(2 if opset == 18 else 6),
            draw(2 if opset == 18 else 6),
            num_groups=2,
        )
        for opset in (18, 21)
    ),
    Case("Scatter", 9, X, np.array([[[1, 0, 1, 0]]]), draw(1, 1, 4)),
    Case("Scatter", 10, X, np.array([[[1, 0]]]), draw(1, 1, 2), axis=2),
    *(
        Case("Upsample", 7, PIXELS, mode=m, scales=s)
        for m in ("nearest", "linear")
        for s in ([1.0, 1.0, 2.0, 3.0], [1, 1, 1.3, 1.9])
    ),
    *(
        Case("Upsample", 9, PIXELS, s, mode=m)
        for m in ("nearest", "linear")
        for s in (floats(1, 1, 1.3, 1.9), np.array([1, 1, 2, 1.5], np.float32))
    ),
    *(
        Case("Resize", 10, PIXELS, s, mode=m)
        for m in ("nearest", "linear")
        for up in (
            [1, 1, 2, 3],
            [1, 1, 1.3, 1.9],
            [1, 1, 0.6, 0.7],
            [1, 1, 0.55, 1],
            [1, 1, 0.6, 1.7],
            [1, 1, 2.3, 0.45],
        )
        for s in (floats(*up), np.array(up, np.float32))
    ),
    *(
        Case("Resize", opset, PIXELS, floats(), floats(), Fixed([1, 1, 7, 4]), **attributes)
        for opset in (11, 12)
        for attributes in (
            {"mode": "linear"},
            {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"},
            {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn"},
        )
    ),
    Case(
        "Resize",
        11,
        PIXELS,
        floats(),
        floats(1, 1, 1.7, 0.6),
        mode="cubic",
        coordinate_transformation_mode="align_corners",
    ),
    *(
        Case("Resize", opset, PIXELS, floats(*roi), floats(1, 1, 1.7, 0.6), **attributes)
        for opset in (11, 13, 18, 19)
        for roi, attributes in (
            ([0.0] * 4 + [1.0] * 4, {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
            ([0.0] * 4 + [1.0] * 4, {"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5}),
            ([0.0] * 4 + [1.0] * 4, {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}),
            ([0.0] * 4 + [1.0] * 4, {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
            (
                [0, 0, 0.1, 0.2, 1, 1, 0.8, 1.3],
                {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.0},
            ),
        )
    ),
    Case("Constant", 7, value=onnx.numpy_helper.from_array(draw(2, 3))),
    Case("Constant", 12, value_float=1.5),
    Case("Constant", 12, value_floats=[1.5, -2.0]),
    Case("Constant", 26, value_int=7),
    Case("Constant", 13, value_ints=[7, -3]),
    Case("Constant", 12, value_string="one"),
    Case("Constant", 12, value_strings=["one", "two"]),
]

CHANGED += [
    Case(
        name,
        14,
        draw(3, 4, 2),
        draw(1, 5 * gates, 2),
        draw(1, 5 * gates, 5),
        draw(1, 10 * gates),
        None,
        draw(3, 1, 5),
        outputs=outputs,
        reference_before=True,
        hidden_size=5,
        layout=1,
    )
    for name, gates, outputs in (("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 2))
]

UNCHANGED = [
    *(
        Case(
            "AveragePool",
            opset,
            IMAGE,
            kernel_shape=[2, 3],
            strides=[3, 3],
            ceil_mode=1,
            pads=[0, 1, 1, 1],
            count_include_pad=c,
        )
        for opset in (10, 11, 19)
        for c in (0, 1)
    ),
    *(
        Case("AveragePool", opset, IMAGE, kernel_shape=[3, 2], auto_pad=a, strides=[2, 2])
        for opset in (7, 11, 19)
        for a in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    *(
        Case(
            "MaxPool",
            opset,
            IMAGE,
            outputs=2,
            kernel_shape=[2, 3],
            strides=[3, 3],
            ceil_mode=1,
            pads=[0, 1, 1, 1],
            storage_order=1,
        )
        for opset in (10, 11, 12)
    ),
    Case("LpPool", 18, IMAGE, kernel_shape=[2, 3], strides=[3, 3], ceil_mode=1, pads=[0, 1, 1, 1], p=3),
    *(
        Case("ConvTranspose", opset, IMAGE, draw(2, 3, 2, 3), strides=[2, 2], **attributes)
        for opset in (7, 11)
        for attributes in (
            {"auto_pad": "SAME_UPPER"},
            {"auto_pad": "SAME_LOWER"},
            {"output_shape": [8, 10]},
            {"output_shape": [9, 9], "auto_pad": "SAME_UPPER"},
        )
    ),
    Case("OneHot", 9, np.array([0, -1, 2]), np.array(3), np.array([0, 1], np.float32)),
    Case("QuantizeLinear", 10, X, np.float32(0.1), np.uint8(7)),
    Case("DequantizeLinear", 10, np.array([[1, 200]], np.uint8), np.float32(0.1), np.uint8(7)),
    Case("MeanVarianceNormalization", 9, IMAGE),
    Case("LSTM", 7, draw(3, 2, 4), draw(1, 12, 4), draw(1, 12, 3), outputs=3, hidden_size=3, input_forget=1, clip=0.5),
    Case("GRU", 7, draw(3, 2, 4), draw(1, 9, 4), draw(1, 9, 3), outputs=2, hidden_size=3, linear_before_reset=1),
    Case("RNN", 7, draw(3, 2, 4), draw(1, 3, 4), draw(1, 3, 3), outputs=2, hidden_size=3),
    Case("Dropout", 12, X, np.float32(0.3), outputs=2),
    Case("DepthToSpace", 7, draw(1, 8, 2, 3), blocksize=2),
    Case("Attention", 23, draw(1, 2, 3, 4), draw(1, 2, 5, 4), draw(1, 2, 5, 4), is_causal=1, reference=True),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("tells", [True, False], ids=["shapes", "no_shapes"])
@pytest.mark.parametrize("case", [*CHANGED, *UNCHANGED], ids=str)
def test_it_means_in_opset_26_what_it_meant(case: Case, tells: bool) -> None:
    known = Known(case.arrays, case.constants, tells)
    nodes = upgraded(case.node, case.opset, known)
    expected = case.before()
    found = case.after(nodes, known.literals, expected)
    for y, z in zip(found, expected, strict=True):
        assert y.dtype == z.dtype and y.shape == z.shape
        if y.dtype.kind in "fc":
            np.testing.assert_allclose(y, z, rtol=2e-5, atol=2e-6)
        else:
            np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("case", UNCHANGED, ids=str)
def test_what_means_the_same_stays(case: Case) -> None:
    assert upgraded(case.node, case.opset, Known(case.arrays, case.constants)) is None


@pytest.mark.parametrize("positions", [[1, 5], [[0, 1], [1, 2]]])
def test_a_sparse_constant_is_a_tensor_with_zeros(positions: list[Any]) -> None:
    numbers = (onnx.numpy_helper.from_array(np.array(a)) for a in ([1.5, -2.0], positions))
    case = Case("Constant", 11, sparse_value=onnx.helper.make_sparse_tensor(*numbers, [2, 3]))
    wanted = np.array([[0, 1.5, 0], [0, 0, -2]])
    (found,) = case.after(upgraded(case.node, 11, Known({}, {})), {}, [wanted])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("opset", [7, 10])
def test_the_mask_of_dropout_keeps_everything(opset: int) -> None:
    # Before opset 12 nothing says what it holds in inference, and onnxruntime gives zeros.
    case = Case("Dropout", opset, X, outputs=2)
    nodes = upgraded(case.node, opset, Known(case.arrays, {}))
    assert nodes is not None
    result, mask = case.after(nodes, {}, case.before())
    np.testing.assert_array_equal(result, X)
    assert mask.all()


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("BatchNormalization", 9, X, *CHANNELS, outputs=5), "export for inference"),
        (Case("Scan", 8, None, X, outputs=1, num_scan_inputs=1), "export with opset 9 or later"),
        (Case("Scatter", 11, X, np.array([[[1, 0, 1, 0]]]), draw(1, 1, 4)), "ScatterElements took its place"),
        (Case("Upsample", 10, PIXELS, floats(1, 1, 2, 2)), "Resize took its place"),
        (
            Case(
                "Resize",
                11,
                PIXELS,
                [],
                floats(1, 1, 2, 2),
                mode="linear",
                coordinate_transformation_mode="tf_half_pixel_for_nn",
            ),
            "is known with mode=nearest",
        ),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_refused_with_its_reason(case: Case, reason: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=f"{case.node.op_type} of opset {case.opset}.*{reason}"):
        upgraded(case.node, case.opset, Known(case.arrays, case.constants))


def test_every_upgrade_has_a_case() -> None:
    cases = {case.node.op_type for case in CHANGED}
    assert set(UPGRADES) - cases == {"Scan"}
