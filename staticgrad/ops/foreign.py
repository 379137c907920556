"""Nodes of models that no entry describes: passed on as they stand, refused where a derivative is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from staticgrad.graph import NO_ATTRIBUTES, Value


class Foreign:
    """An operator without an entry, an operator's use that its entry does not take, or a function of a model.

    A node of it has as attributes what the model has, as serialized AttributeProtos; graphs among them are `Graph`s.
    `opset` is the version of its domain, `reason` says why it has no derivative. Models that call a function hold
    `functions`: the FunctionProtos of it and of those that it calls, serialized, and `overload` says which is meant.
    """

    attributes: Mapping[str, Any] = NO_ATTRIBUTES
    differentiable = True
    rule: Callable[..., Any] | None = None
    body: Callable[..., Any] | None = None
    shortcut: tuple[Callable[..., bool], Callable[..., Any]] | None = None
    behind: Callable[..., tuple[Value, ...]] | None = None
    reach: Callable[..., Iterable[int]] | None = None

    def __init__(
        self,
        operator: str,
        domain: str,
        reason: str,
        functions: tuple[bytes, ...] = (),
        opset: int = 0,
        overload: str = "",
    ) -> None:
        self.operator = operator
        self.domain = domain
        self.name = f"{domain or 'ai.onnx'}::{operator}"
        self.refusal: Callable[..., str | None] | None = lambda *_, **__: reason
        self.functions = functions
        self.opset = opset
        self.overload = overload

    def __repr__(self) -> str:
        return f"<operator {self.name}>"
