"""The one place where a function chooses between symbolic values and eager tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from staticgrad import eager
from staticgrad.errors import DeclarationError, DTypeError, StaticgradError, shown
from staticgrad.graph import Value
from staticgrad.methods import FUNCTIONS
from staticgrad.ops.registry import literal, plain
from staticgrad.origin import source_line
from staticgrad.tensor.arguments import first_misfit, is_option, kinds_of, misfit

P = ParamSpec("P")
R = TypeVar("R")


def function(implementation: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a PyTorch-named function that takes symbolic values, or eager tensors and then works on those.

    Where any argument (or element of a list argument) is an eager tensor, the eager function of the same name is
    called instead. Else arrays and numbers become literals where a parameter is annotated as a Value or several, and
    an option that is annotated as a flag, a number or a string has to be one.
    """
    name = implementation.__name__
    parameters = inspect.signature(implementation).parameters.values()
    wanted = {p.name: _CONVERSIONS[p.annotation] for p in parameters if p.annotation in _CONVERSIONS}
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = {p.name: kinds_of(p) for p in parameters if is_option(p)}
    placed = [(i, n, options[n]) for i, n in enumerate(names) if n in options]
    further = [i for i, n in enumerate(names) if i and n in wanted]
    takes_list = bool(names) and wanted.get(names[0]) is _values

    def check_options(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [(n, args[i], kinds) for i, n, kinds in placed if i < len(args)]
        for key, x, kinds in given + [(n, kwargs[n], options[n]) for n in kwargs if n in options]:
            wrong = misfit(key, x, kinds)
            if wrong is not None:
                raise DeclarationError(f"{name} {wrong} ({source_line()})")

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return implementation(*args, **kwargs)
        except StaticgradError:
            raise
        except (TypeError, ValueError, ArithmeticError, MemoryError) as error:
            # Looked for only now, so that a right call pays nothing.
            reason = first_misfit(implementation, args, kwargs)
            if reason is None and isinstance(error, (ArithmeticError, MemoryError)):
                reason = f"cannot be computed of these arguments: {' '.join(str(error).split())}"
            if reason is None:
                raise
            raise DeclarationError(f"{name} {reason} ({source_line()})") from error

    @functools.wraps(implementation)
    def dispatched(*args: P.args, **kwargs: P.kwargs) -> R:
        if args and type(args[0]) is Value and not kwargs and not takes_list:
            for i in further:
                if i < len(args) and type(args[i]) is not Value:
                    break
            else:
                check_options(args, {})
                return run(*args, **kwargs)
        arguments = {k: _as_list(v, name, k) if wanted.get(k) is _values else v for k, v in kwargs.items()}
        leading = [_as_list(v, name, k) if wanted.get(k) is _values else v for k, v in zip(names, args, strict=False)]
        leading += args[len(leading) :]
        if _any_eager(leading) or _any_eager(arguments.values()):
            try:
                result: R = getattr(eager.functions, name)(*leading, **arguments)
            except (eager.EagerError, StaticgradError):
                raise
            except (TypeError, ValueError, AttributeError, ArithmeticError, MemoryError) as error:
                reason = " ".join(str(error).split())
                raise eager.EagerError(f"{name} does not take these arguments: {reason}") from error
            return result
        check_options(args, kwargs)
        for i, key in enumerate(names[: len(args)]):
            if key in wanted:
                leading[i] = wanted[key](leading[i], name, key)
        for key in wanted.keys() & arguments.keys():
            arguments[key] = wanted[key](arguments[key], name, key)
        return run(*leading, **arguments)  # type: ignore[arg-type]

    FUNCTIONS[name] = dispatched
    return dispatched


def _value(x: Any, function: str, parameter: str) -> Value:
    if type(x) is Value:
        return x
    try:
        return literal(plain(x))
    except DTypeError:
        raise DTypeError(
            f"{function} takes a tensor for {parameter}, {shown(x)} is neither a Value nor numbers ({source_line()})"
        ) from None


def _value_or_none(x: Any, function: str, parameter: str) -> Value | None:
    return None if x is None else _value(x, function, parameter)


def _values(xs: list[Any], function: str, parameter: str) -> list[Value]:
    return [_value(x, function, parameter) for x in xs]


_CONVERSIONS: dict[str, Callable[[Any, str, str], Any]] = {
    "Value": _value,
    "Value | None": _value_or_none,
    "Sequence[Value]": _values,
}
"""What makes Values of the arguments of parameters that are annotated so."""


def _as_list(xs: Any, function: str, parameter: str) -> list[Any]:
    if isinstance(xs, Iterable) and not isinstance(xs, (str, bytes, Value)):
        return list(xs)
    raise DeclarationError(f"{function} takes a list of tensors for {parameter}, {shown(xs)} came ({source_line()})")


def _any_eager(arguments: Iterable[Any]) -> bool:
    return any(
        isinstance(a, eager.Tensor) or (isinstance(a, (list, tuple)) and any(isinstance(x, eager.Tensor) for x in a))
        for a in arguments
    )
