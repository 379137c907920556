"""What `einsum` lowers to, and what it refuses."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from evaluation import run
from function_rows.row import draw

import staticgrad as sg
from staticgrad import eager
from staticgrad.graph import topological


def operators(equation: str, *shapes: tuple[int | str | None, ...]) -> Counter[str]:
    operands = [sg.input(f"x{i}", shape) for i, shape in enumerate(shapes)]
    return Counter(node.op.name for node in topological([sg.einsum(equation, *operands)]) if hasattr(node.op, "name"))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [("N", 4), (4, 2)]),
        ("bij,bjk->bik", [("B", "N", 4), ("B", 4, "M")]),
        ("bsi,io->bso", [("B", "S", 4), (4, 2)]),
        ("...ij,jk->...ik", [(None, None, 4), (4, 2)]),
    ],
)
def test_a_contraction_that_stands_as_it_is_multiplied_is_one_product(
    equation: str, shapes: list[tuple[int | str | None, ...]]
) -> None:
    assert operators(equation, *shapes) == {"Leaf": 2, "MatMul": 1}


def test_named_sizes_are_kept() -> None:
    a, b = sg.input("a", ("B", "H", "N", 4)), sg.input("b", ("B", "H", "M", 4))
    assert sg.einsum("bhnd,bhmd->bhnm", a, b).shape == ("B", "H", "N", "M")
    assert sg.einsum("bhnd,bhmd->mn", a, b).shape == ("M", "N")
    c = sg.input("c", (4, "H", 2, 3))
    assert sg.einsum("bhnd,dhxy->bnxy", a, c).shape == ("B", "N", 2, 3)
    assert sg.tensordot(a, c, ([3, 1], [0, 1])).shape == ("B", "N", 2, 3)


SIZES = {"a": 2, "b": 3, "c": 1, "d": 4, "e": 5, "f": 2}


@pytest.mark.parametrize("seed", range(60))
def test_random_equations_are_those_of_numpy_and_eager_tensors(seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list(SIZES), random.integers(0, 6))) for _ in range(random.integers(1, 4))]
    found = sorted({c for t in texts for c in t})
    out = "".join(random.permutation(found)[: random.integers(0, len(found) + 1)]) if found else ""
    equation = f"{','.join(texts)}->{out}"
    # An operand may have size 1 where others have more; twice at one operand a label has one size.
    ones = [{c for c in t if random.random() < 0.2} for t in texts]
    arrays = [
        draw(*(1 if c in one else SIZES[c] for c in t), seed=i)
        for i, (t, one) in enumerate(zip(texts, ones, strict=True))
    ]
    tensors = [eager.tensor(a, requires_grad=True) for a in arrays]
    expected = eager.einsum(equation, *tensors)
    expected.sum().backward()
    (value,), gradients = run(lambda *xs: sg.einsum(equation, *xs), *arrays)
    np.testing.assert_allclose(value, np.einsum(equation, *arrays), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(expected.numpy(), value, rtol=1e-11, atol=1e-12)
    for g, t in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-11, atol=1e-12)


def test_operands_without_elements() -> None:
    for n, k in itertools.product((0, 2), (0, 3)):
        (value,), (g, h) = run(lambda x, y: sg.einsum("abc,cde->abde", x, y), np.ones((n, 2, k)), np.ones((k, 2, 3)))
        assert value.shape == (n, 2, 2, 3) and g.shape == (n, 2, k) and h.shape == (k, 2, 3)
        assert not n or value.ravel()[0] == k


def test_operands_as_a_list_and_spaces() -> None:
    x, y = draw(2, 3), draw(3, 4)
    np.testing.assert_allclose(run(lambda x, y: sg.einsum(" ij , jk -> ik ", [x, y]), x, y)[0][0], x @ y)


@pytest.mark.parametrize(
    ("equation", "words"),
    [
        ("ij,jk,kl", "3 operands are written, 2 came"),
        ("ijk,jk", "3 labels for 2 axes"),
        ("ij,ij", "i has the sizes 2 and 3"),
        ("ij,jk->il", "l of the result"),
        ("ij,jk->ii", "twice in the result"),
        ("ii,jk", "sizes 2 and 3 at one operand"),
        ("i.j,jk", "at most one"),
        ("ijk...,jk", "fewer axes"),
        ("->", "operands are written"),
        (3, "an equation"),
    ],
)
def test_what_does_not_fit_is_refused(equation: str, words: str) -> None:
    with pytest.raises(sg.StaticgradError, match=words) as caught:
        sg.einsum(equation, sg.input("x", (2, 3)), sg.input("y", (3, 4)))
    assert "test_einsum.py" in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_sizes_of_one_are_repeated_in_a_sum_over_several() -> None:
    a, b = sg.input("a", (None, None)), sg.input("b", (None, None))
    product = sg.einsum("ab,ab->", a, b)
    gradient = sg.grad(product, a)
    found = sg.function([product, gradient], [a, b])(np.ones((2, 1), np.float32), np.ones((1, 2), np.float32))
    assert found[0] == 4 and found[1].tolist() == [[2], [2]]
