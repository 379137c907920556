"""The one error class of the eager tensors."""


class EagerError(RuntimeError, ValueError):
    """What went wrong in one line, cause first; both a RuntimeError (as in PyTorch) and a ValueError."""
