"""Normalizations and attention beyond the tables: marks of training, statistics, exactness, layers, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
from evaluation import Evaluator, run

import staticgrad as sg
from staticgrad import eager, ops
from staticgrad.graph import topological

F = sg.nn.functional
RNG = np.random.default_rng(0)


# - training and running statistics -


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_training_is_marked_with_inference_and_next_statistics(name: str) -> None:
    torch = pytest.importorskip("torch")
    x, (w, b), (m, v) = RNG.normal(2, 3, (3, 4, 2, 2)), RNG.normal(size=(2, 4)), RNG.uniform(0.5, 2, (2, 4))
    leaf = sg.input("x", ("N", 4, "H", 2), "float64")
    mean, var = sg.state("mean", m), sg.state("var", v)
    training: dict[str, Any] = {"training": True} if name == "batch_norm" else {}
    y = getattr(F, name)(leaf, mean, var, w, b, **training, momentum=0.3, eps=0.01)
    mark = y.node.training
    assert [state for state, _ in mark.updates] == [mean, var]
    assert [value.type for _, value in mark.updates] == [mean.type, var.type]
    assert mark.inference.type.shape == leaf.type.shape
    found = Evaluator([leaf, mean, var], [y, mark.inference, *(value for _, value in mark.updates)])(
        {"x": x, "mean": m, "var": v}
    )
    tensors = [torch.tensor(a) for a in (x, m, v, w, b)]
    given = {"training": False} if name == "batch_norm" else {"use_input_stats": False}
    inference = getattr(torch.nn.functional, name)(*tensors, **given, eps=0.01)
    expected = getattr(torch.nn.functional, name)(*tensors, **training, momentum=0.3, eps=0.01)
    for z, t in zip(found, [expected, inference, *tensors[1:3]], strict=True):
        np.testing.assert_allclose(z, t.numpy(), rtol=1e-12, atol=1e-13)
    # The eager twin moves its running statistics in place.
    running = [eager.tensor(a) for a in (m, v)]
    getattr(eager.nn.functional, name)(
        eager.tensor(x), *running, eager.tensor(w), eager.tensor(b), **training, momentum=0.3, eps=0.01
    )
    for r, t in zip(running, tensors[1:3], strict=True):
        np.testing.assert_allclose(r.numpy(), t.numpy(), rtol=1e-12)


def test_only_states_move_on() -> None:
    x, mean = sg.input("x", (3, 4)), sg.input("mean", (4,))
    assert F.batch_norm(x, mean, mean, training=True).node.training.updates == ()
    assert F.batch_norm(x, None, None, training=True).node.training is None
    assert F.batch_norm(x, mean, mean).node.training is None


# - exactness -

FAR = 3000 + RNG.normal(0, 1e-3**0.5, (4, 3, 64))


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm", "instance_norm", "group_norm"])
def test_a_small_variance_far_from_zero(name: str) -> None:
    """Float32 may lose what the input's rounding loses, and no more."""
    x = FAR.astype(np.float32)
    arguments: dict[str, tuple[Any, ...]] = {
        "layer_norm": ((64,),),
        "batch_norm": (None, None, None, None, True),
        "instance_norm": (),
        "group_norm": (3,),
    }
    axes = (0, 2) if name == "batch_norm" else 2
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    z = centred * inverse
    g = RNG.normal(size=z.shape)
    weights = g.astype(np.float32)
    values, _ = run(lambda x: getattr(F, name)(x, *arguments[name]), x, dtype=None)
    np.testing.assert_allclose(values[0], z, atol=0.02)
    leaf = sg.input("x", x.shape)
    pulled = sg.vjp(getattr(F, name)(leaf, *arguments[name]), leaf, weights)
    (found,) = Evaluator([leaf], [pulled], rewritten=True)({"x": x})
    expected = inverse * (g - g.mean(axes, keepdims=True) - z * (g * z).mean(axes, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("axis", [1, 2])
def test_layer_normalization_of_doubles(axis: int) -> None:
    """The statistics that the operator gives are float32; its derivatives are exact all the same."""
    shape = (2, 3, 4)
    x, g, d = (RNG.normal(size=shape) for _ in range(3))
    w, b = RNG.normal(size=(2, *shape[axis:]))
    names = {"x": x, "w": w, "b": b, "g": g, "d": d}
    leaves = [sg.input(k, a.shape, "float64") for k, a in names.items()]
    y, mean, _ = ops.layer_normalization(*leaves[:3], axis=axis, epsilon=0.1)
    assert str(mean.dtype) == "float32"
    first = sg.vjp(y, leaves[:3], leaves[3])
    second = sg.vjp(first[0], leaves[:2], leaves[4])
    for outputs, seed, derivatives in (((y,), g, first), ((first[0],), d, second)):
        value = Evaluator(leaves, outputs)
        found = Evaluator(leaves, derivatives)(names)
        for name, derivative in zip(names, found, strict=False):
            numeric = np.zeros(names[name].shape)
            for i in np.ndindex(numeric.shape):
                sides = []
                for h in (1e-5, -1e-5):
                    moved = names[name].copy()
                    moved[i] += h
                    sides.append((seed * value({**names, name: moved})[0]).sum())
                numeric[i] = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(derivative, numeric, rtol=1e-6, atol=1e-8)


W, B = RNG.normal(size=(2, 4))
UNIT = RNG.uniform(0.1, 0.9, (2, 4, 3))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.layer_norm(x, (4, 3), eps=0.1),
        lambda x: F.rms_norm(x, (3,), eps=0.1),
        lambda x: F.batch_norm(x, None, None, W, B, training=True, eps=0.1),
        lambda x: F.batch_norm(x, W, B * B, W, B, eps=0.1),
        lambda x: F.instance_norm(x, None, None, W, B, eps=0.1),
        lambda x: F.group_norm(x, 2, W, B, eps=0.1),
        lambda x: F.local_response_norm(x, 3, alpha=0.5),
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
        lambda x: F.binary_cross_entropy(x, UNIT[::-1], reduction="none"),
        lambda x: F.kl_div(UNIT, x, reduction="none"),
        lambda x: F.gaussian_nll_loss(UNIT, UNIT[::-1], x, reduction="none"),
        lambda x: F.poisson_nll_loss(x, UNIT, log_input=False, reduction="none"),
        lambda x: F.cosine_embedding_loss(x[0], x[1], np.array([1, -1, 1, -1]), reduction="none"),
        lambda x: F.triplet_margin_loss(x[0], x[1], x[0].flip(0), margin=5.0, reduction="none"),
        lambda x: F.soft_margin_loss(x, UNIT, reduction="none"),
        lambda x: F.multi_margin_loss(x[0], np.array([0, 1, 2, 0]), p=2, reduction="none"),
        lambda x: F.huber_loss(x, UNIT[::-1], delta=0.3, reduction="none"),
    ],
    ids=range(17),
)
def test_second_derivatives_are_those_of_central_differences(f: Any) -> None:
    x = sg.input("x", UNIT.shape, "float64")
    y = f(x)
    g, d = sg.input("g", y.shape, "float64"), sg.input("d", x.shape, "float64")
    first = sg.vjp(y, x, g)
    feeds = {"x": UNIT, "g": RNG.normal(size=y.shape), "d": RNG.normal(size=x.shape)}
    found = Evaluator([x, g, d], sg.vjp(first, [x, g], d))(feeds)
    for name, derivative in zip("xg", found, strict=True):
        value = Evaluator([x, g], [first])
        numeric = np.zeros(feeds[name].shape)
        for i in np.ndindex(numeric.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = feeds[name].copy()
                moved[i] += h
                sides.append((feeds["d"] * value({**feeds, name: moved})[0]).sum())
            numeric[i] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(derivative, numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_its_type(dtype: str) -> None:
    x, w, wide = sg.input("x", (2, 4, 3), dtype), sg.input("w", (4,), dtype), sg.input("v", (4,))
    for p in (w, wide):
        for y in (
            F.batch_norm(x, None, None, p, p, training=True),
            F.batch_norm(x, p, p, p, p),
            F.instance_norm(x, None, None, p, p),
            F.group_norm(x, 2, p, p),
            F.layer_norm(x.transpose(1, 2), (4,), p, p),
            F.rms_norm(x.transpose(1, 2), (4,), p),
        ):
            assert str(y.dtype) == dtype
            assert [str(g.dtype) for g in sg.grad(y.float().sum(), [x, p])] == [dtype, str(p.dtype)]


# - attention -


def test_rows_without_keys_are_zero_with_zero_gradients() -> None:
    q, k = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 3))
    mask = np.array([[True, True, False, True], [False] * 4])
    for m in (mask, np.where(mask, 0.0, -np.inf)):
        values, gradients = run(lambda q, k, m=m: F.scaled_dot_product_attention(q, k, k, m), q, k)
        assert not values[0][1].any() and not gradients[0][1].any()
        assert all(np.isfinite(a).all() for a in (*values, *gradients))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_causal_attention_keeps_its_element_type(dtype: str) -> None:
    q, k = sg.input("q", ("N", 3, 4), dtype), sg.input("k", ("N", "S", 4), dtype)
    y = F.scaled_dot_product_attention(q, k, k, is_causal=True)
    assert str(y.type) == str(sg.grad(y.sum(), q).type) == str(q.type)


