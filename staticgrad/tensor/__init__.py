"""PyTorch-named functions over the operators, for symbolic values and eager tensors alike."""

from staticgrad.methods import FUNCTIONS
from staticgrad.tensor import activation, casting, creation, elementwise, indexing, linear, loss, reduction, shape

__all__ = ["FUNCTIONS", "activation", "casting", "creation", "elementwise", "indexing", "linear", "loss", "reduction", "shape"]
