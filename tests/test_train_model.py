"""Training a model that comes as a file: parameters, losses, layers in training, the file back with new weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import staticgrad as sg

Arrays = dict[str, np.ndarray]


def model(text: str, ir: int = 10, opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """A model in ONNX's text form, with initializers."""
    proto = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]> {text}')
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name.replace("__", ".")))
    for node in proto.graph.node:
        # The text form has no names with dots.
        node.input[:] = [name.replace("__", ".") for name in node.input]
    onnx.checker.check_model(proto, full_check=True)
    return proto


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype("float32")


def mlp() -> onnx.ModelProto:
    """(N, 3) -> (N, 2) over a hidden layer of four."""
    return model(
        """mlp (float[N, 3] x) => (float[N, 2] y) {
            a = Gemm(x, w1, b1)
            h = Tanh(a)
            y = Gemm(h, w2, b2)
        }""",
        w1=draw(3, 4),
        b1=draw(4),
        w2=draw(4, 2),
        b2=draw(2),
    )


def run(source: Any, **feeds: np.ndarray) -> Arrays:
    """What onnxruntime gives for a model, by name."""
    data = source.SerializeToString() if isinstance(source, onnx.ModelProto) else str(source)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def trained(step: sg.ModelStep, batch: Arrays, count: int = 5) -> tuple[sg.Trainer, list[float]]:
    trainer = sg.Trainer(step, device="cpu")
    return trainer, [float(trainer.step(batch)) for _ in range(count)]


def inference_of(trainer: sg.Trainer, folder: Path) -> onnx.ModelProto:
    """The exported inference model, which the checker has seen."""
    trainer.export_inference(folder / "inference.onnx")
    onnx.checker.check_model(folder / "inference.onnx", full_check=True)
    return onnx.load(folder / "inference.onnx")


def check_contract(step: sg.TrainStep) -> onnx.ModelProto:
    proto = step.model()
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in proto.graph.node} == {""} and not proto.functions
    inputs = [value.name for value in proto.graph.input]
    assert inputs == [*step.feeds, *step.state]
    assert [value.name for value in proto.graph.output] == [
        "loss",
        *step.metrics,
        *(f"{name}.next" for name in step.state),
    ]
    return proto


X, Y = draw(8, 3, seed=1), draw(8, 2, seed=2)


# - the same as a net declared here, and as PyTorch -


def declared_mlp(optimizer: Any) -> sg.Trainer:
    x, y = sg.input("x", ("N", 3)), sg.input("target", ("N", 2))
    w1, b1 = sg.parameter("w1", draw(3, 4)), sg.parameter("b1", draw(4))
    w2, b2 = sg.parameter("w2", draw(4, 2)), sg.parameter("b2", draw(2))
    loss = sg.nn.functional.mse_loss((x @ w1 + b1).tanh() @ w2 + b2, y)
    return sg.Trainer(sg.train_step(loss, optimizer), device="cpu")


