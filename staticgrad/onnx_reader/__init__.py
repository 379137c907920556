"""ONNX models as graphs: one dialect behind the door, functions and bodies of loops read with them."""

from staticgrad.onnx_reader.loading import Source, load, understood
from staticgrad.onnx_reader.reading import Reading, read

__all__ = ["Reading", "Source", "load", "read", "understood"]
