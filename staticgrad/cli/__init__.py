"""The command `staticgrad`: gradients and training steps of models, and what is in them."""

from __future__ import annotations

import os
import re
import sys

from staticgrad.cli.arguments import parser
from staticgrad.errors import DeclarationError, StaticgradError

__all__ = ["main"]

FINE, BAD, USAGE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 fine, 1 the model or the answer is bad, 2 not called right."""
    given = parser().parse_args(arguments)
    try:
        answer: int = given.run(given)
        sys.stdout.flush()
        return answer
    except BrokenPipeError:
        # Whoever reads the output has seen enough; what is still buffered must not be written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except DeclarationError as error:
        return _said(error, USAGE)
    except (StaticgradError, OSError) as error:
        return _said(error, BAD)


def _said(error: Exception, status: int) -> int:
    """Tell of an error in one line, without the place in Python that it came from."""
    text = re.sub(r" \([\w<>./-]+:\d+\)$", "", " ".join(str(error).split()))
    print(f"staticgrad: {text}", file=sys.stderr)
    return status