@pytest.mark.parametrize("make", [lambda: sg.optim.sgd(0.1, momentum=0.9), lambda: sg.optim.adam(1e-2)])
def test_it_trains_as_the_net_declared_here(make: Callable[[], Any]) -> None:
    step = sg.train_step_model(mlp(), "mse", make())
    assert step.parameters == ("w1", "b1", "w2", "b2") and step.feeds == ("x", "target")
    check_contract(step)
    trainer, losses = trained(step, {"x": X, "target": Y}, 10)
    other = declared_mlp(make())
    np.testing.assert_allclose(losses, [float(other.step(x=X, target=Y)) for _ in range(10)], rtol=1e-5)
    assert trainer.state().keys() == other.state().keys()
    for name, array in other.state().items():
        np.testing.assert_allclose(trainer.state()[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_it_trains_as_pytorch(optimizer: str) -> None:
    torch = pytest.importorskip("torch")
    weights = {
        t.name: torch.tensor(numpy_helper.to_array(t).copy(), requires_grad=True) for t in mlp().graph.initializer
    }
    if optimizer == "sgd":
        theirs, ours = torch.optim.SGD(weights.values(), 0.1, momentum=0.9), sg.optim.sgd(0.1, momentum=0.9)
    else:
        theirs, ours = torch.optim.Adam(weights.values(), 1e-2), sg.optim.adam(1e-2)
    trainer, losses = trained(sg.train_step_model(mlp(), "mse", ours), {"x": X, "target": Y}, 10)
    expected = []
    for _ in range(10):
        theirs.zero_grad()
        hidden = torch.tanh(torch.tensor(X) @ weights["w1"] + weights["b1"])
        loss = torch.nn.functional.mse_loss(hidden @ weights["w2"] + weights["b2"], torch.tensor(Y))
        loss.backward()
        theirs.step()
        expected.append(loss.item())
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for name, tensor in weights.items():
        np.testing.assert_allclose(trainer.state()[name], tensor.detach().numpy(), rtol=1e-4, atol=1e-5)


# - losses -


def classifier() -> onnx.ModelProto:
    return model("g (float[N, 3] x) => (float[N, 4] logits) { logits = MatMul(x, w) }", w=draw(3, 4))


LOSSES: dict[str, tuple[np.ndarray, Callable[[Any, Any], Any]]] = {
    "cross_entropy": (np.array([0, 3, 1]), sg.nn.functional.cross_entropy),
    "nll": (np.array([0, 3, 1]), sg.nn.functional.nll_loss),
    "mse": (draw(3, 4), sg.nn.functional.mse_loss),
    "l1": (draw(3, 4), sg.nn.functional.l1_loss),
    "smooth_l1": (draw(3, 4), sg.nn.functional.smooth_l1_loss),
    "huber": (draw(3, 4), sg.nn.functional.huber_loss),
    "bce_with_logits": (np.float32([[0, 1, 1, 0]] * 3), sg.nn.functional.binary_cross_entropy_with_logits),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_name(name: str) -> None:
    target, function = LOSSES[name]
    step = sg.train_step_model(
        classifier(),
        name,
        sg.optim.sgd(0.1),
        target="wanted",
        metrics={"same": lambda logits, wanted: function(logits, wanted), "top": lambda logits, wanted: logits.amax()},
    )
    assert step.feeds == ("x", "wanted") and step.metrics == ("same", "top")
    result = sg.Trainer(step, device="cpu").step(x=X[:3], wanted=target)
    expected = function(sg.eager.tensor(X[:3] @ draw(3, 4)), sg.eager.tensor(target)).item()
    assert float(result) == pytest.approx(expected, rel=1e-5) and float(result["same"]) == float(result)
    assert result["top"] == pytest.approx((X[:3] @ draw(3, 4)).max())


def test_probabilities_of_images() -> None:
    proto = model(
        "g (float[N, 1, H, W] x) => (float[N, 2, H, W] y) { l = Conv(x, w) y = Sigmoid(l) }", w=draw(2, 1, 1, 1)
    )
    step = sg.train_step_model(proto, "bce", sg.optim.sgd(0.1))
    assert step.graph.inputs["target"].type == step.predictions.outputs["y"].type
    _, losses = trained(step, {"x": draw(2, 1, 3, 4), "target": np.ones((2, 2, 3, 4), "float32")})
    assert losses[-1] < losses[0]
    segment = model("g (float[N, 1, H, W] x) => (float[N, 3, H, W] y) { y = Conv(x, w) }", w=draw(3, 1, 1, 1))
    step = sg.train_step_model(segment, "cross_entropy", sg.optim.sgd(0.1))
    assert str(step.graph.inputs["target"].type) == "i64[?N,?H,?W]"


def with_loss(name: str, shape: str = "") -> onnx.ModelProto:
    ending = f"{name} = ReduceMean<keepdims=1>(s)" if shape else f"{name} = ReduceMean<keepdims=0>(s)"
    return model(
        f"g (float[N, 3] x, float[N, 4] t) => (float{shape} {name}, float[N, 4] y)"
        f"{{ y = MatMul(x, w) d = Sub(y, t) s = Mul(d, d) {ending} }}",
        w=draw(3, 4),
    )


@pytest.mark.parametrize(("name", "shape"), [("loss", ""), ("cost", ""), ("loss", "[1, 1]"), ("mse", "")])
def test_a_scalar_output_is_the_loss(name: str, shape: str, tmp_path: Path) -> None:
    proto = with_loss(name, shape)
    step = sg.train_step_model(proto, name, sg.optim.sgd(0.1))
    check_contract(step)
    assert step.feeds == ("x", "t")
    trainer, losses = trained(step, {"x": X, "t": draw(8, 4)})
    assert losses[-1] < losses[0]
    assert losses[0] == pytest.approx(((X @ draw(3, 4) - draw(8, 4)) ** 2).mean(), rel=1e-5)
    # Predictions need no target.
    predicted = trainer.predict(x=X)
    assert predicted.keys() == {"y"}
    found = run(inference_of(trainer, tmp_path), x=X, t=draw(8, 4))
    np.testing.assert_allclose(found["y"], predicted["y"], rtol=1e-6)
    assert float(found[name].item()) == pytest.approx(trainer.evaluate({"x": X, "t": draw(8, 4)})["loss"], rel=1e-6)


def test_an_output_called_loss_that_is_not_the_loss() -> None:
    step = sg.train_step_model(with_loss("loss"), "l1", sg.optim.sgd(0.1), output="y")
    trainer = sg.Trainer(step, device="cpu")
    batch = {"x": X, "t": draw(8, 4), "target": draw(8, 4)}
    assert trainer.predict(batch).keys() == {"loss", "y"}
    del batch["t"]
    assert trainer.step(batch).loss == pytest.approx(abs(X @ draw(3, 4) - draw(8, 4)).mean(), rel=1e-5)


def test_a_function_is_the_loss() -> None:
    wanted, rate = sg.input("wanted", ("N", 2)), sg.input("rate", ())
    scale = sg.parameter("scale", np.float32(1.0))
    step = sg.train_step_model(
        mlp(),
        lambda y: ((y * scale - wanted) ** 2).mean(),
        sg.optim.sgd(rate),
        metrics={"error": lambda y: (y - wanted).abs().mean()},
    )
    assert set(step.parameters) == {"w1", "b1", "w2", "b2", "scale"} and set(step.feeds) == {"x", "wanted", "rate"}
    trainer, losses = trained(step, {"x": X, "wanted": Y, "rate": 0.1})
    assert losses[-1] < losses[0] and trainer.state()["scale"] != 1
    assert "scale" not in {t.name for t in step.inference_model(trainer.state()).graph.initializer}


# - which parameters -


def _layers() -> onnx.ModelProto:
    """Names as PyTorch's exporters give them: a transposed weight has a number, its node knows the layer's path."""
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["a"], name="/encoder/fc1/MatMul"),
        onnx.helper.make_node("Add", ["encoder.fc1.bias", "a"], ["b"], name="/encoder/fc1/Add"),
        onnx.helper.make_node("Relu", ["b"], ["c"], name="/encoder/Relu"),
        onnx.helper.make_node("MatMul", ["c", "val_3"], ["d"], name="node_MatMul_4"),
        onnx.helper.make_node("Add", ["d", "head.bias"], ["e"], name="node_Add_5"),
        onnx.helper.make_node("Constant", [], ["k"], value_float=2.0),
        onnx.helper.make_node("Mul", ["e", "k"], ["y"]),
    ]
    nodes[3].metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'head', 'linear']")
    weights = {"onnx::MatMul_7": draw(3, 4), "encoder.fc1.bias": draw(4), "val_3": draw(4, 2), "head.bias": draw(2)}
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "layers",
        [onnx.helper.make_tensor_value_info("x", float32, ["N", 3])],
        [onnx.helper.make_tensor_value_info("y", float32, ["N", 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 17)])