def test_causal_attention_with_named_lengths() -> None:
    torch = pytest.importorskip("torch")
    q, k = sg.input("q", ("N", "L", 4)), sg.input("k", ("N", "S", 4))
    y = F.scaled_dot_product_attention(q, k, k, is_causal=True)
    assert y.shape == ("N", "L", 4)
    f = sg.function([y, sg.grad(y.pow(2).sum(), k)])
    for length, keys in ((3, 5), (5, 3), (1, 1)):
        a, b = RNG.normal(size=(2, length, 4)).astype("f"), RNG.normal(size=(2, keys, 4)).astype("f")
        t = torch.tensor(b, requires_grad=True)
        z = torch.nn.functional.scaled_dot_product_attention(torch.tensor(a), t, t, is_causal=True)
        z.pow(2).sum().backward()
        value, gradient = f(a, b)
        np.testing.assert_allclose(value, z.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, t.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("width", [4, 6])
def test_rotary_embedding_is_onnxs(interleaved: bool, width: int) -> None:
    x, angles = RNG.normal(size=(2, 3, 5, 6)).astype("f"), RNG.normal(size=(2, 5, width // 2)).astype("f")
    c, s = np.cos(angles), np.sin(angles)
    node = onnx.helper.make_node(
        "RotaryEmbedding", ["x", "c", "s"], ["y"], interleaved=int(interleaved), rotary_embedding_dim=width
    )
    types = [onnx.helper.make_tensor_value_info(n, 1, a.shape) for n, a in (("x", x), ("c", c), ("s", s), ("y", x))]
    graph = onnx.helper.make_graph([node], "g", types[:3], types[3:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 23)], ir_version=10)
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x, "c": c, "s": s})
    values, _ = run(lambda *a: F.rotary_embedding(*a, interleaved), x, c[:, None], s[:, None], dtype=None)
    np.testing.assert_allclose(values[0], expected, rtol=1e-5, atol=1e-6)


