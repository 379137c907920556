"""The operator entry: signature, type rule and gradient of one ONNX operator, and the only place that applies one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import onnx

from staticgrad.errors import DeclarationError, DTypeError, ShapeError, StaticgradError, shown
from staticgrad.graph import Array, Content, Graph, Node, Pullback, Value
from staticgrad.methods import OPERATORS
from staticgrad.origin import SourceLine, source_line
from staticgrad.types import Dim, DType, OpaqueType, TensorType, as_dtype, narrowed

P = ParamSpec("P")
R = TypeVar("R")

Types = TensorType | tuple[TensorType, ...]
TypeRule = Callable[..., Types]
Rule = Callable[..., Any]
Literal = float | int | bool | np.generic | Array | Sequence[Any]
Input = Value | Literal
"""What may be passed to an operator: a value, or numbers that become a literal."""

DIALECT = 26
"""The opset whose operators these are; the newest that stock onnxruntime runs."""

LARGEST_SIZE = 2**63 - 1

_SCHEMA_TYPES = {f"tensor({dtype})": dtype for dtype in DType} | {
    "tensor(float)": DType.float32,
    "tensor(double)": DType.float64,
}


class Operator(Generic[P, R]):
    """One ONNX operator. Calling it declares a node; literals among the inputs become constants.

    `type_rule(*inputs, **attributes)` gives the output types; `rule(g, y, *inputs, **attributes)` the cotangents of
    the inputs, one for each in order (None where there is none). Cotangents may have the shape of the broadcast
    operands: whoever asks the rule sums them to the input's shape. An operator of several outputs gets tuples for
    `g` and `y`, and `g` holds None where an output is not used.

    An operator without a rule may have a `body`: its outputs computed by other operators, whose derivative is then the
    operator's, and goes to the values `behind(*inputs, **attributes)` too, where whole numbers stand between. A
    `shortcut` is a rule for those applications of which `applies(*inputs, **attributes)` holds, in the body's place.
    `refusal(*inputs, **attributes)` says why an application has no derivative here, or None.
    """

    def __init__(
        self,
        name: str,
        function: Callable[P, R],
        type_rule: TypeRule,
        content: Callable[..., Content | None] | None,
        numpy: Callable[..., Any] | None,
        promotes: bool,
        weak: bool,
        differentiable: bool,
        opaque: bool,
    ) -> None:
        parameters = inspect.signature(function).parameters.values()
        self.name = name
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.type_rule = type_rule
        self.content = content
        self.numpy = numpy
        self.promotes = promotes
        self.weak = weak or promotes
        self.differentiable = differentiable
        self.opaque = opaque
        """Whether it takes values that are no tensors of known rank."""
        self.rule: Rule | None = None
        self.body: Rule | None = None
        self.shortcut: tuple[Callable[..., bool], Rule] | None = None
        self.refusal: Callable[..., str | None] | None = None
        self.respelling: Callable[..., Mapping[str, Any]] | None = None
        self.behind: Callable[..., tuple[Value, ...]] | None = None
        self.reach: Callable[..., Iterable[int]] | None = None
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.input_names = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.required = sum(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in parameters)
        attributes = {
            p.name: None if p.default is p.empty else p.default for p in parameters if p.kind is p.KEYWORD_ONLY
        }
        self.attributes: Mapping[str, Any] = MappingProxyType(attributes)
        self.required_attributes = frozenset(
            p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
        )
        schema = onnx.defs.get_schema(name, DIALECT)
        # Of a sequence or an optional that of the tensors in it.
        inner = [{t[t.find("tensor(") :].rstrip(")") + ")" for t in i.types} for i in schema.inputs]
        self.accepted = tuple(frozenset(_SCHEMA_TYPES[t] for t in types if t in _SCHEMA_TYPES) for types in inner)
        """The element types that ONNX allows for each input."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        attributes = self.attributes
        inputs: Sequence[Any] = args
        if kwargs or self.required_attributes:
            inputs, attributes = self._sort_out(list(args), kwargs)
        whole = len(inputs) == len(self.input_names) and not self.variadic
        for value in inputs:
            if type(value) is not Value:
                whole = False
                break
        if not whole:
            inputs = self._completed(list(inputs))
        if self.promotes and not (len(inputs) == 2 and inputs[0].type.dtype is inputs[1].type.dtype):
            inputs = promote(list(inputs))
        node = self.apply(tuple(inputs), attributes)
        return node.outputs[0] if len(node.outputs) == 1 else node.outputs  # type: ignore[return-value]

    def _completed(self, inputs: list[Any]) -> list[Any]:
        """Inputs with None for optional ones that are left out, and every literal made a constant."""
        if self.variadic:
            if not inputs or any(v is None for v in inputs):
                came = "None among them" if inputs else "none"
                raise DeclarationError(f"{self.name} takes one tensor or more; {came} came ({source_line()})")
        else:
            missing = len(self.input_names) - len(inputs)
            if missing < 0 or len(inputs) < self.required or any(v is None for v in inputs[: self.required]):
                nothing = [n for n, v in zip(self.input_names[: self.required], inputs, strict=False) if v is None]
                came = f"None came for {nothing[0]}" if missing >= 0 and nothing else f"{len(inputs)} came"
                raise DeclarationError(
                    f"{self.name} takes {', '.join(self.input_names) or 'no inputs'}; {came} ({source_line()})"
                )
            inputs += [None] * missing
        return inputs if all(v is None or type(v) is Value for v in inputs) else self._literals(inputs)

    def apply(
        self,
        inputs: tuple[Value | None, ...],
        attributes: Mapping[str, Any] | None = None,
        types: Iterable[TensorType] | None = None,
        source: SourceLine | None = None,
        pullback: Pullback | None = None,
    ) -> Node:
        """The node for inputs that are Values already; `types` overrides the type rule where the caller knows more."""
        if attributes is None:
            attributes = self.attributes
        if types is None:
            try:
                if self.respelling is not None:
                    attributes = self.respelling(*inputs, **attributes)
                if not self.opaque:
                    for value in inputs:
                        if value is not None and type(value.type) is OpaqueType:
                            raise DTypeError(f"tensors of known rank are expected, {value.type} came")
                found = self.type_rule(*inputs, **attributes)
                for value, accepted in zip(inputs, self.accepted, strict=False):
                    if value is not None and value.type.dtype not in accepted:
                        expected = ", ".join(sorted(accepted))
                        raise DTypeError(f"{value.type.dtype} came where {expected} are expected; cast it first")
            except StaticgradError as error:
                raise type(error)(f"{error}; in {self.describe(inputs, attributes)} ({source_line()})") from None
            types = (found,) if isinstance(found, TensorType) else found
            for type_ in types:
                for dim in type_.shape:
                    if type(dim) is int and dim > LARGEST_SIZE:
                        raise ShapeError(
                            f"a size of {dim} has no place in an int64; in {self.describe(inputs, attributes)} "
                            f"({source_line()})"
                        )
        node = Node(self, inputs, attributes, types, source, pullback)
        if self.content is not None:
            result = node.outputs[0]
            # Only int64: smaller types wrap around, and no shape is made of them.
            if result.type.dtype is DType.int64 and len(result.type.shape) < 2:
                content = self.content(*inputs, **attributes)
                if content is not None and _can_hold(result.type, content):
                    result.content = content
        return node

    def vjp(self, rule: Rule) -> Rule:
        """Decorator: the operator's gradient rule."""
        self.rule = rule
        return rule

    def as_body(self, body: Rule) -> Rule:
        """Decorator: the operator's outputs from its inputs and attributes, by operators that have a derivative.

        Only outputs that are not floating may be None or left out at the end.
        """
        self.body = body
        return body

    def shortens(self, applies: Callable[..., bool], rule: Rule) -> None:
        """Say by which rule applications of an operator with a body are differentiated where `applies` holds."""
        self.shortcut = applies, rule

    def refuses(self, reason: Callable[..., str | None]) -> Callable[..., str | None]:
        """Decorator: why an application has no derivative here, with the remedy; None where it has one."""
        self.refusal = reason
        return reason

    def respells(self, attributes: Callable[..., Mapping[str, Any]]) -> Callable[..., Mapping[str, Any]]:
        """Decorator: the attributes of an application in the words that onnxruntime understands."""
        self.respelling = attributes
        return attributes

    def reaches(self, values: Callable[..., tuple[Value, ...]]) -> Callable[..., tuple[Value, ...]]:
        """Decorator: values behind the inputs to which the body's derivative goes too, past whole numbers between."""
        self.behind = values
        return values

    def leads(self, positions: Callable[..., Iterable[int]]) -> Callable[..., Iterable[int]]:
        """Decorator: for an operator that holds graphs, the outputs to which a derivative by `wanted` inputs goes."""
        self.reach = positions
        return positions

    def describe(self, inputs: Iterable[Value | None], attributes: Mapping[str, Any]) -> str:
        """The application as errors show it: argument names and the types that came."""
        names = list(self.input_names)
        texts = []
        for position, value in enumerate(inputs):
            if value is None:
                continue
            name = value.name or (names[position] if position < len(names) and not self.variadic else None)
            texts.append(f"{name}: {value.type}" if name else str(value.type))
        texts += [
            f"{k}={v.name if isinstance(v, Graph) else ' '.join(str(v).split())}"
            for k, v in attributes.items()
            if v is not None and not isinstance(v, np.ndarray)
        ]
        return f"{self.name}({', '.join(texts)})"

    def _sort_out(self, inputs: list[Any], keywords: Mapping[str, Any]) -> tuple[list[Any], Mapping[str, Any]]:
        attributes = dict(self.attributes)
        for name, value in keywords.items():
            if name in attributes:
                if name in DTYPE_ATTRIBUTES and value is not None:
                    value = element_type(value)
                attributes[name] = tuple(value) if isinstance(value, list) else value
            elif name in self.input_names and not self.variadic and self.input_names.index(name) >= len(inputs):
                position = self.input_names.index(name)
                inputs += [None] * (position + 1 - len(inputs))
                inputs[position] = value
            else:
                raise DeclarationError(
                    f"{self.name} has no argument {shown(name)} left; it takes "
                    f"{', '.join([*self.input_names, *attributes])} ({source_line()})"
                )
        for name in self.required_attributes:
            if attributes[name] is None:
                raise DeclarationError(f"{self.name} needs the attribute {name!r} ({source_line()})")
        return inputs, attributes

    def _literals(self, inputs: list[Any]) -> list[Any]:
        """Inputs with every literal made a constant; of weak operators they take the type of the values beside them."""
        like = None
        if self.weak:
            like = next((v.type.dtype for v in inputs if type(v) is Value and v.type.dtype is not DType.bool), None)
            inputs = [plain(v) for v in inputs]
        return [v if v is None or type(v) is Value else shared_literal(v, like) for v in inputs]

    def __repr__(self) -> str:
        return f"<operator {self.name}>"


DTYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "precision")


def _can_hold(type: TensorType, content: Content) -> bool:
    """Whether a content has the rank of its type and no number that wraps around."""
    dims: tuple[Dim, ...] = content if isinstance(content, tuple) else (content,)
    return isinstance(content, tuple) == bool(type.shape) and not any(
        isinstance(d, int) and not -(2**63) <= d < 2**63 for d in dims
    )


def onnx_op(
    name: str,
    *,
    type: TypeRule,
    content: Callable[..., Content | None] | None = None,
    numpy: Callable[..., Any] | None = None,
    promotes: bool = False,
    weak: bool = False,
    differentiable: bool = True,
    opaque: bool = False,
) -> Callable[[Callable[P, R]], Operator[P, R]]:
    """Decorator: the entry of the ONNX operator `name`, with the function's signature.

    Positional parameters are inputs (default None: optional; `*xs`: variadic), keyword-only ones attributes.
    `content` says what a small integer result holds, `numpy` computes literals while compiling, `promotes` casts
    operands of different element types as PyTorch does, `weak` lets literals take the element type of the other inputs.
    `opaque` operators take sequences, optionals and tensors of unknown rank too.
    """

    def register(function: Callable[P, R]) -> Operator[P, R]:
        if name in OPERATORS:
            raise DeclarationError(f"operator {name} is registered twice")
        operator = Operator(name, function, type, content, numpy, promotes, weak, differentiable, opaque)
        OPERATORS[name] = operator
        return operator

    return register