LAYERS = _layers()
ALL = ("onnx::MatMul_7", "encoder.fc1.bias", "val_3", "head.bias")


@pytest.mark.parametrize(
    ("params", "freeze", "expected"),
    [
        (None, None, ALL),
        (None, "encoder.*", ALL[2:]),
        ("encoder.*", None, ALL[:2]),
        ("encoder.fc1.weight", None, ALL[:1]),
        ("onnx::MatMul_7", None, ALL[:1]),
        (["head.bias", "head.weight"], None, ALL[2:]),
        ("*", ["*.weight"], (ALL[1], ALL[3])),
        ("*.bias", "head*", ALL[1:2]),
        (None, iter(["onnx::*", "val_[0-9]"]), (ALL[1], ALL[3])),
    ],
)
def test_parameters_by_name_and_pattern(params: Any, freeze: Any, expected: tuple[str, ...]) -> None:
    step = sg.train_step_model(LAYERS, "mse", sg.optim.adam(0.1), params=params, freeze=freeze)
    assert step.parameters == expected
    trainer, _ = trained(step, {"x": X, "target": Y})
    for tensor in LAYERS.graph.initializer:
        changed = not np.array_equal(trainer.state()[tensor.name], numpy_helper.to_array(tensor))
        assert changed == (tensor.name in expected), tensor.name
    assert {name for name in step.state if name.endswith(".mu")} == {f"{name}.mu" for name in expected}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"params": "decoder.*"}, "'decoder.*' matches no parameter of layers; it has encoder.fc1.weight"),
        ({"freeze": "k"}, "'k' matches no parameter"),
        ({"freeze": "*"}, "no parameter of layers is left to train: freeze names them all"),
        ({"params": 3}, "params are names or patterns, 3 came"),
        ({"params": [3]}, "params are names or patterns, 3 came"),
        ({"loss": "hinge"}, "loss='hinge' is neither an output (y) nor one of cross_entropy"),
        ({"loss": 3}, "the loss is a name or a function"),
        ({"loss": lambda y: 3.0}, "the function of the loss gave 3.0, not a Value"),
        ({"loss": lambda y: y}, "the loss must be one number"),
        (
            {"loss": "y"},
            "no single number that can be a loss; give a function of the outputs, such as lambda y: y.mean()",
        ),
        ({"output": "z"}, "has no output 'z'; it has y"),
        ({"target": "x"}, "has a value called 'x' already; give the target another name"),
        ({"target": "head.bias"}, "has a value called 'head.bias' already"),
        ({"target": "loss"}, "is no name for an input"),
        ({"metrics": {"error": 3}}, "the metric 'error' is a function of outputs, 3 came"),
        ({"metrics": {"x": lambda y, t: y.mean()}}, "the name 'x' is taken by the input"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(sg.StaticgradError) as error:
        sg.train_step_model(LAYERS, **{"loss": "mse", "optimizer": sg.optim.sgd(0.1), **arguments})
    assert text in str(error.value) and "test_train_model.py" in str(error.value)


def test_a_parameter_that_the_loss_does_not_reach() -> None:
    proto = model(
        "g (float[N, 3] x) => (float[N, 4] y, float[N, 4] z) { y = MatMul(x, a) z = MatMul(x, b) }",
        a=draw(3, 4),
        b=draw(3, 4, seed=1),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), output="y")
    assert step.parameters == ("a",) and "b" in step.state
    assert sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), output="y", params="?").parameters == ("a",)
    with pytest.raises(sg.GradientError, match="the loss does not depend on b"):
        sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), output="y", params=["a", "b"])
    with pytest.raises(sg.DeclarationError, match=r"has 2 floating outputs \(y, z\); say which one"):
        sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))


