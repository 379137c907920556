"""PyTorch's method names and Python's operators, for `Value` to inherit.

The ground knows neither operators nor functions, so both are looked up by name when called: arithmetic in the operator
registry by its ONNX name, methods among the functions of `staticgrad.tensor` by PyTorch's. A test holds every method's
signature to that of its function.
"""

from staticgrad.methods.comparison import Comparisons
from staticgrad.methods.elementwise import Elementwise
from staticgrad.methods.operators import Operators
from staticgrad.methods.positions import Positions
from staticgrad.methods.reduction import Reductions
from staticgrad.methods.registries import FUNCTIONS, OPERATORS
from staticgrad.methods.shape import Shapes

__all__ = ["FUNCTIONS", "OPERATORS", "Methods"]


class Methods(Operators, Elementwise, Comparisons, Reductions, Shapes, Positions):
    """Everything that can be written behind or between symbolic values."""

    __slots__ = ()