def literal(value: Literal, like: DType | None = None) -> Value:
    """A constant. Python numbers are weak: they take the element type `like` unless that cannot hold their kind.

    Without `like`, Python and list floats are float32 and ints int64, as in PyTorch; arrays keep their type, and so do
    numpy's scalars, which are weak with it.
    """
    if like is not None:
        value = plain(value)
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        element_type(array.dtype)
    else:
        try:
            array = np.asarray(value)
        except Exception as error:
            raise DTypeError(f"{shown(value)} is neither a Value nor numbers ({source_line()})") from error
        if array.dtype.kind not in "bifu":
            raise DTypeError(f"{shown(value)} is neither a Value nor numbers ({source_line()})")
        weak = {"b": DType.bool, "i": DType.int64, "u": DType.int64, "f": DType.float32}[array.dtype.kind]
        if like is not None and (like.is_float or (like.is_integer and not weak.is_float)):
            weak = like
        narrow = narrowed(array, weak)
        if narrow is None:
            remedy = "; write inf, or cast the tensor" if weak.is_float else ""
            raise DTypeError(f"{shown(value)} does not fit into {weak}{remedy} ({source_line()})")
        array = narrow
    return constant(array)


def plain(value: Any) -> Any:
    """A scalar of numpy's as the Python number that it is; everything else as it came."""
    return value.item() if isinstance(value, np.generic) else value