def test_numbers_that_have_no_derivative_are_no_parameters() -> None:
    proto = model(
        """g (float[1, 1, 2, 2] x) => (float[1, 1, 4, 4] y) {
            a = Mul(x, w) m = Greater(a, threshold) z = Sub(a, a) b = Where(m, a, z) y = Resize(b, , scales)
        }""",
        w=draw(1),
        threshold=np.float32(0.1),
        scales=np.float32([1, 1, 2, 2]),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.adamw(0.1))
    assert step.parameters == ("w",)
    with pytest.raises(sg.GradientError, match="threshold, or has no derivative by it"):
        sg.train_step_model(proto, "mse", sg.optim.adamw(0.1), params=["w", "threshold"])


# - models of every make -


def test_whole_numbers_several_outputs_and_a_shared_weight(tmp_path: Path) -> None:
    proto = model(
        """g (int64[N, L] tokens, bool[N, L] keep) => (float[N, L, 5] logits, int64[N, L] best, float[N, L, 4] hidden) {
            e = Gather(table, tokens)
            zero = CastLike(nothing, e)
            axes = Constant<value = int64[1] {-1}>()
            mask = Unsqueeze(keep, axes)
            hidden = Where(mask, e, zero)
            t = Transpose<perm = [1, 0]>(table)
            logits = MatMul(hidden, t)
            best = ArgMax<axis = -1, keepdims = 0>(logits)
        }""",
        table=draw(5, 4),
        nothing=np.int64(0),
    )
    wanted = sg.input("wanted", ("N", "L"), dtype="int64")
    step = sg.train_step_model(
        proto,
        lambda logits, best, hidden: sg.nn.functional.cross_entropy(logits.transpose(1, 2), wanted),
        sg.optim.sgd(0.5),
    )
    assert step.parameters == ("table",) and set(step.feeds) == {"tokens", "keep", "wanted"}
    tokens = np.random.default_rng(0).integers(0, 5, (6, 7))
    batch = {"tokens": tokens, "keep": tokens != 2, "wanted": tokens}
    trainer, losses = trained(step, batch, 20)
    assert losses[-1] < 0.8 * losses[0]
    predicted = trainer.predict(batch)
    assert list(predicted) == ["logits", "best", "hidden"] and predicted["best"].dtype == np.int64
    found = run(inference_of(trainer, tmp_path), tokens=tokens, keep=tokens != 2)
    for name, array in predicted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)
    # Both uses of the table count.
    table, x, y = draw(5, 4), sg.parameter("table", draw(5, 4)), sg.input("y", (6, 7), dtype="int64")
    hidden = sg.where(sg.constant((tokens != 2)[..., None]), x[sg.constant(tokens)], 0.0)
    loss = sg.nn.functional.cross_entropy((hidden @ x.T).transpose(1, 2), y)
    gradient = sg.function(sg.grad(loss, x))(tokens)
    one = sg.Trainer(step, device="cpu")
    one.step(batch)
    np.testing.assert_allclose(one.state()["table"], table - 0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_weights_in_branches_and_loops(tmp_path: Path) -> None:
    proto = model(
        """g (float[N, 3] x, bool flag) => (float[N, 3] y) {
            a = If(flag) <
                then_branch = then () => (float[N, 3] p) { p = MatMul(x, w) },
                else_branch = other () => (float[N, 3] q) { r = MatMul(x, v) q = Mul(r, s) }
            >
            n = Constant<value = int64 {2}>()
            yes = Constant<value = bool {1}>()
            y = Loop(n, yes, a) <
                body = body (int64 i, bool going, float[N, 3] h) => (bool on, float[N, 3] next) {
                    on = Identity(going) m = MatMul(h, w) next = Tanh(m)
                }
            >
        }""",
        w=draw(3, 3),
        v=draw(3, 3, seed=1),
        s=np.float32(0.5),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.2))
    check_contract(step)
    assert set(step.parameters) == {"w", "v", "s"}
    batch = {"x": X, "target": draw(8, 3)}
    for flag in (True, False):
        trainer, losses = trained(step, {**batch, "flag": np.array(flag)}, 4)
        w, v, s = (
            sg.parameter("w", draw(3, 3)),
            sg.parameter("v", draw(3, 3, seed=1)),
            sg.parameter("s", np.float32(0.5)),
        )
        x, t = sg.input("x", ("N", 3)), sg.input("target", ("N", 3))
        y = x @ w if flag else (x @ v) * s
        loss = sg.nn.functional.mse_loss(((y @ w).tanh() @ w).tanh(), t)
        other = sg.Trainer(sg.train_step(loss, sg.optim.sgd(0.2)), device="cpu")
        np.testing.assert_allclose(losses, [float(other.step(batch)) for _ in range(4)], rtol=1e-5)
        for name, array in other.state().items():
            np.testing.assert_allclose(trainer.state()[name], array, rtol=1e-4, atol=1e-6)
        found = run(inference_of(trainer, tmp_path), x=X, flag=np.array(flag))
        np.testing.assert_allclose(found["y"], trainer.predict(x=X, flag=np.array(flag))["y"], rtol=1e-5)


