"""Layers and initializers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import staticgrad as sg


def test_linear_is_pytorchs() -> None:
    layer = sg.nn.Linear(3, 2, name="layer1")
    assert [p.name for p in layer.parameters()] == ["layer1/weight", "layer1/bias"]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    w, b = layer.weight.node.initial, layer.bias.node.initial  # type: ignore[attr-defined, union-attr]
    assert (w.shape, b.shape) == ((2, 3), (2,))
    assert np.abs(w).max() <= 1 / np.sqrt(3)
    np.testing.assert_allclose(sg.function(layer(sg.input("x", ("N", 3))))(x), x @ w.T + b, rtol=1e-5)
    assert [p.name for p in sg.nn.Linear(3, 2, bias=False).parameters()] == ["linear/weight"]


def test_embedding() -> None:
    layer = sg.nn.Embedding(5, 2, padding_idx=0)
    i = sg.input("i", ("N",), "int64")
    (table,) = layer.parameters()
    rows, gradient = sg.function([layer(i), sg.grad(layer(i).sum(), table)])(np.array([3, 0, 3]))
    np.testing.assert_array_equal(rows, table.node.initial[[3, 0, 3]])  # type: ignore[attr-defined]
    assert gradient.sum(-1).tolist() == [0, 0, 0, 4, 0]
    assert rows[1].tolist() == [0, 0] and (rows[0] != 0).all()


CONVOLUTIONS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 7)),
    ("Conv2d", (4, 6, (3, 2)), {"padding": "same", "dilation": 2}, (2, 4, 5, 6)),
    ("Conv3d", (2, 3, 2), {"bias": False}, (2, 2, 3, 4, 3)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 3, 2)),
]


@pytest.mark.parametrize(("name", "arguments", "keywords", "shape"), CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_convolutions_are_pytorchs(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any], shape: Any) -> None:
    torch = pytest.importorskip("torch")
    ours = getattr(sg.nn, name)(*arguments, **keywords, name="c")
    theirs = getattr(torch.nn, name)(*arguments, **keywords)
    assert [p.name for p in ours.parameters()] == [f"c/{n}" for n, _ in theirs.named_parameters()]
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    for mine, (_, other) in zip(ours.parameters(), theirs.named_parameters(), strict=True):
        initial = mine.node.initial
        # Both are uniform within the same bound of 0.
        assert initial.shape == tuple(other.shape)
        bound = 1 / np.sqrt(np.prod(theirs.weight.shape[1:]))
        assert np.abs(initial).max() <= bound and float(other.detach().abs().max()) <= bound
        assert np.abs(initial).max() > bound / 2
        with torch.no_grad():
            other.copy_(torch.tensor(initial))
    found = sg.function(ours(sg.input("x", ("N", *shape[1:]))))(x)
    np.testing.assert_allclose(found, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_network_over_images_learns() -> None:
    net = sg.nn.Sequential(
        sg.nn.Conv2d(1, 4, 3, padding=1, name="c1"),
        sg.relu,
        sg.nn.MaxPool2d(2),
        sg.nn.Conv2d(4, 4, 3, padding="same", groups=2, name="c2"),
        sg.nn.AvgPool2d(2, 1),
        sg.nn.ConvTranspose2d(4, 2, 2, name="t"),
        sg.nn.Flatten(),
        sg.nn.Linear(2 * 4 * 4, 2, name="l"),
    )
    x, y = sg.input("x", ("N", 1, 8, 8)), sg.input("y", ("N",), "int64")
    assert net(x).shape == ("N", 2)
    trainer = sg.Trainer(sg.train_step(sg.nn.functional.cross_entropy(net(x), y), sg.optim.adam(1e-2)))
    images = np.random.default_rng(0).standard_normal((32, 1, 8, 8)).astype("float32")
    batch = {"x": images, "y": (images[:, 0, :4].mean((1, 2)) > 0).astype("int64")}
    losses = [float(trainer.step(batch)) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


def test_layers_over_images_refuse_what_they_lack() -> None:
    for build, message in (
        (lambda: sg.nn.Conv2d(3, 4, 3, groups=2), "must divide the channels"),
        (lambda: sg.nn.Conv1d(2, 4, 3, padding_mode="reflect"), "takes padding_mode='zeros'"),
        (lambda: sg.nn.Conv1d(0, 4, 3), "in_channels must be a positive int"),
        (lambda: sg.nn.ConvTranspose2d(4, 0, 3), "out_channels must be a positive int"),
        (lambda: sg.nn.Embedding(4, 3, 4), "padding_idx must be one of the 4 rows"),
        (lambda: sg.nn.ConvTranspose2d(2, 3, (1, 2, 3)), "kernel_size of ConvTranspose2d must be one int or 2"),
        (lambda: sg.nn.MaxPool2d(2, return_indices=True), "gives no indices"),
    ):
        with pytest.raises(sg.StaticgradError, match=message):
            build()


def test_a_model_of_layers() -> None:
    class Net(sg.nn.Module):
        def __init__(self) -> None:
            self.body = sg.nn.Sequential(sg.nn.Linear(3, 4, name="a"), sg.tanh, sg.nn.Linear(4, 4, name="b"))
            self.scale = sg.parameter("scale", 2.0)

        def forward(self, x: sg.Value) -> sg.Value:
            return self.body(x) * self.scale

    net = Net()
    assert [p.name for p in net.parameters()] == ["a/weight", "a/bias", "b/weight", "b/bias", "scale"]
    assert net(sg.input("x", ("N", 3))).shape == ("N", 4)


@pytest.mark.parametrize(
    ("initializer", "mean", "std"),
    [
        (sg.init.zeros((40, 50)), 0, 0),
        (sg.init.ones((40, 50)), 1, 0),
        (sg.init.constant((40, 50), 3.0), 3, 0),
        (sg.init.uniform((40, 50), 1, 3), 2, 2 / np.sqrt(12)),
        (sg.init.normal((40, 50), 1, 0.5), 1, 0.5),
        (sg.init.xavier_uniform((40, 50)), 0, np.sqrt(2 / 90)),
        (sg.init.xavier_normal((40, 50)), 0, np.sqrt(2 / 90)),
        (sg.init.kaiming_uniform((40, 50)), 0, np.sqrt(2 / 50)),
        (sg.init.kaiming_normal((40, 50), a=1.0, nonlinearity="leaky_relu"), 0, np.sqrt(1 / 50)),
    ],
)
def test_initializers_have_their_moments(initializer: sg.nn.init.Initializer, mean: float, std: float) -> None:
    array = initializer.array("w")
    assert (array.shape, array.dtype) == ((40, 50), np.float32)
    assert array.mean() == pytest.approx(mean, abs=0.05 * max(std, 1e-9) + 1e-6)
    assert array.std() == pytest.approx(std, rel=0.06, abs=1e-6)


def test_initial_values_follow_from_name_and_seed() -> None:
    a = sg.init.normal((4,))
    assert a.array("w").tolist() == a.array("w").tolist() != a.array("v").tolist()
    assert sg.init.normal((4,), seed=1).array("w").tolist() != a.array("w").tolist()
    assert sg.parameter("w", sg.init.normal((4,), dtype="float64")).dtype == "float64"


def test_functional_has_what_the_eager_place_has() -> None:
    assert set(sg.nn.functional.__all__) <= set(sg.eager.nn.functional.__all__)
    for name in sg.nn.functional.__all__:
        assert callable(getattr(sg.nn.functional, name))


def test_one_model_function_runs_on_both_kinds_of_tensor() -> None:
    def model(x, w):  # type: ignore[no-untyped-def]
        return sg.nn.functional.gelu(x @ w).softmax(-1).log().mean()

    x = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    w = np.random.default_rng(1).standard_normal((4, 5)).astype("float32")
    symbolic = sg.parameter("w", w)
    loss = model(sg.input("x", ("N", 4)), symbolic)
    value, gradient = sg.function([loss, sg.grad(loss, symbolic)])(x)
    leaf = sg.eager.tensor(w, requires_grad=True)
    witness = model(sg.eager.tensor(x), leaf)
    witness.backward()
    assert float(value) == pytest.approx(witness.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-4, atol=1e-6)
