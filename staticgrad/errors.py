"""Every error staticgrad raises: one line with the cause first, then the operator and the user's file and line."""

from __future__ import annotations


class StaticgradError(Exception):
    """The root of all errors of this library."""


class ShapeError(StaticgradError, ValueError):
    """Shapes that do not fit each other or the operator."""


class DTypeError(StaticgradError, TypeError):
    """An element type that the operator, the feed or the derivative does not take."""


class DeclarationError(StaticgradError, ValueError):
    """A declaration that makes no sense: a bad or doubled name, a wrong attribute, a value of another graph."""


class SymbolicValueError(StaticgradError, TypeError):
    """A symbolic value was used where only numbers can be: `bool(value)`, iteration, `numpy.asarray(value)`."""


class GradientError(StaticgradError, ValueError):
    """A derivative that was asked for does not exist: loss not scalar, parameter not reached."""


class ModelError(StaticgradError, ValueError):
    """A model file that is damaged, or that is not valid ONNX."""


class UnsupportedOperatorError(StaticgradError, NotImplementedError):
    """Operators that staticgrad refuses, each with its reason and remedy; all of a graph's at once."""


class FeedError(StaticgradError, ValueError):
    """An array that does not fit the input it is fed to."""


class CheckpointError(StaticgradError, ValueError):
    """A checkpoint that is damaged or belongs to another model."""


class DeviceError(StaticgradError, RuntimeError):
    """A device that was asked for is not there, or cannot run an operator."""


class ExportError(StaticgradError, OSError):
    """A file that could not be written; nothing half written remains."""


class RunError(StaticgradError, RuntimeError):
    """onnxruntime stopped in the middle of a run, such as at a class index that is out of range."""


class NotFiniteError(StaticgradError, ArithmeticError):
    """A value of a training step is not finite, found by `check_finite=True`."""


def shown(value: object) -> str:
    """What came, for an error: its repr on one line of 60 characters at most."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