def test_outputs_that_are_no_tensors(tmp_path: Path) -> None:
    proto = model(
        "g (float[N, 3] x) => (float[N, 2] y, seq(float[N, 2]) s) { y = MatMul(x, w) s = SequenceConstruct(y, y) }",
        w=draw(3, 2),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), params=sg.from_onnx(proto).parameters["w"])
    trainer, _ = trained(step, {"x": X, "target": Y})
    assert trainer.predict(x=X).keys() == {"y"}
    np.testing.assert_array_equal(run(inference_of(trainer, tmp_path), x=X)["s"][1], trainer.predict(x=X)["y"])


def test_the_loss_may_hold_gradients_of_the_model() -> None:
    read = sg.from_onnx(mlp())

    def penalty(y: sg.Value) -> sg.Value:
        return (sg.grad(y.sum(), read.inputs["x"]) ** 2).sum()

    trainer, losses = trained(sg.train_step_model(read, penalty, sg.optim.sgd(0.01)), {"x": X}, 3)
    assert losses[-1] < losses[0] and trainer.predict(x=X).keys() == {"y"}


def test_sizes_computed_with_a_remainder() -> None:
    # As PyTorch's exporter has it for the projections of its attention.
    proto = model(
        """g (float[N, L, 6] x) => (float[N, L, 2, 3] y) {
            h = Mul(x, w) s = Shape(h) zero = Constant<value = int64[1] {0}>()
            minus = Constant<value = int64[1] {5}>() three = Constant<value = int64[1] {3}>()
            end = Mod(minus, three) kept = Slice(s, zero, end)
            rest = Constant<value = int64[2] {2, 3}>() shape = Concat<axis = 0>(kept, rest) y = Reshape(h, shape)
        }""",
        w=draw(6),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))
    assert str(step.graph.inputs["target"].type) == "f32[?N,?L,2,3]"


