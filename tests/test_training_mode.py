"""Dropout and batch normalization of a file put into training, and back in what is exported; other heads on models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from test_train_model import X, check_contract, draw, inference_of, model, run, trained

import staticgrad as sg
from staticgrad.graph import Leaf

functional = sg.nn.functional


def normalizing(training: bool = False, opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """Convolution, normalization over the batch, means over the pixels: (N, 1, 4, 4) -> (N, 3)."""
    results, mode = ("z, moved_mean, moved_var", ", training_mode = 1") if training else ("z", "")
    return model(
        f"""net (float[N, 1, 4, 4] x) => (float[N, 3] y) {{
            c = Conv<pads = [1, 1, 1, 1]>(x, w)
            {results} = BatchNormalization<epsilon = 0.01, momentum = 0.8{mode}>(c, scale, bias, mean, var)
            r = Relu(z)
            p = GlobalAveragePool(r)
            y = Flatten(p)
        }}""",
        opset=opset,
        **{
            "w": draw(3, 1, 3, 3),
            "scale": 1 + draw(3) / 4,
            "bias": draw(3, seed=1) / 4,
            "mean": draw(3, seed=2) / 4,
            "var": 1 + draw(3, seed=3) ** 2,
            **weights,
        },
    )


IMAGES, WANTED = draw(6, 1, 4, 4), draw(6, 3)


def torch_net(torch: Any) -> Any:
    convolution, normalization = torch.nn.Conv2d(1, 3, 3, padding=1, bias=False), torch.nn.BatchNorm2d(3, 0.01, 0.2)
    with torch.no_grad():
        weights = {t.name: torch.tensor(numpy_helper.to_array(t).copy()) for t in normalizing().graph.initializer}
        convolution.weight.copy_(weights["w"])
        normalization.weight.copy_(weights["scale"])
        normalization.bias.copy_(weights["bias"])
        normalization.running_mean.copy_(weights["mean"])
        normalization.running_var.copy_(weights["var"])
    return torch.nn.Sequential(
        convolution, normalization, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


@pytest.mark.parametrize("exported_in_training", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_normalization_against_pytorch(training: bool, exported_in_training: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    step = sg.train_step_model(normalizing(exported_in_training), "mse", sg.optim.sgd(0.3), training=training)
    assert step.parameters == ("w", "scale", "bias")
    trainer, losses = trained(step, {"x": IMAGES, "target": WANTED}, 4)
    net = torch_net(torch).train(training or exported_in_training)
    optimizer = torch.optim.SGD(net.parameters(), 0.3)
    expected = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = functional_mse(torch, net)
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    state = trainer.state()
    for name, tensor in zip(("w", "scale", "bias"), net.parameters(), strict=True):
        np.testing.assert_allclose(state[name], tensor.detach().numpy(), rtol=1e-3, atol=1e-5)
    if training:
        np.testing.assert_allclose(state["mean"], net[1].running_mean.numpy(), rtol=1e-4, atol=1e-6)
        # PyTorch keeps the unbiased variance, ONNX that of the elements as they are: 96 of a channel.
        batch = (net[1].running_var.numpy() - 0.8**4 * (1 + draw(3, seed=3) ** 2)) * 95 / 96
        np.testing.assert_allclose(state["var"], 0.8**4 * (1 + draw(3, seed=3) ** 2) + batch, rtol=1e-4)
        net.eval()
        with torch.no_grad():
            net[1].running_var.copy_(torch.tensor(state["var"]))
    else:
        np.testing.assert_array_equal(state["mean"], draw(3, seed=2) / 4)
    with torch.no_grad():
        answer, held_out = net(torch.tensor(IMAGES)).numpy(), functional_mse(torch, net).item()
    np.testing.assert_allclose(trainer.predict(x=IMAGES)["y"], answer, rtol=1e-3, atol=1e-5)
    assert trainer.evaluate({"x": IMAGES, "target": WANTED})["loss"] == pytest.approx(held_out, rel=1e-4)
    exported = inference_of(trainer, tmp_path)
    np.testing.assert_allclose(run(exported, x=IMAGES)["y"], answer, rtol=1e-3, atol=1e-5)
    assert [node.op_type for node in exported.graph.node][:2] == ["Conv", "BatchNormalization"]


def functional_mse(torch: Any, net: Any) -> Any:
    return torch.nn.functional.mse_loss(net(torch.tensor(IMAGES)), torch.tensor(WANTED))


def test_batch_normalization_against_a_net_declared_here() -> None:
    step = sg.train_step_model(normalizing(), "mse", sg.optim.adam(0.05), training=True)
    check_contract(step)
    _, losses = trained(step, {"x": IMAGES, "target": WANTED}, 5)
    held = {t.name: numpy_helper.to_array(t) for t in normalizing().graph.initializer}
    x, y = sg.input("x", ("N", 1, 4, 4)), sg.input("target", ("N", 3))
    w, scale, bias = (sg.parameter(name, held[name]) for name in ("w", "scale", "bias"))
    c = functional.conv2d(x, w, padding=1)
    z = (c - c.mean((0, 2, 3), keepdim=True)) / (c.var((0, 2, 3), correction=0, keepdim=True) + 0.01).sqrt()
    z = z * scale[:, None, None] + bias[:, None, None]
    loss = functional.mse_loss(z.relu().mean((2, 3)), y)
    other = sg.Trainer(sg.train_step(loss, sg.optim.adam(0.05)), device="cpu")
    np.testing.assert_allclose(losses, [float(other.step(x=IMAGES, target=WANTED)) for _ in range(5)], rtol=1e-4)


def test_statistics_are_no_parameters() -> None:
    for names in (["mean"], "var"):
        with pytest.raises(sg.DeclarationError, match="a running statistic"):
            sg.train_step_model(normalizing(), "mse", sg.optim.sgd(0.1), params=names)
    assert sg.train_step_model(normalizing(), "mse", sg.optim.sgd(0.1), params="*").parameters == ("w", "scale", "bias")


@pytest.mark.parametrize("training", [False, True])
def test_a_statistic_that_shares_its_tensor_gets_its_own(training: bool, tmp_path: Path) -> None:
    # As exporters store a fresh layer: the running mean is the bias, under its own name by a copy.
    proto = normalizing()
    graph = proto.graph
    graph.node.insert(0, onnx.helper.make_node("Identity", ["bias"], ["bn.running_mean"]))
    graph.node[2].input[3] = "bn.running_mean"
    graph.node[2].input[4] = "scale"
    del graph.initializer[3:]
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.3), training=training)
    assert step.parameters == ("w", "scale", "bias")
    assert {"bn.running_mean", "scale.2"} <= step.state.keys()
    trainer, _ = trained(step, {"x": IMAGES, "target": WANTED}, 3)
    state = trainer.state()
    assert not np.allclose(state["bias"], draw(3, seed=1) / 4)
    assert np.allclose(state["bn.running_mean"], draw(3, seed=1) / 4) is not training
    exported = inference_of(trainer, tmp_path)
    held = {t.name: numpy_helper.to_array(t) for t in exported.graph.initializer}
    for name in step.state:
        np.testing.assert_array_equal(held[name], state[name], err_msg=name)
    np.testing.assert_allclose(run(exported, x=IMAGES)["y"], trainer.predict(x=IMAGES)["y"], rtol=1e-5, atol=1e-6)


def test_two_layers_that_share_statistics_part_and_one_used_twice_does_not(tmp_path: Path) -> None:
    text = """g (float[N, 3] x) => (float[N, 3] y) {{
        a = BatchNormalization(x, s1, b, mean, var) c = MatMul(a, w) y = BatchNormalization(c, {}, b, mean, var)
    }}"""
    weights = {
        "s1": np.ones(3, "float32"),
        "b": draw(3),
        "w": draw(3, 3),
        "mean": np.zeros(3, "float32"),
        "var": np.ones(3, "float32"),
    }
    once = sg.train_step_model(model(text.format("s1"), **weights), "mse", sg.optim.sgd(0.1), training=True)
    assert {"mean", "var"} == {name for name in once.state if name.startswith(("mean", "var"))}
    proto = model(text.format("s2"), **weights, s2=2 * np.ones(3, "float32"))
    twice = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), training=True)
    assert {"mean.2", "var.2"} <= twice.state.keys()
    for step in (once, twice):
        trainer, _ = trained(step, {"x": X, "target": draw(8, 3)}, 3)
        exported = inference_of(trainer, tmp_path)
        np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trainer.state()["mean"], (1 - 0.9**3) * X.mean(0), rtol=1e-4, atol=1e-6)


def test_statistics_in_constants_and_in_functions(tmp_path: Path) -> None:
    proto = parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
        g (float[N, 3] x) => (float[N, 3] y) {
            m = Constant<value_floats = [0.0, 0.0, 0.0]>()
            h = local.norm(x, s, b, mean, var)
            y = BatchNormalization(h, s, b, m, var2)
        }
        <domain: "local", opset_import: ["" : 17]>
        norm (x, s, b, m, v) => (y) { y = BatchNormalization(x, s, b, m, v) }"""
    )
    for name, array in {"s": [1, 2, 3], "b": [0, 1, 0], "mean": [0, 0, 1], "var": [1, 1, 2], "var2": [2, 2, 2]}.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.float32(array), name))
    plain = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))
    assert plain.parameters == ("s", "b") and set(plain.state) == {"s", "b", "mean", "var", "var2"}
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), training=True)
    check_contract(step)
    assert step.parameters == ("s", "b")
    trainer, _ = trained(step, {"x": X, "target": draw(8, 3)}, 3)
    np.testing.assert_allclose(
        trainer.state()["mean"], 0.9**3 * np.float32([0, 0, 1]) + (1 - 0.9**3) * X.mean(0), rtol=1e-4, atol=1e-6
    )
    assert trainer.state()["m"].any()
    exported = inference_of(trainer, tmp_path)
    np.testing.assert_allclose(run(exported, x=X)["y"], trainer.predict(x=X)["y"], rtol=1e-4, atol=1e-5)