def element_type(dtype: object) -> DType:
    """`as_dtype` whose error names the user's line."""
    try:
        return as_dtype(dtype)
    except DTypeError as error:
        raise DTypeError(f"{error} ({source_line()})") from None


def shared_literal(value: Literal, like: DType | None) -> Value:
    """The literal of a number or list of ints beside a value; equal ones are one node, which nobody can name."""
    kind = type(value)
    if kind is int or kind is bool or (kind is float and (value or math.copysign(1.0, value) > 0)):  # type: ignore[arg-type]
        return _known_literal(kind, value, like)  # type: ignore[arg-type]
    if kind is list and not value and like is None:
        # Operators take lists of axes and of sizes; an empty one has no numbers to tell.
        return literal(np.zeros(0, np.int64))
    if kind is list and value and all(type(i) is int for i in value):  # type: ignore[union-attr]
        return _known_literal(kind, tuple(value), like)  # type: ignore[arg-type]
    return literal(value, like)


@lru_cache(maxsize=4096)
def _known_literal(kind: type, value: float | tuple[int, ...], like: DType | None) -> Value:
    array = literal(value, like).node.attributes["value"]
    # It outlives the graph that asked first, so it must not refer to it.
    return constant(array, _EVERYWHERE)


_EVERYWHERE = SourceLine("literal", 0)


def constant(array: Array, source: SourceLine | None = None, dtype: DType | None = None) -> Value:
    """A constant of exactly this array, which is copied and frozen; `dtype` where numpy's type does not tell."""
    array = np.array(array, order="C")
    array.flags.writeable = False
    entry = OPERATORS["Constant"]
    dtype = dtype or as_dtype(array.dtype)
    node = Node(entry, (), {"value": array}, (TensorType(dtype, array.shape),), source)
    result = node.outputs[0]
    if dtype.is_integer and array.ndim <= 1 and array.size <= 64:
        result.content = tuple(array.tolist()) if array.ndim else int(array)
    return result


def promote(inputs: list[Any]) -> list[Any]:
    """Operands cast to their common element type, by PyTorch's rules; unchanged where they agree."""
    dtypes = {v.type.dtype for v in inputs if v is not None}
    if len(dtypes) <= 1:
        return inputs
    dtype = promoted_dtype(inputs)
    cast = OPERATORS["Cast"]
    return [v if v is None or v.type.dtype is dtype else cast(v, to=dtype) for v in inputs]


def promoted_dtype(values: Iterable[Value]) -> DType:
    """The element type in which values of several types meet, as PyTorch's `result_type` has it.

    The highest category (bool, integer, floating) decides; within it tensors of rank 0 do not widen others.
    """

    def category(v: Value) -> int:
        return 2 if v.type.dtype.is_float else 1 if v.type.dtype.is_integer else 0

    values = list(values)
    highest = max(category(v) for v in values)
    tops = [v for v in values if category(v) == highest]
    result = (tops if all(not v.type.shape for v in tops) else [v for v in tops if v.type.shape])[0].type.dtype
    for v in tops:
        if v.type.shape or all(not t.type.shape for t in tops):
            result = _wider(result, v.type.dtype)
    return result


def _wider(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if {a, b} == {DType.float16, DType.bfloat16}:
        return DType.float32
    if a.is_integer and b.is_integer and (a.value.startswith("u") != b.value.startswith("u")):
        signed, unsigned = (b, a) if a.value.startswith("u") else (a, b)
        if unsigned.numpy.itemsize < signed.numpy.itemsize:
            return signed
        return {1: DType.int16, 2: DType.int32}.get(unsigned.rank, DType.int64)
    return a if a.rank > b.rank else b


def require(condition: bool, message: str) -> None:
    """Raise ShapeError with `message` unless `condition` holds; for type rules."""
    if not condition:
        raise ShapeError(message)