def test_functions_are_inlined_in_the_step_and_stay_in_the_export(tmp_path: Path) -> None:
    proto = parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
        g (float[N, 3] x) => (float[N, 4] y) { y = local.dense(x, w, b) }
        <domain: "local", opset_import: ["" : 17]>
        dense (x, w, b) => (y) { z = MatMul(x, w) y = Add(z, b) }"""
    )
    for name, array in {"w": draw(3, 4), "b": draw(4)}.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))
    check_contract(step)
    trainer, losses = trained(step, {"x": X, "target": draw(8, 4)})
    assert losses[-1] < losses[0]
    exported = inference_of(trainer, tmp_path)
    assert exported.graph.node == proto.graph.node and exported.functions == proto.functions
    np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-6)


def test_operators_of_other_domains_are_refused_in_a_step() -> None:
    proto = mlp()
    proto.opset_import.add(domain="com.microsoft", version=1)
    proto.graph.node.insert(0, onnx.helper.make_node("QuickGelu", ["x"], ["u"], domain="com.microsoft"))
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("u", 1, ["N", 3]))
    proto.graph.node[1].input[0] = "u"
    with pytest.raises(sg.UnsupportedOperatorError, match=r"com.microsoft.QuickGelu .*extract_model"):
        sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))


def test_float16_is_optimised_in_float32(tmp_path: Path) -> None:
    proto = model("g (float16[N, 3] x) => (float16[N, 2] y) { y = MatMul(x, w) }", w=draw(3, 2).astype("float16"))
    step = sg.train_step_model(proto, "mse", sg.optim.adam(1e-2))
    types = {name: str(value.type.dtype) for name, value in step.graph.inputs.items()}
    assert types["w"] == types["target"] == "float16" and types["w.mu"] == types["w.nu"] == "float32"
    batch = {"x": X.astype("float16"), "target": Y.astype("float16")}
    trainer, losses = trained(step, batch, 30)
    assert losses[-1] < losses[0] and trainer.state()["w"].dtype == np.float16
    found = run(inference_of(trainer, tmp_path), x=batch["x"])["y"]
    np.testing.assert_allclose(found, trainer.predict(x=batch["x"])["y"], rtol=1e-2)


def scaled(ir: int = 10, extra: bool = True) -> onnx.ModelProto:
    """A model with an input that need not be fed."""
    weights = {"s": np.float32(2.0), **({"w": draw(3, 2)} if extra else {})}
    inner = "MatMul(x, w)" if extra else "Identity(x)"
    size = 2 if extra else 3
    return model(f"g (float[N, 3] x, float s) => (float[N, {size}] y) {{ a = {inner} y = Mul(a, s) }}", ir, **weights)


def test_an_input_with_a_default_need_not_be_fed(tmp_path: Path) -> None:
    step = sg.train_step_model(scaled(), "mse", sg.optim.sgd(0.1))
    assert step.parameters == ("w",) and set(step.feeds) == {"x", "s", "target"}
    trainer = sg.Trainer(step, device="cpu")
    expected = ((X @ draw(3, 2) * 2 - Y) ** 2).mean()
    assert trainer.evaluate({"x": X, "target": Y})["loss"] == pytest.approx(expected, rel=1e-5)
    assert float(trainer.step(x=X, target=Y)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(trainer.predict(x=X, s=np.float32(0))["y"], np.zeros_like(Y))
    # The step by itself does not need it either.
    session = onnxruntime.InferenceSession(step.model().SerializeToString(), providers=["CPUExecutionProvider"])
    loss = session.run(["loss"], {"x": X, "target": Y, "w": draw(3, 2)})[0]
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    exported = inference_of(trainer, tmp_path)
    np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-6)
    assert [value.name for value in exported.graph.input] == ["x", "s"]


@pytest.mark.parametrize("ir", [3, 10])
def test_a_default_can_be_trained(ir: int, tmp_path: Path) -> None:
    by_name = sg.train_step_model(scaled(), "mse", sg.optim.sgd(0.1), params=["s"])
    assert by_name.parameters == ("s",) and set(by_name.feeds) == {"x", "target"}
    # Where all initializers are inputs, as older exporters have it, they are meant.
    step = sg.train_step_model(scaled(ir, extra=False), "mse", sg.optim.sgd(0.1))
    assert step.parameters == ("s",)
    trainer, _ = trained(step, {"x": X, "target": 3 * X}, 50)
    assert trainer.state()["s"] == pytest.approx(3, rel=1e-2)
    exported = inference_of(trainer, tmp_path)
    assert [value.name for value in exported.graph.input] == ["x", "s"]
    np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-6)


# - names -


def test_names_that_the_step_needs() -> None:
    for text, weights in (
        ("g (float[N, 3] loss) => (float[N, 2] y) { y = MatMul(loss, w) }", {"w": draw(3, 2)}),
        ("g (float[N, 3] x) => (float[N, 2] y) { y = MatMul(x, loss) }", {"loss": draw(3, 2)}),
    ):
        proto = model(text, **weights)
        with pytest.raises(sg.DeclarationError, match=r"'loss' .* that the training step needs .*add_prefix"):
            sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))
        renamed = onnx.compose.add_prefix(proto, "model/")
        check_contract(sg.train_step_model(renamed, "mse", sg.optim.sgd(0.1)))
    proto = model(
        "g (float[N, 3] x) => (float[N, 2] y) { a = MatMul(x, w) y = Add(a, w__next) }", w=draw(3, 2), w__next=draw(2)
    )
    for arguments in ({}, {"freeze": "w"}, {"params": ["w"]}):
        with pytest.raises(sg.DeclarationError, match=r"'w.next' .* another name in the file, there and in the inputs"):
            sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), **arguments)


def test_names_of_the_optimizer_give_way(tmp_path: Path) -> None:
    proto = model(
        """g (float[N, 3] x) => (float[N, 2] y, float[N, 2] z) {
            a = MatMul(x, w) y = Mul(a, w__mu) c = CastLike(step, y) z = Add(y, c)
        }""",
        w=draw(3, 2),
        w__mu=draw(2),
        step=np.int64(7),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.adam(0.1), output="y")
    assert {"w.mu", "w.mu2", "w.mu.mu"} <= step.state.keys()
    check_contract(step)
    trainer, _ = trained(step, {"x": X, "target": Y})
    exported = inference_of(trainer, tmp_path)
    assert numpy_helper.to_array(exported.graph.initializer[2]) == 7
    np.testing.assert_allclose(run(exported, x=X)["z"], trainer.predict(x=X)["z"], rtol=1e-6)


def test_an_input_that_is_an_output() -> None:
    proto = mlp()
    proto.graph.output.append(proto.graph.input[0])
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), output="y")
    assert list(step.predictions.outputs) == ["y", "x.prediction"]
    np.testing.assert_array_equal(sg.Trainer(step, device="cpu").predict(x=X)["x.prediction"], X)


# - the file back -


def test_the_exported_model_is_the_one_that_came(tmp_path: Path) -> None:
    proto = mlp()
    proto.doc_string, proto.producer_name, proto.model_version = "what it is", "somebody", 3
    proto.metadata_props.add(key="labels", value="a,b")
    proto.graph.initializer[0].doc_string = "the first"
    trainer, _ = trained(sg.train_step_model(proto, "mse", sg.optim.adam(0.1)), {"x": X, "target": Y})
    exported = inference_of(trainer, tmp_path)
    for tensor in exported.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), trainer.state()[tensor.name])
    np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-6)
    del exported.graph.initializer[:]
    bare = mlp()
    bare.CopyFrom(proto)
    del bare.graph.initializer[:]
    assert exported == bare


def test_what_lay_beside_the_file_is_in_it(tmp_path: Path) -> None:
    proto = mlp()
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "mlp.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="mlp.data", size_threshold=0)
    trainer, _ = trained(sg.train_step_model(path, "mse", sg.optim.sgd(0.1), params="w2"), {"x": X, "target": Y})
    exported = inference_of(trainer, tmp_path)
    assert not any(tensor.HasField("data_location") for tensor in exported.graph.initializer)
    np.testing.assert_allclose(run(tmp_path / "inference.onnx", x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-6)
    # A plain export holds them too.
    sg.from_onnx(path).export(tmp_path / "again.onnx")
    np.testing.assert_array_equal(run(tmp_path / "again.onnx", x=X)["y"], run(path, x=X)["y"])


def test_sparse_weights_become_dense(tmp_path: Path) -> None:
    proto = model("g (float[N, 3] x) => (float[N, 2] y) { y = MatMul(x, w) }", w=draw(3, 2))
    del proto.graph.initializer[:]
    values = numpy_helper.from_array(np.float32([2, 3]), "w")
    proto.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(values, numpy_helper.from_array(np.int64([1, 4])), [3, 2])
    )
    trainer, losses = trained(sg.train_step_model(proto, "mse", sg.optim.sgd(0.1)), {"x": X, "target": Y})
    assert losses[-1] < losses[0]
    exported = inference_of(trainer, tmp_path)
    np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-6)


def test_weights_of_another_type_are_refused() -> None:
    read = sg.from_onnx(mlp())
    for arrays, text in (
        ({"w1": draw(4, 3)}, r"'w1' is f32\[3,4\], an array of \[4, 3\]"),
        ({"w1": draw(3, 4).astype("float64")}, "an array of float64 came"),
        ({"w9": draw(3, 4)}, "has no parameter 'w9'"),
    ):
        with pytest.raises(sg.StaticgradError, match=text):
            read.with_parameters(arrays)


def test_the_same_program_gives_the_same_bytes() -> None:
    def made() -> bytes:
        optimizer = sg.optim.adam(0.1)
        return (
            sg.train_step_model(LAYERS, "mse", optimizer, training=True).model().SerializeToString(deterministic=True)
        )

    assert made() == made()
    nodes = sg.train_step_model(LAYERS, "mse", sg.optim.sgd(0.1)).model().graph.node
    assert nodes[0].metadata_props[0].value == "layers:/encoder/fc1/Add"


def test_fit_evaluate_predict_save_and_load(tmp_path: Path) -> None:
    step = sg.train_step_model(mlp(), "mse", sg.optim.adam(1e-2), metrics={"error": lambda y, t: (y - t).abs().mean()})
    x = draw(100, 3, seed=5)
    data = {"x": x, "target": x[:, :2] * 2}
    trainer = sg.Trainer(step, device="cpu")
    history = trainer.fit(data, epochs=20, batch_size=16)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    held = trainer.evaluate(data, batch_size=30)
    predicted = trainer.predict(x=x, batch_size=30)["y"]
    assert held["error"] == pytest.approx(abs(predicted - data["target"]).mean(), rel=1e-4)
    trainer.save(tmp_path / "state.safetensors")
    again = sg.Trainer(sg.train_step_model(mlp(), "mse", sg.optim.adam(1e-2)), device="cpu")
    again.load(tmp_path / "state.safetensors")
    assert float(again.step(data)) == float(trainer.step(data))
    step.export_bundle(tmp_path / "bundle")
    outputs = [value.name for value in onnx.load(tmp_path / "bundle" / "predict.onnx").graph.output]
    assert outputs == ["y"]