def test_statistics_that_cannot_move() -> None:
    proto = normalizing()
    proto.graph.node.insert(0, onnx.helper.make_node("Exp", ["var"], ["more"]))
    proto.graph.node[2].input[4] = "more"
    assert sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))
    with pytest.raises(sg.DeclarationError, match="are computed, so training cannot move them on"):
        sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), training=True)


def dropping(mode: str = "", opset: int = 17) -> onnx.ModelProto:
    """A mean over many elements, nearly half of which are dropped."""
    drop = "Dropout<ratio = 0.4>(x)" if opset < 12 else f"Dropout(x, ratio{mode})"
    weights = {} if opset < 12 else {"ratio": np.float32(0.4)}
    if mode:
        weights["yes"] = np.array(True)
    results = "d, mask" if mode else "d"
    return model(
        f"g (float[N, 1000] x) => (float[N, 1000] y) {{ {results} = {drop} y = Mul(d, w) }}",
        opset=opset,
        **{"w": np.ones(1000, "float32"), **weights},
    )


@pytest.mark.parametrize(("mode", "opset"), [("", 17), ("", 7), ("", 11), (", yes", 17), (", yes", 13)])
def test_dropout(mode: str, opset: int, tmp_path: Path) -> None:
    proto = dropping(mode, opset)
    ones = np.ones((2, 1000), "float32")
    batch = {"x": ones, "target": 0 * ones}
    plain = sg.Trainer(sg.train_step_model(proto, "l1", sg.optim.sgd(1.0)), device="cpu")
    assert (float(plain.step(batch)) == 1) is not bool(mode)
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(1000.0), training=True)
    assert step.parameters == ("w",)
    check_contract(step)
    trainer = sg.Trainer(step, device="cpu")
    # 1 / 0.6 of each that is kept, by chance 0.6: the mean of squares is 1 / 0.6.
    assert float(trainer.step(batch)) == pytest.approx(1 / 0.6, rel=0.1)
    # The gradient saw what the loss did: 2 w x^2 / 2 for each of two samples.
    moved = np.round((1 - trainer.state()["w"]) * 0.36, 4)
    assert set(moved.tolist()) == {0.0, 1.0, 2.0}
    trainer.set_state({"w": np.ones(1000, "float32")})
    assert trainer.evaluate(batch)["loss"] == 1
    np.testing.assert_array_equal(trainer.predict(x=ones)["y"], ones)
    exported = inference_of(trainer, tmp_path)
    np.testing.assert_array_equal(run(exported, x=ones)["y"], ones)
    assert "yes" not in {t.name for t in exported.graph.initializer}


