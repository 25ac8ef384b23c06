"""Figures of a whole run from its accuracy matrix: final and average incremental accuracy, forgetting, transfer.

Row i of the matrix `[N, M]` holds the accuracies, 0 to 1, on the test experiences after training on experience i, the
first being 0; column j belongs to the test experience that goes with training experience j. There can be more columns
than rows: experiences that have not been learnt yet take no part. An accuracy that was not measured is NaN, and is left
out of the means it belongs to; a figure of which nothing is left is NaN, and so are forgetting and transfer of a single
experience.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def final_accuracy(accuracies: ArrayLike, sizes: ArrayLike | None = None) -> float:
    """Return the accuracy on all experiences learnt, after the last of them.

    ACC = 1/N sum over j of R[N-1, j] (Lopez-Paz & Ranzato 2017, arXiv 1706.08840); with `sizes`, the accuracy on all
    their samples together, which is what Avalanche calls the accuracy of a stream.

    Args:
        accuracies: the matrix R `[N, M]`.
        sizes: `[M]`, test samples of each experience; None gives experiences equal weight.

    Raises:
        ValueError: not a matrix with at least as many columns as rows and at least one, or not a size above 0 for each.
    """
    matrix = _matrix(accuracies)
    return _mean(matrix[-1], _weights(sizes, accuracies, matrix))


def average_incremental_accuracy(accuracies: ArrayLike, sizes: ArrayLike | None = None) -> float:
    """Return the mean over experiences of the accuracy on those learnt so far.

    1/N sum over i of A_i, with A_i the mean of R[i, 0] ... R[i, i] (Rebuffi et al. 2017, iCaRL, arXiv 1611.07725);
    with `sizes`, A_i is the accuracy on all their samples together, as there. Arguments and errors as in
    `final_accuracy`.
    """
    matrix = _matrix(accuracies)
    weights = _weights(sizes, accuracies, matrix)
    return _mean(np.array([_mean(row[: i + 1], weights[: i + 1]) for i, row in enumerate(matrix)]))


def forgetting(accuracies: ArrayLike) -> float:
    """Return how much less is known of earlier experiences, at the end, than at the best of times before.

    F = 1/(N-1) sum over j < N-1 of max over l < N-1 of R[l, j], less R[N-1, j] (Chaudhry et al. 2018, arXiv
    1801.10112); -1 to 1, positive where something was forgotten. Avalanche's metric of the same name compares with the
    accuracy right after learning, R[j, j], instead of the best one: that is the backward transfer with its sign
    turned, and never more than this.

    Args:
        accuracies: the matrix R `[N, M]`.

    Raises:
        ValueError: not a matrix with at least as many columns as rows and at least one.
    """
    matrix = _matrix(accuracies)
    earlier = matrix[:-1, :-1]
    # `fmax` passes over what was not measured.
    best = np.fmax.reduce(earlier, axis=0, initial=np.nan)
    return _mean(best - matrix[-1, :-1])


def backward_transfer(accuracies: ArrayLike) -> float:
    """Return what learning later experiences did to earlier ones.

    BWT = 1/(N-1) sum over j < N-1 of R[N-1, j] - R[j, j] (Lopez-Paz & Ranzato 2017, arXiv 1706.08840); -1 to 1,
    negative where something was forgotten. Arguments and errors as in `forgetting`.
    """
    matrix = _matrix(accuracies)
    return _mean((matrix[-1] - matrix.diagonal())[:-1])


def forward_transfer(accuracies: ArrayLike, untrained: ArrayLike) -> float:
    """Return what learning earlier experiences did to those not learnt yet.

    FWT = 1/(N-1) sum over 1 <= j < N of R[j-1, j] - b[j] (Lopez-Paz & Ranzato 2017, arXiv 1706.08840); -1 to 1. In
    class-incremental learning a network does not name classes it never saw: R[j-1, j] is 0 there, whatever it has
    learnt of use to them, and so the figure is that of scenarios with the same classes in every experience.

    Args:
        accuracies: the matrix R `[N, M]`.
        untrained: b `[M]`, the accuracies of the network before any training.

    Raises:
        ValueError: as in `forgetting`, or not one accuracy before training for each column.
    """
    matrix = _matrix(accuracies)
    n_columns = np.shape(accuracies)[1]
    before = np.asarray(untrained, dtype=np.float64)
    if before.shape != (n_columns,):
        raise ValueError(
            f"untrained: wanted an accuracy before training for each of {n_columns} experiences, "
            f"came an array of shape {list(before.shape)}."
        )
    return _mean(matrix.diagonal(offset=1) - before[1 : len(matrix)])


def _matrix(accuracies: ArrayLike) -> NDArray[np.float64]:
    """Return the square matrix of the experiences learnt."""
    matrix = np.asarray(accuracies, dtype=np.float64)
    if matrix.ndim != 2 or not 1 <= matrix.shape[0] <= matrix.shape[1]:
        raise ValueError(
            f"accuracies: wanted a row for each training experience and a column for each test experience, at least "
            f"as many columns as rows and one or more of both, came an array of shape {list(matrix.shape)}."
        )
    return matrix[:, : len(matrix)]


def _weights(sizes: ArrayLike | None, accuracies: ArrayLike, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    n_columns = np.shape(accuracies)[1]
    weights = np.asarray(np.ones(n_columns) if sizes is None else sizes, dtype=np.float64)
    if weights.shape != (n_columns,) or not (weights > 0).all():
        raise ValueError(
            f"sizes: wanted a number of samples above 0 for each of {n_columns} experiences, came {sizes!r}."
        )
    return weights[: len(matrix)]


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """Return the mean of what is not NaN, or NaN where nothing is left."""
    measured = ~np.isnan(values)
    if not measured.any():
        return float("nan")
    return float(np.average(values[measured], weights=None if weights is None else weights[measured]))
