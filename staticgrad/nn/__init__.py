"""Layers, losses and initializers in ordinary Values."""

from staticgrad.nn import functional, init
from staticgrad.nn.convolution import AvgPool2d, Conv1d, Conv2d, Conv3d, ConvTranspose2d, Flatten, MaxPool2d
from staticgrad.nn.layers import Embedding, Linear, Module, Sequential

__all__ = [
    "AvgPool2d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "Embedding",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Module",
    "Sequential",
    "functional",
    "init",
]
