"""Figures of accuracy matrices, worked out by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from avalanche_snn.evaluation import (
    average_incremental_accuracy,
    backward_transfer,
    final_accuracy,
    forgetting,
    forward_transfer,
)

NAN = float("nan")
ACCURACIES = [
    [0.75, 0.50, 0.00],
    [1.00, 0.75, 0.25],
    [0.50, 0.25, 1.00],
]
SIZES = [4, 8, 4]
UNTRAINED = [0.25, 0.0, 0.5]


def test_of_a_whole_run():
    assert final_accuracy(ACCURACIES) == pytest.approx((0.5 + 0.25 + 1.0) / 3)
    assert final_accuracy(ACCURACIES, SIZES) == pytest.approx((2 + 2 + 4) / 16)
    assert average_incremental_accuracy(ACCURACIES) == pytest.approx((0.75 + 0.875 + 7 / 12) / 3)
    assert average_incremental_accuracy(ACCURACIES, SIZES) == pytest.approx((3 / 4 + 10 / 12 + 8 / 16) / 3)
    # The first experience was known best after the second, the second after itself.
    assert forgetting(ACCURACIES) == pytest.approx(((1.0 - 0.5) + (0.75 - 0.25)) / 2)
    assert backward_transfer(ACCURACIES) == pytest.approx(((0.5 - 0.75) + (0.25 - 0.75)) / 2)
    assert forward_transfer(ACCURACIES, UNTRAINED) == pytest.approx(((0.5 - 0.0) + (0.25 - 0.5)) / 2)


def test_forgetting_looks_back_beyond_the_experience_itself():
    """Chaudhry et al. take the best of all times before, those before the experience was learnt among them."""
    assert forgetting([[0.9, 0.8], [0.7, 0.6]]) == pytest.approx(0.2)
    assert forgetting([[0.9, 0.8, 0.0], [0.7, 0.6, 0.0], [0.9, 0.5, 1.0]]) == pytest.approx((0.0 + 0.3) / 2)
    assert forgetting([[0.5, 0.0], [0.75, 1.0]]) == pytest.approx(-0.25), "what got better counts as less than nothing"


def test_experiences_that_were_not_learnt_yet_take_no_part():
    rows = ACCURACIES[:2]
    assert final_accuracy(rows) == 0.875
    assert final_accuracy(rows, SIZES) == pytest.approx(10 / 12)
    assert average_incremental_accuracy(rows) == pytest.approx((0.75 + 0.875) / 2)
    assert forgetting(rows) == pytest.approx(-0.25)
    assert backward_transfer(rows) == pytest.approx(0.25)
    assert forward_transfer(rows, UNTRAINED) == pytest.approx(0.5)


def test_what_was_not_measured_is_left_out():
    # The future is often not evaluated, and so is what lies between two evaluations.
    rows = [[0.75, NAN, NAN], [NAN, 0.75, NAN], [0.5, 0.25, 1.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert final_accuracy(rows) == pytest.approx(1.75 / 3)
        assert average_incremental_accuracy(rows) == pytest.approx((0.75 + 0.75 + 1.75 / 3) / 3)
        assert average_incremental_accuracy(rows, SIZES) == pytest.approx((0.75 + 0.75 + 0.5) / 3)
        assert forgetting(rows) == pytest.approx((0.25 + 0.5) / 2)
        assert backward_transfer(rows) == pytest.approx((-0.25 - 0.5) / 2)
        assert np.isnan(forward_transfer(rows, UNTRAINED))
        rows[2] = [NAN, NAN, NAN]
        assert np.isnan(final_accuracy(rows))
        assert np.isnan(forgetting(rows))
        assert average_incremental_accuracy(rows) == 0.75


def test_of_one_experience():
    assert final_accuracy([[0.5, 0.1]]) == average_incremental_accuracy([[0.5, 0.1]]) == 0.5
    assert np.isnan(forgetting([[0.5, 0.1]]))
    assert np.isnan(backward_transfer([[0.5, 0.1]]))
    assert np.isnan(forward_transfer([[0.5, 0.1]], [0.0, 0.0]))


def test_laws():
    generator = np.random.default_rng(0)
    for n in range(2, 7):
        rows = generator.random((n, n))
        before = rows.copy()
        assert forgetting(rows) >= -backward_transfer(rows) - 1e-12
        assert final_accuracy(rows, np.full(n, 3)) == pytest.approx(final_accuracy(rows))
        assert average_incremental_accuracy(rows, np.full(n, 7)) == pytest.approx(average_incremental_accuracy(rows))
        # Accuracies that never change transfer nothing and forget nothing.
        still = np.tile(rows[0], (n, 1))
        assert forgetting(still) == backward_transfer(still) == forward_transfer(still, rows[0]) == 0.0
        assert np.array_equal(rows, before), "the matrix is read, not changed"


@pytest.mark.parametrize("rows", [[0.5, 0.5], [], [[]], [[0.5], [0.5]], [[[0.5]]]])
@pytest.mark.parametrize("figure", [final_accuracy, average_incremental_accuracy, forgetting, backward_transfer])
def test_what_is_no_accuracy_matrix(figure, rows):
    with pytest.raises(ValueError, match="wanted a row for each training experience"):
        figure(rows)


def test_what_does_not_fit_the_matrix():
    with pytest.raises(ValueError, match=r"above 0 for each of 3 experiences, came \[1, 2\]"):
        final_accuracy(ACCURACIES, [1, 2])
    with pytest.raises(ValueError, match=r"above 0 for each of 3 experiences, came \[1, 0, 2\]"):
        average_incremental_accuracy(ACCURACIES, [1, 0, 2])
    with pytest.raises(ValueError, match=r"each of 3 experiences, came an array of shape \[2\]"):
        forward_transfer(ACCURACIES, [0.5, 0.5])
