"""The training steps of the benchmark's workloads have not grown: numbers that need no clock."""

from __future__ import annotations

from benchmarks.counts import all_counts, differences, recorded

RENEW = "; where that is meant, renew the record by `python -m benchmarks.counts --write`"


def test_steps_have_the_recorded_numbers_of_nodes_bytes_and_passes() -> None:
    changes = differences(recorded(), all_counts())
    grown = [line for line in changes if " grew " in line or " is new" in line]
    assert not grown, "the steps grew: " + "; ".join(grown) + RENEW
    assert not changes, "the steps shrank, so that the record is out of date: " + "; ".join(changes) + RENEW


def test_the_lstm_has_as_many_nodes_at_every_length() -> None:
    nodes = recorded()["lstm by length"]
    assert len(nodes) == 2 and len(set(nodes.values())) == 1


def test_a_difference_says_what_grew_and_by_how_much() -> None:
    before = {"net": {"forward": 3, "backward": 9, "old": 1}}
    now = {"net": {"forward": 5, "backward": 8, "new": 2}}
    assert differences(before, now) == [
        "net: forward grew by 2, from 3 to 5",
        "net: backward shrank by 1, from 9 to 8",
        "net: old is gone",
        "net: new is new",
    ]
    assert differences(before, before) == []
