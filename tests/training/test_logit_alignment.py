"""The shift of logits, through all of its rules."""

from __future__ import annotations

import pytest

from avalanche_snn.training import LogitAlignment


def test_a_worked_trace_through_all_rules() -> None:
    alignment = LogitAlignment()
    assert alignment.gamma == 0
    trace = [
        # new, old -> shift, worked out by hand
        (2.0, 5.0, -3.0),  # the difference 3 is larger than that of the start, 0: by how much it grew
        (3.0, 5.0, -5.0),  # 2 is smaller by more than 3 / 8, and shrank by less than 1000 / 4: by the difference
        (4.2, 5.0, -5.0),  # 0.8 is small enough, but shrank by 1.2, not by less than 0 / 4: the fastest pace is 1.2
        (4.4, 5.0, -5.6),  # 0.6 shrank by 0.2 < 1.2 / 4: by the difference
        (4.1, 5.0, -5.9),  # 0.9 is larger than 0.6: by how much it grew
        (4.15, 5.0, -5.9),  # 0.85 is smaller than 0.9, but not by an eighth: nothing
        (5.5, 5.0, -5.4),  # the sign has changed: by the difference, upwards
        (5.7, 5.0, -5.2),  # 0.7 is larger than 0.5: by how much it grew, upwards
        (4.6, 5.0, -5.6),  # the sign has changed back
    ]
    for mean_of_new, mean_of_old, expected in trace:
        assert alignment.update(mean_of_new, mean_of_old) == pytest.approx(expected)
        assert alignment.gamma == pytest.approx(expected)


def test_new_logits_that_are_larger_at_first_turn_it_around_at_once() -> None:
    alignment = LogitAlignment()
    assert alignment.update(5.0, 3.0) == pytest.approx(2.0)


def test_level_logits_need_no_shift() -> None:
    alignment = LogitAlignment()
    assert alignment.update(3.0, 3.0) == 0
