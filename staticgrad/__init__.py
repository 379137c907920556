"""A compiler for gradients: declare a model, get its training step as one ONNX file of standard operators."""

from typing import TYPE_CHECKING

from staticgrad import control_flow as _control_flow  # noqa: F401 - for the derivatives that it gives to operators
from staticgrad import eager, nn, ops, optim
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
    ModelError,
    NotFiniteError,
    RunError,
    ShapeError,
    StaticgradError,
    SymbolicValueError,
    UnsupportedOperatorError,
)
from staticgrad.explain import explain
from staticgrad.graph import Graph, Value
from staticgrad.models import (
    GradientCheck,
    Inspection,
    Model,
    ModelStep,
    check_gradient,
    from_onnx,
    gradient_model,
    inspect_model,
    train_step_model,
)
from staticgrad.nn import init
from staticgrad.optimise import optimise
from staticgrad.runtime import Function, SessionSettings, StepResult, Trainer, function, warn_of_two_packages
from staticgrad.tensor import *  # noqa: F403
from staticgrad.tensor import __all__ as _functions
from staticgrad.train.step import TrainStep, train_step

if TYPE_CHECKING:
    import exporters  # where type checkers find it in the repository
else:
    from staticgrad import exporters

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "DTypeError",
    "DeclarationError",
    "DeviceError",
    "ExportError",
    "FeedError",
    "Function",
    "GradientCheck",
    "GradientError",
    "Graph",
    "Inspection",
    "Model",
    "ModelError",
    "ModelStep",
    "NotFiniteError",
    "RunError",
    "SessionSettings",
    "ShapeError",
    "StaticgradError",
    "StepResult",
    "SymbolicValueError",
    "TrainStep",
    "Trainer",
    "UnsupportedOperatorError",
    "Value",
    "check_gradient",
    "constant",
    "custom_vjp",
    "eager",
    "explain",
    "exporters",
    "from_onnx",
    "function",
    "grad",
    "gradient_model",
    "hessian",
    "hvp",
    "init",
    "input",
    "inspect_model",
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
    "train_step_model",
    "vjp",
]
__all__ += _functions

warn_of_two_packages()
