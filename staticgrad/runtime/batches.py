"""Batches: dicts of arrays by input name, or arrays to cut into such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from staticgrad.errors import FeedError, shown
from staticgrad.origin import source_line
from staticgrad.runtime.feeds import Feeds

Batch = Mapping[str, Any]


def as_batch(batch: object) -> Batch:
    """What came as a batch, which must be a dict of arrays by input name."""
    if type(batch) is not dict and not isinstance(batch, Mapping):
        raise FeedError(f"a batch is a dict of arrays by input name, {shown(batch)} came ({source_line()})")
    return batch


def check_counts(**counts: object) -> None:
    """Refuse what is no positive whole number."""
    for name, count in counts.items():
        if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 1:
            raise FeedError(f"{name} must be 1 or more, {shown(count)} came ({source_line()})")


def shapes_of(batch: Batch) -> list[tuple[int, ...]]:
    """The shapes of a batch's arrays."""
    return [tuple(np.shape(array)) for array in batch.values()]


def count_samples(batch: Batch, feeds: Feeds) -> int:
    """The number of samples in a batch: the first size of an input with a sample in every row (1 without such)."""
    return next((len(batch[name]) for name in feeds.sampled if name in batch and np.ndim(batch[name]) > 0), 1)


def batches_of(
    data: Batch | Iterable[Batch], size: int | None, feeds: Feeds, random: np.random.Generator | None
) -> Iterator[Batch]:
    """Batches of arrays, cut along the first dimension, in random order if there is a generator; or those that came.

    Only inputs with a sample in every row are cut; others, such as a learning rate, go with every batch.
    """
    if not isinstance(data, Mapping):
        if size is not None:
            raise FeedError(f"batch_size is for arrays; an iterable of batches has its own ({source_line()})")
        if not isinstance(data, Iterable):
            raise FeedError(f"data is a dict of arrays, or batches of those, {shown(data)} came ({source_line()})")
        yield from map(as_batch, data)
        return
    if size is not None:
        check_counts(batch_size=size)
    elif random is None:
        yield data
        return
    rows = feeds.sampled
    arrays = {name: feeds.numpy(name, array) for name, array in data.items()}
    counts = {name: len(array) for name, array in arrays.items() if name in rows and array.ndim}
    if len(set(counts.values())) > 1:
        raise FeedError(f"the arrays hold different numbers of samples: {counts} ({source_line()})")
    total = next(iter(counts.values()), 0)
    order = np.arange(total) if random is None else random.permutation(total)
    step = size or max(total, 1)
    for start in range(0, total, step):
        chosen = order[start : start + step]
        yield {name: array[chosen] if name in counts else array for name, array in arrays.items()}
