"""The place of `nn.functional`."""

from __future__ import annotations

from staticgrad.eager.nn import functional

__all__ = ["functional"]
