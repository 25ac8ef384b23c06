"""The accuracy on every experience after every experience, as evaluations come in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avalanche_snn.logging.images import heat_map

_UNTRAINED = "-"


class AccuracyMatrix:
    """Accuracies on the experiences of one stream: a row for each training experience, a column for each tested one."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._accuracies: dict[tuple[int, int], float] = {}

    def set(self, n_trained: int, last_trained: int | None, tested: int, accuracy: float) -> None:
        """Take note of an accuracy; of several for a cell the last counts.

        Args:
            n_trained: how many experiences have been trained on, the row.
            last_trained: number of the last of them, the row's name; None before the first.
            tested: number of the tested experience, the column.
            accuracy: from 0 to 1.
        """
        self._names[n_trained] = _UNTRAINED if last_trained is None else str(last_trained)
        self._accuracies[n_trained, tested] = accuracy

    @property
    def values(self) -> NDArray[np.float64]:
        """Accuracies `[rows, columns]` in the order of training and of the stream; nan where none was measured."""
        rows, columns = sorted(self._names), self._columns
        return np.array([[self._accuracies.get((row, column), np.nan) for column in columns] for row in rows])

    def draw(self) -> Image.Image:
        """Draw a heat map."""
        return heat_map(
            self.values,
            row_names=[self._names[row] for row in sorted(self._names)],
            column_names=[str(column) for column in self._columns],
            row_title="after training experience",
            column_title="accuracy on experience",
            limits=(0.0, 1.0),
        )

    def state_dict(self) -> list[list[Any]]:
        """Return the matrix as plain values: a list of row, its name, column and accuracy."""
        return [[row, self._names[row], column, accuracy] for (row, column), accuracy in self._accuracies.items()]

    @classmethod
    def of_state(cls, state: list[list[Any]]) -> AccuracyMatrix:
        """Return the matrix that `state_dict` was called on."""
        matrix = cls()
        for row, name, column, accuracy in state:
            matrix._names[row] = name
            matrix._accuracies[row, column] = accuracy
        return matrix

    @property
    def _columns(self) -> list[int]:
        return sorted({column for _, column in self._accuracies})
