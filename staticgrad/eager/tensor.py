"""The tensor: a numpy array, its place on the tape, and PyTorch's methods."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from staticgrad.eager import arithmetic, cast, compare, index, reduce
from staticgrad.eager import shape as shapes
from staticgrad.eager.cast import Operand
from staticgrad.eager.dtypes import Array, DType, DTypeLike, dtype_of, is_float, widened
from staticgrad.eager.errors import EagerError
from staticgrad.eager.methods import Methods
from staticgrad.eager.tape import Memory, Node, is_grad_enabled, require_current, walk_back


class Tensor(Methods):
    """An n-dimensional array that remembers how it was computed, so that `backward()` can fill `.grad` of its leaves.

    A *leaf* was made by the user (or without recording); only leaves with `requires_grad=True` collect gradients. Make
    tensors with `eager.tensor`, `zeros`, `randn`, ...; the class itself wraps an array without copying it.
    """

    __slots__ = ("__weakref__", "_grad", "_is_view", "_node", "_wanted", "array", "memory", "recorded")
    __array_ufunc__ = None  # numpy arrays leave the operators to us
    __hash__ = object.__hash__

    array: Array
    memory: Memory
    recorded: builtins.int | None  # how often the memory got a new history when this one was made; None: has none

    def __init__(
        self,
        array: Array,
        requires_grad: builtins.bool = False,
        *,
        _memory: Memory | None = None,
        _cut: builtins.bool = False,
    ) -> None:
        self.array = array
        self.memory = Memory() if _memory is None else _memory
        self.recorded = None if _cut else self.memory.recorded
        self._is_view = _memory is not None
        self._node: Node | None = None  # None: a leaf that no operation has read yet
        self._grad: Tensor | None = None
        self._wanted = False
        if requires_grad:
            self.requires_grad_()

    # - what it is -

    @property
    def dtype(self) -> DType:
        """The type of the elements; its `str` is "float32", "int64", "bool", ..."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[builtins.int, ...]:
        """The sizes of the dimensions."""
        return self.array.shape

    @property
    def ndim(self) -> builtins.int:
        """The number of dimensions."""
        return self.array.ndim

    @property
    def wide(self) -> Array:
        """The array in the type that arithmetic is done in (float32 for half precisions, where it is a copy)."""
        return widened(self.array)

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order. A view."""
        return shapes.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged. A view."""
        return shapes.transpose(self, -2, -1)

    def size(self, dim: builtins.int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[reduce.axis_of(dim, self.ndim)]

    def dim(self) -> builtins.int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> builtins.int:
        """The number of elements."""
        return self.array.size

    # - its place on the tape -

    @property
    def is_leaf(self) -> builtins.bool:
        """Whether it was made by the user rather than recorded."""
        return self._node is None or self._wanted

    @property
    def requires_grad(self) -> builtins.bool:
        """Whether operations on it are recorded; may be set on leaves of floating type."""
        return self._node is not None or self._wanted

    @requires_grad.setter
    def requires_grad(self, value: builtins.bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: builtins.bool = True) -> Self:
        """Ask for a gradient of this leaf (or no longer); gives the tensor itself."""
        if requires_grad and not is_float(self.dtype):
            raise EagerError(f"requires_grad of {self.dtype}: only floating tensors have gradients")
        if not self.is_leaf:
            if not requires_grad:
                raise EagerError("requires_grad of a computed tensor cannot be switched off: use detach()")
            return self
        self._wanted = requires_grad
        self._node = None
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward()` added up here, None before the first."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (value.shape != self.shape or value.dtype != self.dtype):
            raise EagerError(f"grad of {value.dtype} {list(value.shape)}: expected {self.dtype} {list(self.shape)}")
        self._grad = value

    def node(self) -> Node:
        """The node on the tape; a leaf gets one that collects its gradient."""
        if self._node is None:
            self._node = Node(self.shape, self.dtype, keeper=self)
        return self._node

    def set_node(self, node: Node) -> None:
        """Give this tensor a history."""
        self._node = node

    def retain_grad(self) -> None:
        """Collect the gradient of a computed tensor in `.grad`, too."""
        if not self.requires_grad:
            raise EagerError("retain_grad of a tensor that does not require a gradient")
        self.node().keeper = self

    def add_gradient(self, g: Array) -> None:
        """Add to `.grad`, in the type of this tensor."""
        if self._grad is None:
            self._grad = Tensor(np.array(g, dtype=self.dtype))
        else:
            self._grad.array[...] = widened(self._grad.array) + g
            self._grad.memory.version += 1

    def backward(self, gradient: Any = None, retain_graph: builtins.bool = False) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf that it was computed from.

        `gradient` (of the same shape) is what the gradient of this tensor is taken to be: 1 by default, which needs a
        single element. Saved values are freed, so a second time is an error unless `retain_graph` was True.
        """
        if not self.requires_grad:
            raise EagerError("backward of a tensor that does not require a gradient: no leaf has requires_grad=True")
        if gradient is None and self.array.size != 1:
            raise EagerError(
                f"backward of a tensor of shape {list(self.shape)}: expected a single element (take the sum or mean), "
                "or pass gradient="
            )
        require_current(self)
        g = np.ones(self.shape, self.wide.dtype) if gradient is None else np.asarray(gradient)
        if g.shape != self.shape:
            raise EagerError(f"gradient of shape {list(g.shape)}: expected {list(self.shape)}")
        walk_back(self.node(), g.astype(self.wide.dtype, copy=False), retain_graph)

    @property
    def data(self) -> Tensor:
        """The same values without history; writing to it writes here, unrecorded."""
        return cast.detach(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if value.memory is not self.memory:
            self.array, self.memory, self._is_view = value.array, value.memory, True
            self.recorded = self.memory.recorded
            if self.is_leaf:
                self._node = None

    # - its values -

    def numpy(self) -> Array:
        """The values as a numpy array that shares memory; read-only if the tensor requires a gradient."""
        view = self.array.view()
        if self.requires_grad:
            view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> Array:
        array = self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)
        return array.copy() if copy else array

    def item(self) -> Any:
        """The single element as a Python number."""
        if self.array.size != 1:
            raise EagerError(f"item of a tensor of shape {list(self.shape)}: expected a single element")
        return self.tolist() if not self.ndim else shapes.reshape(cast.detach(self), ()).tolist()

    def tolist(self) -> Any:
        """The elements as Python numbers in nested lists."""
        return self.wide.tolist()

    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> Tensor:
        if not self.is_leaf:
            raise EagerError("deepcopy of a computed tensor: only leaves can be copied with their place, use clone()")
        copied = memo[id(self)] = Tensor(self.array.copy(), self._wanted)
        copied._grad = None if self._grad is None else Tensor(self._grad.array.copy())
        return copied

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> builtins.int:
        return builtins.int(self.item())

    def __index__(self) -> builtins.int:
        if is_float(self.dtype):
            raise TypeError(f"{self.dtype} tensor as an index: expected integers")
        return builtins.int(self.item())

    def __bool__(self) -> builtins.bool:
        if self.array.size != 1:
            raise EagerError(f"truth value of a tensor of shape {list(self.shape)}: expected one element, use any/all")
        return builtins.bool(self.item())

    def __len__(self) -> builtins.int:
        if not self.ndim:
            raise TypeError("len of a 0-dim tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-dim tensor")
        return iter(shapes.unbind(self))

    def __repr__(self) -> str:
        values = np.array2string(self.wide, separator=", ", precision=4, prefix="tensor(")
        dtype = "" if str(self.dtype) in ("float32", "int64", "bool") else f", dtype={self.dtype}"
        return f"tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    # - writing in place -

    def _assign(self, formula: Callable[[Tensor], Tensor]) -> Self:
        """Overwrite with `formula(old value)` and take over its history; what saved the old value can then not go back.

        The formula works on a copy of the old value, so that its own gradient does not depend on the overwritten one.
        """
        old: Tensor = self
        if is_grad_enabled():
            require_current(self)
            if self._wanted:
                raise EagerError(
                    "in-place change of a leaf that requires a gradient: put it inside `with eager.no_grad():`"
                )
            old = Tensor(self.array.copy())
            old._node = self._node
        new = formula(old)
        if new.shape != self.shape:
            raise EagerError(f"in-place result of shape {list(new.shape)} does not fit a tensor of {list(self.shape)}")
        if is_float(new.dtype) > is_float(self.dtype) or (self.dtype == bool and new.dtype != bool):
            raise EagerError(f"in-place result of {new.dtype} does not fit a tensor of {self.dtype}")
        if new.requires_grad and self._is_view:
            raise EagerError(
                "recorded in-place change of a view: not supported; use the out-of-place form, or assign x[i] = value"
            )
        if not self.array.flags.writeable:
            raise EagerError("in-place change of memory that cannot be written (expanded, or read-only): clone() first")
        new = cast.to(new, self.dtype)
        self.array[...] = new.array
        self.memory.version += 1
        if new.requires_grad:
            self.memory.recorded += 1
            self.recorded = self.memory.recorded
            self._node = new.node()
        return self

    def add_(self, other: Operand, *, alpha: builtins.float = 1) -> Self:
        """`add` in place."""
        return self._assign(lambda x: arithmetic.add(x, other, alpha=alpha))

    def sub_(self, other: Operand, *, alpha: builtins.float = 1) -> Self:
        """`sub` in place."""
        return self._assign(lambda x: arithmetic.sub(x, other, alpha=alpha))

    def mul_(self, other: Operand) -> Self:
        """`mul` in place."""
        return self._assign(lambda x: arithmetic.mul(x, other))

    def div_(self, other: Operand, *, rounding_mode: str | None = None) -> Self:
        """`div` in place; the tensor must be floating."""
        return self._assign(lambda x: arithmetic.div(x, other, rounding_mode=rounding_mode))

    def zero_(self) -> Self:
        """Set every element to 0."""
        return self._assign(lambda x: index.fill(x, 0))

    def fill_(self, value: Operand) -> Self:
        """Set every element to a number or 0-dim tensor."""
        return self._assign(lambda x: index.fill(x, value))

    def pow_(self, exponent: Operand) -> Self:
        """`pow` in place."""
        return self._assign(lambda x: arithmetic.pow(x, exponent))

    def floor_divide_(self, other: Operand) -> Self:
        """`floor_divide` in place."""
        return self._assign(lambda x: arithmetic.floor_divide(x, other))

    def remainder_(self, other: Operand) -> Self:
        """`remainder` in place."""
        return self._assign(lambda x: arithmetic.remainder(x, other))

    def clamp_(self, min: Operand | None = None, max: Operand | None = None) -> Self:
        """`clamp` in place."""
        return self._assign(lambda x: arithmetic.clamp(x, min, max))

    def copy_(self, src: Tensor) -> Self:
        """Take over the elements of another tensor, broadcast to this shape and cast to this type."""
        return self._assign(lambda x: shapes.broadcast_to(cast.to(src, x.dtype, copy=True), x.shape))

    def __setitem__(self, where: Any, value: Any) -> None:
        self._assign(lambda x: index.put(x, where, value))

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ifloordiv__ = floor_divide_
    __imod__ = remainder_
    __ipow__ = pow_

    # - the operators and methods that have the tensor elsewhere than first; the others are in `Methods` -

    def __rsub__(self, other: Operand) -> Tensor:
        return arithmetic.sub(other, self)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return arithmetic.div(other, self)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return arithmetic.floor_divide(other, self)

    def __rmod__(self, other: Operand) -> Tensor:
        return arithmetic.remainder(other, self)

    def __rpow__(self, other: Operand) -> Tensor:
        return arithmetic.pow(other, self)

    def __eq__(self, other: object) -> Any:  # a tensor of bool, as in PyTorch; by identity only in sets and dicts
        return compare.eq(self, other) if isinstance(other, _OPERANDS) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return compare.ne(self, other) if isinstance(other, _OPERANDS) else NotImplemented

    def where(self, condition: Tensor, other: Operand) -> Tensor:
        """This tensor where the condition holds, else `other`."""
        return arithmetic.where(condition, self, other)


_OPERANDS: Any = (Tensor, builtins.int, builtins.float, np.ndarray, np.generic)


def tensor(data: Any, dtype: DTypeLike | None = None, requires_grad: builtins.bool = False) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists, a numpy array, or another tensor.

    Python floats are float32 and integers int64 unless `dtype` is given; arrays and tensors keep their type.
    """
    if isinstance(data, list | tuple) and any(isinstance(x, Tensor) for x in data):
        data = [x.tolist() if isinstance(x, Tensor) else x for x in data]
    array = np.array(data)
    if dtype is None:
        python_floats = not hasattr(data, "dtype") and (array.dtype == float or not array.size)
        dtype = "float32" if python_floats else dtype_of(array.dtype)
    with np.errstate(all="ignore"):
        return Tensor(array.astype(dtype_of(dtype)), requires_grad)