def test_what_pytorch_exports(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(11, 8)
            self.encoder = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.lstm = torch.nn.LSTM(8, 6, batch_first=True)
            self.body = torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.BatchNorm1d(7), torch.nn.Dropout(0.5))
            self.head = torch.nn.Linear(7, 3)

        def forward(self, tokens: Any) -> Any:
            hidden, _ = self.lstm(self.encoder(self.embedding(tokens)))
            return self.head(self.body(hidden[:, -1]))

    torch.manual_seed(0)
    net, random = Net(), np.random.default_rng(0)
    batch = {"tokens": random.integers(0, 11, (32, 5)), "target": random.integers(0, 3, 32)}
    for mode in (torch.onnx.TrainingMode.EVAL, torch.onnx.TrainingMode.TRAINING):
        learning = mode is torch.onnx.TrainingMode.TRAINING
        net.train(learning)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                (torch.zeros((2, 5), dtype=torch.int64),),
                tmp_path / "net.onnx",
                dynamo=False,
                opset_version=17,
                input_names=["tokens"],
                output_names=["logits"],
                dynamic_axes={"tokens": {0: "N"}, "logits": {0: "N"}},
                training=mode,
                do_constant_folding=not learning,
            )
        step = sg.train_step_model(
            tmp_path / "net.onnx",
            "cross_entropy",
            sg.optim.adam(1e-2),
            params=["encoder.linear1.weight", "lstm.*", "head.*"],
            training=True,
        )
        check_contract(step)
        assert len(step.parameters) == (7 if learning else 6)
        trainer, losses = trained(step, batch, 20)
        assert losses[-1] < losses[0]
        capfd.readouterr()
        found = run(inference_of(trainer, tmp_path), tokens=batch["tokens"])["logits"]
        np.testing.assert_allclose(found, trainer.predict(tokens=batch["tokens"])["logits"], rtol=1e-4, atol=1e-5)
        assert "Removing initializer" not in capfd.readouterr().err
    # Evaluation sees layers in inference, of a file that was exported in training.
    net.eval()
    step = sg.train_step_model(tmp_path / "net.onnx", "cross_entropy", sg.optim.sgd(0.1), training=True)
    frozen = sg.Trainer(step, device="cpu").evaluate(batch)["loss"]
    logits = net(torch.tensor(batch["tokens"]))
    assert frozen == pytest.approx(
        torch.nn.functional.cross_entropy(logits, torch.tensor(batch["target"])).item(), rel=1e-4
    )


