"""The one place where a function chooses between symbolic values and eager tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from staticgrad import eager
from staticgrad.graph import Value
from staticgrad.methods import FUNCTIONS

P = ParamSpec("P")
R = TypeVar("R")


def function(implementation: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a PyTorch-named function that takes symbolic values, or eager tensors and then works on those.

    Where any argument (or element of a list argument) is an eager tensor, the eager function of the same name is
    called instead.
    """
    name = implementation.__name__

    @functools.wraps(implementation)
    def dispatched(*args: P.args, **kwargs: P.kwargs) -> R:
        if args and type(args[0]) is Value and not kwargs:
            return implementation(*args, **kwargs)
        if _any_eager(args) or _any_eager(kwargs.values()):
            result: R = getattr(eager.functions, name)(*args, **kwargs)
            return result
        return implementation(*args, **kwargs)

    FUNCTIONS[name] = dispatched
    return dispatched


def _any_eager(arguments: Iterable[Any]) -> bool:
    return any(
        isinstance(a, eager.Tensor) or (isinstance(a, (list, tuple)) and any(isinstance(x, eager.Tensor) for x in a))
        for a in arguments
    )
