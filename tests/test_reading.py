"""What a person reads of a derived program: its sections, the rules that it came from, and the page that draws it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import staticgrad as sg
from staticgrad.train.step import TrainStep

F = sg.nn.functional
x = sg.input("x", ("N", 4))
y = sg.input("y", ("N", 2))
w1 = sg.parameter("body/w", np.ones((4, 3), np.float32))
w2 = sg.parameter("head/w", np.ones((3, 2), np.float32))
b2 = sg.parameter("head/b", np.ones(2, np.float32))
hidden = F.hardtanh(x @ w1)
loss = ((hidden @ w2 + b2 - y) ** 2).sum()


def step(optimizer: sg.optim.GradientTransformation | None = None) -> TrainStep:
    return sg.train_step(loss, optimizer or sg.optim.sgd(0.5), metrics={"error": (hidden @ w2 - y).abs().amax()})


def test_a_step_is_printed_in_sections() -> None:
    assert str(step()).splitlines()[1:] == [
        "  # forward",
        "  a: f32[N,3] = MatMul(x, body/w)",
        "  b: f32[N,3] = Clip(a, -1.0, 1.0)",
        "  c: f32[N,2] = MatMul(b, head/w)",
        "  d: f32[N,2] = Add(c, head/b)",
        "  e: f32[N,2] = Sub(d, y)",
        "  f: f32[N,2] = Mul(e, e)",
        "  loss: f32[] = ReduceSum(f, keepdims=False)",
        "  g: f32[N,2] = Sub(c, y)",
        "  h: f32[N,2] = Abs(g)",
        "  error: f32[] = ReduceMax(h, keepdims=False)",
        "  # backward",
        "  i: bool[N,3] = Greater(b, -1.0)  # b = Clip",
        "  j: bool[N,3] = Less(b, 1.0)  # b = Clip",
        "  k: bool[N,3] = And(i, j)  # b = Clip",
        "  l: f32[N,2] = Mul(e, 2.0)  # f = Mul",
        "  m: f32[N,3] = Gemm(l, head/w, transB=True)  # c = MatMul",
        "  n: f32[N,3] = Where(k, m, 0.0)  # b = Clip",
        "  o: f32[2] = ReduceSum(l, [0], keepdims=False)  # d = Add",
        "  # update",
        "  body/w.next: f32[4,3] = Gemm(x, n, body/w, alpha=-0.5, transA=True)",
        "  head/w.next: f32[3,2] = Gemm(b, l, head/w, alpha=-0.5, transA=True)",
        "  p: f32[2] = Mul(o, -0.5)",
        "  head/b.next: f32[2] = Add(head/b, p)",
    ]


def test_sections_are_all_operators_each_once_and_in_order() -> None:
    built = step(sg.optim.chain(sg.optim.clip_by_global_norm(1.0), sg.optim.adam(1e-3)))
    listed = [node for nodes in built.sections.values() for node in nodes]
    assert len(listed) == len(set(listed)) and set(listed) == set(built.graph.operators)
    known = {v.node for v in built.graph.inputs.values()}
    for node in listed:
        assert all(v is None or v.node in known or v.node.op.name == "Constant" for v in node.inputs)
        known.add(node)
    assert not any(node.derives_from for node in built.sections["update"])


def test_a_gradient_inside_the_loss_belongs_to_the_forward_computation() -> None:
    slope = sg.grad((x @ w1).tanh().sum(), x)
    built = sg.train_step((slope**2).sum(), sg.optim.sgd(0.1))
    forward = built.sections["forward"]
    assert any(node.derives_from for node in forward) and built.graph.outputs["loss"].node in forward
    assert "  # backward" in str(built)


def test_a_forward_node_that_is_gone_goes_by_its_operator_and_line() -> None:
    built = sg.train_step(((x @ w1).softmax(-1).log() * 2.0).sum(), sg.optim.sgd(0.1))
    assert "= LogSoftmax(" in str(built)
    assert re.search(r"# (Softmax|Log) \(test_reading.py:\d+\)|# \w+ = LogSoftmax", str(built))


def test_explain_names_the_rule_of_every_operator_and_what_it_emitted() -> None:
    explained = sg.explain(sg.grad(loss, w1))
    assert [(s.operator, s.emitted) for s in explained.steps] == [
        ("ReduceSum", ("Unsqueeze", "Shape", "Expand")),
        ("Mul", ("Mul", "Mul", "Add")),
        ("Sub", ()),
        ("Add", ()),
        ("MatMul", ("Transpose", "MatMul")),
        ("hardtanh", ("Greater", "Less", "And", "Where")),
        ("MatMul", ("Transpose", "MatMul")),
    ]
    assert explained.steps[4].rule.startswith("own rule (linear.py:")
    assert explained.steps[5].rule.startswith("replaced (activation.py:")
    assert all(s.source.file == __file__ for s in explained.steps)
    table = str(explained).splitlines()
    assert table[0].split() == ["operator", "type", "declared", "at", "rule", "emitted"] and len(table) == 8
    assert table[3].endswith("(passes the cotangent on)")


def test_explain_keeps_to_the_way_of_one_gradient() -> None:
    _, of_w2 = sg.grad(loss, [w1, w2])
    assert [s.operator for s in sg.explain(-of_w2).steps] == ["ReduceSum", "Mul", "Sub", "Add", "MatMul"]
    assert str(sg.explain(loss)) == "no operator was differentiated"


def test_explain_of_second_order_and_of_a_step() -> None:
    first = sg.grad((x @ w1).tanh().sum(), x)
    second = sg.explain(sg.grad((first**2).sum(), w1))
    assert [s.operator for s in second.steps][:3] == ["ReduceSum", "Tanh", "MatMul"]
    assert len(second.steps) > 8
    assert {s.operator for s in sg.explain(step().declared).steps} == {
        *("ReduceSum", "Mul", "Sub", "Add", "MatMul", "hardtanh")
    }


def test_explain_of_a_custom_rule_names_the_function_that_gave_it() -> None:
    def halved(g: sg.Value, y: sg.Value, x: sg.Value) -> sg.Value:
        return g * 0.5

    explained = sg.explain(sg.grad(sg.custom_vjp(sg.exp, halved)(x).sum(), x))
    assert explained.steps[1].operator.startswith("test_explain_of_a_custom_rule")
    assert explained.steps[1].rule.startswith("replaced (test_reading.py:")


def test_explain_of_anything_else_is_an_error() -> None:
    with pytest.raises(sg.DeclarationError, match="explain takes gradients, 3 is no Value"):
        sg.explain(3)  # type: ignore[arg-type]


# - the page -


def page(path: Path) -> str:
    step(sg.optim.adam(1e-3)).to_html(path / "step.html")
    return (path / "step.html").read_text(encoding="utf-8")


def test_the_page_holds_everything_and_refers_to_nothing(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert not re.search(r"(src|href|import|url)\s*[=(]\s*[\"']?(http|//)", text)
    assert re.findall(r"https?://[^\"']*", text) == ["http://www.w3.org/2000/svg"] * text.count("http")
    found = re.search(r"const data = (.*);\n", text)
    assert found
    data = json.loads(found[1])
    assert data["columns"] == ["forward", "backward", "update"]
    assert data["groups"][:3] == ["inputs", "body", "head"]
    of = {node["text"].split(" = ")[0]: node for node in data["nodes"]}
    assert of["a"]["group"] == "body" and of["loss"]["group"] == "head" and of["loss"]["kind"] == "output"
    backward = [node for node in data["nodes"] if node["column"] == 1]
    assert all(node["of"] for node in backward)
    assert {node["group"] for node in backward if node["of"] == "b = Clip"} == {"body"}
    assert {node["group"] for node in backward if node["of"] == "c = MatMul"} == {"head"}
    assert of["body/w.next"]["group"] == "body" and of["head/b.mu"]["group"] == "head"
    for node in data["nodes"]:
        assert all(0 <= output < len(data["nodes"][k]["types"]) for k, output in node["reads"])


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    built = sg.train_step(loss, sg.optim.sgd(0.1), metrics={"</script><b>": loss * 2.0})
    built.to_html(tmp_path / "step.html")
    text = (tmp_path / "step.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 1 and "<b>" in text.partition("const data")[2]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    page(tmp_path)
    command = "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --dump-dom".split()
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "step.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    drawn = dom.partition("<svg")[2]
    assert drawn.count('class="node column') == len(step(sg.optim.adam(1e-3)).graph.operators) + 12
    assert "a = MatMul(x, body/w)" in drawn and "f32[N,3]" in drawn
    assert drawn.count('class="edge"') > 40


# - values of training -


def centred(x: sg.Value, mean: sg.Value) -> sg.Value:
    batch = x.mean(0)
    moved = 0.5 * mean + 0.5 * sg.stop_gradient(batch)
    return sg.ops.kinds.in_training(x - batch, x - mean, [(mean, moved)])


def test_a_step_trains_and_moves_states_on_and_evaluates_in_inference() -> None:
    mean = sg.state("mean", np.zeros(4, np.float32))
    weight = sg.parameter("weight", np.ones(4, np.float32))
    out = centred(x, mean) * weight
    built = sg.train_step((out**2).sum(), sg.optim.sgd(0.0), predictions={"out": out})
    trainer = sg.Trainer(built)
    batch = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert float(trainer.step(x=batch)) == ((batch - batch.mean(0)) ** 2).sum()
    moved = batch.mean(0) / 2
    np.testing.assert_array_equal(trainer.state()["mean"], moved)
    np.testing.assert_array_equal(trainer.predict(x=batch)["out"], batch - moved)
    assert trainer.evaluate({"x": batch})["loss"] == ((batch - moved) ** 2).sum()
    # A gradient through the batch's own mean.
    numeric = sg.function(sg.grad((out**3).sum(), x))(batch)
    centre = batch - batch.mean(0)
    np.testing.assert_allclose(numeric, 3 * (centre**2 - (centre**2).mean(0)), rtol=1e-6)


def test_a_layer_that_is_used_twice_moves_its_state_on_twice() -> None:
    mean = sg.state("mean", np.zeros(4, np.float32))
    weight = sg.parameter("weight", np.ones(4, np.float32))
    out = centred(x * weight, mean) + centred(x * weight + 1.0, mean)
    trainer = sg.Trainer(sg.train_step((out**2).sum(), sg.optim.sgd(0.0)))
    batch = np.arange(8, dtype=np.float32).reshape(2, 4)
    trainer.step(x=batch)
    first = batch.mean(0) / 2
    np.testing.assert_array_equal(trainer.state()["mean"], first / 2 + (batch.mean(0) + 1) / 2)


def test_a_gradient_of_layers_in_training_has_no_form_in_inference() -> None:
    mean = sg.state("mean", np.zeros(4, np.float32))
    weight = sg.parameter("weight", np.ones(4, np.float32))
    out = centred(x, mean) * weight
    slope = sg.grad((out**3).sum(), x)
    with pytest.raises(sg.GradientError, match=r"prediction 'slope' .* model.eval\(\)\(x\); declared at test_reading"):
        sg.train_step((out**2).sum(), sg.optim.sgd(0.1), predictions={"slope": slope})
    # A metric of this kind is evaluated as it was declared.
    trainer = sg.Trainer(sg.train_step((out**2).sum(), sg.optim.sgd(0.0), metrics={"slope": (slope**2).sum()}))
    batch = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert trainer.evaluate({"x": batch})["slope"] == trainer.step(x=batch)["slope"]


def test_layers_in_inference() -> None:
    net = sg.nn.Sequential(sg.nn.BatchNorm1d(4, name="norm"), sg.nn.Sequential(sg.nn.Linear(4, 2, name="head")))
    assert net.training and net.eval() is net and not net.layers[0].training  # type: ignore[union-attr]
    slope = sg.grad(net(x).sum(), x)
    batch = np.arange(8, dtype=np.float32).reshape(2, 4)
    weight = sg.function(list(net.parameters()))()[2]
    np.testing.assert_allclose(sg.function(slope)(batch), np.tile(weight.sum(0), (2, 1)) / np.sqrt(1 + 1e-5), rtol=1e-5)
    assert net.train().layers[0].training  # type: ignore[union-attr]