def test_the_mask_is_that_of_the_same_draw() -> None:
    proto = model(
        """g (float[N, 1000] x) => (float[N, 1000] y) {
            d, mask = Dropout(x, ratio) m = CastLike(mask, x) a = Mul(d, w) y = Mul(a, m)
        }""",
        ratio=np.float32(0.5),
        w=np.ones(1000, "float32"),
    )
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), training=True)
    ones = np.ones((4, 1000), "float32")
    # Another draw would leave a quarter.
    assert float(sg.Trainer(step, device="cpu").step(x=ones, target=0 * ones)) == pytest.approx(2, rel=0.1)


def test_running_outputs_of_a_file_in_training(tmp_path: Path) -> None:
    proto = normalizing(True)
    for name in ("moved_mean", "moved_var"):
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]))
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), output="y", training=True)
    trainer, _ = trained(step, {"x": IMAGES, "target": WANTED}, 2)
    predicted = trainer.predict(x=IMAGES)
    found = run(inference_of(trainer, tmp_path), x=IMAGES)
    for name in ("y", "moved_mean", "moved_var"):
        np.testing.assert_allclose(found[name], predicted[name], rtol=1e-5)
    np.testing.assert_array_equal(found["moved_mean"], trainer.state()["mean"])


def test_layers_in_branches_are_refused() -> None:
    proto = model(
        """g (float[N, 3] x, bool flag) => (float[N, 3] y) {
            a = Mul(x, w)
            y = If(flag) <
                then_branch = then () => (float[N, 3] p) { p = Dropout(a, ratio) },
                else_branch = other () => (float[N, 3] q) { q = Identity(a) }
            >
        }""",
        w=draw(3),
        ratio=np.float32(0.5),
    )
    assert sg.train_step_model(proto, "mse", sg.optim.sgd(0.1))
    with pytest.raises(sg.DeclarationError, match="training=True does not reach into loops and branches"):
        sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), training=True)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_batch_normalization_of_other_types(dtype: str) -> None:
    spelled = "double" if dtype == "float64" else dtype
    proto = model(
        f"g ({spelled}[N, 3] x) => ({spelled}[N, 3] y) {{ y = BatchNormalization(x, s, b, m, v) }}",
        **{name: np.ones(3, dtype) for name in "sbmv"},
    )
    step = sg.train_step_model(proto, "mse", sg.optim.sgd(0.1), training=True)
    trainer, losses = trained(step, {"x": X.astype(dtype), "target": X.astype(dtype)}, 3)
    expected = (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5) + 1
    assert losses[0] == pytest.approx(((expected - X) ** 2).mean(), rel=1e-2)
    assert {str(a.dtype) for name, a in trainer.state().items()} == {dtype}
    np.testing.assert_allclose(trainer.state()["m"], 0.9**3 + (1 - 0.9**3) * X.mean(0), rtol=1e-2, atol=1e-2)


