"""What functions take for a tensor, and how they refuse what makes no sense."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import staticgrad as sg

F = sg.nn.functional


def test_arrays_and_numbers_become_literals() -> None:
    x, logits = sg.input("x", (3,)), sg.input("l", (2, 3))
    ones, classes = np.ones(3, np.float32), np.array([0, 1])
    for y, dtype, shape in (
        (sg.cat([x, ones]), "float32", (6,)),
        (sg.cat(v for v in (ones, x)), "float32", (6,)),
        (sg.stack((x, ones)), "float32", (2, 3)),
        (sg.stack(tensors=[ones, ones]), "float32", (2, 3)),
        (F.mse_loss(x, ones), "float32", ()),
        (F.mse_loss(ones, x), "float32", ()),
        (F.mse_loss(target=ones, input=x, reduction="none"), "float32", (3,)),
        (F.mse_loss(x, [1.0, 2.0, 3.0]), "float32", ()),
        (F.cross_entropy(logits, classes), "float32", ()),
        (F.cross_entropy(logits, [0, 1], np.ones(3, np.float32)), "float32", ()),
        (F.cross_entropy(logits, classes, weight=np.ones(3, np.float32)), "float32", ()),
        (sg.sum(np.ones(3)), "float64", ()),
        (sg.max(x, ones), "float32", (3,)),
        (x @ ones, "float32", ()),
        (ones @ x, "float32", ()),
        (sg.scatter_add(x, 0, classes, np.ones(2, np.float32)), "float32", (3,)),
        (sg.gather(x, 0, classes), "float32", (2,)),
        (sg.stop_gradient(3.0), "float32", ()),
        (F.embedding(classes, logits), "float32", (2, 3)),
        (sg.where(np.array([True, False, True]), x, 0), "float32", (3,)),
    ):
        assert (str(y.dtype), y.shape) == (dtype, shape)


def test_arguments_that_make_no_sense_are_refused_in_one_line() -> None:
    x = sg.input("x", (3,))
    dynamic, scalar = sg.input("d", ("N",)), sg.input("s", ())
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: sg.sum("a"), sg.DTypeError, "sum takes a tensor for x, 'a' is neither"),
        (lambda: F.mse_loss(x, None), sg.DTypeError, "for target, None is neither"),
        (lambda: F.mse_loss(x, target="a"), sg.DTypeError, "for target, 'a' is neither"),
        (lambda: sg.cat([x, "a"]), sg.DTypeError, "for tensors, 'a' is neither"),
        (lambda: sg.cat(None), sg.DeclarationError, "a list of tensors for tensors, None came"),
        (lambda: sg.cat(x), sg.DeclarationError, "a list of tensors"),
        (lambda: sg.stack("ab"), sg.DeclarationError, "a list of tensors"),
        (lambda: x.sum("a"), sg.DeclarationError, "an axis is an int, 'a' came"),
        (lambda: x.sum(1.5), sg.DeclarationError, "an axis is an int, 1.5 came"),
        (lambda: x.softmax("a"), sg.DeclarationError, "an axis is an int"),
        (lambda: x.unsqueeze(0.5), sg.DeclarationError, "an axis is an int"),
        (lambda: sg.chunk(x, 0), sg.ShapeError, "chunks must be ints of 1 or more"),
        (lambda: x.split([4, -1]), sg.ShapeError, "sizes of parts must be ints of 0 or more"),
        (lambda: x.split(2.5), sg.ShapeError, "2.5 came"),
        (lambda: x.repeat(1.5), sg.ShapeError, r"\[1.5\] came"),
        (lambda: x.unflatten(0, (1.5, 2)), sg.ShapeError, "sizes of unflatten"),
        (lambda: sg.arange(0, 5, 0), sg.DeclarationError, "a step that is not 0"),
        (lambda: sg.cdist(sg.zeros(2, 2), sg.zeros(2, 2), p=-1), sg.DeclarationError, "0 or more for p"),
        (lambda: sg.zeros(0).norm(-math.inf), sg.ShapeError, "of nothing"),
        (lambda: scalar.unflatten(0, (1, 1)), sg.ShapeError, "unflatten takes a tensor of rank 1 or more"),
        (lambda: sg.linspace(0, -2, 3, "uint8"), sg.DTypeError, "-2 does not fit into uint8"),
        (lambda: F.huber_loss(x, x, delta=[]), sg.DeclarationError, r"huber_loss takes a number for delta, \[\] came"),
        (lambda: x.amax(0, np.arange(3.0)), sg.DeclarationError, "amax takes a bool for keepdim"),
        (lambda: x.squeeze(1.5), sg.DeclarationError, "squeeze takes an int or a list of ints or None for dim"),
        (lambda: sg.zeros(10**30), sg.DeclarationError, "full takes an int or a list of ints for size"),
        (lambda: sg.arange(0, 10**18), sg.DeclarationError, "cannot be computed"),
        (lambda: sg.arange(5, 0), sg.DeclarationError, "leads nowhere"),
        (lambda: sg.arange(0, 5, 0.5, "int64"), sg.DeclarationError, "leads nowhere"),
        (lambda: x[sg.zeros(0, dtype="int64")][[0]], sg.ShapeError, "has no positions"),
        (lambda: sg.take(sg.zeros(2, 0), sg.zeros(1, dtype="int64")), sg.ShapeError, "has no positions"),
        (lambda: sg.index_fill(x, 0, sg.zeros(1, 1, dtype="int64"), 1), sg.ShapeError, "the index is a vector"),
        (lambda: sg.index_put(x, (sg.zeros(1, dtype="int64"),), x), sg.ShapeError, "does not fit where it is to be"),
        (lambda: x.long().masked_fill(x > 0, math.nan), sg.DTypeError, "nan does not fit into int64"),
        (lambda: F.max_pool1d(x, 1, ceil_mode=2), sg.DeclarationError, "a bool for ceil_mode, 2 came"),
        (lambda: F.pad(x, (1, 1), mode=["a"]), sg.DeclarationError, "a string for mode"),
        (lambda: F.layer_norm(x, (3,), eps=None), sg.DeclarationError, "a number for eps, None came"),
        (lambda: F.batch_norm(x, None, None, None, None, True, "a"), sg.DeclarationError, "a number for momentum"),
        (lambda: F.interpolate(x, scale_factor=2**70), sg.ShapeError, "rank"),
        (lambda: F.pad(x, (2**70, 0)), sg.DeclarationError, "pad takes ints below"),
        (lambda: F.max_pool1d(sg.input("o", (1, 4)), 2**70), sg.ShapeError, "up to 2147483647"),
        (lambda: F.max_pool1d(sg.input("o", (1, 4)), True), sg.ShapeError, "must be ints, True came"),
        (lambda: sg.arange("a"), sg.DeclarationError, "finite numbers"),
        (lambda: sg.eye(-1), sg.ShapeError, "ints of 0 or more"),
        (lambda: sg.linspace(0, 1, -1), sg.ShapeError, "ints of 0 or more"),
        (lambda: sg.full((2,), 300, "int8"), sg.DTypeError, "300 does not fit into int8"),
        (lambda: sg.full((2,), math.nan, "int8"), sg.DTypeError, "nan does not fit into int8"),
        (lambda: sg.full((2,), 1e6, "float16"), sg.DTypeError, "does not fit into float16"),
        (lambda: sg.full((2,), "a"), sg.DTypeError, "filled with a number, 'a' came"),
        (lambda: sg.full((2,), 1, "f4"), sg.DTypeError, "no element type 'f4'"),
        (lambda: sg.zeros_like(x, "f4"), sg.DTypeError, "no element type 'f4'"),
        (lambda: x.to(None), sg.DTypeError, "no element type None"),
        (lambda: x.to("f4"), sg.DTypeError, "no element type 'f4'"),
        (lambda: x.sum(dtype="f4"), sg.DTypeError, "no element type 'f4'"),
        (lambda: sg.ops.cast(x, to="f4"), sg.DTypeError, "no element type 'f4'"),
        (lambda: x + None, sg.DeclarationError, "Add takes a, b; None came for b"),
        (lambda: sg.maximum(x, None), sg.DeclarationError, "None"),
        (lambda: dynamic.expand_as(scalar), sg.ShapeError, r"f32\[N\] cannot be expanded to the shape of f32\[\]"),
        (lambda: dynamic.expand_as(sg.input("m", (1,))), sg.ShapeError, "cannot be expanded"),
        (lambda: sg.movedim(x, [0], [0, 0]), sg.ShapeError, "movedim"),
        (lambda: x + ["a\nb"] * 50, sg.DTypeError, "neither a Value nor numbers"),
        (lambda: x[np.full((20, 20), 0.5)], sg.DTypeError, "int32 or int64"),
        (lambda: x[["a\nb"]], sg.DTypeError, "not an index"),
        (lambda: sg.ops.gelu(sg.ops.cast(x, to="int32"), approximate="a\nb"), sg.DTypeError, "floating numbers"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            call()
        text = str(caught.value)
        assert type(caught.value) is error and "\n" not in text and "(test_arguments.py:" in text, text
