"""Tables that can be read in a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from staticgrad.types import TensorType


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows of the same number of cells in columns."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def amount(number: int) -> str:
    """A number of bytes as people say it."""
    size = float(number)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def type_text(type: TensorType) -> str:
    """A type of a model with its sizes as the model names them."""
    return re.sub(r"\?(?=\w)", "", str(type))