# - other heads -


def test_another_head(tmp_path: Path) -> None:
    proto = normalizing()
    proto.metadata_props.add(key="labels", value="a,b")
    read = sg.from_onnx(proto)
    head = sg.nn.Sequential(
        sg.nn.Linear(3, 8, name="hidden"), sg.nn.LayerNorm(8, name="norm"), sg.nn.Linear(8, 5, name="head")
    )
    made = read.replace_output("y", lambda p: head(p.flatten(1)), at="p")
    assert str(made.outputs["y"].type) == "f32[?N,5]" and {"head/weight", "w"} <= made.parameters.keys()
    labels = np.array([0, 1, 2, 3, 4, 0])
    for training in (False, True):
        step = sg.train_step_model(
            made, "cross_entropy", sg.optim.adam(0.05), freeze=["w", "scale", "bias"], training=training
        )
        check_contract(step)
        trainer, losses = trained(step, {"x": IMAGES, "target": labels}, 30)
        assert losses[-1] < 0.3 * losses[0]
        np.testing.assert_array_equal(trainer.state()["w"], draw(3, 1, 3, 3))
        assert np.array_equal(trainer.state()["mean"], draw(3, seed=2) / 4) is not training
        exported = inference_of(trainer, tmp_path)
        assert [p.value for p in exported.metadata_props if p.key == "labels"] == ["a,b"]
        found = run(exported, x=IMAGES)
        np.testing.assert_allclose(found["y"], trainer.predict(x=IMAGES)["y"], rtol=1e-4, atol=1e-5)
    # What comes out can be the start again.
    assert sg.train_step_model(exported, "cross_entropy", sg.optim.sgd(0.1), params="head/*").parameters == (
        "head/weight",
        "head/bias",
    )


def test_a_head_under_the_name_of_the_old_one() -> None:
    proto = model("g (float[N, 3] x) => (float[N, 2] y) { h = Tanh(x) y = MatMul(h, w) }", w=draw(3, 2))
    read = sg.from_onnx(proto)
    made = read.replace_output("y", lambda h: h @ sg.parameter("w", np.zeros((3, 4), "float32")), at="h")
    assert str(made.parameters["w"].type) == "f32[3,4]"
    step = sg.train_step_model(made, "mse", sg.optim.sgd(0.1))
    assert not step.state["w"].any()
    with pytest.raises(sg.DeclarationError, match="'w' is declared twice"):
        read.replace_output("y", lambda y: y @ sg.parameter("w", np.zeros((2, 4), "float32")))


def test_all_weights_are_inputs(tmp_path: Path) -> None:
    proto = normalizing()
    for tensor in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    read = sg.from_onnx(proto)
    head = read.replace_output("y", lambda y: y @ sg.parameter("more", draw(3, 3)))
    for start, parameters in ((read, ("w", "scale", "bias")), (head, ("w", "scale", "bias", "more"))):
        step = sg.train_step_model(start, "mse", sg.optim.sgd(0.1), training=True)
        assert set(step.parameters) == set(parameters) and step.feeds == ("x", "target")
        check_contract(step)
        trainer, _ = trained(step, {"x": IMAGES, "target": WANTED}, 3)
        exported = inference_of(trainer, tmp_path)
        assert [v.name for v in exported.graph.input] == [v.name for v in proto.graph.input]
        found = run(exported, x=IMAGES)["y"]
        np.testing.assert_allclose(found, trainer.predict(x=IMAGES)["y"], rtol=1e-4, atol=1e-5)
        assert not np.allclose(found, run(proto, x=IMAGES)["y"])


