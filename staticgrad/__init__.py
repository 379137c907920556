"""staticgrad: a compiler for gradients. Declare a model, get its training step as one ONNX file of standard operators."""

from staticgrad import eager, ops
from staticgrad.declare import constant, input, parameter, state
from staticgrad.differentiate import custom_vjp, grad, hessian, hvp, jacobian, jvp, stop_gradient, vjp
from staticgrad.errors import (
    CheckpointError,
    DeclarationError,
    DeviceError,
    DTypeError,
    ExportError,
    FeedError,
    GradientError,
    NotFiniteError,
    ShapeError,
    StaticgradError,
    SymbolicValueError,
    UnsupportedOperatorError,
)
from staticgrad.graph import Graph, Value
from staticgrad.optimise import optimise
from staticgrad.runtime import function
from staticgrad.tensor import *  # noqa: F403
from staticgrad.tensor import __all__ as _functions

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "DTypeError",
    "DeclarationError",
    "DeviceError",
    "ExportError",
    "FeedError",
    "GradientError",
    "Graph",
    "NotFiniteError",
    "ShapeError",
    "StaticgradError",
    "SymbolicValueError",
    "TrainStep",
    "Trainer",
    "UnsupportedOperatorError",
    "Value",
    "constant",
    "custom_vjp",
    "eager",
    "function",
    "grad",
    "hessian",
    "hvp",
    "init",
    "input",
    "jacobian",
    "jvp",
    "nn",
    "ops",
    "optim",
    "optimise",
    "parameter",
    "state",
    "stop_gradient",
    "train_step",
    "vjp",
]
__all__ += _functions