# - layers -


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("LayerNorm", (4,), ("N", 3, 4)),
        ("LayerNorm", ((3, 4), 1e-3, True, False), ("N", 3, 4)),
        ("LayerNorm", (4, 1e-5, False), ("N", 3, 4)),
        ("RMSNorm", (4,), ("N", 3, 4)),
        ("RMSNorm", ([3, 4], 1e-2, False), ("N", 3, 4)),
        ("GroupNorm", (2, 4), ("N", 4, 3)),
        ("GroupNorm", (4, 4, 1e-3, False), ("N", 4, 3)),
        ("BatchNorm1d", (4,), ("N", 4)),
        ("BatchNorm1d", (4, 1e-3, 0.2, False), ("N", 4, "L")),
        ("BatchNorm2d", (4, 1e-3, 0.2, True, False), ("N", 4, 3, 2)),
        ("BatchNorm3d", (4,), ("N", 4, 3, 2, 1)),
    ],
)
def test_layers_are_those_of_torch(name: str, arguments: tuple[Any, ...], shape: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer = getattr(sg.nn, name)(*arguments, name="norm")
    theirs = getattr(torch.nn, name)(*arguments)
    names = [p.name for p in layer.parameters()]
    assert names == [f"norm/{k}" for k, _ in theirs.named_parameters()]
    for p, (_, t) in zip(layer.parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_array_equal(p.node.initial, t.detach().numpy())
    states = {k: getattr(layer, k, None) for k in ("running_mean", "running_var")}
    for k, s in states.items():
        buffer = getattr(theirs, k, None)
        assert (s is None) == (buffer is None)
        if s is not None:
            assert s.name == f"norm/{k}" and s.node.kind == "state"
            np.testing.assert_array_equal(s.node.initial, buffer.numpy())
    x = RNG.normal(size=[3 if isinstance(d, str) else d for d in shape]).astype(np.float32)
    leaf = sg.input("x", shape)
    y = layer(leaf)
    known = [*layer.parameters(), *(s for s in states.values() if s is not None)]
    feeds = {"x": x} | {v.name: v.node.initial for v in known}
    (value,) = Evaluator([leaf, *known], [y])(feeds)
    np.testing.assert_allclose(value, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
    mark = y.node.training
    if mark is not None:
        inference, *moved = Evaluator([leaf, *known], [mark.inference, *(v for _, v in mark.updates)])(feeds)
        for (state, _), z in zip(mark.updates, moved, strict=True):
            np.testing.assert_allclose(z, getattr(theirs, state.name.split("/")[1]).numpy(), rtol=1e-5, atol=1e-6)
        fresh = getattr(torch.nn, name)(*arguments).eval()
        np.testing.assert_allclose(inference, fresh(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["self", "causal", "cross", "masked"])
def test_multihead_attention_is_that_of_torch(kind: str, batch_first: bool, bias: bool) -> None:
    torch = pytest.importorskip("torch")
    layer, theirs = (
        sg.nn.MultiheadAttention(6, 2, bias=bias, batch_first=batch_first),
        torch.nn.MultiheadAttention(6, 2, bias=bias, batch_first=batch_first),
    )
    parameters = list(layer.parameters())
    names = dict(theirs.named_parameters())
    assert [p.name for p in parameters] == [f"attention/{n.replace('.', '/')}" for n in names]
    numbers = {p.name: RNG.normal(size=p.shape).astype("f") for p in parameters}
    with torch.no_grad():
        for (_, t), array in zip(names.items(), numbers.values(), strict=True):
            t.copy_(torch.tensor(array))
    x, k, v = (RNG.normal(size=(2, n, 6)).astype("f") for n in (3, 4, 4))
    sizes = [("N", "L", 6), ("N", "S", 6), ("N", "S", 6)]
    if not batch_first:
        x, k, v = (array.swapaxes(0, 1) for array in (x, k, v))
        sizes = [(length, batch, width) for batch, length, width in sizes]
    q, keys, values = (sg.input(name, size) for name, size in zip("qkv", sizes, strict=True))
    mask = np.array([[True, False, True, True], [False, True, True, False], [True] * 4])
    given: dict[str, tuple[Any, Any]] = {
        "self": (layer(q), lambda: theirs(*[torch.tensor(x)] * 3)),
        "causal": (
            layer(q, is_causal=True),
            lambda: theirs(*[torch.tensor(x)] * 3, attn_mask=torch.tensor(~np.tri(3, dtype=bool)), is_causal=True),
        ),
        "cross": (layer(q, keys, values), lambda: theirs(*map(torch.tensor, (x, k, v)))),
        "masked": (
            layer(q, keys, attn_mask=sg.input("m", ("L", "S"), "bool")),
            lambda: theirs(*map(torch.tensor, (x, k, k)), attn_mask=torch.tensor(~mask)),
        ),
    }
    y, expected = given[kind]
    assert y.shape == sizes[0]
    inputs = [leaf for node in topological([y]) for leaf in node.outputs if leaf.name]
    (found,) = Evaluator(inputs, [y])({"q": x, "k": k, "v": v, "m": ~mask, **numbers})
    np.testing.assert_allclose(found, expected()[0].detach().numpy(), rtol=1e-4, atol=1e-4)
    alone, first = sg.input("alone", ("L", 6)), x[0] if batch_first else x[:, 0]
    (found,) = Evaluator([alone, *parameters], [layer(alone)])({"alone": first, **numbers})
    one = torch.tensor(first)
    np.testing.assert_allclose(found, theirs(one, one, one)[0].detach().numpy(), rtol=1e-4, atol=1e-4)


def test_layers_that_only_scale_have_no_bias() -> None:
    for layer in (sg.nn.GroupNorm(2, 4, bias=False), sg.nn.BatchNorm1d(4, bias=False)):
        assert [p.name.split("/")[1] for p in layer.parameters()] == ["weight"]
        assert layer(sg.input("x", (3, 4, 5))).shape == (3, 4, 5)


def test_without_running_statistics_those_of_the_batch_hold_in_inference_too() -> None:
    x = sg.input("x", (3, 2))
    layer = sg.nn.BatchNorm1d(2, affine=False, track_running_stats=False)
    array = np.arange(6, dtype=np.float32).reshape(3, 2) ** 2
    np.testing.assert_array_equal(*sg.function([layer(x), layer.eval()(x)])(array))


# - refusals -

X = sg.input("x", (2, 4, 3))
V = sg.input("v", (3,))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: F.layer_norm(X, (4,)), "normalizes over the last dimensions"),
        (lambda: F.layer_norm(X, ()), "normalizes over the last dimensions"),
        (lambda: F.layer_norm(X, (3,), sg.input("w", (4,))), "weight of shape"),
        (lambda: F.layer_norm(X, (3,), sg.input("w", (3,), "float64")), "type of its input"),
        (lambda: F.layer_norm(sg.input("i", (3,), "int64"), (3,)), "floating"),
        (lambda: F.rms_norm(X, (2.5,)), "ints"),
        (lambda: F.batch_norm(X, None, None), "running_mean"),
        (lambda: F.batch_norm(X, V, V), "one number for each of 4 channels"),
        (lambda: F.batch_norm(sg.input("s", (1, 4)), None, None, training=True), "more than one value"),
        (lambda: F.batch_norm(V, None, None, training=True), r"\(N, C, ...\)"),
        (lambda: F.instance_norm(sg.input("s", (2, 4, 1))), "more than one element"),
        (lambda: F.group_norm(X, 3), "divides"),
        (lambda: F.group_norm(sg.input("s", (1, 4)), 4), "more than one value"),
        (lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=0.1), "dropout"),
        (lambda: F.scaled_dot_product_attention(X, X, X, sg.input("m", (4, 4), "int64")), "bools"),
        (lambda: F.scaled_dot_product_attention(V, X, X), "rank 2"),
        (lambda: F.scaled_dot_product_attention(X, sg.input("k", (3, 4, 3)), X, enable_gqa=True), "multiple"),
        (lambda: ops.layer_normalization(X, V, stash_type=7), "stash_type"),
        (lambda: ops.group_normalization(X, *[sg.input("c", (4,))] * 2, num_groups=3), "do not make 3 groups"),
        (lambda: sg.nn.BatchNorm1d(4, momentum=None), "momentum"),
        (lambda: sg.nn.BatchNorm2d(4)(X), "rank 4"),
        (lambda: sg.nn.GroupNorm(3, 4), "divide"),
        (lambda: sg.nn.LayerNorm(()), "normalized_shape"),
        (lambda: sg.nn.MultiheadAttention(6, 4), "divides"),
        (lambda: sg.nn.MultiheadAttention(6, 2, 0.1), "no dropout"),
        (lambda: sg.nn.GroupNorm(0, 4), "num_groups must be a positive int"),
        (lambda: sg.nn.BatchNorm1d(0), "num_features must be a positive int"),
        (lambda: F.mse_loss(X, X, True), "size_average=True is deprecated"),
        (lambda: F.cross_entropy(X, X, reduce=False), "reduce=False is deprecated"),
        (lambda: F.gaussian_nll_loss(X, X, sg.input("u", (2,))), "variance"),
        (lambda: F.multi_margin_loss(X[0], sg.input("t", (4,), "int64"), p=3), "p=1 or p=2"),
        (lambda: F.triplet_margin_loss(X, X, X, margin=0), "above 0"),
        (lambda: F.cosine_embedding_loss(X, X, V), r"\(N, D\)"),
        (lambda: F.rotary_embedding(X, sg.input("cs", (2,)), sg.input("sn", (2,))), "at most the features"),
        (lambda: F.local_response_norm(X[0], 3), "floating input"),
    ],
    ids=range(35),
)
def test_refused(wrong: Any, words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words) as caught:
        wrong()
    assert "test_normalization.py:" in str(caught.value) and "\n" not in str(caught.value)


def test_a_normalized_size_that_only_the_run_knows_is_checked_there() -> None:
    x = sg.input("x", (2, "D"))
    f = sg.function(F.layer_norm(x, (4,)))
    assert f(np.ones((2, 4), "f")).shape == (2, 4)
    with pytest.raises(sg.StaticgradError):
        f(np.ones((2, 6), "f"))
