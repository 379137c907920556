"""Layers, losses and initializers in ordinary Values."""

from staticgrad.nn import functional, init
from staticgrad.nn.layers import Embedding, Linear, Module, Sequential

__all__ = ["Embedding", "Linear", "Module", "Sequential", "functional", "init"]