def test_replaced_derivatives_of_a_head_stay_in_training() -> None:
    read = sg.from_onnx(normalizing())
    made = read.replace_output("y", lambda y: sg.stop_gradient(y) * sg.parameter("scales", draw(3)) + y * 0)
    gradients = {}
    for training in (False, True):
        step = sg.train_step_model(made, "mse", sg.optim.sgd(1.0), training=training)
        trainer, _ = trained(step, {"x": IMAGES, "target": WANTED}, 1)
        gradients[training] = trainer.state()
        np.testing.assert_array_equal(trainer.state()["w"], draw(3, 1, 3, 3))
        assert not np.array_equal(trainer.state()["scales"], draw(3))
    assert not np.array_equal(gradients[True]["mean"], gradients[False]["mean"])


def test_a_head_with_layers_in_training(tmp_path: Path) -> None:
    made = sg.from_onnx(normalizing()).replace_output("y", lambda y: sg.nn.BatchNorm1d(3, name="last")(y))
    step = sg.train_step_model(made, "mse", sg.optim.sgd(0.1))
    trainer, _ = trained(step, {"x": IMAGES, "target": WANTED}, 3)
    assert trainer.state()["last/running_mean"].any()
    np.testing.assert_array_equal(trainer.state()["mean"], draw(3, seed=2) / 4)
    exported = inference_of(trainer, tmp_path)
    np.testing.assert_allclose(run(exported, x=IMAGES)["y"], trainer.predict(x=IMAGES)["y"], rtol=1e-4, atol=1e-5)


def test_a_model_with_another_head_is_called_with_its_own_parameters() -> None:
    made = sg.from_onnx(normalizing()).replace_output(
        "y",
        lambda y: (
            functional.layer_norm(y, (3,)) @ sg.parameter("v", np.random.standard_normal((3, 2)).astype("float32"))
        ),
    )
    x = sg.input("images", ("N", 1, 4, 4))
    y = made(x)
    assert sg.grad(y.sum(), made.parameters["v"]).type == made.parameters["v"].type
    v = made.parameters["v"].node.initial
    expected = sg.function(made.outputs["y"])(IMAGES)
    np.testing.assert_allclose(sg.function(y)(IMAGES), expected, rtol=1e-6)
    step = sg.train_step_model(made, "mse", sg.optim.sgd(0.1), training=True)
    np.testing.assert_array_equal(step.state["v"], v)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("z", lambda y: y), "has no output 'z'; it has y"),
        (("y", lambda y: y, "q"), "has no value 'q'"),
        (("y", lambda y: 3), "the new output 'y' is 3, not a Value"),
        (("y", 3), "the new output 'y' is a function, 3 came"),
        (("y", lambda y: y + sg.input("more", ("N", 3))), "needs an input 'more' of its own"),
    ],
)
def test_heads_that_make_no_sense(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(sg.StaticgradError) as error:
        sg.from_onnx(normalizing()).replace_output(*arguments)
    assert text in str(error.value)


def test_a_statistic_that_is_read_otherwise_is_none_in_models_that_are_not_sorted() -> None:
    tensors = [onnx.numpy_helper.from_array(np.ones(3, np.float32), name) for name in ("s", "b", "m", "v")]
    nodes = [
        onnx.helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["z"]),
        onnx.helper.make_node("Add", ["z", "copy"], ["y"]),
        onnx.helper.make_node("Identity", ["m"], ["copy"]),
    ]
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in "xy")
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], tensors)
    model = sg.from_onnx(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8))
    kinds = {name: p.node.kind for name, p in model.parameters.items() if isinstance(p.node, Leaf)}
    assert kinds == {"s": "parameter", "b": "parameter", "m": "parameter", "v": "state"}
